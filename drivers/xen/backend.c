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
#include "start/port.h"

#include "drivers/xen/backend_parts.h"

void backend_device_path(const struct backend_device *dev, const char *leaf, char path[XS_PATH_MAX])
{
    (void)snprintf(path, XS_PATH_MAX, "backend/%s/%u/%u%s%s", backend_type_directory(dev->type),
                   dev->request.domid, dev->request.devid, leaf ? "/" : "", leaf ? leaf : "");
}

/* --- fetching keys --------------------------------------------------------------------------- */

void backend_device_answered(struct backend_device *dev)
{
    CHECK(dev->waiting > 0);
    dev->waiting--;
    dev->be->busy = true;
}

static void key_refuse(struct backend_device *dev, u32 key, const char *why)
{
    device_log(LOG_ERROR, dev, "key %s %s: not served until the directory changes",
               backend_key_name(dev, key), why);
    dev->bad = true;
}

/** A limit that is nonsense: the others are served on as they were. */
static void key_forgive(struct backend_device *dev, u32 key, const char *value)
{
    device_log(LOG_ERROR, dev, "key %s = \"%.40s\" makes no sense: what was said before holds",
               backend_key_name(dev, key), value);
}

static void key_answer(void *ctx, u32 key, const struct xs_reply *reply)
{
    struct backend_device *dev = ctx;
    char value[XS_VALUE_MAX];

    backend_device_answered(dev);
    switch (reply->status) {
    case ST_OK:
        if (xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) != ST_OK) {
            if (backend_key_forgiven(dev, key)) {
                key_forgive(dev, key, "...");
            } else {
                key_refuse(dev, key, "is too long or no text");
            }
        } else if (!backend_key_take(dev, key, value)) {
            if (backend_key_forgiven(dev, key)) {
                key_forgive(dev, key, value);
                break;
            }
            device_log(LOG_ERROR, dev,
                       "key %s = \"%.40s\" makes no sense: not served until the "
                       "directory changes",
                       backend_key_name(dev, key), value);
            dev->bad = true;
        }
        break;
    case ST_NOENT:
        /* Perhaps the whole directory is gone, which is no complaint: device_looked() knows. */
        if (!backend_key_optional(dev, key)) {
            dev->missing = (u8)(key + 1);
        }
        backend_key_gone(dev, key);
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
    if (PART_LIMITS && what == BE_FETCH_LIMITS) {
        dev->key_next = (u8)backend_key_limits(dev);
        dev->relimit = false;
    } else {
        dev->changed = false;
    }
    dev->again = false;
    dev->bad = false;
    dev->missing = 0;
    dev->found_state = 0;
    dev->found_online = true;
    if (what == BE_FETCH_ALL) {
        dev->request = (struct backend_request){
            .domid = dev->request.domid,
            .devid = dev->request.devid,
            .device_type = backend_type_device(dev->type),
            .pv_block = backend_type_is_pv(dev->type),
        };
        for (u32 i = backend_key_limits(dev); PART_LIMITS && backend_key_name(dev, i); i++) {
            backend_key_gone(dev, i);
        }
    }
}

/** Ask for what is not asked for yet. True when all answers are there. */
static bool fetch_step(struct backend_device *dev)
{
    char path[XS_PATH_MAX];
    const char *key;

    while ((key = backend_key_name(dev, dev->key_next)) != NULL &&
           (dev->fetch != BE_FETCH_CHECK || dev->key_next < BACKEND_KEYS_CHECKED)) {
        backend_device_path(dev, key, path);
        if (xs_read(dev->be->xs, 0, path, key_answer, dev, dev->key_next) != ST_OK) {
            return false; /* no slot: an answer to somebody brings us back */
        }
        dev->waiting++;
        dev->key_next++;
    }
    return dev->waiting == 0;
}

/* --- the machine ----------------------------------------------------------------------------- */

static void device_set(struct backend_device *dev, enum backend_state state, u64 deadline_ns)
{
    dev->state = state;
    dev->tries = 0;
    dev->deadline_ns = deadline_ns;
    dev->be->busy = true;
}

void backend_device_begin(struct backend_device *dev, u32 type, u16 domid, u32 devid)
{
    dev->type = (u8)type;
    dev->request.domid = domid;
    dev->request.devid = devid;
    device_set(dev, BE_READING, BACKEND_NEVER);
    fetch_start(dev, BE_FETCH_ALL);
}

static void device_free(struct backend_device *dev)
{
    CHECK(!dev->attached && dev->waiting == 0 && !dev->writing);
    if (backend_is_pv(dev) && !backend_front_unwatch(dev)) {
        device_set(dev, BE_UNWATCHING, BACKEND_NEVER);
        return;
    }
    /* Its directory may have been made anew meanwhile. */
    dev->be->scan_wanted |= dev->state == BE_UNWATCHING;
    *dev = (struct backend_device){.be = dev->be, .state = BE_FREE};
}

