/* SPDX-License-Identifier: BSD-2-Clause */
/* test_config.c - bootargs: what is understood, what is refused and with which words. */
#include "start/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct config cfg;
static char why[CONFIG_WHY_MAX];

static void expect_refused(const char *bootargs, const char *words)
{
    why[0] = '\0';
    assert_int_not_equal(config_parse(bootargs, &cfg, why), ST_OK);
    if (!strstr(why, words)) {
        fail_msg("'%s' gave \"%s\", expected it to say \"%s\"", bootargs, why, words);
    }
}

static void empty_bootargs_give_defaults(void **state)
{
    (void)state;
    assert_int_equal(config_parse("", &cfg, why), ST_OK);
    assert_int_equal(cfg.disk_count, 0);
    assert_int_equal(cfg.level, LOG_INFO);
    assert_true(cfg.spin_ns > 0 && cfg.spin_ns < UINT64_C(1000000000));
    assert_string_equal(cfg.selftest, "");
}

static void several_disks_are_read(void **state)
{
    (void)state;
    assert_int_equal(config_parse("  disk=root,initrd,offset=0x1000,size=64K,ro  disk=data,size=3M "
                                  "disk=all",
                                  &cfg, why),
                     ST_OK);
    assert_int_equal(cfg.disk_count, 3);
    assert_string_equal(cfg.disk[0].name, "root");
    assert_int_equal(cfg.disk[0].source, DISK_INITRD);
    assert_int_equal(cfg.disk[0].offset, 0x1000);
    assert_int_equal(cfg.disk[0].bytes, 65536);
    assert_true(cfg.disk[0].read_only);
    assert_string_equal(cfg.disk[1].name, "data");
    assert_int_equal(cfg.disk[1].source, DISK_ZEROES);
    assert_int_equal(cfg.disk[1].bytes, 3 << 20);
    assert_false(cfg.disk[1].read_only);
    assert_int_equal(cfg.disk[2].source, DISK_INITRD);
    assert_int_equal(cfg.disk[2].bytes, 0);
}

static void other_words_are_read(void **state)
{
    (void)state;
    assert_int_equal(config_parse("spin_us=7 log=debug selftest=stack", &cfg, why), ST_OK);
    assert_int_equal(cfg.spin_ns, 7000);
    assert_int_equal(cfg.level, LOG_DEBUG);
    assert_string_equal(cfg.selftest, "stack");
    assert_int_equal(config_parse("spin_us=forever", &cfg, why), ST_OK);
    assert_true(cfg.spin_ns == UINT64_MAX);
    assert_int_equal(config_parse("spin_us=0", &cfg, why), ST_OK);
    assert_int_equal(cfg.spin_ns, 0);
}

static void unknown_words_are_refused_by_name(void **state)
{
    (void)state;
    expect_refused("disc=a", "disc=a");
    expect_refused("disk", "unknown word");
    expect_refused("disk=", "begins with a name");
    expect_refused("log=loud", "loud");
    expect_refused("selftest=all", "all");
    expect_refused("disk=a,rw", "rw");
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    expect_refused("disk=,size=1M", "begins with a name");
    expect_refused("disk=a/b,size=1M", "begins with a name");
    expect_refused("disk=abcdefghijklmnopqrstuvwxyz0123456789", "begins with a name");
    expect_refused("disk=a,size=1M disk=a", "same name");
}

static void bad_numbers_are_refused(void **state)
{
    (void)state;
    expect_refused("disk=a,size=", "size=");
    expect_refused("disk=a,size=M", "size=");
    expect_refused("disk=a,size=0", "size=");
    expect_refused("disk=a,size=513", "multiple of 512");
    expect_refused("disk=a,size=12x", "size=");
    expect_refused("disk=a,size=0x", "size=");
    expect_refused("disk=a,size=18446744073709551616", "size=");
    expect_refused("disk=a,size=18446744073709551615G", "size=");
    expect_refused("disk=a,initrd,offset=1", "offset=");
    expect_refused("disk=a,offset=1K,size=1K", "offset= needs initrd");
    expect_refused("spin_us=18446744073709551615", "spin_us=");
}

static void more_disks_than_the_limit_are_refused(void **state)
{
    char line[DISKS_MAX * 32 + 32] = "";

    (void)state;
    for (int i = 0; i <= DISKS_MAX; i++) {
        snprintf(line + strlen(line), 32, "disk=d%d,size=1K ", i);
    }
    expect_refused(line, "DISKS_MAX");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_bootargs_give_defaults),
        cmocka_unit_test(several_disks_are_read),
        cmocka_unit_test(other_words_are_read),
        cmocka_unit_test(unknown_words_are_refused_by_name),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(more_disks_than_the_limit_are_refused),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
