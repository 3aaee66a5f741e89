/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gicv3_cpu.h - the CPU interface of version 3: system registers [GICv3] 12.2.
 *
 * Spelled by their encodings, so that any assembler takes them. The hosted build has functions of
 * the same names in tests/model/gic.c.
 */
#pragma once

#include "start/base/types.h"

#if __STDC_HOSTED__

bool icc_sre_enable(void);
void icc_pmr_write(u32 value);
void icc_bpr1_write(u32 value);
void icc_ctlr_write(u32 value);
void icc_igrpen1_write(u32 value);
u32 icc_iar1_read(void);
void icc_eoir1_write(u32 value);
u64 mpidr_read(void);

#else

#define GIC_SYSREG_WRITE(name, value) \
    __asm__ volatile("msr " name ", %0\n isb" : : "r"((u64)(value)) : "memory")

/** Switch the system-register interface on. False: a memory-mapped one is forced on us. */
static inline bool icc_sre_enable(void)
{
    u64 sre;

    __asm__ volatile("mrs %0, s3_0_c12_c12_5" : "=r"(sre));
    GIC_SYSREG_WRITE("s3_0_c12_c12_5", sre | 1);
    __asm__ volatile("mrs %0, s3_0_c12_c12_5" : "=r"(sre));
    return sre & 1;
}

static inline void icc_pmr_write(u32 value)
{
    GIC_SYSREG_WRITE("s3_0_c4_c6_0", value);
}

static inline void icc_bpr1_write(u32 value)
{
    GIC_SYSREG_WRITE("s3_0_c12_c12_3", value);
}

static inline void icc_ctlr_write(u32 value)
{
    GIC_SYSREG_WRITE("s3_0_c12_c12_4", value);
}

static inline void icc_igrpen1_write(u32 value)
{
    GIC_SYSREG_WRITE("s3_0_c12_c12_7", value);
}

static inline u32 icc_iar1_read(void)
{
    u64 raw;

    __asm__ volatile("mrs %0, s3_0_c12_c12_0\n dsb sy" : "=r"(raw) : : "memory");
    return (u32)raw;
}

static inline void icc_eoir1_write(u32 value)
{
    GIC_SYSREG_WRITE("s3_0_c12_c12_1", value);
}

static inline u64 mpidr_read(void)
{
    u64 mpidr;

    __asm__("mrs %0, mpidr_el1" : "=r"(mpidr));
    return mpidr;
}

#endif
