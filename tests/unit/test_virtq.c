/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtq.c - the device side of a split ring, against every way a driver can get it wrong.
 *
 * R-xx and I-xx are the cases of the hostile driver; [VIRTIO x] the sentence that a test proves.
 * After each test no pin may be left, and every head that was taken must have been returned
 * exactly once.
 */
#include "virtio/virtq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define DATA (ARENA_BASE + 0x8000) /* buffers; the ring lies below */

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain;

static struct virtq_setup setup_of(u32 size)
{
    return (struct virtq_setup){
        .size = size,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .indirect = true,
        .event_idx = (drv.features >> VIRTIO_F_EVENT_IDX & 1) != 0,
    };
}

/** A ring of size, zeroed, enabled. */
static void ring(u32 size, bool event_idx)
{
    struct virtq_setup setup;

    virtq_reset(&vq);
    drv.size = size;
    drv.features = event_idx ? BIT64(VIRTIO_F_EVENT_IDX) : 0;
    drv.free = ARENA_BASE;
    drv.desc = driver_alloc(&drv, VIRTQ_DESC_BYTES(size), 16);
    drv.avail = driver_alloc(&drv, VIRTQ_AVAIL_BYTES(size), 2);
    drv.used = driver_alloc(&drv, VIRTQ_USED_BYTES(size), 4);
    drv.free = DATA + 0x1000;
    arena_fill(&arena, ARENA_BASE, 0, 0x8000);
    drv.avail_idx = drv.used_idx = drv.desc_next = 0;
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

/** The driver finds head returned with written bytes, as the next used element. */
static void expect_used(u32 head, u32 written)
{
    u32 id, bytes;

    virtq_publish(&vq);
    assert_true(driver_take(&drv, &id, &bytes));
    assert_int_equal(id, head);
    assert_int_equal(bytes, written);
}

/** head comes back unused, and the ring goes on with a good chain. */
static void expect_malformed(u16 head)
{
    u64 dropped = vq.dropped;
    u16 good = (u16)(drv.size - 1);

    driver_offer(&drv, head);
    assert_int_equal(virtq_pop(&vq, &chain), ST_PROTO);
    assert_int_equal(vq.dropped, dropped + 1);
    expect_used(head, 0);
    assert_int_equal(arena_pinned(&arena), vq.pin_count);
    driver_desc(&drv, good, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, good);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 1);
    expect_used(good, 1);
}

/** The next pop breaks the ring; then it is silent, and works again after a reset. */
static void expect_broken(void)
{
    static u8 before[KIB(64)], after[KIB(64)];
    u64 breaks = vq.breaks;

    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_int_equal(vq.state, VQ_BROKEN);
    arena_read(&arena, ARENA_BASE, before, sizeof(before));
    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_false(virtq_publish(&vq));
    assert_false(virtq_wants_irq(&vq));
    assert_false(virtq_kick_enable(&vq));
    virtq_kick_disable(&vq);
    assert_false(virtq_waiting(&vq));
    arena_read(&arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(vq.breaks, breaks + 1);
    ring(drv.size, vq.event_idx);
    driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 0xffff);
    expect_malformed(0);
}

/* --- the straight way
 * ----------------------------------------------------------------------------- */

