/* SPDX-License-Identifier: BSD-2-Clause */
/* bdev_faulty.c - a medium built to fail. */
#include "tests/fake/bdev_faulty.h"

#include "start/base/arith.h"

static struct bdev_faulty *faulty_of(struct bdev *dev)
{
    return container_of(dev, struct bdev_faulty, bdev);
}

/** xorshift64: the same seed gives the same faults. */
static u32 random_below(struct bdev_faulty *faulty, u32 limit)
{
    faulty->random ^= faulty->random << 13;
    faulty->random ^= faulty->random >> 7;
    faulty->random ^= faulty->random << 17;
    return (u32)(faulty->random % limit);
}

static enum status faulty_submit(struct bdev *dev, struct blk_req *req)
{
    struct bdev_faulty *faulty = faulty_of(dev);

    faulty->submitted++;
    if ((faulty->fail_every > 0 && faulty->submitted % faulty->fail_every == 0) ||
        (faulty->fail_ops & BIT32(req->op))) {
        return faulty->fail;
    }
    for (u32 i = 0; i < BDEV_FAULTY_HELD_MAX; i++) {
        struct bdev_faulty_held *held = &faulty->held[i];

        if (!held->outer) {
            held->inner = *req;
            held->inner.done = &faulty->done;
            held->outer = req;
            held->turns = faulty->delay_turns;
            held->turns += faulty->reorder ? random_below(faulty, 8) : 0;
            return ST_AGAIN;
        }
    }
    panic("bdev_faulty: more than %d requests in flight", BDEV_FAULTY_HELD_MAX);
}

static void note(struct bdev_faulty *faulty, enum blk_op op)
{
    if (op == BLK_FLUSH) {
        faulty->flushes++;
        faulty->unflushed_writes = 0;
    } else if (op != BLK_READ) {
        faulty->unflushed_writes++;
    }
}

/** The inner medium is done with a request: so are we. */
static void pass_on(struct bdev_faulty *faulty, struct bdev_faulty_held *held, enum status status)
{
    struct blk_req *outer = held->outer;

    note(faulty, held->inner.op);
    held->outer = NULL;
    bdev_done(&faulty->bdev, outer, status);
}

/** It may have been cut off meanwhile. */
static enum status pass_in(struct bdev_faulty *faulty, struct blk_req *inner)
{
    faulty->unmaps += inner->op == BLK_WRITE_ZEROES && inner->unmap;
    if (!range_ok(inner->sector, inner->sectors, faulty->inner->info.sectors)) {
        return ST_IO;
    }
    return bdev_submit(faulty->inner, inner);
}

static u32 faulty_poll(struct bdev *dev)
{
    struct bdev_faulty *faulty = faulty_of(dev);
    u32 work = bdev_poll(faulty->inner);
    struct blk_req *inner;

    faulty->polls++;
    for (u32 i = 0; i < BDEV_FAULTY_HELD_MAX && !faulty->stall; i++) {
        struct bdev_faulty_held *held = &faulty->held[i];
        enum status st;

        if (held->outer && held->turns != UINT32_MAX && held->turns-- == 0) {
            held->turns = UINT32_MAX; /* with the inner medium */
            st = pass_in(faulty, &held->inner);
            if (st != ST_AGAIN) {
                pass_on(faulty, held, st);
                work++;
            }
        }
    }
    while ((inner = blk_done_take(&faulty->done)) != NULL) {
        pass_on(faulty, container_of(inner, struct bdev_faulty_held, inner), inner->status);
        work++;
    }
    return work;
}

/** What has not reached the inner medium can be forgotten. */
static void faulty_cancel(struct bdev *dev, struct blk_req *req)
{
    struct bdev_faulty *faulty = faulty_of(dev);

    for (u32 i = 0; i < BDEV_FAULTY_HELD_MAX; i++) {
        struct bdev_faulty_held *held = &faulty->held[i];

        if (held->outer == req && held->turns != UINT32_MAX && !faulty->stall) {
            held->outer = NULL;
            faulty->cancelled++;
            bdev_done(dev, req, ST_NODEV);
        }
    }
}

static const struct bdev_ops faulty_ops = {
    .submit = faulty_submit,
    .poll = faulty_poll,
    .cancel = faulty_cancel,
};

static enum status faulty_lifetime(struct bdev *dev, struct blk_lifetime *life)
{
    *life = faulty_of(dev)->life;
    return faulty_of(dev)->life_status;
}

/** The same for a medium that tells. */
static const struct bdev_ops faulty_ops_telling = {
    .submit = faulty_submit,
    .poll = faulty_poll,
    .cancel = faulty_cancel,
    .lifetime = faulty_lifetime,
};

void bdev_faulty_tell_lifetime(struct bdev_faulty *faulty)
{
    faulty->bdev.ops = &faulty_ops_telling;
}

void bdev_faulty_init(struct bdev_faulty *faulty, struct bdev *inner, bool write_cache, u64 seed)
{
    struct bdev_info info = inner->info;

    info.write_cache = write_cache;
    *faulty = (struct bdev_faulty){.inner = inner, .random = seed | 1, .write_cache = write_cache};
    blk_done_init(&faulty->done);
    bdev_init(&faulty->bdev, &faulty_ops, "faulty", &info);
}
