/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bdev_faulty.h - a medium built to fail, over one that does not.
 *
 * Errors, delays, disorder and stalls, each by a knob; with a seed the same faults come again.
 */
#pragma once

#include "blk/bdev.h"

#define BDEV_FAULTY_HELD_MAX 64

struct bdev_faulty_held {
    struct blk_req inner;
    struct blk_req *outer; /* NULL: free */
    u32 turns;             /* polls until it is passed on */
};

struct bdev_faulty {
    struct bdev bdev;
    struct bdev *inner;
    struct blk_done done;
    struct bdev_faulty_held held[BDEV_FAULTY_HELD_MAX];
    u64 random;
    /* knobs */
    u32 fail_every;   /* every n-th request fails ... */
    u32 fail_ops;     /* ... and every one whose BIT32(enum blk_op) is set ... */
    enum status fail; /* ... with this, the medium untouched */
    u32 delay_turns;  /* every request waits so many polls */
    bool reorder;     /* and a random few more */
    bool stall;       /* nothing is passed on while set */
    bool write_cache; /* counts flushes: see flushes */
    struct blk_lifetime life;
    enum status life_status;
    /* what was seen */
    u32 submitted;
    u32 polls;
    u32 unmaps; /* write zeroes that allowed it */
    u32 flushes;
    u32 cancelled;
    u32 unflushed_writes; /* changes of the medium since the last flush */
};

/** Shows inner's geometry, with a write cache when write_cache is set. */
void bdev_faulty_init(struct bdev_faulty *faulty, struct bdev *inner, bool write_cache, u64 seed);

/** From now on it is a medium that tells how worn it is: faulty->life, or faulty->life_status. */
void bdev_faulty_tell_lifetime(struct bdev_faulty *faulty);
