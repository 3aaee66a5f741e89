/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk_rare.c - discard, write zeroes, secure erase, lifetime, and flushes.
 *
 * [VIRTIO x] names the sentence a test proves. After every refusal the device must serve a good
 * request, and the rig proves that no slot and no pin leaked.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

#define UNMAP VBLK_SEGMENT_UNMAP

static const u32 range_types[] = {
    VIRTIO_BLK_T_DISCARD,
    VIRTIO_BLK_T_WRITE_ZEROES,
    VIRTIO_BLK_T_SECURE_ERASE,
};

static void again(const struct bench_setup *setup)
{
    bench_done(&b);
    bench_init(&b, setup);
}

struct segment {
    u64 sector;
    u32 sectors, flags;
};

/** Run a request with these segments as its data; more bytes than they take may be asked for. */
static u8 run_bytes(u32 type, const struct segment *segment, u32 count, u32 bytes)
{
    struct driver_blk blk;
    u32 written;
    u8 status;

    b.drv.free = ARENA_BASE + KIB(128);
    driver_blk_make(&b.drv, &blk, type, UINT64_MAX, bytes); /* the header's sector means nothing */
    for (u32 i = 0; i < count; i++) {
        const struct vblk_segment wire = {
            .sector = le64_make(segment[i].sector),
            .sectors = le32_make(segment[i].sectors),
            .flags = le32_make(segment[i].flags),
        };

        arena_write(&b.arena, blk.data + i * sizeof(wire), &wire, sizeof(wire));
    }
    status = bench_run(&b, &blk, false, &written);
    assert_int_equal(written, 1);
    return status;
}

static u8 run(u32 type, const struct segment *segment, u32 count)
{
    return run_bytes(type, segment, count, count * (u32)sizeof(struct vblk_segment));
}

static u8 run_one(u32 type, u64 sector, u32 sectors, u32 flags)
{
    const struct segment segment = {sector, sectors, flags};

    return run(type, &segment, 1);
}

/** The disk is as it was but for these sectors, which are zeroes. */
static void expect_zeroes_only_at(u64 sector, u64 sectors)
{
    static const u8 zeroes[sizeof(b.disk)];
    u64 end = (sector + sectors) * 512;

    assert_memory_equal(b.disk, b.pristine, sector * 512);
    assert_memory_equal(b.disk + sector * 512, zeroes, sectors * 512);
    assert_memory_equal(b.disk + end, b.pristine + end, sizeof(b.disk) - end);
}

/* --- ranges ------------------------------------------------------------------------------------
 */

/* D-5.2.6.2-04, G-5.2.6.1-11, B-12: exactly the range reads as zeroes; that of a discard, too, with
 * this disk. */
static void each_kind_clears_exactly_its_range(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        again(&(struct bench_setup){0});
        assert_int_equal(run_one(range_types[i], 7, 1001, 0), VIRTIO_BLK_S_OK);
        expect_zeroes_only_at(7, 1001);
        assert_int_equal(b.faulty.submitted, 1);
    }
    assert_int_equal(b.vb.secure_erases, 1);
}

static void all_segments_of_a_request_are_obeyed(void **state)
{
    struct segment segment[BLK_RANGES_MAX];

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        again(&(struct bench_setup){0});
        for (u32 k = 0; k < BLK_RANGES_MAX; k++) { /* one after the other, some of them empty */
            segment[k] = (struct segment){k / 2 * 10, k % 2 ? 10 : 0, 0};
        }
        assert_int_equal(run(range_types[i], segment, BLK_RANGES_MAX), VIRTIO_BLK_S_OK);
        expect_zeroes_only_at(0, BLK_RANGES_MAX / 2 * 10);
        assert_int_equal(b.faulty.submitted, BLK_RANGES_MAX / 2);
    }
}

