/* SPDX-License-Identifier: BSD-2-Clause */
/* test_timer.c - ticks and nanoseconds, against the exact arithmetic. */
#include "drivers/timer/timer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "start/base/types.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static const u64 frequencies[] = {
    1000000,  19200000,  24000000,   25000000, 62500000, 100000000, UINT64_C(1000000000),
    54000000, 333333333, 10000000000};

static const u64 amounts[] = {0,       1,       2,          3,          999,
                              1000003, 1 << 30, UINT32_MAX, 1ull << 40, 1ull << 52};

/* One part in 2^32 of the elapsed time, and one nanosecond of rounding. */
static void ticks_become_nanoseconds_exactly_enough(void **state)
{
    (void)state;
    for (u32 f = 0; f < ARRAY_LEN(frequencies); f++) {
        struct timer_scale scale;

        assert_int_equal(timer_scale_init(&scale, frequencies[f]), ST_OK);
        for (u32 i = 0; i < ARRAY_LEN(amounts); i++) {
            u64 exact = (u64)((unsigned __int128)amounts[i] * NS_PER_SECOND / frequencies[f]);
            u64 got = timer_ticks_to_ns(&scale, amounts[i]);

            assert_true(got <= exact);
            assert_true(exact - got <= 1 + (amounts[i] >> 32));
        }
    }
}

static void time_never_goes_back(void **state)
{
    struct timer_scale scale;
    u64 before = 0;

    (void)state;
    assert_int_equal(timer_scale_init(&scale, 333333333), ST_OK);
    for (u64 ticks = (UINT64_C(1) << 40) - 5000; ticks < (UINT64_C(1) << 40) + 5000; ticks++) {
        u64 now = timer_ticks_to_ns(&scale, ticks);

        assert_true(now >= before);
        before = now;
    }
}

static void an_alarm_is_never_early(void **state)
{
    (void)state;
    for (u32 f = 0; f < ARRAY_LEN(frequencies); f++) {
        struct timer_scale scale;

        assert_int_equal(timer_scale_init(&scale, frequencies[f]), ST_OK);
        for (u32 i = 0; i < ARRAY_LEN(amounts); i++) {
            u64 ticks = timer_ns_to_ticks(&scale, amounts[i]);

            assert_true(timer_ticks_to_ns(&scale, ticks) >= amounts[i]);
            /* nor late by more than two ticks and one part in 2^21 */
            assert_true((unsigned __int128)ticks * NS_PER_SECOND / frequencies[f] <=
                        amounts[i] + 2 * NS_PER_SECOND / frequencies[f] + 2 + (amounts[i] >> 21));
        }
    }
}

static void a_span_that_does_not_fit_is_for_ever(void **state)
{
    struct timer_scale scale;

    (void)state;
    assert_int_equal(timer_scale_init(&scale, TIMER_HZ_MAX), ST_OK);
    assert_int_equal(timer_ns_to_ticks(&scale, UINT64_MAX), UINT64_MAX);
}

static void frequencies_that_make_no_sense_are_refused(void **state)
{
    struct timer_scale scale;

    (void)state;
    assert_int_equal(timer_scale_init(&scale, 0), ST_INVAL);
    assert_int_equal(timer_scale_init(&scale, TIMER_HZ_MIN - 1), ST_INVAL);
    assert_int_equal(timer_scale_init(&scale, TIMER_HZ_MAX + 1), ST_INVAL);
    assert_int_equal(timer_scale_init(&scale, UINT64_MAX), ST_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_become_nanoseconds_exactly_enough),
        cmocka_unit_test(time_never_goes_back),
        cmocka_unit_test(an_alarm_is_never_early),
        cmocka_unit_test(a_span_that_does_not_fit_is_for_ever),
        cmocka_unit_test(frequencies_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}
