/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arena.h - guest memory as windows that do not touch; implements virtio/gmem.h.
 *
 * Every window is an allocation of its own, so the address sanitizer sees one byte too many on
 * either side, and a run ends where its window ends. Knobs make the memory nasty.
 */
#pragma once

#include "virtio/gmem.h"

#define ARENA_WINDOWS_MAX 64
#define ARENA_BASE        UINT64_C(0x40000000)

struct arena_range {
    u64 first, bytes; /* guest addresses; bytes 0: none */
};

struct arena {
    struct gmem gm;
    u32 pins[ARENA_WINDOWS_MAX];
    u8 *window[ARENA_WINDOWS_MAX];
    u64 window_bytes;
    u32 window_count;
    bool gone[ARENA_WINDOWS_MAX]; /* evicted: poisoned until someone asks for it */
    /* knobs */
    struct arena_range hole;      /* not guest memory */
    struct arena_range read_only; /* may not be written */
    struct arena_range crumbs;    /* every run is one byte long */
    bool evict;                   /* every find takes back all windows without pins: the */
                                  /* address sanitizer sees who still looks at them */
    u32 pinned_max;               /* windows that can be pinned at once; 0: all */
    enum status fail;             /* what find returns ... */
    u32 fail_in;                  /* ... at its fail_in-th next call; 0: never */
    u32 finds;                    /* calls of find */
};

/** window_count windows of window_bytes (a power of two >= 4096) from ARENA_BASE on, zeroed. */
void arena_init(struct arena *arena, u32 window_count, u64 window_bytes);
void arena_free(struct arena *arena);
/** The arena's own pointer to one byte; NULL outside. */
u8 *arena_byte(struct arena *arena, u64 addr);
/** Pins over all windows. */
u32 arena_pinned(const struct arena *arena);

void arena_write(struct arena *arena, u64 addr, const void *from, u64 bytes);
void arena_read(struct arena *arena, u64 addr, void *to, u64 bytes);
void arena_fill(struct arena *arena, u64 addr, u8 value, u64 bytes);
void arena_put16(struct arena *arena, u64 addr, u16 value);
void arena_put32(struct arena *arena, u64 addr, u32 value);
void arena_put64(struct arena *arena, u64 addr, u64 value);
u16 arena_get16(struct arena *arena, u64 addr);
u32 arena_get32(struct arena *arena, u64 addr);
