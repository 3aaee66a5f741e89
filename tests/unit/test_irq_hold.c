/* SPDX-License-Identifier: BSD-2-Clause */
/* test_irq_hold.c - who waits for company, and for how long. */
#include "virtio/irq_hold.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "start/base/arith.h"
#include "tests/fake/port_host.h"

#define HOLD_NS UINT64_C(100000)

static struct irq_hold hold;
static u32 interrupts, waited_max_ns;

static int setup(void **state)
{
    (void)state;
    hold = (struct irq_hold){0};
    interrupts = waited_max_ns = 0;
    port_host_now_ns = 5000;
    return 0;
}

/** One turn with count completions so far. True when the driver is told. */
static bool turn(u32 count)
{
    if (irq_hold_more(&hold, count, HOLD_NS)) {
        return false;
    }
    irq_hold_end(&hold, count, true);
    interrupts++;
    return true;
}

/**
 * A driver keeps depth requests in flight, submitting one each gap_ns while it may; each is
 * completed at once. It learns of completions by interrupts only, and each costs it 8 gaps.
 */
static void drive(u32 depth, u64 gap_ns, u32 requests, u32 *count)
{
    u32 end = *count + requests;
    u32 known = *count; /* completions the driver knows of */
    u64 first_ns = 0;   /* when the oldest one it does not know of came */

    while (*count < end) {
        bool fresh = *count - known < depth;

        if (fresh) {
            first_ns = *count == known ? port_host_now_ns : first_ns;
            ++*count;
        }
        if ((fresh || hold.holding) && turn(*count)) {
            waited_max_ns = (u32)(port_host_now_ns - first_ns);
            known = *count;
            port_host_now_ns += 8 * gap_ns;
        }
        port_host_now_ns += gap_ns;
    }
}

/** What the driver did before it was interrupted proves its depth. */
static u32 prove(u32 depth)
{
    assert_true(turn(depth));
    interrupts = 0;
    return depth;
}

static void depth_1_is_never_held(void **state)
{
    (void)state;
    for (u32 count = 1; count < 1000; count++) {
        assert_true(turn(count));
        assert_false(hold.holding);
    }
}

static void two_at_once_prove_nothing(void **state)
{
    (void)state;
    for (u32 count = 2; count < 1000; count += 2) {
        assert_true(turn(count));
    }
}

static void a_driver_that_goes_on_is_told_of_many_at_once(void **state)
{
    u32 count = prove(4);

    (void)state;
    drive(32, 2000, 3200, &count);
    assert_in_range(interrupts, 1, 3200 / 16);
    assert_in_range(waited_max_ns, 0, HOLD_NS);
}

static void a_steady_depth_is_rarely_waited_for_in_vain(void **state)
{
    u32 count = prove(8);
    u64 before;

    (void)state;
    drive(8, 2000, 800, &count);
    before = port_host_now_ns;
    interrupts = 0;
    drive(8, 2000, 6000, &count);
    /* Each interrupt is worth 6 and costs 6 + 8 gaps; in vain is a whole HOLD_NS. */
    assert_in_range(interrupts, 700, 1050);
    assert_true(port_host_now_ns - before <
                interrupts * UINT64_C(2000) * 15 + interrupts / 32 * HOLD_NS);
}

static void a_driver_that_falls_back_to_depth_1_waits_once(void **state)
{
    u32 count = prove(16);

    (void)state;
    assert_false(turn(++count));
    port_host_now_ns += HOLD_NS - 1;
    assert_false(turn(count));
    port_host_now_ns += 1;
    assert_true(turn(count));
    for (u32 i = 0; i < 100; i++) {
        assert_true(turn(++count));
    }
}

static void a_driver_that_needs_no_telling_is_not_learnt_from(void **state)
{
    u32 count = 20;

    (void)state;
    assert_false(irq_hold_more(&hold, count, HOLD_NS));
    irq_hold_end(&hold, count, false);
    assert_true(turn(++count)); /* one since then: no proof */
    assert_true(turn(++count));
}

static void the_count_may_wrap(void **state)
{
    u32 count = UINT32_MAX - 2;

    (void)state;
    hold.told = count - 4;
    assert_true(turn(count));
    assert_false(turn(count += 2));
    assert_true(turn(count += 1));
}

static void the_target_is_bounded(void **state)
{
    u32 count = 0;

    (void)state;
    assert_true(turn(count += 200));
    for (u32 i = 0; i < 1000; i++) {
        assert_true(turn(count += IRQ_HOLD_MAX));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(depth_1_is_never_held, setup),
        cmocka_unit_test_setup(two_at_once_prove_nothing, setup),
        cmocka_unit_test_setup(a_driver_that_goes_on_is_told_of_many_at_once, setup),
        cmocka_unit_test_setup(a_steady_depth_is_rarely_waited_for_in_vain, setup),
        cmocka_unit_test_setup(a_driver_that_falls_back_to_depth_1_waits_once, setup),
        cmocka_unit_test_setup(a_driver_that_needs_no_telling_is_not_learnt_from, setup),
        cmocka_unit_test_setup(the_count_may_wrap, setup),
        cmocka_unit_test_setup(the_target_is_bounded, setup),
    };

    return cmocka_run_group_tests_name("irq_hold", tests, NULL, NULL);
}
