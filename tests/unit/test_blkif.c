/* SPDX-License-Identifier: BSD-2-Clause */
/* test_blkif.c - what a PV block front end asks, what it is answered, and what it cannot break. */
#include "blk/blkif.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"
#include "tests/fake/rig_blkif.h"

/* --- data ------------------------------------------------------------------------------------- */

static void data_is_written_and_read_back(void **state)
{
    (void)state;
    for (enum blkif_abi abi = 0; abi < BLKIF_ABI_COUNT; abi++) {
        rig_start_with(abi, 1);
        for (u32 i = 0; i < 11; i++) {
            rig_fill(i, (u8)(i + 1));
        }
        blkfront_put(&rig_front, BLKIF_OP_WRITE, 5, 16, 0, 11);
        rig_serve();
        rig_expect_answer(5, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
        assert_memory_equal(rig_disk + 16 * 512, rig_front.page[0], 11 * PAGE_BYTES);
        blkfront_put(&rig_front, BLKIF_OP_READ, 6, 16, 20, 11);
        rig_serve();
        rig_expect_answer(6, BLKIF_OP_READ, BLKIF_RSP_OKAY);
        assert_memory_equal(rig_front.page[20], rig_front.page[0], 11 * PAGE_BYTES);
        assert_int_equal(rig_front.mapped, 0);
    }
}

static void an_indirect_request_moves_128_kib(void **state)
{
    (void)state;
    for (enum blkif_abi abi = 0; abi < BLKIF_ABI_COUNT; abi++) {
        rig_start_with(abi, 1);
        for (u32 i = 0; i < FRONT_DISK_SECTORS; i++) {
            memset(rig_disk + i * 512, (int)(i + 1), 512);
        }
        blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 9, 0, 0, BLKIF_SEG_MAX, 63);
        rig_serve();
        rig_expect_answer(9, BLKIF_OP_READ, BLKIF_RSP_OKAY); /* not INDIRECT: Linux compares */
        assert_memory_equal(rig_front.page[0], rig_disk, sizeof(rig_disk));
    }
}

static void parts_of_a_page_are_moved_as_asked(void **state)
{
    struct blkif_request_segment seg[2] = {{3, 2, 4}, {4, 7, 7}};
    u8 *entry;

    (void)state;
    rig_fill(3, 1);
    rig_fill(4, 9);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 10, 3, 2);
    entry = rig_front.ring[0] + 64;
    memcpy(entry + 24, seg, sizeof(seg));
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    assert_memory_equal(rig_disk + 10 * 512, rig_front.page[3] + 2 * 512, 3 * 512);
    assert_memory_equal(rig_disk + 13 * 512, rig_front.page[4] + 7 * 512, 512);
    assert_int_equal(rig_disk[14 * 512], 0);
}

/* --- flush, barrier, discard ------------------------------------------------------------------ */

static void a_flush_reaches_the_medium(void **state)
{
    (void)state;
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 0, 0, 1);
    rig_serve();
    assert_int_equal(rig_faulty.unflushed_writes, 1);
    blkfront_put(&rig_front, BLKIF_OP_FLUSH_DISKCACHE, 2, 0, 0, 0);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    rig_expect_answer(2, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_RSP_OKAY);
    assert_int_equal(rig_faulty.unflushed_writes, 0);
}

static void a_flush_with_data_flushes_before_it(void **state)
{
    (void)state;
    rig_fill(1, 3);
    blkfront_put(&rig_front, BLKIF_OP_FLUSH_DISKCACHE, 2, 8, 1, 1);
    rig_serve();
    rig_expect_answer(2, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_RSP_OKAY);
    assert_int_equal(rig_faulty.flushes, 1);
    assert_int_equal(rig_faulty.unflushed_writes, 1);
    assert_memory_equal(rig_disk + 8 * 512, rig_front.page[1], PAGE_BYTES);
}

