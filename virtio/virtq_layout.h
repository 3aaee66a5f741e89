/* SPDX-License-Identifier: BSD-2-Clause */
/* virtq_layout.h - virtqueues as they lie in guest memory. [VIRTIO 2.7, 2.8] */
#pragma once

#include "start/base/check.h"
#include "start/base/types.h"

#define VIRTQ_DESC_F_NEXT     0x1 /* the chain goes on at next */
#define VIRTQ_DESC_F_WRITE    0x2 /* device-writable, else device-readable */
#define VIRTQ_DESC_F_INDIRECT 0x4 /* addr and len name a table of descriptors */

#define VIRTQ_AVAIL_F_NO_INTERRUPT 0x1
#define VIRTQ_USED_F_NO_NOTIFY     0x1

/* [VIRTIO 2.7.5] */
struct virtq_desc {
    le64_t addr;
    le32_t len;
    le16_t flags;
    le16_t next;
};

/* The same 16 bytes as two words, so that each is read with one access. */
#define VIRTQ_DESC_LEN(w)   ((u32)(w))
#define VIRTQ_DESC_FLAGS(w) ((u16)((w) >> 32))
#define VIRTQ_DESC_NEXT(w)  ((u16)((w) >> 48))

/* Available ring [VIRTIO 2.7.6]: flags, idx, ring[size], used_event */
#define VIRTQ_AVAIL_FLAGS            0
#define VIRTQ_AVAIL_IDX              2
#define VIRTQ_AVAIL_RING(slot)       (4 + 2 * (u32)(slot))
#define VIRTQ_AVAIL_USED_EVENT(size) VIRTQ_AVAIL_RING(size)

/* Used ring [VIRTIO 2.7.8]: flags, idx, ring[size] of {id, len}, avail_event */
#define VIRTQ_USED_FLAGS             0
#define VIRTQ_USED_IDX               2
#define VIRTQ_USED_RING(slot)        (4 + 8 * (u32)(slot))
#define VIRTQ_USED_AVAIL_EVENT(size) VIRTQ_USED_RING(size)

/* Alignment and size of the parts [VIRTIO 2.7] */
#define VIRTQ_DESC_ALIGN        16
#define VIRTQ_AVAIL_ALIGN       2
#define VIRTQ_USED_ALIGN        4
#define VIRTQ_DESC_BYTES(size)  (16 * (u32)(size))
#define VIRTQ_AVAIL_BYTES(size) (6 + 2 * (u32)(size))
#define VIRTQ_USED_BYTES(size)  (6 + 8 * (u32)(size))

STATIC_CHECK(sizeof(struct virtq_desc) == 16, "[VIRTIO 2.7.5]");
STATIC_CHECK(offsetof(struct virtq_desc, len) == 8, "[VIRTIO 2.7.5]");
STATIC_CHECK(offsetof(struct virtq_desc, flags) == 12, "[VIRTIO 2.7.5]");
STATIC_CHECK(offsetof(struct virtq_desc, next) == 14, "[VIRTIO 2.7.5]");

/*
 * A packed ring [VIRTIO 2.8.13]: addr, then len, id and flags. A descriptor is available when AVAIL
 * equals the wrap counter and USED does not, used when both do.
 */
#define VIRTQ_DESC_F_AVAIL 0x0080
#define VIRTQ_DESC_F_USED  0x8000

#define VIRTQ_PACKED_WORD     8 /* len, id and flags in one word */
#define VIRTQ_PACKED_FLAGS_AT 14
#define VIRTQ_PACKED_ID(w)    ((u16)((w) >> 32))
#define VIRTQ_PACKED_FLAGS(w) ((u16)((w) >> 48))

/* Event suppression [VIRTIO 2.8.14]: a position, then flags */
#define VIRTQ_EVENT_ENABLE   0x0
#define VIRTQ_EVENT_DISABLE  0x1
#define VIRTQ_EVENT_DESC     0x2 /* at the descriptor that the position names */
#define VIRTQ_EVENT_FLAGS(w) ((w) >> 16 & 0x3)
#define VIRTQ_EVENT(flags)   ((u32)(flags) << 16)

/* Alignment and size of the parts [VIRTIO 2.8.10.1]; the ring is as large as a descriptor table */
#define VIRTQ_EVENT_ALIGN 4
#define VIRTQ_EVENT_BYTES 4
