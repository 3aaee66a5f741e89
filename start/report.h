/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - the counters as text, for people and for scripts.                   plane: control
 *
 * Each text is "key=value ...", numbers in decimal that count since start. The log shows them as
 * lines of "stats AREA TEXT", where AREA is that of an image-wide text, "device NAME" (the class's
 * own counters), "share domN" (what turns a guest had), ...; xenstore shows them as keys
 * (start/eyes.h).
 */
#pragma once

#include "drivers/gic/gic.h"
#include "start/attach.h"
#include "start/pv.h"
#include "start/turn.h"

#define REPORT_TEXT_MAX  640 /* bytes of a text, NUL included */
#define REPORT_DISK_KEYS 5   /* what it is, io, events, errors, latency */

/** What there is to tell of the whole image. */
enum report_area {
    REPORT_IMAGE,
    REPORT_LOOP,
    REPORT_TOTAL,
    REPORT_XEN,
    REPORT_IOREQ,
    REPORT_MEMORY,
    REPORT_HELD,
    REPORT_AREAS
};

struct report {
    const struct attach *attach;
    const struct pv *pv; /* zeroes when the image has none */
    const struct turn *turn;
    const struct poll_loop *loop;
    const struct gic *gic;
};

/** A disk of a guest. */
struct report_disk {
    u16 domid;
    u32 devid;
    const char *name, *state;
    const struct vblk *vb;      /* one of these */
    const struct pv_device *pv; /* when this is not NULL */
};

/** Everything, into the log. */
void report_all(const struct report *report);
/** What is held on behalf of guests, into the log: all zero again when the last one is gone. */
void report_held(const struct report *report);

/** The text of an area; returns its name. */
const char *report_area(const struct report *report, enum report_area area,
                        char text[REPORT_TEXT_MAX]);

/** Devices that guests have now, of both protocols. */
u32 report_disks(const struct report *report);
/** Number i of them. False when it is no disk, or gone meanwhile. */
bool report_disk(const struct report *report, u32 i, struct report_disk *disk);
/** The text of key 0 .. REPORT_DISK_KEYS - 1 of a disk; returns its name, "" for what it is. */
const char *report_disk_key(const struct report_disk *disk, u32 key, char text[REPORT_TEXT_MAX]);
/** Devices that went since start: when this is another number, one of them is gone. */
u64 report_gone(const struct report *report);
