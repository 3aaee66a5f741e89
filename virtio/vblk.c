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

STATIC_CHECK(REQUESTS_MAX >= 1, "a request needs a slot");
STATIC_CHECK(BLK_SEG_MAX + 2 <= VBLK_QUEUE_SIZE, "seg_max must fit into the queue");

/* --- slots -------------------------------------------------------------------------------------
 */

void vblk_pool_init(struct vblk_pool *pool)
{
    pool->free = NULL;
    pool->in_flight = 0;
    for (u32 i = 0; i < REQUESTS_MAX; i++) {
        pool->slot[i].vb = NULL;
        pool->slot[i].next_free = pool->free;
        pool->free = &pool->slot[i];
    }
}

static inline void slot_take(struct vblk *vb, struct vblk_req *vr, u16 queue)
{
    vb->pool->free = vr->next_free;
    vb->pool->in_flight++;
    vb->in_flight++;
    vr->vb = vb;
    vr->queue = queue;
}

static inline void slot_return(struct vblk *vb, struct vblk_req *vr)
{
    vr->vb = NULL;
    vr->next_free = vb->pool->free;
    vb->pool->free = vr;
    vb->pool->in_flight--;
    vb->in_flight--;
}

/* --- completing
 * ---------------------------------------------------------------------------------- */

static u8 status_byte(enum status status)
{
    switch (status) {
    case ST_OK:
        return VIRTIO_BLK_S_OK;
    case ST_NOSUP:
        return VIRTIO_BLK_S_UNSUPP;
    default:
        return VIRTIO_BLK_S_IOERR;
    }
}

/** Data is in place; then the status byte, then the used element. */
static void request_end(struct vblk *vb, struct vblk_req *vr, enum status status)
{
    struct virtq *vq = &vb->vdev.queue[vr->queue].vq;

    if (vq->state == VQ_READY) {
        store_u8(vr->status, status_byte(status));
    }
    virtq_push(vq, &vr->chain, status == ST_OK ? vr->written : vr->written_failed);
    slot_return(vb, vr);
    if (vb->vdev.resetting) {
        vdev_reset_progress(&vb->vdev);
    }
}

/** The driver got this request wrong. */
static void request_refuse(struct vblk *vb, struct vblk_req *vr)
{
    vb->errors_guest++;
    request_end(vb, vr, ST_IO);
}

/** There is no place for a status, or no header to obey. */
static void request_drop(struct vblk *vb, struct vblk_req *vr, const char *why)
{
    vb->errors_guest++;
    virtq_push_malformed(&vb->vdev.queue[vr->queue].vq, &vr->chain, why);
    slot_return(vb, vr);
}

/** The medium has finished a request. */
static void request_done(struct vblk *vb, struct vblk_req *vr)
{
    struct blk_req *req = &vr->blk;

    if (req->status == ST_OK && req->op == BLK_WRITE && vb->write_through) {
        req->op = BLK_FLUSH;
        req->sectors = 0;
        bdev_submit(vb->bdev, req);
        return;
    }
    if (req->status != ST_OK) {
        vb->errors_medium++;
    }
    request_end(vb, vr, req->status);
}

/** Complete everything on the done list; bounded by what is in flight. */
static u32 drain(struct vblk *vb)
{
    u32 count = 0;
    struct blk_req *req;

    while ((req = blk_done_take(&vb->done)) != NULL) {
        request_done(vb, container_of(req, struct vblk_req, blk));
        count++;
    }
    return count;
}

/* --- decoding
 * -------------------------------------------------------------------------------------- */

/** What is left of a chain without header and status. */
struct vblk_data {
    struct span *read; /* driver -> us */
    struct span *write;
    u32 read_count, write_count;
    u64 read_bytes, write_bytes;
};

