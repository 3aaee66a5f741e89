/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_scan.h - the questions we ask of the device tree, one function each.        plane: control
 *
 * The tree comes from outside: every offset is libfdt's business, every value is checked here,
 * every loop is bounded. A question that has no good answer returns a status and leaves a sentence
 * in scan->why that names the node and what Caisson needs; the caller logs it and decides.
 *
 * All answers are copies or point into the blob, which must stay mapped and unchanged.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define FDT_RANGES_MAX 16     /* memory banks, reserved ranges, extended regions: each question */
#define FDT_BYTES_MAX  MIB(2) /* a larger tree is refused [ARM64-BOOT] */
#define FDT_WHY_MAX    192    /* bytes of a complaint, NUL included */
#define FDT_NODES_MAX  2048   /* nodes looked at per question */

struct fdt_range {
    u64 base, bytes; /* bytes > 0, no wrap */
};

struct fdt_ranges {
    struct fdt_range range[FDT_RANGES_MAX];
    u32 count;
};

struct fdt_scan {
    const void *blob;
    u32 bytes; /* of the blob */
    char why[FDT_WHY_MAX];
};

/**
 * The size the blob's header claims, from its first 8 bytes (which alone must be mapped): 0 when
 * the magic is wrong or the size is above FDT_BYTES_MAX. For mapping the blob before
 * fdt_scan_init().
 */
u32 fdt_blob_bytes(const void *blob);

/** Check the whole blob. ST_OK, or ST_PROTO with a sentence (no magic, damaged, too large). */
enum status fdt_scan_init(struct fdt_scan *scan, const void *blob, u64 max_bytes);

/** Memory banks. ST_OK with at least one; ST_NOENT, ST_PROTO, ST_FULL. */
enum status fdt_scan_memory(struct fdt_scan *scan, struct fdt_ranges *banks);

/** /reserved-memory children with reg and /memreserve/ entries. ST_OK (also with none), ST_PROTO,
 * ST_FULL. */
enum status fdt_scan_reserved(struct fdt_scan *scan, struct fdt_ranges *reserved);

struct fdt_gic {
    u32 version;           /* 2 or 3 */
    struct fdt_range dist; /* GICD */
    struct fdt_range cpu;  /* GICC for version 2, the first GICR region for version 3 */
    u32 redist_stride;     /* bytes; 0: as the architecture says */
};

/** The interrupt controller. ST_OK; ST_NOENT; ST_PROTO. */
enum status fdt_scan_gic(struct fdt_scan *scan, struct fdt_gic *gic);

/** The virtual timer's interrupt as a GIC INTID. ST_OK, ST_NOENT, ST_PROTO. */
enum status fdt_scan_timer(struct fdt_scan *scan, u32 *intid);

struct fdt_hypervisor {
    struct fdt_range grants;    /* where grant frames may be mapped: reg[0] */
    struct fdt_ranges extended; /* free guest-physical space: reg[1..], may be none */
    u32 evtchn_intid;           /* event-channel interrupt */
};

/** /hypervisor, compatible "xen,xen". ST_OK; ST_NOENT: not under Xen; ST_PROTO. */
enum status fdt_scan_hypervisor(struct fdt_scan *scan, struct fdt_hypervisor *hyp);

/** /chosen/bootargs, NUL-terminated within the blob; "" when there are none. ST_OK or ST_PROTO. */
enum status fdt_scan_bootargs(struct fdt_scan *scan, const char **bootargs);

/** /chosen/rng-seed: random bytes for this start of the machine. ST_OK with at least one byte;
 * ST_NOENT without (no sentence). */
enum status fdt_scan_seed(struct fdt_scan *scan, const void **seed, u32 *bytes);

/** /chosen/linux,initrd-start and -end. ST_OK, ST_NOENT without one (no sentence), ST_PROTO. */
enum status fdt_scan_initrd(struct fdt_scan *scan, struct fdt_range *initrd);

/** The PL011 (or SBSA) UART behind /chosen/stdout-path, or else the first one in the tree. ST_OK,
 * ST_NOENT, ST_PROTO. */
enum status fdt_scan_uart(struct fdt_scan *scan, struct fdt_range *uart);
