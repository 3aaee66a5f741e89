/* SPDX-License-Identifier: BSD-2-Clause */
/* pv.c - see pv.h. What a guest can make fail here costs its own disk, with one line that names it.
 */
#include "start/pv.h"

#include <inttypes.h>
#include <stdio.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#include "drivers/xen/evtchn.h"

STATIC_CHECK(BACKEND_FRONT_RINGS <= BLKIF_QUEUES_MAX && BACKEND_FRONT_RINGS <= GRANT_RING_MAX,
             "every ring that is offered has a place");
STATIC_CHECK(BACKEND_FRONT_PAGES <= BLKIF_RING_PAGES_MAX && BACKEND_FRONT_PAGES <= GRANT_RING_SIZE,
             "and every page of it");

void pv_init(struct pv *pv, const struct pv_init *init)
{
    /* Much memory, and the C library's memset() goes byte by byte. */
    port_zero(pv, sizeof(*pv));
    pv->disks = init->disks;
    pv->be = init->be;
    pv->shares = init->shares;
    pv->room = init->room;
    pv->wake_ns = POLL_NEVER;
    blkif_pool_init(&pv->pool, init->seg_page);
    backend_serve_pv(pv->be, &pv_backend_ops, pv);
}

/* --- what the front end is told ----------------------------------------------------------------
 */

static bool device_discards(const struct pv_device *device)
{
    return device->disk->ram.bdev.info.discard && device->write && !device->no_discard;
}

/** Rings that its guest may use: those of the disk, as far as the protocol's part here goes. */
static u32 device_rings(const struct pv_device *device)
{
    return min_u32(device->disk->queues, BACKEND_FRONT_RINGS);
}

/** The value of a key, and whether it is written at all. Names as [BLKIF] has them. */
static bool offer_value(const struct pv_device *device, u32 i, struct backend_pair *pair)
{
    const struct bdev_info *info = &device->disk->ram.bdev.info;
    const struct {
        char name[32];
        bool told;
        u32 value;
    } offers[] = {
        {"feature-persistent", true, 1},
        {"feature-max-indirect-segments", true, BLKIF_SEG_MAX},
        {"max-ring-page-order", true, 2},
        {"multi-queue-max-queues", true, device_rings(device)},
        {"feature-flush-cache", device->write, 1},
        {"feature-barrier", device->write, 1},
        {"feature-discard", device_discards(device), 1},
        {"discard-granularity", device_discards(device),
         info->discard_align_sectors * SECTOR_BYTES},
        {"discard-secure", device_discards(device), info->secure_erase},
    };

    STATIC_CHECK(BACKEND_FRONT_PAGES == 1 << 2, "the largest ring that is offered is served");
    for (u32 k = 0; k < ARRAY_LEN(offers); k++) {
        if (offers[k].told && i-- == 0) {
            (void)snprintf(pair->name, sizeof(pair->name), "%s", offers[k].name);
            (void)snprintf(pair->value, sizeof(pair->value), "%" PRIu32, offers[k].value);
            return true;
        }
    }
    return false;
}

static bool disk_value(const struct pv_device *device, u32 i, struct backend_pair *pair)
{
    const struct bdev_info *info = &device->disk->ram.bdev.info;
    const struct {
        char name[24];
        u64 value;
    } values[] = {
        {"sectors", info->sectors},
        {"sector-size", info->logical_block_bytes},
        {"physical-sector-size", info->physical_block_bytes},
        {"info", device->write ? 0 : BLKIF_INFO_READ_ONLY},
    };

    if (i >= ARRAY_LEN(values)) {
        return false;
    }
    (void)snprintf(pair->name, sizeof(pair->name), "%s", values[i].name);
    (void)snprintf(pair->value, sizeof(pair->value), "%" PRIu64, values[i].value);
    return true;
}

static bool on_pair(void *ctx, void *handle, bool connected, u32 i, struct backend_pair *pair)
{
    (void)ctx;
    return connected ? disk_value(handle, i, pair) : offer_value(handle, i, pair);
}

/* --- rings -------------------------------------------------------------------------------------
 */

static void ring_event(void *ctx, u32 ring)
{
    const struct pv_device *device = ctx;

    /* A refusal means that the guest is dying; the backend learns that from xenstore. */
    (void)evtchn_send(device->port[ring]);
}

static void rings_close(struct pv_device *device)
{
    for (u32 i = 0; i < device->port_count; i++) {
        evtchn_close(device->port[i]);
    }
    device->port_count = 0;
    for (u32 i = 0; i < BACKEND_FRONT_RINGS; i++) {
        grant_ring_unmap(&device->pages, i);
    }
    grant_pages_close(&device->pages);
    device->connected = false;
}

/** Nothing of the front end is held any more when this is true: call until then. */
static bool device_stop(struct pv_device *device)
{
    if (!device->connected) {
        return true;
    }
    if (!blkif_shutdown(&device->blkif)) {
        return false;
    }
    rings_close(device);
    return true;
}

/** A front end may ask again and again: said at a limited rate. */
static void connect_refused(struct pv_device *device, const char *why)
{
    if (log_limit_ok(&device->log)) {
        log_warn("%s: not connected: %s", device->name, why);
    }
}

