/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bfront.c - a PV block front end. See bfront.h.
 */
#include "tests/guest/front/bfront.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "drivers/xen/evtchn.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"
#include "tests/guest/front/store.h"

#define ONE_PAGE_ENTRIES 32 /* of a ring of one page [BLKIF] */
#define RING_PAGES_MAX   2
#define HEADER_BYTES     64 /* before the entries of a ring */
#define WAIT_NS          UINT64_C(30000000000)
#define AGAIN_MAX        8 /* steps, and tries, to connect again */
#define AGAIN_NS         UINT64_C(5000000000)

STATIC_CHECK(HEADER_BYTES + ONE_PAGE_ENTRIES * sizeof(union blkif_sring_entry) <= PAGE_BYTES,
             "fits");
STATIC_CHECK(FRONT_DEPTH_MAX <= RING_PAGES_MAX * ONE_PAGE_ENTRIES, "every slot has an entry");
STATIC_CHECK(offsetof(struct blkif_sring, ring) == HEADER_BYTES, "[BLKIF] as the header says");

/* --- xenstore --------------------------------------------------------------------------------- */

const char *bfront_path(const struct bfront *b, const char *key, char path[BFRONT_PATH_MAX])
{
    (void)snprintf(path, BFRONT_PATH_MAX, "device/vbd/%" PRIu32 "/%s", b->devid, key);
    return path;
}

static void say_text(struct front_machine *m, const struct bfront *b, const char *key,
                     const char *text)
{
    char path[BFRONT_PATH_MAX];
    enum status st = store_write(m, bfront_path(b, key, path), text);

    if (st != ST_OK) {
        machine_refuse("xenstore does not take %s=%s: %s", path, text, status_name(st));
    }
}

void bfront_say(struct front_machine *m, const struct bfront *b, const char *key, u64 number)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, number);
    say_text(m, b, key, text);
}

static const char *backend_path(const struct bfront *b, const char *key, char path[XS_PATH_MAX])
{
    if (strlen(b->backend) + 1 + strlen(key) >= XS_PATH_MAX) {
        machine_refuse("device/vbd/%" PRIu32 "/backend is too long", b->devid);
    }
    (void)snprintf(path, XS_PATH_MAX, "%s/%s", b->backend, key);
    return path;
}

/** A number of the backend's; otherwise when it says none. */
static u64 ask(struct front_machine *m, const struct bfront *b, const char *key, u64 otherwise)
{
    char path[XS_PATH_MAX];
    u64 number;

    return store_number(m, backend_path(b, key, path), UINT64_MAX, &number) == ST_OK ? number
                                                                                     : otherwise;
}

u32 bfront_state(struct front_machine *m, const struct bfront *b)
{
    return (u32)ask(m, b, "state", 0);
}

u32 bfront_wait(struct front_machine *m, const struct bfront *b, u32 states, u64 timeout_ns)
{
    char path[XS_PATH_MAX];

    (void)store_wait(m, backend_path(b, "state", path), states, timeout_ns);
    return bfront_state(m, b);
}

static void wait_state(struct front_machine *m, const struct bfront *b, u32 state)
{
    char path[XS_PATH_MAX];

    if (!store_wait(m, backend_path(b, "state", path), BIT32(state), WAIT_NS)) {
        machine_refuse("PV disk %" PRIu32 ": its backend does not come to state %" PRIu32 ", it "
                       "is in %" PRIu64,
                       b->devid, state, ask(m, b, "state", 0));
    }
}

/* --- connecting ------------------------------------------------------------------------------- */

static u16 backend_find(struct front_machine *m, struct bfront *b)
{
    char path[BFRONT_PATH_MAX];
    u64 domid;

    if (store_read(m, bfront_path(b, "backend", path), b->backend, sizeof(b->backend)) != ST_OK ||
        store_number(m, bfront_path(b, "backend-id", path), UINT16_MAX, &domid) != ST_OK) {
        machine_refuse("PV disk %" PRIu32 ": device/vbd names no backend", b->devid);
    }
    return (u16)domid;
}

