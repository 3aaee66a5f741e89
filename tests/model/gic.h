/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gic.h - a GIC of either version as a register model: pending lines, acknowledge, end.
 *
 * Knows the registers that drivers/gic uses and aborts on any other, on a width the register does
 * not take, and on breaks of the protocol: ending what was not acknowledged, changing affinity
 * routing while a group is on. The system registers of version 3 are functions here, see
 * drivers/gic/gicv3_cpu.h.    [GICv2] IHI 0048B, [GICv3] IHI 0069H
 */
#pragma once

#include "start/base/types.h"

#define GIC_MODEL_DIST    UINT64_C(0x8000000)
#define GIC_MODEL_CPU     UINT64_C(0x8010000)
#define GIC_MODEL_REDIST  UINT64_C(0x80a0000)
#define GIC_MODEL_INTIDS  96
#define GIC_MODEL_REDISTS 4

struct gic_model {
    /* set by a test after gic_model_init() */
    u32 redist_count;
    u64 redist_typer[GIC_MODEL_REDISTS]; /* GICR_TYPER of each */
    u64 redist_bytes;                    /* from one to the next */
    u64 mpidr;
    u32 pidr2;                    /* of distributor and redistributors */
    bool rwp_stuck;               /* GICD_CTLR.RWP never clears */
    bool never_wakes;             /* GICR_WAKER.ChildrenAsleep never clears */
    bool sre_refused;             /* no system-register interface */
    bool level[GIC_MODEL_INTIDS]; /* asserted as long as this is true */
    bool edge[GIC_MODEL_INTIDS];  /* pending until acknowledged */
    /* state */
    u32 version;
    u32 dist_ctlr, cpu_ctlr, pmr, waker;
    bool enabled[GIC_MODEL_INTIDS];
    bool group1[GIC_MODEL_INTIDS];
    bool active[GIC_MODEL_INTIDS];
    u8 priority[GIC_MODEL_INTIDS];
    u8 target[GIC_MODEL_INTIDS];
    u64 router[GIC_MODEL_INTIDS];
    u32 acknowledged, ended;
};

/** A GIC of version 2 or 3 with one CPU interface, its registers at the addresses above. */
void gic_model_init(struct gic_model *model, u32 version);
