/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fdt_seed.c - fdt_scan_seed(): the random bytes that the toolstack put into the tree. */
#include "drivers/fdt/fdt_scan.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fake/tree.h"

static struct tree tree;
static struct fdt_scan scan;
static const void *seed;
static u32 bytes;

/** What is said of a tree with such a seed; NULL: without one. */
static enum status ask(const char *value, u32 value_bytes)
{
    tree_guest_chosen(&tree);
    if (value) {
        tree_bytes(&tree, "rng-seed", value, value_bytes);
    }
    tree_guest_rest(&tree, 3);
    assert_int_equal(fdt_scan_init(&scan, tree.blob, sizeof(tree.blob)), ST_OK);
    return fdt_scan_seed(&scan, &seed, &bytes);
}

static void a_seed_is_found_with_its_length(void **state)
{
    (void)state;
    assert_int_equal(ask("twelve bytes", 12), ST_OK);
    assert_int_equal(bytes, 12);
    assert_memory_equal(seed, "twelve bytes", 12);
    assert_int_equal(ask("\0\0\0", 3), ST_OK); /* any bytes will do */
    assert_int_equal(bytes, 3);
}

static void no_seed_and_an_empty_one_are_the_same(void **state)
{
    (void)state;
    assert_int_equal(ask(NULL, 0), ST_NOENT);
    assert_int_equal(bytes, 0);
    assert_int_equal(ask("", 0), ST_NOENT);
    assert_int_equal(bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_found_with_its_length),
        cmocka_unit_test(no_seed_and_an_empty_one_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
