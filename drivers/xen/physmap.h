/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * physmap.h - typed tier of HYPERVISOR_memory_op: what lies where in our guest-physical space.
 *                                                                                 plane: both
 * Frames (gfn) are 4 KiB. Every call returns 0 or a negative XEN_E* number, as Xen does; the
 * callers know what a number means to them. Nothing here logs.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/types.h"

#define PHYSMAP_BATCH_MAX 512 /* pages of one map call: one window */

/** Map Xen's shared information page at frame gfn. */
long physmap_shared_info(u64 gfn);

/** Map frame idx of our grant table at frame gfn. */
long physmap_grant_frame(u32 idx, u64 gfn);

/** Map the page of ioreq server id of guest domid, which holds the ioreq slots, at frame gfn. */
long physmap_ioreq_page(u16 domid, u16 id, u64 gfn);

/**
 * Map count (1..PHYSMAP_BATCH_MAX) pages of guest domid: page i of idxs at frame gfns[i]. Pages
 * stand and fall alone: errors[i] is 0 or a negative number, PHYSMAP_UNTOUCHED where Xen never
 * came. Returns the outcome of the whole call; pages with errors[i] == 0 are mapped whatever it is.
 */
#define PHYSMAP_UNTOUCHED 1
long physmap_foreign(u16 domid, const u64 *idxs, const u64 *gfns, int *errors, u32 count);

/**
 * Unmap count pages (any number; REMOVE_BATCH at a time in one multicall). Returns the number that
 * were mapped and now are not. A frame where nothing was mapped is no error.
 */
u32 physmap_remove(const u64 *gfns, u32 count);
