/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk_life.c - a block device over time: polling, budgets, pools, interrupts, resets.
 *
 * [VIRTIO x] names the sentence a test proves. After every refusal the device must serve a good
 * request, and bench_done() proves that no slot and no pin leaked.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

static void many_requests_with_a_slow_and_disorderly_medium(void **state)
{
    struct driver_blk blk[20];
    u16 head[20];

    (void)state;
    b.faulty.delay_turns = 3;
    b.faulty.reorder = true;
    for (u32 round = 0; round < 50; round++) {
        u32 id, written, seen = 0;

        b.drv.free = ARENA_BASE + KIB(128);
        for (u32 i = 0; i < ARRAY_LEN(blk); i++) {
            driver_blk_make(&b.drv, &blk[i], VIRTIO_BLK_T_IN, round * 20 + i, 512);
            head[i] = driver_blk_offer(&b.drv, &blk[i], true);
        }
        for (u32 i = 0; i < ARRAY_LEN(blk); i++) {
            assert_true(bench_wait(&b, &id, &written));
            for (u32 k = 0; k < ARRAY_LEN(blk); k++) {
                if (head[k] == id) {
                    assert_false(seen >> k & 1); /* exactly once */
                    seen |= BIT32(k);
                    assert_int_equal(driver_blk_status(&b.drv, &blk[k]), VIRTIO_BLK_S_OK);
                    expect_data(&blk[k], round * 20 + k);
                }
            }
        }
        assert_int_equal(seen, BIT32(20) - 1);
    }
}

static void an_empty_pool_is_backpressure(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.size = 256});
    b.faulty.stall = true;
    for (u32 i = 0; i < REQUESTS_MAX + 10; i++) {
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, i, 512);
        driver_blk_offer(&b.drv, &blk, true);
    }
    for (u32 i = 0; i < 10; i++) {
        vblk_poll(&b.vb, 100);
    }
    assert_int_equal(b.pool.in_flight, REQUESTS_MAX);
    assert_true(b.vb.no_slot > 0);
    assert_int_equal(driver_used_idx(&b.drv), 0);
    b.faulty.stall = false;
    for (u32 i = 0; i < REQUESTS_MAX + 10; i++) {
        assert_true(bench_wait(&b, &id, &written));
        assert_int_equal(written, 513);
    }
}

/* When a chain cannot be mapped with nothing in flight it never can: it goes back, the ring goes
 * on. */
static void a_chain_that_never_fits_the_windows_is_returned(void **state)
{
    struct driver_blk blk;
    u32 written;
    struct driver_piece piece[] = {
        {0, 16, false},
        {ARENA_BASE + MIB(1), 512, true},
        {ARENA_BASE + MIB(2), 512, true},
        {ARENA_BASE + MIB(3), 512, true},
        {0, 1, true},
    };

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 0);
    piece[0].addr = blk.header;
    piece[4].addr = blk.status;
    gmem_forget(&b.arena.gm);
    b.arena.pinned_max = 3;
    assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 5), &blk, &written), 0xff);
    assert_int_equal(written, 0);
    assert_true(b.vb.no_window > 0);
    b.arena.pinned_max = 4;
    assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 5), &blk, NULL),
                     VIRTIO_BLK_S_OK);
    b.arena.pinned_max = 0;
}

static void a_chain_that_waits_for_a_window_gets_it(void **state)
{
    struct driver_blk first, second;
    u32 id, written;

    (void)state;
    driver_blk_make(&b.drv, &first, VIRTIO_BLK_T_IN, 1, 512);
    driver_blk_make(&b.drv, &second, VIRTIO_BLK_T_IN, 2, 512);
    first.data = ARENA_BASE + MIB(1);
    second.data = ARENA_BASE + MIB(2);
    b.faulty.stall = true;
    b.arena.pinned_max = 2;
    gmem_forget(&b.arena.gm);
    driver_blk_offer(&b.drv, &first, true);
    driver_blk_offer(&b.drv, &second, true);
    for (u32 i = 0; i < 5; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(b.pool.in_flight, 1);
    b.faulty.stall = false;
    assert_true(bench_wait(&b, &id, &written));
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &first), VIRTIO_BLK_S_OK);
    assert_int_equal(driver_blk_status(&b.drv, &second), VIRTIO_BLK_S_OK);
    expect_data(&second, 2);
    b.arena.pinned_max = 0;
}

/* a turn does what its budget says, however much waits. */
static void a_turn_is_bounded_by_its_budget(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    for (u32 i = 0; i < 21; i++) {
        driver_blk_offer(&b.drv, &blk, true);
    }
    b.vb.bdev = &b.ram.bdev;
    for (u32 turn = 1; turn <= 5; turn++) {
        assert_int_equal(vblk_poll(&b.vb, 4), 4);
        assert_int_equal(driver_used_idx(&b.drv), 4 * turn);
    }
    assert_int_equal(vblk_poll(&b.vb, 0), 0);
    assert_int_equal(vblk_poll(&b.vb, 4), 1);
}