static void an_empty_ring_gives_nothing(void **state)
{
    (void)state;
    assert_false(virtq_waiting(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
    assert_false(virtq_publish(&vq));
    assert_int_equal(driver_used_idx(&drv), 0);
}

static void a_chain_is_taken_with_its_spans_in_order(void **state)
{
    const struct driver_piece piece[] = {{DATA, 16, false},
                                         {DATA + 100, 50, false},
                                         {DATA + 500, 512, true},
                                         {DATA + 2000, 1, true}};
    u16 head = driver_chain(&drv, piece, 4);

    (void)state;
    driver_offer(&drv, head);
    assert_true(virtq_waiting(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.head, head);
    assert_int_equal(chain.desc_count, 4);
    assert_int_equal(chain.read_count, 2);
    assert_int_equal(chain.write_count, 2);
    assert_true(chain.read_bytes == 66 && chain.write_bytes == 513);
    assert_int_equal(chain.flaws, 0);
    for (u32 i = 0; i < 4; i++) {
        assert_ptr_equal(chain.span[i].base, arena_byte(&arena, piece[i].addr));
        assert_int_equal(chain.span[i].bytes, piece[i].bytes);
    }
    assert_int_equal(virtq_in_flight(&vq), 1);
    virtq_push(&vq, &chain, 513);
    assert_int_equal(driver_used_idx(&drv), 0); /* staged, not shown */
    expect_used(head, 513);
    assert_int_equal(virtq_in_flight(&vq), 0);
}

/* free-running indices over every size, past 2^16. */
static void indices_wrap_at_every_size(void **state)
{
    (void)state;
    for (u32 size = 1; size <= VQ_SIZE_MAX; size *= 4) {
        for (u32 event_idx = 0; event_idx < 2; event_idx++) {
            ring(size, event_idx == 1);
            for (u32 i = 0; i < 70000; i++) {
                u16 head = (u16)(i * 7 % size);

                driver_desc(&drv, head, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
                driver_offer(&drv, head);
                assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
                assert_int_equal(virtq_pop(&vq, &chain) == ST_AGAIN, true);
                virtq_push(&vq, &chain, i);
                expect_used(head, i);
            }
        }
    }
    assert_int_equal(vq.state, VQ_READY);
}

static void a_full_ring_is_taken_and_returned_in_any_order(void **state)
{
    static struct vq_chain many[8];

    (void)state;
    for (u16 i = 0; i < 8; i++) {
        driver_desc(&drv, i, DATA + i, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_offer(&drv, i);
    }
    for (u32 i = 0; i < 8; i++) {
        assert_int_equal(virtq_pop(&vq, &many[i]), ST_OK);
    }
    assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
    assert_int_equal(virtq_in_flight(&vq), 8);
    for (u32 i = 0; i < 8; i++) {
        virtq_push(&vq, &many[i * 5 % 8], i);
    }
    for (u32 i = 0; i < 8; i++) {
        expect_used(i * 5 % 8, i);
    }
}

/* [VIRTIO 2.7.8.2] W-03: elements before the index, one store for a batch. */
static void a_batch_is_shown_with_one_store(void **state)
{
    (void)state;
    for (u16 i = 0; i < 5; i++) {
        driver_desc(&drv, i, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_offer(&drv, i);
    }
    for (u16 i = 0; i < 5; i++) {
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
        assert_int_equal(driver_used_idx(&drv), 0);
    }
    assert_true(virtq_publish(&vq));
    assert_int_equal(driver_used_idx(&drv), 5);
    assert_false(virtq_publish(&vq));
    assert_int_equal(vq.publishes, 1);
}

/* --- R: malformed chains
 * ----------------------------------------------------------------------------- */

/* G-2.7.5.2-01, R-01: loops of one, of two, and over the whole table. */
static void loops_end_at_the_queue_size(void **state)
{
    (void)state;
    driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 0);
    expect_malformed(0);
    driver_desc(&drv, 1, DATA, 1, VIRTQ_DESC_F_NEXT, 2);
    driver_desc(&drv, 2, DATA, 0, VIRTQ_DESC_F_NEXT, 1);
    expect_malformed(1);
    for (u16 i = 0; i < 8; i++) {
        driver_desc(&drv, i, DATA, 1, VIRTQ_DESC_F_NEXT, (u16)((i + 1) & 7));
    }
    expect_malformed(3);
}

/* G-2.7.5.3.1-03, R-02 */
static void a_chain_of_the_queue_size_is_the_longest(void **state)
{
    struct driver_piece piece[9];
    u16 head;

    (void)state;
    for (u32 i = 0; i < 9; i++) {
        piece[i] = (struct driver_piece){DATA + i, 1, true};
    }
    driver_offer(&drv, driver_chain(&drv, piece, 8));
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.write_count, 8);
    virtq_push(&vq, &chain, 8);
    expect_used(0, 8);
    drv.desc_next = 2;
    head = driver_chain_indirect(&drv, piece, 8);
    driver_offer(&drv, head);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 8);
    expect_used(head, 8);
    expect_malformed(driver_chain_indirect(&drv, piece, 9));
}

/* */
static void next_outside_the_table_is_malformed(void **state)
{
    static const u16 bad[] = {8, 9, 255, 0x7fff, 0x8000, 0xffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        driver_desc(&drv, 1, DATA, 1, VIRTQ_DESC_F_NEXT, bad[i]);
        expect_malformed(1);
    }
    driver_desc(&drv, 1, DATA, 1, VIRTQ_DESC_F_WRITE, 0xffff); /* without NEXT it means nothing */
    driver_offer(&drv, 1);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 0);
}

/* */
static void empty_descriptors_add_nothing(void **state)
{
    const struct driver_piece piece[] = {
        {0, 0, false}, {DATA, 3, false}, {UINT64_MAX, 0, false}, {DATA + 8, 4, true}, {0, 0, true}};
    u16 head = driver_chain(&drv, piece, 5);

    (void)state;
    driver_offer(&drv, head);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count, 1);
    assert_int_equal(chain.write_count, 1);
    assert_int_equal(chain.desc_count, 5);
    assert_int_equal(chain.flaws, 0);
    virtq_push(&vq, &chain, 4);
    head = driver_chain(&drv, (struct driver_piece[]){{0, 0, true}}, 1);
    driver_offer(&drv, head);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count + chain.write_count, 0);
    virtq_push(&vq, &chain, 0);
}

