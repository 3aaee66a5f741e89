/* SPDX-License-Identifier: BSD-2-Clause */
/* vblk_device.c - the block device as a virtio device: features, config space, life. [VIRTIO 5.2]
 */
#include "virtio/vblk_parts.h"

#include <inttypes.h>

#include "start/base/arith.h"

static void vblk_start(struct vdev *dev)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    /* Without FLUSH the driver has no way to ask for stability: each write is stable when it is
     * completed. [VIRTIO 5.2.6.2] */
    vb->write_through = !vdev_has(dev, VIRTIO_BLK_F_FLUSH) && vb->bdev->info.write_cache;
    vb->quick_type_max = vb->read_only || vb->write_through ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
}

/** Rings were stopped: what is in flight from them has nobody to go to. */
static void vblk_stopped(struct vdev *dev)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    for (u32 i = 0; i < REQUESTS_MAX && vb->in_flight > 0; i++) {
        struct vblk_req *vr = &vb->pool->slot[i];

        if (vr->vb == vb && vr->vq->state != VQ_READY) {
            bdev_cancel(vb->bdev, &vr->blk);
        }
    }
    vblk_drain(vb);
}

static u32 class_poll(struct vdev *dev, u32 budget)
{
    return vblk_work(container_of(dev, struct vblk, vdev), budget);
}

static bool class_shutdown(struct vdev *dev)
{
    return vblk_shutdown(container_of(dev, struct vblk, vdev));
}

static void class_report(const struct vdev *dev)
{
    const struct vblk *vb = container_of(dev, const struct vblk, vdev);

    log_info("stats device %s: reads=%" PRIu64 " writes=%" PRIu64 " flushes=%" PRIu64
             " kib_read=%" PRIu64 " kib_written=%" PRIu64 " batches=%" PRIu64,
             dev->name, vb->reads, vb->writes, vb->flushes, vb->bytes_read >> 10,
             vb->bytes_written >> 10, vb->batches);
    log_info("stats errors %s: errors_guest=%" PRIu64 " errors_medium=%" PRIu64, dev->name,
             vb->errors_guest, vb->errors_medium);
}

static const struct vdev_ops vblk_ops = {
    .start = vblk_start,
    .stopped = vblk_stopped,
    .poll = class_poll,
    .shutdown = class_shutdown,
    .report = class_report,
};

static void config_fill(struct vblk *vb)
{
    const struct bdev_info *info = &vb->bdev->info;
    u32 physical_blocks = info->physical_block_bytes / info->logical_block_bytes;

    vb->config = (struct vblk_config){
        .capacity = le64_make(info->sectors),
        .size_max = le32_make(BLK_SIZE_MAX),
        .seg_max = le32_make(min_u32(BLK_SEG_MAX, info->seg_max)),
        .blk_size = le32_make(info->logical_block_bytes),
        .physical_block_exp = (u8)__builtin_ctz(physical_blocks),
        .min_io_size = le16_make((u16)physical_blocks),
        .opt_io_size = le32_make(info->optimal_io_bytes / info->logical_block_bytes),
    };
}

static u64 features_offered(const struct vblk *vb)
{
    u64 features = BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) |
                   BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) |
                   BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_F_INDIRECT_DESC) |
                   BIT64(VIRTIO_F_EVENT_IDX);

    return vb->read_only ? features | BIT64(VIRTIO_BLK_F_RO) : features;
}

void vblk_init(struct vblk *vb, const struct vblk_init *init)
{
    *vb = (struct vblk){
        .bdev = init->bdev,
        .pool = init->pool,
        .read_only = init->read_only || init->bdev->info.read_only,
    };
    blk_done_init(&vb->done);
    for (u32 i = 0; i < VBLK_ID_BYTES && init->id[i] != '\0'; i++) {
        vb->id[i] = init->id[i];
    }
    config_fill(vb);
    vdev_init(&vb->vdev, &(struct vdev_init){
                             .ops = &vblk_ops,
                             .name = init->name,
                             .device_id = VIRTIO_ID_BLOCK,
                             .offered = features_offered(vb),
                             .gm = init->gm,
                             .config = &vb->config,
                             .config_bytes = sizeof(vb->config),
                             .queue_count = 1,
                             .queue_size_max = VBLK_QUEUE_SIZE,
                         });
}

void vblk_resized(struct vblk *vb)
{
    config_fill(vb);
    vdev_config_changed(&vb->vdev);
}

bool vblk_shutdown(struct vblk *vb)
{
    bool stopped = vdev_shutdown(&vb->vdev);

    if (vb->in_flight > 0) {
        bdev_poll(vb->bdev);
        vblk_drain(vb);
        stopped = vdev_shutdown(&vb->vdev);
    }
    return stopped && vb->in_flight == 0;
}
