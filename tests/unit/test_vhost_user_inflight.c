/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vhost_user_inflight.c - dying at every step of a queue's life, and what a successor makes of
 * it. [VHOST-USER] "Inflight I/O tracking"
 */
#include "tools/vhost-user/vu_inflight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define SIZE       8u
#define RING_BYTES 0x1000u
#define DATA       (ARENA_BASE + 0x8000)
#define AREA_BYTES 256u
#define MOMENTS    4096u

/* The words of a region, as the specification lays them out. */
#define REGION_VERSION_AT 8
#define REGION_BATCH_AT   12
#define REGION_USED_AT    14
#define DESC_AT(i)        (16 + 16 * (i))
#define DESC_NEXT_AT      6
#define DESC_COUNTER_AT   8

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain[SIZE];
static struct vu_inflight area;
static struct vu_inflight_log journal;
static const char *why;
static u64 random_state;

/* What would be left if we died now. */
static struct moment {
    u8 ring[RING_BYTES], area[AREA_BYTES];
    u16 avail_idx;
} moment[MOMENTS];
static u32 moments;
static bool recording;

static u32 random_below(u32 limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state % limit);
}

static void remember(void)
{
    struct moment *m = &moment[moments];

    if (recording) {
        assert_true(moments < MOMENTS);
        arena_read(&arena, ARENA_BASE, m->ring, RING_BYTES);
        memcpy(m->area, area.base, AREA_BYTES);
        m->avail_idx = drv.avail_idx;
        moments++;
    }
}

/* The journal itself, with a look at what it leaves after each request. */
static void taking(struct virtq_journal *ours, const struct virtq *queue, u16 from, u16 to)
{
    (void)ours;
    for (u16 idx = from; idx != to; idx++) {
        journal.journal.taking(&journal.journal, queue, idx, (u16)(idx + 1));
        remember();
    }
}

static void showing(struct virtq_journal *ours, const struct virtq *queue, u16 from, u16 to)
{
    (void)ours;
    for (u16 idx = from; idx != to; idx++) {
        journal.journal.showing(&journal.journal, queue, idx, (u16)(idx + 1));
        remember();
    }
}

static void shown(struct virtq_journal *ours, u16 from, u16 to)
{
    const u16 count = (u16)(to - from);
    u8 whole[AREA_BYTES];
    u16 head;

    (void)ours;
    remember();
    /* The batch half cleared. */
    memcpy(whole, area.base, AREA_BYTES);
    memcpy(&head, area.base + REGION_BATCH_AT, sizeof(head));
    for (u16 i = 0; i < count; i++) {
        area.base[DESC_AT(head)] = 0;
        remember();
        memcpy(&head, area.base + DESC_AT(head) + DESC_NEXT_AT, sizeof(head));
    }
    memcpy(area.base, whole, AREA_BYTES);
    journal.journal.shown(&journal.journal, from, to);
    remember();
}

static struct virtq_journal recorder = {taking, showing, shown};

static void life_begin(void)
{
    struct virtq_setup setup = {
        .size = SIZE,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .journal = &recorder,
    };
    bool resumed;

    setup.first_idx = driver_used_idx(&drv);
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, setup.first_idx, &journal, &resumed, &why),
                     ST_OK);
    setup.again = journal.again;
    setup.again_count = journal.again_count;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
}

static int fresh(void **state)
{
    struct vu_inflight_desc desc = {0, 0, 1, SIZE};
    int fd;

    (void)state;
    port_host_now_ns += UINT64_C(60000000000);
    random_state = UINT64_C(0x9e3779b97f4a7c15);
    recording = false;
    moments = 0;
    arena_init(&arena, 1, KIB(64));
    driver_init(&drv, &arena, NULL);
    drv.size = SIZE;
    drv.free = ARENA_BASE;
    drv.desc = driver_alloc(&drv, VIRTQ_DESC_BYTES(SIZE), 16);
    drv.avail = driver_alloc(&drv, VIRTQ_AVAIL_BYTES(SIZE), 2);
    drv.used = driver_alloc(&drv, VIRTQ_USED_BYTES(SIZE), 4);
    virtq_init(&vq, "ring");
    assert_int_equal(vu_inflight_create(&area, &desc, &fd, &why), ST_OK);
    assert_true(vu_inflight_bytes(1, SIZE) <= AREA_BYTES);
    close(fd);
    return 0;
}

static int done(void **state)
{
    (void)state;
    virtq_reset(&vq);
    assert_int_equal(arena_pinned(&arena), 0);
    vu_inflight_detach(&area);
    arena_free(&arena);
    return 0;
}

/* --- a driver with descriptors that it uses again in the order in which they come back ----------
 */

static u32 given; /* heads that are with the device, one bit each */

