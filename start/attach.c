/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.c - see attach.h. What a guest can make fail here is refused with one line that names it;
 * the toolstack then gives up on that guest, and nobody else notices.
 */
#include "start/attach.h"

#include "start/base/arith.h"
#include "start/base/parts.h"
#include "start/classes.h"
#include "start/port.h"

void attach_init(struct attach *attach, struct disks *disks, struct shares *shares)
{
    /* Most of a megabyte, and the C library's memset() goes byte by byte. */
    port_zero(attach, sizeof(*attach));
    attach->disks = disks;
    attach->shares = shares;
    attach->wake_ns = POLL_NEVER;
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
    if (PART_GRANTS && guest->grants_open) {
        gmem_foreign_invalidate(&guest->grants.plain);
    }
}

/* --- guests --------------------------------------------------------------------------------- */

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
    guest->grants_open = false;
    guest->domid = domid;
    attach->serving[attach->serving_count++] = guest;
    return ST_OK;
}

/** The guest's record, made with its first device. */
static enum status guest_get(struct attach *attach, struct device *device,
                             const struct backend_request *request)
{
    struct shares *shares = attach->shares;
    enum status st = share_join(shares, &device->member, request->domid, request->devid);

    if (st != ST_OK) {
        return st;
    }
    device->guest = &attach->guest[device->member.share - shares->share];
    if (device->guest->device_count == 0) {
        st = guest_start(attach, device->guest, request->domid);
        if (st != ST_OK) {
            share_leave(shares, &device->member);
            return st;
        }
    }
    device->guest->device_count++;
    return ST_OK;
}

/** The guest's record goes with its last device. */
static void guest_put(struct attach *attach, struct device *device)
{
    struct guest *guest = device->guest;

    share_leave(attach->shares, &device->member);
    if (--guest->device_count > 0) {
        return;
    }
    attach->traps += guest->server.traps;
    attach->traps_refused += guest->server.refused;
    attach->invalidations += guest->server.invalidations;
    ioreq_server_destroy(&guest->server);
    gmem_foreign_close(&guest->memory);
    if (PART_GRANTS && guest->grants_open) {
        gmem_grants_close(&guest->grants);
    }
    for (u32 i = 0; i < attach->serving_count; i++) {
        if (attach->serving[i] == guest) {
            attach->serving[i] = attach->serving[--attach->serving_count];
            break;
        }
    }
}

/** The memory of a guest as its devices with grant_usage=1 name it, made with the first of them. */
static enum status guest_grants(struct attach *attach, struct guest *guest)
{
    u32 slot = (u32)(guest - attach->guest);
    enum status st =
        guest->grants_open ? ST_OK : gmem_grants_open(&guest->grants, guest->domid, slot);

    if (st != ST_OK) {
        log_error("dom%u: the extended regions have no room to map its grants: give the device "
                  "grant_usage=0, or this domain less memory",
                  guest->domid);
        return st;
    }
    guest->grants_open = true;
    return ST_OK;
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

/** Stop the device. True when nothing of the guest is held any more: call until then. */
static bool device_stop(struct device *device)
{
    struct vdev *dev = device->vdev;

    return dev->ops->shutdown ? dev->ops->shutdown(dev) : vdev_shutdown(dev);
}

static void class_close(struct attach *attach, struct device *device)
{
    if (device->class->close) {
        device->class->close(attach, device);
    }
}

/** The class has made the device; claim the window and let it answer. */
static enum status device_start(struct attach *attach, struct device *device)
{
    enum status st;

    vmmio_init(&device->mmio, device->vdev, device_irq, device);
    st = ioreq_range_add(&device->guest->server, device->mmio_base, VMMIO_BYTES, device_mmio,
                         device);
    if (st != ST_OK) {
        log_error("%s: cannot claim the register window (%s)", device->name, status_name(st));
        (void)device_stop(device);
        class_close(attach, device);
        return st;
    }
    device->state = DEVICE_LIVE;
    attach->active[attach->active_count++] = device;
    watch_add(&attach->watch, device->vdev);
    return ST_OK;
}

/** With the guest's record there: the class's part, then ours. */
static enum status device_make(struct attach *attach, struct device *device,
                               const struct backend_request *request)
{
    enum status st;

    device->devid = request->devid;
    device->write = !request->read_only;
    device->mmio_base = request->mmio_base;
    device->irq = request->irq;
    if (PART_LIMITS) {
        device->limit = (struct limit){0};
    }
    st = PART_GRANTS && request->grants ? guest_grants(attach, device->guest) : ST_OK;
    if (st == ST_OK) {
        st = device->class->open(attach, device, request);
    }
    if (st != ST_OK) {
        return st;
    }
    if (PART_GRANTS && request->grants) {
        vdev_platform(device->vdev, &device->guest->grants.plain.gm);
    }
    return device_start(attach, device);
}

static enum status attach_device(struct attach *attach, const struct backend_request *request,
                                 struct device **out)
{
    const struct device_class *class = class_find(request);
    struct device *device = device_alloc(attach);
    enum status st;