/** The slow way, for a header in pieces. */
static bool header_gather(struct vq_chain *chain, u8 *to, struct vblk_data *data)
{
    u32 left = sizeof(struct vblk_header);
    u32 i = 0;

    while (left > 0) {
        struct span *span = &chain->span[i];
        u32 piece;

        if (i == chain->read_count || !span->base) {
            return false;
        }
        piece = min_u32(left, span->bytes);
        memcpy(to, span->base, piece);
        to += piece;
        left -= piece;
        span->base += piece;
        span->bus += piece;
        span->bytes -= piece;
        if (span->bytes == 0) {
            i++;
        }
    }
    copied_once();
    data->read = &chain->span[i];
    data->read_count = chain->read_count - i;
    return true;
}

/** Copy the header, once, and trim it off the readable spans. False when it cannot be read. */
static inline bool header_take(struct vq_chain *chain, struct vblk_header *header,
                               struct vblk_data *data)
{
    struct span *first = &chain->span[0];
    const u32 bytes = sizeof(*header);

    if (chain->read_count == 0 || first->bytes != bytes || !first->base ||
        !is_aligned((uintptr_t)first->base, sizeof(u64))) {
        return header_gather(chain, (u8 *)header, data);
    }
    header->type = le32_make(load_u32(first->base));
    header->sector = le64_make(load_u64(first->base + offsetof(struct vblk_header, sector)));
    data->read = first + 1;
    data->read_count = chain->read_count - 1u;
    return true;
}

/** Find the status byte and trim it off the writable spans. False when there is none. */
static inline bool status_take(struct vq_chain *chain, u8 **status, struct vblk_data *data)
{
    struct span *last;

    if (chain->write_count == 0) {
        return false;
    }
    data->write = &chain->span[chain->read_count];
    data->write_count = chain->write_count;
    last = &data->write[data->write_count - 1];
    if (!last->base) {
        return false;
    }
    *status = last->base + last->bytes - 1;
    if (--last->bytes == 0) {
        data->write_count--;
    }
    return true;
}

/* --- the request types
 * ------------------------------------------------------------------------------- */

static u32 request_units(u64 bytes)
{
    return 1 + (u32)(bytes / VBLK_UNIT_BYTES);
}

static inline void submit(struct vblk *vb, struct vblk_req *vr)
{
    vr->blk.done = &vb->done;
    bdev_submit(vb->bdev, &vr->blk);
}

/** Sectors in whole logical blocks, inside the disk. */
static inline bool range_is_served(const struct vblk *vb, u64 sector, u64 bytes)
{
    const struct bdev_info *info = &vb->bdev->info;

    return is_aligned(bytes | sector * SECTOR_BYTES, info->logical_block_bytes) &&
           range_ok(sector, bytes / SECTOR_BYTES, info->sectors);
}

/** IN and OUT. */
static u32 request_data(struct vblk *vb, struct vblk_req *vr, const struct vblk_header *header,
                        const struct vblk_data *data)
{
    bool in = le32_get(header->type) == VIRTIO_BLK_T_IN;
    u64 bytes = in ? data->write_bytes : data->read_bytes;
    u64 stray = in ? data->read_bytes : data->write_bytes;

    if (stray != 0 || !range_is_served(vb, le64_get(header->sector), bytes) ||
        (!in && vb->read_only)) {
        request_refuse(vb, vr);
        return 1;
    }
    vr->written = in ? (u32)bytes + 1 : 1;
    if (in) {
        vb->reads++;
        vb->bytes_read += bytes;
    } else {
        vb->writes++;
        vb->bytes_written += bytes;
    }
    if (bytes == 0) {
        request_end(vb, vr, ST_OK);
        return 1;
    }
    vr->blk.op = in ? BLK_READ : BLK_WRITE;
    vr->blk.sector = le64_get(header->sector);
    vr->blk.sectors = bytes / SECTOR_BYTES;
    vr->blk.spans = in ? data->write : data->read;
    vr->blk.span_count = in ? data->write_count : data->read_count;
    submit(vb, vr);
    return request_units(bytes);
}

