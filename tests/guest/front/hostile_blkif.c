/* SPDX-License-Identifier: BSD-2-Clause */
/* hostile_blkif.c - what a PV front end must not do with its ring, its grants and its event
 * channel. Each case finds a connected ring. */
#include "tests/guest/front/hostile.h"

#include <string.h>

#include "drivers/xen/evtchn.h"
#include "start/base/arith.h"
#include "start/port.h"

#define STORM_EVENTS 1000
#define SCRIBBLES    64
#define DOM0         0
#define TAKES_MAX    64 /* answers of one case */

static u64 pick(const struct hostile *h, const u64 *values, u32 count)
{
    return values[h->round % count];
}

/** What the backend says to all of it; an answer to a request that was never made is fine here. */
static void answers_take(struct hostile *h)
{
    struct bfront *b = h->b;
    bool more = true;
    u32 slot;

    for (u32 i = 0; i < TAKES_MAX && more; i++) {
        bool good;

        more = bfront_take(b, &slot, &good);
    }
    b->in_flight = 0;
}

/** req_prod as it is goes to the backend, which looks at once. */
static void show(struct hostile *h)
{
    store_release_u32(&h->b->ring->req_prod, h->b->req_prod);
    h->b->shown = h->b->req_prod;
    (void)evtchn_send(h->b->port);
    hostile_pause(h);
}

static struct blkif_request read_make(const struct hostile *h)
{
    const struct bfront *b = h->b;
    struct blkif_request req = {
        .operation = BLKIF_OP_READ,
        .nr_segments = 1,
        .handle = (blkif_vdev_t)b->devid,
        .seg = {{.gref = b->run.ref + b->ring_pages, .last_sect = 7}},
    };

    grants_offer(&b->run, b->ring_pages, 1, false);
    return req;
}

static void put(struct hostile *h, const struct blkif_request *req)
{
    struct bfront *b = h->b;

    b->ring->ring[b->req_prod & (b->entries - 1)].req = *req;
    b->req_prod++;
}

/** The ring stays good: this costs the request alone. */
static bool try_it(struct hostile *h, const struct blkif_request *req)
{
    put(h, req);
    show(h);
    answers_take(h);
    /* A ring of which the backend thinks otherwise is one that a front end connects anew. */
    return load_acquire_u32(&h->b->ring->rsp_prod) != h->b->req_prod;
}

/* --- the ring --------------------------------------------------------------------------------- */

static bool prod_jump(struct hostile *h)
{
    const u64 jumps[] = {h->b->entries + 1, 1000, 0x7fffffff, 0x80000000, UINT32_MAX};

    h->b->req_prod += (u32)pick(h, jumps, ARRAY_LEN(jumps));
    show(h);
    return true;
}

static bool ring_full_of_one_id(struct hostile *h)
{
    struct blkif_request req = read_make(h);

    for (u32 i = 0; i < h->b->entries; i++) {
        put(h, &req);
    }
    show(h);
    answers_take(h);
    return true;
}

static bool events_poisoned(struct hostile *h)
{
    struct blkif_sring *ring = h->b->ring;
    struct blkif_request req = read_make(h);

    store_u32(&ring->rsp_event, (u32)hostile_random(h));
    store_u32(&ring->req_event, (u32)hostile_random(h));
    store_u32(&ring->rsp_prod, (u32)hostile_random(h));
    (void)try_it(h, &req);
    return true;
}

/** The ring is rewritten while the backend reads it. */
static bool ring_scribbled(struct hostile *h)
{
    struct bfront *b = h->b;
    u64 *words = (u64 *)(void *)b->ring->ring;
    u32 count = (u32)(b->entries * sizeof(b->ring->ring[0]) / sizeof(u64));

    for (u32 i = 0; i < SCRIBBLES; i++) {
        for (u32 k = 0; k < 32; k++) {
            words[hostile_random(h) % count] = hostile_random(h);
        }
        b->req_prod += (u32)hostile_random(h) % b->entries;
        store_release_u32(&b->ring->req_prod, b->req_prod);
        (void)evtchn_send(b->port);
    }
    hostile_pause(h);
    return true;
}

/* --- requests --------------------------------------------------------------------------------- */

