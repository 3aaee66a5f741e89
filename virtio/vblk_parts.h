/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk_parts.h - what the three files of the block device share; for them alone.     plane: data
 *
 *   vblk.c         the turn: slots, decoding, IN and OUT, completing
 *   vblk_rare.c    every other request
 *   vblk_device.c  features, config space, life
 */
#pragma once

#include "virtio/vblk.h"

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
/** Hand vr->blk to the medium; ends the request when the medium is done with it at once. */
void vblk_request_submit(struct vblk *vb, struct vblk_req *vr);
/** Complete what the medium has put on the done list. Returns the number of requests. */
u32 vblk_drain(struct vblk *vb);

/* --- vblk_rare.c ---------------------------------------------------------------------------- */

/** Start a request that is neither IN nor OUT. Returns the units of work done. */
u32 vblk_request_rare(struct vblk *vb, struct vblk_req *vr);
