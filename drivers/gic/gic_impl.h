/* SPDX-License-Identifier: BSD-2-Clause */
/* gic_impl.h - what gicv2.c and gicv3.c each provide to gic.c. */
#pragma once

#include "drivers/gic/gic.h"

struct gic_impl {
    /** See gic_init(). */
    enum status (*init)(struct gic *gic);
    /** intid is below gic->intid_count. */
    void (*enable)(struct gic *gic, u32 intid);
    /** The raw answer, to be given back to end(). */
    u32 (*acknowledge)(struct gic *gic);
    void (*end)(struct gic *gic, u32 raw);
    /** Which bits of the raw answer are the INTID. */
    u32 intid_mask;
};

extern const struct gic_impl gicv2_impl;
extern const struct gic_impl gicv3_impl;
