/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gmem_foreign.c - windows: only what is named is mapped, nothing stays behind, nobody
 * starves. */
#include "drivers/xen/gmem_foreign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/extregion.h"
#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define RAM         FAKE_GUEST_BASE
#define GUEST_BYTES MIB(1024)

static struct gmem_foreign mem[2 * GUESTS_MAX + 1];
static struct fake_guest *guest[2];

static void machine_sized(u64 region_bytes, u64 guest_bytes)
{
    struct extregion_range region;

    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    region = (struct extregion_range){fake_xen.region, region_bytes};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(gmem_foreign_init(), ST_OK);
    guest[0] = fake_guest_make(7, 1, guest_bytes);
    guest[1] = fake_guest_make(8, 1, guest_bytes);
    assert_int_equal(gmem_foreign_open(&mem[0], 7), ST_OK);
    assert_int_equal(gmem_foreign_open(&mem[1], 8), ST_OK);
}

static int setup(void **state)
{
    (void)state;
    machine_sized(FAKE_REGION_BYTES, GUEST_BYTES);
    return 0;
}

static u32 mapped(void)
{
    struct gmem_foreign_stats stats;

    gmem_foreign_stats(&stats);
    assert_int_equal(stats.pages_mapped, fake_pages_foreign());
    return stats.pages_mapped;
}

static u32 used(void)
{
    struct gmem_foreign_stats stats;

    gmem_foreign_stats(&stats);
    return stats.windows_used;
}

static enum status touch(u32 g, u64 addr, u32 bytes, struct span *span)
{
    u32 count = 0;

    return gmem_span(&mem[g].gm, (gpa_t){addr}, bytes, GMEM_WRITE, span, 1, &count);
}

static void touch_and_release(u32 g, u64 addr)
{
    struct span span;

    assert_int_equal(touch(g, addr, 8, &span), ST_OK);
    gmem_release(&mem[g].gm, &span, 1);
}

static int teardown(void **state)
{
    (void)state;
    gmem_foreign_close(&mem[0]);
    gmem_foreign_close(&mem[1]);
    assert_int_equal(mapped(), 0);
    assert_int_equal(used(), 0);
    return 0;
}

/* --- mapping --------------------------------------------------------------------------------- */

static void bytes_are_the_guests_own(void **state)
{
    struct span span;

    (void)state;
    memcpy(fake_guest_byte(guest[0], RAM + 0x1234), "from the guest", 15);
    assert_int_equal(touch(0, RAM + 0x1234, 32, &span), ST_OK);
    assert_string_equal((char *)span.base, "from the guest");
    memcpy(span.base, "to the guest", 13);
    assert_string_equal((char *)fake_guest_byte(guest[0], RAM + 0x1234), "to the guest");
    assert_int_equal(span.bus, (u64)(uintptr_t)span.base);
    gmem_release(&mem[0].gm, &span, 1);
}

static void only_the_named_pages_are_mapped_in_one_call(void **state)
{
    struct span span;
    struct span piece[2];
    u32 count = 0;
    u64 calls = fake_xen.calls;

    (void)state;
    assert_int_equal(touch(0, RAM + 4096 * 10 + 100, 4096 * 3, &span), ST_OK);
    assert_int_equal(fake_xen.calls, calls + 1);
    assert_int_equal(mapped(), 4); /* three pages' worth that straddle four */
    assert_int_equal(span.bytes, 4096 * 3);
    gmem_release(&mem[0].gm, &span, 1);
    /* Again, and a part of it: no call. */
    touch_and_release(0, RAM + 4096 * 12);
    assert_int_equal(fake_xen.calls, calls + 1);
    /* One page more costs that page. */
    assert_int_equal(
        gmem_span(&mem[0].gm, (gpa_t){RAM + 4096 * 10}, 4096 * 5, GMEM_READ, piece, 2, &count),
        ST_OK);
    assert_int_equal(fake_xen.calls, calls + 2);
    assert_int_equal(mapped(), 5);
    gmem_release(&mem[0].gm, piece, count);
}

static void neighbouring_pages_are_one_span_also_when_mapped_apart(void **state)
{
    struct span span;

    (void)state;
    touch_and_release(0, RAM + 4096 * 3);
    touch_and_release(0, RAM + 4096 * 1);
    touch_and_release(0, RAM + 4096 * 2);
    assert_int_equal(touch(0, RAM + 4096, 4096 * 3, &span), ST_OK);
    assert_int_equal(span.bytes, 4096 * 3);
    assert_int_equal(mapped(), 3);
    gmem_release(&mem[0].gm, &span, 1);
}

