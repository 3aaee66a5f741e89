/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memmap.h - our own RAM: what is there, what is taken, what is left.             plane: control
 *
 * A list of banks and a list of taken ranges, both from the device tree and so checked. The only
 * allocation of the program: at start, for ramdisks and pages shared with Xen; nothing is given
 * back.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

#define MEMMAP_BANKS_MAX 8  /* memory banks; xl makes two at most */
#define MEMMAP_TAKEN_MAX 64 /* image, tree, initrd, reserved memory, what we took */

struct memrange {
    u64 base, bytes;
};

/** Makes [base, base + bytes) accessible before it is given out. */
typedef enum status (*memmap_access_fn)(u64 base, u64 bytes);

struct memmap {
    memmap_access_fn access;
    struct memrange bank[MEMMAP_BANKS_MAX];
    u32 bank_count;
    struct memrange taken[MEMMAP_TAKEN_MAX];
    u32 taken_count;
};

/** access may be NULL: everything is accessible already. */
void memmap_init(struct memmap *map, memmap_access_fn access);
/** ST_OK, ST_INVAL when the range is empty or wraps, ST_FULL. */
enum status memmap_add_bank(struct memmap *map, u64 base, u64 bytes);
/** Mark as not ours to give. ST_OK, ST_INVAL, ST_FULL. Overlaps are fine. */
enum status memmap_reserve(struct memmap *map, u64 base, u64 bytes);
/** True when the whole range lies in one bank. */
bool memmap_contains(const struct memmap *map, u64 base, u64 bytes);
/** Bytes in all banks. */
u64 memmap_total(const struct memmap *map);

/**
 * Take bytes at a multiple of align (a power of two) from the lowest free place.
 * ST_OK with *base; ST_FULL when no bank has a free run that long or the table is full; what access
 * returns otherwise.
 */
enum status memmap_take(struct memmap *map, u64 bytes, u64 align, u64 *base);
