/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk_device.c - what the block device offers and tells, its cache mode, its queues, its
 * size. [VIRTIO 5.2.3 to 5.2.5]
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"
#include "tests/fake/said.h"

#define CONFIG_WRITEBACK (REG_CONFIG + 32)

#define BASE_FEATURES                                                                            \
    (BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE) | \
     BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_F_INDIRECT_DESC) |  \
     BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1))
#define WRITER_FEATURES                                             \
    (BIT64(VIRTIO_BLK_F_CONFIG_WCE) | BIT64(VIRTIO_BLK_F_DISCARD) | \
     BIT64(VIRTIO_BLK_F_WRITE_ZEROES) | BIT64(VIRTIO_BLK_F_SECURE_ERASE))
#define CLASS_BITS (BIT64(24) - 1)

static void again(const struct bench_setup *setup)
{
    bench_done(&b);
    bench_init(&b, setup);
}

static u64 byte_read(u32 reg)
{
    u64 data = 0;

    vmmio_access(&b.mmio, reg, 1, false, &data);
    return data;
}

static void byte_write(u32 reg, u64 data)
{
    vmmio_access(&b.mmio, reg, 1, true, &data);
}

static u8 write_one(struct driver *drv)
{
    struct driver_blk blk;

    driver_blk_make(drv, &blk, VIRTIO_BLK_T_OUT, 3, 512);
    return bench_run_on(&b, drv, &blk, false, NULL);
}

/* --- features and config space ------------------------------------------------------------------
 */

static void the_config_space_tells_the_truth(void **state)
{
    (void)state;
    assert_int_equal(driver_get(&b.drv, REG_CONFIG), BENCH_DISK_SECTORS);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 4), 0);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 8), BLK_SIZE_MAX);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 12), BLK_SEG_MAX);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 20), 512);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 24), 3 | 8 << 16); /* 4096 = 512 << 3 */
    assert_int_equal(driver_get(&b.drv, CONFIG_WRITEBACK), 1 << 16);    /* num_queues */
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 36), BLK_RANGE_BYTES_MAX / 512);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 40), BLK_RANGES_MAX);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 44), 1);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 48), BLK_RANGE_BYTES_MAX / 512);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 52), BLK_RANGES_MAX);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 56), 0); /* may_unmap, D-5.2.5.2-03 */
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 60), BLK_RANGE_BYTES_MAX / 512);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 64), BLK_RANGES_MAX);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 68), 1);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 72), 0);
}

/* D-2.2.2-03, D-5.2.6.2-06: each feature only where somebody does it. */
static void a_feature_is_offered_where_the_medium_does_it(void **state)
{
    (void)state;
    assert_true((b.vb.vdev.offered & CLASS_BITS) ==
                ((BASE_FEATURES | WRITER_FEATURES) & CLASS_BITS));
    again(&(struct bench_setup){.read_only = true});
    assert_true((b.vb.vdev.offered & CLASS_BITS) ==
                ((BASE_FEATURES | BIT64(VIRTIO_BLK_F_RO)) & CLASS_BITS));
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 36), 0);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 60), 0);
    again(&(struct bench_setup){.lifetime = true, .queues = 2});
    assert_true(
        (b.vb.vdev.offered & CLASS_BITS) ==
        ((BASE_FEATURES | WRITER_FEATURES | BIT64(VIRTIO_BLK_F_LIFETIME) | BIT64(VIRTIO_BLK_F_MQ)) &
         CLASS_BITS));
}

static void a_medium_that_can_do_little_offers_little(void **state)
{
    static const struct {
        bool discard, write_zeroes, secure_erase;
        u64 features;
    } cases[] = {
        {false, false, false, 0},
        {true, false, false, BIT64(VIRTIO_BLK_F_DISCARD)},
        {false, true, false, BIT64(VIRTIO_BLK_F_WRITE_ZEROES)},
        {false, false, true, BIT64(VIRTIO_BLK_F_SECURE_ERASE)},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        struct bdev_info *info = &b.faulty.bdev.info;
        u64 ranges = WRITER_FEATURES & ~BIT64(VIRTIO_BLK_F_CONFIG_WCE);
        const struct vblk_init init = {
            .bdev = &b.faulty.bdev,
            .gm = &b.arena.gm,
            .pool = &b.pool,
            .name = "little",
            .id = "",
        };
        static struct vblk little;

        info->discard = cases[i].discard;
        info->write_zeroes = cases[i].write_zeroes;
        info->write_zeroes_may_unmap = true;
        info->secure_erase = cases[i].secure_erase;
        vblk_init(&little, &init);
        assert_true((little.vdev.offered & ranges) == cases[i].features);
        assert_int_equal(le32_get(little.config.max_discard_seg) != 0, cases[i].discard);
        assert_int_equal(le32_get(little.config.max_write_zeroes_seg) != 0, cases[i].write_zeroes);
        assert_int_equal(little.config.write_zeroes_may_unmap, cases[i].write_zeroes);
        assert_int_equal(le32_get(little.config.max_secure_erase_seg) != 0, cases[i].secure_erase);
    }
}

