/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vdev.c - status, features and queues of a device without a transport. [VIRTIO 2, 3.1]
 */
#include "virtio/vdev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/arena.h"
#include "tests/fake/port_host.h"

#define ACK     VIRTIO_STATUS_ACKNOWLEDGE
#define DRIVER  VIRTIO_STATUS_DRIVER
#define OK      VIRTIO_STATUS_DRIVER_OK
#define FEAT_OK VIRTIO_STATUS_FEATURES_OK
#define RESET   VIRTIO_STATUS_NEEDS_RESET
#define FAILED  VIRTIO_STATUS_FAILED

#define OFFERED (BIT64(3) | BIT64(5) | BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_INDIRECT_DESC))

static struct arena arena;
static struct vdev dev;
static u8 config[6] = {1, 2, 3, 4, 5, 6};
static u32 starts, stops, writes, raised, last_cause;
static u64 last_write;

/** Bit 5 needs bit 3: a dependency of the class. */
static bool class_features_ok(struct vdev *to, u64 features)
{
    (void)to;
    return !(features & BIT64(5)) || (features & BIT64(3));
}

static void class_start(struct vdev *to)
{
    (void)to;
    starts++;
}

static void class_stopped(struct vdev *to)
{
    (void)to;
    stops++;
}

static void class_config_write(struct vdev *to, u32 offset, u32 bytes, u64 value)
{
    (void)to;
    writes++;
    last_write = value | (u64)offset << 32 | (u64)bytes << 48;
}

static u32 platform_finds;

/** Nothing is memory here. */
static enum status platform_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                                 struct gmem_hit *run)
{
    (void)gm;
    (void)addr;
    (void)bytes;
    (void)dir;
    (void)run;
    platform_finds++;
    return ST_GUEST;
}

static const struct vdev_ops ops = {
    .features_ok = class_features_ok,
    .start = class_start,
    .stopped = class_stopped,
    .config_write = class_config_write,
};

static void raise_hook(void *ctx, u32 cause, u16 queue)
{
    (void)ctx;
    (void)queue;
    raised++;
    last_cause = cause;
}

static int fresh(void **state)
{
    (void)state;
    starts = stops = writes = raised = last_cause = 0;
    arena_init(&arena, 1, KIB(64));
    vdev_init(&dev, &(struct vdev_init){
                        .ops = &ops,
                        .name = "dev",
                        .device_id = 4,
                        .offered = OFFERED,
                        .gm = &arena.gm,
                        .config = config,
                        .config_bytes = sizeof(config),
                        .queue_count = 2,
                        .queue_size_max = 16,
                    });
    vdev_transport(&dev, raise_hook, NULL, 0);
    return 0;
}

