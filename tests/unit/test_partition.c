/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_partition.c - partitions are found in tables that sfdisk made, and damaged tables are
 * refused.
 *
 * The tables are those of the fuzzer's corpus: 40 bytes for the fuzzer, then sectors with their
 * numbers.
 */
#include "blk/partition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECTORS 2048u

static u8 medium[SECTORS][SECTOR_BYTES];
static enum status read_fails;
static u64 fails_at;

static enum status medium_read(void *ctx, u64 sector, void *to)
{
    (void)ctx;
    assert_in_range(sector, 0, SECTORS - 1);
    if (read_fails != ST_OK && sector == fails_at) {
        return read_fails;
    }
    memcpy(to, medium[sector], SECTOR_BYTES);
    return ST_OK;
}

static struct partition_source source = {
    .read = medium_read,
    .sectors = SECTORS,
    .block_bytes = SECTOR_BYTES,
};
static struct partition found;

static void table_load(const char *seed)
{
    char path[64];
    u8 head[40], place[2];
    FILE *file;

    snprintf(path, sizeof(path), "tests/fuzz/seeds/partition/%s", seed);
    file = fopen(path, "rb");
    assert_non_null(file);
    memset(medium, 0, sizeof(medium));
    assert_int_equal(fread(head, 1, sizeof(head), file), sizeof(head));
    while (fread(place, 1, sizeof(place), file) == sizeof(place)) {
        u32 sector = place[0] | (u32)place[1] << 8;

        assert_in_range(sector, 0, SECTORS - 1);
        assert_int_equal(fread(medium[sector], 1, SECTOR_BYTES, file), SECTOR_BYTES);
    }
    fclose(file);
}

static int gpt(void **state)
{
    (void)state;
    read_fails = ST_OK;
    table_load("gpt-label");
    return 0;
}

static int mbr(void **state)
{
    (void)state;
    read_fails = ST_OK;
    table_load("mbr-number");
    return 0;
}

static enum status find(enum partition_key key, u32 number, const char *text)
{
    struct partition_wish wish = {.key = key, .number = number};

    memset(&found, 0, sizeof(found));
    snprintf(wish.text, sizeof(wish.text), "%s", text);
    return partition_find(&source, &wish, &found);
}

static void expect(u32 number, u64 sector, u64 sectors)
{
    assert_int_equal(found.number, number);
    assert_int_equal(found.sector, sector);
    assert_int_equal(found.sectors, sectors);
}

static void gpt_by_number_uuid_and_label(void **state)
{
    (void)state;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_OK);
    expect(1, 64, 128);
    assert_int_equal(find(PARTITION_UUID, 0, "0c0ffee0-0000-4000-8000-00000000d00d"), ST_OK);
    expect(2, 256, 512);
    assert_int_equal(find(PARTITION_UUID, 0, "01234567-89AB-CDEF-0123-456789ABCDEF"), ST_OK);
    expect(1, 64, 128);
    assert_int_equal(find(PARTITION_LABEL, 0, "rootfs"), ST_OK);
    expect(2, 256, 512);
    assert_int_equal(find(PARTITION_LABEL, 0, "rootfs2"), ST_OK);
    expect(3, 1024, 8);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    assert_int_equal(find(PARTITION_NUMBER, 4, ""), ST_NOENT);
    assert_int_equal(find(PARTITION_NUMBER, 0, ""), ST_NOENT);
    assert_int_equal(find(PARTITION_LABEL, 0, "root"), ST_NOENT);
    assert_int_equal(find(PARTITION_LABEL, 0, "rootfs3"), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, "01234567-89ab-cdef-0123-456789abcde"), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, "01234567x89ab-cdef-0123-456789abcdef"), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, "01234567-89ab-cdef-0123-456789abcdeg"), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, ""), ST_NOENT);
}

static void a_name_that_two_have_is_refused(void **state)
{
    (void)state;
    table_load("gpt-two-rootfs");
    assert_int_equal(find(PARTITION_LABEL, 0, "rootfs"), ST_FULL);
    assert_int_equal(find(PARTITION_NUMBER, 2, ""), ST_OK);
}

