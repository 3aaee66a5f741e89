/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hostile_driver.c - a driver that breaks what the specification asks of it, over the
 * registers and the ring of a whole block device.
 *
 * Each test breaks one rule (its id beside it), says exactly what the driver gets, and shows that
 * after a reset the device serves. That nothing was held back is checked behind every test.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

#define ACK     VIRTIO_STATUS_ACKNOWLEDGE
#define DRIVER  VIRTIO_STATUS_DRIVER
#define OK      VIRTIO_STATUS_DRIVER_OK
#define FEAT_OK VIRTIO_STATUS_FEATURES_OK
#define FAILED  VIRTIO_STATUS_FAILED

#define V1 BIT64(VIRTIO_F_VERSION_1)

static u32 status(void)
{
    return driver_get(&b.drv, REG_STATUS);
}

static void set_status(u32 value)
{
    driver_set(&b.drv, REG_STATUS, value);
}

static void accept(u64 wanted)
{
    for (u32 word = 0; word < 2; word++) {
        driver_set(&b.drv, REG_DRIVER_FEATURES_SEL, word);
        driver_set(&b.drv, REG_DRIVER_FEATURES, (u32)(wanted >> (32 * word)));
    }
}

static u64 offered(void)
{
    u64 features = 0;

    for (u32 word = 0; word < 2; word++) {
        driver_set(&b.drv, REG_DEVICE_FEATURES_SEL, word);
        features |= (u64)driver_get(&b.drv, REG_DEVICE_FEATURES) << (32 * word);
    }
    return features;
}

/** Another ring at a fresh place, as the driver's next life has it. */
static void start_anew(u64 features)
{
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = ARENA_BASE;
    driver_start(&b.drv, features, 64);
    b.drv.free = ARENA_BASE + KIB(128);
}

static void expect_service_after_a_reset(void)
{
    start_anew(UINT64_MAX);
    assert_true(bench_serves(&b));
}

/** One read of a sector is offered; nothing is polled. */
static u16 offer_read(struct driver_blk *blk)
{
    driver_blk_make(&b.drv, blk, VIRTIO_BLK_T_IN, 3, 512);
    return driver_blk_offer(&b.drv, blk, true);
}

/** What was offered is not taken, whatever is kicked. */
static void expect_no_service(void)
{
    u16 used = driver_used_idx(&b.drv);
    u64 requests = b.vb.reads;

    driver_kick(&b.drv);
    for (u32 i = 0; i < 5; i++) {
        assert_int_equal(vblk_poll(&b.vb, 64), 0);
    }
    assert_int_equal(driver_used_idx(&b.drv), used);
    assert_int_equal(b.vb.reads, requests);
}

/* --- coming to life ------------------------------------------------------------------------------
 */

/* G-2.2.1-02, G-4.2.2.2-04, -05, -11, G-4.2.3.1.1-01, G-4.2.3.4.1-01: no register is ever read. */
static void a_driver_that_reads_no_register_is_served(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    for (u32 life = 0; life < 3; life++) {
        set_status(0);
        set_status(ACK);
        set_status(ACK | DRIVER);
        accept(V1);
        set_status(ACK | DRIVER | FEAT_OK);
        b.drv.features = V1;
        b.drv.desc = b.drv.avail = b.drv.used = 0;
        b.drv.free = ARENA_BASE;
        driver_queue(&b.drv, 16);
        set_status(ACK | DRIVER | FEAT_OK | OK);
        offer_read(&blk);
        assert_true(bench_wait(&b, &id, &written));
        assert_int_equal(written, 513);
        expect_data(&blk, 3);
        driver_set(&b.drv, REG_QUEUE_READY, 0); /* and not read back */
    }
    expect_service_after_a_reset();
}

