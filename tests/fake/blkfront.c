/* SPDX-License-Identifier: BSD-2-Clause */
/* blkfront.c - see blkfront.h. Lays its entries out by hand, not with the engine's tables. */
#include "tests/fake/blkfront.h"

#include <string.h>

#include "start/base/check.h"
#include "start/port.h"

/* The header's structs as 32-bit x86 lays them out: a 64-bit number on 4 bytes. */
#define ENTRY_BYTES(abi) ((abi) == BLKIF_ABI_64 ? 112u : 108u)
#define ID_AT(abi)       ((abi) == BLKIF_ABI_64 ? 8u : 4u)

static struct blkif_sring *sring(struct blkfront *front, u32 ring)
{
    return (struct blkif_sring *)(void *)front->ring[ring];
}

static enum status front_map(void *ctx, struct grant_map *maps, u32 count)
{
    struct blkfront *front = ctx;

    CHECK(count >= 1 && count <= BLKIF_SEG_MAX);
    front->map_calls++;
    if (front->map_again > 0) {
        front->map_again--;
        return ST_AGAIN;
    }
    for (u32 i = 0; i < count; i++) {
        if (maps[i].ref >= FRONT_PAGES || front->revoked[maps[i].ref]) {
            return ST_GUEST;
        }
    }
    for (u32 i = 0; i < count; i++) {
        u32 ref = maps[i].ref;

        memcpy(front->copy[ref], front->page[ref], PAGE_BYTES);
        maps[i].page = maps[i].write ? front->page[ref] : front->copy[ref];
        maps[i].bus = (u64)(uintptr_t)maps[i].page;
        maps[i].token = ref + 1;
    }
    front->mapped += count;
    return ST_OK;
}

static void front_unmap(void *ctx, struct grant_map *maps, u32 count)
{
    struct blkfront *front = ctx;

    CHECK(count <= front->mapped);
    for (u32 i = 0; i < count; i++) {
        CHECK(maps[i].token == maps[i].ref + 1);
        maps[i].token = 0;
    }
    front->mapped -= count;
}

static void front_copy(void *ctx, struct grant_copy *copies, u32 count)
{
    struct blkfront *front = ctx;

    CHECK(count >= 1 && count <= GRANT_COPIES_MAX);
    front->copy_calls++;
    for (u32 i = 0; i < count; i++) {
        struct grant_copy *copy = &copies[i];
        u32 in_page = (u32)(uintptr_t)copy->ours & (PAGE_BYTES - 1);

        CHECK(copy->bytes > 0 && copy->offset + copy->bytes <= PAGE_BYTES &&
              in_page + copy->bytes <= PAGE_BYTES);
        if (copy->ref >= FRONT_PAGES || front->revoked[copy->ref]) {
            copy->status = ST_GUEST;
            continue;
        }
        if (copy->to_guest) {
            memcpy(front->page[copy->ref] + copy->offset, copy->ours, copy->bytes);
        } else {
            memcpy(copy->ours, front->page[copy->ref] + copy->offset, copy->bytes);
        }
        copy->status = ST_OK;
    }
}

static void front_event(void *ctx, u32 ring)
{
    struct blkfront *front = ctx;

    front->events[ring]++;
}

void blkfront_start(struct blkfront *front, struct bdev *bdev, enum blkif_abi abi, u32 pages)
{
    memset(front, 0, sizeof(*front));
    front->bdev = bdev;
    front->abi = abi;
    front->entries = blkif_ring_entries(abi, pages);
    blkif_pool_init(&front->pool, front->seg_page);
    blkif_init(&front->bi, &(struct blkif_init){
                               .bdev = bdev,
                               .pool = &front->pool,
                               .grants = {front_map, front_unmap, front_copy, front},
                               .notify = front_event,
                               .notify_ctx = front,
                               .name = "dom1/51712 test",
                           });
    blkif_grants_stay(&front->bi, true);
    sring(front, 0)->req_event = 1;
    sring(front, 0)->rsp_event = 1;
    CHECK(blkif_connect(&front->bi, 0, abi, front->ring[0], pages) == ST_OK);
}

u8 *blkfront_entry(struct blkfront *front, u32 ring)
{
    u32 idx = front->prod[ring]++ & (front->entries - 1);
    u8 *entry = front->ring[ring] + 64 + idx * ENTRY_BYTES(front->abi);

    memset(entry, 0, ENTRY_BYTES(front->abi));
    return entry;
}

void blkfront_push(struct blkfront *front, u32 ring)
{
    store_release_u32(&sring(front, ring)->req_prod, front->prod[ring]);
}

static void put_common(struct blkfront *front, u8 *entry, u64 id, u64 sector)
{
    memcpy(entry + ID_AT(front->abi), &id, 8);
    memcpy(entry + ID_AT(front->abi) + 8, &sector, 8);
}

void blkfront_put(struct blkfront *front, u8 op, u64 id, u64 sector, u32 page, u32 count)
{
    u8 *entry = blkfront_entry(front, 0);

    entry[0] = op;
    entry[1] = (u8)count;
    put_common(front, entry, id, sector);
    for (u32 i = 0; i < count && i < BLKIF_DIRECT_MAX; i++) {
        struct blkif_request_segment seg = {.gref = page + i, .first_sect = 0, .last_sect = 7};

        memcpy(entry + ID_AT(front->abi) + 16 + 8 * (usize)i, &seg, 8);
    }
}

void blkfront_put_indirect(struct blkfront *front, u8 op, u64 id, u64 sector, u32 page, u32 count,
                           u32 seg_page)
{
    u8 *entry = blkfront_entry(front, 0);
    u16 segs = (u16)count;

    entry[0] = BLKIF_OP_INDIRECT;
    entry[1] = op;
    memcpy(entry + 2, &segs, 2);
    put_common(front, entry, id, sector);
    memcpy(entry + ID_AT(front->abi) + 20, &seg_page, 4);
    for (u32 i = 0; i < count && i < BLKIF_SEG_PER_PAGE; i++) {
        struct blkif_request_segment seg = {.gref = page + i, .first_sect = 0, .last_sect = 7};

        memcpy(front->page[seg_page] + 8 * (usize)i, &seg, 8);
    }
}

bool blkfront_take(struct blkfront *front, struct blkfront_answer *answer)
{
    u32 idx = front->cons[0] & (front->entries - 1);
    const u8 *entry = front->ring[0] + 64 + idx * ENTRY_BYTES(front->abi);

    if (load_acquire_u32(&sring(front, 0)->rsp_prod) == front->cons[0]) {
        return false;
    }
    front->cons[0]++;
    memcpy(&answer->id, entry, 8);
    answer->op = entry[8];
    memcpy(&answer->status, entry + 10, 2);
    return true;
}
