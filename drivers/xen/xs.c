/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xs.c - xenstore client. See xs.h.
 */
#include "drivers/xen/xs.h"

#include <stdio.h>
#include <string.h>

#include "start/base/check.h"
#include "start/base/log.h"
#include "start/base/ring.h"
#include "start/port.h"

#include "drivers/xen/evtchn.h"
#include "drivers/xen/xen_abi.h"

#define RING_BYTES XENSTORE_RING_SIZE

STATIC_CHECK((XS_OUT_BYTES & (XS_OUT_BYTES - 1)) == 0, "ring indices are masked");

static struct xenstore_domain_interface *page_of(const struct xs *xs)
{
    return xs->page;
}

void xs_init(struct xs *xs, void *page, u32 port)
{
    memset(xs, 0, sizeof(*xs));
    xs->page = page;
    xs->port = port;
    /* Whoever ran here before us (a boot loader) left the indices where they are. */
    xs->rsp_cons = load_u32(&page_of(xs)->rsp_cons);
    xs->req_prod = load_u32(&page_of(xs)->req_prod);
    evtchn_mask(port);
}

/* --- requests ----------------------------------------------------------------------------------
 */

static struct xs_slot *slot_free(struct xs *xs)
{
    for (u32 i = 0; i < XS_SLOTS; i++) {
        if (xs->slot[i].req_id == 0) {
            return &xs->slot[i];
        }
    }
    return NULL;
}

static enum status request(struct xs *xs, enum xs_type type, u32 tx, const char *first,
                           const char *second, struct xs_slot proto)
{
    static struct xs_message msg;
    struct xs_slot *slot = slot_free(xs);
    u32 req_id = xs->next_id + 1 ? xs->next_id + 1 : 1;
    enum status st;

    if (xs->broken) {
        return ST_IO;
    }
    if (!slot) {
        return ST_AGAIN;
    }
    st = xs_encode(&msg, type, req_id, tx, first, second);
    if (st != ST_OK) {
        return st;
    }
    if (msg.bytes > ring_room(xs->out_prod, xs->out_cons, XS_OUT_BYTES)) {
        return ST_AGAIN;
    }
    ring_put(xs->out, XS_OUT_BYTES, xs->out_prod, msg.data, msg.bytes);
    xs->out_prod += msg.bytes;
    *slot = proto;
    slot->req_id = req_id;
    slot->type = type;
    slot->deadline_ns = port_now_ns() + XS_TIMEOUT_NS;
    xs->next_id = req_id;
    xs->slots_used++;
    xs->requests++;
    return ST_OK;
}

