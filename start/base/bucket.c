/* SPDX-License-Identifier: BSD-2-Clause */
/* bucket.c - see bucket.h. */
#include "start/base/bucket.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#define NS_PER_SECOND UINT64_C(1000000000)

u32 bucket_level(struct bucket *bucket, u32 burst, u32 per_second)
{
    const u64 step_ns = NS_PER_SECOND / per_second;
    u64 now_ns = port_now_ns();
    u64 earned;

    if (bucket->refill_ns == 0) {
        bucket->tokens = burst;
        bucket->refill_ns = now_ns == 0 ? 1 : now_ns;
    }
    earned = (now_ns > bucket->refill_ns ? now_ns - bucket->refill_ns : 0) / step_ns;
    if (earned != 0) {
        bucket->tokens = (u32)min_u64(bucket->tokens + min_u64(earned, burst), burst);
        bucket->refill_ns += earned * step_ns;
    }
    return bucket->tokens;
}

void bucket_take(struct bucket *bucket, u32 count)
{
    CHECK(count <= bucket->tokens);
    bucket->tokens -= count;
}
