/* SPDX-License-Identifier: BSD-2-Clause */
/* classes.c - see classes.h. What each class binds its devices to; the table is at the end. */
#include "start/classes.h"

#include <stdio.h>

#include "start/base/log.h"
#include "start/base/parts.h"
#include "start/random.h"

/** "dom3/51712 root": what messages call the device. */
static void device_name(struct device *device, const struct backend_request *request,
                        const char *serves)
{
    (void)snprintf(device->name, sizeof(device->name), "dom%u/%u %s", request->domid,
                   request->devid, serves);
}

/* --- block: a disk by name -------------------------------------------------------------------- */

static enum status block_open(struct attach *attach, struct device *device,
                              const struct backend_request *request)
{
    char who[24];
    enum status st;
    u64 rings;

    (void)snprintf(who, sizeof(who), "dom%u/%u", request->domid, request->devid);
    st = disk_open_said(attach->disks, who, request->target, &device->write, &device->disk);
    if (st != ST_OK) {
        return st;
    }
    rings = (device->disk->packed ? BIT64(VIRTIO_F_RING_PACKED) : 0) |
            (device->disk->in_order ? BIT64(VIRTIO_F_IN_ORDER) : 0);
    device_name(device, request, device->disk->name);
    vblk_init(&device->blk, &(struct vblk_init){
                                .bdev = &device->disk->ram.bdev,
                                .gm = &device->guest->memory.gm,
                                .pool = &attach->pool,
                                .name = device->name,
                                .id = device->disk->name,
                                .read_only = !device->write,
                                .queues = device->disk->queues,
                                .rings = rings,
                            });
    device->vdev = &device->blk.vdev;
    return ST_OK;
}

static void block_close(struct attach *attach, struct device *device)
{
    (void)attach;
    disk_close(device->disk, device->write);
}

/* --- entropy: our own generator ----------------------------------------------------------------
 */

static enum status entropy_open(struct attach *attach, struct device *device,
                                const struct backend_request *request)
{
    if (!random_ready()) {
        log_error("dom%u/%u: no entropy device: this domain's seeds are worth %u of %u bits; give "
                  "its bootargs seed= and 64 random hex digits (seed=weak serves guessable bytes)",
                  request->domid, request->devid, (unsigned)random_bits(), RANDOM_BITS_MIN);
        return ST_NOSUP;
    }
    device_name(device, request, "entropy");
    ventropy_init(&device->entropy, &(struct ventropy_init){
                                        .gm = &device->guest->memory.gm,
                                        .chain = &attach->chain,
                                        .name = device->name,
                                        .fill = random_fill,
                                    });
    device->vdev = &device->entropy.vdev;
    return ST_OK;
}

/* --- console: our log, and what is typed for the guest ------------------------------------------
 */

static enum status vconsole_open(struct attach *attach, struct device *device,
                                 const struct backend_request *request)
{
    enum status st;

    device_name(device, request, "console");
    st = console_open(&attach->consoles, request->domid, device->name, &device->vc,
                      &device->console);
    if (st != ST_OK) {
        return st;
    }
    vconsole_init(&device->vc, &(struct vconsole_init){
                                   .gm = &device->guest->memory.gm,
                                   .chain = &attach->chain,
                                   .name = device->name,
                                   .sink = console_output,
                                   .sink_ctx = device->console,
                               });
    device->vdev = &device->vc.vdev;
    return ST_OK;
}

static void vconsole_close(struct attach *attach, struct device *device)
{
    (void)attach;
    console_close(device->console);
}

/* --- the table: a class that this image was built without has nothing to open it with ----------
 */

static const struct device_class classes[] = {
    {VIRTIO_ID_BLOCK, "block", block_open, block_close},
    {VIRTIO_ID_CONSOLE, "console", PART_CONSOLE ? vconsole_open : NULL, vconsole_close},
    {VIRTIO_ID_ENTROPY, "entropy", PART_ENTROPY ? entropy_open : NULL, NULL},
};

const struct device_class *class_find(const struct backend_request *request)
{
    char served[128];
    usize used = 0;

    for (u32 i = 0; i < ARRAY_LEN(classes); i++) {
        if (!classes[i].open) {
            continue;
        }
        if (classes[i].device_id == request->device_type) {
            return &classes[i];
        }
        used += (usize)snprintf(served + used, sizeof(served) - used, "%s%x (%s)", i ? ", " : "",
                                (unsigned)classes[i].device_id, classes[i].name);
    }
    log_error("dom%u/%u: virtio device type %x is not served here; served are: %s", request->domid,
              request->devid, (unsigned)request->device_type, served);
    return NULL;
}
