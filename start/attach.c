/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - see attach.h. What a guest can make fail here is refused with one line that names it;
 * the toolstack then gives up on that guest, and nobody else notices.
 */
#include "start/attach.h"

#include <stdio.h>

#include "start/port.h"

#define BLK_SHARE_MIN 4 /* units of work a device gets in a turn, however many there are */

void attach_init(struct attach *attach, struct disks *disks)
{
    /* Most of a megabyte, and the C library's memset() goes byte by byte. */
    port_zero(attach, sizeof(*attach));
    attach->disks = disks;
    vblk_pool_init(&attach->pool);
}

/* --- the guest's way in and out --------------------------------------------------------------- */

/** A trapped access of a guest: answered from the register file, no I/O here. */
static void device_mmio(void *ctx, const struct ioreq_access *access, u64 *data)
{
    struct device *device = ctx;

    vmmio_access(&device->mmio, access->offset, access->bytes, access->write, data);
}

static void device_irq(void *ctx)
{
    struct device *device = ctx;

    /* A refusal means that the guest is dying; the backend learns that from xenstore. */
    (void)ioreq_set_irq(&device->guest->server, device->irq);
}

static void guest_invalidate(void *ctx)
{
    struct guest *guest = ctx;

    gmem_foreign_invalidate(&guest->memory);
}

/* --- guests --------------------------------------------------------------------------------- */

static struct guest *guest_find(struct attach *attach, u16 domid)
{
    for (u32 i = 0; i < attach->serving_count; i++) {
        if (attach->serving[i]->domid == domid) {
            return attach->serving[i];
        }
    }
    return NULL;
}

static enum status guest_start(struct attach *attach, struct guest *guest, u16 domid)
{
    enum status st = gmem_foreign_open(&guest->memory, domid);

    if (st != ST_OK) {
        log_error("dom%u: no memory windows for another guest (%s)", domid, status_name(st));
        return st;
    }
    st = ioreq_server_create(&guest->server, domid);
    if (st != ST_OK) {
        gmem_foreign_close(&guest->memory);
        return st;
    }
    guest->server.invalidate = guest_invalidate;
    guest->server.invalidate_ctx = guest;
    guest->used = true;
    guest->domid = domid;
    guest->device_count = 0;
    attach->serving[attach->serving_count++] = guest;
    return ST_OK;
}

/** The guest's record, made with its first device. */
static enum status guest_get(struct attach *attach, u16 domid, struct guest **guest)
{
    *guest = guest_find(attach, domid);
    if (*guest) {
        return ST_OK;
    }
    for (u32 i = 0; i < GUESTS_MAX; i++) {
        if (!attach->guest[i].used) {
            *guest = &attach->guest[i];
            return guest_start(attach, *guest, domid);
        }
    }
    log_error("dom%u: %d guests are served already (GUESTS_MAX)", domid, GUESTS_MAX);
    return ST_FULL;
}

/** The guest's record goes with its last device. */
static void guest_put(struct attach *attach, struct guest *guest)
{
    if (guest->device_count > 0) {
        return;
    }
    attach->traps += guest->server.traps;
    attach->traps_refused += guest->server.refused;
    attach->invalidations += guest->server.invalidations;
    ioreq_server_destroy(&guest->server);
    gmem_foreign_close(&guest->memory);
    guest->used = false;
    for (u32 i = 0; i < attach->serving_count; i++) {
        if (attach->serving[i] == guest) {
            attach->serving[i] = attach->serving[--attach->serving_count];
            break;
        }
    }
}

/* --- devices -------------------------------------------------------------------------------- */

static struct device *device_alloc(struct attach *attach)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (attach->device[i].state == DEVICE_FREE) {
            return &attach->device[i];
        }
    }
    return NULL;
}

