/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * extregion.h - guest-physical addresses that hold no memory of ours.             plane: control
 *
 * Xen names ranges where nothing lies (/hypervisor reg[1..]); foreign pages, shared pages and
 * grants are mapped there, so that no RAM of ours is given up for them. Virtual equals physical: a
 * gpa from here, cast, is the pointer. What is mapped is the business of whoever allocated.
 *
 * First fit over a sorted table of free runs. Free runs are at most regions + live allocations,
 * both bounded, so freeing never fails.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

#define EXTREGION_REGIONS_MAX 16 /* ranges of the device tree */
#define EXTREGION_ALLOCS_MAX \
    128 /* live allocations: the windows, one page per guest, shared pages */

struct extregion_range {
    u64 base, bytes;
};

/** Start over with these ranges, which do not overlap. ST_OK; ST_INVAL (wrap, overlap); ST_FULL. */
enum status extregion_init(const struct extregion_range *ranges, u32 count);

/** bytes and align: whole pages, align a power of two. ST_OK with *gpa; ST_FULL; ST_INVAL. */
enum status extregion_alloc(u64 bytes, u64 align, u64 *gpa);
/** CHECKs that [gpa, gpa + bytes) was allocated as one piece. */
void extregion_free(u64 gpa, u64 bytes);

/** Bytes handed out now: the leak check. */
u64 extregion_used_bytes(void);
/** The longest free run that starts at a multiple of align, in bytes. */
u64 extregion_largest_free(u64 align);
