/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ventropy.h - a virtio entropy device. [VIRTIO 5.4]                              plane: data
 *
 * One queue of writable buffers; each comes back with random bytes in it, as many as the buffer
 * holds and the guest's rate allows, and at least one. The bytes are the source's; the device
 * adds the limit that keeps one guest from using the loop up for all others.
 *
 * This is the smallest device class: docs/writing-a-device.md walks through it.
 */
#pragma once

#include "start/base/bucket.h"
#include "virtio/vdev.h"

#define VENTROPY_QUEUE_SIZE 64
#define VENTROPY_BURST      (u32) KIB(16) /* bytes a guest gets at once ... */
#define VENTROPY_PER_SECOND (u32) KIB(64) /* ... and in the long run */
#define VENTROPY_MIN        64            /* it waits until so many are there */
#define VENTROPY_UNIT       (u32) KIB(1)  /* bytes that count as one unit of a poll budget */

/** Put random bytes to memory that may be a guest's: written once, never read. */
typedef void (*ventropy_fill_fn)(void *to, usize bytes);

struct ventropy {
    struct vdev vdev;
    ventropy_fill_fn fill;
    struct vq_chain *chain; /* where a turn takes chains to */
    struct bucket rate;
    /* counters since ventropy_init() */
    u64 bytes;
    u64 rests; /* turns that ended because the guest had used its rate up */
};

struct ventropy_init {
    struct gmem *gm;
    struct vq_chain *chain; /* may be one for all devices of a poll loop */
    const char *name;       /* for messages; stays valid */
    ventropy_fill_fn fill;
};

/** The transport is added by vmmio_init(m, &ve->vdev, ...). */
void ventropy_init(struct ventropy *ve, const struct ventropy_init *init);
