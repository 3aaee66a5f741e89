/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmu.c - the image's own regions, the registers that switch translation on, and the pool of
 * tables.
 *
 * mmu_build() runs with the MMU off, on the stack of entry.S: it calls nothing of the C library and
 * touches only the tables, the stack and .data.
 */
#include "start/mmu.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/boot.h"
#include "start/pagetable.h"

#define MMU_TABLES_MAX 24 /* 96 KiB: image 4, devices 4, tree and initrd 4, Xen 4, regions 8 */

/* [ARMv8] D13.2: MAIR_EL1, TCR_EL1, SCTLR_EL1 */
#define MAIR_VALUE UINT64_C(0x04ff) /* 0: normal write-back, 1: Device-nGnRE */
#define TCR_BASE   (UINT64_C(16) | (1u << 8) | (1u << 10) | (3u << 12) | (1u << 23))
#define TCR_IPS    32
#define SCTLR_ON   UINT64_C(0x30d8180d) /* RES1, M, C, SA, I, WXN */

extern u8 rodata_start[], tables_start[], tables_end[];
extern u8 trap_stack_bottom[], trap_stack_top[], bss_start[], bss_end[];

/* Everything of the image and nothing else: what is not listed (the guard pages) stays unmapped. */
static const struct {
    u8 *start, *end;
    enum mmu_attr attr;
} image_regions[] = {
    {image_start, text_end, MMU_CODE}, /* from here on in the order of image.lds */
    {rodata_start, rodata_end, MMU_RODATA},
    {rodata_end, data_end, MMU_DATA},
    {tables_start, tables_end, MMU_DATA},
    {stack_bottom, stack_top, MMU_DATA}, /* the page below is a guard */
    {trap_stack_bottom, trap_stack_top, MMU_DATA},
    {bss_start, bss_end, MMU_DATA},
};

static u64 table_pool[MMU_TABLES_MAX][PAGETABLE_ENTRIES]
    __attribute__((section(".tables"), aligned(4096)));

/* Not in .bss: entry.S clears that after mmu_build(). */
static struct pagetable tables __attribute__((section(".data"))) = {
    .pool = table_pool,
    .pool_count = MMU_TABLES_MAX,
    .used = 1,
};
static u64 address_limit __attribute__((section(".data"))) = 1; /* set by mmu_build() */

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

        pagetable_map(&tables, (u64)(uintptr_t)image_regions[i].start, end, image_regions[i].attr);
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
    st = pagetable_map(&tables, base, end, attr);
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
    base = align_down(base, MMU_PAGE_BYTES);
    return pagetable_has(&tables, base, align_up(end, MMU_PAGE_BYTES), attr);
}

u32 mmu_tables_used(void)
{
    return tables.used;
}
