/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk_quick.c - requests that are over when their data is copied.
 *
 * The quick way must be invisible: a driver gets the same bytes, status and used length as from
 * the general way, whatever it sends. And it must be taken, or the test shows nothing: the medium
 * counts the requests that reach it.
 */
#include "virtio/vblk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/bench.h"
#include "tests/fake/port_host.h"
#include "virtio/virtq_quick.h"

static struct bench quick, general;
static const struct bdev_ops *ram_ops;
static struct bdev_ops counting_ops;
static u32 submits;

static enum status counting_submit(struct bdev *dev, struct blk_req *req)
{
    submits++;
    return ram_ops->submit(dev, req);
}

/** What the medium is asked for from here on is counted. */
static void count_submits(struct bench *b)
{
    ram_ops = b->ram.bdev.ops;
    counting_ops = *ram_ops;
    counting_ops.submit = counting_submit;
    b->ram.bdev.ops = &counting_ops;
    submits = 0;
}

static int done(void **state)
{
    (void)state;
    bench_done(&quick);
    return 0;
}

static void start(const struct bench_setup *setup)
{
    struct bench_setup direct = *setup;

    port_host_now_ns += UINT64_C(60000000000);
    direct.direct = true;
    bench_init(&quick, &direct);
    count_submits(&quick);
}

static int fresh(void **state)
{
    (void)state;
    start(&(struct bench_setup){0});
    return 0;
}

/** One request as three buffers, through the ring's table or an indirect one. */
static u8 run(struct bench *b, const struct driver_blk *blk, bool read, bool indirect, u32 *written)
{
    const struct driver_piece piece[] = {
        {blk->header, sizeof(struct vblk_header), false},
        {blk->data, blk->bytes, read},
        {blk->status, 1, true},
    };
    u16 head =
        indirect ? driver_chain_indirect(&b->drv, piece, 3) : driver_chain(&b->drv, piece, 3);

    return bench_run_head(b, head, blk, written);
}

static const u32 lengths[] = {512, 1024, 4096, 65536, 131072, RAMDISK_SLICE_BYTES};

static void a_read_is_over_when_it_is_copied(void **state)
{
    static u8 data[RAMDISK_SLICE_BYTES];

    (void)state;
    for (u32 i = 0; i < 2 * ARRAY_LEN(lengths); i++) {
        u32 bytes = lengths[i / 2], written;
        u64 sector = 7 * i;
        struct driver_blk blk;

        quick.drv.free = ARENA_BASE + MIB(1) / 2;
        driver_blk_make(&quick.drv, &blk, VIRTIO_BLK_T_IN, sector, bytes);
        (void)run(&quick, &blk, true, i % 2, NULL); /* maps the windows */
        submits = 0;
        assert_int_equal(run(&quick, &blk, true, i % 2, &written), VIRTIO_BLK_S_OK);
        assert_int_equal(submits, 0);
        assert_int_equal(written, bytes + 1);
        arena_read(&quick.arena, blk.data, data, bytes);
        assert_memory_equal(data, quick.pristine + sector * SECTOR_BYTES, bytes);
    }
    assert_true(quick.vb.reads == 4 * ARRAY_LEN(lengths) && quick.vb.writes == 0);
    assert_true(quick.ram.bdev.requests[BLK_READ] == quick.vb.reads);
    assert_true(quick.vb.bytes_written == 0 && vdev_requests(&quick.vb.vdev) == quick.vb.reads);
}

