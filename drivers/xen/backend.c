/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.c - which guest wants which device of us. See backend.h.
 *
 *   backend/<type>/<domid>/<devid>/<key>     relative to our own /local/domain/<us>
 *
 * The toolstack writes these directories, and it gives us the right to write and remove below
 * <devid>. A guest can read its own and write none. All the same every value is checked: a wrong
 * one costs its own device only.
 */
#include "drivers/xen/backend.h"

#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"

#include "drivers/xen/xs.h"

#define DOMID_LAST      0x7fefu /* the last number a domain can have */
#define MMIO_BYTES      0x200u  /* a virtio-mmio window as libxl lays it out */
#define MMIO_BITS       48
#define SPI_FIRST       32
#define SPI_LAST        1019
#define NEVER           UINT64_MAX
#define XB_INITIALISING 1
#define XB_INITWAIT     2
#define XB_CONNECTED    4
#define XB_CLOSING      5
#define XB_CLOSED       6
#define XB_REMOVE       255 /* not a state: the transaction removes the directory */

/* --- what a directory must say ------------------------------------------------------------------
 */

/** A key and what it means. take() returns false when the value makes no sense. */
struct key {
    const char *name;
    bool (*take)(struct backend_device *dev, const char *value);
    bool optional;
};

static bool take_state(struct backend_device *dev, const char *value)
{
    u64 state;

    if (xs_parse_decimal(value, 8, &state) != ST_OK) {
        return false;
    }
    dev->found_state = (u8)state;
    return true;
}

static bool take_online(struct backend_device *dev, const char *value)
{
    dev->found_online = strcmp(value, "0") != 0;
    return true;
}

static bool take_frontend_id(struct backend_device *dev, const char *value)
{
    u64 domid;

    return xs_parse_decimal(value, DOMID_LAST, &domid) == ST_OK && domid == dev->request.domid;
}

static bool take_params(struct backend_device *dev, const char *value)
{
    usize length = strlen(value);

    if (length >= DISK_NAME_MAX) {
        return false;
    }
    memcpy(dev->request.target, value, length + 1);
    return true;
}

static bool take_mode(struct backend_device *dev, const char *value)
{
    dev->request.read_only = strcmp(value, "r") == 0;
    return dev->request.read_only || strcmp(value, "w") == 0;
}

static bool take_transport(struct backend_device *dev, const char *value)
{
    (void)dev;
    return strcmp(value, "mmio") == 0;
}

/* libxl writes base in decimal for disk=, in 0x-hex for virtio=. */
static bool take_base(struct backend_device *dev, const char *value)
{
    u64 base;

    if (xs_parse_number(value, BIT64(MMIO_BITS) - MMIO_BYTES, &base) != ST_OK || base == 0 ||
        !is_aligned(base, MMIO_BYTES)) {
        return false;
    }
    dev->request.mmio_base = base;
    return true;
}

static bool take_irq(struct backend_device *dev, const char *value)
{
    u64 irq;

    if (xs_parse_number(value, SPI_LAST, &irq) != ST_OK || irq < SPI_FIRST) {
        return false;
    }
    dev->request.irq = (u32)irq;
    return true;
}

static bool take_grant_usage(struct backend_device *dev, const char *value)
{
    dev->request.grants = strcmp(value, "1") == 0;
    return dev->request.grants || strcmp(value, "0") == 0;
}

/* "virtio,device2": the number is hexadecimal [VIRTIO 5]. */
static bool take_type(struct backend_device *dev, const char *value)
{
    static const char prefix[] = "virtio,device";
    char number[8] = "0x";
    u64 type;

    if (strncmp(value, prefix, sizeof(prefix) - 1) != 0 ||
        strlen(value) - (sizeof(prefix) - 1) > sizeof(number) - 3) {
        return false;
    }
    strcpy(number + 2, value + sizeof(prefix) - 1);
    if (xs_parse_number(number, 0xff, &type) != ST_OK || type == 0) {
        return false;
    }
    dev->request.device_type = (u32)type;
    return true;
}

