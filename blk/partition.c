/* SPDX-License-Identifier: BSD-2-Clause */
/* partition.c - GPT and MBR, as far as finding one partition takes. */
#include "blk/partition.h"

#include <string.h>

#include "start/base/arith.h"

#define GPT_ENTRIES_MAX 1024 /* every tool makes 128 */
#define LOGICAL_MAX     64   /* links of an extended partition that are followed */

#define MBR_PROTECTIVE 0xee

struct mbr_entry {
    u8 boot, first_chs[3];
    u8 type; /* 0: unused */
    u8 last_chs[3];
    u8 first[4], count[4]; /* little-endian and not aligned, in logical blocks */
};

struct mbr {
    u8 code[440];
    u8 disk_id[4];
    u8 unused[2];
    struct mbr_entry entry[4];
    u8 mark[2];
};

struct gpt_header {
    char mark[8];
    le32_t revision, header_bytes, header_crc, zero;
    le64_t my_lba, other_lba, first_usable, last_usable;
    u8 disk_uuid[16];
    le64_t entries_lba;
    le32_t entry_count, entry_bytes, entries_crc;
};

struct gpt_entry {
    u8 type[16]; /* all 0: unused */
    u8 uuid[16];
    le64_t first, last; /* both inside */
    le64_t attributes;
    le16_t label[36];
};

STATIC_CHECK(sizeof(struct mbr) == SECTOR_BYTES, "[UEFI 5.2.1]");
STATIC_CHECK(offsetof(struct gpt_header, entries_crc) == 88, "[UEFI 5.3.2]");
STATIC_CHECK(sizeof(struct gpt_entry) == 128, "[UEFI 5.3.3]");

/** A sector as it was read, aligned for the structures above. */
union sector {
    u8 bytes[SECTOR_BYTES];
    struct mbr mbr;
    struct gpt_header gpt;
    struct gpt_entry entry[SECTOR_BYTES / sizeof(struct gpt_entry)];
};

/** What answered so far. */
struct search {
    const struct partition_source *source;
    const struct partition_wish *wish;
    u32 matches;
    u64 first, count; /* of the last match, in logical blocks */
    u32 number;
};

/* --- words ------------------------------------------------------------------------------------ */

static u32 u32_at(const u8 *p)
{
    return (u32)p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

/** CRC-32 of more bytes, four bits a step; begins and ends inverted. [UEFI 5.3.1] */
static u32 crc32_more(u32 crc, const u8 *p, usize bytes)
{
    for (usize i = 0; i < bytes * 2; i++) {
        u32 low = (crc ^ (u32)(p[i / 2] >> i % 2 * 4)) & 15;

        for (u32 bit = 0; bit < 4; bit++) {
            low = low >> 1 ^ (UINT32_C(0xedb88320) & (0 - (low & 1)));
        }
        crc = crc >> 4 ^ low;
    }
    return crc;
}

/** The value of a hex digit in either case, 16 for anything else. */
static u32 hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (u32)(c - '0');
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (u32)(c - 'a') + 10 : 16;
}

/** count bytes as hex digits, two each. */
static bool hex_is(const char *text, const u8 *bytes, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        u32 high = hex_value(text[2 * i]);

        /* The second digit is looked at only behind a first one: text may end here. */
        if (high == 16 || high << 4 != (bytes[i] & 0xf0u) ||
            hex_value(text[2 * i + 1]) != (bytes[i] & 15u)) {
            return false;
        }
    }
    return true;
}

