/* SPDX-License-Identifier: BSD-2-Clause */
/* test_share.c - guests have equal shares, devices of a guest divide its share, and time is owed.
 */
#include "start/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/said.h"

#define BUDGET 64

static struct shares shares;
static struct share_member member[GUESTS_MAX + 1];

static int fresh(void **state)
{
    (void)state;
    said_reset();
    memset(&shares, 0, sizeof(shares));
    memset(member, 0, sizeof(member));
    return 0;
}

/** A guest's turn: it wants so many units, each of ns. Returns the units it got. */
static u32 turn_of(struct share *share, u32 wanted, u64 ns_each)
{
    u32 budget = share_begin(&shares, share, BUDGET);
    u32 got = min_u32(budget, wanted);

    share_end(&shares, share, budget, got, got * ns_each);
    return got;
}

static void a_guest_with_eight_devices_has_one_share(void **state)
{
    (void)state;
    for (u32 i = 0; i < 8; i++) {
        assert_int_equal(share_join(&shares, &member[i], 3, i), ST_OK);
    }
    assert_int_equal(share_join(&shares, &member[8], 4, 0), ST_OK);
    assert_int_equal(shares.count, 2);
    assert_int_equal(share_begin(&shares, member[0].share, BUDGET), BUDGET / 2);
    assert_int_equal(share_begin(&shares, member[8].share, BUDGET), BUDGET / 2);
    for (u32 i = 0; i < 8; i++) {
        share_leave(&shares, &member[i]);
    }
    assert_int_equal(shares.count, 1);
    assert_int_equal(share_begin(&shares, member[8].share, BUDGET), BUDGET);
    share_leave(&shares, &member[8]);
    assert_int_equal(shares.count, 0);
}

static void no_share_is_too_small_to_get_on(void **state)
{
    (void)state;
    for (u32 i = 0; i < GUESTS_MAX; i++) {
        assert_int_equal(share_join(&shares, &member[i], (u16)(i + 1), 0), ST_OK);
    }
    assert_int_equal(share_begin(&shares, member[0].share, BUDGET), SHARE_UNITS_MIN);
    assert_int_equal(share_join(&shares, &member[GUESTS_MAX], 99, 5), ST_FULL);
    assert_true(said("dom99/5: 32 guests are served (GUESTS_MAX)"));
    /* Another device of a guest that is there is no matter. */
    assert_int_equal(share_join(&shares, &member[GUESTS_MAX], 1, 6), ST_OK);
}

static void every_device_is_first_in_its_turn_whoever_leaves(void **state)
{
    u32 first[4] = {0};

    (void)state;
    for (u32 i = 0; i < 4; i++) {
        assert_int_equal(share_join(&shares, &member[i], 3, i), ST_OK);
    }
    for (u32 turn = 0; turn < 12; turn++) {
        (void)share_begin(&shares, member[0].share, BUDGET);
        first[member[0].share->first - member]++;
    }
    for (u32 i = 0; i < 4; i++) {
        assert_int_equal(first[i], 3);
    }
    share_leave(&shares, member[0].share->first);
    memset(first, 0, sizeof(first));
    for (u32 turn = 0; turn < 12; turn++) {
        (void)share_begin(&shares, shares.active[0], BUDGET);
        first[shares.active[0]->first - member]++;
    }
    for (u32 i = 0; i < 4; i++) {
        assert_true(first[i] == 4 || first[i] == 0);
    }
}

static void what_a_device_leaves_is_the_next_ones(void **state)
{
    (void)state;
    assert_int_equal(share_part(32, 0, 4), 8);
    assert_int_equal(share_part(32, 0, 3), 11); /* the first wanted nothing */
    assert_int_equal(share_part(32, 30, 1), 2); /* the last gets all that is left */
    assert_int_equal(share_part(32, 31, 4), 1); /* never nothing while there is something */
    assert_int_equal(share_part(32, 32, 2), 0);
    assert_int_equal(share_part(32, 500, 1), 0); /* a request is done whole */
}

/* The same number of units, but dear ones: the time evens out. */
static void a_guest_whose_work_is_dear_gets_no_more_time_than_the_other(void **state)
{
    struct share *dear, *cheap;

    (void)state;
    assert_int_equal(share_join(&shares, &member[0], 3, 0), ST_OK);
    assert_int_equal(share_join(&shares, &member[1], 4, 0), ST_OK);
    dear = member[0].share;
    cheap = member[1].share;
    for (u32 turn = 0; turn < 10000; turn++) {
        u32 work = turn_of(dear, 1000, 20000);

        share_settle(&shares, work + turn_of(cheap, 1000, 1000));
    }
    assert_true(dear->sat_out > 9000);
    assert_int_equal(cheap->sat_out, 0);
    assert_in_range(dear->ns * 100 / cheap->ns, 95, 105);
    assert_in_range(dear->contested_ns * 100 / cheap->contested_ns, 95, 105);
    assert_int_equal(cheap->turns, 10000);
    assert_int_equal(cheap->units, UINT64_C(10000) * BUDGET / 2);
}

/* What nobody else wants is nobody's loss. */
static void who_is_alone_or_beside_somebody_content_owes_nothing(void **state)
{
    struct share *greedy;

    (void)state;
    assert_int_equal(share_join(&shares, &member[0], 3, 0), ST_OK);
    assert_int_equal(share_join(&shares, &member[1], 4, 0), ST_OK);
    greedy = member[0].share;
    for (u32 turn = 0; turn < 1000; turn++) {
        u32 work = turn_of(greedy, 1000, 100000);

        share_settle(&shares, work + turn_of(member[1].share, turn % 2, 1000));
    }
    assert_int_equal(greedy->sat_out, 0);
    assert_int_equal(greedy->turns, 1000);
    assert_int_equal(greedy->contested_ns, 0);
}

static void a_debt_ends_with_the_others_wish(void **state)
{
    struct share *greedy, *other;

    (void)state;
    assert_int_equal(share_join(&shares, &member[0], 3, 0), ST_OK);
    assert_int_equal(share_join(&shares, &member[1], 4, 0), ST_OK);
    greedy = member[0].share;
    other = member[1].share;
    for (u32 turn = 0; turn < 3; turn++) {
        u32 work = turn_of(greedy, 1000, UINT64_C(1000000000));

        share_settle(&shares, work + turn_of(other, 1000, 1000));
    }
    assert_int_equal(greedy->sat_out, 2);
    assert_in_range(greedy->owed_ns, 1, SHARE_OWED_NS_MAX);
    share_settle(&shares, turn_of(greedy, 1000, 1) + turn_of(other, 0, 1));
    assert_int_equal(turn_of(greedy, 1000, 1), BUDGET / 2);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_with_eight_devices_has_one_share),
        TEST(no_share_is_too_small_to_get_on),
        TEST(every_device_is_first_in_its_turn_whoever_leaves),
        TEST(what_a_device_leaves_is_the_next_ones),
        TEST(a_guest_whose_work_is_dear_gets_no_more_time_than_the_other),
        TEST(who_is_alone_or_beside_somebody_content_owes_nothing),
        TEST(a_debt_ends_with_the_others_wish),
    };

    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