/* G-4.2.2.2-07, -08: the selectors are 0 after a reset, and a word lands where they point. */
static void without_selectors_the_first_word_is_meant(void **state)
{
    u64 features = offered();

    (void)state;
    driver_set(&b.drv, REG_DEVICE_FEATURES_SEL, 1);
    set_status(0);
    assert_int_equal(driver_get(&b.drv, REG_DEVICE_FEATURES), (u32)features);
    set_status(ACK);
    set_status(ACK | DRIVER);
    driver_set(&b.drv, REG_DRIVER_FEATURES, 1u << VIRTIO_BLK_F_FLUSH);
    driver_set(&b.drv, REG_DRIVER_FEATURES, (u32)(V1 >> 32)); /* the first word again: bit 0 */
    set_status(ACK | DRIVER | FEAT_OK);
    assert_int_equal(status(), ACK | DRIVER);
    expect_service_after_a_reset();
}

/** Do the steps named by order, least significant digit first; says what status must become. */
static u32 life_in_order(u32 order, u32 steps)
{
    static const u32 bit[] = {ACK, DRIVER, FEAT_OK, OK};
    u32 written = 0, expected = 0;

    set_status(0);
    accept(V1);
    for (u32 i = 0; i < steps; i++, order /= 4) {
        u32 step = bit[order % 4];

        written |= step;
        set_status(written);
        expected |= written & (ACK | DRIVER);
        if ((written & FEAT_OK) && (expected & (ACK | DRIVER)) == (ACK | DRIVER)) {
            expected |= FEAT_OK;
        }
        if ((written & OK) && (expected & FEAT_OK)) {
            expected |= OK;
        }
    }
    return expected;
}

/* G-3.1.1-01, G-2.1.1-01, G-4.2.3.1.1-04: every order of four steps, with steps left out. */
static void every_order_of_the_steps_has_its_outcome(void **state)
{
    (void)state;
    for (u32 steps = 1; steps <= 4; steps++) {
        for (u32 order = 0; order < 1u << (2 * steps); order++) {
            u32 expected = life_in_order(order, steps);

            assert_int_equal(status(), expected);
            assert_int_equal(b.vb.vdev.live, (expected & OK) != 0);
            assert_int_equal(vblk_poll(&b.vb, 64), 0); /* there is no queue */
        }
    }
    expect_service_after_a_reset();
}

/* G-3.1.1-02, M-16 */
static void the_config_space_is_not_written_before_features_ok(void **state)
{
    static u8 before[sizeof(b.vb.config)];

    (void)state;
    set_status(0);
    memcpy(before, &b.vb.config, sizeof(before));
    for (u32 step = 0; step < 3; step++) {
        for (u32 offset = 0; offset < sizeof(before) + 8; offset++) {
            for (u8 bytes = 1; bytes <= 8; bytes *= 2) {
                u64 value = offset & 1;

                vmmio_access(&b.mmio, REG_CONFIG + offset, bytes, true, &value);
            }
        }
        assert_memory_equal(before, &b.vb.config, sizeof(before));
        set_status(step == 0 ? ACK : ACK | DRIVER);
    }
    expect_service_after_a_reset();
}

/* G-2.2.1-01, -03, -04, G-3.1.1-04, G-6.1-02, -04, -05: each bit that is not offered, and then on
 * as if FEATURES_OK had been granted. */
static void going_on_after_a_refusal_leads_nowhere(void **state)
{
    u64 all = offered();
    struct driver_blk blk;

    (void)state;
    for (u32 bit = 0; bit < 64; bit++) {
        if (all >> bit & 1) {
            continue;
        }
        set_status(0);
        set_status(ACK);
        set_status(ACK | DRIVER);
        accept(all | BIT64(bit));
        set_status(ACK | DRIVER | FEAT_OK);
        assert_int_equal(status(), ACK | DRIVER);
        b.drv.desc = b.drv.avail = b.drv.used = 0;
        b.drv.free = ARENA_BASE;
        assert_false(driver_queue(&b.drv, 16));
        set_status(ACK | DRIVER | FEAT_OK | OK);
        assert_int_equal(status(), ACK | DRIVER);
        offer_read(&blk);
        expect_no_service();
    }
    expect_service_after_a_reset();
}

