/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vmmio.c - the register file, against every access a guest can make. [VIRTIO 4.2]
 *
 * M-xx are the cases of the hostile driver. The device behind the registers is a whole vblk.
 */
#include "virtio/vmmio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/bench.h"

static struct bench b;

static int fresh(void **state)
{
    (void)state;
    bench_init(&b, &(struct bench_setup){0});
    return 0;
}

static int done(void **state)
{
    (void)state;
    bench_done(&b);
    return 0;
}

static u64 get(u32 offset, u8 bytes)
{
    u64 data = UINT64_C(0xdeadbeefdeadbeef);

    vmmio_access(&b.mmio, offset, bytes, false, &data);
    return data;
}

static void set(u32 offset, u8 bytes, u64 value)
{
    vmmio_access(&b.mmio, offset, bytes, true, &value);
}

/* D-4.2.2.1-01, -02 */
static void the_identity_registers_are_constant(void **state)
{
    (void)state;
    for (u32 i = 0; i < 2; i++) {
        assert_int_equal(driver_get(&b.drv, REG_MAGIC), 0x74726976);
        assert_int_equal(driver_get(&b.drv, REG_VERSION), 2);
        assert_int_equal(driver_get(&b.drv, REG_DEVICE_ID), 2);
        assert_int_not_equal(driver_get(&b.drv, REG_VENDOR_ID), 0);
        for (u32 reg = REG_MAGIC; reg <= REG_VENDOR_ID; reg += 4) { /* G-4.2.2.2-01, M-04 */
            driver_set(&b.drv, reg, 0xffffffff);
        }
    }
}

/* M-01, G-4.2.2.2-02: anything but an aligned 32-bit access reads as zero and writes nothing. */
static void control_registers_take_aligned_words_only(void **state)
{
    static struct vdev before;
    static const u8 widths[] = {0, 1, 2, 3, 8, 16, 255};

    (void)state;
    before = b.vb.vdev;
    for (u32 offset = 0; offset < REG_CONFIG; offset++) {
        for (u32 i = 0; i < ARRAY_LEN(widths); i++) {
            assert_true(get(offset, widths[i]) == 0);
            set(offset, widths[i], UINT64_MAX);
            set(offset, widths[i], 0);
        }
        if (offset % 4 != 0) {
            assert_true(get(offset, 4) == 0);
            set(offset, 4, 0);
        }
    }
    assert_memory_equal(&before, &b.vb.vdev, sizeof(before));
    assert_true(bench_serves(&b));
}

/* M-04, M-15, G-4.2.2.2-01: write-only, legacy and undefined registers read as zero. */
static void what_cannot_be_read_reads_as_zero(void **state)
{
    static const u32 readable[] = {REG_MAGIC,        REG_VERSION,          REG_DEVICE_ID,
                                   REG_VENDOR_ID,    REG_DEVICE_FEATURES,  REG_QUEUE_SIZE_MAX,
                                   REG_QUEUE_READY,  REG_INTERRUPT_STATUS, REG_STATUS,
                                   REG_SHM_LEN,      REG_SHM_LEN + 4,      REG_SHM_BASE,
                                   REG_SHM_BASE + 4, REG_CONFIG_GENERATION};

    (void)state;
    for (u32 offset = 0; offset < REG_CONFIG; offset += 4) {
        bool known = false;

        for (u32 i = 0; i < ARRAY_LEN(readable); i++) {
            known |= offset == readable[i];
        }
        if (!known) {
            assert_int_equal(get(offset, 4), 0);
        }
    }
}

/* M-15: the legacy registers do nothing. */
static void legacy_registers_are_dead(void **state)
{
    static const u32 legacy[] = {0x28, 0x3c, 0x40};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(legacy); i++) {
        driver_set(&b.drv, legacy[i], 0x1000);
        assert_int_equal(driver_get(&b.drv, legacy[i]), 0);
    }
    assert_true(bench_serves(&b));
}

/* G-4.2.3.1.1-03, M-13, D-2.10.2-01 */
static void there_is_no_shared_memory(void **state)
{
    static const u32 ids[] = {0, 1, 255, UINT32_MAX};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(ids); i++) {
        driver_set(&b.drv, REG_SHM_SEL, ids[i]);
        for (u32 reg = REG_SHM_LEN; reg <= REG_SHM_BASE + 4; reg += 4) {
            assert_int_equal(driver_get(&b.drv, reg), UINT32_MAX);
        }
    }
}

