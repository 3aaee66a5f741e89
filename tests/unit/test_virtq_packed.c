/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtq_packed.c - the device side of a packed ring, as it should be. [VIRTIO 2.8]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/rig_packed.h"

/* --- as it should be -------------------------------------------------------------------------- */

/* P-09: wrap counters start at 1 and turn with every lap, at every size. */
static void chains_of_all_lengths_go_round_at_every_size(void **state)
{
    static const u32 sizes[] = {1, 2, 3, 4, 5, 7, 8, 100, 255, 256, 1000, 1023, 1024};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(sizes); i++) {
        rig_packed_ring(sizes[i], true);
        for (u32 turn = 0; turn < 3 * sizes[i] + 10; turn++) {
            rig_packed_serve(1 + turn % (sizes[i] < 5 ? sizes[i] : 5));
        }
        assert_int_equal(rig_vq.breaks + rig_vq.dropped, 0);
    }
}

/* G-2.8.17-04: a list may have as many descriptors as the ring, wherever it begins. */
static void a_chain_fills_the_whole_ring_from_any_place(void **state)
{
    (void)state;
    rig_packed_ring(7, true);
    for (u32 turn = 0; turn < 20; turn++) {
        rig_packed_serve(7);
        rig_packed_serve(1);
    }
}

/* D-2.8.18-01: descriptors of a list are used in the order they lie in, readable first. */
static void spans_are_in_the_order_of_the_descriptors(void **state)
{
    const struct driver_piece piece[] = {{RIG_DATA, 1, false},
                                         {RIG_DATA + 100, 2, false},
                                         {RIG_DATA + 50, 3, true},
                                         {RIG_DATA + 200, 4, true}};
    u16 id = driver_chain(&rig_drv, piece, ARRAY_LEN(piece));

    (void)state;
    driver_offer(&rig_drv, id);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.read_count, 2);
    assert_int_equal(rig_chain.write_count, 2);
    assert_int_equal(rig_chain.read_bytes, 3);
    assert_int_equal(rig_chain.write_bytes, 7);
    assert_int_equal(rig_chain.desc_count, 4);
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        assert_ptr_equal(rig_chain.span[i].base, arena_byte(&rig_arena, piece[i].addr));
        assert_int_equal(rig_chain.span[i].bytes, piece[i].bytes);
    }
    virtq_push(&rig_vq, &rig_chain, 7);
    rig_packed_expect(id, 7);
}

/* D-2.8.12-01, -02: what completes first is written first, and stands for as many descriptors as
 * its own chain had. [VIRTIO 2.8.15]: nothing that was returned is written again. */
static void chains_come_back_in_the_order_they_complete(void **state)
{
    u16 a, b, c;

    (void)state;
    for (u32 turn = 0; turn < 20; turn++) {
        a = rig_packed_offer(3);
        b = rig_packed_offer(1);
        c = rig_packed_offer(2);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
        assert_int_equal(rig_later.head, b);
        virtq_push(&rig_vq, &rig_later, 1);
        assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
        virtq_push(&rig_vq, &rig_later, 2);
        rig_packed_expect(b, 1);
        rig_packed_expect(c, 2);
        assert_int_equal(virtq_in_flight(&rig_vq), 1);
        virtq_push(&rig_vq, &rig_chain, 3);
        rig_packed_expect(a, 3);
    }
}

/* [VIRTIO 2.8.2]: a batch becomes visible with the first element's flags, so none of it before. */
static void nothing_is_seen_of_a_batch_before_it_is_published(void **state)
{
    u16 id[3];
    u32 got, written;

    (void)state;
    for (u32 i = 0; i < 3; i++) {
        id[i] = rig_packed_offer(1);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        virtq_push(&rig_vq, &rig_chain, i);
        assert_false(driver_take(&rig_drv, &got, &written));
    }
    assert_true(virtq_publish(&rig_vq));
    assert_false(virtq_publish(&rig_vq));
    for (u32 i = 0; i < 3; i++) {
        assert_true(driver_take(&rig_drv, &got, &written));
        assert_int_equal(got, id[i]);
        assert_int_equal(written, i);
    }
    assert_int_equal(rig_vq.publishes, 1);
    assert_int_equal(rig_vq.chains, 3);
}

