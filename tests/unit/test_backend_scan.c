/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backend_scan.c - which device directories there are: all that are, and nothing else. */
#include "drivers/xen/backend_parts.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fake/rig_backend.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static void names_that_are_no_numbers_are_passed_over(void **state)
{
    (void)state;
    fake_xs_set("backend/virtio_disk/abc/1/state", "1");
    fake_xs_set("backend/virtio_disk/70000/1/state", "1");
    fake_xs_set("backend/virtio_disk/5/x/state", "1");
    fake_xs_set("backend/virtio_disk/5/4294967296/state", "1");
    fake_xs_set("backend/vkbd/5/1/state", "1");
    (void)rig_run();
    rig_disk_make(6, 1);
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
}

static void device_limit_is_said_once(void **state)
{
    (void)state;
    for (u32 i = 0; i < DEVICES_MAX + 3; i++) {
        rig_disk_make((u16)(1 + i / 8), i);
    }
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, DEVICES_MAX);
    assert_int_equal(said_count("DEVICES_MAX"), 1);
}

static void parent_directory_may_vanish_as_a_whole(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    rig_disk_make(5, 51728);
    rig_disk_make(6, 51712);
    (void)rig_run();
    assert_int_equal(rig_glue.count, 3);
    fake_xs_rm("backend/virtio_disk/5");
    (void)rig_run();
    assert_int_equal(rig_glue.count, 1);
    fake_xs_rm("backend");
    (void)rig_run();
    rig_nothing_left();
}

#define TEST(name) cmocka_unit_test_setup(name, rig_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_that_are_no_numbers_are_passed_over),
        TEST(device_limit_is_said_once),
        TEST(parent_directory_may_vanish_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
