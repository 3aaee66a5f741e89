/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fdt_scan.c - every question, its answer, and what is said when there is no good one. */
#include "drivers/fdt/fdt_scan.h"

#include <setjmp.h>
#include <stdarg.h>
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

/** A root with one node of ours in it, left open. */
static void open_node(const char *name)
{
    tree_begin(&tree);
    tree_root(&tree);
    TREE_CELLS(&tree, "#address-cells", 2);
    TREE_CELLS(&tree, "#size-cells", 2);
    tree_node(&tree, name);
}

static void close_node(void)
{
    tree_end(&tree);
    tree_finish(&tree);
    scan_tree();
}

/* --- memory ------------------------------------------------------------------------------------
 */
static void every_bank_is_found(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_OK);
    assert_int_equal(banks.count, 2);
    assert_int_equal(banks.range[0].base, 0x40000000);
    assert_int_equal(banks.range[0].bytes, 0x10000000);
    assert_int_equal(banks.range[1].base, UINT64_C(0x200000000));
}

static void empty_and_disabled_banks_do_not_count(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    open_node("memory@0");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 0, 0x40000000, 0, 0, 0, 0x80000000, 0, 0x1000);
    tree_end(&tree);
    tree_node(&tree, "memory@9");
    tree_text(&tree, "device_type", "memory");
    tree_text(&tree, "status", "disabled");
    TREE_CELLS(&tree, "reg", 0, 0x90000000, 0, 0x1000);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_OK);
    assert_int_equal(banks.count, 1);
    assert_int_equal(banks.range[0].base, 0x80000000);
}

static void no_memory_is_said(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    open_node("cpus");
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_NOENT);
    expect_words("no memory");
}

static void a_reg_that_wraps_is_refused(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    open_node("memory@1");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 0xffffffff, 0xfffff000, 0, 0x2000);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_PROTO);
    expect_words("memory@1 wraps");
}

static void a_reg_of_odd_length_is_refused(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    open_node("memory@1");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 0, 0x40000000, 0);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_PROTO);
    expect_words("memory@1 has 12 bytes");
}

static void cell_counts_of_three_are_refused(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    tree_begin(&tree);
    tree_root(&tree);
    TREE_CELLS(&tree, "#address-cells", 3);
    TREE_CELLS(&tree, "#size-cells", 2);
    tree_node(&tree, "memory@1");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 0, 0, 0x40000000, 0, 0x1000);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_PROTO);
    expect_words("must be 1 or 2");
}

/* [DT] 2.3.5: without the properties, two cells of address and one of size. */
static void cell_counts_default_to_two_and_one(void **state)
{
    struct fdt_ranges banks;

    (void)state;
    tree_begin(&tree);
    tree_root(&tree);
    tree_node(&tree, "memory@1");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 1, 0x40000000, 0x1000);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_OK);
    assert_int_equal(banks.range[0].base, UINT64_C(0x140000000));
    assert_int_equal(banks.range[0].bytes, 0x1000);
}

static void more_banks_than_the_table_are_said(void **state)
{
    struct fdt_ranges banks;
    u32 cells[4 * FDT_RANGES_MAX];

    (void)state;
    for (u32 i = 0; i < FDT_RANGES_MAX; i++) {
        memcpy(cells + (usize)4 * i, (const u32[]){0, 0x40000000 + i * 0x10000, 0, 0x1000}, 16);
    }
    open_node("memory@1");
    tree_text(&tree, "device_type", "memory");
    tree_cells(&tree, "reg", ARRAY_LEN(cells), cells);
    tree_end(&tree);
    tree_node(&tree, "memory@2");
    tree_text(&tree, "device_type", "memory");
    TREE_CELLS(&tree, "reg", 0, 0x90000000, 0, 0x1000);
    close_node();
    assert_int_equal(fdt_scan_memory(&scan, &banks), ST_FULL);
    assert_int_equal(banks.count, FDT_RANGES_MAX);
    expect_words("memory@2");
}

