/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hostile_memory.c - memory that changes between any two reads, and memory that knows in which
 * order it is touched.
 *
 * Every word of the ring and of a request changes as soon as the device has read it. A device that
 * reads each word once serves the request as it was; one that looks twice sees something else.
 */
#include <string.h>

#include "tests/fake/changing.h"
#include "tests/fake/rig_vblk.h"

#define RINGS   (ARENA_BASE + KIB(64)) /* nothing else lies in its pages */
#define CONTROL (ARENA_BASE + KIB(128))
#define DATA    (ARENA_BASE + KIB(256))

/** The features, with or without EVENT_IDX. */
static u64 features(u32 event_idx)
{
    return event_idx ? UINT64_MAX : ~BIT64(VIRTIO_F_EVENT_IDX);
}

/** A device with its ring at RINGS. */
static void start_at_rings(u32 event_idx, u32 size)
{
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = RINGS;
    driver_start(&b.drv, features(event_idx), size);
    b.drv.free = CONTROL;
}

/** All that the driver writes of the ring, but avail.idx: that is looked at again every turn. */
static void add_ring(void)
{
    changing_add(b.drv.desc, VIRTQ_DESC_BYTES(b.drv.size), 8);
    changing_add(b.drv.avail, 2, 2);
    changing_add(b.drv.avail + VIRTQ_AVAIL_RING(0), 2 * b.drv.size + 2, 2);
}

/** A request at CONTROL, offered. */
static u16 offer(struct driver_blk *blk, u32 type, u64 sector, u32 bytes, bool table)
{
    struct driver_piece piece[] = {
        {0, 16, false}, {DATA, bytes, type != VIRTIO_BLK_T_OUT}, {0, 1, true}};
    u16 head;

    b.drv.free = CONTROL;
    driver_blk_make(&b.drv, blk, type, sector, 0);
    blk->data = DATA;
    blk->bytes = bytes;
    piece[0].addr = blk->header;
    piece[2].addr = blk->status;
    b.drv.free = CONTROL + KIB(4);
    head = table ? driver_chain_indirect(&b.drv, piece, 3) : driver_chain(&b.drv, piece, 3);
    driver_offer(&b.drv, head);
    changing_add(CONTROL, KIB(4), 8);
    if (table) {
        changing_add(CONTROL + KIB(4), 48, 8);
    }
    return head;
}

/** Poll until head comes back. */
static void expect_return(u16 head, u32 written)
{
    u32 id = UINT32_MAX, bytes = UINT32_MAX;

    assert_true(bench_wait(&b, &id, &bytes));
    assert_int_equal(id, head);
    assert_int_equal(bytes, written);
}

/** Poll while everything changes. Returns the cells that did. */
static u32 poll_changing(enum changing_how how)
{
    struct changing changing = {.arena = &b.arena, .how = how};

    changing_start(&changing);
    for (u32 i = 0; i < 20; i++) {
        vblk_poll(&b.vb, 64);
    }
    changing_stop();
    return changing.changes;
}

static void serves_after_a_reset(void)
{
    start_at_rings(1, 64);
    assert_true(bench_serves(&b));
}

/* R-15, I-08, G-3.3.1-01: each kind of request, each way to change, chains and tables. */
static void a_request_is_what_it_was_when_it_was_read(void **state)
{
    (void)state;
    for (u32 mode = 0; mode < 8 * CHANGING_HOW_COUNT; mode++) {
        enum changing_how how = mode / 8;
        bool out = mode & 4, table = mode & 2;
        struct driver_blk blk;
        u8 data[1024];
        u16 head;

        memset(data, 0x5a + (int)mode, sizeof(data));
        start_at_rings(mode & 1, 8);
        arena_write(&b.arena, DATA, data, sizeof(data));
        head = offer(&blk, out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 33, sizeof(data), table);
        add_ring();
        assert_true((poll_changing(how) > 0) == (how != CHANGING_KEEPS));
        expect_return(head, out ? 1 : sizeof(data) + 1);
        arena_read(&b.arena, DATA, data, sizeof(data));
        assert_memory_equal(b.disk + 33 * 512, data, sizeof(data));
        assert_int_equal(data[0] == (u8)(0x5a + (int)mode), out);
        assert_memory_equal(b.disk, b.pristine, 33 * 512);
        assert_memory_equal(b.disk + 35 * 512, b.pristine + 35 * 512, sizeof(b.disk) - 35 * 512);
        memcpy(b.disk, b.pristine, sizeof(b.disk));
        assert_int_equal(b.vb.vdev.needs_resets, 0);
    }
    serves_after_a_reset();
}

