/* SPDX-License-Identifier: BSD-2-Clause */
/* gicv3.c - version 3: distributor and redistributor in memory, CPU interface in system registers.
 */
#include "drivers/gic/gic_impl.h"
#include "drivers/gic/gic_regs.h"
#include "drivers/gic/gicv3_cpu.h"
#include "drivers/mmio.h"
#include "start/base/arith.h"
#include "start/port.h"

#define GICV3_REDISTS_MAX 1024                /* redistributors looked at */
#define GICV3_WAIT_NS     UINT64_C(100000000) /* for RWP and for waking up */

/** Wait until the bits of a register are clear. */
static enum status wait_clear(u64 reg, u32 bits)
{
    u64 deadline_ns = port_now_ns() + GICV3_WAIT_NS;

    while (mmio_read32(reg) & bits) {
        if (port_now_ns() >= deadline_ns) {
            return ST_TIMEOUT;
        }
        port_relax();
    }
    return ST_OK;
}

/** GICR_TYPER's affinity, 3.2.1.0 in 32 bits, in the form of MPIDR. */
static u64 typer_affinity(u64 typer)
{
    u64 packed = typer >> 32;

    return (packed & 0xffffff) | (packed & UINT64_C(0xff000000)) << 8;
}

/** Walk the region for the redistributor of this CPU. */
static enum status redist_find(struct gic *gic)
{
    u64 at = 0;

    for (u32 i = 0; i < GICV3_REDISTS_MAX && range_ok(at, GICR_BYTES, gic->info.cpu_bytes); i++) {
        u64 base = gic->info.cpu_base + at;
        u64 typer = mmio_read64(base + GICR_TYPER);

        if (typer_affinity(typer) == gic->info.cpu_affinity) {
            gic->redist_base = base;
            return ST_OK;
        }
        if (typer & GICR_TYPER_LAST) {
            break;
        }
        at += gic->info.redist_stride    ? gic->info.redist_stride
              : typer & GICR_TYPER_VLPIS ? GICR_BYTES_VLPI
                                         : GICR_BYTES;
    }
    return ST_NOENT;
}

static bool version_ok(u64 base, u64 offset)
{
    u32 version = GIC_PIDR2_VERSION(mmio_read32(base + offset));

    return version == 3 || version == 4;
}

static enum status redist_init(struct gic *gic)
{
    u64 base = gic->redist_base;
    u32 waker = mmio_read32(base + GICR_WAKER);

    mmio_write32(base + GICR_WAKER, waker & ~GICR_WAKER_SLEEP);
    if (wait_clear(base + GICR_WAKER, GICR_WAKER_ASLEEP) != ST_OK) {
        return ST_TIMEOUT;
    }
    /* Private lines a loader left enabled are not ours to be woken by. All belong to group 1. */
    mmio_write32(base + GICR_SGI + GICD_ICENABLER, UINT32_MAX);
    mmio_write32(base + GICR_SGI + GICD_IGROUPR, UINT32_MAX);
    return ST_OK;
}

static enum status gicv3_init(struct gic *gic)
{
    u64 dist = gic->info.dist_base;
    enum status st;

    if (!version_ok(dist, GICD_PIDR2) || !icc_sre_enable()) {
        return ST_NODEV;
    }
    gic->intid_count = min_u32(GIC_INTIDS(mmio_read32(dist + GICD_TYPER)), GIC_INTID_MAX);
    mmio_write32(dist + GICD_CTLR, 0);
    st = wait_clear(dist + GICD_CTLR, GICD_CTLR_RWP);
    if (st != ST_OK) {
        return st;
    }
    /* ARE may only change while the groups are off [GICv3] 12.9.4. */
    mmio_write32(dist + GICD_CTLR, GICD_CTLR_ARE);
    mmio_write32(dist + GICD_CTLR, GICD_CTLR_ARE | GICD_CTLR_GRP1 | GICD_CTLR_GRP0);
    st = wait_clear(dist + GICD_CTLR, GICD_CTLR_RWP);
    if (st == ST_OK) {
        st = redist_find(gic);
    }
    if (st == ST_OK) {
        st = redist_init(gic);
    }
    if (st != ST_OK) {
        return st;
    }
    icc_pmr_write(GIC_PMR_ALL);
    icc_bpr1_write(0);
    icc_ctlr_write(0); /* ending an interrupt also deactivates it */
    icc_igrpen1_write(1);
    return ST_OK;
}

static void gicv3_enable(struct gic *gic, u32 intid)
{
    /* INTIDs 0..31 live in the redistributor, at the same offsets as in the distributor. */
    u64 base = intid < 32 ? gic->redist_base + GICR_SGI : gic->info.dist_base;

    mmio_write8(base + GICD_IPRIORITYR + intid, GIC_PRIORITY);
    if (intid >= 32) {
        u64 group = base + GICD_IGROUPR + intid / 32 * 4;

        mmio_write32(group, mmio_read32(group) | BIT32(intid % 32));
        mmio_write64(base + GICD_IROUTER + 8 * (u64)intid, gic->info.cpu_affinity);
    }
    mmio_write32(base + GICD_ISENABLER + intid / 32 * 4, BIT32(intid % 32));
}

static u32 gicv3_acknowledge(struct gic *gic)
{
    (void)gic;
    return icc_iar1_read();
}

static void gicv3_end(struct gic *gic, u32 raw)
{
    (void)gic;
    icc_eoir1_write(raw);
}

const struct gic_impl gicv3_impl = {
    .init = gicv3_init,
    .enable = gicv3_enable,
    .acknowledge = gicv3_acknowledge,
    .end = gicv3_end,
    .intid_mask = GICV3_IAR_INTID,
};
