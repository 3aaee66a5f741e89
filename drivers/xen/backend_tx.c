/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_tx.c - writing a state. See backend_parts.h.
 *
 * start -> read state -> write what goes with the new state -> write state (or remove the
 * directory) -> commit; each answer sends the next. What is read must be what we left there, else
 * somebody else was at it and the transaction ends without commit.
 */
#include "drivers/xen/backend_parts.h"

#include <stdio.h>

enum tx_step { TX_START, TX_READ, TX_PAIRS, TX_WRITE, TX_COMMIT, TX_ABORT };

static void tx_answer(void *ctx, u32 step, const struct xs_reply *reply);

/** The key that is to be written next. False: there is none, or none left. */
static bool pair_next(const struct backend_device *dev, struct backend_pair *pair)
{
    return backend_is_pv(dev) && dev->attached &&
           (dev->writing == XB_INITWAIT || dev->writing == XB_CONNECTED) &&
           dev->be->pv_ops->pair(dev->be->pv_ctx, dev->handle, dev->writing == XB_CONNECTED,
                                 dev->tx_pair, pair);
}

static enum status tx_request(struct backend_device *dev, enum tx_step step)
{
    struct xs *xs = dev->be->xs;
    struct backend_pair pair;
    char path[XS_PATH_MAX];
    char value[4];

    backend_device_path(dev, "state", path);
    switch (step) {
    case TX_START:
        return xs_tx_start(xs, tx_answer, dev, step);
    case TX_READ:
        return xs_read(xs, dev->tx, path, tx_answer, dev, step);
    case TX_PAIRS:
        (void)pair_next(dev, &pair); /* tx_send() has asked */
        backend_device_path(dev, pair.name, path);
        return xs_write(xs, dev->tx, path, pair.value, tx_answer, dev, step);
    case TX_WRITE:
        if (dev->writing == XB_REMOVE) {
            backend_device_path(dev, NULL, path);
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
    struct backend_pair pair;
    enum status st;

    if (step == TX_PAIRS && !pair_next(dev, &pair)) {
        step = TX_WRITE;
    }
    st = tx_request(dev, step);
    dev->tx_step = (u8)step;
    dev->tx_unsent = st == ST_AGAIN;
    if (st == ST_OK) {
        dev->waiting++;
    } else if (st != ST_AGAIN) {
        dev->tries = BACKEND_TX_TRIES; /* xenstore is broken: it will not get better */
        backend_device_tx_over(dev, false);
    }
}

void backend_tx_resend(struct backend_device *dev)
{
    tx_send(dev, (enum tx_step)dev->tx_step);
}

void backend_tx_start(struct backend_device *dev, u8 state)
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
static bool tx_may_follow(const struct backend_device *dev, const struct xs_reply *reply)
{
    char value[8];
    u64 state;

    if (xs_decode_value(reply->data, reply->bytes, value, sizeof(value)) != ST_OK ||
        xs_parse_decimal(value, UINT8_MAX, &state) != ST_OK) {
        return false;
    }
    if (backend_is_pv(dev) && dev->written && dev->state == BE_CONNECTED) {
        return state == dev->written;
    }
    switch (dev->writing) {
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

    backend_device_answered(dev);
    if (step == TX_COMMIT || step == TX_ABORT) {
        backend_device_tx_over(dev, step == TX_COMMIT && reply->status == ST_OK);
        return;
    }
    if (step == TX_START) {
        dev->tx = xs_reply_tx(reply);
        dev->tx_pair = 0;
        if (dev->tx == 0) {
            backend_device_tx_over(dev, false);
            return;
        }
    }
    if (reply->status == ST_OK && step == TX_PAIRS) {
        dev->tx_pair++;
        tx_send(dev, TX_PAIRS);
        return;
    }
    if (reply->status == ST_OK && (step != TX_READ || tx_may_follow(dev, reply))) {
        tx_send(dev, (enum tx_step)(step + 1));
        return;
    }
    if (step == TX_READ && (reply->status == ST_OK || reply->status == ST_NOENT)) {
        dev->changed = true;
        dev->tries = BACKEND_TX_TRIES;
    } else if (step == TX_PAIRS && reply->status == ST_FULL) {
        device_log(LOG_ERROR, dev, "%s",
                   "xenstored allows this domain no more nodes: raise its quota in Dom0 "
                   "(xenstore-control quota set nodes 8000; 25 a PV disk)");
        dev->tries = BACKEND_TX_TRIES;
    } else if (reply->status != ST_TIMEOUT && reply->status != ST_AGAIN) {
        device_log(LOG_ERROR, dev, "the directory cannot be written: %s",
                   status_name(reply->status));
        dev->tries = BACKEND_TX_TRIES;
    }
    tx_send(dev, TX_ABORT);
}
