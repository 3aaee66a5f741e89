/* SPDX-License-Identifier: BSD-2-Clause */
/* gic.c - see gic.h. */
#include "tests/model/gic.h"

#include <string.h>

#include "drivers/gic/gic_regs.h"
#include "drivers/gic/gicv3_cpu.h"
#include "tests/fake/mmio_host.h"

#define SPURIOUS 1023
#define CPU_BIT  0x04 /* which CPU we are in ITARGETSR: not bit 0, to catch who assumes it */

static struct gic_model *cpu; /* whose system registers those of version 3 are */

/* --- what is pending ------------------------------------------------------------------------- */
static bool groups_on(const struct gic_model *m, u32 intid)
{
    if (m->version == 2) {
        return m->dist_ctlr & GICD_CTLR_GRP0;
    }
    return (m->dist_ctlr & GICD_CTLR_GRP1) && m->group1[intid];
}

static u32 acknowledge(struct gic_model *m)
{
    for (u32 i = 0; i < GIC_MODEL_INTIDS; i++) {
        if ((m->level[i] || m->edge[i]) && m->enabled[i] && !m->active[i] && groups_on(m, i) &&
            (m->cpu_ctlr & 1) && m->priority[i] < m->pmr) {
            m->edge[i] = false;
            m->active[i] = true;
            m->acknowledged++;
            return i;
        }
    }
    return SPURIOUS;
}

static void end(struct gic_model *m, u32 intid)
{
    if (intid >= GIC_MODEL_INTIDS || !m->active[intid]) {
        mmio_host_complain("GIC: the end of INTID %u, which is not active", intid);
    }
    m->active[intid] = false;
    m->ended++;
}

/* --- registers with a bit or a byte per INTID ------------------------------------------------- */
static u32 first_of(u64 offset, u64 reg, u32 per_byte)
{
    u32 first = (u32)(offset - reg) * per_byte;

    if (first >= GIC_MODEL_INTIDS) {
        mmio_host_complain("GIC: register 0x%llx is beyond INTID %u", (unsigned long long)offset,
                           GIC_MODEL_INTIDS - 1);
    }
    return first;
}

static bool in_bits(u64 offset, u64 reg)
{
    return offset >= reg && offset < reg + 0x80;
}

static bool in_bytes(u64 offset, u64 reg)
{
    return offset >= reg && offset < reg + 0x400;
}

static void need_width(u64 offset, u32 width, u32 wanted)
{
    if (width != wanted) {
        mmio_host_complain("GIC: register 0x%llx takes %u bytes at once, not %u",
                           (unsigned long long)offset, wanted, width);
    }
}

static void bits_set(bool *bit, u32 first, u32 value, bool to)
{
    for (u32 i = 0; i < 32; i++) {
        if (value & BIT32(i)) {
            bit[first + i] = to;
        }
    }
}

/** The registers that a distributor and the second frame of a redistributor have in common. */
static bool lines_write(struct gic_model *m, u64 offset, u32 width, u64 value)
{
    if (in_bits(offset, GICD_ISENABLER) || in_bits(offset, GICD_ICENABLER)) {
        bool on = in_bits(offset, GICD_ISENABLER);

        need_width(offset, width, 4);
        bits_set(m->enabled, first_of(offset, on ? GICD_ISENABLER : GICD_ICENABLER, 8), (u32)value,
                 on);
    } else if (in_bits(offset, GICD_IGROUPR) && m->version == 3) {
        u32 first = first_of(offset, GICD_IGROUPR, 8);

        need_width(offset, width, 4);
        bits_set(m->group1, first, (u32)value, true);
        bits_set(m->group1, first, ~(u32)value, false);
    } else if (in_bytes(offset, GICD_IPRIORITYR)) {
        need_width(offset, width, 1);
        m->priority[first_of(offset, GICD_IPRIORITYR, 1)] = (u8)value;
    } else {
        return false;
    }
    return true;
}

/* --- distributor ----------------------------------------------------------------------------- */
static void dist_ctlr_write(struct gic_model *m, u32 value)
{
    const u32 groups = GICD_CTLR_GRP0 | GICD_CTLR_GRP1;

    if (m->version == 3 && (m->dist_ctlr & groups) && ((m->dist_ctlr ^ value) & GICD_CTLR_ARE)) {
        mmio_host_complain("GIC: affinity routing changed while a group is on");
    }
    m->dist_ctlr = value;
}

static u64 dist_read(void *ctx, u64 offset, u32 width)
{
    struct gic_model *m = ctx;

    if (in_bytes(offset, GICD_ITARGETSR) && m->version == 2) {
        need_width(offset, width, 1);
        return offset < GICD_ITARGETSR + 32 ? CPU_BIT : m->target[offset - GICD_ITARGETSR];
    }
    need_width(offset, width, 4);
    if (offset == GICD_CTLR) {
        return m->dist_ctlr | (m->rwp_stuck ? GICD_CTLR_RWP : 0);
    }
    if (offset == GICD_TYPER) {
        return GIC_MODEL_INTIDS / 32 - 1;
    }
    if (offset == GICD_PIDR2 && m->version == 3) {
        return m->pidr2;
    }
    if (in_bits(offset, GICD_IGROUPR) && m->version == 3) {
        u32 first = first_of(offset, GICD_IGROUPR, 8);
        u32 value = 0;

        for (u32 i = 0; i < 32; i++) {
            value |= (u32)m->group1[first + i] << i;
        }
        return value;
    }
    mmio_host_complain("GIC: read of distributor register 0x%llx", (unsigned long long)offset);
}

