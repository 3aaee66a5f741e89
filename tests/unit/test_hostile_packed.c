/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hostile_packed.c - a packed ring against every way a driver can get it wrong.
 *
 * P-xx are the cases of the hostile driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/changing.h"
#include "tests/fake/rig_packed.h"

/** The chain id, which is offered, comes back unused, and the ring goes on with a good one. */
static void expect_malformed(u16 id)
{
    u64 dropped = rig_vq.dropped;

    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_PROTO);
    assert_int_equal(rig_vq.dropped, dropped + 1);
    rig_packed_expect(id, 0);
    assert_int_equal(arena_pinned(&rig_arena), rig_vq.pin_count);
    rig_packed_serve(1);
}

/** The next pop breaks the ring; then it is silent, and works again after a reset. */
static void expect_broken(void)
{
    static u8 before[KIB(64)], after[KIB(64)];
    u64 breaks = rig_vq.breaks;

    assert_true(virtq_waiting(&rig_vq)); /* who sees work must not be told that there is none */
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_GUEST);
    assert_int_equal(rig_vq.state, VQ_BROKEN);
    arena_read(&rig_arena, ARENA_BASE, before, sizeof(before));
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_GUEST);
    assert_false(virtq_publish(&rig_vq));
    assert_false(virtq_wants_irq(&rig_vq));
    assert_false(virtq_kick_enable(&rig_vq));
    assert_false(virtq_waiting(&rig_vq));
    arena_read(&rig_arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(rig_vq.breaks, breaks + 1);
    rig_packed_ring(rig_drv.size, true);
    rig_packed_serve(1);
}

/* --- what a driver gets wrong -------------------------------------------------------------------
 */

/* P-01: all four combinations of the two bits, in both laps: one is a chain, one is none, the
 * others' AVAIL bit decides. */
static void the_two_bits_in_all_combinations(void **state)
{
    (void)state;
    for (u32 lap = 0; lap < 2; lap++) {
        for (u32 bits = 0; bits < 4; bits++) {
            bool wrap = lap == 0, avail = (bits & 1) != 0, used = (bits & 2) != 0;
            u16 flags = (avail ? VIRTQ_DESC_F_AVAIL : 0) | (used ? VIRTQ_DESC_F_USED : 0);

            rig_packed_ring(2, true);
            for (u32 i = 0; i < 2 * lap; i++) {
                rig_packed_serve(1);
            }
            driver_slot(&rig_drv, 0, RIG_DATA, 1, 1, flags);
            if (avail != wrap) {
                assert_false(virtq_waiting(&rig_vq));
                assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_AGAIN);
            } else if (used != wrap) {
                assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
                virtq_push(&rig_vq, &rig_chain, 0);
            } else {
                expect_broken();
            }
        }
    }
}

/* P-02: descriptors of the wrong lap are not there, however many. */
static void a_ring_written_with_the_wrong_wrap_counter_is_empty(void **state)
{
    (void)state;
    for (u16 i = 0; i < 8; i++) {
        driver_slot(&rig_drv, i, RIG_DATA, 1, i, driver_available(false));
    }
    assert_false(virtq_waiting(&rig_vq));
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_AGAIN);
}