/* The two keys that a check reads come first in every row. */
#define KEYS_CHECKED 2
#define KEYS_MAX     10

static const struct device_type {
    const char *directory;
    u32 device_type; /* 0: the directory says */
    struct key key[KEYS_MAX];
} types[] = {
    /* disk = [ "..., specification=virtio, backend=..." ]; grant_usage from Xen 4.19 on */
    {"virtio_disk",
     2,
     {{"state", take_state, false},
      {"online", take_online, true},
      {"frontend-id", take_frontend_id, false},
      {"transport", take_transport, false},
      {"base", take_base, false},
      {"irq", take_irq, false},
      {"params", take_params, true},
      {"mode", take_mode, false},
      {"grant_usage", take_grant_usage, true}}},
    /* virtio = [ "type=virtio,device2, transport=mmio, backend=..." ]; Xen 4.18 and later */
    {"virtio",
     0,
     {{"state", take_state, false},
      {"online", take_online, true},
      {"frontend-id", take_frontend_id, false},
      {"transport", take_transport, false},
      {"base", take_base, false},
      {"irq", take_irq, false},
      {"type", take_type, false},
      {"grant_usage", take_grant_usage, true}}},
};

#define TYPES ARRAY_LEN(types)

static const struct key *key_of(const struct backend_device *dev, u32 i)
{
    const struct key *key = &types[dev->type].key[i];

    return i < KEYS_MAX && key->name ? key : NULL;
}

static const char *directory_of(const struct backend_device *dev)
{
    return types[dev->type].directory;
}

/** "backend/virtio_disk/7/51712", with "/" and leaf unless that is NULL. Always fits XS_PATH_MAX.
 */
static void path_make(const struct backend_device *dev, const char *leaf, char path[XS_PATH_MAX])
{
    (void)snprintf(path, XS_PATH_MAX, "backend/%s/%u/%u%s%s", directory_of(dev), dev->request.domid,
                   dev->request.devid, leaf ? "/" : "", leaf ? leaf : "");
}

#define device_log(level, dev, format, ...)                                             \
    log_line(level, "guest %u %s %u: " format, (dev)->request.domid, directory_of(dev), \
             (dev)->request.devid, __VA_ARGS__)

/* --- fetching keys
 * -------------------------------------------------------------------------------- */

/** An answer came, of whatever kind: step the machine. */
static void device_answered(struct backend_device *dev)
{
    CHECK(dev->waiting > 0);
    dev->waiting--;
    dev->be->busy = true;
}

static void key_refuse(struct backend_device *dev, const struct key *key, const char *why)
{
    device_log(LOG_ERROR, dev, "key %s %s: not served until the directory changes", key->name, why);
    dev->bad = true;
}

static void key_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct backend_device *dev = ctx;
    const struct key *key = key_of(dev, arg);
    char value[XS_VALUE_MAX];

    device_answered(dev);
    switch (reply->status) {
    case ST_OK:
        if (xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) != ST_OK) {
            key_refuse(dev, key, "is too long or no text");
        } else if (!key->take(dev, value)) {
            device_log(LOG_ERROR, dev,
                       "key %s = \"%.40s\" makes no sense: not served until the "
                       "directory changes",
                       key->name, value);
            dev->bad = true;
        }
        break;
    case ST_NOENT:
        /* Perhaps the whole directory is gone, which is no complaint: device_looked() knows. */
        if (!key->optional) {
            dev->missing = (u8)(arg + 1);
        }
        break;
    case ST_TIMEOUT:
    case ST_AGAIN:
        dev->again = true;
        break;
    default:
        key_refuse(dev, key, status_name(reply->status));
        break;
    }
}

static void fetch_start(struct backend_device *dev, enum backend_fetch what)
{
    dev->fetch = what;
    dev->key_next = 0;
    dev->changed = false;
    dev->again = false;
    dev->bad = false;
    dev->missing = 0;
    dev->found_state = 0;
    dev->found_online = true;
    if (what == BE_FETCH_ALL) {
        dev->request = (struct backend_request){
            .domid = dev->request.domid,
            .devid = dev->request.devid,
            .device_type = types[dev->type].device_type,
        };
    }
}

