/* SPDX-License-Identifier: BSD-2-Clause */
/* dma_host.c - two copies of one memory, and the lines in which they differ. */
#include "tests/fake/dma_host.h"

#include <stdlib.h>
#include <string.h>

#include "drivers/mmio.h"

bool dma_host_forget_clean, dma_host_forget_invalidate;

static struct {
    u8 *ours;   /* what the processor sees */
    u8 *theirs; /* what the device sees */
    u8 *synced; /* ours, as it was when the line was last the same in both */
    u64 bus;
    usize bytes;
    bool coherent;
    struct protocol_log *log;
} arena;

void dma_host_done(void)
{
    arena.bus = 0;
    arena.log = NULL;
    dma_host_forget_clean = dma_host_forget_invalidate = false;
}

/** The memory is kept for the next arena of the same size. */
static void memory_make(usize bytes)
{
    if (arena.bytes != bytes) {
        free(arena.ours);
        free(arena.theirs);
        free(arena.synced);
        arena.ours = aligned_alloc(4096, bytes);
        arena.theirs = aligned_alloc(4096, bytes);
        arena.synced = aligned_alloc(4096, bytes);
        arena.bytes = bytes;
    }
    memset(arena.ours, 0, bytes);
    memset(arena.theirs, 0, bytes);
    memset(arena.synced, 0, bytes);
}

void dma_host_init(u64 bus, usize bytes, bool coherent, struct protocol_log *log)
{
    dma_host_done();
    memory_make(bytes);
    arena.bus = bus;
    arena.coherent = coherent;
    arena.log = log;
}

u8 *dma_host_at(usize offset)
{
    return arena.ours + offset;
}

u64 dma_host_bus(usize offset)
{
    return arena.bus + offset;
}

static bool in_arena(u64 bus, u32 bytes)
{
    return bus >= arena.bus && bus - arena.bus <= arena.bytes &&
           bytes <= arena.bytes - (bus - arena.bus);
}

static bool dirty(usize line)
{
    return memcmp(arena.ours + line, arena.synced + line, DMA_HOST_LINE) != 0;
}

/** The lines that hold a range must not be dirty when the device touches them. */
static void lines_check(usize first, u32 bytes, const char *does)
{
    for (usize line = first & ~(usize)(DMA_HOST_LINE - 1); line < first + bytes;
         line += DMA_HOST_LINE) {
        if (dirty(line)) {
            protocol_complain(arena.log,
                              "the device %s a line at +0x%zx that we wrote and did not "
                              "clean",
                              does, line);
            return;
        }
    }
}

bool dma_host_read(void *ctx, u64 bus, void *to, u32 bytes)
{
    (void)ctx;
    if (!in_arena(bus, bytes)) {
        return false;
    }
    if (arena.coherent) {
        memcpy(to, arena.ours + (bus - arena.bus), bytes);
        return true;
    }
    lines_check(bus - arena.bus, bytes, "reads");
    memcpy(to, arena.theirs + (bus - arena.bus), bytes);
    return true;
}

bool dma_host_write(void *ctx, u64 bus, const void *from, u32 bytes)
{
    (void)ctx;
    if (!in_arena(bus, bytes)) {
        return false;
    }
    if (arena.coherent) {
        memcpy(arena.ours + (bus - arena.bus), from, bytes);
        return true;
    }
    lines_check(bus - arena.bus, bytes, "writes");
    memcpy(arena.theirs + (bus - arena.bus), from, bytes);
    return true;
}

u32 dma_host_stale(const void *base, usize bytes)
{
    usize first = (usize)((const u8 *)base - arena.ours);
    u32 count = 0;

    if (arena.coherent) {
        return 0;
    }
    for (usize at = first; at < first + bytes; at++) {
        count += arena.ours[at] != arena.theirs[at];
    }
    return count;
}

/* --- drivers/mmio.h --------------------------------------------------------------------------- */
u32 dma_line_bytes(void)
{
    return DMA_HOST_LINE;
}

static void lines_sync(const void *base, usize bytes, bool invalidate)
{
    usize first = (usize)((const u8 *)base - arena.ours);

    if (arena.coherent) {
        return;
    }
    if ((const u8 *)base < arena.ours || first + bytes > arena.bytes) {
        protocol_complain(arena.log, "cache maintenance of memory that is no device's");
        return;
    }
    for (usize line = first & ~(usize)(DMA_HOST_LINE - 1); line < first + bytes;
         line += DMA_HOST_LINE) {
        if (dirty(line)) {
            memcpy(arena.theirs + line, arena.ours + line, DMA_HOST_LINE);
        }
        if (invalidate) {
            memcpy(arena.ours + line, arena.theirs + line, DMA_HOST_LINE);
        }
        memcpy(arena.synced + line, arena.ours + line, DMA_HOST_LINE);
    }
}

void dma_clean(const void *base, usize bytes)
{
    if (!dma_host_forget_clean) {
        lines_sync(base, bytes, false);
    }
}

void dma_clean_invalidate(void *base, usize bytes)
{
    if (!dma_host_forget_invalidate) {
        lines_sync(base, bytes, true);
    }
}

void dma_barrier(void)
{
}
