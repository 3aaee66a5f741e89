/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_virtq_life.c - where a ring may lie, how it starts and stops, who is told of what and when.
 */
#include "virtio/virtq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define DATA (ARENA_BASE + 0x8000)

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain;
static struct virtq_setup setup;

/** Place a zeroed ring of size and try to enable it. */
static enum status ring(u32 size, bool event_idx)
{
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
    setup = (struct virtq_setup){
        .size = size,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .event_idx = event_idx,
    };
    return virtq_enable(&vq, &arena.gm, &setup);
}

static int fresh(void **state)
{
    (void)state;
    port_host_now_ns += UINT64_C(60000000000);
    arena_init(&arena, 2, KIB(64));
    driver_init(&drv, &arena, NULL);
    virtq_init(&vq, "ring");
    assert_int_equal(ring(8, true), ST_OK);
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

static bool offer_one(void)
{
    u16 head = drv.avail_idx & (u16)(drv.size - 1);

    driver_desc(&drv, head, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    return driver_offer(&drv, head);
}

/** Offer, take and return n chains one by one; publish after all of them. */
static void serve(u32 n)
{
    for (u32 i = 0; i < n; i++) {
        offer_one();
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
    }
    virtq_publish(&vq);
}

/* --- enabling -----------------------------------------------------------------------------------
 */

/* M-08 */
static void a_size_that_is_no_queue_size_is_refused(void **state)
{
    static const u32 bad[] = {0, 3, 6, 7, 1023, 1025, 2048, 32768, 0x10008, 0x80000000, UINT32_MAX};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        virtq_reset(&vq);
        setup.size = bad[i];
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_INVAL);
        assert_int_equal(vq.state, VQ_OFF);
        assert_int_equal(arena_pinned(&arena), 0);
    }
    for (u32 size = 1; size <= VQ_SIZE_MAX; size *= 2) {
        assert_int_equal(ring(size, true), ST_OK);
    }
}

/* R-13, G-2.7.1-01 */
static void a_misaligned_part_is_refused(void **state)
{
    (void)state;
    for (u64 odd = 1; odd < 16; odd++) {
        struct virtq_setup bad = setup;

        virtq_reset(&vq);
        bad.desc += odd;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &bad), ST_INVAL);
        bad = setup;
        bad.avail += odd;
        bad.used += odd & 3;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &bad), odd % 2 || odd % 4 ? ST_INVAL : ST_OK);
        assert_int_equal(arena_pinned(&arena), vq.state == VQ_READY ? 3 : 0);
    }
}

/* R-13, G-03: every part in turn outside memory, over its end, read-only. */
static void a_part_that_is_not_memory_is_refused(void **state)
{
    static const u64 bad[] = {0, ARENA_BASE - 64, ARENA_BASE + KIB(128), ARENA_BASE + KIB(128) - 16,
                              UINT64_MAX - 15};

    (void)state;
    for (u32 part = 0; part < 3; part++) {
        for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
            struct virtq_setup moved = setup;

            virtq_reset(&vq);
            *(u64 *[]){&moved.desc, &moved.avail, &moved.used}[part] = bad[i];
            assert_int_equal(virtq_enable(&vq, &arena.gm, &moved), ST_GUEST);
            assert_int_equal(vq.state, VQ_OFF);
            assert_int_equal(arena_pinned(&arena), 0);
        }
    }
    arena.read_only = (struct arena_range){setup.used, 8};
    gmem_forget(&arena.gm);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_GUEST);
}

static void a_mapping_that_fails_is_passed_on(void **state)
{
    static const enum status reasons[] = {ST_AGAIN, ST_HYPERCALL};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(reasons); i++) {
        virtq_reset(&vq);
        gmem_forget(&arena.gm);
        arena.fail = reasons[i];
        arena.fail_in = 1;
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), reasons[i]);
        assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    }
}

