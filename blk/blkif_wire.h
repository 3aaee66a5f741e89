/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blkif_wire.h - one entry of a PV block ring, to and from bytes.  [BLKIF] xen/io/blkif.h plane:
 * data
 *
 * A front end lays its ring out as its own processor aligns a 64-bit number; its key `protocol`
 * says how. arm64, 32-bit Arm and x86_64 agree; 32-bit x86 does not. Everything read is a copy: the
 * front end may change the entry at any time. Nothing is judged here but what cannot be stored.
 */
#pragma once

#include "start/base/types.h"

#define BLKIF_DIRECT_MAX     11  /* segments in the entry itself */
#define BLKIF_PAGE_SECTORS   8   /* of 512 bytes: a segment lies in one page */
#define BLKIF_SEG_BYTES      8   /* of a segment */
#define BLKIF_SEG_PER_PAGE   512 /* segments in a page of an indirect request */
#define BLKIF_RING_PAGES_MAX 4   /* ring-page-order 2 */

enum blkif_abi { BLKIF_ABI_64, BLKIF_ABI_32, BLKIF_ABI_COUNT };

/** A piece of one page: sectors first to last of grant ref. */
struct blkif_seg {
    u32 ref;
    u8 first, last;
};

struct blkif_wire {
    u8 op;         /* BLKIF_OP_*; of an indirect request what it stands for */
    bool indirect; /* its segments are in pages of their own */
    u8 flag;       /* of a discard */
    u32 segs;      /* as the front end says: not checked */
    u64 id;
    u64 sector;
    u64 sectors; /* of a discard */
    u32 seg_ref; /* indirect: the first page of segments */
    struct blkif_seg seg[BLKIF_DIRECT_MAX];
};

/** The layout a value of the key protocol stands for; "" is a front end that does not say. False:
 * unknown. */
bool blkif_abi_find(const char *protocol, enum blkif_abi *abi);

/** Entries of a ring of so many pages, 1 to BLKIF_RING_PAGES_MAX: a power of two. */
u32 blkif_ring_entries(enum blkif_abi abi, u32 pages);

/** Read entry idx, modulo entries, of the ring at page, once. */
void blkif_wire_read(enum blkif_abi abi, const u8 *page, u32 idx, u32 entries,
                     struct blkif_wire *wire);

/** Write an answer over the entry; op and id are the request's, status a BLKIF_RSP_*. */
void blkif_wire_answer(enum blkif_abi abi, u8 *page, u32 idx, u32 entries, u64 id, u8 op,
                       s16 status);

/** Segment number idx of a page of an indirect request: read once. */
struct blkif_seg blkif_wire_seg(const u8 *page, u32 idx);
