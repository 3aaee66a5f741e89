/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timer.h - ticks of the generic timer to nanoseconds and back, without a division.   plane: both
 *
 * ticks * scale / 2^32, in 128 bits: exact to one part in 2^32 at any frequency the architecture
 * allows, monotonic, and no overflow for centuries.    [ARMv8] D11, the generic timer
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define TIMER_HZ_MIN UINT64_C(1000000) /* below 1 MHz the register is not set up */
#define TIMER_HZ_MAX UINT64_C(10000000000)

struct timer_scale {
    u64 ns_per_tick;  /* times 2^32 */
    u64 ticks_per_ns; /* times 2^32 */
};

/** ST_OK, or ST_INVAL when hz is not between TIMER_HZ_MIN and TIMER_HZ_MAX. */
enum status timer_scale_init(struct timer_scale *scale, u64 hz);

static inline u64 timer_ticks_to_ns(const struct timer_scale *scale, u64 ticks)
{
    return (u64)(((unsigned __int128)ticks * scale->ns_per_tick) >> 32);
}

/**
 * How many ticks to wait for a time span: the fewest that are sure to be no shorter, by this
 * scale's own measure. UINT64_MAX when that does not fit. Use it for spans, not for dates: a tick
 * is rounded up by as much as one part in 2^22 at 1 MHz.
 */
u64 timer_ns_to_ticks(const struct timer_scale *scale, u64 ns);