/* parts that overlap each other or the buffers: the guest's business, and no crash. */
static void parts_may_overlap_and_hurt_the_guest_only(void **state)
{
    (void)state;
    virtq_reset(&vq);
    setup.avail = setup.used = setup.desc;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    for (u32 i = 0; i < 100; i++) {
        arena_put16(&arena, setup.avail + VIRTQ_AVAIL_IDX, (u16)(vq.next + 1));
        if (virtq_pop(&vq, &chain) == ST_OK) {
            virtq_push(&vq, &chain, UINT32_MAX);
        }
        virtq_publish(&vq);
        virtq_wants_irq(&vq);
    }
}

/* a window of ours may end inside any part, at any element. */
static void a_ring_over_a_window_edge_works(void **state)
{
    (void)state;
    for (u32 part = 0; part < 3; part++) {
        static const u32 step[] = {16, 2, 4};
        u32 bytes[] = {VIRTQ_DESC_BYTES(8), VIRTQ_AVAIL_BYTES(8), VIRTQ_USED_BYTES(8)};

        for (u32 before = step[part]; before < bytes[part]; before += step[part]) {
            u64 place = ARENA_BASE + KIB(64) - before;

            assert_int_equal(ring(8, true), ST_OK);
            virtq_reset(&vq);
            *(u64 *[]){&drv.desc, &drv.avail, &drv.used}[part] = place;
            arena_fill(&arena, place, 0, bytes[part]);
            setup.desc = drv.desc;
            setup.avail = drv.avail;
            setup.used = drv.used;
            assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
            assert_int_equal(vq.pin_count, 4);
            virtq_kick_disable(&vq);
            for (u32 i = 0; i < 20; i++) {
                u32 id, written;

                driver_used_event(&drv, (u16)i);
                assert_false(offer_one());
                assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
                virtq_push(&vq, &chain, i + 1);
                virtq_publish(&vq);
                assert_true(virtq_wants_irq(&vq));
                assert_true(driver_take(&drv, &id, &written));
                assert_int_equal(id, i % 8);
                assert_int_equal(written, i + 1);
            }
            assert_false(virtq_kick_enable(&vq));
            assert_true(offer_one());
        }
    }
}

/* A third run cannot be served: it says so and leaves nothing behind. */
static void a_part_in_three_runs_is_refused(void **state)
{
    (void)state;
    virtq_reset(&vq);
    gmem_forget(&arena.gm);
    arena.crumbs = (struct arena_range){setup.desc, 16};
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_NOSUP);
    assert_int_equal(arena_pinned(&arena), 0);
    gmem_forget(&arena.gm);
    arena.crumbs = (struct arena_range){setup.desc, 1}; /* two runs, cut inside an element */
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_NOSUP);
    assert_int_equal(arena_pinned(&arena), 0);
}

static void enabling_twice_is_our_mistake(void **state)
{
    (void)state;
    assert_true(EXPECT_PANIC(virtq_enable(&vq, &arena.gm, &setup)));
}

/* --- resetting
 * -------------------------------------------------------------------------------------- */

/* L-03, L-06, L-08: a request of the last life cannot touch the next one. */
static void requests_in_flight_survive_a_reset_without_a_trace(void **state)
{
    static u8 before[KIB(64)], after[KIB(64)];

    (void)state;
    offer_one();
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_hold(&vq, &chain);
    virtq_hold(&vq, &chain); /* once is enough */
    virtq_reset(&vq);
    assert_int_equal(arena_pinned(&arena), 1); /* its data is held for the medium */
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_AGAIN);
    arena_read(&arena, ARENA_BASE, before, sizeof(before));
    virtq_push(&vq, &chain, 1);
    assert_false(virtq_publish(&vq));
    arena_read(&arena, ARENA_BASE, after, sizeof(after));
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(arena_pinned(&arena), 0);
    assert_int_equal(ring(8, true), ST_OK);
    serve(3);
    assert_int_equal(driver_used_idx(&drv), 3);
}