/* what is not memory is a hole, and nothing of a hole is touched. */
static void a_buffer_that_is_not_memory_is_a_hole(void **state)
{
    static const struct {
        u64 addr;
        u32 bytes;
    } bad[] = {
        {0, 1},
        {UINT64_MAX, 1},
        {UINT64_MAX - 15, 16},
        {UINT64_MAX - 14, 16},
        {ARENA_BASE - 1, 2},
        {ARENA_BASE + KIB(128) - 1, 2},
        {ARENA_BASE + KIB(128), 1},
        {UINT64_C(1) << 48, 16},
        {UINT64_C(1) << 63, 16},
        {DATA, UINT32_MAX},
        {DATA, VQ_DESC_BYTES_MAX + 1},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        const struct driver_piece piece[] = {
            {DATA, 16, false}, {bad[i].addr, bad[i].bytes, true}, {DATA + 16, 1, true}};

        driver_offer(&drv, driver_chain(&drv, piece, 3));
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        assert_int_equal(chain.flaws, VQ_FLAW_HOLE);
        assert_int_equal(chain.read_count, 1);
        assert_int_equal(chain.write_count, 2);
        assert_null(chain.span[1].base);
        assert_true(chain.write_bytes == (u64)bad[i].bytes + 1);
        assert_ptr_equal(chain.span[2].base, arena_byte(&arena, DATA + 16));
        virtq_push(&vq, &chain, 0);
    }
}

/* R-16, G-2.7.4.2-01 */
static void readable_after_writable_is_malformed(void **state)
{
    const struct driver_piece piece[] = {{DATA, 1, false}, {DATA, 1, true}, {DATA, 1, false}};
    const struct driver_piece empty[] = {{DATA, 0, true}, {DATA, 1, false}};

    (void)state;
    expect_malformed(driver_chain(&drv, piece, 3));
    expect_malformed(driver_chain(&drv, empty, 2));
}

/* flags without a meaning have none. */
static void unknown_flags_are_ignored(void **state)
{
    (void)state;
    driver_desc(&drv, 0, DATA, 4, 0xfff8 | VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 0);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.write_count, 1);
    virtq_push(&vq, &chain, 4);
    expect_used(0, 4);
}

static void sixteen_malformed_chains_break_the_queue(void **state)
{
    (void)state;
    driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 0xffff);
    for (u32 i = 0; i < VQ_COMPLAINTS_MAX; i++) {
        assert_int_equal(vq.state, VQ_READY);
        driver_offer(&drv, 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_PROTO);
    }
    assert_int_equal(vq.state, VQ_BROKEN);
    assert_int_equal(vq.breaks, 1);
    assert_int_equal(driver_used_idx(&drv), VQ_COMPLAINTS_MAX); /* all of them came back */
    ring(8, true);
    assert_int_equal(vq.complaints, 0);
}

