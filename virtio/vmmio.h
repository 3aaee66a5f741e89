/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmmio.h - the virtio-mmio register file, version 2, in front of a vdev. [VIRTIO 4.2]  plane:
 * control
 *
 * Control registers answer aligned 32-bit accesses; everything else, the legacy registers and the
 * holes read as zero and ignore writes. The config space takes 1, 2, 4 and 8 bytes at any offset.
 *
 * Offered here, for every device: RING_RESET (QueueReset), and NOTIFICATION_DATA, whose bits in
 * QueueNotify say nothing to somebody who looks at the rings anyway.
 *
 * The interrupt line is an edge. A cause is set in InterruptStatus before the edge; a cause that
 * came again after the driver last read InterruptStatus survives the driver's acknowledgement,
 * with a new edge: the driver cannot have known of it, so it is not lost.
 */
#pragma once

#include "virtio/vdev.h"

#define VMMIO_BYTES 0x200 /* of the window; config space included */

/** Raise one edge of the device's interrupt. */
typedef void (*vmmio_irq_fn)(void *ctx);

struct vmmio {
    struct vdev *dev;
    vmmio_irq_fn irq;
    void *irq_ctx;
    u32 device_features_sel, driver_features_sel, queue_sel;
    u32 interrupt_status;
    u32 interrupt_fresh; /* causes set since the driver last read interrupt_status */
};

/** Becomes the transport of dev. */
void vmmio_init(struct vmmio *m, struct vdev *dev, vmmio_irq_fn irq, void *irq_ctx);

/**
 * Answer one access of the driver: *data is in for a write, out for a read. offset counts from the
 * start of the window. Any argument is fine: what makes no sense reads as zero or is ignored.
 */
void vmmio_access(struct vmmio *m, u32 offset, u8 bytes, bool write, u64 *data);
