/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagetable.h - the tables behind mmu.h: what is mapped where, in memory of the caller's.
 *                                                                                 plane: control
 */
#pragma once

#include "start/mmu.h"

#define PAGETABLE_ENTRIES 512 /* of one table: 4 KiB */

/** pool[0] is the root; all of the pool is zero at first, and 4 KiB aligned. */
struct pagetable {
    u64 (*pool)[PAGETABLE_ENTRIES];
    u64 pool_phys; /* physical address of pool[0] */
    u32 pool_count;
    u32 used; /* 1 at first */
};

/**
 * Map [base, end), whole pages below 2^48, to the physical addresses from phys on. ST_OK; ST_INVAL
 * when a page is there that leads elsewhere or has an attribute that does not serve; ST_FULL when
 * the pool is used up. After a failure a part may be mapped.
 */
enum status pagetable_map(struct pagetable *pt, u64 base, u64 end, u64 phys, enum mmu_attr attr);

/** Unmap a page that is mapped as a page, not within a block. */
void pagetable_drop(struct pagetable *pt, u64 addr);

/** True when every page of [base, end) is there and serves attr. */
bool pagetable_has(struct pagetable *pt, u64 base, u64 end, enum mmu_attr attr);