/* D-5.2.5.2-01 */
static void who_offers_config_wce_offers_flush(void **state)
{
    (void)state;
    assert_true(b.vb.vdev.offered & BIT64(VIRTIO_BLK_F_CONFIG_WCE));
    assert_true(b.vb.vdev.offered & BIT64(VIRTIO_BLK_F_FLUSH));
}

/* --- the cache mode ------------------------------------------------------------------------------
 */

/* D-5.2.5.2-02, D-5.2.6.2-05 [VIRTIO 5.2.6.2], conditions 1 to 3: what is negotiated decides when a
 * write is stable. */
static void what_is_negotiated_decides_when_a_write_is_stable(void **state)
{
    static const struct {
        u64 without;
        u32 writeback;
        bool stable;
    } cases[] = {
        {0, 1, false},
        {BIT64(VIRTIO_BLK_F_CONFIG_WCE), 1, false},
        {BIT64(VIRTIO_BLK_F_FLUSH), 0, true},
        {BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_CONFIG_WCE), 0, true},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        again(&(struct bench_setup){.write_cache = true, .features = ~cases[i].without});
        assert_int_equal(byte_read(CONFIG_WRITEBACK), cases[i].writeback);
        assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.unflushed_writes, cases[i].stable ? 0 : 1);
    }
}

/* D-5.2.6.2-05 condition 2; G-5.2.6.1-09: to change the mode is not to flush. */
static void the_driver_chooses_the_mode_and_changes_its_mind(void **state)
{
    (void)state;
    again(&(struct bench_setup){.write_cache = true});
    for (u32 i = 1; i <= 3; i++) {
        byte_write(CONFIG_WRITEBACK, 0);
        assert_int_equal(byte_read(CONFIG_WRITEBACK), 0);
        assert_int_equal(b.faulty.unflushed_writes, i > 1);
        assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.unflushed_writes, 0);
        byte_write(CONFIG_WRITEBACK, 1);
        assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);
        assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.unflushed_writes, 1);
        assert_int_equal(b.faulty.flushes, i);
    }
    byte_write(CONFIG_WRITEBACK, 0);
    bench_start(&b, UINT64_MAX, 64); /* a new life begins as the medium is */
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);
}

/* G-5.2.5.1-01: it reads as it did in the life before; nothing is decided by that. */
static void a_driver_that_reads_the_mode_too_early_harms_nobody(void **state)
{
    (void)state;
    again(&(struct bench_setup){.write_cache = true});
    byte_write(CONFIG_WRITEBACK, 0);
    driver_set(&b.drv, REG_STATUS, 0);
    driver_set(&b.drv, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    assert_true(byte_read(CONFIG_WRITEBACK) <= 1);
    byte_write(CONFIG_WRITEBACK, 0); /* not negotiated yet: not heard */
    bench_start(&b, UINT64_MAX, 64);
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);
    assert_true(bench_serves(&b));
}

/* A medium without a cache says so, and no mode costs a flush. */
static void without_a_cache_there_is_nothing_to_flush(void **state)
{
    (void)state;
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 0);
    assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
    byte_write(CONFIG_WRITEBACK, 1);
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);
    assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.flushes, 0);
}

/* M-16, M-02: other values, other widths, other fields, not negotiated. */
static void nothing_else_of_the_config_space_can_be_written(void **state)
{
    static const u64 values[] = {2, 3, 0x80, 255};
    static struct vblk_config before;

    (void)state;
    again(&(struct bench_setup){.write_cache = true});
    before = b.vb.config;
    for (u32 i = 0; i < ARRAY_LEN(values); i++) {
        byte_write(CONFIG_WRITEBACK, values[i]);
    }
    driver_set(&b.drv, CONFIG_WRITEBACK, 0);
    driver_set(&b.drv, CONFIG_WRITEBACK - 2, 0);
    for (u32 offset = 0; offset < 128; offset++) {
        if (offset != 32) {
            byte_write(REG_CONFIG + offset, 0);
            byte_write(REG_CONFIG + offset, 1);
        }
    }
    assert_memory_equal(&b.vb.config, &before, sizeof(before));
    again(&(struct bench_setup){.write_cache = true, .features = ~BIT64(VIRTIO_BLK_F_CONFIG_WCE)});
    byte_write(CONFIG_WRITEBACK, 0);
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);
    assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.flushes, 0);
}

