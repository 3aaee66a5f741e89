/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hostile.h - the hostile job: each rule of both protocols broken, one after the other, for as long
 * as it is told.                                                                    plane: data
 *
 * The job cycles through the cases of each disk's protocol. After each case that broke a queue or a
 * ring the disk is started anew as a driver would, and has to serve a read: what a case broke must
 * cost nothing but itself. Every case runs once at least, however short the time is.
 *
 * Its words on the console, one line for each case, then one for all:
 *   front hostile case=NAME runs=N
 *   front done disks=N requests=N errors=N ms=N
 * requests= are the reads that were served between cases; errors= those that were not.
 *
 * What a guest cannot do from here, and where it is shown instead:
 *   ioreq pages, their states and fields      Xen gives the guest no mapping of them: test_ioreq
 *   xenstore messages broken on the wire      xenstored stands between: fuzz_xs_wire
 *   keys of the backend's directory           the guest may not write there
 *   transactions that conflict for ever       only a writer of the backend's directory makes them
 *   two vCPUs at once, memory that changes    one vCPU: test_hostile_memory flips every word; here
 *   between two loads                         rings are rewritten while requests are in flight
 *   ballooning under a mapping, death         test_life, make soak
 *   its own directory removed and made again  made again, the backend may not read it: the end of
 *                                             the disk, so test_hostile does it last, from Dom0
 *   packed rings, queue reset                 this front end has split rings and no RING_RESET:
 *                                             test_hostile_driver, fuzz_virtq
 */
#pragma once

#include "tests/guest/front/disk.h"

#define HOSTILE_CASES_MAX 64                /* of one protocol */
#define HOSTILE_PAGES     4                 /* spare pages of ours, each with a grant reference */
#define HOSTILE_PAUSE_NS  UINT64_C(2000000) /* the backend has this long to look at a case */
#define HOSTILE_ANSWER_NS UINT64_C(10000000000) /* and this long to serve a read after it */

struct hostile {
    struct front_machine *m;
    struct vfront *v; /* of the disk at work; NULL for a PV disk */
    struct bfront *b; /* NULL for virtio */
    u64 sectors;
    u64 random;
    u32 round;              /* a case with several values takes the next in each */
    struct grant_run spare; /* nothing of it is offered unless a case does */
};

/** Does one thing that a front end must not do. True: the disk must be started anew. */
typedef bool (*hostile_fn)(struct hostile *h);

struct hostile_case {
    const char *name;
    hostile_fn run;
};

extern const struct hostile_case hostile_virtio[];
extern const u32 hostile_virtio_count;
extern const struct hostile_case hostile_blkif[];
extern const u32 hostile_blkif_count;
extern const struct hostile_case hostile_store[]; /* of PV disks too */
extern const u32 hostile_store_count;

/** The backend has a while to look. */
void hostile_pause(struct hostile *h);
u64 hostile_random(struct hostile *h);

/** Run it once on all disks; returns how many reads were not served. */
u64 hostile_run(struct front_machine *m, const struct front_options *options,
                struct front_disk *disk, u32 count);
