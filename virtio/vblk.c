/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk.c - virtio block requests: decode, check, submit, complete. [VIRTIO 5.2.6]
 *
 * A request is a 16-byte header, data, and one status byte, cut into descriptors as the driver
 * likes. The spans of the chain are trimmed in place (header off the front, status off the back);
 * what is left in the direction of the request is its data.
 *
 *   no header, or no status byte       returned with length 0, counted against the driver
 *   a type we do not offer             UNSUPP
 *   anything else wrong with it        IOERR, and the medium never hears of it
 *
 * The used length counts bytes written from the first writable one on without a gap [VIRTIO
 * 2.7.8.2]: a read that failed wrote its status behind a gap, so it reports 0.
 */
#include "virtio/vblk.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/port.h"
#include "virtio/vblk_parts.h"

STATIC_CHECK(REQUESTS_MAX >= 1, "a request needs a slot");
STATIC_CHECK(BLK_SEG_MAX + 2 <= VBLK_QUEUE_SIZE, "seg_max must fit into the queue");

/* --- slots ------------------------------------------------------------------------------------ */

COLD void vblk_pool_init(struct vblk_pool *pool)
{
    pool->free = NULL;
    pool->in_flight = 0;
    for (u32 i = 0; i < REQUESTS_MAX; i++) {
        pool->slot[i].vb = NULL;
        pool->slot[i].next_free = pool->free;
        pool->free = &pool->slot[i];
    }
}

/** The request goes on beyond this turn: it keeps its slot, and its spans are pinned. */
static COLD void slot_take(struct vblk *vb, struct vblk_req *vr)
{
    CHECK(vb->pool->free == vr);
    vb->pool->free = vr->next_free;
    vb->pool->in_flight++;
    vb->in_flight++;
    vr->vb = vb;
    if (PART_EYES) {
        vr->taken_ns = vb->turn_ns;
    }
    virtq_hold(vr->vq, &vr->chain);
}

static COLD void slot_return(struct vblk *vb, struct vblk_req *vr)
{
    vr->vb = NULL;
    vr->next_free = vb->pool->free;
    vb->pool->free = vr;
    vb->pool->in_flight--;
    vb->in_flight--;
}

/* --- completing ----------------------------------------------------------------------------- */

