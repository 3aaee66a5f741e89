/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_fdt.c - the input is a device tree: every question must return, and read within the bytes.
 *
 * The blob is copied to a buffer of exactly its size: the address sanitizer sees one byte too far.
 */
#include <stdlib.h>
#include <string.h>

#include "drivers/fdt/fdt_scan.h"
#include "start/base/check.h"

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static void range_must_be_sound(const struct fdt_range *range)
{
    CHECK(range->bytes > 0 && range->base + range->bytes > range->base);
}

static void ranges_must_be_sound(const struct fdt_ranges *ranges)
{
    CHECK(ranges->count <= FDT_RANGES_MAX);
    for (u32 i = 0; i < ranges->count; i++) {
        range_must_be_sound(&ranges->range[i]);
    }
}

static void ask_of_interrupts(struct fdt_scan *scan)
{
    struct fdt_gic gic;
    u32 intid;

    if (fdt_scan_gic(scan, &gic) == ST_OK) {
        CHECK(gic.version == 2 || gic.version == 3);
        range_must_be_sound(&gic.dist);
        range_must_be_sound(&gic.cpu);
    }
    if (fdt_scan_timer(scan, &intid) == ST_OK) {
        CHECK(intid >= 16 && intid < 32);
    }
}

static void ask(struct fdt_scan *scan)
{
    struct fdt_ranges ranges;
    struct fdt_range range;
    struct fdt_hypervisor hyp;
    const char *text;
    const void *seed;
    u32 seed_bytes;

    if (fdt_scan_memory(scan, &ranges) == ST_OK) {
        CHECK(ranges.count > 0);
        ranges_must_be_sound(&ranges);
    }
    if (fdt_scan_reserved(scan, &ranges) == ST_OK) {
        ranges_must_be_sound(&ranges);
    }
    ask_of_interrupts(scan);
    if (fdt_scan_hypervisor(scan, &hyp) == ST_OK) {
        range_must_be_sound(&hyp.grants);
        ranges_must_be_sound(&hyp.extended);
        CHECK(hyp.evtchn_intid >= 16 && hyp.evtchn_intid < 32);
    }
    (void)fdt_scan_bootargs(scan, &text);
    CHECK(strlen(text) < scan->bytes);
    if (fdt_scan_seed(scan, &seed, &seed_bytes) == ST_OK) {
        CHECK(seed_bytes > 0 && seed_bytes < scan->bytes);
        CHECK((const u8 *)seed > (const u8 *)scan->blob);
        CHECK((const u8 *)seed + seed_bytes <= (const u8 *)scan->blob + scan->bytes);
    }
    if (fdt_scan_initrd(scan, &range) == ST_OK) {
        range_must_be_sound(&range);
    }
    if (fdt_scan_uart(scan, &range) == ST_OK) {
        range_must_be_sound(&range);
    }
    CHECK(memchr(scan->why, 0, sizeof(scan->why)));
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct fdt_scan scan;
    u8 *blob;

    if (bytes < 8) {
        return 0; /* main.c maps no less */
    }
    blob = malloc(bytes);
    if (!blob) {
        return 0;
    }
    memcpy(blob, data, bytes);
    if (fdt_scan_init(&scan, blob, bytes) == ST_OK) {
        ask(&scan);
    }
    free(blob);
    return 0;
}