static bool segment_outside(struct hostile *h)
{
    static const u8 sectors[][2] = {{0, 8}, {7, 0}, {8, 8}, {255, 255}, {0, 255}};
    struct blkif_request req = read_make(h);

    req.seg[0].first_sect = sectors[h->round % ARRAY_LEN(sectors)][0];
    req.seg[0].last_sect = sectors[h->round % ARRAY_LEN(sectors)][1];
    return try_it(h, &req);
}

static bool segments_number(struct hostile *h)
{
    static const u64 numbers[] = {12, 255, 0};
    struct blkif_request req = read_make(h);

    req.nr_segments = (u8)pick(h, numbers, ARRAY_LEN(numbers));
    return try_it(h, &req);
}

static bool operation_unknown(struct hostile *h)
{
    static const u64 operations[] = {4, 7, 128, 255};
    struct blkif_request req = read_make(h);

    req.operation = (u8)pick(h, operations, ARRAY_LEN(operations));
    return try_it(h, &req);
}

static bool sector_outside(struct hostile *h)
{
    const u64 sectors[] = {h->sectors, h->sectors - 1, UINT64_MAX, BIT64(55), UINT64_MAX - 7};
    struct blkif_request req = read_make(h);

    req.sector_number = pick(h, sectors, ARRAY_LEN(sectors));
    return try_it(h, &req);
}

static bool discard_outside(struct hostile *h)
{
    struct blkif_request req = {0};
    struct blkif_request_discard discard = {
        .operation = BLKIF_OP_DISCARD,
        .flag = 0xff,
        .sector_number = h->round & 1 ? h->sectors : UINT64_MAX - 7,
        .nr_sectors = h->round & 1 ? 1 : UINT64_MAX,
    };

    memcpy(&req, &discard, sizeof(discard));
    return try_it(h, &req);
}

static bool flush_with_segments(struct hostile *h)
{
    struct blkif_request req = read_make(h);

    req.operation = h->round & 1 ? BLKIF_OP_FLUSH_DISKCACHE : BLKIF_OP_WRITE_BARRIER;
    req.nr_segments = 255;
    req.sector_number = UINT64_MAX;
    return try_it(h, &req);
}

/* --- grants ----------------------------------------------------------------------------------- */

static bool grant_none(struct hostile *h)
{
    const u64 refs[] = {h->spare.ref, 0, UINT32_MAX, BIT64(30), 4096};
    struct blkif_request req = read_make(h);

    req.seg[0].gref = (u32)pick(h, refs, ARRAY_LEN(refs));
    return try_it(h, &req);
}

static bool grant_of_another(struct hostile *h)
{
    struct grant_run other = h->spare;
    struct blkif_request req = read_make(h);
    bool broke;

    other.domid = DOM0;
    grants_offer(&other, 0, 1, false);
    req.seg[0].gref = other.ref;
    broke = try_it(h, &req);
    (void)grants_revoke(&other, 0, 1);
    return broke;
}

static bool grant_taken_back(struct hostile *h)
{
    struct blkif_request req = read_make(h);

    grants_offer(&h->spare, 1, 1, false);
    req.seg[0].gref = h->spare.ref + 1;
    put(h, &req);
    (void)grants_revoke(&h->spare, 1, 1);
    show(h);
    answers_take(h);
    return true;
}

/** A grant for reading only, to be written to; and half of them bad. */
static bool grant_read_only(struct hostile *h)
{
    struct blkif_request req = read_make(h);
    bool broke;

    grants_offer(&h->spare, 2, 1, true);
    req.nr_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
    for (u32 i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++) {
        req.seg[i] = req.seg[0];
        req.seg[i].gref = i & 1 ? h->spare.ref + 2 : h->spare.ref;
    }
    broke = try_it(h, &req);
    (void)grants_revoke(&h->spare, 2, 1);
    return broke;
}

/** The data goes into the ring that names the request. */
static bool grant_is_ring(struct hostile *h)
{
    struct blkif_request req = read_make(h);

    req.seg[0].gref = h->b->run.ref;
    (void)try_it(h, &req);
    return true;
}

