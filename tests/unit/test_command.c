/* SPDX-License-Identifier: BSD-2-Clause */
/* test_command.c - what may be typed on the console, and what it is answered. */
#include "start/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/said.h"

static struct command_reader reader;
static struct pv pv;
static struct gic gic;
static struct report report;
static struct attach attach;
static struct turn turn;
static struct disks disks;
static u8 memory[KIB(64)];

static int fresh(void **state)
{
    (void)state;
    said_reset();
    memset(&disks, 0, sizeof(disks));
    disks.count = 1;
    disks.disk[0].source = DISK_ZEROES;
    memcpy(disks.disk[0].name, "data", 5);
    ramdisk_init(&disks.disk[0].ram, "data", memory, KIB(16), false);
    ramdisk_reserve(&disks.disk[0].ram, sizeof(memory));
    attach_init(&attach, &disks, &turn.shares);
    report = (struct report){.attach = &attach, .pv = &pv, .turn = &turn, .gic = &gic};
    command_init(&reader, &report, &attach, &pv);
    return 0;
}

static void type(const char *text)
{
    command_feed(&reader, text, strlen(text));
}

static void resize_gives_a_disk_another_size(void **state)
{
    (void)state;
    type("resize data 32K\n");
    assert_true(said("disk 'data': 32 KiB from now on, 0 devices told"));
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 64);
    type("resize data 0x1000\r\n");
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 8);
}

static void a_resize_that_is_refused_says_why(void **state)
{
    (void)state;
    type("resize data 65K\n");
    assert_true(said("resize: disk 'data': 65 KiB are more than the 64 KiB reserved for it"));
    type("resize nosuch 1K\n");
    assert_true(said("resize: there is no disk 'nosuch' here, but: data"));
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 32);
}

static void what_is_no_command_is_answered_with_the_list(void **state)
{
    static const char *const lines[] = {
        "resize\n",
        "resize \n",
        "resize data\n",
        "resize  4K\n",
        "resize data 4K more\n",
        "resize data -1\n",
        "resize 0123456789012345678901234567890123456789 4K\n",
        "help\n",
        "log loud\n",
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(lines); i++) {
        type(lines[i]);
        assert_int_equal(said_count("commands: stats, held, log"), i + 1);
    }
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 32);
}

static void a_line_may_come_in_pieces_and_is_bounded(void **state)
{
    (void)state;
    type("resi");
    type("ze data 8K");
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 32);
    type("\n");
    assert_int_equal(disks.disk[0].ram.bdev.info.sectors, 16);
    for (u32 i = 0; i < 200; i++) {
        type("x");
    }
    type("\nlog error\n");
    assert_true(said("too long for a command"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(resize_gives_a_disk_another_size, fresh),
        cmocka_unit_test_setup(a_resize_that_is_refused_says_why, fresh),
        cmocka_unit_test_setup(what_is_no_command_is_answered_with_the_list, fresh),
        cmocka_unit_test_setup(a_line_may_come_in_pieces_and_is_bounded, fresh),
    };

    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
