/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fdt_blob.c - fdt_scan_init(): which bytes are taken for a device tree, and damaged ones. */
#include "drivers/fdt/fdt_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "tests/fake/tree.h"

static struct tree tree;
static struct fdt_scan scan;

static void scan_tree(void)
{
    assert_int_equal(fdt_scan_init(&scan, tree.blob, sizeof(tree.blob)), ST_OK);
}

static void expect_words(const char *words)
{
    if (!strstr(scan.why, words)) {
        fail_msg("\"%s\" does not say \"%s\"", scan.why, words);
    }
}

static void a_blob_without_magic_has_its_own_message(void **state)
{
    (void)state;
    memset(&tree, 0x5a, sizeof(tree));
    assert_int_equal(fdt_blob_bytes(tree.blob), 0);
    assert_int_equal(fdt_scan_init(&scan, tree.blob, sizeof(tree.blob)), ST_PROTO);
    expect_words("no flattened tree where x0 pointed");
}

static void the_size_is_known_before_the_blob_is_mapped(void **state)
{
    (void)state;
    tree_of_guest(&tree, 3);
    assert_int_equal(fdt_blob_bytes(tree.blob), fdt_totalsize(tree.blob));
    fdt_set_totalsize(tree.blob, (u32)FDT_BYTES_MAX + 1);
    assert_int_equal(fdt_blob_bytes(tree.blob), 0);
    assert_int_equal(fdt_scan_init(&scan, tree.blob, UINT32_MAX), ST_PROTO);
    expect_words("its header claims");
}

static void a_blob_larger_than_what_is_mapped_is_refused(void **state)
{
    (void)state;
    tree_of_guest(&tree, 3);
    assert_int_equal(fdt_scan_init(&scan, tree.blob, fdt_totalsize(tree.blob) - 1), ST_PROTO);
    assert_int_equal(fdt_scan_init(&scan, tree.blob, 8), ST_PROTO);
}

/** All questions: only that they return and stay inside the blob, whatever it holds. */
static void ask_everything(struct fdt_scan *any)
{
    struct fdt_ranges ranges;
    struct fdt_range range;
    struct fdt_gic gic;
    struct fdt_hypervisor hyp;
    const char *text;
    const void *seed;
    u32 intid, bytes;

    (void)fdt_scan_memory(any, &ranges);
    assert_true(ranges.count <= FDT_RANGES_MAX);
    (void)fdt_scan_reserved(any, &ranges);
    (void)fdt_scan_gic(any, &gic);
    (void)fdt_scan_timer(any, &intid);
    (void)fdt_scan_hypervisor(any, &hyp);
    (void)fdt_scan_bootargs(any, &text);
    assert_true(strlen(text) < TREE_BYTES_MAX);
    (void)fdt_scan_seed(any, &seed, &bytes);
    (void)fdt_scan_initrd(any, &range);
    (void)fdt_scan_uart(any, &range);
    assert_non_null(memchr(any->why, 0, sizeof(any->why)));
}

/* The copy is exactly as long as the tree, so that the address sanitizer sees one byte too far. */
static void a_damaged_blob_is_refused_or_read_within_its_bytes(void **state)
{
    u32 bytes, refused = 0;
    u8 *copy;

    (void)state;
    tree_of_guest(&tree, 3);
    bytes = fdt_totalsize(tree.blob);
    copy = malloc(bytes);
    for (u32 at = 0; at < bytes; at++) {
        for (u32 bit = 0; bit < 8; bit += 3) {
            memcpy(copy, tree.blob, bytes);
            copy[at] ^= (u8)(1 << bit);
            if (fdt_scan_init(&scan, copy, bytes) == ST_OK) {
                ask_everything(&scan);
            } else {
                refused++;
            }
        }
    }
    assert_true(refused > 0);
    for (u32 cut = 0; cut < bytes; cut++) {
        u8 *piece = malloc(cut + 1u);

        memcpy(piece, tree.blob, cut);
        if (cut >= 8) {
            assert_int_equal(fdt_scan_init(&scan, piece, cut), ST_PROTO);
        }
        free(piece);
    }
    free(copy);
}

/* A node without a readable name, in a tree so old that libfdt looks at it without asking. */
static void a_tree_of_an_old_version_is_refused(void **state)
{
    (void)state;
    tree_of_guest(&tree, 3);
    fdt_set_last_comp_version(tree.blob, 0);
    for (u32 version = 0; version < 16; version++) {
        fdt_set_version(tree.blob, version);
        assert_int_equal(fdt_scan_init(&scan, tree.blob, fdt_totalsize(tree.blob)), ST_PROTO);
        expect_words("damaged");
    }
}

/* [DT 5.6] The structure block begins at a multiple of 4 bytes, the reservations of 8. */
static void blocks_off_their_boundaries_are_refused(void **state)
{
    u32 at;

    (void)state;
    tree_of_guest(&tree, 3);
    for (u32 off = 1; off < 8; off++) {
        at = fdt_off_dt_struct(tree.blob);
        fdt_set_off_dt_struct(tree.blob, at + off);
        assert_int_equal(fdt_scan_init(&scan, tree.blob, fdt_totalsize(tree.blob)), ST_PROTO);
        fdt_set_off_dt_struct(tree.blob, at);
        at = fdt_off_mem_rsvmap(tree.blob);
        fdt_set_off_mem_rsvmap(tree.blob, at + off);
        assert_int_equal(fdt_scan_init(&scan, tree.blob, fdt_totalsize(tree.blob)), ST_PROTO);
        expect_words("damaged: FDT_ERR_ALIGNMENT");
        fdt_set_off_mem_rsvmap(tree.blob, at);
        scan_tree();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_blob_without_magic_has_its_own_message),
        cmocka_unit_test(the_size_is_known_before_the_blob_is_mapped),
        cmocka_unit_test(a_blob_larger_than_what_is_mapped_is_refused),
        cmocka_unit_test(a_damaged_blob_is_refused_or_read_within_its_bytes),
        cmocka_unit_test(a_tree_of_an_old_version_is_refused),
        cmocka_unit_test(blocks_off_their_boundaries_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
