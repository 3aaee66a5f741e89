/* SPDX-License-Identifier: BSD-2-Clause */
/* test_blkif_copy.c - data that Xen copies instead of pages that are mapped, and long ranges. */
#include "blk/blkif.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/rig_blkif.h"

/* --- copies by Xen ---------------------------------------------------------------------------- */

/** A medium that is memory, and grants that do not stay. */
static void start_copying(void)
{
    memset(rig_disk, 0, sizeof(rig_disk));
    ramdisk_init(&rig_ram, "ram", rig_disk, sizeof(rig_disk), false);
    blkfront_start(&rig_front, &rig_ram.bdev, BLKIF_ABI_64, 1);
    blkif_grants_stay(&rig_front.bi, false);
}

static void memory_is_copied_without_mapping_one_call_for_a_turn(void **state)
{
    (void)state;
    start_copying();
    for (u32 i = 0; i < 8; i++) {
        rig_fill(i, (u8)(i + 1));
        blkfront_put(&rig_front, BLKIF_OP_WRITE, i, 16 + 8 * (u64)i, i, 1);
    }
    rig_serve();
    for (u32 i = 0; i < 8; i++) {
        rig_expect_answer(i, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    }
    assert_memory_equal(rig_disk + 16 * 512, rig_front.page[0], 8 * PAGE_BYTES);
    assert_int_equal(rig_front.copy_calls, 1);
    blkfront_put(&rig_front, BLKIF_OP_READ, 9, 16, 20, 8);
    rig_serve();
    rig_expect_answer(9, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    assert_memory_equal(rig_front.page[20], rig_front.page[0], 8 * PAGE_BYTES);
    assert_int_equal(rig_front.copy_calls, 2);
    assert_int_equal(rig_front.map_calls, 0);
    assert_int_equal(rig_ram.bdev.requests[BLK_WRITE], 8);
    assert_int_equal(rig_ram.bdev.requests[BLK_READ], 1);
}

/* What does not fit into one batch goes before it; every request keeps its own pieces together. */
static void a_batch_that_is_full_goes_first(void **state)
{
    (void)state;
    start_copying();
    for (u32 i = 0; i < 16; i++) {
        blkfront_put(&rig_front, BLKIF_OP_WRITE, i, 8 * (u64)i + 1, i,
                     11); /* no page boundary fits */
    }
    rig_serve();
    for (u32 i = 0; i < 16; i++) {
        rig_expect_answer(i, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    }
    rig_expect_no_answer();
    assert_true(rig_front.copy_calls >= 16 * 11 / GRANT_COPIES_MAX);
    assert_true(rig_front.copy_calls <= 16);
}

static void an_indirect_request_is_copied_too(void **state)
{
    (void)state;
    start_copying();
    for (u32 i = 0; i < FRONT_DISK_SECTORS; i++) {
        memset(rig_disk + i * 512, (int)(i + 1), 512);
    }
    blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 9, 0, 0, BLKIF_SEG_MAX, 63);
    rig_serve();
    rig_expect_answer(9, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    assert_memory_equal(rig_front.page[0], rig_disk, sizeof(rig_disk));
    assert_int_equal(rig_front.map_calls, 0);
    rig_front.revoked[63] = true;
    blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 10, 0, 0, BLKIF_SEG_MAX, 63);
    rig_front.revoked[63] = true;
    rig_serve();
    rig_expect_answer(10, BLKIF_OP_READ, BLKIF_RSP_ERROR);
}

static void a_page_that_is_not_granted_fails_its_own_request(void **state)
{
    (void)state;
    start_copying();
    rig_front.revoked[3] = true;
    rig_fill(1, 1);
    rig_fill(5, 5);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 0, 1, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 2, 8, 2, 3);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 3, 32, 5, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    rig_expect_answer(2, BLKIF_OP_WRITE, BLKIF_RSP_ERROR);
    rig_expect_answer(3, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    assert_memory_equal(rig_disk, rig_front.page[1], PAGE_BYTES);
    assert_memory_equal(rig_disk + 32 * 512, rig_front.page[5], PAGE_BYTES);
    assert_int_equal(rig_front.bi.errors_guest, 1);
}

static void barriers_wait_for_copies(void **state)
{
    (void)state;
    start_copying();
    rig_fill(1, 1);
    rig_fill(2, 2);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 0, 1, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE_BARRIER, 2, 0, 2, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    rig_expect_answer(2, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_OKAY);
    assert_memory_equal(rig_disk, rig_front.page[2], PAGE_BYTES);
}

/* --- ranges ----------------------------------------------------------------------------------- */

static void put_discard(u64 id, u8 flag, u64 sector, u64 sectors)
{
    u8 *entry = blkfront_entry(&rig_front, 0);

    entry[0] = BLKIF_OP_DISCARD;
    entry[1] = flag;
    memcpy(entry + 8, &id, 8);
    memcpy(entry + 16, &sector, 8);
    memcpy(entry + 24, &sectors, 8);
}

static void a_long_discard_is_done_in_pieces_that_the_medium_takes(void **state)
{
    (void)state;
    memset(rig_disk, 0xaa, sizeof(rig_disk));
    rig_ram.bdev.info.range_sectors_max = 10;
    rig_faulty.bdev.info.range_sectors_max = 10;
    put_discard(1, 0, 1, FRONT_DISK_SECTORS - 2);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_DISCARD, BLKIF_RSP_OKAY);
    assert_int_equal(rig_disk[511], 0xaa);
    for (u32 i = 512; i < sizeof(rig_disk) - 512; i++) {
        assert_int_equal(rig_disk[i], 0);
    }
    assert_int_equal(rig_disk[sizeof(rig_disk) - 512], 0xaa);
    assert_int_equal(rig_ram.bdev.requests[BLK_DISCARD], (FRONT_DISK_SECTORS - 2 + 9) / 10);
}

static void a_secure_discard_is_of_what_can_be_erased(void **state)
{
    (void)state;
    rig_faulty.bdev.info.erase_align_sectors = 8;
    put_discard(1, BLKIF_DISCARD_SECURE, 4, 8);
    put_discard(2, BLKIF_DISCARD_SECURE, 8, 4);
    put_discard(3, BLKIF_DISCARD_SECURE, 8, 8);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_DISCARD, BLKIF_RSP_ERROR);
    rig_expect_answer(2, BLKIF_OP_DISCARD, BLKIF_RSP_ERROR);
    rig_expect_answer(3, BLKIF_OP_DISCARD, BLKIF_RSP_OKAY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_blkif_start, rig_blkif_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_is_copied_without_mapping_one_call_for_a_turn),
        TEST(a_batch_that_is_full_goes_first),
        TEST(an_indirect_request_is_copied_too),
        TEST(a_page_that_is_not_granted_fails_its_own_request),
        TEST(barriers_wait_for_copies),
        TEST(a_long_discard_is_done_in_pieces_that_the_medium_takes),
        TEST(a_secure_discard_is_of_what_can_be_erased),
    };

    return cmocka_run_group_tests_name("blkif_copy", tests, NULL, NULL);
}
