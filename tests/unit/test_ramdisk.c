/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ramdisk.c - memory as a disk: content, slices, cancelling. */
#include "blk/ramdisk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

#define DISK_BYTES MIB(2)

static u8 memory[DISK_BYTES];
static u8 buffer[DISK_BYTES];
static struct ramdisk disk;
static struct blk_done done;

static int fresh(void **state)
{
    (void)state;
    for (usize i = 0; i < sizeof(memory); i++) {
        memory[i] = (u8)(i * 7 + i / 512);
    }
    memset(buffer, 0xee, sizeof(buffer));
    ramdisk_init(&disk, "disk", memory, sizeof(memory), false);
    blk_done_init(&done);
    return 0;
}

static struct blk_req request(enum blk_op op, u64 sector, u64 sectors, const struct span *spans,
                              u32 count)
{
    return (struct blk_req){
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .spans = spans,
        .span_count = count,
        .done = &done,
    };
}

static void tells_its_size_and_that_it_has_no_cache(void **state)
{
    (void)state;
    assert_int_equal(disk.bdev.info.sectors, DISK_BYTES / 512);
    assert_int_equal(disk.bdev.info.logical_block_bytes, 512);
    assert_false(disk.bdev.info.write_cache);
    assert_false(disk.bdev.info.read_only);
}

static void reads_into_spans_of_any_cut(void **state)
{
    struct span spans[] = {
        {.base = buffer + 3, .bytes = 1},
        {.base = buffer + 100, .bytes = 1000},
        {.base = buffer + 5000, .bytes = 23},
    };
    struct blk_req req = request(BLK_READ, 5, 2, spans, 3);

    (void)state;
    assert_int_equal(bdev_submit(&disk.bdev, &req), ST_OK);
    assert_null(blk_done_take(&done));
    assert_memory_equal(buffer + 3, memory + 5 * 512, 1);
    assert_memory_equal(buffer + 100, memory + 5 * 512 + 1, 1000);
    assert_memory_equal(buffer + 5000, memory + 5 * 512 + 1001, 23);
    assert_int_equal(buffer[4], 0xee);
    assert_int_equal(disk.bdev.requests[BLK_READ], 1);
}

static void writes_only_what_is_named(void **state)
{
    struct span span = {.base = buffer, .bytes = 512};
    struct blk_req req = request(BLK_WRITE, DISK_BYTES / 512 - 1, 1, &span, 1);
    u8 before[512];

    (void)state;
    memcpy(before, memory + DISK_BYTES - 1024, sizeof(before));
    assert_int_equal(bdev_submit(&disk.bdev, &req), ST_OK);
    assert_memory_equal(memory + DISK_BYTES - 512, buffer, 512);
    assert_memory_equal(memory + DISK_BYTES - 1024, before, 512);
}

static void a_flush_has_nothing_to_wait_for(void **state)
{
    struct blk_req flush = request(BLK_FLUSH, 0, 0, NULL, 0);

    (void)state;
    assert_int_equal(bdev_submit(&disk.bdev, &flush), ST_OK);
    assert_null(blk_done_take(&done));
    assert_int_equal(disk.bdev.errors, 0);
}

static void expect_zeroes_only_at(const u8 *before, u64 sector, u64 sectors)
{
    static const u8 zeroes[DISK_BYTES];

    assert_memory_equal(memory, before, sector * 512);
    assert_memory_equal(memory + sector * 512, zeroes, sectors * 512);
    assert_memory_equal(memory + (sector + sectors) * 512, before + (sector + sectors) * 512,
                        DISK_BYTES - (sector + sectors) * 512);
}

/* Short ones at once, long ones a slice per poll: the whole range and nothing beside it. */
static void discard_write_zeroes_and_secure_erase_store_zeroes(void **state)
{
    static u8 before[DISK_BYTES];

    for (u32 op = BLK_DISCARD; op <= BLK_SECURE_ERASE; op++) {
        struct blk_req little = request((enum blk_op)op, 3, 5, NULL, 0);
        struct blk_req big = request((enum blk_op)op, 9, MIB(1) / 512 + 1, NULL, 0);

        fresh(state);
        memcpy(before, memory, sizeof(before));
        assert_int_equal(bdev_submit(&disk.bdev, &little), ST_OK);
        expect_zeroes_only_at(before, 3, 5);
        fresh(state);
        assert_int_equal(bdev_submit(&disk.bdev, &big), ST_AGAIN);
        for (u32 i = 0; i < MIB(1) / RAMDISK_SLICE_BYTES + 1; i++) {
            assert_null(blk_done_take(&done));
            assert_int_equal(bdev_poll(&disk.bdev), 1);
        }
        assert_ptr_equal(blk_done_take(&done), &big);
        assert_int_equal(big.status, ST_OK);
        expect_zeroes_only_at(before, 9, MIB(1) / 512 + 1);
    }
}

