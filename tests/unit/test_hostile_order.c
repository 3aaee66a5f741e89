/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hostile_order.c - the order in which the ring is read, written and fenced.
 *
 * This program has a queue of its own: virtq.c over accessors that write down what they do. On the
 * machine that tests run on a missing barrier would not be seen; here it is. A guest on another
 * core, or an interpreter of another memory order, sees what is written down.
 */
#include "start/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/check.h"

#define EVENTS_MAX 64

enum kind { LOAD, ACQUIRE, STORE, RELEASE, FENCE };

struct event {
    enum kind kind;
    const void *at;
};

static struct event events[EVENTS_MAX];
static u32 event_count;

static void note(enum kind kind, const void *at)
{
    CHECK(event_count < EVENTS_MAX);
    events[event_count++] = (struct event){kind, at};
}

static u16 noted_load_u16(const void *p)
{
    note(LOAD, p);
    return load_u16(p);
}

static u16 noted_acquire_u16(const void *p)
{
    note(ACQUIRE, p);
    return load_acquire_u16(p);
}

static void noted_store_u16(void *p, u16 v)
{
    note(STORE, p);
    store_u16(p, v);
}

static void noted_release_u16(void *p, u16 v)
{
    note(RELEASE, p);
    store_release_u16(p, v);
}

static void noted_barrier(void)
{
    note(FENCE, NULL);
    full_barrier();
}

#define load_u16          noted_load_u16
#define load_acquire_u16  noted_acquire_u16
#define store_u16         noted_store_u16
#define store_release_u16 noted_release_u16
#define full_barrier      noted_barrier
#include "virtio/virtq.c"
#include "tests/fake/driver.h"
#undef load_u16
#undef load_acquire_u16
#undef store_u16
#undef store_release_u16
#undef full_barrier

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain;

static int fresh(void **state)
{
    (void)state;
    arena_init(&arena, 1, KIB(64));
    driver_init(&drv, &arena, NULL);
    drv.size = 8;
    drv.desc = driver_alloc(&drv, VIRTQ_DESC_BYTES(8), 16);
    drv.avail = driver_alloc(&drv, VIRTQ_AVAIL_BYTES(8), 2);
    drv.used = driver_alloc(&drv, VIRTQ_USED_BYTES(8), 4);
    virtq_init(&vq, "ring");
    event_count = 0;
    return 0;
}

static int done(void **state)
{
    (void)state;
    virtq_reset(&vq);
    arena_free(&arena);
    return 0;
}

static void enable(bool event_idx)
{
    const struct virtq_setup setup = {
        .size = 8,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .event_idx = event_idx,
    };

    virtq_reset(&vq);
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
    arena_fill(&arena, drv.avail, 0, VIRTQ_AVAIL_BYTES(8));
    drv.avail_idx = 0;
    drv.features = event_idx ? BIT64(VIRTIO_F_EVENT_IDX) : 0;
    driver_desc(&drv, 3, ARENA_BASE + KIB(8), 16, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, 3);
}

/** Which of the noted events is the first one of kind at addr; EVENTS_MAX: none. */
static u32 when(enum kind kind, u64 addr)
{
    const void *at = addr ? arena_byte(&arena, addr) : NULL;

    for (u32 i = 0; i < event_count; i++) {
        if (events[i].kind == kind && events[i].at == at) {
            return i;
        }
    }
    return EVENTS_MAX;
}

static void take(void)
{
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
}

/* W-01: the index is acquired before the entry behind it is read. */
static void the_index_is_acquired_before_the_entry_is_read(void **state)
{
    u32 index, entry;

    (void)state;
    enable(true);
    event_count = 0;
    take();
    index = when(ACQUIRE, drv.avail + VIRTQ_AVAIL_IDX);
    entry = when(LOAD, drv.avail + VIRTQ_AVAIL_RING(0));
    assert_true(index < entry && entry < EVENTS_MAX);
    virtq_push(&vq, &chain, 0);
}

/* W-03, D-2.7.8.2-01: the index is a release, and the element is there when it happens. */
static void elements_are_visible_before_their_index(void **state)
{
    (void)state;
    enable(true);
    take();
    event_count = 0;
    virtq_push(&vq, &chain, 7);
    assert_true(when(RELEASE, drv.used + VIRTQ_USED_IDX) == EVENTS_MAX);
    assert_int_equal(arena_get32(&arena, drv.used + VIRTQ_USED_RING(0)), 3);
    assert_int_equal(arena_get32(&arena, drv.used + VIRTQ_USED_RING(0) + 4), 7);
    virtq_publish(&vq);
    assert_true(when(RELEASE, drv.used + VIRTQ_USED_IDX) < EVENTS_MAX);
    assert_true(when(STORE, drv.used + VIRTQ_USED_IDX) == EVENTS_MAX);
}

/* W-04, D-2.7.7.2-02, -04: used.idx, a full barrier, and then the driver's wish. */
static void the_index_is_visible_before_the_drivers_wish_is_read(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        u64 wish = drv.avail + (event_idx ? VIRTQ_AVAIL_USED_EVENT(8) : VIRTQ_AVAIL_FLAGS);
        u32 fence;

        enable(event_idx == 1);
        take();
        virtq_push(&vq, &chain, 1);
        event_count = 0;
        virtq_publish(&vq);
        virtq_wants_irq(&vq);
        fence = when(FENCE, 0);
        assert_true(when(RELEASE, drv.used + VIRTQ_USED_IDX) < fence);
        assert_true(fence < when(LOAD, wish) && when(LOAD, wish) < EVENTS_MAX);
    }
}

/* W-04: the wish for kicks, a full barrier, and then the last look before a sleep. */
static void the_wish_for_kicks_is_visible_before_the_last_look(void **state)
{
    (void)state;
    for (u32 event_idx = 0; event_idx < 2; event_idx++) {
        u64 wish = drv.used + (event_idx ? VIRTQ_USED_AVAIL_EVENT(8) : VIRTQ_USED_FLAGS);
        u32 fence;

        enable(event_idx == 1);
        virtq_kick_disable(&vq);
        event_count = 0;
        assert_true(virtq_kick_enable(&vq));
        fence = when(FENCE, 0);
        assert_true(when(STORE, wish) < fence);
        assert_true(fence < when(ACQUIRE, drv.avail + VIRTQ_AVAIL_IDX));
        assert_true(when(ACQUIRE, drv.avail + VIRTQ_AVAIL_IDX) < EVENTS_MAX);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_index_is_acquired_before_the_entry_is_read),
        TEST(elements_are_visible_before_their_index),
        TEST(the_index_is_visible_before_the_drivers_wish_is_read),
        TEST(the_wish_for_kicks_is_visible_before_the_last_look),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
