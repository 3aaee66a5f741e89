/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gmem_grants.c - see gmem_grants.h. One look-up that maps is one hypercall, and so is a settle.
 *
 * Format of the addresses: what Linux's drivers/xen/grant-dma-ops.c makes. A page that Xen does not
 * unmap keeps its address, which is not used again.
 */
#include "drivers/xen/gmem_grants.h"

#include "start/base/arith.h"
#include "start/base/check.h"

#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/xen_abi.h"

#define NO_PAGE UINT32_MAX

STATIC_CHECK(GRANT_PAGES_PER_GUEST % 64 == 0 && GRANT_PAGES_PER_GUEST <= UINT16_MAX,
             "a page's number fits, and the bits fill words");
STATIC_CHECK(GRANT_RUNS_PER_GUEST <= UINT16_MAX && GNTTAB_BATCH_MAX <= UINT8_MAX,
             "a run's number and its length fit");

static u64 area; /* GRANT_PAGES_PER_GUEST for each of GUESTS_MAX; 0: there is no room */
static struct log_limit said;

/* Scratch of one hypercall: the lists are too long for the stack. */
static struct gnttab_map map_list[GNTTAB_BATCH_MAX];
static struct gnttab_unmap unmap_list[GNTTAB_BATCH_MAX];
static u16 unmap_page[GNTTAB_BATCH_MAX];

enum status gmem_grants_init(void)
{
    area = 0;
    return extregion_alloc((u64)GUESTS_MAX * GRANT_PAGES_PER_GUEST * PAGE_BYTES, PAGE_BYTES, &area);
}

static u64 page_gpa(const struct gmem_grants *g, u32 page)
{
    return area + ((u64)g->slot * GRANT_PAGES_PER_GUEST + page) * PAGE_BYTES;
}

static u32 run_tag(const struct gmem_grants *g, u32 run)
{
    return WINDOWS_MAX + g->slot * GRANT_RUNS_PER_GUEST + run;
}

/* --- address space -----------------------------------------------------------------------------
 */

static bool page_taken(const struct gmem_grants *g, u32 page)
{
    return g->taken[page / 64] & BIT64(page % 64);
}

static void page_put(struct gmem_grants *g, u32 page)
{
    g->taken[page / 64] &= ~BIT64(page % 64);
}

/** The first of count free pages in a row, taken; NO_PAGE. */
static u32 pages_take(struct gmem_grants *g, u32 count)
{
    u32 row = 0;

    for (u32 page = 0; page < GRANT_PAGES_PER_GUEST; page++) {
        row = page_taken(g, page) ? 0 : row + 1;
        if (row == count) {
            for (u32 i = page + 1 - count; i <= page; i++) {
                g->taken[i / 64] |= BIT64(i % 64);
            }
            return page + 1 - count;
        }
    }
    return NO_PAGE;
}

/* --- giving back -------------------------------------------------------------------------------
 */

static void list_unmap(struct gmem_grants *g, u32 count)
{
    if (count == 0) {
        return;
    }
    (void)gnttab_unmap_batch(unmap_list, count);
    for (u32 i = 0; i < count; i++) {
        if (unmap_list[i].handle == GNTTAB_NO_HANDLE) {
            page_put(g, unmap_page[i]);
        } else if (log_limit_ok(&said)) {
            log_error("dom%u: a grant does not unmap (%d): its page is not used again",
                      g->plain.domid, unmap_list[i].status);
        }
    }
}

static void list_add(struct gmem_grants *g, u32 at, u32 page)
{
    unmap_page[at] = (u16)page;
    unmap_list[at] = (struct gnttab_unmap){.gpa = page_gpa(g, page), .handle = g->handle[page]};
}

static void grants_settle(struct gmem *gm)
{
    struct gmem_grants *g = container_of(gm, struct gmem_grants, plain.gm);
    u32 count = 0;

    for (u32 i = g->runs; i-- > 0;) {
        u16 number = g->list[i];
        const struct gmem_grant_run *run = &g->run[number];

        if (gm->pins[run_tag(g, number)] > 0) {
            continue;
        }
        if (count + run->pages > GNTTAB_BATCH_MAX) {
            list_unmap(g, count);
            count = 0;
        }
        gmem_forget(gm);
        for (u32 k = 0; k < run->pages; k++) {
            list_add(g, count++, run->first + k);
        }
        g->list[i] = g->list[--g->runs];
        g->list[g->runs] = number;
    }
    list_unmap(g, count);
}

/* --- taking ------------------------------------------------------------------------------------
 */

/** The run whose pages hold ref and may be used so; NULL. */
static const struct gmem_grant_run *run_lookup(const struct gmem_grants *g, u32 ref,
                                               enum gmem_dir dir)
{
    for (u32 i = 0; i < g->runs; i++) {
        const struct gmem_grant_run *run = &g->run[g->list[i]];

        if (ref - run->ref < run->pages && (run->writable || dir == GMEM_READ)) {
            return run;
        }
    }
    return NULL;
}

