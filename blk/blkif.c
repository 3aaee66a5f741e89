/* SPDX-License-Identifier: BSD-2-Clause */
/* blkif.c - see blkif.h. Requests first, then rings. */
#include "blk/blkif.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#include <xen/io/blkif.h>

#define REQ_PROD  offsetof(struct blkif_sring, req_prod)
#define REQ_EVENT offsetof(struct blkif_sring, req_event)
#define RSP_PROD  offsetof(struct blkif_sring, rsp_prod)
#define RSP_EVENT offsetof(struct blkif_sring, rsp_event)

STATIC_CHECK(BLKIF_SEG_MAX >= BLKIF_DIRECT_MAX && BLKIF_SEG_MAX <= BLKIF_SEG_PER_PAGE,
             "one page of segments is read, and every direct request fits");

STATIC_CHECK(BLKIF_INFO_READ_ONLY == VDISK_READONLY, "as the header says");

void blkif_pool_init(struct blkif_pool *pool, u8 *seg_page)
{
    pool->free = NULL;
    pool->in_flight = 0;
    pool->copies = 0;
    pool->seg_page = seg_page;
    for (u32 i = 0; i < REQUESTS_MAX; i++) {
        pool->slot[i].bi = NULL;
        pool->slot[i].next_free = pool->free;
        pool->free = &pool->slot[i];
    }
}

void blkif_init(struct blkif *bi, const struct blkif_init *init)
{
    CHECK(init->grants.map && init->grants.unmap && init->notify);
    *bi = (struct blkif){
        .bdev = init->bdev,
        .pool = init->pool,
        .grants = init->grants,
        .notify = init->notify,
        .notify_ctx = init->notify_ctx,
        .name = init->name,
        .read_only = init->read_only || init->bdev->info.read_only,
        .no_discard = init->no_discard,
    };
    blk_done_init(&bi->done);
    blkif_grants_stay(bi, false);
}

void blkif_grants_stay(struct blkif *bi, bool stay)
{
    bi->copying = bi->grants.copy && bi->pool->seg_page && !stay;
}