/* --- queues --------------------------------------------------------------------------------------
 */

/* [VIRTIO 5.2.2]: every queue serves, and each answers where it was asked. */
static void every_queue_serves(void **state)
{
    (void)state;
    for (u16 queues = 1; queues <= VQ_PER_DEVICE; queues++) {
        again(&(struct bench_setup){.queues = queues});
        assert_int_equal(driver_get(&b.drv, CONFIG_WRITEBACK) >> 16, queues);
        for (u32 round = 0; round < 10; round++) {
            struct driver_blk blk[VQ_PER_DEVICE];
            u32 id, written;

            for (u32 q = 0; q < queues; q++) {
                struct driver *drv = q ? &b.more[q - 1] : &b.drv;

                driver_blk_make(drv, &blk[q], VIRTIO_BLK_T_IN, round * 4 + q, 512);
                driver_blk_offer(drv, &blk[q], true);
            }
            for (u32 q = 0; q < queues; q++) {
                struct driver *drv = q ? &b.more[q - 1] : &b.drv;

                assert_true(bench_wait_on(&b, drv, &id, &written));
                assert_int_equal(written, 513);
                assert_int_equal(driver_blk_status(drv, &blk[q]), VIRTIO_BLK_S_OK);
                expect_data(&blk[q], round * 4 + q);
                assert_false(driver_take(drv, &id, &written));
            }
        }
        driver_set(&b.drv, REG_QUEUE_SEL, queues);
        assert_int_equal(driver_get(&b.drv, REG_QUEUE_SIZE_MAX), 0); /* M-14 */
    }
}

/* Queues that the driver leaves off cost nothing and break nothing. */
static void a_driver_may_use_fewer_queues(void **state)
{
    (void)state;
    again(&(struct bench_setup){.queues = VQ_PER_DEVICE});
    driver_start(&b.drv, UINT64_MAX, 64);
    for (u32 i = 0; i < 100; i++) {
        assert_int_equal(write_one(&b.drv), VIRTIO_BLK_S_OK);
    }
    assert_int_equal(vblk_poll(&b.vb, 64), 0);
}

/* with more work than a turn takes, the queues share it: none waits for another's end. */
static void queues_take_turns(void **state)
{
    struct driver_blk blk[2];

    (void)state;
    again(&(struct bench_setup){.queues = 2});
    b.vb.bdev = &b.ram.bdev;
    for (u32 q = 0; q < 2; q++) {
        struct driver *drv = q ? &b.more[0] : &b.drv;

        driver_blk_make(drv, &blk[q], VIRTIO_BLK_T_IN, 0, 512);
        for (u32 i = 0; i < 20; i++) {
            driver_blk_offer(drv, &blk[q], true);
        }
    }
    for (u32 turn = 0; turn < 4; turn++) {
        vblk_poll(&b.vb, 5);
    }
    assert_int_equal(driver_used_idx(&b.drv), 10);
    assert_int_equal(driver_used_idx(&b.more[0]), 10);
}

/* L-10: two queues over the same ring memory harm nobody but their driver. */
static void two_queues_over_one_ring_harm_only_their_driver(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    again(&(struct bench_setup){.queues = 2});
    CHECK(driver_negotiate(&b.drv, UINT64_MAX));
    driver_more(&b.more[0], &b.drv, 1, ARENA_BASE + MIB(1));
    b.more[0].desc = b.drv.desc;
    b.more[0].avail = b.drv.avail;
    b.more[0].used = b.drv.used;
    CHECK(driver_queue(&b.more[0], 64) && driver_queue(&b.drv, 64));
    driver_set(&b.drv, REG_STATUS, driver_get(&b.drv, REG_STATUS) | VIRTIO_STATUS_DRIVER_OK);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    driver_blk_offer(&b.drv, &blk, true);
    for (u32 i = 0; i < 10; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_true(driver_take(&b.drv, &id, &written));
    bench_start(&b, UINT64_MAX, 64);
    assert_true(bench_serves(&b));
}

/* One medium, one poll of it in a turn, and none when nothing is with it. */
static void the_medium_is_polled_once_a_turn(void **state)
{
    struct driver_blk blk;

    (void)state;
    b.faulty.delay_turns = 100;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.faulty.polls, 0);
    driver_blk_offer(&b.drv, &blk, true);
    vblk_poll(&b.vb, 64);
    for (u32 i = 1; i <= 10; i++) {
        vblk_poll(&b.vb, 64);
        assert_int_equal(b.faulty.polls, i);
    }
}