static void offer(void)
{
    u16 head = (u16)random_below(SIZE);

    while (given >> head & 1) {
        head = (u16)((head + 1) % SIZE);
    }
    given |= 1u << head;
    driver_desc(&drv, head, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
    driver_offer(&drv, head);
}

static void take_back(void)
{
    u32 head, written;

    while (driver_take(&drv, &head, &written)) {
        assert_true(head < SIZE && (given >> head & 1)); /* never one that was not given */
        given &= ~(1u << head);
    }
}

/* Serve a while, completing in any order, some requests staying with us from turn to turn. */
static void serve_at_random(u32 turns)
{
    u32 held = 0;

    for (u32 t = 0; t < turns; t++) {
        while (__builtin_popcount(given) < (int)SIZE && random_below(4) > 0) {
            offer();
        }
        remember();
        while (held < SIZE && virtq_pop(&vq, &chain[held]) == ST_OK) {
            held++;
        }
        while (held > 0 && random_below(3) > 0) {
            const u32 which = random_below(held);

            virtq_push(&vq, &chain[which], 1);
            chain[which] = chain[--held];
        }
        (void)virtq_publish(&vq);
        take_back();
    }
    while (held > 0) {
        virtq_push(&vq, &chain[--held], 1);
    }
    (void)virtq_publish(&vq);
    take_back();
}

/* The successor of a moment serves what is left; afterwards every head was returned once. */
static void revive(const struct moment *m)
{
    const u16 used_before =
        (u16)(m->ring[drv.used - ARENA_BASE + 2] | m->ring[drv.used - ARENA_BASE + 3] << 8);
    u32 expected = 0, returned = 0;

    arena_write(&arena, ARENA_BASE, m->ring, RING_BYTES);
    memcpy(area.base, m->area, AREA_BYTES);
    /* What the driver waits for: what it offered less what it was shown. */
    drv.avail_idx = m->avail_idx;
    drv.used_idx = used_before;
    expected = (u16)(m->avail_idx - used_before);
    given = 0;
    life_begin();
    while (virtq_pop(&vq, &chain[0]) == ST_OK) {
        assert_false(given >> chain[0].head & 1); /* served twice */
        given |= 1u << chain[0].head;
        virtq_push(&vq, &chain[0], 1);
        (void)virtq_publish(&vq);
        returned++;
    }
    assert_int_equal(vq.state, VQ_READY);
    assert_int_equal(returned, expected);
    assert_int_equal(driver_used_idx(&drv), m->avail_idx);
    for (u32 i = 0; i < SIZE; i++) {
        assert_int_equal(area.base[DESC_AT(i)], 0);
    }
    virtq_reset(&vq);
    vu_inflight_stop(&journal);
}

static void whenever_we_die_each_request_is_returned_once(void **state)
{
    (void)state;
    given = 0;
    life_begin();
    recording = true;
    serve_at_random(250);
    recording = false;
    assert_int_equal(given, 0);
    virtq_reset(&vq);
    assert_in_range(moments, 1000, MOMENTS - 1);
    for (u32 i = 0; i < moments; i++) {
        revive(&moment[i]);
    }
}

static void a_successor_dies_too(void **state)
{
    u32 first;

    (void)state;
    given = 0;
    life_begin();
    recording = true;
    serve_at_random(40);
    first = moments;
    virtq_reset(&vq);
    assert_in_range(first, 200, MOMENTS / 2);
    /* Each moment of the first life is the beginning of a second one, whose moments are tried. */
    for (u32 i = 0; i < first; i++) {
        moments = first;
        recording = true;
        revive(&moment[i]);
        recording = false;
        for (u32 second = first; second < moments; second++) {
            revive(&moment[second]);
        }
    }
}

static void mark_inflight(u16 head, u64 counter)
{
    area.base[DESC_AT(head)] = 1;
    memcpy(area.base + DESC_AT(head) + DESC_COUNTER_AT, &counter, sizeof(counter));
}

static void what_was_taken_is_served_in_the_order_of_its_counters_then_the_ring(void **state)
{
    static const u16 order[] = {5, 1, 7, 0, 2, 3};
    struct vu_inflight_log successor;
    bool resumed;

    (void)state;
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, 0, &journal, &resumed, &why), ST_OK);
    assert_false(resumed);
    /* Six were offered, four taken in another order than the ring's, which the driver may have
     * overwritten since. */
    for (u16 i = 0; i < 6; i++) {
        driver_desc(&drv, (u16)(7 - i), DATA, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_desc(&drv, i, DATA, 1, VIRTQ_DESC_F_WRITE, 0);
        driver_offer(&drv, i < 4 ? 6 : (u16)(i - 2));
    }
    for (u32 i = 0; i < 4; i++) {
        mark_inflight(order[i], UINT64_MAX / 8 * (i + 1));
    }
    life_begin();
    for (u32 i = 0; i < 6; i++) {
        assert_int_equal(virtq_pop(&vq, &chain[i]), ST_OK);
        assert_int_equal(chain[i].head, order[i]);
    }
    /* And so once more, should we die with all of them. */
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, 0, &successor, &resumed, &why), ST_OK);
    assert_int_equal(successor.again_count, 6);
    assert_memory_equal(successor.again, order, sizeof(order));
    for (u32 i = 0; i < 6; i++) {
        virtq_push(&vq, &chain[i], 1);
    }
}

