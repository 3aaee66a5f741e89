/* SPDX-License-Identifier: BSD-2-Clause */
/* test_physmap.c - mapping and unmapping frames: batches, and what happens when half of one fails.
 */
#include "drivers/xen/physmap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "drivers/xen/xen_abi.h"
#include "tests/fake/xen.h"

#define GUEST_GFN (FAKE_GUEST_BASE / PAGE_BYTES)

static struct fake_guest *guest;
static u64 idxs[PHYSMAP_BATCH_MAX], gfns[PHYSMAP_BATCH_MAX];
static int errors[PHYSMAP_BATCH_MAX];

static int setup(void **state)
{
    (void)state;
    fake_xen_reset(FAKE_CONTROL);
    guest = fake_guest_make(7, 1, MIB(4));
    for (u32 i = 0; i < PHYSMAP_BATCH_MAX; i++) {
        idxs[i] = GUEST_GFN + i;
        gfns[i] = fake_xen.region / PAGE_BYTES + i;
    }
    return 0;
}

static void pages_of_a_batch_stand_alone(void **state)
{
    (void)state;
    idxs[1] = 5; /* not the guest's memory */
    assert_int_equal(physmap_foreign(7, idxs, gfns, errors, 3), 0);
    assert_int_equal(errors[0], 0);
    assert_int_equal(errors[1], -XEN_EINVAL);
    assert_int_equal(errors[2], 0);
    assert_int_equal(fake_pages_foreign(), 2);
}

static void refused_call_touches_no_page(void **state)
{
    (void)state;
    fake_xen_fail(1, -XEN_EFAULT);
    assert_int_equal(physmap_foreign(7, idxs, gfns, errors, 3), -XEN_EFAULT);
    for (u32 i = 0; i < 3; i++) {
        assert_int_equal(errors[i], PHYSMAP_UNTOUCHED);
    }
    assert_int_equal(fake_pages_foreign(), 0);
}

static void whole_window_is_one_call_in_and_few_out(void **state)
{
    u64 calls = fake_xen.calls;

    (void)state;
    assert_int_equal(physmap_foreign(7, idxs, gfns, errors, PHYSMAP_BATCH_MAX), 0);
    assert_int_equal(fake_xen.calls, calls + 1);
    assert_int_equal(fake_pages_foreign(), PHYSMAP_BATCH_MAX);
    assert_int_equal(physmap_remove(gfns, PHYSMAP_BATCH_MAX), PHYSMAP_BATCH_MAX);
    assert_int_equal(fake_pages_foreign(), 0);
}

static void removing_what_is_not_there_counts_nothing(void **state)
{
    (void)state;
    assert_int_equal(physmap_foreign(7, idxs, gfns, errors, 1), 0);
    assert_int_equal(physmap_remove(gfns, 100), 1);
    assert_int_equal(physmap_remove(gfns, 100), 0);
}

static void refused_multicall_is_made_up_for_one_by_one(void **state)
{
    (void)state;
    assert_int_equal(physmap_foreign(7, idxs, gfns, errors, 70), 0);
    fake_xen_fail(1, -XEN_ENOSYS);
    assert_int_equal(physmap_remove(gfns, 70), 70);
    assert_int_equal(fake_pages_foreign(), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_of_a_batch_stand_alone),
        TEST(refused_call_touches_no_page),
        TEST(whole_window_is_one_call_in_and_few_out),
        TEST(removing_what_is_not_there_counts_nothing),
        TEST(refused_multicall_is_made_up_for_one_by_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
