/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk_framing.c - requests cut and placed in every way, legal and not.
 *
 * [VIRTIO x] names the sentence a test proves. After every refusal the device must serve a good
 * request, and bench_done() proves that no slot and no pin leaked.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

/* D-2.7.4.1-01, R-16: the device makes no assumption about framing. */
static void any_cut_of_a_request_is_the_same_request(void **state)
{
    u32 total = 16 + 512 + 1;

    (void)state;
    for (u32 cut = 1; cut <= 64; cut++) {
        struct driver_piece piece[64];
        struct driver_blk blk;
        u32 count = 0;
        u64 at;

        b.drv.free = ARENA_BASE + KIB(128);
        at = driver_alloc(&b.drv, total, 1);
        blk = (struct driver_blk){.header = at, .data = at + 16, .status = at + 528, .bytes = 512};
        {
            struct vblk_header header = {.sector = le64_make(cut)};

            arena_write(&b.arena, at, &header, 16);
        }
        for (u32 from = 0; from < total;) { /* pieces of cut bytes, none across the two halves */
            u32 end = from < 16 ? 16 : total;
            u32 bytes = end - from < cut + 12 ? end - from : cut + 12;

            bytes = from < 16 && bytes > cut ? cut : bytes;
            piece[count++] = (struct driver_piece){at + from, bytes, from >= 16};
            from += bytes;
        }
        assert_int_equal(
            bench_run_head(&b, driver_chain_indirect(&b.drv, piece, count), &blk, NULL),
            VIRTIO_BLK_S_OK);
        expect_data(&blk, cut);
    }
}

static void a_write_whose_header_and_data_share_a_descriptor(void **state)
{
    struct driver_blk blk;
    u64 at = driver_alloc(&b.drv, 16 + 1024 + 1, 1);
    const struct driver_piece piece[] = {{at, 16 + 1024, false}, {at + 1040, 1, true}};
    struct vblk_header header = {.type = le32_make(VIRTIO_BLK_T_OUT), .sector = le64_make(3)};

    (void)state;
    arena_write(&b.arena, at, &header, 16);
    arena_fill(&b.arena, at + 16, 0x77, 1024);
    blk = (struct driver_blk){.status = at + 1040};
    assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 2), &blk, NULL),
                     VIRTIO_BLK_S_OK);
    assert_int_equal(b.disk[3 * 512], 0x77);
    assert_int_equal(b.disk[5 * 512 - 1], 0x77);
    assert_int_equal(b.disk[5 * 512], b.pristine[5 * 512]);
}

/* B-01, R-12: every byte of the request in a run of its own. */
static void a_request_in_one_byte_runs_is_served(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_GET_ID, 0, VBLK_ID_BYTES);
    b.arena.crumbs = (struct arena_range){blk.header, KIB(4)};
    gmem_forget(&b.arena.gm);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_OK);
    b.arena.crumbs.bytes = 0;
}

/* data across windows that do not touch for us. */
static void data_may_cross_windows(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 200, 0);
    blk.data = ARENA_BASE + MIB(1) - 700;
    blk.bytes = 2048;
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_OK);
    expect_data(&blk, 200);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 300, 0);
    blk.data = ARENA_BASE + MIB(2) - 1;
    blk.bytes = 512;
    arena_fill(&b.arena, blk.data, 0x99, 512);
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(b.disk[300 * 512], 0x99);
    assert_int_equal(b.disk[301 * 512 - 1], 0x99);
}

/* Spans are only borrowed: mapping the next one may take back the window of the last one. */
static void windows_may_be_taken_back_at_every_mapping(void **state)
{
    const u64 place[] = {ARENA_BASE + MIB(1), ARENA_BASE + MIB(2) - 40, ARENA_BASE + MIB(3) - 8};

    (void)state;
    b.arena.evict = true;
    for (u32 i = 0; i < 27; i++) { /* header, table and data in every window and over its edges */
        u64 header = place[i % 3], data = place[i / 3 % 3] + 64, table = place[i / 9] + KIB(16);
        struct driver_blk blk = {.header = header, .data = data, .status = data + 1024};
        const struct driver_piece piece[] = {
            {header, 16, false}, {data, 1024, true}, {blk.status, 1, true}};
        struct vblk_header h = {.sector = le64_make(i)};

        blk.bytes = 1024;
        arena_write(&b.arena, header, &h, sizeof(h));
        b.drv.free = table;
        gmem_forget(&b.arena.gm);
        assert_int_equal(bench_run_head(&b, driver_chain_indirect(&b.drv, piece, 3), &blk, NULL),
                         VIRTIO_BLK_S_OK);
        expect_data(&blk, i);
        assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 3), &blk, NULL),
                         VIRTIO_BLK_S_OK);
        expect_data(&blk, i);
    }
}

