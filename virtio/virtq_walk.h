/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq_walk.h - from descriptors to a chain; for virtq.c and its siblings only.     plane: data
 *
 * The ring's owner reads each descriptor once and hands its two words to walk_desc(), which adds
 * the buffer to the chain: by an inline line of gmem, or by walk_append(), the slow way.
 */
#pragma once

#include "virtio/virtq.h"
#include "virtio/virtq_layout.h"

/** A flag of a descriptor in its second word. */
#define DESC_WORD(flag) ((u64)(flag) << 32)

/** How far the walk is; lives in registers. */
struct walk {
    const u8 *table; /* where descriptors are read; NULL: entry by entry through gmem */
    const struct gmem_line *lines;
    u32 entries; /* of the table */
    u32 left;    /* descriptors the chain may still have */
    u32 count;   /* spans so far */
    u32 read_count;
    u64 read_bytes;
    u64 bytes;     /* of the direction the walk is in */
    u64 direction; /* DESC_WORD(VIRTQ_DESC_F_WRITE) once a writable descriptor was seen */
    bool in_table; /* in the indirect one */
};

/** The walk ends here: the chain is malformed. */
enum status walk_malformed(struct virtq *vq, const char *why, u64 value);

/** Before anything may be mapped: borrowed spans become held ones. */
void walk_hold(struct virtq *vq, struct vq_chain *chain, u32 count);

/**
 * The slow way to an entry of a table: copied, once, to vq->walk.entry. NULL, with walk.status,
 * when that cannot be done.
 */
const u8 *walk_entry_copy(struct virtq *vq, struct vq_chain *chain, u32 count, u32 index);

/** The walk goes on in the table that a descriptor names. [VIRTIO 2.7.5.3] */
enum status walk_into_table(struct virtq *vq, u64 addr, u64 word, bool in_table);

/**
 * The slow way to append the spans of a descriptor's buffer. Returns the new count, 0 when no
 * window is free. Something may have been mapped: what is only borrowed may be gone.
 */
u32 walk_append(struct virtq *vq, struct vq_chain *chain, u32 count, u64 addr, u32 bytes,
                enum gmem_dir dir);

/** The readable part ends here. */
static inline void walk_turn(struct virtq *vq, struct walk *w)
{
    w->direction = DESC_WORD(VIRTQ_DESC_F_WRITE);
    w->lines = vq->gm->line[GMEM_WRITE];
    w->read_count = w->count;
    w->read_bytes = w->bytes;
    w->bytes = 0;
}

/** Add one descriptor to the chain. ST_OK; ST_PROTO; ST_AGAIN when no window is free. */
static inline enum status walk_desc(struct virtq *vq, struct vq_chain *chain, struct walk *w,
                                    u64 addr, u64 word)
{
    u32 len = VIRTQ_DESC_LEN(word);

    if (w->left-- == 0) {
        return walk_malformed(vq, "a chain is longer than the queue", chain->head);
    }
    if ((word ^ w->direction) & DESC_WORD(VIRTQ_DESC_F_WRITE)) {
        if (w->direction) {
            return walk_malformed(vq, "a device-readable descriptor follows a writable one", addr);
        }
        walk_turn(vq, w);
    }
    w->bytes += len;
    if (len == 0) { /* adds nothing */
        return ST_OK;
    }
    if (__builtin_expect(w->count < VQ_SPAN_MAX, 1) &&
        __builtin_expect(gmem_line_borrow(&w->lines[addr / WINDOW_BYTES % GMEM_LINES], addr, len,
                                          &chain->span[w->count]),
                         1)) {
        w->count++;
        return ST_OK;
    }
    w->count = walk_append(vq, chain, w->count, addr, len, w->direction ? GMEM_WRITE : GMEM_READ);
    w->table = w->in_table ? NULL : w->table; /* it was only borrowed */
    return w->count > 0 ? ST_OK : ST_AGAIN;
}

/** Sort out which spans are readable. */
static inline void walk_finish(struct virtq *vq, struct vq_chain *chain, struct walk *w)
{
    if (!w->direction) {
        walk_turn(vq, w);
    }
    if (__builtin_expect(chain->held > 0, 0)) {
        walk_hold(vq, chain, w->count);
        if ((chain->flaws & VQ_FLAW_CUT) && w->bytes > 0 && w->read_count == w->count) {
            w->read_count--; /* the last span was taken over by a writable one */
        }
    }
    chain->read_bytes = w->read_bytes;
    chain->write_bytes = w->bytes;
    chain->read_count = (u16)w->read_count;
    chain->write_count = (u16)(w->count - w->read_count);
}