/* [VIRTIO 2.8.3]: WRITE in a used descriptor says whether anything was written. */
static void a_used_descriptor_says_whether_anything_was_written(void **state)
{
    u16 flags;

    (void)state;
    for (u32 written = 0; written < 2; written++) {
        u64 at = rig_drv.desc + 16 * (u64)rig_drv.used_slot;

        rig_packed_offer(1);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        virtq_push(&rig_vq, &rig_chain, written);
        virtq_publish(&rig_vq);
        flags = arena_get16(&rig_arena, at + 14);
        assert_int_equal((flags & VIRTQ_DESC_F_WRITE) != 0, written);
        rig_packed_expect(rig_chain.head, written);
    }
}

/* D-2.8.15-02: a descriptor is used only when its AVAIL bit has changed; the head is made
 * available last, so a chain whose rest is written is not there yet. */
static void a_chain_without_its_first_flags_is_not_there(void **state)
{
    const struct driver_piece piece[] = {
        {RIG_DATA, 1, false}, {RIG_DATA, 1, true}, {RIG_DATA, 1, true}};
    u16 id;

    (void)state;
    for (u32 turn = 0; turn < 10; turn++) {
        id = driver_chain(&rig_drv, piece, ARRAY_LEN(piece));
        assert_false(virtq_waiting(&rig_vq));
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_AGAIN);
        driver_offer(&rig_drv, id);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_AGAIN);
        virtq_push(&rig_vq, &rig_chain, 2);
        rig_packed_expect(id, 2);
    }
}

/* G-2.8.19-02, P-10: a table of any length, whatever the ring's; in its entries only WRITE counts,
 * and WRITE of the descriptor that names it does not. */
static void entries_of_a_table_follow_each_other(void **state)
{
    struct driver_piece piece[200];
    u64 table = RIG_DATA + 0x2000;
    u16 id;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        piece[i] = (struct driver_piece){RIG_DATA + i, 1, i >= 50};
    }
    id = driver_chain_indirect(&rig_drv, piece, ARRAY_LEN(piece));
    driver_offer(&rig_drv, id);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.read_count, 50);
    assert_int_equal(rig_chain.write_count, 150);
    assert_int_equal(rig_chain.desc_count, 200);
    assert_int_equal(rig_chain.slots, 1);
    virtq_push(&rig_vq, &rig_chain, 150);
    rig_packed_expect(id, 150);
    driver_desc_at(&rig_drv, table, 0, RIG_DATA, 5, 0xffff /* id */, (u16)~VIRTQ_DESC_F_WRITE);
    driver_desc_at(&rig_drv, table, 1, RIG_DATA + 5, 6, 0x1234, 0xffff);
    driver_slot(&rig_drv, 1, table, 32, 3,
                driver_available(true) | VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.head, 3);
    assert_int_equal(rig_chain.read_bytes, 5);
    assert_int_equal(rig_chain.write_bytes, 6);
    virtq_push(&rig_vq, &rig_chain, 6);
}

static void a_table_as_long_as_the_longest_queue_is_taken(void **state)
{
    static struct driver_piece piece[VQ_SIZE_MAX];
    u16 id;

    (void)state;
    for (u32 i = 0; i < VQ_SIZE_MAX; i++) {
        piece[i] = (struct driver_piece){RIG_DATA + i, i < VQ_SPAN_MAX, true};
    }
    id = driver_chain_indirect(&rig_drv, piece, VQ_SIZE_MAX);
    driver_offer(&rig_drv, id);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.desc_count, VQ_SIZE_MAX);
    assert_int_equal(rig_chain.write_bytes, VQ_SPAN_MAX);
    virtq_push(&rig_vq, &rig_chain, 1);
    rig_packed_expect(id, 1);
}

/* D-2.8.15-01, -03: neither what is only to be read nor what was returned is written. */
static void nothing_is_written_but_the_next_used_descriptor(void **state)
{
    const struct driver_piece piece[] = {{RIG_DATA, 64, false}, {RIG_DATA + 64, 8, true}};
    static u8 before[KIB(64)], after[KIB(64)];

    (void)state;
    arena_fill(&rig_arena, RIG_DATA, 0x5a, 128);
    for (u32 turn = 0; turn < 40; turn++) {
        u64 at = 16 * (u64)rig_drv.used_slot;
        u16 id = driver_chain(&rig_drv, piece, ARRAY_LEN(piece));

        driver_offer(&rig_drv, id);
        arena_read(&rig_arena, ARENA_BASE, before, sizeof(before));
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
        virtq_push(&rig_vq, &rig_chain, 8);
        virtq_publish(&rig_vq);
        arena_read(&rig_arena, ARENA_BASE, after, sizeof(after));
        assert_memory_not_equal(before + at, after + at, 16);
        memcpy(before + at, after + at, 16);
        assert_memory_equal(before, after, sizeof(before));
        rig_packed_expect(id, 8);
    }
}