static void reserved_memory_is_both_the_list_and_the_nodes(void **state)
{
    struct fdt_ranges reserved;

    (void)state;
    tree_begin(&tree);
    tree_reserve(&tree, 0x48000000, 0x3000);
    tree_root(&tree);
    TREE_CELLS(&tree, "#address-cells", 2);
    TREE_CELLS(&tree, "#size-cells", 2);
    tree_node(&tree, "reserved-memory");
    TREE_CELLS(&tree, "#address-cells", 1);
    TREE_CELLS(&tree, "#size-cells", 1);
    tree_node(&tree, "shm@50000000");
    TREE_CELLS(&tree, "reg", 0x50000000, 0x10000);
    tree_end(&tree);
    tree_node(&tree, "anywhere");
    TREE_CELLS(&tree, "size", 0x10000);
    tree_end(&tree);
    close_node();
    assert_int_equal(fdt_scan_reserved(&scan, &reserved), ST_OK);
    assert_int_equal(reserved.count, 2);
    assert_int_equal(reserved.range[0].base, 0x48000000);
    assert_int_equal(reserved.range[1].base, 0x50000000);
    assert_int_equal(reserved.range[1].bytes, 0x10000);
}

static void a_reserved_entry_that_wraps_is_refused(void **state)
{
    struct fdt_ranges reserved;

    (void)state;
    tree_begin(&tree);
    tree_reserve(&tree, UINT64_MAX - 10, 100);
    tree_root(&tree);
    tree_finish(&tree);
    scan_tree();
    assert_int_equal(fdt_scan_reserved(&scan, &reserved), ST_PROTO);
    expect_words("/memreserve/ entry 0");
}

/* --- interrupts --------------------------------------------------------------------------------
 */
static void both_interrupt_controllers_are_told_apart(void **state)
{
    struct fdt_gic gic;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_gic(&scan, &gic), ST_OK);
    assert_int_equal(gic.version, 3);
    assert_int_equal(gic.dist.base, 0x03001000);
    assert_int_equal(gic.cpu.base, 0x03020000);
    assert_int_equal(gic.cpu.bytes, 0x1000000);
    assert_int_equal(gic.redist_stride, 0);
    tree_of_guest(&tree, 2);
    scan_tree();
    assert_int_equal(fdt_scan_gic(&scan, &gic), ST_OK);
    assert_int_equal(gic.version, 2);
    assert_int_equal(gic.cpu.base, 0x03002000);
}

static void no_interrupt_controller_names_what_is_needed(void **state)
{
    struct fdt_gic gic;

    (void)state;
    open_node("intc");
    tree_text(&tree, "compatible", "acme,pic");
    close_node();
    assert_int_equal(fdt_scan_gic(&scan, &gic), ST_NOENT);
    expect_words("arm,gic-v3");
    expect_words("arm,gic-400");
}

static void an_interrupt_controller_with_one_window_is_refused(void **state)
{
    struct fdt_gic gic;

    (void)state;
    open_node("intc@3001000");
    tree_text(&tree, "compatible", "arm,gic-v3");
    TREE_CELLS(&tree, "reg", 0, 0x03001000, 0, 0x10000);
    close_node();
    assert_int_equal(fdt_scan_gic(&scan, &gic), ST_PROTO);
    expect_words("intc@3001000 names 1");
}

static void a_stride_that_is_no_number_is_refused(void **state)
{
    struct fdt_gic gic;

    (void)state;
    open_node("intc");
    tree_text(&tree, "compatible", "arm,gic-v3");
    TREE_CELLS(&tree, "reg", 0, 0x03001000, 0, 0x10000, 0, 0x03020000, 0, 0x1000000);
    TREE_CELLS(&tree, "redistributor-stride", 1, 0);
    close_node();
    assert_int_equal(fdt_scan_gic(&scan, &gic), ST_PROTO);
    expect_words("redistributor-stride");
}

