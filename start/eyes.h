/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eyes.h - statistics in xenstore, while somebody looks.                          plane: control
 *
 *   data/caisson/watch          Dom0 writes how many seconds it will look; we read
 *   data/caisson/stats/AREA     counters of the whole image (start/report.h)
 *   data/caisson/stats/DOMID/DEVID            "virtio connected NAME": a disk of a guest
 *   data/caisson/stats/DOMID/DEVID/{io,events,errors,latency}
 *   data/caisson/stats/round    "number=N ms=T": written last, when all the others are there
 *
 * `data` is the directory of ours that the toolstack lets us write; Dom0 may write there too, and
 * nobody else may look. While the seconds run all of it is written each EYES_PERIOD_NS, texts that
 * have not changed left out; then nothing is written, and no clock ends our sleep. A device that
 * goes takes its keys along, looked at or not.
 *
 * However many disks there are, a turn makes at most EYES_TEXTS_PER_TURN texts, and at most
 * EYES_WAITING_MAX requests of ours wait for xenstored: a backend that is in need of slots finds
 * them. xenstored's quota may be too small for all disks: that is said once, and what fits is
 * there.
 */
#pragma once

#include "drivers/xen/xs.h"
#include "start/report.h"

#define EYES_HOME           "data/caisson"
#define EYES_PERIOD_NS      UINT64_C(1000000000)
#define EYES_RETRY_NS       UINT64_C(100000000) /* xenstore had no room: asked again */
#define EYES_WATCH_S_MAX    3600                /* seconds that a watcher may ask for at once */
#define EYES_TEXTS_PER_TURN 2
#define EYES_WAITING_MAX    8 /* of XS_SLOTS */

/** A disk whose keys are there. */
struct eyes_row {
    bool used;
    u16 domid;
    u32 devid;
    u32 told[REPORT_DISK_KEYS]; /* sum of the text that was written last; 0: none */
};

struct eyes {
    struct xs *xs;
    const struct report *report;
    bool busy;           /* something changed: look at all that is below */
    bool watch_placed;   /* ... on the key `watch` */
    bool look;           /* it changed: read it */
    bool look_waiting;   /* it was asked for */
    bool refusal_said;   /* since somebody looks */
    bool round;          /* one is under way: it is at ... */
    u32 area, disk, key; /* ... this text */
    u32 waiting;         /* answers to writes that are outstanding */
    u64 until_ns;        /* somebody looks until then; 0: nobody does */
    u64 next_ns;         /* the next round begins */
    u64 deadline_ns;
    u64 gone;       /* report_gone() when the rows were last compared with what is served */
    u64 sweep_gone; /* report_gone() when this comparison began, ... */
    u32 sweep_at;   /* ... which is at this row */
    u32 rows;
    u32 told[REPORT_AREAS];
    struct eyes_row row[DEVICES_MAX];
    struct log_limit log;
    u64 rounds; /* since start */
};

/** xs and report are kept. The watch is placed by the first poll. */
void eyes_init(struct eyes *eyes, struct xs *xs, const struct report *report);

/** For start/poll.h; ctx is the struct eyes. It needs no arming: xs wakes it. */
u32 eyes_poll(void *ctx, u32 budget);
u64 eyes_deadline_ns(void *ctx);