static void a_write_is_over_when_it_is_copied(void **state)
{
    static u8 data[RAMDISK_SLICE_BYTES];

    (void)state;
    for (u32 i = 0; i < 2 * ARRAY_LEN(lengths); i++) {
        u32 bytes = lengths[i / 2], written;
        u64 sector = 3 * i;
        struct driver_blk blk;

        quick.drv.free = ARENA_BASE + MIB(1) / 2;
        memset(data, (int)i + 1, bytes);
        driver_blk_make(&quick.drv, &blk, VIRTIO_BLK_T_OUT, sector, bytes);
        arena_write(&quick.arena, blk.data, data, bytes);
        (void)run(&quick, &blk, false, i % 2, NULL);
        memset(quick.disk + sector * SECTOR_BYTES, 0, bytes);
        submits = 0;
        assert_int_equal(run(&quick, &blk, false, i % 2, &written), VIRTIO_BLK_S_OK);
        assert_int_equal(submits, 0);
        assert_int_equal(written, 1);
        assert_memory_equal(data, quick.disk + sector * SECTOR_BYTES, bytes);
    }
    assert_true(quick.vb.writes == 4 * ARRAY_LEN(lengths) && quick.vb.reads == 0);
    assert_true(quick.ram.bdev.requests[BLK_WRITE] == quick.vb.writes);
    assert_true(quick.vb.bytes_read == 0 && quick.vb.bytes_written > 0);
}

/* A unit of a budget is a request or 64 KiB of its data, whichever way it is served. */
static void a_turn_ends_with_its_budget(void **state)
{
    u32 before = 0;

    (void)state;
    for (u32 i = 0; i < 16; i++) {
        struct driver_blk blk;

        quick.drv.free = ARENA_BASE + MIB(1) / 2 + i * 1024;
        driver_blk_make(&quick.drv, &blk, VIRTIO_BLK_T_IN, i, 512);
        driver_blk_offer(&quick.drv, &blk, true);
    }
    for (u32 served = 0; served < 16; served += 4) {
        assert_int_equal(vblk_poll(&quick.vb, 4), 4);
        before += 4;
        assert_int_equal(driver_used_idx(&quick.drv), before);
    }
    assert_int_equal(vblk_poll(&quick.vb, 4), 0);
}

/* What the quick way does not take reaches the medium or its refusal by the general way. */
static void a_request_that_is_with_the_medium_turns_it_off(void **state)
{
    struct driver_blk slow, fast;
    u32 id, written;

    (void)state;
    bench_done(&quick);
    start(&(struct bench_setup){.window_bytes = MIB(2)});
    quick.drv.free = ARENA_BASE + KIB(64);
    driver_blk_make(&quick.drv, &slow, VIRTIO_BLK_T_IN, 0, RAMDISK_SLICE_BYTES + 512);
    driver_blk_make(&quick.drv, &fast, VIRTIO_BLK_T_IN, 0, 512);
    driver_blk_offer(&quick.drv, &slow, true);
    assert_true(vblk_poll(&quick.vb, 1) > 0);
    assert_int_equal(quick.vb.in_flight, 1);
    submits = 0;
    driver_blk_offer(&quick.drv, &fast, true);
    assert_true(vblk_poll(&quick.vb, 64) > 0);
    assert_int_equal(submits, 1);
    assert_true(bench_wait(&quick, &id, &written) && bench_wait(&quick, &id, &written));
    assert_int_equal(driver_blk_status(&quick.drv, &slow), VIRTIO_BLK_S_OK);
    assert_int_equal(driver_blk_status(&quick.drv, &fast), VIRTIO_BLK_S_OK);
    assert_true(bench_serves(&quick));
}

/* --- the same as the general way ------------------------------------------------------------ */

static u64 seed;

static u32 random_below(u32 limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (u32)(seed >> 33) % limit;
}

/** A request as a driver of ill will makes it, at the same place of each arena. */
struct wild {
    u32 type, data_bytes, header_bytes, status_bytes, header_skew;
    u64 sector;
    bool read, indirect, outside;
};

static struct wild wild_make(void)
{
    static const u64 sectors[] = {0,
                                  1,
                                  BENCH_DISK_SECTORS - 8,
                                  BENCH_DISK_SECTORS - 1,
                                  BENCH_DISK_SECTORS,
                                  UINT64_MAX / 512,
                                  UINT64_MAX};
    static const u32 bytes[] = {0, 1, 511, 512, 513, 4096, 8192};
    struct wild w = {
        .type = random_below(2),
        .data_bytes = bytes[random_below(ARRAY_LEN(bytes))],
        .header_bytes = 16,
        .status_bytes = 1,
        .sector = random_below(2) ? random_below(BENCH_DISK_SECTORS)
                                  : sectors[random_below(ARRAY_LEN(sectors))],
        .indirect = random_below(2),
    };

