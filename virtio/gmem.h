/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gmem.h - SEAM 2: the only way to a guest's bytes.                               plane: data
 *
 * A driver names its buffers by guest-physical address. gmem_span() turns address + length +
 * direction into spans we may touch, and pins what is behind them; gmem_release() lets go. What is
 * behind depends on who made the gmem: windows of foreign mappings (drivers/xen/gmem_foreign.c),
 * an arena with poisoned edges (tests/fake/), later grants or shared memory.
 *
 * Runs that answered are kept inline (line[]), one for every address modulo GMEM_LINES windows, so
 * that a steady request costs no call; a span borrowed from one is not even pinned. Whoever unmaps
 * or moves anything calls gmem_forget() first.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/parts.h"
#include "start/base/status.h"

enum gmem_dir {
    GMEM_READ,  /* we read: the driver's device-readable buffers */
    GMEM_WRITE, /* we write: device-writable buffers, used rings, status bytes */
};

/** A run of guest addresses whose bytes are contiguous for us too. */
struct gmem_hit {
    u64 first; /* guest address of the first byte */
    u64 bytes; /* 0: empty */
    u8 *base;  /* our pointer to the first byte */
    u64 bus;   /* bus address of the first byte */
    u32 tag;   /* index into gmem.pins */
    bool writable;
};

struct gmem;

struct gmem_ops {
    /**
     * Find or make the run that contains addr and as much of [addr, addr + bytes) as is contiguous.
     * bytes is at least 1 and addr + bytes does not wrap. On ST_OK *run holds addr.
     * Returns ST_GUEST when addr is not memory of the guest that may be used in this direction,
     * ST_AGAIN when every window is pinned (try again after a release), ST_HYPERCALL when mapping
     * failed for a reason of the platform's.
     */
    enum status (*find)(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                        struct gmem_hit *run);
    /**
     * What is done is about to be shown to the driver, and nothing is borrowed: let go of what is
     * not pinned, because the driver may take it back then. NULL: what was named once stays ours.
     */
    void (*settle)(struct gmem *gm);
};

/** A run that answered, kept inline: two loads decide and translate. */
struct gmem_line {
    u64 first;
    u8 *base;
    u64 bus;
    u32 bytes; /* 0: empty */
    u32 tag;
};

#define GMEM_LINES 16 /* per direction: 32 MiB of windows before two of them share a place */

struct gmem {
    const struct gmem_ops *ops;
    u32 *pins;                            /* one counter per tag: spans held and not released */
    struct gmem_line line[2][GMEM_LINES]; /* by direction: what is here may be used in it */
};

/** The inline run that may answer for addr: one place per WINDOW_BYTES, modulo GMEM_LINES. */
static inline struct gmem_line *gmem_line(struct gmem *gm, u64 addr, enum gmem_dir dir)
{
    return &gm->line[dir][addr / WINDOW_BYTES % GMEM_LINES];
}

void gmem_init(struct gmem *gm, const struct gmem_ops *ops, u32 *pins);

/** Empty the inline runs. Called by the implementation before it unmaps or moves anything. */
void gmem_forget(struct gmem *gm);

/**
 * Append to spans[*count..max) what covers [addr, addr + bytes) in order, pinning each.
 * Returns ST_OK; ST_GUEST when the range wraps or is not the guest's memory; ST_FULL when max is
 * too small; ST_AGAIN or ST_HYPERCALL from the implementation. On failure *count is unchanged and
 * nothing stays pinned by this call. bytes == 0 appends nothing.
 */
enum status gmem_span(struct gmem *gm, gpa_t addr, u32 bytes, enum gmem_dir dir, struct span *spans,
                      u32 max, u32 *count);

/** Let go of spans made by gmem_span() or held by gmem_hold(). Holes are skipped. */
void gmem_release(struct gmem *gm, const struct span *spans, u32 count);

/**
 * Our pointer to [addr, addr + bytes) when an inline run answers for all of it, else NULL. bytes is
 * not 0. Borrowed, not held: good until the next call that may map something.
 */
static inline u8 *gmem_peek(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir)
{
    const struct gmem_line *line = gmem_line(gm, addr, dir);
    u64 offset = addr - line->first;
    u32 run = line->bytes;
    u8 *base = line->base;

    return bytes <= run && offset <= run - bytes ? base + offset : NULL;
}

/** The same for one line, as a span. */
static inline bool gmem_line_borrow(const struct gmem_line *line, u64 addr, u32 bytes,
                                    struct span *span)
{
    u64 offset = addr - line->first;
    u32 run = line->bytes, tag = line->tag;
    u8 *base = line->base;
    u64 bus = line->bus;

    if (bytes > run || offset > run - bytes) {
        return false;
    }
    span->base = base + offset;
    span->bus = bus + offset;
    span->bytes = bytes;
    span->tag = tag;
    return true;
}

/**
 * The same as a span: borrowed until gmem_hold(). False when no inline run answers for all of it.
 */
static inline bool gmem_borrow(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                               struct span *span)
{
    return gmem_line_borrow(gmem_line(gm, addr, dir), addr, bytes, span);
}

/** Turn borrowed spans into held ones. A span without base (a hole) is skipped. */
void gmem_hold(struct gmem *gm, const struct span *spans, u32 count);

/** Before buffers are shown as used, and when a ring is stopped: see struct gmem_ops. */
static inline void gmem_settle(struct gmem *gm)
{
    if (PART_GRANTS && gm && gm->ops->settle) {
        gm->ops->settle(gm);
    }
}

/** Copy from the guest: every byte read exactly once. ST_OK or what gmem_span() returns. */
enum status gmem_copy_in(struct gmem *gm, void *to, gpa_t addr, u32 bytes);
/** Copy to the guest. ST_OK or what gmem_span() returns; on failure some bytes may be written. */
enum status gmem_copy_out(struct gmem *gm, gpa_t addr, const void *from, u32 bytes);
