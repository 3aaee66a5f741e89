/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backend_keys.c - what a device directory may say; a wrong word costs its own device. */
#include "drivers/xen/backend_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/rig_backend.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static void generic_virtio_device_has_a_hex_base(void **state)
{
    (void)state;
    rig_key_set(5, 0, "virtio", "frontend-id", "5");
    rig_key_set(5, 0, "virtio", "online", "1");
    rig_key_set(5, 0, "virtio", "irq", "34");
    rig_key_set(5, 0, "virtio", "base", "0x2000200");
    rig_key_set(5, 0, "virtio", "type", "virtio,device2");
    rig_key_set(5, 0, "virtio", "transport", "mmio");
    rig_key_set(5, 0, "virtio", "grant_usage", "1");
    rig_key_set(5, 0, "virtio", "state", "1");
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
    assert_int_equal(rig_glue.request.mmio_base, 0x02000200);
    assert_int_equal(rig_glue.request.irq, 34);
    assert_int_equal(rig_glue.request.device_type, 2);
    assert_true(rig_glue.request.grants);
    assert_string_equal(rig_glue.request.target, "");
    assert_string_equal(fake_xs_get("backend/virtio/5/0/state"), "2");
}

static void type_of_a_generic_device_is_a_small_hex_number(void **state)
{
    static const struct {
        const char *text;
        u32 type; /* 0: refused */
    } table[] = {
        {"virtio,device1a", 0x1a},
        {"virtio,deviceFF", 0xff},
        {"virtio,device", 0},
        {"virtio,device0", 0},
        {"virtio,device100", 0},
        {"virtio,deviceg", 0},
        {"virtio,device000002", 0},
        {"virtio,device-1", 0},
        {"i2c", 0},
        {"", 0},
    };

    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        (void)rig_setup(state);
        rig_key_set(5, 0, "virtio", "frontend-id", "5");
        rig_key_set(5, 0, "virtio", "irq", "34");
        rig_key_set(5, 0, "virtio", "base", "0x2000200");
        rig_key_set(5, 0, "virtio", "type", table[i].text);
        rig_key_set(5, 0, "virtio", "transport", "mmio");
        rig_key_set(5, 0, "virtio", "state", "1");
        (void)rig_run();
        assert_int_equal(rig_glue.attaches, table[i].type != 0);
        assert_int_equal(rig_glue.request.device_type, table[i].type);
        assert_int_equal(said_count("key type "), table[i].type == 0);
    }
}

/* Xen 4.17 and 4.18 write no grant_usage. */
static void optional_keys_may_be_missing(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    rig_key_set(5, 51712, "virtio_disk", "grant_usage", NULL);
    rig_key_set(5, 51712, "virtio_disk", "params", NULL);
    rig_key_set(5, 51712, "virtio_disk", "online", NULL);
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
}

static void wrong_keys_are_refused_and_named(void **state)
{
    static const struct {
        const char *key, *value;
    } wrong[] = {
        {"frontend-id", "6"},
        {"frontend-id", "x"},
        {"frontend-id", NULL},
        {"transport", "pci"},
        {"transport", NULL},
        {"base", "33554433"},
        {"base", "0"},
        {"base", "-1"},
        {"base", "0xfffffffffffffe00"},
        {"base", "18446744073709551616"},
        {"base", ""},
        {"base", NULL},
        {"irq", "31"},
        {"irq", "1020"},
        {"irq", "3 3"},
        {"irq", NULL},
        {"params", "a-name-of-a-disk-that-is-longer-than-we-allow"},
        {"mode", "rw"},
        {"mode", NULL},
        {"grant_usage", "2"},
        {"state", "99"},
        {"state", "one"},
    };
    char long_value[XS_VALUE_MAX + 10];

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        char words[64];

        (void)rig_setup(state);
        rig_disk_make(5, 51712);
        rig_key_set(5, 51712, "virtio_disk", wrong[i].key, wrong[i].value);
        (void)rig_run();
        snprintf(words, sizeof(words), "key %s ", wrong[i].key);
        if (rig_glue.attaches != 0 || !said(words) || said_count("guest 5") != 1) {
            fail_msg("%s = %s: attached %u times, said %u", wrong[i].key, wrong[i].value,
                     rig_glue.attaches, said_count(words));
        }
        assert_false(strcmp(rig_disk_state(5, 51712), "2") == 0);
    }
    (void)rig_setup(state);
    memset(long_value, 'x', sizeof(long_value));
    long_value[sizeof(long_value) - 1] = 0;
    rig_disk_make(5, 51712);
    rig_key_set(5, 51712, "virtio_disk", "params", long_value);
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 0);
    assert_true(said("key params is too long"));
}

