/* SPDX-License-Identifier: BSD-2-Clause */
/* test_xen.c - meeting the hypervisor: parameters, errno names, and the privilege line. */
#include "drivers/xen/xen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static int setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    return 0;
}

static void version_is_split(void **state)
{
    u32 major, minor;

    (void)state;
    assert_int_equal(xen_version(&major, &minor), ST_OK);
    assert_int_equal(major, 4);
    assert_int_equal(minor, 20);
    fake_xen_fail(1, -XEN_ENOSYS);
    assert_int_equal(xen_version(&major, &minor), ST_HYPERCALL);
}

static void unset_parameter_is_noent(void **state)
{
    u64 value;

    (void)state;
    assert_int_equal(xen_param_get(XEN_PARAM_STORE_PFN, &value), ST_NOENT);
    fake_xen.param[HVM_PARAM_STORE_PFN] = UINT64_MAX;
    assert_int_equal(xen_param_get(XEN_PARAM_STORE_PFN, &value), ST_NOENT);
    fake_xen.param[HVM_PARAM_STORE_PFN] = 0x39000;
    assert_int_equal(xen_param_get(XEN_PARAM_STORE_PFN, &value), ST_OK);
    assert_int_equal(value, 0x39000);
    fake_xen_fail(1, -XEN_EPERM);
    assert_int_equal(xen_param_get(XEN_PARAM_STORE_PFN, &value), ST_HYPERCALL);
    assert_true(said("EPERM (1)"));
}

static void console_takes_text(void **state)
{
    (void)state;
    assert_int_equal(xen_console_write("hello\n", 6), 0);
    assert_string_equal(fake_xen.console, "hello\n");
}

/* [docs/privilege.md] every answer of the probe gives one line that names the cause. */
static void privilege_is_said_in_one_line(void **state)
{
    static const struct {
        enum fake_policy policy;
        long error;
        enum status st;
        const char *words;
    } table[] = {
        {FAKE_CONTROL, 0, ST_OK, "control domain"},
        {FAKE_NO_IOREQ, 0, ST_NOSUP, "CONFIG_IOREQ_SERVER=y"},
        {FAKE_DUMMY, 0, ST_ACCES, "set-target"},
        {FAKE_SILO, 0, ST_ACCES, "set-target"},
        {FAKE_FLASK, 0, ST_ACCES, "FLASK"},
        {FAKE_CONTROL, -XEN_ESRCH, ST_ACCES, "no Dom0"},
        {FAKE_CONTROL, -XEN_EFAULT, ST_ACCES, "EFAULT"},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        said_reset();
        fake_xen_reset(table[i].policy);
        if (table[i].error) {
            fake_xen_fail(1, table[i].error);
        }
        assert_int_equal(xen_privilege_probe(), table[i].st);
        assert_true(said(table[i].words));
        assert_int_equal(said_count("privilege:"), 1);
        assert_int_equal(said_count("\n"), 1);
        assert_int_equal(fake_xen.calls, 1);
    }
}

static void errno_has_a_name_with_either_sign(void **state)
{
    (void)state;
    assert_string_equal(xen_errno_name(-XEN_ENOSYS), "ENOSYS (38)");
    assert_string_equal(xen_errno_name(XEN_EACCES), "EACCES (13)");
    assert_string_equal(xen_errno_name(-4000), "?");
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_is_split),
        TEST(unset_parameter_is_noent),
        TEST(console_takes_text),
        TEST(privilege_is_said_in_one_line),
        TEST(errno_has_a_name_with_either_sign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
