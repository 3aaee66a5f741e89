/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_inflight.h - what survives our death: the shared area of inflight tracking.     plane: both
 * [VHOST-USER] "Inflight I/O tracking", split virtqueues; vu_inflight_packed.h has the others.
 *
 * The front end keeps the area while we are gone and hands it to our successor. It holds one region
 * for each queue, and a record for each descriptor that can be the head of a request:
 *
 *   taken     counter = the next number, then inflight = 1
 *   staged    next = last_batch_head, then last_batch_head = this head, for each of the batch
 *   shown     used.idx in the ring; then inflight = 0 for the batch, then used_idx = used.idx
 *
 * Death between any two of these stores leaves something to go on from: where used_idx is behind
 * the ring's, the batch that begins at last_batch_head was shown; what is inflight then is served
 * again in the order of its counters. A request counts as taken as soon as we have seen that it is
 * offered, before the engine looks at it.
 *
 * The area is the front end's: whatever it holds is checked like a ring.
 */
#pragma once

#include "tools/vhost-user/vu_msg.h"
#include "virtio/virtq.h"

#define VU_INFLIGHT_QUEUES_MAX 64

/** The area: regions of its queues, which are all of one layout. */
struct vu_inflight {
    u8 *map; /* NULL: no area */
    u64 map_bytes;
    u8 *base; /* of the area inside map */
    u16 queues;
    u64 region_bytes; /* of each queue: they share the area evenly */
};

/** Bytes that the area for so many queues of such a size has at least: those of split rings. */
u64 vu_inflight_bytes(u16 queues, u16 queue_size);

/**
 * Make a new, empty area for desc->queues queues of desc->queue_size and map it. On ST_OK *fd is
 * its descriptor, the caller's to close, and *desc describes it. ST_INVAL when the counts are 0 or
 * too large; ST_IO when the system refuses. *why is a sentence then.
 */
enum status vu_inflight_create(struct vu_inflight *area, struct vu_inflight_desc *desc, int *fd,
                               const char **why);

/** Map the area that a front end kept. fd stays the caller's. ST_INVAL or ST_IO with *why. */
enum status vu_inflight_attach(struct vu_inflight *area, const struct vu_inflight_desc *desc,
                               int fd, const char **why);

void vu_inflight_detach(struct vu_inflight *area);

/** The record of one queue while it runs. */
struct vu_inflight_log {
    struct virtq_journal journal;
    struct queue_region *region; /* NULL: nothing is recorded */
    u16 size;
    u64 counter;            /* of the next request taken */
    u16 again_count;        /* requests that our predecessor took and did not return ... */
    u16 again[VQ_SIZE_MAX]; /* ... by their place in the available ring: virtq_setup */
};

/**
 * A queue of size descriptors starts, whose used.idx in guest memory is used_idx. Marks a fresh
 * region as ours; of a used one it finds what is to be served again. *resumed says whether it was
 * used: then the queue goes on at used_idx with log->again. Without an area nothing is recorded.
 * ST_OK, or ST_INVAL with *why.
 */
enum status vu_inflight_start(const struct vu_inflight *area, u32 queue, u32 size, u16 used_idx,
                              struct vu_inflight_log *log, bool *resumed, const char **why);

/** The queue stops: what was returned is shown, and what else was recorded was never begun. */
void vu_inflight_stop(struct vu_inflight_log *log);

/** The driver has reset the device: its rings begin anew, and so do the regions. */
void vu_inflight_wipe(struct vu_inflight *area);
