/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grant_pages.c - see grant_pages.h. One instance per domain, as its address space is one.
 */
#include "drivers/xen/grant_pages.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"

#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/xen_abi.h"

#define RING_PAGES  (GRANT_RING_MAX * GRANT_RING_SIZE) /* of one front end */
#define AREA_PAGES  (DEVICES_MAX * RING_PAGES)
#define NONE        UINT16_MAX /* no page */
#define BUCKETS     1024
#define EVICT_BATCH GRANT_MAPS_MAX /* unmapped at once when a front end keeps too many */

STATIC_CHECK(GRANT_MAPS_MAX <= GNTTAB_BATCH_MAX && GRANT_COPIES_MAX <= GNTTAB_BATCH_MAX &&
                 RING_PAGES <= GNTTAB_BATCH_MAX,
             "one call of ours is one hypercall");
STATIC_CHECK(GRANT_PAGES < NONE, "a page's number fits");
STATIC_CHECK(GRANT_SPARE + GRANT_KEEP_MAX < GRANT_PAGES, "at least one front end keeps all it may");

/** A page of data. Free: next is the next free one. Kept: in its owner's list and in a bucket. */
struct page {
    struct grant_user *keeper; /* NULL: free, or mapped for one request */
    u64 bus;
    u32 ref, handle;
    u16 next, prev; /* the owner's list */
    u16 chain;      /* the bucket's */
    u16 users;      /* requests that use it now */
};

static u64 area; /* where the rings begin; 0: there is no room */
static struct page page[GRANT_PAGES];
static u16 free_first;
static u32 free_count;
static u16 bucket[BUCKETS];
static struct log_limit said;

enum status grant_pages_init(void)
{
    area = 0;
    if (extregion_alloc((u64)(AREA_PAGES + GRANT_PAGES) * PAGE_BYTES, PAGE_BYTES, &area) != ST_OK) {
        return ST_FULL;
    }
    for (u32 i = 0; i < BUCKETS; i++) {
        bucket[i] = NONE;
    }
    for (u32 i = 0; i < GRANT_PAGES; i++) {
        page[i] = (struct page){.next = i + 1 < GRANT_PAGES ? (u16)(i + 1) : NONE};
    }
    free_first = 0;
    free_count = GRANT_PAGES;
    return ST_OK;
}

void grant_pages_open(struct grant_user *user, u16 domid, u16 slot)
{
    CHECK(area && slot < DEVICES_MAX);
    *user = (struct grant_user){.domid = domid, .slot = slot, .first = NONE, .last = NONE};
    for (u32 i = 0; i < GRANT_RING_MAX; i++) {
        for (u32 k = 0; k < GRANT_RING_SIZE; k++) {
            user->handle[i][k] = GNTTAB_NO_HANDLE;
        }
    }
}

static u64 page_gpa(u32 i)
{
    return area + (u64)(AREA_PAGES + i) * PAGE_BYTES;
}

/* --- free pages --------------------------------------------------------------------------------
 */

static u16 page_take(void)
{
    u16 i = free_first;

    CHECK(i != NONE); /* GRANT_SPARE */
    free_first = page[i].next;
    free_count--;
    page[i] = (struct page){.next = NONE, .prev = NONE, .chain = NONE};
    return i;
}

static void page_put(u16 i)
{
    page[i] = (struct page){.next = free_first};
    free_first = i;
    free_count++;
}

/* --- kept pages --------------------------------------------------------------------------------
 */

static u16 *bucket_of(const struct grant_user *user, u32 ref)
{
    return &bucket[(ref * 2654435761u + user->slot * 40503u) >> 22];
}

STATIC_CHECK(BUCKETS == 1u << (32 - 22), "the upper bits of the product choose the bucket");

static u16 kept_find(const struct grant_user *user, u32 ref)
{
    u16 i = *bucket_of(user, ref);

    while (i != NONE && (page[i].ref != ref || page[i].keeper != user)) {
        i = page[i].chain;
    }
    return i;
}

static void list_remove(struct grant_user *user, u16 i)
{
    u16 *before = page[i].prev == NONE ? &user->first : &page[page[i].prev].next;
    u16 *behind = page[i].next == NONE ? &user->last : &page[page[i].next].prev;

    *before = page[i].next;
    *behind = page[i].prev;
}

static void list_put_first(struct grant_user *user, u16 i)
{
    page[i].prev = NONE;
    page[i].next = user->first;
    *(user->first == NONE ? &user->last : &page[user->first].prev) = i;
    user->first = i;
}

static void page_keep(struct grant_user *user, u16 i)
{
    u16 *head = bucket_of(user, page[i].ref);

    page[i].keeper = user;
    page[i].chain = *head;
    *head = i;
    list_put_first(user, i);
    user->kept++;
}

static void page_unkeep(struct grant_user *user, u16 i)
{
    u16 *link = bucket_of(user, page[i].ref);

    while (*link != i) {
        CHECK(*link != NONE);
        link = &page[*link].chain;
    }
    *link = page[i].chain;
    list_remove(user, i);
    page[i].keeper = NULL;
    user->kept--;
}