/* The list may be cut anywhere, as every part of a request. [VIRTIO 2.7.4.1] */
static void a_list_in_pieces_is_the_same_list(void **state)
{
    struct driver_piece piece[65];
    struct driver_blk blk;

    (void)state;
    for (u32 cut = 1; cut < 48; cut++) {
        u32 count = 0;
        u64 at;

        again(&(struct bench_setup){.size = 128});
        at = driver_alloc(&b.drv, 16 + 48, 1);
        blk = (struct driver_blk){.status = driver_alloc(&b.drv, 1, 1)};
        {
            const struct vblk_header header = {.type = le32_make(VIRTIO_BLK_T_WRITE_ZEROES)};
            const struct vblk_segment list[3] = {
                {le64_make(1), le32_make(1), le32_make(0)},
                {le64_make(2), le32_make(2), le32_make(UNMAP)},
                {le64_make(4), le32_make(3), le32_make(0)},
            };

            arena_write(&b.arena, at, &header, 16);
            arena_write(&b.arena, at + 16, list, sizeof(list));
        }
        for (u32 from = 0; from < 64; from += cut) {
            piece[count++] = (struct driver_piece){at + from, cut < 64 - from ? cut : 64 - from, 0};
        }
        piece[count++] = (struct driver_piece){blk.status, 1, true};
        assert_int_equal(
            bench_run_head(&b, driver_chain_indirect(&b.drv, piece, count), &blk, NULL),
            VIRTIO_BLK_S_OK);
        expect_zeroes_only_at(1, 6);
    }
}

/* B-11, G-5.2.6.1-01: and no part of a request that is wrong in any segment is done. */
static void a_range_that_is_wrong_is_an_io_error_and_changes_nothing(void **state)
{
    const u32 most = BLK_RANGE_BYTES_MAX / 512;
    const struct segment wrong[] = {{BENCH_DISK_SECTORS, 1, 0},  {BENCH_DISK_SECTORS - 1, 2, 0},
                                    {UINT64_MAX, 1, 0},          {UINT64_MAX, 2, 0},
                                    {UINT64_C(1) << 55, 1, 0},   {0, BENCH_DISK_SECTORS + 1, 0},
                                    {0, UINT32_MAX, 0},          {0, most + 1, 0},
                                    {UINT64_MAX - 7, 8, 0},      {BENCH_DISK_SECTORS + 1, 0, 0},
                                    {UINT64_MAX / 512 + 1, 1, 0}};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        for (u32 k = 0; k < ARRAY_LEN(wrong); k++) {
            const struct segment list[] = {{0, 8, 0}, wrong[k]};

            assert_int_equal(run(range_types[i], list, 2), VIRTIO_BLK_S_IOERR);
        }
    }
    assert_int_equal(b.faulty.submitted, 0);
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_int_equal(b.vb.errors_guest, ARRAY_LEN(range_types) * ARRAY_LEN(wrong));
    assert_true(bench_serves(&b));
}

/* B-11, G-5.2.6.1-04: no multiple of a segment, or none. */
static void a_list_that_is_no_list_is_an_io_error(void **state)
{
    static const u32 bytes[] = {0, 1, 15, 17, 31, (BLK_RANGES_MAX + 1) * 16 + 1};
    struct segment segment[BLK_RANGES_MAX] = {{0}};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        for (u32 k = 0; k < ARRAY_LEN(bytes); k++) {
            u32 whole = bytes[k] / 16 < BLK_RANGES_MAX ? bytes[k] / 16 : BLK_RANGES_MAX;

            assert_int_equal(run_bytes(range_types[i], segment, whole, bytes[k]),
                             VIRTIO_BLK_S_IOERR);
        }
    }
    assert_int_equal(b.faulty.submitted, 0);
    assert_true(bench_serves(&b));
}