static u32 request_flush(struct vblk *vb, struct vblk_req *vr)
{
    vb->flushes++;
    vr->blk.op = BLK_FLUSH;
    vr->blk.sector = 0;
    vr->blk.sectors = 0;
    vr->blk.spans = NULL;
    vr->blk.span_count = 0;
    vr->written = vr->written_failed;
    submit(vb, vr);
    return 1;
}

/** The identity string, as much of it as the buffer takes. */
static u32 request_get_id(struct vblk *vb, struct vblk_req *vr, const struct vblk_data *data)
{
    u32 done = 0;

    vb->get_ids++;
    for (u32 i = 0; i < data->write_count && done < VBLK_ID_BYTES; i++) {
        u32 piece = min_u32(data->write[i].bytes, VBLK_ID_BYTES - done);

        memcpy(data->write[i].base, vb->id + done, piece);
        done += piece;
    }
    vr->written = done == data->write_bytes ? done + 1 : done;
    request_end(vb, vr, ST_OK);
    return 1;
}

/** Decode and start the request in vr->chain. Returns the units of work done. */
static u32 request_start(struct vblk *vb, struct vblk_req *vr)
{
    struct vq_chain *chain = &vr->chain;
    struct vblk_header header;
    struct vblk_data data;

    if (!status_take(chain, &vr->status, &data)) {
        request_drop(vb, vr, "a block request has no status byte we can write");
        return 1;
    }
    if (!header_take(chain, &header, &data)) {
        request_drop(vb, vr, "a block request has no header we can read");
        return 1;
    }
    data.read_bytes = chain->read_bytes - sizeof(header);
    data.write_bytes = chain->write_bytes - 1;
    vr->written_failed = data.write_bytes == 0;
    if (__builtin_expect(chain->holes || chain->cut || chain->desc_count > VBLK_DESC_MAX ||
                             chain->segment_bytes > VBLK_DESC_BYTES_MAX,
                         0)) {
        request_refuse(vb, vr);
        return 1;
    }
    switch (le32_get(header.type)) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        return request_data(vb, vr, &header, &data);
    case VIRTIO_BLK_T_FLUSH:
        return request_flush(vb, vr);
    case VIRTIO_BLK_T_GET_ID:
        return request_get_id(vb, vr, &data);
    default:
        vb->unsupported++;
        request_end(vb, vr, ST_NOSUP);
        return 1;
    }
}

/* --- the poll loop's side
 * ------------------------------------------------------------------------------ */

/** A request cannot be mapped now. When nothing is in flight, waiting would not help: give it
 * back. */
static u32 window_missing(struct vblk *vb, struct virtq *vq)
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

    while (work < budget) {
        struct vblk_req *vr = vb->pool->free;
        enum status st;

        if (!vr) {
            vb->no_slot++;
            break;
        }
        st = virtq_pop(vq, &vr->chain);
        if (st == ST_OK) {
            slot_take(vb, vr, queue);
            work += request_start(vb, vr);
            drain(vb);
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
    vdev_queue_publish(&vb->vdev, queue);
}

u32 vblk_poll(struct vblk *vb, u32 budget)
{
    u16 count = vb->vdev.queue_count;
    u32 work = 0;

    if (vblk_idle(vb)) {
        return 0;
    }
    if (vb->in_flight > 0) {
        work += bdev_poll(vb->bdev);
        work += drain(vb);
    }
    for (u16 i = 0; i < count && vb->vdev.live; i++) {
        u16 queue = (u16)((vb->queue_next + i) % count);

        virtq_kick_disable(&vb->vdev.queue[queue].vq);
        work += queue_poll(vb, queue, work < budget ? budget - work : 0);
    }
    vb->queue_next = (u16)((vb->queue_next + 1) % count);
    for (u16 queue = 0; queue < count; queue++) {
        queue_show(vb, queue);
    }
    return work;
}

u64 vblk_requests(const struct vblk *vb)
{
    u64 sum = 0;

    for (u32 queue = 0; queue < vb->vdev.queue_count; queue++) {
        sum += vb->vdev.queue[queue].vq.chains;
    }
    return sum;
}

bool vblk_arm(struct vblk *vb)
{
    bool work = vb->in_flight > 0;

    for (u32 queue = 0; queue < vb->vdev.queue_count && vb->vdev.live; queue++) {
        work |= virtq_kick_enable(&vb->vdev.queue[queue].vq);
    }
    return work;
}

void vblk_disarm(struct vblk *vb)
{
    for (u32 queue = 0; queue < vb->vdev.queue_count && vb->vdev.live; queue++) {
        virtq_kick_disable(&vb->vdev.queue[queue].vq);
    }
}

/* --- life
 * ------------------------------------------------------------------------------------------------
 */

static void vblk_start(struct vdev *dev)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    /* Without FLUSH the driver has no way to ask for stability: each write is stable when it is
     * completed. [VIRTIO 5.2.6.2] */
    vb->write_through = !vdev_has(dev, VIRTIO_BLK_F_FLUSH) && vb->bdev->info.write_cache;
}