/** GPT's: the first three groups are little-endian numbers. [UEFI appendix A] */
static bool uuid_is(const char *text, const u8 *uuid)
{
    const u8 swapped[16] = {uuid[3],  uuid[2],  uuid[1],  uuid[0], uuid[5],  uuid[4],
                            uuid[7],  uuid[6],  uuid[8],  uuid[9], uuid[10], uuid[11],
                            uuid[12], uuid[13], uuid[14], uuid[15]};

    return strlen(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' &&
           text[23] == '-' && hex_is(text, swapped, 4) && hex_is(text + 9, swapped + 4, 2) &&
           hex_is(text + 14, swapped + 6, 2) && hex_is(text + 19, swapped + 8, 2) &&
           hex_is(text + 24, swapped + 10, 6);
}

static bool label_is(const char *text, const le16_t *label)
{
    usize length = strlen(text);

    for (usize i = 0; i < length; i++) {
        if (le16_get(label[i]) != (u8)text[i]) {
            return false;
        }
    }
    return length == ARRAY_LEN(((struct gpt_entry *)0)->label) || le16_get(label[length]) == 0;
}

/* --- GPT -------------------------------------------------------------------------------------- */

static void gpt_entry_look(struct search *search, const struct gpt_entry *entry, u32 number)
{
    static const u8 unused[16];
    const struct partition_wish *wish = search->wish;
    u64 first = le64_get(entry->first), last = le64_get(entry->last);

    if (memcmp(entry->type, unused, sizeof(unused)) == 0 ||
        (wish->key == PARTITION_NUMBER && wish->number != number) ||
        (wish->key == PARTITION_UUID && !uuid_is(wish->text, entry->uuid)) ||
        (wish->key == PARTITION_LABEL && !label_is(wish->text, entry->label))) {
        return;
    }
    search->matches++;
    search->number = number;
    search->first = first;
    search->count = last >= first && last - first < UINT64_MAX ? last - first + 1 : 0;
}

/** Does the header hold together? It does not say yet that its entries do. */
static bool gpt_header_ok(union sector *sector, u64 lba)
{
    struct gpt_header *gpt = &sector->gpt;
    u32 bytes = le32_get(gpt->header_bytes), crc = le32_get(gpt->header_crc);
    u32 entry_bytes = le32_get(gpt->entry_bytes), count = le32_get(gpt->entry_count);

    if (memcmp(gpt->mark, "EFI PART", sizeof(gpt->mark)) != 0 || bytes < 92 ||
        bytes > SECTOR_BYTES || le64_get(gpt->my_lba) != lba) {
        return false;
    }
    gpt->header_crc = le32_make(0);
    return ~crc32_more(UINT32_MAX, sector->bytes, bytes) == crc && count <= GPT_ENTRIES_MAX &&
           (entry_bytes == 128 || entry_bytes == 256 || entry_bytes == 512);
}

/** Look at all entries, and add up what the header's checksum is about. */
static enum status gpt_entries_look(struct search *search, const struct gpt_header *gpt)
{
    const struct partition_source *source = search->source;
    u32 entry_bytes = le32_get(gpt->entry_bytes), crc = UINT32_MAX;
    u32 left = le32_get(gpt->entry_count) * entry_bytes, number = 1;
    u64 blocks = source->sectors * SECTOR_BYTES / source->block_bytes, sector;
    union sector buffer;

    if (le64_get(gpt->entries_lba) >= blocks) {
        return ST_PROTO;
    }
    sector = le64_get(gpt->entries_lba) * (source->block_bytes / SECTOR_BYTES);
    for (; left > 0; sector++) {
        u32 bytes = min_u32(left, SECTOR_BYTES);
        enum status st =
            sector < source->sectors ? source->read(source->ctx, sector, buffer.bytes) : ST_PROTO;

        if (st != ST_OK) {
            return st;
        }
        crc = crc32_more(crc, buffer.bytes, bytes);
        for (u32 at = 0; at < bytes; at += entry_bytes) {
            gpt_entry_look(search, &buffer.entry[at / sizeof(struct gpt_entry)], number++);
        }
        left -= bytes;
    }
    return ~crc == le32_get(gpt->entries_crc) ? ST_OK : ST_PROTO;
}

/** The copy of the table whose header is at lba. ST_PROTO: it is damaged. */
static enum status gpt_look(struct search *search, u64 lba)
{
    const struct partition_source *source = search->source;
    union sector header;
    enum status st =
        source->read(source->ctx, lba * (source->block_bytes / SECTOR_BYTES), header.bytes);

    search->matches = 0;
    if (st != ST_OK) {
        return st;
    }
    if (!gpt_header_ok(&header, lba)) {
        return ST_PROTO;
    }
    st = gpt_entries_look(search, &header.gpt);
    if (st == ST_OK && search->matches == 1 &&
        (search->first < le64_get(header.gpt.first_usable) ||
         !range_ok(search->first, search->count, le64_get(header.gpt.last_usable) + 1))) {
        search->count = 0;
    }
    return st;
}

static enum status gpt_find(struct search *search)
{
    const struct partition_source *source = search->source;
    u64 blocks = source->sectors * SECTOR_BYTES / source->block_bytes;
    enum status st;

    if (blocks < 3) {
        return ST_PROTO;
    }
    st = gpt_look(search, 1);
    return st == ST_PROTO ? gpt_look(search, blocks - 1) : st;
}

/* --- MBR -------------------------------------------------------------------------------------- */

static bool mbr_type_is_extended(u8 type)
{
    return type == 0x05 || type == 0x0f || type == 0x85;
}

/** base is what the entry's first block counts from. */
static void mbr_entry_look(struct search *search, const struct mbr_entry *entry, u64 base,
                           u32 number, const u8 *disk_id)
{
    const struct partition_wish *wish = search->wish;
    const u8 tail = (u8)number;
    bool is_it = wish->key == PARTITION_NUMBER && wish->number == number;

    if (wish->key == PARTITION_UUID) {
        const u8 id[4] = {disk_id[3], disk_id[2], disk_id[1], disk_id[0]};

        is_it = strlen(wish->text) == 11 && wish->text[8] == '-' && hex_is(wish->text, id, 4) &&
                hex_is(wish->text + 9, &tail, 1);
    }
    if (is_it && entry->type != 0 && !mbr_type_is_extended(entry->type)) {
        search->matches++;
        search->number = number;
        search->first = base + u32_at(entry->first);
        search->count = u32_at(entry->count);
    }
}

/** Logical partitions: a chain of tables, each with one partition and the place of the next. */
static enum status extended_look(struct search *search, u64 base, const u8 *disk_id)
{
    const struct partition_source *source = search->source;
    u64 at = base, blocks = source->sectors * SECTOR_BYTES / source->block_bytes;

    for (u32 number = 5; number < 5 + LOGICAL_MAX; number++) {
        union sector buffer;
        const struct mbr *link = &buffer.mbr;
        enum status st;

        if (at >= blocks) {
            return ST_PROTO;
        }
        st = source->read(source->ctx, at * (source->block_bytes / SECTOR_BYTES), buffer.bytes);
        if (st != ST_OK) {
            return st;
        }
        if (link->mark[0] != 0x55 || link->mark[1] != 0xaa) {
            return ST_PROTO;
        }
        mbr_entry_look(search, &link->entry[0], at, number, disk_id);
        if (!mbr_type_is_extended(link->entry[1].type)) {
            return ST_OK;
        }
        at = base + u32_at(link->entry[1].first);
    }
    return ST_PROTO;
}

static enum status mbr_find(struct search *search, const struct mbr *mbr)
{
    for (u32 i = 0; i < ARRAY_LEN(mbr->entry); i++) {
        const struct mbr_entry *entry = &mbr->entry[i];

        mbr_entry_look(search, entry, 0, i + 1, mbr->disk_id);
        if (mbr_type_is_extended(entry->type)) {
            enum status st = extended_look(search, u32_at(entry->first), mbr->disk_id);

            if (st != ST_OK) {
                return st;
            }
        }
    }
    return ST_OK;
}

/* --- both ------------------------------------------------------------------------------------- */

static bool mbr_is_protective(const struct mbr *mbr)
{
    for (u32 i = 0; i < ARRAY_LEN(mbr->entry); i++) {
        if (mbr->entry[i].type == MBR_PROTECTIVE) {
            return true;
        }
    }
    return false;
}

enum status partition_find(const struct partition_source *source, const struct partition_wish *wish,
                           struct partition *found)
{
    struct search search = {.source = source, .wish = wish};
    u64 factor = source->block_bytes / SECTOR_BYTES;
    union sector first;
    enum status st = source->sectors > 0 ? source->read(source->ctx, 0, first.bytes) : ST_NOSUP;

    if (st != ST_OK) {
        return st;
    }
    if (first.mbr.mark[0] != 0x55 || first.mbr.mark[1] != 0xaa) {
        return ST_NOSUP;
    }
    st = mbr_is_protective(&first.mbr) ? gpt_find(&search) : mbr_find(&search, &first.mbr);
    if (st != ST_OK) {
        return st;
    }
    if (search.matches != 1) {
        return search.matches == 0 ? ST_NOENT : ST_FULL;
    }
    if (search.first == 0 || search.count == 0 ||
        !range_ok(search.first, search.count, source->sectors / factor)) {
        return ST_RANGE;
    }
    found->number = search.number;
    found->sector = search.first * factor;
    found->sectors = search.count * factor;
    return ST_OK;
}
