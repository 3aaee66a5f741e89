/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gmem_foreign.c - guest memory through foreign mappings. See gmem_foreign.h.
 *
 * All calls come from the poll loop, one at a time. Guests write what they like into mapped pages
 * while we look; nothing in this file reads them.
 */
#include "drivers/xen/gmem_foreign.h"

#include "start/base/arith.h"
#include "start/base/check.h"

#include "drivers/xen/extregion.h"
#include "drivers/xen/physmap.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xen_abi.h"

#define GUEST_ADDRESS_BITS \
    48 /* Arm's largest guest-physical space; above are grants and nonsense */
#define HASH_HEADS 256
#define NO_WINDOW  UINT16_MAX
#define MAP_WORDS  (WINDOW_PAGES / 64)

STATIC_CHECK(WINDOW_PAGES <= PHYSMAP_BATCH_MAX, "one miss is one hypercall");
STATIC_CHECK(WINDOWS_MAX < NO_WINDOW, "a window's number fits in 16 bits");
STATIC_CHECK(WINDOWS_PER_GUEST < WINDOWS_MAX, "one guest never holds all windows");
STATIC_CHECK(BLK_SIZE_MAX <= WINDOW_BYTES, "a segment needs at most two windows");

struct window {
    struct gmem_foreign *owner; /* NULL: free */
    u64 granule;                /* guest address / WINDOW_BYTES */
    u64 stamp;                  /* when it last answered */
    u64 map[MAP_WORDS];         /* pages that are mapped */
    u32 mapped;                 /* how many */
    u16 next;                   /* in its hash chain */
    bool stale;                 /* waits for its last pin, answers nobody */
    bool filled;                /* Xen has a table for it */
};

static struct window window[WINDOWS_MAX];
static u32 pins[WINDOWS_MAX + GMEM_TAGS_GRANTS];
static u16 head[HASH_HEADS];
static u64 pool_gpa;
static u32 pool_count, filled_count, guest_count;
static bool tables_full; /* Xen could make no table for a window that had none */
static u64 clock;
static struct gmem_foreign_stats stats;

/* Scratch of one hypercall: the lists are too long for the stack. */
static u64 list_idx[WINDOW_PAGES], list_gfn[WINDOW_PAGES];
static int list_error[WINDOW_PAGES];
static u16 list_page[WINDOW_PAGES];

static u64 window_gpa(u32 w)
{
    return pool_gpa + (u64)w * WINDOW_BYTES;
}

static bool page_mapped(const struct window *win, u32 page)
{
    return win->map[page / 64] & BIT64(page % 64);
}

/* --- look-up -----------------------------------------------------------------------------------
 */

static u16 *hash_head(const struct gmem_foreign *g, u64 granule)
{
    u64 key = (granule + ((u64)g->domid << 32)) * UINT64_C(0x9e3779b97f4a7c15);

    return &head[key >> 56];
}

STATIC_CHECK(HASH_HEADS == 256, "hash_head() takes the top 8 bits");

static u32 window_lookup(const struct gmem_foreign *g, u64 granule)
{
    u16 w = *hash_head(g, granule);

    while (w != NO_WINDOW && (window[w].owner != g || window[w].granule != granule)) {
        w = window[w].next;
    }
    return w;
}

static void window_hash(u32 w)
{
    u16 *chain = hash_head(window[w].owner, window[w].granule);

    window[w].next = *chain;
    *chain = (u16)w;
}

static void window_unhash(u32 w)
{
    u16 *link = hash_head(window[w].owner, window[w].granule);

    while (*link != w) {
        CHECK(*link != NO_WINDOW);
        link = &window[*link].next;
    }
    *link = window[w].next;
}

/* --- giving back -------------------------------------------------------------------------------
 */

/** Remove every page of the window from our address space. */
static void window_unmap(u32 w)
{
    struct window *win = &window[w];
    u64 first_gfn = window_gpa(w) / PAGE_BYTES;
    u32 count = 0;
    u32 removed;

    for (u32 page = 0; page < WINDOW_PAGES && count < win->mapped; page++) {
        if (page_mapped(win, page)) {
            list_gfn[count++] = first_gfn + page;
        }
    }
    removed = physmap_remove(list_gfn, count);
    if (removed < count) {
        /* The ones that went are no error the second time. */
        removed += physmap_remove(list_gfn, count);
    }
    if (removed < count) {
        log_error("gmem: %u pages of guest %u cannot be unmapped: it will stay a zombie",
                  count - removed, win->owner->domid);
    }
    stats.pages_mapped -= removed;
    stats.unmaps += removed;
    win->mapped = 0;
    for (u32 i = 0; i < MAP_WORDS; i++) {
        win->map[i] = 0;
    }
}