/* --- R: malformed rings
 * -------------------------------------------------------------------------------- */

/* */
static void a_head_outside_the_table_breaks_the_queue(void **state)
{
    static const u16 bad[] = {8, 9, 0x8000, 0xffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        driver_offer(&drv, bad[i]);
        expect_broken();
    }
}

/* R-08, G-2.7.6.1-01: forwards too far, and backwards. */
static void an_avail_idx_that_jumps_breaks_the_queue(void **state)
{
    static const u16 jump[] = {9, 100, 0x7fff, 0x8000, 0xfffe, 0xffff};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(jump); i++) {
        ring(8, i % 2 == 0);
        driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_offer(&drv, 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
        arena_put16(&arena, drv.avail + VIRTQ_AVAIL_IDX, (u16)(1 + jump[i]));
        assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
        assert_int_equal(driver_used_idx(&drv), 1); /* what was done is shown */
        ring(8, i % 2 == 0);
        arena_put16(&arena, drv.avail + VIRTQ_AVAIL_IDX, jump[i]);
        expect_broken();
    }
}

/* the same head again before it was returned. */
static void a_head_offered_twice_breaks_the_queue(void **state)
{
    static struct vq_chain first;

    (void)state;
    driver_desc(&drv, 3, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 3);
    driver_offer(&drv, 3);
    assert_int_equal(virtq_pop(&vq, &first), ST_OK);
    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_int_equal(vq.state, VQ_BROKEN);
    virtq_push(&vq, &first, 1);
    assert_int_equal(driver_used_idx(&drv), 0);
    ring(8, true);
    driver_desc(&drv, 3, DATA, 1, VIRTQ_DESC_F_WRITE, 0); /* returned, then offered again: fine */
    for (u32 i = 0; i < 3; i++) {
        driver_offer(&drv, 3);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
        expect_used(3, 1);
    }
}

/* two chains through the same descriptor are two chains. */
static void chains_may_share_descriptors(void **state)
{
    static struct vq_chain first;

    (void)state;
    driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 2);
    driver_desc(&drv, 1, DATA, 1, VIRTQ_DESC_F_NEXT, 2);
    driver_desc(&drv, 2, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 0);
    driver_offer(&drv, 1);
    assert_int_equal(virtq_pop(&vq, &first), ST_OK);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 1);
    virtq_push(&vq, &first, 1);
    expect_used(1, 1);
    expect_used(0, 1);
}

/* what we wrote is never read back. */
static void the_used_ring_is_write_only_for_us(void **state)
{
    (void)state;
    for (u32 i = 0; i < 20; i++) {
        arena_fill(&arena, drv.used, (u8)(i * 37), VIRTQ_USED_BYTES(8));
        driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_offer(&drv, 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, i);
        assert_true(virtq_publish(&vq));
        assert_int_equal(driver_used_idx(&drv), i + 1);
        assert_int_equal(arena_get32(&arena, drv.used + VIRTQ_USED_RING(i % 8) + 4), i);
    }
}

/* D-2.7.5.1-02: the table and the available ring are only read. */
static void the_drivers_parts_are_never_written(void **state)
{
    static u8 before[256], after[256];

    (void)state;
    arena.read_only = (struct arena_range){drv.desc, drv.used - drv.desc};
    gmem_forget(&arena.gm);
    ring(8, true);
    driver_desc(&drv, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 0xffff);
    driver_offer(&drv, 0);
    driver_desc(&drv, 1, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 1);
    arena_read(&arena, drv.desc, before, drv.used - drv.desc);
    assert_int_equal(virtq_pop(&vq, &chain), ST_PROTO);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 1);
    virtq_publish(&vq);
    virtq_kick_disable(&vq);
    virtq_kick_enable(&vq);
    arena_read(&arena, drv.desc, after, drv.used - drv.desc);
    assert_memory_equal(before, after, sizeof(before));
}

