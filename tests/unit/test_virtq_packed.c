/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtq_packed.c - the device side of a packed ring, as it should be and against every way a
 * driver can get it wrong.
 *
 * P-xx are the cases of the hostile driver; [VIRTIO x] the sentence that a test proves. After each
 * test no pin may be left, and every chain that was taken must have been returned exactly once.
 */
#include "virtio/virtq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define DATA (ARENA_BASE + 0x8000) /* buffers; the ring lies below */

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain, later;

static struct virtq_setup setup_of(u32 size)
{
    return (struct virtq_setup){
        .size = size,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .indirect = true,
        .event_idx = (drv.features >> VIRTIO_F_EVENT_IDX & 1) != 0,
        .packed = true,
        .first_idx = VQ_FIRST(true),
    };
}

/** A ring of size, zeroed, enabled. */
static void ring(u32 size, bool event_idx)
{
    struct virtq_setup setup;

    virtq_reset(&vq);
    drv.packed = true;
    drv.features = event_idx ? BIT64(VIRTIO_F_EVENT_IDX) : 0;
    drv.free = ARENA_BASE;
    drv.desc = drv.avail = drv.used = 0;
    driver_ring(&drv, size);
    drv.free = DATA + 0x1000;
    setup = setup_of(size);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
}

static int fresh(void **state)
{
    (void)state;
    port_host_now_ns += UINT64_C(60000000000);
    arena_init(&arena, 2, KIB(64));
    driver_init(&drv, &arena, NULL);
    virtq_init(&vq, "ring");
    ring(8, true);
    return 0;
}

static int done(void **state)
{
    (void)state;
    virtq_reset(&vq);
    assert_int_equal(virtq_in_flight(&vq), 0);
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

/** Offer count writable bytes in pieces descriptors; returns the id. */
static u16 offer(u32 pieces)
{
    struct driver_piece piece[VQ_SIZE_MAX];
    u16 id;

    for (u32 i = 0; i < pieces; i++) {
        piece[i] = (struct driver_piece){DATA + 8 * i, 8, true};
    }
    id = driver_chain(&drv, piece, pieces);
    driver_offer(&drv, id);
    return id;
}

/** The driver finds id returned with written bytes, as the next used element. */
static void expect_used(u32 id, u32 written)
{
    u32 got, bytes;

    virtq_publish(&vq);
    assert_true(driver_take(&drv, &got, &bytes));
    assert_int_equal(got, id);
    assert_int_equal(bytes, written);
}

/** One chain of some descriptors, there and back. */
static void serve(u32 pieces)
{
    u16 id = offer(pieces);

    assert_true(virtq_waiting(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.head, id);
    assert_int_equal(chain.slots, pieces);
    assert_int_equal(chain.write_bytes, 8 * pieces);
    virtq_push(&vq, &chain, 8 * pieces);
    expect_used(id, 8 * pieces);
}

/** The chain id, which is offered, comes back unused, and the ring goes on with a good one. */
static void expect_malformed(u16 id)
{
    u64 dropped = vq.dropped;

    assert_int_equal(virtq_pop(&vq, &chain), ST_PROTO);
    assert_int_equal(vq.dropped, dropped + 1);
    expect_used(id, 0);
    assert_int_equal(arena_pinned(&arena), vq.pin_count);
    serve(1);
}

/** The next pop breaks the ring; then it is silent, and works again after a reset. */
static void expect_broken(void)
{
    static u8 before[KIB(64)], after[KIB(64)];
    u64 breaks = vq.breaks;

    assert_true(virtq_waiting(&vq)); /* who sees work must not be told that there is none */
    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_int_equal(vq.state, VQ_BROKEN);
    arena_read(&arena, ARENA_BASE, before, sizeof(before));
    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_false(virtq_publish(&vq));
    assert_false(virtq_wants_irq(&vq));
    assert_false(virtq_kick_enable(&vq));
    assert_false(virtq_waiting(&vq));
    arena_read(&arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(vq.breaks, breaks + 1);
    ring(drv.size, true);
    serve(1);
}

/* --- as it should be -------------------------------------------------------------------------- */

/* [VIRTIO 2.8.1]: wrap counters start at 1 and turn with every lap, at every size. */
static void chains_of_all_lengths_go_round_at_every_size(void **state)
{
    static const u32 sizes[] = {1, 2, 3, 4, 5, 7, 8, 100, 255, 256, 1000, 1023, 1024};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(sizes); i++) {
        ring(sizes[i], true);
        for (u32 turn = 0; turn < 3 * sizes[i] + 10; turn++) {
            serve(1 + turn % (sizes[i] < 5 ? sizes[i] : 5));
        }
        assert_int_equal(vq.breaks + vq.dropped, 0);
    }
}

/* [VIRTIO 2.8.17]: a list may have as many descriptors as the ring, wherever it begins. */
static void a_chain_fills_the_whole_ring_from_any_place(void **state)
{
    (void)state;
    ring(7, true);
    for (u32 turn = 0; turn < 20; turn++) {
        serve(7);
        serve(1);
    }
}

/* [VIRTIO 2.8.18]: descriptors of a list are used in the order they lie in, readable first. */
static void spans_are_in_the_order_of_the_descriptors(void **state)
{
    const struct driver_piece piece[] = {
        {DATA, 1, false}, {DATA + 100, 2, false}, {DATA + 50, 3, true}, {DATA + 200, 4, true}};
    u16 id = driver_chain(&drv, piece, ARRAY_LEN(piece));

    (void)state;
    driver_offer(&drv, id);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count, 2);
    assert_int_equal(chain.write_count, 2);
    assert_int_equal(chain.read_bytes, 3);
    assert_int_equal(chain.write_bytes, 7);
    assert_int_equal(chain.desc_count, 4);
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        assert_ptr_equal(chain.span[i].base, arena_byte(&arena, piece[i].addr));
        assert_int_equal(chain.span[i].bytes, piece[i].bytes);
    }
    virtq_push(&vq, &chain, 7);
    expect_used(id, 7);
}