/* G-2.2.1-05, G-2.1.1-03: FAILED at every step, and then on without a reset. */
static void after_failed_only_a_reset_helps(void **state)
{
    static const u32 reached[] = {0, ACK, ACK | DRIVER, ACK | DRIVER | FEAT_OK,
                                  ACK | DRIVER | FEAT_OK | OK};
    struct driver_blk blk;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(reached); i++) {
        set_status(0);
        accept(V1);
        set_status(reached[i] & (ACK | DRIVER));
        set_status(reached[i] & (ACK | DRIVER | FEAT_OK));
        b.drv.features = V1;
        b.drv.desc = b.drv.avail = b.drv.used = 0;
        b.drv.free = ARENA_BASE;
        driver_queue(&b.drv, 16);
        set_status(reached[i] ? reached[i] : ACK);
        set_status(status() | FAILED);
        assert_true(status() & FAILED);
        for (u32 value = 1; value < 256; value += 7) {
            u32 before = status();

            set_status(value);
            assert_int_equal(status(), before);
        }
        offer_read(&blk);
        expect_no_service();
        expect_service_after_a_reset();
    }
}

/* G-3.1.1-05: and the buffer is taken when the driver is ready after all. */
static void a_kick_before_driver_ok_is_forgotten(void **state)
{
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    assert_true(driver_queue(&b.drv, 64));
    offer_read(&blk);
    b.drv.irqs = 0;
    expect_no_service();
    assert_int_equal(b.drv.irqs, 0);
    set_status(status() | OK);
    assert_true(bench_wait(&b, &id, &written));
    expect_data(&blk, 3);
}

/* --- what is offered
 * ------------------------------------------------------------------------------
 */

/* D-2.2.2-01, D-2.2.2-03, D-5.2.5.2-01, D-6.2-01, D-6.2-03: for each kind of disk. */
static void what_is_offered_is_coherent(void **state)
{
    static const u64 known = 0x3fff | BIT64(14) | BIT64(16) | BIT64(28) | BIT64(29) | BIT64(32) |
                             BIT64(34) | BIT64(35) | BIT64(38) | BIT64(40);

    (void)state;
    for (u32 kind = 0; kind < 4; kind++) {
        u64 features;

        bench_done(&b);
        bench_init(&b, &(struct bench_setup){.read_only = kind & 1, .write_cache = kind & 2});
        features = offered();
        assert_true(features & V1);
        assert_true((features & ~known) == 0); /* no zones, no SR_IOV, no ACCESS_PLATFORM */
        assert_true(!(features & BIT64(11)) || (features & BIT64(VIRTIO_BLK_F_FLUSH)));
        assert_true((features & BIT64(VIRTIO_BLK_F_RO)) != 0 || !(kind & 1));
        assert_true(!(features & BIT64(VIRTIO_BLK_F_RO)) || (kind & 1));
        assert_true(bench_serves(&b));
    }
}

/* D-5.2.5.2-03: padding is 0, before and after negotiation. */
static void the_padding_of_the_config_space_is_zero(void **state)
{
    (void)state;
    for (u32 life = 0; life < 2; life++) {
        u64 unused0 = UINT64_MAX, unused1 = 0;

        vmmio_access(&b.mmio, REG_CONFIG + 33, 1, false, &unused0);
        assert_true(unused0 == 0);
        for (u32 offset = 57; offset < 60; offset++) {
            vmmio_access(&b.mmio, REG_CONFIG + offset, 1, false, &unused1);
            assert_true(unused1 == 0);
        }
        set_status(0);
    }
}

