/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.c - translation tables from a const list of regions and a small static pool.
 *
 * 4 KiB granule, 48 address bits, four levels [ARMv8] D5.2: level 0 and 1 entries cover 512 GiB and
 * 1 GiB, level 2 entries 2 MiB, level 3 entries a page. A table comes from the pool when a range
 * does not fill a block. mmu_build() runs with the MMU off, on the stack of entry.S: it calls
 * nothing of the C library and touches only the tables, the stack and .data.
 */
#include "start/mmu.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/boot.h"

#define TABLE_ENTRIES 512
#define MMU_TABLES_MAX \
    24 /* 96 KiB: image 4, devices 4, tree and initrd 4, shared pages 4, regions 8 */

#define DESC_VALID     BIT64(0)
#define DESC_TABLE     BIT64(1)           /* levels 0..2: a table; level 3: a page */
#define DESC_DEVICE    (UINT64_C(1) << 2) /* AttrIndx 1 */
#define DESC_READ_ONLY BIT64(7)
#define DESC_INNER     (UINT64_C(3) << 8)
#define DESC_ACCESS    BIT64(10)
#define DESC_PXN       BIT64(53)
#define DESC_UXN       BIT64(54)
#define DESC_ADDRESS   UINT64_C(0x0000fffffffff000)
#define DESC_KIND      (DESC_DEVICE | DESC_READ_ONLY | DESC_PXN)

#define MAIR_VALUE UINT64_C(0x04ff) /* 0: normal write-back, 1: Device-nGnRE */
#define TCR_BASE   (UINT64_C(16) | (1u << 8) | (1u << 10) | (3u << 12) | (1u << 23))
#define TCR_IPS    32
#define SCTLR_ON   UINT64_C(0x30d8180d) /* RES1, M, C, SA, I, WXN */

static const u64 attr_bits[MMU_ATTR_COUNT] = {
    [MMU_CODE] = DESC_READ_ONLY | DESC_INNER | DESC_UXN,
    [MMU_RODATA] = DESC_READ_ONLY | DESC_INNER | DESC_UXN | DESC_PXN,
    [MMU_DATA] = DESC_INNER | DESC_UXN | DESC_PXN,
    [MMU_DEVICE] = DESC_DEVICE | DESC_INNER | DESC_UXN | DESC_PXN,
};

extern u8 tables_start[], tables_end[], trap_stack_bottom[], trap_stack_top[], bss_start[],
    bss_end[];
extern u8 rodata_start[];

/* Everything of the image and nothing else: what is not listed (the guard pages) stays unmapped. */
static const struct {
    u8 *start, *end;
    enum mmu_attr attr;
} image_regions[] = {
    {image_start, text_end, MMU_CODE},   {rodata_start, rodata_end, MMU_RODATA},
    {rodata_end, data_end, MMU_DATA},    {tables_start, tables_end, MMU_DATA},
    {stack_bottom, stack_top, MMU_DATA}, {trap_stack_bottom, trap_stack_top, MMU_DATA},
    {bss_start, bss_end, MMU_DATA},
};

static u64 table_pool[MMU_TABLES_MAX][TABLE_ENTRIES]
    __attribute__((section(".tables"), aligned(4096)));
static u32 tables_used __attribute__((section(".data"))) = 1;   /* the first is the root */
static u64 address_limit __attribute__((section(".data"))) = 1; /* set by mmu_build() */

static u64 level_bytes(u32 level)
{
    return MMU_PAGE_BYTES << (9 * (3 - level));
}

/**
 * The entry that translates addr, at *level or above it, where a block stands in the way: *level is
 * where it was found. With make, missing tables are taken from the pool. NULL: no table.
 */
static u64 *entry_find(u64 addr, u32 *level, bool make)
{
    u64 *table = table_pool[0];

    for (u32 at = 0;; at++) {
        u64 *entry = &table[(addr / level_bytes(at)) % TABLE_ENTRIES];
        bool is_block = (*entry & DESC_VALID) && !(*entry & DESC_TABLE);

        if (at == *level || is_block) {
            *level = at;
            return entry;
        }
        if (!(*entry & DESC_VALID)) {
            if (!make || tables_used == MMU_TABLES_MAX) {
                return NULL;
            }
            *entry = (u64)(uintptr_t)table_pool[tables_used++] | DESC_TABLE | DESC_VALID;
        }
        table = (u64 *)(uintptr_t)(*entry & DESC_ADDRESS);
    }
}

static u64 entry_make(u64 addr, u32 level, enum mmu_attr attr)
{
    return addr | attr_bits[attr] | DESC_ACCESS | DESC_VALID | (level == 3 ? DESC_TABLE : 0);
}

/** Where a page may be asked for again: the same kind, or writable memory for read-only use. */
static bool entry_serves(u64 entry, enum mmu_attr attr)
{
    u64 kind = entry & DESC_KIND;

    return kind == (attr_bits[attr] & DESC_KIND) ||
           (attr == MMU_RODATA && kind == (attr_bits[MMU_DATA] & DESC_KIND));
}