/* P-03, G-2.8.17-06: NEXT, and what follows is not available (QEMU looped there for ever). */
static void a_chain_that_goes_on_in_nothing_breaks_the_ring(void **state)
{
    (void)state;
    driver_slot(&rig_drv, 0, RIG_DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    expect_broken();
    driver_slot(&rig_drv, 1, RIG_DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&rig_drv, 2, RIG_DATA, 1, 1, driver_used(true));
    expect_broken();
    driver_slot(&rig_drv, 1, RIG_DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&rig_drv, 2, RIG_DATA, 1, 1, driver_available(false));
    expect_broken();
}

/* P-05, G-2.8.17-02: NEXT in every descriptor of the ring: loops are forbidden. */
static void a_chain_longer_than_the_ring_breaks_it(void **state)
{
    static const u32 sizes[] = {1, 2, 3, 8};

    (void)state;
    for (u32 s = 0; s < ARRAY_LEN(sizes); s++) {
        rig_packed_ring(sizes[s], true);
        for (u16 i = 0; i < sizes[s]; i++) {
            driver_slot(&rig_drv, i, RIG_DATA, 1, 0, driver_available(true) | VIRTQ_DESC_F_NEXT);
        }
        expect_broken();
    }
}

/* P-05, G-2.8.17-05: a chain may not run into descriptors that are with the device already, even
 * when the driver has marked them anew. */
static void a_chain_into_what_is_in_flight_breaks_the_ring(void **state)
{
    (void)state;
    rig_packed_ring(4, true);
    rig_packed_offer(2);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    driver_slot(&rig_drv, 2, RIG_DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&rig_drv, 3, RIG_DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&rig_drv, 0, RIG_DATA, 1, 1, driver_available(false));
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_GUEST);
    assert_int_equal(rig_vq.state, VQ_BROKEN);
    virtq_push(&rig_vq, &rig_chain, 1);
}

/* P-05: more is offered than the ring has descriptors. */
static void a_full_ring_that_is_offered_once_more_breaks(void **state)
{
    (void)state;
    rig_packed_ring(1, true);
    rig_packed_offer(1);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    driver_slot(&rig_drv, 0, RIG_DATA, 1, 0, driver_available(false));
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_GUEST);
    assert_int_equal(rig_vq.state, VQ_BROKEN);
    virtq_push(&rig_vq, &rig_chain, 1);
}

/* P-04: an id that no buffer of this ring can have, in a good chain and in a malformed one. */
static void an_id_outside_of_the_queue_breaks_the_ring(void **state)
{
    static const u16 ids[] = {8, 9, 0x7fff, 0xffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(ids); i++) {
        driver_slot(&rig_drv, i > 0, RIG_DATA, 1, ids[i], driver_available(true));
        expect_broken();
        driver_slot(&rig_drv, 1, RIG_DATA, 0, ids[i],
                    driver_available(true) | VIRTQ_DESC_F_INDIRECT);
        expect_broken();
    }
}

/* P-04: an id whose request is in flight; once that is back it may be used again. */
static void an_id_that_is_in_flight_breaks_the_ring(void **state)
{
    (void)state;
    for (u32 back = 0; back < 2; back++) {
        rig_packed_ring(8, true);
        driver_slot(&rig_drv, 0, RIG_DATA, 1, 5, driver_available(true));
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        if (back) {
            virtq_push(&rig_vq, &rig_chain, 1);
        }
        driver_slot(&rig_drv, 1, RIG_DATA, 1, 5, driver_available(true));
        assert_int_equal(virtq_pop(&rig_vq, &rig_later), back ? ST_OK : ST_GUEST);
        virtq_push(&rig_vq, back ? &rig_later : &rig_chain, 1);
    }
}

/* P-10, G-2.8.17-03, G-2.8.19-04: what is wrong inside a chain returns it unused, with its id and
 * its length in the ring, wherever in the chain it is wrong. */
static void a_malformed_chain_comes_back_unused(void **state)
{
    const struct driver_piece order[] = {
        {RIG_DATA, 1, true}, {RIG_DATA, 1, false}, {RIG_DATA, 1, true}};
    u16 available = driver_available(true), id;

    (void)state;
    rig_packed_ring(16, true);
    id = driver_chain(&rig_drv, order, 3);
    driver_offer(&rig_drv, id);
    expect_malformed(id);
    id = driver_chain(&rig_drv, order, 2);
    rig_drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
    driver_offer(&rig_drv, id); /* indirect, and not the only one */
    expect_malformed(id);
    id = driver_chain(&rig_drv, order + 1, 2);
    driver_slot(&rig_drv, 8, RIG_DATA, 16, id, available | VIRTQ_DESC_F_INDIRECT);
    driver_offer(&rig_drv, id); /* the second one is */
    expect_malformed(id);
}

/* P-06, G-2.8.17-01, G-2.8.19-03: tables of no length, of odd lengths, too long, round the end of
 * all addresses, outside of memory; and readable entries behind writable ones. */
