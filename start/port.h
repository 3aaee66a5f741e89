/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - SEAM 1: what the engine asks of the machine.                          plane: both
 *
 * The image links start/port_arm64.c, the hosted builds tests/fake/port_host.c. Words in memory
 * that another party writes at the same time are touched only through the accessors below: each is
 * one single-copy-atomic access of its width, never a read-modify-write (a guest could live-lock an
 * exclusive pair, XSA-295), and a sanitizer or model checker sees the same code as the image.
 */
#pragma once

#include "start/base/types.h"

/* --- shared words ------------------------------------------------------------------------- */
static inline u16 load_u16(const void *p)
{
    return __atomic_load_n((const u16 *)p, __ATOMIC_RELAXED);
}

static inline u32 load_u32(const void *p)
{
    return __atomic_load_n((const u32 *)p, __ATOMIC_RELAXED);
}

static inline u64 load_u64(const void *p)
{
    return __atomic_load_n((const u64 *)p, __ATOMIC_RELAXED);
}

static inline u8 load_acquire_u8(const void *p)
{
    return __atomic_load_n((const u8 *)p, __ATOMIC_ACQUIRE);
}

static inline u16 load_acquire_u16(const void *p)
{
    return __atomic_load_n((const u16 *)p, __ATOMIC_ACQUIRE);
}

static inline u32 load_acquire_u32(const void *p)
{
    return __atomic_load_n((const u32 *)p, __ATOMIC_ACQUIRE);
}

static inline u64 load_acquire_u64(const void *p)
{
    return __atomic_load_n((const u64 *)p, __ATOMIC_ACQUIRE);
}

static inline void store_u8(void *p, u8 v)
{
    __atomic_store_n((u8 *)p, v, __ATOMIC_RELAXED);
}

static inline void store_u16(void *p, u16 v)
{
    __atomic_store_n((u16 *)p, v, __ATOMIC_RELAXED);
}

static inline void store_u32(void *p, u32 v)
{
    __atomic_store_n((u32 *)p, v, __ATOMIC_RELAXED);
}

static inline void store_u64(void *p, u64 v)
{
    __atomic_store_n((u64 *)p, v, __ATOMIC_RELAXED);
}

static inline void store_release_u8(void *p, u8 v)
{
    __atomic_store_n((u8 *)p, v, __ATOMIC_RELEASE);
}

static inline void store_release_u16(void *p, u16 v)
{
    __atomic_store_n((u16 *)p, v, __ATOMIC_RELEASE);
}

static inline void store_release_u32(void *p, u32 v)
{
    __atomic_store_n((u32 *)p, v, __ATOMIC_RELEASE);
}

/** Orders earlier stores before later loads too: the barrier of every "publish, then look" pair. */
static inline void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/**
 * Ends a plain copy from foreign memory: what was copied is used from the copy from here on, the
 * compiler may not look at the original again.
 */
static inline void copied_once(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* --- time ----------------------------------------------------------------------------------- */
/** Nanoseconds since an arbitrary start; never goes back. */
u64 port_now_ns(void);

/* --- chance --------------------------------------------------------------------------------- */
/** A word of the processor's own random generator; false when it has none, or none now. */
bool port_random_u64(u64 *value);

/* --- waiting -------------------------------------------------------------------------------- */
/** One turn of an idle loop: tells the core (and an emulator) that we have nothing to do now. */
void port_relax(void);

/**
 * Sleep until an interrupt is pending or deadline_ns has passed; may return early, for any reason.
 * Interrupts stay masked: the pending one is acknowledged by gic_drain(), not by a handler.
 */
void port_sleep(u64 deadline_ns);

/* --- copying -------------------------------------------------------------------------------- */
/** memcpy for bulk data between spans that do not overlap. */
void port_copy(void *to, const void *from, usize bytes);
/** memset to 0 for bulk data. */
void port_zero(void *to, usize bytes);