/* [VIRTIO 2.8.12]: what completes first is written first, and stands for as many descriptors as its
 * own chain had. [VIRTIO 2.8.15]: nothing that was returned is written again. */
static void chains_come_back_in_the_order_they_complete(void **state)
{
    u16 a, b, c;

    (void)state;
    for (u32 turn = 0; turn < 20; turn++) {
        a = offer(3);
        b = offer(1);
        c = offer(2);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        assert_int_equal(virtq_pop(&vq, &later), ST_OK);
        assert_int_equal(later.head, b);
        virtq_push(&vq, &later, 1);
        assert_int_equal(virtq_pop(&vq, &later), ST_OK);
        virtq_push(&vq, &later, 2);
        expect_used(b, 1);
        expect_used(c, 2);
        assert_int_equal(virtq_in_flight(&vq), 1);
        virtq_push(&vq, &chain, 3);
        expect_used(a, 3);
    }
}

/* [VIRTIO 2.8.2]: a batch becomes visible with the first element's flags, so none of it before. */
static void nothing_is_seen_of_a_batch_before_it_is_published(void **state)
{
    u16 id[3];
    u32 got, written;

    (void)state;
    for (u32 i = 0; i < 3; i++) {
        id[i] = offer(1);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, i);
        assert_false(driver_take(&drv, &got, &written));
    }
    assert_true(virtq_publish(&vq));
    assert_false(virtq_publish(&vq));
    for (u32 i = 0; i < 3; i++) {
        assert_true(driver_take(&drv, &got, &written));
        assert_int_equal(got, id[i]);
        assert_int_equal(written, i);
    }
    assert_int_equal(vq.publishes, 1);
    assert_int_equal(vq.chains, 3);
}

/* [VIRTIO 2.8.3]: WRITE in a used descriptor says whether anything was written. */
static void a_used_descriptor_says_whether_anything_was_written(void **state)
{
    u16 flags;

    (void)state;
    for (u32 written = 0; written < 2; written++) {
        u64 at = drv.desc + 16 * (u64)drv.used_slot;

        offer(1);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, written);
        virtq_publish(&vq);
        flags = arena_get16(&arena, at + 14);
        assert_int_equal((flags & VIRTQ_DESC_F_WRITE) != 0, written);
        expect_used(chain.head, written);
    }
}

/* [VIRTIO 2.8.15]: a descriptor is used only when its AVAIL bit has changed; the head is made
 * available last, so a chain whose rest is written is not there yet. */
