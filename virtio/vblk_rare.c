/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk_rare.c - block requests that are neither IN nor OUT. [VIRTIO 5.2.6]
 *
 * Two kinds take more than one step with the medium, one after the other: a request with ranges, a
 * step for each, and whatever changes the medium while it has to be stable when it is completed, a
 * flush at the end. All ranges are copied and checked before the first one begins.
 */
#include "virtio/vblk_parts.h"

#include <string.h>

#include "start/port.h"

STATIC_CHECK(BLK_RANGE_BYTES_MAX % 4096 == 0, "a range is made of whole logical blocks");

static u32 unsupported(struct vblk *vb, struct vblk_req *vr)
{
    vb->unsupported++;
    vblk_request_end(vr, ST_NOSUP);
    return 1;
}

static u32 refuse(struct vblk *vb, struct vblk_req *vr)
{
    vblk_request_refuse(vb, vr);
    return 1;
}

/* --- answers from memory ---------------------------------------------------------------------- */

/** End the request with an answer, as much of it as the buffer takes. */
static void answer(struct vblk_req *vr, const void *from, u32 bytes)
{
    const struct span *span = &vr->chain.span[vr->chain.read_count];
    u32 count = vblk_data_write_count(vr);
    u32 done = 0;

    for (u32 i = 0; i < count && done < bytes; i++) {
        u32 piece = min_u32(span[i].bytes, bytes - done);

        memcpy(span[i].base, (const u8 *)from + done, piece);
        done += piece;
    }
    vr->written = done + (done == vr->chain.write_bytes - 1);
    vblk_request_end(vr, ST_OK);
}

static u32 request_get_id(struct vblk *vb, struct vblk_req *vr)
{
    vb->get_ids++;
    answer(vr, vb->id, VBLK_ID_BYTES);
    return 1;
}

/** > the device MUST NOT report a lifetime metric value that is reserved. 0 is "undefined". */
static le16_t metric(u16 value, u16 last)
{
    return le16_make(value <= last ? value : 0);
}

static u32 request_get_lifetime(struct vblk *vb, struct vblk_req *vr)
{
    struct blk_lifetime life;
    struct vblk_lifetime wire;
    enum status st;

    if (!vdev_has(&vb->vdev, VIRTIO_BLK_F_LIFETIME)) {
        return unsupported(vb, vr);
    }
    if (vr->chain.write_bytes - 1 < sizeof(wire)) {
        return refuse(vb, vr);
    }
    vb->lifetimes++;
    st = vb->bdev->ops->lifetime(vb->bdev, &life);
    if (st != ST_OK) {
        vblk_request_settle(vb, vr, st);
        return 1;
    }
    wire.pre_eol = metric(life.pre_eol, VBLK_PRE_EOL_LAST);
    wire.worn_type_a = metric(life.worn_type_a, VBLK_WORN_LAST);
    wire.worn_type_b = metric(life.worn_type_b, VBLK_WORN_LAST);
    answer(vr, &wire, sizeof(wire));
    return 1;
}

/* --- steps with the medium ---------------------------------------------------------------------
 */

static enum status flush_submit(struct vblk *vb, struct vblk_req *vr)
{
    vr->blk.op = BLK_FLUSH;
    vr->blk.sector = 0;
    vr->blk.sectors = 0;
    vr->blk.spans = NULL;
    vr->blk.span_count = 0;
    vr->blk.done = &vb->done;
    return bdev_submit(vb->bdev, &vr->blk);
}

/** The next range; the disk may have shrunk since it was checked. */
static enum status range_submit(struct vblk *vb, struct vblk_req *vr)
{
    const struct vblk_range *range = &vr->range[vr->range_next++];

    if (!vblk_range_is_served(vb, range->sector, (u64)range->sectors * SECTOR_BYTES)) {
        return ST_IO;
    }
    vr->blk.sector = range->sector;
    vr->blk.sectors = range->sectors;
    vr->blk.unmap = range->unmap;
    return bdev_submit(vb->bdev, &vr->blk);
}

