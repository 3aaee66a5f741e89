/* SPDX-License-Identifier: BSD-2-Clause */
/* vdev.c - status, features, queues and config space of a virtio device. [VIRTIO 2, 3.1] */
#include "virtio/vdev.h"

#include "start/base/arith.h"

static void queue_defaults(struct vdev_queue *queue)
{
    queue->setup = (struct virtq_setup){.size = 0};
    queue->again = false;
    queue->resting = false;
}

void vdev_init(struct vdev *dev, const struct vdev_init *init)
{
    CHECK(init->queue_count >= 1 && init->queue_count <= VQ_PER_DEVICE);
    CHECK(is_pow2(init->queue_size_max) && init->queue_size_max <= VQ_SIZE_MAX);
    *dev = (struct vdev){
        .ops = init->ops,
        .name = init->name,
        .device_id = init->device_id,
        .queue_count = init->queue_count,
        .offered = init->offered | BIT64(VIRTIO_F_VERSION_1),
        .gm = init->gm,
        .config = init->config,
        .config_bytes = init->config_bytes,
    };
    for (u32 q = 0; q < dev->queue_count; q++) {
        virtq_init(&dev->queue[q].vq, dev->name);
        dev->queue[q].size_max = init->queue_size_max;
        queue_defaults(&dev->queue[q]);
    }
}

void vdev_transport(struct vdev *dev, vdev_raise_fn raise, void *ctx, u64 features)
{
    dev->offered |= features;
    dev->raise = raise;
    dev->raise_ctx = ctx;
}

static void raise_cause(struct vdev *dev, u32 cause, u16 queue)
{
    if (dev->raise && !dev->resetting) {
        dev->interrupts++;
        dev->raise(dev->raise_ctx, cause, queue);
    }
}

/* --- status [VIRTIO 2.1] ------------------------------------------------------------------------
 */

u32 vdev_in_flight(const struct vdev *dev)
{
    u32 count = 0;

    for (u32 q = 0; q < dev->queue_count; q++) {
        count += virtq_in_flight(&dev->queue[q].vq);
    }
    return count;
}

/** A broken device stops taking requests; what is in flight is still completed. */
static void live_update(struct vdev *dev)
{
    dev->live = !dev->resetting && (dev->status & VIRTIO_STATUS_DRIVER_OK) &&
                !(dev->status & (VIRTIO_STATUS_FAILED | VIRTIO_STATUS_NEEDS_RESET));
}

static void reset_begin(struct vdev *dev)
{
    dev->resets++;
    dev->resetting = true;
    dev->wake_ns = 0;
    live_update(dev);
    for (u32 q = 0; q < dev->queue_count; q++) {
        virtq_reset(&dev->queue[q].vq);
        queue_defaults(&dev->queue[q]);
    }
    if (dev->ops->stopped) {
        dev->ops->stopped(dev);
    }
    vdev_reset_progress(dev);
}

void vdev_reset_progress(struct vdev *dev)
{
    if (!dev->resetting || vdev_in_flight(dev) > 0) {
        return;
    }
    gmem_settle(dev->platform);
    dev->resetting = false;
    dev->status = 0;
    dev->driver_features = 0;
    dev->features = 0;
    dev->features_beyond = false;
    live_update(dev);
}

/** FEATURES_OK sticks only for a subset we can serve. [VIRTIO 2.2.2] */
static bool features_ok(const struct vdev *dev)
{
    u64 wanted = dev->driver_features;

    if (dev->features_beyond || (wanted & ~dev->offered) != 0) {
        log_warn("%s: the driver wants features that are not offered (%#llx)", dev->name,
                 (unsigned long long)(wanted & ~dev->offered));
        return false;
    }
    if (!(wanted >> VIRTIO_F_VERSION_1 & 1)) {
        log_warn("%s: the driver does not accept VIRTIO_F_VERSION_1: legacy drivers are not served",
                 dev->name);
        return false;
    }
    return true;
}

void vdev_platform(struct vdev *dev, struct gmem *gm)
{
    dev->platform = gm;
    dev->offered |= BIT64(VIRTIO_F_ACCESS_PLATFORM);
}

u32 vdev_status_read(const struct vdev *dev)
{
    return dev->status;
}

/**
 * Bits are only added, in the order of [VIRTIO 3.1.1]; a step that is out of order does not stick.
 * Nothing but a reset leads out of FAILED.
 */