static void a_queue_that_is_off_shows_no_work(void **state)
{
    (void)state;
    offer_one();
    assert_true(virtq_waiting(&vq));
    virtq_reset(&vq);
    assert_false(virtq_waiting(&vq));
    assert_int_equal(virtq_pop(&vq, &chain), ST_GUEST);
    assert_false(virtq_kick_enable(&vq));
    assert_false(virtq_wants_irq(&vq));
}

/* --- windows
 * ------------------------------------------------------------------------------------------ */

static void a_chain_without_a_window_waits_in_the_ring(void **state)
{
    struct driver_piece piece[] = {{DATA, 16, false}, {ARENA_BASE + KIB(64), 16, true}};

    (void)state;
    arena.pinned_max = 1;
    gmem_forget(&arena.gm);
    driver_offer(&drv, driver_chain(&drv, piece, 2));
    for (u32 i = 0; i < 3; i++) {
        assert_int_equal(virtq_pop(&vq, &chain), ST_FULL);
        assert_int_equal(arena_pinned(&arena), vq.pin_count);
        assert_int_equal(virtq_in_flight(&vq), 0);
    }
    arena.pinned_max = 2;
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 16);
    arena.pinned_max = 1;
    gmem_forget(&arena.gm);
    driver_offer(&drv, driver_chain(&drv, piece, 2));
    assert_int_equal(virtq_pop(&vq, &chain), ST_FULL);
    virtq_drop_next(&vq);
    assert_int_equal(vq.dropped, 1);
    assert_int_equal(virtq_pop(&vq, &chain), ST_AGAIN);
    virtq_drop_next(&vq); /* nothing waits: nothing happens */
    virtq_publish(&vq);
    assert_int_equal(driver_used_idx(&drv), 2);
}

static void an_indirect_table_without_a_window_waits_too(void **state)
{
    u64 table = ARENA_BASE + KIB(64);

    (void)state;
    virtq_reset(&vq);
    setup.indirect = true;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    arena.pinned_max = 1;
    gmem_forget(&arena.gm);
    driver_desc_at(&drv, table, 0, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_desc(&drv, 0, table, 16, VIRTQ_DESC_F_INDIRECT, 0);
    driver_offer(&drv, 0);
    assert_int_equal(virtq_pop(&vq, &chain), ST_FULL);
    arena.pinned_max = 0;
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    virtq_push(&vq, &chain, 1);
}

/* --- interrupts
 * ---------------------------------------------------------------------------------------- */

/* D-2.7.7.2-01, -02: without EVENT_IDX the flag decides, used_event means nothing. */
static void without_event_idx_the_flag_decides(void **state)
{
    static const u16 flags[] = {0, 1, 2, 3, 0xfffe, 0xffff};

    (void)state;
    assert_int_equal(ring(8, false), ST_OK);
    for (u32 i = 0; i < ARRAY_LEN(flags); i++) {
        for (u32 event = 0; event < 20; event++) {
            arena_put16(&arena, drv.avail + VIRTQ_AVAIL_FLAGS, flags[i]);
            driver_used_event(&drv, (u16)event);
            serve(1);
            assert_int_equal(virtq_wants_irq(&vq), (flags[i] & 1) == 0);
        }
    }
}

/* D-2.7.7.2-03, -04: every used_event around every batch, over the wrap. R-22 */
static void with_event_idx_the_crossing_decides(void **state)
{
    (void)state;
    for (u32 batch = 1; batch <= 8; batch++) {
        for (s32 distance = -10; distance <= 10; distance++) {
            for (u32 start = 0; start < 2; start++) {
                u16 from = start ? (u16)(0u - 4) : 7; /* crossing 2^16, and not */

                assert_int_equal(ring(8, true), ST_OK);
                vq.used_next = vq.used_shown = vq.irq_from = from;
                vq.next = vq.avail_seen = from;
                drv.avail_idx = from;
                arena_put16(&arena, drv.avail + VIRTQ_AVAIL_IDX, from);
                arena_put16(&arena, drv.avail + VIRTQ_AVAIL_FLAGS, 1); /* must be ignored */
                driver_used_event(&drv, (u16)(from + distance));
                serve(batch);
                assert_int_equal(virtq_wants_irq(&vq), distance >= 0 && distance < (s32)batch);
                assert_false(virtq_wants_irq(&vq)); /* once per crossing */
            }
        }
    }
}

/* a batch that was published in two steps crosses as one that was asked about once. */
static void a_crossing_is_not_lost_between_publishes(void **state)
{
    (void)state;
    driver_used_event(&drv, 1);
    serve(2);
    serve(2);
    assert_true(virtq_wants_irq(&vq));
    serve(1);
    assert_false(virtq_wants_irq(&vq));
}

/* --- kicks
 * ------------------------------------------------------------------------------------------------
 */

/* D-2.7.10.2-01, -02: the flag is 0 or 1 without EVENT_IDX, and 0 with it. */
static void the_flag_and_the_event_keep_to_their_feature(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        assert_int_equal(ring(8, event_idx == 1), ST_OK);
        virtq_kick_disable(&vq);
        assert_int_equal(arena_get16(&arena, drv.used + VIRTQ_USED_FLAGS), event_idx ? 0 : 1);
        assert_false(offer_one());
        assert_true(virtq_kick_enable(&vq));
        assert_int_equal(arena_get16(&arena, drv.used + VIRTQ_USED_FLAGS), 0);
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
        assert_false(virtq_kick_enable(&vq));
        assert_true(offer_one());
        assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
        virtq_push(&vq, &chain, 1);
    }
}