/* --- I: indirect descriptors
 * ------------------------------------------------------------------------------ */

#define TABLE (DATA + 0x400)

static void indirect(u16 index, u64 table, u32 bytes, u16 flags)
{
    driver_desc(&drv, index, table, bytes, VIRTQ_DESC_F_INDIRECT | flags, 0);
}

/* I-01, G-2.7.5.3.1-01 */
static void indirect_without_the_feature_is_malformed(void **state)
{
    (void)state;
    vq.indirect = false;
    driver_desc_at(&drv, TABLE, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    indirect(0, TABLE, 16, 0);
    expect_malformed(0);
}

/* I-02, G-2.7.5.3.1-02 */
static void indirect_in_indirect_is_malformed(void **state)
{
    (void)state;
    driver_desc_at(&drv, TABLE, 0, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    indirect(0, TABLE, 16, 0);
    expect_malformed(0);
    driver_desc_at(&drv, TABLE, 0, DATA, 4, VIRTQ_DESC_F_NEXT, 1);
    driver_desc_at(&drv, TABLE, 1, TABLE, 32, VIRTQ_DESC_F_INDIRECT, 0);
    indirect(0, TABLE, 32, 0);
    expect_malformed(0);
}

/* I-03, I-05 */
static void a_table_of_an_impossible_length_is_malformed(void **state)
{
    static const u32 bad[] = {0, 1, 8, 15, 17, 31, 0xffffffff, 0xfffffff1};

    (void)state;
    driver_desc_at(&drv, TABLE, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        indirect(0, TABLE, bad[i], 0);
        expect_malformed(0);
    }
}

/* I-03: a table may be longer than the chain in it; only what the chain names is read. */
static void a_table_longer_than_its_chain_is_fine(void **state)
{
    static const u32 bytes[] = {16, 16 * 9, 16 * 65536, 0xfffffff0};

    (void)state;
    driver_desc_at(&drv, TABLE, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    for (u32 i = 0; i < ARRAY_LEN(bytes); i++) {
        indirect(0, TABLE, bytes[i], 0);
        driver_offer(&drv, 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
        expect_used(0, 1);
    }
}

/* I-04: tables over a window edge, at odd addresses, half outside, wrapping. */
static void a_table_may_lie_anywhere_in_memory_only(void **state)
{
    static const u64 good[] = {ARENA_BASE + KIB(64) - 16, ARENA_BASE + KIB(64) - 8,
                               ARENA_BASE + KIB(64) - 1,  TABLE + 1,
                               ARENA_BASE + KIB(64) - 31, ARENA_BASE + KIB(128) - 32};
    static const u64 bad[] = {ARENA_BASE + KIB(128) - 16, ARENA_BASE + KIB(128) - 24, 0,
                              UINT64_MAX - 31, UINT64_MAX - 15};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(good); i++) {
        driver_desc_at(&drv, good[i], 0, DATA, 5, VIRTQ_DESC_F_NEXT, 1);
        driver_desc_at(&drv, good[i], 1, DATA + 8, 6, VIRTQ_DESC_F_WRITE, 0);
        indirect(0, good[i], 32, 0);
        driver_offer(&drv, 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        assert_true(chain.read_bytes == 5 && chain.write_bytes == 6);
        virtq_push(&vq, &chain, 6);
        expect_used(0, 6);
    }
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        if (i < 2) { /* entry 0 is in memory, entry 1 is not, or not all of it */
            driver_desc_at(&drv, bad[i], 0, DATA, 5, VIRTQ_DESC_F_NEXT, 1);
        }
        indirect(0, bad[i], 32, 0);
        expect_malformed(0);
    }
}

/* I-06 */
static void loops_and_exits_of_a_table_are_malformed(void **state)
{
    (void)state;
    driver_desc_at(&drv, TABLE, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 0);
    indirect(0, TABLE, 16, 0);
    expect_malformed(0);
    driver_desc_at(&drv, TABLE, 0, DATA, 1, VIRTQ_DESC_F_NEXT, 1);
    expect_malformed(0);
    indirect(0, TABLE, 32, 0);
    driver_desc_at(&drv, TABLE, 1, DATA, 1, VIRTQ_DESC_F_NEXT, 0xffff);
    expect_malformed(0);
    driver_desc_at(&drv, TABLE, 1, DATA, 1, VIRTQ_DESC_F_NEXT, 0);
    expect_malformed(0);
}

/* I-07, D-2.7.5.3.2-02: plain descriptors, then one table. */
static void a_table_at_the_tail_of_a_chain_is_legal(void **state)
{
    (void)state;
    driver_desc(&drv, 0, DATA, 3, VIRTQ_DESC_F_NEXT, 4);
    driver_desc(&drv, 4, DATA + 16, 4, VIRTQ_DESC_F_NEXT, 2);
    indirect(2, TABLE, 32, 0);
    driver_desc_at(&drv, TABLE, 0, DATA + 32, 5, VIRTQ_DESC_F_NEXT, 1);
    driver_desc_at(&drv, TABLE, 1, DATA + 64, 6, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 0);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count, 3);
    assert_true(chain.read_bytes == 12 && chain.write_bytes == 6);
    virtq_push(&vq, &chain, 6);
    expect_used(0, 6);
    indirect(2, TABLE, 32, VIRTQ_DESC_F_NEXT); /* I-07, G-2.7.5.3.1-04: and nothing after it */
    expect_malformed(0);
}

/* D-2.7.5.3.2-01, R-19 */
static void the_write_flag_of_a_table_is_ignored(void **state)
{
    (void)state;
    indirect(0, TABLE, 32, VIRTQ_DESC_F_WRITE);
    driver_desc_at(&drv, TABLE, 0, DATA, 3, VIRTQ_DESC_F_NEXT, 1);
    driver_desc_at(&drv, TABLE, 1, DATA, 4, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 0);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_true(chain.read_bytes == 3 && chain.write_bytes == 4);
    virtq_push(&vq, &chain, 4);
}

/* I-09 */
static void a_table_over_the_ring_is_the_guests_business(void **state)
{
    (void)state;
    driver_desc(&drv, 1, DATA, 3, VIRTQ_DESC_F_NEXT, 1);
    driver_desc(&drv, 2, DATA, 4, VIRTQ_DESC_F_WRITE, 0);
    indirect(0, drv.desc + 16, 32, 0);
    driver_offer(&drv, 0);
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_true(chain.read_bytes == 3 && chain.write_bytes == 4);
    virtq_push(&vq, &chain, 4);
    expect_used(0, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_ring_gives_nothing),
        TEST(a_chain_is_taken_with_its_spans_in_order),
        TEST(indices_wrap_at_every_size),
        TEST(a_full_ring_is_taken_and_returned_in_any_order),
        TEST(a_batch_is_shown_with_one_store),
        TEST(loops_end_at_the_queue_size),
        TEST(a_chain_of_the_queue_size_is_the_longest),
        TEST(next_outside_the_table_is_malformed),
        TEST(empty_descriptors_add_nothing),
        TEST(a_buffer_that_is_not_memory_is_a_hole),
        TEST(readable_after_writable_is_malformed),
        TEST(unknown_flags_are_ignored),
        TEST(sixteen_malformed_chains_break_the_queue),
        TEST(a_head_outside_the_table_breaks_the_queue),
        TEST(an_avail_idx_that_jumps_breaks_the_queue),
        TEST(a_head_offered_twice_breaks_the_queue),
        TEST(chains_may_share_descriptors),
        TEST(the_used_ring_is_write_only_for_us),
        TEST(the_drivers_parts_are_never_written),
        TEST(indirect_without_the_feature_is_malformed),
        TEST(indirect_in_indirect_is_malformed),
        TEST(a_table_of_an_impossible_length_is_malformed),
        TEST(a_table_longer_than_its_chain_is_fine),
        TEST(a_table_may_lie_anywhere_in_memory_only),
        TEST(loops_and_exits_of_a_table_are_malformed),
        TEST(a_table_at_the_tail_of_a_chain_is_legal),
        TEST(the_write_flag_of_a_table_is_ignored),
        TEST(a_table_over_the_ring_is_the_guests_business),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