/* B-11, G-5.2.6.1-06, -07, -08: more than the config space says. */
static void more_ranges_than_are_told_are_unsupported(void **state)
{
    struct segment segment[BLK_RANGES_MAX] = {{0}};
    const u32 counts[] = {b.vb.ranges_max + 1u, 200, 1};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        for (u32 k = 0; k < ARRAY_LEN(counts); k++) {
            u32 whole = counts[k] < BLK_RANGES_MAX ? counts[k] : BLK_RANGES_MAX;

            assert_int_equal(run_bytes(range_types[i], segment, whole, counts[k] * 16),
                             counts[k] == 1 ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
        }
    }
    assert_int_equal(b.faulty.submitted, 0); /* the one that was obeyed is empty */
    assert_true(bench_serves(&b));
}

/* A list is read, never written: writable data beside the status is wrong. */
static void a_writable_list_is_an_io_error(void **state)
{
    struct driver_blk blk;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        driver_blk_make(&b.drv, &blk, range_types[i], 0, 16);
        if (range_types[i] != VIRTIO_BLK_T_SECURE_ERASE) {
            assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
        }
        {
            const struct driver_piece piece[] = {{blk.header, 16, false},
                                                 {blk.data, 16, false},
                                                 {blk.data, 1, true},
                                                 {blk.status, 1, true}};

            assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 4), &blk, NULL),
                             VIRTIO_BLK_S_IOERR);
        }
    }
    assert_int_equal(b.faulty.submitted, 0);
}

/* Linux hands the list of a secure erase over in writable descriptors: its type is even. */
static void a_secure_erase_is_obeyed_as_linux_sends_it(void **state)
{
    const struct vblk_segment list[] = {
        {le64_make(3), le32_make(2), le32_make(0)},
        {le64_make(5), le32_make(4), le32_make(0)},
    };
    struct driver_blk blk;
    u8 got[sizeof(list)];
    u32 written;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_SECURE_ERASE, 0, sizeof(list));
    arena_write(&b.arena, blk.data, list, sizeof(list));
    assert_int_equal(bench_run(&b, &blk, true, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 0); /* the status byte lies behind a gap */
    arena_read(&b.arena, blk.data, got, sizeof(got));
    assert_memory_equal(got, list, sizeof(list));
    expect_zeroes_only_at(3, 6);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_SECURE_ERASE, 0, 17);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    /* in one descriptor with the status byte */
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_SECURE_ERASE, 0, 17);
    arena_write(&b.arena, blk.data, list, 16);
    blk.status = blk.data + 16;
    {
        const struct driver_piece piece[] = {{blk.header, 16, false}, {blk.data, 17, true}};

        assert_int_equal(bench_run_head(&b, driver_chain(&b.drv, piece, 2), &blk, NULL),
                         VIRTIO_BLK_S_OK);
    }
}

/* D-5.2.6.2-02, -03, G-5.2.6.1-10: reserved flags, and unmap where it means nothing. */
static void flags_that_mean_nothing_are_unsupported(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        for (u32 bit = 0; bit < 32; bit++) {
            bool good = bit == 0 && range_types[i] == VIRTIO_BLK_T_WRITE_ZEROES;
            const struct segment list[] = {{0, 1, 0}, {8, 1, BIT32(bit)}};

            if (!good) {
                assert_int_equal(run(range_types[i], list, 2), VIRTIO_BLK_S_UNSUPP);
            }
        }
    }
    assert_int_equal(b.faulty.submitted, 0);
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_int_equal(b.vb.unsupported, 32 + 31 + 32);
    assert_true(bench_serves(&b));
}

