/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_vblk.c - block requests end to end: registers, ring, decoder, medium, and back.
 *
 * [VIRTIO x] names the sentence a test proves. After every refusal the device must serve a good
 * request, and bench_done() proves that no slot and no pin leaked.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

/* --- reading and writing --------------------------------------------------------------------- */

static void a_read_brings_the_sectors(void **state)
{
    struct driver_blk blk;
    u32 written;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 9, 4096);
    assert_int_equal(bench_run(&b, &blk, true, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 4097); /* data and status, B-19 */
    expect_data(&blk, 9);
    assert_int_equal(b.vb.reads, 1);
    assert_int_equal(b.vb.bytes_read, 4096);
}

static void a_write_changes_exactly_its_sectors(void **state)
{
    struct driver_blk blk;
    u8 data[1024];
    u32 written;

    (void)state;
    memset(data, 0x5a, sizeof(data));
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 100, sizeof(data));
    arena_write(&b.arena, blk.data, data, sizeof(data));
    assert_int_equal(bench_run(&b, &blk, false, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 1); /* the status byte, B-19 */
    assert_memory_equal(b.disk + 100 * 512, data, sizeof(data));
    assert_memory_equal(b.disk, b.pristine, 100 * 512);
    assert_memory_equal(b.disk + 102 * 512, b.pristine + 102 * 512, sizeof(b.disk) - 102 * 512);
}

static void the_last_sector_is_served_and_the_next_is_not(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS - 1, 512);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_OK);
    expect_data(&blk, BENCH_DISK_SECTORS - 1);
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS, 512);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    assert_true(bench_serves(&b));
}

/* G-5.2.6.1-01, B-02, B-03: beyond the capacity, with every kind of overflow. */
static void nothing_outside_the_disk_is_touched(void **state)
{
    static const struct {
        u64 sector;
        u32 bytes;
    } cases[] = {
        {BENCH_DISK_SECTORS - 1, 1024}, {BENCH_DISK_SECTORS, 512},   {UINT64_C(1) << 55, 512},
        {(UINT64_C(1) << 55) - 1, 512}, {UINT64_MAX, 512},           {UINT64_MAX - 1, 1024},
        {UINT64_MAX / 512, 512},        {UINT64_MAX / 512 + 1, 512},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        for (u32 type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
            struct driver_blk blk;
            u32 written;

            driver_blk_make(&b.drv, &blk, type, cases[i].sector, cases[i].bytes);
            arena_fill(&b.arena, blk.data, 0xc3, blk.bytes);
            assert_int_equal(bench_run(&b, &blk, type == VIRTIO_BLK_T_IN, &written),
                             VIRTIO_BLK_S_IOERR);
            assert_int_equal(written, type == VIRTIO_BLK_T_IN ? 0 : 1);
            assert_int_equal(*arena_byte(&b.arena, blk.data + 511), 0xc3); /* B-20 */
        }
    }
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_int_equal(b.faulty.submitted, 0);
    assert_int_equal(b.vb.errors_guest, 2 * ARRAY_LEN(cases));
    assert_true(bench_serves(&b));
}

/* B-03: each descriptor alone would be inside the disk, all of them are not. */
static void the_sum_of_the_descriptors_counts(void **state)
{
    struct driver_blk blk;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, BENCH_DISK_SECTORS - 2, 512 * 4);
    {
        const struct driver_piece piece[] = {
            {blk.header, 16, false},       {blk.data, 512, false},
            {blk.data + 512, 512, false},  {blk.data + 1024, 512, false},
            {blk.data + 1536, 512, false}, {blk.status, 1, true},
        };
        u16 head = driver_chain(&b.drv, piece, ARRAY_LEN(piece));

        assert_int_equal(bench_run_head(&b, head, &blk, NULL), VIRTIO_BLK_S_IOERR);
    }
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
}

/* B-04 */
static void zero_bytes_are_a_request_like_any_other(void **state)
{
    struct driver_blk blk;
    u32 written;

    (void)state;
    for (u32 type = VIRTIO_BLK_T_IN; type <= VIRTIO_BLK_T_OUT; type++) {
        driver_blk_make(&b.drv, &blk, type, 5, 0);
        assert_int_equal(bench_run(&b, &blk, true, &written), VIRTIO_BLK_S_OK);
        assert_int_equal(written, 1);
    }
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS + 1, 0);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
}

