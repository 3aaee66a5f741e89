/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.c - virtio-mmio nodes as libxl writes them. See tree.h.
 */
#include "tests/guest/front/tree.h"

#include <libfdt.h>

#include "tests/guest/front/machine.h"

#define CELL         4
#define SPI          0          /* type of a shared interrupt [DT binding arm,gic] */
#define SPI_FIRST    32         /* INTID of SPI 0 */
#define REG_BYTES    (4 * CELL) /* two cells of address, two of size: libxl's root */
#define IRQ_BYTES    (3 * CELL)
#define IOMMUS_BYTES (2 * CELL) /* phandle, domain [DT binding xen,grant-dma] */

static u32 cell(const u8 *p, u32 at)
{
    p += (usize)at * CELL;
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static const u8 *property(const void *blob, int node, const char *name, int bytes)
{
    int length;
    const u8 *p = fdt_getprop(blob, node, name, &length);

    return p && length == bytes ? p : NULL;
}

static void grants_get(const void *blob, int node, struct tree_virtio *dev)
{
    const u8 *iommus = property(blob, node, "iommus", IOMMUS_BYTES);
    int iommu = iommus ? fdt_node_offset_by_phandle(blob, cell(iommus, 0)) : -1;

    if (iommu >= 0 && fdt_node_check_compatible(blob, iommu, "xen,grant-dma") == 0) {
        dev->grants = true;
        dev->backend = (u16)cell(iommus, 1);
    }
}

u32 tree_virtio_scan(const struct fdt_scan *fdt, struct tree_virtio *found, u32 max)
{
    const void *blob = fdt->blob;
    int node = fdt_next_node(blob, 0, NULL);
    u32 count = 0;

    for (u32 turn = 0; turn < FDT_NODES_MAX && node >= 0; turn++) {
        if (fdt_node_check_compatible(blob, node, "virtio,mmio") == 0) {
            const u8 *reg = property(blob, node, "reg", REG_BYTES);
            const u8 *irq = property(blob, node, "interrupts", IRQ_BYTES);

            if (!reg || !irq || cell(irq, 0) != SPI) {
                machine_refuse("a virtio,mmio node is not as libxl writes it");
            }
            if (count < max) {
                found[count] = (struct tree_virtio){
                    .regs = {(u64)cell(reg, 0) << 32 | cell(reg, 1),
                             (u64)cell(reg, 2) << 32 | cell(reg, 3)},
                    .intid = SPI_FIRST + cell(irq, 1),
                };
                grants_get(blob, node, &found[count]);
            }
            count++;
        }
        node = fdt_next_node(blob, node, NULL);
    }
    return count;
}