static enum status ring_open(struct pv_device *device, u32 idx, enum blkif_abi abi,
                             const struct backend_front *front)
{
    u8 *page;
    enum status st = grant_ring_map(&device->pages, idx, front->ref[idx], front->pages, &page);

    if (st != ST_OK) {
        connect_refused(device, "the pages of a ring cannot be mapped");
        return st;
    }
    st = evtchn_bind_interdomain(device->domid, front->port[idx], &device->port[idx]);
    if (st != ST_OK) {
        return st;
    }
    device->port_count++;
    return blkif_connect(&device->blkif, idx, abi, page, front->pages);
}

static enum status on_connect(void *ctx, void *handle, const struct backend_front *front)
{
    struct pv_device *device = handle;
    enum blkif_abi abi;
    enum status st = ST_OK;

    (void)ctx;
    CHECK(!device->connected);
    if (!blkif_abi_find(front->protocol, &abi)) {
        connect_refused(device, "its protocol is not known here");
        return ST_NOSUP;
    }
    if (front->rings > device_rings(device)) {
        connect_refused(device, "it has more rings than were offered");
        return ST_GUEST;
    }
    device->connected = true;
    device->pages.keep = front->persistent;
    blkif_grants_stay(&device->blkif, front->persistent);
    for (u32 i = 0; i < front->rings && st == ST_OK; i++) {
        st = ring_open(device, i, abi, front);
    }
    if (st != ST_OK) {
        CHECK(device_stop(device)); /* no request was read yet */
        return st;
    }
    if (log_limit_ok(&device->log)) {
        log_info("%s: %u ring%s of %u pages%s%s", device->name, front->rings,
                 front->rings > 1 ? "s" : "", front->pages,
                 front->persistent ? ", grants stay" : "", device->write ? "" : ", read-only");
    }
    return ST_OK;
}

static bool on_disconnect(void *ctx, void *handle)
{
    (void)ctx;
    return device_stop(handle);
}

/* --- devices -----------------------------------------------------------------------------------
 */

static struct pv_device *device_alloc(struct pv *pv)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (pv->device[i].state == PV_FREE) {
            return &pv->device[i];
        }
    }
    return NULL;
}

static enum status device_open(struct pv *pv, struct pv_device *device,
                               const struct backend_request *request)
{
    char who[24];
    enum status st;

    (void)snprintf(who, sizeof(who), "dom%u/%u", request->domid, request->devid);
    if (!pv->room) {
        log_error("%s: the extended regions have no room to map grants: give this domain less "
                  "memory, or Xen more address space",
                  who);
        return ST_FULL;
    }
    device->write = !request->read_only;
    st = disk_open_said(pv->disks, who, request->target, &device->write, &device->disk);
    if (st != ST_OK) {
        return st;
    }
    /* [BLKIF] says in two ways what a sector is when a block is larger: none of them is offered. */
    if (device->disk->ram.bdev.info.logical_block_bytes != SECTOR_BYTES) {
        log_error("%s: disk '%s' has blocks of more than %u bytes: use specification=virtio", who,
                  device->disk->name, SECTOR_BYTES);
        disk_close(device->disk, device->write);
        return ST_NOSUP;
    }
    (void)snprintf(device->name, sizeof(device->name), "%s %s", who, device->disk->name);
    return ST_OK;
}

/** Requests that were answered or are under way, also those that were wrong. */
static u64 device_requests(const struct pv_device *device)
{
    return device->blkif.requests + device->blkif.errors_guest;
}

static u64 device_bytes(const struct pv_device *device)
{
    return device->blkif.bytes_read + device->blkif.bytes_written;
}

static void on_limit(void *ctx, void *handle, const struct backend_limits *limits)
{
    struct pv_device *device = handle;

    (void)ctx;
    device->resting = false;
    limit_set(&device->limit, limits, device->disk, device->name, device_requests(device),
              device_bytes(device));
}

static enum status device_attach(struct pv *pv, const struct backend_request *request,
                                 struct pv_device *device)
{
    enum status st = device_open(pv, device, request);

    if (st != ST_OK) {
        return st;
    }
    st = share_join(pv->shares, &device->member, request->domid, request->devid);
    if (st != ST_OK) {
        disk_close(device->disk, device->write);
        return st;
    }
    device->member.pv = true;
    device->domid = request->domid;
    device->devid = request->devid;
    device->no_discard = request->no_discard;
    device->connected = false;
    device->port_count = 0;
    device->kicks = 0;
    device->log = (struct log_limit){0};
    grant_pages_open(&device->pages, request->domid, (u16)(device - pv->device));
    blkif_init(&device->blkif, &(struct blkif_init){
                                   .bdev = &device->disk->ram.bdev,
                                   .pool = &pv->pool,
                                   .grants = grant_pages_seam(&device->pages),
                                   .notify = ring_event,
                                   .notify_ctx = device,
                                   .name = device->name,
                                   .read_only = !device->write,
                                   .no_discard = !device_discards(device),
                               });
    device->state = PV_LIVE;
    device->limit = (struct limit){0};
    device->resting = false;
    pv->active[pv->active_count++] = device;
    return ST_OK;
}

