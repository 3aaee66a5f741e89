/* SPDX-License-Identifier: BSD-2-Clause */
/* mmc_bdev.c - a card as a disk. */
#include "drivers/mmc/mmc_bdev.h"

#include "start/base/arith.h"
#include "start/port.h"

#define PIECE_BYTES KIB(32) /* of a span per descriptor, at the least */

static struct mmc_bdev *disk_of(struct bdev *dev)
{
    return container_of(dev, struct mmc_bdev, bdev);
}

static bool moves_data(const struct blk_req *req)
{
    return req->op == BLK_READ || req->op == BLK_WRITE;
}

/* --- the queue
 * ------------------------------------------------------------------------------------ */
static void queue_put(struct mmc_bdev *disk, struct blk_req *req)
{
    req->next = NULL;
    *disk->queue_tail = req;
    disk->queue_tail = &req->next;
}

static void queue_remove(struct mmc_bdev *disk, struct blk_req **link)
{
    struct blk_req *req = *link;

    *link = req->next;
    if (disk->queue_tail == &req->next) {
        disk->queue_tail = link;
    }
}

/** The requests of a batch that failed go back to where they were. */
static void queue_put_back(struct mmc_bdev *disk)
{
    struct blk_req *last = disk->batch;

    while (last->next) {
        last = last->next;
    }
    last->next = disk->queue;
    if (!disk->queue) {
        disk->queue_tail = &last->next;
    }
    disk->queue = disk->batch;
    disk->batch = NULL;
}

/* --- batches
 * --------------------------------------------------------------------------------------- */
static bool joins(const struct mmc_bdev *disk, const struct blk_req *req)
{
    return disk->alone == 0 && req && req->op == disk->batch->op && moves_data(req) &&
           req->sector == disk->sector + disk->left && disk->batch_count < MMC_BDEV_MERGE_MAX &&
           disk->left + req->sectors <= disk->card->host->caps.blocks_max;
}

/** The oldest request, and those behind it that go on where it ends. */
static void batch_take(struct mmc_bdev *disk)
{
    struct blk_req *last = disk->queue;

    queue_remove(disk, &disk->queue);
    last->next = NULL;
    disk->batch = last;
    disk->batch_count = 1;
    disk->sector = last->sector;
    disk->left = last->sectors;
    while (joins(disk, disk->queue)) {
        struct blk_req *req = disk->queue;

        queue_remove(disk, &disk->queue);
        req->next = NULL;
        last->next = req;
        last = req;
        disk->left += req->sectors;
        disk->batch_count++;
        disk->merged++;
    }
    if (disk->alone > 0) {
        disk->alone--;
    }
    disk->at_req = disk->batch;
    disk->at_span = disk->at_byte = 0;
}

static enum status status_of(enum status st)
{
    switch (st) {
    case ST_OK:
    case ST_TIMEOUT:
    case ST_NODEV:
    case ST_ACCES:
    case ST_NOSUP:
        return st;
    default:
        return ST_IO;
    }
}

static void batch_done(struct mmc_bdev *disk, enum status st)
{
    struct blk_req *req = disk->batch;

    disk->batch = NULL;
    while (req) {
        struct blk_req *next = req->next;

        bdev_done(&disk->bdev, req, status_of(st));
        req = next;
    }
}

/* --- where the data is
 * ------------------------------------------------------------------------------ */
/** The piece at the cursor, without what was moved of it; the cursor stays. False: no more. */
static bool piece_at(const struct blk_req *req, u32 span, u32 byte, struct span *piece)
{
    if (!req) {
        return false;
    }
    *piece = req->spans[span];
    piece->base += byte;
    piece->bus += byte;
    piece->bytes -= byte;
    return true;
}

static void cursor_move(struct mmc_bdev *disk, u32 bytes)
{
    disk->at_byte += bytes;
    if (disk->at_byte == disk->at_req->spans[disk->at_span].bytes) {
        disk->at_byte = 0;
        disk->at_span++;
    }
    while (disk->at_req && disk->at_span == disk->at_req->span_count) {
        disk->at_req = disk->at_req->next;
        disk->at_span = 0;
    }
}

static bool reaches(const struct mmc_host_caps *caps, const struct span *piece)
{
    return caps->span_max == 0 || (is_aligned(piece->bus | piece->bytes, caps->span_align) &&
                                   range_ok(piece->bus, piece->bytes, caps->bus_limit));
}

/** Shorten the list to whole sectors. Returns its bytes. */
static u64 spans_trim(struct mmc_bdev *disk, u32 *count, u64 bytes)
{
    u64 over = bytes % SECTOR_BYTES;

    bytes -= over;
    while (over > 0) {
        struct span *last = &disk->spans[*count - 1];
        u32 cut = (u32)min_u64(over, last->bytes);

        last->bytes -= cut;
        over -= cut;
        if (last->bytes == 0) {
            (*count)--;
        }
    }
    return bytes;
}

