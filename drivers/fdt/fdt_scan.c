/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_scan.c - questions to the device tree.                                       plane: control
 *
 * [DT] Devicetree Specification v0.4. [XEN-DT] Xen's docs/misc/arm/device-tree/guest.txt.
 * fdt_blob.c keeps every read inside the blob; what it hands out is still only bytes of somebody
 * else: lengths, cell counts, sums are checked here.
 */
#include "drivers/fdt/fdt_scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

#define ALIAS_MAX  64 /* bytes of a stdout-path alias, NUL included */
#define GIC_CELLS  3  /* of an interrupt: type, number, flags [DT binding arm,gic] */
#define GIC_PPI    1
#define PPI_COUNT  16
#define PPI_FIRST  16 /* INTID of PPI 0 */
#define TIMER_VIRT 2  /* third interrupt of arm,armv8-timer */
#define PAGE_UART  UINT64_C(4096)

#define GICV2_NAMES "arm,gic-400", "arm,cortex-a15-gic", "arm,cortex-a9-gic", "arm,cortex-a7-gic"

static enum status complain(struct fdt_scan *scan, enum status st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status complain(struct fdt_scan *scan, enum status st, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(scan->why, sizeof(scan->why), format, args);
    va_end(args);
    return st;
}

enum status fdt_scan_init(struct fdt_scan *scan, const void *blob, u64 max_bytes)
{
    const char *fault;
    u32 bytes;

    memset(scan, 0, sizeof(*scan));
    if (max_bytes < 8 || fdt_word(blob) != FDT_BLOB_MAGIC) {
        return complain(
            scan, ST_PROTO,
            "device tree: no flattened tree where x0 pointed at entry; boot the image as a "
            "kernel that gets one (xl kernel=, or a dom0less domain)");
    }
    bytes = fdt_word((const u8 *)blob + 4);
    if (bytes > max_bytes || bytes > FDT_BYTES_MAX) {
        return complain(scan, ST_PROTO,
                        "device tree: its header claims %u bytes; at most %u are read",
                        (unsigned)bytes, (unsigned)min_u64(max_bytes, FDT_BYTES_MAX));
    }
    fault = fdt_blob_open(&scan->blob, blob, bytes);
    if (fault) {
        return complain(scan, ST_PROTO, "device tree: damaged: %s", fault);
    }
    return ST_OK;
}

static const u8 *prop_get(const struct fdt_scan *scan, u32 node, const char *name, u32 *bytes)
{
    return fdt_blob_prop(&scan->blob, node, name, bytes);
}

static u32 node_find(const struct fdt_scan *scan, const char *path)
{
    return fdt_blob_find(&scan->blob, path, strlen(path));
}

static const char *node_name(const struct fdt_scan *scan, u32 node)
{
    const char *name = fdt_blob_name(&scan->blob, node);

    return name[0] != 0 ? name : "/";
}

/** A property of exactly one or two cells as a number. */
static bool number_get(const struct fdt_scan *scan, u32 node, const char *name, u64 *value)
{
    u32 len;
    const u8 *p = prop_get(scan, node, name, &len);

    if (!p || (len != 4 && len != 8)) {
        return false;
    }
    *value = len == 4 ? fdt_word(p) : (u64)fdt_word(p) << 32 | fdt_word(p + 4);
    return true;
}

/** The property is a NUL-terminated string within its bytes, or NULL. */
static const char *string_get(const struct fdt_scan *scan, u32 node, const char *name)
{
    u32 len;
    const char *p = (const char *)prop_get(scan, node, name, &len);

    return p && len > 0 && memchr(p, 0, len) == p + len - 1 ? p : NULL;
}

/** [DT] 2.3.4: a node without status is okay. */
static bool node_is_okay(const struct fdt_scan *scan, u32 node)
{
    const char *status = string_get(scan, node, "status");

    return !prop_get(scan, node, "status", NULL) ||
           (status && (strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0));
}

/** The node's list of compatible names holds one of ours. */
static bool node_is(const struct fdt_scan *scan, u32 node, const char *const *names, u32 count)
{
    u32 len = 0;
    const char *list = (const char *)prop_get(scan, node, "compatible", &len);
    usize bytes;

    for (u32 at = 0; list && at < len; at += (u32)bytes + 1) {
        bytes = strnlen(list + at, len - at);
        for (u32 i = 0; i < count && bytes < len - at; i++) {
            if (strcmp(list + at, names[i]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/** The first usable node that has one of the names, or FDT_NO_NODE. */
static u32 node_by_compatible(const struct fdt_scan *scan, const char *const *names, u32 count)
{
    u32 node = scan->blob.root;

    for (u32 turn = 0; turn < FDT_NODES_MAX && node != FDT_NO_NODE; turn++) {
        if (node_is(scan, node, names, count) && node_is_okay(scan, node)) {
            return node;
        }
        node = fdt_blob_next(&scan->blob, node, NULL);
    }
    return FDT_NO_NODE;
}

/**
 * Addresses of a node are the CPU's when every bus above it says so: an empty ranges [DT] 2.3.8.
 * Trees of guests keep everything at the root.
 */
static bool addresses_are_ours(const struct fdt_scan *scan, u32 node)
{
    u32 parent = fdt_blob_parent(&scan->blob, node);

    for (u32 depth = 0; depth < FDT_DEPTH_MAX; depth++) {
        u32 len;

        if (parent == FDT_NO_NODE || parent == scan->blob.root) {
            return parent == scan->blob.root;
        }
        if (!prop_get(scan, parent, "ranges", &len) || len != 0) {
            return false;
        }
        parent = fdt_blob_parent(&scan->blob, parent);
    }
    return false;
}

/** A cell count of a parent node [DT] 2.3.5: 1 or 2, or 0 for anything else. */
static u32 cells_get(const struct fdt_scan *scan, u32 parent, const char *name, u32 otherwise)
{
    u64 cells;

    if (parent == FDT_NO_NODE) {
        return 0;
    }
    if (!prop_get(scan, parent, name, NULL)) {
        return otherwise;
    }
    return number_get(scan, parent, name, &cells) && cells <= 2 ? (u32)cells : 0;
}

static u64 cells_read(const u8 *p, u32 cells)
{
    return cells == 1 ? fdt_word(p) : (u64)fdt_word(p) << 32 | fdt_word(p + 4);
}

/** All of a node's reg that has a size. Appends to *ranges. */
static enum status reg_get(struct fdt_scan *scan, u32 node, struct fdt_ranges *ranges)
{
    u32 parent = fdt_blob_parent(&scan->blob, node);
    u32 address_cells = cells_get(scan, parent, "#address-cells", 2);
    u32 size_cells = cells_get(scan, parent, "#size-cells", 1);
    u32 entry_bytes;
    u32 len;
    const u8 *p = prop_get(scan, node, "reg", &len);

    if (!p) {
        return complain(scan, ST_PROTO, "device tree: node %s has no reg", node_name(scan, node));
    }
    if (address_cells == 0 || size_cells == 0) {
        return complain(scan, ST_PROTO,
                        "device tree: #address-cells and #size-cells above node %s must be 1 or 2",
                        node_name(scan, node));
    }
    entry_bytes = 4 * (address_cells + size_cells);
    if (len == 0 || len % entry_bytes != 0) {
        return complain(scan, ST_PROTO,
                        "device tree: reg of node %s has %u bytes, no multiple of %u",
                        node_name(scan, node), (unsigned)len, (unsigned)entry_bytes);
    }
    for (u32 at = 0; at < len; at += entry_bytes) {
        u64 base = cells_read(p + at, address_cells);
        u64 bytes = cells_read(p + at + 4 * address_cells, size_cells);
        u64 end;

        if (bytes == 0) {
            continue; /* an empty entry, as Xen writes for an unused bank */
        }
        if (!add_ok_u64(base, bytes, &end)) {
            return complain(scan, ST_PROTO,
                            "device tree: reg of node %s wraps around the address space",
                            node_name(scan, node));
        }
        if (ranges->count == FDT_RANGES_MAX) {
            return complain(scan, ST_FULL, "device tree: more than %u ranges at node %s",
                            FDT_RANGES_MAX, node_name(scan, node));
        }
        ranges->range[ranges->count++] = (struct fdt_range){base, bytes};
    }
    return ST_OK;
}

/** Registers of a device: addresses must be the CPU's, and at least wanted windows be there. */
static enum status windows_get(struct fdt_scan *scan, u32 node, u32 wanted,
                               struct fdt_ranges *ranges)
{
    enum status st;

    memset(ranges, 0, sizeof(*ranges));
    if (!addresses_are_ours(scan, node)) {
        return complain(scan, ST_PROTO,
                        "device tree: node %s lies behind a bus that translates addresses; Caisson "
                        "only follows buses with an empty ranges property",
                        node_name(scan, node));
    }
    st = reg_get(scan, node, ranges);
    if (st == ST_OK && ranges->count < wanted) {
        return complain(scan, ST_PROTO,
                        "device tree: node %s names %u register windows; %u are needed",
                        node_name(scan, node), (unsigned)ranges->count, (unsigned)wanted);
    }
    return st;
}

/** The INTID of PPI entry idx of a node's interrupts. */
static enum status ppi_get(struct fdt_scan *scan, u32 node, u32 idx, u32 *intid)
{
    u32 len;
    const u8 *p = prop_get(scan, node, "interrupts", &len);
    const u32 at = idx * GIC_CELLS * 4;

    if (!p || len % (GIC_CELLS * 4) != 0 || len < at + GIC_CELLS * 4) {
        return complain(scan, ST_PROTO,
                        "device tree: node %s lacks interrupt %u; Caisson needs it as three cells: "
                        "type, number, flags",
                        node_name(scan, node), (unsigned)idx);
    }
    if (fdt_word(p + at) != GIC_PPI || fdt_word(p + at + 4) >= PPI_COUNT) {
        return complain(scan, ST_PROTO,
                        "device tree: interrupt %u of node %s is type %u number %u; a private one "
                        "(type 1, number below %u) is needed",
                        (unsigned)idx, node_name(scan, node), (unsigned)fdt_word(p + at),
                        (unsigned)fdt_word(p + at + 4), PPI_COUNT);
    }
    *intid = PPI_FIRST + fdt_word(p + at + 4);
    return ST_OK;
}

enum status fdt_scan_memory(struct fdt_scan *scan, struct fdt_ranges *banks)
{
    u32 node = fdt_blob_next(&scan->blob, scan->blob.root, NULL);

    banks->count = 0;
    for (u32 turn = 0; turn < FDT_NODES_MAX && node != FDT_NO_NODE; turn++) {
        const char *type = string_get(scan, node, "device_type");

        if (type && strcmp(type, "memory") == 0 && node_is_okay(scan, node)) {
            enum status st = reg_get(scan, node, banks);

            if (st != ST_OK) {
                return st;
            }
        }
        node = fdt_blob_next(&scan->blob, node, NULL);
    }
    if (banks->count == 0) {
        return complain(
            scan, ST_NOENT,
            "device tree: no memory: a node with device_type \"memory\" and a reg that is "
            "not empty is needed");
    }
    return ST_OK;
}

/** The /memreserve/ entries, before the nodes in the blob [DT] 5.3. */
static enum status memreserve_get(struct fdt_scan *scan, struct fdt_ranges *reserved)
{
    for (u32 i = 0; i < scan->blob.reserved_entries; i++) {
        u64 base, bytes, end;

        fdt_blob_reserved(&scan->blob, i, &base, &bytes);
        if (!add_ok_u64(base, bytes, &end)) {
            return complain(scan, ST_PROTO, "device tree: /memreserve/ entry %u makes no sense",
                            (unsigned)i);
        }
        if (bytes == 0) {
            continue;
        }
        if (reserved->count == FDT_RANGES_MAX) {
            return complain(scan, ST_FULL, "device tree: more than %u reserved ranges",
                            FDT_RANGES_MAX);
        }
        reserved->range[reserved->count++] = (struct fdt_range){base, bytes};
    }
    return ST_OK;
}

enum status fdt_scan_reserved(struct fdt_scan *scan, struct fdt_ranges *reserved)
{
    u32 parent = node_find(scan, "/reserved-memory");
    u32 node = parent == FDT_NO_NODE ? parent : fdt_blob_child(&scan->blob, parent);
    enum status st;

    reserved->count = 0;
    st = memreserve_get(scan, reserved);
    for (u32 turn = 0; st == ST_OK && turn < FDT_NODES_MAX && node != FDT_NO_NODE; turn++) {
        /* A child without reg asks the kernel to choose a place: nothing of ours. */
        if (prop_get(scan, node, "reg", NULL) && node_is_okay(scan, node)) {
            st = reg_get(scan, node, reserved);
        }
        node = fdt_blob_sibling(&scan->blob, node);
    }
    return st;
}

enum status fdt_scan_gic(struct fdt_scan *scan, struct fdt_gic *gic)
{
    static const char *const names[] = {"arm,gic-v3", GICV2_NAMES};
    u32 node = node_by_compatible(scan, names, ARRAY_LEN(names));
    struct fdt_ranges ranges;
    u64 stride = 0;
    enum status st;

    memset(gic, 0, sizeof(*gic));
    if (node == FDT_NO_NODE) {
        return complain(scan, ST_NOENT,
                        "device tree: no interrupt controller: a node compatible with arm,gic-v3, "
                        "arm,gic-400 or arm,cortex-a15-gic is needed");
    }
    gic->version = node_is(scan, node, names, 1) ? 3 : 2;
    st = windows_get(scan, node, 2, &ranges);
    if (st != ST_OK) {
        return st;
    }
    gic->dist = ranges.range[0];
    gic->cpu = ranges.range[1];
    if (prop_get(scan, node, "redistributor-stride", NULL) &&
        (!number_get(scan, node, "redistributor-stride", &stride) || stride > UINT32_MAX)) {
        return complain(scan, ST_PROTO,
                        "device tree: redistributor-stride of node %s makes no sense",
                        node_name(scan, node));
    }
    gic->redist_stride = (u32)stride;
    return ST_OK;
}

enum status fdt_scan_timer(struct fdt_scan *scan, u32 *intid)
{
    static const char *const names[] = {"arm,armv8-timer", "arm,armv7-timer"};
    u32 node = node_by_compatible(scan, names, ARRAY_LEN(names));

    if (node == FDT_NO_NODE) {
        return complain(scan, ST_NOENT,
                        "device tree: no timer: a node compatible with arm,armv8-timer is needed");
    }
    return ppi_get(scan, node, TIMER_VIRT, intid);
}

enum status fdt_scan_hypervisor(struct fdt_scan *scan, struct fdt_hypervisor *hyp)
{
    static const char *const names[] = {"xen,xen"};
    u32 node = node_find(scan, "/hypervisor");
    struct fdt_ranges ranges;
    enum status st;

    memset(hyp, 0, sizeof(*hyp));
    if (node == FDT_NO_NODE || !node_is(scan, node, names, 1)) {
        return complain(
            scan, ST_NOENT,
            "device tree: no /hypervisor compatible with xen,xen: Caisson needs Xen under "
            "it (in a dom0less domain: xen,enhanced)");
    }
    st = windows_get(scan, node, 1, &ranges);
    if (st == ST_OK) {
        st = ppi_get(scan, node, 0, &hyp->evtchn_intid);
    }
    if (st != ST_OK) {
        return st;
    }
    hyp->grants = ranges.range[0];
    hyp->extended.count = ranges.count - 1;
    memcpy(hyp->extended.range, ranges.range + 1, hyp->extended.count * sizeof(ranges.range[0]));
    return ST_OK;
}

enum status fdt_scan_bootargs(struct fdt_scan *scan, const char **bootargs)
{
    u32 node = node_find(scan, "/chosen");

    *bootargs = "";
    if (node == FDT_NO_NODE || !prop_get(scan, node, "bootargs", NULL)) {
        return ST_OK;
    }
    *bootargs = string_get(scan, node, "bootargs");
    if (!*bootargs) {
        *bootargs = "";
        return complain(scan, ST_PROTO, "device tree: /chosen/bootargs is not one string");
    }
    return ST_OK;
}

enum status fdt_scan_initrd(struct fdt_scan *scan, struct fdt_range *initrd)
{
    u32 node = node_find(scan, "/chosen");
    u64 start, end;

    memset(initrd, 0, sizeof(*initrd));
    if (node == FDT_NO_NODE || !prop_get(scan, node, "linux,initrd-start", NULL)) {
        return ST_NOENT;
    }
    if (!number_get(scan, node, "linux,initrd-start", &start) ||
        !number_get(scan, node, "linux,initrd-end", &end) || end <= start) {
        return complain(
            scan, ST_PROTO,
            "device tree: /chosen/linux,initrd-start and -end do not name a range: one or "
            "two cells each, end above start");
    }
    *initrd = (struct fdt_range){start, end - start};
    return ST_OK;
}

/**
 * The node stdout-path names: a path or an alias, with ":options" behind [DT] 3.6. Aliases are
 * resolved one step and to absolute paths only: an alias of itself would go round for ever.
 */
static u32 stdout_node(const struct fdt_scan *scan)
{
    u32 chosen = node_find(scan, "/chosen");
    const char *path = chosen == FDT_NO_NODE ? NULL : string_get(scan, chosen, "stdout-path");
    usize bytes = path ? strcspn(path, ":") : 0;

    if (bytes != 0 && path[0] != '/') {
        u32 aliases = node_find(scan, "/aliases");
        char name[ALIAS_MAX];

        if (bytes >= sizeof(name) || aliases == FDT_NO_NODE) {
            return FDT_NO_NODE;
        }
        memcpy(name, path, bytes);
        name[bytes] = 0;
        path = string_get(scan, aliases, name);
        bytes = path ? strlen(path) : 0;
    }
    return bytes != 0 && path[0] == '/' ? fdt_blob_find(&scan->blob, path, bytes) : FDT_NO_NODE;
}

enum status fdt_scan_uart(struct fdt_scan *scan, struct fdt_range *uart)
{
    static const char *const names[] = {"arm,pl011", "arm,sbsa-uart"};
    u32 node = stdout_node(scan);
    struct fdt_ranges ranges;
    enum status st;

    memset(uart, 0, sizeof(*uart));
    if (node == FDT_NO_NODE || !node_is(scan, node, names, ARRAY_LEN(names))) {
        node = node_by_compatible(scan, names, ARRAY_LEN(names));
    }
    if (node == FDT_NO_NODE) {
        return complain(scan, ST_NOENT,
                        "device tree: no UART compatible with arm,pl011 or arm,sbsa-uart");
    }
    st = windows_get(scan, node, 1, &ranges);
    if (st != ST_OK) {
        return st;
    }
    if (ranges.range[0].bytes < PAGE_UART) {
        return complain(scan, ST_PROTO, "device tree: the registers of UART %s are %u bytes short",
                        node_name(scan, node), (unsigned)(PAGE_UART - ranges.range[0].bytes));
    }
    *uart = ranges.range[0];
    return ST_OK;
}