/* M-06, L-12, D-2.2.2-03 */
static void feature_words_beyond_the_second_are_empty(void **state)
{
    static const u32 words[] = {2, 3, 4, 0x80000000, UINT32_MAX};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(words); i++) {
        driver_set(&b.drv, REG_DEVICE_FEATURES_SEL, words[i]);
        assert_int_equal(driver_get(&b.drv, REG_DEVICE_FEATURES), 0);
    }
    driver_set(&b.drv, REG_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(driver_get(&b.drv, REG_DEVICE_FEATURES), 1 | 1 << (38 - 32) | 1 << (40 - 32));
}

/* M-07, M-14 */
static void queues_that_do_not_exist_are_empty(void **state)
{
    static const u32 queues[] = {1, 2, VQ_PER_DEVICE, 0x10000, 0x80000000, UINT32_MAX};

    (void)state;
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_SIZE_MAX), VBLK_QUEUE_SIZE);
    for (u32 i = 0; i < ARRAY_LEN(queues); i++) {
        driver_set(&b.drv, REG_QUEUE_SEL, queues[i]);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_SIZE_MAX), 0);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
        driver_set(&b.drv, REG_QUEUE_SIZE, 8);
        driver_set(&b.drv, REG_QUEUE_READY, 1);
        driver_set(&b.drv, REG_QUEUE_READY, 0);
        for (u32 reg = REG_QUEUE_DESC; reg <= REG_QUEUE_DEVICE + 4; reg += 4) {
            driver_set(&b.drv, reg, UINT32_MAX);
        }
    }
    assert_true(bench_serves(&b));
}

/** Reset, FEATURES_OK, a good ring programmed but not ready. */
static void programmed(void)
{
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    assert_true(driver_queue(&b.drv, 64));
    driver_set(&b.drv, REG_QUEUE_READY, 0);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
}

/* M-08, G-4.2.2.2-09: no size is truncated into a good one. */
static void a_queue_of_a_bad_size_does_not_become_ready(void **state)
{
    static const u32 bad[] = {0,    3,       96,         257,        512,
                              1024, 0x10040, 0x40000040, 0x80000000, UINT32_MAX};

    (void)state;
    programmed();
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        driver_set(&b.drv, REG_QUEUE_SIZE, bad[i]);
        driver_set(&b.drv, REG_QUEUE_READY, 1);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
    }
    for (u32 size = 1; size <= VBLK_QUEUE_SIZE; size *= 2) {
        driver_set(&b.drv, REG_QUEUE_SIZE, size);
        driver_set(&b.drv, REG_QUEUE_READY, 1);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
        driver_set(&b.drv, REG_QUEUE_READY, 0);
    }
}

/* M-09 */
static void only_one_makes_a_queue_ready(void **state)
{
    static const u32 bad[] = {2, 3, 0xff, 0x100, 0x80000000, 0x80000001, UINT32_MAX};

    (void)state;
    programmed();
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        driver_set(&b.drv, REG_QUEUE_READY, bad[i]);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
    }
    driver_set(&b.drv, REG_QUEUE_READY, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) { /* and only 0 ends it */
        driver_set(&b.drv, REG_QUEUE_READY, bad[i]);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
    }
}

