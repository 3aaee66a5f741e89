/* SPDX-License-Identifier: BSD-2-Clause */
/* test_pagetable.c - what is mapped is mapped once, as asked, in the largest pieces that fit. */
#include "start/pagetable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/types.h"

#define TABLES 12
#define GIB(n) ((u64)(n) << 30)

static u64 pool[TABLES][PAGETABLE_ENTRIES] __attribute__((aligned(4096)));
static struct pagetable pt;

static int start(void **state)
{
    (void)state;
    memset(pool, 0, sizeof(pool));
    pt = (struct pagetable){pool, (u64)(uintptr_t)pool, TABLES, 1};
    return 0;
}

/** Virtual == physical. */
static enum status map(u64 base, u64 end, enum mmu_attr attr)
{
    return pagetable_map(&pt, base, end, base, attr);
}

/** The entry that translates addr, found by hand [ARMv8] D5.2, and its level. 0: none. */
static u64 walk(u64 addr, u32 *level)
{
    u64 *table = pool[0];

    for (*level = 0; *level < 4; (*level)++) {
        u64 entry = table[addr >> (39 - 9 * *level) & 511];

        if (!(entry & 1)) {
            return 0;
        }
        if (*level == 3 || !(entry & 2)) {
            return entry;
        }
        table = (u64 *)(uintptr_t)(entry & UINT64_C(0xfffffffff000));
    }
    return 0;
}

static void expect_level(u64 addr, u32 wanted)
{
    u32 level;
    u64 entry = walk(addr, &level);

    assert_true(entry != 0);
    assert_int_equal(level, wanted);
    assert_int_equal(entry & UINT64_C(0xfffffffff000),
                     addr & ~((UINT64_C(4096) << 9 * (3 - wanted)) - 1));
}

static void pages_blocks_and_gigabytes_are_used_where_they_fit(void **state)
{
    (void)state;
    assert_int_equal(map(GIB(1) - 0x201000, GIB(2) + MIB(2) + 0x1000, MMU_DATA), ST_OK);
    expect_level(GIB(1) - 0x201000, 3);
    expect_level(GIB(1) - MIB(2), 2);
    expect_level(GIB(1), 1);
    expect_level(GIB(2), 2);
    expect_level(GIB(2) + MIB(2), 3);
    assert_true(pagetable_has(&pt, GIB(1) - 0x201000, GIB(2) + MIB(2) + 0x1000, MMU_DATA));
    assert_false(pagetable_has(&pt, GIB(1) - 0x202000, GIB(1), MMU_DATA));
    assert_false(pagetable_has(&pt, GIB(2), GIB(2) + MIB(2) + 0x2000, MMU_DATA));
}

/* [ARMv8] D5.3.3: UXN and PXN are bits 54 and 53, AP[2] is bit 7, AttrIndx starts at bit 2. */
static void nothing_is_both_writable_and_executable(void **state)
{
    const struct {
        enum mmu_attr attr;
        bool writable, executable, device;
    } wanted[] = {
        {MMU_CODE, false, true, false},
        {MMU_RODATA, false, false, false},
        {MMU_DATA, true, false, false},
        {MMU_DEVICE, true, false, true},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(wanted); i++) {
        u64 addr = GIB(4) + i * 4096;
        u32 level;
        u64 entry;

        assert_int_equal(map(addr, addr + 4096, wanted[i].attr), ST_OK);
        entry = walk(addr, &level);
        assert_int_equal(!(entry & BIT64(7)), wanted[i].writable);
        assert_int_equal(!(entry & BIT64(53)), wanted[i].executable);
        assert_true(entry & BIT64(54)); /* never for user mode */
        assert_false(entry & BIT64(6)); /* user mode has no access */
        assert_true(entry & BIT64(10)); /* access flag */
        assert_int_equal(entry >> 2 & 7, wanted[i].device ? 1 : 0);
        assert_int_equal(entry >> 8 & 3, 3); /* inner shareable */
    }
}