/**
 * The medium is done with a flush. One that failed may have lost completed writes, which no later
 * flush brings back: vb->flush_failed. A flush that was cancelled because its queue was stopped
 * says nothing about the medium.
 */
static enum status flush_step(struct vblk *vb, const struct vblk_req *vr, enum status st)
{
    bool cancelled = st == ST_NODEV && vr->vq->state != VQ_READY;

    if (st != ST_OK && st != ST_NOSUP && st != ST_AGAIN && !cancelled) {
        vb->flush_failed = true;
    }
    if (st == ST_OK && vb->flush_failed && le32_get(vr->header.type) == VIRTIO_BLK_T_FLUSH) {
        return ST_IO;
    }
    return st;
}

COLD enum status vblk_request_step(struct vblk *vb, struct vblk_req *vr, enum status st)
{
    while (st == ST_OK && vr->blk.op != BLK_FLUSH && vr->vq->state == VQ_READY) {
        if (blk_op_is_range(vr->blk.op) && vr->range_next < vr->range_count) {
            st = range_submit(vb, vr);
        } else if (vr->blk.op != BLK_READ && vb->write_through) {
            st = flush_submit(vb, vr);
        } else {
            break;
        }
    }
    return vr->blk.op == BLK_FLUSH ? flush_step(vb, vr, st) : st;
}

/** [VIRTIO 5.2.6.2]: a flush is a barrier over the medium, not over the queue it came by. */
static u32 request_flush(struct vblk *vb, struct vblk_req *vr)
{
    vb->flushes++;
    vr->written = vr->written_failed;
    vblk_request_settle(vb, vr, vblk_request_step(vb, vr, flush_submit(vb, vr)));
    return 1;
}

/* --- ranges ------------------------------------------------------------------------------------
 */

/** What a request with ranges may ask for. */
struct range_rule {
    enum blk_op op;
    u32 flags;         /* that a segment may carry */
    u32 align_sectors; /* of both ends */
};

/** Copy the next bytes of the list, which begins at span data_first, once. There are as many. */
static void list_copy(struct vblk_req *vr, void *to, u32 bytes)
{
    struct span *span = vr->chain.span;
    u32 done = 0;

    while (done < bytes) {
        struct span *from = &span[vr->data_first];
        u32 piece = min_u32(from->bytes, bytes - done);

        memcpy((u8 *)to + done, from->base, piece);
        done += piece;
        from->base += piece;
        from->bytes -= piece;
        vr->data_first += from->bytes == 0;
    }
    copied_once();
}

/** ST_OK and *bytes grows; ST_NOSUP for flags that mean nothing; ST_IO for a range that is wrong.
 */
static enum status segment_check(const struct vblk *vb, const struct range_rule *rule,
                                 const struct vblk_segment *segment, struct vblk_range *range,
                                 u64 *bytes)
{
    u32 flags = le32_get(segment->flags);

    range->sector = le64_get(segment->sector);
    range->sectors = le32_get(segment->sectors);
    range->unmap = (flags & VBLK_SEGMENT_UNMAP) != 0;
    if (flags & ~rule->flags) {
        return ST_NOSUP;
    }
    if (range->sectors > vb->bdev->info.range_sectors_max ||
        range->sector % rule->align_sectors != 0 || range->sectors % rule->align_sectors != 0 ||
        !vblk_range_is_served(vb, range->sector, (u64)range->sectors * SECTOR_BYTES)) {
        return ST_IO;
    }
    *bytes += (u64)range->sectors * SECTOR_BYTES;
    return ST_OK;
}

/** Copy and check all segments, leaving out empty ones. ST_OK, ST_NOSUP, ST_IO. */
static enum status segments_take(struct vblk *vb, struct vblk_req *vr,
                                 const struct range_rule *rule, u32 count, u64 *bytes)
{
    vr->range_count = 0;
    vr->range_next = 0;
    for (u32 i = 0; i < count; i++) {
        struct vblk_segment segment;
        enum status st;

        list_copy(vr, &segment, sizeof(segment));
        st = segment_check(vb, rule, &segment, &vr->range[vr->range_count], bytes);
        if (st != ST_OK) {
            return st;
        }
        vr->range_count += vr->range[vr->range_count].sectors > 0;
    }
    return ST_OK;
}

