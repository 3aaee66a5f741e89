/* SPDX-License-Identifier: BSD-2-Clause */
/* test_bdev.c - the pair assertions: what no front end may hand to a medium. */
#include "blk/bdev.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

static struct bdev dev;
static struct blk_done done;
static u8 data[1024];
static const struct span spans[] = {{.base = data, .bytes = 1000}, {.base = data, .bytes = 24}};
static u32 submitted;

static enum status answer;

static enum status count_submit(struct bdev *to, struct blk_req *req)
{
    (void)to;
    (void)req;
    submitted++;
    return answer;
}

static const struct bdev_ops ops = {.submit = count_submit};

static const struct bdev_info info = {
    .sectors = 16,
    .logical_block_bytes = 1024,
    .physical_block_bytes = 4096,
    .seg_max = 8,
};

static int fresh(void **state)
{
    (void)state;
    bdev_init(&dev, &ops, "dev", &info);
    blk_done_init(&done);
    submitted = 0;
    answer = ST_OK;
    return 0;
}

static bool refused(enum blk_op op, u64 sector, u64 sectors, u32 span_count)
{
    struct blk_req req = {
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .spans = spans,
        .span_count = span_count,
        .done = &done,
    };

    return EXPECT_PANIC(bdev_submit(&dev, &req));
}

static void a_good_request_passes_and_is_counted(void **state)
{
    (void)state;
    assert_false(refused(BLK_READ, 14, 2, 2));
    assert_false(refused(BLK_WRITE, 0, 2, 2));
    assert_false(refused(BLK_FLUSH, 0, 0, 0));
    assert_int_equal(submitted, 3);
    assert_int_equal(dev.in_flight, 0);
    assert_int_equal(dev.requests[BLK_FLUSH], 1);
    assert_null(blk_done_take(&done)); /* finished at once: on no list */
    assert_int_equal(bdev_poll(&dev), 0);
}

/* [VIRTIO 5.2.6] B-02, B-03, here as our own mistakes. */
static void a_request_outside_the_medium_is_our_mistake(void **state)
{
    (void)state;
    assert_true(refused(BLK_READ, 15, 2, 2));
    assert_true(refused(BLK_READ, UINT64_MAX, 2, 2));
    assert_true(refused(BLK_READ, 0, UINT64_MAX, 2));
    assert_true(refused(BLK_DISCARD, 16, 1, 0));
    assert_int_equal(submitted, 0);
}

static void spans_that_do_not_add_up_are_our_mistake(void **state)
{
    (void)state;
    assert_true(refused(BLK_READ, 0, 2, 1));
    assert_true(refused(BLK_WRITE, 0, 1, 2));
    assert_true(refused(BLK_OP_COUNT, 0, 2, 2));
}

static void a_write_to_a_read_only_medium_is_our_mistake(void **state)
{
    (void)state;
    dev.info.read_only = true;
    assert_true(refused(BLK_WRITE, 0, 2, 2));
    assert_true(refused(BLK_SECURE_ERASE, 0, 2, 0));
    assert_false(refused(BLK_READ, 0, 2, 2));
}

static void a_request_in_flight_ends_on_its_list(void **state)
{
    struct blk_req req = {.op = BLK_FLUSH, .done = &done};

    (void)state;
    answer = ST_AGAIN;
    assert_int_equal(bdev_submit(&dev, &req), ST_AGAIN);
    assert_int_equal(dev.in_flight, 1);
    assert_int_equal(dev.requests[BLK_FLUSH], 0);
    assert_null(blk_done_take(&done));
    bdev_done(&dev, &req, ST_CRC);
    assert_int_equal(dev.in_flight, 0);
    assert_int_equal(dev.requests[BLK_FLUSH], 1);
    assert_int_equal(dev.errors, 1);
    assert_ptr_equal(blk_done_take(&done), &req);
    assert_int_equal(req.status, ST_CRC);
    bdev_cancel(&dev, &req); /* a medium that cannot: nothing happens */
    assert_true(EXPECT_PANIC(bdev_done(&dev, &req, ST_OK)));
}

static void a_request_that_fails_at_once_is_counted(void **state)
{
    struct blk_req req = {.op = BLK_FLUSH, .done = &done};

    (void)state;
    answer = ST_TIMEOUT;
    assert_int_equal(bdev_submit(&dev, &req), ST_TIMEOUT);
    assert_int_equal(dev.in_flight, 0);
    assert_int_equal(dev.errors, 1);
}

