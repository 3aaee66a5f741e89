/* SPDX-License-Identifier: BSD-2-Clause */
/* test_limit.c - so much per second, in the long run and within a burst; debts are paid. */
#include "start/limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/said.h"

#define SECOND UINT64_C(1000000000)
#define START  (SECOND * 1000)

static struct limit limit;
static struct disk disk;

static int fresh(void **state)
{
    (void)state;
    said_reset();
    memset(&limit, 0, sizeof(limit));
    memset(&disk, 0, sizeof(disk));
    return 0;
}

static void set(u64 iops, u64 bytes, u64 burst_ms)
{
    limit_set(&limit, &(struct backend_limits){iops, bytes, burst_ms}, &disk, "dom3/1 data", 0, 0);
}

/** Ask for all it gives, in steps of step_ns: the requests of request_bytes done in ns. */
static u64 greedy(u64 ns, u64 step_ns, u64 request_bytes)
{
    u64 requests = limit.seen_requests, before = requests;

    for (u64 now_ns = START; now_ns < START + ns; now_ns += step_ns) {
        u32 budget = limit_budget(&limit, 64, now_ns);

        assert_true(budget == 0 || limit_wake_ns(&limit) <= now_ns);
        assert_true(budget > 0 || limit_wake_ns(&limit) > now_ns);
        requests += budget;
        limit_pay(&limit, requests, requests * request_bytes, now_ns);
    }
    return requests - before;
}

static void requests_keep_to_their_rate_at_any_step(void **state)
{
    static const u64 steps_ns[] = {1000, 1000000, 9999999, 10000000, 37000000};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(steps_ns); i++) {
        (void)fresh(state);
        set(100, 0, 100);
        assert_in_range(greedy(10 * SECOND, steps_ns[i], 4096), 995, 1010);
    }
}

static void bytes_keep_to_their_rate_whatever_the_request(void **state)
{
    static const u64 requests[] = {512, 4096, KIB(128), MIB(2)};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(requests); i++) {
        u64 bytes;

        (void)fresh(state);
        set(0, MIB(10), 100);
        bytes = greedy(100 * SECOND, 100000, requests[i]) * requests[i];
        assert_in_range(bytes, MIB(990), MIB(1010));
    }
}

static void the_lower_of_two_limits_holds(void **state)
{
    (void)state;
    set(1000, MIB(1), 100);
    assert_in_range(greedy(10 * SECOND, 1000000, 4096), 2500, 2600);
    (void)fresh(state);
    set(1000, MIB(100), 100);
    assert_in_range(greedy(10 * SECOND, 1000000, 4096), 9900, 10110);
}

/* A request that is larger than all there is goes, and is paid for. */
static void a_debt_is_paid_before_the_next_request(void **state)
{
    (void)state;
    set(0, MIB(1), 100);
    assert_int_not_equal(limit_budget(&limit, 1, START), 0);
    limit_pay(&limit, 1, MIB(4), START);
    assert_int_equal(limit_budget(&limit, 64, START), 0);
    assert_in_range(limit_wake_ns(&limit), START + 39 * SECOND / 10, START + 39 * SECOND / 10 + 1);
    assert_int_equal(limit_budget(&limit, 64, limit_wake_ns(&limit) - 1), 0);
    assert_int_equal(limit_budget(&limit, 64, limit_wake_ns(&limit)), 1);
}

static void idle_time_is_saved_up_to_the_burst(void **state)
{
    (void)state;
    set(100, 0, 500);
    assert_int_equal(limit_budget(&limit, 64, START), 50);
    limit_pay(&limit, 50, 0, START);
    assert_int_equal(limit_budget(&limit, 64, START), 0);
    assert_int_equal(limit_budget(&limit, 64, START + 3600 * SECOND), 50);
    assert_int_equal(limit_budget(&limit, 7, START + 3600 * SECOND), 7);
}

static void a_burst_below_one_request_is_one_request(void **state)
{
    (void)state;
    set(2, 0, 0);
    assert_int_equal(greedy(10 * SECOND, 1000000, 512), 20);
}

static void the_directory_is_heard_before_the_configuration(void **state)
{
    const u64 unsaid = BACKEND_LIMIT_UNSAID;

    (void)state;
    set(unsaid, unsaid, unsaid);
    assert_false(limit.on);
    assert_int_equal(said_count("limited"), 0);
    disk.iops = 5;
    disk.bps = 6;
    set(unsaid, unsaid, unsaid);
    assert_true(limit.on && limit.iops == 5 && limit.bytes == 6);
    assert_true(said("dom3/1 data: limited to 5 requests/s, 6 bytes/s (0: not limited), 100 ms"));
    set(0, 7, unsaid);
    assert_true(limit.on && limit.iops == 0 && limit.bytes == 7);
    set(0, 0, unsaid);
    assert_false(limit.on);
    assert_true(said("dom3/1 data: limited to 0 requests/s, 0 bytes/s"));
}

/* What was done before a limit came is not paid for, and a new one begins without the old debt. */
static void the_past_is_free(void **state)
{
    (void)state;
    limit_set(&limit, &(struct backend_limits){100, 0, 100}, &disk, "d", 1000000, UINT64_MAX);
    limit_pay(&limit, 1000001, UINT64_MAX, START);
    assert_int_equal(limit_budget(&limit, 64, START), 9);
    limit_pay(&limit, 1001000, UINT64_MAX, START);
    assert_int_equal(limit_budget(&limit, 64, START), 0);
    limit_set(&limit, &(struct backend_limits){200, 0, 100}, &disk, "d", 1001000, UINT64_MAX);
    assert_int_equal(limit_budget(&limit, 64, START), 20);
}

static void the_largest_figures_do_not_overflow(void **state)
{
    (void)state;
    set(BACKEND_LIMIT_IOPS_MAX, BACKEND_LIMIT_BYTES_MAX, BACKEND_LIMIT_BURST_LAST);
    assert_int_equal(limit_budget(&limit, 64, START), 64);
    limit_pay(&limit, 1, UINT64_C(1) << 40, START);
    assert_int_equal(limit_budget(&limit, 64, START), 0);
    /* 109.95 s worth of bytes, 10 s of them at once. */
    assert_in_range(limit_wake_ns(&limit), START + 99 * SECOND, START + 100 * SECOND);
    set(1, 1, 0);
    limit_pay(&limit, 2, MIB(252), START);
    assert_in_range(limit_wake_ns(&limit), START + MIB(252) * SECOND,
                    START + (u64)MIB(252) * SECOND + 1);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_keep_to_their_rate_at_any_step),
        TEST(bytes_keep_to_their_rate_whatever_the_request),
        TEST(the_lower_of_two_limits_holds),
        TEST(a_debt_is_paid_before_the_next_request),
        TEST(idle_time_is_saved_up_to_the_burst),
        TEST(a_burst_below_one_request_is_one_request),
        TEST(the_directory_is_heard_before_the_configuration),
        TEST(the_past_is_free),
        TEST(the_largest_figures_do_not_overflow),
    };

    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
