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

        copy_piece(req->op, span->base + disk->at_byte, at + disk->done, piece);
        disk->done += piece;
        disk->at_byte += piece;
        left -= piece;
        if (disk->at_byte == span->bytes) {
            disk->at_span++;
            disk->at_byte = 0;
        }
    }
    return disk->at_span == req->span_count;
}

/** The same for a range that becomes zeroes. */
static bool zero_slice(struct ramdisk *disk, const struct blk_req *req)
{
    u8 *at = disk->base + req->sector * SECTOR_BYTES;
    u64 bytes = req->sectors * SECTOR_BYTES;
    u64 piece = min_u64(RAMDISK_SLICE_BYTES, bytes - disk->done);

    port_zero(at + disk->done, piece);
    disk->done += piece;
    return disk->done == bytes;
}

static void queue_rewind(struct ramdisk *disk)
{
    disk->at_span = 0;
    disk->at_byte = 0;
    disk->done = 0;
}

static enum status queue_append(struct ramdisk *disk, struct blk_req *req)
{
    req->next = NULL;
    *disk->queue_tail = req;
    disk->queue_tail = &req->next;
    return ST_AGAIN;
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

    if (req->op == BLK_FLUSH) { /* nothing is cached in front of this memory */
        return ST_OK;
    }
    if (req->sectors > RAMDISK_SLICE_BYTES / SECTOR_BYTES) {
        return queue_append(disk, req);
    }
    if (blk_op_is_range(req->op)) {
        port_zero(disk->base + req->sector * SECTOR_BYTES, req->sectors * SECTOR_BYTES);
    } else {
        copy_all(disk, req);
    }
    return ST_OK;
}

static u32 ramdisk_poll(struct bdev *dev)
{
    struct ramdisk *disk = ramdisk_of(dev);
    struct blk_req *req = disk->queue;

    if (!req) {
        return 0;
    }
    if (blk_op_is_range(req->op) ? zero_slice(disk, req) : copy_slice(disk, req)) {
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
        .discard = !read_only,
        .write_zeroes = !read_only,
        .secure_erase = !read_only,
        .range_sectors_max = BLK_RANGE_BYTES_MAX / SECTOR_BYTES,
        .discard_align_sectors = 1,
        .erase_align_sectors = 1,
    };

    CHECK(bytes > 0 && bytes % SECTOR_BYTES == 0);
    disk->base = base;
    disk->bytes = bytes;
    disk->reserved = bytes;
    disk->wiped_from = bytes;
    disk->queue = NULL;
    disk->queue_tail = &disk->queue;
    queue_rewind(disk);
    bdev_init(&disk->bdev, &ramdisk_ops, name, &info);
    disk->bdev.memory = disk->base;
    disk->bdev.memory_max = RAMDISK_SLICE_BYTES;
}

/* --- size --------------------------------------------------------------------------------------
 */

void ramdisk_reserve(struct ramdisk *disk, u64 bytes)
{
    CHECK(bytes >= disk->bytes && disk->wiped_from == disk->bytes);
    disk->reserved = bytes;
}

/** What is in flight beyond the new end comes to nothing. */
static void queue_cut(struct ramdisk *disk, u64 sectors)
{
    struct blk_req **link = &disk->queue;

    while (*link) {
        struct blk_req *req = *link;

        if (range_ok(req->sector, req->sectors, sectors)) {
            link = &req->next;
        } else {
            queue_remove(disk, link);
            bdev_done(&disk->bdev, req, ST_IO);
        }
    }
}

enum status ramdisk_resize(struct ramdisk *disk, u64 bytes)
{
    if (bytes == 0 || !is_aligned(bytes, disk->bdev.info.logical_block_bytes)) {
        return ST_INVAL;
    }
    if (bytes > disk->reserved) {
        return ST_RANGE;
    }
    if (bytes > disk->bytes && disk->wiped_from > disk->bytes) {
        return ST_AGAIN;
    }
    queue_cut(disk, bytes / SECTOR_BYTES);
    disk->wiped_from = disk->wiped_from > bytes ? disk->wiped_from : bytes;
    disk->bytes = bytes;
    disk->bdev.info.sectors = bytes / SECTOR_BYTES;
    return ST_OK;
}

/* From the top down, so that what is left to be wiped always begins at the disk's end. */
u32 ramdisk_wipe(struct ramdisk *disk)
{
    u64 piece = min_u64(RAMDISK_SLICE_BYTES, disk->wiped_from - disk->bytes);

    if (piece == 0) {
        return 0;
    }
    disk->wiped_from -= piece;
    port_zero(disk->base + disk->wiped_from, piece);
    return 1;
}
