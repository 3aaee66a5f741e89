/* SPDX-License-Identifier: BSD-2-Clause */
/* test_memmap.c - what is given is ours, free, aligned, and given once. */
#include "start/memmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct memmap map;

static void takes_the_lowest_free_place(void **state)
{
    u64 base;

    (void)state;
    memmap_init(&map, NULL);
    assert_int_equal(memmap_add_bank(&map, 0x40000000, MIB(4)), ST_OK);
    assert_int_equal(memmap_reserve(&map, 0x40000000, 0x12345), ST_OK);
    assert_int_equal(memmap_reserve(&map, 0x40014000, 0x1000), ST_OK);
    assert_int_equal(memmap_take(&map, 0x1000, 0x1000, &base), ST_OK);
    assert_int_equal(base, 0x40013000);
    assert_int_equal(memmap_take(&map, 0x1000, 0x1000, &base), ST_OK);
    assert_int_equal(base, 0x40015000);
    assert_int_equal(memmap_take(&map, 0x1000, MIB(2), &base), ST_OK);
    assert_int_equal(base, 0x40200000);
}

static void goes_to_the_next_bank_and_refuses_when_full(void **state)
{
    u64 base;

    (void)state;
    memmap_init(&map, NULL);
    assert_int_equal(memmap_add_bank(&map, 0x1000, 0x2000), ST_OK);
    assert_int_equal(memmap_add_bank(&map, 0x200000000, 0x4000), ST_OK);
    assert_int_equal(memmap_take(&map, 0x3000, 0x1000, &base), ST_OK);
    assert_true(base == 0x200000000);
    assert_int_equal(memmap_take(&map, 0x3000, 0x1000, &base), ST_FULL);
    assert_int_equal(memmap_take(&map, UINT64_MAX, 0x1000, &base), ST_FULL);
    assert_int_equal(memmap_take(&map, 0x2000, 0x1000, &base), ST_OK);
    assert_int_equal(base, 0x1000);
    assert_int_equal(memmap_total(&map), 0x6000);
}

static void banks_and_ranges_that_wrap_are_refused(void **state)
{
    u64 base;

    (void)state;
    memmap_init(&map, NULL);
    assert_int_equal(memmap_add_bank(&map, UINT64_MAX, 2), ST_INVAL);
    assert_int_equal(memmap_add_bank(&map, 0, 0), ST_INVAL);
    assert_int_equal(memmap_reserve(&map, UINT64_MAX - 1, 4), ST_INVAL);
    assert_int_equal(memmap_add_bank(&map, UINT64_MAX - 0xfff, 0xfff), ST_OK);
    assert_int_equal(memmap_take(&map, 0x1000, 0x1000, &base), ST_FULL);
    assert_int_equal(memmap_take(&map, 0x10, MIB(2), &base), ST_FULL);
}

static void containment_is_within_one_bank(void **state)
{
    (void)state;
    memmap_init(&map, NULL);
    assert_int_equal(memmap_add_bank(&map, 0x1000, 0x1000), ST_OK);
    assert_int_equal(memmap_add_bank(&map, 0x2000, 0x1000), ST_OK);
    assert_true(memmap_contains(&map, 0x1000, 0x1000));
    assert_true(memmap_contains(&map, 0x2fff, 1));
    assert_false(memmap_contains(&map, 0x1fff, 2));
    assert_false(memmap_contains(&map, 0xfff, 1));
    assert_false(memmap_contains(&map, 0x1001, UINT64_MAX));
}

static void tables_are_bounded(void **state)
{
    u64 base;

    (void)state;
    memmap_init(&map, NULL);
    for (u64 i = 0; i < MEMMAP_BANKS_MAX; i++) {
        assert_int_equal(memmap_add_bank(&map, i * MIB(1), MIB(1)), ST_OK);
    }
    assert_int_equal(memmap_add_bank(&map, MIB(100), 1), ST_FULL);
    for (u64 i = 0; i < MEMMAP_TAKEN_MAX; i++) {
        assert_int_equal(memmap_reserve(&map, i * 0x1000, 0x1000), ST_OK);
    }
    assert_int_equal(memmap_take(&map, 0x1000, 0x1000, &base), ST_FULL);
}

static u64 accessed_base, accessed_bytes;

static enum status note_access(u64 base, u64 bytes)
{
    accessed_base = base;
    accessed_bytes = bytes;
    return bytes > 0x1000 ? ST_RANGE : ST_OK;
}

static void what_is_given_was_made_accessible(void **state)
{
    u64 base;

    (void)state;
    memmap_init(&map, note_access);
    assert_int_equal(memmap_add_bank(&map, 0x1000, 0x4000), ST_OK);
    assert_int_equal(memmap_take(&map, 0x1000, 0x2000, &base), ST_OK);
    assert_int_equal(accessed_base, 0x2000);
    assert_int_equal(accessed_bytes, 0x1000);
    assert_int_equal(memmap_take(&map, 0x2000, 0x1000, &base), ST_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_lowest_free_place),
        cmocka_unit_test(goes_to_the_next_bank_and_refuses_when_full),
        cmocka_unit_test(banks_and_ranges_that_wrap_are_refused),
        cmocka_unit_test(containment_is_within_one_bank),
        cmocka_unit_test(tables_are_bounded),
        cmocka_unit_test(what_is_given_was_made_accessible),
    };

    return cmocka_run_group_tests_name("memmap", tests, NULL, NULL);
}
