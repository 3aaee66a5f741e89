/* SPDX-License-Identifier: BSD-2-Clause */
/* memmap.c - first fit over a handful of ranges. */
#include "start/memmap.h"

#include <string.h>

#include "start/base/arith.h"

void memmap_init(struct memmap *map, memmap_access_fn access)
{
    memset(map, 0, sizeof(*map));
    map->access = access;
}

static enum status range_add(struct memrange *table, u32 *count, u32 max, u64 base, u64 bytes)
{
    u64 end;

    if (bytes == 0 || !add_ok_u64(base, bytes, &end)) {
        return ST_INVAL;
    }
    if (*count == max) {
        return ST_FULL;
    }
    table[(*count)++] = (struct memrange){base, bytes};
    return ST_OK;
}

enum status memmap_add_bank(struct memmap *map, u64 base, u64 bytes)
{
    return range_add(map->bank, &map->bank_count, MEMMAP_BANKS_MAX, base, bytes);
}

enum status memmap_reserve(struct memmap *map, u64 base, u64 bytes)
{
    return range_add(map->taken, &map->taken_count, MEMMAP_TAKEN_MAX, base, bytes);
}

static bool bank_contains(const struct memrange *bank, u64 base, u64 bytes)
{
    return base >= bank->base && range_ok(base - bank->base, bytes, bank->bytes);
}

bool memmap_contains(const struct memmap *map, u64 base, u64 bytes)
{
    for (u32 i = 0; i < map->bank_count; i++) {
        if (bank_contains(&map->bank[i], base, bytes)) {
            return true;
        }
    }
    return false;
}

u64 memmap_total(const struct memmap *map)
{
    u64 sum = 0;

    for (u32 i = 0; i < map->bank_count; i++) {
        sum += map->bank[i].bytes;
    }
    return sum;
}

/** The end of a taken range that overlaps [base, base + bytes), or 0 when none does. */
static u64 overlap_end(const struct memmap *map, u64 base, u64 bytes)
{
    for (u32 i = 0; i < map->taken_count; i++) {
        const struct memrange *taken = &map->taken[i];

        if (base < taken->base + taken->bytes && taken->base < base + bytes) {
            return taken->base + taken->bytes;
        }
    }
    return 0;
}

/** Each step passes at least one taken range for good, so their number bounds the loop. */
static bool bank_find(const struct memmap *map, const struct memrange *bank, u64 bytes, u64 align,
                      u64 *base)
{
    u64 at = bank->base;

    for (u32 turn = 0; turn <= MEMMAP_TAKEN_MAX; turn++) {
        u64 end;

        if (!add_ok_u64(at, align - 1, &end)) {
            return false;
        }
        at = align_up(at, align);
        if (!bank_contains(bank, at, bytes)) {
            return false;
        }
        end = overlap_end(map, at, bytes);
        if (end == 0) {
            *base = at;
            return true;
        }
        at = end;
    }
    return false;
}

enum status memmap_take(struct memmap *map, u64 bytes, u64 align, u64 *base)
{
    CHECK(is_pow2(align));
    for (u32 i = 0; i < map->bank_count; i++) {
        if (bank_find(map, &map->bank[i], bytes, align, base)) {
            enum status st = memmap_reserve(map, *base, bytes);

            return st == ST_OK && map->access ? map->access(*base, bytes) : st;
        }
    }
    return ST_FULL;
}