/* G-5.2.6.1-03, B-05 */
static void a_length_that_is_no_multiple_of_512_is_refused(void **state)
{
    static const u32 bytes[] = {1, 511, 513, 4095, 4097};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bytes); i++) {
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 5, bytes[i]);
        assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 5, bytes[i]);
        assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
    }
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_true(bench_serves(&b));
}

/* B-06 */
static void a_disk_of_4096_byte_blocks_takes_whole_blocks_only(void **state)
{
    static const struct {
        u64 sector;
        u32 bytes;
        u8 status;
    } cases[] = {
        {8, 4096, VIRTIO_BLK_S_OK},    {8, 512, VIRTIO_BLK_S_IOERR}, {4, 4096, VIRTIO_BLK_S_IOERR},
        {8, 6144, VIRTIO_BLK_S_IOERR}, {16, 8192, VIRTIO_BLK_S_OK},
    };

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.logical_block_bytes = 4096});
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, cases[i].sector, cases[i].bytes);
        assert_int_equal(bench_run(&b, &blk, true, NULL), cases[i].status);
    }
    assert_int_equal(le32_get(b.vb.config.blk_size), 4096);
}

/* --- other requests
 * ------------------------------------------------------------------------------ */

/* G-5.2.6.1-05, B-08, [VIRTIO 5.2.6] */
static void get_id_never_writes_more_than_the_buffer(void **state)
{
    static const u32 bytes[] = {20, 1, 19, 21, 64, 0};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bytes); i++) {
        char id[VBLK_ID_BYTES] = BENCH_ID;
        struct driver_blk blk;
        char got[64];
        u32 written, copied = bytes[i] < 20 ? bytes[i] : 20;

        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_GET_ID, 0, bytes[i]);
        arena_fill(&b.arena, blk.data, 0xdd, bytes[i]);
        assert_int_equal(bench_run(&b, &blk, true, &written), VIRTIO_BLK_S_OK);
        assert_int_equal(written, bytes[i] <= 20 ? bytes[i] + 1 : 20);
        arena_read(&b.arena, blk.data, got, bytes[i]);
        assert_memory_equal(got, id, copied);
        for (u32 k = 20; k < bytes[i]; k++) {
            assert_int_equal((u8)got[k], 0xdd);
        }
    }
    assert_int_equal(b.vb.get_ids, ARRAY_LEN(bytes));
}

/* B-09, B-10, D-5.2.6.2-08: SCSI, barriers, zones, what was not negotiated. */
static void every_other_type_is_unsupported(void **state)
{
    static const u32 types[] = {2,  3,  5,  6,  7,          9,          10,
                                12, 15, 16, 26, 0x80000000, 0x80000001, UINT32_MAX};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(types); i++) {
        struct driver_blk blk;

        driver_blk_make(&b.drv, &blk, types[i], 0, 512);
        assert_int_equal(bench_run(&b, &blk, i % 2 == 0, NULL), VIRTIO_BLK_S_UNSUPP);
    }
    assert_int_equal(b.vb.unsupported, ARRAY_LEN(types));
    assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
    assert_true(bench_serves(&b));
}

/* G-5.2.6.1-02 */
static void a_flush_reaches_the_medium(void **state)
{
    struct driver_blk blk;
    u32 written;

    (void)state;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_FLUSH, 0, 0);
    assert_int_equal(bench_run(&b, &blk, false, &written), VIRTIO_BLK_S_OK);
    assert_int_equal(written, 1);
    assert_int_equal(b.faulty.flushes, 1);
    /* B-08: a sector and data in a flush mean nothing; flushing once too often harms nobody */
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_FLUSH, UINT64_MAX, 512);
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.flushes, 2);
}

/* D-5.2.6.2-05: no FLUSH negotiated: a write is stable when it is completed. */
static void without_flush_every_write_is_flushed_before_it_completes(void **state)
{
    struct driver_blk blk;

    (void)state;
    bench_done(&b);
    bench_init(&b,
               &(struct bench_setup){.write_cache = true, .features = ~BIT64(VIRTIO_BLK_F_FLUSH)});
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
    for (u32 i = 1; i <= 3; i++) {
        assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_OK);
        assert_int_equal(b.faulty.flushes, i);
        assert_int_equal(b.faulty.unflushed_writes, 0);
    }
    b.faulty.fail_every = 2; /* the flush of the next write fails: so does the write */
    b.faulty.fail = ST_IO;
    b.faulty.submitted = 0;
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
}

