/* SPDX-License-Identifier: BSD-2-Clause */
/* test_poll.c - the loop's promises: everybody gets a turn, no kick is lost, sleep ends in time. */
#include "start/poll.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

/** A source of work that a test feeds, and that notes what the loop does with it. */
struct source {
    u32 pending; /* units of work waiting */
    u32 at_arm;  /* units that come while it is being armed */
    u32 done;    /* units done */
    u32 budget;  /* of the last turn */
    u32 armed, disarmed;
    bool is_armed;
    u32 polled_while_armed;
    u64 deadline_ns;
};

static u32 source_poll(void *ctx, u32 budget)
{
    struct source *source = ctx;
    u32 work = source->pending < budget ? source->pending : budget;

    source->polled_while_armed += source->is_armed;
    source->budget = budget;
    source->pending -= work;
    source->done += work;
    return work;
}

static bool source_arm(void *ctx)
{
    struct source *source = ctx;

    source->armed++;
    source->is_armed = true;
    source->pending += source->at_arm;
    source->at_arm = 0;
    return source->pending != 0;
}

static void source_disarm(void *ctx)
{
    struct source *source = ctx;

    source->disarmed++;
    source->is_armed = false;
}

static u64 source_deadline(void *ctx)
{
    return ((struct source *)ctx)->deadline_ns;
}

static struct poll_loop loop;
static struct source one, two;
static u32 woken;

static void note_woken(void *ctx)
{
    (void)ctx;
    woken++;
}

static u32 disarmed;

static void note_disarmed(void *ctx)
{
    (void)ctx;
    assert_false(one.is_armed || two.is_armed);
    disarmed++;
}

static void source_add(struct source *source)
{
    memset(source, 0, sizeof(*source));
    source->deadline_ns = POLL_NEVER;
    poll_add(&loop, &(struct poller){source_poll, source_arm, source_disarm, source_deadline, false,
                                     source});
}

static void start(u64 spin_ns)
{
    poll_init(&loop, spin_ns);
    loop.woken = note_woken;
    loop.disarmed = note_disarmed;
    woken = disarmed = 0;
    port_host_slept = port_host_relaxed = 0;
    port_host_now_ns = 1000000;
    source_add(&one);
    source_add(&two);
}

static void a_turn_asks_every_poller_and_adds_up(void **state)
{
    (void)state;
    start(POLL_NEVER);
    one.pending = 3;
    two.pending = 4;
    assert_int_equal(poll_once(&loop), 7);
    assert_int_equal(loop.turns, 1);
    assert_int_equal(loop.busy_turns, 1);
    assert_int_equal(poll_once(&loop), 0);
    assert_int_equal(loop.turns, 2);
    assert_int_equal(loop.busy_turns, 1);
}

static void a_busy_poller_gives_way_after_its_budget(void **state)
{
    (void)state;
    start(POLL_NEVER);
    one.pending = 1000000;
    two.pending = 1;
    poll_step(&loop);
    assert_true(one.done == one.budget && one.budget > 0 && one.budget < 1000);
    assert_int_equal(two.done, 1);
}

static void spin_for_ever_never_arms_and_never_sleeps(void **state)
{
    (void)state;
    start(POLL_NEVER);
    for (u32 i = 0; i < 1000; i++) {
        port_host_now_ns += 1000000000;
        poll_step(&loop);
    }
    assert_int_equal(one.armed, 0);
    assert_int_equal(port_host_slept, 0);
    assert_int_equal(port_host_relaxed, 1000);
}

static void no_spin_sleeps_at_the_first_idle_turn(void **state)
{
    (void)state;
    start(0);
    one.pending = 1;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
    poll_step(&loop);
    assert_int_equal(port_host_slept, 1);
    assert_int_equal(loop.sleeps, 1);
    assert_int_equal(woken, 1);
    assert_int_equal(disarmed, 1);
}

static void a_spin_ends_after_its_time_and_starts_anew_with_work(void **state)
{
    (void)state;
    start(50000);
    poll_step(&loop); /* idle since now */
    port_host_now_ns += 30000;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
    one.pending = 1;
    poll_step(&loop);
    port_host_now_ns += 30000;
    poll_step(&loop);
    port_host_now_ns += 30000;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
    port_host_now_ns += 30000;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 1);
}