/* No kick in a million requests while kicks are off, though the parked index wraps around. */
static void no_kick_is_asked_for_while_kicks_are_off(void **state)
{
    u32 kicks = 0;

    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        assert_int_equal(ring(8, event_idx == 1), ST_OK);
        virtq_kick_disable(&vq);
        for (u32 i = 0; i < 200000; i++) {
            kicks += offer_one();
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 1);
        }
    }
    assert_int_equal(kicks, 0);
}

/* The kick is never lost: a chain offered before the arming is seen, one offered after it kicks. */
static void arming_finds_what_came_before_it(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        assert_int_equal(ring(8, event_idx == 1), ST_OK);
        for (u32 i = 0; i < 70000; i++) {
            virtq_kick_disable(&vq);
            if (i % 3 == 0) {
                assert_false(offer_one());
                assert_true(virtq_kick_enable(&vq));
            } else {
                assert_false(virtq_kick_enable(&vq));
                assert_true(offer_one());
            }
            assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
            virtq_push(&vq, &chain, 1);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_size_that_is_no_queue_size_is_refused),
        TEST(a_misaligned_part_is_refused),
        TEST(a_part_that_is_not_memory_is_refused),
        TEST(a_mapping_that_fails_is_passed_on),
        TEST(parts_may_overlap_and_hurt_the_guest_only),
        TEST(a_ring_over_a_window_edge_works),
        TEST(a_part_in_three_runs_is_refused),
        TEST(enabling_twice_is_our_mistake),
        TEST(requests_in_flight_survive_a_reset_without_a_trace),
        TEST(a_queue_that_is_off_shows_no_work),
        TEST(a_chain_without_a_window_waits_in_the_ring),
        TEST(an_indirect_table_without_a_window_waits_too),
        TEST(without_event_idx_the_flag_decides),
        TEST(with_event_idx_the_crossing_decides),
        TEST(a_crossing_is_not_lost_between_publishes),
        TEST(the_flag_and_the_event_keep_to_their_feature),
        TEST(no_kick_is_asked_for_while_kicks_are_off),
        TEST(arming_finds_what_came_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
