/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ventropy.c - random bytes for a guest, so many per second. [VIRTIO 5.4] */
#include "virtio/ventropy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"

#define SECOND UINT64_C(1000000000)

static struct arena arena;
static struct driver drv;
static struct vmmio mmio;
static struct ventropy ve;
static struct vq_chain chain;
static u64 filled; /* bytes the source gave */

/** A source whose bytes can be told from each other: 1, 2, .. 251, 1, .. */
static void source(void *to, usize bytes)
{
    for (usize i = 0; i < bytes; i++) {
        ((u8 *)to)[i] = (u8)(1 + filled++ % 251);
    }
}

static int fresh(void **state)
{
    (void)state;
    filled = 0;
    port_host_now_ns = SECOND;
    arena_init(&arena, 4, KIB(256));
    ventropy_init(&ve, &(struct ventropy_init){
                           .gm = &arena.gm,
                           .chain = &chain,
                           .name = "entropy",
                           .fill = source,
                       });
    vmmio_init(&mmio, &ve.vdev, driver_irq, &drv);
    driver_init(&drv, &arena, &mmio);
    driver_start(&drv, UINT64_MAX, 64);
    return 0;
}

static int done(void **state)
{
    (void)state;
    assert_true(vdev_shutdown(&ve.vdev));
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

static u64 offer(u32 bytes, bool write)
{
    u64 addr = driver_alloc(&drv, bytes, 1);
    const struct driver_piece piece = {addr, bytes, write};

    driver_offer(&drv, driver_chain(&drv, &piece, 1));
    return addr;
}

static u32 poll(void)
{
    return vdev_idle(&ve.vdev) && !vdev_due(&ve.vdev) ? 0 : ve.vdev.ops->poll(&ve.vdev, 64);
}

/** The length of the next used element; UINT32_MAX when there is none. */
static u32 taken(void)
{
    u32 id, written;

    return driver_take(&drv, &id, &written) ? written : UINT32_MAX;
}

static void it_is_an_entropy_device_with_one_queue(void **state)
{
    (void)state;
    assert_int_equal(driver_get(&drv, REG_DEVICE_ID), VIRTIO_ID_ENTROPY);
    assert_int_equal(driver_get(&drv, REG_CONFIG), 0);
    driver_set(&drv, REG_QUEUE_SEL, 1);
    assert_int_equal(driver_get(&drv, REG_QUEUE_SIZE_MAX), 0);
    assert_int_equal(poll(), 0);
}

/* D-5.4.6.2-01: the device MUST place one or more random bytes into the buffer. */
static void a_buffer_comes_back_full_of_the_sources_bytes(void **state)
{
    u8 got[80];
    u64 addr;

    (void)state;
    addr = offer(sizeof(got), true);
    assert_int_equal(poll(), 1);
    assert_int_equal(taken(), sizeof(got));
    arena_read(&arena, addr, got, sizeof(got));
    for (u32 i = 0; i < sizeof(got); i++) {
        assert_int_equal(got[i], 1 + i);
    }
    assert_int_equal(drv.irqs, 1);
    assert_int_equal(poll(), 0);
}

static void a_buffer_in_pieces_is_filled_in_order(void **state)
{
    struct driver_piece piece[5];
    u8 got;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        piece[i] = (struct driver_piece){driver_alloc(&drv, 1, 32), 1, true};
    }
    driver_offer(&drv, driver_chain_indirect(&drv, piece, ARRAY_LEN(piece)));
    poll();
    assert_int_equal(taken(), ARRAY_LEN(piece));
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        arena_read(&arena, piece[i].addr, &got, 1);
        assert_int_equal(got, 1 + i);
    }
}

/* The used length tells how many bytes are random: what lies behind is not touched. */
static void a_large_buffer_gets_what_the_rate_allows(void **state)
{
    u64 addr;
    u8 got;

    (void)state;
    addr = offer(VENTROPY_BURST + 100, true);
    poll();
    assert_int_equal(taken(), VENTROPY_BURST);
    arena_read(&arena, addr + VENTROPY_BURST, &got, 1);
    assert_int_equal(got, 0);
    assert_int_equal(filled, VENTROPY_BURST);
}

static void a_greedy_guest_waits_and_does_not_keep_the_loop_awake(void **state)
{
    (void)state;
    offer(VENTROPY_BURST, true);
    offer(200, true);
    assert_true(poll() > 0);
    assert_int_equal(taken(), VENTROPY_BURST);
    assert_int_equal(taken(), UINT32_MAX);
    /* It rests: no work, no reason to stay awake, but a time to wake up. */
    assert_true(vdev_idle(&ve.vdev));
    assert_false(vdev_arm(&ve.vdev));
    assert_int_equal(poll(), 0);
    assert_true(ve.vdev.wake_ns > port_host_now_ns);
    assert_true(ve.vdev.wake_ns - port_host_now_ns <= SECOND / 500);
    port_host_now_ns = ve.vdev.wake_ns;
    assert_true(poll() > 0);
    assert_int_equal(taken(), VENTROPY_MIN);
    assert_int_equal(ve.rests, 2);
}

static void in_the_long_run_the_rate_holds(void **state)
{
    u64 end = port_host_now_ns + 10 * SECOND;
    u64 sum = 0;

    (void)state;
    while (port_host_now_ns < end) {
        drv.free = ARENA_BASE + KIB(256); /* the ring lies below */
        offer(1000, true);
        while (drv.used_idx != drv.avail_idx && port_host_now_ns < end) {
            poll();
            sum += drv.used_idx != driver_used_idx(&drv) ? taken() : 0;
            port_host_now_ns += 100000;
        }
    }
    /* A token's time is a whole number of ns, so they come a little faster. */
    assert_in_range(sum, 10 * VENTROPY_PER_SECOND, 10 * (VENTROPY_PER_SECOND + 4) + VENTROPY_BURST);
}

