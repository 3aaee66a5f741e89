/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_front.c - a PV front end's states and keys. See backend.h.
 *
 *   /local/domain/<domid>/device/vbd/<devid>/<key>
 *
 * The guest writes there, whatever and whenever it likes. Its state says only when to look; each
 * key is read once, checked, and used as it was read. One front end's keys are read at a time:
 * xenstored answers in order, so no guest can make another one wait.
 */
#include "drivers/xen/backend_parts.h"

#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

#define KEYS_FIXED 4 /* before those of the rings */
#define KEY_STATE  UINT32_MAX
#define ORDER_MAX  2 /* pages of a ring: 1 << order */

STATIC_CHECK(1 << ORDER_MAX == BACKEND_FRONT_PAGES, "every order has its pages");

void backend_front_path(const struct backend_device *dev, const char *leaf, char path[XS_PATH_MAX])
{
    (void)snprintf(path, XS_PATH_MAX, "/local/domain/%u/device/vbd/%u%s%s", dev->request.domid,
                   dev->request.devid, leaf ? "/" : "", leaf ? leaf : "");
}

/* --- the watch ---------------------------------------------------------------------------------
 */

static void front_event(void *ctx, const char *path)
{
    struct backend_device *dev = ctx;

    (void)path;
    dev->front_changed = true;
    dev->be->busy = true;
}

static void front_watch(struct backend_device *dev)
{
    char path[XS_PATH_MAX];
    enum status st;

    backend_front_path(dev, "state", path);
    st = xs_watch_add(dev->be->xs, path, front_event, dev);
    dev->front_unsent = st == ST_AGAIN;
    dev->front_watched = st != ST_AGAIN;
    if (st == ST_FULL) {
        device_log(LOG_ERROR, dev, "%s", "no watch is left for its front end (XS_WATCHES_MAX)");
    }
}

bool backend_front_unwatch(struct backend_device *dev)
{
    char path[XS_PATH_MAX];

    if (dev->front_watched) {
        backend_front_path(dev, "state", path);
        dev->front_watched = xs_watch_remove(dev->be->xs, path, front_event, dev) == ST_AGAIN;
    }
    return !dev->front_watched;
}

/* --- what the front end says -------------------------------------------------------------------
 */

/** The name of key i; NULL behind the last. */
static const char *front_key(const struct backend_front *front, u32 i, char name[32])
{
    static const char fixed[KEYS_FIXED][24] = {
        "protocol",
        "multi-queue-num-queues",
        "ring-page-order",
        "feature-persistent",
    };
    u32 per_ring = front->pages + 1;
    u32 ring = (i - KEYS_FIXED) / per_ring;
    u32 which = (i - KEYS_FIXED) % per_ring;
    int used = 0;

    if (i < KEYS_FIXED) {
        return fixed[i];
    }
    if (ring >= front->rings) {
        return NULL;
    }
    if (front->rings > 1) {
        used = snprintf(name, 32, "queue-%u/", ring);
    }
    if (which == front->pages) {
        (void)snprintf(name + used, 32 - (usize)used, "event-channel");
    } else if (front->numbered) {
        (void)snprintf(name + used, 32 - (usize)used, "ring-ref%u", which);
    } else {
        (void)snprintf(name + used, 32 - (usize)used, "ring-ref");
    }
    return name;
}

/** Note what key i says. False when it makes no sense. */
static bool front_take(struct backend_front *front, u32 i, const char *value)
{
    u32 per_ring = front->pages + 1;
    u64 number = 0;

    if (i == 0) {
        if (strlen(value) >= sizeof(front->protocol)) {
            return false;
        }
        memcpy(front->protocol, value, strlen(value) + 1);
        return true;
    }
    if (xs_parse_decimal(value, UINT32_MAX, &number) != ST_OK) {
        return false;
    }
    switch (i) {
    case 1:
        front->rings = number <= BACKEND_FRONT_RINGS ? (u32)number : 0;
        return front->rings > 0;
    case 2:
        front->numbered = true;
        front->pages = number <= ORDER_MAX ? 1u << number : 1;
        return number <= ORDER_MAX;
    case 3:
        front->persistent = number == 1;
        return number <= 1;
    default:
        i -= KEYS_FIXED;
        *(i % per_ring == front->pages ? &front->port[i / per_ring]
                                       : &front->ref[i / per_ring][i % per_ring]) = (u32)number;
        return true;
    }
}