static void refused(u16 used_idx)
{
    bool resumed;

    why = NULL;
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, used_idx, &journal, &resumed, &why),
                     ST_INVAL);
    assert_non_null(why);
    assert_null(journal.region);
}

/* F-09: the area is written by the front end. */
static void an_area_that_cannot_be_ours_is_refused(void **state)
{
    bool resumed;
    u16 word;

    (void)state;
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, 5, &journal, &resumed, &why), ST_OK);
    assert_int_equal(vu_inflight_start(&area, 1, SIZE, 5, &journal, &resumed, &why), ST_INVAL);
    assert_int_equal(vu_inflight_start(&area, 0, 2 * VQ_SIZE_MAX, 5, &journal, &resumed, &why),
                     ST_INVAL);
    refused(5 + SIZE + 1); /* a batch longer than the ring */
    refused(4);            /* used.idx went back */
    word = SIZE;           /* the last batch begins outside the table */
    memcpy(area.base + REGION_BATCH_AT, &word, sizeof(word));
    refused(6);
    word = 3; /* ... and leads outside of it */
    memcpy(area.base + REGION_BATCH_AT, &word, sizeof(word));
    word = UINT16_MAX;
    memcpy(area.base + DESC_AT(3) + DESC_NEXT_AT, &word, sizeof(word));
    refused(7);
    word = 2;
    memcpy(area.base + REGION_VERSION_AT, &word, sizeof(word));
    refused(5);
    /* After a wipe it is as new. */
    vu_inflight_wipe(&area);
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, 9, &journal, &resumed, &why), ST_OK);
    assert_false(resumed);
    memcpy(&word, area.base + REGION_USED_AT, sizeof(word));
    assert_int_equal(word, 9);
}

static void a_batch_that_leads_in_a_circle_ends(void **state)
{
    bool resumed;
    u16 word = 3;

    (void)state;
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, 0, &journal, &resumed, &why), ST_OK);
    memcpy(area.base + REGION_BATCH_AT, &word, sizeof(word));
    memcpy(area.base + DESC_AT(3) + DESC_NEXT_AT, &word, sizeof(word));
    mark_inflight(3, 1);
    mark_inflight(4, 2);
    assert_int_equal(vu_inflight_start(&area, 0, SIZE, SIZE, &journal, &resumed, &why), ST_OK);
    assert_true(resumed);
    assert_int_equal(journal.again_count, 1);
    assert_int_equal(journal.again[0], 4);
}

static void a_head_outside_the_ring_is_not_recorded(void **state)
{
    u8 before[AREA_BYTES];

    (void)state;
    life_begin();
    memcpy(before, area.base, AREA_BYTES);
    driver_offer(&drv, SIZE + 100);
    assert_int_equal(virtq_pop(&vq, &chain[0]), ST_GUEST);
    assert_memory_equal(before, area.base, AREA_BYTES);
}

static void a_queue_that_stops_leaves_nothing_inflight(void **state)
{
    (void)state;
    given = 0;
    life_begin();
    for (u32 i = 0; i < 5; i++) {
        offer();
    }
    /* All five are seen, two taken and returned. */
    for (u32 i = 0; i < 2; i++) {
        assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
        virtq_push(&vq, &chain[0], 1);
    }
    (void)virtq_publish(&vq);
    virtq_reset(&vq);
    vu_inflight_stop(&journal);
    for (u32 i = 0; i < SIZE; i++) {
        assert_int_equal(area.base[DESC_AT(i)], 0);
    }
    life_begin();
    assert_int_equal(journal.again_count, 0);
    for (u32 i = 0; i < 3; i++) {
        assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
        virtq_push(&vq, &chain[0], 1);
    }
    (void)virtq_publish(&vq);
    take_back();
    assert_int_equal(given, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whenever_we_die_each_request_is_returned_once),
        TEST(a_successor_dies_too),
        TEST(what_was_taken_is_served_in_the_order_of_its_counters_then_the_ring),
        TEST(an_area_that_cannot_be_ours_is_refused),
        TEST(a_batch_that_leads_in_a_circle_ends),
        TEST(a_head_outside_the_ring_is_not_recorded),
        TEST(a_queue_that_stops_leaves_nothing_inflight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