/* --- mapping -----------------------------------------------------------------------------------
 */

/** Xen refused to unmap: whatever lies there now, the address is not used again. */
static COLD void unmap_failed(u16 domid, s32 why)
{
    if (log_limit_ok(&said)) {
        log_error("dom%u: a grant does not unmap (%d): its page is not used again", domid, why);
    }
}

/** Give back pages that are nobody's, GNTTAB_BATCH_MAX at most. */
static void pages_unmap(u16 domid, const u16 *which, u32 count)
{
    static struct gnttab_unmap unmaps[GNTTAB_BATCH_MAX];

    if (count == 0) {
        return;
    }
    for (u32 i = 0; i < count; i++) {
        unmaps[i] =
            (struct gnttab_unmap){.gpa = page_gpa(which[i]), .handle = page[which[i]].handle};
    }
    (void)gnttab_unmap_batch(unmaps, count);
    for (u32 i = 0; i < count; i++) {
        if (unmaps[i].handle == GNTTAB_NO_HANDLE) {
            page_put(which[i]);
        } else {
            unmap_failed(domid, unmaps[i].status);
        }
    }
}

/** Unmap up to count kept pages that no request uses, the least recently used first. */
static void kept_drop(struct grant_user *user, u32 count)
{
    u16 which[EVICT_BATCH];
    u32 found = 0;
    u16 i = user->last;

    while (i != NONE && found < count && found < EVICT_BATCH) {
        u16 before = page[i].prev;

        if (page[i].users == 0) {
            page_unkeep(user, i);
            which[found++] = i;
        }
        i = before;
    }
    pages_unmap(user->domid, which, found);
}

void grant_pages_close(struct grant_user *user)
{
    while (user->kept > 0) {
        u32 before = user->kept;

        kept_drop(user, EVICT_BATCH);
        CHECK(user->kept < before);
    }
}

static enum status map_status(s32 status)
{
    if (status != GNTST_no_device_space) {
        return ST_GUEST;
    }
    if (log_limit_ok(&said)) {
        log_error("gnttab: Xen has no room for more mappings: give this domain more "
                  "max_maptrack_frames= in its xl config");
    }
    return ST_FULL;
}

/** Map what map_find() did not; which[] are their places in maps. */
static enum status map_missing(struct grant_user *user, struct grant_map *maps, const u8 *which,
                               u32 count)
{
    static struct gnttab_map ops[GRANT_MAPS_MAX];
    enum status st = ST_OK;
    u16 failed[GRANT_MAPS_MAX];
    u32 failures = 0;

    for (u32 i = 0; i < count; i++) {
        u16 p = page_take();

        maps[which[i]].token = p;
        ops[i] = (struct gnttab_map){
            .gpa = page_gpa(p),
            .ref = maps[which[i]].ref,
            .domid = user->domid,
            .read_only = !user->keep && !maps[which[i]].write,
        };
    }
    (void)gnttab_map_batch(ops, count);
    user->maps += count;
    for (u32 i = 0; i < count; i++) {
        struct grant_map *map = &maps[which[i]];
        struct page *p = &page[map->token];

        if (ops[i].handle == GNTTAB_NO_HANDLE) {
            st = map_status(ops[i].status);
            failed[failures++] = (u16)map->token;
            map->token = NONE;
            continue;
        }
        p->ref = map->ref;
        p->handle = ops[i].handle;
        p->bus = ops[i].bus;
        p->users = 1;
        map->page = (u8 *)(uintptr_t)ops[i].gpa;
        map->bus = ops[i].bus;
        if (user->keep && user->kept < GRANT_KEEP_MAX && free_count > GRANT_SPARE) {
            page_keep(user, (u16)map->token);
        }
    }
    for (u32 i = 0; i < failures; i++) {
        page_put(failed[i]);
    }
    return st;
}

/** True when the page is kept: it is the map's now. */
static bool map_find(struct grant_user *user, struct grant_map *map)
{
    u16 i = user->keep ? kept_find(user, map->ref) : NONE;

    if (i == NONE) {
        return false;
    }
    page[i].users++;
    if (user->first != i) {
        list_remove(user, i);
        list_put_first(user, i);
    }
    map->page = (u8 *)(uintptr_t)page_gpa(i);
    map->bus = page[i].bus;
    map->token = i;
    user->hits++;
    return true;
}

static void seam_unmap(void *ctx, struct grant_map *maps, u32 count)
{
    struct grant_user *user = ctx;
    u16 which[GRANT_MAPS_MAX];
    u32 found = 0;

    CHECK(count <= GRANT_MAPS_MAX);
    for (u32 i = 0; i < count; i++) {
        if (maps[i].token == NONE) {
            continue;
        }
        CHECK(maps[i].token < GRANT_PAGES && page[maps[i].token].users > 0);
        if (--page[maps[i].token].users == 0 && !page[maps[i].token].keeper) {
            which[found++] = (u16)maps[i].token;
        }
        maps[i].token = NONE;
    }
    pages_unmap(user->domid, which, found);
}

