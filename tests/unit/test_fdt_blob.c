/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fdt_blob.c - nodes and properties are found as libfdt wrote them; what is no tree is told.
 */
#include "drivers/fdt/fdt_blob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "tests/fake/tree.h"

#define HEADER_BYTES 40

static struct tree tree;
static struct fdt_blob blob;

static void open_tree(void)
{
    assert_null(fdt_blob_open(&blob, tree.blob, fdt_totalsize(tree.blob)));
}

/** Refused, and these words are in the reason. */
static void expect_fault(const char *words)
{
    const char *fault = fdt_blob_open(&blob, tree.blob, fdt_totalsize(tree.blob));

    assert_non_null(fault);
    if (!strstr(fault, words)) {
        fail_msg("\"%s\" does not say \"%s\"", fault, words);
    }
}

static u32 find(const char *path)
{
    return fdt_blob_find(&blob, path, strlen(path));
}

/** /{a{a1{deep},a2}, b@10, b@20, last} */
static void family(void)
{
    tree_begin(&tree);
    tree_reserve(&tree, 0x1000, 0x2000);
    tree_reserve(&tree, UINT64_C(0x123456789abc), 1);
    tree_root(&tree);
    tree_text(&tree, "model", "family");
    tree_node(&tree, "a");
    tree_text(&tree, "own", "of a");
    tree_node(&tree, "a1");
    tree_node(&tree, "deep");
    tree_end(&tree);
    tree_end(&tree);
    tree_node(&tree, "a2");
    tree_end(&tree);
    tree_end(&tree);
    tree_node(&tree, "b@10");
    tree_end(&tree);
    tree_node(&tree, "b@20");
    tree_end(&tree);
    tree_node(&tree, "last");
    tree_end(&tree);
    tree_finish(&tree);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void nodes_come_in_their_order_with_their_depth(void **state)
{
    static const struct {
        const char *name;
        int depth;
    } wanted[] = {{"", 0},   {"a", 1},    {"a1", 2},   {"deep", 3},
                  {"a2", 2}, {"b@10", 1}, {"b@20", 1}, {"last", 1}};
    int depth = 0;
    u32 node;

    (void)state;
    family();
    open_tree();
    node = blob.root;
    for (u32 i = 0; i < ARRAY_LEN(wanted); i++) {
        assert_string_equal(fdt_blob_name(&blob, node), wanted[i].name);
        assert_int_equal(depth, wanted[i].depth);
        node = fdt_blob_next(&blob, node, &depth);
    }
    assert_int_equal(node, FDT_NO_NODE);
}

static void parents_children_and_siblings_are_told(void **state)
{
    (void)state;
    family();
    open_tree();
    assert_int_equal(fdt_blob_parent(&blob, blob.root), FDT_NO_NODE);
    assert_int_equal(fdt_blob_parent(&blob, find("/a")), blob.root);
    assert_int_equal(fdt_blob_parent(&blob, find("/a/a1/deep")), find("/a/a1"));
    assert_int_equal(fdt_blob_parent(&blob, find("/a/a2")), find("/a"));
    assert_int_equal(fdt_blob_child(&blob, blob.root), find("/a"));
    assert_int_equal(fdt_blob_child(&blob, find("/a/a1/deep")), FDT_NO_NODE);
    assert_int_equal(fdt_blob_child(&blob, find("/last")), FDT_NO_NODE);
    assert_int_equal(fdt_blob_sibling(&blob, find("/a")), find("/b@10"));
    assert_int_equal(fdt_blob_sibling(&blob, find("/a/a1")), find("/a/a2"));
    assert_int_equal(fdt_blob_sibling(&blob, find("/a/a2")), FDT_NO_NODE);
    assert_int_equal(fdt_blob_sibling(&blob, find("/a/a1/deep")), FDT_NO_NODE);
    assert_int_equal(fdt_blob_sibling(&blob, find("/last")), FDT_NO_NODE);
    assert_int_equal(fdt_blob_sibling(&blob, blob.root), FDT_NO_NODE);
}

/* [DT] 2.2.3 */
static void a_path_may_leave_the_unit_address_out(void **state)
{
    (void)state;
    family();
    open_tree();
    assert_int_equal(find("/"), blob.root);
    assert_string_equal(fdt_blob_name(&blob, find("/b@20")), "b@20");
    assert_string_equal(fdt_blob_name(&blob, find("/b")), "b@10");
    assert_int_equal(find("/b@"), FDT_NO_NODE);
    assert_int_equal(find("/b@1"), FDT_NO_NODE);
    assert_int_equal(find("/a/deep"), FDT_NO_NODE);
    assert_int_equal(find("/a1"), FDT_NO_NODE);
    assert_string_equal(fdt_blob_name(&blob, find("//a//a1/")), "a1");
    assert_int_equal(fdt_blob_find(&blob, "/a/a1:115200", 5), find("/a/a1"));
}

/* --- properties ------------------------------------------------------------------------------- */

static void a_property_is_the_node_s_own(void **state)
{
    u32 bytes = 0;

    (void)state;
    family();
    open_tree();
    assert_string_equal(fdt_blob_prop(&blob, blob.root, "model", &bytes), "family");
    assert_int_equal(bytes, sizeof("family"));
    assert_string_equal(fdt_blob_prop(&blob, find("/a"), "own", NULL), "of a");
    assert_null(fdt_blob_prop(&blob, blob.root, "own", &bytes));
    assert_null(fdt_blob_prop(&blob, find("/a/a1"), "own", &bytes));
    assert_null(fdt_blob_prop(&blob, find("/a"), "ow", &bytes));
    assert_null(fdt_blob_prop(&blob, find("/last"), "model", &bytes));
}

static void a_property_without_bytes_is_there(void **state)
{
    u32 bytes = 1;

    (void)state;
    tree_begin(&tree);
    tree_root(&tree);
    tree_bytes(&tree, "ranges", NULL, 0);
    tree_finish(&tree);
    open_tree();
    assert_non_null(fdt_blob_prop(&blob, blob.root, "ranges", &bytes));
    assert_int_equal(bytes, 0);
}

/* Firmware that removes things leaves NOPs [DT] 5.4.1. */
static void what_was_removed_is_passed_over(void **state)
{
    (void)state;
    family();
    assert_int_equal(fdt_nop_node(tree.blob, fdt_path_offset(tree.blob, "/a/a1")), 0);
    assert_int_equal(fdt_nop_property(tree.blob, 0, "model"), 0);
    open_tree();
    assert_null(fdt_blob_prop(&blob, blob.root, "model", NULL));
    assert_string_equal(fdt_blob_prop(&blob, find("/a"), "own", NULL), "of a");
    assert_int_equal(fdt_blob_child(&blob, find("/a")), find("/a/a2"));
    assert_int_equal(fdt_blob_parent(&blob, find("/a/a2")), find("/a"));
}

static void reserved_entries_are_counted_up_to_the_empty_one(void **state)
{
    u64 base, bytes;

    (void)state;
    family();
    open_tree();
    assert_int_equal(blob.reserved_entries, 2);
    fdt_blob_reserved(&blob, 1, &base, &bytes);
    assert_int_equal(base, UINT64_C(0x123456789abc));
    assert_int_equal(bytes, 1);
}

/* --- what is no tree -------------------------------------------------------------------------- */

static void a_header_that_lies_is_refused(void **state)
{
    (void)state;
    family();
    fdt_set_version(tree.blob, 16);
    expect_fault("version 17");
    family();
    fdt_set_last_comp_version(tree.blob, 18);
    expect_fault("version 17");
    family();
    fdt_set_off_dt_struct(tree.blob, fdt_totalsize(tree.blob) - 4);
    expect_fault("outside");
    family();
    fdt_set_off_dt_struct(tree.blob, fdt_off_dt_struct(tree.blob) + 2);
    expect_fault("outside");
    family();
    fdt_set_size_dt_strings(tree.blob, UINT32_MAX);
    expect_fault("outside");
    family();
    fdt_set_off_mem_rsvmap(tree.blob, UINT32_MAX - 7);
    expect_fault("reserved memory");
    family();
    assert_non_null(fdt_blob_open(&blob, tree.blob, HEADER_BYTES - 1));
    assert_non_null(fdt_blob_open(&blob, tree.blob, fdt_totalsize(tree.blob) - 1));
}

/** The word at an offset of the structure block. */
static u8 *word_at(u32 at)
{
    return tree.blob + fdt_off_dt_struct(tree.blob) + at;
}

static void put(u32 at, u32 word)
{
    fdt32_t wire = cpu_to_fdt32(word);

    memcpy(word_at(at), &wire, 4);
}

static void a_structure_that_makes_no_sense_is_refused(void **state)
{
    u32 last;

    (void)state;
    family(); /* its last words: END_NODE of /last, END_NODE of the root, END */
    last = fdt_size_dt_struct(tree.blob) - 4;
    put(last, 7);
    expect_fault("unknown token");
    put(last, FDT_NOP);
    expect_fault("breaks off");
    put(last - 4, FDT_NOP);
    put(last, FDT_END);
    expect_fault("ends within a node");
    put(last - 4, FDT_END_NODE);
    put(last, FDT_END_NODE);
    expect_fault("has not begun");
    family();
    put(0, FDT_NOP); /* the root's begin, and its empty name */
    put(4, FDT_NOP);
    expect_fault("outside of its node");
    tree_begin(&tree);
    tree_root(&tree);
    tree_node(&tree, "abc");
    tree_end(&tree);
    tree_finish(&tree);
    put(8, FDT_END_NODE);
    put(12, FDT_BEGIN_NODE);
    put(16, 0);
    expect_fault("second root");
}

static void a_property_outside_of_the_blocks_is_refused(void **state)
{
    u32 prop = 8; /* behind the root's begin and name */

    (void)state;
    family();
    put(prop + 4, UINT32_MAX - 2); /* its length */
    expect_fault("breaks off");
    family();
    put(prop + 8, fdt_size_dt_strings(tree.blob)); /* its name */
    expect_fault("breaks off");
    family();
    fdt_set_size_dt_strings(tree.blob, 3); /* "mod", without its end */
    expect_fault("breaks off");
}

static void a_tree_that_is_too_deep_is_refused(void **state)
{
    (void)state;
    for (u32 levels = FDT_DEPTH_MAX; levels <= FDT_DEPTH_MAX + 1; levels++) {
        tree_begin(&tree);
        tree_root(&tree);
        for (u32 i = 1; i < levels; i++) {
            tree_node(&tree, "n");
        }
        for (u32 i = 1; i < levels; i++) {
            tree_end(&tree);
        }
        tree_finish(&tree);
        if (levels == FDT_DEPTH_MAX) {
            open_tree();
        } else {
            expect_fault("too deep");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_in_their_order_with_their_depth),
        cmocka_unit_test(parents_children_and_siblings_are_told),
        cmocka_unit_test(a_path_may_leave_the_unit_address_out),
        cmocka_unit_test(a_property_is_the_node_s_own),
        cmocka_unit_test(a_property_without_bytes_is_there),
        cmocka_unit_test(what_was_removed_is_passed_over),
        cmocka_unit_test(reserved_entries_are_counted_up_to_the_empty_one),
        cmocka_unit_test(a_header_that_lies_is_refused),
        cmocka_unit_test(a_structure_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_property_outside_of_the_blocks_is_refused),
        cmocka_unit_test(a_tree_that_is_too_deep_is_refused),
    };

    return cmocka_run_group_tests_name("fdt_blob", tests, NULL, NULL);
}
