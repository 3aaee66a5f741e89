/* SPDX-License-Identifier: BSD-2-Clause */
/* test_log.c - whole lines, clean text, kept beginnings, complaints that cannot flood. */
#include "start/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/limits.h"
#include "tests/fake/port_host.h"

struct paper {
    char text[8192];
    usize bytes;
    u32 calls;
};

static struct paper first, late;

static void paper_write(void *ctx, const char *text, usize bytes)
{
    struct paper *paper = ctx;

    assert_true(bytes > 0 && bytes < sizeof(paper->text) - paper->bytes);
    memcpy(paper->text + paper->bytes, text, bytes);
    paper->bytes += bytes;
    paper->text[paper->bytes] = 0;
    paper->calls++;
}

static int start(void **state)
{
    (void)state;
    memset(&first, 0, sizeof(first));
    memset(&late, 0, sizeof(late));
    port_host_now_ns = UINT64_C(12000345678);
    log_init();
    return 0;
}

static void a_line_has_time_level_text_and_newline(void **state)
{
    (void)state;
    assert_true(log_sink_add(paper_write, &first));
    log_warn("disk %s has %u sectors", "data", 42u);
    assert_string_equal(first.text, "[   12.000345] warning: disk data has 42 sectors\n");
    assert_int_equal(first.calls, 1);
}

static void levels_above_the_chosen_one_are_silent(void **state)
{
    (void)state;
    assert_true(log_sink_add(paper_write, &first));
    log_debug("hidden");
    assert_int_equal(first.calls, 0);
    log_level_set(LOG_DEBUG);
    log_debug("shown");
    log_level_set(LOG_ERROR);
    log_warn("hidden");
    log_error("shown");
    assert_int_equal(first.calls, 2);
    assert_null(strstr(first.text, "hidden"));
}

/* Guests choose names: no escape sequence, no second line, no byte outside of ASCII. */
static void control_characters_become_question_marks(void **state)
{
    (void)state;
    assert_true(log_sink_add(paper_write, &first));
    log_info("a\033[2Jb\nc\rd\x7f\x9b"
             "e\tf");
    assert_non_null(strstr(first.text, "] a?[2Jb?c?d??e?f\n"));
    assert_ptr_equal(strchr(first.text, '\n'), first.text + first.bytes - 1);
}

static void a_long_line_is_cut_and_says_so(void **state)
{
    char text[2 * LOG_LINE_MAX];

    (void)state;
    assert_true(log_sink_add(paper_write, &first));
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    log_info("%s", text);
    assert_int_equal(first.bytes, LOG_LINE_MAX);
    assert_string_equal(first.text + LOG_LINE_MAX - 5, "x...\n");
}

static void a_line_that_just_fits_is_whole(void **state)
{
    char text[LOG_LINE_MAX];
    const usize head = strlen("[   12.000345] ");

    (void)state;
    assert_true(log_sink_add(paper_write, &first));
    memset(text, 'x', sizeof(text));
    text[LOG_LINE_MAX - head - 1] = 0;
    log_info("%s", text);
    assert_int_equal(first.bytes, LOG_LINE_MAX);
    assert_string_equal(first.text + LOG_LINE_MAX - 3, "xx\n");
}

static void lines_before_a_sink_are_shown_to_it_when_it_comes(void **state)
{
    (void)state;
    log_info("one");
    assert_true(log_sink_add(paper_write, &first));
    log_info("two");
    assert_true(log_sink_add(paper_write, &late));
    assert_string_equal(first.text, "[   12.000345] one\n[   12.000345] two\n");
    assert_string_equal(late.text, first.text);
}

static void the_kept_text_keeps_the_beginning_and_says_that_it_ends(void **state)
{
    (void)state;
    for (u32 i = 0; i < 200; i++) {
        log_info("line %u", i);
    }
    assert_true(log_sink_add(paper_write, &late));
    assert_true(late.bytes <= LOG_KEEP_BYTES + LOG_LINE_MAX);
    assert_non_null(strstr(late.text, "line 0\n"));
    assert_null(strstr(late.text, "line 199\n"));
    assert_non_null(strstr(late.text, "not kept"));
}

static void sinks_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    for (u32 i = 0; i < LOG_SINKS_MAX; i++) {
        assert_true(log_sink_add(paper_write, &first));
    }
    assert_false(log_sink_add(paper_write, &first));
}

static void complaints_come_in_a_burst_and_then_slowly(void **state)
{
    struct log_limit limit = {0};
    u32 shown = 0;

    (void)state;
    for (u32 i = 0; i < 1000; i++) {
        shown += log_limit_ok(&limit);
    }
    assert_int_equal(shown, LOG_LIMIT_BURST);
    assert_int_equal(limit.suppressed, 1000 - LOG_LIMIT_BURST);
    shown = 0;
    for (u32 ms = 0; ms < 10000; ms++) {
        port_host_now_ns += 1000000;
        shown += log_limit_ok(&limit);
    }
    assert_int_equal(shown, 10 * LOG_LIMIT_PER_SECOND);
}

static void a_quiet_hour_earns_one_burst_and_no_more(void **state)
{
    struct log_limit limit = {0};
    u32 shown = 0;

    (void)state;
    assert_true(log_limit_ok(&limit));
    port_host_now_ns += UINT64_C(3600000000000);
    for (u32 i = 0; i < 1000; i++) {
        shown += log_limit_ok(&limit);
    }
    assert_int_equal(shown, LOG_LIMIT_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_has_time_level_text_and_newline, start),
        cmocka_unit_test_setup(levels_above_the_chosen_one_are_silent, start),
        cmocka_unit_test_setup(control_characters_become_question_marks, start),
        cmocka_unit_test_setup(a_long_line_is_cut_and_says_so, start),
        cmocka_unit_test_setup(a_line_that_just_fits_is_whole, start),
        cmocka_unit_test_setup(lines_before_a_sink_are_shown_to_it_when_it_comes, start),
        cmocka_unit_test_setup(the_kept_text_keeps_the_beginning_and_says_that_it_ends, start),
        cmocka_unit_test_setup(sinks_beyond_the_limit_are_refused, start),
        cmocka_unit_test_setup(complaints_come_in_a_burst_and_then_slowly, start),
        cmocka_unit_test_setup(a_quiet_hour_earns_one_burst_and_no_more, start),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
