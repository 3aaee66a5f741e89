/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bfront.h - a front end of Xen's PV block protocol. [BLKIF] xen/io/blkif.h           plane: data
 *
 *   pages   0 ..         the ring: one page, two above 32 requests in flight
 *           behind it    buffers, whole pages for each slot; the id of a request is its slot
 *
 * One ring, direct requests: at most BLKIF_MAX_SEGMENTS_PER_REQUEST pages each.
 */
#pragma once

#include "drivers/xen/xen_abi.h"
#include "tests/guest/front/grants.h"
#include "tests/guest/front/options.h"
#include "tests/guest/front/traffic.h"

#include <xen/io/blkif.h>

#define BFRONT_PATH_MAX 64 /* bytes of a path below our own directory, NUL included */

/* xen/io/xenbus.h: states of either end */
#define STATE_INITIALISING 1
#define STATE_INITWAIT     2
#define STATE_INITIALISED  3
#define STATE_CONNECTED    4
#define STATE_CLOSING      5
#define STATE_CLOSED       6

struct bfront {
    u32 devid;
    u32 depth, bytes, slot_pages, ring_pages, entries;
    bool stay;
    u32 port;
    struct grant_run run;
    struct blkif_sring *ring;
    u8 *data;
    u32 req_prod;              /* requests put */
    u32 shown;                 /* requests published */
    u32 rsp_cons;              /* answers taken */
    u64 in_flight;             /* a bit for each slot */
    char backend[XS_PATH_MAX]; /* its directory */
    struct front_traffic traffic;
};

/** From the backend's state InitWait to both sides' Connected. Returns the disk's sectors; ends the
 * domain when that does not come about. */
u64 bfront_open(struct front_machine *m, const struct front_options *options, u32 devid,
                struct bfront *b);
/** Whatever became of the ring: have the backend wait for a new one. False when it does not. */
bool bfront_await(struct front_machine *m, const struct bfront *b);
/** The same, and connect again with an empty ring. False when the backend does not come back. */
bool bfront_again(struct front_machine *m, struct bfront *b);
/** The backend's state; 0 when it says none. */
u32 bfront_state(struct front_machine *m, const struct bfront *b);
/** Wait until its state is one of states, a bit for each; returns it. */
u32 bfront_wait(struct front_machine *m, const struct bfront *b, u32 states, u64 timeout_ns);
/** Close, and take all grants back. Returns the pages that the backend still has in use. */
u32 bfront_close(struct front_machine *m, struct bfront *b);

u8 *bfront_buffer(const struct bfront *b, u32 slot);
void bfront_submit(struct bfront *b, u32 slot, bool write, u64 sector);
void bfront_publish(struct bfront *b);
bool bfront_take(struct bfront *b, u32 *slot, bool *good);
bool bfront_arm(struct bfront *b);
void bfront_disarm(struct bfront *b);

/** Write a key of its own directory in xenstore. Ends the domain when xenstore refuses. */
void bfront_say(struct front_machine *m, const struct bfront *b, const char *key, u64 number);
/** A key of its own directory as a relative path. */
const char *bfront_path(const struct bfront *b, const char *key, char path[BFRONT_PATH_MAX]);
