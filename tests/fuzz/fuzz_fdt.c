/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_fdt.c - the input is a device tree: every question must return, and read within the bytes.
 *
 * The blob is copied to a buffer of exactly its size: the address sanitizer sees one byte too far.
 * What libfdt takes for a tree, too, must have the same nodes and properties for both.
 */
#include <libfdt.h>
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
    CHECK(strlen(text) < scan->blob.total);
    if (fdt_scan_initrd(scan, &range) == ST_OK) {
        range_must_be_sound(&range);
    }
    if (fdt_scan_uart(scan, &range) == ST_OK) {
        range_must_be_sound(&range);
    }
    CHECK(memchr(scan->why, 0, sizeof(scan->why)));
}

static void node_must_be_equal(const struct fdt_blob *ours, u32 node, const void *theirs, int other)
{
    int at, bytes;

    CHECK(strcmp(fdt_blob_name(ours, node), fdt_get_name(theirs, other, NULL)) == 0);
    fdt_for_each_property_offset(at, theirs, other)
    {
        const char *name = NULL;
        const void *value = fdt_getprop_by_offset(theirs, at, &name, &bytes);
        u32 our_bytes = 0;

        if (value && name) { /* of two properties with one name both find the first */
            const u8 *first = fdt_blob_prop(ours, node, name, &our_bytes);

            CHECK(first && first == fdt_getprop(theirs, other, name, &bytes));
            CHECK(our_bytes == (u32)bytes);
        }
    }
}

static void libfdt_must_agree(const struct fdt_blob *ours, const void *theirs)
{
    int depth = 0, other_depth = 0;
    u32 node = ours->root;
    int other = fdt_next_node(theirs, -1, NULL);

    while (node != FDT_NO_NODE && other >= 0) {
        int parent = fdt_parent_offset(theirs, other);
        u32 our_parent = fdt_blob_parent(ours, node);

        CHECK(depth == other_depth);
        node_must_be_equal(ours, node, theirs, other);
        CHECK(parent < 0 ? our_parent == FDT_NO_NODE
                         : strcmp(fdt_blob_name(ours, our_parent),
                                  fdt_get_name(theirs, parent, NULL)) == 0);
        node = fdt_blob_next(ours, node, &depth);
        other = fdt_next_node(theirs, other, &other_depth);
        if (other_depth < 0) {
            other = -1; /* libfdt's word for the end of the root */
        }
    }
    CHECK(node == FDT_NO_NODE && other < 0);
    /* libfdt ends the list at the first entry without size, [DT] 5.3.2 at the first of all zero. */
    CHECK(ours->reserved_entries >= (u32)fdt_num_mem_rsv(theirs));
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
        if (fdt_check_full(blob, bytes) == 0) {
            libfdt_must_agree(&scan.blob, blob);
        }
    }
    free(blob);
    return 0;
}