static void memory_take(struct front_machine *m, struct bfront *b, u16 backend)
{
    u32 pages = b->ring_pages + b->depth * b->slot_pages;

    b->run = grants_take(machine_pages(m, pages), pages, backend);
    b->ring = (struct blkif_sring *)(void *)b->run.base;
    b->data = b->run.base + (usize)b->ring_pages * PAGE_BYTES;
    grants_offer(&b->run, 0, b->stay ? pages : b->ring_pages, false);
}

/** An empty ring, and a channel that nobody has bound to. */
static void ring_reset(struct bfront *b)
{
    b->req_prod = 0;
    b->shown = 0;
    b->rsp_cons = 0;
    b->in_flight = 0;
    memset(b->ring, 0, (usize)b->ring_pages * PAGE_BYTES);
    b->ring->req_event = 1;
    b->ring->rsp_event = 1;
    if (b->port) {
        evtchn_close(b->port);
    }
    if (evtchn_alloc_unbound(b->run.domid, &b->port) != ST_OK) {
        machine_refuse("Xen gives no event channel to domain %u: without FLASK it wants xsm=dummy",
                       b->run.domid);
    }
}

static void ring_say(struct front_machine *m, const struct bfront *b)
{
    char key[16];

    if (b->ring_pages == 1) {
        bfront_say(m, b, "ring-ref", b->run.ref);
    } else {
        bfront_say(m, b, "ring-page-order", 1);
        for (u32 i = 0; i < b->ring_pages; i++) {
            (void)snprintf(key, sizeof(key), "ring-ref%" PRIu32, i);
            bfront_say(m, b, key, b->run.ref + i);
        }
    }
    bfront_say(m, b, "event-channel", b->port);
    bfront_say(m, b, "feature-persistent", b->stay);
    say_text(m, b, "protocol", "arm-abi");
}

u64 bfront_open(struct front_machine *m, const struct front_options *options, u32 devid,
                struct bfront *b)
{
    u16 backend;

    *b = (struct bfront){
        .devid = devid,
        .depth = options->depth,
        .bytes = options->size,
        .slot_pages = (u32)(align_up(options->size, PAGE_BYTES) / PAGE_BYTES),
        .ring_pages = options->depth > ONE_PAGE_ENTRIES ? RING_PAGES_MAX : 1,
        .stay = options->stay != CHOICE_NO,
    };
    b->entries = b->ring_pages * ONE_PAGE_ENTRIES;
    if (b->slot_pages > BLKIF_MAX_SEGMENTS_PER_REQUEST) {
        machine_refuse("size=%" PRIu32 ": a PV disk takes %u pages in one request", b->bytes,
                       BLKIF_MAX_SEGMENTS_PER_REQUEST);
    }
    backend = backend_find(m, b);
    wait_state(m, b, STATE_INITWAIT);
    if (b->ring_pages > 1 && ask(m, b, "max-ring-page-order", 0) == 0) {
        machine_refuse("the backend takes rings of one page: depth= at most %u", ONE_PAGE_ENTRIES);
    }
    memory_take(m, b, backend);
    ring_reset(b);
    ring_say(m, b);
    bfront_say(m, b, "state", STATE_INITIALISED);
    wait_state(m, b, STATE_CONNECTED);
    bfront_say(m, b, "state", STATE_CONNECTED);
    return ask(m, b, "sectors", 0);
}

bool bfront_await(struct front_machine *m, const struct bfront *b)
{
    for (u32 i = 0; i < AGAIN_MAX; i++) {
        u32 state = bfront_state(m, b);

        if (state == STATE_INITWAIT) {
            return true;
        }
        if (state != STATE_CLOSED) {
            bfront_say(m, b, "state", STATE_CLOSED);
            (void)bfront_wait(m, b, BIT32(STATE_CLOSED), AGAIN_NS);
        } else {
            bfront_say(m, b, "state", STATE_INITIALISING);
            (void)bfront_wait(m, b, BIT32(STATE_INITWAIT), AGAIN_NS);
        }
    }
    return false;
}

