/* SPDX-License-Identifier: BSD-2-Clause */
/* arith.h - wrap-safe arithmetic for numbers that came from outside. */
#pragma once

#include "start/base/types.h"

/** True when a + b does not wrap; the sum is in *sum then. */
static inline bool add_ok_u64(u64 a, u64 b, u64 *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

/** True when a * b does not wrap; the product is in *product then. */
static inline bool mul_ok_u64(u64 a, u64 b, u64 *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/** True when [first, first + count) lies inside [0, limit). Never wraps. */
static inline bool range_ok(u64 first, u64 count, u64 limit)
{
    return count <= limit && first <= limit - count;
}

/** align is a power of two; the caller guarantees that v + align does not wrap. */
static inline u64 align_up(u64 v, u64 align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline u64 align_down(u64 v, u64 align)
{
    return v & ~(align - 1);
}

static inline bool is_aligned(u64 v, u64 align)
{
    return (v & (align - 1)) == 0;
}

static inline bool is_pow2(u64 v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

static inline u32 max_u32(u32 a, u32 b)
{
    return a > b ? a : b;
}

static inline u32 min_u32(u32 a, u32 b)
{
    return a < b ? a : b;
}

static inline u64 max_u64(u64 a, u64 b)
{
    return a > b ? a : b;
}

static inline u64 min_u64(u64 a, u64 b)
{
    return a < b ? a : b;
}