/* G-2.5.1-01: the halves of a capacity may belong to two states; the generation tells. */
static void a_capacity_read_in_halves_shows_in_the_generation(void **state)
{
    u32 generation = driver_get(&b.drv, REG_CONFIG_GENERATION);
    u64 capacity = driver_get(&b.drv, REG_CONFIG);

    (void)state;
    assert_true(capacity == BENCH_DISK_SECTORS);
    b.faulty.bdev.info.sectors = UINT64_C(0x500000000);
    vblk_resized(&b.vb);
    capacity |= (u64)driver_get(&b.drv, REG_CONFIG + 4) << 32;
    assert_true(capacity == UINT64_C(0x500001000)); /* a disk that never was ... */
    assert_int_not_equal(driver_get(&b.drv, REG_CONFIG_GENERATION),
                         generation); /* ... and says so */
    b.faulty.bdev.info.sectors = BENCH_DISK_SECTORS;
    vblk_resized(&b.vb);
    expect_service_after_a_reset();
}

/* G-2.5.1-02: fields of features that were not taken are read, and nothing comes of it. */
static void fields_without_their_feature_are_only_numbers(void **state)
{
    u64 with[16], without[16];

    (void)state;
    for (u32 i = 0; i < 16; i++) {
        with[i] = driver_get(&b.drv, REG_CONFIG + 4 * i);
    }
    start_anew(V1);
    for (u32 i = 0; i < 16; i++) {
        without[i] = driver_get(&b.drv, REG_CONFIG + 4 * i);
    }
    with[8] &= ~UINT64_C(0xff); /* writeback follows what was negotiated */
    without[8] &= ~UINT64_C(0xff);
    assert_memory_equal(with, without, sizeof(with));
    assert_true(bench_serves(&b));
}

/* --- interrupts and kicks
 * --------------------------------------------------------------------------
 */

static void complete_one(void)
{
    struct driver_blk blk;
    u32 id, written;

    b.drv.free = ARENA_BASE + KIB(128);
    offer_read(&blk);
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(written, 513);
}

/* G-2.7.7.1-01, R-22: only the lowest bit of avail.flags is looked at. */
static void without_event_idx_other_bits_of_the_flags_mean_nothing(void **state)
{
    static const u16 flags[] = {0, 1, 2, 3, 0x7ffe, 0x8001, 0xfffe, 0xffff};

    (void)state;
    start_anew(~BIT64(VIRTIO_F_EVENT_IDX));
    for (u32 i = 0; i < ARRAY_LEN(flags); i++) {
        arena_put16(&b.arena, b.drv.avail + VIRTQ_AVAIL_FLAGS, flags[i]);
        b.drv.irqs = 0;
        complete_one();
        assert_int_equal(b.drv.irqs, !(flags[i] & 1));
    }
    expect_service_after_a_reset();
}

/* G-2.7.7.1-02: with EVENT_IDX avail.flags is not looked at. */
static void with_event_idx_the_flags_mean_nothing(void **state)
{
    static const u16 flags[] = {0, 1, 2, 0xfffe, 0xffff};

    (void)state;
    for (u32 i = 0; i < 2 * ARRAY_LEN(flags); i++) {
        arena_put16(&b.arena, b.drv.avail + VIRTQ_AVAIL_FLAGS, flags[i / 2]);
        driver_used_event(&b.drv, (u16)(driver_used_idx(&b.drv) + i % 2));
        b.drv.irqs = 0;
        complete_one();
        assert_int_equal(b.drv.irqs, i % 2 == 0);
    }
    expect_service_after_a_reset();
}