/* --- telling each other ------------------------------------------------------------------------
 */

/** Serve one chain of some descriptors; does the driver want to hear of it? */
static bool serve_wants_irq(u32 pieces)
{
    u16 id = rig_packed_offer(pieces);
    bool wants;

    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    virtq_push(&rig_vq, &rig_chain, 1);
    assert_true(virtq_publish(&rig_vq));
    wants = virtq_wants_irq(&rig_vq);
    rig_packed_expect(id, 1);
    return wants;
}

/* P-07, P-08: enabled, disabled; a place only with EVENT_IDX; the reserved value is no reason
 * to be silent. */
static void the_driver_area_says_whether_to_interrupt(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        rig_packed_ring(8, event_idx != 0);
        assert_true(serve_wants_irq(1));
        driver_event(&rig_drv, 0, VIRTQ_EVENT_DISABLE);
        assert_false(serve_wants_irq(1));
        driver_event(&rig_drv, 0x1234, 3);
        assert_true(serve_wants_irq(1));
        driver_event(&rig_drv, VQ_POSITION(0, 1), VIRTQ_EVENT_DESC); /* is behind us */
        assert_int_equal(serve_wants_irq(1), event_idx == 0);
        driver_event(&rig_drv, 0x7000, VIRTQ_EVENT_DESC); /* is nowhere */
        assert_true(serve_wants_irq(1));
    }
}

/* [VIRTIO 2.8.10]: exactly when the descriptor named is passed, in the lap named: every place of
 * two laps, with chains of one and of three, at a size that is no power of two. */
static void an_event_comes_when_its_place_is_passed(void **state)
{
    (void)state;
    for (u32 pieces = 1; pieces <= 3; pieces += 2) {
        for (u32 place = 0; place < 14; place++) {
            u16 event = VQ_POSITION(place % 7, place < 7);
            u32 at = 0;

            rig_packed_ring(7, true);
            driver_event(&rig_drv, event, VIRTQ_EVENT_DESC);
            for (u32 turn = 0; turn < 20; turn++) {
                bool passed = (place + 14 - at) % 14 < pieces;

                assert_int_equal(serve_wants_irq(pieces), passed);
                at = (at + pieces) % 14;
            }
        }
    }
}

/** A batch that goes round the whole ring passes every place but those of the other lap. */
static void an_event_in_a_long_batch_is_not_missed(void **state)
{
    u16 id[7];

    (void)state;
    rig_packed_ring(7, true);
    for (u32 turn = 0; turn < 4; turn++) {
        for (u32 i = 0; i < 7; i++) {
            id[i] = rig_packed_offer(1);
        }
        for (u32 i = 0; i < 7; i++) {
            assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
            virtq_push(&rig_vq, &rig_chain, 1);
        }
        driver_event(&rig_drv, VQ_POSITION(turn, turn % 2 == 0), VIRTQ_EVENT_DESC);
        virtq_publish(&rig_vq);
        assert_true(virtq_wants_irq(&rig_vq));
        for (u32 i = 0; i < 7; i++) {
            rig_packed_expect(id[i], 1);
        }
    }
}

/* [VIRTIO 2.8.10]: while we poll the driver is told not to kick; before we sleep it is told to: by
 * the place of the next descriptor when it knows places. */
