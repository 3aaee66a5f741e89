/* SPDX-License-Identifier: BSD-2-Clause */
/* test_consoles.c - what guests say, as the operator sees it; `say` and `tail`. */
#include "start/consoles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "start/command.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"

#define SECOND UINT64_C(1000000000)

static struct attach attach;
static struct guest_console *console;
static struct vconsole vc;
static struct command_reader reader;

static int fresh(void **state)
{
    (void)state;
    said_reset();
    port_host_now_ns = SECOND;
    memset(&attach, 0, sizeof(attach));
    memset(&vc, 0, sizeof(vc));
    assert_int_equal(console_open(&attach.consoles, 5, "dom5/0 console", &vc, &console), ST_OK);
    command_init(&reader, NULL, &attach, NULL);
    return 0;
}

static void says(const char *text)
{
    console_output(console, (const u8 *)text, (u32)strlen(text));
}

static void typed(const char *line)
{
    command_feed(&reader, line, strlen(line));
    command_feed(&reader, "\n", 1);
}

static void a_line_appears_behind_the_devices_name_when_it_is_whole(void **state)
{
    (void)state;
    says("first\r\nsec");
    assert_true(said("] dom5/0 console| first\n"));
    assert_false(said("sec"));
    says("ond\n");
    assert_true(said("] dom5/0 console| second\n"));
}

/* The text is a stranger's: nothing in it forges a line or moves a terminal's cursor. */
static void colours_and_control_characters_are_left_out(void **state)
{
    (void)state;
    says("\033[0;32m  OK  \033[0m\tStarted\a \x1b(B\xc3\xa9.\n");
    assert_true(said("console|   OK   Started B??.\n"));
}

static void a_line_without_end_is_shown_in_pieces(void **state)
{
    char text[CONSOLE_LINE_BYTES + 2];

    (void)state;
    memset(text, 'y', sizeof(text));
    console_output(console, (const u8 *)text, sizeof(text));
    assert_int_equal(said_count("dom5/0 console| yyy"), 1);
    says("\n");
    assert_true(said("dom5/0 console| yy\n"));
}

static void a_flood_is_shown_at_its_rate_and_the_rest_is_counted(void **state)
{
    (void)state;
    for (u32 i = 0; i < 1000; i++) {
        says("flood\n");
    }
    assert_int_equal(said_count("| flood"), CONSOLE_LINES_BURST);
    port_host_now_ns += SECOND;
    says("later\n");
    assert_true(said("dom5/0 console: 936 lines are not shown: too many per second"));
    assert_true(said("| later"));
}

static void one_guests_flood_does_not_silence_another(void **state)
{
    struct guest_console *other;
    struct vconsole its;

    (void)state;
    assert_int_equal(console_open(&attach.consoles, 6, "dom6/0 console", &its, &other), ST_OK);
    for (u32 i = 0; i < 200; i++) {
        says("flood\n");
    }
    console_output(other, (const u8 *)"quiet\n", 6);
    assert_true(said("dom6/0 console| quiet"));
}

static void tail_shows_the_last_lines_and_the_prompt(void **state)
{
    char line[16];

    (void)state;
    for (u32 i = 0; i < 300; i++) {
        (void)snprintf(line, sizeof(line), "line %u\n", (unsigned)i);
        says(line);
    }
    says("login: ");
    said_reset();
    typed("tail 5");
    assert_false(said("| line 259\n"));
    assert_true(said("| line 260\n"));
    assert_true(said("| line 299\n"));
    assert_true(said("| login: \n"));
    assert_int_equal(said_count("dom5/0 console|"), CONSOLE_TAIL_LINES + 1);
}

static void tail_is_bounded_by_bytes_too(void **state)
{
    (void)state;
    for (u32 i = 0; i < 60; i++) {
        says("0123456789012345678901234567890123456789012345678901234567890123456789\n");
    }
    said_reset();
    typed("tail 5");
    assert_in_range(said_count("dom5/0 console|"), CONSOLE_KEPT_BYTES / 71,
                    CONSOLE_KEPT_BYTES / 71 + 1);
    /* Free-running indices pass the end of their type. */
    fresh(NULL);
    console->kept_head = UINT32_MAX - 2;
    says("abcdef");
    typed("tail 5");
    assert_true(said("def\n"));
}

static void say_types_a_line(void **state)
{
    (void)state;
    typed("say 5 ls  -l /");
    assert_int_equal(vc.input_head, 9);
    assert_memory_equal(vc.input, "ls  -l /\n", 9);
    typed("say 5");
    assert_int_equal(vc.input_head, 10); /* an empty line: return */
    for (u32 i = 0; i < 10; i++) {
        typed("say 5 01234567890123456789012345678901234567890");
    }
    assert_true(said("dom5/0 console: the guest does not read what it was told before"));
    assert_true(vc.input_head <= VCONSOLE_INPUT_BYTES);
}

static void commands_that_make_no_sense_are_answered_with_the_list(void **state)
{
    static const char *const lines[] = {"say",         "say x",           "say 5x y",
                                        "say 65536 x", "say 99999999999", "tail",
                                        "tail ",       "tail -1",         "tails 5"};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(lines); i++) {
        said_reset();
        typed(lines[i]);
        assert_true(said("resize NAME SIZE, tail DOMID, say DOMID TEXT, help"));
    }
    assert_int_equal(vc.input_head, 0);
}

static void a_guest_without_a_console_is_answered_with_the_cure(void **state)
{
    (void)state;
    typed("say 6 x");
    assert_true(said("dom6 has no console here: its configuration needs virtio=[\"type=virtio,"
                     "device3,...\"]"));
    console_close(console);
    typed("tail 5");
    assert_true(said("dom5 has no console here"));
}

static void there_are_as_many_as_the_limit_says(void **state)
{
    struct guest_console *more;

    (void)state;
    for (u32 i = 1; i < CONSOLES_MAX; i++) {
        assert_int_equal(console_open(&attach.consoles, 9, "n", &vc, &more), ST_OK);
    }
    assert_int_equal(console_open(&attach.consoles, 9, "dom9/1 console", &vc, &more), ST_FULL);
    assert_true(said("dom9/1 console: 32 consoles are served already (CONSOLES_MAX)"));
    console_close(console);
    assert_int_equal(console_open(&attach.consoles, 9, "n", &vc, &more), ST_OK);
    assert_int_equal(more->kept_head, 0); /* nothing of the last guest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_appears_behind_the_devices_name_when_it_is_whole, fresh),
        cmocka_unit_test_setup(colours_and_control_characters_are_left_out, fresh),
        cmocka_unit_test_setup(a_line_without_end_is_shown_in_pieces, fresh),
        cmocka_unit_test_setup(a_flood_is_shown_at_its_rate_and_the_rest_is_counted, fresh),
        cmocka_unit_test_setup(one_guests_flood_does_not_silence_another, fresh),
        cmocka_unit_test_setup(tail_shows_the_last_lines_and_the_prompt, fresh),
        cmocka_unit_test_setup(tail_is_bounded_by_bytes_too, fresh),
        cmocka_unit_test_setup(say_types_a_line, fresh),
        cmocka_unit_test_setup(commands_that_make_no_sense_are_answered_with_the_list, fresh),
        cmocka_unit_test_setup(a_guest_without_a_console_is_answered_with_the_cure, fresh),
        cmocka_unit_test_setup(there_are_as_many_as_the_limit_says, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