/** Ask for what is not asked for yet. True when all answers are there. */
static bool fetch_step(struct backend_device *dev)
{
    char path[XS_PATH_MAX];
    const struct key *key;

    while ((key = key_of(dev, dev->key_next)) != NULL &&
           (dev->fetch == BE_FETCH_ALL || dev->key_next < KEYS_CHECKED)) {
        path_make(dev, key->name, path);
        if (xs_read(dev->be->xs, 0, path, key_answer, dev, dev->key_next) != ST_OK) {
            return false; /* no slot: an answer to somebody brings us back */
        }
        dev->waiting++;
        dev->key_next++;
    }
    return dev->waiting == 0;
}

/* --- writing a state
 * --------------------------------------------------------------------------------
 *
 * start -> read state -> write state (or remove the directory) -> commit; each answer sends the
 * next. What is read must be what we left there, else somebody else was at it and the transaction
 * ends without commit.
 */
enum tx_step { TX_START, TX_READ, TX_WRITE, TX_COMMIT, TX_ABORT };

static void tx_answer(void *ctx, u32 step, const struct xs_reply *reply);

/** The transaction is over; written tells whether it was committed. */
static void tx_over(struct backend_device *dev, bool written);

static enum status tx_request(struct backend_device *dev, enum tx_step step)
{
    struct xs *xs = dev->be->xs;
    char path[XS_PATH_MAX];
    char value[4];

    path_make(dev, "state", path);
    switch (step) {
    case TX_START:
        return xs_tx_start(xs, tx_answer, dev, step);
    case TX_READ:
        return xs_read(xs, dev->tx, path, tx_answer, dev, step);
    case TX_WRITE:
        if (dev->writing == XB_REMOVE) {
            path_make(dev, NULL, path);
            return xs_rm(xs, dev->tx, path, tx_answer, dev, step);
        }
        (void)snprintf(value, sizeof(value), "%u", dev->writing);
        return xs_write(xs, dev->tx, path, value, tx_answer, dev, step);
    default:
        return xs_tx_end(xs, dev->tx, step == TX_COMMIT, tx_answer, dev, step);
    }
}

/** Send a step's request, now or (no room) with a later device_step(). */
static void tx_send(struct backend_device *dev, enum tx_step step)
{
    enum status st = tx_request(dev, step);

    dev->tx_step = (u8)step;
    dev->tx_unsent = st == ST_AGAIN;
    if (st == ST_OK) {
        dev->waiting++;
    } else if (st != ST_AGAIN) {
        dev->tries = BACKEND_TX_TRIES; /* xenstore is broken: it will not get better */
        tx_over(dev, false);
    }
}

static void tx_start(struct backend_device *dev, u8 state)
{
    /* One at a time: xenstored allows a domain few, and ours would make each other fail. */
    if (dev->be->tx_device) {
        return;
    }
    dev->be->tx_device = dev;
    dev->writing = state;
    dev->tries++;
    tx_send(dev, TX_START);
}

/** Is the state in the directory the one we may follow? */
static bool tx_may_follow(u8 writing, const struct xs_reply *reply)
{
    char value[8];
    u64 state;

    if (xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) != ST_OK ||
        xs_parse_decimal(value, UINT8_MAX, &state) != ST_OK) {
        return false;
    }
    switch (writing) {
    case XB_INITWAIT:
        return state == XB_INITIALISING;
    case XB_CONNECTED:
        return state == XB_INITWAIT;
    case XB_REMOVE:
        return state == XB_CLOSED;
    default:
        return true;
    }
}

