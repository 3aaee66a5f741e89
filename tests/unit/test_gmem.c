/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gmem.c - addresses become spans, and pins come and go in pairs. */
#include "virtio/gmem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/arena.h"
#include "tests/fake/port_host.h"

static struct arena arena;
static struct span spans[16];
static u32 count;

static int fresh(void **state)
{
    (void)state;
    arena_init(&arena, 4, 4096);
    count = 0;
    return 0;
}

static int done(void **state)
{
    (void)state;
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

static enum status span(u64 addr, u32 bytes, enum gmem_dir dir, u32 max)
{
    return gmem_span(&arena.gm, (gpa_t){addr}, bytes, dir, spans, max, &count);
}

static void a_range_in_one_run_is_one_span(void **state)
{
    (void)state;
    assert_int_equal(span(ARENA_BASE + 100, 200, GMEM_WRITE, 16), ST_OK);
    assert_int_equal(count, 1);
    assert_ptr_equal(spans[0].base, arena_byte(&arena, ARENA_BASE + 100));
    assert_true(spans[0].bus == ARENA_BASE + 100);
    assert_int_equal(spans[0].bytes, 200);
    assert_int_equal(arena.pins[0], 1);
    gmem_release(&arena.gm, spans, count);
}

static void a_range_over_windows_is_a_span_each(void **state)
{
    (void)state;
    assert_int_equal(span(ARENA_BASE + 4000, 96 + 4096 + 7, GMEM_READ, 16), ST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(spans[0].bytes, 96);
    assert_int_equal(spans[1].bytes, 4096);
    assert_int_equal(spans[2].bytes, 7);
    assert_ptr_equal(spans[2].base, arena.window[2]);
    gmem_release(&arena.gm, spans, count);
}

static void spans_are_appended(void **state)
{
    (void)state;
    assert_int_equal(span(ARENA_BASE, 1, GMEM_READ, 16), ST_OK);
    assert_int_equal(span(ARENA_BASE, 0, GMEM_READ, 16), ST_OK);
    assert_int_equal(span(ARENA_BASE + 4096, 2, GMEM_READ, 16), ST_OK);
    assert_int_equal(count, 2);
    assert_int_equal(spans[1].bytes, 2);
    gmem_release(&arena.gm, spans, count);
}

/* holes, ends and wraps. Whatever fails leaves no pin and no span. */
static void a_range_that_is_not_memory_is_refused_whole(void **state)
{
    static const struct {
        u64 addr;
        u32 bytes;
    } bad[] = {
        {ARENA_BASE - 1, 1},
        {ARENA_BASE - 1, 2},
        {ARENA_BASE + 4 * 4096, 1},
        {ARENA_BASE + 4 * 4096 - 1, 2},
        {0, 1},
        {UINT64_MAX, 1},
        {UINT64_MAX, 2},
        {UINT64_MAX - 99, 200},
        {ARENA_BASE, UINT32_MAX},
        {UINT64_MAX - UINT32_MAX + 2, UINT32_MAX},
    };

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        u8 byte = 0;

        assert_int_equal(span(bad[i].addr, bad[i].bytes, GMEM_READ, 16), ST_GUEST);
        assert_int_equal(count, 0);
        assert_int_equal(arena_pinned(&arena), 0);
        if (bad[i].bytes == 1) {
            assert_int_equal(gmem_copy_in(&arena.gm, &byte, (gpa_t){bad[i].addr}, 1), ST_GUEST);
            assert_int_equal(gmem_copy_out(&arena.gm, (gpa_t){bad[i].addr}, &byte, 1), ST_GUEST);
        }
    }
}

static void a_hole_in_the_middle_undoes_what_was_pinned(void **state)
{
    (void)state;
    arena.hole = (struct arena_range){ARENA_BASE + 4096, 16};
    assert_int_equal(span(ARENA_BASE + 4000, 200, GMEM_READ, 16), ST_GUEST);
    assert_int_equal(count, 0);
    assert_int_equal(span(ARENA_BASE + 4000, 96, GMEM_READ, 16), ST_OK);
    assert_int_equal(span(ARENA_BASE + 4096 + 16, 96, GMEM_READ, 16), ST_OK);
    gmem_release(&arena.gm, spans, count);
}

static void too_few_spans_is_a_status_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(span(ARENA_BASE + 4095, 2, GMEM_READ, 1), ST_FULL);
    assert_int_equal(count, 0);
    assert_int_equal(span(ARENA_BASE + 4095, 2, GMEM_READ, 2), ST_OK);
    assert_int_equal(span(ARENA_BASE, 1, GMEM_READ, 2), ST_FULL);
    assert_int_equal(count, 2);
    gmem_release(&arena.gm, spans, count);
}

