/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gic.h - the interrupt controller, as far as a polling program needs it.         plane: control
 *
 * No interrupt is ever taken as an exception: PSTATE.I stays set, an enabled line only ends WFI.
 * After a sleep gic_drain() acknowledges what is pending. One of two implementations, gicv2.c and
 * gicv3.c, serves all calls; the device tree chooses.    [GICv2] IHI 0048B, [GICv3] IHI 0069H
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define GIC_LINES_MAX 16   /* lines a caller may name */
#define GIC_DRAIN_MAX 64   /* interrupts acknowledged by one gic_drain() */
#define GIC_PRIORITY  0xa0 /* a middle priority, visible to non-secure software */

/** Where the registers are; all of it mapped by the caller. */
struct gic_info {
    u32 version;               /* 2 or 3 */
    u64 dist_base, dist_bytes; /* GICD */
    u64 cpu_base, cpu_bytes;   /* GICC (2) or the GICR region (3) */
    u32 redist_stride;         /* 3: bytes from one redistributor to the next, 0: by GICR_TYPER */
    u64 cpu_affinity;          /* 3: MPIDR_EL1 of this CPU, gic_cpu_affinity() */
};

struct gic_impl;

struct gic {
    const struct gic_impl *impl;
    struct gic_info info;
    u64 redist_base; /* 3: this CPU's redistributor frame */
    u32 intid_count; /* INTIDs implemented */
    u32 line_count;
    struct {
        u32 intid;
        u64 taken;
    } line[GIC_LINES_MAX];
    u64 spurious;  /* acknowledged 1020..1023 as the first answer */
    u64 unknown;   /* an INTID nobody enabled */
    u64 drain_cut; /* drains ended by GIC_DRAIN_MAX */
};

/**
 * Bring up the CPU interface and the distributor. Returns ST_OK; ST_INVAL when the version or a
 * window makes no sense; ST_NODEV when the registers do not answer as a GIC of that version;
 * ST_NOENT when no redistributor is this CPU's; ST_TIMEOUT when it does not wake up.
 */
enum status gic_init(struct gic *gic, const struct gic_info *info);

/**
 * Enable a PPI or SPI. Its bit in gic_drain()'s answer is BIT32(*line).
 * ST_OK; ST_RANGE when the GIC has no such INTID; ST_FULL after GIC_LINES_MAX.
 */
enum status gic_enable(struct gic *gic, u32 intid, u32 *line);

/** Acknowledge and end everything that is pending; one bit per line that was. Bounded. */
u32 gic_drain(struct gic *gic);

/** MPIDR_EL1's affinity fields. */
u64 gic_cpu_affinity(void);