/** What the front end got wrong: counted, said at a limited rate. */
static COLD void complain(struct blkif *bi, const char *what)
{
    bi->errors_guest++;
    if (log_limit_ok(&bi->log)) {
        log_warn("%s: %s", bi->name, what);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static struct blkif_req *slot_take(struct blkif *bi)
{
    struct blkif_req *req = bi->pool->free;

    if (req) {
        bi->pool->free = req->next_free;
        bi->pool->in_flight++;
        bi->in_flight++;
        req->bi = bi;
        req->maps = 0;
        req->steps = req->step = 0;
        req->taken_ns = bi->turn_ns;
    }
    return req;
}

static void slot_put(struct blkif_req *req)
{
    struct blkif *bi = req->bi;

    req->bi = NULL;
    req->next_free = bi->pool->free;
    bi->pool->free = req;
    bi->pool->in_flight--;
    bi->in_flight--;
}

static s16 response_of(enum status st)
{
    return st == ST_OK ? BLKIF_RSP_OKAY : st == ST_NOSUP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
}

/** The request is over. A ring that is gone or broken gets no answer. */
static void request_finish(struct blkif_req *req, enum status st)
{
    struct blkif_ring *ring = req->ring;
    struct blkif *bi = req->bi;

    if (req->maps > 0) {
        bi->grants.unmap(bi->grants.ctx, req->map, req->maps);
    }
    if (ring->page && !ring->broken) {
        blkif_wire_answer(ring->abi, ring->page, ring->rsp_next++, ring->entries, req->id, req->op,
                          response_of(st));
    }
    if (req->op == BLKIF_OP_WRITE_BARRIER) {
        bi->barrier = false;
    }
    slot_put(req);
}

/** Its step was done. A range is given to the medium in pieces that it takes, one after the other.
 */
static void request_advance(struct blkif_req *req)
{
    if (req->blk.op != BLK_FLUSH) {
        req->left -= req->blk.sectors;
        req->blk.sector += req->blk.sectors;
        if (req->left > 0) {
            return;
        }
    }
    req->step++;
}

static u64 step_sectors(const struct blkif_req *req)
{
    if (req->blk.op == BLK_FLUSH) {
        return 0;
    }
    return blk_op_is_range(req->blk.op) ? min_u64(req->left, req->bi->bdev->info.range_sectors_max)
                                        : req->left;
}

/** Its next steps, until the medium keeps one or all are done. */
static void request_run(struct blkif_req *req)
{
    struct blkif *bi = req->bi;

    for (; req->step < req->steps; request_advance(req)) {
        enum status st;

        req->blk.op = req->todo[req->step];
        req->blk.sectors = step_sectors(req);
        if (req->blk.op != BLK_FLUSH &&
            !range_ok(req->blk.sector, req->blk.sectors, bi->bdev->info.sectors)) {
            request_finish(req, ST_IO); /* a resize between two pieces cut it off */
            return;
        }
        st = bdev_submit(bi->bdev, &req->blk);
        if (st == ST_AGAIN) {
            return;
        }
        if (st != ST_OK) {
            bi->errors_medium++;
            request_finish(req, st);
            return;
        }
    }
    request_finish(req, ST_OK);
}

static u32 requests_reap(struct blkif *bi)
{
    u64 now_ns = PART_EYES && bi->done.head ? port_now_ns() : 0;
    struct blk_req *blk;
    u32 work = 0;

    while ((blk = blk_done_take(&bi->done)) != NULL) {
        struct blkif_req *req = container_of(blk, struct blkif_req, blk);
        u64 taken_ns = req->taken_ns;
        u32 in_flight = bi->in_flight;

        work++;
        if (blk->status == ST_OK && req->ring->page && !req->ring->broken) {
            request_advance(req);
            request_run(req);
        } else {
            bi->errors_medium += blk->status != ST_OK;
            request_finish(req, blk->status);
        }
        if (PART_EYES && bi->in_flight < in_flight) {
            latency_add(&bi->latency, 1, now_ns - taken_ns);
        }
    }
    return work;
}

/* --- a request's way in ----------------------------------------------------------------------- */

static void step_add(struct blkif_req *req, enum blk_op op)
{
    req->todo[req->steps++] = op;
}

/** The same by a copy of what is needed of the page. */
static enum status segs_copy(struct blkif *bi, const struct blkif_wire *wire,
                             struct blkif_seg *segs)
{
    struct grant_copy copy = {
        .ref = wire->seg_ref,
        .bytes = (u16)(wire->segs * BLKIF_SEG_BYTES),
        .ours = bi->pool->seg_page,
    };

    bi->grants.copy(bi->grants.ctx, &copy, 1);
    for (u32 i = 0; i < wire->segs && copy.status == ST_OK; i++) {
        segs[i] = blkif_wire_seg(bi->pool->seg_page, i);
    }
    return copy.status;
}

/** The segments of an indirect request, from their page. */
static enum status segs_fetch(struct blkif *bi, const struct blkif_wire *wire,
                              struct blkif_seg *segs)
{
    struct grant_map map = {.ref = wire->seg_ref};
    enum status st;

    if (bi->copying) {
        return segs_copy(bi, wire, segs);
    }
    st = bi->grants.map(bi->grants.ctx, &map, 1);
    if (st != ST_OK) {
        return st;
    }
    for (u32 i = 0; i < wire->segs; i++) {
        segs[i] = blkif_wire_seg(map.page, i);
    }
    bi->grants.unmap(bi->grants.ctx, &map, 1);
    return ST_OK;
}

/** Pieces that lie in their page; their sectors are added up. */
static enum status segs_check(struct blkif_req *req, const struct blkif_seg *segs, u32 count)
{
    req->sectors = 0;
    for (u32 i = 0; i < count; i++) {
        if (segs[i].first > segs[i].last || segs[i].last >= BLKIF_PAGE_SECTORS) {
            complain(req->bi, "a segment lies outside of its page");
            return ST_GUEST;
        }
        req->sectors += (u64)segs[i].last - segs[i].first + 1;
    }
    return ST_OK;
}

/** The part of the disk is there, and whole blocks of it. */
static enum status place_check(struct blkif_req *req)
{
    const struct bdev_info *info = &req->bi->bdev->info;
    u64 mask = info->logical_block_bytes / SECTOR_BYTES - 1;

    if (!range_ok(req->blk.sector, req->sectors, info->sectors)) {
        complain(req->bi, "a request reaches past the end of the disk");
        return ST_GUEST;
    }
    if (((req->blk.sector | req->sectors) & mask) != 0) {
        complain(req->bi, "a request is no multiple of the disk's block size");
        return ST_GUEST;
    }
    return ST_OK;
}

/** Map the pieces; the request's spans are theirs. ST_AGAIN: later. */
static enum status segs_map(struct blkif_req *req, const struct blkif_seg *segs, u32 count,
                            bool write)
{
    struct blkif *bi = req->bi;
    enum status st;

    for (u32 i = 0; i < count; i++) {
        req->map[i] = (struct grant_map){.ref = segs[i].ref, .write = write};
    }
    st = bi->grants.map(bi->grants.ctx, req->map, count);
    if (st != ST_OK) {
        if (st != ST_AGAIN) {
            complain(bi, "a page of a request is not granted to us");
        }
        return st;
    }
    req->maps = count;
    for (u32 i = 0; i < count; i++) {
        u32 at = segs[i].first * SECTOR_BYTES;

        req->span[i] = (struct span){
            .base = req->map[i].page + at,
            .bus = req->map[i].bus + at,
            .bytes = ((u32)segs[i].last - segs[i].first + 1) * SECTOR_BYTES,
        };
    }
    return ST_OK;
}

/* --- copies ----------------------------------------------------------------------------------- */

/** Have Xen do what is gathered; each request's pieces are all in it, one behind the other. */
static void copies_flush(struct blkif *bi)
{
    struct blkif_pool *pool = bi->pool;
    u32 count = pool->copies;
    u32 i = 0;

    if (count == 0) {
        return;
    }
    pool->copies = 0;
    bi->copies += count;
    bi->grants.copy(bi->grants.ctx, pool->copy, count);
    while (i < count) {
        struct blkif_req *req = pool->copy_of[i];
        enum status st = ST_OK;

        for (; i < count && pool->copy_of[i] == req; i++) {
            st = pool->copy[i].status != ST_OK ? pool->copy[i].status : st;
        }
        if (st != ST_OK) {
            complain(bi, "a page of a request is not granted to us");
        }
        bdev_moved(bi->bdev, req->op == BLKIF_OP_READ ? BLK_READ : BLK_WRITE, 1);
        request_finish(req, st);
    }
}

static void copy_add(struct blkif_req *req, const struct grant_copy *copy)
{
    struct blkif_pool *pool = req->bi->pool;

    CHECK(pool->copies < GRANT_COPIES_MAX);
    pool->copy_of[pool->copies] = req;
    pool->copy[pool->copies++] = *copy;
}

/** Note the pieces of a request whose place on the medium is memory. */
static void copies_add(struct blkif_req *req, const struct blkif_seg *segs, u32 count, u8 *memory)
{
    if (req->bi->pool->copies + 2 * count > GRANT_COPIES_MAX) {
        copies_flush(req->bi);
    }
    for (u32 i = 0; i < count; i++) {
        u32 left = ((u32)segs[i].last - segs[i].first + 1) * SECTOR_BYTES;
        u32 at = segs[i].first * SECTOR_BYTES;

        while (left > 0) {
            u32 room = PAGE_BYTES - ((u32)(uintptr_t)memory & (PAGE_BYTES - 1));
            u32 bytes = min_u32(left, room);

            copy_add(req, &(struct grant_copy){
                              .ref = segs[i].ref,
                              .offset = (u16)at,
                              .bytes = (u16)bytes,
                              .to_guest = req->op == BLKIF_OP_READ,
                              .ours = memory,
                          });
            memory += bytes;
            at += bytes;
            left -= bytes;
        }
    }
}

/** Where the data of a read or write lies when the medium is memory and copies are wanted; else
 * NULL. */
static u8 *copy_place(const struct blkif_req *req, const struct blkif_wire *wire)
{
    if (!req->bi->copying || wire->op > BLKIF_OP_WRITE) {
        return NULL;
    }
    return bdev_memory(req->bi->bdev, wire->sector, (u32)req->sectors * SECTOR_BYTES);
}

/** Read, write, flush and barrier, with their data. */
static enum status transfer_start(struct blkif_req *req, const struct blkif_wire *wire)
{
    struct blkif_seg indirect[BLKIF_SEG_MAX];
    const struct blkif_seg *segs = wire->indirect ? indirect : wire->seg;
    struct blkif *bi = req->bi;
    enum status st;
    u8 *memory;

    if (wire->segs > (wire->indirect ? BLKIF_SEG_MAX : BLKIF_DIRECT_MAX) ||
        (wire->segs == 0 && (wire->indirect || wire->op <= BLKIF_OP_WRITE))) {
        complain(bi, "a request has no segments, or more than were offered");
        return ST_GUEST;
    }
    if (wire->segs > 0 && wire->op != BLKIF_OP_READ && bi->read_only) {
        complain(bi, "a write to a disk that is read-only");
        return ST_ACCES;
    }
    st = wire->indirect ? segs_fetch(bi, wire, indirect) : ST_OK;
    if (st == ST_OK) {
        st = segs_check(req, segs, wire->segs);
    }
    if (st == ST_OK && wire->segs > 0) {
        st = place_check(req);
    }
    if (st != ST_OK) {
        return st;
    }
    memory = copy_place(req, wire);
    if (memory) {
        copies_add(req, segs, wire->segs, memory);
        return ST_OK;
    }
    if (wire->segs > 0) {
        st = segs_map(req, segs, wire->segs, wire->op == BLKIF_OP_READ);
        if (st != ST_OK) {
            return st;
        }
    }
    if (wire->op >= BLKIF_OP_WRITE_BARRIER) {
        step_add(req, BLK_FLUSH);
    }
    if (wire->segs > 0) {
        step_add(req, wire->op == BLKIF_OP_READ ? BLK_READ : BLK_WRITE);
    }
    if (wire->op == BLKIF_OP_WRITE_BARRIER) {
        step_add(req, BLK_FLUSH);
    }
    return ST_OK;
}

static enum status discard_start(struct blkif_req *req, const struct blkif_wire *wire)
{
    const struct bdev_info *info = &req->bi->bdev->info;
    bool secure = (wire->flag & BLKIF_DISCARD_SECURE) && info->secure_erase;
    enum status st;

    if (!info->discard || req->bi->no_discard) {
        return ST_NOSUP;
    }
    if (req->bi->read_only) {
        complain(req->bi, "a write to a disk that is read-only");
        return ST_ACCES;
    }
    req->sectors = wire->sectors;
    st = place_check(req);
    if (st == ST_OK && secure &&
        (wire->sector % info->erase_align_sectors != 0 ||
         wire->sectors % info->erase_align_sectors != 0)) {
        complain(req->bi, "a secure discard of less than the medium can erase");
        return ST_GUEST;
    }
    if (st == ST_OK && wire->sectors > 0) {
        step_add(req, secure ? BLK_SECURE_ERASE : BLK_DISCARD);
    }
    return st;
}

/** Counted when it is sound: what it will have done. */
static void request_count(struct blkif *bi, const struct blkif_req *req)
{
    bi->requests++;
    switch (req->op) {
    case BLKIF_OP_READ:
        bi->reads++;
        bi->bytes_read += req->sectors * SECTOR_BYTES;
        break;
    case BLKIF_OP_DISCARD:
        bi->discards++;
        break;
    default:
        bi->flushes += req->op != BLKIF_OP_WRITE;
        bi->writes += req->sectors > 0;
        bi->bytes_written += req->sectors * SECTOR_BYTES;
        break;
    }
}

/** Check, map, hand over. ST_AGAIN: not now, the entry is to be read again. */
static enum status request_start(struct blkif_req *req, const struct blkif_wire *wire)
{
    enum status st = ST_NOSUP;

    req->id = wire->id;
    req->op = wire->op;
    req->sectors = 0;
    req->blk = (struct blk_req){.sector = wire->sector, .done = &req->bi->done};
    if (wire->op <= BLKIF_OP_WRITE || (!wire->indirect && wire->op <= BLKIF_OP_FLUSH_DISKCACHE)) {
        st = transfer_start(req, wire);
    } else if (!wire->indirect && wire->op == BLKIF_OP_DISCARD) {
        st = discard_start(req, wire);
    }
    if (st == ST_AGAIN) {
        return st;
    }
    if (st != ST_OK) {
        request_finish(req, st);
        return ST_OK;
    }
    request_count(req->bi, req);
    if (req->steps == 0 && req->sectors > 0) {
        return ST_OK; /* Xen copies at the end of the turn */
    }
    req->left = req->sectors;
    req->blk.spans = req->span;
    req->blk.span_count = req->maps;
    req->bi->barrier = req->op == BLKIF_OP_WRITE_BARRIER;
    request_run(req);
    return ST_OK;
}

/* --- rings ------------------------------------------------------------------------------------ */

/** Nothing of an earlier connection may answer into this one. */
static bool ring_is_quiet(const struct blkif_ring *ring)
{
    for (u32 i = 0; i < REQUESTS_MAX; i++) {
        const struct blkif_req *req = &ring->bi->pool->slot[i];

        if (req->bi == ring->bi && req->ring == ring) {
            return false;
        }
    }
    return true;
}

enum status blkif_connect(struct blkif *bi, u32 idx, enum blkif_abi abi, u8 *page, u32 pages)
{
    struct blkif_ring *ring = &bi->ring[idx];

    CHECK(idx < BLKIF_QUEUES_MAX && !ring->page);
    ring->bi = bi;
    CHECK(ring_is_quiet(ring));
    *ring = (struct blkif_ring){
        .bi = bi,
        .page = page,
        .abi = abi,
        .entries = blkif_ring_entries(abi, pages),
        .rsp_prod = load_u32(page + RSP_PROD),
    };
    ring->req_cons = ring->rsp_next = ring->rsp_prod;
    if (load_u32(page + REQ_PROD) - ring->rsp_prod > ring->entries) {
        ring->page = NULL;
        complain(bi, "the indices of its ring make no sense");
        return ST_GUEST;
    }
    return ST_OK;
}

/** Read entries; each leaves one answer to come. Pairs with the front end's barrier before
 * req_prod. */
static u32 ring_work(struct blkif_ring *ring, u32 budget)
{
    struct blkif *bi = ring->bi;
    u32 prod = load_acquire_u32(ring->page + REQ_PROD); /* read once */
    u32 work = 0;

    if (prod - ring->rsp_next > ring->entries || prod - ring->req_cons > ring->entries) {
        ring->broken = true;
        complain(bi, "its ring holds more requests than it has room for; it is not served until "
                     "the front end connects anew");
        return 0;
    }
    if (PART_EYES && ring->req_cons != prod && bi->turn_ns == 0) {
        bi->turn_ns = port_now_ns();
    }
    for (; ring->req_cons != prod && work < budget && !bi->barrier; work++) {
        struct blkif_wire wire;
        struct blkif_req *req;

        blkif_wire_read(ring->abi, ring->page, ring->req_cons, ring->entries, &wire);
        if (wire.op == BLKIF_OP_WRITE_BARRIER && bi->in_flight > 0) {
            break; /* [BLKIF] what was asked before it is done before it */
        }
        req = slot_take(bi);
        if (!req) {
            bi->no_slot++;
            break;
        }
        req->ring = ring;
        if (request_start(req, &wire) == ST_AGAIN) {
            slot_put(req);
            bi->no_map++;
            break;
        }
        ring->req_cons++;
    }
    return work;
}

/** Show the answers. The full barrier pairs with the front end's between rsp_event and its look at
 * rsp_prod. */
static void ring_publish(struct blkif_ring *ring)
{
    struct blkif *bi = ring->bi;
    u32 old = ring->rsp_prod;

    if (old == ring->rsp_next) {
        return;
    }
    ring->rsp_prod = ring->rsp_next;
    store_release_u32(ring->page + RSP_PROD, ring->rsp_prod);
    full_barrier();
    bi->batches++;
    if (ring->rsp_prod - load_u32(ring->page + RSP_EVENT) < ring->rsp_prod - old) {
        bi->notifies++;
        bi->notify(bi->notify_ctx, (u32)(ring - bi->ring));
    }
}

/** Each turn begins behind the ring that was served first in the last one. */
static u32 rings_work(struct blkif *bi, u32 budget)
{
    u32 start = bi->ring_next;
    u32 work = 0;

    for (u32 i = 0; i < BLKIF_QUEUES_MAX && work < budget; i++) {
        u32 idx = (start + i) % BLKIF_QUEUES_MAX;
        struct blkif_ring *ring = &bi->ring[idx];
        u32 done = ring->page && !ring->broken ? ring_work(ring, budget - work) : 0;

        if (work == 0 && done > 0) {
            bi->ring_next = (idx + 1) % BLKIF_QUEUES_MAX;
        }
        work += done;
    }
    return work;
}

u32 blkif_poll(struct blkif *bi, u32 budget)
{
    u32 work = 0, taken, in_flight;

    bi->turn_ns = 0;
    if (bi->in_flight > 0) {
        work = bdev_poll(bi->bdev) + requests_reap(bi);
    }
    in_flight = bi->in_flight;
    taken = rings_work(bi, budget);
    copies_flush(bi);
    for (u32 i = 0; i < BLKIF_QUEUES_MAX; i++) {
        if (bi->ring[i].page && !bi->ring[i].broken) {
            ring_publish(&bi->ring[i]);
        }
    }
    if (PART_EYES && taken > 0) {
        latency_add(&bi->latency, taken - (bi->in_flight - in_flight), port_now_ns() - bi->turn_ns);
    }
    return work + taken;
}

bool blkif_arm(struct blkif *bi)
{
    bool pending = bi->in_flight > 0;

    for (u32 i = 0; i < BLKIF_QUEUES_MAX; i++) {
        struct blkif_ring *ring = &bi->ring[i];

        if (ring->page && !ring->broken) {
            store_u32(ring->page + REQ_EVENT, ring->req_cons + 1);
            full_barrier(); /* pairs with the front end's between req_prod and req_event */
            pending |= load_u32(ring->page + REQ_PROD) != ring->req_cons;
        }
    }
    return pending;
}

bool blkif_shutdown(struct blkif *bi)
{
    for (u32 i = 0; i < BLKIF_QUEUES_MAX; i++) {
        bi->ring[i].page = NULL;
    }
    for (u32 i = 0; i < REQUESTS_MAX && bi->in_flight > 0; i++) {
        if (bi->pool->slot[i].bi == bi) {
            bdev_cancel(bi->bdev, &bi->pool->slot[i].blk);
        }
    }
    (void)requests_reap(bi);
    return bi->in_flight == 0;
}
