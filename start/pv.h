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
#include "start/poll.h"

#define PV_NAME_MAX 64 /* bytes of "dom65535/4294967295 NAME", NUL included */

enum pv_state { PV_FREE, PV_LIVE, PV_CLOSING };

struct pv_device {
    enum pv_state state;
    u16 domid;
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
    bool room; /* there is address space for grants */
    struct blkif_pool pool;
    struct pv_device device[DEVICES_MAX];
    struct pv_device *active[DEVICES_MAX]; /* not FREE, dense: what a turn walks */
    u32 active_count;
    u32 turn_start; /* round robin over active */
    /* counters since start; those of devices that are gone are added up here */
    u64 attached, detached, refused;
    u64 requests, kicks, interrupts;
};

/**
 * be is told of us. seg_page: a page of memory. room: grant_pages_init() found address space; else
 * PV disks are refused, with a sentence.
 */
void pv_init(struct pv *pv, struct disks *disks, struct backend *be, u8 *seg_page, bool room);

/** disk has another size: tell the guests that use it. Returns the number of devices. */
u32 pv_disk_resized(struct pv *pv, const struct disk *disk);

/** What drivers/xen/backend.c calls; ctx is the struct pv. */
extern const struct backend_ops pv_backend_ops;

/** For start/poll.h; ctx is the struct pv. */
u32 pv_poll(void *ctx, u32 budget);
bool pv_arm(void *ctx);
void pv_disarm(void *ctx);
