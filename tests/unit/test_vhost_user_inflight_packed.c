/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vhost_user_inflight_packed.c - dying at the steps of a packed queue's life, and what a
 * successor makes of it. [VHOST-USER] "Inflight I/O tracking"
 */
#include "tools/vhost-user/vu_inflight_packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define SIZE       7u /* no power of two */
#define RING_BYTES 0x400u
#define DATA       (ARENA_BASE + 0x8000)
#define AREA_BYTES 256u
#define MOMENTS    1500u
#define CHAIN_MAX  3u

/* The words of a region, as the specification lays them out. */
#define VERSION_AT  8
#define FREE_AT     12
#define OLD_FREE_AT 14
#define USED_AT     16
#define OLD_USED_AT 18
#define OLD_END     22 /* behind the two wrap counters */
#define DESC_AT(i)  (32 + 32 * (i))
#define NEXT_AT     2
#define NUM_AT      6
#define COUNTER_AT  8
#define ID_AT       16

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain[SIZE];
static struct vu_inflight area;
static struct vu_packed_log journal;
static const char *why;
static u64 random_state;
static u32 given; /* ids that are with the device, one bit each */

/* What would be left if we died now. */
static struct moment {
    u8 ring[RING_BYTES], area[AREA_BYTES];
    struct driver drv;
    u32 given;
} moment[MOMENTS];
static u32 moments, moments_max;
static bool recording;

static u32 random_below(u32 limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)(random_state % limit);
}

static void remember_as(const u8 *content)
{
    struct moment *m = &moment[moments];

    if (recording && moments < moments_max) {
        arena_read(&arena, ARENA_BASE, m->ring, RING_BYTES);
        memcpy(m->area, content, AREA_BYTES);
        m->drv = drv;
        m->given = given;
        moments++;
    }
}

static void remember(void)
{
    remember_as(area.base);
}

/* The journal itself, with a look at what it leaves in its midst. */
static void taking(struct virtq_journal *ours, const struct virtq *queue, u16 from, u16 to)
{
    u8 before[AREA_BYTES], between[AREA_BYTES];
    u16 head;

    (void)ours;
    memcpy(before, area.base, AREA_BYTES);
    memcpy(&head, before + FREE_AT, sizeof(head));
    journal.journal.taking(&journal.journal, queue, from, to);
    /* Marked, and nothing else. */
    memcpy(between, before, AREA_BYTES);
    memcpy(between + DESC_AT(head), area.base + DESC_AT(head), 1);
    memset(between + DESC_AT(head) + NUM_AT, 0, sizeof(u16));
    remember_as(between);
    /* All but the last store. */
    memcpy(between, area.base, AREA_BYTES);
    memcpy(between + OLD_FREE_AT, before + OLD_FREE_AT, sizeof(u16));
    remember_as(between);
    remember();
}

static void showing(struct virtq_journal *ours, const struct virtq *queue, u16 from, u16 to)
{
    u8 before[AREA_BYTES], between[AREA_BYTES];

    (void)ours;
    remember(); /* elements are in the ring that nobody was shown */
    memcpy(before, area.base, AREA_BYTES);
    journal.journal.showing(&journal.journal, queue, from, to);
    memcpy(between, area.base, AREA_BYTES);
    memcpy(between + USED_AT, before + USED_AT, sizeof(u16));
    remember_as(between);
    remember();
}

static void shown(struct virtq_journal *ours, u16 from, u16 to)
{
    u8 before[AREA_BYTES], between[AREA_BYTES];

    (void)ours;
    remember();
    memcpy(before, area.base, AREA_BYTES);
    journal.journal.shown(&journal.journal, from, to);
    /* Some marks are gone, and no old word followed. */
    memcpy(between, area.base, AREA_BYTES);
    memcpy(between + OLD_FREE_AT, before + OLD_FREE_AT, sizeof(u16));
    memcpy(between + OLD_USED_AT, before + OLD_USED_AT, OLD_END - OLD_USED_AT);
    remember_as(between);
    for (u32 i = 0; i < SIZE; i++) {
        if (random_below(2)) {
            between[DESC_AT(i)] = before[DESC_AT(i)];
        }
    }
    remember_as(between);
    /* The list followed, the index did not. */
    memcpy(between, area.base, AREA_BYTES);
    memcpy(between + OLD_USED_AT, before + OLD_USED_AT, OLD_END - OLD_USED_AT);
    remember_as(between);
    remember();
}

static struct virtq_journal recorder = {taking, showing, shown};

static enum status start(u16 *pos, bool *resumed)
{
    why = NULL;
    return vu_packed_start(&area, 0, SIZE, &arena.gm, drv.desc, pos, &journal, resumed, &why);
}