static void range_over_two_granules_is_two_spans(void **state)
{
    struct span span[2];
    u32 count = 0;
    u64 edge = RAM + WINDOW_BYTES;

    (void)state;
    assert_int_equal(gmem_span(&mem[0].gm, (gpa_t){edge - 4096}, 8192, GMEM_READ, span, 2, &count),
                     ST_OK);
    assert_int_equal(span[0].bytes + span[1].bytes, 8192);
    assert_int_equal(used(), 2);
    gmem_release(&mem[0].gm, span, count);
}

static void same_address_in_two_guests_is_two_pages(void **state)
{
    struct span a, b;

    (void)state;
    *fake_guest_byte(guest[0], RAM) = 0xaa;
    *fake_guest_byte(guest[1], RAM) = 0xbb;
    assert_int_equal(touch(0, RAM, 1, &a), ST_OK);
    assert_int_equal(touch(1, RAM, 1, &b), ST_OK);
    assert_int_equal(*a.base, 0xaa);
    assert_int_equal(*b.base, 0xbb);
    gmem_release(&mem[0].gm, &a, 1);
    gmem_release(&mem[1].gm, &b, 1);
}

/* --- the guest is hostile -------------------------------------------------------------------- */

static void addresses_outside_the_guest_are_its_fault(void **state)
{
    static const u64 bad[] = {
        0,         RAM - 1,   RAM + GUEST_BYTES, RAM + GUEST_BYTES + WINDOW_BYTES,
        BIT64(47), BIT64(48), BIT64(63),         UINT64_MAX - 8,
    };
    struct span span;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(touch(0, bad[i], 8, &span), ST_GUEST);
    }
    assert_int_equal(mapped(), 0);
    assert_int_equal(used(), 0); /* no window is spent on nonsense */
}

static void range_that_runs_out_of_memory_is_refused_whole(void **state)
{
    struct span span[4];
    u32 count = 0;

    (void)state;
    assert_int_equal(
        gmem_span(&mem[0].gm, (gpa_t){RAM + GUEST_BYTES - 4096}, 8192, GMEM_READ, span, 4, &count),
        ST_GUEST);
    assert_int_equal(count, 0);
}

/* --- giving back ----------------------------------------------------------------------------- */

static void invalidate_unmaps_what_is_not_pinned(void **state)
{
    struct span span;

    (void)state;
    touch_and_release(0, RAM);
    touch_and_release(0, RAM + WINDOW_BYTES);
    touch_and_release(1, RAM);
    assert_int_equal(touch(0, RAM + 2 * WINDOW_BYTES, 8192, &span), ST_OK);
    assert_int_equal(mapped(), 5);
    gmem_foreign_invalidate(&mem[0]);
    assert_int_equal(mapped(), 3);       /* the pinned two, and the other guest's */
    memset(span.base, 0x5a, span.bytes); /* what is in flight goes on */
    assert_int_equal(gmem_foreign_reap(), 0);
    gmem_release(&mem[0].gm, &span, 1);
    assert_int_equal(gmem_foreign_reap(), 1);
    assert_int_equal(mapped(), 1);
}

static void stale_window_answers_nobody(void **state)
{
    struct span old, new;

    (void)state;
    assert_int_equal(touch(0, RAM, 8, &old), ST_OK);
    gmem_foreign_invalidate(&mem[0]);
    assert_int_equal(touch(0, RAM, 8, &new), ST_OK);
    assert_ptr_not_equal(old.base, new.base);
    gmem_foreign_invalidate(&mem[0]);
    gmem_foreign_invalidate(&mem[0]);
    gmem_release(&mem[0].gm, &old, 1);
    gmem_release(&mem[0].gm, &new, 1);
    assert_int_equal(gmem_foreign_reap(), 2);
    assert_int_equal(mapped(), 0);
}

static void dead_guest_vanishes_when_closed(void **state)
{
    (void)state;
    for (u32 i = 0; i < 20; i++) {
        touch_and_release(0, RAM + i * (u64)WINDOW_BYTES);
    }
    fake_guest_kill(guest[0]);
    assert_false(fake_guest_gone(guest[0]));
    gmem_foreign_close(&mem[0]);
    assert_true(fake_guest_gone(guest[0]));
    assert_int_equal(gmem_foreign_open(&mem[0], 9), ST_OK);
}

static void closing_with_a_pin_is_our_bug(void **state)
{
    struct span span;

    (void)state;
    assert_int_equal(touch(0, RAM, 8, &span), ST_OK);
    assert_true(EXPECT_PANIC(gmem_foreign_close(&mem[0])));
    gmem_release(&mem[0].gm, &span, 1);
}

/* --- shares ---------------------------------------------------------------------------------- */