/* [DT] 2.3.8: only with an empty ranges is an address below a bus an address of the CPU. */
static void registers_behind_a_translating_bus_are_refused(void **state)
{
    struct fdt_gic gic;

    (void)state;
    for (u32 translates = 0; translates < 2; translates++) {
        open_node("soc");
        tree_text(&tree, "compatible", "simple-bus");
        TREE_CELLS(&tree, "#address-cells", 2);
        TREE_CELLS(&tree, "#size-cells", 2);
        if (translates) {
            TREE_CELLS(&tree, "ranges", 0, 0, 0, 0x10000000, 0, 0x10000000);
        } else {
            tree_bytes(&tree, "ranges", "", 0);
        }
        tree_node(&tree, "intc");
        tree_text(&tree, "compatible", "arm,gic-400");
        TREE_CELLS(&tree, "reg", 0, 0x1000, 0, 0x1000, 0, 0x2000, 0, 0x2000);
        tree_end(&tree);
        close_node();
        assert_int_equal(fdt_scan_gic(&scan, &gic), translates ? ST_PROTO : ST_OK);
    }
    expect_words("translates addresses");
}

static void the_virtual_timer_is_the_third_interrupt(void **state)
{
    u32 intid;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_timer(&scan, &intid), ST_OK);
    assert_int_equal(intid, 27);
}

static void timers_that_make_no_sense_are_refused(void **state)
{
    u32 intid;

    (void)state;
    open_node("timer");
    tree_text(&tree, "compatible", "arm,armv8-timer");
    TREE_CELLS(&tree, "interrupts", 1, 13, 4, 1, 14, 4);
    close_node();
    assert_int_equal(fdt_scan_timer(&scan, &intid), ST_PROTO);
    expect_words("timer lacks interrupt 2");
    open_node("timer");
    tree_text(&tree, "compatible", "arm,armv8-timer");
    TREE_CELLS(&tree, "interrupts", 1, 13, 4, 1, 14, 4, 1, 16, 4);
    close_node();
    assert_int_equal(fdt_scan_timer(&scan, &intid), ST_PROTO);
    expect_words("number 16");
    open_node("timer");
    tree_text(&tree, "compatible", "arm,armv8-timer");
    TREE_CELLS(&tree, "interrupts", 1, 13, 4, 1, 14, 4, 0, 3, 4);
    close_node();
    assert_int_equal(fdt_scan_timer(&scan, &intid), ST_PROTO);
    expect_words("type 0");
    open_node("other");
    close_node();
    assert_int_equal(fdt_scan_timer(&scan, &intid), ST_NOENT);
    expect_words("no timer");
}

/* --- Xen ---------------------------------------------------------------------------------------
 */
static void the_hypervisor_node_gives_grants_regions_and_interrupt(void **state)
{
    struct fdt_hypervisor hyp;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_hypervisor(&scan, &hyp), ST_OK);
    assert_int_equal(hyp.grants.base, 0x38000000);
    assert_int_equal(hyp.grants.bytes, 0x1000000);
    assert_int_equal(hyp.extended.count, 2);
    assert_int_equal(hyp.extended.range[0].base, 0x50000000);
    assert_int_equal(hyp.extended.range[1].base, UINT64_C(0x220000000));
    assert_int_equal(hyp.extended.range[1].bytes, UINT64_C(0xfde0000000));
    assert_int_equal(hyp.evtchn_intid, 31);
}

static void a_machine_without_xen_is_told_apart(void **state)
{
    struct fdt_hypervisor hyp;

    (void)state;
    open_node("chosen");
    close_node();
    assert_int_equal(fdt_scan_hypervisor(&scan, &hyp), ST_NOENT);
    expect_words("/hypervisor");
    open_node("hypervisor");
    tree_text(&tree, "compatible", "linux,kvm");
    close_node();
    assert_int_equal(fdt_scan_hypervisor(&scan, &hyp), ST_NOENT);
}

