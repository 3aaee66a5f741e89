/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtq_order.c - VIRTIO_F_IN_ORDER, on split and packed rings: whatever completes first, the
 * driver takes its buffers back in the order it offered them in. [VIRTIO 2.7.9, 2.8.9, 6.2]
 */
#include "virtio/virtq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define DATA  (ARENA_BASE + 0x8000) /* buffers; the ring lies below */
#define BYTES 8                     /* of each buffer, writable */

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain[VQ_ORDER_MAX + 1];
static bool packed;

static void ring(u32 size)
{
    struct virtq_setup setup = {.size = size,
                                .packed = packed,
                                .in_order = true,
                                .indirect = true,
                                .first_idx = VQ_FIRST(packed)};

    virtq_reset(&vq);
    drv.packed = packed;
    drv.features = BIT64(VIRTIO_F_IN_ORDER);
    drv.free = ARENA_BASE;
    drv.desc = drv.avail = drv.used = 0;
    driver_ring(&drv, size);
    setup.desc = drv.desc;
    setup.avail = drv.avail;
    setup.used = drv.used;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
}

static int fresh(void **state)
{
    (void)state;
    port_host_now_ns += UINT64_C(60000000000);
    arena_init(&arena, 2, KIB(64));
    driver_init(&drv, &arena, NULL);
    virtq_init(&vq, "ring");
    ring(8);
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

static u16 offer(u32 pieces)
{
    struct driver_piece piece[8];
    u16 id;

    for (u32 i = 0; i < pieces; i++) {
        piece[i] = (struct driver_piece){DATA, BYTES, true};
    }
    id = driver_chain(&drv, piece, pieces);
    driver_offer(&drv, id);
    return id;
}

static void expect(u32 id, u32 written)
{
    u32 got, bytes;

    assert_true(driver_take(&drv, &got, &bytes));
    assert_int_equal(got, id);
    assert_int_equal(bytes, written);
}

static void expect_none(void)
{
    u32 got, bytes;

    virtq_publish(&vq);
    assert_false(driver_take(&drv, &got, &bytes));
}

/* D-6.2-02: every order in which four requests can complete. */
static void buffers_come_back_in_the_order_they_were_offered_in(void **state)
{
    (void)state;
    for (u32 order = 0; order < 256; order++) {
        u32 turn[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6};
        u16 id[4];
        u32 back = 0;

        if ((1u << turn[0] | 1u << turn[1] | 1u << turn[2] | 1u << turn[3]) != 15) {
            continue;
        }
        for (u32 i = 0; i < 4; i++) {
            id[i] = offer(1 + i % 2);
            assert_int_equal(virtq_pop(&vq, &chain[i]), ST_OK);
        }
        for (u32 i = 0, pushed = 0; i < 4; i++) {
            virtq_push(&vq, &chain[turn[i]], turn[i]); /* partly written: none speaks for another */
            pushed |= 1u << turn[i];
            assert_int_equal(virtq_in_flight(&vq), 3 - i);
            virtq_publish(&vq);
            while (back < 4 && (pushed >> back & 1)) {
                expect(id[back], back);
                back++;
            }
            expect_none();
        }
    }
}

/* One element stands for a batch whose buffers were all used completely; it lies where the first of
 * them would. */
static void a_batch_is_returned_with_one_element(void **state)
{
    u16 id[4];

    (void)state;
    for (u32 turn = 0; turn < 10; turn++) {
        u64 at = packed ? drv.desc + 16 * (u64)drv.used_slot
                        : drv.used + VIRTQ_USED_RING(drv.used_idx & 7);

        for (u32 i = 0; i < 4; i++) {
            id[i] = offer(1 + i % 2);
            assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
            virtq_push(&vq, &chain[0], i < 3 ? BYTES * (1 + i % 2) : 3);
        }
        assert_true(virtq_publish(&vq));
        assert_int_equal(arena_get32(&arena, at + (packed ? 12 : 0)) & 0xffff, id[3]);
        assert_int_equal(arena_get32(&arena, at + (packed ? 8 : 4)), 3);
        for (u32 i = 0; i < 4; i++) {
            expect(id[i], i < 3 ? BYTES * (1 + i % 2) : 3);
        }
        expect_none();
    }
    assert_int_equal(vq.chains, 40);
}

/* What was not written completely is said for itself: the driver takes what it skips as complete.
 */
static void a_buffer_that_was_not_used_completely_is_not_skipped(void **state)
{
    static const u32 written[] = {BYTES, 3, BYTES, BYTES, 0, BYTES};
    u16 id[ARRAY_LEN(written)];

    (void)state;
    for (u32 turn = 0; turn < 10; turn++) {
        for (u32 i = 0; i < ARRAY_LEN(written); i++) {
            id[i] = offer(1);
            assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
            virtq_push(&vq, &chain[0], written[i]);
        }
        virtq_publish(&vq);
        for (u32 i = 0; i < ARRAY_LEN(written); i++) {
            expect(id[i], written[i]);
        }
    }
}

/* R-24, G-2.7.5.2-02, G-2.7.5.3.1-05: a driver that promised to lay out its chains in sequence, and
 * does not, in the table of the ring and in an indirect one: we follow next, as ever. */
static void chains_that_are_out_of_sequence_are_followed(void **state)
{
    u64 table = DATA + 0x100;

    (void)state;
    if (packed) {
        return; /* a packed chain has no next */
    }
    driver_desc(&drv, 5, DATA, 1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
    driver_desc(&drv, 2, DATA, 2, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 7);
    driver_desc(&drv, 7, DATA, 3, VIRTQ_DESC_F_WRITE, 0);
    driver_desc(&drv, 0, table, 48, VIRTQ_DESC_F_INDIRECT, 0);
    driver_desc_at(&drv, table, 0, DATA, 1, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2);
    driver_desc_at(&drv, table, 2, DATA, 2, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 1);
    driver_desc_at(&drv, table, 1, DATA, 3, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 5);
    driver_offer(&drv, 0);
    for (u32 i = 0; i < 2; i++) {
        assert_int_equal(virtq_pop(&vq, &chain[i]), ST_OK);
        assert_int_equal(chain[i].write_bytes, 6);
    }
    virtq_push(&vq, &chain[1], 5);
    virtq_push(&vq, &chain[0], 5);
    virtq_publish(&vq);
    expect(5, 5);
    expect(0, 5);
}

/* A malformed chain takes its turn like any other. */
static void a_malformed_chain_waits_for_its_turn(void **state)
{
    const struct driver_piece bad[] = {{DATA, 1, true}, {DATA, 1, false}};
    u16 good, wrong;

    (void)state;
    for (u32 turn = 0; turn < 10; turn++) {
        good = offer(1);
        assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
        wrong = driver_chain(&drv, bad, ARRAY_LEN(bad));
        driver_offer(&drv, wrong);
        assert_int_equal(virtq_pop(&vq, &chain[1]), ST_PROTO);
        expect_none();
        virtq_push(&vq, &chain[0], BYTES);
        virtq_publish(&vq);
        expect(good, BYTES);
        expect(wrong, 0);
    }
}

/* No more are taken than can wait for their turn; then the next one is. */
static void no_more_are_taken_than_can_wait(void **state)
{
    u16 id[VQ_ORDER_MAX + 1];

    (void)state;
    ring(64);
    for (u32 turn = 0; turn < 5; turn++) {
        for (u32 i = 0; i <= VQ_ORDER_MAX; i++) {
            id[i] = offer(1);
        }
        for (u32 i = 0; i < VQ_ORDER_MAX; i++) {
            assert_int_equal(virtq_pop(&vq, &chain[i]), ST_OK);
        }
        assert_int_equal(virtq_pop(&vq, &chain[VQ_ORDER_MAX]), ST_FULL);
        virtq_drop_next(&vq); /* its turn has not come either */
        for (u32 i = VQ_ORDER_MAX; i-- > 1;) {
            virtq_push(&vq, &chain[i], 1);
            assert_int_equal(virtq_pop(&vq, &chain[VQ_ORDER_MAX]), ST_FULL);
        }
        expect_none();
        virtq_push(&vq, &chain[0], 1);
        assert_int_equal(virtq_pop(&vq, &chain[VQ_ORDER_MAX]), ST_OK);
        virtq_push(&vq, &chain[VQ_ORDER_MAX], 1);
        virtq_publish(&vq);
        for (u32 i = 0; i <= VQ_ORDER_MAX; i++) {
            expect(id[i], 1);
        }
    }
}

/* A reset with requests in flight, returned and waiting, staged: all are accounted for, and nothing
 * is written any more. */
static void a_reset_forgets_what_waits_for_its_turn(void **state)
{
    static u8 before[KIB(64)], after[KIB(64)];

    (void)state;
    for (u32 turn = 0; turn < 4; turn++) {
        for (u32 i = 0; i < 5; i++) {
            offer(1);
            assert_int_equal(virtq_pop(&vq, &chain[i]), ST_OK);
        }
        virtq_push(&vq, &chain[0], BYTES); /* staged */
        virtq_push(&vq, &chain[2], BYTES); /* waits for [1] */
        assert_int_equal(virtq_in_flight(&vq), 3);
        virtq_reset(&vq);
        assert_int_equal(virtq_in_flight(&vq), 3);
        arena_read(&arena, ARENA_BASE, before, sizeof(before));
        virtq_push(&vq, &chain[1], BYTES);
        virtq_push(&vq, &chain[3], BYTES);
        virtq_push(&vq, &chain[4], BYTES);
        assert_false(virtq_publish(&vq));
        arena_read(&arena, ARENA_BASE, after, sizeof(after));
        assert_memory_equal(before, after, sizeof(before));
        ring(8);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(buffers_come_back_in_the_order_they_were_offered_in),
        TEST(a_batch_is_returned_with_one_element),
        TEST(a_buffer_that_was_not_used_completely_is_not_skipped),
        TEST(chains_that_are_out_of_sequence_are_followed),
        TEST(a_malformed_chain_waits_for_its_turn),
        TEST(no_more_are_taken_than_can_wait),
        TEST(a_reset_forgets_what_waits_for_its_turn),
    };
    int failed = cmocka_run_group_tests_name("split", tests, NULL, NULL);

    packed = true;
    return failed + cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