static void a_read_only_disk_offers_none_of_them(void **state)
{
    (void)state;
    ramdisk_init(&disk, "disk", memory, sizeof(memory), true);
    assert_false(disk.bdev.info.discard || disk.bdev.info.write_zeroes ||
                 disk.bdev.info.secure_erase);
}

static void wipe_all(void)
{
    u32 turns = 0;

    while (ramdisk_wipe(&disk) > 0) {
        assert_true(++turns <= DISK_BYTES / RAMDISK_SLICE_BYTES + 1);
    }
}

/* What was cut off comes back as zeroes, however often and in whatever steps it was cut. */
static void a_disk_that_grows_again_shows_zeroes(void **state)
{
    static const u8 zeroes[DISK_BYTES];
    static u8 before[DISK_BYTES];

    (void)state;
    memcpy(before, memory, sizeof(before));
    assert_int_equal(ramdisk_resize(&disk, MIB(1) + 512), ST_OK);
    assert_int_equal(disk.bdev.info.sectors, MIB(1) / 512 + 1);
    assert_int_equal(ramdisk_wipe(&disk), 1);
    assert_int_equal(ramdisk_resize(&disk, 512), ST_OK);
    assert_int_equal(ramdisk_resize(&disk, DISK_BYTES), ST_AGAIN); /* not wiped yet */
    assert_int_equal(disk.bdev.info.sectors, 1);
    wipe_all();
    assert_int_equal(ramdisk_resize(&disk, DISK_BYTES), ST_OK);
    assert_int_equal(disk.bdev.info.sectors, DISK_BYTES / 512);
    assert_memory_equal(memory, before, 512);
    assert_memory_equal(memory + 512, zeroes, DISK_BYTES - 512);
    assert_int_equal(ramdisk_wipe(&disk), 0);
}

static void a_disk_grows_up_to_what_is_reserved(void **state)
{
    (void)state;
    memset(memory + MIB(1), 0, MIB(1));
    ramdisk_init(&disk, "disk", memory, MIB(1), false);
    assert_int_equal(ramdisk_resize(&disk, MIB(1) + 512), ST_RANGE);
    ramdisk_reserve(&disk, DISK_BYTES);
    assert_int_equal(ramdisk_resize(&disk, DISK_BYTES + 512), ST_RANGE);
    assert_int_equal(ramdisk_resize(&disk, UINT64_MAX & ~UINT64_C(511)), ST_RANGE);
    assert_int_equal(ramdisk_resize(&disk, 0), ST_INVAL);
    assert_int_equal(ramdisk_resize(&disk, 513), ST_INVAL);
    assert_int_equal(disk.bdev.info.sectors, MIB(1) / 512);
    assert_int_equal(ramdisk_resize(&disk, DISK_BYTES), ST_OK);
    assert_int_equal(disk.bdev.info.sectors, DISK_BYTES / 512);
    assert_int_equal(ramdisk_wipe(&disk), 0);
}

/* B-18 */
static void what_is_in_flight_beyond_a_new_end_fails_and_the_rest_goes_on(void **state)
{
    struct span span = {.base = buffer, .bytes = MIB(1)};
    struct blk_req first = request(BLK_READ, MIB(1) / 512, MIB(1) / 512, &span, 1);
    struct blk_req second = request(BLK_READ, 0, MIB(1) / 512, &span, 1);
    struct blk_req third = request(BLK_WRITE_ZEROES, MIB(1) / 512 - 7, MIB(1) / 512, NULL, 0);

    (void)state;
    bdev_submit(&disk.bdev, &first);
    bdev_submit(&disk.bdev, &second);
    bdev_submit(&disk.bdev, &third);
    bdev_poll(&disk.bdev);
    assert_int_equal(ramdisk_resize(&disk, DISK_BYTES - 512), ST_OK);
    assert_ptr_equal(blk_done_take(&done), &first);
    assert_int_equal(first.status, ST_IO);
    assert_null(blk_done_take(&done));
    assert_int_equal(ramdisk_resize(&disk, MIB(1)), ST_OK);
    assert_ptr_equal(blk_done_take(&done), &third);
    assert_int_equal(third.status, ST_IO);
    for (u32 i = 0; i < MIB(1) / RAMDISK_SLICE_BYTES; i++) {
        assert_int_equal(bdev_poll(&disk.bdev), 1);
    }
    assert_ptr_equal(blk_done_take(&done), &second);
    assert_int_equal(second.status, ST_OK);
    assert_memory_equal(buffer, memory, MIB(1));
    assert_int_equal(disk.bdev.in_flight, 0);
}