static void life_begin(void)
{
    struct virtq_setup setup = {
        .size = SIZE,
        .desc = drv.desc,
        .avail = drv.avail,
        .used = drv.used,
        .packed = true,
        .first_idx = VQ_FIRST(true),
        .journal = &recorder,
    };
    bool resumed;

    assert_int_equal(start(&setup.first_idx, &resumed), ST_OK);
    setup.again_slot = journal.again;
    setup.again_slot_count = journal.again_count;
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
    moments_max = MOMENTS;
    given = 0;
    arena_init(&arena, 1, KIB(64));
    driver_init(&drv, &arena, NULL);
    drv.packed = true;
    driver_ring(&drv, SIZE);
    virtq_init(&vq, "ring");
    assert_int_equal(vu_inflight_create(&area, &desc, &fd, &why), ST_OK);
    assert_true(vu_packed_region_bytes(SIZE) <= AREA_BYTES);
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

/* --- a driver that offers chains of different lengths, and a device that returns them in any order
 */

static bool offer(u32 count)
{
    const struct driver_piece piece[CHAIN_MAX] = {
        {DATA, 16, false}, {DATA + 64, 512, true}, {DATA + 1024, 1, true}};
    u32 out = 0;
    u16 id;

    for (u32 i = 0; i < SIZE; i++) {
        out += drv.chain[i].used ? drv.chain[i].slots : 0;
    }
    if (out + count > SIZE) {
        return false;
    }
    id = driver_chain(&drv, &piece[CHAIN_MAX - count], count);
    driver_offer(&drv, id);
    given |= 1u << id;
    return true;
}

static void take_back(void)
{
    u32 id, written;

    while (driver_take(&drv, &id, &written)) {
        assert_true(id < SIZE && (given >> id & 1)); /* never one that was not given */
        given &= ~(1u << id);
    }
}

/* Return all that is held, in any order, showing now and then. */
static void return_all(u32 held)
{
    while (held > 0) {
        const u32 which = random_below(held);

        virtq_push(&vq, &chain[which], 1);
        chain[which] = chain[--held];
        remember();
        if (random_below(3) == 0) {
            (void)virtq_publish(&vq);
            take_back();
        }
    }
    (void)virtq_publish(&vq);
    take_back();
}

static void serve_at_random(u32 turns)
{
    for (u32 t = 0; t < turns; t++) {
        u32 held = 0;

        while (random_below(4) > 0 && offer(1 + random_below(CHAIN_MAX))) {
        }
        remember();
        while (virtq_pop(&vq, &chain[held]) == ST_OK) {
            held++;
            if (random_below(3) == 0) {
                (void)offer(1 + random_below(CHAIN_MAX));
            }
        }
        return_all(held);
    }
}

/* The successor of a moment serves what is left; afterwards every chain was returned once. */
static void revive(const struct moment *m)
{
    u32 held = 0;

    arena_write(&arena, ARENA_BASE, m->ring, RING_BYTES);
    memcpy(area.base, m->area, AREA_BYTES);
    drv = m->drv;
    given = m->given;
    life_begin();
    while (virtq_pop(&vq, &chain[held]) == ST_OK) {
        held++;
    }
    assert_int_equal(vq.state, VQ_READY);
    return_all(held);
    assert_int_equal(given, 0);
    for (u32 i = 0; i < SIZE; i++) {
        assert_int_equal(area.base[DESC_AT(i)], 0);
    }
    /* And it goes on as if nothing had been. */
    for (u32 i = 0; i < 2; i++) {
        assert_true(offer(CHAIN_MAX));
        assert_int_equal(virtq_pop(&vq, &chain[0]), ST_OK);
        return_all(1);
        assert_int_equal(given, 0);
    }
    virtq_reset(&vq);
    vu_packed_stop(&journal);
}

static void whenever_we_die_each_request_is_returned_once(void **state)
{
    u32 first;

    (void)state;
    life_begin();
    recording = true;
    serve_at_random(60);
    recording = false;
    assert_int_equal(given, 0);
    virtq_reset(&vq);
    first = moments;
    assert_in_range(first, 1000, MOMENTS);
    for (u32 i = 0; i < first; i++) {
        revive(&moment[i]);
    }
}

static void a_successor_dies_too(void **state)
{
    u32 first, second_max = 0;

    (void)state;
    life_begin();
    recording = true;
    serve_at_random(9);
    first = moments;
    virtq_reset(&vq);
    assert_in_range(first, 100, MOMENTS / 2);
    for (u32 i = 0; i < first; i++) {
        moments = first;
        recording = true;
        revive(&moment[i]);
        recording = false;
        second_max = moments - first > second_max ? moments - first : second_max;
        for (u32 second = first; second < moments; second++) {
            revive(&moment[second]);
        }
    }
    assert_true(second_max > 20);
}

static void refused(void)
{
    u16 pos = VQ_FIRST(true);
    bool resumed;

    assert_int_equal(start(&pos, &resumed), ST_INVAL);
    assert_non_null(why);
    assert_null(journal.region);
}

static void word_put(u32 at, u16 word)
{
    memcpy(area.base + at, &word, sizeof(word));
}

/* F-09: the area is written by the front end. */
static void an_area_that_cannot_be_ours_is_refused(void **state)
{
    u8 good[AREA_BYTES];
    u16 pos = VQ_POSITION(3, 0);
    bool resumed;

    (void)state;
    assert_int_equal(start(&pos, &resumed), ST_OK);
    assert_false(resumed);
    assert_int_equal(
        vu_packed_start(&area, 1, SIZE, &arena.gm, drv.desc, &pos, &journal, &resumed, &why),
        ST_INVAL);
    assert_int_equal(vu_packed_start(&area, 0, 2 * VQ_SIZE_MAX, &arena.gm, drv.desc, &pos, &journal,
                                     &resumed, &why),
                     ST_INVAL);
    memcpy(good, area.base, AREA_BYTES);
    pos = 0;
    assert_int_equal(start(&pos, &resumed), ST_OK);
    assert_true(resumed);
    assert_int_equal(pos, VQ_POSITION(3, 0)); /* where it was, not where we are told */
    word_put(VERSION_AT, 2);
    refused();
    memcpy(area.base, good, AREA_BYTES);
    word_put(USED_AT, SIZE);
    refused();
    memcpy(area.base, good, AREA_BYTES);
    word_put(OLD_USED_AT, UINT16_MAX);
    refused();
    /* A request in flight of no descriptor, of too many, in a circle, with an id that is none. */
    for (u32 i = 0; i < 4; i++) {
        memcpy(area.base, good, AREA_BYTES);
        word_put(FREE_AT, SIZE);
        word_put(OLD_FREE_AT, SIZE);
        area.base[DESC_AT(2)] = 1;
        word_put(DESC_AT(2) + NUM_AT, (u16[]){0, SIZE + 1, 2, 1}[i]);
        word_put(DESC_AT(2) + NEXT_AT, 2);
        word_put(DESC_AT(2) + ID_AT, i == 3 ? SIZE : 0);
        refused();
    }
    /* Two of the same id. */
    memcpy(area.base, good, AREA_BYTES);
    word_put(FREE_AT, SIZE);
    word_put(OLD_FREE_AT, SIZE);
    for (u32 i = 2; i < 4; i++) {
        area.base[DESC_AT(i)] = 1;
        word_put(DESC_AT(i) + NUM_AT, 1);
        word_put(DESC_AT(i) + ID_AT, 5);
    }
    refused();
    vu_inflight_wipe(&area);
    pos = VQ_POSITION(6, 1);
    assert_int_equal(start(&pos, &resumed), ST_OK);
    assert_false(resumed);
}

static void a_free_list_in_a_circle_ends(void **state)
{
    u16 pos = VQ_FIRST(true);
    bool resumed;

    (void)state;
    assert_int_equal(start(&pos, &resumed), ST_OK);
    word_put(DESC_AT(0) + NEXT_AT, 0);
    assert_int_equal(start(&pos, &resumed), ST_OK);
    assert_int_equal(journal.again_count, 0);
    serve_at_random(0);
    virtq_init(&vq, "ring");
    life_begin();
    serve_at_random(20);
    assert_int_equal(given, 0);
}

static void what_was_taken_is_served_in_the_order_of_its_counters(void **state)
{
    static const u16 order[] = {5, 1, 3};
    u16 pos = VQ_FIRST(true);
    bool resumed;

    (void)state;
    assert_int_equal(start(&pos, &resumed), ST_OK);
    word_put(FREE_AT, SIZE);
    word_put(OLD_FREE_AT, SIZE);
    for (u32 i = 0; i < ARRAY_LEN(order); i++) {
        const u64 counter = UINT64_MAX / 8 * (i + 1);

        area.base[DESC_AT(order[i])] = 1;
        word_put(DESC_AT(order[i]) + NUM_AT, 1);
        word_put(DESC_AT(order[i]) + ID_AT, order[i]);
        memcpy(area.base + DESC_AT(order[i]) + COUNTER_AT, &counter, sizeof(counter));
    }
    assert_int_equal(start(&pos, &resumed), ST_OK);
    assert_int_equal(journal.again_chains, ARRAY_LEN(order));
    for (u32 i = 0; i < ARRAY_LEN(order); i++) {
        assert_int_equal(le16_get(journal.again[i].id), order[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(whenever_we_die_each_request_is_returned_once),
        TEST(a_successor_dies_too),
        TEST(an_area_that_cannot_be_ours_is_refused),
        TEST(a_free_list_in_a_circle_ends),
        TEST(what_was_taken_is_served_in_the_order_of_its_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
