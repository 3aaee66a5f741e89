/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_inflight.h - what survives our death: the shared area of inflight tracking.     plane: both
 * [VHOST-USER] "Inflight I/O tracking", split virtqueues.
 *
 * The front end keeps the area while we are gone and hands it to our successor. It holds one region
 * for each queue. The engine returns the requests of a queue in the order in which it took them,
 * and shows them with one store of used.idx, so the ring itself says what was left undone:
 * everything from used.idx on. What the region adds is the proof that it was such an engine that
 * served the queue: no descriptor is marked as in flight, and used_idx is that of the last batch or
 * the one before.
 *
 * The area is the front end's: whatever it holds is checked like a ring.
 */
#pragma once

#include "tools/vhost-user/vu_msg.h"

#define VU_INFLIGHT_QUEUES_MAX 64

struct vu_inflight {
    u8 *map; /* NULL: no area */
    u64 map_bytes;
    u8 *base; /* of the area inside map */
    u16 queues;
    u16 queue_size;
};

/** Bytes of the area for so many queues of such a size. */
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

/**
 * A queue of size descriptors starts, whose used.idx in guest memory is used_idx. Marks a fresh
 * region as ours; of a used one it checks that it can be resumed from used_idx. *resume says
 * whether it was used. ST_OK, or ST_INVAL with *why.
 */
enum status vu_inflight_start(struct vu_inflight *area, u32 queue, u32 size, u16 used_idx,
                              bool *resume, const char **why);

/** used.idx of the queue is now used_idx. Nothing without an area. */
void vu_inflight_used(struct vu_inflight *area, u32 queue, u16 used_idx);