static void with_flush_a_write_does_not_wait_for_one(void **state)
{
    struct driver_blk blk;

    (void)state;
    bench_done(&b);
    bench_init(&b, &(struct bench_setup){.write_cache = true});
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
    assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_OK);
    assert_int_equal(b.faulty.flushes, 0);
}

/* D-5.2.6.2-01, B-13 */
static void a_read_only_disk_refuses_writes_and_stays_as_it_is(void **state)
{
    struct driver_blk blk;

    (void)state;
    bench_done(&b);
    for (u32 accept = 0; accept < 2; accept++) { /* also when the driver did not accept RO */
        bench_init(&b, &(struct bench_setup){
                           .read_only = true,
                           .features = accept ? UINT64_MAX : ~BIT64(VIRTIO_BLK_F_RO),
                       });
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 512);
        assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_OUT, 0, 0);
        assert_int_equal(bench_run(&b, &blk, false, NULL), VIRTIO_BLK_S_IOERR);
        assert_memory_equal(b.disk, b.pristine, sizeof(b.disk));
        assert_true(bench_serves(&b));
        bench_done(&b);
    }
    bench_init(&b, &(struct bench_setup){0});
}

/* G-2.7.8.3-01 */
static void a_medium_that_fails_gives_an_io_error(void **state)
{
    static const enum status errors[] = {ST_IO, ST_TIMEOUT, ST_NODEV, ST_CRC, ST_ACCES};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(errors); i++) {
        struct driver_blk blk;
        u32 written;

        b.faulty.fail_every = 1;
        b.faulty.fail = errors[i];
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_IN, 0, 512);
        arena_fill(&b.arena, blk.data, 0xab, 512);
        assert_int_equal(bench_run(&b, &blk, true, &written), VIRTIO_BLK_S_IOERR);
        assert_int_equal(written, 0);
        assert_int_equal(*arena_byte(&b.arena, blk.data), 0xab); /* B-20 */
        driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_FLUSH, 0, 0);
        assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_IOERR);
        b.faulty.fail_every = 0;
        assert_true(bench_serves(&b));
    }
    assert_int_equal(b.vb.errors_medium, 2 * ARRAY_LEN(errors));
    assert_int_equal(b.vb.errors_guest, 0);
}

static void what_a_medium_cannot_do_is_unsupported(void **state)
{
    struct driver_blk blk;

    (void)state;
    b.faulty.fail_every = 1;
    b.faulty.fail = ST_NOSUP;
    driver_blk_make(&b.drv, &blk, VIRTIO_BLK_T_FLUSH, 0, 0);
    assert_int_equal(bench_run(&b, &blk, true, NULL), VIRTIO_BLK_S_UNSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(a_read_brings_the_sectors),
        VBLK_TEST(a_write_changes_exactly_its_sectors),
        VBLK_TEST(the_last_sector_is_served_and_the_next_is_not),
        VBLK_TEST(nothing_outside_the_disk_is_touched),
        VBLK_TEST(the_sum_of_the_descriptors_counts),
        VBLK_TEST(zero_bytes_are_a_request_like_any_other),
        VBLK_TEST(a_length_that_is_no_multiple_of_512_is_refused),
        VBLK_TEST(a_disk_of_4096_byte_blocks_takes_whole_blocks_only),
        VBLK_TEST(get_id_never_writes_more_than_the_buffer),
        VBLK_TEST(every_other_type_is_unsupported),
        VBLK_TEST(a_flush_reaches_the_medium),
        VBLK_TEST(without_flush_every_write_is_flushed_before_it_completes),
        VBLK_TEST(with_flush_a_write_does_not_wait_for_one),
        VBLK_TEST(a_read_only_disk_refuses_writes_and_stays_as_it_is),
        VBLK_TEST(a_medium_that_fails_gives_an_io_error),
        VBLK_TEST(what_a_medium_cannot_do_is_unsupported),
    };

    return BENCH_RUN_LAYOUTS(tests);
}
