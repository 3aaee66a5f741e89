/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq_inner.h - what the files of the virtqueue share; for them alone.            plane: both
 *
 *   virtq.c         the verbs, and the split ring behind them
 *   virtq_walk.c    from descriptors to a chain, for both layouts
 *   virtq_packed.c  the packed ring
 *   virtq_order.c   IN_ORDER, for both layouts
 */
#pragma once

#include "start/base/parts.h"
#include "virtio/virtq.h"

/** Is the ring packed, are its buffers returned in order? Never in an image without PART_RINGS. */
static inline bool vq_is_packed(const struct virtq *vq)
{
    return PART_RINGS && vq->packed;
}

static inline bool vq_is_in_order(const struct virtq *vq)
{
    return PART_RINGS && vq->in_order;
}

/* --- virtq.c -------------------------------------------------------------------------------- */

/** Break the queue: complain, show what was done before, and look at nothing any more. ST_GUEST. */
enum status vq_break(struct virtq *vq, const char *why, u64 value);

/** A chain was malformed: too many of them, and we stop believing the driver. */
void vq_complain(struct virtq *vq, const char *why, u64 value);

/**
 * Map one part of the ring; its spans join vq->pin. ST_OK; ST_INVAL when it is misaligned; ST_NOSUP
 * when it lies in more than two runs, or is cut at an odd place; what gmem_span() returns else.
 */
enum status vq_part_map(struct virtq *vq, struct virtq_part *part, u64 addr, u32 bytes, u32 align,
                        enum gmem_dir dir, const char *what);

/** Our pointer to the byte at offset of a part. */
static inline u8 *vq_part_at(const struct virtq_part *part, u32 offset)
{
    return (u8 *)(part->base[offset >= part->split] + offset);
}

/** Stage an element in the used ring: plain stores, ordered before used.idx by virtq_publish(). */
void vq_split_stage(struct virtq *vq, struct virtq_element element);

/* --- virtq_packed.c ------------------------------------------------------------------------- */

/** Map the ring of setup, and begin at its first_idx. What virtq_enable() returns. */
enum status packed_start(struct virtq *vq, const struct virtq_setup *setup);
/**
 * virtq_pop() of a queue that is VQ_READY. known is ST_OK; or ST_PROTO to give the next chain back
 * without a look at it, because of vq->walk.why; chain is NULL then.
 */
enum status packed_pop(struct virtq *vq, struct vq_chain *chain, enum status known);
/** virtq_push(), virtq_publish() and virtq_wants_irq() of such a queue. */
void packed_push(struct virtq *vq, const struct vq_chain *chain, u32 written);
bool packed_publish(struct virtq *vq);
bool packed_wants_irq(struct virtq *vq);
/** Tell the driver whether to kick: from the next descriptor on, or not at all. */
void packed_kicks(struct virtq *vq, bool on);
/** Stage an element: into the next descriptor to be returned. */
void packed_stage(struct virtq *vq, struct virtq_element element);

/* --- virtq_order.c -------------------------------------------------------------------------- */

/** No room for one more request of a queue that returns them in order. */
static inline bool order_is_full(const struct virtq *vq)
{
    const u16 taken = vq->packed ? vq->pk.taken : vq->next;

    return vq_is_in_order(vq) && (u16)(taken - vq->order.turn) >= VQ_ORDER_MAX;
}

/** Requests are counted from first on. */
void order_start(struct virtq *vq, u16 first);
/** The number-th request is returned; whole: every byte that could be written was. */
void order_return(struct virtq *vq, u16 number, struct virtq_element element, bool whole);
/** No later request will be added to what is staged: it is about to be shown. */
void order_close(struct virtq *vq);
/** The queue stops: what waits for its turn counts as returned. */
void order_stop(struct virtq *vq);