static void a_chain_without_its_first_flags_is_not_there(void **state)
{
    const struct driver_piece piece[] = {{DATA, 1, false}, {DATA, 1, true}, {DATA, 1, true}};
    u16 id;

    (void)state;
    for (u32 turn = 0; turn < 10; turn++) {
        id = driver_chain(&drv, piece, ARRAY_LEN(piece));
        assert_false(virtq_waiting(&vq));
        assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
        driver_offer(&drv, id);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        assert_int_equal(virtq_pop(&vq, &later), ST_AGAIN);
        virtq_push(&vq, &chain, 2);
        expect_used(id, 2);
    }
}

/* [VIRTIO 2.8.7]: a table of any length, whatever the ring's; in its entries only WRITE counts, and
 * WRITE of the descriptor that names it does not. */
static void entries_of_a_table_follow_each_other(void **state)
{
    struct driver_piece piece[200];
    u64 table = DATA + 0x2000;
    u16 id;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(piece); i++) {
        piece[i] = (struct driver_piece){DATA + i, 1, i >= 50};
    }
    id = driver_chain_indirect(&drv, piece, ARRAY_LEN(piece));
    driver_offer(&drv, id);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count, 50);
    assert_int_equal(chain.write_count, 150);
    assert_int_equal(chain.desc_count, 200);
    assert_int_equal(chain.slots, 1);
    virtq_push(&vq, &chain, 150);
    expect_used(id, 150);
    driver_desc_at(&drv, table, 0, DATA, 5, 0xffff /* id */, (u16)~VIRTQ_DESC_F_WRITE);
    driver_desc_at(&drv, table, 1, DATA + 5, 6, 0x1234, 0xffff);
    driver_slot(&drv, 1, table, 32, 3,
                driver_available(true) | VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.head, 3);
    assert_int_equal(chain.read_bytes, 5);
    assert_int_equal(chain.write_bytes, 6);
    virtq_push(&vq, &chain, 6);
}

static void a_table_as_long_as_the_longest_queue_is_taken(void **state)
{
    static struct driver_piece piece[VQ_SIZE_MAX];
    u16 id;

    (void)state;
    for (u32 i = 0; i < VQ_SIZE_MAX; i++) {
        piece[i] = (struct driver_piece){DATA + i, i < VQ_SPAN_MAX, true};
    }
    id = driver_chain_indirect(&drv, piece, VQ_SIZE_MAX);
    driver_offer(&drv, id);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.desc_count, VQ_SIZE_MAX);
    assert_int_equal(chain.write_bytes, VQ_SPAN_MAX);
    virtq_push(&vq, &chain, 1);
    expect_used(id, 1);
}

/* --- telling each other ------------------------------------------------------------------------
 */

/** Serve one chain of some descriptors; does the driver want to hear of it? */
static bool serve_wants_irq(u32 pieces)
{
    u16 id = offer(pieces);
    bool wants;

    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 1);
    assert_true(virtq_publish(&vq));
    wants = virtq_wants_irq(&vq);
    expect_used(id, 1);
    return wants;
}

/* [VIRTIO 2.8.10]: enabled, disabled; a place only with EVENT_IDX; the reserved value is no reason
 * to be silent. */
static void the_driver_area_says_whether_to_interrupt(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        ring(8, event_idx != 0);
        assert_true(serve_wants_irq(1));
        driver_event(&drv, 0, VIRTQ_EVENT_DISABLE);
        assert_false(serve_wants_irq(1));
        driver_event(&drv, 0x1234, 3);
        assert_true(serve_wants_irq(1));
        driver_event(&drv, VQ_POSITION(0, 1), VIRTQ_EVENT_DESC); /* is behind us */
        assert_int_equal(serve_wants_irq(1), event_idx == 0);
        driver_event(&drv, 0x7000, VIRTQ_EVENT_DESC); /* is nowhere */
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

            ring(7, true);
            driver_event(&drv, event, VIRTQ_EVENT_DESC);
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
    ring(7, true);
    for (u32 turn = 0; turn < 4; turn++) {
        for (u32 i = 0; i < 7; i++) {
            id[i] = offer(1);
        }
        for (u32 i = 0; i < 7; i++) {
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 1);
        }
        driver_event(&drv, VQ_POSITION(turn, turn % 2 == 0), VIRTQ_EVENT_DESC);
        virtq_publish(&vq);
        assert_true(virtq_wants_irq(&vq));
        for (u32 i = 0; i < 7; i++) {
            expect_used(id[i], 1);
        }
    }
}