static void limits_are(u64 iops, u64 bytes, u64 burst_ms)
{
    assert_true(rig_glue.limits.iops == iops);
    assert_true(rig_glue.limits.bytes == bytes);
    assert_true(rig_glue.limits.burst_ms == burst_ms);
}

static void limits_are_read_at_attach_and_whenever_they_change(void **state)
{
    const u64 unsaid = BACKEND_LIMIT_UNSAID;

    (void)state;
    rig_disk_make(5, 51712);
    rig_key_set(5, 51712, "virtio_disk", "limit-iops", "100");
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
    assert_int_equal(rig_glue.limits_told, 1);
    limits_are(100, unsaid, unsaid);
    rig_key_set(5, 51712, "virtio_disk", "limit-bytes", "10000000000");
    rig_key_set(5, 51712, "virtio_disk", "limit-burst", "2000");
    (void)rig_run();
    limits_are(100, UINT64_C(10000000000), 2000);
    rig_key_set(5, 51712, "virtio_disk", "limit-iops", "0");
    (void)rig_run();
    limits_are(0, UINT64_C(10000000000), 2000);
    rig_key_set(5, 51712, "virtio_disk", "limit-iops", NULL);
    rig_key_set(5, 51712, "virtio_disk", "limit-bytes", NULL);
    rig_key_set(5, 51712, "virtio_disk", "limit-burst", NULL);
    (void)rig_run();
    limits_are(unsaid, unsaid, unsaid);
    assert_int_equal(rig_glue.detaches, 0);
    rig_disk_rm(5, 51712);
    (void)rig_run();
    rig_wait_ns(RIG_LINGER_NS);
    rig_nothing_left();
}

/* it costs nothing but itself. */
static void a_limit_that_is_nonsense_leaves_the_one_before_it(void **state)
{
    static const char *const wrong[] = {"",     "-1",   "1e3",       "0x10",
                                        "100 ", "many", "100000001", "18446744073709551616"};
    char long_value[XS_VALUE_MAX + 10];

    (void)state;
    rig_disk_make(5, 51712);
    rig_key_set(5, 51712, "virtio_disk", "limit-burst", "10001");
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
    assert_true(said("key limit-burst = \"10001\" makes no sense: what was said before holds"));
    rig_key_set(5, 51712, "virtio_disk", "limit-iops", "77");
    (void)rig_run();
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        said_reset();
        rig_key_set(5, 51712, "virtio_disk", "limit-iops", wrong[i]);
        (void)rig_run();
        assert_int_equal(said_count("key limit-iops = "), 1);
        limits_are(77, BACKEND_LIMIT_UNSAID, BACKEND_LIMIT_UNSAID);
    }
    memset(long_value, '1', sizeof(long_value) - 1);
    long_value[sizeof(long_value) - 1] = '\0';
    rig_key_set(5, 51712, "virtio_disk", "limit-iops", long_value);
    (void)rig_run();
    limits_are(77, BACKEND_LIMIT_UNSAID, BACKEND_LIMIT_UNSAID);
    assert_int_equal(rig_glue.detaches, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, rig_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(generic_virtio_device_has_a_hex_base),
        TEST(type_of_a_generic_device_is_a_small_hex_number),
        TEST(optional_keys_may_be_missing),
        TEST(limits_are_read_at_attach_and_whenever_they_change),
        TEST(a_limit_that_is_nonsense_leaves_the_one_before_it),
        TEST(wrong_keys_are_refused_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