static void tx_answer(void *ctx, u32 step, const struct xs_reply *reply)
{
    struct backend_device *dev = ctx;

    device_answered(dev);
    if (step == TX_COMMIT || step == TX_ABORT) {
        tx_over(dev, step == TX_COMMIT && reply->status == ST_OK);
        return;
    }
    if (step == TX_START) {
        dev->tx = xs_reply_tx(reply);
        if (dev->tx == 0) {
            tx_over(dev, false);
            return;
        }
    }
    if (reply->status == ST_OK && (step != TX_READ || tx_may_follow(dev->writing, reply))) {
        tx_send(dev, (enum tx_step)(step + 1));
        return;
    }
    if (step == TX_READ && (reply->status == ST_OK || reply->status == ST_NOENT)) {
        dev->changed = true;
        dev->tries = BACKEND_TX_TRIES;
    } else if (reply->status != ST_TIMEOUT && reply->status != ST_AGAIN) {
        device_log(LOG_ERROR, dev, "the directory cannot be written: %s",
                   status_name(reply->status));
        dev->tries = BACKEND_TX_TRIES;
    }
    tx_send(dev, TX_ABORT);
}

/* --- the machine
 * -------------------------------------------------------------------------------------- */

static void device_set(struct backend_device *dev, enum backend_state state, u64 deadline_ns)
{
    dev->state = state;
    dev->tries = 0;
    dev->deadline_ns = deadline_ns;
    dev->be->busy = true;
}

static void device_free(struct backend_device *dev)
{
    CHECK(!dev->attached && dev->waiting == 0 && !dev->writing);
    *dev = (struct backend_device){.be = dev->be, .state = BE_FREE};
}

static void device_detach(struct backend_device *dev)
{
    struct backend *be = dev->be;

    if (!dev->attached) {
        return;
    }
    be->ops->detach(be->ctx, dev->handle);
    dev->attached = false;
    dev->handle = NULL;
    be->attached--;
    be->detaches++;
}

static void device_close(struct backend_device *dev)
{
    device_detach(dev);
    dev->fetch = BE_FETCH_NONE;
    device_set(dev, BE_CLOSING, NEVER);
}

static void device_refuse(struct backend_device *dev)
{
    dev->be->refusals++;
    device_set(dev, BE_REFUSED, NEVER);
}

static void device_attach(struct backend_device *dev)
{
    struct backend *be = dev->be;
    enum status st = be->ops->attach(be->ctx, &dev->request, &dev->handle);

    if (st != ST_OK) {
        device_log(LOG_WARN, dev, "refused (%s)", status_name(st));
        device_refuse(dev);
        return;
    }
    dev->attached = true;
    dev->announced = false;
    be->attached++;
    be->attaches++;
    device_set(dev, BE_ANNOUNCING, NEVER);
}

/** The directory was read: what does it mean in this state? */
static void device_looked(struct backend_device *dev)
{
    bool closing =
        dev->found_state == XB_CLOSING || dev->found_state == XB_CLOSED || !dev->found_online;

    dev->fetch = BE_FETCH_NONE;
    if (dev->again) {
        /* xenstored was slow, XS_TIMEOUT_NS slow: look again. */
        fetch_start(dev, dev->state == BE_READING ? BE_FETCH_ALL : BE_FETCH_CHECK);
        dev->be->busy = true;
        return;
    }
    if (dev->found_state == 0 && !dev->bad) {
        device_detach(dev);
        device_free(dev);
        return;
    }
    if (dev->missing) {
        key_refuse(dev, key_of(dev, dev->missing - 1u), "is missing");
    }
    if (closing) {
        device_close(dev);
        return;
    }
    switch (dev->state) {
    case BE_READING:
        if (dev->bad) {
            device_refuse(dev);
        } else {
            device_attach(dev);
        }
        break;
    case BE_CONNECTED:
        if (dev->found_state == XB_INITIALISING) {
            device_detach(dev); /* removed and made again: somebody else's device now */
            device_set(dev, BE_READING, NEVER);
            fetch_start(dev, BE_FETCH_ALL);
        }
        break;
    case BE_REFUSED:
        if (!dev->bad && dev->found_state == XB_INITIALISING) {
            device_set(dev, BE_READING, NEVER);
            fetch_start(dev, BE_FETCH_ALL);
        }
        break;
    default:
        break;
    }
}

