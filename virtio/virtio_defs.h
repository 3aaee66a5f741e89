/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio_defs.h - numbers every virtio device shares.
 *
 * [VIRTIO] Virtual I/O Device (VIRTIO) Version 1.3, OASIS Committee Specification 01, 2023
 */
#pragma once

#include "start/base/types.h"

/* Device types [VIRTIO 5] */
#define VIRTIO_ID_BLOCK   2
#define VIRTIO_ID_CONSOLE 3
#define VIRTIO_ID_ENTROPY 4

/* Device status [VIRTIO 2.1] */
#define VIRTIO_STATUS_ACKNOWLEDGE 0x01
#define VIRTIO_STATUS_DRIVER      0x02
#define VIRTIO_STATUS_DRIVER_OK   0x04
#define VIRTIO_STATUS_FEATURES_OK 0x08
#define VIRTIO_STATUS_NEEDS_RESET 0x40 /* set by the device only */
#define VIRTIO_STATUS_FAILED      0x80
#define VIRTIO_STATUS_DRIVER_BITS                                                 \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_DRIVER_OK | \
     VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_FAILED)

/* Feature bits that belong to no device type [VIRTIO 6] */
#define VIRTIO_F_INDIRECT_DESC 28
#define VIRTIO_F_EVENT_IDX     29
#define VIRTIO_F_VERSION_1     32
#define VIRTIO_F_ACCESS_PLATFORM \
    33 /* addresses are what the platform makes of them: under Xen, also grants */
#define VIRTIO_F_RING_PACKED 34 /* the layout of 2.8 */
#define VIRTIO_F_IN_ORDER    35 /* buffers are returned in the order they were offered in */
#define VIRTIO_F_NOTIFICATION_DATA                                                        \
    38                         /* a kick says how far the driver is, not only which queue \
                                */
#define VIRTIO_F_RING_RESET 40 /* one queue can be reset while the device is live */

/* Causes of an interrupt, as InterruptStatus shows them [VIRTIO 4.2.2] */
#define VIRTIO_INT_QUEUE  0x1
#define VIRTIO_INT_CONFIG 0x2