/* G-2.7.7.1-03, G-4.2.2.2-12: no interrupt comes for nothing, no bit is set that says nothing. */
static void no_interrupt_without_a_used_buffer(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        start_anew(event_idx ? UINT64_MAX : ~BIT64(VIRTIO_F_EVENT_IDX));
        b.drv.irqs = 0;
        for (u32 i = 0; i < 100; i++) {
            driver_kick(&b.drv);
            vblk_poll(&b.vb, 64);
            vblk_arm(&b.vb);
            vblk_disarm(&b.vb);
        }
        assert_int_equal(b.drv.irqs, 0);
        assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), 0);
        for (u32 i = 1; i <= 20; i++) {
            driver_used_event(&b.drv, driver_used_idx(&b.drv));
            complete_one();
            assert_int_equal(b.drv.irqs, i);
            assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_QUEUE);
        }
        vdev_config_changed(&b.vb.vdev);
        assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS),
                         VIRTIO_INT_QUEUE | VIRTIO_INT_CONFIG);
    }
}

/* G-2.7.10.1-01 */
static void rubbish_in_the_used_ring_at_the_start_is_the_drivers_own(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        assert_true(driver_negotiate(&b.drv, event_idx ? UINT64_MAX : ~BIT64(VIRTIO_F_EVENT_IDX)));
        assert_true(driver_queue(&b.drv, 64));
        arena_fill(&b.arena, b.drv.used, 0xff, 2);
        arena_fill(&b.arena, b.drv.used + VIRTQ_USED_RING(0), 0xff, 8 * 64 + 2);
        set_status(status() | OK);
        complete_one();
        complete_one();
    }
    expect_service_after_a_reset();
}

/* G-2.7.10.1-02, -03, -04, -05, G-2.7.13.4.1-01: a driver that misreads or misses the wish for
 * kicks and never kicks. Whoever polls serves it, also on the turn after the kicks were asked for.
 */
static void a_driver_that_never_kicks_is_served_by_the_next_turn(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        start_anew(event_idx ? UINT64_MAX : ~BIT64(VIRTIO_F_EVENT_IDX));
        for (u32 i = 0; i < 50; i++) {
            struct driver_blk blk;
            u32 id, written;

            assert_false(vblk_arm(&b.vb));
            b.drv.free = ARENA_BASE + KIB(128);
            offer_read(&blk);
            assert_true(vblk_arm(&b.vb)); /* who wants to sleep sees it */
            vblk_disarm(&b.vb);
            assert_true(bench_wait(&b, &id, &written));
            assert_int_equal(written, 513);
        }
        assert_int_equal(b.vb.vdev.kicks, 0);
    }
}

/* --- the ring
 * --------------------------------------------------------------------------------------
 */

/* G-2.7.13.3.1-01: the index is there before the entry, so the last lap's entry is taken again. */
static void an_index_before_its_entry_shows_the_old_entry(void **state)
{
    struct driver_blk blk;
    u32 id, written;
    u16 head = 0;

    (void)state;
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = ARENA_BASE;
    driver_start(&b.drv, UINT64_MAX, 4);
    for (u32 i = 0; i < 4; i++) {
        b.drv.desc_next = 0;
        head = offer_read(&blk);
        assert_true(bench_wait(&b, &id, &written));
    }
    for (u32 i = 0; i < 4; i++) {
        arena_put16(&b.arena, b.drv.avail + VIRTQ_AVAIL_IDX, ++b.drv.avail_idx);
        assert_true(bench_wait(&b, &id, &written));
        assert_int_equal(id, head);
        assert_int_equal(written, 513);
    }
    assert_int_equal(b.vb.vdev.needs_resets, 0);
    expect_service_after_a_reset();
}

/* more is offered than the queue holds. */
static void more_requests_than_descriptors_break_the_queue(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    b.drv.irqs = 0;
    for (u32 i = 0; i < 65; i++) {
        driver_blk_offer(&b.drv, &blk, true);
    }
    vblk_poll(&b.vb, 64);
    assert_true(status() & VIRTIO_STATUS_NEEDS_RESET);
    assert_int_equal(driver_get(&b.drv, REG_INTERRUPT_STATUS), VIRTIO_INT_CONFIG);
    assert_int_equal(driver_used_idx(&b.drv), 0);
    expect_service_after_a_reset();
}