/** The directory can be neither closed nor removed: somebody was at it, or we have no right. */
static void device_part(struct backend_device *dev)
{
    if (dev->be->xs->broken) {
        device_free(dev);
    } else {
        device_set(dev, BE_REFUSED, NEVER);
    }
}

static void tx_over(struct backend_device *dev, bool written)
{
    u64 now = port_now_ns();

    CHECK(dev->be->tx_device == dev);
    dev->be->tx_device = NULL;
    dev->writing = 0;
    dev->tx = 0;
    dev->tx_unsent = false;
    dev->be->busy = true;
    if (!written && dev->tries < BACKEND_TX_TRIES) {
        return; /* device_step() tries again */
    }
    if (!written && !dev->changed) {
        device_log(LOG_ERROR, dev, "the directory could not be written in %d tries",
                   BACKEND_TX_TRIES);
    }
    switch (dev->state) {
    case BE_ANNOUNCING:
        if (written) {
            device_log(LOG_INFO, dev, "ready at 0x%llx, interrupt %u",
                       (unsigned long long)dev->request.mmio_base, dev->request.irq);
        }
        device_set(dev, BE_CONNECTED, now + BACKEND_INITWAIT_NS);
        break;
    case BE_CONNECTED:
        dev->announced = true;
        device_set(dev, BE_CONNECTED, NEVER);
        break;
    case BE_CLOSING:
        if (written) {
            device_set(dev, BE_LINGER, now + BACKEND_LINGER_NS);
        } else {
            device_part(dev);
        }
        break;
    case BE_REMOVING:
        if (written) {
            device_free(dev);
        } else {
            device_part(dev);
        }
        break;
    default:
        break;
    }
}

/** Advance as far as is possible without waiting. */
static void device_step(struct backend_device *dev, u64 now)
{
    if (dev->fetch != BE_FETCH_NONE) {
        if (fetch_step(dev)) {
            device_looked(dev);
        }
        return;
    }
    if (dev->writing) {
        if (dev->tx_unsent) {
            tx_send(dev, (enum tx_step)dev->tx_step);
        }
        return;
    }
    switch (dev->state) {
    case BE_ANNOUNCING:
        tx_start(dev, XB_INITWAIT);
        break;
    case BE_CONNECTED:
        if (dev->changed) {
            fetch_start(dev, BE_FETCH_CHECK);
            dev->be->busy = true;
        } else if (!dev->announced && dev->deadline_ns <= now) {
            tx_start(dev, XB_CONNECTED);
        }
        break;
    case BE_REFUSED:
        if (dev->changed) {
            fetch_start(dev, BE_FETCH_CHECK);
            dev->be->busy = true;
        }
        break;
    case BE_CLOSING:
        tx_start(dev, XB_CLOSED);
        break;
    case BE_LINGER:
        if (dev->deadline_ns <= now) {
            dev->changed = false;
            device_set(dev, BE_REMOVING, NEVER);
        }
        break;
    case BE_REMOVING:
        tx_start(dev, XB_REMOVE);
        break;
    default:
        break;
    }
}

/* --- finding directories
 * ------------------------------------------------------------------------------ */

static struct backend_device *device_find(struct backend *be, u32 type, u16 domid, u32 devid)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state != BE_FREE && dev->type == type && dev->request.domid == domid &&
            dev->request.devid == devid) {
            return dev;
        }
    }
    return NULL;
}

/** The scan came by a directory: note it, or begin with it. */
static void device_found(struct backend *be, u32 type, u16 domid, u32 devid)
{
    struct backend_device *dev = device_find(be, type, domid, devid);

    for (u32 i = 0; !dev && i < DEVICES_MAX; i++) {
        if (be->device[i].state == BE_FREE) {
            dev = &be->device[i];
            dev->type = (u8)type;
            dev->request.domid = domid;
            dev->request.devid = devid;
            device_set(dev, BE_READING, NEVER);
            fetch_start(dev, BE_FETCH_ALL);
        }
    }
    if (dev) {
        dev->seen = be->scan;
    } else if (!be->full_said) {
        be->full_said = true;
        log_error("guest %u %s %u: not served, DEVICES_MAX = %d devices are there already", domid,
                  types[type].directory, devid, DEVICES_MAX);
    }
}

