/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_file.c - a host file as a medium: bdev_file.c of the vhost-user server. */
#include "tools/vhost-user/bdev_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES KIB(256)
#define PIECE      KIB(64)

static char path[] = "/tmp/test_vhost_user_file.XXXXXX";
static int fd; /* the owner's own look at the file */
static struct bdev_file file;
static struct blk_done done; /* stays empty: everything is finished at once */
static const char *why;

static int opened(void **state)
{
    u8 *content = test_malloc(FILE_BYTES);

    (void)state;
    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    for (u32 i = 0; i < FILE_BYTES; i++) {
        content[i] = (u8)(1 + i / SECTOR_BYTES % 255);
    }
    assert_int_equal(write(fd, content, FILE_BYTES), FILE_BYTES);
    test_free(content);
    blk_done_init(&done);
    assert_int_equal(bdev_file_open(&file, "disk0", path, false, &why), ST_OK);
    return 0;
}

static int closed(void **state)
{
    (void)state;
    bdev_file_close(&file);
    close(fd);
    unlink(path);
    return 0;
}

static enum status submit(enum blk_op op, u64 sector, u64 sectors, const struct span *spans,
                          u32 count, bool unmap)
{
    struct blk_req req = {
        .op = op,
        .sector = sector,
        .sectors = sectors,
        .unmap = unmap,
        .spans = spans,
        .span_count = count,
        .done = &done,
    };

    return bdev_submit(&file.dev, &req);
}

/* True when all the bytes of the file in [offset, offset + bytes) are value. */
static bool all_are(u64 offset, u32 bytes, u8 value)
{
    u8 *content = test_malloc(bytes);
    bool same = pread(fd, content, bytes, (off_t)offset) == (ssize_t)bytes;

    for (u32 i = 0; i < bytes && same; i++) {
        same = content[i] == value;
    }
    test_free(content);
    return same;
}

static u64 allocated(void)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (u64)st.st_blocks * 512;
}

static bool holes_are_possible(void)
{
    return file.dev.info.discard;
}

static void data_goes_where_its_sector_says_over_any_spans(void **state)
{
    u8 out[3 * SECTOR_BYTES], in[3 * SECTOR_BYTES];
    struct span spans[200];

    (void)state;
    memset(out, 0xa5, sizeof(out));
    /* More spans than one system call takes, of 1 byte and of many. */
    for (u32 i = 0; i < 199; i++) {
        spans[i] = (struct span){.base = out + i, .bytes = 1};
    }
    spans[199] = (struct span){.base = out + 199, .bytes = sizeof(out) - 199};
    assert_int_equal(submit(BLK_WRITE, 7, 3, spans, 200, false), ST_OK);
    assert_true(all_are(7 * SECTOR_BYTES, sizeof(out), 0xa5));
    assert_true(all_are(6 * SECTOR_BYTES, SECTOR_BYTES, 7));
    assert_true(all_are(10 * SECTOR_BYTES, SECTOR_BYTES, 11));
    memset(in, 0, sizeof(in));
    for (u32 i = 0; i < 200; i++) {
        spans[i].base = in + (spans[i].base - out);
    }
    assert_int_equal(submit(BLK_READ, 7, 3, spans, 200, false), ST_OK);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(submit(BLK_FLUSH, 0, 0, NULL, 0, false), ST_OK);
}

static void a_discard_gives_the_space_back(void **state)
{
    const u64 before = allocated();

    (void)state;
    if (!holes_are_possible()) {
        skip();
    }
    assert_int_equal(
        submit(BLK_DISCARD, PIECE / SECTOR_BYTES, PIECE / SECTOR_BYTES, NULL, 0, false), ST_OK);
    assert_true(allocated() + PIECE <= before);
    assert_true(all_are(PIECE, PIECE, 0));
    assert_true(all_are(PIECE - SECTOR_BYTES, SECTOR_BYTES, PIECE / SECTOR_BYTES));
    assert_true(all_are(2 * (u64)PIECE, SECTOR_BYTES, 1 + 2 * PIECE / SECTOR_BYTES % 255));
}