static inline u8 status_byte(enum status status)
{
    if (status == ST_OK) {
        return VIRTIO_BLK_S_OK;
    }
    return status == ST_NOSUP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/** Data is in place; then the status byte, then the used element. */
static inline void request_end(struct vblk_req *vr, enum status status)
{
    if (__builtin_expect(vr->vq->state == VQ_READY, 1)) {
        store_u8(vr->status, status_byte(status));
    }
    virtq_push(vr->vq, &vr->chain, status == ST_OK ? vr->written : vr->written_failed);
}

/** The driver got this request wrong. */
COLD void vblk_request_refuse(struct vblk *vb, struct vblk_req *vr)
{
    vb->errors_guest++;
    vblk_request_end(vr, ST_IO);
}

/** There is no place for a status, or no header to obey. */
static COLD void request_drop(struct vblk *vb, struct vblk_req *vr, const char *why)
{
    vb->errors_guest++;
    virtq_push_malformed(vr->vq, &vr->chain, why);
}

/** The medium is done with the request. */
static inline void request_finish(struct vblk *vb, struct vblk_req *vr, enum status st)
{
    if (__builtin_expect(st != ST_OK, 0)) {
        vb->errors_medium++;
    }
    request_end(vr, st);
}

static inline void request_settle(struct vblk *vb, struct vblk_req *vr, enum status st)
{
    if (st == ST_AGAIN) {
        slot_take(vb, vr);
    } else {
        request_finish(vb, vr, st);
    }
}

COLD void vblk_request_end(struct vblk_req *vr, enum status st)
{
    request_end(vr, st);
}

COLD void vblk_request_settle(struct vblk *vb, struct vblk_req *vr, enum status st)
{
    if (st == ST_AGAIN) {
        slot_take(vb, vr);
        return;
    }
    vb->errors_medium += st != ST_OK;
    vblk_request_end(vr, st);
}

/** Complete everything on the done list; bounded by what is in flight. */
COLD u32 vblk_drain(struct vblk *vb)
{
    u64 now_ns = PART_EYES && vb->done.head ? port_now_ns() : 0;
    u32 count = 0;
    struct blk_req *req;

    while ((req = blk_done_take(&vb->done)) != NULL) {
        struct vblk_req *vr = container_of(req, struct vblk_req, blk);
        enum status st = vblk_request_step(vb, vr, req->status);

        if (st != ST_AGAIN) {
            vb->errors_medium += st != ST_OK;
            vblk_request_end(vr, st);
            if (PART_EYES) {
                latency_add(&vb->latency, 1, now_ns - vr->taken_ns);
            }
            slot_return(vb, vr);
        }
        count++;
    }
    vdev_reset_progress(&vb->vdev);
    return count;
}

/* --- decoding ------------------------------------------------------------------------------- */

/** The slow way, for a header in pieces. False when there are not 16 bytes to be read. */
static COLD bool header_gather(struct vblk_req *vr)
{
    struct span *span = vr->chain.span;
    u8 *to = (u8 *)&vr->header;
    u32 left = sizeof(vr->header);
    u32 i = 0;

    while (left > 0) {
        u32 piece;

        if (i == vr->chain.read_count || !span[i].base) {
            return false;
        }
        piece = min_u32(left, span[i].bytes);
        memcpy(to, span[i].base, piece);
        to += piece;
        left -= piece;
        span[i].base += piece;
        span[i].bus += piece;
        span[i].bytes -= piece;
        i += span[i].bytes == 0;
    }
    copied_once();
    vr->data_first = (u16)i;
    return true;
}

/** Copy the header, once, and trim it off the readable spans. False when it cannot be read. */
static inline bool header_take(struct vblk_req *vr)
{
    const struct span *first = &vr->chain.span[0];

    if (__builtin_expect(vr->chain.read_count == 0 || first->bytes != sizeof(vr->header) ||
                             !first->base || !is_aligned((uintptr_t)first->base, sizeof(u64)),
                         0)) {
        return header_gather(vr);
    }
    vr->header.type = le32_make(load_u32(first->base));
    vr->header.sector = le64_make(load_u64(first->base + offsetof(struct vblk_header, sector)));
    vr->data_first = 1;
    return true;
}

/** Find the status byte and trim it off the writable spans. False when there is none. */
static inline bool status_take(struct vblk_req *vr)
{
    struct vq_chain *chain = &vr->chain;
    struct span *last = &chain->span[chain->read_count];

    if (chain->write_count == 0) {
        return false;
    }
    last += chain->write_count - 1u;
    if (!last->base) {
        return false;
    }
    last->bytes--;
    vr->status = last->base + last->bytes;
    return true;
}

/* --- the request types ---------------------------------------------------------------------- */

static inline u32 request_units(u64 bytes)
{
    return 1 + (u32)(bytes / VBLK_UNIT_BYTES);
}

/** Fill and submit IN or OUT, whose data must lie in one direction only. */
static inline u32 request_data(struct vblk *vb, struct vblk_req *vr, enum blk_op op, u64 bytes,
                               u64 stray)
{
    u64 sector = le64_get(vr->header.sector);
    enum status st;

    if (__builtin_expect(stray != 0 || !vblk_range_is_served(vb, sector, bytes), 0)) {
        vblk_request_refuse(vb, vr);
        return 1;
    }
    if (__builtin_expect(bytes == 0, 0)) {
        request_end(vr, ST_OK);
        return 1;
    }
    vr->blk.op = op;
    vr->blk.sector = sector;
    vr->blk.sectors = bytes / SECTOR_BYTES;
    vr->blk.done = &vb->done;
    st = bdev_submit(vb->bdev, &vr->blk);
    if (op == BLK_WRITE && __builtin_expect(vb->write_through, 0)) {
        st = vblk_request_step(vb, vr, st);
    }
    request_settle(vb, vr, st);
    return request_units(bytes);
}

static inline u32 request_in(struct vblk *vb, struct vblk_req *vr)
{
    u64 bytes = vr->chain.write_bytes - 1;

    vr->blk.spans = &vr->chain.span[vr->chain.read_count];
    vr->blk.span_count = vblk_data_write_count(vr);
    vr->written = (u32)bytes + 1;
    vb->reads++;
    vb->bytes_read += bytes;
    return request_data(vb, vr, BLK_READ, bytes, vr->chain.read_bytes - sizeof(vr->header));
}

static __attribute__((noinline)) u32 request_out(struct vblk *vb, struct vblk_req *vr)
{
    u64 bytes = vr->chain.read_bytes - sizeof(vr->header);

    if (vb->read_only) {
        vblk_request_refuse(vb, vr);
        return 1;
    }
    vr->blk.spans = &vr->chain.span[vr->data_first];
    vr->blk.span_count = (u32)vr->chain.read_count - vr->data_first;
    vr->written = 1;
    vb->writes++;
    vb->bytes_written += bytes;
    return request_data(vb, vr, BLK_WRITE, bytes, vr->chain.write_bytes - 1);
}

/** Decode and start the request in vr->chain. Returns the units of work done. */
static u32 request_start(struct vblk *vb, struct vblk_req *vr)
{
    const struct vq_chain *chain = &vr->chain;

    if (!status_take(vr)) {
        request_drop(vb, vr, "a block request has no status byte we can write");
        return 1;
    }
    if (!header_take(vr)) {
        request_drop(vb, vr, "a block request has no header we can read");
        return 1;
    }
    vr->written_failed = chain->write_bytes == 1;
    if (__builtin_expect(chain->flaws || chain->desc_count > VBLK_DESC_MAX, 0)) {
        vblk_request_refuse(vb, vr);
        return 1;
    }
    if (le32_get(vr->header.type) == VIRTIO_BLK_T_IN) {
        return request_in(vb, vr);
    }
    if (le32_get(vr->header.type) == VIRTIO_BLK_T_OUT) {
        return request_out(vb, vr);
    }
    return vblk_request_rare(vb, vr);
}

/* --- the poll loop's side --------------------------------------------------------------------- */

/** A request cannot be mapped now. When nothing is in flight, waiting would not help: give it
 * back. */
static COLD u32 window_missing(struct vblk *vb, struct virtq *vq)
{
    vb->no_window++;
    if (vb->pool->in_flight > 0) {
        return 0;
    }
    virtq_drop_next(vq);
    return 1;
}

static u32 queue_poll(struct vblk *vb, u16 queue, u32 budget)
{
    struct virtq *vq = &vb->vdev.queue[queue].vq;
    u32 work = 0;

    if (virtq_seen(vq) == 0 && !virtq_look(vq)) {
        return 0;
    }
    while (work < budget) {
        struct vblk_req *vr = vb->pool->free;
        u32 quick = vblk_quick(vb, vq, budget - work);
        enum status st;

        if (quick > 0) {
            work += quick;
            if (virtq_seen(vq) == 0) {
                break; /* show these before looking for more */
            }
            continue;
        }
        if (!vr) {
            vb->no_slot++;
            break;
        }
        st = virtq_pop(vq, &vr->chain);
        if (__builtin_expect(st == ST_OK, 1)) {
            vr->vq = vq;
            vb->taken += PART_EYES;
            work += request_start(vb, vr);
        } else if (st == ST_PROTO) {
            vb->errors_guest++;
            work++;
        } else {
            work += st == ST_FULL ? window_missing(vb, vq) : 0;
            break;
        }
    }
    return work;
}

static void queue_show(struct vblk *vb, u16 queue)
{
    struct virtq *vq = &vb->vdev.queue[queue].vq;

    if (vq->state == VQ_BROKEN) {
        vdev_need_reset(&vb->vdev);
    }
    vb->batches += vdev_queue_publish(&vb->vdev, queue);
}

/** The turn is over: those that it took and answered have lasted as long as it. */
static inline void turn_measure(struct vblk *vb, u64 taken, u32 in_flight)
{
    u32 answered = (u32)(vb->taken - taken) - (vb->in_flight - in_flight);

    latency_add(&vb->latency, answered, port_now_ns() - vb->turn_ns);
}

u32 vblk_work(struct vblk *vb, u32 budget)
{
    u16 count = vb->vdev.queue_count;
    u16 queue = vb->queue_next; /* every queue is the first one in its turn */
    u32 work = 0, in_flight;
    u64 taken = vb->taken;

    if (PART_EYES) {
        vb->turn_ns = port_now_ns();
    }
    if (vb->in_flight > 0) {
        work += bdev_poll(vb->bdev);
        work += vblk_drain(vb);
    }
    in_flight = vb->in_flight;
    vb->queue_next = queue + 1u < count ? (u16)(queue + 1) : 0;
    for (u16 i = 0; i < count && vb->vdev.live; i++) {
        virtq_kick_disable(&vb->vdev.queue[queue].vq);
        work += queue_poll(vb, queue, work < budget ? budget - work : 0);
        queue = queue + 1u < count ? (u16)(queue + 1) : 0;
    }
    for (queue = 0; queue < count; queue++) {
        queue_show(vb, queue);
    }
    if (PART_EYES && vb->taken != taken) {
        turn_measure(vb, taken, in_flight);
    }
    return work;
}