/* An indirect table that was only borrowed is not looked at again once its window may be gone. */
static void a_borrowed_table_is_given_up_at_the_next_mapping(void **state)
{
    struct driver_blk blk;
    u64 table = ARENA_BASE + MIB(1);

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 5, 1024);
    blk.data = ARENA_BASE + MIB(2);
    {
        const struct driver_piece piece[] = {
            {blk.header, 16, false}, {blk.data, 1024, true}, {blk.status, 1, true}};

        u8 byte;

        /* the table's window is known, the data's is not: mapping it takes the table's away */
        assert_int_equal(gmem_copy_in(&b.arena.gm, &byte, (gpa_t){table}, 1), ST_OK);
        b.drv.free = table;
        b.arena.evict = true;
        assert_int_equal(bench_run_head(&b, driver_chain_indirect(&b.drv, piece, 3), &blk, NULL),
                         VIRTIO_BLK_S_OK);
    }
    expect_data(&blk, 5);
}

/** Run a chain that must come back unused: no status byte, length 0. */
static void expect_dropped(const struct driver_piece *piece, u32 count,
                           const struct driver_blk *blk)
{
    u64 dropped = b.vb.vdev.queue[0].vq.dropped;
    u32 written;

    assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, count), blk, &written), 0xff);
    assert_int_equal(written, 0);
    assert_int_equal(b.vb.vdev.queue[0].vq.dropped, dropped + 1);
    assert_true(bench_serves(&b));
}

/* R-16, B-01: no header or no status byte to be had. */
static void a_request_without_header_or_status_is_returned_unused(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    expect_dropped((struct driver_piece[]){{blk.header, 16, false}}, 1, &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 15, false}, {blk.status, 1, true}}, 2,
                   &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 16, true}, {blk.data, 512, true}}, 2, &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 16, false}, {blk.status, 0, true}}, 2,
                   &blk);
    expect_dropped((struct driver_piece[]){{blk.status, 1, true}}, 1, &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 0, false}}, 1, &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 0, false}, {blk.status, 1, true}}, 2, &blk);
    expect_dropped((struct driver_piece[]){{0, 16, false}, {blk.status, 1, true}}, 2, &blk);
    expect_dropped((struct driver_piece[]){{blk.header, 16, false}, {0x1000, 1, true}}, 2, &blk);
    assert_true(b.drv.irqs > 0);
}

/* Reliability rule: a driver that sends 16 malformed chains is no longer believed. */
static void sixteen_malformed_requests_break_the_device(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    for (u32 i = 0; i < VQ_COMPLAINTS_MAX; i++) {
        const struct driver_piece piece = {blk.header, 16, false};
        u32 written;

        assert_false(driver_get(&b.drv, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
        bench_run_head(&b, driver_chain(&b.drv, &piece, 1), &blk, &written);
    }
    assert_true(driver_get(&b.drv, REG_STATUS) & VIRTIO_STATUS_NEEDS_RESET);
    assert_true(driver_get(&b.drv, REG_INTERRUPT_STATUS) & VIRTIO_INT_CONFIG);
    driver_start(&b.drv, UINT64_MAX, 64);
    assert_true(bench_serves(&b));
}

/* G-6.1-03: data that is not guest memory is the request's error, not the ring's. */
static void data_outside_guest_memory_is_an_io_error(void **state)
{
    static const u64 bad[] = {
        0,
        0x1000,
        UINT64_MAX - 511,
        UINT64_C(1) << 63,
        UINT64_MAX - 100,
        ARENA_BASE + MIB(4),
        ARENA_BASE + MIB(4) - 1,
        ARENA_BASE - 1,
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 0);
        blk.data = bad[i];
        blk.bytes = 512;
        assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 0);
        blk.data = bad[i];
        blk.bytes = 512;
        assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
    }
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_true(bench_serves(&b));
}

/* G-04: memory the guest granted for reading only cannot be read into. */
static void a_read_into_read_only_memory_is_an_io_error(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    b.arena.read_only = (struct arena_range){blk.data, 512};
    gmem_forget(&b.arena.gm);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 7, 0);
    blk.data = b.arena.read_only.first;
    blk.bytes = 512;
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_OK);
}