/* M-09: no address was ever written. */
static void a_queue_without_addresses_does_not_become_ready(void **state)
{
    (void)state;
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    driver_set(&b.drv, REG_QUEUE_SEL, 0);
    driver_set(&b.drv, REG_QUEUE_SIZE, 8);
    driver_set(&b.drv, REG_QUEUE_READY, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
}

static void queue_addresses_have_64_bits(void **state)
{
    const struct virtq_setup *setup = &b.vb.vdev.queue[0].setup;

    (void)state;
    programmed();
    driver_set(&b.drv, REG_QUEUE_DESC, 0x11111111);
    driver_set(&b.drv, REG_QUEUE_DESC + 4, 0x22222222);
    driver_set(&b.drv, REG_QUEUE_DRIVER + 4, 0x44444444);
    driver_set(&b.drv, REG_QUEUE_DRIVER, 0x33333333);
    driver_set(&b.drv, REG_QUEUE_DEVICE, 0xfffffff0);
    driver_set(&b.drv, REG_QUEUE_DEVICE + 4, 0xffffffff);
    assert_true(setup->desc == UINT64_C(0x2222222211111111));
    assert_true(setup->avail == UINT64_C(0x4444444433333333));
    assert_true(setup->used == UINT64_C(0xfffffffffffffff0));
    driver_set(&b.drv, REG_QUEUE_READY, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
}

/* L-07, G-4.2.2.2-10: queue registers are frozen before FEATURES_OK, while ready, and once live. */
static void queue_registers_are_frozen_when_they_must_be(void **state)
{
    static struct virtq_setup before;

    (void)state;
    for (u32 when = 0; when < 3; when++) {
        if (when == 0) {
            driver_set(&b.drv, REG_STATUS, 0);
            driver_set(&b.drv, REG_STATUS, 3);
        } else {
            assert_true(driver_negotiate(&b.drv, UINT64_MAX));
            assert_true(driver_queue(&b.drv, 64));
        }
        if (when == 2) {
            driver_set(&b.drv, REG_STATUS, 0xf);
        }
        before = b.vb.vdev.queue[0].setup;
        driver_set(&b.drv, REG_QUEUE_SEL, 0);
        driver_set(&b.drv, REG_QUEUE_SIZE, 8);
        for (u32 reg = REG_QUEUE_DESC; reg <= REG_QUEUE_DEVICE + 4; reg += 4) {
            driver_set(&b.drv, reg, 0x1000);
        }
        assert_memory_equal(&before, &b.vb.vdev.queue[0].setup, sizeof(before));
        if (when == 0) {
            driver_set(&b.drv, REG_QUEUE_READY, 1);
            assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
        }
    }
    assert_true(bench_serves(&b));
    /* L-08: stopped while live, it is not started again before a reset */
    driver_set(&b.drv, REG_QUEUE_READY, 0);
    driver_set(&b.drv, REG_QUEUE_READY, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
}

/* M-10, D-2.7.10.2-03: kicks of any kind, at any time, harm nobody. */
static void a_kick_is_only_a_hint(void **state)
{
    static const u32 values[] = {0, 1, 0xffff, 0x10000, 0x80000000, UINT32_MAX};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(values); i++) {
        driver_set(&b.drv, REG_QUEUE_NOTIFY, values[i]);
        assert_int_equal(vblk_poll(&b.vb, 64), 0);
    }
    assert_int_equal(b.vb.vdev.kicks, 3); /* 16 bits name the queue, the others how far it is */
    for (u32 i = 0; i < 1000000; i++) {
        driver_kick(&b.drv);
    }
    assert_int_equal(b.vb.vdev.kicks, 1000003);
    assert_true(bench_serves(&b));
}

/* [VIRTIO 4.2.2] without NOTIFICATION_DATA all 32 bits are the queue's number. */
static void without_notification_data_a_kick_is_a_number(void **state)
{
    static const u32 values[] = {0, 1, 0xffff, 0x10000, 0x80000000, UINT32_MAX};

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.features = BIT64(VIRTIO_F_VERSION_1)});
    for (u32 i = 0; i < ARRAY_LEN(values); i++) {
        driver_set(&b.drv, REG_QUEUE_NOTIFY, values[i]);
    }
    assert_int_equal(b.vb.vdev.kicks, 1);
}

/* G-2.8.16-03: the position in a kick for a packed ring may be any: it is not looked at. The ring
 * itself may have any size up to the one offered. */
static void a_packed_queue_of_any_size_is_kicked_with_any_position(void **state)
{
    static const u32 positions[] = {0, 1, 0x7fff, 0x8000, 0xffff};
    static const u32 sizes[] = {3, 7, 100, 255, 256};

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.rings = BIT64(VIRTIO_F_RING_PACKED)});
    for (u32 s = 0; s < ARRAY_LEN(sizes); s++) {
        b.drv.desc = b.drv.avail = b.drv.used = 0;
        bench_start(&b, UINT64_MAX, sizes[s]);
        assert_true(b.drv.packed);
        for (u32 i = 0; i < ARRAY_LEN(positions); i++) {
            u64 kicks = b.vb.vdev.kicks;

            driver_set(&b.drv, REG_QUEUE_NOTIFY, positions[i] << 16);
            assert_int_equal(b.vb.vdev.kicks, kicks + 1);
            assert_true(bench_serves(&b));
        }
    }
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    assert_false(driver_queue(&b.drv, 257));
    assert_false(driver_queue(&b.drv, 0));
}