/** Xen has said what became of each page of the run: all are mapped, or none is. */
static enum status run_judge(struct gmem_grants *g, const struct gmem_grant_run *run)
{
    enum status st = ST_OK;
    u32 count = 0;

    for (u32 i = 0; i < run->pages; i++) {
        if (map_list[i].handle == GNTTAB_NO_HANDLE) {
            st = map_list[i].status == GNTST_no_device_space ? ST_HYPERCALL : ST_GUEST;
        }
        g->handle[run->first + i] = map_list[i].handle;
    }
    if (st == ST_OK) {
        g->maps += run->pages;
        return ST_OK;
    }
    for (u32 i = 0; i < run->pages; i++) {
        list_add(g, count++, run->first + i); /* one that is not mapped is only put back */
    }
    list_unmap(g, count);
    if (st == ST_HYPERCALL && log_limit_ok(&said)) {
        log_error("dom%u: Xen has no room for more mappings: give this domain more "
                  "max_maptrack_frames= in its xl config",
                  g->plain.domid);
    }
    return st;
}

static enum status run_map(struct gmem_grants *g, struct gmem_grant_run *run)
{
    for (u32 i = 0; i < run->pages; i++) {
        map_list[i] = (struct gnttab_map){
            .gpa = page_gpa(g, run->first + i),
            .ref = run->ref + i,
            .domid = g->plain.domid,
            .read_only = !run->writable,
        };
    }
    (void)gnttab_map_batch(map_list, run->pages);
    return run_judge(g, run);
}

/** Map up to count pages from ref on: fewer when there is no such row of addresses. */
static enum status run_make(struct gmem_grants *g, u32 ref, u32 count, enum gmem_dir dir,
                            const struct gmem_grant_run **made)
{
    struct gmem_grant_run *run;
    u32 first = pages_take(g, count);
    enum status st;

    if (first == NO_PAGE || g->runs == GRANT_RUNS_PER_GUEST) {
        if (first != NO_PAGE) {
            for (u32 i = 0; i < count; i++) {
                page_put(g, first + i);
            }
        }
        grants_settle(&g->plain.gm);
        first = g->runs < GRANT_RUNS_PER_GUEST ? pages_take(g, count = 1) : NO_PAGE;
        if (first == NO_PAGE) {
            return ST_AGAIN;
        }
    }
    run = &g->run[g->list[g->runs]];
    *run = (struct gmem_grant_run){
        .ref = ref, .first = (u16)first, .pages = (u8)count, .writable = dir == GMEM_WRITE};
    st = run_map(g, run);
    if (st == ST_OK) {
        g->runs++;
        *made = run;
    }
    return st;
}

static enum status grants_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                               struct gmem_hit *hit)
{
    struct gmem_grants *g = container_of(gm, struct gmem_grants, plain.gm);
    u64 first = (addr & ~GMEM_GRANT_BIT) / PAGE_BYTES;
    u64 last = ((addr & ~GMEM_GRANT_BIT) + bytes - 1) / PAGE_BYTES;
    const struct gmem_grant_run *run;
    enum status st = ST_OK;

    if (!(addr & GMEM_GRANT_BIT)) {
        return gmem_foreign_find(gm, addr, bytes, dir, hit);
    }
    if (last > UINT32_MAX) {
        g->failures++;
        return ST_GUEST;
    }
    run = run_lookup(g, (u32)first, dir);
    if (!run) {
        u32 count = (u32)min_u64(last - first + 1, GNTTAB_BATCH_MAX);

        st = run_make(g, (u32)first, count, dir, &run);
    }
    if (st != ST_OK) {
        g->failures++;
        return st;
    }
    *hit = (struct gmem_hit){
        .first = GMEM_GRANT_BIT | (u64)run->ref * PAGE_BYTES,
        .bytes = (u64)run->pages * PAGE_BYTES,
        .base = (u8 *)(uintptr_t)page_gpa(g, run->first),
        /* Behind an SMMU a device sees our guest-physical space, grants included. */
        .bus = page_gpa(g, run->first),
        .tag = run_tag(g, (u32)(run - g->run)),
        .writable = run->writable,
    };
    return ST_OK;
}

static const struct gmem_ops grants_ops = {.find = grants_find, .settle = grants_settle};

/* --- life --------------------------------------------------------------------------------------
 */

enum status gmem_grants_open(struct gmem_grants *g, u16 domid, u32 slot)
{
    enum status st = area ? gmem_foreign_open(&g->plain, domid) : ST_FULL;

    CHECK(slot < GUESTS_MAX);
    if (st != ST_OK) {
        return st;
    }
    g->plain.gm.ops = &grants_ops;
    g->slot = slot;
    g->runs = 0;
    for (u32 i = 0; i < GRANT_RUNS_PER_GUEST; i++) {
        g->list[i] = (u16)i;
    }
    g->maps = g->failures = 0;
    return ST_OK;
}

void gmem_grants_close(struct gmem_grants *g)
{
    grants_settle(&g->plain.gm);
    CHECK(g->runs == 0);
    gmem_foreign_close(&g->plain);
}