/* G-2.7.5.2-01, R-11, B-07: size_max and seg_max are enforced. */
static void segments_beyond_the_limits_told_are_refused(void **state)
{
    struct driver_blk blk;
    struct driver_piece piece[64];

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 0);
    blk.data = ARENA_BASE + MIB(1);
    blk.bytes = VQ_DESC_BYTES_MAX + 496; /* more than size_max, and all of it is memory */
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    blk.bytes = BLK_SIZE_MAX; /* all that was told */
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_OK);
    blk.bytes = UINT32_MAX; /* 4 GiB in one descriptor: nothing of it is mapped */
    b.arena.finds = 0;
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    assert_in_range(b.arena.finds, 0, 4);
    for (u32 i = 0; i < 62; i++) { /* more than 2^32 bytes in one chain */
        piece[i + 1] = (struct driver_piece){ARENA_BASE, UINT32_MAX, true};
    }
    piece[0] = (struct driver_piece){blk.header, 16, false};
    piece[63] = (struct driver_piece){blk.status, 1, true};
    assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 64), &blk, NULL),
                     VIRTIO_BLK_S_IOERR);
    assert_true(bench_serves(&b));
}

static void more_segments_than_seg_max_are_refused(void **state)
{
    static struct driver_piece piece[256];
    static const struct {
        u32 data_pieces;
        u8 status;
    } cases[] = {
        {BLK_SEG_MAX, VIRTIO_BLK_S_OK}, {160, VIRTIO_BLK_S_IOERR}, {254, VIRTIO_BLK_S_IOERR}};

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.size = 256});
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        u32 n = cases[i].data_pieces;
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 8, n * 512);
        piece[0] = (struct driver_piece){blk.header, 16, false};
        for (u32 k = 0; k < n; k++) {
            piece[k + 1] = (struct driver_piece){blk.data + k * 512, 512, true};
        }
        piece[n + 1] = (struct driver_piece){blk.status, 1, true};
        assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, n + 2), &blk, NULL),
                         cases[i].status);
        b.drv.desc_next = 0;
        b.drv.free = ARENA_BASE + KIB(128);
    }
    assert_true(bench_serves(&b));
}

/* More spans than a slot holds: the status byte is still found. */
static void a_chain_with_too_many_spans_is_an_io_error(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    b.arena.crumbs = (struct arena_range){blk.data, 512};
    gmem_forget(&b.arena.gm);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 0);
    blk.data = b.arena.crumbs.first;
    blk.bytes = 512;
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    b.arena.crumbs.bytes = 0;
    assert_true(bench_serves(&b));
}

static void data_in_the_wrong_direction_is_refused(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
}

/* buffers on top of the ring and of each other: the guest hurts only itself. */
static void buffers_over_the_ring_or_each_other_are_the_guests_business(void **state)
{
    struct driver_blk blk;
    u64 place[3] = {b.drv.desc, b.drv.avail, b.drv.used};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(place); i++) {
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 1, 0);
        blk.data = place[i] & ~UINT64_C(511);
        blk.bytes = 512;
        driver_blk_offer(&b.drv, &blk, true);
        for (u32 turn = 0; turn < 10; turn++) {
            vblk_poll(&b.vb, 64);
        }
        driver_start(&b.drv, UINT64_MAX, 64);
        assert_true(bench_serves(&b));
        b.drv.free = ARENA_BASE + KIB(256);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(any_cut_of_a_request_is_the_same_request),
        VBLK_TEST(a_write_whose_header_and_data_share_a_descriptor),
        VBLK_TEST(a_request_in_one_byte_runs_is_served),
        VBLK_TEST(data_may_cross_windows),
        VBLK_TEST(windows_may_be_taken_back_at_every_mapping),
        VBLK_TEST(a_borrowed_table_is_given_up_at_the_next_mapping),
        VBLK_TEST(a_request_without_header_or_status_is_returned_unused),
        VBLK_TEST(sixteen_malformed_requests_break_the_device),
        VBLK_TEST(data_outside_guest_memory_is_an_io_error),
        VBLK_TEST(a_read_into_read_only_memory_is_an_io_error),
        VBLK_TEST(segments_beyond_the_limits_told_are_refused),
        VBLK_TEST(more_segments_than_seg_max_are_refused),
        VBLK_TEST(a_chain_with_too_many_spans_is_an_io_error),
        VBLK_TEST(data_in_the_wrong_direction_is_refused),
        VBLK_TEST(buffers_over_the_ring_or_each_other_are_the_guests_business),
    };

    return BENCH_RUN_LAYOUTS(tests);
}