static void windows_are_reused_oldest_first_and_the_hot_stay(void **state)
{
    struct gmem_foreign_stats stats;
    u32 others = 4 * WINDOWS_MAX;

    (void)state;
    for (u32 i = 0; i < others; i++) {
        touch_and_release(0, RAM); /* a ring, say: answered inline, seldom looked up */
        touch_and_release(0, RAM + (1 + i % 500) * (u64)WINDOW_BYTES);
    }
    gmem_foreign_stats(&stats);
    assert_int_equal(stats.windows_used, WINDOWS_PER_GUEST);
    assert_int_equal(stats.pages_mapped, WINDOWS_PER_GUEST);
    /* Each of the others misses each time; the hot one is taken at most once. */
    assert_in_range(mem[0].misses, others, others + 2);
}

static void greedy_guest_does_not_push_out_a_modest_one(void **state)
{
    u64 misses;

    (void)state;
    for (u32 i = 0; i < 40; i++) {
        touch_and_release(1, RAM + i * (u64)WINDOW_BYTES);
    }
    misses = mem[1].misses;
    for (u32 turn = 0; turn < 3; turn++) {
        for (u32 i = 0; i < 450; i++) {
            touch_and_release(0, RAM + i * (u64)WINDOW_BYTES);
        }
        for (u32 i = 0; i < 40; i++) {
            touch_and_release(1, RAM + i * (u64)WINDOW_BYTES);
        }
    }
    assert_int_equal(mem[1].misses, misses);
    assert_true(mem[0].windows <= WINDOWS_PER_GUEST);
}

static void guest_below_its_share_takes_from_one_above(void **state)
{
    (void)state;
    for (u32 i = 0; i < WINDOWS_PER_GUEST; i++) {
        touch_and_release(0, RAM + i * (u64)WINDOW_BYTES);
    }
    for (u32 i = 0; i < WINDOWS_MAX / 2; i++) {
        touch_and_release(1, RAM + i * (u64)WINDOW_BYTES);
    }
    assert_int_equal(mem[1].windows, WINDOWS_MAX / 2);
    assert_int_equal(mem[0].windows, WINDOWS_MAX / 2);
}

static void all_pinned_means_again_not_forever(void **state)
{
    static struct span span[WINDOWS_PER_GUEST];
    struct span more;

    (void)state;
    for (u32 i = 0; i < WINDOWS_PER_GUEST; i++) {
        assert_int_equal(touch(0, RAM + i * (u64)WINDOW_BYTES, 8, &span[i]), ST_OK);
    }
    assert_int_equal(touch(0, RAM + WINDOWS_PER_GUEST * (u64)WINDOW_BYTES, 8, &more), ST_AGAIN);
    assert_int_equal(touch(1, RAM, 8, &more), ST_OK); /* the other guest is not shut out */
    gmem_release(&mem[1].gm, &more, 1);
    gmem_release(&mem[0].gm, &span[5], 1);
    assert_int_equal(touch(0, RAM + WINDOWS_PER_GUEST * (u64)WINDOW_BYTES, 8, &span[5]), ST_OK);
    gmem_release(&mem[0].gm, span, WINDOWS_PER_GUEST);
}

/* --- Xen refuses ----------------------------------------------------------------------------- */

static void empty_table_pool_is_lived_with(void **state)
{
    struct gmem_foreign_stats stats;

    (void)state;
    fake_xen.tables_max = fake_xen.tables + 10;
    for (u32 i = 0; i < 60; i++) {
        touch_and_release(0, RAM + i * (u64)WINDOW_BYTES);
        touch_and_release(1, RAM + i * (u64)WINDOW_BYTES);
    }
    gmem_foreign_stats(&stats);
    assert_int_equal(stats.windows_total, 10);
    assert_true(stats.windows_used <= 10);
    assert_int_equal(said_count("shadow_memory"), 1);
    (void)mapped();
}

static void no_table_at_all_names_the_cure(void **state)
{
    struct span span;

    (void)state;
    fake_xen.tables_max = fake_xen.tables;
    assert_int_equal(touch(0, RAM, 8, &span), ST_HYPERCALL);
    assert_true(said("shadow_memory"));
    assert_int_equal(used(), 0);
}

static void missing_right_is_said_once_in_a_while(void **state)
{
    struct span span;

    (void)state;
    fake_xen.policy = FAKE_FLASK;
    fake_xen.rights = FAKE_RIGHT_DM;
    for (u32 i = 0; i < 1000; i++) {
        assert_int_equal(touch(0, RAM, 8, &span), ST_HYPERCALL);
    }
    assert_true(said("EACCES"));
    assert_true(said_count("EACCES") <= LOG_LIMIT_BURST);
    fake_xen.policy = FAKE_CONTROL;
}

