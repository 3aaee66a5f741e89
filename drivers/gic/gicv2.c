/* SPDX-License-Identifier: BSD-2-Clause */
/* gicv2.c - version 2: distributor and CPU interface both in memory. */
#include "drivers/gic/gic_impl.h"
#include "drivers/gic/gic_regs.h"
#include "drivers/mmio.h"
#include "start/base/arith.h"

static enum status gicv2_init(struct gic *gic)
{
    u64 dist = gic->info.dist_base;
    u64 cpu = gic->info.cpu_base;
    u32 typer = mmio_read32(dist + GICD_TYPER);

    if (typer == UINT32_MAX) {
        return ST_NODEV; /* an empty bus */
    }
    gic->intid_count = min_u32(GIC_INTIDS(typer), GIC_INTID_MAX);
    mmio_write32(dist + GICD_CTLR, 0);
    /* Private lines a loader left enabled are not ours to be woken by. */
    mmio_write32(dist + GICD_ICENABLER, UINT32_MAX);
    mmio_write32(dist + GICD_CTLR, GICD_CTLR_GRP0);
    mmio_write32(cpu + GICC_PMR, GIC_PMR_ALL);
    mmio_write32(cpu + GICC_BPR, 0);
    mmio_write32(cpu + GICC_CTLR, 1);
    return mmio_read32(cpu + GICC_CTLR) & 1 ? ST_OK : ST_NODEV;
}

static void gicv2_enable(struct gic *gic, u32 intid)
{
    u64 dist = gic->info.dist_base;

    mmio_write8(dist + GICD_IPRIORITYR + intid, GIC_PRIORITY);
    if (intid >= 32) {
        /* The targets of private lines read as this CPU's own bit [GICv2] 4.3.12. */
        mmio_write8(dist + GICD_ITARGETSR + intid, mmio_read8(dist + GICD_ITARGETSR));
    }
    mmio_write32(dist + GICD_ISENABLER + intid / 32 * 4, BIT32(intid % 32));
}

static u32 gicv2_acknowledge(struct gic *gic)
{
    return mmio_read32(gic->info.cpu_base + GICC_IAR);
}

static void gicv2_end(struct gic *gic, u32 raw)
{
    mmio_write32(gic->info.cpu_base + GICC_EOIR, raw);
}

const struct gic_impl gicv2_impl = {
    .init = gicv2_init,
    .enable = gicv2_enable,
    .acknowledge = gicv2_acknowledge,
    .end = gicv2_end,
    .intid_mask = GICV2_IAR_INTID,
};
