/* SPDX-License-Identifier: BSD-2-Clause */
/* test_evtchn.c - event channels: no event is lost between polling and sleeping. */
#include "drivers/xen/evtchn.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static int setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    return evtchn_init(fake_xen.region) == ST_OK ? 0 : -1;
}

static u32 open_port(void)
{
    u32 port;

    assert_int_equal(evtchn_alloc_unbound(7, &port), ST_OK);
    return port;
}

static void masked_event_raises_no_upcall_and_is_taken_once(void **state)
{
    u32 port = open_port();

    (void)state;
    fake_event(port);
    assert_int_equal(fake_xen.upcalls, 0);
    assert_true(evtchn_take(port));
    assert_false(evtchn_take(port));
}

static void unmask_tells_of_an_event_that_came_before(void **state)
{
    u32 port = open_port();

    (void)state;
    assert_false(evtchn_unmask(port));
    evtchn_mask(port);
    fake_event(port);
    assert_true(evtchn_unmask(port));
    assert_int_equal(fake_xen.upcalls, 0);
}

static void unmasked_event_raises_an_upcall_each_time_it_was_drained(void **state)
{
    u32 port = open_port();

    (void)state;
    for (u32 i = 1; i <= 3; i++) {
        assert_false(evtchn_unmask(port));
        fake_event(port);
        assert_int_equal(fake_xen.upcalls, i);
        evtchn_drain();
        evtchn_mask(port);
        assert_true(evtchn_take(port));
    }
}

/* The window between drain and mask: the upcall stays set, and Xen makes no second one while it is.
 */
static void event_between_drain_and_mask_does_not_silence_the_next(void **state)
{
    u32 port = open_port();

    (void)state;
    assert_false(evtchn_unmask(port));
    evtchn_drain();
    fake_event(port);
    evtchn_mask(port);
    assert_true(fake_upcall_pending());
    assert_true(evtchn_take(port));
    assert_int_equal(fake_xen.upcalls, 1);

    evtchn_all_masked();
    assert_false(evtchn_unmask(port));
    fake_event(port);
    assert_int_equal(fake_xen.upcalls, 2);
}

/* A virtual interrupt controller that follows the level drops the interrupt with the upcall. */
static void arming_a_second_port_keeps_the_upcall_of_the_first(void **state)
{
    u32 one = open_port();
    u32 two = open_port();
    struct evtchn_set set;

    (void)state;
    evtchn_set_init(&set);
    assert_int_equal(evtchn_set_add(&set, two), ST_OK);
    assert_false(evtchn_unmask(one));
    fake_event(one);
    assert_false(evtchn_unmask_take(two));
    evtchn_mask(two);
    evtchn_set_unmask(&set);
    assert_true(fake_upcall_pending());
}

/* While the bit is set no event makes an upcall: the owner may not sleep on it. */
static void pending_port_is_taken_when_armed_so_that_the_next_event_wakes(void **state)
{
    u32 port = open_port();

    (void)state;
    fake_event(port);
    assert_true(evtchn_unmask_take(port));
    assert_false(evtchn_take(port));
    evtchn_mask(port);
    evtchn_all_masked();
    assert_false(evtchn_unmask_take(port));
    fake_event(port);
    assert_int_equal(fake_xen.upcalls, 1);
}

static void everything_is_masked_from_the_start(void **state)
{
    (void)state;
    for (u32 port = 0; port < EVTCHN_PORTS_MAX; port += 61) {
        fake_event(port);
    }
    assert_int_equal(fake_xen.upcalls, 0);
    assert_false(fake_upcall_pending());
}

static void set_covers_its_ports_and_no_others(void **state)
{
    struct evtchn_set set;

    (void)state;
    evtchn_set_init(&set);
    assert_int_equal(evtchn_set_add(&set, 5), ST_OK);
    assert_int_equal(evtchn_set_add(&set, 70), ST_OK);
    fake_event(6);
    fake_event(71);
    assert_false(evtchn_set_pending(&set));
    assert_false(evtchn_set_unmask(&set));
    fake_event(70);
    assert_int_equal(fake_xen.upcalls, 1);
    assert_true(evtchn_set_pending(&set));
    evtchn_drain();
    evtchn_set_mask(&set);
    fake_event(5);
    assert_int_equal(fake_xen.upcalls, 1);
    assert_true(evtchn_set_unmask(&set));
}

static void set_of_ports_too_far_apart_is_refused(void **state)
{
    struct evtchn_set set;

    (void)state;
    evtchn_set_init(&set);
    for (u32 i = 0; i < EVTCHN_SET_WORDS; i++) {
        assert_int_equal(evtchn_set_add(&set, i * 64), ST_OK);
    }
    assert_int_equal(evtchn_set_add(&set, 3), ST_OK);
    assert_int_equal(evtchn_set_add(&set, EVTCHN_SET_WORDS * 64), ST_FULL);
}

static void closing_leaves_nothing(void **state)
{
    u32 port = open_port();

    (void)state;
    assert_int_equal(evtchn_open_count(), 1);
    assert_int_equal(fake_ports_open(), 1);
    fake_event(port);
    evtchn_close(port);
    assert_int_equal(evtchn_open_count(), 0);
    assert_int_equal(fake_ports_open(), 0);
    assert_false(evtchn_take(port));
}

static void refusals_become_statuses(void **state)
{
    static const struct {
        long error;
        enum status st;
    } table[] = {
        {-XEN_ENOSPC, ST_FULL},  {-XEN_EPERM, ST_ACCES}, {-XEN_EACCES, ST_ACCES},
        {-XEN_EINVAL, ST_NOENT}, {-XEN_ESRCH, ST_NOENT}, {-XEN_ENOMEM, ST_HYPERCALL},
    };
    u32 port;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        fake_xen_fail(1, table[i].error);
        assert_int_equal(evtchn_bind_interdomain(7, 3, &port), table[i].st);
        fake_xen_fail(1, table[i].error);
        assert_int_equal(evtchn_alloc_unbound(7, &port), table[i].st);
    }
    assert_int_equal(evtchn_open_count(), 0);
    fake_xen_fail(1, -XEN_EFAULT);
    assert_int_equal(evtchn_init(fake_xen.region), ST_HYPERCALL);
    assert_true(said("EFAULT"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(masked_event_raises_no_upcall_and_is_taken_once, setup),
        cmocka_unit_test_setup(unmask_tells_of_an_event_that_came_before, setup),
        cmocka_unit_test_setup(unmasked_event_raises_an_upcall_each_time_it_was_drained, setup),
        cmocka_unit_test_setup(event_between_drain_and_mask_does_not_silence_the_next, setup),
        cmocka_unit_test_setup(arming_a_second_port_keeps_the_upcall_of_the_first, setup),
        cmocka_unit_test_setup(pending_port_is_taken_when_armed_so_that_the_next_event_wakes,
                               setup),
        cmocka_unit_test_setup(everything_is_masked_from_the_start, setup),
        cmocka_unit_test_setup(set_covers_its_ports_and_no_others, setup),
        cmocka_unit_test_setup(set_of_ports_too_far_apart_is_refused, setup),
        cmocka_unit_test_setup(closing_leaves_nothing, setup),
        cmocka_unit_test_setup(refusals_become_statuses, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