/* [BLKIF] BLKIF_OP_WRITE_BARRIER: everything before it is done before it, nothing passes it. */
static void a_barrier_waits_for_all_and_all_wait_for_it(void **state)
{
    struct blkfront_answer answer;

    (void)state;
    rig_faulty.delay_turns = 3;
    rig_fill(0, 1);
    rig_fill(1, 2);
    rig_fill(2, 3);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE_BARRIER, 2, 0, 1, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 3, 0, 2, 1);
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    assert_int_equal(rig_faulty.submitted, 1); /* the write before it alone is with the medium */
    for (u32 i = 0; i < 64 && rig_front.cons[0] == 0; i++) {
        assert_int_equal(rig_front.bi.in_flight <= 1, 1);
        (void)blkif_poll(&rig_front.bi, 64);
        (void)blkfront_take(&rig_front, &answer);
    }
    for (u32 i = 0; i < 64; i++) {
        assert_true(rig_front.bi.in_flight <= 1);
        (void)blkif_poll(&rig_front.bi, 64);
    }
    rig_expect_answer(2, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_OKAY);
    rig_expect_answer(3, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
    assert_int_equal(rig_faulty.flushes, 2);
    assert_int_equal(rig_faulty.unflushed_writes, 1); /* the last one's */
    assert_memory_equal(rig_disk, rig_front.page[2], PAGE_BYTES);
}

static void a_failed_flush_fails_the_barrier_and_writes_nothing(void **state)
{
    (void)state;
    rig_faulty.fail_every = 1;
    rig_faulty.fail = ST_IO;
    rig_fill(1, 2);
    blkfront_put(&rig_front, BLKIF_OP_WRITE_BARRIER, 2, 0, 1, 1);
    rig_serve();
    rig_expect_answer(2, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_ERROR);
    assert_int_equal(rig_disk[0], 0);
    rig_faulty.fail_every = 0;
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 3, 0, 1, 1);
    rig_serve(); /* the ring goes on behind it */
    rig_expect_answer(3, BLKIF_OP_WRITE, BLKIF_RSP_OKAY);
}

static void a_discard_is_done_where_the_medium_can(void **state)
{
    u64 sectors = 8;
    u8 *entry;

    (void)state;
    entry = blkfront_entry(&rig_front, 0);
    entry[0] = BLKIF_OP_DISCARD;
    memcpy(entry + 24, &sectors, 8);
    rig_serve();
    rig_expect_answer(0, BLKIF_OP_DISCARD,
                      rig_faulty.bdev.info.discard ? BLKIF_RSP_OKAY : BLKIF_RSP_EOPNOTSUPP);
    rig_faulty.bdev.info.discard = false;
    entry = blkfront_entry(&rig_front, 0);
    entry[0] = BLKIF_OP_DISCARD;
    memcpy(entry + 24, &sectors, 8);
    rig_serve();
    rig_expect_answer(0, BLKIF_OP_DISCARD, BLKIF_RSP_EOPNOTSUPP);
    rig_faulty.bdev.info.discard = true;
    sectors = FRONT_DISK_SECTORS + 1;
    entry = blkfront_entry(&rig_front, 0);
    entry[0] = BLKIF_OP_DISCARD;
    memcpy(entry + 24, &sectors, 8);
    rig_serve();
    rig_expect_answer(0, BLKIF_OP_DISCARD, BLKIF_RSP_ERROR);
}

/* --- requests that are wrong ------------------------------------------------------------------ */