    if (!class) {
        return ST_NOSUP;
    }
    if (!device) {
        log_error("dom%u/%u: %d devices are served (DEVICES_MAX)", request->domid, request->devid,
                  DEVICES_MAX);
        return ST_FULL;
    }
    device->class = class;
    st = guest_get(attach, device, request);
    if (st != ST_OK) {
        return st;
    }
    st = device_make(attach, device, request);
    if (st != ST_OK) {
        guest_put(attach, device);
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

/** The device has no turns any more. */
static void device_retire(struct attach *attach, const struct device *device)
{
    for (u32 i = 0; i < attach->active_count; i++) {
        if (attach->active[i] == device) {
            attach->active[i] = attach->active[--attach->active_count];
            break;
        }
    }
    watch_clear(&attach->watch);
    for (u32 i = 0; i < attach->active_count; i++) {
        watch_add(&attach->watch, attach->active[i]->vdev);
    }
}

/** Let go of a device whose requests have all come back. */
static void device_finish(struct attach *attach, struct device *device)
{
    device_retire(attach, device);
    attach->requests += vdev_requests(device->vdev);
    attach->kicks += device->vdev->kicks;
    attach->interrupts += device->vdev->interrupts;
    class_close(attach, device);
    device->state = DEVICE_FREE;
    guest_put(attach, device);
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
    attach->walk = true;
    if (device_stop(device)) {
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

static void on_limit(void *ctx, void *handle, const struct backend_limits *limits)
{
    struct device *device = handle;

    (void)ctx;
    if (device->vdev->device_id != VIRTIO_ID_BLOCK) {
        return; /* only disks have limits */
    }
    limit_set(&device->limit, limits, device->disk, device->name, vdev_requests(device->vdev),
              vblk_bytes(&device->blk));
    vdev_turn_begin(device->vdev); /* whoever rested rests no more */
}

const struct backend_ops attach_backend_ops = {
    .attach = on_attach,
    .detach = on_detach,
    .alive = on_alive,
    .limit = PART_LIMITS ? on_limit : NULL,
};

u32 attach_disk_resized(struct attach *attach, const struct disk *disk)
{
    u32 count = 0;

    for (u32 i = 0; i < attach->active_count; i++) {
        struct device *device = attach->active[i];

        if (device->vdev->device_id == VIRTIO_ID_BLOCK && device->disk == disk &&
            device->state == DEVICE_LIVE) {
            vblk_resized(&device->blk);
            count++;
        }
    }
    return count;
}

/* --- pollers: trapped accesses --------------------------------------------------------------- */

/** Trapped accesses, whose time is the guest's. One reading of the clock for all who had none. */
u32 attach_mmio_poll(void *ctx, u32 budget)
{
    struct attach *attach = ctx;
    u64 then_ns = PART_LIMITS && attach->serving_count > 0 ? port_now_ns() : 0;
    u32 work = 0;

    (void)budget; /* bounded by the guests' vCPUs: each waits for its answer */
    for (u32 i = 0; i < attach->serving_count; i++) {
        struct guest *guest = attach->serving[i];
        u32 done = ioreq_poll(&guest->server);

        work += done;
        if (PART_LIMITS && done > 0) {
            u64 now_ns = port_now_ns();

            attach->shares->share[guest - attach->guest].ns += now_ns - then_ns;
            then_ns = now_ns;
        }
    }
    return work;
}

bool attach_mmio_arm(void *ctx)
{
    struct attach *attach = ctx;
    bool pending = false;

    for (u32 i = 0; i < attach->serving_count; i++) {
        pending |= ioreq_arm(&attach->serving[i]->server);
    }
    return pending;
}

void attach_mmio_disarm(void *ctx)
{
    struct attach *attach = ctx;

    for (u32 i = 0; i < attach->serving_count; i++) {
        ioreq_disarm(&attach->serving[i]->server);
    }
}

/* --- pollers: data -------------------------------------------------------------------------- */

bool attach_due(struct attach *attach)
{
    bool due = attach->walk || watch_found(&attach->watch) ||
               (attach->wake_ns != POLL_NEVER && port_now_ns() >= attach->wake_ns);

    if (due) {
        attach->walk = false;
        attach->wake_ns = POLL_NEVER;
    }
    return due;
}

/** A device with a limit: as much as it has tokens for, then a rest until there are more. */
static u32 limited_poll(struct device *device, u32 budget)
{
    struct limit *limit = &device->limit;
    struct vdev *dev = device->vdev;
    u64 now_ns = port_now_ns(), wake_ns;
    u32 part = limit_budget(limit, budget, now_ns), work;

    vdev_turn_begin(dev);
    work = dev->ops->poll(dev, part);
    limit_pay(limit, vdev_requests(dev), vblk_bytes(&device->blk), now_ns);
    wake_ns = limit_wake_ns(limit);
    if (wake_ns > now_ns) {
        limit->rests += work > 0;
        for (u16 q = 0; q < dev->queue_count; q++) {
            vdev_rest(dev, q, wake_ns - now_ns);
        }
    }
    return work;
}

u32 attach_device_poll(struct attach *attach, struct device *device, u32 budget)
{
    struct vdev *dev = device->vdev;
    u32 work = 0;

    if (device->state == DEVICE_LIVE) {
        if (!vdev_idle(dev) || vdev_due(dev)) {
            work = PART_LIMITS && device->limit.on ? limited_poll(device, budget)
                                                   : dev->ops->poll(dev, budget);
            attach->walk |= vdev_in_flight(dev) > 0;
        }
        attach->wake_ns = min_u64(attach->wake_ns, dev->wake_ns ? dev->wake_ns : POLL_NEVER);
        return work;
    }
    if (!device_stop(device)) {
        attach->walk = true;
        return 0;
    }
    device_finish(attach, device);
    return 1;
}

bool attach_arm(struct attach *attach)
{
    bool pending = false;

    for (u32 i = 0; i < attach->active_count; i++) {
        struct device *device = attach->active[i];

        /* Nobody wakes us for a device that is closing: its medium is asked until it is done. */
        pending |= device->state != DEVICE_LIVE || vdev_arm(device->vdev);
    }
    return pending;
}

void attach_disarm(struct attach *attach)
{
    for (u32 i = 0; i < attach->active_count; i++) {
        if (attach->active[i]->state == DEVICE_LIVE) {
            vdev_disarm(attach->active[i]->vdev);
        }
    }
}
