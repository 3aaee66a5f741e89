/* SPDX-License-Identifier: BSD-2-Clause */
/* vblk_device.c - the block device as a virtio device: features, config space, life. [VIRTIO 5.2]
 */
#include "virtio/vblk_parts.h"

#include <inttypes.h>

/* --- the cache mode [VIRTIO 5.2.5.2, 5.2.6.2] --------------------------------------------------
 */

/**
 * A medium without a volatile cache begins in write-through mode, which is the truth and saves the
 * driver its flushes.
 */
static void writeback_default(struct vblk *vb)
{
    vb->config.writeback = vb->bdev->info.write_cache;
}

/** Before DRIVER_OK no write comes, so it is soon enough to look at the mode from there on. */
static void write_through_update(struct vblk *vb)
{
    bool stable = vdev_has(&vb->vdev, VIRTIO_BLK_F_CONFIG_WCE)
                      ? vb->config.writeback == 0
                      : !vdev_has(&vb->vdev, VIRTIO_BLK_F_FLUSH);

    vb->write_through = stable && vb->bdev->info.write_cache;
    vb->quick_type_max = vb->read_only || vb->write_through ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
}

/** > If CONFIG_WCE is negotiated but FLUSH is not, the device MUST initialize writeback to 0. */
static bool vblk_features_ok(struct vdev *dev, u64 features)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    vb->flush_failed = false; /* a new life of the device */
    writeback_default(vb);
    if (!(features & BIT64(VIRTIO_BLK_F_FLUSH))) {
        vb->config.writeback = 0;
    }
    return true;
}

static void vblk_start(struct vdev *dev)
{
    write_through_update(container_of(dev, struct vblk, vdev));
}

/** writeback is the only field a driver may write, once it has negotiated that. */
static void vblk_config_write(struct vdev *dev, u32 offset, u32 bytes, u64 value)
{
    struct vblk *vb = container_of(dev, struct vblk, vdev);

    if (offset != offsetof(struct vblk_config, writeback) || bytes != 1 || (u8)value > 1 ||
        !vdev_has(dev, VIRTIO_BLK_F_CONFIG_WCE)) {
        return;
    }
    vb->config.writeback = (u8)value;
    write_through_update(vb);
}

/* --- life --------------------------------------------------------------------------------------
 */

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
    log_info("stats ranges %s: discards=%" PRIu64 " write_zeroes=%" PRIu64 " secure_erases=%" PRIu64
             " unsupported=%" PRIu64,
             dev->name, vb->discards, vb->write_zeroes, vb->secure_erases, vb->unsupported);
    log_info("stats errors %s: errors_guest=%" PRIu64 " errors_medium=%" PRIu64, dev->name,
             vb->errors_guest, vb->errors_medium);
}

static const struct vdev_ops vblk_ops = {
    .features_ok = vblk_features_ok,
    .start = vblk_start,
    .stopped = vblk_stopped,
    .config_write = vblk_config_write,
    .poll = class_poll,
    .shutdown = class_shutdown,
    .report = class_report,
};

/** The limits of requests with ranges; zero where the medium does not do them. */
static void config_fill_ranges(struct vblk *vb)
{
    const struct bdev_info *info = &vb->bdev->info;
    struct vblk_config *config = &vb->config;

    if (info->discard) {
        config->max_discard_sectors = le32_make(info->range_sectors_max);
        config->max_discard_seg = le32_make(vb->ranges_max);
        config->discard_sector_alignment = le32_make(info->discard_align_sectors);
    }
    if (info->write_zeroes) {
        config->max_write_zeroes_sectors = le32_make(info->range_sectors_max);
        config->max_write_zeroes_seg = le32_make(vb->ranges_max);
        config->write_zeroes_may_unmap = info->write_zeroes_may_unmap;
    }
    if (info->secure_erase) {
        config->max_secure_erase_sectors = le32_make(info->range_sectors_max);
        config->max_secure_erase_seg = le32_make(vb->ranges_max);
        config->secure_erase_sector_alignment = le32_make(info->erase_align_sectors);
    }
}

static void config_fill(struct vblk *vb, u16 queues)
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
        .num_queues = le16_make(queues),
    };
    writeback_default(vb);
    if (!vb->read_only) {
        config_fill_ranges(vb);
    }
}

static u64 features_offered(const struct vblk *vb, u16 queues, u64 rings)
{
    u64 features = rings | BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) |
                   BIT64(VIRTIO_BLK_F_BLK_SIZE) | BIT64(VIRTIO_BLK_F_FLUSH) |
                   BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_F_INDIRECT_DESC) |
                   BIT64(VIRTIO_F_EVENT_IDX);
    const struct bdev_info *info = &vb->bdev->info;

    features |= queues > 1 ? BIT64(VIRTIO_BLK_F_MQ) : 0;
    features |= vb->bdev->ops->lifetime ? BIT64(VIRTIO_BLK_F_LIFETIME) : 0;
    if (vb->read_only) {
        return features | BIT64(VIRTIO_BLK_F_RO);
    }
    features |= BIT64(VIRTIO_BLK_F_CONFIG_WCE);
    features |= info->discard ? BIT64(VIRTIO_BLK_F_DISCARD) : 0;
    features |= info->write_zeroes ? BIT64(VIRTIO_BLK_F_WRITE_ZEROES) : 0;
    features |= info->secure_erase ? BIT64(VIRTIO_BLK_F_SECURE_ERASE) : 0;
    return features;
}

void vblk_init(struct vblk *vb, const struct vblk_init *init)
{
    const u16 queues = init->queues ? init->queues : 1;

    *vb = (struct vblk){
        .bdev = init->bdev,
        .pool = init->pool,
        .read_only = init->read_only || init->bdev->info.read_only,
        .ranges_max = init->ranges_max ? init->ranges_max : BLK_RANGES_MAX,
    };
    CHECK(vb->ranges_max <= BLK_RANGES_MAX);
    CHECK((init->rings & ~(BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER))) == 0);
    blk_done_init(&vb->done);
    for (u32 i = 0; i < VBLK_ID_BYTES && init->id[i] != '\0'; i++) {
        vb->id[i] = init->id[i];
    }
    config_fill(vb, queues);
    vdev_init(&vb->vdev, &(struct vdev_init){
                             .ops = &vblk_ops,
                             .name = init->name,
                             .device_id = VIRTIO_ID_BLOCK,
                             .offered = features_offered(vb, queues, init->rings),
                             .gm = init->gm,
                             .config = &vb->config,
                             .config_bytes = sizeof(vb->config),
                             .queue_count = queues,
                             .queue_size_max = VBLK_QUEUE_SIZE,
                         });
}

void vblk_resized(struct vblk *vb)
{
    vb->config.capacity = le64_make(vb->bdev->info.sectors);
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