/** The window goes back to the pool; nothing is pinned in it. */
static void window_free(u32 w)
{
    struct window *win = &window[w];

    CHECK(win->owner && pins[w] == 0);
    gmem_forget(&win->owner->gm);
    window_unmap(w);
    if (win->stale) {
        stats.windows_stale--;
    } else {
        window_unhash(w);
    }
    win->owner->windows--;
    win->owner = NULL;
    win->stale = false;
    stats.windows_used--;
}

u32 gmem_foreign_reap(void)
{
    u32 freed = 0;

    for (u32 w = 0; w < pool_count && stats.windows_stale > 0; w++) {
        if (window[w].stale && pins[w] == 0) {
            window_free(w);
            freed++;
        }
    }
    return freed;
}

void gmem_foreign_invalidate(struct gmem_foreign *g)
{
    gmem_forget(&g->gm);
    for (u32 w = 0; w < pool_count; w++) {
        if (window[w].owner != g || window[w].stale) {
            continue;
        }
        if (pins[w] == 0) {
            window_free(w);
        } else {
            window_unhash(w);
            window[w].stale = true;
            stats.windows_stale++;
        }
    }
}

/* --- taking ------------------------------------------------------------------------------------
 */

/**
 * The longest unused window without pins among those of owner (NULL: of every guest that holds more
 * than above). NO_WINDOW when there is none. A window that only gmem's inline runs use looks
 * unused, but taking any of a guest's windows empties those runs, so whatever is in use is stamped
 * again.
 */
static u32 window_oldest(const struct gmem_foreign *owner, u32 above)
{
    u32 best = NO_WINDOW;

    for (u32 w = 0; w < pool_count; w++) {
        const struct window *win = &window[w];

        if (!win->owner || win->stale || pins[w] != 0 ||
            (owner ? win->owner != owner : win->owner->windows <= above)) {
            continue;
        }
        if (best == NO_WINDOW || win->stamp < window[best].stamp) {
            best = w;
        }
    }
    return best;
}

/** A free window, one that Xen has a table for if possible. NO_WINDOW when there is none. */
static u32 window_unused(void)
{
    u32 fresh = NO_WINDOW;

    for (u32 w = 0; w < pool_count; w++) {
        if (!window[w].owner) {
            if (window[w].filled) {
                return w;
            }
            fresh = fresh == NO_WINDOW ? w : fresh;
        }
    }
    return tables_full ? NO_WINDOW : fresh;
}

/** Choose whom to take a window from; see the head of gmem_foreign.h for the rule. */
static u32 window_victim(const struct gmem_foreign *g)
{
    u32 share = stats.windows_total / guest_count;
    u32 w = NO_WINDOW;

    if (g->windows >= WINDOWS_PER_GUEST) {
        return window_oldest(g, 0);
    }
    if (g->windows >= share) {
        w = window_oldest(g, 0);
    }
    if (w == NO_WINDOW) {
        w = window_oldest(NULL, share);
    }
    if (w == NO_WINDOW) {
        w = window_oldest(g, 0);
    }
    return w;
}

/** A window for the granule, empty. NO_WINDOW when all are pinned. */
static u32 window_take(struct gmem_foreign *g, u64 granule)
{
    u32 w = NO_WINDOW;

    (void)gmem_foreign_reap();
    if (g->windows < WINDOWS_PER_GUEST) {
        w = window_unused();
    }
    if (w == NO_WINDOW) {
        w = window_victim(g);
        if (w == NO_WINDOW) {
            return NO_WINDOW;
        }
        window_free(w);
        stats.evictions++;
    }
    window[w].owner = g;
    window[w].granule = granule;
    window[w].stamp = clock;
    window_hash(w);
    g->windows++;
    stats.windows_used++;
    return w;
}