static void scan_next(struct backend *be);

static void scan_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct backend *be = ctx;

    (void)arg;
    be->busy = true;
    be->scan_busy = false;
    if (reply->status == ST_TIMEOUT || reply->status == ST_AGAIN) {
        be->scan_wanted = true;
    }
    if (be->scan_inner) {
        u32 at = 0;
        const char *name;
        u64 devid;

        while ((name = xs_directory_next(reply->data, reply->bytes, &at)) != NULL) {
            if (xs_parse_decimal(name, UINT32_MAX, &devid) == ST_OK) {
                device_found(be, be->scan_type, be->scan_domid, (u32)devid);
            }
        }
    } else {
        be->list_bytes = reply->bytes <= sizeof(be->list) ? reply->bytes : 0;
        be->list_at = 0;
        if (be->list_bytes) {
            memcpy(be->list, reply->data, be->list_bytes);
        }
    }
    scan_next(be);
}

/** List dir; inner: of one guest. False when xs has no room now. */
static bool scan_list(struct backend *be, bool inner)
{
    char path[XS_PATH_MAX];

    if (inner) {
        (void)snprintf(path, sizeof(path), "backend/%s/%u", types[be->scan_type].directory,
                       be->scan_domid);
    } else {
        (void)snprintf(path, sizeof(path), "backend/%s", types[be->scan_type].directory);
    }
    be->scan_inner = inner;
    be->scan_busy = xs_directory(be->xs, 0, path, scan_answer, be, 0) == ST_OK;
    if (!be->scan_busy) {
        be->scan_wanted = true; /* begin anew when there is room */
    }
    return be->scan_busy;
}

/** All rows were listed: what was not met has vanished, or came and went; its own look tells. */
static void scan_done(struct backend *be)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (be->device[i].state != BE_FREE && be->device[i].seen != be->scan) {
            be->device[i].changed = true;
        }
    }
}

static void scan_next(struct backend *be)
{
    const char *name;
    u64 domid;

    while ((name = xs_directory_next(be->list, be->list_bytes, &be->list_at)) != NULL) {
        if (xs_parse_decimal(name, DOMID_LAST, &domid) == ST_OK) {
            be->scan_domid = (u16)domid;
            (void)scan_list(be, true);
            return;
        }
    }
    if (be->scan_type + 1u < TYPES) {
        be->scan_type++;
        (void)scan_list(be, false);
        return;
    }
    scan_done(be);
}

static void scan_start(struct backend *be)
{
    be->scan_wanted = false;
    be->scan++;
    be->scan_type = 0;
    be->list_bytes = 0;
    be->list_at = 0;
    (void)scan_list(be, false);
}

/** One component of a path as a number; *path moves behind it. False when it is none. */
static bool component_take(const char **path, u64 max, u64 *value)
{
    char number[12];
    usize length = strcspn(*path, "/");

    if (length == 0 || length >= sizeof(number)) {
        return false;
    }
    memcpy(number, *path, length);
    number[length] = 0;
    *path += length;
    *path += **path == '/';
    return xs_parse_decimal(number, max, value) == ST_OK;
}

/** The device whose directory path lies in, or NULL; *leaf is what follows the directory. */
static struct backend_device *device_of_path(struct backend *be, const char *path,
                                             const char **leaf)
{
    static const char prefix[] = "backend/";
    u64 domid, devid;

    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
        return NULL;
    }
    path += sizeof(prefix) - 1;
    for (u32 type = 0; type < TYPES; type++) {
        usize length = strlen(types[type].directory);

        if (strncmp(path, types[type].directory, length) == 0 && path[length] == '/') {
            path += length + 1;
            if (!component_take(&path, DOMID_LAST, &domid) ||
                !component_take(&path, UINT32_MAX, &devid)) {
                return NULL;
            }
            *leaf = path;
            return device_find(be, type, (u16)domid, (u32)devid);
        }
    }
    return NULL;
}