static void the_device_area_says_whether_to_kick(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        rig_packed_ring(3, event_idx != 0);
        for (u32 turn = 0; turn < 7; turn++) {
            u16 place = virtq_position(&rig_vq);

            virtq_kick_disable(&rig_vq);
            assert_int_equal(arena_get32(&rig_arena, rig_drv.used),
                             VIRTQ_EVENT(VIRTQ_EVENT_DISABLE));
            assert_false(virtq_kick_enable(&rig_vq));
            assert_int_equal(place, VQ_POSITION(turn % 3, turn / 3 % 2 == 0));
            assert_int_equal(arena_get32(&rig_arena, rig_drv.used),
                             event_idx ? VIRTQ_EVENT(VIRTQ_EVENT_DESC) | place
                                       : VIRTQ_EVENT(VIRTQ_EVENT_ENABLE));
            rig_packed_offer(1);
            assert_true(virtq_kick_enable(&rig_vq)); /* and then looks */
            assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
            virtq_push(&rig_vq, &rig_chain, 1);
            rig_packed_expect(rig_chain.head, 1);
        }
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* [VIRTIO 2.4.1, 2.6.1]: after a reset with requests in flight nothing more is written. */
static void a_reset_with_requests_in_flight_is_silent(void **state)
{
    static u8 before[KIB(64)], after[KIB(64)];
    struct virtq_setup setup = rig_packed_setup(8);

    (void)state;
    rig_packed_offer(2);
    rig_packed_offer(1);
    rig_packed_offer(1);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    virtq_hold(&rig_vq, &rig_chain);
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
    virtq_push(&rig_vq, &rig_later, 1); /* staged, never shown */
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
    virtq_reset(&rig_vq);
    arena_read(&rig_arena, ARENA_BASE, before, sizeof(before));
    assert_int_equal(virtq_in_flight(&rig_vq), 2);
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_AGAIN);
    virtq_push(&rig_vq, &rig_chain, 1);
    virtq_push(&rig_vq, &rig_later, 1);
    assert_false(virtq_publish(&rig_vq));
    assert_false(virtq_wants_irq(&rig_vq));
    virtq_kick_disable(&rig_vq);
    assert_false(virtq_kick_enable(&rig_vq));
    assert_false(virtq_waiting(&rig_vq));
    arena_read(&rig_arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(virtq_in_flight(&rig_vq), 0);
    rig_packed_ring(8, true);
    rig_packed_serve(3);
}

/** A ring changes its layout from one life to the next. */
static void a_queue_is_split_packed_and_split_again(void **state)
{
    (void)state;
    for (u32 turn = 0; turn < 4; turn++) {
        struct virtq_setup setup;
        u16 id;

        virtq_reset(&rig_vq);
        rig_drv.packed = turn % 2 == 0;
        rig_drv.features = 0;
        rig_drv.free = ARENA_BASE;
        rig_drv.desc = rig_drv.avail = rig_drv.used = 0;
        driver_ring(&rig_drv, 8);
        setup = rig_packed_setup(8);
        setup.packed = rig_drv.packed;
        setup.first_idx = VQ_FIRST(rig_drv.packed);
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
        for (u32 i = 0; i < 20; i++) {
            id = rig_packed_offer(2);
            assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
            virtq_push(&rig_vq, &rig_chain, 2);
            rig_packed_expect(id, 2);
        }
    }
}

/** A transport stops the ring anywhere and goes on there. */
static void a_ring_goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    rig_packed_ring(5, true);
    for (u32 turn = 0; turn < 40; turn++) {
        struct virtq_setup setup = rig_packed_setup(5);

        rig_packed_serve(1 + turn % 5);
        setup.first_idx = virtq_position(&rig_vq);
        assert_int_equal(setup.first_idx, VQ_POSITION(rig_drv.slot, rig_drv.wrap));
        virtq_reset(&rig_vq);
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
    }
}

/* --- journals -----------------------------------------------------------------------------------
 */

static struct {
    u32 taken, showing, shown, slots;
    u16 from, to, ids[8];
} seen;

static void on_taking(struct virtq_journal *journal, const struct virtq *q, u16 from, u16 to)
{
    struct virtq_slot slot;
    u16 pos = from;

    (void)journal;
    for (seen.slots = 0; pos != to; seen.slots++) {
        virtq_slot_read(q, pos, &slot);
        pos = virtq_position_after(q, pos, 1);
    }
    seen.ids[seen.taken++ % ARRAY_LEN(seen.ids)] = le16_get(slot.id);
}

static void on_showing(struct virtq_journal *journal, const struct virtq *q, u16 from, u16 to)
{
    struct virtq_slot slot;

    (void)journal;
    virtq_slot_read(q, from, &slot); /* written, but for its flags */
    assert_int_equal(le16_get(slot.id), seen.ids[0]);
    seen.showing++;
    seen.from = from;
    seen.to = to;
}

static void on_shown(struct virtq_journal *journal, u16 from, u16 to)
{
    (void)journal;
    seen.shown++;
    assert_int_equal(from, seen.from);
    assert_int_equal(to, seen.to);
}

