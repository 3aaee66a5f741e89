/* SPDX-License-Identifier: BSD-2-Clause */
/* adma2.c - spans to descriptors. */
#include "drivers/mmc/adma2.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

#define ATTR_VALID    0x01
#define ATTR_END      0x02
#define ATTR_TRANSFER 0x20

struct piece {
    u64 bus;
    u64 bytes;
};

static void descriptor_write(const struct adma2_table *table, u32 idx, u64 bus, u32 bytes, bool end)
{
    u8 *at = table->base + (usize)idx * table->format;
    u32 attr = ATTR_VALID | ATTR_TRANSFER | (end ? ATTR_END : 0);
    /* A length of 64 KiB, or 64 MiB, is written as 0: the bits above are cut. */
    u32 low = attr | bytes << 16 | (table->piece_bytes_max > KIB(64) ? bytes >> 10 & 0xffc0 : 0);
    u32 address[2] = {(u32)bus, (u32)(bus >> 32)};

    memcpy(at, &low, 4);
    memcpy(at + 4, address, table->format == ADMA2_32 ? 4 : 8);
    if (table->format == ADMA2_64_V4) {
        memset(at + 12, 0, 4);
    }
}

/** What the spans from *next on have in one piece; *next moves behind it. */
static struct piece piece_take(const struct span *spans, u32 span_count, u32 *next)
{
    struct piece piece = {spans[*next].bus, spans[*next].bytes};

    for ((*next)++; *next < span_count && spans[*next].bus == piece.bus + piece.bytes; (*next)++) {
        piece.bytes += spans[*next].bytes;
    }
    return piece;
}

static enum status spans_check(const struct adma2_table *table, const struct span *spans,
                               u32 span_count)
{
    u64 limit = table->format == ADMA2_32 ? BIT64(32) : UINT64_MAX;

    if (span_count == 0) {
        return ST_INVAL;
    }
    for (u32 i = 0; i < span_count; i++) {
        if (!is_aligned(spans[i].bus | spans[i].bytes, ADMA2_ALIGN) || spans[i].bytes == 0) {
            return ST_INVAL;
        }
        if (!range_ok(spans[i].bus, spans[i].bytes, limit)) {
            return ST_RANGE;
        }
    }
    return ST_OK;
}

enum status adma2_build(const struct adma2_table *table, const struct span *spans, u32 span_count,
                        u32 *count)
{
    u32 room = table->bytes / table->format;
    enum status st = spans_check(table, spans, span_count);
    u32 next = 0;

    CHECK(is_pow2(table->piece_bytes_max) && table->piece_bytes_max <= MIB(64));
    *count = 0;
    if (st != ST_OK) {
        return st;
    }
    while (next < span_count) {
        struct piece piece = piece_take(spans, span_count, &next);

        while (piece.bytes > 0) {
            u32 bytes = (u32)min_u64(piece.bytes, table->piece_bytes_max);

            if (*count == room) {
                return ST_FULL;
            }
            piece.bytes -= bytes;
            descriptor_write(table, *count, piece.bus, bytes,
                             next == span_count && piece.bytes == 0);
            piece.bus += bytes;
            (*count)++;
        }
    }
    return ST_OK;
}
