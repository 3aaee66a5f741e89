/* SPDX-License-Identifier: BSD-2-Clause */
/* vconsole.c - a guest's output to a sink, and input to the guest. [VIRTIO 5.3] */
#include "virtio/vconsole.h"

#include <inttypes.h>
#include <string.h>

#include "start/base/arith.h"

#define PIECE_BYTES 128 /* copied out of guest memory at once */

STATIC_CHECK(sizeof(struct vconsole_config) == 12, "[VIRTIO 5.3.4]");
STATIC_CHECK((VCONSOLE_INPUT_BYTES & (VCONSOLE_INPUT_BYTES - 1)) == 0, "indices are masked");

/* --- output --------------------------------------------------------------------------------- */

/** Hand a span to the sink, by way of a copy: the guest may change it meanwhile. */
static void span_show(struct vconsole *vc, const u8 *base, u32 bytes)
{
    u8 piece[PIECE_BYTES];

    for (u32 at = 0; at < bytes; at += PIECE_BYTES) {
        u32 count = min_u32(bytes - at, PIECE_BYTES);

        memcpy(piece, base + at, count);
        copied_once();
        vc->sink(vc->sink_ctx, piece, count);
    }
}

/** Show the readable bytes of the chain, up to the first hole. Returns the units of work done. */
static u32 output_take(struct vconsole *vc, struct virtq *vq)
{
    const struct vq_chain *chain = vc->chain;
    u32 done = 0;

    /* > The driver MUST NOT put a device-writable buffer in a transmitq. [VIRTIO 5.3.6.1] */
    if (chain->write_count > 0) {
        virtq_push_malformed(vq, chain, "a console's output is in a writable buffer");
        return 1;
    }
    for (u32 i = 0; i < chain->read_count && chain->span[i].base; i++) {
        u32 count = min_u32(chain->span[i].bytes, VCONSOLE_CHAIN_BYTES - done);

        span_show(vc, chain->span[i].base, count);
        done += count;
    }
    vc->bytes_out += done;
    vc->bytes_dropped += chain->read_bytes - done;
    virtq_push(vq, chain, 0);
    return 1 + done / VCONSOLE_UNIT;
}

/* --- input ---------------------------------------------------------------------------------- */

static u32 input_waiting(const struct vconsole *vc)
{
    return vc->input_head - vc->input_tail;
}

bool vconsole_input(struct vconsole *vc, const char *text, u32 count)
{
    if (count > VCONSOLE_INPUT_BYTES - input_waiting(vc)) {
        return false;
    }
    for (u32 i = 0; i < count; i++) {
        vc->input[vc->input_head++ % VCONSOLE_INPUT_BYTES] = (u8)text[i];
    }
    vc->vdev.queue[VCONSOLE_RX].resting = false;
    return true;
}

/** Put input into the chain until one of them is used up. Returns the units of work done. */
static u32 input_give(struct vconsole *vc, struct virtq *vq)
{
    const struct vq_chain *chain = vc->chain;
    u32 done = 0;

    /* > The driver MUST NOT put a device-readable buffer in a receiveq. [VIRTIO 5.3.6.1] */
    if (chain->read_count > 0 || chain->write_count == 0 || !chain->span[0].base) {
        virtq_push_malformed(vq, chain, "a console's input has no buffer that is all writable");
        return 1;
    }
    for (u32 i = 0; i < chain->write_count && chain->span[i].base; i++) {
        for (u32 at = 0; at < chain->span[i].bytes && input_waiting(vc) > 0; at++) {
            store_u8(chain->span[i].base + at, vc->input[vc->input_tail++ % VCONSOLE_INPUT_BYTES]);
            done++;
        }
    }
    vc->bytes_in += done;
    virtq_push(vq, chain, done);
    return 1;
}

/* --- the device ------------------------------------------------------------------------------- */

static u32 vconsole_poll(struct vdev *dev, u32 budget)
{
    struct vconsole *vc = container_of(dev, struct vconsole, vdev);
    u32 work = 0;

    vdev_turn_begin(dev);
    while (work < budget && vdev_queue_next(dev, VCONSOLE_TX, vc->chain, &work)) {
        work += output_take(vc, &dev->queue[VCONSOLE_TX].vq);
    }
    while (input_waiting(vc) > 0 && vdev_queue_next(dev, VCONSOLE_RX, vc->chain, &work)) {
        work += input_give(vc, &dev->queue[VCONSOLE_RX].vq);
    }
    if (input_waiting(vc) == 0) {
        /* Its buffers are for later: they are neither work nor worth a kick. */
        vdev_rest(dev, VCONSOLE_RX, VDEV_FOREVER);
    }
    vdev_turn_end(dev);
    return work;
}

/** Input was for whoever listened: the next driver does not get it. */
static void vconsole_stopped(struct vdev *dev)
{
    struct vconsole *vc = container_of(dev, struct vconsole, vdev);

    vc->input_tail = vc->input_head;
}

/** > The device MUST allow a write to emerg_wr, even on an unconfigured device. [VIRTIO 5.3.5.1] */
static void vconsole_config_write(struct vdev *dev, u32 offset, u32 bytes, u64 value)
{
    struct vconsole *vc = container_of(dev, struct vconsole, vdev);
    u8 byte = (u8)value;

    (void)bytes;
    if (offset == offsetof(struct vconsole_config, emerg_wr)) {
        vc->bytes_out++;
        vc->sink(vc->sink_ctx, &byte, 1);
    }
}

static void vconsole_report(const struct vdev *dev)
{
    const struct vconsole *vc = container_of(dev, const struct vconsole, vdev);

    log_info("stats device %s: bytes_out=%" PRIu64 " bytes_in=%" PRIu64 " bytes_dropped=%" PRIu64,
             dev->name, vc->bytes_out, vc->bytes_in, vc->bytes_dropped);
}

static const struct vdev_ops vconsole_ops = {
    .stopped = vconsole_stopped,
    .config_write = vconsole_config_write,
    .poll = vconsole_poll,
    .report = vconsole_report,
};

void vconsole_init(struct vconsole *vc, const struct vconsole_init *init)
{
    *vc = (struct vconsole){
        .sink = init->sink,
        .sink_ctx = init->sink_ctx,
        .chain = init->chain,
    };
    vdev_init(&vc->vdev, &(struct vdev_init){
                             .ops = &vconsole_ops,
                             .name = init->name,
                             .device_id = VIRTIO_ID_CONSOLE,
                             .offered = BIT64(VIRTIO_CONSOLE_F_EMERG_WRITE) |
                                        BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX),
                             .gm = init->gm,
                             .config = &vc->config,
                             .config_bytes = sizeof(vc->config),
                             .queue_count = 2,
                             .queue_size_max = VCONSOLE_QUEUE_SIZE,
                         });
}
