/* SPDX-License-Identifier: BSD-2-Clause */
/* ventropy.c - random bytes for a guest, so many per second. [VIRTIO 5.4] */
#include "virtio/ventropy.h"

#include <inttypes.h>

#include "start/base/arith.h"

#define REST_NS (UINT64_C(1000000000) * VENTROPY_MIN / VENTROPY_PER_SECOND)

STATIC_CHECK(VENTROPY_MIN <= VENTROPY_BURST, "a rest must end");

/** Fill at most limit bytes of the buffer, up to its first hole. Returns how many. */
static u32 buffer_fill(struct ventropy *ve, u32 limit)
{
    const struct span *span = ve->chain->span;
    u32 done = 0;

    for (u32 i = 0; i < ve->chain->write_count && span[i].base && done < limit; i++) {
        u32 piece = min_u32(span[i].bytes, limit - done);

        ve->fill(span[i].base, piece);
        done += piece;
    }
    return done;
}

/** Answer the chain with what limit allows. Returns the units of work done. */
static u32 buffer_answer(struct ventropy *ve, struct virtq *vq, u32 limit)
{
    u32 done;

    /* > The driver MUST NOT place device-readable buffers into the queue. [VIRTIO 5.4.6.1] */
    if (ve->chain->read_count > 0 || ve->chain->write_count == 0 || !ve->chain->span[0].base) {
        virtq_push_malformed(vq, ve->chain, "an entropy buffer must be writable, all of it");
        return 1;
    }
    /* > The device MUST place one or more random bytes into the buffer. [VIRTIO 5.4.6.2] */
    done = buffer_fill(ve, limit);
    bucket_take(&ve->rate, done);
    ve->bytes += done;
    virtq_push(vq, ve->chain, done);
    return 1 + done / VENTROPY_UNIT;
}

static u32 ventropy_poll(struct vdev *dev, u32 budget)
{
    struct ventropy *ve = container_of(dev, struct ventropy, vdev);
    u32 work = 0;

    vdev_turn_begin(dev);
    while (work < budget) {
        u32 limit = bucket_level(&ve->rate, VENTROPY_BURST, VENTROPY_PER_SECOND);

        if (limit < VENTROPY_MIN) {
            ve->rests++;
            vdev_rest(dev, 0, REST_NS);
            break;
        }
        if (!vdev_queue_next(dev, 0, ve->chain, &work)) {
            break;
        }
        work += buffer_answer(ve, &dev->queue[0].vq, limit);
    }
    vdev_turn_end(dev);
    return work;
}

static void ventropy_report(const struct vdev *dev)
{
    const struct ventropy *ve = container_of(dev, const struct ventropy, vdev);

    log_info("stats device %s: bytes=%" PRIu64 " rests=%" PRIu64, dev->name, ve->bytes, ve->rests);
}

static const struct vdev_ops ventropy_ops = {
    .poll = ventropy_poll,
    .report = ventropy_report,
};

void ventropy_init(struct ventropy *ve, const struct ventropy_init *init)
{
    *ve = (struct ventropy){.fill = init->fill, .chain = init->chain};
    vdev_init(&ve->vdev, &(struct vdev_init){
                             .ops = &ventropy_ops,
                             .name = init->name,
                             .device_id = VIRTIO_ID_ENTROPY,
                             .offered = BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX),
                             .gm = init->gm,
                             .queue_count = 1,
                             .queue_size_max = VENTROPY_QUEUE_SIZE,
                         });
}