static void key_answer(struct backend_device *dev, u32 i, const struct xs_reply *reply)
{
    struct backend_front *front = &dev->be->front;
    char value[XS_VALUE_MAX], name[32];
    bool good = false;

    if (reply->status == ST_TIMEOUT || reply->status == ST_AGAIN) {
        return; /* asked again */
    }
    if (reply->status == ST_NOENT) {
        good = i < KEYS_FIXED; /* these have defaults */
    } else if (reply->status == ST_OK &&
               xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) == ST_OK) {
        good = front_take(front, i, value);
    }
    if (!good) {
        if (log_limit_ok(&dev->front_log)) {
            device_log(LOG_WARN, dev, "the front end's key %s is missing or makes no sense",
                       front_key(front, i, name));
        }
        dev->front_bad = true;
    }
    dev->front_key++;
}

static void front_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct backend_device *dev = ctx;
    char value[8];
    u64 state = 0;

    backend_device_answered(dev);
    if (arg != KEY_STATE) {
        key_answer(dev, arg, reply);
        return;
    }
    if (reply->status == ST_TIMEOUT || reply->status == ST_AGAIN) {
        dev->front_changed = true;
        return;
    }
    if (reply->status == ST_OK &&
        (xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) != ST_OK ||
         xs_parse_decimal(value, UINT8_MAX, &state) != ST_OK)) {
        state = 0;
    }
    dev->front_found = (u8)state;
}

static void front_ask(struct backend_device *dev, const char *key, u32 arg)
{
    char path[XS_PATH_MAX];
    enum status st;

    backend_front_path(dev, key, path);
    st = xs_read(dev->be->xs, 0, path, front_answer, dev, arg);
    dev->waiting += st == ST_OK;
    dev->front_unsent = st == ST_AGAIN;
}

/* --- the machine -------------------------------------------------------------------------------
 */

static void front_set(struct backend_device *dev, enum front_state state, u64 deadline_ns)
{
    dev->front = state;
    dev->deadline_ns = deadline_ns;
    dev->be->busy = true;
}

/** Whoever waits for its turn to be asked gets it. */
static void fetch_end(struct backend_device *dev)
{
    if (dev->be->front_device == dev) {
        dev->be->front_device = NULL;
        dev->be->busy = true;
    }
}

static void fetch_begin(struct backend_device *dev)
{
    if (dev->be->front_device) {
        return;
    }
    dev->be->front_device = dev;
    dev->be->front = (struct backend_front){.rings = 1, .pages = 1};
    dev->front_key = 0;
    dev->front_bad = false;
    front_set(dev, FRONT_FETCH, BACKEND_NEVER);
}

/** Ask for the next key; or all are there. */
static void fetch_step(struct backend_device *dev)
{
    struct backend *be = dev->be;
    char name[32];
    const char *key = dev->front_bad ? NULL : front_key(&be->front, dev->front_key, name);
    bool good;

    if (key) {
        front_ask(dev, key, dev->front_key);
        return;
    }
    good = !dev->front_bad && be->pv_ops->connect(be->pv_ctx, dev->handle, &be->front) == ST_OK;
    fetch_end(dev);
    dev->front_told = !good;
    front_set(dev, FRONT_UP, BACKEND_NEVER);
    /* State 5 asks a front end that cannot be served to close. */
    dev->front_write = good ? XB_CONNECTED : XB_CLOSING;
}

