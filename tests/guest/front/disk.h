/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.h - a disk of the guest's, over either protocol.                              plane: data
 *
 * `depth` slots, each with a buffer of `size` bytes; a slot is one request in flight at most. The
 * memory that the backend sees (rings, headers, buffers) is one run of pages, owned by the front
 * end of its protocol (vfront.h, bfront.h), which others may write as they like through its plain
 * structs.
 *
 *   submit, submit, ... publish      one look at the peer's wish for an event
 *   take until false                 completions
 *   arm, then sleep on false         the peer raises an event for the next completion
 */
#pragma once

#include "tests/guest/front/bfront.h"
#include "tests/guest/front/vfront.h"

#define FRONT_DISKS_MAX 8 /* of one guest, as the promise of 16 guests with 8 disks says */

struct front_disk {
    u32 number; /* of this guest */
    bool is_virtio;
    u64 sectors;
    union {
        struct vfront v;
        struct bfront b;
    };
};

/**
 * Find the guest's disks, virtio ones in the order of the tree first, then PV ones by their number,
 * and connect each. Ends the domain when there is none, more than FRONT_DISKS_MAX, or one that does
 * not connect. Returns how many.
 */
u32 disks_open(struct front_machine *m, const struct front_options *options,
               struct front_disk disk[FRONT_DISKS_MAX]);
/** Nothing is in flight: part from the backends, take all grants back. Returns the pages that a
 * backend still has in use. */
u32 disks_close(struct front_machine *m, struct front_disk *disk, u32 count);

u8 *disk_buffer(const struct front_disk *disk, u32 slot);
void disk_submit(struct front_disk *disk, u32 slot, bool write, u64 sector);
void disk_publish(struct front_disk *disk);
/** The next completion; *slot is below depth and was in flight. */
bool disk_take(struct front_disk *disk, u32 *slot, bool *good);
/** Ask for an event; true when there is a completion already. */
bool disk_arm(struct front_disk *disk);
void disk_disarm(struct front_disk *disk);

/** Counters of both protocols. */
struct front_traffic *disk_traffic(struct front_disk *disk);