static void device_init(struct attach *attach, struct device *device,
                        const struct backend_request *request)
{
    struct vblk_init init = {
        .bdev = &device->disk->ram.bdev,
        .gm = &device->guest->memory.gm,
        .pool = &attach->pool,
        .name = device->name,
        .id = device->disk->name,
        .read_only = !device->write,
    };

    snprintf(device->name, sizeof(device->name), "dom%u/%u %s", request->domid, request->devid,
             device->disk->name);
    device->mmio_base = request->mmio_base;
    device->irq = request->irq;
    vblk_init(&device->blk, &init);
    vmmio_init(&device->mmio, &device->blk.vdev, device_irq, device);
}

/** The disk is open; claim the window and let the device answer. */
static enum status device_start(struct attach *attach, struct device *device,
                                const struct backend_request *request)
{
    enum status st = guest_get(attach, request->domid, &device->guest);

    if (st != ST_OK) {
        return st;
    }
    device_init(attach, device, request);
    st = ioreq_range_add(&device->guest->server, device->mmio_base, VMMIO_BYTES, device_mmio,
                         device);
    if (st != ST_OK) {
        log_error("%s: cannot claim the register window (%s)", device->name, status_name(st));
        (void)vblk_shutdown(&device->blk);
        guest_put(attach, device->guest);
        return st;
    }
    device->guest->device_count++;
    device->state = DEVICE_LIVE;
    attach->active[attach->active_count++] = device;
    return ST_OK;
}

static enum status request_disk(struct attach *attach, struct device *device,
                                const struct backend_request *request)
{
    char names[128];
    enum status st;

    device->write = !request->read_only;
    st = disk_open(attach->disks, request->target, &device->write, &device->disk);
    if (st == ST_NOENT) {
        disks_names(attach->disks, names, sizeof(names));
        log_error("dom%u/%u: there is no disk '%s' here; target= may be: %s", request->domid,
                  request->devid, request->target, names);
    } else if (st != ST_OK) {
        log_error("dom%u/%u: disk '%s' is in use by another guest: one writer or several readers",
                  request->domid, request->devid, request->target);
    } else if (device->write == request->read_only) {
        log_warn("dom%u/%u: disk '%s' is read-only", request->domid, request->devid,
                 request->target);
    }
    return st;
}

static enum status attach_device(struct attach *attach, const struct backend_request *request,
                                 struct device **out)
{
    struct device *device = device_alloc(attach);
    enum status st;

    if (request->device_type != VIRTIO_ID_BLOCK) {
        log_error("dom%u/%u: virtio device type %u is not served here, only 2 (block)",
                  request->domid, request->devid, request->device_type);
        return ST_NOSUP;
    }
    if (!device) {
        log_error("dom%u/%u: %d devices are served already (DEVICES_MAX)", request->domid,
                  request->devid, DEVICES_MAX);
        return ST_FULL;
    }
    st = request_disk(attach, device, request);
    if (st != ST_OK) {
        return st;
    }
    st = device_start(attach, device, request);
    if (st != ST_OK) {
        disk_close(device->disk, device->write);
        return st;
    }
    *out = device;
    return ST_OK;
}

static enum status on_attach(void *ctx, const struct backend_request *request, void **handle)
{
    struct attach *attach = ctx;
    struct device *device;
    enum status st = attach_device(attach, request, &device);

    if (st != ST_OK) {
        attach->refused++;
        return st;
    }
    attach->attached++;
    log_info("%s: attached at 0x%lx, irq %u%s", device->name, (unsigned long)device->mmio_base,
             device->irq, device->write ? "" : ", read-only");
    *handle = device;
    return ST_OK;
}

/** Let go of a device whose requests have all come back. */
static void device_finish(struct attach *attach, struct device *device)
{
    struct guest *guest = device->guest;

    for (u32 i = 0; i < attach->active_count; i++) {
        if (attach->active[i] == device) {
            attach->active[i] = attach->active[--attach->active_count];
            break;
        }
    }
    attach->requests += vblk_requests(&device->blk);
    attach->kicks += device->blk.vdev.kicks;
    attach->interrupts += device->blk.vdev.interrupts;
    disk_close(device->disk, device->write);
    device->state = DEVICE_FREE;
    guest->device_count--;
    guest_put(attach, guest);
    attach->detached++;
    log_info("%s: gone", device->name);
}