static enum status on_attach(void *ctx, const struct backend_request *request, void **handle)
{
    struct pv *pv = ctx;
    struct pv_device *device = device_alloc(pv);
    enum status st;

    if (!device) {
        log_error("dom%u/%u: %d PV disks are served already (DEVICES_MAX)", request->domid,
                  request->devid, DEVICES_MAX);
        st = ST_FULL;
    } else {
        st = device_attach(pv, request, device);
    }
    if (st != ST_OK) {
        pv->refused++;
        return st;
    }
    pv->attached++;
    *handle = device;
    return ST_OK;
}

/** Let go of a device whose requests have all come back. */
static void device_finish(struct pv *pv, struct pv_device *device)
{
    for (u32 i = 0; i < pv->active_count; i++) {
        if (pv->active[i] == device) {
            pv->active[i] = pv->active[--pv->active_count];
            break;
        }
    }
    share_leave(pv->shares, &device->member);
    pv->requests += device->blkif.requests;
    pv->kicks += device->kicks;
    pv->interrupts += device->blkif.notifies;
    disk_close(device->disk, device->write);
    device->state = PV_FREE;
    pv->detached++;
    log_info("%s: gone", device->name);
}

static void on_detach(void *ctx, void *handle)
{
    struct pv *pv = ctx;
    struct pv_device *device = handle;

    CHECK(device->state == PV_LIVE);
    device->state = PV_CLOSING;
    if (device_stop(device)) {
        device_finish(pv, device);
    }
}

/** A front end that goes without a word, its guest's death included, is noticed by its event
 * channels. One that lives closes them first and says so then. */
static bool on_alive(void *ctx, void *handle)
{
    const struct pv_device *device = handle;

    (void)ctx;
    return device->port_count == 0 || evtchn_connected(device->port[0]);
}

const struct backend_ops pv_backend_ops = {
    .attach = on_attach,
    .detach = on_detach,
    .alive = on_alive,
    .limit = PART_LIMITS ? on_limit : NULL,
    .pair = on_pair,
    .connect = on_connect,
    .disconnect = on_disconnect,
};

u32 pv_disk_resized(struct pv *pv, const struct disk *disk)
{
    u32 count = 0;

    for (u32 i = 0; i < pv->active_count; i++) {
        if (pv->active[i]->state == PV_LIVE && pv->active[i]->disk == disk) {
            backend_renew(pv->be, pv->active[i]);
            count++;
        }
    }
    return count;
}

/* --- turns ------------------------------------------------------------------------------------
 */

bool pv_due(struct pv *pv)
{
    if (!pv || pv->active_count == 0) {
        return false;
    }
    pv->wake_ns = POLL_NEVER;
    return true;
}

/** A device with a limit: as much as it has tokens for, then a rest until there are more. */
static u32 limited_poll(struct pv *pv, struct pv_device *device, u32 budget)
{
    u64 now_ns = port_now_ns(), wake_ns;
    u32 work = blkif_poll(&device->blkif, limit_budget(&device->limit, budget, now_ns));

    limit_pay(&device->limit, device_requests(device), device_bytes(device), now_ns);
    wake_ns = limit_wake_ns(&device->limit);
    device->limit.rests += work > 0 && wake_ns > now_ns;
    device->resting = wake_ns > now_ns;
    if (device->resting) {
        pv->wake_ns = min_u64(pv->wake_ns, wake_ns);
    }
    return work;
}

u32 pv_device_poll(struct pv *pv, struct pv_device *device, u32 budget)
{
    if (device->state == PV_LIVE) {
        if (!device->connected) {
            return 0;
        }
        return device->limit.on ? limited_poll(pv, device, budget)
                                : blkif_poll(&device->blkif, budget);
    }
    if (!device_stop(device)) {
        return bdev_poll(&device->disk->ram.bdev);
    }
    device_finish(pv, device);
    return 1;
}

static bool device_arm(struct pv_device *device)
{
    bool pending = false;

    if (device->state != PV_LIVE) {
        return true; /* nobody wakes us: its medium is asked until it is done */
    }
    if (!device->connected) {
        return false;
    }
    if (device->resting) {
        return device->blkif.in_flight > 0; /* no event of the front end changes its rest */
    }
    for (u32 i = 0; i < device->port_count; i++) {
        if (evtchn_unmask_take(device->port[i])) {
            device->kicks++;
            pending = true;
        }
    }
    return blkif_arm(&device->blkif) || pending;
}

bool pv_arm(struct pv *pv)
{
    bool pending = false;

    for (u32 i = 0; i < pv->active_count; i++) {
        pending |= device_arm(pv->active[i]);
    }
    return pending;
}

void pv_disarm(struct pv *pv)
{
    for (u32 i = 0; i < pv->active_count; i++) {
        struct pv_device *device = pv->active[i];

        for (u32 k = 0; k < device->port_count; k++) {
            evtchn_mask(device->port[k]);
            device->kicks += evtchn_take(device->port[k]);
        }
    }
}
