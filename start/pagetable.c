/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pagetable.c - walking and filling the tables; pure, so that hosted tests try every corner.
 *
 * [ARMv8] D5.2, D5.3: 4 KiB granule, 48 address bits, four levels. Levels 0 and 1 cover 512 GiB and
 * 1 GiB an entry, level 2 2 MiB, level 3 a page. mmu_build() runs this before the MMU is on:
 * nothing of the C library is called and only the tables are written.
 */
#include "start/pagetable.h"

#include "start/base/arith.h"
#include "start/base/check.h"

#define DESC_VALID     BIT64(0)
#define DESC_TABLE     BIT64(1)           /* levels 0..2: a table; level 3: a page */
#define DESC_DEVICE    (UINT64_C(1) << 2) /* AttrIndx 1 of MAIR_EL1, see mmu.c */
#define DESC_READ_ONLY BIT64(7)
#define DESC_INNER     (UINT64_C(3) << 8)
#define DESC_ACCESS    BIT64(10)
#define DESC_PXN       BIT64(53)
#define DESC_UXN       BIT64(54)
#define DESC_ADDRESS   UINT64_C(0x0000fffffffff000)
#define DESC_KIND      (DESC_DEVICE | DESC_READ_ONLY | DESC_PXN)

static const u64 attr_bits[MMU_ATTR_COUNT] = {
    [MMU_CODE] = DESC_READ_ONLY | DESC_INNER | DESC_UXN,
    [MMU_RODATA] = DESC_READ_ONLY | DESC_INNER | DESC_UXN | DESC_PXN,
    [MMU_DATA] = DESC_INNER | DESC_UXN | DESC_PXN,
    [MMU_DEVICE] = DESC_DEVICE | DESC_INNER | DESC_UXN | DESC_PXN,
};

static u64 level_bytes(u32 level)
{
    return MMU_PAGE_BYTES << (9 * (3 - level));
}

/**
 * The entry that translates addr, at *level or above it, where a block stands in the way: *level is
 * where it was found. With make, missing tables are taken from the pool. NULL: no table.
 */
static u64 *entry_find(struct pagetable *pt, u64 addr, u32 *level, bool make)
{
    u64 *table = pt->pool[0];

    for (u32 at = 0;; at++) {
        u64 *entry = &table[(addr / level_bytes(at)) % PAGETABLE_ENTRIES];
        bool is_block = (*entry & DESC_VALID) && !(*entry & DESC_TABLE);

        if (at == *level || is_block) {
            *level = at;
            return entry;
        }
        if (!(*entry & DESC_VALID)) {
            if (!make || pt->used == pt->pool_count) {
                return NULL;
            }
            *entry = (pt->pool_phys + pt->used++ * MMU_PAGE_BYTES) | DESC_TABLE | DESC_VALID;
        }
        table = pt->pool[((*entry & DESC_ADDRESS) - pt->pool_phys) / MMU_PAGE_BYTES];
    }
}

static u64 entry_make(u64 phys, u32 level, enum mmu_attr attr)
{
    return phys | attr_bits[attr] | DESC_ACCESS | DESC_VALID | (level == 3 ? DESC_TABLE : 0);
}

/** Where a page may be asked for again: the same kind, or writable memory for read-only use. */
static bool entry_serves(u64 entry, enum mmu_attr attr)
{
    u64 kind = entry & DESC_KIND;

    return kind == (attr_bits[attr] & DESC_KIND) ||
           (attr == MMU_RODATA && kind == (attr_bits[MMU_DATA] & DESC_KIND));
}

/** The block or page of level that holds addr leads it to phys. */
static bool entry_leads(u64 entry, u64 addr, u32 level, u64 phys)
{
    return (entry & DESC_ADDRESS) + addr % level_bytes(level) == phys;
}

/** Data that was read-only so far may become writable: an initrd that ends in the tree's page. */
static bool entry_may_grow(u64 entry, enum mmu_attr attr)
{
    return attr == MMU_DATA && (entry & DESC_KIND) == (attr_bits[MMU_RODATA] & DESC_KIND);
}

/** The largest block that can lead from addr to phys and fits into bytes: level 1, 2 or 3. */
static u32 level_for(u64 addr, u64 phys, u64 bytes)
{
    for (u32 level = 1; level < 3; level++) {
        if (is_aligned(addr | phys, level_bytes(level)) && bytes >= level_bytes(level)) {
            return level;
        }
    }
    return 3;
}

/** Bytes from addr to the end of the block or page of level that it lies in. */
static u64 level_rest(u64 addr, u32 level)
{
    return level_bytes(level) - addr % level_bytes(level);
}

/** Map one block or page at addr; *done is how far that reaches. */
static enum status map_step(struct pagetable *pt, u64 addr, u64 bytes, u64 phys, enum mmu_attr attr,
                            u64 *done)
{
    for (u32 wanted = level_for(addr, phys, bytes); wanted <= 3; wanted++) {
        u32 level = wanted;
        u64 *entry = entry_find(pt, addr, &level, true);

        if (!entry) {
            return ST_FULL;
        }
        if ((*entry & DESC_VALID) && level < 3 && (*entry & DESC_TABLE)) {
            continue; /* mapped in smaller pieces already */
        }
        if (!(*entry & DESC_VALID) || (level == wanted && entry_may_grow(*entry, attr))) {
            *entry = entry_make(phys, level, attr);
        } else if (!entry_serves(*entry, attr) || !entry_leads(*entry, addr, level, phys)) {
            return ST_INVAL;
        }
        *done = level_rest(addr, level);
        return ST_OK;
    }
    return ST_INVAL;
}

enum status pagetable_map(struct pagetable *pt, u64 base, u64 end, u64 phys, enum mmu_attr attr)
{
    u64 done = 0;

    for (u64 at = base; at < end; at += done) {
        enum status st = map_step(pt, at, end - at, phys + (at - base), attr, &done);

        if (st != ST_OK) {
            return st;
        }
    }
    return ST_OK;
}

void pagetable_drop(struct pagetable *pt, u64 addr)
{
    u32 level = 3;
    u64 *entry = entry_find(pt, addr, &level, false);

    CHECK(entry && level == 3);
    *entry = 0;
}

bool pagetable_has(struct pagetable *pt, u64 base, u64 end, enum mmu_attr attr)
{
    for (u64 at = base; at < end;) {
        u32 level = 3;
        const u64 *entry = entry_find(pt, at, &level, false);

        if (!entry || !(*entry & DESC_VALID) || !entry_serves(*entry, attr)) {
            return false;
        }
        at += level_rest(at, level);
    }
    return true;
}