void vdev_status_write(struct vdev *dev, u32 value)
{
    u32 add = value & VIRTIO_STATUS_DRIVER_BITS & ~dev->status;
    u32 begun = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    if ((value & 0xff) == 0) {
        if (!dev->resetting) {
            reset_begin(dev);
        }
        return;
    }
    if (dev->resetting || (dev->status & VIRTIO_STATUS_FAILED)) {
        return;
    }
    dev->status |= add & (begun | VIRTIO_STATUS_FAILED);
    if ((add & VIRTIO_STATUS_FEATURES_OK) && (dev->status & begun) == begun && features_ok(dev) &&
        (!dev->ops->features_ok || dev->ops->features_ok(dev, dev->driver_features))) {
        dev->status |= VIRTIO_STATUS_FEATURES_OK;
        dev->features = dev->driver_features;
    }
    if ((add & VIRTIO_STATUS_DRIVER_OK) && (dev->status & VIRTIO_STATUS_FEATURES_OK)) {
        dev->status |= VIRTIO_STATUS_DRIVER_OK;
        if (dev->ops->start) {
            dev->ops->start(dev);
        }
    }
    live_update(dev);
}

void vdev_need_reset(struct vdev *dev)
{
    if (dev->resetting || (dev->status & VIRTIO_STATUS_NEEDS_RESET)) {
        return;
    }
    dev->needs_resets++;
    dev->status |= VIRTIO_STATUS_NEEDS_RESET;
    live_update(dev);
    if (dev->status & VIRTIO_STATUS_DRIVER_OK) {
        raise_cause(dev, VIRTIO_INT_CONFIG, 0);
    }
}

bool vdev_shutdown(struct vdev *dev)
{
    dev->raise = NULL;
    if (!dev->resetting && dev->status != 0) {
        reset_begin(dev);
    }
    vdev_reset_progress(dev);
    return !dev->resetting;
}

/* --- features [VIRTIO 2.2]
 * ------------------------------------------------------------------------ */

u32 vdev_features_read(const struct vdev *dev, u32 word)
{
    return word < 2 ? (u32)(dev->offered >> (32 * word)) : 0;
}

void vdev_features_write(struct vdev *dev, u32 word, u32 value)
{
    if (dev->resetting || (dev->status & VIRTIO_STATUS_FEATURES_OK)) {
        return; /* [VIRTIO 3.1.1]: not after FEATURES_OK */
    }
    if (word < 2) {
        dev->driver_features &= ~((u64)UINT32_MAX << (32 * word));
        dev->driver_features |= (u64)value << (32 * word);
    } else if (value != 0) {
        dev->features_beyond = true;
    }
}

/* --- queues [VIRTIO 2.6]
 * -------------------------------------------------------------------------- */

bool vdev_queue_open(const struct vdev *dev, u32 queue)
{
    return queue < dev->queue_count && !dev->resetting &&
           (dev->status & VIRTIO_STATUS_FEATURES_OK) && !(dev->status & VIRTIO_STATUS_FAILED) &&
           (dev->queue[queue].again || !(dev->status & VIRTIO_STATUS_DRIVER_OK)) &&
           dev->queue[queue].vq.state == VQ_OFF && virtq_in_flight(&dev->queue[queue].vq) == 0;
}

u32 vdev_queue_ready_read(const struct vdev *dev, u32 queue)
{
    if (queue >= dev->queue_count) {
        return 0;
    }
    return dev->queue[queue].vq.state != VQ_OFF || virtq_in_flight(&dev->queue[queue].vq) > 0;
}

/** A driver without ACCESS_PLATFORM names guest-physical addresses and nothing else. */
static struct gmem *queue_memory(const struct vdev *dev)
{
    return PART_GRANTS && vdev_has(dev, VIRTIO_F_ACCESS_PLATFORM) ? dev->platform : dev->gm;
}

void vdev_queue_ready_write(struct vdev *dev, u32 queue, u32 value)
{
    struct virtq_setup *setup;

    if (queue >= dev->queue_count) {
        return;
    }
    if (value == 0) {
        virtq_reset(&dev->queue[queue].vq);
        if (dev->ops->stopped) {
            dev->ops->stopped(dev);
        }
        return;
    }
    if (value != 1 || !vdev_queue_open(dev, queue)) {
        return;
    }
    setup = &dev->queue[queue].setup;
    if (setup->size > dev->queue[queue].size_max) {
        log_warn("%s: queue %u: the driver wants %u descriptors, more than the %u offered",
                 dev->name, (unsigned)queue, (unsigned)setup->size,
                 (unsigned)dev->queue[queue].size_max);
        return;
    }
    setup->indirect = vdev_has(dev, VIRTIO_F_INDIRECT_DESC);
    setup->event_idx = vdev_has(dev, VIRTIO_F_EVENT_IDX);
    setup->packed = vdev_has(dev, VIRTIO_F_RING_PACKED);
    setup->in_order = vdev_has(dev, VIRTIO_F_IN_ORDER);
    setup->first_idx = VQ_FIRST(setup->packed);
    /* A refusal has been logged, and QueueReady keeps reading 0. */
    if (virtq_enable(&dev->queue[queue].vq, queue_memory(dev), setup) == ST_OK) {
        dev->queue[queue].again = false;
    }
}

