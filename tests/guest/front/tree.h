/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.h - the virtio-mmio devices of the guest's device tree.                    plane: control
 */
#pragma once

#include "drivers/fdt/fdt_scan.h"

/** A node compatible with "virtio,mmio". */
struct tree_virtio {
    struct fdt_range regs;
    u32 intid;
    bool grants; /* iommus names a xen,grant-dma */
    u16 backend; /* the domain that it names */
};

/** At most max of them, in the order of the tree; returns how many there are. What libxl does not
 * write ends the domain. */
u32 tree_virtio_scan(const struct fdt_scan *fdt, struct tree_virtio *found, u32 max);
