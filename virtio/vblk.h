/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vblk.h - a virtio block device over a bdev. [VIRTIO 5.2]                         plane: data
 *
 *   vblk_poll:  pop a chain -> decode and check -> bdev_submit -> done list -> status byte -> push
 *               ... and once per batch: publish, interrupt if the driver asked
 *
 * vblk_poll() also polls the medium while requests of this device are with it. Requests in flight
 * live in slots of a pool that all devices of a poll loop share; when it is empty, requests wait in
 * their rings.
 *
 * When is a write stable? [VIRTIO 5.2.6.2] The driver chooses by what it negotiates:
 *   CONFIG_WCE and writeback = 0    when it is completed: we flush the medium first
 *   neither CONFIG_WCE nor FLUSH    the same
 *   otherwise                       when a later FLUSH, of any queue, is completed
 * On a medium without a volatile cache all three are one. A flush that failed may have lost what
 * was completed before it, and we hold no copy: every later FLUSH fails too until the driver resets
 * the device, so that no driver takes its data for stable.
 *
 * Next in the tour: vblk.c, then blk/bdev.h.
 */
#pragma once

#include "blk/bdev.h"
#include "blk/latency.h"
#include "virtio/vblk_defs.h"
#include "virtio/vdev.h"

#define VBLK_QUEUE_SIZE 256           /* descriptors offered per queue */
#define VBLK_UNIT_BYTES (u32) KIB(64) /* data that counts as one unit of a poll budget */

/* Framing is free: the header may come in 16 pieces, or share a descriptor with data. */
#define VBLK_DESC_MAX (16 + BLK_SEG_MAX + 1)

struct vblk;

/** A range of a DISCARD, WRITE_ZEROES or SECURE_ERASE, checked. */
struct vblk_range {
    u64 sector;
    u32 sectors;
    bool unmap;
};

struct vblk_req {
    struct blk_req blk;
    struct vblk *vb; /* NULL: the slot is free */
    struct virtq *vq;
    u16 data_first; /* first readable span after the header */
    struct vblk_header header;
    u8 *status;         /* the chain's last writable byte */
    u32 written;        /* for the used ring, when the request succeeds */
    u32 written_failed; /* and when it fails: the status byte counts only if no gap precedes it */
    struct vblk_req *next_free;
    u64 taken_ns;                /* the turn that took it out of its ring */
    u16 range_count, range_next; /* of a request with ranges: the medium gets one at a time */
    struct vblk_range range[BLK_RANGES_MAX];
    struct vq_chain chain;
};

struct vblk_pool {
    struct vblk_req *free;
    u32 in_flight;
    struct vblk_req slot[REQUESTS_MAX];
};

struct vblk {
    struct vdev vdev;
    struct bdev *bdev;
    struct vblk_pool *pool;
    struct blk_done done;
    bool read_only;
    bool write_through; /* what changes the medium is flushed before it is completed */
    bool flush_failed;  /* since the last reset: writes may be lost, so no flush succeeds */
    u32 quick_type_max; /* vblk_quick() takes types up to this: IN, or OUT too */
    u32 in_flight;
    u16 queue_next; /* round robin start */
    u16 ranges_max; /* of one request: what the config space says */
    u64 turn_ns;    /* when this turn began */
    struct vblk_config config;
    char id[VBLK_ID_BYTES];
    /* counters since vblk_init() */
    u64 reads, writes, flushes, get_ids, unsupported;
    u64 discards, write_zeroes, secure_erases, lifetimes;
    u64 bytes_read, bytes_written;
    u64 errors_guest;  /* requests the driver got wrong: IOERR */
    u64 errors_medium; /* requests the medium failed: IOERR */
    u64 no_slot;       /* turns that ended because the pool was empty */
    u64 no_window;     /* turns that ended because guest memory could not be mapped yet */
    u64 batches;       /* publishes */
    u64 taken;         /* requests taken out of the rings */
    struct latency latency;
};

struct vblk_init {
    struct bdev *bdev;
    struct gmem *gm;
    struct vblk_pool *pool;
    const char *name; /* for messages, e.g. "dom3/51712 root"; stays valid */
    const char *id;   /* GET_ID's answer, cut to VBLK_ID_BYTES */
    bool read_only;   /* also when the medium is not */
    u16 queues;       /* 1..VQ_PER_DEVICE; 0 means 1 */
    u64 rings;        /* VIRTIO_F_RING_PACKED and VIRTIO_F_IN_ORDER: those that are offered */
    u16 ranges_max;   /* of one discard and its like: 1..BLK_RANGES_MAX; 0 means all of them */
};

void vblk_pool_init(struct vblk_pool *pool);

/** The transport is added by vmmio_init(m, &vb->vdev, ...). */
void vblk_init(struct vblk *vb, const struct vblk_init *init);

/** Nothing to do for vblk_poll(): the idle turn. */
static inline bool vblk_idle(const struct vblk *vb)
{
    const struct vdev_queue *queue = vb->vdev.queue;
    u32 left = vb->vdev.queue_count; /* never 0 */

    do {
        if (virtq_waiting(&queue->vq)) {
            return false;
        }
        queue++;
    } while (--left > 0);
    return vb->in_flight == 0;
}

/** Bytes of data that were asked for, read and written. */
static inline u64 vblk_bytes(const struct vblk *vb)
{
    return vb->bytes_read + vb->bytes_written;
}

/** The turn of a device that is not idle. */
u32 vblk_work(struct vblk *vb, u32 budget);

/**
 * Complete what the medium finished, then take at most about budget units of new work, a unit
 * being a request or VBLK_UNIT_BYTES of its data. Returns the units done, 0 when there was nothing
 * to do. Kicks are turned off by the first turn that finds work.
 */
static inline u32 vblk_poll(struct vblk *vb, u32 budget)
{
    return vblk_idle(vb) ? 0 : vblk_work(vb, budget);
}

/**
 * Serve the leading requests of the queue that are read or written by nothing but a copy
 * (vblk_quick.c). Returns the units done; 0 when the next one is not of that kind.
 */
u32 vblk_quick(struct vblk *vb, struct virtq *vq, u32 budget);

/** Ask for kicks. Returns true when there is work already. */
static inline bool vblk_arm(struct vblk *vb)
{
    return vdev_arm(&vb->vdev);
}

/** We poll again: no kicks, please. */
static inline void vblk_disarm(struct vblk *vb)
{
    vdev_disarm(&vb->vdev);
}

/** The medium's capacity changed: tell the driver. [VIRTIO 5.2.5] */
void vblk_resized(struct vblk *vb);

/**
 * The guest or the device goes. Stops at once; nothing is written to the guest any more. Returns
 * true when the medium has let go of every request and nothing of the guest is pinned: call (and
 * poll the bdev) until then.
 */
bool vblk_shutdown(struct vblk *vb);
