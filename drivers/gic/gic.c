/* SPDX-License-Identifier: BSD-2-Clause */
/* gic.c - what both versions share: choosing one, lines, draining. */
#include "drivers/gic/gic.h"

#include <string.h>

#include "drivers/gic/gic_impl.h"
#include "drivers/gic/gic_regs.h"
#include "drivers/gic/gicv3_cpu.h"
#include "start/base/arith.h"
#include "start/base/check.h"

#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

u64 gic_cpu_affinity(void)
{
    return mpidr_read() & MPIDR_AFFINITY;
}

static bool window_ok(u64 base, u64 bytes, u64 wanted)
{
    u64 end;

    return base != 0 && is_aligned(base, 4096) && bytes >= wanted && add_ok_u64(base, bytes, &end);
}

enum status gic_init(struct gic *gic, const struct gic_info *info)
{
    bool is_v3 = info->version == 3;

    memset(gic, 0, sizeof(*gic));
    gic->info = *info;
    if ((info->version != 2 && !is_v3) ||
        !window_ok(info->dist_base, info->dist_bytes, is_v3 ? GICD_V3_BYTES : GICD_V2_BYTES) ||
        !window_ok(info->cpu_base, info->cpu_bytes, is_v3 ? GICR_BYTES : GICC_BYTES)) {
        return ST_INVAL;
    }
    if (info->redist_stride % GICR_BYTES != 0) {
        return ST_INVAL;
    }
    gic->impl = is_v3 ? &gicv3_impl : &gicv2_impl;
    return gic->impl->init(gic);
}

enum status gic_enable(struct gic *gic, u32 intid, u32 *line)
{
    CHECK(gic->impl);
    if (intid < 16 || intid >= gic->intid_count) {
        return ST_RANGE; /* 0..15 are for messages between CPUs */
    }
    if (gic->line_count == GIC_LINES_MAX) {
        return ST_FULL;
    }
    *line = gic->line_count++;
    gic->line[*line].intid = intid;
    gic->impl->enable(gic, intid);
    return ST_OK;
}

/** The bit of the line with this INTID; 0 when nobody enabled it. */
static u32 line_taken(struct gic *gic, u32 intid)
{
    for (u32 i = 0; i < gic->line_count; i++) {
        if (gic->line[i].intid == intid) {
            gic->line[i].taken++;
            return BIT32(i);
        }
    }
    gic->unknown++;
    return 0;
}

u32 gic_drain(struct gic *gic)
{
    u32 lines = 0;

    CHECK(gic->impl);
    for (u32 turn = 0; turn < GIC_DRAIN_MAX; turn++) {
        u32 raw = gic->impl->acknowledge(gic);
        u32 intid = raw & gic->impl->intid_mask;

        if (intid >= GIC_INTID_MAX && intid < 1024) {
            gic->spurious += turn == 0;
            return lines;
        }
        lines |= line_taken(gic, intid);
        gic->impl->end(gic, raw);
    }
    gic->drain_cut++;
    return lines;
}