/* the same on a disk that is memory, where a request has a shorter way. */
static void a_request_that_is_served_at_once_is_read_once(void **state)
{
    (void)state;
    b.vb.bdev = &b.ram.bdev;
    for (u32 mode = 0; mode < 8 * CHANGING_HOW_COUNT; mode++) {
        bool out = mode & 4;
        struct driver_blk blk;
        u8 data[1024];
        u16 head;

        memset(data, 0x5a + (int)mode, sizeof(data));
        start_at_rings(mode & 1, 8);
        assert_true(bench_serves(&b)); /* the inline lines know this memory */
        arena_write(&b.arena, DATA, data, sizeof(data));
        head = offer(&blk, out ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 33, sizeof(data), mode & 2);
        add_ring();
        poll_changing(mode / 8);
        expect_return(head, out ? 1 : sizeof(data) + 1);
        arena_read(&b.arena, DATA, data, sizeof(data));
        assert_memory_equal(b.disk + 33 * 512, data, sizeof(data));
        assert_memory_equal(b.disk, b.pristine, 33 * 512);
        memcpy(b.disk, b.pristine, sizeof(b.disk));
        assert_int_equal(b.vb.vdev.needs_resets, 0);
    }
    b.vb.bdev = &b.faulty.bdev;
    serves_after_a_reset();
}

/* the same while no inline run answers, so that every entry is copied by itself. */
static void a_copied_entry_is_copied_once(void **state)
{
    (void)state;
    for (u32 mode = 0; mode < 2 * CHANGING_HOW_COUNT; mode++) {
        struct driver_blk blk;
        u16 head;

        start_at_rings(1, 8);
        head = offer(&blk, VIRTIO_BLK_T_IN, 70, 512, mode & 1);
        b.arena.evict = true;
        gmem_forget(&b.arena.gm);
        add_ring();
        poll_changing(mode / 2);
        b.arena.evict = false;
        expect_return(head, 513);
        expect_data(&blk, 70);
    }
    serves_after_a_reset();
}

/* R-15, G-3.3.1-01, -02: while the medium has the request, the driver rewrites and unmaps it all.
 */
static void a_request_in_flight_does_not_look_back(void **state)
{
    (void)state;
    for (u32 table = 0; table < 2; table++) {
        struct driver_blk blk;
        u16 head;

        start_at_rings(table, 8);
        b.faulty.stall = true;
        head = offer(&blk, VIRTIO_BLK_T_IN, 5, 512, table);
        for (u32 i = 0; i < 3; i++) {
            vblk_poll(&b.vb, 64);
        }
        assert_int_equal(b.pool.in_flight, 1);
        arena_fill(&b.arena, b.drv.desc, 0xff, VIRTQ_DESC_BYTES(8));
        arena_fill(&b.arena, CONTROL, 0xff, KIB(8));
        b.arena.hole = (struct arena_range){CONTROL, KIB(256)};
        gmem_forget(&b.arena.gm);
        b.faulty.stall = false;
        changing_add(b.drv.desc, VIRTQ_DESC_BYTES(8), 8);
        changing_add(CONTROL + KIB(4), KIB(4), 8);
        assert_int_equal(poll_changing(CHANGING_FLIPS), 0); /* nothing of it is read again */
        b.arena.hole.bytes = 0;
        expect_return(head, 513);
        expect_data(&blk, 5);
        assert_int_equal(driver_blk_status(&b.drv, &blk), VIRTIO_BLK_S_OK);
    }
    serves_after_a_reset();
}

/* avail.idx changes too. Whatever that means, only the driver is hurt. */
static void an_avail_idx_that_changes_hurts_the_driver_only(void **state)
{
    (void)state;
    for (u32 mode = 0; mode < 2 * CHANGING_HOW_COUNT; mode++) {
        struct driver_blk blk;

        start_at_rings(mode & 1, 8);
        offer(&blk, VIRTIO_BLK_T_IN, 5, 512, false);
        add_ring();
        changing_add(b.drv.avail + VIRTQ_AVAIL_IDX, 2, 2);
        poll_changing(mode / 2);
        assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
        assert_int_equal(b.pool.in_flight, 0);
        serves_after_a_reset();
    }
}