static void dist_write(void *ctx, u64 offset, u32 width, u64 value)
{
    struct gic_model *m = ctx;

    if (offset == GICD_CTLR) {
        need_width(offset, width, 4);
        dist_ctlr_write(m, (u32)value);
    } else if (in_bytes(offset, GICD_ITARGETSR) && m->version == 2) {
        need_width(offset, width, 1);
        m->target[first_of(offset, GICD_ITARGETSR, 1)] = (u8)value;
    } else if (offset >= GICD_IROUTER + 8 * 32 && m->version == 3) {
        need_width(offset, width, 8);
        m->router[first_of(offset / 8, GICD_IROUTER / 8, 1)] = value;
    } else if (!lines_write(m, offset, width, value)) {
        mmio_host_complain("GIC: write of distributor register 0x%llx", (unsigned long long)offset);
    }
}

/* --- CPU interface of version 2 ----------------------------------------------------------------
 */
static u64 gicc_read(void *ctx, u64 offset, u32 width)
{
    struct gic_model *m = ctx;

    need_width(offset, width, 4);
    switch (offset) {
    case GICC_CTLR:
        return m->cpu_ctlr;
    case GICC_IAR:
        return acknowledge(m);
    default:
        mmio_host_complain("GIC: read of CPU register 0x%llx", (unsigned long long)offset);
    }
}

static void gicc_write(void *ctx, u64 offset, u32 width, u64 value)
{
    struct gic_model *m = ctx;

    need_width(offset, width, 4);
    switch (offset) {
    case GICC_CTLR:
        m->cpu_ctlr = (u32)value;
        break;
    case GICC_PMR:
        m->pmr = (u32)value;
        break;
    case GICC_BPR:
        break;
    case GICC_EOIR:
        end(m, (u32)value);
        break;
    default:
        mmio_host_complain("GIC: write of CPU register 0x%llx", (unsigned long long)offset);
    }
}

/* --- redistributors ----------------------------------------------------------------------------
 */
static u32 redist_idx(const struct gic_model *m, u64 offset)
{
    u64 idx = offset / m->redist_bytes;

    if (idx >= m->redist_count) {
        mmio_host_complain("GIC: there is no redistributor %u", (u32)idx);
    }
    return (u32)idx;
}

static u64 redist_read(void *ctx, u64 offset, u32 width)
{
    struct gic_model *m = ctx;
    u32 idx = redist_idx(m, offset);

    offset %= m->redist_bytes;
    if (offset == GICR_TYPER) {
        need_width(offset, width, 8);
        return m->redist_typer[idx];
    }
    need_width(offset, width, 4);
    if (offset == GICR_WAKER) {
        return m->waker;
    }
    mmio_host_complain("GIC: read of redistributor register 0x%llx", (unsigned long long)offset);
}

static void redist_write(void *ctx, u64 offset, u32 width, u64 value)
{
    struct gic_model *m = ctx;
    u32 idx = redist_idx(m, offset);
    u64 affinity = m->redist_typer[idx] >> 32;

    offset %= m->redist_bytes;
    if (affinity != ((m->mpidr & 0xffffff) | (m->mpidr >> 8 & 0xff000000))) {
        mmio_host_complain("GIC: write to the redistributor of another CPU");
    }
    if (offset == GICR_WAKER) {
        need_width(offset, width, 4);
        m->waker = (u32)value & GICR_WAKER_SLEEP;
        m->waker |= m->waker || m->never_wakes ? GICR_WAKER_ASLEEP : 0;
    } else if (offset < GICR_SGI || !lines_write(m, offset - GICR_SGI, width, value)) {
        mmio_host_complain("GIC: write of redistributor register 0x%llx",
                           (unsigned long long)offset);
    }
}

/* --- system registers of version 3 -------------------------------------------------------------
 */
bool icc_sre_enable(void)
{
    return !cpu->sre_refused;
}

void icc_pmr_write(u32 value)
{
    cpu->pmr = value;
}

void icc_bpr1_write(u32 value)
{
    (void)value;
}

void icc_ctlr_write(u32 value)
{
    if (value & 2) {
        mmio_host_complain("GIC: this model ends and deactivates in one step");
    }
}

void icc_igrpen1_write(u32 value)
{
    cpu->cpu_ctlr = value;
}

u32 icc_iar1_read(void)
{
    return acknowledge(cpu);
}

void icc_eoir1_write(u32 value)
{
    end(cpu, value);
}

u64 mpidr_read(void)
{
    return cpu->mpidr;
}

void gic_model_init(struct gic_model *m, u32 version)
{
    memset(m, 0, sizeof(*m));
    m->version = version;
    m->redist_count = 1;
    m->redist_bytes = GICR_BYTES;
    m->redist_typer[0] = GICR_TYPER_LAST;
    m->pidr2 = 0x3b;
    m->waker = GICR_WAKER_SLEEP | GICR_WAKER_ASLEEP;
    m->mpidr = BIT64(31); /* RES1, no part of the affinity */
    cpu = m;
    mmio_host_reset();
    mmio_host_add(&(struct mmio_model){GIC_MODEL_DIST, 0x10000, dist_read, dist_write, m});
    if (version == 2) {
        mmio_host_add(&(struct mmio_model){GIC_MODEL_CPU, 0x2000, gicc_read, gicc_write, m});
    } else {
        mmio_host_add(&(struct mmio_model){GIC_MODEL_REDIST, GIC_MODEL_REDISTS * GICR_BYTES_VLPI,
                                           redist_read, redist_write, m});
    }
}
