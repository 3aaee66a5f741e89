/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfront.h - a virtio-blk driver over virtio-mmio, split ring. [VIRTIO 2.7, 4.2, 5.2]  plane: data
 *
 *   pages   0            descriptors           slot s owns 3s (header), 3s + 1 (data), 3s + 2
 * (status) 1            available ring, used ring 2            headers               grants:
 * read-only to the backend 3            status bytes 4 and up     buffers               whole pages
 * for each slot
 *
 * All of it is one run of pages: as addresses of ours, or as grants to the backend's domain when
 * VIRTIO_F_ACCESS_PLATFORM was negotiated.
 */
#pragma once

#include "tests/guest/front/grants.h"
#include "tests/guest/front/options.h"
#include "tests/guest/front/traffic.h"
#include "tests/guest/front/tree.h"
#include "virtio/vblk_defs.h"
#include "virtio/virtq_layout.h"

#define VFRONT_RING_MAX 256 /* descriptors: three for each of FRONT_DEPTH_MAX slots fit */

struct vfront {
    struct front_machine *machine;
    u64 regs;
    u32 irq_line; /* of the machine's GIC */
    u64 features; /* negotiated */
    u64 extra;    /* negotiated too where they are offered */
    u32 size;     /* of the ring */
    u32 depth, bytes, slot_pages;
    bool granted, stay;
    struct grant_run run;
    struct virtq_desc *desc;
    u8 *avail, *used;
    struct vblk_header *header;
    u8 *status;
    u8 *data;
    u16 avail_idx; /* as shown or to be shown */
    u16 shown_idx; /* as last published */
    u16 used_idx;  /* up to where used elements were taken */
    u64 in_flight; /* a bit for each slot */
    struct front_traffic traffic;
};

/** Everything up to DRIVER_OK. Returns the disk's sectors; ends the domain when it is refused. */
u64 vfront_open(struct front_machine *m, const struct front_options *options,
                const struct tree_virtio *node, struct vfront *v);
/** From reset to DRIVER_OK again, whatever became of the rings; nothing is in flight then. */
void vfront_start(struct vfront *v);
/** What the device is told of a byte of our run. */
u64 vfront_address(const struct vfront *v, const void *byte);
/** Reset, and take all grants back. Returns the pages that the backend still has in use. */
u32 vfront_close(struct vfront *v);

u8 *vfront_buffer(const struct vfront *v, u32 slot);
void vfront_submit(struct vfront *v, u32 slot, bool write, u64 sector);
void vfront_publish(struct vfront *v);
bool vfront_take(struct vfront *v, u32 *slot, bool *good);
bool vfront_arm(struct vfront *v);
void vfront_disarm(struct vfront *v);