/*
 * One queue starts over while the device is live: D-2.6.1.1.1-02, D-2.6.1.2.1-01, D-4.2.2.1-08,
 * -09, -10, -12. L-06, G-2.6.1.2.2-01: made ready without being set up it stays off.
 */
static void a_queue_is_reset_and_set_up_again_while_live(void **state)
{
    (void)state;
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 0);
    for (u32 size = 64; size >= 4; size /= 2) {
        assert_true(bench_serves(&b));
        driver_set(&b.drv, REG_QUEUE_RESET, 1);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 0); /* nothing was in flight */
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
        assert_int_equal(b.vb.vdev.queue[0].setup.size, 0);
        assert_int_equal(arena_pinned(&b.arena), 0);
        assert_int_equal(driver_get(&b.drv, REG_STATUS) & VIRTIO_STATUS_DRIVER_OK,
                         VIRTIO_STATUS_DRIVER_OK);
        driver_set(&b.drv, REG_QUEUE_RESET, 1); /* twice does no harm */
        driver_set(&b.drv, REG_QUEUE_READY, 1);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
        assert_int_equal(vblk_poll(&b.vb, 64), 0);
        b.drv.free = ARENA_BASE;
        b.drv.desc = b.drv.avail = b.drv.used = 0;
        assert_true(driver_queue(&b.drv, size));
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 0);
    }
    assert_true(bench_serves(&b));
    /* once ready its registers are closed again */
    driver_set(&b.drv, REG_QUEUE_SIZE, 8);
    assert_int_equal(b.vb.vdev.queue[0].setup.size, 4);
}

/*
 * What was in flight leaves no trace, and holds up the reset until it is over: D-2.6.1.1.1-01,
 * D-4.2.2.1-11, L-06. A driver that does not wait gets nowhere: G-2.6.1.1.2-01, G-4.2.2.2-14.
 */
static void a_queue_reset_waits_for_what_is_in_flight(void **state)
{
    static u8 before[KIB(512)], after[KIB(512)];
    static struct bdev_ops stubborn; /* cannot let go of what it was given */
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    driver_blk_offer(&b.drv, &blk, true);
    b.faulty.stall = true;
    assert_true(vblk_poll(&b.vb, 64) > 0);
    assert_int_equal(b.vb.in_flight, 1);
    driver_set(&b.drv, REG_QUEUE_RESET, 0); /* only 1 resets */
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
    b.drv.irqs = 0;
    stubborn = *b.faulty.bdev.ops;
    stubborn.cancel = NULL;
    b.faulty.bdev.ops = &stubborn;
    driver_set(&b.drv, REG_QUEUE_RESET, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 1);
    arena_read(&b.arena, ARENA_BASE, before, sizeof(before));
    driver_set(&b.drv, REG_QUEUE_SIZE, 8); /* not open yet */
    assert_int_equal(b.vb.vdev.queue[0].setup.size, 0);
    assert_false(driver_queue(&b.drv, 8) && b.vb.vdev.queue[0].vq.state != VQ_OFF);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 1);
    arena_read(&b.arena, ARENA_BASE, before, sizeof(before));
    b.faulty.stall = false;
    for (u32 i = 0; i < 100 && b.vb.in_flight > 0; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 0);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
    arena_read(&b.arena, ARENA_BASE, after, sizeof(after));
    arena_read(&b.arena, blk.data, before + (blk.data - ARENA_BASE), 512); /* the data was ours */
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(b.drv.irqs, 0);
    assert_true(driver_queue(&b.drv, 16));
    assert_true(bench_serves(&b));
}

