/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pv.h - glue: a guest's wish for a disk over Xen's PV block protocol becomes mapped rings, event
 * channels and a blkif on one of our disks; and their end.                        plane: both
 *
 * It needs grants and event channels and no privilege: this is the way for a Xen without ioreq
 * servers. Beside attach.c, which does the same for virtio; they share the disks.
 */
#pragma once

#include "blk/blkif.h"
#include "drivers/xen/backend.h"
#include "drivers/xen/grant_pages.h"
#include "start/disks.h"
#include "start/limit.h"
#include "start/poll.h"
#include "start/share.h"

#define PV_NAME_MAX 64 /* bytes of "dom65535/4294967295 NAME", NUL included */

enum pv_state { PV_FREE, PV_LIVE, PV_CLOSING };

struct pv_device {
    enum pv_state state;
    struct share_member member;
    struct limit limit;
    bool resting; /* it has no tokens, and is not looked at */
    u16 domid;
    u32 devid;
    bool write;      /* the guest may write */
    bool no_discard; /* the toolstack says so */
    bool connected;  /* rings are mapped, or their requests not all back */
    u32 port_count;
    u32 port[BACKEND_FRONT_RINGS]; /* ours, by ring */
    struct disk *disk;
    struct blkif blkif;
    struct grant_user pages;
    u64 kicks;            /* events of the front end */
    struct log_limit log; /* of what a front end may repeat */
    char name[PV_NAME_MAX];
};

struct pv {
    struct disks *disks;
    struct backend *be;
    struct shares *shares;
    bool room; /* there is address space for grants */
    struct blkif_pool pool;
    struct pv_device device[DEVICES_MAX];
    struct pv_device *active[DEVICES_MAX]; /* not FREE, dense */
    u32 active_count;
    u64 wake_ns; /* a device that rests wants its turn then; POLL_NEVER: none */
    /* counters since start; those of devices that are gone are added up here */
    u64 attached, detached, refused;
    u64 requests, kicks, interrupts;
};

struct pv_init {
    struct disks *disks;
    struct backend *be; /* is told of us */
    struct shares *shares;
    u8 *seg_page; /* a page of memory */
    bool room; /* grant_pages_init() found address space; else disks are refused, with a sentence */
};

void pv_init(struct pv *pv, const struct pv_init *init);

/** disk has another size: tell the guests that use it. Returns the number of devices. */
u32 pv_disk_resized(struct pv *pv, const struct disk *disk);

/** What drivers/xen/backend.c calls; ctx is the struct pv. */
extern const struct backend_ops pv_backend_ops;

/* --- for start/turn.c ---------------------------------------------------------------------------
 */

/** There are devices: each is asked in every turn. pv may be NULL. */
bool pv_due(struct pv *pv);
/** The turn of one, which may be its last. Returns the units of work done. */
u32 pv_device_poll(struct pv *pv, struct pv_device *device, u32 budget);
/** Ask for events. True when there is work already. */
bool pv_arm(struct pv *pv);
void pv_disarm(struct pv *pv);
