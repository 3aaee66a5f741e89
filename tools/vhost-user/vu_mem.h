/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_mem.h - the guest's memory as a front end shares it: a gmem over mapped files. plane: both
 *
 * A front end hands over its guest's memory as regions, each a range of guest addresses in a file
 * descriptor that we map. A buffer may reach from one region into the next: gmem_span() then makes
 * two spans of it, since neighbours for the guest need not be neighbours here.
 *
 * The file stays the front end's: it may shrink it under us at any time. A touch of a page that is
 * gone raises SIGBUS; the handler of vu_mem_guard() puts an empty page in its place, so that the
 * access ends, and marks the memory broken. The loop then closes that front end's session; the
 * others go on.
 */
#pragma once

#include <signal.h>

#include "tools/vhost-user/vu_msg.h"
#include "virtio/gmem.h"

#define VU_SLOTS_MAX 128 /* regions of one guest: what GET_MAX_MEM_SLOTS answers */
#define VU_MEMS_MAX  32  /* guests of this process */

struct vu_slot {
    struct vu_region region;
    u8 *base; /* our pointer to the region's first byte; NULL: the slot is free */
    u8 *map;  /* what was mapped: base, aligned down */
    u64 map_bytes;
};

struct vu_mem {
    struct gmem gm;
    u32 count;
    u8 order[VU_SLOTS_MAX]; /* slots in use, by guest address */
    struct vu_slot slot[VU_SLOTS_MAX];
    u32 pins[VU_SLOTS_MAX];
    volatile sig_atomic_t broken; /* the front end took memory away that it had shared */
};

/** CHECKs that no more than VU_MEMS_MAX are made. */
void vu_mem_init(struct vu_mem *mem);

/**
 * Map one region. fd stays the caller's. Returns ST_OK; ST_INVAL when the region is empty, wraps,
 * is not page-aligned, is larger than its file or overlaps another one; ST_FULL when VU_SLOTS_MAX
 * are mapped; ST_IO when the system refuses the mapping. *why is a sentence then.
 */
enum status vu_mem_add(struct vu_mem *mem, const struct vu_region *region, int fd,
                       const char **why);

/** Unmap the region with these addresses and this size. Nothing of it may be pinned. ST_NOENT if
 * there is none. */
enum status vu_mem_remove(struct vu_mem *mem, const struct vu_region *region);

/** Unmap everything. Nothing may be pinned. */
void vu_mem_clear(struct vu_mem *mem);

/** Spans of this memory that are in use. */
u32 vu_mem_pinned(const struct vu_mem *mem);

/** The guest address of an address in the front end's process; false when no region holds it. */
bool vu_mem_user_to_guest(const struct vu_mem *mem, u64 user, u64 *guest);

/** Install the SIGBUS handler for every vu_mem. Returns ST_OK or ST_IO. */
enum status vu_mem_guard(void);