static void device_detach(struct backend_device *dev)
{
    struct backend *be = dev->be;

    if (!dev->attached) {
        return;
    }
    backend_ops_of(dev)->detach(backend_ctx_of(dev), dev->handle);
    if (backend_is_pv(dev)) {
        backend_front_forget(dev);
    }
    dev->attached = false;
    dev->handle = NULL;
    be->attached--;
    be->detaches++;
}

void backend_device_close(struct backend_device *dev)
{
    device_detach(dev);
    dev->fetch = BE_FETCH_NONE;
    device_set(dev, BE_CLOSING, BACKEND_NEVER);
}

static void device_refuse(struct backend_device *dev)
{
    dev->be->refusals++;
    device_set(dev, BE_REFUSED, BACKEND_NEVER);
}

/** The limits that the directory says hold from now on. */
static void device_limit(struct backend_device *dev)
{
    if (PART_LIMITS && backend_ops_of(dev)->limit) {
        backend_ops_of(dev)->limit(backend_ctx_of(dev), dev->handle, &dev->limits);
    }
}

static void device_attach(struct backend_device *dev)
{
    struct backend *be = dev->be;
    enum status st = backend_ops_of(dev)->attach(backend_ctx_of(dev), &dev->request, &dev->handle);

    if (st != ST_OK) {
        device_log(LOG_WARN, dev, "refused (%s)", status_name(st));
        device_refuse(dev);
        return;
    }
    device_limit(dev);
    dev->attached = true;
    dev->announced = false;
    be->attached++;
    be->attaches++;
    device_set(dev, BE_ANNOUNCING, BACKEND_NEVER);
}

/** Does the toolstack want the device gone? A PV front end's device has these states also because
 * we wrote them. */
static bool device_is_closing(const struct backend_device *dev)
{
    bool closed = dev->found_state == XB_CLOSING || dev->found_state == XB_CLOSED;

    if (dev->attached && backend_is_pv(dev) && dev->found_state == dev->written) {
        closed = false;
    }
    return closed || !dev->found_online;
}

/** The directory was removed and made anew between two looks: somebody else's device now. */
static void device_begin_anew(struct backend_device *dev)
{
    device_detach(dev);
    dev->written = 0;
    device_set(dev, BE_READING, BACKEND_NEVER);
    fetch_start(dev, BE_FETCH_ALL);
}

/** The limits were read. */
static void device_relimit(struct backend_device *dev)
{
    dev->fetch = BE_FETCH_NONE;
    dev->relimit |= dev->again;
    dev->be->busy = true;
    if (dev->attached && !dev->again) {
        device_limit(dev);
    }
}

/** The directory was read: what does it mean in this state? */
static void device_looked(struct backend_device *dev)
{
    bool closing = device_is_closing(dev);

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
        key_refuse(dev, dev->missing - 1u, "is missing");
    }
    if (closing && dev->state == BE_CONNECTED && backend_is_pv(dev)) {
        dev->leaving = true;
        dev->be->busy = true;
        return;
    }
    if (closing && dev->state != BE_LINGER) {
        backend_device_close(dev);
        return;
    }
    switch (dev->state) {
    case BE_LINGER:
        dev->looks++;
        dev->deadline_ns = port_now_ns() + BACKEND_LINGER_NS;
        if (dev->found_state != XB_CLOSED) {
            device_set(dev, BE_REFUSED, BACKEND_NEVER); /* somebody was at it: look again */
            dev->changed = true;
        }
        break;
    case BE_READING:
        if (dev->bad) {
            device_refuse(dev);
        } else {
            device_attach(dev);
        }
        break;
    case BE_CONNECTED:
        if (dev->found_state == XB_INITIALISING) {
            device_begin_anew(dev);
        }
        dev->be->busy |= backend_is_pv(dev); /* its front end has waited for this look */
        break;
    case BE_REFUSED:
        if (!dev->bad && dev->found_state == XB_INITIALISING) {
            device_set(dev, BE_READING, BACKEND_NEVER);
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
        device_set(dev, BE_REFUSED, BACKEND_NEVER);
    }
}

/** A PV device whose state cannot be told to its front end is of no use to it. */
static bool device_is_mute(const struct backend_device *dev, bool written)
{
    return !written && !dev->changed && backend_is_pv(dev) &&
           (dev->state == BE_ANNOUNCING || dev->state == BE_CONNECTED);
}