/** As many pieces from the cursor on as one command takes without a copy. Returns their count. */
static u32 spans_direct(struct mmc_bdev *disk)
{
    const struct mmc_host_caps *caps = &disk->card->host->caps;
    u32 most = caps->span_max == 0 ? MMC_BDEV_SPANS_MAX : caps->span_max;
    u64 room = min_u64(caps->blocks_max, disk->left) * SECTOR_BYTES;
    const struct blk_req *req = disk->at_req;
    u32 span = disk->at_span;
    u32 byte = disk->at_byte;
    u64 bytes = 0;
    u64 cost = 0;
    u32 count = 0;
    struct span piece;

    while (count < MMC_BDEV_SPANS_MAX && bytes < room && piece_at(req, span, byte, &piece)) {
        piece.bytes = (u32)min_u64(piece.bytes, room - bytes);
        cost += 1 + (caps->span_max > 1 ? piece.bytes / PIECE_BYTES : 0);
        if (cost > most || !reaches(caps, &piece)) {
            break;
        }
        disk->spans[count++] = piece;
        bytes += piece.bytes;
        byte = 0;
        if (++span == req->span_count) {
            req = req->next;
            span = 0;
        }
    }
    disk->moving = spans_trim(disk, &count, bytes) / SECTOR_BYTES;
    return count;
}

/** Copy between the bounce buffer and the pieces from the cursor on; the cursor moves. */
static void bounce_copy(struct mmc_bdev *disk, bool to_bounce)
{
    u64 left = disk->moving * SECTOR_BYTES;
    u8 *at = disk->bounce.base;
    struct span piece;

    while (left > 0 && piece_at(disk->at_req, disk->at_span, disk->at_byte, &piece)) {
        u32 bytes = (u32)min_u64(left, piece.bytes);

        if (to_bounce) {
            port_copy(at, piece.base, bytes);
        } else {
            port_copy(piece.base, at, bytes);
        }
        at += bytes;
        left -= bytes;
        disk->bounced_bytes += bytes;
        cursor_move(disk, bytes);
    }
}

static void cursor_skip(struct mmc_bdev *disk)
{
    u64 left = disk->moving * SECTOR_BYTES;
    struct span piece;

    while (left > 0 && piece_at(disk->at_req, disk->at_span, disk->at_byte, &piece)) {
        u32 bytes = (u32)min_u64(left, piece.bytes);

        left -= bytes;
        cursor_move(disk, bytes);
    }
}

/* --- commands
 * ----------------------------------------------------------------------------------------- */
static void data_start(struct mmc_bdev *disk)
{
    bool write = disk->batch->op == BLK_WRITE;
    u32 count = spans_direct(disk);

    disk->bounced = count == 0;
    if (disk->bounced) {
        disk->moving = min_u64(disk->bounce.bytes / SECTOR_BYTES, disk->left);
        disk->spans[0] = disk->bounce;
        disk->spans[0].bytes = (u32)(disk->moving * SECTOR_BYTES);
        count = 1;
        if (write) {
            bounce_copy(disk, true);
        }
    }
    mmc_start(disk->card, &(struct mmc_io){.op = write ? MMC_WRITE : MMC_READ,
                                           .sector = disk->sector,
                                           .sectors = disk->moving,
                                           .spans = disk->spans,
                                           .span_count = count});
}

static enum mmc_op op_of(enum blk_op op)
{
    switch (op) {
    case BLK_READ:
        return MMC_READ;
    case BLK_WRITE:
        return MMC_WRITE;
    case BLK_DISCARD:
        return MMC_DISCARD;
    case BLK_WRITE_ZEROES:
        return MMC_ZERO;
    case BLK_SECURE_ERASE:
        return MMC_SECURE;
    case BLK_FLUSH:
    case BLK_OP_COUNT:
        break;
    }
    return MMC_FLUSH;
}

static void command_start(struct mmc_bdev *disk)
{
    disk->commands++;
    disk->busy = true;
    if (moves_data(disk->batch)) {
        data_start(disk);
        return;
    }
    disk->moving = min_u64(disk->left, MMC_BDEV_ERASE_MAX);
    mmc_start(disk->card, &(struct mmc_io){.op = op_of(disk->batch->op),
                                           .sector = disk->sector,
                                           .sectors = disk->moving});
}

static void command_ok(struct mmc_bdev *disk)
{
    if (moves_data(disk->batch)) {
        if (disk->bounced && disk->batch->op == BLK_READ) {
            bounce_copy(disk, false);
        } else if (!disk->bounced) {
            cursor_skip(disk);
        }
    }
    disk->sector += disk->moving;
    disk->left -= disk->moving;
    if (disk->left == 0) {
        batch_done(disk, ST_OK);
    }
}