static void wrong_requests_are_answered_and_the_next_is_served(void **state)
{
    static const struct {
        u8 op;
        u64 sector;
        u32 page, count;
        s16 status;
    } wrong[] = {
        {BLKIF_OP_READ, FRONT_DISK_SECTORS - 7, 0, 1, BLKIF_RSP_ERROR}, /* one sector too far */
        {BLKIF_OP_READ, UINT64_MAX, 0, 1, BLKIF_RSP_ERROR},
        {BLKIF_OP_WRITE, UINT64_MAX - 7, 0, 2, BLKIF_RSP_ERROR},
        {BLKIF_OP_READ, 0, 0, 0, BLKIF_RSP_ERROR},
        {BLKIF_OP_READ, 0, 0, 12, BLKIF_RSP_ERROR},
        {BLKIF_OP_WRITE, 0, 0, 255, BLKIF_RSP_ERROR},
        {BLKIF_OP_READ, 0, FRONT_PAGES, 1, BLKIF_RSP_ERROR}, /* not granted */
        {BLKIF_OP_WRITE, 0, FRONT_PAGES - 1, 2, BLKIF_RSP_ERROR},
        {BLKIF_OP_RESERVED_1, 0, 0, 1, BLKIF_RSP_EOPNOTSUPP},
        {7, 0, 0, 1, BLKIF_RSP_EOPNOTSUPP},
        {255, 0, 0, 1, BLKIF_RSP_EOPNOTSUPP},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        blkfront_put(&rig_front, wrong[i].op, 100 + i, wrong[i].sector, wrong[i].page,
                     wrong[i].count);
        rig_serve();
        rig_expect_answer(100 + i, wrong[i].op, wrong[i].status);
        assert_int_equal(rig_front.mapped, 0);
        blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
        rig_serve();
        rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    }
}

static void segments_outside_of_their_page_are_refused(void **state)
{
    static const struct blkif_request_segment wrong[] = {{0, 0, 8}, {0, 5, 4}, {0, 255, 255}};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, 0, 1);
        memcpy(rig_front.ring[0] + 64 + i * 112 + 24, &wrong[i], sizeof(wrong[i]));
        rig_serve();
        rig_expect_answer(i, BLKIF_OP_READ, BLKIF_RSP_ERROR);
    }
    assert_int_equal(rig_front.bi.errors_guest, ARRAY_LEN(wrong));
}

static void indirect_requests_that_are_wrong_are_refused(void **state)
{
    (void)state;
    blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 1, 0, 0, BLKIF_SEG_MAX + 1, 63);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_ERROR);
    blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 2, 0, 0, 0, 63);
    rig_serve();
    rig_expect_answer(2, BLKIF_OP_READ, BLKIF_RSP_ERROR);
    blkfront_put_indirect(&rig_front, BLKIF_OP_WRITE_BARRIER, 3, 0, 0, 1, 63);
    rig_serve();
    rig_expect_answer(3, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_EOPNOTSUPP);
    blkfront_put_indirect(&rig_front, BLKIF_OP_INDIRECT, 4, 0, 0, 1, 63);
    rig_serve();
    rig_expect_answer(4, BLKIF_OP_INDIRECT, BLKIF_RSP_EOPNOTSUPP);
    rig_front.revoked[63] = true;
    blkfront_put_indirect(&rig_front, BLKIF_OP_READ, 5, 0, 0, 1, 63);
    rig_serve();
    rig_expect_answer(5, BLKIF_OP_READ, BLKIF_RSP_ERROR);
}

static void a_read_only_disk_is_not_written(void **state)
{
    const u64 sectors = 8;
    u8 *entry;

    (void)state;
    rig_front.bi.read_only = true;
    rig_fill(0, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE, 1, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE_BARRIER, 2, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_FLUSH_DISKCACHE, 3, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_FLUSH_DISKCACHE, 4, 0, 0, 0);
    blkfront_put(&rig_front, BLKIF_OP_READ, 5, 0, 1, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_WRITE, BLKIF_RSP_ERROR);
    rig_expect_answer(2, BLKIF_OP_WRITE_BARRIER, BLKIF_RSP_ERROR);
    rig_expect_answer(3, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_RSP_ERROR);
    rig_expect_answer(4, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_RSP_OKAY);
    rig_expect_answer(5, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    assert_int_equal(rig_disk[0], 0);
    rig_disk[0] = 1;
    entry = blkfront_entry(&rig_front, 0);
    entry[0] = BLKIF_OP_DISCARD;
    memcpy(entry + 24, &sectors, sizeof(sectors));
    rig_serve();
    rig_expect_answer(0, BLKIF_OP_DISCARD, BLKIF_RSP_ERROR);
    assert_int_equal(rig_disk[0], 1);
}

static void whole_blocks_only_where_blocks_are_larger(void **state)
{
    (void)state;
    rig_faulty.bdev.info.logical_block_bytes = 4096;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 4, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_READ, 2, 8, 0, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_ERROR);
    rig_expect_answer(2, BLKIF_OP_READ, BLKIF_RSP_OKAY);
}