static int done(void **state)
{
    (void)state;
    vdev_shutdown(&dev);
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

static void accept(u64 features)
{
    vdev_features_write(&dev, 0, (u32)features);
    vdev_features_write(&dev, 1, (u32)(features >> 32));
}

static void go_live(void)
{
    vdev_status_write(&dev, 0);
    vdev_status_write(&dev, ACK | DRIVER);
    accept(BIT64(VIRTIO_F_VERSION_1));
    vdev_status_write(&dev, ACK | DRIVER | FEAT_OK);
    dev.queue[0].setup = (struct virtq_setup){
        .size = 4, .desc = ARENA_BASE, .avail = ARENA_BASE + 256, .used = ARENA_BASE + 512};
    arena_fill(&arena, ARENA_BASE, 0, 1024);
    vdev_queue_ready_write(&dev, 0, 1);
    vdev_status_write(&dev, ACK | DRIVER | FEAT_OK | OK);
    assert_true(dev.live);
}

/* --- status
 * ---------------------------------------------------------------------------------------- */

/* G-2.1.1-01, 3.1.1 */
static void the_steps_in_their_order_make_a_live_device(void **state)
{
    (void)state;
    assert_int_equal(vdev_status_read(&dev), 0);
    go_live();
    assert_int_equal(vdev_status_read(&dev), 0xf);
    assert_int_equal(starts, 1);
    assert_true(vdev_has(&dev, VIRTIO_F_VERSION_1));
    assert_false(vdev_has(&dev, VIRTIO_F_EVENT_IDX));
}

/** What status becomes: the table in words, independent of vdev.c. */
static u32 expected_status(u32 from, u32 value, bool features_good)
{
    u32 to = from;

    if ((value & 0xff) == 0) {
        return 0;
    }
    if (from & FAILED) {
        return from;
    }
    to |= value & (ACK | DRIVER | FAILED);
    if ((value & FEAT_OK) && (to & (ACK | DRIVER)) == (ACK | DRIVER) && features_good) {
        to |= FEAT_OK;
    }
    if ((value & OK) && (to & FEAT_OK)) {
        to |= OK;
    }
    return to;
}

/** Write a status; after a reset the features are accepted anew. Returns what must be read back. */
static u32 step(u32 from, u32 value, bool good)
{
    vdev_status_write(&dev, value);
    if ((value & 0xff) == 0) {
        accept(good ? BIT64(VIRTIO_F_VERSION_1) : 0);
    }
    return expected_status(from, value, good);
}

/* G-2.1.1-03, M-12: all 256 values from every state that can be reached, with good and bad
 * features. */
static void every_status_value_from_every_state_has_its_outcome(void **state)
{
    (void)state;
    for (u32 good = 0; good < 2; good++) {
        for (u32 path = 0; path < 1024;
             path++) { /* two steps lead everywhere, the third is tried */
            u32 first = path & 31, second = path >> 5;
            u32 expect = step(0, 0, good);

            first = (first & 15) | (first & 16) << 3;
            second = (second & 15) | (second & 16) << 3;
            expect = step(expect, first, good);
            expect = step(expect, second, good);
            assert_int_equal(vdev_status_read(&dev), expect);
            for (u32 value = 0; value < 256; value += value < 64 ? 1 : 13) {
                expect = step(expect, value | 0xabcdef00, good);
                assert_int_equal(vdev_status_read(&dev), expect);
                assert_int_equal(dev.live, (expect & (OK | FAILED)) == OK);
            }
        }
    }
}

/* G-2.1.1-02: a write never clears a bit, and cannot set the device's own. */
static void bits_are_only_added(void **state)
{
    (void)state;
    go_live();
    vdev_status_write(&dev, ACK);
    assert_int_equal(vdev_status_read(&dev), 0xf);
    vdev_status_write(&dev, 0xf | RESET | 0x30);
    assert_int_equal(vdev_status_read(&dev), 0xf);
    assert_int_equal(starts, 1);
}

/* D-2.1.2-02, L-11 */
static void needs_reset_is_told_once_and_only_to_a_live_driver(void **state)
{
    (void)state;
    vdev_need_reset(&dev);
    assert_int_equal(vdev_status_read(&dev), RESET);
    assert_int_equal(raised, 0);
    go_live();
    vdev_need_reset(&dev);
    vdev_need_reset(&dev);
    assert_int_equal(vdev_status_read(&dev), 0xf | RESET);
    assert_int_equal(raised, 1);
    assert_int_equal(last_cause, VIRTIO_INT_CONFIG);
    assert_false(dev.live);
    go_live();
    assert_int_equal(vdev_status_read(&dev), 0xf);
}

/* D-2.4.1-01 */
static void a_reset_goes_back_to_the_beginning(void **state)
{
    (void)state;
    go_live();
    vdev_status_write(&dev, 0xffffff00); /* the register has 8 bits that mean something */
    assert_int_equal(vdev_status_read(&dev), 0);
    assert_true(dev.features == 0 && dev.driver_features == 0);
    assert_int_equal(dev.queue[0].vq.state, VQ_OFF);
    assert_int_equal(dev.queue[0].setup.size, 0);
    assert_int_equal(arena_pinned(&arena), 0);
    assert_int_equal(stops, 2);
}

static void a_reset_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    go_live();
    dev.queue[0].vq.next++; /* popped */
    vdev_status_write(&dev, 0);
    assert_int_equal(vdev_status_read(&dev), 0xf);
    assert_false(dev.live);
    vdev_status_write(&dev, FAILED);
    vdev_features_write(&dev, 0, 8);
    vdev_need_reset(&dev);
    vdev_config_changed(&dev);
    assert_int_equal(vdev_status_read(&dev), 0xf);
    assert_int_equal(raised, 0);
    assert_false(vdev_queue_open(&dev, 0));
    assert_int_equal(vdev_queue_ready_read(&dev, 0), 1);
    assert_false(vdev_shutdown(&dev));
    dev.queue[0].vq.used_next++; /* pushed */
    vdev_reset_progress(&dev);
    assert_int_equal(vdev_status_read(&dev), 0);
    assert_int_equal(vdev_queue_ready_read(&dev, 0), 0);
}

