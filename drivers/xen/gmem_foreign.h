/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gmem_foreign.h - a guest's memory through foreign mappings; implements virtio/gmem.h.  plane:
 * data
 *
 * One pool of windows for all guests. A window is WINDOW_BYTES of extended region, aligned, and
 * stands for one equally aligned piece (granule) of one guest: page i of the granule appears at
 * page i of the window, so pages that touch in the guest touch for us and one span may run over
 * many.
 *
 *   guest  0x4020_0000  |..P.PP...|       window 7 = guest 3, granule 0x4020_0000
 *   ours   0x8_0460_0000|..P.PP...|       P: pages some descriptor named; only those are mapped
 *
 * A miss maps the pages the range names, in one hypercall. When no window is free, one without pins
 * is taken back, the longest unused first: a guest at or above its share (windows / guests) gives
 * up one of its own, a guest below takes from one above; no guest holds more than
 * WINDOWS_PER_GUEST.
 *
 * Xen keeps a second-stage table of 4 KiB, from our domain's shadow_memory, for every window that
 * was ever filled, also when it is empty again. When that pool is used up (ENOMEM), the windows
 * filled so far are all there will be: one of them is taken back, and a log line says so once.
 *
 * Stale: a pinned window whose guest gave memory back. It answers no new look-up and is unmapped
 * when the last pin goes (gmem_foreign_reap()).
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/log.h"
#include "virtio/gmem.h"

#define WINDOW_PAGES      (WINDOW_BYTES / PAGE_BYTES)
#define WINDOWS_PER_GUEST 224 /* of WINDOWS_MAX: a chain of 130 scattered segments, and rings */

/** Tags from WINDOWS_MAX on, in the same array of pins, are gmem_grants.c's. */
#define GMEM_TAGS_GRANTS (GUESTS_MAX * GRANT_RUNS_PER_GUEST)

struct gmem_foreign {
    struct gmem gm; /* what virtio/ sees */
    u16 domid;
    bool open;
    u32 windows;  /* in use now, stale ones included */
    u64 misses;   /* look-ups that had to map */
    u64 failures; /* look-ups that could not be answered */
    struct log_limit limit;
};

struct gmem_foreign_stats {
    u32 windows_total; /* usable: less than taken once Xen's pool for our tables is empty */
    u32 windows_used;  /* stale ones included */
    u32 windows_stale;
    u32 pages_mapped;                    /* now */
    u64 misses, maps, unmaps, evictions; /* look-ups; pages; pages; windows taken from someone */
};

/**
 * Take windows from the extended regions: WINDOWS_MAX or what there is room for.
 * ST_OK; ST_FULL when there is not room for one.
 */
enum status gmem_foreign_init(void);

/**
 * Begin with guest domid; g->gm is usable then. ST_OK; ST_FULL: twice for each of GUESTS_MAX guests
 * (once for devices that know no grants, once inside a struct gmem_grants).
 */
enum status gmem_foreign_open(struct gmem_foreign *g, u16 domid);
/** The guest goes: unmap everything. CHECKs that nothing is pinned. */
void gmem_foreign_close(struct gmem_foreign *g);

/** The find of struct gmem_ops, for one who knows other addresses besides. */
enum status gmem_foreign_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                              struct gmem_hit *run);

/** IOREQ_TYPE_INVALIDATE: unmap what is not pinned now, the rest when it is released. */
void gmem_foreign_invalidate(struct gmem_foreign *g);

/** Unmap stale windows whose pins are gone. Cheap when there are none. Returns windows freed. */
u32 gmem_foreign_reap(void);

void gmem_foreign_stats(struct gmem_foreign_stats *out);