static enum status seam_map(void *ctx, struct grant_map *maps, u32 count)
{
    struct grant_user *user = ctx;
    u8 missing[GRANT_MAPS_MAX];
    u32 found = 0;
    enum status st;

    CHECK(count >= 1 && count <= GRANT_MAPS_MAX);
    for (u32 i = 0; i < count; i++) {
        if (!map_find(user, &maps[i])) {
            missing[found++] = (u8)i;
        }
    }
    if (found == 0) {
        return ST_OK;
    }
    if (user->keep && user->kept + found > GRANT_KEEP_MAX) {
        u64 before = user->kept;

        kept_drop(user, EVICT_BATCH);
        user->evictions += before - user->kept;
    }
    if (free_count < found) {
        /* Only pages that Xen did not unmap can have eaten up the spare ones. */
        for (u32 i = 0; i < found; i++) {
            maps[missing[i]].token = NONE;
        }
        st = ST_FULL;
    } else {
        st = map_missing(user, maps, missing, found);
    }
    if (st != ST_OK) {
        seam_unmap(user, maps, count);
    }
    return st;
}

static void seam_copy(void *ctx, struct grant_copy *copies, u32 count)
{
    static struct gnttab_copy_op ops[GRANT_COPIES_MAX];
    const struct grant_user *user = ctx;

    CHECK(count >= 1 && count <= GRANT_COPIES_MAX);
    for (u32 i = 0; i < count; i++) {
        u64 address = (u64)(uintptr_t)copies[i].ours;
        struct gnttab_place ours = {
            .ref_or_gfn = address / PAGE_BYTES,
            .offset = (u16)(address % PAGE_BYTES),
            .is_gfn = true,
        };
        struct gnttab_place theirs = {
            .ref_or_gfn = copies[i].ref,
            .domid = user->domid,
            .offset = copies[i].offset,
        };

        ops[i] = (struct gnttab_copy_op){
            .from = copies[i].to_guest ? ours : theirs,
            .to = copies[i].to_guest ? theirs : ours,
            .bytes = copies[i].bytes,
        };
    }
    (void)gnttab_copy_batch(ops, count);
    for (u32 i = 0; i < count; i++) {
        copies[i].status = ops[i].status == GNTST_okay ? ST_OK : ST_GUEST;
    }
}

struct grants grant_pages_seam(struct grant_user *user)
{
    return (struct grants){
        .map = seam_map,
        .unmap = seam_unmap,
        .copy = seam_copy,
        .ctx = user,
    };
}

/* --- rings -------------------------------------------------------------------------------------
 */

static u64 ring_gpa(const struct grant_user *user, u32 idx)
{
    return area + ((u64)user->slot * RING_PAGES + (u64)idx * GRANT_RING_SIZE) * PAGE_BYTES;
}

enum status grant_ring_map(struct grant_user *user, u32 idx, const u32 *ref, u32 count, u8 **pages)
{
    struct gnttab_map ops[GRANT_RING_SIZE];
    u64 gpa = ring_gpa(user, idx);
    enum status st = ST_OK;

    CHECK(idx < GRANT_RING_MAX && count >= 1 && count <= GRANT_RING_SIZE);
    for (u32 i = 0; i < count; i++) {
        if (user->handle[idx][i] != GNTTAB_NO_HANDLE) {
            return ST_FULL; /* what did not unmap lies there */
        }
        ops[i] = (struct gnttab_map){
            .gpa = gpa + (u64)i * PAGE_BYTES,
            .ref = ref[i],
            .domid = user->domid,
        };
    }
    (void)gnttab_map_batch(ops, count);
    for (u32 i = 0; i < count; i++) {
        user->handle[idx][i] = ops[i].handle;
        if (ops[i].handle == GNTTAB_NO_HANDLE) {
            st = map_status(ops[i].status);
        }
    }
    if (st != ST_OK) {
        grant_ring_unmap(user, idx);
        return st;
    }
    *pages = (u8 *)(uintptr_t)gpa;
    return ST_OK;
}

void grant_ring_unmap(struct grant_user *user, u32 idx)
{
    struct gnttab_unmap ops[GRANT_RING_SIZE];

    for (u32 i = 0; i < GRANT_RING_SIZE; i++) {
        ops[i] = (struct gnttab_unmap){
            .gpa = ring_gpa(user, idx) + (u64)i * PAGE_BYTES,
            .handle = user->handle[idx][i],
        };
    }
    (void)gnttab_unmap_batch(ops, GRANT_RING_SIZE);
    for (u32 i = 0; i < GRANT_RING_SIZE; i++) {
        if (ops[i].handle != GNTTAB_NO_HANDLE) {
            unmap_failed(user->domid, ops[i].status);
        }
        user->handle[idx][i] = ops[i].handle;
    }
}
