/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vdev.h - a virtio device without its transport. [VIRTIO 2, 3]                 plane: control
 *
 * A device class (vblk) embeds a vdev and gives it ops; a transport (vmmio) drives it with the
 * verbs below and gives it a raise hook. Neither knows the other.
 *
 *   status   reads 0 -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK
 *            bits are only ever added by the driver; a write of 0 resets
 *   live     DRIVER_OK, and neither FAILED nor DEVICE_NEEDS_RESET: only then rings are looked at
 *   reset    queues stop at once; while requests of the old life are with the medium, the status
 *   keeps
 *            its old value and other writes are ignored; it reads 0 when none is left, and nothing
 *            is written to the guest from then on [VIRTIO 2.4.1]
 */
#pragma once

#include "virtio/virtio_defs.h"
#include "virtio/virtq.h"

#define VDEV_FOREVER UINT64_MAX
#define VDEV_RETRY_NS                                                          \
    UINT64_C(10000000) /* until memory that could not be mapped is tried again \
                        */

struct vdev;

struct vdev_ops {
    /** May the driver have this subset of the offered features? NULL: any. [VIRTIO 2.2.2] */
    bool (*features_ok)(struct vdev *dev, u64 features);
    /** The device goes live. dev->features is what was negotiated. NULL: nothing to do. */
    void (*start)(struct vdev *dev);
    /** Rings were stopped: give up what is in flight, as far as the medium allows. NULL: nothing
     * to do. */
    void (*stopped)(struct vdev *dev);
    /** The driver wrote the config space, inside config_bytes. NULL: nothing is writable. */
    void (*config_write)(struct vdev *dev, u32 offset, u32 bytes, u64 value);

    /* for the owner of devices of several classes; who knows the class calls it directly */

    /** The turn of a device that is not vdev_idle(): do about budget units of work, publish, tell
     * the driver. Returns the units done. */
    u32 (*poll)(struct vdev *dev, u32 budget);
    /** vdev_shutdown(), and whatever else holds something of the guest. NULL: there is nothing. */
    bool (*shutdown)(struct vdev *dev);
    /** The class's own counters as lines of "stats device NAME: key=value ..." NULL: none. */
    void (*report)(const struct vdev *dev);
};

/** The transport's way to the driver: cause is VIRTIO_INT_QUEUE (of queue) or VIRTIO_INT_CONFIG. */
typedef void (*vdev_raise_fn)(void *ctx, u32 cause, u16 queue);

struct vdev_queue {
    _Alignas(16) struct virtq vq; /* an array of these is indexed with shifts */
    u32 size_max;
    struct virtq_setup setup; /* as the driver programs it; frozen while ready */
    bool again;   /* it was reset by itself: its registers are open though the device is live */
    bool resting; /* chains that wait here are no work now: vdev_rest() */
};

struct vdev {
    const struct vdev_ops *ops;
    const char *name; /* for messages */
    u32 device_id;
    u32 status;
    bool live;
    bool resetting;
    u16 queue_count;
    u64 offered, driver_features;
    u64 features;         /* what was negotiated at FEATURES_OK; 0 before */
    bool features_beyond; /* the driver claimed a bit above 63: none is offered */
    struct gmem *gm;
    struct gmem *platform; /* memory as it is named with ACCESS_PLATFORM; NULL: not offered */
    const u8 *config;      /* the device class's config space, little-endian */
    u32 config_bytes;
    u32 config_generation;
    vdev_raise_fn raise;
    void *raise_ctx;
    u64 wake_ns; /* rests end at this time; 0: nobody rests for a time */
    struct vdev_queue queue[VQ_PER_DEVICE];
    /* counters since vdev_init() */
    u64 kicks, interrupts, resets, needs_resets;
};

struct vdev_init {
    const struct vdev_ops *ops;
    const char *name;
    u32 device_id;
    u64 offered;
    struct gmem *gm;
    const void *config;
    u32 config_bytes;
    u16 queue_count; /* 1..VQ_PER_DEVICE */
    u32 queue_size_max;
};

void vdev_init(struct vdev *dev, const struct vdev_init *init);

