/* SPDX-License-Identifier: BSD-2-Clause */
/* blkif_wire.c - two layouts as tables of offsets. */
#include "blk/blkif_wire.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/port.h"

#include <xen/io/blkif.h>

#define ENTRIES_AT     offsetof(struct blkif_sring, ring)
#define ENTRY_BYTES_64 112u
#define ENTRY_BYTES_32 108u

/** Where the fields of an entry lie. The first word is the same everywhere. */
static const struct layout {
    u8 bytes; /* of an entry */
    u8 id, sector;
    u8 seg;             /* direct: the first segment */
    u8 discard_sectors; /* discard */
    u8 indirect_ref;    /* indirect */
} layouts[BLKIF_ABI_COUNT] = {
    [BLKIF_ABI_64] = {ENTRY_BYTES_64, 8, 16, 24, 24, 28},
    [BLKIF_ABI_32] = {ENTRY_BYTES_32, 4, 12, 20, 20, 24},
};

STATIC_CHECK(sizeof(union blkif_sring_entry) == ENTRY_BYTES_64 &&
                 offsetof(struct blkif_request, id) == 8 &&
                 offsetof(struct blkif_request, sector_number) == 16 &&
                 offsetof(struct blkif_request, seg) == 24 &&
                 offsetof(struct blkif_request_discard, nr_sectors) == 24 &&
                 offsetof(struct blkif_request_indirect, indirect_grefs) == 28,
             "the header's layout is the one with 64-bit alignment");
STATIC_CHECK(sizeof(struct blkif_request_segment) == BLKIF_SEG_BYTES &&
                 offsetof(struct blkif_request_segment, first_sect) == 4,
             "a segment is laid out the same by all");
STATIC_CHECK(BLKIF_DIRECT_MAX == BLKIF_MAX_SEGMENTS_PER_REQUEST, "as the header says");

bool blkif_abi_find(const char *protocol, enum blkif_abi *abi)
{
    static const struct {
        char name[12];
        enum blkif_abi abi;
    } known[] = {
        {"", BLKIF_ABI_64},
        {"arm-abi", BLKIF_ABI_64},
        {"x86_64-abi", BLKIF_ABI_64},
        {"x86_32-abi", BLKIF_ABI_32},
    };

    for (u32 i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(protocol, known[i].name) == 0) {
            *abi = known[i].abi;
            return true;
        }
    }
    return false;
}

u32 blkif_ring_entries(enum blkif_abi abi, u32 pages)
{
    u32 room = (u32)((pages * PAGE_BYTES - ENTRIES_AT) / layouts[abi].bytes);
    u32 entries = 1;

    CHECK(pages >= 1 && pages <= BLKIF_RING_PAGES_MAX);
    while (entries * 2 <= room) {
        entries *= 2;
    }
    return entries;
}

static u32 read_u32(const u8 *p)
{
    u32 value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static u64 read_u64(const u8 *p)
{
    u64 value;

    memcpy(&value, p, sizeof(value));
    return value;
}

static struct blkif_seg seg_of(const u8 *p)
{
    return (struct blkif_seg){read_u32(p), p[4], p[5]};
}

void blkif_wire_read(enum blkif_abi abi, const u8 *page, u32 idx, u32 entries,
                     struct blkif_wire *wire)
{
    const struct layout *at = &layouts[abi];
    u8 entry[ENTRY_BYTES_64];

    memcpy(entry, page + ENTRIES_AT + (idx & (entries - 1)) * at->bytes, at->bytes); /* read once */
    copied_once();
    *wire = (struct blkif_wire){
        .op = entry[0],
        .segs = entry[1],
        .id = read_u64(entry + at->id),
        .sector = read_u64(entry + at->sector),
    };
    if (wire->op == BLKIF_OP_DISCARD) {
        wire->flag = entry[1];
        wire->segs = 0;
        wire->sectors = read_u64(entry + at->discard_sectors);
    } else if (wire->op == BLKIF_OP_INDIRECT) {
        wire->indirect = true;
        wire->op = entry[1];
        wire->segs = (u32)entry[2] | (u32)entry[3] << 8;
        wire->seg_ref = read_u32(entry + at->indirect_ref);
    } else {
        for (u32 i = 0; i < BLKIF_DIRECT_MAX; i++) {
            wire->seg[i] = seg_of(entry + at->seg + i * BLKIF_SEG_BYTES);
        }
    }
}

void blkif_wire_answer(enum blkif_abi abi, u8 *page, u32 idx, u32 entries, u64 id, u8 op,
                       s16 status)
{
    u8 *entry = page + ENTRIES_AT + (idx & (entries - 1)) * layouts[abi].bytes;

    memcpy(entry + offsetof(struct blkif_response, id), &id, sizeof(id));
    entry[offsetof(struct blkif_response, operation)] = op;
    memcpy(entry + offsetof(struct blkif_response, status), &status, sizeof(status));
}

struct blkif_seg blkif_wire_seg(const u8 *page, u32 idx)
{
    u8 copy[BLKIF_SEG_BYTES];

    CHECK(idx < BLKIF_SEG_PER_PAGE);
    memcpy(copy, page + idx * BLKIF_SEG_BYTES, BLKIF_SEG_BYTES); /* read once */
    copied_once();
    return seg_of(copy);
}