/** Data that was read-only so far may become writable: an initrd that ends in the tree's page. */
static bool entry_may_grow(u64 entry, enum mmu_attr attr)
{
    return attr == MMU_DATA && (entry & DESC_KIND) == (attr_bits[MMU_RODATA] & DESC_KIND);
}

/** The largest block that starts at addr and fits into bytes: level 1, 2 or 3. */
static u32 level_for(u64 addr, u64 bytes)
{
    for (u32 level = 1; level < 3; level++) {
        if (is_aligned(addr, level_bytes(level)) && bytes >= level_bytes(level)) {
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
static enum status map_step(u64 addr, u64 bytes, enum mmu_attr attr, u64 *done)
{
    for (u32 wanted = level_for(addr, bytes); wanted <= 3; wanted++) {
        u32 level = wanted;
        u64 *entry = entry_find(addr, &level, true);

        if (!entry) {
            return ST_FULL;
        }
        if ((*entry & DESC_VALID) && level < 3 && (*entry & DESC_TABLE)) {
            continue; /* mapped in smaller pieces already */
        }
        if (!(*entry & DESC_VALID) || (level == wanted && entry_may_grow(*entry, attr))) {
            *entry = entry_make(addr, level, attr);
        } else if (!entry_serves(*entry, attr)) {
            return ST_INVAL;
        }
        *done = level_rest(addr, level);
        return ST_OK;
    }
    return ST_INVAL;
}

static enum status map_range(u64 base, u64 end, enum mmu_attr attr)
{
    u64 done = 0;

    for (u64 at = base; at < end; at += done) {
        enum status st = map_step(at, end - at, attr, &done);

        if (st != ST_OK) {
            return st;
        }
    }
    return ST_OK;
}

/** ID_AA64MMFR0_EL1.PARange, in the coding of TCR_EL1.IPS, at most 5: 48 bits. */
static u64 physical_size_code(void)
{
    u64 range;

    __asm__("mrs %0, id_aa64mmfr0_el1" : "=r"(range));
    return min_u64(range & 0xf, 5);
}

void mmu_build(void)
{
    static const u8 physical_bits[] = {32, 36, 40, 42, 44, MMU_ADDRESS_BITS};

    address_limit = BIT64(physical_bits[physical_size_code()]);
    for (u32 i = 0; i < ARRAY_LEN(image_regions); i++) {
        /* Four tables at most, from a pool of MMU_TABLES_MAX that nobody has used: cannot fail. */
        u64 end = align_up((u64)(uintptr_t)image_regions[i].end, MMU_PAGE_BYTES);

        map_range((u64)(uintptr_t)image_regions[i].start, end, image_regions[i].attr);
    }
}

void mmu_start(void)
{
    u64 tcr = TCR_BASE | (physical_size_code() << TCR_IPS);

    __asm__ volatile("dsb sy\n"
                     "tlbi vmalle1\n"
                     "ic iallu\n"
                     "msr mair_el1, %0\n"
                     "msr tcr_el1, %1\n"
                     "msr ttbr0_el1, %2\n"
                     "dsb sy\n"
                     "isb\n"
                     "msr sctlr_el1, %3\n"
                     "isb\n"
                     :
                     : "r"(MAIR_VALUE), "r"(tcr), "r"(table_pool[0]), "r"(SCTLR_ON)
                     : "memory");
}

static bool touches_image(u64 base, u64 end)
{
    return base < (u64)(uintptr_t)image_end && end > (u64)(uintptr_t)image_start;
}

enum status mmu_map(u64 base, u64 bytes, enum mmu_attr attr)
{
    u64 end;
    enum status st;

    CHECK(attr < MMU_ATTR_COUNT);
    if (bytes == 0 || !add_ok_u64(base, bytes, &end) || base < MMU_PAGE_BYTES || attr == MMU_CODE) {
        return ST_INVAL;
    }
    if (end > address_limit) {
        return ST_RANGE;
    }
    base = align_down(base, MMU_PAGE_BYTES);
    end = align_up(end, MMU_PAGE_BYTES);
    if (touches_image(base, end)) {
        return ST_INVAL;
    }
    st = map_range(base, end, attr);
    /* New entries need no invalidation; a page that became writable does [ARMv8] D5.10. */
    __asm__ volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" : : : "memory");
    return st;
}

bool mmu_is_mapped(u64 base, u64 bytes, enum mmu_attr attr)
{
    u64 end;

    CHECK(attr < MMU_ATTR_COUNT);
    if (bytes == 0 || !add_ok_u64(base, bytes, &end) || end > address_limit) {
        return false;
    }
    for (u64 at = align_down(base, MMU_PAGE_BYTES); at < end;) {
        u32 level = 3;
        const u64 *entry = entry_find(at, &level, false);

        if (!entry || !(*entry & DESC_VALID) || !entry_serves(*entry, attr)) {
            return false;
        }
        at += level_rest(at, level);
    }
    return true;
}

u32 mmu_tables_used(void)
{
    return tables_used;
}