static void a_malformed_table_returns_its_chain_unused(void **state)
{
    static const struct {
        u64 addr;
        u32 bytes;
    } bad[] = {{RIG_DATA, 0},        {RIG_DATA, 1},           {RIG_DATA, 15},
               {RIG_DATA, 17},       {RIG_DATA, 0xfffffff0},  {RIG_DATA, 16 * (VQ_SIZE_MAX + 1)},
               {UINT64_MAX - 7, 16}, {UINT64_C(0x100000), 16}};

    (void)state;
    rig_packed_ring(64, true);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        const struct driver_piece piece = {bad[i].addr, bad[i].bytes, false};
        u16 id = driver_chain(&rig_drv, &piece, 1);

        rig_drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
        driver_offer(&rig_drv, id);
        expect_malformed(id);
    }
    {
        const struct driver_piece order[] = {{RIG_DATA, 1, true}, {RIG_DATA, 1, false}};
        u16 id = driver_chain_indirect(&rig_drv, order, 2);

        driver_offer(&rig_drv, id);
        expect_malformed(id);
    }
}

/* G-2.8.19-01: a table that was not negotiated. */
static void a_table_that_was_not_negotiated_is_refused(void **state)
{
    const struct driver_piece piece = {RIG_DATA, 1, true};
    struct virtq_setup setup = rig_packed_setup(8);
    u16 id;

    (void)state;
    virtq_reset(&rig_vq);
    setup.indirect = false;
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
    id = driver_chain_indirect(&rig_drv, &piece, 1);
    driver_offer(&rig_drv, id);
    expect_malformed(id);
}

static void a_driver_that_keeps_sending_rubbish_is_stopped(void **state)
{
    (void)state;
    for (u32 i = 0; i < VQ_COMPLAINTS_MAX; i++) {
        const struct driver_piece piece = {RIG_DATA, 3, false};
        u16 id = driver_chain(&rig_drv, &piece, 1);
        u32 got, written;

        assert_int_equal(rig_vq.state, VQ_READY);
        rig_drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
        driver_offer(&rig_drv, id);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_PROTO);
        virtq_publish(&rig_vq);
        assert_true(driver_take(&rig_drv, &got, &written)); /* also the last one */
    }
    assert_int_equal(rig_vq.state, VQ_BROKEN);
}

/* P-12, G-2.8.11-01: rings that cannot be. [VIRTIO 2.8.10.1] */
static void a_ring_that_cannot_be_is_refused(void **state)
{
    static const u32 sizes[] = {0, 1025, 32768, 0x10008, UINT32_MAX};
    struct virtq_setup setup;

    (void)state;
    virtq_reset(&rig_vq);
    for (u32 i = 0; i < ARRAY_LEN(sizes); i++) {
        setup = rig_packed_setup(sizes[i]);
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_INVAL);
    }
    for (u64 off = 1; off < 16; off++) {
        setup = rig_packed_setup(8);
        setup.desc += off;
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_INVAL);
        setup = rig_packed_setup(8);
        setup.avail += off;
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), off % 4 ? ST_INVAL : ST_OK);
        virtq_reset(&rig_vq);
        setup = rig_packed_setup(8);
        setup.used += off;
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), off % 4 ? ST_INVAL : ST_OK);
        virtq_reset(&rig_vq);
    }
    setup = rig_packed_setup(8);
    setup.used = ARENA_BASE + 2 * KIB(64);
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_GUEST);
    setup = rig_packed_setup(8);
    setup.first_idx = VQ_POSITION(8, 1);
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_INVAL);
    assert_int_equal(arena_pinned(&rig_arena), 0);
    rig_arena.read_only = (struct arena_range){rig_drv.desc, 1};
    gmem_forget(&rig_arena.gm);
    setup = rig_packed_setup(8); /* we write into it */
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_GUEST);
    rig_arena.read_only.bytes = 0;
    rig_packed_ring(8, true);
}

/* P-12: a ring that lies across two windows works at every place; its descriptors do not straddle.
 */