/* --- mapping -----------------------------------------------------------------------------------
 */

/** Map what is missing of pages [first, last]. Returns 0 when page first is there, else its errno.
 */
static long window_fill(u32 w, u32 first, u32 last)
{
    struct window *win = &window[w];
    u64 guest_gfn = win->granule * WINDOW_PAGES;
    u64 our_gfn = window_gpa(w) / PAGE_BYTES;
    u32 count = 0;
    long rc;

    for (u32 page = first; page <= last; page++) {
        if (!page_mapped(win, page)) {
            list_page[count] = (u16)page;
            list_idx[count] = guest_gfn + page;
            list_gfn[count++] = our_gfn + page;
        }
    }
    rc = physmap_foreign(win->owner->domid, list_idx, list_gfn, list_error, count);
    for (u32 i = 0; i < count; i++) {
        if (list_error[i] == 0) {
            win->map[list_page[i] / 64] |= BIT64(list_page[i] % 64);
            win->mapped++;
            filled_count += !win->filled;
            win->filled = true;
            stats.pages_mapped++;
            stats.maps++;
        }
    }
    if (page_mapped(win, first)) {
        return 0;
    }
    /* first was missing, so it heads the list. */
    return list_error[0] < 0 ? list_error[0] : rc < 0 ? rc : -XEN_EIO;
}

/** Say why a page cannot be had, and whose fault it is. */
static enum status fill_refused(struct gmem_foreign *g, u64 addr, long rc)
{
    bool say = log_limit_ok(&g->limit);
    unsigned long long where = addr;

    g->failures++;
    switch (-rc) {
    case XEN_ENOMEM:
        if (say) {
            log_error(
                "gmem: ENOMEM (12) mapping page 0x%llx of guest %u: Xen has no memory for our page "
                "tables; give this domain more shadow_memory",
                where, g->domid);
        }
        return ST_HYPERCALL;
    case XEN_EPERM:
    case XEN_EACCES:
        if (say) {
            log_error("gmem: %s mapping page 0x%llx of guest %u: no right to its memory "
                      "(docs/privilege.md)",
                      xen_errno_name(rc), where, g->domid);
        }
        return ST_HYPERCALL;
    case XEN_ESRCH:
        return ST_HYPERCALL; /* the guest is gone: nobody is left to complain about */
    case XEN_EINVAL:
        if (say) {
            log_warn("gmem: guest %u names 0x%llx, which is not its memory", g->domid, where);
        }
        return ST_GUEST;
    default:
        if (say) {
            log_error("gmem: %s (%ld) mapping page 0x%llx of guest %u", xen_errno_name(rc), rc,
                      where, g->domid);
        }
        return ST_HYPERCALL;
    }
}

/** Xen could make no table for a fresh window: from now on use those that have one. */
static void tables_full_note(void)
{
    if (!tables_full) {
        log_warn(
            "gmem: Xen's memory for our page tables is used up: %u windows of %u MiB are all there "
            "is; more shadow_memory for this domain gives up to %u",
            filled_count, (u32)(WINDOW_BYTES >> 20), pool_count);
    }
    tables_full = true;
    stats.windows_total = filled_count;
}

/** Make pages [first, last] of the granule usable as far as they go. ST_OK: page first is. */
static enum status granule_map(struct gmem_foreign *g, u64 granule, u32 first, u32 last, u32 *where)
{
    u64 addr = granule * WINDOW_BYTES + (u64)first * PAGE_BYTES;
    u32 w = window_lookup(g, granule);
    long rc;

    g->misses++;
    stats.misses++;
    if (w == NO_WINDOW) {
        w = window_take(g, granule);
        if (w == NO_WINDOW) {
            return ST_AGAIN;
        }
    }
    rc = window_fill(w, first, last);
    if (rc == -XEN_ENOMEM && !window[w].filled && filled_count > 0) {
        window_free(w);
        tables_full_note();
        /* One more try, with a window whose table exists. */
        w = window_take(g, granule);
        if (w == NO_WINDOW) {
            return ST_AGAIN;
        }
        rc = window_fill(w, first, last);
    }
    if (rc < 0) {
        if (window[w].mapped == 0) {
            window_free(w);
        }
        return fill_refused(g, addr, rc);
    }
    *where = w;
    return ST_OK;
}

