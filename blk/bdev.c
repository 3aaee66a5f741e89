/* SPDX-License-Identifier: BSD-2-Clause */
/* bdev.c - what every medium shares: the pair assertions and the counters. */
#include "blk/bdev.h"

#include "start/base/arith.h"

void bdev_init(struct bdev *dev, const struct bdev_ops *ops, const char *name,
               const struct bdev_info *info)
{
    CHECK(ops->submit);
    CHECK(is_pow2(info->logical_block_bytes) && info->logical_block_bytes >= SECTOR_BYTES &&
          info->logical_block_bytes <= 4096);
    CHECK(is_pow2(info->physical_block_bytes) &&
          info->physical_block_bytes >= info->logical_block_bytes);
    CHECK(info->sectors % (info->logical_block_bytes / SECTOR_BYTES) == 0);
    CHECK(info->seg_max > 0);
    CHECK((info->range_sectors_max > 0 || !(info->discard || info->write_zeroes)) &&
          (info->discard_align_sectors > 0 || !info->discard) &&
          (info->erase_align_sectors > 0 || !info->secure_erase));
    *dev = (struct bdev){.ops = ops, .name = name, .info = *info};
}

/** A range has no data, and its own limits. */
static COLD bool range_is_served(const struct bdev_info *info, const struct blk_req *req)
{
    if (req->sectors == 0 || req->sectors > info->range_sectors_max) {
        return false;
    }
    if (req->op == BLK_SECURE_ERASE) {
        return info->secure_erase && req->sector % info->erase_align_sectors == 0 &&
               req->sectors % info->erase_align_sectors == 0;
    }
    return req->op == BLK_DISCARD ? info->discard : info->write_zeroes;
}

/** The front end has refused all of this already, with the status its protocol wants. */
static void request_check(const struct bdev *dev, const struct blk_req *req)
{
    u64 bytes = 0;

    CHECK(req->op < BLK_OP_COUNT && req->done);
    if (req->op == BLK_FLUSH) {
        return;
    }
    CHECK(range_ok(req->sector, req->sectors, dev->info.sectors));
    CHECK(req->op == BLK_READ || !dev->info.read_only);
    if (blk_op_is_range(req->op)) {
        CHECK(range_is_served(&dev->info, req));
        return;
    }
    for (u32 i = 0; i < req->span_count; i++) {
        bytes += req->spans[i].bytes;
    }
    CHECK(bytes == req->sectors * SECTOR_BYTES);
}

static inline void count(struct bdev *dev, const struct blk_req *req, enum status status)
{
    dev->requests[req->op]++;
    if (__builtin_expect(status != ST_OK, 0)) {
        dev->errors++;
    }
}

enum status bdev_submit(struct bdev *dev, struct blk_req *req)
{
    enum status status;

    request_check(dev, req);
    status = dev->ops->submit(dev, req);
    if (status == ST_AGAIN) {
        dev->in_flight++;
    } else {
        count(dev, req, status);
    }
    return status;
}

void bdev_done(struct bdev *dev, struct blk_req *req, enum status status)
{
    CHECK(dev->in_flight > 0 && status != ST_AGAIN);
    dev->in_flight--;
    count(dev, req, status);
    blk_req_done(req, status);
}

u32 bdev_poll(struct bdev *dev)
{
    return dev->ops->poll ? dev->ops->poll(dev) : 0;
}

void bdev_cancel(struct bdev *dev, struct blk_req *req)
{
    if (dev->ops->cancel) {
        dev->ops->cancel(dev, req);
    }
}
