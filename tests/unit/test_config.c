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

static void a_disk_says_how_far_it_may_grow_and_how_many_queues_it_has(void **state)
{
    (void)state;
    assert_int_equal(
        config_parse(
            "disk=a,size=1M,max=3M,queues=8 disk=b,size=1M disk=c,queues=2,iops=100,bps=4M", &cfg,
            why),
        ST_OK);
    assert_int_equal(cfg.disk[0].bytes, MIB(1));
    assert_int_equal(cfg.disk[0].bytes_max, MIB(3));
    assert_int_equal(cfg.disk[0].queues, 8);
    assert_int_equal(cfg.disk[1].bytes_max, MIB(1));
    assert_int_equal(cfg.disk[1].queues, 1);
    assert_int_equal(cfg.disk[2].source, DISK_INITRD);
    assert_int_equal(cfg.disk[2].queues, 2);
    assert_int_equal(cfg.disk[2].iops, 100);
    assert_int_equal(cfg.disk[2].bps, MIB(4));
    assert_int_equal(cfg.disk[1].iops + cfg.disk[1].bps, 0);
    assert_false(cfg.disk[0].packed || cfg.disk[0].in_order);
    assert_int_equal(config_parse("disk=a,packed disk=b,in-order,packed", &cfg, why), ST_OK);
    assert_true(cfg.disk[0].packed && !cfg.disk[0].in_order);
    assert_true(cfg.disk[1].packed && cfg.disk[1].in_order);
    expect_refused("disk=a,packed=on", "packed, in-order");
    expect_refused("disk=a,size=1M,iops=100000001", "iops= takes up to 100000000");
    expect_refused("disk=a,size=1M,bps=10000000001", "bps= up to 10000000000");
    expect_refused("disk=a,size=1M,iops=-1", "'-1'");
    expect_refused("disk=a,size=1M,queues=0", "1 to 8");
    expect_refused("disk=a,size=1M,queues=9", "1 to 8");
    expect_refused("disk=a,size=1M,queues=", "1 to 8");
    expect_refused("disk=a,size=1M,queues=x", "'x'");
    expect_refused("disk=a,size=1M,max=513", "multiple of 512");
    expect_refused("disk=a,size=2M,max=1M", "'a'");
    expect_refused("disk=a,max=1M", "max= needs a size=");
    expect_refused("disk=a,initrd,size=1M,max=2M", "no initrd");
}

static void sizes_are_read_alone(void **state)
{
    u64 bytes;

    (void)state;
    assert_true(config_parse_bytes("3K", &bytes) && bytes == 3072);
    assert_true(config_parse_bytes("0x200", &bytes) && bytes == 512);
    assert_false(config_parse_bytes("", &bytes));
    assert_false(config_parse_bytes("3K ", &bytes));
    assert_false(config_parse_bytes("-3", &bytes));
}

static void a_seed_is_64_digits_or_weak(void **state)
{
    (void)state;
    assert_int_equal(config_parse("", &cfg, why), ST_OK);
    assert_true(!cfg.seed_given && !cfg.seed_weak);
    assert_int_equal(config_parse("seed=weak", &cfg, why), ST_OK);
    assert_true(!cfg.seed_given && cfg.seed_weak);
    assert_int_equal(
        config_parse("seed=0123456789abcdefABCDEF000000000000000000000000000000000000000080", &cfg,
                     why),
        ST_OK);
    assert_true(cfg.seed_given && !cfg.seed_weak);
    assert_int_equal(cfg.seed[0], 0x01);
    assert_int_equal(cfg.seed[8], 0xab);
    assert_int_equal(cfg.seed[31], 0x80);
    expect_refused("seed=0123456789abcdef", "seed= takes 64 hex digits or 'weak', not");
    expect_refused("seed=0123456789abcdefABCDEF00000000000000000000000000000000000000008g",
                   "seed= takes 64 hex digits or 'weak', not");
    expect_refused("seed=", "seed= takes 64 hex digits or 'weak', not");
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
    expect_refused("disk=a,offset=1K,size=1K", "offset= and part= need initrd");
    expect_refused("disk=a,part=1,size=1K", "offset= and part= need initrd");
    expect_refused("disk=a,part=0", "part= takes the number of a partition");
    expect_refused("disk=a,part=x", "part= takes the number of a partition");
    expect_refused("disk=a,part=1,partlabel=b", "a disk is one partition");
    expect_refused("disk=a,partlabel=0123456789012345678901234567890123456",
                   "no PARTUUID or PARTLABEL is longer than 36");
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
        cmocka_unit_test(a_disk_says_how_far_it_may_grow_and_how_many_queues_it_has),
        cmocka_unit_test(sizes_are_read_alone),
        cmocka_unit_test(a_seed_is_64_digits_or_weak),
        cmocka_unit_test(other_words_are_read),
        cmocka_unit_test(unknown_words_are_refused_by_name),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(more_disks_than_the_limit_are_refused),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