static void mapping_again_with_the_same_attribute_is_fine(void **state)
{
    u32 used;

    (void)state;
    assert_int_equal(map(GIB(4), GIB(5), MMU_DATA), ST_OK);
    used = pt.used;
    assert_int_equal(map(GIB(4) + 0x5000, GIB(4) + 0x7000, MMU_DATA), ST_OK);
    assert_int_equal(map(GIB(4) + MIB(2), GIB(4) + MIB(6), MMU_RODATA), ST_OK);
    assert_int_equal(pt.used, used);
    expect_level(GIB(4) + 0x5000, 1);
}

static void a_block_over_pages_that_are_there_fills_the_gaps(void **state)
{
    (void)state;
    assert_int_equal(map(MIB(4) + 0x3000, MIB(4) + 0x4000, MMU_DATA), ST_OK);
    assert_int_equal(map(MIB(2), MIB(8), MMU_DATA), ST_OK);
    assert_true(pagetable_has(&pt, MIB(2), MIB(8), MMU_DATA));
    expect_level(MIB(2), 2);
    expect_level(MIB(4), 3);
    expect_level(MIB(6), 2);
}

static void another_attribute_on_a_mapped_page_is_refused(void **state)
{
    (void)state;
    assert_int_equal(map(MIB(4), MIB(6), MMU_DATA), ST_OK);
    assert_int_equal(map(MIB(4) + 0x1000, MIB(4) + 0x2000, MMU_DEVICE), ST_INVAL);
    assert_int_equal(map(MIB(2), MIB(6), MMU_DEVICE), ST_INVAL);
    assert_true(pagetable_has(&pt, MIB(4), MIB(6), MMU_DATA));
    assert_int_equal(map(MIB(8), MIB(10), MMU_CODE), ST_OK);
    assert_int_equal(map(MIB(8), MIB(10), MMU_DATA), ST_INVAL);
    assert_int_equal(map(MIB(8), MIB(10), MMU_RODATA), ST_INVAL);
}

/* An initrd that begins or ends in a page of the device tree. */
static void read_only_pages_become_writable_when_asked(void **state)
{
    (void)state;
    assert_int_equal(map(MIB(4), MIB(4) + 0x3000, MMU_RODATA), ST_OK);
    assert_int_equal(map(MIB(4) + 0x2000, MIB(6), MMU_DATA), ST_OK);
    assert_true(pagetable_has(&pt, MIB(4) + 0x2000, MIB(6), MMU_DATA));
    assert_false(pagetable_has(&pt, MIB(4), MIB(4) + 0x1000, MMU_DATA));
    assert_true(pagetable_has(&pt, MIB(4), MIB(6), MMU_RODATA));
    /* Half of a block would have to be split: refused, not done to the whole. */
    assert_int_equal(map(MIB(8), MIB(10), MMU_RODATA), ST_OK);
    assert_int_equal(map(MIB(8), MIB(8) + 0x1000, MMU_DATA), ST_INVAL);
    assert_false(pagetable_has(&pt, MIB(8), MIB(8) + 0x1000, MMU_DATA));
    assert_int_equal(map(MIB(8), MIB(10), MMU_DATA), ST_OK);
    expect_level(MIB(8), 2);
}

static void an_empty_pool_is_said_and_harms_nothing(void **state)
{
    u64 addr = MIB(2);
    enum status st = ST_OK;

    (void)state;
    for (u32 i = 0; i < 2 * TABLES && st == ST_OK; i++, addr += GIB(1)) {
        st = map(addr, addr + 4096, MMU_DATA);
    }
    assert_int_equal(st, ST_FULL);
    assert_int_equal(pt.used, TABLES);
    assert_true(pagetable_has(&pt, MIB(2), MIB(2) + 4096, MMU_DATA));
    assert_int_equal(map(MIB(2), MIB(2) + 4096, MMU_DATA), ST_OK);
}

static void the_top_of_the_address_space_works(void **state)
{
    const u64 top = UINT64_C(1) << MMU_ADDRESS_BITS;

    (void)state;
    assert_int_equal(map(top - GIB(1), top, MMU_DATA), ST_OK);
    expect_level(top - 4096, 1);
    assert_true(pagetable_has(&pt, top - 4096, top, MMU_DATA));
}