/* A turn has an end, however many buffers there are. */
static void a_turn_keeps_to_its_budget(void **state)
{
    (void)state;
    for (u32 i = 0; i < 20; i++) {
        offer(16, true);
    }
    assert_int_equal(ve.vdev.ops->poll(&ve.vdev, 5), 5);
    assert_int_equal(driver_used_idx(&drv), 5);
    assert_int_equal(ve.vdev.ops->poll(&ve.vdev, 64), 15);
}

/* G-5.4.6.1-01: the driver MUST NOT place device-readable buffers into the queue. */
static void a_buffer_we_cannot_write_is_given_back_and_counted(void **state)
{
    const struct driver_piece mixed[] = {{ARENA_BASE + KIB(512), 8, false},
                                         {ARENA_BASE + KIB(512), 8, true}};

    (void)state;
    offer(16, false);
    driver_offer(&drv, driver_chain(&drv, mixed, 2));
    driver_offer(&drv, driver_chain(&drv, &(struct driver_piece){0x1000, 16, true}, 1));
    poll();
    for (u32 i = 0; i < 3; i++) {
        assert_int_equal(taken(), 0);
    }
    assert_int_equal(ve.vdev.queue[0].vq.dropped, 3);
    assert_int_equal(filled, 0);
    offer(16, true); /* and it serves on */
    poll();
    assert_int_equal(taken(), 16);
}

/* [VIRTIO 2.7.8.2]: the used length counts up to the first byte that is not ours to write. */
static void a_hole_in_a_buffer_ends_what_is_filled(void **state)
{
    u64 addr = driver_alloc(&drv, 32, 1);
    const struct driver_piece piece[] = {
        {addr, 16, true}, {0x1000, 16, true}, {addr + 16, 16, true}};
    u8 got;

    (void)state;
    driver_offer(&drv, driver_chain(&drv, piece, ARRAY_LEN(piece)));
    poll();
    assert_int_equal(taken(), 16);
    arena_read(&arena, addr + 16, &got, 1);
    assert_int_equal(got, 0);
}

static void a_broken_ring_makes_it_ask_for_a_reset(void **state)
{
    (void)state;
    arena_put16(&arena, drv.avail + 2, 1000); /* more than the ring holds */
    poll();
    assert_true(driver_get(&drv, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(poll(), 0);
    assert_false(vdev_arm(&ve.vdev));
    drv.desc = drv.avail = drv.used = 0;
    driver_start(&drv, UINT64_MAX, 64);
    offer(16, true);
    poll();
    assert_int_equal(taken(), 16);
}

/* Memory that cannot be mapped now is tried again, without a spin in between. */
static void a_buffer_without_a_window_waits(void **state)
{
    u64 addr;

    (void)state;
    arena.pinned_max = 1; /* the ring's own window */
    addr = ARENA_BASE + KIB(768);
    driver_offer(&drv, driver_chain(&drv, &(struct driver_piece){addr, 16, true}, 1));
    assert_int_equal(poll(), 0);
    assert_int_equal(taken(), UINT32_MAX);
    assert_true(vdev_idle(&ve.vdev));
    arena.pinned_max = 0;
    assert_int_equal(ve.vdev.wake_ns, port_host_now_ns + VDEV_RETRY_NS);
    port_host_now_ns += VDEV_RETRY_NS;
    assert_int_equal(poll(), 1);
    assert_int_equal(taken(), 16);
}

static void a_reset_ends_a_rest(void **state)
{
    (void)state;
    offer(VENTROPY_BURST, true);
    offer(16, true);
    poll();
    assert_true(ve.vdev.wake_ns != 0);
    driver_set(&drv, REG_STATUS, 0);
    assert_true(ve.vdev.wake_ns == 0 && !ve.vdev.queue[0].resting);
    assert_int_equal(driver_get(&drv, REG_STATUS), 0);
}

/* A chain that loops is given back; a driver that sends only such is asked for a reset. */
static void malformed_chains_are_given_back_and_counted(void **state)
{
    (void)state;
    driver_desc(&drv, 5, ARENA_BASE, 8, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 5);
    driver_offer(&drv, 5);
    assert_int_equal(poll(), 1);
    assert_int_equal(taken(), 0);
    for (u32 i = 0; i < VQ_COMPLAINTS_MAX; i++) {
        driver_offer(&drv, 5);
    }
    (void)poll();
    assert_true(driver_get(&drv, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(filled, 0);
}

static void it_reports_what_it_gave(void **state)
{
    (void)state;
    said_reset();
    offer(64, true);
    (void)poll();
    ve.vdev.ops->report(&ve.vdev);
    assert_true(said("stats device entropy: bytes=64 rests=0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_an_entropy_device_with_one_queue),
        TEST(a_buffer_comes_back_full_of_the_sources_bytes),
        TEST(a_buffer_in_pieces_is_filled_in_order),
        TEST(a_large_buffer_gets_what_the_rate_allows),
        TEST(a_greedy_guest_waits_and_does_not_keep_the_loop_awake),
        TEST(in_the_long_run_the_rate_holds),
        TEST(a_turn_keeps_to_its_budget),
        TEST(a_buffer_we_cannot_write_is_given_back_and_counted),
        TEST(a_hole_in_a_buffer_ends_what_is_filled),
        TEST(a_broken_ring_makes_it_ask_for_a_reset),
        TEST(a_buffer_without_a_window_waits),
        TEST(a_reset_ends_a_rest),
        TEST(malformed_chains_are_given_back_and_counted),
        TEST(it_reports_what_it_gave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
