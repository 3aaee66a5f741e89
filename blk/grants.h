/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grants.h - Seam: how a PV block ring reaches the pages that its front end grants.  plane: data
 *
 * The image has drivers/xen/grant_pages.c behind it, tests a front end in the same process. A grant
 * that is not there, is not ours or allows less than was asked for is the front end's error: a
 * status, for this request only.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define GRANT_MAPS_MAX 32 /* pages of one call of map: a request of 128 KiB */
#define GRANT_COPIES_MAX                                                    \
    64 /* pieces of one call of copy: that request, each page in two pieces \
        */

/** A page of the front end's, while it is mapped. */
struct grant_map {
    u32 ref;    /* in: the grant */
    bool write; /* in: we write to the page */
    u8 *page;   /* out */
    u64 bus;    /* out: the address a DMA device must be told */
    u32 token;  /* of the one who maps */
};

/** Bytes between a page of the front end's and our memory; they cross no page on either side. */
struct grant_copy {
    u32 ref;
    u16 offset; /* into the granted page */
    u16 bytes;
    bool to_guest;
    u8 *ours;           /* memory whose address is its physical one */
    enum status status; /* out: ST_OK; ST_GUEST: the grant does not allow it */
};

struct grants {
    /**
     * Map all of count pages, GRANT_MAPS_MAX at most. ST_OK; ST_AGAIN: no room now, ask later;
     * ST_GUEST: one is not granted. None is mapped then.
     */
    enum status (*map)(void *ctx, struct grant_map *maps, u32 count);
    void (*unmap)(void *ctx, struct grant_map *maps, u32 count);
    /** Copy count pieces, GRANT_COPIES_MAX at most; each tells its own status. NULL: map instead.
     */
    void (*copy)(void *ctx, struct grant_copy *copies, u32 count);
    void *ctx;
};