static bool info_refused(const struct bdev_info *bad)
{
    return EXPECT_PANIC(bdev_init(&dev, &ops, "dev", bad));
}

static void an_incoherent_medium_is_our_mistake(void **state)
{
    static const struct bdev_info bad[] = {
        {.sectors = 16, .logical_block_bytes = 256, .physical_block_bytes = 512, .seg_max = 1},
        {.sectors = 16, .logical_block_bytes = 1536, .physical_block_bytes = 4096, .seg_max = 1},
        {.sectors = 16, .logical_block_bytes = 8192, .physical_block_bytes = 8192, .seg_max = 1},
        {.sectors = 16, .logical_block_bytes = 4096, .physical_block_bytes = 512, .seg_max = 1},
        {.sectors = 15, .logical_block_bytes = 1024, .physical_block_bytes = 1024, .seg_max = 1},
        {.sectors = 16, .logical_block_bytes = 512, .physical_block_bytes = 512, .seg_max = 0},
        {.sectors = 16,
         .logical_block_bytes = 512,
         .physical_block_bytes = 512,
         .seg_max = 1,
         .write_zeroes = true},
        {.sectors = 16,
         .logical_block_bytes = 512,
         .physical_block_bytes = 512,
         .seg_max = 1,
         .discard = true,
         .range_sectors_max = 1},
        {.sectors = 16,
         .logical_block_bytes = 512,
         .physical_block_bytes = 512,
         .seg_max = 1,
         .secure_erase = true,
         .range_sectors_max = 1},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(info_refused(&bad[i]));
    }
}

/* Each kind where the medium does it, within its limits; nothing else reaches the medium. */
static void a_range_the_medium_does_not_do_is_our_mistake(void **state)
{
    static const enum blk_op ops_of[] = {BLK_DISCARD, BLK_WRITE_ZEROES, BLK_SECURE_ERASE};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(ops_of); i++) {
        dev.info.range_sectors_max = 8;
        dev.info.erase_align_sectors = 4;
        dev.info.discard = i == 0;
        dev.info.write_zeroes = i == 1;
        dev.info.secure_erase = i == 2;
        for (u32 k = 0; k < ARRAY_LEN(ops_of); k++) {
            assert_int_equal(refused(ops_of[k], 4, 8, 0), i != k);
        }
        assert_true(refused(ops_of[i], 0, 0, 0));
        assert_true(refused(ops_of[i], 0, 12, 0));
        assert_true(refused(ops_of[i], 12, 8, 0));
        assert_int_equal(refused(ops_of[i], 2, 4, 0), i == 2);
        assert_int_equal(refused(ops_of[i], 4, 2, 0), i == 2);
    }
    dev.info.read_only = true;
    assert_true(refused(BLK_SECURE_ERASE, 4, 8, 0));
}

static void the_done_list_keeps_its_order(void **state)
{
    struct blk_req req[3] = {{.done = &done}, {.done = &done}, {.done = &done}};

    (void)state;
    blk_req_done(&req[0], ST_OK);
    blk_req_done(&req[1], ST_OK);
    assert_ptr_equal(blk_done_take(&done), &req[0]);
    blk_req_done(&req[2], ST_OK);
    assert_ptr_equal(blk_done_take(&done), &req[1]);
    assert_ptr_equal(blk_done_take(&done), &req[2]);
    assert_null(blk_done_take(&done));
    blk_req_done(&req[0], ST_OK);
    assert_ptr_equal(blk_done_take(&done), &req[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_request_passes_and_is_counted, fresh),
        cmocka_unit_test_setup(a_request_outside_the_medium_is_our_mistake, fresh),
        cmocka_unit_test_setup(spans_that_do_not_add_up_are_our_mistake, fresh),
        cmocka_unit_test_setup(a_write_to_a_read_only_medium_is_our_mistake, fresh),
        cmocka_unit_test_setup(a_request_in_flight_ends_on_its_list, fresh),
        cmocka_unit_test_setup(a_request_that_fails_at_once_is_counted, fresh),
        cmocka_unit_test_setup(an_incoherent_medium_is_our_mistake, fresh),
        cmocka_unit_test_setup(a_range_the_medium_does_not_do_is_our_mistake, fresh),
        cmocka_unit_test_setup(the_done_list_keeps_its_order, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
