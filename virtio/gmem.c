/* SPDX-License-Identifier: BSD-2-Clause */
/* gmem.c - guest memory: from addresses to spans, over whatever maps it. */
#include "virtio/gmem.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

STATIC_CHECK((GMEM_LINES & (GMEM_LINES - 1)) == 0, "the place of a run is found by a mask");

void gmem_init(struct gmem *gm, const struct gmem_ops *ops, u32 *pins)
{
    gm->ops = ops;
    gm->pins = pins;
    gmem_forget(gm);
}

void gmem_forget(struct gmem *gm)
{
    for (u32 i = 0; i < GMEM_LINES; i++) {
        gm->line[GMEM_READ][i].bytes = 0;
        gm->line[GMEM_WRITE][i].bytes = 0;
    }
}

/** [addr, addr + bytes) is a range of addresses; bytes is not 0. */
static bool range_is_sane(u64 addr, u32 bytes)
{
    return addr + (bytes - 1) >= addr;
}

/** Keep of a run what lies in addr's window: there the line will be looked for. */
static void line_fill(struct gmem_line *line, const struct gmem_hit *run, u64 addr)
{
    u64 window = align_down(addr, WINDOW_BYTES);
    u64 skip = window > run->first ? window - run->first : 0;

    line->first = run->first + skip;
    line->bytes = (u32)min_u64(run->bytes - skip, window + WINDOW_BYTES - line->first);
    line->tag = run->tag;
    line->base = run->base + skip;
    line->bus = run->bus + skip;
}

/** The run that holds addr, asked for when no inline one does. */
static enum status run_at(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                          const struct gmem_line **found)
{
    struct gmem_line *line = gmem_line(gm, addr, dir);
    struct gmem_hit run;
    enum status st;

    if (addr - line->first >= line->bytes) {
        st = gm->ops->find(gm, addr, bytes, dir, &run);
        if (st != ST_OK) {
            return st;
        }
        CHECK(addr - run.first < run.bytes);
        CHECK(dir == GMEM_READ || run.writable);
        line_fill(line, &run, addr);
    }
    *found = line;
    return ST_OK;
}

enum status gmem_span(struct gmem *gm, gpa_t addr, u32 bytes, enum gmem_dir dir, struct span *spans,
                      u32 max, u32 *count)
{
    u32 n = *count;
    u64 at = addr.v;
    enum status st = ST_OK;

    if (bytes != 0 && !range_is_sane(at, bytes)) {
        return ST_GUEST;
    }
    while (bytes > 0) {
        const struct gmem_line *run;
        u64 offset;
        u32 piece;

        if (n >= max) {
            st = ST_FULL;
            break;
        }
        st = run_at(gm, at, bytes, dir, &run);
        if (st != ST_OK) {
            break;
        }
        offset = at - run->first;
        piece = (u32)min_u64(bytes, run->bytes - offset);
        spans[n++] = (struct span){
            .base = run->base + offset,
            .bus = run->bus + offset,
            .bytes = piece,
            .tag = run->tag,
        };
        gm->pins[run->tag]++;
        at += piece;
        bytes -= piece;
    }
    if (st != ST_OK) {
        gmem_release(gm, &spans[*count], n - *count);
        return st;
    }
    *count = n;
    return ST_OK;
}

void gmem_hold(struct gmem *gm, const struct span *spans, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        if (spans[i].base) {
            gm->pins[spans[i].tag]++;
        }
    }
}

void gmem_release(struct gmem *gm, const struct span *spans, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        if (spans[i].base) {
            CHECK(gm->pins[spans[i].tag] > 0);
            gm->pins[spans[i].tag]--;
        }
    }
}

enum status gmem_copy_in(struct gmem *gm, void *to, gpa_t addr, u32 bytes)
{
    u8 *out = to;
    u64 at = addr.v;

    if (bytes != 0 && !range_is_sane(at, bytes)) {
        return ST_GUEST;
    }
    while (bytes > 0) {
        const struct gmem_line *run;
        enum status st = run_at(gm, at, bytes, GMEM_READ, &run);
        u32 piece;

        if (st != ST_OK) {
            return st;
        }
        piece = (u32)min_u64(bytes, run->bytes - (at - run->first));
        memcpy(out, run->base + (at - run->first), piece);
        out += piece;
        at += piece;
        bytes -= piece;
    }
    copied_once();
    return ST_OK;
}

enum status gmem_copy_out(struct gmem *gm, gpa_t addr, const void *from, u32 bytes)
{
    const u8 *in = from;
    u64 at = addr.v;

    if (bytes != 0 && !range_is_sane(at, bytes)) {
        return ST_GUEST;
    }
    while (bytes > 0) {
        const struct gmem_line *run;
        enum status st = run_at(gm, at, bytes, GMEM_WRITE, &run);
        u32 piece;

        if (st != ST_OK) {
            return st;
        }
        piece = (u32)min_u64(bytes, run->bytes - (at - run->first));
        memcpy(run->base + (at - run->first), in, piece);
        in += piece;
        at += piece;
        bytes -= piece;
    }
    return ST_OK;
}