static void a_ring_may_lie_in_two_windows(void **state)
{
    (void)state;
    virtq_reset(&rig_vq);
    for (u32 first = 1; first < 8; first++) {
        struct virtq_setup setup;

        rig_drv.desc = ARENA_BASE + KIB(64) - 16 * first;
        driver_ring(&rig_drv, 8);
        setup = rig_packed_setup(8);
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
        for (u32 turn = 0; turn < 20; turn++) {
            rig_packed_serve(1 + turn % 8);
        }
        virtq_reset(&rig_vq);
    }
}

/** When a chain cannot be mapped it stays where it is; then it can, or it is given back. */
static void a_chain_that_cannot_be_mapped_waits(void **state)
{
    u16 id;

    (void)state;
    for (u32 turn = 0; turn < 20; turn++) {
        id = rig_packed_offer(3);
        gmem_forget(&rig_arena.gm);
        rig_arena.fail = ST_AGAIN;
        rig_arena.fail_in = 1;
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_FULL);
        assert_int_equal(arena_pinned(&rig_arena), rig_vq.pin_count);
        assert_int_equal(virtq_in_flight(&rig_vq), 0);
        assert_true(virtq_waiting(&rig_vq));
        if (turn % 2) {
            assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
            virtq_push(&rig_vq, &rig_chain, 4);
            rig_packed_expect(id, 4);
        } else {
            rig_vq.complaints = 0;
            virtq_drop_next(&rig_vq);
            rig_packed_expect(id, 0);
        }
    }
}

/* G-2.8.16-01, -02: what the device has is changed under it: it works with what it read, and the
 * driver's place in the ring is not disturbed. */
static void a_chain_that_is_changed_in_flight_comes_back_as_it_was(void **state)
{
    (void)state;
    for (u16 turn = 0; turn < 20; turn++) {
        u16 slot = rig_drv.slot, id = rig_packed_offer(2);

        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        driver_slot(&rig_drv, slot, UINT64_MAX, UINT32_MAX, 0xffff, 0xffff);
        driver_slot(&rig_drv, (u16)((slot + 1) % 8), UINT64_MAX, UINT32_MAX, 0xffff, 0);
        assert_int_equal(rig_chain.write_bytes, 16);
        assert_ptr_equal(rig_chain.span[0].base, arena_byte(&rig_arena, RIG_DATA));
        virtq_push(&rig_vq, &rig_chain, 16);
        rig_packed_expect(id, 16);
    }
}

/* G-2.8.21.1.1-01: the flags are there before the rest: what lies in the descriptor then is what we
 * returned in it a lap ago, and is taken for what it says. */
static void flags_that_come_before_the_rest_make_a_chain_of_what_is_there(void **state)
{
    (void)state;
    rig_packed_ring(1, true);
    driver_slot(&rig_drv, 0, RIG_DATA, 100, 0, driver_available(true) | VIRTQ_DESC_F_WRITE);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    virtq_push(&rig_vq, &rig_chain, 7);
    virtq_publish(&rig_vq);
    arena_put16(&rig_arena, rig_drv.desc + 14, driver_available(false) | VIRTQ_DESC_F_WRITE);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.write_bytes, 7);
    virtq_push(&rig_vq, &rig_chain, 0);
}

/* G-2.8.21.3.1-01: a driver that looks too early whether a kick is wanted sends none: its chain is
 * found by looking. */
static void a_chain_without_a_kick_is_found(void **state)
{
    (void)state;
    for (u32 turn = 0; turn < 20; turn++) {
        assert_false(virtq_kick_enable(&rig_vq));
        assert_false(virtq_waiting(&rig_vq));
        rig_packed_serve(1 + turn % 3);
    }
}

/* P-11: every word of the ring and of a table changes as soon as it was read: a chain is what it
 * was then, all of it. */
