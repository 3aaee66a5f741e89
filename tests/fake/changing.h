/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * changing.h - guest memory that changes between any two reads, and that knows who touches it.
 *
 * While it watches, the pages named are not accessible. Every instruction that touches one traps,
 * runs alone with the page open, and traps again: then the cell that it read gets another content.
 * So a word that is read once has the value that the driver wrote, and a word that is read twice
 * has not. A copy made by the C library is one read, however it goes about it.
 *
 * Works on x86-64 Linux with any compiler, sanitized or not; one thing is watched at a time.
 */
#pragma once

#include "tests/fake/arena.h"

#define CHANGING_RANGES_MAX 16

/** What becomes of a cell that was read. */
enum changing_how {
    CHANGING_KEEPS,  /* nothing: accesses are only seen */
    CHANGING_ONES,   /* all bits set */
    CHANGING_ZERO,   /* all bits clear */
    CHANGING_FLIPS,  /* every bit turned */
    CHANGING_COUNTS, /* one more: often as plausible as before */
    CHANGING_HOW_COUNT
};

/** Called before a store to watched memory happens. */
typedef void (*changing_write_fn)(void *ctx, u64 addr);

struct changing {
    struct arena *arena;
    enum changing_how how;
    changing_write_fn on_write; /* NULL: nobody is told */
    void *ctx;
    u32 reads, writes, changes; /* instructions seen, cells changed */
};

/**
 * Cells of cell_bytes (1, 2, 4 or 8) in [addr, addr + bytes) change after they are read; the rest
 * of their pages is only watched. cell_bytes 0: the range is watched, nothing of it changes.
 */
void changing_add(u64 addr, u32 bytes, u32 cell_bytes);
/** Watch until changing_stop(); what was added counts from now on. */
void changing_start(struct changing *changing);
/** Open everything again and forget what was added. */
void changing_stop(void);
