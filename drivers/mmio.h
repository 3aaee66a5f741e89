/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio.h - SEAM 4: device registers.                                              plane: both
 *
 * The image compiles to one plain load or store each: a hypervisor that traps the access can decode
 * it from the syndrome alone (no pair, no write-back form). The hosted build calls the register
 * model that a test has put there (tests/fake/mmio_host.c).
 *
 * And memory that a device reads or writes by itself. On a machine where its accesses pass by the
 * caches, a driver cleans what the device will read, cleans and invalidates what it will write, and
 * invalidates that once more before it looks (the processor may have fetched it in between). Whole
 * lines: what shares one with memory of others may not be a device's target. The hosted build keeps
 * the device's view of memory apart from ours (tests/fake/dma_host.c), so a call left out is seen.
 */
#pragma once

#include "start/base/types.h"

#if __STDC_HOSTED__

u32 mmio_read32(u64 addr);
void mmio_write32(u64 addr, u32 value);
u8 mmio_read8(u64 addr);
void mmio_write8(u64 addr, u8 value);
u16 mmio_read16(u64 addr);
void mmio_write16(u64 addr, u16 value);
u64 mmio_read64(u64 addr);
void mmio_write64(u64 addr, u64 value);

/** Bytes of a cache line: what a device's target is aligned to. A power of two. */
u32 dma_line_bytes(void);
/** The device will see what we wrote. */
void dma_clean(const void *base, usize bytes);
/** We will see what the device wrote; what we wrote before is not lost, nor comes later. */
void dma_clean_invalidate(void *base, usize bytes);
/** All of the above, and every store before it, is done before a register is touched after it. */
void dma_barrier(void);

#else

static inline u8 mmio_read8(u64 addr)
{
    u32 value;

    __asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return (u8)value;
}

static inline u16 mmio_read16(u64 addr)
{
    u32 value;

    __asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return (u16)value;
}

static inline u32 mmio_read32(u64 addr)
{
    u32 value;

    __asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return value;
}

static inline u64 mmio_read64(u64 addr)
{
    u64 value;

    __asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(addr) : "memory");
    return value;
}

static inline void mmio_write8(u64 addr, u8 value)
{
    __asm__ volatile("strb %w0, [%1]" : : "r"((u32)value), "r"(addr) : "memory");
}

static inline void mmio_write16(u64 addr, u16 value)
{
    __asm__ volatile("strh %w0, [%1]" : : "r"((u32)value), "r"(addr) : "memory");
}

static inline void mmio_write32(u64 addr, u32 value)
{
    __asm__ volatile("str %w0, [%1]" : : "r"(value), "r"(addr) : "memory");
}

static inline void mmio_write64(u64 addr, u64 value)
{
    __asm__ volatile("str %0, [%1]" : : "r"(value), "r"(addr) : "memory");
}

static inline u32 dma_line_bytes(void)
{
    u64 ctr;

    __asm__("mrs %0, ctr_el0" : "=r"(ctr));
    return UINT32_C(4) << (ctr >> 16 & 15); /* DminLine, in words */
}

static inline void dma_clean(const void *base, usize bytes)
{
    u64 line = dma_line_bytes();

    for (u64 at = (u64)base & ~(line - 1); at < (u64)base + bytes; at += line) {
        __asm__ volatile("dc cvac, %0" : : "r"(at) : "memory");
    }
}

static inline void dma_clean_invalidate(void *base, usize bytes)
{
    u64 line = dma_line_bytes();

    for (u64 at = (u64)base & ~(line - 1); at < (u64)base + bytes; at += line) {
        __asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
    }
}

static inline void dma_barrier(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

#endif
