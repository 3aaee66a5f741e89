/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blkif.h - Xen's PV block ring as a front end of a bdev.  [BLKIF] xen/io/blkif.h  plane: data
 *
 *   front end:  entries up to req_prod, rsp_event        (hostile, read each word once)
 *   we write:   answers over entries that we have read, rsp_prod, req_event
 *
 * Indices run freely modulo 2^32. An entry is request, then answer; so answers may be out of order
 * and never more than what was read. Data lies in pages that the front end grants (blk/grants.h).
 * They are mapped, once for all or for each request; or, when the medium is memory and the grants
 * are not for ever, Xen copies between both, and nothing is mapped.
 *
 *   blkif_poll:  read an entry -> check -> map its pages -> bdev_submit -> done list -> answer
 *                                       -> note what is to be copied  ... copy -> answer
 *                ... and once per batch: the copies, rsp_prod, an event if the front end asked
 *
 * A request that is wrong is answered with an error. A ring whose indices make no sense is broken:
 * nothing more is read from it or written to it until the front end connects anew.
 */
#pragma once

#include "blk/bdev.h"
#include "blk/blkif_wire.h"
#include "blk/grants.h"
#include "blk/latency.h"
#include "start/base/log.h"

#define BLKIF_INFO_READ_ONLY 4              /* in the key `info` */
#define BLKIF_QUEUES_MAX     4              /* rings of one disk: multi-queue-max-queues */
#define BLKIF_SEG_MAX        GRANT_MAPS_MAX /* feature-max-indirect-segments: 128 KiB */

struct blkif;

struct blkif_ring {
    struct blkif *bi;
    u8 *page; /* NULL: not connected */
    enum blkif_abi abi;
    u32 entries;
    u32 req_cons; /* next request to read */
    u32 rsp_next; /* next answer to write */
    u32 rsp_prod; /* answers that the front end was shown */
    bool broken;
};

struct blkif_req {
    struct blk_req blk;
    struct blkif *bi; /* NULL: the slot is free */
    struct blkif_ring *ring;
    u64 id;
    u8 op;               /* of the answer */
    u8 steps, step;      /* a barrier is flush, write, flush */
    enum blk_op todo[3]; /* the steps */
    u64 taken_ns;        /* the turn that took it out of its ring */
    u64 sectors;         /* of the step that is no flush */
    u64 left;            /* of those, what the medium was not given yet */
    u32 maps;
    struct grant_map map[BLKIF_SEG_MAX];
    struct span span[BLKIF_SEG_MAX];
    struct blkif_req *next_free;
};

/** Requests in flight over all front ends of one poller. */
struct blkif_pool {
    struct blkif_req *free;
    u32 in_flight;
    u8 *seg_page; /* a page of memory for segments that are copied; NULL: they are mapped */
    u32 copies;   /* of the batch that is being gathered: all of one front end */
    struct grant_copy copy[GRANT_COPIES_MAX];
    struct blkif_req *copy_of[GRANT_COPIES_MAX];
    struct blkif_req slot[REQUESTS_MAX];
};

struct blkif {
    struct bdev *bdev;
    struct blkif_pool *pool;
    struct grants grants;
    void (*notify)(void *ctx, u32 ring); /* the event of a ring */
    void *notify_ctx;
    const char *name; /* for messages */
    bool read_only;
    bool no_discard; /* it was not offered */
    bool copying;    /* data is copied by Xen where the medium is memory */
    bool barrier;    /* one is under way: nothing else is read */
    struct blkif_ring ring[BLKIF_QUEUES_MAX];
    u32 ring_next; /* round robin start */
    u32 in_flight;
    u64 turn_ns; /* when this turn found its first request; 0: it found none yet */
    struct blk_done done;
    struct log_limit log;
    /* counters since blkif_init() */
    u64 requests, reads, writes, bytes_read, bytes_written, flushes, discards, batches, notifies;
    u64 errors_guest, errors_medium, no_slot, no_map;
    u64 copies; /* pieces that Xen copied */
    struct latency latency;
};

struct blkif_init {
    struct bdev *bdev;
    struct blkif_pool *pool;
    struct grants grants;
    void (*notify)(void *ctx, u32 ring);
    void *notify_ctx;
    const char *name; /* stays valid */
    bool read_only;   /* also when the medium is not */
    bool no_discard;  /* also when the medium has it */
};

/** seg_page: a page of memory whose address is its physical one, or NULL. */
void blkif_pool_init(struct blkif_pool *pool, u8 *seg_page);
void blkif_init(struct blkif *bi, const struct blkif_init *init);

/** Before rings are connected: the front end uses the same grants again and again, so that pages
 * are mapped and not copied. */
void blkif_grants_stay(struct blkif *bi, bool stay);

/**
 * Serve ring idx, whose pages are mapped one behind the other: one that was never connected, or
 * after blkif_shutdown() was true. Goes on where its answers end, as after a suspend. ST_OK;
 * ST_GUEST: its indices make no sense, and it is not served.
 */
enum status blkif_connect(struct blkif *bi, u32 idx, enum blkif_abi abi, u8 *page, u32 pages);

/** Complete what the medium finished, then take at most budget requests. Returns the work done. */
u32 blkif_poll(struct blkif *bi, u32 budget);

/** Ask for events. True when there is work already. */
bool blkif_arm(struct blkif *bi);

/**
 * The front end or the disk goes. Stops at once; nothing is written to the rings any more. True
 * when the medium has let go of every request and no page is mapped: call (and poll the bdev) until
 * then. The rings may be unmapped after the first call.
 */
bool blkif_shutdown(struct blkif *bi);
