/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_scan.c - questions to the device tree. The only file that knows libfdt.      plane: control
 *
 * [DT] Devicetree Specification v0.4. [XEN-DT] Xen's docs/misc/arm/device-tree/guest.txt.
 * libfdt keeps every read inside the blob once fdt_check_full() has passed; what it hands out is
 * still only bytes of somebody else: lengths, cell counts, sums are checked here.
 */
#include "drivers/fdt/fdt_scan.h"

#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

#define ALIAS_MAX   64 /* bytes of a stdout-path alias, NUL included */
#define DEPTH_MAX   16 /* levels above a node */
#define GIC_CELLS   3  /* of an interrupt: type, number, flags [DT binding arm,gic] */
#define GIC_PPI     1
#define PPI_COUNT   16
#define PPI_FIRST   16 /* INTID of PPI 0 */
#define TIMER_VIRT  2  /* third interrupt of arm,armv8-timer */
#define STRUCT_AT   8  /* of the header's offset of the structure block [DT 5.2] */
#define RSVMAP_AT   16 /* of the memory reservation block */
#define VERSION_AT  20 /* of the version */
#define VERSION_MIN 16 /* older ones spell node names with their whole path */
#define PAGE_UART   UINT64_C(4096)

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

/** Byte-wise: at this point nothing is known of the blob, not even its alignment. */
static u32 be32_at(const void *p)
{
    const u8 *b = p;

    return (u32)b[0] << 24 | (u32)b[1] << 16 | (u32)b[2] << 8 | b[3];
}

u32 fdt_blob_bytes(const void *blob)
{
    u32 bytes = be32_at((const u8 *)blob + 4);

    return be32_at(blob) == FDT_MAGIC && bytes <= FDT_BYTES_MAX ? bytes : 0;
}

/** 0, or libfdt's number of what is wrong with the header or with anything behind it. */
static int blob_check(const u8 *blob, u32 bytes)
{
    if (be32_at(blob + VERSION_AT) < VERSION_MIN) {
        return -FDT_ERR_BADVERSION;
    }
    /* libfdt reads both blocks by whole words without asking where they lie [DT 5.6]. */
    if (!is_aligned(be32_at(blob + STRUCT_AT), 4) || !is_aligned(be32_at(blob + RSVMAP_AT), 8)) {
        return -FDT_ERR_ALIGNMENT;
    }
    return fdt_check_full(blob, bytes);
}

enum status fdt_scan_init(struct fdt_scan *scan, const void *blob, u64 max_bytes)
{
    u32 bytes;
    int err;

    memset(scan, 0, sizeof(*scan));
    if (max_bytes < sizeof(struct fdt_header) || be32_at(blob) != FDT_MAGIC) {
        return complain(
            scan, ST_PROTO,
            "device tree: no flattened tree where x0 pointed at entry; boot the image as a "
            "kernel that gets one (xl kernel=, or a dom0less domain)");
    }
    bytes = be32_at((const u8 *)blob + 4);
    if (bytes > max_bytes || bytes > FDT_BYTES_MAX) {
        return complain(scan, ST_PROTO,
                        "device tree: its header claims %u bytes; at most %u are read",
                        (unsigned)bytes, (unsigned)min_u64(max_bytes, FDT_BYTES_MAX));
    }
    err = blob_check(blob, bytes);
    if (err != 0) {
        return complain(scan, ST_PROTO, "device tree: damaged: %s", fdt_strerror(err));
    }
    scan->blob = blob;
    scan->bytes = bytes;
    return ST_OK;
}

static const char *node_name(const struct fdt_scan *scan, int node)
{
    const char *name = fdt_get_name(scan->blob, node, NULL);

    return name && name[0] != 0 ? name : "/";
}

/** A property of exactly one or two cells as a number. */
static bool number_get(const struct fdt_scan *scan, int node, const char *name, u64 *value)
{
    int len;
    const u8 *p = fdt_getprop(scan->blob, node, name, &len);

    if (!p || (len != 4 && len != 8)) {
        return false;
    }
    *value = len == 4 ? be32_at(p) : (u64)be32_at(p) << 32 | be32_at(p + 4);
    return true;
}

/** The property is a NUL-terminated string within its bytes, or NULL. */
static const char *string_get(const struct fdt_scan *scan, int node, const char *name)
{
    int len;
    const char *p = fdt_getprop(scan->blob, node, name, &len);

    return p && len > 0 && memchr(p, 0, (usize)len) == p + len - 1 ? p : NULL;
}

/** [DT] 2.3.4: a node without status is okay. */
static bool node_is_okay(const struct fdt_scan *scan, int node)
{
    const char *status = string_get(scan, node, "status");

    return !fdt_getprop(scan->blob, node, "status", NULL) ||
           (status && (strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0));
}