enum status gmem_foreign_find(struct gmem *gm, u64 addr, u32 bytes, enum gmem_dir dir,
                              struct gmem_hit *run)
{
    struct gmem_foreign *g = container_of(gm, struct gmem_foreign, gm);
    u64 granule = addr / WINDOW_BYTES;
    u32 offset = (u32)(addr % WINDOW_BYTES);
    u32 first = offset / PAGE_BYTES;
    u32 last = (offset + min_u32(bytes, WINDOW_BYTES - offset) - 1) / PAGE_BYTES;
    u32 w, from, to;

    /* Xen maps a guest's RAM writable for us; there is no read-only RAM on Arm. */
    (void)dir;
    if (addr >> GUEST_ADDRESS_BITS) {
        g->failures++;
        return ST_GUEST;
    }
    w = window_lookup(g, granule);
    to = first;
    while (w != NO_WINDOW && to <= last && page_mapped(&window[w], to)) {
        to++;
    }
    if (w == NO_WINDOW || to <= last) {
        enum status st = granule_map(g, granule, first, last, &w);

        if (st != ST_OK) {
            return st;
        }
    }
    window[w].stamp = ++clock;
    for (from = first; from > 0 && page_mapped(&window[w], from - 1); from--) {
    }
    for (to = first + 1; to < WINDOW_PAGES && page_mapped(&window[w], to); to++) {
    }
    *run = (struct gmem_hit){
        .first = granule * WINDOW_BYTES + (u64)from * PAGE_BYTES,
        .bytes = (u64)(to - from) * PAGE_BYTES,
        .base = (u8 *)(uintptr_t)(window_gpa(w) + (u64)from * PAGE_BYTES),
        /* Behind an SMMU a device sees our guest-physical space, the windows included. */
        .bus = window_gpa(w) + (u64)from * PAGE_BYTES,
        .tag = w,
        .writable = true,
    };
    return ST_OK;
}

static const struct gmem_ops foreign_ops = {.find = gmem_foreign_find};

/* --- life --------------------------------------------------------------------------------------
 */

enum status gmem_foreign_init(void)
{
    u64 room = extregion_largest_free(WINDOW_BYTES) / WINDOW_BYTES;
    enum status st;

    /* Something is left for the pages of other modules. */
    room = min_u64(room ? room - 1 : 0, WINDOWS_MAX);
    st = room ? extregion_alloc(room * WINDOW_BYTES, WINDOW_BYTES, &pool_gpa) : ST_FULL;
    if (st != ST_OK) {
        log_error(
            "gmem: no extended region of %u MiB in /hypervisor: guest memory cannot be mapped; "
            "Xen 4.16 or later provides one",
            (u32)(2 * WINDOW_BYTES >> 20));
        return ST_FULL;
    }
    pool_count = (u32)room;
    filled_count = 0;
    guest_count = 0;
    tables_full = false;
    clock = 0;
    stats = (struct gmem_foreign_stats){.windows_total = pool_count};
    for (u32 i = 0; i < HASH_HEADS; i++) {
        head[i] = NO_WINDOW;
    }
    for (u32 w = 0; w < WINDOWS_MAX; w++) {
        window[w] = (struct window){0};
        pins[w] = 0;
    }
    return ST_OK;
}

enum status gmem_foreign_open(struct gmem_foreign *g, u16 domid)
{
    if (guest_count == 2 * GUESTS_MAX) {
        return ST_FULL;
    }
    guest_count++;
    /* Perhaps we were given more in the meantime: the first miss tells. */
    tables_full = false;
    stats.windows_total = pool_count;
    *g = (struct gmem_foreign){.domid = domid, .open = true};
    gmem_init(&g->gm, &foreign_ops, pins);
    return ST_OK;
}

void gmem_foreign_close(struct gmem_foreign *g)
{
    CHECK(g->open);
    for (u32 w = 0; w < pool_count && g->windows > 0; w++) {
        if (window[w].owner == g) {
            window_free(w);
        }
    }
    gmem_forget(&g->gm);
    CHECK(g->windows == 0);
    g->open = false;
    guest_count--;
}

void gmem_foreign_stats(struct gmem_foreign_stats *out)
{
    *out = stats;
}
