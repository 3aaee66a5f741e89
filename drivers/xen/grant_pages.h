/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grant_pages.h - pages that PV front ends grant, in our address space: blk/grants.h over Xen.
 * plane: data
 *
 *   one piece of extended region, at grant_pages_init():
 *   | the rings of front end 0 | 1 | ... | pages of data, handed out one by one |
 *
 * A page of data is mapped for a request and unmapped with it; or, when the front end said that its
 * grants stay, kept with its reference as the key: at most GRANT_KEEP_MAX per front end, the least
 * recently used goes first [BLKIF feature-persistent]. GRANT_SPARE pages are never kept: every
 * request that may be in flight finds room, whatever the front ends keep.
 *
 * What a front end got wrong is a status for its request. Nothing is held for it after
 * grant_pages_close() and grant_ring_unmap().
 */
#pragma once

#include "blk/grants.h"
#include "start/base/limits.h"

#define GRANT_PAGES     8192 /* 32 MiB of address space */
#define GRANT_KEEP_MAX  2048 /* kept for one front end: 8 MiB */
#define GRANT_SPARE     (REQUESTS_MAX * GRANT_MAPS_MAX + GRANT_MAPS_MAX)
#define GRANT_RING_MAX  4 /* rings of a front end */
#define GRANT_RING_SIZE 4 /* pages of a ring */

/** A front end. */
struct grant_user {
    u16 domid;
    u16 slot;        /* of the ring area; below DEVICES_MAX, and nobody else's */
    bool keep;       /* its grants stay */
    u16 first, last; /* kept pages, most recently used first */
    u32 kept;
    u32 handle[GRANT_RING_MAX][GRANT_RING_SIZE]; /* of mapped rings */
    u64 hits, maps, evictions;                   /* counters since grant_pages_open() */
};

/** Take the address space. ST_OK; ST_FULL: the extended regions have no room for it. */
enum status grant_pages_init(void);

void grant_pages_open(struct grant_user *user, u16 domid, u16 slot);
/** Unmap what is kept. No page is in use any more: CHECKed. */
void grant_pages_close(struct grant_user *user);

/** What blk/grants.h wants; the ctx is user. */
struct grants grant_pages_seam(struct grant_user *user);

/**
 * Map ring idx, count pages one behind the other, writable. ST_OK with *page; ST_GUEST: not all of
 * them are granted; ST_FULL: Xen has no room for more mappings of ours. Then none is mapped.
 */
enum status grant_ring_map(struct grant_user *user, u32 idx, const u32 *ref, u32 count, u8 **page);
void grant_ring_unmap(struct grant_user *user, u32 idx);
