/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.h - glue: a guest's wish for a device becomes memory windows, an ioreq server, a register
 * file and a virtio device of some class; and their end.                          plane: both
 *
 *   backend request -> guest (ioreq server, windows; shared by its devices)
 *                   -> device (vdev of a class + vmmio, claimed window)
 *                   -> what the class serves (start/classes.c): for block, a disk by name
 *
 * All state of a guest hangs on its struct guest, all state of a device on its struct device.
 */
#pragma once

#include "drivers/xen/backend.h"
#include "drivers/xen/gmem_grants.h"
#include "drivers/xen/ioreq.h"
#include "start/consoles.h"
#include "start/disks.h"
#include "start/limit.h"
#include "start/poll.h"
#include "start/share.h"
#include "virtio/vblk.h"
#include "virtio/ventropy.h"
#include "virtio/vmmio.h"
#include "virtio/watch.h"

#define DEVICE_NAME_MAX 64 /* bytes of "dom65535/4294967295 NAME", NUL included */

struct guest {
    u16 domid;
    u32 device_count; /* 0: there is no such guest */
    struct ioreq_server server;
    struct gmem_foreign memory;
    bool grants_open; /* some device of its has grant_usage=1 */
    struct gmem_grants grants;
};

enum device_state { DEVICE_FREE, DEVICE_LIVE, DEVICE_CLOSING };

struct device_class;

struct device {
    enum device_state state;
    const struct device_class *class;
    struct guest *guest;
    struct share_member member;
    u32 devid;
    bool write; /* the guest may write */
    u64 mmio_base;
    u32 irq;
    struct vdev *vdev; /* in the class's own struct below */
    struct vmmio mmio;
    struct disk *disk;             /* block */
    struct guest_console *console; /* console */
    union {
        struct vblk blk;
        struct ventropy entropy;
        struct vconsole vc;
    };
    char name[DEVICE_NAME_MAX];
    struct limit limit; /* off for other classes than block */
};

struct attach {
    struct disks *disks;
    struct shares *shares;
    struct vblk_pool pool;
    struct consoles consoles;
    struct vq_chain chain;          /* for classes that answer at once */
    struct guest guest[GUESTS_MAX]; /* at the place of the guest's share */
    struct device device[DEVICES_MAX];
    struct device *active[DEVICES_MAX]; /* not FREE, dense */
    u32 active_count;
    struct watch watch; /* their queues: what an idle turn looks at */
    u64 wake_ns;        /* a device that rests wants its turn then; POLL_NEVER: none */
    bool
        walk; /* a device closes, or has requests with its medium: its turn comes without a chain */
    struct guest *serving[GUESTS_MAX];
    u32 serving_count;
    /* counters since start; those of guests and devices that are gone are added up here */
    u64 attached, detached, refused;
    u64 traps, traps_refused, invalidations;
    u64 requests, kicks, interrupts;
};

void attach_init(struct attach *attach, struct disks *disks, struct shares *shares);

/** What drivers/xen/backend.c calls; ctx is the struct attach. */
extern const struct backend_ops attach_backend_ops;

/** disk has another size: tell the guests that use it. Returns the number of devices. */
u32 attach_disk_resized(struct attach *attach, const struct disk *disk);

/** For start/poll.h: trapped accesses. ctx is the struct attach. */
u32 attach_mmio_poll(void *ctx, u32 budget);
bool attach_mmio_arm(void *ctx);
void attach_mmio_disarm(void *ctx);

/* --- for start/turn.c ---------------------------------------------------------------------------
 */

/** Some device wants a turn: every one of them is asked then. */
bool attach_due(struct attach *attach);
/** The turn of one, which may be its last. Returns the units of work done. */
u32 attach_device_poll(struct attach *attach, struct device *device, u32 budget);
/** Ask for kicks. True when there is work already. */
bool attach_arm(struct attach *attach);
void attach_disarm(struct attach *attach);