/* [VIRTIO 2.8.10]: while we poll the driver is told not to kick; before we sleep it is told to: by
 * the place of the next descriptor when it knows places. */
static void the_device_area_says_whether_to_kick(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        ring(3, event_idx != 0);
        for (u32 turn = 0; turn < 7; turn++) {
            u16 place = virtq_position(&vq);

            virtq_kick_disable(&vq);
            assert_int_equal(arena_get32(&arena, drv.used), VIRTQ_EVENT(VIRTQ_EVENT_DISABLE));
            assert_false(virtq_kick_enable(&vq));
            assert_int_equal(place, VQ_POSITION(turn % 3, turn / 3 % 2 == 0));
            assert_int_equal(arena_get32(&arena, drv.used),
                             event_idx ? VIRTQ_EVENT(VIRTQ_EVENT_DESC) | place
                                       : VIRTQ_EVENT(VIRTQ_EVENT_ENABLE));
            offer(1);
            assert_true(virtq_kick_enable(&vq)); /* and then looks */
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 1);
            expect_used(chain.head, 1);
        }
    }
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

            ring(2, true);
            for (u32 i = 0; i < 2 * lap; i++) {
                serve(1);
            }
            driver_slot(&drv, 0, DATA, 1, 1, flags);
            if (avail != wrap) {
                assert_false(virtq_waiting(&vq));
                assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
            } else if (used != wrap) {
                assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
                virtq_push(&vq, &chain, 0);
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
        driver_slot(&drv, i, DATA, 1, i, driver_available(false));
    }
    assert_false(virtq_waiting(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
}

/* P-03: NEXT, and what follows is not available (QEMU looped there for ever). */
static void a_chain_that_goes_on_in_nothing_breaks_the_ring(void **state)
{
    (void)state;
    driver_slot(&drv, 0, DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    expect_broken();
    driver_slot(&drv, 1, DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&drv, 2, DATA, 1, 1, driver_used(true));
    expect_broken();
    driver_slot(&drv, 1, DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&drv, 2, DATA, 1, 1, driver_available(false));
    expect_broken();
}

/* P-04: NEXT in every descriptor of the ring. [VIRTIO 2.8.17]: loops are forbidden. */
static void a_chain_longer_than_the_ring_breaks_it(void **state)
{
    static const u32 sizes[] = {1, 2, 3, 8};

    (void)state;
    for (u32 s = 0; s < ARRAY_LEN(sizes); s++) {
        ring(sizes[s], true);
        for (u16 i = 0; i < sizes[s]; i++) {
            driver_slot(&drv, i, DATA, 1, 0, driver_available(true) | VIRTQ_DESC_F_NEXT);
        }
        expect_broken();
    }
}

/* P-04: a chain may not run into descriptors that are with the device already, even when the driver
 * has marked them anew. */
static void a_chain_into_what_is_in_flight_breaks_the_ring(void **state)
{
    (void)state;
    ring(4, true);
    offer(2);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    driver_slot(&drv, 2, DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&drv, 3, DATA, 1, 1, driver_available(true) | VIRTQ_DESC_F_NEXT);
    driver_slot(&drv, 0, DATA, 1, 1, driver_available(false));
    assert_int_equal(virtq_pop(&vq, &later), ST_GUEST);
    assert_int_equal(vq.state, VQ_BROKEN);
    virtq_push(&vq, &chain, 1);
}

/* P-05: more is offered than the ring has descriptors. */
static void a_full_ring_that_is_offered_once_more_breaks(void **state)
{
    (void)state;
    ring(1, true);
    offer(1);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    driver_slot(&drv, 0, DATA, 1, 0, driver_available(false));
    assert_int_equal(virtq_pop(&vq, &later), ST_GUEST);
    assert_int_equal(vq.state, VQ_BROKEN);
    virtq_push(&vq, &chain, 1);
}

/* P-06: an id that no buffer of this ring can have, in a good chain and in a malformed one. */
static void an_id_outside_of_the_queue_breaks_the_ring(void **state)
{
    static const u16 ids[] = {8, 9, 0x7fff, 0xffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(ids); i++) {
        driver_slot(&drv, i > 0, DATA, 1, ids[i], driver_available(true));
        expect_broken();
        driver_slot(&drv, 1, DATA, 0, ids[i], driver_available(true) | VIRTQ_DESC_F_INDIRECT);
        expect_broken();
    }
}

/* P-07: an id whose request is in flight; once that is back it may be used again. */
static void an_id_that_is_in_flight_breaks_the_ring(void **state)
{
    (void)state;
    for (u32 back = 0; back < 2; back++) {
        ring(8, true);
        driver_slot(&drv, 0, DATA, 1, 5, driver_available(true));
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        if (back) {
            virtq_push(&vq, &chain, 1);
        }
        driver_slot(&drv, 1, DATA, 1, 5, driver_available(true));
        assert_int_equal(virtq_pop(&vq, &later), back ? ST_OK : ST_GUEST);
        virtq_push(&vq, back ? &later : &chain, 1);
    }
}

/* P-08: [VIRTIO 2.8.17, 2.8.19]: what is wrong inside a chain returns it unused, with its id and
 * its length in the ring, wherever in the chain it is wrong. */
static void a_malformed_chain_comes_back_unused(void **state)
{
    const struct driver_piece order[] = {{DATA, 1, true}, {DATA, 1, false}, {DATA, 1, true}};
    u16 available = driver_available(true), id;

    (void)state;
    ring(16, true);
    id = driver_chain(&drv, order, 3);
    driver_offer(&drv, id);
    expect_malformed(id);
    id = driver_chain(&drv, order, 2);
    drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
    driver_offer(&drv, id); /* indirect, and not the only one */
    expect_malformed(id);
    id = driver_chain(&drv, order + 1, 2);
    driver_slot(&drv, 8, DATA, 16, id, available | VIRTQ_DESC_F_INDIRECT);
    driver_offer(&drv, id); /* the second one is */
    expect_malformed(id);
}

/* P-09, I-03, I-05: tables of no length, of odd lengths, too long, round the end of all addresses,
 * outside of memory; and readable entries behind writable ones. */
static void a_malformed_table_returns_its_chain_unused(void **state)
{
    static const struct {
        u64 addr;
        u32 bytes;
    } bad[] = {{DATA, 0},
               {DATA, 1},
               {DATA, 15},
               {DATA, 17},
               {DATA, 0xfffffff0},
               {DATA, 16 * (VQ_SIZE_MAX + 1)},
               {UINT64_MAX - 7, 16},
               {UINT64_C(0x100000), 16}};

    (void)state;
    ring(64, true);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        const struct driver_piece piece = {bad[i].addr, bad[i].bytes, false};
        u16 id = driver_chain(&drv, &piece, 1);

        drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
        driver_offer(&drv, id);
        expect_malformed(id);
    }
    {
        const struct driver_piece order[] = {{DATA, 1, true}, {DATA, 1, false}};
        u16 id = driver_chain_indirect(&drv, order, 2);

        driver_offer(&drv, id);
        expect_malformed(id);
    }
}

/* I-01: [VIRTIO 2.8.19] a table that was not negotiated. */
static void a_table_that_was_not_negotiated_is_refused(void **state)
{
    const struct driver_piece piece = {DATA, 1, true};
    struct virtq_setup setup = setup_of(8);
    u16 id;

    (void)state;
    virtq_reset(&vq);
    setup.indirect = false;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    id = driver_chain_indirect(&drv, &piece, 1);
    driver_offer(&drv, id);
    expect_malformed(id);
}

static void a_driver_that_keeps_sending_rubbish_is_stopped(void **state)
{
    (void)state;
    for (u32 i = 0; i < VQ_COMPLAINTS_MAX; i++) {
        const struct driver_piece piece = {DATA, 3, false};
        u16 id = driver_chain(&drv, &piece, 1);
        u32 got, written;

        assert_int_equal(vq.state, VQ_READY);
        drv.chain[id].flags |= VIRTQ_DESC_F_INDIRECT;
        driver_offer(&drv, id);
        assert_int_equal(virtq_pop(&vq, &chain), ST_PROTO);
        virtq_publish(&vq);
        assert_true(driver_take(&drv, &got, &written)); /* also the last one */
    }
    assert_int_equal(vq.state, VQ_BROKEN);
}

/* P-10: rings that cannot be. [VIRTIO 2.8.10.1] */
static void a_ring_that_cannot_be_is_refused(void **state)
{
    static const u32 sizes[] = {0, 1025, 32768, 0x10008, UINT32_MAX};
    struct virtq_setup setup;

    (void)state;
    virtq_reset(&vq);
    for (u32 i = 0; i < ARRAY_LEN(sizes); i++) {
        setup = setup_of(sizes[i]);
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_INVAL);
    }
    for (u64 off = 1; off < 16; off++) {
        setup = setup_of(8);
        setup.desc += off;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_INVAL);
        setup = setup_of(8);
        setup.avail += off;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), off % 4 ? ST_INVAL : ST_OK);
        virtq_reset(&vq);
        setup = setup_of(8);
        setup.used += off;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), off % 4 ? ST_INVAL : ST_OK);
        virtq_reset(&vq);
    }
    setup = setup_of(8);
    setup.used = ARENA_BASE + 2 * KIB(64);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_GUEST);
    setup = setup_of(8);
    setup.first_idx = VQ_POSITION(8, 1);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_INVAL);
    assert_int_equal(arena_pinned(&arena), 0);
    arena.read_only = (struct arena_range){drv.desc, 1};
    gmem_forget(&arena.gm);
    setup = setup_of(8); /* we write into it */
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_GUEST);
    arena.read_only.bytes = 0;
    ring(8, true);
}