/* R-09, G-2.7.6.1-01: a second vCPU adds as fast as we take, for ever: a turn still ends. */
static void a_ring_that_never_runs_dry_costs_a_turn_its_budget(void **state)
{
    struct driver_blk blk;
    u32 work;
    u16 used;

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    for (u32 turn = 0; turn < 200; turn++) {
        used = driver_used_idx(&b.drv);
        while ((u16)(b.drv.avail_idx - used) < 21) { /* 3 descriptors each */
            driver_blk_offer(&b.drv, &blk, true);
        }
        work = vblk_poll(&b.vb, 8);
        assert_in_range(work, 1, 8);
        assert_int_equal((u16)(driver_used_idx(&b.drv) - used), work);
    }
    expect_service_after_a_reset();
}

/* D-2.7.5.1-01, D-2.7.5.1-02: the driver's words lie in memory that cannot be written. */
static void what_is_readable_is_never_written(void **state)
{
    u64 first = ARENA_BASE + KIB(256);
    u8 data[4096], after[4096];

    (void)state;
    for (u32 table = 0; table < 2; table++) {
        struct driver_piece piece[] = {
            {first, 16, false}, {first + KIB(1), 1024, false}, {ARENA_BASE + KIB(200), 1, true}};
        struct driver_blk blk = {.status = piece[2].addr};
        struct vblk_header header = {.type = le32_make(VIRTIO_BLK_T_OUT)};
        u16 head;

        arena_fill(&b.arena, first, 0x33, sizeof(data));
        arena_write(&b.arena, first, &header, sizeof(header));
        b.drv.free = first + KIB(3);
        head = table ? driver_chain_indirect(&b.drv, piece, 3) : driver_chain(&b.drv, piece, 3);
        arena_read(&b.arena, first, data, sizeof(data));
        b.arena.read_only = (struct arena_range){first, KIB(4)};
        gmem_forget(&b.arena.gm);
        assert_int_equal(bench_run_head(&b, head, &blk, NULL), VIRTIO_BLK_S_OK);
        arena_read(&b.arena, first, after, sizeof(after));
        assert_memory_equal(data, after, sizeof(data));
        assert_int_equal(b.disk[1023], 0x33);
        b.arena.read_only.bytes = 0;
        gmem_forget(&b.arena.gm);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(a_driver_that_reads_no_register_is_served),
        VBLK_TEST(without_selectors_the_first_word_is_meant),
        VBLK_TEST(every_order_of_the_steps_has_its_outcome),
        VBLK_TEST(the_config_space_is_not_written_before_features_ok),
        VBLK_TEST(going_on_after_a_refusal_leads_nowhere),
        VBLK_TEST(after_failed_only_a_reset_helps),
        VBLK_TEST(a_kick_before_driver_ok_is_forgotten),
        VBLK_TEST(what_is_offered_is_coherent),
        VBLK_TEST(the_padding_of_the_config_space_is_zero),
        VBLK_TEST(a_capacity_read_in_halves_shows_in_the_generation),
        VBLK_TEST(fields_without_their_feature_are_only_numbers),
        VBLK_TEST(without_event_idx_other_bits_of_the_flags_mean_nothing),
        VBLK_TEST(with_event_idx_the_flags_mean_nothing),
        VBLK_TEST(no_interrupt_without_a_used_buffer),
        VBLK_TEST(rubbish_in_the_used_ring_at_the_start_is_the_drivers_own),
        VBLK_TEST(a_driver_that_never_kicks_is_served_by_the_next_turn),
        VBLK_TEST(an_index_before_its_entry_shows_the_old_entry),
        VBLK_TEST(more_requests_than_descriptors_break_the_queue),
        VBLK_TEST(a_ring_that_never_runs_dry_costs_a_turn_its_budget),
        VBLK_TEST(what_is_readable_is_never_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
