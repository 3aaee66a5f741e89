/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig_backend.h - a backend on a fake xenstore, with attach.c played by a note-taker and libxl by
 * the functions below.
 */
#pragma once

#include "drivers/xen/backend.h"
#include "drivers/xen/xs.h"

/** Long enough for a closed device to be gone. */
#define RIG_LINGER_NS (3 * BACKEND_LINGER_NS * BACKEND_LINGER_LOOKS)

extern struct xs rig_xs;
extern struct backend rig_be;

/** What attach.c would do, and what it saw. */
struct rig_glue {
    enum status answer;        /* what attach answers */
    u32 attached[DEVICES_MAX]; /* 1 while attached; the handle */
    struct backend_request of[DEVICES_MAX];
    u32 count, attaches, detaches;
    u16 dead_domid;                 /* this guest is dead */
    struct backend_request request; /* the last one */
    char state_at_attach[8];        /* of its directory */
    struct backend_limits limits;   /* the last ones */
    u32 limits_told;
    /* PV */
    enum status connect_answer;
    bool joined[DEVICES_MAX]; /* connected now */
    u32 connected, connects, disconnects;
    u32 busy;                   /* disconnect is not done yet this often */
    struct backend_front front; /* the last one */
};
extern struct rig_glue rig_glue;

/** A new machine; for cmocka's setup. */
int rig_setup(void **state);
/** The same, and PV front ends are served. */
int rig_setup_pv(void **state);
/** Turns of the loop until nothing happens. Returns their number. */
u32 rig_run(void);
/** Let time pass, with turns in between. */
void rig_wait_ns(u64 ns);

/** Write a key of a device directory; NULL removes it. */
void rig_key_set(u16 fe, u32 devid, const char *kind, const char *key, const char *value);
/** The state of a virtio_disk directory, "gone" when there is none. */
const char *rig_disk_state(u16 fe, u32 devid);
/** The keys libxl 4.20 writes for disk = [ "...specification=virtio" ]. */
void rig_disk_make(u16 fe, u32 devid);
/** What libxl does to end it. */
void rig_disk_close(u16 fe, u32 devid);
void rig_disk_rm(u16 fe, u32 devid);
/** Asserts that every device is free and nothing is outstanding. */
void rig_nothing_left(void);