static void a_wake_up_for_nothing_sleeps_again_without_a_spin(void **state)
{
    (void)state;
    start(50000);
    poll_step(&loop);
    port_host_now_ns += 60000;
    poll_step(&loop);
    poll_step(&loop);
    assert_int_equal(port_host_slept, 2);
}

/* The order that loses no kick: work found while arming forbids the sleep, whoever has it. */
static void work_that_comes_while_arming_forbids_the_sleep(void **state)
{
    (void)state;
    start(0);
    one.at_arm = 1;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
    assert_int_equal(two.armed, 1);
    assert_int_equal(one.disarmed, 1);
    assert_int_equal(two.disarmed, 1);
    assert_int_equal(disarmed, 1);
    assert_int_equal(woken, 0);
    poll_step(&loop);
    assert_int_equal(one.done, 1);
    two.at_arm = 1;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
}

static void pollers_are_disarmed_before_they_poll_again(void **state)
{
    (void)state;
    start(0);
    for (u32 i = 0; i < 10; i++) {
        one.pending = i % 2;
        poll_step(&loop);
    }
    assert_int_equal(one.armed, one.disarmed);
    assert_true(one.armed > 0);
    assert_int_equal(one.polled_while_armed, 0);
}

static void a_sleep_ends_at_the_earliest_deadline(void **state)
{
    (void)state;
    start(0);
    one.deadline_ns = port_host_now_ns + 900;
    two.deadline_ns = port_host_now_ns + 300;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 1);
    assert_int_equal(port_host_now_ns, two.deadline_ns);
}

static void a_deadline_that_has_passed_forbids_the_sleep(void **state)
{
    (void)state;
    start(0);
    one.deadline_ns = port_host_now_ns;
    poll_step(&loop);
    assert_int_equal(port_host_slept, 0);
    assert_int_equal(one.is_armed, false);
}

static u32 only_poll(void *ctx, u32 budget)
{
    (void)ctx;
    (void)budget;
    return 0;
}

static void a_poller_needs_neither_arm_nor_deadline(void **state)
{
    (void)state;
    start(0);
    poll_add(&loop, &(struct poller){.poll = only_poll});
    poll_step(&loop);
    assert_int_equal(port_host_slept, 1);
}

static void one_poller_too_many_is_a_bug_of_ours(void **state)
{
    (void)state;
    poll_init(&loop, 0);
    for (u32 i = 0; i < POLLERS_MAX; i++) {
        source_add(&one);
    }
    assert_true(EXPECT_PANIC(source_add(&one)));
}

/* The control plane waits a little while there is data to move, and never for long. */
static void who_seldom_has_a_turn_has_it_every_few_turns_and_in_every_idle_one(void **state)
{
    (void)state;
    start(POLL_NEVER);
    loop.poller[1].seldom = true;
    one.pending = POLL_SELDOM * 4 * 64;
    two.pending = 1000;
    for (u32 i = 0; i < POLL_SELDOM * 4; i++) {
        (void)poll_once(&loop);
    }
    assert_int_equal(one.pending, 0);
    assert_int_equal(two.done, 4 * 64);
    (void)poll_once(&loop);
    (void)poll_once(&loop);
    assert_int_equal(two.done, 6 * 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_asks_every_poller_and_adds_up),
        cmocka_unit_test(a_busy_poller_gives_way_after_its_budget),
        cmocka_unit_test(spin_for_ever_never_arms_and_never_sleeps),
        cmocka_unit_test(no_spin_sleeps_at_the_first_idle_turn),
        cmocka_unit_test(a_spin_ends_after_its_time_and_starts_anew_with_work),
        cmocka_unit_test(a_wake_up_for_nothing_sleeps_again_without_a_spin),
        cmocka_unit_test(work_that_comes_while_arming_forbids_the_sleep),
        cmocka_unit_test(pollers_are_disarmed_before_they_poll_again),
        cmocka_unit_test(a_sleep_ends_at_the_earliest_deadline),
        cmocka_unit_test(a_deadline_that_has_passed_forbids_the_sleep),
        cmocka_unit_test(a_poller_needs_neither_arm_nor_deadline),
        cmocka_unit_test(one_poller_too_many_is_a_bug_of_ours),
        cmocka_unit_test(who_seldom_has_a_turn_has_it_every_few_turns_and_in_every_idle_one),
    };

    return cmocka_run_group_tests_name("poll", tests, NULL, NULL);
}