static void a_damaged_table_is_taken_from_its_copy(void **state)
{
    (void)state;
    medium[2][128 + 32] ^= 1; /* where the second one begins: its checksum tells */
    assert_int_equal(find(PARTITION_NUMBER, 2, ""), ST_OK);
    expect(2, 256, 512);
    medium[1][0] = 'X'; /* the header too */
    assert_int_equal(find(PARTITION_NUMBER, 2, ""), ST_OK);
    expect(2, 256, 512);
    medium[SECTORS - 1][24] ^= 1; /* and its copy */
    assert_int_equal(find(PARTITION_NUMBER, 2, ""), ST_PROTO);
}

static void a_medium_that_fails_is_said(void **state)
{
    (void)state;
    read_fails = ST_IO;
    for (fails_at = 0; fails_at <= 2; fails_at++) {
        assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_IO);
    }
}

static void without_a_table_there_is_nothing(void **state)
{
    (void)state;
    memset(medium[0], 0, SECTOR_BYTES);
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_NOSUP);
    source.sectors = 0;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_NOSUP);
    source.sectors = 2; /* too small for what its first sector promises */
    table_load("gpt-label");
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_PROTO);
    source.sectors = SECTORS;
}

static void mbr_primary_and_logical(void **state)
{
    (void)state;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_OK);
    expect(1, 64, 128);
    assert_int_equal(find(PARTITION_NUMBER, 5, ""), ST_OK);
    expect(5, 300, 64);
    assert_int_equal(find(PARTITION_NUMBER, 7, ""), ST_OK);
    expect(7, 500, 32);
    assert_int_equal(find(PARTITION_UUID, 0, "cafe1234-06"), ST_OK);
    expect(6, 400, 64);
    assert_int_equal(find(PARTITION_NUMBER, 2, ""), ST_NOENT); /* the extended one is no disk */
    assert_int_equal(find(PARTITION_NUMBER, 8, ""), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, "cafe1234-6"), ST_NOENT);
    assert_int_equal(find(PARTITION_UUID, 0, "cafe1235-01"), ST_NOENT);
    assert_int_equal(find(PARTITION_LABEL, 0, "boot"), ST_NOENT);
}

static void a_chain_that_bites_its_tail_ends(void **state)
{
    u8 *next = &medium[256][446 + 16 + 8];

    (void)state;
    memset(next, 0, 4); /* the first link leads to itself */
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_PROTO);
    next[2] = 0xff; /* out of the medium */
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_PROTO);
    medium[256][510] = 0; /* no link at all */
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_PROTO);
    read_fails = ST_IO;
    fails_at = 256;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_IO);
}

static void a_partition_outside_the_medium_is_refused(void **state)
{
    (void)state;
    medium[0][446 + 12] = 0;
    medium[0][446 + 13] = 0xff; /* its count */
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_RANGE);
    medium[0][446 + 13] = 0;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_RANGE); /* empty */
    medium[0][446 + 12] = 1;
    medium[0][446 + 8] = 0; /* over the table itself */
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_RANGE);
}

/* The numbers of a table count logical blocks. */
static void larger_blocks_scale(void **state)
{
    (void)state;
    memmove(medium[256 * 4], medium[256], SECTOR_BYTES);
    memset(medium[256], 0, SECTOR_BYTES);
    medium[256 * 4][446 + 16 + 4] = 0; /* one logical partition only */
    source.block_bytes = 4 * SECTOR_BYTES;
    assert_int_equal(find(PARTITION_NUMBER, 1, ""), ST_OK);
    expect(1, 256, 512);
    assert_int_equal(find(PARTITION_NUMBER, 5, ""), ST_OK);
    expect(5, 1200, 256);
    source.block_bytes = SECTOR_BYTES;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gpt_by_number_uuid_and_label, gpt),
        cmocka_unit_test_setup(what_is_not_there_is_not_found, gpt),
        cmocka_unit_test_setup(a_name_that_two_have_is_refused, gpt),
        cmocka_unit_test_setup(a_damaged_table_is_taken_from_its_copy, gpt),
        cmocka_unit_test_setup(a_medium_that_fails_is_said, gpt),
        cmocka_unit_test_setup(without_a_table_there_is_nothing, gpt),
        cmocka_unit_test_setup(mbr_primary_and_logical, mbr),
        cmocka_unit_test_setup(a_chain_that_bites_its_tail_ends, mbr),
        cmocka_unit_test_setup(a_partition_outside_the_medium_is_refused, mbr),
        cmocka_unit_test_setup(larger_blocks_scale, mbr),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