static void a_chain_is_what_it_was_when_it_was_read(void **state)
{
    const struct driver_piece piece[] = {
        {RIG_DATA, 16, false}, {RIG_DATA + 64, 8, true}, {RIG_DATA + 128, 1, true}};

    (void)state;
    for (u32 mode = 0; mode < 4 * CHANGING_HOW_COUNT; mode++) {
        struct changing changing = {.arena = &rig_arena, .how = mode / 4};
        bool table = (mode & 1) != 0, evict = (mode & 2) != 0;
        u16 id;

        rig_packed_ring(5, true);
        rig_drv.free = RIG_DATA + 0x4000;
        id = table ? driver_chain_indirect(&rig_drv, piece, 3) : driver_chain(&rig_drv, piece, 3);
        driver_offer(&rig_drv, id);
        rig_arena.evict = evict && !table;
        changing_add(rig_drv.desc, VIRTQ_DESC_BYTES(5), 8);
        changing_add(RIG_DATA + 0x4000, 48, 8); /* the table, if there is one */
        changing_start(&changing);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        virtq_push(&rig_vq, &rig_chain, 9);
        changing_stop();
        rig_arena.evict = false;
        assert_true((changing.changes > 0) == (changing.how != CHANGING_KEEPS));
        assert_int_equal(rig_chain.head, id);
        assert_int_equal(rig_chain.read_bytes, 16);
        assert_int_equal(rig_chain.write_bytes, 9);
        assert_int_equal(rig_chain.slots, table ? 1 : 3);
        rig_packed_expect(id, 9);
    }
}

/* P-11: the flags by which a chain is seen change before it is taken. Whatever that means, only the
 * driver is hurt. */
static void flags_that_change_before_a_chain_is_taken_hurt_the_driver_only(void **state)
{
    (void)state;
    for (u32 mode = 0; mode < 8 * CHANGING_HOW_COUNT; mode++) {
        struct changing changing = {.arena = &rig_arena, .how = mode / 8};
        enum status st;

        rig_packed_ring(5, true);
        for (u32 i = 0; i < mode % 8; i++) {
            rig_packed_serve(1); /* in either lap */
        }
        rig_packed_offer(2);
        changing_add(rig_drv.desc, VIRTQ_DESC_BYTES(5), 8);
        changing_start(&changing);
        (void)virtq_look(&rig_vq);
        st = virtq_pop(&rig_vq, &rig_chain);
        changing_stop();
        assert_true(st == ST_OK || st == ST_PROTO || st == ST_AGAIN || st == ST_GUEST);
        assert_true((st == ST_GUEST) == (rig_vq.state == VQ_BROKEN));
        if (st == ST_OK) {
            virtq_push(&rig_vq, &rig_chain, 0);
        }
        assert_int_equal(virtq_in_flight(&rig_vq), 0);
        rig_packed_ring(5, true);
        rig_packed_serve(5);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_packed_fresh, rig_packed_done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_two_bits_in_all_combinations),
        TEST(a_ring_written_with_the_wrong_wrap_counter_is_empty),
        TEST(a_chain_that_goes_on_in_nothing_breaks_the_ring),
        TEST(a_chain_longer_than_the_ring_breaks_it),
        TEST(a_chain_into_what_is_in_flight_breaks_the_ring),
        TEST(a_full_ring_that_is_offered_once_more_breaks),
        TEST(an_id_outside_of_the_queue_breaks_the_ring),
        TEST(an_id_that_is_in_flight_breaks_the_ring),
        TEST(a_malformed_chain_comes_back_unused),
        TEST(a_malformed_table_returns_its_chain_unused),
        TEST(a_table_that_was_not_negotiated_is_refused),
        TEST(a_driver_that_keeps_sending_rubbish_is_stopped),
        TEST(a_ring_that_cannot_be_is_refused),
        TEST(a_ring_may_lie_in_two_windows),
        TEST(a_chain_that_cannot_be_mapped_waits),
        TEST(a_chain_that_is_changed_in_flight_comes_back_as_it_was),
        TEST(flags_that_come_before_the_rest_make_a_chain_of_what_is_there),
        TEST(a_chain_without_a_kick_is_found),
        TEST(a_chain_is_what_it_was_when_it_was_read),
        TEST(flags_that_change_before_a_chain_is_taken_hurt_the_driver_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
