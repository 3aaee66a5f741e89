/* SPDX-License-Identifier: BSD-2-Clause */
/* test_extregion.c - guest-physical address space: given out whole, given back whole. */
#include "drivers/xen/extregion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

static const struct extregion_range two[] = {
    {MIB(1024) + 4096, MIB(64)},
    {MIB(256), MIB(8)},
};

static int setup(void **state)
{
    (void)state;
    return extregion_init(two, 2) == ST_OK ? 0 : -1;
}

static void lowest_fit_is_given_first(void **state)
{
    u64 a, b;

    (void)state;
    assert_int_equal(extregion_alloc(4096, 4096, &a), ST_OK);
    assert_int_equal(extregion_alloc(4096, 4096, &b), ST_OK);
    assert_int_equal(a, MIB(256));
    assert_int_equal(b, MIB(256) + 4096);
    assert_int_equal(extregion_used_bytes(), 8192);
}

static void alignment_is_kept_and_the_gap_stays_usable(void **state)
{
    u64 page, window, next;

    (void)state;
    assert_int_equal(extregion_alloc(4096, 4096, &page), ST_OK);
    assert_int_equal(extregion_alloc(MIB(2), MIB(2), &window), ST_OK);
    assert_int_equal(window, MIB(258));
    assert_int_equal(extregion_alloc(4096, 4096, &next), ST_OK);
    assert_int_equal(next, MIB(256) + 4096);
}

static void what_does_not_fit_is_refused(void **state)
{
    u64 a;

    (void)state;
    assert_int_equal(extregion_alloc(MIB(65), 4096, &a), ST_FULL);
    assert_int_equal(extregion_alloc(MIB(64), MIB(2), &a),
                     ST_FULL); /* the large one is not aligned */
    assert_int_equal(extregion_alloc(MIB(64), 4096, &a), ST_OK);
}

static void nonsense_is_refused(void **state)
{
    static const struct extregion_range wraps[] = {{UINT64_MAX - 4096, 8192}};
    static const struct extregion_range overlaps[] = {{MIB(1), MIB(2)}, {MIB(2), MIB(2)}};
    struct extregion_range many[EXTREGION_REGIONS_MAX + 1];
    u64 a;

    (void)state;
    assert_int_equal(extregion_alloc(0, 4096, &a), ST_INVAL);
    assert_int_equal(extregion_alloc(100, 4096, &a), ST_INVAL);
    assert_int_equal(extregion_alloc(4096, 4097, &a), ST_INVAL);
    assert_int_equal(extregion_alloc(4096, 512, &a), ST_INVAL);
    assert_int_equal(extregion_init(wraps, 1), ST_INVAL);
    assert_int_equal(extregion_init(overlaps, 2), ST_INVAL);
    for (u32 i = 0; i < EXTREGION_REGIONS_MAX + 1; i++) {
        many[i] = (struct extregion_range){MIB(4) * i, MIB(1)};
    }
    assert_int_equal(extregion_init(many, EXTREGION_REGIONS_MAX + 1), ST_FULL);
}

static void parts_of_pages_are_not_used(void **state)
{
    static const struct extregion_range odd[] = {{100, 4000}, {10000, 10000}};
    u64 a;

    (void)state;
    assert_int_equal(extregion_init(odd, 2), ST_OK);
    assert_int_equal(extregion_largest_free(4096), 4096);
    assert_int_equal(extregion_alloc(4096, 4096, &a), ST_OK);
    assert_int_equal(a, 12288);
    assert_int_equal(extregion_alloc(4096, 4096, &a), ST_FULL);
}

static void freeing_what_was_not_given_is_our_bug(void **state)
{
    u64 a;

    (void)state;
    assert_int_equal(extregion_alloc(8192, 4096, &a), ST_OK);
    assert_true(EXPECT_PANIC(extregion_free(a, 4096)));
    assert_true(EXPECT_PANIC(extregion_free(a + 4096, 4096)));
}

static void allocation_limit_is_a_refusal(void **state)
{
    u64 a;

    (void)state;
    for (u32 i = 0; i < EXTREGION_ALLOCS_MAX; i++) {
        assert_int_equal(extregion_alloc(4096, 4096, &a), ST_OK);
    }
    assert_int_equal(extregion_alloc(4096, 4096, &a), ST_FULL);
}

/* Random give and take against a map of pages: never twice, never lost, all one run at the end. */
static void random_give_and_take_loses_nothing(void **state)
{
    static struct {
        u64 gpa, bytes;
    } live[EXTREGION_ALLOCS_MAX];
    u32 count = 0;

    (void)state;
    srand(7);
    for (u32 turn = 0; turn < 20000; turn++) {
        if (count < EXTREGION_ALLOCS_MAX && rand() % 2) {
            u64 bytes = 4096u * (1 + (u64)rand() % 300);
            u64 align = UINT64_C(4096) << (rand() % 10);
            u64 a;

            if (extregion_alloc(bytes, align, &a) == ST_OK) {
                assert_int_equal(a % align, 0);
                for (u32 i = 0; i < count; i++) {
                    assert_true(a + bytes <= live[i].gpa || live[i].gpa + live[i].bytes <= a);
                }
                live[count].gpa = a;
                live[count++].bytes = bytes;
            }
        } else if (count) {
            u32 i = (u32)rand() % count;

            extregion_free(live[i].gpa, live[i].bytes);
            live[i] = live[--count];
        }
    }
    while (count) {
        count--;
        extregion_free(live[count].gpa, live[count].bytes);
    }
    assert_int_equal(extregion_used_bytes(), 0);
    assert_int_equal(extregion_largest_free(4096), MIB(64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lowest_fit_is_given_first, setup),
        cmocka_unit_test_setup(alignment_is_kept_and_the_gap_stays_usable, setup),
        cmocka_unit_test_setup(what_does_not_fit_is_refused, setup),
        cmocka_unit_test_setup(nonsense_is_refused, setup),
        cmocka_unit_test_setup(parts_of_pages_are_not_used, setup),
        cmocka_unit_test_setup(freeing_what_was_not_given_is_our_bug, setup),
        cmocka_unit_test_setup(allocation_limit_is_a_refusal, setup),
        cmocka_unit_test_setup(random_give_and_take_loses_nothing, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
