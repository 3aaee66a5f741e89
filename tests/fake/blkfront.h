/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blkfront.h - a PV block front end for tests: rings in memory, pages that it grants or revokes.
 *
 * A grant reference is the number of a page. What is mapped is counted, and a page mapped for
 * reading is handed out from a copy, so that a write of the engine to it shows as a lost write.
 */
#pragma once

#include "blk/blkif.h"

#include <xen/io/blkif.h>

#define FRONT_PAGES        64
#define FRONT_DISK_SECTORS 256u

struct blkfront {
    struct blkif bi;
    struct blkif_pool pool;
    struct bdev *bdev;
    u8 ring[BLKIF_QUEUES_MAX][BLKIF_RING_PAGES_MAX * PAGE_BYTES] __attribute__((aligned(4096)));
    enum blkif_abi abi;
    u32 entries;
    u32 prod[BLKIF_QUEUES_MAX]; /* requests put */
    u32 cons[BLKIF_QUEUES_MAX]; /* answers taken */
    u8 page[FRONT_PAGES][PAGE_BYTES];
    u8 copy[FRONT_PAGES][PAGE_BYTES];
    u8 seg_page[PAGE_BYTES]; /* the engine's */
    bool revoked[FRONT_PAGES];
    /* knobs and what was seen */
    u32 map_again; /* this many calls of map have no room */
    u32 mapped;    /* pages mapped now */
    u32 map_calls;
    u32 copy_calls;
    u32 events[BLKIF_QUEUES_MAX];
};

struct blkfront_answer {
    u64 id;
    u8 op;
    s16 status;
};

/** One ring of so many pages, connected; its grants stay until blkif_grants_stay() says otherwise.
 */
void blkfront_start(struct blkfront *front, struct bdev *bdev, enum blkif_abi abi, u32 pages);

/** The bytes of the next entry of a ring, for the caller to fill: zeroed. */
u8 *blkfront_entry(struct blkfront *front, u32 ring);
/** Show the entries taken so far. */
void blkfront_push(struct blkfront *front, u32 ring);

/** A direct request of one segment for each of count pages from page on, put into ring 0; not
 * shown. sectors: first to last of every page. */
void blkfront_put(struct blkfront *front, u8 op, u64 id, u64 sector, u32 page, u32 count);
/** The same as an indirect request; its segments are written to page seg_page. */
void blkfront_put_indirect(struct blkfront *front, u8 op, u64 id, u64 sector, u32 page, u32 count,
                           u32 seg_page);

/** The next answer of ring 0. False: there is none. */
bool blkfront_take(struct blkfront *front, struct blkfront_answer *answer);
