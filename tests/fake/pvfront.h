/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pvfront.h - a guest's PV block front end on the fake Xen: rings, grants and ports of its own,
 * keys in the fake xenstore; and libxl, who makes and ends its disk.
 */
#pragma once

#include "tests/fake/xen.h"

#define PVFRONT_RINGS      4
#define PVFRONT_RING_PAGES 4
#define PVFRONT_PAGES      256 /* of data */
/** Bytes of a guest with one front end. */
#define PVFRONT_GUEST_BYTES ((u64)(PVFRONT_RINGS * PVFRONT_RING_PAGES + PVFRONT_PAGES) * 4096)

struct pvfront {
    struct fake_guest *guest;
    u32 devid;
    u32 rings, order;
    bool persistent;
    u32 prod[PVFRONT_RINGS]; /* requests put */
    u32 cons[PVFRONT_RINGS]; /* answers taken */
};

struct pvfront_answer {
    u64 id;
    u8 op;
    s16 status;
};

/* --- libxl ----------------------------------------------------------------------------------- */

/** The keys libxl 4.20 writes for disk = [ "..., backend=..." ]; mode is "w" or "r". */
void pvfront_disk_make(u16 domid, u32 devid, const char *target, const char *mode);
/** What libxl does to end it, and what it does when that takes too long. */
void pvfront_disk_close(u16 domid, u32 devid);
void pvfront_disk_force(u16 domid, u32 devid);
/** A key of the backend's directory; "gone" when there is none. */
const char *pvfront_key(u16 domid, u32 devid, const char *key);
void pvfront_key_set(u16 domid, u32 devid, const char *key, const char *value);

/* --- the guest ------------------------------------------------------------------------------- */

/** Rings with nothing in them, all pages granted, ports open; nothing is said yet. */
void pvfront_open(struct pvfront *front, struct fake_guest *guest, u32 devid, u32 rings, u32 order,
                  bool persistent);
/** A key of the front end's own directory; NULL removes it. */
void pvfront_say(const struct pvfront *front, const char *key, const char *value);
void pvfront_state(const struct pvfront *front, u32 state);
/** All keys of its rings, and state 3. */
void pvfront_join(const struct pvfront *front);

u8 *pvfront_page(const struct pvfront *front, u32 page);
/** The grant of a page of data. */
struct fake_grant *pvfront_grant(const struct pvfront *front, u32 page);
/** The ring's four indices: req_prod, req_event, rsp_prod, rsp_event. */
u32 *pvfront_index(const struct pvfront *front, u32 ring, u32 which);
/** A request of whole pages from page on; not shown. */
void pvfront_put(struct pvfront *front, u32 ring, u8 op, u64 id, u64 sector, u32 page, u32 count);
/** Show what was put. */
void pvfront_push(struct pvfront *front, u32 ring);
/** The next answer. False: there is none. */
bool pvfront_take(struct pvfront *front, u32 ring, struct pvfront_answer *answer);
