/* SPDX-License-Identifier: BSD-2-Clause */
/* ramdisk.c - memory as a disk. */
#include "blk/ramdisk.h"

#include "start/base/arith.h"
#include "start/port.h"

static struct ramdisk *ramdisk_of(struct bdev *dev)
{
    return container_of(dev, struct ramdisk, bdev);
}

static inline void copy_piece(enum blk_op op, u8 *guest, u8 *disk, u32 bytes)
{
    if (op == BLK_READ) {
        port_copy(guest, disk, bytes);
    } else {
        port_copy(disk, guest, bytes);
    }
}

/** The whole of a short request, at once. */
static void copy_all(struct ramdisk *disk, const struct blk_req *req)
{
    u8 *at = disk->base + req->sector * SECTOR_BYTES;

    for (u32 i = 0; i < req->span_count; i++) {
        copy_piece(req->op, req->spans[i].base, at, req->spans[i].bytes);
        at += req->spans[i].bytes;
    }
}

/** One slice more of the oldest long request. Returns true when it is complete. */
static bool copy_slice(struct ramdisk *disk, const struct blk_req *req)
{
    u8 *at = disk->base + req->sector * SECTOR_BYTES;
    u32 left = RAMDISK_SLICE_BYTES;

    while (left > 0 && disk->at_span < req->span_count) {
        const struct span *span = &req->spans[disk->at_span];
        u32 piece = min_u32(left, span->bytes - disk->at_byte);

        copy_piece(req->op, span->base + disk->at_byte, at + disk->copied, piece);
        disk->copied += piece;
        disk->at_byte += piece;
        left -= piece;
        if (disk->at_byte == span->bytes) {
            disk->at_span++;
            disk->at_byte = 0;
        }
    }
    return disk->at_span == req->span_count;
}

static void queue_rewind(struct ramdisk *disk)
{
    disk->at_span = 0;
    disk->at_byte = 0;
    disk->copied = 0;
}

/** Take *link out of the queue. */
static void queue_remove(struct ramdisk *disk, struct blk_req **link)
{
    struct blk_req *req = *link;

    if (link == &disk->queue) {
        queue_rewind(disk);
    }
    *link = req->next;
    if (disk->queue_tail == &req->next) {
        disk->queue_tail = link;
    }
}

static enum status ramdisk_submit(struct bdev *dev, struct blk_req *req)
{
    struct ramdisk *disk = ramdisk_of(dev);

    switch (req->op) {
    case BLK_READ:
    case BLK_WRITE:
        if (req->sectors <= RAMDISK_SLICE_BYTES / SECTOR_BYTES) {
            copy_all(disk, req);
            return ST_OK;
        }
        req->next = NULL;
        *disk->queue_tail = req;
        disk->queue_tail = &req->next;
        return ST_AGAIN;
    case BLK_FLUSH: /* nothing is cached in front of this memory */
        return ST_OK;
    case BLK_DISCARD:
    case BLK_WRITE_ZEROES:
    case BLK_SECURE_ERASE:
    case BLK_OP_COUNT:
        break;
    }
    return ST_NOSUP;
}

static u32 ramdisk_poll(struct bdev *dev)
{
    struct ramdisk *disk = ramdisk_of(dev);
    struct blk_req *req = disk->queue;

    if (!req) {
        return 0;
    }
    if (copy_slice(disk, req)) {
        queue_remove(disk, &disk->queue);
        bdev_done(dev, req, ST_OK);
    }
    return 1;
}

/** Between two slices a request can simply be forgotten. */
static void ramdisk_cancel(struct bdev *dev, struct blk_req *req)
{
    struct ramdisk *disk = ramdisk_of(dev);

    for (struct blk_req **link = &disk->queue; *link; link = &(*link)->next) {
        if (*link == req) {
            queue_remove(disk, link);
            bdev_done(dev, req, ST_NODEV);
            return;
        }
    }
}

static const struct bdev_ops ramdisk_ops = {
    .submit = ramdisk_submit,
    .poll = ramdisk_poll,
    .cancel = ramdisk_cancel,
};

void ramdisk_init(struct ramdisk *disk, const char *name, void *base, u64 bytes, bool read_only)
{
    const struct bdev_info info = {
        .sectors = bytes / SECTOR_BYTES,
        .logical_block_bytes = SECTOR_BYTES,
        .physical_block_bytes = PAGE_BYTES,
        .seg_max = BLK_SEG_MAX,
        .read_only = read_only,
    };

    CHECK(bytes > 0 && bytes % SECTOR_BYTES == 0);
    disk->base = base;
    disk->bytes = bytes;
    disk->queue = NULL;
    disk->queue_tail = &disk->queue;
    queue_rewind(disk);
    bdev_init(&disk->bdev, &ramdisk_ops, name, &info);
    disk->bdev.memory = disk->base;
    disk->bdev.memory_max = RAMDISK_SLICE_BYTES;
}
