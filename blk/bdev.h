/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bdev.h - SEAM 3: a medium, as the front ends see it.                            plane: data
 *
 * A front end has already refused what a guest may get wrong, with the status its protocol wants;
 * here the same relations are a CHECK (a pair assertion).
 */
#pragma once

#include "blk/blk.h"
#include "start/base/limits.h"

struct bdev;

/** What a front end may tell its guests. Fixed between generations. */
struct bdev_info {
    u64 sectors;              /* capacity, unit SECTOR_BYTES */
    u32 logical_block_bytes;  /* smallest addressable unit, power of two, 512..4096 */
    u32 physical_block_bytes; /* what a write costs least at, >= logical */
    u32 optimal_io_bytes;     /* 0: unknown */
    u32 seg_max; /* spans of data the medium takes at once are not limited below this */
    bool read_only;
    bool write_cache; /* a completed write may be volatile until a flush */
    bool discard;
    bool write_zeroes;
    bool write_zeroes_may_unmap; /* unmap makes a difference */
    bool secure_erase;
    /* of one range, when any of the above is set */
    u32 range_sectors_max;
    u32 discard_align_sectors; /* only whole units of this are given back; others may be named */
    u32 erase_align_sectors;   /* only whole units of this can be erased, others are refused */
};

struct bdev_ops {
    /**
     * Start req. ST_AGAIN: it is in flight now and will end by bdev_done(). Anything else: it is
     * finished, with this status, and goes to no list.
     */
    enum status (*submit)(struct bdev *dev, struct blk_req *req);
    /** Advance what is in flight. Returns work done; 0 means nothing to do now. NULL: never in
     * flight. */
    u32 (*poll)(struct bdev *dev);
    /**
     * The submitter of req, which is in flight, has lost interest: end it now with ST_NODEV if it
     * can be ended without a trace (it still goes to its done list). NULL: never.
     */
    void (*cancel)(struct bdev *dev, struct blk_req *req);
    /** How worn the medium is, from memory. NULL: it cannot tell. ST_OK, or what failed. */
    enum status (*lifetime)(struct bdev *dev, struct blk_lifetime *life);
};

struct bdev {
    const struct bdev_ops *ops;
    const char *name; /* for messages; NUL-terminated, static */
    struct bdev_info info;
    u32 in_flight;
    /* The content itself, when copying from or to it is all that a read or write takes; NULL: ask
     * submit(). A front end may then move up to memory_max bytes at once by itself. */
    u8 *memory;
    u32 memory_max;
    /* counters since start */
    u64 requests[BLK_OP_COUNT];
    u64 errors;
};

/** CHECKs that info is coherent. Keeps name and ops. */
void bdev_init(struct bdev *dev, const struct bdev_ops *ops, const char *name,
               const struct bdev_info *info);

/**
 * Hand over req; range, direction and lengths are CHECKed. ST_AGAIN: it is in flight and goes to
 * its done list when it is finished. Anything else: it is finished now, with this status.
 */
enum status bdev_submit(struct bdev *dev, struct blk_req *req);

/**
 * Our pointer to the content [sector, sector + bytes), to be copied now and counted by
 * bdev_moved(). NULL when a request is needed for it: it is not memory, too long, or not what the
 * disk serves.
 */
static inline u8 *bdev_memory(const struct bdev *dev, u64 sector, u32 bytes)
{
    u64 count = bytes / SECTOR_BYTES, sectors = dev->info.sectors;

    if (((bytes | sector * SECTOR_BYTES) & (dev->info.logical_block_bytes - 1u)) != 0 ||
        bytes - 1 >= dev->memory_max || count > sectors || sector > sectors - count) {
        return NULL;
    }
    return dev->memory + sector * SECTOR_BYTES;
}

/** count requests were served through bdev_memory(). */
static inline void bdev_moved(struct bdev *dev, enum blk_op op, u32 count)
{
    dev->requests[op] += count;
}

/** For implementations: req was in flight and is finished; puts it on its done list. */
void bdev_done(struct bdev *dev, struct blk_req *req, enum status status);

/** Returns work done. */
u32 bdev_poll(struct bdev *dev);

/** req is in flight and nobody waits for it any more: end it early if the medium can. */
void bdev_cancel(struct bdev *dev, struct blk_req *req);