    w.read = w.type == VIRTIO_BLK_T_IN;
    switch (random_below(16)) {
    case 0:
        w.read = !w.read;
        break;
    case 1:
        w.type = random_below(32);
        break;
    case 2:
        w.header_bytes = random_below(32);
        break;
    case 3:
        w.status_bytes = random_below(3);
        break;
    case 4:
        w.header_skew = random_below(8);
        break;
    case 5:
        w.outside = true;
        break;
    default:
        break;
    }
    return w;
}

/** Run it; the used length, and the status byte, which is 0xff when none was written. */
static u32 wild_run(struct bench *b, const struct wild *w, u8 *status)
{
    struct driver_blk blk;
    struct driver_piece piece[3];
    struct vblk_header header;
    u32 id, written;

    b->drv.free = ARENA_BASE + KIB(64);
    driver_blk_make(&b->drv, &blk, w->type, w->sector, w->data_bytes);
    arena_read(&b->arena, blk.header, &header, sizeof(header));
    arena_write(&b->arena, blk.header + w->header_skew, &header, sizeof(header));
    arena_fill(&b->arena, blk.data, (u8)w->sector, w->data_bytes);
    arena_fill(&b->arena, blk.status, 0xff, 1);
    piece[0] = (struct driver_piece){blk.header + w->header_skew, w->header_bytes, false};
    piece[1] = (struct driver_piece){w->outside ? 64 : blk.data, w->data_bytes, w->read};
    piece[2] = (struct driver_piece){blk.status, w->status_bytes, true};
    driver_offer(&b->drv, w->indirect ? driver_chain_indirect(&b->drv, piece, 3)
                                      : driver_chain(&b->drv, piece, 3));
    assert_true(bench_wait(b, &id, &written));
    *status = driver_blk_status(&b->drv, &blk);
    return written;
}

static void compare(const struct bench_setup *setup, u32 rounds)
{
    bench_done(&quick);
    start(setup);
    bench_init(&general, setup);
    for (u32 i = 0; i < rounds; i++) {
        const struct wild w = wild_make();
        u8 status[2];
        u32 written[2];

        written[0] = wild_run(&quick, &w, &status[0]);
        written[1] = wild_run(&general, &w, &status[1]);
        assert_int_equal(written[0], written[1]);
        assert_int_equal(status[0], status[1]);
        assert_memory_equal(arena_byte(&quick.arena, ARENA_BASE),
                            arena_byte(&general.arena, ARENA_BASE), KIB(96));
        quick.vb.vdev.queue[0].vq.complaints = general.vb.vdev.queue[0].vq.complaints = 0;
        if (i % 64 == 0) {
            assert_memory_equal(quick.disk, general.disk, sizeof(quick.disk));
        }
    }
    assert_memory_equal(quick.disk, general.disk, sizeof(quick.disk));
    assert_true(quick.vb.reads == general.vb.reads && quick.vb.writes == general.vb.writes);
    assert_true(quick.vb.bytes_read == general.vb.bytes_read);
    assert_true(quick.vb.bytes_written == general.vb.bytes_written);
    assert_true(quick.vb.errors_guest == general.vb.errors_guest);
    assert_true(submits < quick.vb.reads + quick.vb.writes); /* some went the quick way */
    bench_done(&general);
}

static void a_driver_cannot_tell_the_two_ways_apart(void **state)
{
    (void)state;
    seed = 1;
    compare(&(struct bench_setup){.size = 16}, 1500);
    compare(&(struct bench_setup){.size = 16, .read_only = true}, 500);
    compare(&(struct bench_setup){.size = 16, .logical_block_bytes = 4096}, 500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_is_over_when_it_is_copied),
        TEST(a_write_is_over_when_it_is_copied),
        TEST(a_turn_ends_with_its_budget),
        TEST(a_request_that_is_with_the_medium_turns_it_off),
        TEST(a_driver_cannot_tell_the_two_ways_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