static void shutdown_is_silent_and_final(void **state)
{
    (void)state;
    go_live();
    assert_true(vdev_shutdown(&dev));
    assert_int_equal(arena_pinned(&arena), 0);
    vdev_config_changed(&dev);
    vdev_need_reset(&dev);
    assert_int_equal(raised, 0);
    assert_true(vdev_shutdown(&dev));
}

/* --- features
 * ----------------------------------------------------------------------------------------- */

static bool sticks(u64 features)
{
    vdev_status_write(&dev, 0);
    vdev_status_write(&dev, ACK | DRIVER);
    accept(features);
    vdev_status_write(&dev, ACK | DRIVER | FEAT_OK);
    return (vdev_status_read(&dev) & FEAT_OK) != 0;
}

/* D-2.2.2-02: every subset of what is offered. */
static void every_good_subset_sticks(void **state)
{
    static const u32 bits[] = {3, 5, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC,
                               VIRTIO_F_VERSION_1};

    (void)state;
    for (u32 subset = 0; subset < BIT32(ARRAY_LEN(bits)); subset++) {
        u64 features = 0;

        for (u32 i = 0; i < ARRAY_LEN(bits); i++) {
            features |= subset >> i & 1 ? BIT64(bits[i]) : 0;
        }
        assert_int_equal(sticks(features),
                         (features >> 32 & 1) && (!(features >> 5 & 1) || (features >> 3 & 1)));
        assert_true(dev.features == (sticks(features) ? features : 0));
    }
}

/* G-2.2.1-03, L-01, G-2.2.1-01: one bit that was not offered, 0..127. */
static void a_bit_that_is_not_offered_never_sticks(void **state)
{
    u64 offered = OFFERED | BIT64(VIRTIO_F_VERSION_1);

    (void)state;
    for (u32 bit = 0; bit < 64; bit++) {
        if (!(offered >> bit & 1)) {
            assert_false(sticks(BIT64(VIRTIO_F_VERSION_1) | BIT64(bit)));
        }
    }
    for (u32 word = 2; word < 6; word++) {
        vdev_status_write(&dev, 0);
        vdev_status_write(&dev, ACK | DRIVER);
        accept(BIT64(VIRTIO_F_VERSION_1));
        vdev_features_write(&dev, word, 0);
        vdev_features_write(&dev, word, 1);
        vdev_status_write(&dev, ACK | DRIVER | FEAT_OK);
        assert_int_equal(vdev_status_read(&dev), ACK | DRIVER);
    }
    assert_true(sticks(BIT64(VIRTIO_F_VERSION_1))); /* a reset forgives */
}

/* D-6.2-01, G-6.1-01 */
static void a_legacy_driver_is_refused(void **state)
{
    (void)state;
    assert_true(vdev_features_read(&dev, 1) & 1);
    assert_false(sticks(0));
    assert_false(sticks(BIT64(3)));
}

/* L-02, G-3.1.1-03 */
static void features_are_frozen_after_features_ok(void **state)
{
    (void)state;
    assert_true(sticks(BIT64(VIRTIO_F_VERSION_1)));
    accept(BIT64(VIRTIO_F_VERSION_1) | BIT64(3));
    vdev_features_write(&dev, 7, 1);
    vdev_status_write(&dev, 0xf);
    assert_true(dev.features == BIT64(VIRTIO_F_VERSION_1));
    assert_true(dev.live);
}

static void a_refused_set_may_be_tried_again(void **state)
{
    (void)state;
    assert_false(sticks(BIT64(VIRTIO_F_VERSION_1) | BIT64(40)));
    vdev_status_write(&dev, ACK | DRIVER | FEAT_OK | OK); /* L-01: DRIVER_OK without FEATURES_OK */
    assert_int_equal(vdev_status_read(&dev), ACK | DRIVER);
    accept(BIT64(VIRTIO_F_VERSION_1));
    vdev_status_write(&dev, ACK | DRIVER | FEAT_OK);
    assert_int_equal(vdev_status_read(&dev), ACK | DRIVER | FEAT_OK);
}

/* --- queues and config
 * ---------------------------------------------------------------------------------- */

/* L-09 */
static void a_device_without_queues_is_live_and_idle(void **state)
{
    (void)state;
    assert_true(sticks(BIT64(VIRTIO_F_VERSION_1)));
    vdev_status_write(&dev, 0xf);
    assert_true(dev.live);
    assert_false(virtq_waiting(&dev.queue[0].vq));
}

