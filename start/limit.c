/* SPDX-License-Identifier: BSD-2-Clause */
/* limit.c - see limit.h. Times are those of port_now_ns(). */
#include "start/limit.h"

#include <inttypes.h>

#include "start/base/arith.h"
#include "start/base/log.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

STATIC_CHECK(CONFIG_IOPS_MAX == BACKEND_LIMIT_IOPS_MAX && CONFIG_BPS_MAX == BACKEND_LIMIT_BYTES_MAX,
             "both ways to say a limit allow the same");
STATIC_CHECK(BACKEND_LIMIT_IOPS_MAX <= NS_PER_SECOND, "a request costs a nanosecond or more");

/** What so many tokens cost. A division drops less than a nanosecond. */
static u64 cost_ns(u64 tokens, u64 per_second)
{
    u64 seconds = tokens / per_second;

    /* The rest is less than BACKEND_LIMIT_BYTES_MAX, and a second's nanoseconds fit behind it. */
    return seconds * NS_PER_SECOND + tokens % per_second * NS_PER_SECOND / per_second;
}

STATIC_CHECK(BACKEND_LIMIT_BYTES_MAX <= UINT64_MAX / NS_PER_SECOND, "no product overflows");

static u64 said(u64 want, u64 configured)
{
    return want == BACKEND_LIMIT_UNSAID ? configured : want;
}

void limit_set(struct limit *limit, const struct backend_limits *want, const struct disk *disk,
               const char *name, u64 requests, u64 bytes)
{
    u64 burst_ms = said(want->burst_ms, BACKEND_LIMIT_BURST_MS);
    bool was = limit->on;

    *limit = (struct limit){
        .iops = said(want->iops, disk->iops),
        .bytes = said(want->bytes, disk->bps),
        .seen_requests = requests,
        .seen_bytes = bytes,
        .rests = limit->rests,
    };
    limit->on = limit->iops > 0 || limit->bytes > 0;
    limit->bytes_burst_ns = burst_ms * NS_PER_MS;
    /* A burst of less than one request would be a rest for ever. */
    limit->iops_burst_ns =
        limit->iops > 0 ? max_u64(limit->bytes_burst_ns, cost_ns(1, limit->iops)) : 0;
    if (limit->on || was) {
        log_info("%s: limited to %" PRIu64 " requests/s, %" PRIu64
                 " bytes/s (0: not limited), %" PRIu64 " ms of it at once",
                 name, limit->iops, limit->bytes, burst_ms);
    }
}

/** How much time there is in a bucket; 0 while it is overdrawn. */
static u64 level_ns(u64 full_ns, u64 burst_ns, u64 now_ns)
{
    u64 away_ns = full_ns > now_ns ? full_ns - now_ns : 0;

    return burst_ns - min_u64(burst_ns, away_ns);
}

u32 limit_budget(const struct limit *limit, u32 budget, u64 now_ns)
{
    u64 units = budget;

    if (limit->iops > 0) {
        u64 level = level_ns(limit->iops_full_ns, limit->iops_burst_ns, now_ns);

        units = min_u64(units, level / max_u64(cost_ns(1, limit->iops), 1));
    }
    if (limit->bytes > 0) {
        u64 level = level_ns(limit->bytes_full_ns, limit->bytes_burst_ns, now_ns);
        u64 unit_ns = max_u64(cost_ns(LIMIT_UNIT_BYTES, limit->bytes), 1);

        units = level > 0 ? min_u64(units, 1 + level / unit_ns) : 0;
    }
    return (u32)units;
}

static void take(u64 *full_ns, u64 tokens, u64 per_second, u64 now_ns)
{
    if (per_second > 0) {
        *full_ns = max_u64(*full_ns, now_ns) + cost_ns(tokens, per_second);
    }
}

void limit_pay(struct limit *limit, u64 requests, u64 bytes, u64 now_ns)
{
    take(&limit->iops_full_ns, requests - limit->seen_requests, limit->iops, now_ns);
    take(&limit->bytes_full_ns, bytes - limit->seen_bytes, limit->bytes, now_ns);
    limit->seen_requests = requests;
    limit->seen_bytes = bytes;
}

u64 limit_wake_ns(const struct limit *limit)
{
    u64 wake_ns = 0;

    if (limit->iops > 0) {
        u64 need_ns = limit->iops_full_ns + cost_ns(1, limit->iops);

        wake_ns = need_ns - min_u64(need_ns, limit->iops_burst_ns);
    }
    if (limit->bytes > 0) {
        u64 need_ns = limit->bytes_full_ns + 1;

        wake_ns = max_u64(wake_ns, need_ns - min_u64(need_ns, limit->bytes_burst_ns));
    }
    return wake_ns;
}