/** A ring that lies across two windows works at every place; its descriptors do not straddle. */
static void a_ring_may_lie_in_two_windows(void **state)
{
    (void)state;
    virtq_reset(&vq);
    for (u32 first = 1; first < 8; first++) {
        struct virtq_setup setup;

        drv.desc = ARENA_BASE + KIB(64) - 16 * first;
        driver_ring(&drv, 8);
        setup = setup_of(8);
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
        for (u32 turn = 0; turn < 20; turn++) {
            serve(1 + turn % 8);
        }
        virtq_reset(&vq);
    }
}

/** When a chain cannot be mapped it stays where it is; then it can, or it is given back. */
static void a_chain_that_cannot_be_mapped_waits(void **state)
{
    u16 id;

    (void)state;
    for (u32 turn = 0; turn < 20; turn++) {
        id = offer(3);
        gmem_forget(&arena.gm);
        arena.fail = ST_AGAIN;
        arena.fail_in = 1;
        assert_int_equal(virtq_pop(&vq, &chain), ST_FULL);
        assert_int_equal(arena_pinned(&arena), vq.pin_count);
        assert_int_equal(virtq_in_flight(&vq), 0);
        assert_true(virtq_waiting(&vq));
        if (turn % 2) {
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 4);
            expect_used(id, 4);
        } else {
            vq.complaints = 0;
            virtq_drop_next(&vq);
            expect_used(id, 0);
        }
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

/* [VIRTIO 2.4.1, 2.6.1]: after a reset with requests in flight nothing more is written. */
static void a_reset_with_requests_in_flight_is_silent(void **state)
{
    static u8 before[KIB(64)], after[KIB(64)];
    struct virtq_setup setup = setup_of(8);

    (void)state;
    offer(2);
    offer(1);
    offer(1);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_hold(&vq, &chain);
    assert_int_equal(virtq_pop(&vq, &later), ST_OK);
    virtq_push(&vq, &later, 1); /* staged, never shown */
    assert_int_equal(virtq_pop(&vq, &later), ST_OK);
    virtq_reset(&vq);
    arena_read(&arena, ARENA_BASE, before, sizeof(before));
    assert_int_equal(virtq_in_flight(&vq), 2);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_AGAIN);
    virtq_push(&vq, &chain, 1);
    virtq_push(&vq, &later, 1);
    assert_false(virtq_publish(&vq));
    assert_false(virtq_wants_irq(&vq));
    virtq_kick_disable(&vq);
    assert_false(virtq_kick_enable(&vq));
    assert_false(virtq_waiting(&vq));
    arena_read(&arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(virtq_in_flight(&vq), 0);
    ring(8, true);
    serve(3);
}

/** A ring changes its layout from one life to the next. */
static void a_queue_is_split_packed_and_split_again(void **state)
{
    (void)state;
    for (u32 turn = 0; turn < 4; turn++) {
        struct virtq_setup setup;
        u16 id;

        virtq_reset(&vq);
        drv.packed = turn % 2 == 0;
        drv.features = 0;
        drv.free = ARENA_BASE;
        drv.desc = drv.avail = drv.used = 0;
        driver_ring(&drv, 8);
        setup = setup_of(8);
        setup.packed = drv.packed;
        setup.first_idx = VQ_FIRST(drv.packed);
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
        for (u32 i = 0; i < 20; i++) {
            id = offer(2);
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 2);
            expect_used(id, 2);
        }
    }
}

