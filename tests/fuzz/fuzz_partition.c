/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_partition.c - the input is a medium: sectors of any content at any place, and a wish.
 *
 *   input = block size, key, number, whether checksums are set right, 36 bytes of text,
 *           then { number of the sector (2 bytes), its bytes }*
 *
 * What must hold: every question returns, no sector outside the medium is asked for, none more than
 * once a copy of the table, and a partition that is found lies inside the medium.
 */
#include <string.h>

#include "blk/partition.h"
#include "start/base/check.h"

#define SECTORS   2048u
#define READS_MAX 2200 /* both copies of the largest table, and a chain of logical partitions */

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static u8 medium[SECTORS][SECTOR_BYTES];
static u32 reads;

static enum status medium_read(void *ctx, u64 sector, void *to)
{
    (void)ctx;
    CHECK(sector < SECTORS);
    CHECK(++reads <= READS_MAX);
    memcpy(to, medium[sector], SECTOR_BYTES);
    return ST_OK;
}

static u32 crc32(const u8 *p, usize bytes)
{
    u32 crc = UINT32_MAX;

    for (usize i = 0; i < bytes; i++) {
        crc ^= p[i];
        for (u32 bit = 0; bit < 8; bit++) {
            crc = crc & 1 ? crc >> 1 ^ UINT32_C(0xedb88320) : crc >> 1;
        }
    }
    return ~crc;
}

static u32 word_at(const u8 *p)
{
    u32 word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/** Without this hardly a changed table would be believed. */
static void checksums_set(u64 lba, u32 factor)
{
    u8 *header = medium[lba * factor];
    u64 entries = word_at(header + 72);
    u32 count = word_at(header + 80), each = word_at(header + 84), crc;

    if (entries < SECTORS / factor && count <= 1024 && each <= 512 &&
        entries * factor * SECTOR_BYTES + (u64)count * each <= sizeof(medium)) {
        crc = crc32(medium[entries * factor], count * each);
        memcpy(header + 88, &crc, sizeof(crc));
    }
    if (word_at(header + 12) <= SECTOR_BYTES) {
        memset(header + 16, 0, sizeof(crc));
        crc = crc32(header, word_at(header + 12));
        memcpy(header + 16, &crc, sizeof(crc));
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct partition_source source = {.read = medium_read, .sectors = SECTORS};
    struct partition_wish wish = {.key = PARTITION_NUMBER};
    struct partition found = {0};
    u32 factor;

    if (bytes < 40) {
        return 0;
    }
    factor = 1u << data[0] % 4;
    source.block_bytes = SECTOR_BYTES * factor;
    wish.key = (enum partition_key)((data[1] + 2u) % 3u);
    wish.number = data[2];
    memcpy(wish.text, data + 4, PARTITION_TEXT_MAX - 1);
    memset(medium, 0, sizeof(medium));
    for (usize at = 40; at + 2 < bytes; at += 2 + SECTOR_BYTES) {
        usize part = bytes - at - 2 < SECTOR_BYTES ? bytes - at - 2 : SECTOR_BYTES;

        memcpy(medium[(data[at] | data[at + 1] << 8) % SECTORS], data + at + 2, part);
    }
    if (data[3] & 1) {
        checksums_set(1, factor);
        checksums_set(SECTORS / factor - 1, factor);
    }
    reads = 0;
    if (partition_find(&source, &wish, &found) == ST_OK) {
        CHECK(found.sector > 0 && found.sectors > 0);
        CHECK(found.sector < SECTORS && found.sectors <= SECTORS - found.sector);
        CHECK(found.sector % factor == 0 && found.sectors % factor == 0);
        CHECK(wish.key != PARTITION_NUMBER || wish.number == found.number);
    }
    return 0;
}