/* D-5.2.6.2-04: zeroes, whether unmap is set or not; the medium hears of it. */
static void unmap_reaches_the_medium_and_the_range_is_zero_all_the_same(void **state)
{
    (void)state;
    assert_int_equal(run_one(VIRTIO_BLK_T_WRITE_ZEROES, 5, 3, UNMAP), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.unmaps, 1);
    expect_zeroes_only_at(5, 3);
    assert_int_equal(run_one(VIRTIO_BLK_T_WRITE_ZEROES, 8, 3, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.unmaps, 1);
    expect_zeroes_only_at(5, 6);
}

/* B-10 */
static void what_was_not_negotiated_is_unsupported(void **state)
{
    (void)state;
    again(&(struct bench_setup){
        .features = ~(BIT64(VIRTIO_BLK_F_DISCARD) | BIT64(VIRTIO_BLK_F_WRITE_ZEROES) |
                      BIT64(VIRTIO_BLK_F_SECURE_ERASE) | BIT64(VIRTIO_BLK_F_LIFETIME)),
        .lifetime = true,
    });
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        struct driver_blk blk;

        assert_int_equal(run_one(range_types[i], 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_GET_LIFETIME, 0, 6);
        assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_UNSUPP);
    }
    assert_int_equal(b.vb.unsupported, 2 * ARRAY_LEN(range_types));
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_true(bench_serves(&b));
}

/* D-5.2.6.2-01, B-13: whatever the driver accepted. */
static void a_read_only_disk_is_not_cleared(void **state)
{
    (void)state;
    again(&(struct bench_setup){.read_only = true});
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        assert_int_equal(run_one(range_types[i], 0, 1, 0), VIRTIO_BLK_S_IOERR);
    }
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_true(bench_serves(&b));
}

static void a_secure_erase_takes_whole_erase_units(void **state)
{
    (void)state;
    again(&(struct bench_setup){.erase_align_sectors = 24});
    assert_int_equal(driver_get(&b.drv, REG_CONFIG + 68), 24);
    assert_int_equal(run_one(VIRTIO_BLK_T_SECURE_ERASE, 24, 23, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(run_one(VIRTIO_BLK_T_SECURE_ERASE, 1, 24, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(run_one(VIRTIO_BLK_T_SECURE_ERASE, 24, 48, 0), VIRTIO_BLK_S_OK);
    expect_zeroes_only_at(24, 48);
    assert_int_equal(run_one(VIRTIO_BLK_T_DISCARD, 72, 1, 0), VIRTIO_BLK_S_OK);
}

static void ranges_are_whole_logical_blocks(void **state)
{
    (void)state;
    again(&(struct bench_setup){.logical_block_bytes = 4096});
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        assert_int_equal(run_one(range_types[i], 8, 7, 0), VIRTIO_BLK_S_IOERR);
        assert_int_equal(run_one(range_types[i], 4, 8, 0), VIRTIO_BLK_S_IOERR);
        assert_int_equal(run_one(range_types[i], 8, 8, 0), VIRTIO_BLK_S_OK);
    }
    expect_zeroes_only_at(8, 8);
}

/* One range at a time is with the medium; the request waits in one slot. */
static void a_slow_medium_gets_one_range_after_the_other(void **state)
{
    const struct segment list[] = {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}};
    struct driver_blk blk;

    (void)state;
    b.faulty.delay_turns = 2;
    assert_int_equal(run(VIRTIO_BLK_T_DISCARD, list, 3), VIRTIO_BLK_S_OK);
    expect_zeroes_only_at(1, 3);
    /* stopped in the middle: no further range, and nothing is left in flight */
    b.drv.free = ARENA_BASE + KIB(128);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_DISCARD, 0, sizeof(struct vblk_segment) * 3);
    for (u32 i = 0; i < 3; i++) {
        const struct vblk_segment wire = {.sector = le64_make(10 + i), .sectors = le32_make(1)};

        arena_write(&b.arena, blk.data + i * sizeof(wire), &wire, sizeof(wire));
    }
    b.faulty.submitted = 0;
    driver_blk_offer(&b.drv, &blk, false);
    for (u32 i = 0; i < 5; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(b.pool.in_flight, 1);
    driver_set(&b.drv, REG_STATUS, 0);
    for (u32 i = 0; i < 10; i++) {
        vblk_poll(&b.vb, 64);
    }
    assert_int_equal(driver_get(&b.drv, REG_STATUS), 0);
    assert_int_equal(b.pool.in_flight, 0);
    assert_true(b.faulty.submitted < 3);
}

/* B-18: the disk shrinks between two ranges of a request that was checked when it was larger. */
static void a_range_that_was_cut_off_meanwhile_is_an_io_error(void **state)
{
    const struct vblk_segment list[] = {
        {le64_make(1), le32_make(1), le32_make(0)},
        {le64_make(BENCH_DISK_SECTORS - 1), le32_make(1), le32_make(0)},
    };
    struct driver_blk blk;
    u32 id, written;

    (void)state;
    b.faulty.delay_turns = 3;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(list));
    arena_write(&b.arena, blk.data, list, sizeof(list));
    driver_blk_offer(&b.drv, &blk, false);
    vblk_poll(&b.vb, 64);
    assert_int_equal(ramdisk_resize(&b.ram, 512 * 64), ST_OK);
    b.faulty.bdev.info.sectors = 64;
    vblk_resized(&b.vb);
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &blk), VIRTIO_BLK_S_IOERR);
    expect_zeroes_only_at(1, 1);
}

