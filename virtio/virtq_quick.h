/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq_quick.h - the chain that nearly every driver sends, taken without a call. plane: data
 *
 *   one readable buffer of known length   what is asked
 *   one buffer, of either direction       the data
 *   one writable byte                     how it went
 *
 * as three descriptors of the ring, or as three of an indirect table, each in one run of memory
 * that an inline line of gmem knows. Everything else is left in the ring for virtq_pop(), which
 * reads all of it again and says what is wrong, if something is: nothing of a chain that was not
 * taken is used.
 *
 *      virtq_quick_begin -> { quick_look ... quick_return }* -> virtq_quick_end
 *
 * A chain returned this way was never in flight: between look and return nothing else happens to
 * the queue. So no head needs to be marked busy, and the places in both rings are the same index.
 */
#pragma once

#include "start/base/arith.h"
#include "virtio/virtq.h"
#include "virtio/virtq_layout.h"

/** A batch under way: what the queue and its memory look like, in registers. */
struct virtq_quick {
    const u8 *desc, *avail_ring;
    u8 *used_ring;
    struct gmem *gm;
    u32 size;       /* of the queue, at least the three descriptors */
    u16 next, seen; /* chains from next to seen wait */
};

/** One chain, looked at. */
struct vq_quick {
    u32 head;
    const u8 *first; /* aligned to 8 bytes */
    u64 data_addr;
    u32 data_bytes; /* not 0 */
    bool data_write;
    u8 *last;
};

/** What a descriptor says but for its next: length and flags. */
#define QUICK_WORD(word)        (UINT64_C(0xffffffffffff) & (word))
#define QUICK_IS(length, flags) ((u64)(length) | (u64)(flags) << 32)

/**
 * Start a batch with the chains that were seen waiting. False when the queue cannot be served
 * without the general way now: it is broken, lies in several runs, or has requests in flight.
 */
static inline bool virtq_quick_begin(const struct virtq *vq, struct virtq_quick *batch)
{
    if (vq->quick_size == 0 || vq->next != vq->used_next) {
        return false;
    }
    batch->desc = vq->desc_flat;
    batch->avail_ring = (const u8 *)vq->avail.base[0] + VIRTQ_AVAIL_RING(0);
    batch->used_ring = (u8 *)vq->used.base[0] + VIRTQ_USED_RING(0);
    batch->gm = vq->gm;
    batch->size = vq->quick_size;
    batch->next = vq->next;
    batch->seen = vq->avail_seen;
    return true;
}

/** The chain is an indirect table: from here on that is the table. [VIRTIO 2.7.5.3] */
static inline const u8 *quick_table(const struct virtq *vq, const struct virtq_quick *batch,
                                    u64 addr, u64 word, u32 *entries)
{
    u32 bytes = VIRTQ_DESC_LEN(word);
    const u8 *table;

    *entries = bytes / (u32)sizeof(struct virtq_desc);
    if (!vq->indirect || bytes % sizeof(struct virtq_desc) != 0 || *entries < 3 ||
        VIRTQ_DESC_FLAGS(word) != VIRTQ_DESC_F_INDIRECT) {
        return NULL;
    }
    table = gmem_peek(batch->gm, addr, bytes, GMEM_READ);
    return is_aligned((uintptr_t)table, sizeof(u64)) ? table : NULL;
}

/** Look at the next chain of the batch. False when it is not of this kind, or none is left. */
static inline bool quick_look(const struct virtq *vq, const struct virtq_quick *batch,
                              u32 first_bytes, struct vq_quick *q)
{
    const u8 *table = batch->desc, *at;
    u32 entries = batch->size, index;
    u64 addr, word;

    if (batch->next == batch->seen) {
        return false;
    }
    q->head = load_u16(batch->avail_ring + sizeof(u16) * (batch->next & (batch->size - 1)));
    if (q->head >= entries) {
        return false;
    }
    at = table + q->head * sizeof(struct virtq_desc);
    addr = load_u64(at); /* each word read once */
    word = load_u64(at + sizeof(u64));
    if (word & QUICK_IS(0, VIRTQ_DESC_F_INDIRECT)) {
        table = quick_table(vq, batch, addr, word, &entries);
        if (!table) {
            return false;
        }
        addr = load_u64(table);
        word = load_u64(table + sizeof(u64));
    }
    index = VIRTQ_DESC_NEXT(word);
    if (QUICK_WORD(word) != QUICK_IS(first_bytes, VIRTQ_DESC_F_NEXT) || index >= entries) {
        return false;
    }
    q->first = gmem_peek(batch->gm, addr, first_bytes, GMEM_READ);
    if (!q->first || !is_aligned((uintptr_t)q->first, sizeof(u64))) {
        return false;
    }
    at = table + index * sizeof(struct virtq_desc);
    q->data_addr = load_u64(at);
    word = load_u64(at + sizeof(u64));
    index = VIRTQ_DESC_NEXT(word);
    q->data_bytes = VIRTQ_DESC_LEN(word);
    q->data_write = (word & QUICK_IS(0, VIRTQ_DESC_F_WRITE)) != 0;
    if ((VIRTQ_DESC_FLAGS(word) & ~VIRTQ_DESC_F_WRITE) != VIRTQ_DESC_F_NEXT || index >= entries) {
        return false;
    }
    at = table + index * sizeof(struct virtq_desc);
    addr = load_u64(at);
    word = load_u64(at + sizeof(u64));
    if (QUICK_WORD(word) != QUICK_IS(1, VIRTQ_DESC_F_WRITE)) {
        return false;
    }
    q->last = gmem_peek(batch->gm, addr, 1, GMEM_WRITE);
    return q->last != NULL;
}

/** Stage the return of the chain that was looked at: the next one's turn. */
static inline void quick_return(struct virtq_quick *batch, const struct vq_quick *q, u32 written)
{
    u8 *element = batch->used_ring + 8 * (usize)(batch->next & (batch->size - 1));

    store_u32(element, q->head);
    store_u32(element + sizeof(u32), written);
    batch->next++;
}

/** The batch is over: what was returned is staged for virtq_publish(). */
static inline void virtq_quick_end(struct virtq *vq, const struct virtq_quick *batch)
{
    vq->next = batch->next;
    vq->used_next = batch->next;
}