/** What is taken and what is returned can be recorded, and what was lost taken again. */
static void a_journal_hears_of_every_chain(void **state)
{
    struct virtq_journal journal = {on_taking, on_showing, on_shown};
    struct virtq_setup setup = rig_packed_setup(8);
    struct virtq_slot lost[3];
    u16 a, b;

    (void)state;
    memset(&seen, 0, sizeof(seen));
    virtq_reset(&rig_vq);
    setup.journal = &journal;
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
    a = rig_packed_offer(2);
    b = rig_packed_offer(1);
    for (u16 i = 0; i < 3; i++) {
        virtq_slot_read(&rig_vq, VQ_POSITION(i, 1), &lost[i]);
    }
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(seen.slots, 2);
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
    assert_int_equal(seen.slots, 1);
    assert_int_equal(seen.taken, 2);
    assert_int_equal(seen.ids[0], a);
    assert_int_equal(seen.ids[1], b);
    /* We die, and our successor finds both: in the order they were taken in, behind them a new one.
     * The ring itself has other content by then. */
    virtq_reset(&rig_vq);
    virtq_push(&rig_vq, &rig_chain, 0);
    virtq_push(&rig_vq, &rig_later, 0);
    arena_fill(&rig_arena, rig_drv.desc, 0, 3 * 16);
    setup.again_slot = lost;
    setup.again_slot_count = 3;
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
    assert_true(virtq_waiting(&rig_vq));
    assert_true(virtq_look(&rig_vq));
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.head, a);
    assert_int_equal(rig_chain.slots, 2);
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_OK);
    assert_int_equal(rig_later.head, b);
    assert_int_equal(virtq_pop(&rig_vq, &rig_later), ST_AGAIN);
    assert_int_equal(seen.taken, 2);
    virtq_push(&rig_vq, &rig_chain, 16);
    rig_packed_expect(a, 16);
    assert_int_equal(seen.from, VQ_POSITION(0, 1));
    assert_int_equal(seen.to, VQ_POSITION(2, 1));
    assert_int_equal(seen.showing, 1);
    assert_int_equal(seen.shown, 1);
    seen.ids[0] = b;
    rig_later.head = b;
    virtq_push(&rig_vq, &rig_later, 8);
    rig_packed_expect(b, 8);
    rig_packed_offer(1);
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    seen.ids[0] = rig_chain.head;
    virtq_push(&rig_vq, &rig_chain, 1);
    rig_packed_expect(rig_chain.head, 1);
    assert_int_equal(seen.taken, 3);
}

/** What is to be taken again comes from outside too: a chain there ends where it ends. */
static void what_is_taken_again_is_not_trusted(void **state)
{
    struct virtq_journal journal = {on_taking, on_showing, on_shown};
    struct virtq_setup setup = rig_packed_setup(8);
    const struct virtq_slot open = {le64_make(RIG_DATA), le32_make(1), le16_make(1),
                                    le16_make(VIRTQ_DESC_F_NEXT)};
    const struct virtq_slot wrong = {le64_make(RIG_DATA), le32_make(1), le16_make(99),
                                     le16_make(0)};

    (void)state;
    for (u32 i = 0; i < 2; i++) {
        virtq_reset(&rig_vq);
        setup.journal = &journal;
        setup.again_slot = i == 0 ? &open : &wrong;
        setup.again_slot_count = 1;
        assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
        assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_GUEST);
        assert_int_equal(rig_vq.state, VQ_BROKEN);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_packed_fresh, rig_packed_done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(chains_of_all_lengths_go_round_at_every_size),
        TEST(a_chain_fills_the_whole_ring_from_any_place),
        TEST(spans_are_in_the_order_of_the_descriptors),
        TEST(chains_come_back_in_the_order_they_complete),
        TEST(nothing_is_seen_of_a_batch_before_it_is_published),
        TEST(a_used_descriptor_says_whether_anything_was_written),
        TEST(a_chain_without_its_first_flags_is_not_there),
        TEST(entries_of_a_table_follow_each_other),
        TEST(a_table_as_long_as_the_longest_queue_is_taken),
        TEST(nothing_is_written_but_the_next_used_descriptor),
        TEST(the_driver_area_says_whether_to_interrupt),
        TEST(an_event_comes_when_its_place_is_passed),
        TEST(an_event_in_a_long_batch_is_not_missed),
        TEST(the_device_area_says_whether_to_kick),
        TEST(a_reset_with_requests_in_flight_is_silent),
        TEST(a_queue_is_split_packed_and_split_again),
        TEST(a_ring_goes_on_where_it_was_stopped),
        TEST(a_journal_hears_of_every_chain),
        TEST(what_is_taken_again_is_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
