/* SPDX-License-Identifier: BSD-2-Clause */
/* test_latency.c - into which power of two a request falls, for both protocols. */
#include "blk/latency.h"

#include <string.h>

#include "tests/fake/port_host.h"
#include "tests/fake/rig_blkif.h"
#include "tests/fake/rig_vblk.h"

#define SUBMIT_US 5 /* what a request costs before the slow medium answers */

static u64 sum(const struct latency *latency)
{
    u64 requests = 0;

    for (u32 i = 0; i < LATENCY_BUCKETS; i++) {
        requests += latency->count[i];
    }
    return requests;
}

static void a_bucket_holds_what_is_below_its_power_of_two(void **state)
{
    static const struct {
        u64 ns;
        u32 bucket;
    } cases[] = {
        {0, 0},
        {999, 0},
        {1000, 1},
        {1999, 1},
        {2000, 2},
        {3999, 2},
        {4000, 3},
        {UINT64_C(16777215999), 24},
        {UINT64_C(16777216000), 25},
        {UINT64_MAX, 25},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        struct latency latency = {0};

        latency_add(&latency, 3, cases[i].ns);
        assert_int_equal(latency.count[cases[i].bucket], 3);
        assert_int_equal(sum(&latency), 3);
    }
}

/* --- a medium that takes its time ------------------------------------------------------------- */

static const struct bdev_ops *quick_ops;
static struct bdev_ops slow_ops;

static enum status slow_submit(struct bdev *dev, struct blk_req *req)
{
    port_host_now_ns += SUBMIT_US * 1000;
    return quick_ops->submit(dev, req);
}

static void slow(struct bdev *dev)
{
    quick_ops = dev->ops;
    slow_ops = *quick_ops;
    slow_ops.submit = slow_submit;
    dev->ops = &slow_ops;
}

/* --- virtio ------------------------------------------------------------------------------------
 */

static void offer_reads(u32 count)
{
    for (u32 i = 0; i < count; i++) {
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, i, 512);
        (void)driver_blk_offer(&b.drv, &blk, true);
    }
}

static void virtio_requests_of_one_turn_lasted_as_long_as_it(void **state)
{
    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.direct = true});
    b.ram.bdev.memory = NULL; /* the general way */
    slow(&b.ram.bdev);
    offer_reads(3);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.vb.latency.count[4], 3); /* 15 us */
    assert_int_equal(sum(&b.vb.latency), 3);
    vblk_poll(&b.vb, 64); /* an idle turn counts nothing */
    assert_int_equal(sum(&b.vb.latency), 3);
}

static void virtio_requests_of_the_quick_way_are_counted_too(void **state)
{
    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.direct = true});
    assert_true(bench_serves(&b)); /* its memory is known from here on */
    memset(&b.vb.latency, 0, sizeof(b.vb.latency));
    offer_reads(5);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.vb.latency.count[0], 5);
    assert_int_equal(sum(&b.vb.latency), 5);
}

static void virtio_requests_with_the_medium_have_a_time_of_their_own(void **state)
{
    (void)state;
    b.faulty.delay_turns = 1;
    offer_reads(2);
    vblk_poll(&b.vb, 64);
    assert_int_equal(sum(&b.vb.latency), 0);
    port_host_now_ns += 100000;
    for (u32 i = 0; i < 8; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(b.vb.latency.count[7], 2); /* 100 us */
    assert_int_equal(sum(&b.vb.latency), 2);
}

static void a_request_that_is_refused_counts_once(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS, 512);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    assert_int_equal(sum(&b.vb.latency), 1);
}

/* --- PV block ----------------------------------------------------------------------------------
 */

static void pv_requests_of_one_turn_lasted_as_long_as_it(void **state)
{
    (void)state;
    slow(&rig_faulty.bdev);
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_READ, 2, 0, 1, 1);
    rig_serve();
    assert_int_equal(rig_front.bi.latency.count[4], 2); /* 10 us */
    assert_int_equal(sum(&rig_front.bi.latency), 2);
}

static void pv_requests_with_the_medium_have_a_time_of_their_own(void **state)
{
    (void)state;
    rig_faulty.stall = true;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    rig_serve();
    assert_int_equal(sum(&rig_front.bi.latency), 0);
    port_host_now_ns += 3000000;
    rig_faulty.stall = false;
    rig_serve();
    assert_int_equal(rig_front.bi.latency.count[12], 1); /* 3 ms */
    assert_int_equal(sum(&rig_front.bi.latency), 1);
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_OKAY);
}

#define BLKIF_TEST(name) cmocka_unit_test_setup_teardown(name, rig_blkif_start, rig_blkif_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_holds_what_is_below_its_power_of_two),
        VBLK_TEST(virtio_requests_of_one_turn_lasted_as_long_as_it),
        VBLK_TEST(virtio_requests_of_the_quick_way_are_counted_too),
        VBLK_TEST(virtio_requests_with_the_medium_have_a_time_of_their_own),
        VBLK_TEST(a_request_that_is_refused_counts_once),
        BLKIF_TEST(pv_requests_of_one_turn_lasted_as_long_as_it),
        BLKIF_TEST(pv_requests_with_the_medium_have_a_time_of_their_own),
    };

    return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