/** A transport stops the ring anywhere and goes on there. */
static void a_ring_goes_on_where_it_was_stopped(void **state)
{
    (void)state;
    ring(5, true);
    for (u32 turn = 0; turn < 40; turn++) {
        struct virtq_setup setup = setup_of(5);

        serve(1 + turn % 5);
        setup.first_idx = virtq_position(&vq);
        assert_int_equal(setup.first_idx, VQ_POSITION(drv.slot, drv.wrap));
        virtq_reset(&vq);
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
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
    struct virtq_setup setup = setup_of(8);
    struct virtq_slot lost[3];
    u16 a, b;

    (void)state;
    memset(&seen, 0, sizeof(seen));
    virtq_reset(&vq);
    setup.journal = &journal;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    a = offer(2);
    b = offer(1);
    for (u16 i = 0; i < 3; i++) {
        virtq_slot_read(&vq, VQ_POSITION(i, 1), &lost[i]);
    }
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(seen.slots, 2);
    assert_int_equal(virtq_pop(&vq, &later), ST_OK);
    assert_int_equal(seen.slots, 1);
    assert_int_equal(seen.taken, 2);
    assert_int_equal(seen.ids[0], a);
    assert_int_equal(seen.ids[1], b);
    /* We die, and our successor finds both: in the order they were taken in, behind them a new one.
     * The ring itself has other content by then. */
    virtq_reset(&vq);
    virtq_push(&vq, &chain, 0);
    virtq_push(&vq, &later, 0);
    arena_fill(&arena, drv.desc, 0, 3 * 16);
    setup.again_slot = lost;
    setup.again_slot_count = 3;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    assert_true(virtq_waiting(&vq));
    assert_true(virtq_look(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.head, a);
    assert_int_equal(chain.slots, 2);
    assert_int_equal(virtq_pop(&vq, &later), ST_OK);
    assert_int_equal(later.head, b);
    assert_int_equal(virtq_pop(&vq, &later), ST_AGAIN);
    assert_int_equal(seen.taken, 2);
    virtq_push(&vq, &chain, 16);
    expect_used(a, 16);
    assert_int_equal(seen.from, VQ_POSITION(0, 1));
    assert_int_equal(seen.to, VQ_POSITION(2, 1));
    assert_int_equal(seen.showing, 1);
    assert_int_equal(seen.shown, 1);
    seen.ids[0] = b;
    later.head = b;
    virtq_push(&vq, &later, 8);
    expect_used(b, 8);
    offer(1);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    seen.ids[0] = chain.head;
    virtq_push(&vq, &chain, 1);
    expect_used(chain.head, 1);
    assert_int_equal(seen.taken, 3);
}

/** What is to be taken again comes from outside too: a chain there ends where it ends. */
static void what_is_taken_again_is_not_trusted(void **state)
{
    struct virtq_journal journal = {on_taking, on_showing, on_shown};
    struct virtq_setup setup = setup_of(8);
    const struct virtq_slot open = {le64_make(DATA), le32_make(1), le16_make(1),
                                    le16_make(VIRTQ_DESC_F_NEXT)};
    const struct virtq_slot wrong = {le64_make(DATA), le32_make(1), le16_make(99), le16_make(0)};

    (void)state;
    for (u32 i = 0; i < 2; i++) {
        virtq_reset(&vq);
        setup.journal = &journal;
        setup.again_slot = i == 0 ? &open : &wrong;
        setup.again_slot_count = 1;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
        assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
        assert_int_equal(vq.state, VQ_BROKEN);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

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
        TEST(the_driver_area_says_whether_to_interrupt),
        TEST(an_event_comes_when_its_place_is_passed),
        TEST(an_event_in_a_long_batch_is_not_missed),
        TEST(the_device_area_says_whether_to_kick),
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
        TEST(a_reset_with_requests_in_flight_is_silent),
        TEST(a_queue_is_split_packed_and_split_again),
        TEST(a_ring_goes_on_where_it_was_stopped),
        TEST(a_journal_hears_of_every_chain),
        TEST(what_is_taken_again_is_not_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
