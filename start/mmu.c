/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.c - the image's own regions, the registers that switch translation on, and the pool of
 * tables.
 *
 * mmu_build() and mmu_start() run with the MMU off, not where they are linked, on the stack of
 * entry.S: they call nothing of the C library, touch only the tables, the stack and .data, and know
 * no address of the image but those they are given. The regions are offsets for that reason.
 */
#include "start/mmu.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/boot.h"
#include "start/pagetable.h"

#define MMU_TABLES_MAX 24 /* 96 KiB: image 6, devices 4, tree and initrd 4, Xen 4, regions 6 */

/* [ARMv8] D13.2: MAIR_EL1, TCR_EL1, SCTLR_EL1 */
#define MAIR_VALUE UINT64_C(0x04ff) /* 0: normal write-back, 1: Device-nGnRE */
#define TCR_BASE   (UINT64_C(16) | (1u << 8) | (1u << 10) | (3u << 12) | (1u << 23))
#define TCR_IPS    32
#define SCTLR_ON   UINT64_C(0x30d8180d) /* RES1, M, C, SA, I, WXN */

/* Everything of the image and nothing else: what is not listed (the guard pages) stays unmapped.
 * Made by image.lds, in bytes from image_start, ended by an entry without bytes. */
struct image_region {
    u32 start, end;
    u32 attr; /* enum mmu_attr */
};
extern const struct image_region image_regions[] __attribute__((visibility("hidden")));

#define IMAGE_REGIONS_MAX 16

STATIC_CHECK(MMU_CODE == 0 && MMU_RODATA == 1 && MMU_DATA == 2, "image.lds writes these numbers");

static u64 table_pool[MMU_TABLES_MAX][PAGETABLE_ENTRIES]
    __attribute__((section(".tables"), aligned(4096)));

/* Not in .bss: entry.S clears that after mmu_build(). */
static struct pagetable tables __attribute__((section(".data"))) = {
    .pool_count = MMU_TABLES_MAX,
    .used = 1,
};
static u64 address_limit __attribute__((section(".data"))) = 1; /* set by mmu_build() */
static u64 image_base __attribute__((section(".data"))) = 1;    /* set by mmu_build() */

/** ID_AA64MMFR0_EL1.PARange, in the coding of TCR_EL1.IPS, at most 5: 48 bits. */
static u64 physical_size_code(void)
{
    u64 range;

    __asm__("mrs %0, id_aa64mmfr0_el1" : "=r"(range));
    return min_u64(range & 0xf, 5);
}

void mmu_build(u64 base, u64 pool)
{
    static const u8 physical_bits[] = {32, 36, 40, 42, 44, MMU_ADDRESS_BITS};

    address_limit = min_u64(BIT64(physical_bits[physical_size_code()]), MMU_IMAGE);
    image_base = base;
    tables.pool = (u64(*)[PAGETABLE_ENTRIES])(uintptr_t)pool;
    tables.pool_phys = pool;
    /* Six tables at most, from a pool of MMU_TABLES_MAX that nobody has used: cannot fail. */
    for (u32 i = 0; i < IMAGE_REGIONS_MAX && image_regions[i].end != 0; i++) {
        const struct image_region *region = &image_regions[i];
        u64 end = align_up(region->end, MMU_PAGE_BYTES);

        pagetable_map(&tables, MMU_IMAGE + region->start, MMU_IMAGE + end, base + region->start,
                      (enum mmu_attr)region->attr);
    }
    /* The page that switches the MMU on is also mapped where it runs then, until mmu_settle(). */
    pagetable_map(&tables, base, base + MMU_PAGE_BYTES, base, MMU_CODE);
}

/* image.lds puts it into the image's first page. */
__attribute__((section(".head.mmu"))) void mmu_start(u64 linked)
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
                     "br %4\n"
                     :
                     : "r"(MAIR_VALUE), "r"(tcr), "r"(tables.pool_phys), "r"(SCTLR_ON), "r"(linked)
                     : "memory");
    __builtin_unreachable();
}

static void translation_changed(void)
{
    __asm__ volatile("dsb ishst\n tlbi vmalle1is\n dsb ish\n isb" : : : "memory");
}

void mmu_settle(void)
{
    tables.pool = table_pool;
    pagetable_drop(&tables, image_base);
    translation_changed();
}

u64 mmu_image_base(void)
{
    return image_base;
}

static bool touches_image(u64 base, u64 end)
{
    return base < image_base + image_bytes && end > image_base;
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
    st = pagetable_map(&tables, base, end, base, attr);
    /* New entries need no invalidation; a page that became writable does [ARMv8] D5.10. */
    translation_changed();
    return st;
}

bool mmu_is_mapped(u64 base, u64 bytes, enum mmu_attr attr)
{
    u64 end;

    CHECK(attr < MMU_ATTR_COUNT);
    if (bytes == 0 || !add_ok_u64(base, bytes, &end) || end > address_limit) {
        return false;
    }
    base = align_down(base, MMU_PAGE_BYTES);
    return pagetable_has(&tables, base, align_up(end, MMU_PAGE_BYTES), attr);
}

u32 mmu_tables_used(void)
{
    return tables.used;
}