/* G-5.2.6.1-12: what was begun stays done, what was not is not. */
static void a_range_that_the_medium_fails_ends_the_request(void **state)
{
    const struct segment list[] = {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}};

    (void)state;
    b.faulty.fail_every = 2;
    b.faulty.fail = ST_IO;
    assert_int_equal(run(VIRTIO_BLK_T_DISCARD, list, 3), VIRTIO_BLK_S_IOERR);
    assert_int_equal(b.faulty.submitted, 2);
    assert_int_equal(b.vb.errors_medium, 1);
    expect_zeroes_only_at(1, 1);
    b.faulty.fail_every = 0;
    assert_true(bench_serves(&b));
}

/* a long range costs its bytes. */
static void ranges_cost_their_bytes(void **state)
{
    const struct vblk_segment wire = {.sectors = le32_make(KIB(256) / 512)};
    struct driver_blk blk;

    (void)state;
    b.vb.bdev = &b.ram.bdev;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_DISCARD, 0, sizeof(wire));
    arena_write(&b.arena, blk.data, &wire, sizeof(wire));
    driver_blk_offer(&b.drv, &blk, false);
    assert_int_equal(vblk_poll(&b.vb, 1), 1 + KIB(256) / VBLK_UNIT_BYTES);
}

/* --- lifetime ----------------------------------------------------------------------------------
 */

static u8 get_lifetime(u16 *words, u32 bytes, u32 *written)
{
    struct driver_blk blk;
    u8 status;

    b.drv.free = ARENA_BASE + KIB(128);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_GET_LIFETIME, 0, bytes);
    arena_fill(&b.arena, blk.data, 0xdd, bytes);
    status = bench_run(&b, &blk, true, written);
    arena_read(&b.arena, blk.data, words, bytes < 6 ? bytes : 6);
    return status;
}

