/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk_quick.c - the read or write that nearly every driver sends, on a disk that is memory.
 *
 * Header, data in one run, status byte, all of it known to the inline lines of gmem, in range and
 * short: then the request is over when its data is copied, and nothing needs to be remembered of
 * it. Any doubt leaves the chain in the ring, where vblk.c finds it and says what is wrong.
 */
#include "virtio/vblk.h"
#include "virtio/virtq_quick.h"

STATIC_CHECK(VIRTIO_BLK_T_IN == 0 && VIRTIO_BLK_T_OUT == 1, "a type counts the writes");

/** Copy the data of q as its header says. The units of work done, 0 when it is left alone. */
static inline u32 quick_serve(const struct vblk *vb, const struct virtq_quick *batch,
                              const struct vq_quick *q, u32 *type)
{
    u64 sector = load_u64(q->first + offsetof(struct vblk_header, sector));
    u8 *content, *guest;

    *type = load_u32(q->first + offsetof(struct vblk_header, type));
    content = bdev_memory(vb->bdev, sector, q->data_bytes);
    if (*type > vb->quick_type_max || *type == q->data_write || !content) {
        return 0;
    }
    guest = gmem_peek(batch->gm, q->data_addr, q->data_bytes, GMEM_WRITE - *type);
    if (!guest) {
        return 0;
    }
    if (*type == VIRTIO_BLK_T_IN) {
        port_copy(guest, content, q->data_bytes);
    } else {
        port_copy(content, guest, q->data_bytes);
    }
    return 1 + q->data_bytes / VBLK_UNIT_BYTES;
}

u32 vblk_quick(struct vblk *vb, struct virtq *vq, u32 budget)
{
    struct virtq_quick batch;
    struct vq_quick q;
    u64 bytes = 0, bytes_written = 0;
    u32 work = 0, count, writes = 0, type;

    if (!vb->bdev->memory || !virtq_quick_begin(vq, &batch)) {
        return 0;
    }
    while (work < budget && quick_look(vq, &batch, sizeof(struct vblk_header), &q)) {
        u32 units = quick_serve(vb, &batch, &q, &type);

        if (units == 0) {
            break;
        }
        store_u8(q.last, VIRTIO_BLK_S_OK);
        quick_return(&batch, &q, type == VIRTIO_BLK_T_IN ? q.data_bytes + 1 : 1);
        work += units;
        bytes += q.data_bytes;
        writes += type;
        bytes_written += q.data_bytes & (0 - type);
    }
    count = (u16)(batch.next - vq->next);
    virtq_quick_end(vq, &batch);
    if (PART_EYES) {
        vb->taken += count;
    }
    vb->reads += count - writes;
    vb->writes += writes;
    vb->bytes_read += bytes - bytes_written;
    vb->bytes_written += bytes_written;
    bdev_moved(vb->bdev, BLK_READ, count - writes);
    bdev_moved(vb->bdev, BLK_WRITE, writes);
    return work;
}