static void no_region_is_a_refusal(void **state)
{
    struct extregion_range small;

    (void)state;
    small = (struct extregion_range){fake_xen.region, MIB(2)};
    assert_int_equal(extregion_init(&small, 1), ST_OK);
    assert_int_equal(gmem_foreign_init(), ST_FULL);
    assert_true(said("extended region"));
    (void)setup(state);
}

static void more_guests_than_the_limit_are_refused(void **state)
{
    (void)state;
    for (u32 i = 2; i < 2 * GUESTS_MAX; i++) {
        assert_int_equal(gmem_foreign_open(&mem[i], (u16)(10 + i)), ST_OK);
    }
    assert_int_equal(gmem_foreign_open(&mem[2 * GUESTS_MAX], 100), ST_FULL);
    for (u32 i = 2; i < 2 * GUESTS_MAX; i++) {
        gmem_foreign_close(&mem[i]);
    }
}

/* Every n-th hypercall fails, in mapping and in unmapping: no crash, and the books are level at the
 * end. */
static void every_failing_hypercall_is_survived(void **state)
{
    static const long errors[] = {-XEN_ENOMEM, -XEN_EINVAL, -XEN_EPERM, -XEN_ESRCH, -XEN_EFAULT};

    (void)state;
    for (u32 e = 0; e < ARRAY_LEN(errors); e++) {
        for (u64 nth = 1; nth <= 40; nth++) {
            struct span span;

            machine_sized(MIB(10), MIB(64)); /* four windows */
            fake_xen_fail(nth, errors[e]);
            for (u32 i = 0; i < 12; i++) {
                if (touch(i % 2, RAM + (i * 5 % 11) * (u64)WINDOW_BYTES + 4096, 8192, &span) ==
                    ST_OK) {
                    memset(span.base, (int)i, span.bytes);
                    gmem_release(&mem[i % 2].gm, &span, 1);
                }
                if (i == 7) {
                    gmem_foreign_invalidate(&mem[0]);
                }
            }
            assert_int_equal(teardown(state), 0);
        }
    }
    (void)setup(state);
}

/* Random use by two guests against what the memory really holds. */
static void random_use_never_mixes_guests(void **state)
{
    static struct {
        struct span span;
        u32 guest;
        u64 addr;
    } held[24];
    u32 count = 0;

    (void)state;
    machine_sized(MIB(64), MIB(128)); /* 31 windows for two guests of 64 granules each */
    srand(11);
    for (u32 turn = 0; turn < 30000; turn++) {
        u32 kind = (u32)rand() % 100;

        if (kind < 50 && count < ARRAY_LEN(held)) {
            u32 g = (u32)rand() % 2;
            u64 addr = RAM + ((u64)rand() % (MIB(128) / 64)) * 64;

            if (touch(g, addr, 64, &held[count].span) == ST_OK) {
                held[count].guest = g;
                held[count++].addr = addr;
            }
        } else if (kind < 99 && count) {
            u32 i = (u32)rand() % count;
            u8 mark = (u8)rand();

            *held[i].span.base = mark;
            assert_int_equal(*fake_guest_byte(guest[held[i].guest], held[i].addr), mark);
            gmem_release(&mem[held[i].guest].gm, &held[i].span, 1);
            held[i] = held[--count];
        } else if (kind == 99) {
            gmem_foreign_invalidate(&mem[rand() % 2]);
        }
        if (turn % 64 == 0) {
            (void)gmem_foreign_reap();
            (void)mapped();
        }
    }
    while (count) {
        count--;
        gmem_release(&mem[held[count].guest].gm, &held[count].span, 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_are_the_guests_own),
        TEST(only_the_named_pages_are_mapped_in_one_call),
        TEST(neighbouring_pages_are_one_span_also_when_mapped_apart),
        TEST(range_over_two_granules_is_two_spans),
        TEST(same_address_in_two_guests_is_two_pages),
        TEST(addresses_outside_the_guest_are_its_fault),
        TEST(range_that_runs_out_of_memory_is_refused_whole),
        TEST(invalidate_unmaps_what_is_not_pinned),
        TEST(stale_window_answers_nobody),
        TEST(dead_guest_vanishes_when_closed),
        TEST(closing_with_a_pin_is_our_bug),
        TEST(windows_are_reused_oldest_first_and_the_hot_stay),
        TEST(greedy_guest_does_not_push_out_a_modest_one),
        TEST(guest_below_its_share_takes_from_one_above),
        TEST(all_pinned_means_again_not_forever),
        TEST(empty_table_pool_is_lived_with),
        TEST(no_table_at_all_names_the_cure),
        TEST(missing_right_is_said_once_in_a_while),
        TEST(no_region_is_a_refusal),
        TEST(more_guests_than_the_limit_are_refused),
        TEST(every_failing_hypercall_is_survived),
        TEST(random_use_never_mixes_guests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