/* a budget is data too. */
static void a_long_request_costs_its_bytes(void **state)
{
    struct driver_blk blk;

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, KIB(256));
    driver_blk_offer(&b.drv, &blk, true);
    assert_int_equal(vblk_poll(&b.vb, 1), 1 + KIB(256) / VBLK_UNIT_BYTES);
}

/* Kicks are off while we poll, and asked for again before we sleep without losing one. */
static void kicks_are_suppressed_while_polling(void **state)
{
    struct driver_blk blk;
    u32 id, written, kicks = 0;

    (void)state;
    for (u32 mode = 0; mode < 2; mode++) { /* EVENT_IDX, then the flag */
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
        assert_true(driver_offer(&b.drv, driver_chain(&b.drv,
                                                      (struct driver_piece[]){
                                                          {blk.header, 16, false},
                                                          {blk.data, 512, true},
                                                          {blk.status, 1, true},
                                                      },
                                                      3))); /* as the driver zeroed it: kick */
        assert_true(bench_wait(&b, &id, &written));
        for (u32 i = 0; i < 70000; i++) {
            b.drv.desc_next = 0;
            driver_chain(&b.drv,
                         (struct driver_piece[]){
                             {blk.header, 16, false}, {blk.data, 0, true}, {blk.status, 1, true}},
                         3);
            kicks += driver_offer(&b.drv, 0);
            assert_true(bench_wait(&b, &id, &written));
        }
        assert_int_equal(kicks, 0);
        assert_false(vblk_arm(&b.vb));
        assert_true(driver_offer(&b.drv, 0)); /* armed: the next one kicks */
        assert_true(vblk_arm(&b.vb));         /* and is seen */
        vblk_disarm(&b.vb);
        assert_false(driver_offer(&b.drv, 0));
        driver_start(&b.drv, ~BIT64(VIRTIO_F_EVENT_IDX), 64);
        b.drv.free = ARENA_BASE + KIB(128);
    }
}