/* --- rings ------------------------------------------------------------------------------------ */

static void a_ring_that_claims_too_much_is_broken_and_left_alone(void **state)
{
    u8 before[PAGE_BYTES];

    (void)state;
    rig_front.prod[0] = rig_front.entries + 1;
    blkfront_push(&rig_front, 0);
    memcpy(before, rig_front.ring[0], PAGE_BYTES);
    assert_int_equal(blkif_poll(&rig_front.bi, 64), 0);
    assert_true(rig_front.bi.ring[0].broken);
    assert_false(blkif_arm(&rig_front.bi));
    rig_front.prod[0] = 1;
    blkfront_push(&rig_front, 0);
    memcpy(before, rig_front.ring[0], 4);
    assert_int_equal(blkif_poll(&rig_front.bi, 64), 0);
    assert_memory_equal(before, rig_front.ring[0], PAGE_BYTES);
}

/* An index that goes back while answers are owed. */
static void a_ring_that_goes_back_is_broken(void **state)
{
    (void)state;
    rig_faulty.stall = true;
    rig_faulty.delay_turns = 1;
    for (u32 i = 0; i < 4; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i, 1);
    }
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    assert_int_equal(rig_front.bi.in_flight, 4);
    rig_front.prod[0] = 2;
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    assert_true(rig_front.bi.ring[0].broken);
    rig_faulty.stall = false;
    for (u32 i = 0; i < 16; i++) {
        (void)blkif_poll(&rig_front.bi, 64);
    }
    assert_int_equal(rig_front.bi.in_flight, 0);
    rig_expect_no_answer();
}

/* Requests over entries whose answers are still owed. */
static void a_ring_that_overtakes_its_answers_is_broken(void **state)
{
    (void)state;
    rig_faulty.stall = true;
    rig_faulty.delay_turns = 1;
    for (u32 i = 0; i < 4; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i, 1);
    }
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    rig_front.prod[0] = rig_front.entries;
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 0);
    assert_false(rig_front.bi.ring[0].broken);
    rig_front.prod[0] = rig_front.entries + 1;
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    assert_true(rig_front.bi.ring[0].broken);
}

static void indices_run_over_the_end_of_their_numbers(void **state)
{
    struct blkif_sring *ring = (struct blkif_sring *)(void *)rig_front.ring[0];

    (void)state;
    assert_true(blkif_shutdown(&rig_front.bi));
    ring->req_prod = ring->rsp_prod = rig_front.prod[0] = rig_front.cons[0] = UINT32_MAX - 1;
    ring->rsp_event = UINT32_MAX;
    assert_int_equal(blkif_connect(&rig_front.bi, 0, BLKIF_ABI_64, rig_front.ring[0], 1), ST_OK);
    for (u32 i = 0; i < 4; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i, 1);
    }
    rig_serve();
    for (u32 i = 0; i < 4; i++) {
        rig_expect_answer(i, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    }
    assert_int_equal(rig_front.events[0], 1);
}