/* B-17, D-5.2.6.2-06 */
static void the_lifetime_of_a_medium_that_tells_it(void **state)
{
    u16 words[3];
    u32 written;

    (void)state;
    again(&(struct bench_setup){.lifetime = true});
    b.faulty.life = (struct blk_lifetime){2, 11, 1};
    assert_int_equal(get_lifetime(words, 6, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 7);
    assert_int_equal(words[0], 2);
    assert_int_equal(words[1], 11);
    assert_int_equal(words[2], 1);
    assert_int_equal(get_lifetime(words, 512, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 6);
    assert_int_equal(get_lifetime(words, 5, &written), VIRTIO_BLK_S_IOERR);
    assert_int_equal(get_lifetime(words, 0, &written), VIRTIO_BLK_S_IOERR);
    b.faulty.life_status = ST_TIMEOUT;
    assert_int_equal(get_lifetime(words, 6, &written), VIRTIO_BLK_S_IOERR);
    assert_int_equal(words[0], 0xdddd);
    assert_int_equal(b.vb.errors_medium, 1);
}

/* D-5.2.6.2-07 */
static void a_reserved_value_is_never_told(void **state)
{
    u16 words[3];

    (void)state;
    again(&(struct bench_setup){.lifetime = true});
    b.faulty.life = (struct blk_lifetime){4, 12, UINT16_MAX};
    assert_int_equal(get_lifetime(words, 6, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(words[0], 0);
    assert_int_equal(words[1], 0);
    assert_int_equal(words[2], 0);
}

/* --- flushes -----------------------------------------------------------------------------------
 */

static u8 flush_on(struct driver *drv)
{
    struct driver_blk blk;

    driver_blk_make(drv, &blk, VIRTIO_BLK_T_FLUSH, 0, 0);
    return bench_run_on(&b, drv, &blk, false, NULL);
}

static u8 write_on(struct driver *drv)
{
    struct driver_blk blk;

    driver_blk_make(drv, &blk, VIRTIO_BLK_T_OUT, 3, 512);
    return bench_run_on(&b, drv, &blk, false, NULL);
}

/* D-5.2.6.2-05: a barrier over the disk, not over the queue that the flush came by. */
static void a_flush_covers_the_writes_of_every_queue(void **state)
{
    (void)state;
    again(&(struct bench_setup){.write_cache = true, .queues = 4});
    for (u32 turn = 0; turn < 4; turn++) {
        struct driver *flusher = turn ? &b.more[turn - 1] : &b.drv;

        assert_int_equal(write_on(&b.drv), VIRTIO_BLK_S_OK);
        for (u32 q = 1; q < 4; q++) {
            assert_int_equal(write_on(&b.more[q - 1]), VIRTIO_BLK_S_OK);
        }
        assert_int_equal(b.faulty.unflushed_writes, 4);
        assert_int_equal(flush_on(flusher), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.unflushed_writes, 0);
    }
    assert_int_equal(b.faulty.flushes, 4);
}

/* What the medium lost no later flush brings back: all fail, on every queue, until a reset. */
static void a_flush_that_failed_is_not_forgotten(void **state)
{
    (void)state;
    again(&(struct bench_setup){.write_cache = true, .queues = 2});
    assert_int_equal(write_on(&b.drv), VIRTIO_BLK_S_OK);
    b.faulty.fail_ops = BIT32(BLK_FLUSH);
    b.faulty.fail = ST_TIMEOUT;
    assert_int_equal(flush_on(&b.drv), VIRTIO_BLK_S_IOERR);
    b.faulty.fail_ops = 0;
    assert_int_equal(flush_on(&b.drv), VIRTIO_BLK_S_IOERR);
    assert_int_equal(flush_on(&b.more[0]), VIRTIO_BLK_S_IOERR);
    assert_int_equal(b.faulty.flushes, 2); /* the medium is flushed all the same */
    assert_int_equal(write_on(&b.drv), VIRTIO_BLK_S_OK);
    bench_start(&b, UINT64_MAX, 64);
    assert_int_equal(flush_on(&b.drv), VIRTIO_BLK_S_OK);
    assert_int_equal(flush_on(&b.more[0]), VIRTIO_BLK_S_OK);
}

/* Two flushes at once, and the one that was asked for first fails: the other may not succeed. */
static void a_flush_in_flight_beside_one_that_fails_fails_too(void **state)
{
    struct driver_blk first, second;
    u32 id, written;

    (void)state;
    again(&(struct bench_setup){.write_cache = true});
    driver_blk_make(&b.drv, &first, VIRTIO_BLK_T_FLUSH, 0, 0);
    driver_blk_make(&b.drv, &second, VIRTIO_BLK_T_FLUSH, 0, 0);
    b.faulty.delay_turns = 5;
    driver_blk_offer(&b.drv, &first, false);
    vblk_poll(&b.vb, 64);
    b.faulty.fail_ops = BIT32(BLK_FLUSH);
    b.faulty.fail = ST_IO;
    driver_blk_offer(&b.drv, &second, false);
    assert_true(bench_wait(&b, &id, &written)); /* the second one, refused at once */
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &second), VIRTIO_BLK_S_IOERR);
    assert_int_equal(driver_blk_status(&b.drv, &first), VIRTIO_BLK_S_IOERR);
}

/* A queue that is stopped takes its flush back: nothing was lost. */
static void a_flush_that_was_cancelled_did_not_fail(void **state)
{
    struct driver_blk blk;

    (void)state;
    again(&(struct bench_setup){.write_cache = true, .queues = 2});
    b.faulty.delay_turns = 5;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_FLUSH, 0, 0);
    driver_blk_offer(&b.drv, &blk, false);
    vblk_poll(&b.vb, 64);
    driver_set(&b.drv, REG_QUEUE_SEL, 0);
    driver_set(&b.drv, REG_QUEUE_READY, 0);
    assert_int_equal(b.faulty.cancelled, 1);
    assert_int_equal(flush_on(&b.more[0]), VIRTIO_BLK_S_OK);
}

/* D-5.2.6.2-05: everything that changes the medium is stable before it completes. */
static void in_write_through_mode_ranges_are_flushed_too(void **state)
{
    const struct segment list[] = {{1, 1, 0}, {2, 1, 0}, {3, 1, 0}};

    (void)state;
    again(&(struct bench_setup){.write_cache = true, .features = ~BIT64(VIRTIO_BLK_F_FLUSH)});
    for (u32 i = 0; i < ARRAY_LEN(range_types); i++) {
        assert_int_equal(run(range_types[i], list, 3), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.flushes, i + 1); /* once, at the end */
        assert_int_equal(b.faulty.unflushed_writes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(each_kind_clears_exactly_its_range),
        VBLK_TEST(all_segments_of_a_request_are_obeyed),
        VBLK_TEST(a_list_in_pieces_is_the_same_list),
        VBLK_TEST(a_range_that_is_wrong_is_an_io_error_and_changes_nothing),
        VBLK_TEST(a_list_that_is_no_list_is_an_io_error),
        VBLK_TEST(more_ranges_than_are_told_are_unsupported),
        VBLK_TEST(a_writable_list_is_an_io_error),
        VBLK_TEST(a_secure_erase_is_obeyed_as_linux_sends_it),
        VBLK_TEST(flags_that_mean_nothing_are_unsupported),
        VBLK_TEST(unmap_reaches_the_medium_and_the_range_is_zero_all_the_same),
        VBLK_TEST(what_was_not_negotiated_is_unsupported),
        VBLK_TEST(a_read_only_disk_is_not_cleared),
        VBLK_TEST(a_secure_erase_takes_whole_erase_units),
        VBLK_TEST(ranges_are_whole_logical_blocks),
        VBLK_TEST(a_slow_medium_gets_one_range_after_the_other),
        VBLK_TEST(a_range_that_was_cut_off_meanwhile_is_an_io_error),
        VBLK_TEST(a_range_that_the_medium_fails_ends_the_request),
        VBLK_TEST(ranges_cost_their_bytes),
        VBLK_TEST(the_lifetime_of_a_medium_that_tells_it),
        VBLK_TEST(a_reserved_value_is_never_told),
        VBLK_TEST(a_flush_covers_the_writes_of_every_queue),
        VBLK_TEST(a_flush_that_failed_is_not_forgotten),
        VBLK_TEST(a_flush_in_flight_beside_one_that_fails_fails_too),
        VBLK_TEST(a_flush_that_was_cancelled_did_not_fail),
        VBLK_TEST(in_write_through_mode_ranges_are_flushed_too),
    };

    return BENCH_RUN_LAYOUTS(tests);
}