/* L-10 */
static void two_queues_over_one_ring_are_the_drivers_business(void **state)
{
    (void)state;
    assert_true(sticks(BIT64(VIRTIO_F_VERSION_1)));
    for (u32 q = 0; q < 2; q++) {
        dev.queue[q].setup = (struct virtq_setup){.size = q ? 16 : 4,
                                                  .desc = ARENA_BASE,
                                                  .avail = ARENA_BASE + 256,
                                                  .used = ARENA_BASE + 512};
        vdev_queue_ready_write(&dev, q, 1);
        assert_int_equal(vdev_queue_ready_read(&dev, q), 1);
    }
}

/* [VIRTIO 6.1] */
static void memory_has_its_platforms_names_only_for_a_driver_that_agreed(void **state)
{
    static struct gmem platform;

    (void)state;
    assert_int_equal(vdev_features_read(&dev, 1) & BIT64(VIRTIO_F_ACCESS_PLATFORM - 32), 0);
    platform = arena.gm; /* the same pins: whose find is asked is all that differs */
    platform.ops = &(const struct gmem_ops){.find = platform_find};
    vdev_platform(&dev, &platform);
    for (u32 agreed = 0; agreed < 2; agreed++) {
        platform_finds = 0;
        assert_true(
            sticks(BIT64(VIRTIO_F_VERSION_1) | (agreed ? BIT64(VIRTIO_F_ACCESS_PLATFORM) : 0)));
        dev.queue[0].setup = (struct virtq_setup){
            .size = 4, .desc = ARENA_BASE, .avail = ARENA_BASE + 64, .used = ARENA_BASE + 128};
        vdev_queue_ready_write(&dev, 0, 1);
        assert_int_equal(vdev_queue_ready_read(&dev, 0), !agreed);
        assert_int_equal(platform_finds, agreed);
        vdev_status_write(&dev, 0);
    }
}

static void config_bytes_past_the_end_are_zero_and_not_written(void **state)
{
    (void)state;
    assert_true(vdev_config_read(&dev, 0, 8) == UINT64_C(0x060504030201));
    assert_true(vdev_config_read(&dev, 5, 4) == 6);
    assert_true(vdev_config_read(&dev, 6, 4) == 0);
    assert_true(vdev_config_read(&dev, UINT32_MAX, 8) == 0);
    vdev_config_write(&dev, 5, 2, 1);
    vdev_config_write(&dev, UINT32_MAX, 1, 1);
    assert_int_equal(writes, 0);
    vdev_config_write(&dev, 4, 2, 7);
    assert_true(last_write == (7 | (u64)4 << 32 | (u64)2 << 48));
}

static void a_device_that_makes_no_sense_is_our_mistake(void **state)
{
    struct vdev_init init = {.ops = &ops, .name = "dev", .queue_count = 1, .queue_size_max = 8};
    static struct vdev other;

    (void)state;
    vdev_init(&other, &init);
    init.queue_count = 0;
    assert_true(EXPECT_PANIC(vdev_init(&other, &init)));
    init.queue_count = VQ_PER_DEVICE + 1;
    assert_true(EXPECT_PANIC(vdev_init(&other, &init)));
    init.queue_count = 1;
    init.queue_size_max = 2 * VQ_SIZE_MAX;
    assert_true(EXPECT_PANIC(vdev_init(&other, &init)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_steps_in_their_order_make_a_live_device),
        TEST(every_status_value_from_every_state_has_its_outcome),
        TEST(bits_are_only_added),
        TEST(needs_reset_is_told_once_and_only_to_a_live_driver),
        TEST(a_reset_goes_back_to_the_beginning),
        TEST(a_reset_waits_for_what_is_in_flight),
        TEST(shutdown_is_silent_and_final),
        TEST(every_good_subset_sticks),
        TEST(a_bit_that_is_not_offered_never_sticks),
        TEST(a_legacy_driver_is_refused),
        TEST(features_are_frozen_after_features_ok),
        TEST(a_refused_set_may_be_tried_again),
        TEST(a_device_without_queues_is_live_and_idle),
        TEST(two_queues_over_one_ring_are_the_drivers_business),
        TEST(memory_has_its_platforms_names_only_for_a_driver_that_agreed),
        TEST(config_bytes_past_the_end_are_zero_and_not_written),
        TEST(a_device_that_makes_no_sense_is_our_mistake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