/* After a suspend the answers of before are there; requests put meanwhile are served. */
static void a_ring_is_taken_up_where_its_answers_end(void **state)
{
    (void)state;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    assert_true(blkif_shutdown(&rig_front.bi));
    blkfront_put(&rig_front, BLKIF_OP_READ, 2, 0, 0, 1);
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    rig_expect_no_answer();
    assert_int_equal(blkif_connect(&rig_front.bi, 0, BLKIF_ABI_64, rig_front.ring[0], 1), ST_OK);
    rig_serve();
    rig_expect_answer(2, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    rig_expect_no_answer();
}

static void a_ring_with_nonsense_in_it_is_not_connected(void **state)
{
    (void)state;
    assert_true(blkif_shutdown(&rig_front.bi));
    rig_front.prod[0] = rig_front.entries + 1;
    blkfront_push(&rig_front, 0);
    assert_int_equal(blkif_connect(&rig_front.bi, 0, BLKIF_ABI_64, rig_front.ring[0], 1), ST_GUEST);
    assert_int_equal(blkif_poll(&rig_front.bi, 64), 0);
}

/* [BLKIF] rsp_event, as RING_PUSH_RESPONSES_AND_CHECK_NOTIFY in xen/io/ring.h */
static void events_are_sent_when_asked_and_once_per_batch(void **state)
{
    struct blkif_sring *ring = (struct blkif_sring *)(void *)rig_front.ring[0];

    (void)state;
    ring->rsp_event = 3;
    for (u32 i = 0; i < 2; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i, 1);
    }
    rig_serve();
    assert_int_equal(rig_front.events[0], 0);
    for (u32 i = 0; i < 3; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i, 1);
    }
    rig_serve();
    assert_int_equal(rig_front.events[0], 1);
    ring->rsp_event = ring->rsp_prod; /* passed already */
    blkfront_put(&rig_front, BLKIF_OP_READ, 9, 0, 0, 1);
    rig_serve();
    assert_int_equal(rig_front.events[0], 1);
    ring->rsp_event = ring->rsp_prod + 1;
    blkfront_put(&rig_front, BLKIF_OP_READ, 9, 0, 0, 1);
    rig_serve();
    assert_int_equal(rig_front.events[0], 2);
}

static void arming_asks_for_the_next_request(void **state)
{
    struct blkif_sring *ring = (struct blkif_sring *)(void *)rig_front.ring[0];

    (void)state;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    rig_serve();
    assert_false(blkif_arm(&rig_front.bi));
    assert_int_equal(ring->req_event, 2);
    blkfront_put(&rig_front, BLKIF_OP_READ, 2, 0, 0, 1);
    blkfront_push(&rig_front, 0);
    assert_true(blkif_arm(&rig_front.bi));
}

static void several_rings_are_served_in_turn(void **state)
{
    struct blkif_sring *ring = (struct blkif_sring *)(void *)rig_front.ring[1];

    (void)state;
    assert_int_equal(blkif_connect(&rig_front.bi, 1, BLKIF_ABI_64, rig_front.ring[1], 1), ST_OK);
    ring->rsp_event = 1;
    for (u32 i = 0; i < 8; i++) {
        u8 *entry = blkfront_entry(&rig_front, 1);

        entry[0] = BLKIF_OP_FLUSH_DISKCACHE;
        blkfront_put(&rig_front, BLKIF_OP_FLUSH_DISKCACHE, i, 0, 0, 0);
    }
    blkfront_push(&rig_front, 0);
    blkfront_push(&rig_front, 1);
    for (u32 turn = 1; turn <= 4; turn++) {
        (void)blkif_poll(&rig_front.bi, 2);
        assert_int_equal(rig_front.bi.ring[0].req_cons, 2 * ((turn + 1) / 2));
        assert_int_equal(rig_front.bi.ring[1].req_cons, 2 * (turn / 2));
    }
    rig_serve();
    assert_int_equal(ring->rsp_prod, 8);
    assert_true(rig_front.events[1] > 0 && rig_front.events[0] > 0);
}