/* A long request is copied a slice per poll; short ones overtake it. */
static void long_requests_are_copied_in_slices(void **state)
{
    struct span spans[] = {
        {.base = buffer, .bytes = 1000},
        {.base = buffer + 4096, .bytes = MIB(1) - 1000},
    };
    struct span little = {.base = buffer + MIB(1) + 8192, .bytes = 512};
    struct blk_req big = request(BLK_READ, 8, MIB(1) / 512, spans, 2);
    struct blk_req small = request(BLK_READ, 0, 1, &little, 1);

    (void)state;
    assert_int_equal(bdev_submit(&disk.bdev, &big), ST_AGAIN);
    assert_int_equal(bdev_submit(&disk.bdev, &small), ST_OK);
    assert_null(blk_done_take(&done));
    assert_int_equal(disk.bdev.in_flight, 1);
    for (u32 i = 0; i < MIB(1) / RAMDISK_SLICE_BYTES; i++) {
        assert_null(blk_done_take(&done));
        assert_int_equal(bdev_poll(&disk.bdev), 1);
    }
    assert_ptr_equal(blk_done_take(&done), &big);
    assert_int_equal(bdev_poll(&disk.bdev), 0);
    assert_int_equal(disk.bdev.in_flight, 0);
    assert_memory_equal(buffer, memory + 4096, 1000);
    assert_memory_equal(buffer + 4096, memory + 4096 + 1000, MIB(1) - 1000);
}

static void a_cancelled_request_is_not_copied_any_further(void **state)
{
    struct span span = {.base = buffer, .bytes = MIB(1)};
    struct blk_req first = request(BLK_READ, 0, MIB(1) / 512, &span, 1);
    struct blk_req second = request(BLK_READ, 0, MIB(1) / 512, &span, 1);
    struct blk_req third = request(BLK_READ, 0, MIB(1) / 512, &span, 1);

    (void)state;
    bdev_submit(&disk.bdev, &first);
    bdev_submit(&disk.bdev, &second);
    bdev_submit(&disk.bdev, &third);
    bdev_poll(&disk.bdev);
    bdev_cancel(&disk.bdev, &first);
    bdev_cancel(&disk.bdev, &third);
    assert_ptr_equal(blk_done_take(&done), &first);
    assert_ptr_equal(blk_done_take(&done), &third);
    assert_int_equal(first.status, ST_NODEV);
    memset(buffer, 0xee, sizeof(buffer));
    for (u32 i = 0; i < MIB(1) / RAMDISK_SLICE_BYTES; i++) {
        assert_int_equal(bdev_poll(&disk.bdev), 1);
    }
    assert_ptr_equal(blk_done_take(&done), &second);
    assert_memory_equal(buffer, memory, MIB(1)); /* from its beginning: no rest of the first */
    bdev_cancel(&disk.bdev, &second);            /* finished already: nothing happens */
    assert_null(blk_done_take(&done));
    bdev_submit(&disk.bdev, &first); /* the queue still works after its tail was taken out */
    assert_int_equal(bdev_poll(&disk.bdev), 1);
}

static void a_size_that_is_no_disk_is_our_mistake(void **state)
{
    (void)state;
    assert_true(EXPECT_PANIC(ramdisk_init(&disk, "disk", memory, 0, false)));
    assert_true(EXPECT_PANIC(ramdisk_init(&disk, "disk", memory, 513, false)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(tells_its_size_and_that_it_has_no_cache, fresh),
        cmocka_unit_test_setup(reads_into_spans_of_any_cut, fresh),
        cmocka_unit_test_setup(writes_only_what_is_named, fresh),
        cmocka_unit_test_setup(a_flush_has_nothing_to_wait_for, fresh),
        cmocka_unit_test_setup(discard_write_zeroes_and_secure_erase_store_zeroes, fresh),
        cmocka_unit_test_setup(a_read_only_disk_offers_none_of_them, fresh),
        cmocka_unit_test_setup(a_disk_that_grows_again_shows_zeroes, fresh),
        cmocka_unit_test_setup(a_disk_grows_up_to_what_is_reserved, fresh),
        cmocka_unit_test_setup(what_is_in_flight_beyond_a_new_end_fails_and_the_rest_goes_on,
                               fresh),
        cmocka_unit_test_setup(long_requests_are_copied_in_slices, fresh),
        cmocka_unit_test_setup(a_cancelled_request_is_not_copied_any_further, fresh),
        cmocka_unit_test_setup(a_size_that_is_no_disk_is_our_mistake, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
