/* SPDX-License-Identifier: BSD-2-Clause */
/* tree.c - see tree.h. */
#include "tests/fake/tree.h"

#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELLS_MAX 64

static void must(int err)
{
    if (err != 0) {
        fprintf(stderr, "tree: %s\n", fdt_strerror(err));
        abort();
    }
}

void tree_begin(struct tree *tree)
{
    memset(tree, 0, sizeof(*tree));
    must(fdt_create(tree->blob, sizeof(tree->blob)));
}

void tree_reserve(struct tree *tree, u64 base, u64 bytes)
{
    must(fdt_add_reservemap_entry(tree->blob, base, bytes));
}

void tree_root(struct tree *tree)
{
    must(fdt_finish_reservemap(tree->blob));
    must(fdt_begin_node(tree->blob, ""));
}

void tree_node(struct tree *tree, const char *name)
{
    must(fdt_begin_node(tree->blob, name));
}

void tree_end(struct tree *tree)
{
    must(fdt_end_node(tree->blob));
}

void tree_cells(struct tree *tree, const char *name, u32 count, const u32 *cells)
{
    fdt32_t wire[CELLS_MAX];

    if (count > CELLS_MAX) {
        must(-FDT_ERR_NOSPACE);
    }
    for (u32 i = 0; i < count; i++) {
        wire[i] = cpu_to_fdt32(cells[i]);
    }
    must(fdt_property(tree->blob, name, wire, (int)(4 * count)));
}

void tree_text(struct tree *tree, const char *name, const char *text)
{
    must(fdt_property_string(tree->blob, name, text));
}

void tree_bytes(struct tree *tree, const char *name, const void *value, u32 bytes)
{
    must(fdt_property(tree->blob, name, value, (int)bytes));
}

void tree_finish(struct tree *tree)
{
    must(fdt_end_node(tree->blob));
    must(fdt_finish(tree->blob));
}

void tree_guest_chosen(struct tree *tree)
{
    tree_begin(tree);
    tree_root(tree);
    TREE_CELLS(tree, "#address-cells", 2);
    TREE_CELLS(tree, "#size-cells", 2);
    tree_text(tree, "compatible", "xen,xenvm");
    tree_node(tree, "chosen");
}

static void tree_gic(struct tree *tree, u32 version)
{
    tree_node(tree, "interrupt-controller");
    TREE_CELLS(tree, "#interrupt-cells", 3);
    if (version == 3) {
        tree_text(tree, "compatible", "arm,gic-v3");
        TREE_CELLS(tree, "reg", 0, 0x03001000, 0, 0x10000, 0, 0x03020000, 0, 0x1000000);
    } else {
        tree_text(tree, "compatible", "arm,gic-400");
        TREE_CELLS(tree, "reg", 0, 0x03001000, 0, 0x1000, 0, 0x03002000, 0, 0x2000);
    }
    tree_end(tree);
}

void tree_guest_rest(struct tree *tree, u32 gic_version)
{
    tree_end(tree);
    tree_node(tree, "memory@40000000");
    tree_text(tree, "device_type", "memory");
    TREE_CELLS(tree, "reg", 0, 0x40000000, 0, 0x10000000);
    tree_end(tree);
    tree_node(tree, "memory@200000000");
    tree_text(tree, "device_type", "memory");
    TREE_CELLS(tree, "reg", 2, 0, 0, 0x20000000);
    tree_end(tree);
    tree_gic(tree, gic_version);
    tree_node(tree, "timer");
    tree_text(tree, "compatible", "arm,armv8-timer");
    TREE_CELLS(tree, "interrupts", 1, 13, 0xff08, 1, 14, 0xff08, 1, 11, 0xff08);
    tree_end(tree);
    tree_node(tree, "hypervisor");
    tree_bytes(tree, "compatible", "xen,xen-4.20\0xen,xen", sizeof("xen,xen-4.20\0xen,xen"));
    TREE_CELLS(tree, "reg", 0, 0x38000000, 0, 0x1000000, 0, 0x50000000, 0, 0xb0000000, 2,
               0x20000000, 0xfd, 0xe0000000);
    TREE_CELLS(tree, "interrupts", 1, 15, 0xf08);
    tree_end(tree);
    tree_finish(tree);
}

void tree_of_guest(struct tree *tree, u32 gic_version)
{
    tree_guest_chosen(tree);
    tree_text(tree, "bootargs", "disk=data,size=4M");
    tree_guest_rest(tree, gic_version);
}