static void a_ring_of_four_pages_is_used_to_its_end(void **state)
{
    (void)state;
    rig_start_with(BLKIF_ABI_64, 4);
    assert_int_equal(rig_front.entries, 128);
    for (u32 i = 0; i < 300; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i % FRONT_PAGES, 1);
        rig_serve();
        rig_expect_answer(i, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

static void more_requests_than_slots_wait_in_their_ring(void **state)
{
    (void)state;
    rig_start_with(BLKIF_ABI_64, 2);
    rig_faulty.delay_turns = 2;
    for (u32 i = 0; i < 64; i++) {
        blkfront_put(&rig_front, BLKIF_OP_READ, i, 0, i % 8, 1);
    }
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    assert_int_equal(rig_front.pool.in_flight, REQUESTS_MAX);
    assert_true(rig_front.bi.no_slot > 0);
    rig_serve();
    for (u32 i = 0; i < 64; i++) {
        struct blkfront_answer answer;

        assert_true(blkfront_take(&rig_front, &answer));
        assert_int_equal(answer.status, BLKIF_RSP_OKAY);
    }
    rig_expect_no_answer();
}

static void no_room_to_map_is_waited_for(void **state)
{
    (void)state;
    rig_front.map_again = 3;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    blkfront_push(&rig_front, 0);
    for (u32 i = 0; i < 3; i++) {
        (void)blkif_poll(&rig_front.bi, 64);
        rig_expect_no_answer();
        assert_int_equal(rig_front.pool.in_flight, 0);
    }
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_OKAY);
    assert_int_equal(rig_front.bi.no_map, 3);
}

static void a_failing_medium_is_told(void **state)
{
    (void)state;
    rig_faulty.delay_turns = 1;
    rig_faulty.fail_every = 1;
    rig_faulty.fail = ST_IO;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    rig_serve();
    rig_expect_answer(1, BLKIF_OP_READ, BLKIF_RSP_ERROR);
    assert_int_equal(rig_front.bi.errors_medium, 1);
    assert_int_equal(rig_front.bi.errors_guest, 0);
}

static void nothing_is_written_after_the_end(void **state)
{
    u8 before[PAGE_BYTES];

    (void)state;
    rig_faulty.delay_turns = 5;
    blkfront_put(&rig_front, BLKIF_OP_READ, 1, 0, 0, 1);
    blkfront_put(&rig_front, BLKIF_OP_WRITE_BARRIER, 2, 0, 0, 1);
    blkfront_push(&rig_front, 0);
    (void)blkif_poll(&rig_front.bi, 64);
    rig_faulty.stall = true; /* the medium cannot let go at once */
    memcpy(before, rig_front.ring[0], PAGE_BYTES);
    assert_false(blkif_shutdown(&rig_front.bi));
    assert_true(EXPECT_PANIC(blkif_connect(&rig_front.bi, 0, BLKIF_ABI_64, rig_front.ring[0], 1)));
    rig_front.bi.ring[0].page = NULL;
    rig_faulty.stall = false;
    for (u32 i = 0; i < 16 && !blkif_shutdown(&rig_front.bi); i++) {
        bdev_poll(&rig_faulty.bdev);
    }
    assert_true(blkif_shutdown(&rig_front.bi));
    assert_memory_equal(before, rig_front.ring[0], PAGE_BYTES);
    assert_int_equal(rig_front.mapped, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_blkif_start, rig_blkif_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_is_written_and_read_back),
        TEST(an_indirect_request_moves_128_kib),
        TEST(parts_of_a_page_are_moved_as_asked),
        TEST(a_flush_reaches_the_medium),
        TEST(a_flush_with_data_flushes_before_it),
        TEST(a_barrier_waits_for_all_and_all_wait_for_it),
        TEST(a_failed_flush_fails_the_barrier_and_writes_nothing),
        TEST(a_discard_is_done_where_the_medium_can),
        TEST(wrong_requests_are_answered_and_the_next_is_served),
        TEST(segments_outside_of_their_page_are_refused),
        TEST(indirect_requests_that_are_wrong_are_refused),
        TEST(a_read_only_disk_is_not_written),
        TEST(whole_blocks_only_where_blocks_are_larger),
        TEST(a_ring_that_claims_too_much_is_broken_and_left_alone),
        TEST(a_ring_that_goes_back_is_broken),
        TEST(a_ring_that_overtakes_its_answers_is_broken),
        TEST(indices_run_over_the_end_of_their_numbers),
        TEST(a_ring_is_taken_up_where_its_answers_end),
        TEST(a_ring_with_nonsense_in_it_is_not_connected),
        TEST(events_are_sent_when_asked_and_once_per_batch),
        TEST(arming_asks_for_the_next_request),
        TEST(several_rings_are_served_in_turn),
        TEST(a_ring_of_four_pages_is_used_to_its_end),
        TEST(more_requests_than_slots_wait_in_their_ring),
        TEST(no_room_to_map_is_waited_for),
        TEST(a_failing_medium_is_told),
        TEST(nothing_is_written_after_the_end),
    };

    return cmocka_run_group_tests_name("blkif", tests, NULL, NULL);
}
