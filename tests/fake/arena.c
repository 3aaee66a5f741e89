/* SPDX-License-Identifier: BSD-2-Clause */
/* arena.c - guest memory as windows that do not touch. */
#include "tests/fake/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

static bool range_has(const struct arena_range *range, u64 addr)
{
    return addr - range->first < range->bytes;
}

/** Shorten [addr, end) so that it does not cross an edge of range. */
static u64 range_cut(const struct arena_range *range, u64 addr, u64 end)
{
    if (range->bytes == 0) {
        return end;
    }
    if (range->first > addr) {
        end = min_u64(end, range->first);
    }
    if (range->first + range->bytes > addr) {
        end = min_u64(end, range->first + range->bytes);
    }
    return end;
}

static u32 windows_pinned(const struct arena *arena)
{
    u32 count = 0;

    for (u32 i = 0; i < arena->window_count; i++) {
        count += arena->pins[i] > 0;
    }
    return count;
}

/** What nobody pins is gone, except the window asked for. */
static void evict(struct arena *arena, u64 asked)
{
    gmem_forget(&arena->gm);
    for (u32 i = 0; i < arena->window_count; i++) {
        arena->gone[i] = i != asked && arena->pins[i] == 0;
        if (!arena->gone[i]) {
            ASAN_UNPOISON_MEMORY_REGION(arena->window[i], arena->window_bytes);
        } else {
            ASAN_POISON_MEMORY_REGION(arena->window[i], arena->window_bytes);
        }
    }
}

static enum status arena_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                              struct gmem_hit *run)
{
    struct arena *arena = container_of(gm, struct arena, gm);
    u64 index = (addr - ARENA_BASE) / arena->window_bytes;
    u64 end;

    CHECK(bytes > 0 && addr + (bytes - 1) >= addr);
    arena->finds++;
    if (arena->fail_in > 0 && --arena->fail_in == 0) {
        return arena->fail;
    }
    if (addr < ARENA_BASE || index >= arena->window_count || range_has(&arena->hole, addr) ||
        (dir == GMEM_WRITE && range_has(&arena->read_only, addr))) {
        return ST_GUEST;
    }
    if (arena->pinned_max > 0 && arena->pins[index] == 0 &&
        windows_pinned(arena) >= arena->pinned_max) {
        return ST_AGAIN;
    }
    if (arena->evict) {
        evict(arena, index);
    }
    end = ARENA_BASE + (index + 1) * arena->window_bytes;
    end = range_cut(&arena->hole, addr, end);
    end = range_cut(&arena->read_only, addr, end);
    end = range_has(&arena->crumbs, addr) ? addr + 1 : range_cut(&arena->crumbs, addr, end);
    *run = (struct gmem_hit){
        .first = addr,
        .bytes = end - addr,
        .base = arena->window[index] + (addr - ARENA_BASE) % arena->window_bytes,
        .bus = addr,
        .tag = (u32)index,
        .writable = !range_has(&arena->read_only, addr),
    };
    return ST_OK;
}

static const struct gmem_ops arena_ops = {.find = arena_find};

void arena_init(struct arena *arena, u32 window_count, u64 window_bytes)
{
    CHECK(window_count <= ARENA_WINDOWS_MAX && is_pow2(window_bytes) && window_bytes >= 4096);
    *arena = (struct arena){.window_count = window_count, .window_bytes = window_bytes};
    for (u32 i = 0; i < window_count; i++) {
        arena->window[i] = aligned_alloc(4096, window_bytes);
        CHECK(arena->window[i]);
        memset(arena->window[i], 0, window_bytes);
    }
    gmem_init(&arena->gm, &arena_ops, arena->pins);
}

void arena_free(struct arena *arena)
{
    for (u32 i = 0; i < arena->window_count; i++) {
        free(arena->window[i]);
    }
    *arena = (struct arena){.window_count = 0};
}

u8 *arena_byte(struct arena *arena, u64 addr)
{
    u64 index = (addr - ARENA_BASE) / arena->window_bytes;

    if (addr < ARENA_BASE || index >= arena->window_count) {
        return NULL;
    }
    if (arena->gone[index]) { /* for the device, never for the guest */
        ASAN_UNPOISON_MEMORY_REGION(arena->window[index], arena->window_bytes);
        arena->gone[index] = false;
    }
    return arena->window[index] + (addr - ARENA_BASE) % arena->window_bytes;
}

u32 arena_pinned(const struct arena *arena)
{
    u32 count = 0;

    for (u32 i = 0; i < arena->window_count; i++) {
        count += arena->pins[i];
    }
    return count;
}

/** The guest's own view does not know about windows: copy piece by piece. */
static void arena_copy(struct arena *arena, u64 addr, u8 *buffer, u64 bytes, bool write)
{
    while (bytes > 0) {
        u8 *at = arena_byte(arena, addr);
        u64 piece = min_u64(bytes, arena->window_bytes - addr % arena->window_bytes);

        CHECK(at);
        memcpy(write ? at : buffer, write ? buffer : at, piece);
        addr += piece;
        buffer += piece;
        bytes -= piece;
    }
}

void arena_write(struct arena *arena, u64 addr, const void *from, u64 bytes)
{
    arena_copy(arena, addr, (u8 *)(uintptr_t)from, bytes, true);
}

void arena_read(struct arena *arena, u64 addr, void *to, u64 bytes)
{
    arena_copy(arena, addr, to, bytes, false);
}

void arena_fill(struct arena *arena, u64 addr, u8 value, u64 bytes)
{
    while (bytes > 0) {
        u8 *at = arena_byte(arena, addr);
        u64 piece = min_u64(bytes, arena->window_bytes - addr % arena->window_bytes);

        CHECK(at);
        memset(at, value, piece);
        addr += piece;
        bytes -= piece;
    }
}

void arena_put16(struct arena *arena, u64 addr, u16 value)
{
    arena_write(arena, addr, &value, sizeof(value));
}

void arena_put32(struct arena *arena, u64 addr, u32 value)
{
    arena_write(arena, addr, &value, sizeof(value));
}

void arena_put64(struct arena *arena, u64 addr, u64 value)
{
    arena_write(arena, addr, &value, sizeof(value));
}

u16 arena_get16(struct arena *arena, u64 addr)
{
    u16 value;

    arena_read(arena, addr, &value, sizeof(value));
    return value;
}

u32 arena_get32(struct arena *arena, u64 addr)
{
    u32 value;

    arena_read(arena, addr, &value, sizeof(value));
    return value;
}
