/* SPDX-License-Identifier: BSD-2-Clause */
/* test_random.c - what seeds are worth, and that a seed is given once. */
#include "start/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

static u8 seed[128];

static int fresh(void **state)
{
    (void)state;
    port_host_now_ns = 0x0123456789abcdef;
    port_host_random = 0;
    for (u32 i = 0; i < sizeof(seed); i++) {
        seed[i] = (u8)(i * 37 + 11);
    }
    random_init();
    return 0;
}

static void the_clock_alone_is_no_seed(void **state)
{
    u8 byte;

    (void)state;
    assert_int_equal(random_bits(), 0);
    assert_false(random_ready());
    assert_true(EXPECT_PANIC(random_fill(&byte, 1)));
}

static void seeds_are_worth_what_their_giver_says_together(void **state)
{
    (void)state;
    random_add(seed, 31, 31 * 8);
    assert_false(random_ready());
    random_add(seed + 31, 1, 8);
    assert_int_equal(random_bits(), RANDOM_BITS_MIN);
    assert_true(random_ready());
}

static void worth_does_not_wrap(void **state)
{
    (void)state;
    random_add(seed, 1, UINT32_MAX);
    random_add(seed, 1, UINT32_MAX);
    assert_int_equal(random_bits(), UINT32_MAX);
}

static void the_processors_generator_is_enough(void **state)
{
    (void)state;
    port_host_random = 3; /* it fails after so many words: not enough */
    random_init();
    assert_int_equal(random_bits(), 192);
    assert_false(random_ready());
    port_host_random = 100;
    random_init();
    assert_int_equal(random_bits(), 512);
    assert_true(random_ready());
}

static void weak_seeds_serve_only_who_asks_for_them(void **state)
{
    u8 a[64], b[64];

    (void)state;
    random_accept_weak();
    assert_true(random_ready());
    assert_int_equal(random_bits(), 0);
    random_fill(a, sizeof(a));
    random_fill(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

static void every_byte_of_a_seed_counts(void **state)
{
    u8 before[RANDOM_SEED_MAX], after[RANDOM_SEED_MAX];

    (void)state;
    random_add(seed, sizeof(seed), 1024);
    random_seed_take(before, sizeof(before));
    for (u32 i = 0; i < sizeof(seed); i++) {
        fresh(NULL);
        seed[i] ^= 0x10;
        random_add(seed, sizeof(seed), 1024);
        random_seed_take(after, sizeof(after));
        assert_memory_not_equal(before, after, sizeof(after));
    }
}

static void a_seed_is_given_once(void **state)
{
    u8 first[RANDOM_SEED_MAX], again[RANDOM_SEED_MAX], none[RANDOM_SEED_MAX];

    (void)state;
    port_host_now_ns = 0;
    random_init();
    random_add(seed, sizeof(seed), 1024);
    random_seed_take(first, sizeof(first));
    random_seed_take(again, sizeof(again));
    memset(none, 0, sizeof(none));
    assert_memory_not_equal(first, none, sizeof(none));
    assert_memory_equal(again, none, sizeof(none)); /* the clock stands at 0 */
    assert_true(random_ready());                    /* the generator has it */
    assert_true(EXPECT_PANIC(random_seed_take(seed, RANDOM_SEED_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_clock_alone_is_no_seed, fresh),
        cmocka_unit_test_setup(seeds_are_worth_what_their_giver_says_together, fresh),
        cmocka_unit_test_setup(worth_does_not_wrap, fresh),
        cmocka_unit_test_setup(the_processors_generator_is_enough, fresh),
        cmocka_unit_test_setup(weak_seeds_serve_only_who_asks_for_them, fresh),
        cmocka_unit_test_setup(every_byte_of_a_seed_counts, fresh),
        cmocka_unit_test_setup(a_seed_is_given_once, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
