/* SPDX-License-Identifier: BSD-2-Clause */
/* virtq_walk.c - the slow ways from descriptors to a chain. */
#include "virtio/virtq_walk.h"

#include "start/base/arith.h"

STATIC_CHECK(VQ_DESC_BYTES_MAX > WINDOW_BYTES, "a longer buffer is never borrowed whole");

COLD enum status walk_malformed(struct virtq *vq, const char *why, u64 value)
{
    vq->walk.why = why;
    vq->walk.value = value;
    return ST_PROTO;
}

COLD void walk_hold(struct virtq *vq, struct vq_chain *chain, u32 count)
{
    gmem_hold(vq->gm, &chain->span[chain->held], count - chain->held);
    chain->held = (u16)count;
}

COLD const u8 *walk_entry_copy(struct virtq *vq, struct vq_chain *chain, u32 count, u32 index)
{
    u64 addr = vq->walk.table + index * sizeof(struct virtq_desc);
    enum status st;

    walk_hold(vq, chain, count);
    st = gmem_copy_in(vq->gm, vq->walk.entry, (gpa_t){addr}, sizeof(vq->walk.entry));
    if (st == ST_OK) {
        return (const u8 *)vq->walk.entry;
    }
    vq->walk.status = ST_AGAIN;
    if (st != ST_AGAIN) {
        vq->walk.status = walk_malformed(vq, "a descriptor table is not in guest memory", addr);
    }
    return NULL;
}

enum status walk_into_table(struct virtq *vq, u64 addr, u64 word, bool in_table)
{
    u32 bytes = VIRTQ_DESC_LEN(word);
    const u8 *flat;

    if (!vq->indirect) {
        return walk_malformed(vq, "an indirect descriptor, which was not negotiated", addr);
    }
    if (in_table) {
        return walk_malformed(vq, "an indirect descriptor inside an indirect table", addr);
    }
    if (VIRTQ_DESC_FLAGS(word) & VIRTQ_DESC_F_NEXT) {
        return walk_malformed(vq, "a descriptor that is indirect and has a next one", addr);
    }
    if (bytes == 0 || bytes % sizeof(struct virtq_desc) != 0) {
        return walk_malformed(vq, "the length of an indirect table is no multiple of 16", bytes);
    }
    if (addr + (bytes - 1) < addr) {
        return walk_malformed(vq, "an indirect table wraps around the address space", addr);
    }
    flat = gmem_peek(vq->gm, addr, bytes, GMEM_READ);
    vq->walk.flat = is_aligned((uintptr_t)flat, sizeof(u64)) ? flat : NULL;
    vq->walk.table = addr;
    vq->walk.entries = bytes / (u32)sizeof(struct virtq_desc);
    return ST_OK;
}

static COLD u32 hole_append(struct vq_chain *chain, u32 count, u32 bytes)
{
    chain->flaws |= VQ_FLAW_HOLE;
    chain->span[count] = (struct span){.base = NULL, .bytes = bytes};
    chain->held = (u16)(count + 1);
    return count + 1;
}

/** No room for all spans: keep the beginning, and always the last byte. */
static COLD u32 span_append_cut(struct virtq *vq, struct vq_chain *chain, u32 count, u64 last,
                                enum gmem_dir dir)
{
    enum status st;

    chain->flaws |= VQ_FLAW_CUT;
    if (count == VQ_SPAN_MAX) {
        gmem_release(vq->gm, &chain->span[--count], 1);
        chain->held--;
    }
    st = gmem_span(vq->gm, (gpa_t){last}, 1, dir, chain->span, VQ_SPAN_MAX, &count);
    if (st == ST_AGAIN) {
        return 0;
    }
    if (st != ST_OK) {
        return hole_append(chain, count, 1);
    }
    chain->held = (u16)count;
    return count;
}

COLD u32 walk_append(struct virtq *vq, struct vq_chain *chain, u32 count, u64 addr, u32 bytes,
                     enum gmem_dir dir)
{
    enum status st = ST_GUEST;

    walk_hold(vq, chain, count);
    if (bytes <= VQ_DESC_BYTES_MAX) {
        st = gmem_span(vq->gm, (gpa_t){addr}, bytes, dir, chain->span, VQ_SPAN_MAX, &count);
    }
    if (st == ST_OK) {
        chain->held = (u16)count;
        return count;
    }
    if (st == ST_AGAIN) {
        return 0;
    }
    if (st == ST_FULL || count == VQ_SPAN_MAX) {
        return span_append_cut(vq, chain, count, addr + (bytes - 1), dir);
    }
    return hole_append(chain, count, bytes);
}
