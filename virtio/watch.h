/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.h - all queues that one poll loop looks after, in one flat list.           plane: data
 *
 * Most turns of a poll loop find nothing. Such a turn should not walk devices to learn it: it reads
 * one word of each ring, one after the other, and is over.
 *
 * The list knows what waits in the rings, not what is with a medium: who has requests in flight
 * walks its devices.
 */
#pragma once

#include "start/base/check.h"
#include "virtio/vdev.h"

#define WATCH_MAX (DEVICES_MAX * VQ_PER_DEVICE) /* queues */

struct watch {
    u32 count;
    const struct vdev_queue *queue[WATCH_MAX];
};

static inline void watch_clear(struct watch *watch)
{
    watch->count = 0;
}

/** All queues of dev, ready or not; dev stays where it is until the next watch_clear(). */
static inline void watch_add(struct watch *watch, const struct vdev *dev)
{
    CHECK(watch->count + dev->queue_count <= WATCH_MAX);
    for (u32 q = 0; q < dev->queue_count; q++) {
        watch->queue[watch->count++] = &dev->queue[q];
    }
}

/** Does a chain wait in any of the queues, but where it rests? */
static inline bool watch_found(const struct watch *watch)
{
    const struct vdev_queue *const *at = watch->queue, *const *end = at + watch->count;

    for (; at != end; at++) {
        if (virtq_waiting(&(*at)->vq) && !(*at)->resting) {
            return true;
        }
    }
    return false;
}