/**
 * How long the list is, and vr->data_first where it begins; 0 when there is none, or more than it.
 * Linux takes the direction of a request's data from bit 0 of its type [VIRTIO 5.2.6 has OUT = 1],
 * and so hands over the list of a secure erase, type 14, in writable descriptors. It is read there.
 */
static u64 list_find(struct vblk_req *vr, enum blk_op op)
{
    u64 readable = vr->chain.read_bytes - sizeof(vr->header);
    u64 writable = vr->chain.write_bytes - 1;

    if (op == BLK_SECURE_ERASE && readable == 0) {
        vr->data_first = vr->chain.read_count;
        return writable;
    }
    return writable == 0 ? readable : 0;
}

static u32 request_ranges(struct vblk *vb, struct vblk_req *vr, u32 feature,
                          const struct range_rule *rule)
{
    u64 list_bytes = list_find(vr, rule->op);
    u64 count = list_bytes / sizeof(struct vblk_segment);
    u64 bytes = 0;
    enum status st;

    if (vb->read_only) { /* [VIRTIO 5.2.6.2]: before anything else is asked */
        return refuse(vb, vr);
    }
    if (!vdev_has(&vb->vdev, feature)) {
        return unsupported(vb, vr);
    }
    if (count == 0 || list_bytes % sizeof(struct vblk_segment) != 0) {
        return refuse(vb, vr);
    }
    if (count > vb->ranges_max) { /* what QEMU says, and its tests expect */
        return unsupported(vb, vr);
    }
    st = segments_take(vb, vr, rule, (u32)count, &bytes);
    if (st != ST_OK) {
        return st == ST_NOSUP ? unsupported(vb, vr) : refuse(vb, vr);
    }
    vr->blk.op = rule->op;
    vr->blk.spans = NULL;
    vr->blk.span_count = 0;
    vr->blk.done = &vb->done;
    vr->written = vr->written_failed; /* the status byte */
    vblk_request_settle(vb, vr, vblk_request_step(vb, vr, ST_OK));
    return 1 + (u32)(bytes / VBLK_UNIT_BYTES);
}

static u32 request_discard(struct vblk *vb, struct vblk_req *vr)
{
    const struct range_rule rule = {BLK_DISCARD, 0, 1};

    vb->discards++;
    return request_ranges(vb, vr, VIRTIO_BLK_F_DISCARD, &rule);
}

static u32 request_write_zeroes(struct vblk *vb, struct vblk_req *vr)
{
    const struct range_rule rule = {BLK_WRITE_ZEROES, VBLK_SEGMENT_UNMAP, 1};

    vb->write_zeroes++;
    return request_ranges(vb, vr, VIRTIO_BLK_F_WRITE_ZEROES, &rule);
}

static u32 request_secure_erase(struct vblk *vb, struct vblk_req *vr)
{
    const struct range_rule rule = {BLK_SECURE_ERASE, 0, vb->bdev->info.erase_align_sectors};

    vb->secure_erases++;
    return request_ranges(vb, vr, VIRTIO_BLK_F_SECURE_ERASE, &rule);
}

COLD u32 vblk_request_rare(struct vblk *vb, struct vblk_req *vr)
{
    switch (le32_get(vr->header.type)) {
    case VIRTIO_BLK_T_FLUSH:
        return request_flush(vb, vr);
    case VIRTIO_BLK_T_GET_ID:
        return request_get_id(vb, vr);
    case VIRTIO_BLK_T_GET_LIFETIME:
        return request_get_lifetime(vb, vr);
    case VIRTIO_BLK_T_DISCARD:
        return request_discard(vb, vr);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return request_write_zeroes(vb, vr);
    case VIRTIO_BLK_T_SECURE_ERASE:
        return request_secure_erase(vb, vr);
    default:
        return unsupported(vb, vr);
    }
}