static void the_reason_of_the_implementation_is_passed_on(void **state)
{
    static const enum status reasons[] = {ST_AGAIN, ST_HYPERCALL, ST_GUEST};
    u8 buffer[8];

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(reasons); i++) {
        arena.fail = reasons[i];
        arena.fail_in = 2;
        gmem_forget(&arena.gm);
        assert_int_equal(span(ARENA_BASE + 4095, 2, GMEM_READ, 16), reasons[i]);
        assert_int_equal(arena_pinned(&arena), 0);
        arena.fail_in = 1;
        gmem_forget(&arena.gm);
        assert_int_equal(gmem_copy_in(&arena.gm, buffer, (gpa_t){ARENA_BASE}, 8), reasons[i]);
    }
}

/* G-04: what may only be read is never handed out for writing, also when a run is known. */
static void read_only_memory_is_not_written(void **state)
{
    u8 byte = 1;

    (void)state;
    arena.read_only = (struct arena_range){ARENA_BASE + 512, 512};
    assert_int_equal(span(ARENA_BASE + 600, 8, GMEM_READ, 16), ST_OK);
    assert_null(gmem_peek(&arena.gm, ARENA_BASE + 600, 8, GMEM_WRITE));
    assert_int_equal(span(ARENA_BASE + 600, 8, GMEM_WRITE, 16), ST_GUEST);
    assert_int_equal(span(ARENA_BASE + 500, 13, GMEM_WRITE, 16), ST_GUEST);
    assert_int_equal(gmem_copy_out(&arena.gm, (gpa_t){ARENA_BASE + 600}, &byte, 1), ST_GUEST);
    assert_int_equal(*arena_byte(&arena, ARENA_BASE + 600), 0);
    gmem_release(&arena.gm, spans, count);
}

static void a_known_run_is_not_asked_for_again(void **state)
{
    struct span one;

    (void)state;
    assert_int_equal(span(ARENA_BASE, 16, GMEM_READ, 16), ST_OK);
    assert_int_equal(arena.finds, 1);
    assert_int_equal(span(ARENA_BASE + 4080, 16, GMEM_WRITE, 16), ST_OK);
    assert_int_equal(arena.finds, 2); /* a place for each direction */
    assert_true(gmem_borrow(&arena.gm, ARENA_BASE + 1, 4095, GMEM_READ, &one));
    assert_false(gmem_borrow(&arena.gm, ARENA_BASE + 1, 4096, GMEM_READ, &spans[2]));
    assert_ptr_equal(one.base, arena.window[0] + 1);
    assert_ptr_equal(gmem_peek(&arena.gm, ARENA_BASE + 7, 1, GMEM_READ), arena.window[0] + 7);
    assert_int_equal(arena.finds, 2);
    assert_int_equal(arena_pinned(&arena), 2); /* what is borrowed is not pinned ... */
    gmem_hold(&arena.gm, &one, 1);
    assert_int_equal(arena_pinned(&arena), 3); /* ... until it is held */
    gmem_release(&arena.gm, &one, 1);
    gmem_release(&arena.gm, spans, count);
    gmem_forget(&arena.gm);
    assert_null(gmem_peek(&arena.gm, ARENA_BASE + 7, 1, GMEM_READ));
    assert_false(gmem_borrow(&arena.gm, ARENA_BASE + 1, 1, GMEM_READ, &one));
}