static void on_detach(void *ctx, void *handle)
{
    struct attach *attach = ctx;
    struct device *device = handle;

    CHECK(device->state == DEVICE_LIVE);
    ioreq_range_remove(&device->guest->server, device->mmio_base);
    device->state = DEVICE_CLOSING;
    if (vblk_shutdown(&device->blk)) {
        device_finish(attach, device);
    }
}

/** A guest that dies without a word of the toolstack's is noticed by its event channels. */
static bool on_alive(void *ctx, void *handle)
{
    const struct device *device = handle;

    (void)ctx;
    return ioreq_guest_alive(&device->guest->server);
}

const struct backend_ops attach_backend_ops = {
    .attach = on_attach,
    .detach = on_detach,
    .alive = on_alive,
};

/* --- pollers: trapped accesses --------------------------------------------------------------- */

static u32 poll_mmio(void *ctx, u32 budget)
{
    struct attach *attach = ctx;
    u32 work = 0;

    (void)budget; /* bounded by the guests' vCPUs: each waits for its answer */
    for (u32 i = 0; i < attach->serving_count; i++) {
        work += ioreq_poll(&attach->serving[i]->server);
    }
    return work;
}

static bool arm_mmio(void *ctx)
{
    struct attach *attach = ctx;
    bool pending = false;

    for (u32 i = 0; i < attach->serving_count; i++) {
        pending |= ioreq_arm(&attach->serving[i]->server);
    }
    return pending;
}

static void disarm_mmio(void *ctx)
{
    struct attach *attach = ctx;

    for (u32 i = 0; i < attach->serving_count; i++) {
        ioreq_disarm(&attach->serving[i]->server);
    }
}

/* --- pollers: data -------------------------------------------------------------------------- */

static u32 poll_device(struct attach *attach, struct device *device, u32 share)
{
    u32 work = bdev_poll(&device->disk->ram.bdev);

    if (device->state == DEVICE_LIVE) {
        return work + (vblk_idle(&device->blk) ? 0 : vblk_poll(&device->blk, share));
    }
    if (vblk_shutdown(&device->blk)) {
        device_finish(attach, device);
        work++;
    }
    return work;
}

static u32 poll_data(void *ctx, u32 budget)
{
    struct attach *attach = ctx;
    u32 count = attach->active_count;
    u32 share, work;

    if (count == 0) {
        return 0;
    }
    share = budget / count > BLK_SHARE_MIN ? budget / count : BLK_SHARE_MIN;
    work = gmem_foreign_reap();
    for (u32 i = 0; i < count && i < attach->active_count; i++) {
        u32 at = attach->turn_start + i;

        work += poll_device(attach, attach->active[at % attach->active_count], share);
    }
    attach->turn_start = attach->turn_start + 1 < count ? attach->turn_start + 1 : 0;
    return work;
}

static bool arm_data(void *ctx)
{
    struct attach *attach = ctx;
    bool pending = false;

    for (u32 i = 0; i < attach->active_count; i++) {
        if (attach->active[i]->state == DEVICE_LIVE) {
            pending |= vblk_arm(&attach->active[i]->blk);
        }
    }
    return pending;
}

static void disarm_data(void *ctx)
{
    struct attach *attach = ctx;

    for (u32 i = 0; i < attach->active_count; i++) {
        if (attach->active[i]->state == DEVICE_LIVE) {
            vblk_disarm(&attach->active[i]->blk);
        }
    }
}

void attach_add_pollers(struct attach *attach, struct poll_loop *loop)
{
    poll_add(loop, &(struct poller){
                       .name = "mmio",
                       .poll = poll_mmio,
                       .arm = arm_mmio,
                       .disarm = disarm_mmio,
                       .ctx = attach,
                   });
    poll_add(loop, &(struct poller){
                       .name = "data",
                       .poll = poll_data,
                       .arm = arm_data,
                       .disarm = disarm_data,
                       .ctx = attach,
                   });
}
