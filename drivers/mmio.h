/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio.h - SEAM 4: device registers.                                              plane: both
 *
 * The image compiles to one plain load or store each: a hypervisor that traps the access can decode
 * it from the syndrome alone (no pair, no write-back form). The hosted build calls the register
 * model that a test has put there (tests/fake/mmio_host.c).
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

#endif