/* --- size ----------------------------------------------------------------------------------------
 */

/* D-4.2.2.1-06, [VIRTIO 2.5] */
static void a_resize_changes_generation_and_interrupts(void **state)
{
    u32 generation = driver_get(&b.drv, REG_CONFIG_GENERATION);
    struct driver_blk blk;

    (void)state;
    b.drv.irqs = 0;
    b.faulty.bdev.info.sectors = 16;
    byte_write(CONFIG_WRITEBACK, 1);
    vblk_resized(&b.vb);
    assert_int_not_equal(driver_get(&b.drv, REG_CONFIG_GENERATION), generation);
    assert_int_equal(driver_get(&b.drv, REG_CONFIG), 16);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    assert_int_equal(b.drv.irqs, 1);
    assert_int_equal(byte_read(CONFIG_WRITEBACK), 1);        /* what the driver chose stays */
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 16, 512); /* B-18 */
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
}

/* B-18: a long read is in flight beyond the new end. */
static void a_disk_that_shrinks_under_a_request_fails_it(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, KIB(512));
    driver_blk_offer(&b.drv, &blk, true);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.pool.in_flight, 1);
    assert_int_equal(ramdisk_resize(&b.ram, KIB(512) - 512), ST_OK);
    vblk_resized(&b.vb);
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &blk), VIRTIO_BLK_S_IOERR);
    assert_int_equal(written, 0);
    assert_int_equal(b.pool.in_flight, 0);
}

/* --- as one class among several ------------------------------------------------------------------
 */

static void who_owns_devices_of_several_classes_reaches_it_by_its_table(void **state)
{
    struct vdev *dev = &b.vb.vdev;
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    said_reset();
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 4096);
    driver_blk_offer(&b.drv, &blk, true);
    for (u32 turn = 0; turn < 8 && !driver_take(&b.drv, &id, &written); turn++) {
        (void)dev->ops->poll(dev, 64);
    }
    assert_int_equal(driver_blk_status(&b.drv, &blk), VIRTIO_BLK_S_OK);
    dev->ops->report(dev);
    assert_true(said("stats device bench: reads=1 writes=0 flushes=0 kib_read=4 kib_written=0"));
    assert_true(said("stats ranges bench: discards=0 write_zeroes=0 secure_erases=0"));
    assert_true(said("stats errors bench: errors_guest=0 errors_medium=0"));
}

static void a_shutdown_waits_for_the_medium_and_leaves_the_guest_alone(void **state)
{
    struct vdev *dev = &b.vb.vdev;
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 4096);
    driver_blk_offer(&b.drv, &blk, true);
    b.faulty.stall = true;
    (void)dev->ops->poll(dev, 64);
    assert_int_equal(b.vb.in_flight, 1);
    assert_false(dev->ops->shutdown(dev));
    b.faulty.stall = false;
    for (u32 turn = 0; turn < 8 && !dev->ops->shutdown(dev); turn++) {
    }
    assert_true(dev->ops->shutdown(dev));
    assert_int_equal(b.vb.in_flight, 0);
    assert_int_equal(driver_blk_status(&b.drv, &blk), 0xff); /* as the driver left it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(the_config_space_tells_the_truth),
        VBLK_TEST(a_feature_is_offered_where_the_medium_does_it),
        VBLK_TEST(a_medium_that_can_do_little_offers_little),
        VBLK_TEST(who_offers_config_wce_offers_flush),
        VBLK_TEST(what_is_negotiated_decides_when_a_write_is_stable),
        VBLK_TEST(the_driver_chooses_the_mode_and_changes_its_mind),
        VBLK_TEST(a_driver_that_reads_the_mode_too_early_harms_nobody),
        VBLK_TEST(without_a_cache_there_is_nothing_to_flush),
        VBLK_TEST(nothing_else_of_the_config_space_can_be_written),
        VBLK_TEST(every_queue_serves),
        VBLK_TEST(a_driver_may_use_fewer_queues),
        VBLK_TEST(queues_take_turns),
        VBLK_TEST(two_queues_over_one_ring_harm_only_their_driver),
        VBLK_TEST(the_medium_is_polled_once_a_turn),
        VBLK_TEST(a_resize_changes_generation_and_interrupts),
        VBLK_TEST(a_disk_that_shrinks_under_a_request_fails_it),
        VBLK_TEST(who_owns_devices_of_several_classes_reaches_it_by_its_table),
        VBLK_TEST(a_shutdown_waits_for_the_medium_and_leaves_the_guest_alone),
    };

    return BENCH_RUN_LAYOUTS(tests);
}
