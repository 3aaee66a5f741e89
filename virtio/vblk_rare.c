/* SPDX-License-Identifier: BSD-2-Clause */
/* vblk_rare.c - block requests that are neither IN nor OUT. [VIRTIO 5.2.6] */
#include "virtio/vblk_parts.h"

#include <string.h>

#include "start/base/arith.h"

static u32 request_flush(struct vblk *vb, struct vblk_req *vr)
{
    vb->flushes++;
    vr->blk.op = BLK_FLUSH;
    vr->blk.sector = 0;
    vr->blk.sectors = 0;
    vr->blk.spans = NULL;
    vr->blk.span_count = 0;
    vr->written = vr->written_failed;
    vblk_request_submit(vb, vr);
    return 1;
}

/** The identity string, as much of it as the buffer takes. */
static u32 request_get_id(struct vblk *vb, struct vblk_req *vr)
{
    const struct span *span = &vr->chain.span[vr->chain.read_count];
    u32 count = vblk_data_write_count(vr);
    u32 done = 0;

    vb->get_ids++;
    for (u32 i = 0; i < count && done < VBLK_ID_BYTES; i++) {
        u32 piece = min_u32(span[i].bytes, VBLK_ID_BYTES - done);

        memcpy(span[i].base, vb->id + done, piece);
        done += piece;
    }
    vr->written = done + (done == vr->chain.write_bytes - 1);
    vblk_request_end(vr, ST_OK);
    return 1;
}

u32 vblk_request_rare(struct vblk *vb, struct vblk_req *vr)
{
    switch (le32_get(vr->header.type)) {
    case VIRTIO_BLK_T_FLUSH:
        return request_flush(vb, vr);
    case VIRTIO_BLK_T_GET_ID:
        return request_get_id(vb, vr);
    default:
        vb->unsupported++;
        vblk_request_end(vr, ST_NOSUP);
        return 1;
    }
}