/** All that can be taken back is, with requests in flight. */
static bool grants_all_taken_back(struct hostile *h)
{
    struct bfront *b = h->b;
    struct blkif_request req = read_make(h);

    for (u32 i = 0; i < 8; i++) {
        req.seg[0].gref = b->run.ref + b->ring_pages + i % b->depth * b->slot_pages;
        put(h, &req);
    }
    store_release_u32(&b->ring->req_prod, b->req_prod);
    (void)evtchn_send(b->port);
    (void)grants_revoke(&b->run, 0, b->run.pages);
    hostile_pause(h);
    answers_take(h);
    grants_offer(&b->run, 0, b->stay ? b->run.pages : b->ring_pages, false);
    return true;
}

/* --- indirect requests ------------------------------------------------------------------------ */

static bool indirect_try(struct hostile *h, u8 operation, u16 segments, u32 ref)
{
    struct blkif_request req = {0};
    struct blkif_request_indirect indirect = {
        .operation = BLKIF_OP_INDIRECT,
        .indirect_op = operation,
        .nr_segments = segments,
        .handle = (blkif_vdev_t)h->b->devid,
    };
    struct blkif_request_indirect *at;

    STATIC_CHECK(sizeof(indirect) <= sizeof(req), "an entry holds either");
    for (u32 i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++) {
        indirect.indirect_grefs[i] = ref;
    }
    at = (struct blkif_request_indirect *)(void *)&req;
    *at = indirect;
    return try_it(h, &req);
}

static bool indirect_not_granted(struct hostile *h)
{
    return indirect_try(h, BLKIF_OP_READ, 16, h->spare.ref);
}

static bool indirect_in_indirect(struct hostile *h)
{
    return indirect_try(h, h->round & 1 ? BLKIF_OP_INDIRECT : 255, 16, h->spare.ref);
}

static bool indirect_number(struct hostile *h)
{
    static const u64 numbers[] = {0, 257, 4097, 65535};

    return indirect_try(h, BLKIF_OP_READ, (u16)pick(h, numbers, ARRAY_LEN(numbers)), h->spare.ref);
}

/** The page of segments is good, what it says is not. */
static bool indirect_nonsense(struct hostile *h)
{
    u64 *words = (u64 *)(void *)(h->spare.base + 3 * PAGE_BYTES);
    bool broke;

    for (u32 i = 0; i < PAGE_BYTES / sizeof(u64); i++) {
        words[i] = hostile_random(h);
    }
    grants_offer(&h->spare, 3, 1, false);
    broke = indirect_try(h, BLKIF_OP_READ, 32, h->spare.ref + 3);
    (void)grants_revoke(&h->spare, 3, 1);
    return broke;
}

/* --- the event channel ------------------------------------------------------------------------ */

static bool event_storm(struct hostile *h)
{
    for (u32 i = 0; i < STORM_EVENTS; i++) {
        (void)evtchn_send(h->b->port);
    }
    return false;
}

/** Its other end goes while requests are in flight, and nobody says so. */
static bool channel_closed(struct hostile *h)
{
    struct blkif_request req = read_make(h);

    for (u32 i = 0; i < 8; i++) {
        put(h, &req);
    }
    store_release_u32(&h->b->ring->req_prod, h->b->req_prod);
    (void)evtchn_send(h->b->port);
    evtchn_close(h->b->port);
    h->b->port = 0;
    hostile_pause(h);
    return true;
}

const struct hostile_case hostile_blkif[] = {
    {"prod_jump", prod_jump},
    {"ring_full_of_one_id", ring_full_of_one_id},
    {"ring_events_poisoned", events_poisoned},
    {"ring_scribbled", ring_scribbled},
    {"segment_outside", segment_outside},
    {"segments_number", segments_number},
    {"operation_unknown", operation_unknown},
    {"pv_sector_outside", sector_outside},
    {"discard_outside", discard_outside},
    {"flush_with_segments", flush_with_segments},
    {"grant_none", grant_none},
    {"grant_of_another", grant_of_another},
    {"grant_taken_back", grant_taken_back},
    {"grant_read_only", grant_read_only},
    {"grant_is_ring", grant_is_ring},
    {"grants_all_taken_back", grants_all_taken_back},
    {"indirect_not_granted", indirect_not_granted},
    {"indirect_in_indirect", indirect_in_indirect},
    {"indirect_number", indirect_number},
    {"indirect_nonsense", indirect_nonsense},
    {"event_storm", event_storm},
    {"channel_closed", channel_closed},
};
const u32 hostile_blkif_count = ARRAY_LEN(hostile_blkif);