/* Without the feature the register does not exist. */
static void a_queue_reset_that_was_not_negotiated_is_ignored(void **state)
{
    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.features = ~BIT64(VIRTIO_F_RING_RESET)});
    driver_set(&b.drv, REG_QUEUE_RESET, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 1);
    driver_set(&b.drv, REG_QUEUE_SEL, 77);
    driver_set(&b.drv, REG_QUEUE_RESET, 1);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_RESET), 0);
    driver_set(&b.drv, REG_QUEUE_SEL, 0);
    assert_true(bench_serves(&b));
}

/* The trap of a kick does no I/O: the guest's vCPU waits for its answer. Q-07 */
static void a_kick_does_no_work_of_its_own(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    driver_blk_offer(&b.drv, &blk, true);
    driver_kick(&b.drv);
    assert_int_equal(driver_used_idx(&b.drv), 0);
    assert_int_equal(b.pool.in_flight, 0);
    assert_true(vblk_poll(&b.vb, 64) > 0);
}

/* D-4.2.2.1-03, -04, G-4.2.3.4.1-01: a cause stays until it is acknowledged. */
static void a_cause_stays_until_it_is_acknowledged(void **state)
{
    (void)state;
    b.drv.irqs = 0;
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
    vdev_config_changed(&b.vb.vdev);
    assert_int_equal(b.drv.irqs, 1);
    for (u32 i = 0; i < 3; i++) {
        assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    }
    driver_set(&b.drv, REG_INTERRUPT_ACK, VIRTIO_INT_QUEUE); /* not this one */
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    driver_set(&b.drv, REG_INTERRUPT_ACK, VIRTIO_INT_CONFIG);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
    assert_int_equal(b.drv.irqs, 1);
}

/* M-11, G-4.2.2.2-13: acknowledging what never was does nothing, and provokes nothing. */
static void an_acknowledgement_of_nothing_is_nothing(void **state)
{
    (void)state;
    b.drv.irqs = 0;
    driver_set(&b.drv, REG_INTERRUPT_ACK, UINT32_MAX);
    driver_set(&b.drv, REG_INTERRUPT_ACK, 0);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
    assert_int_equal(b.drv.irqs, 0);
}

/* G-4.2.3.4.1-02, M-11: a driver that never acknowledges gets one edge per event and no storm. */
static void no_storm_without_acknowledgement(void **state)
{
    (void)state;
    b.drv.irqs = 0;
    vdev_config_changed(&b.vb.vdev);
    for (u32 i = 0; i < 1000; i++) {
        vblk_poll(&b.vb, 64);
        driver_get(&b.drv, REG_INTERRUPT_STATUS);
    }
    assert_int_equal(b.drv.irqs, 1);
}

/* An event between the driver's read and its acknowledgement is a new interrupt, not a lost one. */
static void an_event_the_driver_has_not_seen_survives_its_acknowledgement(void **state)
{
    (void)state;
    b.drv.irqs = 0;
    vdev_config_changed(&b.vb.vdev);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    vdev_config_changed(&b.vb.vdev);
    assert_int_equal(b.drv.irqs, 2);
    driver_set(&b.drv, REG_INTERRUPT_ACK, VIRTIO_INT_CONFIG);
    assert_int_equal(b.drv.irqs, 3);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    driver_set(&b.drv, REG_INTERRUPT_ACK, VIRTIO_INT_CONFIG);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
    assert_int_equal(b.drv.irqs, 3);
}

static u32 status_at_edge;

static void note_status(void *ctx)
{
    status_at_edge = ((struct vmmio *)ctx)->interrupt_status;
}

/* The line is an edge, so the cause must be there when it comes. */
static void the_cause_is_set_before_the_edge(void **state)
{
    (void)state;
    b.mmio.irq = note_status;
    b.mmio.irq_ctx = &b.mmio;
    status_at_edge = 0;
    vdev_config_changed(&b.vb.vdev);
    assert_int_equal(status_at_edge, VIRTIO_INT_CONFIG);
    b.mmio.irq = driver_irq;
    b.mmio.irq_ctx = &b.drv;
}

/* D-4.2.2.1-05 */
static void a_reset_clears_interrupts_and_ready_bits(void **state)
{
    (void)state;
    vdev_config_changed(&b.vb.vdev);
    driver_set(&b.drv, REG_STATUS, 0);
    assert_int_equal(driver_get(&b.drv, REG_STATUS), 0);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
    assert_int_equal(driver_get(&b.drv, REG_QUEUE_READY), 0);
    vdev_config_changed(&b.vb.vdev); /* D-2.4.1-02: no interrupt until the driver is back */
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
}

