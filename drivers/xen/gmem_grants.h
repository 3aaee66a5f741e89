/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gmem_grants.h - a guest's memory by grants and foreign mappings; implements virtio/gmem.h.
 *                                                                                   plane: data
 *
 * With grant_usage=1 the toolstack tells the guest that the device stands behind Xen's "grant DMA":
 * a driver that knows it grants each buffer to us, and puts into rings and descriptors
 *
 *      63  62                12 11      0
 *     | 1 |  grant reference   | offset |        pages that follow each other: references that do
 *
 * An address without bit 63 is a guest-physical one as ever, and goes to the windows of
 * gmem_foreign.c: each address is looked at by itself, and which guest uses what is its choice.
 *
 * A driver takes a grant back as soon as it sees its buffer used, so nothing is kept: what is not
 * pinned (rings are, and requests in flight) is unmapped in gmem_settle(), before buffers are
 * shown. Buffers that the driver only lets us read are granted, and mapped, read-only.
 */
#pragma once

#include "drivers/xen/gmem_foreign.h"

#define GMEM_GRANT_BIT BIT64(63)

/** Pages that follow each other for the guest and for us. */
struct gmem_grant_run {
    u32 ref;   /* of the first page */
    u16 first; /* page of the guest's address space */
    u8 pages;
    bool writable;
};

struct gmem_grants {
    struct gmem_foreign plain; /* plain.gm is what virtio/ sees: both kinds of addresses */
    u32 slot;
    u32 runs; /* mapped now: the first ones of list */
    u16 list[GRANT_RUNS_PER_GUEST];
    struct gmem_grant_run run[GRANT_RUNS_PER_GUEST];
    u64 taken[GRANT_PAGES_PER_GUEST / 64]; /* a bit per page of address space */
    u32 handle[GRANT_PAGES_PER_GUEST];
    u64 maps;     /* pages mapped since gmem_grants_open() */
    u64 failures; /* look-ups of grants that could not be answered */
};

/** Take the address space. ST_OK; ST_FULL: grants cannot be mapped, all else works. */
enum status gmem_grants_init(void);

/** Begin with guest domid in place slot < GUESTS_MAX. ST_OK; ST_FULL: no address space, or what
 * gmem_foreign_open() says. */
enum status gmem_grants_open(struct gmem_grants *g, u16 domid, u32 slot);
/** The guest goes: unmap everything. CHECKs that nothing is pinned. */
void gmem_grants_close(struct gmem_grants *g);
