/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gnttab.h - grants: pages that another domain offers us [xen/grant_table.h], version 1.  plane:
 * both
 *
 * Mapping is in batches; every entry stands and falls alone. Handles belong to the caller until
 * they are unmapped; gnttab_mapped_count() is the leak check. Copies need no mapping at all.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define GNTTAB_BATCH_MAX  64         /* entries of one hypercall */
#define GNTTAB_NO_HANDLE  UINT32_MAX /* of an entry that is not mapped */
#define GNTTAB_FRAMES_MAX 4          /* frames of our own table: 512 grants each */

struct gnttab_map {
    u64 gpa;        /* in: where to map, a page of extended region */
    u32 ref;        /* in: the grant reference */
    u16 domid;      /* in: who granted */
    bool read_only; /* in */
    s32 status;     /* out: 0 or a negative GNTST_* number */
    u32 handle;     /* out: GNTTAB_NO_HANDLE unless status is 0 */
    u64 bus;        /* out: the address a DMA device must be told */
};

struct gnttab_unmap {
    u64 gpa;    /* in */
    u32 handle; /* in */
    s32 status; /* out */
};

/** One side of a copy: a grant of domid, or our own frame when is_gfn. */
struct gnttab_place {
    u64 ref_or_gfn;
    u16 domid;  /* ignored when is_gfn */
    u16 offset; /* into the page */
    bool is_gfn;
};

struct gnttab_copy_op {
    struct gnttab_place from, to;
    u16 bytes;  /* crosses no page on either side */
    s16 status; /* out: 0 or a negative GNTST_* number */
};

/** Our own table (grants we give): frames mapped from gpa on. ST_OK, ST_RANGE, ST_HYPERCALL. */
enum status gnttab_init(u64 gpa, u64 bytes);

/**
 * Map count entries. Returns ST_OK when the call itself went through (each status tells the rest)
 * and ST_HYPERCALL when it did not; then no entry is mapped and every status is negative.
 */
enum status gnttab_map_batch(struct gnttab_map *maps, u32 count);
/** Unmap; entries with GNTTAB_NO_HANDLE are skipped. ST_OK or ST_HYPERCALL as above. */
enum status gnttab_unmap_batch(struct gnttab_unmap *unmaps, u32 count);
/** Copy count pieces. ST_OK or ST_HYPERCALL as above. */
enum status gnttab_copy_batch(struct gnttab_copy_op *ops, u32 count);

/** Grants of others mapped now. */
u32 gnttab_mapped_count(void);