enum status xs_read(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx, u32 arg)
{
    return request(xs, XST_READ, tx, path, NULL,
                   (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

enum status xs_write(struct xs *xs, u32 tx, const char *path, const char *value, xs_reply_fn fn,
                     void *ctx, u32 arg)
{
    return request(xs, XST_WRITE, tx, path, value,
                   (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

enum status xs_directory(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx,
                         u32 arg)
{
    return request(xs, XST_DIRECTORY, tx, path, NULL,
                   (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

enum status xs_rm(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx, u32 arg)
{
    return request(xs, XST_RM, tx, path, NULL, (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

/** Transactions being started, and those whose start was never answered. */
static u32 tx_starts(const struct xs *xs)
{
    u32 count = 0;

    for (u32 i = 0; i < XS_SLOTS; i++) {
        count += xs->slot[i].req_id && xs->slot[i].type == XST_TX_START;
    }
    for (u32 i = 0; i < XS_ORPHANS_MAX; i++) {
        count += xs->orphan[i].req_id || xs->orphan[i].tx;
    }
    return count;
}

enum status xs_tx_start(struct xs *xs, xs_reply_fn fn, void *ctx, u32 arg)
{
    if (tx_starts(xs) >= XS_ORPHANS_MAX) {
        return xs->broken ? ST_IO : ST_AGAIN;
    }
    return request(xs, XST_TX_START, 0, "", NULL,
                   (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

enum status xs_tx_end(struct xs *xs, u32 tx, bool commit, xs_reply_fn fn, void *ctx, u32 arg)
{
    return request(xs, XST_TX_END, tx, commit ? "T" : "F", NULL,
                   (struct xs_slot){.fn = fn, .ctx = ctx, .arg = arg});
}

static void watch_placed(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct xs *xs = ctx;

    if (reply->status != ST_OK) {
        log_error("xenstore: a watch is refused (%s): what changes there is not seen; xenstored's "
                  "--watch-nb says how many we may have",
                  status_name(reply->status));
        xs->watch[arg].fn = NULL;
    }
}

enum status xs_watch_add(struct xs *xs, const char *path, xs_watch_fn fn, void *ctx)
{
    char token[8];
    u32 i = 0;
    enum status st;

    while (i < XS_WATCHES_MAX && xs->watch[i].fn) {
        i++;
    }
    if (i == XS_WATCHES_MAX) {
        return ST_FULL;
    }
    (void)snprintf(token, sizeof(token), "w%u", i);
    st = request(xs, XST_WATCH, 0, path, token,
                 (struct xs_slot){.fn = watch_placed, .ctx = xs, .arg = i});
    if (st == ST_OK) {
        xs->watch[i] = (struct xs_watch){.fn = fn, .ctx = ctx};
    }
    return st;
}

enum status xs_watch_remove(struct xs *xs, const char *path, xs_watch_fn fn, void *ctx)
{
    char token[8];
    enum status st;
    u32 i = 0;

    while (i < XS_WATCHES_MAX && (xs->watch[i].fn != fn || xs->watch[i].ctx != ctx)) {
        i++;
    }
    if (i == XS_WATCHES_MAX) {
        return ST_OK; /* it was refused */
    }
    (void)snprintf(token, sizeof(token), "w%u", i);
    st = request(xs, XST_UNWATCH, 0, path, token, (struct xs_slot){0});
    if (st == ST_OK) {
        xs->watch[i].fn = NULL;
    }
    return st;
}

u32 xs_reply_tx(const struct xs_reply *reply)
{
    char text[16];
    u64 tx;

    if (reply->status != ST_OK ||
        xs_decode_value(reply->data, reply->bytes, text, sizeof(text)) != ST_OK ||
        xs_parse_decimal(text, UINT32_MAX, &tx) != ST_OK) {
        return 0;
    }
    return (u32)tx;
}

/* --- answers -----------------------------------------------------------------------------------
 */

/** The slot is free before the callback runs, which may use it for its next request. */
static void slot_finish(struct xs *xs, struct xs_slot *slot, const struct xs_reply *reply)
{
    struct xs_slot done = *slot;

    *slot = (struct xs_slot){0};
    xs->slots_used--;
    if (done.fn) {
        done.fn(done.ctx, done.arg, reply);
    }
}

static void client_break(struct xs *xs, const char *why)
{
    log_error("xenstore: %s: no devices come or go from now on, those that are there are served on",
              why);
    xs->broken = true;
    for (u32 i = 0; i < XS_SLOTS; i++) {
        if (xs->slot[i].req_id) {
            slot_finish(xs, &xs->slot[i], &(struct xs_reply){.status = ST_IO});
        }
    }
}

static void event_take(struct xs *xs, const u8 *payload, u32 bytes)
{
    const char *path;
    const char *token;
    u64 i;

    xs->events++;
    if (xs_decode_event(payload, bytes, &path, &token) != ST_OK || token[0] != 'w' ||
        xs_parse_decimal(token + 1, XS_WATCHES_MAX - 1, &i) != ST_OK || !xs->watch[i].fn) {
        xs->strays++;
        return;
    }
    xs->watch[i].fn(xs->watch[i].ctx, path);
}

/** An answer to nobody: perhaps to the start of a transaction that was given up. */
static void stray_take(struct xs *xs, const struct xs_header *header, const struct xs_reply *reply)
{
    xs->strays++;
    for (u32 i = 0; i < XS_ORPHANS_MAX && header->req_id; i++) {
        if (xs->orphan[i].req_id == header->req_id) {
            xs->orphan[i].req_id = 0;
            xs->orphan[i].tx = header->type == XST_TX_START ? xs_reply_tx(reply) : 0;
        }
    }
}

static void orphans_close(struct xs *xs)
{
    for (u32 i = 0; i < XS_ORPHANS_MAX; i++) {
        if (xs->orphan[i].tx && xs_tx_end(xs, xs->orphan[i].tx, false, NULL, NULL, 0) == ST_OK) {
            xs->orphan[i].tx = 0;
        }
    }
}

static void reply_take(struct xs *xs, const struct xs_header *header, const u8 *payload)
{
    struct xs_reply reply = {.status = ST_OK, .data = payload, .bytes = header->bytes};
    struct xs_slot *slot = NULL;

    for (u32 i = 0; i < XS_SLOTS && header->req_id; i++) {
        if (xs->slot[i].req_id == header->req_id) {
            slot = &xs->slot[i];
        }
    }
    if (!slot) {
        stray_take(xs, header, &reply);
        return;
    }
    xs->replies++;
    if (header->type == XST_ERROR) {
        reply.status = xs_decode_error(payload, header->bytes);
    } else if (header->type != slot->type) {
        reply.status = ST_PROTO;
    }
    if (reply.status != ST_OK) {
        reply.bytes = 0;
    }
    slot_finish(xs, slot, &reply);
}

/** Bytes still missing of the message in xs->in; 0: it is complete. ST_PROTO: its length is
 * nonsense. */
static enum status message_missing(const struct xs *xs, struct xs_header *header, u32 *missing)
{
    enum status st;

    if (xs->in_bytes < XS_HEADER_BYTES) {
        *missing = XS_HEADER_BYTES - xs->in_bytes;
        return ST_OK;
    }
    st = xs_decode_header(xs->in, header);
    if (st == ST_OK) {
        *missing = XS_HEADER_BYTES + header->bytes - xs->in_bytes;
    }
    return st;
}

/** Take messages out of the ring, up to budget. Returns their number. */
static u32 input(struct xs *xs, u32 budget)
{
    struct xenstore_domain_interface *page = page_of(xs);
    u32 prod = load_acquire_u32(&page->rsp_prod);
    u32 cons = xs->rsp_cons;
    u32 messages = 0;

    if (prod == cons) {
        return 0;
    }
    if (!ring_sane(prod, cons, RING_BYTES)) {
        client_break(xs, "the answer ring's index is garbage");
        return 1;
    }
    while (messages < budget && !xs->broken) {
        struct xs_header header = {0};
        u32 missing;

        if (message_missing(xs, &header, &missing) != ST_OK) {
            client_break(xs, "an answer is longer than the protocol allows");
            break;
        }
        if (missing == 0 && xs->in_bytes >= XS_HEADER_BYTES) {
            xs->in_bytes = 0;
            messages++;
            if (header.type == XST_WATCH_EVENT) {
                event_take(xs, xs->in + XS_HEADER_BYTES, header.bytes);
            } else {
                reply_take(xs, &header, xs->in + XS_HEADER_BYTES);
            }
            continue;
        }
        if (missing > ring_used(prod, cons)) {
            missing = ring_used(prod, cons);
        }
        if (missing == 0) {
            break;
        }
        ring_get(xs->in + xs->in_bytes, (const u8 *)page->rsp, RING_BYTES, cons, missing);
        xs->in_bytes += missing;
        cons += missing;
    }
    if (cons != xs->rsp_cons) {
        xs->rsp_cons = cons;
        /* Release: the bytes are read before xenstored may overwrite them. */
        store_release_u32(&page->rsp_cons, cons);
        full_barrier();
        (void)evtchn_send(xs->port);
    }
    return messages + 1;
}

/** Room in the request ring; 0 when its index is garbage, which breaks the client. */
static u32 output_room(struct xs *xs)
{
    u32 cons = load_acquire_u32(&page_of(xs)->req_cons);

    if (!ring_sane(xs->req_prod, cons, RING_BYTES)) {
        client_break(xs, "the request ring's index is garbage");
        return 0;
    }
    return ring_room(xs->req_prod, cons, RING_BYTES);
}

/** Move waiting requests into the ring. Returns 1 when anything moved. */
static u32 output(struct xs *xs)
{
    struct xenstore_domain_interface *page = page_of(xs);
    u32 bytes = ring_used(xs->out_prod, xs->out_cons);
    u32 room = bytes ? output_room(xs) : 0;

    bytes = bytes < room ? bytes : room;
    if (bytes == 0) {
        return 0;
    }
    for (u32 i = 0; i < bytes; i++) {
        u8 byte = xs->out[(xs->out_cons + i) & (XS_OUT_BYTES - 1)];

        ring_put((u8 *)page->req, RING_BYTES, xs->req_prod + i, &byte, 1);
    }
    xs->out_cons += bytes;
    xs->req_prod += bytes;
    /* Release: the bytes are there before the index says so. */
    store_release_u32(&page->req_prod, xs->req_prod);
    full_barrier();
    (void)evtchn_send(xs->port);
    return 1;
}

/** A transaction's start timed out: xs_tx_start() saw to it that there is room to remember it. */
static void orphan_add(struct xs *xs, u32 req_id)
{
    u32 i = 0;

    while (i < XS_ORPHANS_MAX && (xs->orphan[i].req_id || xs->orphan[i].tx)) {
        i++;
    }
    CHECK(i < XS_ORPHANS_MAX);
    xs->orphan[i].req_id = req_id;
}

/** End requests whose time is up. Returns their number. */
static u32 expire(struct xs *xs)
{
    u64 now;
    u32 count = 0;

    if (xs->slots_used == 0) {
        return 0;
    }
    now = port_now_ns();
    for (u32 i = 0; i < XS_SLOTS; i++) {
        if (xs->slot[i].req_id && xs->slot[i].deadline_ns <= now) {
            xs->timeouts++;
            count++;
            if (xs->slot[i].type == XST_TX_START) {
                orphan_add(xs, xs->slot[i].req_id);
            }
            slot_finish(xs, &xs->slot[i], &(struct xs_reply){.status = ST_TIMEOUT});
        }
    }
    return count;
}

/* --- the poll loop's view ------------------------------------------------------------------------
 */

u32 xs_poll(void *ctx, u32 budget)
{
    struct xs *xs = ctx;
    u32 work;

    if (xs->broken) {
        return 0;
    }
    work = input(xs, budget);
    work += expire(xs);
    orphans_close(xs);
    if (!xs->broken) {
        work += output(xs);
    }
    return work;
}

bool xs_arm(void *ctx)
{
    struct xs *xs = ctx;

    if (xs->broken) {
        return false;
    }
    if (evtchn_unmask_take(xs->port)) {
        return true;
    }
    /* Partner: xenstored moves an index, then sends the event. */
    full_barrier();
    return load_u32(&page_of(xs)->rsp_prod) != xs->rsp_cons ||
           (xs->out_prod != xs->out_cons && output_room(xs) > 0);
}

void xs_disarm(void *ctx)
{
    struct xs *xs = ctx;

    evtchn_mask(xs->port);
}

u64 xs_deadline_ns(void *ctx)
{
    const struct xs *xs = ctx;
    u64 first = UINT64_MAX;

    for (u32 i = 0; i < XS_SLOTS && xs->slots_used; i++) {
        if (xs->slot[i].req_id && xs->slot[i].deadline_ns < first) {
            first = xs->slot[i].deadline_ns;
        }
    }
    return first;
}