bool bfront_again(struct front_machine *m, struct bfront *b)
{
    for (u32 i = 0; i < AGAIN_MAX && bfront_await(m, b); i++) {
        ring_reset(b);
        ring_say(m, b);
        bfront_say(m, b, "state", STATE_INITIALISED);
        /* A backend that was reading our keys when they were nonsense may still say so: 5. */
        if (bfront_wait(m, b, BIT32(STATE_CONNECTED) | BIT32(STATE_CLOSING) | BIT32(STATE_CLOSED),
                        AGAIN_NS) == STATE_CONNECTED) {
            bfront_say(m, b, "state", STATE_CONNECTED);
            return true;
        }
    }
    return false;
}

u32 bfront_close(struct front_machine *m, struct bfront *b)
{
    CHECK(b->in_flight == 0);
    bfront_say(m, b, "state", STATE_CLOSING);
    wait_state(m, b, STATE_CLOSING);
    bfront_say(m, b, "state", STATE_CLOSED);
    wait_state(m, b, STATE_CLOSED);
    evtchn_close(b->port);
    return grants_revoke(&b->run, 0, b->run.pages);
}

/* --- requests --------------------------------------------------------------------------------- */

u8 *bfront_buffer(const struct bfront *b, u32 slot)
{
    return b->data + (usize)slot * b->slot_pages * PAGE_BYTES;
}

void bfront_submit(struct bfront *b, u32 slot, bool write, u64 sector)
{
    struct blkif_request *req = &b->ring->ring[b->req_prod & (b->entries - 1)].req;
    u32 first = b->ring_pages + slot * b->slot_pages;
    u32 left = b->bytes;

    CHECK(slot < b->depth && !(b->in_flight & BIT64(slot)));
    b->in_flight |= BIT64(slot);
    b->req_prod++;
    if (!b->stay) {
        grants_offer(&b->run, first, b->slot_pages, write);
    }
    *req = (struct blkif_request){
        .operation = write ? BLKIF_OP_WRITE : BLKIF_OP_READ,
        .nr_segments = (u8)b->slot_pages,
        .handle = (blkif_vdev_t)b->devid,
        .id = slot,
        .sector_number = sector,
    };
    for (u32 i = 0; i < b->slot_pages; i++) {
        u32 bytes = min_u32(left, PAGE_BYTES);

        req->seg[i] = (struct blkif_request_segment){
            .gref = b->run.ref + first + i,
            .last_sect = (u8)(bytes / SECTOR_BYTES - 1),
        };
        left -= bytes;
    }
}

void bfront_publish(struct bfront *b)
{
    u32 from = b->shown;

    if (from == b->req_prod) {
        return;
    }
    store_release_u32(&b->ring->req_prod, b->req_prod);
    b->shown = b->req_prod;
    full_barrier(); /* shown, then look: the backend stores req_event, then looks at req_prod */
    if (b->req_prod - load_u32(&b->ring->req_event) < b->req_prod - from) {
        b->traffic.kicks++;
        (void)evtchn_send(b->port);
    }
}

bool bfront_take(struct bfront *b, u32 *slot, bool *good)
{
    while (load_acquire_u32(&b->ring->rsp_prod) != b->rsp_cons) {
        struct blkif_response rsp = b->ring->ring[b->rsp_cons & (b->entries - 1)].rsp;

        b->rsp_cons++;
        if (rsp.id >= b->depth || !(b->in_flight & BIT64(rsp.id))) {
            b->traffic.nonsense++;
            continue;
        }
        *slot = (u32)rsp.id;
        b->in_flight &= ~BIT64(*slot);
        *good = rsp.status == BLKIF_RSP_OKAY;
        if (!b->stay) {
            b->traffic.in_use +=
                grants_revoke(&b->run, b->ring_pages + *slot * b->slot_pages, b->slot_pages);
        }
        return true;
    }
    return false;
}

bool bfront_arm(struct bfront *b)
{
    store_u32(&b->ring->rsp_event, b->rsp_cons + 1);
    full_barrier(); /* asked, then look: the backend stores rsp_prod, then looks at rsp_event */
    return evtchn_unmask_take(b->port) || load_acquire_u32(&b->ring->rsp_prod) != b->rsp_cons;
}

void bfront_disarm(struct bfront *b)
{
    evtchn_mask(b->port);
    b->traffic.interrupts += evtchn_take(b->port);
}