/* G-4.2.2.2-03, G-2.5.1-03, M-02, M-03, D-2.5.2-01: every width at every offset, before and after
 * FEATURES_OK. */
static void the_config_space_is_read_in_any_width(void **state)
{
    static const u8 widths[] = {1, 2, 4, 8};
    const u8 *config = (const u8 *)&b.vb.config;

    (void)state;
    driver_set(&b.drv, REG_STATUS, 0);
    for (u32 i = 0; i < ARRAY_LEN(widths); i++) {
        for (u32 offset = 0; offset < VMMIO_BYTES; offset++) {
            u64 expected = 0;

            for (u32 k = 0; k < widths[i]; k++) {
                if (offset + k < sizeof(b.vb.config)) {
                    expected |= (u64)config[offset + k] << (8 * k);
                }
            }
            assert_true(get(REG_CONFIG + offset, widths[i]) == expected);
        }
    }
    assert_true(get(UINT32_MAX, 8) == 0);
    assert_true(get(UINT32_MAX - 3, 4) == 0);
    assert_true(get(REG_CONFIG, 3) == 0);
    assert_true(get(REG_CONFIG, 0) == 0);
    assert_true(get(REG_CONFIG, 255) == 0);
}

/* M-16: nothing in it is writable. */
static void the_config_space_is_not_written(void **state)
{
    static struct vblk_config before;

    (void)state;
    before = b.vb.config;
    for (u32 offset = 0; offset < 0x120; offset++) {
        for (u8 bytes = 1; bytes <= 8; bytes *= 2) {
            set(REG_CONFIG + offset, bytes, UINT64_MAX);
        }
    }
    set(UINT32_MAX, 8, 1);
    assert_memory_equal(&before, &b.vb.config, sizeof(before));
}

/* D-4.2.2.1-06 */
static void the_generation_stands_still_while_nothing_changes(void **state)
{
    u32 generation = driver_get(&b.drv, REG_CONFIG_GENERATION);

    (void)state;
    assert_true(bench_serves(&b));
    driver_start(&b.drv, UINT64_MAX, 64);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG_GENERATION), generation);
    vdev_config_changed(&b.vb.vdev);
    assert_int_not_equal(driver_get(&b.drv, REG_CONFIG_GENERATION), generation);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_identity_registers_are_constant),
        TEST(control_registers_take_aligned_words_only),
        TEST(what_cannot_be_read_reads_as_zero),
        TEST(legacy_registers_are_dead),
        TEST(there_is_no_shared_memory),
        TEST(feature_words_beyond_the_second_are_empty),
        TEST(queues_that_do_not_exist_are_empty),
        TEST(a_queue_of_a_bad_size_does_not_become_ready),
        TEST(only_one_makes_a_queue_ready),
        TEST(a_queue_without_addresses_does_not_become_ready),
        TEST(queue_addresses_have_64_bits),
        TEST(queue_registers_are_frozen_when_they_must_be),
        TEST(a_kick_is_only_a_hint),
        TEST(without_notification_data_a_kick_is_a_number),
        TEST(a_packed_queue_of_any_size_is_kicked_with_any_position),
        TEST(a_queue_is_reset_and_set_up_again_while_live),
        TEST(a_queue_reset_waits_for_what_is_in_flight),
        TEST(a_queue_reset_that_was_not_negotiated_is_ignored),
        TEST(a_kick_does_no_work_of_its_own),
        TEST(a_cause_stays_until_it_is_acknowledged),
        TEST(an_acknowledgement_of_nothing_is_nothing),
        TEST(no_storm_without_acknowledgement),
        TEST(an_event_the_driver_has_not_seen_survives_its_acknowledgement),
        TEST(the_cause_is_set_before_the_edge),
        TEST(a_reset_clears_interrupts_and_ready_bits),
        TEST(the_config_space_is_read_in_any_width),
        TEST(the_config_space_is_not_written),
        TEST(the_generation_stands_still_while_nothing_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