/* [VIRTIO 5.2.6.2]: zeroes in both cases; unmap decides what becomes of the space. */
static void zeroes_are_written_and_unmap_gives_the_space_back(void **state)
{
    const u64 before = allocated();
    const u64 sectors = PIECE / SECTOR_BYTES;

    (void)state;
    assert_int_equal(submit(BLK_WRITE_ZEROES, sectors + 1, sectors, NULL, 0, false), ST_OK);
    assert_true(all_are(PIECE + SECTOR_BYTES, PIECE, 0));
    assert_true(all_are(PIECE, SECTOR_BYTES, (u8)(1 + sectors % 255)));
    assert_true(allocated() + SECTOR_BYTES >= before);
    assert_int_equal(file.dev.info.write_zeroes_may_unmap, holes_are_possible());
    assert_int_equal(submit(BLK_WRITE_ZEROES, 0, sectors, NULL, 0, true), ST_OK);
    assert_true(all_are(0, PIECE, 0));
    if (holes_are_possible()) {
        assert_true(allocated() + PIECE <= before);
    }
}

static void another_size_is_noticed_once(void **state)
{
    (void)state;
    assert_false(bdev_file_resized(&file));
    assert_int_equal(ftruncate(fd, FILE_BYTES + 511), 0);
    assert_false(bdev_file_resized(&file)); /* no whole sector more */
    assert_int_equal(ftruncate(fd, 2 * FILE_BYTES), 0);
    assert_true(bdev_file_resized(&file));
    assert_int_equal(file.dev.info.sectors, 2 * FILE_BYTES / SECTOR_BYTES);
    assert_false(bdev_file_resized(&file));
    assert_int_equal(submit(BLK_WRITE_ZEROES, FILE_BYTES / SECTOR_BYTES, 1, NULL, 0, false), ST_OK);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_true(bdev_file_resized(&file));
    assert_int_equal(file.dev.info.sectors, 0);
}

static void a_file_that_was_made_shorter_fails_reads_and_not_us(void **state)
{
    u8 data[SECTOR_BYTES];
    const struct span span = {.base = data, .bytes = sizeof(data)};

    (void)state;
    assert_int_equal(ftruncate(fd, FILE_BYTES / 2), 0);
    assert_int_equal(submit(BLK_READ, FILE_BYTES / SECTOR_BYTES - 1, 1, &span, 1, false), ST_IO);
    assert_int_equal(submit(BLK_READ, 0, 1, &span, 1, false), ST_OK);
}

static void a_read_only_file_offers_nothing_that_changes_it(void **state)
{
    struct bdev_file other;

    (void)state;
    assert_int_equal(bdev_file_open(&other, "disk1", path, true, &why), ST_OK);
    assert_true(other.dev.info.read_only);
    assert_false(other.dev.info.discard);
    assert_false(other.dev.info.write_zeroes);
    assert_false(other.dev.info.write_zeroes_may_unmap);
    bdev_file_close(&other);
}

static void what_cannot_be_a_disk_is_refused_with_a_sentence(void **state)
{
    struct bdev_file other;

    (void)state;
    assert_int_equal(bdev_file_open(&other, "d", "/nonexistent", false, &why), ST_NOENT);
    assert_int_equal(bdev_file_open(&other, "d", "/dev/null", false, &why), ST_INVAL);
    assert_non_null(strstr(why, "neither a file nor a block device"));
    assert_int_equal(ftruncate(fd, 511), 0);
    assert_int_equal(bdev_file_open(&other, "d", path, false, &why), ST_INVAL);
    assert_non_null(strstr(why, "no sector"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, opened, closed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_goes_where_its_sector_says_over_any_spans),
        TEST(a_discard_gives_the_space_back),
        TEST(zeroes_are_written_and_unmap_gives_the_space_back),
        TEST(another_size_is_noticed_once),
        TEST(a_file_that_was_made_shorter_fails_reads_and_not_us),
        TEST(a_read_only_file_offers_nothing_that_changes_it),
        TEST(what_cannot_be_a_disk_is_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