/** Rings were stopped: what is in flight from them has nobody to go to. */
static void vblk_stopped(struct vdev *dev)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    for (u32 i = 0; i < REQUESTS_MAX && vb->in_flight > 0; i++) {
        struct vblk_req *vr = &vb->pool->slot[i];

        if (vr->vb == vb && dev->queue[vr->queue].vq.state != VQ_READY) {
            bdev_cancel(vb->bdev, &vr->blk);
        }
    }
    drain(vb);
}

static const struct vdev_ops vblk_ops = {
    .start = vblk_start,
    .stopped = vblk_stopped,
};

static void config_fill(struct vblk *vb)
{
    const struct bdev_info *info = &vb->bdev->info;
    u32 physical_blocks = info->physical_block_bytes / info->logical_block_bytes;

    vb->config = (struct vblk_config){
        .capacity = le64_make(info->sectors),
        .size_max = le32_make(BLK_SIZE_MAX),
        .seg_max = le32_make(min_u32(BLK_SEG_MAX, info->seg_max)),
        .blk_size = le32_make(info->logical_block_bytes),
        .physical_block_exp = (u8)__builtin_ctz(physical_blocks),
        .min_io_size = le16_make((u16)physical_blocks),
        .opt_io_size = le32_make(info->optimal_io_bytes / info->logical_block_bytes),
    };
}

static u64 features_offered(const struct vblk *vb)
{
    u64 features = BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) |
                   BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) |
                   BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_F_INDIRECT_DESC) |
                   BIT64(VIRTIO_F_EVENT_IDX);

    return vb->read_only ? features | BIT64(VIRTIO_BLK_F_RO) : features;
}

void vblk_init(struct vblk *vb, const struct vblk_init *init)
{
    *vb = (struct vblk){
        .bdev = init->bdev,
        .pool = init->pool,
        .read_only = init->read_only || init->bdev->info.read_only,
    };
    blk_done_init(&vb->done);
    for (u32 i = 0; i < VBLK_ID_BYTES && init->id[i] != '\0'; i++) {
        vb->id[i] = init->id[i];
    }
    config_fill(vb);
    vdev_init(&vb->vdev, &(struct vdev_init){
                             .ops = &vblk_ops,
                             .name = init->name,
                             .device_id = VIRTIO_ID_BLOCK,
                             .offered = features_offered(vb),
                             .gm = init->gm,
                             .config = &vb->config,
                             .config_bytes = sizeof(vb->config),
                             .queue_count = 1,
                             .queue_size_max = VBLK_QUEUE_SIZE,
                         });
}

void vblk_resized(struct vblk *vb)
{
    config_fill(vb);
    vdev_config_changed(&vb->vdev);
}

bool vblk_shutdown(struct vblk *vb)
{
    bool stopped = vdev_shutdown(&vb->vdev);

    if (vb->in_flight > 0) {
        bdev_poll(vb->bdev);
        drain(vb);
        stopped = vdev_shutdown(&vb->vdev);
    }
    return stopped && vb->in_flight == 0;
}
