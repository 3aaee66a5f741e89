/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vconsole.h - a virtio console device with one port. [VIRTIO 5.3]                plane: data
 *
 *   transmitq  the guest's output: handed to the sink as it comes, and never held back. A driver
 *              may wait for each piece with its locks held (Linux does), so a slow reader costs
 *              text, not the guest: what to show and what to forget is the sink's business.
 *   receiveq   input for the guest: waits here until the guest offers a buffer.
 *
 * The emergency write register is offered: it works before the driver has done anything. There is
 * no size (the reader is no terminal) and one port only.
 */
#pragma once

#include "virtio/vdev.h"

#define VIRTIO_CONSOLE_F_EMERG_WRITE 2

#define VCONSOLE_RX 0 /* receiveq(port0) [VIRTIO 5.3.2] */
#define VCONSOLE_TX 1 /* transmitq(port0) */

#define VCONSOLE_QUEUE_SIZE  64
#define VCONSOLE_INPUT_BYTES 256           /* input that waits for the guest; power of two */
#define VCONSOLE_CHAIN_BYTES (u32) KIB(64) /* output of one buffer; what lies behind is dropped */
#define VCONSOLE_UNIT        (u32) KIB(1)  /* bytes that count as one unit of a poll budget */

/** Config space [VIRTIO 5.3.4]; what no offered feature covers reads as 0. */
struct vconsole_config {
    le16_t cols, rows;
    le32_t max_nr_ports;
    le32_t emerg_wr;
};

/** The guest said these bytes: ours to read, until the return. They are of any value. */
typedef void (*vconsole_sink_fn)(void *ctx, const u8 *bytes, u32 count);

struct vconsole {
    struct vdev vdev;
    vconsole_sink_fn sink;
    void *sink_ctx;
    struct vq_chain *chain; /* where a turn takes chains to */
    struct vconsole_config config;
    u8 input[VCONSOLE_INPUT_BYTES];
    u32 input_head, input_tail; /* free-running: [tail, head) waits */
    /* counters since vconsole_init() */
    u64 bytes_out, bytes_in, bytes_dropped;
};

struct vconsole_init {
    struct gmem *gm;
    struct vq_chain *chain; /* may be one for all devices of a poll loop */
    const char *name;       /* for messages; stays valid */
    vconsole_sink_fn sink;
    void *sink_ctx;
};

/** The transport is added by vmmio_init(m, &vc->vdev, ...). */
void vconsole_init(struct vconsole *vc, const struct vconsole_init *init);

/** Input for the guest. False when there is no room for all of it: nothing is taken then. */
bool vconsole_input(struct vconsole *vc, const char *text, u32 count);
