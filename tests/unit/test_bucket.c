/* SPDX-License-Identifier: BSD-2-Clause */
/* test_bucket.c - so many at once, so many per second. */
#include "start/base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

#define SECOND UINT64_C(1000000000)

static void a_zeroed_bucket_is_full(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    for (u64 start = 0; start < 2; start++) { /* also when the clock begins at 0 */
        bucket = (struct bucket){0};
        port_host_now_ns = start;
        assert_int_equal(bucket_level(&bucket, 5, 10), 5);
        bucket_take(&bucket, 5);
        assert_int_equal(bucket_level(&bucket, 5, 10), 0);
    }
}

static void tokens_come_one_by_one_and_no_time_is_lost(void **state)
{
    struct bucket bucket = {0};
    u32 taken = 0;

    (void)state;
    port_host_now_ns = 1;
    bucket_take(&bucket, bucket_level(&bucket, 5, 10));
    for (u32 turn = 0; turn < 100; turn++) { /* 100 looks within 7 s, none on a boundary */
        port_host_now_ns += 7 * SECOND / 100;
        taken += bucket_level(&bucket, 5, 10);
        bucket_take(&bucket, bucket_level(&bucket, 5, 10));
    }
    assert_int_equal(taken, 70);
}

static void no_more_than_a_burst_is_saved(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    port_host_now_ns = 1;
    assert_int_equal(bucket_level(&bucket, 5, 10), 5);
    port_host_now_ns += 3600 * SECOND;
    assert_int_equal(bucket_level(&bucket, 5, 10), 5);
    port_host_now_ns = UINT64_MAX;
    assert_int_equal(bucket_level(&bucket, UINT32_MAX, 1), UINT32_MAX);
}

static void what_is_not_there_cannot_be_taken(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    port_host_now_ns = 1;
    assert_int_equal(bucket_level(&bucket, 5, 10), 5);
    assert_true(EXPECT_PANIC(bucket_take(&bucket, 6)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_zeroed_bucket_is_full),
        cmocka_unit_test(tokens_come_one_by_one_and_no_time_is_lost),
        cmocka_unit_test(no_more_than_a_burst_is_saved),
        cmocka_unit_test(what_is_not_there_cannot_be_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
