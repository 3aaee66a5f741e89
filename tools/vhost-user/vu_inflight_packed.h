/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_inflight_packed.h - inflight tracking of a packed ring.                         plane: both
 * [VHOST-USER] "Inflight I/O tracking", packed virtqueues.
 *
 * What is returned overwrites descriptors of requests that are still in flight, so the record holds
 * copies. A region is a list of free entries beside those of the chains in flight:
 *
 *   taken    the head's counter, then inflight = 1; each descriptor copied into the next free entry
 *            and free_head moved on; then old_free_head = free_head
 *   staged   the chain's entries are put before the free list, free_head = its head; used_idx moves
 *   shown    the flags in the ring; then inflight = 0 for the batch, then the old_ words follow
 *
 * Death between any two of these stores: the flags of the descriptor at old_used_idx say whether
 * the last batch was shown. If so the old_ words follow now; if not the others go back to them.
 * What is on the free list then is not in flight, whatever its mark says. Of what was staged and
 * not shown the ring holds elements that look used, behind the first; they are made to look
 * available again, because the successor may return requests in another order.
 *
 * The area is the front end's: whatever it holds is checked when a ring starts, and while it runs
 * it is only written.
 */
#pragma once

#include "tools/vhost-user/vu_inflight.h"

struct packed_region;

/** What we know of an entry: the same as the area says, out of the front end's reach. */
struct vu_packed_entry {
    u16 next; /* of the chain, or of the free list */
    u16 last; /* of a head: where its chain ends ... */
    u16 num;  /* ... and how many descriptors it has */
};

/** The record of one packed queue while it runs. */
struct vu_packed_log {
    struct virtq_journal journal;
    struct packed_region *region; /* NULL: nothing is recorded */
    u16 size;                     /* as an entry or a buffer id: there is none */
    u16 free_head;
    u16 batch_count;
    u64 counter; /* of the next request taken */
    struct vu_packed_entry entry[VQ_SIZE_MAX];
    u16 entry_of[VQ_SIZE_MAX]; /* the head entry of a buffer id that is in flight */
    u16 batch[VQ_SIZE_MAX];    /* heads that are staged */
    u16 again_chains;
    u16 again_count; /* descriptors of requests that our predecessor took and did not return ... */
    struct virtq_slot again[VQ_SIZE_MAX]; /* ... in the order in which it took them: virtq_setup */
};

/**
 * A queue of size descriptors at guest address ring starts. Marks a fresh region as ours, beginning
 * at position *pos; of a used one it finds what is to be served again, and *pos becomes where the
 * used side of the ring stands: the queue goes on there, with log->again. *resumed says which it
 * was. Without an area nothing is recorded. ST_OK, or ST_INVAL with *why.
 */
enum status vu_packed_start(const struct vu_inflight *area, u32 queue, u32 size, struct gmem *gm,
                            u64 ring, u16 *pos, struct vu_packed_log *log, bool *resumed,
                            const char **why);

/** The queue stops: what was returned is shown, and what else was recorded was never begun. */
void vu_packed_stop(struct vu_packed_log *log);

/** Bytes of the region of a queue of such a size. */
u64 vu_packed_region_bytes(u32 size);
