/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xs.h - xenstore client: asks, and is called back.                               plane: control
 *
 *   page (shared):  req[1024] req_prod -->  xenstored        we own req_prod and rsp_cons
 *                   rsp[1024] <-- rsp_prod  xenstored        its indices are checked at every look
 *
 * Nothing here waits. Requests take one of XS_SLOTS slots until the answer or XS_TIMEOUT_NS; what
 * does not fit into the ring yet waits in an outgoing buffer. Every accepted request calls back
 * exactly once, from xs_poll(), never from inside the call that made it. Watches cost no memory
 * however often they fire.
 *
 * Indices further apart than the ring is long, or a length above the protocol's: the client is
 * broken for good, says so once, ends all requests with ST_IO, and the disks that are served go on.
 */
#pragma once

#include "drivers/xen/xs_wire.h"

#define XS_SLOTS       32                /* requests awaiting their answer */
#define XS_WATCHES_MAX (4 + DEVICES_MAX) /* one for each PV front end; xenstored allows 128 */
#define XS_ORPHANS_MAX 8                 /* transactions whose start timed out */
#define XS_OUT_BYTES   8192              /* requests waiting for room in the ring, power of two */

/** An answer. status: ST_OK, ST_NOENT, ST_ACCES, ST_AGAIN (transaction must be repeated), ST_FULL
 * (quota), ST_TIMEOUT, ST_PROTO, ST_IO. data is valid during the callback only, and not
 * NUL-terminated. */
struct xs_reply {
    enum status status;
    const u8 *data;
    u32 bytes;
};

typedef void (*xs_reply_fn)(void *ctx, u32 arg, const struct xs_reply *reply);
/** path is what changed, relative when the watch was; untrusted text. The first call comes at once,
 * as xenstored confirms every new watch with an event: treat it as "look". */
typedef void (*xs_watch_fn)(void *ctx, const char *path);

struct xs_slot {
    u32 req_id; /* 0: free */
    u32 type;
    u64 deadline_ns;
    xs_reply_fn fn;
    void *ctx;
    u32 arg;
};

/** A transaction whose start timed out. When it is answered after all it is closed: xenstored
 * allows a domain few. */
struct xs_orphan {
    u32 req_id; /* the start's; 0: answered */
    u32 tx;     /* to be closed; 0: none */
};

struct xs_watch {
    xs_watch_fn fn; /* NULL: free */
    void *ctx;
};

struct xs {
    void *page; /* struct xenstore_domain_interface */
    u32 port;
    bool broken;
    u32 next_id;
    u32 rsp_cons, req_prod; /* ours: what we wrote last, never read back */
    struct xs_slot slot[XS_SLOTS];
    u32 slots_used;
    struct xs_orphan orphan[XS_ORPHANS_MAX];
    struct xs_watch watch[XS_WATCHES_MAX];
    u8 out[XS_OUT_BYTES];
    u32 out_prod, out_cons;
    u8 in[XS_HEADER_BYTES + XS_PAYLOAD_MAX + 1];
    u32 in_bytes;
    u64 requests, replies, events, timeouts, strays; /* counters since start */
};

/** page: the mapped frame of XEN_PARAM_STORE_PFN; port: XEN_PARAM_STORE_EVTCHN. */
void xs_init(struct xs *xs, void *page, u32 port);

/* Requests. ST_OK: accepted, fn will be called once. ST_AGAIN: no slot or no room, try after
 * xs_poll(). ST_INVAL, ST_RANGE: bad text. ST_IO: broken. tx is 0 outside a transaction. fn may be
 * NULL. */
enum status xs_read(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx, u32 arg);
enum status xs_write(struct xs *xs, u32 tx, const char *path, const char *value, xs_reply_fn fn,
                     void *ctx, u32 arg);
enum status xs_directory(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx,
                         u32 arg);
enum status xs_rm(struct xs *xs, u32 tx, const char *path, xs_reply_fn fn, void *ctx, u32 arg);
/** The reply's data is the transaction's number in decimal: xs_reply_tx(). ST_AGAIN also while
 *  XS_ORPHANS_MAX earlier ones have no answer. */
enum status xs_tx_start(struct xs *xs, xs_reply_fn fn, void *ctx, u32 arg);
enum status xs_tx_end(struct xs *xs, u32 tx, bool commit, xs_reply_fn fn, void *ctx, u32 arg);
/** Watch path, relative or absolute, and everything below it. Also ST_FULL. */
enum status xs_watch_add(struct xs *xs, const char *path, xs_watch_fn fn, void *ctx);

/**
 * End the watch of fn and ctx on path. ST_OK: fn is not called any more, but perhaps for a watch
 * that takes its place: "look" is all that a call means. ST_AGAIN: as for a request.
 */
enum status xs_watch_remove(struct xs *xs, const char *path, xs_watch_fn fn, void *ctx);

/** Transaction number of a reply to xs_tx_start(); 0 when it makes no sense. */
u32 xs_reply_tx(const struct xs_reply *reply);

/* For start/poll.h; ctx is the struct xs. */
u32 xs_poll(void *ctx, u32 budget);
bool xs_arm(void *ctx);
void xs_disarm(void *ctx);
u64 xs_deadline_ns(void *ctx);
