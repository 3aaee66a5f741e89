/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * extregion.c - allocator of guest-physical address space. See extregion.h.
 */
#include "drivers/xen/extregion.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/limits.h"

/* Taking a piece out of a run leaves at most one run more; giving one back adds at most one. */
#define RUNS_MAX (EXTREGION_REGIONS_MAX + EXTREGION_ALLOCS_MAX)

static struct extregion_range run[RUNS_MAX]; /* free, sorted by base, never touching */
static u32 run_count;
static struct extregion_range alloc[EXTREGION_ALLOCS_MAX]; /* handed out, in no order */
static u32 alloc_count;
static u64 used_bytes;

static void run_insert(u32 at, struct extregion_range r)
{
    CHECK(run_count < RUNS_MAX && at <= run_count);
    for (u32 i = run_count; i > at; i--) {
        run[i] = run[i - 1];
    }
    run[at] = r;
    run_count++;
}

static void run_delete(u32 at)
{
    run_count--;
    for (u32 i = at; i < run_count; i++) {
        run[i] = run[i + 1];
    }
}

enum status extregion_init(const struct extregion_range *ranges, u32 count)
{
    run_count = 0;
    alloc_count = 0;
    used_bytes = 0;
    if (count > EXTREGION_REGIONS_MAX) {
        return ST_FULL;
    }
    for (u32 i = 0; i < count; i++) {
        struct extregion_range r = ranges[i];
        u64 end;
        u32 at = 0;

        if (!add_ok_u64(r.base, r.bytes, &end) || end > UINT64_MAX - PAGE_BYTES) {
            return ST_INVAL;
        }
        r.base = align_up(r.base, PAGE_BYTES);
        end = align_down(end, PAGE_BYTES);
        if (end <= r.base) {
            continue; /* not one whole page */
        }
        r.bytes = end - r.base;
        while (at < run_count && run[at].base < r.base) {
            at++;
        }
        if ((at > 0 && run[at - 1].base + run[at - 1].bytes > r.base) ||
            (at < run_count && end > run[at].base)) {
            return ST_INVAL;
        }
        run_insert(at, r);
    }
    return ST_OK;
}

/** True when the run holds bytes at a multiple of align; the first such address is in *at then. */
static bool run_fits(const struct extregion_range *r, u64 bytes, u64 align, u64 *at)
{
    u64 padded;

    if (!add_ok_u64(r->base, align - 1, &padded)) {
        return false;
    }
    *at = align_down(padded, align);
    return *at - r->base <= r->bytes && bytes <= r->bytes - (*at - r->base);
}

enum status extregion_alloc(u64 bytes, u64 align, u64 *gpa)
{
    if (bytes == 0 || !is_pow2(align) || align < PAGE_BYTES || !is_aligned(bytes, PAGE_BYTES)) {
        return ST_INVAL;
    }
    if (alloc_count == EXTREGION_ALLOCS_MAX) {
        return ST_FULL;
    }
    for (u32 i = 0; i < run_count; i++) {
        struct extregion_range whole = run[i];
        u64 at, tail;

        if (!run_fits(&whole, bytes, align, &at)) {
            continue;
        }
        run[i].bytes = at - whole.base;
        tail = whole.bytes - run[i].bytes - bytes;
        if (tail) {
            run_insert(i + 1, (struct extregion_range){at + bytes, tail});
        }
        if (run[i].bytes == 0) {
            run_delete(i);
        }
        alloc[alloc_count++] = (struct extregion_range){at, bytes};
        used_bytes += bytes;
        *gpa = at;
        return ST_OK;
    }
    return ST_FULL;
}

void extregion_free(u64 gpa, u64 bytes)
{
    u32 which = 0;
    u32 at = 0;

    while (which < alloc_count && alloc[which].base != gpa) {
        which++;
    }
    CHECK(which < alloc_count && alloc[which].bytes == bytes);
    alloc[which] = alloc[--alloc_count];
    used_bytes -= bytes;

    while (at < run_count && run[at].base < gpa) {
        at++;
    }
    if (at < run_count && gpa + bytes == run[at].base) {
        run[at].base = gpa;
        run[at].bytes += bytes;
    } else {
        run_insert(at, (struct extregion_range){gpa, bytes});
    }
    if (at > 0 && run[at - 1].base + run[at - 1].bytes == gpa) {
        run[at - 1].bytes += run[at].bytes;
        run_delete(at);
    }
}

u64 extregion_used_bytes(void)
{
    return used_bytes;
}

u64 extregion_largest_free(u64 align)
{
    u64 best = 0;

    for (u32 i = 0; i < run_count; i++) {
        u64 at;

        if (run_fits(&run[i], PAGE_BYTES, align, &at)) {
            u64 left = run[i].bytes - (at - run[i].base);

            best = left > best ? left : best;
        }
    }
    return best;
}