/* --- the order of stores -----------------------------------------------------------------------
 */

struct witness {
    struct driver_blk blk;
    u16 head;
    u32 bytes;
    u32 seen; /* stores of used.idx */
};

static u16 turned(u64 addr)
{
    return arena_get16(&b.arena, addr);
}

/** Just before used.idx is stored all else is there. */
static void all_is_there(void *ctx, u64 addr)
{
    struct witness *w = ctx;
    u8 data[512];

    if (addr != b.drv.used + VIRTQ_USED_IDX) {
        return;
    }
    w->seen++;
    assert_int_equal(turned(addr), b.drv.used_idx);
    assert_int_equal(arena_get32(&b.arena, b.drv.used + VIRTQ_USED_RING(0)), w->head);
    assert_int_equal(arena_get32(&b.arena, b.drv.used + VIRTQ_USED_RING(0) + 4), w->bytes);
    assert_int_equal(driver_blk_status(&b.drv, &w->blk), VIRTIO_BLK_S_OK);
    arena_read(&b.arena, w->blk.data, data, sizeof(data));
    assert_memory_equal(data, b.disk + 9 * 512, sizeof(data));
}

/* D-2.7.8.2-01, -02, B-21, B-19: data, status, length, and only then the index. */
static void everything_is_written_before_the_index_shows_it(void **state)
{
    struct witness w = {.bytes = 513};
    struct changing changing = {.arena = &b.arena, .on_write = all_is_there, .ctx = &w};

    (void)state;
    start_at_rings(1, 8);
    w.head = offer(&w.blk, VIRTIO_BLK_T_IN, 9, 512, false);
    changing_add(b.drv.used, VIRTQ_USED_BYTES(8), 0);
    changing_start(&changing);
    for (u32 i = 0; i < 5; i++) {
        vblk_poll(&b.vb, 64);
    }
    changing_stop();
    assert_int_equal(w.seen, 1);
    expect_return(w.head, 513);
}

static struct changing watched;

/** Accesses to the ring's pages while the device is polled and asked to sleep. */
static u32 accesses(void)
{
    struct changing changing = {.arena = &b.arena};

    changing_add(RINGS, KIB(8), 0);
    changing_start(&changing);
    for (u32 i = 0; i < 10; i++) {
        vblk_poll(&b.vb, 64);
        vblk_arm(&b.vb);
        vblk_disarm(&b.vb);
        driver_kick(&b.drv);
    }
    changing_stop();
    watched = changing;
    return changing.reads + changing.writes;
}

/* D-4.2.2.1-07, D-2.1.2-01, D-2.4.1-02: who may look at the ring, and when. */
static void a_ring_is_touched_only_while_it_may_be(void **state)
{
    struct driver_blk blk;

    (void)state;
    start_at_rings(1, 8);
    assert_true(accesses() > 0);
    offer(&blk, VIRTIO_BLK_T_IN, 9, 512, false);
    changing_stop();
    driver_set(&b.drv, REG_QUEUE_SEL, 0);
    driver_set(&b.drv, REG_QUEUE_READY, 0);
    assert_int_equal(accesses(), 0);
    start_at_rings(1, 8);
    driver_set(&b.drv, REG_STATUS, 0);
    assert_int_equal(accesses(), 0);
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = RINGS;
    assert_true(driver_negotiate(&b.drv, UINT64_MAX));
    assert_true(driver_queue(&b.drv, 8)); /* ready, but no DRIVER_OK */
    driver_offer(&b.drv, 0);
    assert_true(accesses() <= 10 && watched.writes == 0); /* a look at avail.idx consumes nothing */
    assert_int_equal(driver_used_idx(&b.drv), 0);
    serves_after_a_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(a_request_is_what_it_was_when_it_was_read),
        VBLK_TEST(a_request_that_is_served_at_once_is_read_once),
        VBLK_TEST(a_copied_entry_is_copied_once),
        VBLK_TEST(a_request_in_flight_does_not_look_back),
        VBLK_TEST(an_avail_idx_that_changes_hurts_the_driver_only),
        VBLK_TEST(everything_is_written_before_the_index_shows_it),
        VBLK_TEST(a_ring_is_touched_only_while_it_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