static void wait_step(struct backend_device *dev, u64 now)
{
    if (dev->leaving) {
        backend_device_close(dev);
    } else if (dev->front_found == XB_INITIALISED || dev->front_found == XB_CONNECTED) {
        if (now >= dev->deadline_ns || dev->deadline_ns == BACKEND_NEVER) {
            dev->deadline_ns = BACKEND_NEVER;
            fetch_begin(dev);
        }
    } else if (now >= dev->deadline_ns) {
        dev->deadline_ns = BACKEND_NEVER;
    }
}

static void up_step(struct backend_device *dev)
{
    switch (dev->front_found) {
    case XB_INITIALISED:
    case XB_CONNECTED:
        if (dev->renew && !dev->leaving && !dev->front_told) {
            dev->renew = false;
            dev->front_write = XB_CONNECTED;
        }
        break;
    case XB_CLOSING:
        if (!dev->leaving && !dev->front_told) {
            dev->front_told = true;
            dev->front_write = XB_CLOSING;
        }
        break;
    default:
        front_set(dev, FRONT_STOP, BACKEND_NEVER);
        break;
    }
}

static void stop_step(struct backend_device *dev, u64 now)
{
    struct backend *be = dev->be;

    if (!be->pv_ops->disconnect(be->pv_ctx, dev->handle)) {
        dev->deadline_ns = now + BACKEND_STOP_NS;
    } else if (dev->leaving) {
        backend_device_close(dev);
    } else {
        dev->deadline_ns = BACKEND_NEVER;
        dev->front_write = XB_CLOSED;
    }
}

static void front_act(struct backend_device *dev, u64 now)
{
    switch (dev->front) {
    case FRONT_WAIT:
        wait_step(dev, now);
        break;
    case FRONT_FETCH:
        fetch_step(dev);
        break;
    case FRONT_UP:
        up_step(dev);
        break;
    case FRONT_STOP:
        stop_step(dev, now);
        break;
    case FRONT_CLOSED:
        if (dev->leaving) {
            backend_device_close(dev);
        } else if (dev->front_found == XB_INITIALISING) {
            dev->front_write = XB_INITWAIT;
        }
        break;
    }
    dev->be->busy |= dev->front_write != 0;
}

void backend_front_step(struct backend_device *dev, u64 now)
{
    if (dev->waiting > 0 || dev->be->tx_device == dev) {
        return;
    }
    if (dev->front_write) {
        backend_tx_start(dev, dev->front_write); /* again and again until backend_front_wrote() */
        return;
    }
    dev->front_unsent = false;
    if (!dev->front_watched) {
        front_watch(dev);
        return;
    }
    if (dev->front_changed && dev->front != FRONT_FETCH) {
        dev->front_changed = false;
        front_ask(dev, "state", KEY_STATE);
        dev->front_changed = dev->front_unsent;
        return;
    }
    front_act(dev, now);
}

void backend_front_wrote(struct backend_device *dev, u8 state, u64 now)
{
    dev->front_changed = true;
    dev->front_write = 0;
    switch (state) {
    case XB_INITWAIT:
        front_set(dev, FRONT_WAIT, now + BACKEND_HOLD_NS);
        break;
    case XB_CLOSED:
        front_set(dev, FRONT_CLOSED, BACKEND_NEVER);
        break;
    default:
        front_set(dev, FRONT_UP, BACKEND_NEVER);
        break;
    }
}

void backend_front_gone(struct backend_device *dev)
{
    if (dev->front == FRONT_UP) {
        front_set(dev, FRONT_STOP, BACKEND_NEVER);
    }
}

void backend_front_forget(struct backend_device *dev)
{
    fetch_end(dev);
    dev->front = FRONT_WAIT;
    dev->front_found = 0;
    dev->front_write = 0;
    dev->front_unsent = false;
    dev->leaving = false;
    dev->renew = false;
}