/** Together they failed: one by one it shows whose fault it was. */
static void command_failed(struct mmc_bdev *disk, enum status st)
{
    if (disk->batch_count > 1 && st != ST_NODEV) {
        disk->split++;
        disk->alone = disk->batch_count;
        queue_put_back(disk);
        return;
    }
    batch_done(disk, st);
}

/* --- a slot without our card
 * ----------------------------------------------------------------------------- */
static void all_fail(struct mmc_bdev *disk)
{
    if (disk->batch) {
        batch_done(disk, ST_NODEV);
    }
    while (disk->queue) {
        struct blk_req *req = disk->queue;

        queue_remove(disk, &disk->queue);
        bdev_done(&disk->bdev, req, ST_NODEV);
    }
    disk->alone = 0;
    disk->slot_ns = port_now_ns() + MMC_BDEV_SLOT_NS;
    if (log_limit_ok(&disk->words)) {
        log_warn("%s: %s: requests fail until the card of before is there", disk->bdev.name,
                 disk->card->other_card ? "another card" : "no card");
    }
}

static u32 slot_look(struct mmc_bdev *disk)
{
    if (port_now_ns() < disk->slot_ns) {
        return 0;
    }
    disk->slot_ns = port_now_ns() + MMC_BDEV_SLOT_NS;
    if (disk->card->host->ops->present(disk->card->host)) {
        mmc_identify(disk->card);
        return 1;
    }
    return 0;
}

/* --- the bdev
 * --------------------------------------------------------------------------------------------- */
static enum status mmc_bdev_submit(struct bdev *dev, struct blk_req *req)
{
    struct mmc_bdev *disk = disk_of(dev);

    if (disk->card->state == MMC_ABSENT) {
        return ST_NODEV;
    }
    if (disk->card->read_only && req->op != BLK_READ && req->op != BLK_FLUSH) {
        return ST_ACCES;
    }
    if (req->op != BLK_FLUSH && req->sectors == 0) {
        return ST_OK;
    }
    queue_put(disk, req);
    return ST_AGAIN;
}

/** While something is under way there is always something to do now: nothing else will wake us. */
static u32 mmc_bdev_poll(struct bdev *dev)
{
    struct mmc_bdev *disk = disk_of(dev);
    enum status st = mmc_poll(disk->card);

    if (st == ST_AGAIN) {
        return 1;
    }
    if (disk->busy) {
        disk->busy = false;
        if (st == ST_OK) {
            command_ok(disk);
        } else {
            command_failed(disk, st);
        }
    }
    if (disk->card->state == MMC_ABSENT) {
        if (st != ST_OK || disk->batch || disk->queue) {
            all_fail(disk);
            return 1;
        }
        return slot_look(disk);
    }
    if (!disk->batch && disk->queue) {
        batch_take(disk);
    }
    if (disk->batch) {
        command_start(disk);
        return 1;
    }
    return 0;
}

/** What waits can be forgotten; what is on the card's bus cannot. */
static void mmc_bdev_cancel(struct bdev *dev, struct blk_req *req)
{
    struct mmc_bdev *disk = disk_of(dev);

    for (struct blk_req **link = &disk->queue; *link; link = &(*link)->next) {
        if (*link == req) {
            queue_remove(disk, link);
            bdev_done(dev, req, ST_NODEV);
            return;
        }
    }
}

static const struct bdev_ops mmc_bdev_ops = {
    .submit = mmc_bdev_submit,
    .poll = mmc_bdev_poll,
    .cancel = mmc_bdev_cancel,
};

void mmc_bdev_init(struct mmc_bdev *disk, struct mmc_card *card, const char *name,
                   const struct span *bounce)
{
    const struct bdev_info info = {
        .sectors = card->sectors,
        .logical_block_bytes = SECTOR_BYTES,
        .physical_block_bytes = 4096,
        .seg_max = BLK_SEG_MAX,
        .read_only = card->read_only,
        .write_cache = card->cache,
        .discard = !card->read_only,
        .write_zeroes = card->erased_zero && !card->read_only,
        .write_zeroes_may_unmap = card->erased_zero,
        .secure_erase = card->secure_erase && !card->read_only,
        /* Trim, secure trim and SD's erase take single sectors; long ranges are cut here. */
        .range_sectors_max = UINT32_MAX,
        .discard_align_sectors = 1,
        .erase_align_sectors = 1,
    };

    CHECK(card->state == MMC_READY);
    CHECK(bounce->bytes >= SECTOR_BYTES && bounce->bytes % SECTOR_BYTES == 0);
    *disk = (struct mmc_bdev){.card = card, .bounce = *bounce};
    disk->queue_tail = &disk->queue;
    bdev_init(&disk->bdev, &mmc_bdev_ops, name, &info);
}