void backend_device_tx_over(struct backend_device *dev, bool written)
{
    u64 now = port_now_ns();
    u8 state = dev->writing;

    CHECK(dev->be->tx_device == dev);
    dev->be->tx_device = NULL;
    dev->written = written ? state : dev->written;
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
    if (device_is_mute(dev, written)) {
        backend_device_close(dev);
        return;
    }
    switch (dev->state) {
    case BE_ANNOUNCING:
        if (written && !backend_is_pv(dev)) {
            device_log(LOG_INFO, dev, "ready at 0x%llx, interrupt %u",
                       (unsigned long long)dev->request.mmio_base, dev->request.irq);
        }
        device_set(dev, BE_CONNECTED, now + BACKEND_INITWAIT_NS);
        if (backend_is_pv(dev)) {
            backend_front_wrote(dev, state, now);
        }
        break;
    case BE_CONNECTED:
        dev->announced = true;
        device_set(dev, BE_CONNECTED, BACKEND_NEVER);
        if (backend_is_pv(dev)) {
            backend_front_wrote(dev, state, now);
        }
        break;
    case BE_CLOSING:
        if (written) {
            dev->looks = 0;
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
        if (!fetch_step(dev)) {
            return;
        }
        if (PART_LIMITS && dev->fetch == BE_FETCH_LIMITS) {
            device_relimit(dev);
        } else {
            device_looked(dev);
        }
        return;
    }
    if (dev->writing) {
        if (dev->tx_unsent) {
            backend_tx_resend(dev);
        }
        return;
    }
    switch (dev->state) {
    case BE_ANNOUNCING:
        backend_tx_start(dev, XB_INITWAIT);
        break;
    case BE_CONNECTED:
        if (dev->changed) {
            fetch_start(dev, BE_FETCH_CHECK);
            dev->be->busy = true;
        } else if (PART_LIMITS && dev->relimit) {
            fetch_start(dev, BE_FETCH_LIMITS);
            dev->be->busy = true;
        } else if (backend_is_pv(dev)) {
            backend_front_step(dev, now);
        } else if (!dev->announced && dev->deadline_ns <= now) {
            backend_tx_start(dev, XB_CONNECTED);
        }
        break;
    case BE_REFUSED:
        if (dev->changed) {
            fetch_start(dev, BE_FETCH_CHECK);
            dev->be->busy = true;
        }
        break;
    case BE_CLOSING:
        backend_tx_start(dev, XB_CLOSED);
        break;
    case BE_LINGER:
        if (dev->deadline_ns > now) {
            break;
        }
        dev->be->busy = true;
        if (dev->looks < BACKEND_LINGER_LOOKS) {
            fetch_start(dev, BE_FETCH_CHECK);
        } else {
            dev->changed = false;
            device_set(dev, BE_REMOVING, BACKEND_NEVER);
        }
        break;
    case BE_REMOVING:
        backend_tx_start(dev, XB_REMOVE);
        break;
    case BE_UNWATCHING:
        device_free(dev);
        break;
    default:
        break;
    }
}

/* --- the poll loop's view -------------------------------------------------------------------- */

void backend_serve_pv(struct backend *be, const struct backend_ops *ops, void *ctx)
{
    CHECK(ops->pair && ops->connect && ops->disconnect);
    be->pv_ops = ops;
    be->pv_ctx = ctx;
}

void backend_init(struct backend *be, struct xs *xs, const struct backend_ops *ops, void *ctx)
{
    memset(be, 0, sizeof(*be));
    be->xs = xs;
    be->ops = ops;
    be->ctx = ctx;
    be->busy = true;
    be->deadline_ns = BACKEND_NEVER;
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        be->device[i].be = be;
    }
}

/** Ask the guests of connected devices whether they live; a dead one's devices go. Of a PV front
 * end this only says that it closed its event channel, which one that lives does before it says so.
 */
static void backend_probe(struct backend *be, u64 now)
{
    be->probe_ns = now + BACKEND_PROBE_NS;
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state == BE_CONNECTED && dev->waiting == 0 && !dev->writing &&
            backend_ops_of(dev)->alive &&
            !backend_ops_of(dev)->alive(backend_ctx_of(dev), dev->handle)) {
            if (backend_is_pv(dev)) {
                backend_front_gone(dev);
                continue;
            }
            device_log(LOG_INFO, dev, "%s", "the guest is gone");
            backend_device_close(dev);
        }
    }
}

/** Nothing outstanding that would bring us back, yet not done: there was no room for a request. */
static bool device_is_stuck(const struct backend_device *dev)
{
    return dev->waiting == 0 && (dev->tx_unsent || dev->fetch != BE_FETCH_NONE ||
                                 dev->front_unsent || dev->state == BE_UNWATCHING);
}

static void deadline_update(struct backend *be, u64 now)
{
    u64 first = be->attached ? be->probe_ns : BACKEND_NEVER;

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
    if (!be->busy && be->deadline_ns == BACKEND_NEVER) {
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
        backend_scan_start(be);
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

void backend_renew(struct backend *be, const void *handle)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state == BE_CONNECTED && dev->handle == handle) {
            dev->renew = true;
            be->busy = true;
        }
    }
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