/** Something below `backend` changed. A storm of these sets the same few flags again and again. */
static void backend_changed(void *ctx, const char *path)
{
    struct backend *be = ctx;
    const char *leaf;
    struct backend_device *dev = device_of_path(be, path, &leaf);

    if (!dev) {
        be->scan_wanted = true;
        be->busy = true;
    } else if (!*leaf || strcmp(leaf, "state") == 0 || strcmp(leaf, "online") == 0) {
        dev->changed = true;
        be->busy = true;
    }
}

/* --- the poll loop's view
 * -------------------------------------------------------------------------------- */

void backend_init(struct backend *be, struct xs *xs, const struct backend_ops *ops, void *ctx)
{
    memset(be, 0, sizeof(*be));
    be->xs = xs;
    be->ops = ops;
    be->ctx = ctx;
    be->busy = true;
    be->deadline_ns = NEVER;
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        be->device[i].be = be;
    }
}

/** Ask the guests of connected devices whether they live; a dead one's devices go. */
static void backend_probe(struct backend *be, u64 now)
{
    be->probe_ns = now + BACKEND_PROBE_NS;
    for (u32 i = 0; i < DEVICES_MAX && be->ops->alive; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state == BE_CONNECTED && dev->waiting == 0 && !dev->writing &&
            !be->ops->alive(be->ctx, dev->handle)) {
            device_log(LOG_INFO, dev, "%s", "the guest is gone");
            device_close(dev);
        }
    }
}

/** Nothing outstanding that would bring us back, yet not done: there was no room for a request. */
static bool device_is_stuck(const struct backend_device *dev)
{
    return dev->waiting == 0 && (dev->tx_unsent || dev->fetch != BE_FETCH_NONE);
}

static void deadline_update(struct backend *be, u64 now)
{
    u64 first = be->attached && be->ops->alive ? be->probe_ns : NEVER;

    for (u32 i = 0; i < DEVICES_MAX; i++) {
        const struct backend_device *dev = &be->device[i];

        if (dev->state != BE_FREE && dev->waiting == 0 && !dev->writing) {
            first = min_u64(first, dev->deadline_ns);
        }
        if (dev->state != BE_FREE && device_is_stuck(dev)) {
            first = min_u64(first, now + BACKEND_RETRY_NS);
        }
    }
    if (!be->watching || (be->scan_wanted && !be->scan_busy)) {
        first = min_u64(first, now + BACKEND_RETRY_NS);
    }
    be->deadline_ns = first;
}

u32 backend_poll(void *ctx, u32 budget)
{
    struct backend *be = ctx;
    u64 now;

    (void)budget;
    if (!be->busy && be->deadline_ns == NEVER) {
        return 0;
    }
    now = port_now_ns();
    if (!be->busy && now < be->deadline_ns) {
        return 0;
    }
    be->busy = false;
    if (!be->watching) {
        be->watching = xs_watch_add(be->xs, "backend", backend_changed, be) == ST_OK;
    }
    if (be->scan_wanted && !be->scan_busy) {
        scan_start(be);
    }
    if (be->attached && now >= be->probe_ns) {
        backend_probe(be, now);
    }
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (be->device[i].state != BE_FREE) {
            device_step(&be->device[i], now);
        }
    }
    deadline_update(be, now);
    return 1;
}

u64 backend_deadline_ns(void *ctx)
{
    const struct backend *be = ctx;

    return be->busy ? 0 : be->deadline_ns;
}

void backend_in_use(struct backend *be, void *handle)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state == BE_CONNECTED && dev->handle == handle && !dev->announced) {
            dev->deadline_ns = 0;
            be->busy = true;
        }
    }
}