void vdev_queue_reset(struct vdev *dev, u32 queue)
{
    if (queue >= dev->queue_count || dev->resetting || !vdev_has(dev, VIRTIO_F_RING_RESET)) {
        return;
    }
    virtq_reset(&dev->queue[queue].vq);
    queue_defaults(&dev->queue[queue]);
    dev->queue[queue].again = true;
    if (dev->ops->stopped) {
        dev->ops->stopped(dev);
    }
}

u32 vdev_queue_reset_read(const struct vdev *dev, u32 queue)
{
    return queue < dev->queue_count && dev->queue[queue].again &&
           virtq_in_flight(&dev->queue[queue].vq) > 0;
}

void vdev_kick(struct vdev *dev, u32 queue)
{
    if (queue < dev->queue_count && dev->live) {
        dev->kicks++;
    }
}

bool vdev_queue_publish(struct vdev *dev, u16 queue)
{
    struct virtq *vq = &dev->queue[queue].vq;

    if (!virtq_publish(vq)) {
        return false;
    }
    if (virtq_wants_irq(vq)) {
        raise_cause(dev, VIRTIO_INT_QUEUE, queue);
    }
    return true;
}

u64 vdev_requests(const struct vdev *dev)
{
    u64 sum = 0;

    for (u32 q = 0; q < dev->queue_count; q++) {
        sum += dev->queue[q].vq.chains;
    }
    return sum;
}

bool vdev_arm(struct vdev *dev)
{
    bool work = vdev_in_flight(dev) > 0;

    for (u32 q = 0; q < dev->queue_count && dev->live; q++) {
        work |= !dev->queue[q].resting && virtq_kick_enable(&dev->queue[q].vq);
    }
    return work;
}

void vdev_disarm(struct vdev *dev)
{
    for (u32 q = 0; q < dev->queue_count && dev->live; q++) {
        virtq_kick_disable(&dev->queue[q].vq);
    }
}

/* --- turns of a class that answers at once -----------------------------------------------------
 */

void vdev_turn_begin(struct vdev *dev)
{
    dev->wake_ns = 0;
    for (u32 q = 0; q < dev->queue_count; q++) {
        dev->queue[q].resting = false;
    }
    vdev_disarm(dev);
}

bool vdev_queue_next(struct vdev *dev, u16 queue, struct vq_chain *chain, u32 *work)
{
    while (dev->live) { /* bounded: VQ_COMPLAINTS_MAX malformed chains break the queue */
        enum status st = virtq_pop(&dev->queue[queue].vq, chain);

        if (st == ST_OK) {
            return true;
        }
        if (st == ST_FULL) {
            vdev_rest(dev, queue, VDEV_RETRY_NS);
        }
        if (st != ST_PROTO) {
            return false;
        }
        ++*work;
    }
    return false;
}

void vdev_rest(struct vdev *dev, u16 queue, u64 ns)
{
    u64 until_ns;

    dev->queue[queue].resting = true;
    virtq_kick_disable(&dev->queue[queue].vq);
    if (ns != VDEV_FOREVER) {
        until_ns = port_now_ns() + ns;
        dev->wake_ns = dev->wake_ns ? min_u64(dev->wake_ns, until_ns) : until_ns;
    }
}

void vdev_turn_end(struct vdev *dev)
{
    for (u16 q = 0; q < dev->queue_count; q++) {
        if (dev->queue[q].vq.state == VQ_BROKEN) {
            vdev_need_reset(dev);
        }
        (void)vdev_queue_publish(dev, q);
    }
}

/* --- config space [VIRTIO 2.5]
 * ---------------------------------------------------------------------- */

u64 vdev_config_read(const struct vdev *dev, u32 offset, u32 bytes)
{
    u64 value = 0;

    for (u32 i = 0; i < bytes; i++) {
        if (range_ok(offset, i + 1, dev->config_bytes)) {
            value |= (u64)dev->config[offset + i] << (8 * i);
        }
    }
    return value;
}

void vdev_config_write(struct vdev *dev, u32 offset, u32 bytes, u64 value)
{
    if (dev->ops->config_write && range_ok(offset, bytes, dev->config_bytes)) {
        dev->ops->config_write(dev, offset, bytes, value);
    }
}

void vdev_config_changed(struct vdev *dev)
{
    dev->config_generation++;
    if (dev->status & VIRTIO_STATUS_DRIVER_OK) {
        raise_cause(dev, VIRTIO_INT_CONFIG, 0);
    }
}
