/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * latency.h - how long requests took, in powers of two.                          plane: data
 *
 * From the turn that took a request out of its ring to the turn that showed its answer: what the
 * device adds. How long it had waited in the ring before, nobody here can see.
 *
 * The clock is read twice in a turn with work, never for a request: all that were answered in the
 * turn that took them lasted as long as that turn. One that stayed with its medium has a stamp of
 * its own.
 */
#pragma once

#include "start/base/parts.h"
#include "start/base/types.h"

/** The last bucket: 2^24 us, that is 17 s, and above. */
#define LATENCY_BUCKETS (PART_EYES ? 26 : 1)

/** count[0]: below 1 us; count[i]: at least 2^(i-1) us and below 2^i us. */
struct latency {
    u64 count[LATENCY_BUCKETS];
};

/** So many requests took ns each. */
static inline void latency_add(struct latency *latency, u32 requests, u64 ns)
{
    u64 us = ns / 1000;
    u32 bucket = us ? 64u - (u32)__builtin_clzll(us) : 0;

    latency->count[bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1] += requests;
}