static void a_hypervisor_node_without_reg_or_interrupt_is_refused(void **state)
{
    struct fdt_hypervisor hyp;

    (void)state;
    open_node("hypervisor");
    tree_text(&tree, "compatible", "xen,xen");
    TREE_CELLS(&tree, "interrupts", 1, 15, 0xf08);
    close_node();
    assert_int_equal(fdt_scan_hypervisor(&scan, &hyp), ST_PROTO);
    expect_words("hypervisor has no reg");
    open_node("hypervisor");
    tree_text(&tree, "compatible", "xen,xen");
    TREE_CELLS(&tree, "reg", 0, 0x38000000, 0, 0x1000000);
    close_node();
    assert_int_equal(fdt_scan_hypervisor(&scan, &hyp), ST_PROTO);
    expect_words("hypervisor lacks interrupt 0");
}

/* --- /chosen -----------------------------------------------------------------------------------
 */
static void bootargs_are_text_or_nothing(void **state)
{
    const char *text;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_bootargs(&scan, &text), ST_OK);
    assert_string_equal(text, "disk=data,size=4M");
    open_node("chosen");
    close_node();
    assert_int_equal(fdt_scan_bootargs(&scan, &text), ST_OK);
    assert_string_equal(text, "");
    open_node("chosen");
    tree_bytes(&tree, "bootargs", "no end", 6);
    close_node();
    assert_int_equal(fdt_scan_bootargs(&scan, &text), ST_PROTO);
    assert_string_equal(text, "");
    expect_words("/chosen/bootargs");
    open_node("chosen");
    tree_bytes(&tree, "bootargs", "two\0strings", 12);
    close_node();
    assert_int_equal(fdt_scan_bootargs(&scan, &text), ST_PROTO);
}

static void the_initrd_may_be_named_in_one_cell_or_two(void **state)
{
    struct fdt_range initrd;

    (void)state;
    tree_guest_chosen(&tree);
    TREE_CELLS(&tree, "linux,initrd-start", 0x48000000);
    TREE_CELLS(&tree, "linux,initrd-end", 0x48400000);
    tree_guest_rest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_OK);
    assert_int_equal(initrd.base, 0x48000000);
    assert_int_equal(initrd.bytes, 0x400000);
    tree_guest_chosen(&tree);
    TREE_CELLS(&tree, "linux,initrd-start", 2, 0x1000);
    TREE_CELLS(&tree, "linux,initrd-end", 2, 0x3000);
    tree_guest_rest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_OK);
    assert_int_equal(initrd.base, UINT64_C(0x200001000));
    assert_int_equal(initrd.bytes, 0x2000);
}

static void an_initrd_that_is_no_range_is_refused(void **state)
{
    struct fdt_range initrd;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_NOENT);
    tree_guest_chosen(&tree);
    TREE_CELLS(&tree, "linux,initrd-start", 0x48000000);
    tree_guest_rest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_PROTO);
    expect_words("linux,initrd-start");
    tree_guest_chosen(&tree);
    TREE_CELLS(&tree, "linux,initrd-start", 0x48000000);
    TREE_CELLS(&tree, "linux,initrd-end", 0x48000000);
    tree_guest_rest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_PROTO);
    tree_guest_chosen(&tree);
    TREE_CELLS(&tree, "linux,initrd-start", 1, 2, 3);
    TREE_CELLS(&tree, "linux,initrd-end", 0x48000000);
    tree_guest_rest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_initrd(&scan, &initrd), ST_PROTO);
}

static void uart_at(const char *stdout_path, const char *alias)
{
    tree_begin(&tree);
    tree_root(&tree);
    TREE_CELLS(&tree, "#address-cells", 2);
    TREE_CELLS(&tree, "#size-cells", 2);
    tree_node(&tree, "chosen");
    if (stdout_path) {
        tree_text(&tree, "stdout-path", stdout_path);
    }
    tree_end(&tree);
    tree_node(&tree, "aliases");
    if (alias) {
        tree_text(&tree, "serial0", alias);
    }
    tree_end(&tree);
    for (u32 i = 0; i < 2; i++) {
        tree_node(&tree, i == 0 ? "uart@22000000" : "uart@23000000");
        tree_text(&tree, "compatible", i == 0 ? "arm,pl011" : "arm,sbsa-uart");
        TREE_CELLS(&tree, "reg", 0, 0x22000000 + i * 0x1000000, 0, 0x1000);
        tree_end(&tree);
    }
    tree_finish(&tree);
    scan_tree();
}

