/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk_parts.h - what the three files of the block device share; for them alone.     plane: data
 *
 *   vblk.c         the turn: slots, decoding, IN and OUT, completing
 *   vblk_rare.c    every other request
 *   vblk_device.c  features, config space, life
 */
#pragma once

#include "start/base/arith.h"

#include "virtio/vblk.h"

/** Sectors in whole logical blocks, inside the disk. */
static inline bool vblk_range_is_served(const struct vblk *vb, u64 sector, u64 bytes)
{
    const struct bdev_info *info = &vb->bdev->info;

    return is_aligned(bytes | sector * SECTOR_BYTES, info->logical_block_bytes) &&
           range_ok(sector, bytes / SECTOR_BYTES, info->sectors);
}

/** Writable spans without the status byte. */
static inline u32 vblk_data_write_count(const struct vblk_req *vr)
{
    const struct vq_chain *chain = &vr->chain;
    const struct span *last = &chain->span[chain->read_count + chain->write_count - 1u];

    return chain->write_count - (last->bytes == 0);
}

/* --- vblk.c --------------------------------------------------------------------------------- */

/** Write the status byte that st means and return the chain. */
void vblk_request_end(struct vblk_req *vr, enum status st);
/** Returned without effect: the driver got it wrong. Counted. */
void vblk_request_refuse(struct vblk *vb, struct vblk_req *vr);
/**
 * The medium says st of what it was given of vr; ST_AGAIN: it is in flight. The request ends, or
 * waits in its slot for vblk_drain(). For requests that are not in a slot yet.
 */
void vblk_request_settle(struct vblk *vb, struct vblk_req *vr, enum status st);
/** Complete what the medium has put on the done list. Returns the number of requests. */
u32 vblk_drain(struct vblk *vb);

/* --- vblk_rare.c ---------------------------------------------------------------------------- */

/**
 * The medium has finished a step of vr with st: give it the next one, if there is one. Returns what
 * the medium says of the last step it was given; ST_AGAIN: that is in flight.
 */
enum status vblk_request_step(struct vblk *vb, struct vblk_req *vr, enum status st);

/** Start a request that is neither IN nor OUT. Returns the units of work done. */
u32 vblk_request_rare(struct vblk *vb, struct vblk_req *vr);
