/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bucket.h - a token bucket: so many at once, so many per second in the long run. plane: both
 *
 * One per guest, device or queue, never one for all, so that one guest cannot use up what belongs
 * to another. Zeroed by its owner it is full.
 */
#pragma once

#include "start/base/types.h"

struct bucket {
    u64 refill_ns; /* when tokens were last added; 0: never used */
    u32 tokens;
};

/** Add what was earned since the last call and say how many tokens there are, at most burst. */
u32 bucket_level(struct bucket *bucket, u32 burst, u32 per_second);

/** Take count tokens: no more than bucket_level() said. */
void bucket_take(struct bucket *bucket, u32 count);