static void pages_lead_where_they_are_told_and_nowhere_else(void **state)
{
    const u64 up = UINT64_C(1) << 47;
    u32 level;

    (void)state;
    /* 2 MiB aligned here, not there: pages. */
    assert_int_equal(pagetable_map(&pt, up, up + MIB(2), GIB(1) + 0x3000, MMU_DATA), ST_OK);
    assert_int_equal(walk(up + 0x5000, &level) & UINT64_C(0xfffffffff000), GIB(1) + 0x8000);
    assert_int_equal(level, 3);
    /* Aligned on both sides: a block, also when the numbers differ. */
    assert_int_equal(pagetable_map(&pt, up + MIB(2), up + MIB(4), GIB(3), MMU_DATA), ST_OK);
    assert_int_equal(walk(up + MIB(2), &level) & UINT64_C(0xfffffffff000), GIB(3));
    assert_int_equal(level, 2);
    assert_int_equal(pagetable_map(&pt, up + MIB(3), up + MIB(4), GIB(3) + MIB(1), MMU_DATA),
                     ST_OK);
    assert_int_equal(pagetable_map(&pt, up + MIB(3), up + MIB(4), GIB(3), MMU_DATA), ST_INVAL);
    assert_int_equal(pagetable_map(&pt, up, up + 0x1000, GIB(1), MMU_DATA), ST_INVAL);
}

static void a_dropped_page_is_gone_and_its_neighbours_stay(void **state)
{
    (void)state;
    assert_int_equal(map(MIB(2) + 0x1000, MIB(2) + 0x4000, MMU_CODE), ST_OK);
    pagetable_drop(&pt, MIB(2) + 0x2000);
    assert_false(pagetable_has(&pt, MIB(2) + 0x2000, MIB(2) + 0x3000, MMU_CODE));
    assert_true(pagetable_has(&pt, MIB(2) + 0x1000, MIB(2) + 0x2000, MMU_CODE));
    assert_true(pagetable_has(&pt, MIB(2) + 0x3000, MIB(2) + 0x4000, MMU_CODE));
    assert_int_equal(map(MIB(2) + 0x2000, MIB(2) + 0x3000, MMU_DATA), ST_OK);
}

/* With the MMU off the tables are used where they lie, later where they are linked. */
static void tables_are_found_wherever_they_are_mapped(void **state)
{
    (void)state;
    pt.pool_phys = GIB(5);
    assert_int_equal(map(MIB(2), MIB(2) + 0x1000, MMU_DATA), ST_OK);
    assert_int_equal(map(MIB(2) + 0x1000, MIB(2) + 0x2000, MMU_DATA), ST_OK);
    assert_true(pagetable_has(&pt, MIB(2), MIB(2) + 0x2000, MMU_DATA));
    assert_int_equal(pool[0][0] & UINT64_C(0xfffffffff000), GIB(5) + 0x1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(pages_blocks_and_gigabytes_are_used_where_they_fit, start),
        cmocka_unit_test_setup(nothing_is_both_writable_and_executable, start),
        cmocka_unit_test_setup(mapping_again_with_the_same_attribute_is_fine, start),
        cmocka_unit_test_setup(a_block_over_pages_that_are_there_fills_the_gaps, start),
        cmocka_unit_test_setup(another_attribute_on_a_mapped_page_is_refused, start),
        cmocka_unit_test_setup(read_only_pages_become_writable_when_asked, start),
        cmocka_unit_test_setup(an_empty_pool_is_said_and_harms_nothing, start),
        cmocka_unit_test_setup(the_top_of_the_address_space_works, start),
        cmocka_unit_test_setup(pages_lead_where_they_are_told_and_nowhere_else, start),
        cmocka_unit_test_setup(a_dropped_page_is_gone_and_its_neighbours_stay, start),
        cmocka_unit_test_setup(tables_are_found_wherever_they_are_mapped, start),
    };

    return cmocka_run_group_tests_name("pagetable", tests, NULL, NULL);
}