/** The first usable node that has one of the names, or -1. */
static int node_by_compatible(const struct fdt_scan *scan, const char *const *names, u32 count)
{
    int node = 0;

    for (u32 turn = 0; turn < FDT_NODES_MAX && node >= 0; turn++) {
        for (u32 i = 0; i < count; i++) {
            if (fdt_node_check_compatible(scan->blob, node, names[i]) == 0 &&
                node_is_okay(scan, node)) {
                return node;
            }
        }
        node = fdt_next_node(scan->blob, node, NULL);
    }
    return -1;
}

static bool node_is(const struct fdt_scan *scan, int node, const char *const *names, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        if (fdt_node_check_compatible(scan->blob, node, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/**
 * Addresses of a node are the CPU's when every bus above it says so: an empty ranges [DT] 2.3.8.
 * Trees of guests keep everything at the root.
 */
static bool addresses_are_ours(const struct fdt_scan *scan, int node)
{
    int parent = fdt_parent_offset(scan->blob, node);

    for (u32 depth = 0; depth < DEPTH_MAX; depth++) {
        int len;

        if (parent <= 0) {
            return parent == 0;
        }
        if (!fdt_getprop(scan->blob, parent, "ranges", &len) || len != 0) {
            return false;
        }
        parent = fdt_parent_offset(scan->blob, parent);
    }
    return false;
}

/** A cell count of a parent node [DT] 2.3.5: 1 or 2, or 0 for anything else. */
static u32 cells_get(const struct fdt_scan *scan, int parent, const char *name, u32 otherwise)
{
    u64 cells;

    if (parent < 0) {
        return 0;
    }
    if (!fdt_getprop(scan->blob, parent, name, NULL)) {
        return otherwise;
    }
    return number_get(scan, parent, name, &cells) && cells <= 2 ? (u32)cells : 0;
}

static u64 cells_read(const u8 *p, u32 cells)
{
    return cells == 1 ? be32_at(p) : (u64)be32_at(p) << 32 | be32_at(p + 4);
}

/** All of a node's reg that has a size. Appends to *ranges. */
static enum status reg_get(struct fdt_scan *scan, int node, struct fdt_ranges *ranges)
{
    int parent = fdt_parent_offset(scan->blob, node);
    u32 address_cells = cells_get(scan, parent, "#address-cells", 2);
    u32 size_cells = cells_get(scan, parent, "#size-cells", 1);
    u32 entry_bytes;
    int len;
    const u8 *p = fdt_getprop(scan->blob, node, "reg", &len);

    if (!p) {
        return complain(scan, ST_PROTO, "device tree: node %s has no reg", node_name(scan, node));
    }
    if (address_cells == 0 || size_cells == 0) {
        return complain(scan, ST_PROTO,
                        "device tree: #address-cells and #size-cells above node %s must be 1 or 2",
                        node_name(scan, node));
    }
    entry_bytes = 4 * (address_cells + size_cells);
    if (len <= 0 || (u32)len % entry_bytes != 0) {
        return complain(scan, ST_PROTO,
                        "device tree: reg of node %s has %d bytes, no multiple of %u",
                        node_name(scan, node), len, (unsigned)entry_bytes);
    }
    for (u32 at = 0; at < (u32)len; at += entry_bytes) {
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
static enum status windows_get(struct fdt_scan *scan, int node, u32 wanted,
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
static enum status ppi_get(struct fdt_scan *scan, int node, u32 idx, u32 *intid)
{
    int len;
    const u8 *p = fdt_getprop(scan->blob, node, "interrupts", &len);
    const u32 at = idx * GIC_CELLS * 4;

    if (!p || len < 0 || (u32)len % (GIC_CELLS * 4) != 0 || (u32)len < at + GIC_CELLS * 4) {
        return complain(scan, ST_PROTO,
                        "device tree: node %s lacks interrupt %u; Caisson needs it as three cells: "
                        "type, number, flags",
                        node_name(scan, node), (unsigned)idx);
    }
    if (be32_at(p + at) != GIC_PPI || be32_at(p + at + 4) >= PPI_COUNT) {
        return complain(scan, ST_PROTO,
                        "device tree: interrupt %u of node %s is type %u number %u; a private one "
                        "(type 1, number below %u) is needed",
                        (unsigned)idx, node_name(scan, node), (unsigned)be32_at(p + at),
                        (unsigned)be32_at(p + at + 4), PPI_COUNT);
    }
    *intid = PPI_FIRST + be32_at(p + at + 4);
    return ST_OK;
}

enum status fdt_scan_memory(struct fdt_scan *scan, struct fdt_ranges *banks)
{
    int node = fdt_next_node(scan->blob, 0, NULL);

    banks->count = 0;
    for (u32 turn = 0; turn < FDT_NODES_MAX && node >= 0; turn++) {
        const char *type = string_get(scan, node, "device_type");

        if (type && strcmp(type, "memory") == 0 && node_is_okay(scan, node)) {
            enum status st = reg_get(scan, node, banks);

            if (st != ST_OK) {
                return st;
            }
        }
        node = fdt_next_node(scan->blob, node, NULL);
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
    int count = fdt_num_mem_rsv(scan->blob);

    for (int i = 0; i < count; i++) {
        u64 base, bytes, end;

        if (fdt_get_mem_rsv(scan->blob, i, &base, &bytes) != 0 || !add_ok_u64(base, bytes, &end)) {
            return complain(scan, ST_PROTO, "device tree: /memreserve/ entry %d makes no sense", i);
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
    int parent = fdt_path_offset(scan->blob, "/reserved-memory");
    int node = parent < 0 ? -1 : fdt_first_subnode(scan->blob, parent);
    enum status st;

    reserved->count = 0;
    st = memreserve_get(scan, reserved);
    for (u32 turn = 0; st == ST_OK && turn < FDT_NODES_MAX && node >= 0; turn++) {
        /* A child without reg asks the kernel to choose a place: nothing of ours. */
        if (fdt_getprop(scan->blob, node, "reg", NULL) && node_is_okay(scan, node)) {
            st = reg_get(scan, node, reserved);
        }
        node = fdt_next_subnode(scan->blob, node);
    }
    return st;
}

enum status fdt_scan_gic(struct fdt_scan *scan, struct fdt_gic *gic)
{
    static const char *const names[] = {"arm,gic-v3", GICV2_NAMES};
    int node = node_by_compatible(scan, names, ARRAY_LEN(names));
    struct fdt_ranges ranges;
    u64 stride = 0;
    enum status st;

    memset(gic, 0, sizeof(*gic));
    if (node < 0) {
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
    if (fdt_getprop(scan->blob, node, "redistributor-stride", NULL) &&
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
    int node = node_by_compatible(scan, names, ARRAY_LEN(names));

    if (node < 0) {
        return complain(scan, ST_NOENT,
                        "device tree: no timer: a node compatible with arm,armv8-timer is needed");
    }
    return ppi_get(scan, node, TIMER_VIRT, intid);
}

enum status fdt_scan_hypervisor(struct fdt_scan *scan, struct fdt_hypervisor *hyp)
{
    static const char *const names[] = {"xen,xen"};
    int node = fdt_path_offset(scan->blob, "/hypervisor");
    struct fdt_ranges ranges;
    enum status st;

    memset(hyp, 0, sizeof(*hyp));
    if (node < 0 || !node_is(scan, node, names, 1)) {
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
    int node = fdt_path_offset(scan->blob, "/chosen");

    *bootargs = "";
    if (node < 0 || !fdt_getprop(scan->blob, node, "bootargs", NULL)) {
        return ST_OK;
    }
    *bootargs = string_get(scan, node, "bootargs");
    if (!*bootargs) {
        *bootargs = "";
        return complain(scan, ST_PROTO, "device tree: /chosen/bootargs is not one string");
    }
    return ST_OK;
}

enum status fdt_scan_seed(struct fdt_scan *scan, const void **seed, u32 *bytes)
{
    int node = fdt_path_offset(scan->blob, "/chosen");
    int len = 0;

    *seed = node < 0 ? NULL : fdt_getprop(scan->blob, node, "rng-seed", &len);
    *bytes = *seed && len > 0 ? (u32)len : 0;
    return *bytes ? ST_OK : ST_NOENT;
}

enum status fdt_scan_initrd(struct fdt_scan *scan, struct fdt_range *initrd)
{
    int node = fdt_path_offset(scan->blob, "/chosen");
    u64 start, end;

    memset(initrd, 0, sizeof(*initrd));
    if (node < 0 || !fdt_getprop(scan->blob, node, "linux,initrd-start", NULL)) {
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
 * resolved here, one step and to absolute paths only: libfdt would follow an alias of itself for
 * ever.
 */
static int stdout_node(const struct fdt_scan *scan)
{
    int chosen = fdt_path_offset(scan->blob, "/chosen");
    const char *path = chosen < 0 ? NULL : string_get(scan, chosen, "stdout-path");
    usize bytes = path ? strcspn(path, ":") : 0;

    if (bytes != 0 && path[0] != '/') {
        int aliases = fdt_path_offset(scan->blob, "/aliases");
        char name[ALIAS_MAX];

        if (bytes >= sizeof(name) || aliases < 0) {
            return -1;
        }
        memcpy(name, path, bytes);
        name[bytes] = 0;
        path = string_get(scan, aliases, name);
        bytes = path ? strlen(path) : 0;
    }
    return bytes != 0 && path[0] == '/' ? fdt_path_offset_namelen(scan->blob, path, (int)bytes)
                                        : -1;
}

enum status fdt_scan_uart(struct fdt_scan *scan, struct fdt_range *uart)
{
    static const char *const names[] = {"arm,pl011", "arm,sbsa-uart"};
    int node = stdout_node(scan);
    struct fdt_ranges ranges;
    enum status st;

    memset(uart, 0, sizeof(*uart));
    if (node < 0 || !node_is(scan, node, names, ARRAY_LEN(names))) {
        node = node_by_compatible(scan, names, ARRAY_LEN(names));
    }
    if (node < 0) {
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
