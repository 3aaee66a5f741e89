/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ring.h - index arithmetic of byte rings shared with another domain.             plane: control
 *
 * Indices run freely modulo 2^32 and are masked to find the byte, size is a power of two. The other
 * side's index is read once by the caller and checked here: a difference above size is garbage.
 */
#pragma once

#include "start/base/types.h"

/** Bytes in the ring; more than size when the indices are garbage. */
static inline u32 ring_used(u32 prod, u32 cons)
{
    return prod - cons;
}

static inline bool ring_sane(u32 prod, u32 cons, u32 size)
{
    return ring_used(prod, cons) <= size;
}

/** Room left; the indices are sane. */
static inline u32 ring_room(u32 prod, u32 cons, u32 size)
{
    return size - ring_used(prod, cons);
}

/** Copy bytes into the ring at index at, wrapping. */
static inline void ring_put(u8 *ring, u32 size, u32 at, const u8 *from, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++) {
        __atomic_store_n(&ring[(at + i) & (size - 1)], from[i], __ATOMIC_RELAXED);
    }
}

/** Copy bytes out of the ring from index at, wrapping; each byte is read once. */
static inline void ring_get(u8 *to, const u8 *ring, u32 size, u32 at, u32 bytes)
{
    for (u32 i = 0; i < bytes; i++) {
        to[i] = __atomic_load_n(&ring[(at + i) & (size - 1)], __ATOMIC_RELAXED);
    }
}
