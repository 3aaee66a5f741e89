/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.h - address translation, nothing both writable and executable.              plane: control
 *
 *   MMU_IMAGE and up   the image, where it is linked to run; the loader chose where it lies
 *   below              virtual == physical: everything else
 *
 * entry.S has mmu_build() map the image's own regions; everything found later (device tree,
 * initrd, registers, pages shared with Xen) is added by mmu_map(). Nothing is ever unmapped: what
 * Xen takes away or moves behind an address is its second stage, not ours. Page 0 and the pages
 * below the stacks stay unmapped.
 *
 * So a pointer to a static variable is no physical address. Memory that Xen or a device is told of
 * by its address comes from memmap_take() or extregion_alloc(), where it is one.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

enum mmu_attr {
    MMU_CODE,   /* read and execute: the image's text, nobody else's */
    MMU_RODATA, /* read only, never executed: constants, device tree, initrd */
    MMU_DATA,   /* read and write, never executed, write-back: our RAM, pages shared with Xen */
    MMU_DEVICE, /* read and write, never executed, Device-nGnRE: registers */
    MMU_ATTR_COUNT
};

#define MMU_ADDRESS_BITS 48
#define MMU_PAGE_BYTES   UINT64_C(4096)

/* Where the image is linked to run, as image.lds says: above all memory and registers we map. */
#define MMU_IMAGE BIT64(MMU_ADDRESS_BITS - 1)

/** For entry.S only, MMU off: fill the zeroed tables at pool with the regions of the image, which
 * lies at base. Both are physical addresses. */
void mmu_build(u64 base, u64 pool);
/** For entry.S only, MMU off: switch translation and caches on and jump to linked. */
_Noreturn void mmu_start(u64 linked);
/** For entry.S only, MMU on: forget where the code ran before. */
void mmu_settle(void);

/** The physical address of image_start. */
u64 mmu_image_base(void);

/**
 * Make [base, base + bytes) accessible, rounded out to whole pages; 1 GiB and 2 MiB blocks are used
 * where they fit. Pages that are there already with the same attribute are left alone; MMU_DATA
 * serves MMU_RODATA too, and read-only pages outside the image become writable when MMU_DATA is
 * asked for. Returns ST_OK; ST_INVAL when the range is empty, wraps, holds page 0, touches the
 * image or asks for MMU_CODE, or when a page is there with another attribute; ST_RANGE above what
 * the CPU can address, and from MMU_IMAGE on; ST_FULL when the table pool (MMU_TABLES_MAX) is used
 * up. After ST_INVAL for a conflict and ST_FULL a part may be mapped.
 */
enum status mmu_map(u64 base, u64 bytes, enum mmu_attr attr);

/** True when every page of the range is there with attribute attr. */
bool mmu_is_mapped(u64 base, u64 bytes, enum mmu_attr attr);

/** Translation tables taken from the pool so far. */
u32 mmu_tables_used(void);