/* D-2.4.1-02, L-03: after Status reads 0 nothing is written to the guest any more. */
static void a_reset_with_requests_in_flight_leaves_the_guest_alone(void **state)
{
    struct driver_blk blk[8];

    (void)state;
    for (u32 stall = 0; stall < 2; stall++) {
        static u8 before[MIB(1)], after[MIB(1)];
        u16 used = driver_used_idx(&b.drv);

        b.drv.free = ARENA_BASE + KIB(128);
        b.faulty.delay_turns = 5;
        for (u32 i = 0; i < ARRAY_LEN(blk); i++) {
            driver_blk_make(&b.drv, &blk[i], VIRTIO_BLK_T_IN, i, 512);
            driver_blk_offer(&b.drv, &blk[i], true);
        }
        vblk_poll(&b.vb, 64);
        assert_int_equal(b.pool.in_flight, 8);
        b.faulty.stall = stall == 1;
        driver_set(&b.drv, REG_STATUS, 0);
        if (stall) { /* the medium cannot let go: the reset is not over */
            assert_int_not_equal(driver_get(&b.drv, REG_STATUS), 0);
            driver_set(&b.drv, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
            driver_set(&b.drv, REG_STATUS, 0);
            assert_int_not_equal(driver_get(&b.drv, REG_STATUS), 0);
            assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
            b.faulty.stall = false;
            for (u32 i = 0; i < 20; i++) {
                vblk_poll(&b.vb, 64);
            }
        }
        assert_int_equal(driver_get(&b.drv, REG_STATUS), 0);
        assert_int_equal(b.pool.in_flight, 0);
        assert_int_equal(arena_pinned(&b.arena), 0);
        arena_read(&b.arena, ARENA_BASE, before, sizeof(before));
        for (u32 i = 0; i < 50; i++) {
            vblk_poll(&b.vb, 64);
        }
        arena_read(&b.arena, ARENA_BASE, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
        assert_int_equal(driver_used_idx(&b.drv), used);
        b.faulty.delay_turns = 0;
        driver_start(&b.drv, UINT64_MAX, 64);
        assert_true(bench_serves(&b));
    }
}

/* L-03 on the ramdisk itself: a long read stops between two slices. */
static void a_reset_ends_a_long_ramdisk_read_at_once(void **state)
{
    struct driver_blk blk;
    static u8 before[KIB(512)], after[KIB(512)];

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, sizeof(before));
    driver_blk_offer(&b.drv, &blk, true);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.pool.in_flight, 1);
    driver_set(&b.drv, REG_STATUS, 0);
    assert_int_equal(driver_get(&b.drv, REG_STATUS), 0);
    arena_read(&b.arena, blk.data, before, sizeof(before));
    for (u32 i = 0; i < 10; i++) {
        vblk_poll(&b.vb, 64);
        bdev_poll(&b.ram.bdev);
    }
    arena_read(&b.arena, blk.data, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
}

/* L-06: one queue is stopped with requests in flight. */
static void a_queue_stopped_with_requests_in_flight_stays_silent(void **state)
{
    struct driver_blk blk;

    (void)state;
    b.faulty.delay_turns = 5;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    driver_blk_offer(&b.drv, &blk, true);
    vblk_poll(&b.vb, 64);
    driver_set(&b.drv, REG_QUEUE_READY, 0);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
    for (u32 i = 0; i < 20; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(driver_used_idx(&b.drv), 0);
    assert_int_equal(driver_blk_status(&b.drv, &blk), 0xff);
    assert_int_equal(b.pool.in_flight, 0);
}

/* L-05 */
static void a_reset_storm_leaks_nothing(void **state)
{
    (void)state;
    for (u32 i = 0; i < 3000; i++) {
        struct driver_blk blk;

        b.drv.free = ARENA_BASE + KIB(128);
        b.faulty.delay_turns = i % 3;
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
        driver_blk_offer(&b.drv, &blk, false);
        vblk_poll(&b.vb, i % 5);
        driver_start(&b.drv, UINT64_MAX, 1u << i % 8);
    }
    assert_int_equal(b.pool.in_flight, 0);
    assert_int_equal(b.vb.vdev.resets, 3001);
}

/* D-2.1.2-01, M-10, L-04: nothing is consumed before DRIVER_OK, after FAILED, after a reset. */
static void the_ring_is_looked_at_only_while_the_device_is_live(void **state)
{
    struct driver_blk blk;

    (void)state;
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    assert_true(driver_queue(&b.drv, 64));
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
    driver_blk_offer(&b.drv, &blk, false);
    driver_kick(&b.drv);
    assert_int_equal(vblk_poll(&b.vb, 64), 0);
    assert_false(vblk_arm(&b.vb)); /* nothing we would serve: no reason to stay awake */
    assert_int_equal(b.vb.vdev.kicks, 0);
    driver_set(&b.drv, REG_STATUS, 0xf);
    assert_true(vblk_poll(&b.vb, 64) > 0);
    assert_int_equal(b.vb.writes, 1);
    driver_set(&b.drv, REG_STATUS, 0x8f);
    driver_blk_offer(&b.drv, &blk, false);
    driver_kick(&b.drv);
    for (u32 i = 0; i < 5; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(b.vb.writes, 1);
    driver_set(&b.drv, REG_STATUS, 0);
    driver_blk_offer(&b.drv, &blk, false);
    assert_int_equal(vblk_poll(&b.vb, 64), 0);
    assert_int_equal(b.vb.writes, 1);
}

/* [VIRTIO 2.7.7.2]: one interrupt for a batch, none that was not asked for. */
static void interrupts_come_once_per_batch(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    for (u32 i = 0; i < 10; i++) {
        driver_blk_offer(&b.drv, &blk, true);
    }
    driver_used_event(&b.drv, 3);
    vblk_poll(&b.vb, 64);
    assert_int_equal(driver_used_idx(&b.drv), 10);
    assert_int_equal(b.drv.irqs, 1);
    while (driver_take(&b.drv, &id, &written)) {
    }
    driver_used_event(&b.drv, 20); /* not reached: silence */
    for (u32 i = 0; i < 5; i++) {
        driver_blk_offer(&b.drv, &blk, true);
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(b.drv.irqs, 1);
    assert_int_equal(b.vb.vdev.interrupts, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(many_requests_with_a_slow_and_disorderly_medium),
        VBLK_TEST(an_empty_pool_is_backpressure),
        VBLK_TEST(a_chain_that_never_fits_the_windows_is_returned),
        VBLK_TEST(a_chain_that_waits_for_a_window_gets_it),
        VBLK_TEST(a_turn_is_bounded_by_its_budget),
        VBLK_TEST(a_long_request_costs_its_bytes),
        VBLK_TEST(a_reset_with_requests_in_flight_leaves_the_guest_alone),
        VBLK_TEST(a_reset_ends_a_long_ramdisk_read_at_once),
        VBLK_TEST(a_queue_stopped_with_requests_in_flight_stays_silent),
        VBLK_TEST(a_reset_storm_leaks_nothing),
        VBLK_TEST(the_ring_is_looked_at_only_while_the_device_is_live),
    };

    const struct CMUnitTest of_split_rings[] = {
        /* by index; packed rings: test_virtq_packed.c */
        VBLK_TEST(kicks_are_suppressed_while_polling),
        VBLK_TEST(interrupts_come_once_per_batch),
    };

    return cmocka_run_group_tests(of_split_rings, NULL, NULL) + BENCH_RUN_LAYOUTS(tests);
}
