/* SPDX-License-Identifier: BSD-2-Clause */
/* timer.c - the two factors, computed once. */
#include "drivers/timer/timer.h"

#define NS_PER_SECOND UINT64_C(1000000000)

enum status timer_scale_init(struct timer_scale *scale, u64 hz)
{
    if (hz < TIMER_HZ_MIN || hz > TIMER_HZ_MAX) {
        return ST_INVAL;
    }
    scale->ns_per_tick = (NS_PER_SECOND << 32) / hz;
    /* The inverse of the factor above, rounded up: an alarm must not come early. */
    scale->ticks_per_ns = UINT64_MAX / scale->ns_per_tick + 1;
    return ST_OK;
}

u64 timer_ns_to_ticks(const struct timer_scale *scale, u64 ns)
{
    unsigned __int128 ticks = (unsigned __int128)ns * scale->ticks_per_ns;

    ticks = (ticks + UINT32_MAX) >> 32;
    return ticks > UINT64_MAX ? UINT64_MAX : (u64)ticks;
}