/* --- for transports ------------------------------------------------------------------------- */
/** features: what the transport itself offers and honours. */
void vdev_transport(struct vdev *dev, vdev_raise_fn raise, void *ctx, u64 features);
/** Offer VIRTIO_F_ACCESS_PLATFORM: with it the driver names memory as gm knows it. [VIRTIO 6.1] */
void vdev_platform(struct vdev *dev, struct gmem *gm);
u32 vdev_status_read(const struct vdev *dev);
void vdev_status_write(struct vdev *dev, u32 value);
/** Feature bits [32 * word, 32 * word + 32); 0 beyond bit 63. */
u32 vdev_features_read(const struct vdev *dev, u32 word);
void vdev_features_write(struct vdev *dev, u32 word, u32 value);
/** The queue's registers may be written now. */
bool vdev_queue_open(const struct vdev *dev, u32 queue);
/** 1 until the queue is stopped and nothing of it is in flight. */
u32 vdev_queue_ready_read(const struct vdev *dev, u32 queue);
void vdev_queue_ready_write(struct vdev *dev, u32 queue, u32 value);
/**
 * Stop one queue and forget its setup; what is in flight of it leaves no trace. It can be set up
 * and made ready again, also while the device is live. Ignored without VIRTIO_F_RING_RESET.
 * [VIRTIO 2.6.1]
 */
void vdev_queue_reset(struct vdev *dev, u32 queue);
/** 1 while such a reset waits for requests that are with the medium. */
u32 vdev_queue_reset_read(const struct vdev *dev, u32 queue);
/** The driver kicked. Only counted: the poll loop looks at the rings itself. */
void vdev_kick(struct vdev *dev, u32 queue);
/** Bytes past the end read as 0. bytes is 1, 2, 4 or 8. */
u64 vdev_config_read(const struct vdev *dev, u32 offset, u32 bytes);
void vdev_config_write(struct vdev *dev, u32 offset, u32 bytes, u64 value);

/* --- for device classes --------------------------------------------------------------------- */
static inline bool vdev_has(const struct vdev *dev, u32 feature)
{
    return (dev->features >> feature & 1) != 0;
}

/** Nothing for the device to do: no chain waits but where it rests, and none is in flight. */
static inline bool vdev_idle(const struct vdev *dev)
{
    for (u32 q = 0; q < dev->queue_count; q++) {
        const struct vdev_queue *queue = &dev->queue[q];

        if ((virtq_waiting(&queue->vq) && !queue->resting) || virtq_in_flight(&queue->vq) > 0) {
            return false;
        }
    }
    return true;
}

/** Requests of all queues that were taken and not returned. */
u32 vdev_in_flight(const struct vdev *dev);
/** A rest is over: poll the device, idle or not. */
static inline bool vdev_due(const struct vdev *dev)
{
    return dev->wake_ns != 0 && port_now_ns() >= dev->wake_ns;
}

/*
 * A turn of a class that answers each chain at once:
 *
 *      vdev_turn_begin -> { vdev_queue_next ... virtq_push }* -> vdev_rest? -> vdev_turn_end
 */

/** We look at the rings now: no kicks, please; and whoever rested rests no more. */
void vdev_turn_begin(struct vdev *dev);
/**
 * Take the next chain of queue that is well formed; the others are given back and count as *work.
 * False when there is none for now: the queue is empty, stopped, broken, or its memory cannot be
 * mapped yet (it rests a while then).
 */
bool vdev_queue_next(struct vdev *dev, u16 queue, struct vq_chain *chain, u32 *work);
/**
 * Leave what waits in queue alone for ns from now, VDEV_FOREVER: until the class has a use for it
 * and clears queue[].resting. Any turn ends it.
 */
void vdev_rest(struct vdev *dev, u16 queue, u64 ns);
/** Publish all queues; a broken one makes the device ask for a reset. */
void vdev_turn_end(struct vdev *dev);

/** Requests returned to the driver since vdev_init(), whatever became of them. */
u64 vdev_requests(const struct vdev *dev);
/** Ask for kicks on all queues that do not rest. Returns true when there is work already. */
bool vdev_arm(struct vdev *dev);
/** We poll again: no kicks, please. */
void vdev_disarm(struct vdev *dev);
/** Show what was pushed to queue and tell the driver if it asked. True when there was something. */
bool vdev_queue_publish(struct vdev *dev, u16 queue);
/** Set DEVICE_NEEDS_RESET and tell the driver, if it is live. [VIRTIO 2.1.2] */
void vdev_need_reset(struct vdev *dev);
/** The config space has new content. [VIRTIO 2.5] */
void vdev_config_changed(struct vdev *dev);
/** Call after a push that a pending reset may have waited for. */
void vdev_reset_progress(struct vdev *dev);
/** Stop for good (the guest is gone). Returns true when nothing is in flight any more: call until
 * then. */
bool vdev_shutdown(struct vdev *dev);