static void expect_uart(u64 base)
{
    struct fdt_range uart;

    assert_int_equal(fdt_scan_uart(&scan, &uart), ST_OK);
    assert_int_equal(uart.base, base);
}

static void the_uart_is_the_one_of_stdout_or_the_first(void **state)
{
    (void)state;
    uart_at("/uart@23000000", NULL);
    expect_uart(0x23000000);
    uart_at("/uart@23000000:115200n8", NULL);
    expect_uart(0x23000000);
    uart_at("serial0", "/uart@23000000");
    expect_uart(0x23000000);
    uart_at("serial0:115200", "/uart@23000000");
    expect_uart(0x23000000);
    uart_at(NULL, NULL);
    expect_uart(0x22000000);
    uart_at("/nothing", NULL);
    expect_uart(0x22000000);
}

static void an_alias_of_itself_does_not_go_round_for_ever(void **state)
{
    (void)state;
    uart_at("serial0", "serial0");
    expect_uart(0x22000000);
    uart_at(":", NULL);
    expect_uart(0x22000000);
}

static void a_tree_without_uart_says_so(void **state)
{
    struct fdt_range uart;

    (void)state;
    tree_of_guest(&tree, 3);
    scan_tree();
    assert_int_equal(fdt_scan_uart(&scan, &uart), ST_NOENT);
    expect_words("arm,pl011");
    open_node("uart@22000000");
    tree_text(&tree, "compatible", "arm,pl011");
    TREE_CELLS(&tree, "reg", 0, 0x22000000, 0, 0x100);
    close_node();
    assert_int_equal(fdt_scan_uart(&scan, &uart), ST_PROTO);
    expect_words("uart@22000000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bank_is_found),
        cmocka_unit_test(empty_and_disabled_banks_do_not_count),
        cmocka_unit_test(no_memory_is_said),
        cmocka_unit_test(a_reg_that_wraps_is_refused),
        cmocka_unit_test(a_reg_of_odd_length_is_refused),
        cmocka_unit_test(cell_counts_of_three_are_refused),
        cmocka_unit_test(cell_counts_default_to_two_and_one),
        cmocka_unit_test(more_banks_than_the_table_are_said),
        cmocka_unit_test(reserved_memory_is_both_the_list_and_the_nodes),
        cmocka_unit_test(a_reserved_entry_that_wraps_is_refused),
        cmocka_unit_test(both_interrupt_controllers_are_told_apart),
        cmocka_unit_test(no_interrupt_controller_names_what_is_needed),
        cmocka_unit_test(an_interrupt_controller_with_one_window_is_refused),
        cmocka_unit_test(a_stride_that_is_no_number_is_refused),
        cmocka_unit_test(registers_behind_a_translating_bus_are_refused),
        cmocka_unit_test(the_virtual_timer_is_the_third_interrupt),
        cmocka_unit_test(timers_that_make_no_sense_are_refused),
        cmocka_unit_test(the_hypervisor_node_gives_grants_regions_and_interrupt),
        cmocka_unit_test(a_machine_without_xen_is_told_apart),
        cmocka_unit_test(a_hypervisor_node_without_reg_or_interrupt_is_refused),
        cmocka_unit_test(bootargs_are_text_or_nothing),
        cmocka_unit_test(the_initrd_may_be_named_in_one_cell_or_two),
        cmocka_unit_test(an_initrd_that_is_no_range_is_refused),
        cmocka_unit_test(the_uart_is_the_one_of_stdout_or_the_first),
        cmocka_unit_test(an_alias_of_itself_does_not_go_round_for_ever),
        cmocka_unit_test(a_tree_without_uart_says_so),
    };

    return cmocka_run_group_tests_name("fdt_scan", tests, NULL, NULL);
}