/* A line never answers past its window, however long the run is: there other runs are looked for.
 */
static void a_long_run_is_kept_window_by_window(void **state)
{
    u64 edge = ARENA_BASE + WINDOW_BYTES;

    (void)state;
    arena_free(&arena);
    arena_init(&arena, 1, 4 * WINDOW_BYTES);
    assert_int_equal(span(ARENA_BASE + 1, 2 * WINDOW_BYTES, GMEM_READ, 16), ST_OK);
    assert_int_equal(count, 3);
    assert_int_equal(spans[0].bytes, WINDOW_BYTES - 1);
    assert_int_equal(spans[1].bytes, WINDOW_BYTES);
    assert_int_equal(spans[2].bytes, 1);
    assert_ptr_equal(spans[1].base, arena.window[0] + WINDOW_BYTES);
    assert_null(gmem_peek(&arena.gm, edge - 1, 2, GMEM_READ));
    assert_ptr_equal(gmem_peek(&arena.gm, edge, 2, GMEM_READ), arena.window[0] + WINDOW_BYTES);
    gmem_release(&arena.gm, spans, count);
}

static void copies_cross_windows_and_single_byte_runs(void **state)
{
    u8 out[5000], in[5000];

    (void)state;
    for (u32 i = 0; i < sizeof(out); i++) {
        out[i] = (u8)(i * 13 + 1);
    }
    arena.crumbs = (struct arena_range){ARENA_BASE + 4090, 40};
    assert_int_equal(gmem_copy_out(&arena.gm, (gpa_t){ARENA_BASE + 3}, out, sizeof(out)), ST_OK);
    assert_int_equal(gmem_copy_in(&arena.gm, in, (gpa_t){ARENA_BASE + 3}, sizeof(in)), ST_OK);
    assert_memory_equal(in, out, sizeof(in));
    arena_read(&arena, ARENA_BASE + 3, in, sizeof(in));
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(*arena_byte(&arena, ARENA_BASE + 2), 0);
    assert_int_equal(*arena_byte(&arena, ARENA_BASE + 3 + sizeof(out)), 0);
    assert_int_equal(gmem_copy_in(&arena.gm, in, (gpa_t){0}, 0), ST_OK);
    assert_int_equal(gmem_copy_out(&arena.gm, (gpa_t){0}, out, 0), ST_OK);
}

static void holes_are_skipped_and_a_double_release_is_our_mistake(void **state)
{
    const struct span hole = {.base = NULL, .bytes = 100, .tag = 3};

    (void)state;
    gmem_hold(&arena.gm, &hole, 1);
    gmem_release(&arena.gm, &hole, 1);
    assert_int_equal(span(ARENA_BASE, 16, GMEM_READ, 16), ST_OK);
    gmem_release(&arena.gm, spans, 1);
    assert_true(EXPECT_PANIC(gmem_release(&arena.gm, spans, 1)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_range_in_one_run_is_one_span),
        TEST(a_range_over_windows_is_a_span_each),
        TEST(spans_are_appended),
        TEST(a_range_that_is_not_memory_is_refused_whole),
        TEST(a_hole_in_the_middle_undoes_what_was_pinned),
        TEST(too_few_spans_is_a_status_of_its_own),
        TEST(the_reason_of_the_implementation_is_passed_on),
        TEST(read_only_memory_is_not_written),
        TEST(a_known_run_is_not_asked_for_again),
        TEST(a_long_run_is_kept_window_by_window),
        TEST(copies_cross_windows_and_single_byte_runs),
        TEST(holes_are_skipped_and_a_double_release_is_our_mistake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
