/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limit.h - how much a disk may be asked for: requests per second and bytes per second, each a
 * token bucket that may be overdrawn.                                             plane: both
 *
 * A bucket is the time at which it will be full again: taking tokens puts that off, time catches
 * up. While it is less than the burst away there are tokens. A request is done whole and paid
 * afterwards, so one that is larger than what is left goes, and those behind it wait until the debt
 * is paid. (start/base/bucket.h is for work that can be cut to what is there.)
 *
 * A device without tokens rests: it is not looked at, and the loop may sleep, until
 * limit_wake_ns().
 */
#pragma once

#include "drivers/xen/backend.h"
#include "start/disks.h"

#define LIMIT_UNIT_BYTES (u32) KIB(64) /* of a poll budget, as virtio/vblk.h counts them */

struct limit {
    bool on;
    u64 iops, bytes; /* per second; 0: as many as there are */
    u64 iops_burst_ns, bytes_burst_ns;
    u64 iops_full_ns, bytes_full_ns; /* when the bucket is full again */
    u64 seen_requests, seen_bytes;   /* what was paid for, of the device's counters */
    /* counters since it came */
    u64 rests;
};

/**
 * From now on these: what the device's directory says, else what the disk's configuration says.
 * requests and bytes: the device's counters. Both buckets are full. A line says so when there is a
 * limit, or was.
 */
void limit_set(struct limit *limit, const struct backend_limits *want, const struct disk *disk,
               const char *name, u64 requests, u64 bytes);

/** Of a budget in units the part that there are tokens for; 0: none, or no budget. */
u32 limit_budget(const struct limit *limit, u32 budget, u64 now_ns);

/** Pay for what was done: requests and bytes are the device's counters. */
void limit_pay(struct limit *limit, u64 requests, u64 bytes, u64 now_ns);

/** When there are tokens again; not after now_ns when there are some. */
u64 limit_wake_ns(const struct limit *limit);
