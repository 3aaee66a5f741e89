/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backend_front.c - PV front ends come, go and come again, or write nonsense. */
#include "drivers/xen/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"
#include "tests/fake/pvfront.h"
#include "tests/fake/rig_backend.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define DOMID 5
#define DEVID 51712

static struct pvfront front;

static int setup(void **state)
{
    (void)rig_setup_pv(state);
    pvfront_open(&front, fake_guest_make(DOMID, 1, PVFRONT_GUEST_BYTES), DEVID, 1, 0, true);
    (void)rig_run();
    pvfront_disk_make(DOMID, DEVID, "root", "w");
    (void)rig_run();
    return 0;
}

static const char *state_of(void)
{
    return pvfront_key(DOMID, DEVID, "state");
}

static void settle(void)
{
    rig_wait_ns(2 * BACKEND_HOLD_NS);
}

static void join(void)
{
    pvfront_join(&front);
    settle();
    assert_string_equal(state_of(), "4");
    assert_int_equal(rig_glue.connected, 1);
}

/** It ended well: nothing is left but the watch of the whole. */
static void gone(void)
{
    rig_wait_ns(RIG_LINGER_NS);
    assert_string_equal(state_of(), "gone");
    rig_nothing_left();
    assert_int_equal(fake_xs_watches(), 1);
}

static void what_is_offered_comes_with_state_2_and_what_it_is_with_4(void **state)
{
    (void)state;
    assert_string_equal(state_of(), "2");
    assert_true(rig_glue.request.pv_block);
    assert_int_equal(rig_glue.request.domid, DOMID);
    assert_int_equal(rig_glue.request.devid, DEVID);
    assert_string_equal(rig_glue.request.target, "root");
    assert_false(rig_glue.request.read_only);
    assert_string_equal(pvfront_key(DOMID, DEVID, "feature-a"), "1");
    assert_string_equal(pvfront_key(DOMID, DEVID, "feature-b"), "2");
    assert_string_equal(pvfront_key(DOMID, DEVID, "sectors"), "gone");
    assert_int_equal(rig_glue.connects, 0);
    join();
    assert_string_equal(pvfront_key(DOMID, DEVID, "sectors"), "8");
    assert_string_equal(pvfront_key(DOMID, DEVID, "info"), "0");
    assert_int_equal(rig_glue.front.rings, 1);
    assert_int_equal(rig_glue.front.pages, 1);
    assert_int_equal(rig_glue.front.ref[0][0], 1);
    assert_int_equal(rig_glue.front.port[0], FAKE_FRONT_PORT);
    assert_true(rig_glue.front.persistent);
    assert_string_equal(rig_glue.front.protocol, "arm-abi");
    assert_int_equal(rig_glue.connects, 1);
}

/* libxl waits for exactly 2, and looks some time after it was told. */
static void a_fast_front_end_does_not_hide_state_2_from_libxl(void **state)
{
    (void)state;
    pvfront_join(&front);
    (void)rig_run();
    assert_string_equal(state_of(), "2");
    settle();
    assert_string_equal(state_of(), "4");
}

/* [BLKIF] several rings have keys of their own each, a ring of several pages numbers them. */
static void many_rings_of_many_pages_are_understood(void **state)
{
    (void)state;
    pvfront_open(&front, front.guest, DEVID, 4, 2, false);
    join();
    assert_int_equal(rig_glue.front.rings, 4);
    assert_int_equal(rig_glue.front.pages, 4);
    assert_false(rig_glue.front.persistent);
    for (u32 q = 0; q < 4; q++) {
        for (u32 p = 0; p < 4; p++) {
            assert_int_equal(rig_glue.front.ref[q][p], q * 4 + p + 1);
        }
        assert_int_equal(rig_glue.front.port[q], FAKE_FRONT_PORT + q);
    }
}

static void what_need_not_be_said_has_a_default(void **state)
{
    (void)state;
    pvfront_say(&front, "ring-ref", "9");
    pvfront_say(&front, "event-channel", "8");
    pvfront_state(&front, 3);
    settle();
    assert_string_equal(state_of(), "4");
    assert_int_equal(rig_glue.front.rings, 1);
    assert_int_equal(rig_glue.front.pages, 1);
    assert_false(rig_glue.front.persistent);
    assert_string_equal(rig_glue.front.protocol, "");
    assert_int_equal(rig_glue.front.ref[0][0], 9);
    assert_int_equal(rig_glue.front.port[0], 8);
}

/* A wrong word costs this connection: state 5; after it has closed it may try again. */
static void nonsense_is_not_connected_and_may_be_mended(void **state)
{
    static const char *const wrong[][2] = {
        {"ring-ref", NULL},
        {"ring-ref", "-1"},
        {"ring-ref", "4294967296"},
        {"ring-ref", "one"},
        {"ring-ref", ""},
        {"event-channel", NULL},
        {"event-channel", "0x10"},
        {"multi-queue-num-queues", "0"},
        {"multi-queue-num-queues", "5"},
        {"multi-queue-num-queues", "18446744073709551615"},
        {"ring-page-order", "3"},
        {"ring-page-order", "4294967295"},
        {"feature-persistent", "2"},
        {"protocol", "a-protocol-of-very-many-letters"},
    };

    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        (void)setup(state);
        pvfront_join(&front);
        pvfront_say(&front, wrong[i][0], wrong[i][1]);
        settle();
        assert_string_equal(state_of(), "5");
        assert_int_equal(rig_glue.connects, 0);
        assert_true(said("is missing or makes no sense"));
        pvfront_state(&front, 6);
        settle();
        assert_string_equal(state_of(), "6");
        pvfront_say(&front, "multi-queue-num-queues", NULL);
        pvfront_say(&front, "ring-page-order", NULL);
        pvfront_state(&front, 1);
        settle();
        assert_string_equal(state_of(), "2");
        join();
    }
}

static void rings_that_cannot_be_served_are_told_so(void **state)
{
    (void)state;
    rig_glue.connect_answer = ST_GUEST;
    pvfront_join(&front);
    settle();
    assert_string_equal(state_of(), "5");
    assert_int_equal(rig_glue.connects, 1);
    pvfront_disk_close(DOMID, DEVID);
    pvfront_state(&front, 6);
    gone();
}

/* The way of a boot loader that hands over, and of a module that is loaded again. */
static void a_front_end_may_close_and_come_again(void **state)
{
    (void)state;
    join();
    for (u32 i = 1; i <= 20; i++) {
        pvfront_state(&front, 5);
        settle();
        assert_string_equal(state_of(), "5");
        assert_int_equal(rig_glue.connected, 1); /* it may still have requests */
        pvfront_state(&front, 6);
        settle();
        assert_string_equal(state_of(), "6");
        assert_int_equal(rig_glue.connected, 0);
        pvfront_state(&front, 1);
        settle();
        assert_string_equal(state_of(), "2");
        join();
        assert_int_equal(rig_glue.connects, i + 1);
    }
    assert_int_equal(rig_glue.attaches, 1);
}

/* One that forgot to close: a kernel that was started by a dying one. */
static void a_front_end_that_begins_anew_is_closed_and_offered_again(void **state)
{
    (void)state;
    join();
    pvfront_state(&front, 1);
    settle();
    assert_string_equal(state_of(), "2");
    assert_int_equal(rig_glue.connected, 0);
    join();
}

static void a_medium_that_is_slow_to_let_go_is_waited_for(void **state)
{
    (void)state;
    join();
    rig_glue.busy = 30;
    pvfront_state(&front, 6);
    (void)rig_run();
    assert_string_equal(state_of(), "4");
    rig_wait_ns(100 * BACKEND_STOP_NS);
    assert_int_equal(rig_glue.busy, 0);
    assert_string_equal(state_of(), "6");
}

/* xl block-detach: the front end closes in its own time. */
static void the_toolstack_waits_for_the_front_end_to_close(void **state)
{
    (void)state;
    join();
    pvfront_disk_close(DOMID, DEVID);
    settle();
    assert_int_equal(rig_glue.detaches, 0);
    assert_int_equal(rig_glue.connected, 1);
    pvfront_state(&front, 5);
    settle();
    assert_int_equal(rig_glue.detaches, 0);
    pvfront_state(&front, 6);
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(state_of(), "6"); /* libxl needs time to see it */
    gone();
}

static void a_disk_that_nobody_connected_to_goes_at_once(void **state)
{
    (void)state;
    pvfront_disk_close(DOMID, DEVID);
    (void)rig_run();
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(state_of(), "6");
    gone();
}

static void a_closed_front_ends_disk_goes_at_once(void **state)
{
    (void)state;
    join();
    pvfront_state(&front, 6);
    settle();
    pvfront_disk_close(DOMID, DEVID);
    (void)rig_run();
    assert_int_equal(rig_glue.detaches, 1);
    gone();
}

/* xl destroy: libxl removes the front end's directory first. */
static void a_front_end_that_is_forced_out_goes_at_once(void **state)
{
    (void)state;
    join();
    pvfront_disk_force(DOMID, DEVID);
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(state_of(), "6");
    gone();
}

static void a_directory_that_vanishes_ends_it(void **state)
{
    (void)state;
    join();
    pvfront_key_set(DOMID, DEVID, NULL, NULL);
    (void)rig_run();
    assert_int_equal(rig_glue.detaches, 1);
    gone();
}

static void a_directory_that_vanishes_while_keys_are_read_ends_it(void **state)
{
    (void)state;
    for (u32 polls = 0; polls < 60; polls++) {
        (void)setup(state);
        port_host_now_ns += BACKEND_HOLD_NS;
        pvfront_join(&front);
        for (u32 i = 0; i < polls; i++) {
            (void)xs_poll(&rig_xs, 1);
            (void)backend_poll(&rig_be, 16);
            fake_xs_step();
        }
        pvfront_key_set(DOMID, DEVID, NULL, NULL);
        gone();
        assert_null(rig_be.front_device);
    }
}

static void a_disk_made_anew_is_another_ones(void **state)
{
    (void)state;
    join();
    pvfront_key_set(DOMID, DEVID, NULL, NULL);
    pvfront_disk_make(DOMID, DEVID, "other", "r");
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    assert_int_equal(rig_glue.attaches, 2);
    assert_string_equal(rig_glue.request.target, "other");
    assert_true(rig_glue.request.read_only);
    assert_string_equal(state_of(), "2");
    join();
}

/* Its pages are let go, so that Xen can free it; the disk goes when the toolstack has seen it. */
static void a_dead_guests_rings_are_let_go(void **state)
{
    (void)state;
    join();
    rig_glue.dead_domid = DOMID;
    rig_wait_ns(2 * BACKEND_PROBE_NS);
    assert_int_equal(rig_glue.connected, 0);
    assert_int_equal(rig_glue.detaches, 0);
    assert_string_equal(state_of(), "6");
    pvfront_disk_close(DOMID, DEVID);
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    gone();
}

/* A driver that is unloaded closes its event channel, and tells its state some time later. */
static void a_front_end_whose_channel_is_closed_may_come_again(void **state)
{
    for (u32 said_late = 0; said_late < 2; said_late++) {
        (void)setup(state);
        join();
        rig_glue.dead_domid = DOMID;
        rig_wait_ns(2 * BACKEND_PROBE_NS);
        assert_string_equal(state_of(), "6");
        if (said_late) {
            pvfront_say(&front, "state", "6");
            settle();
        }
        assert_string_equal(state_of(), "6");
        assert_int_equal(rig_glue.detaches, 0);
        rig_glue.dead_domid = 0;
        pvfront_say(&front, "state", "1");
        settle();
        assert_string_equal(state_of(), "2");
        join();
        assert_int_equal(rig_glue.connected, 1);
    }
}

static void a_state_that_is_none_counts_as_gone(void **state)
{
    static const char *const odd[] = {"", "x", "99999999999", "-4", "0", "255", "7"};

    for (u32 i = 0; i < ARRAY_LEN(odd); i++) {
        (void)setup(state);
        join();
        pvfront_say(&front, "state", odd[i]);
        settle();
        assert_string_equal(state_of(), "6");
        assert_int_equal(rig_glue.connected, 0);
        assert_int_equal(rig_glue.detaches, 0);
    }
}

/* Its writes cost it time and us a few flags. */
static void a_storm_of_states_is_survived(void **state)
{
    u64 requests = rig_xs.requests;

    (void)state;
    for (u32 i = 0; i < 2000; i++) {
        pvfront_state(&front, 1 + i % 7);
    }
    settle();
    assert_true(rig_xs.requests - requests < 500);
    pvfront_disk_force(DOMID, DEVID);
    gone();
}

/* It may ask for ever: the console is everybody's. */
static void refusals_are_said_at_a_limited_rate(void **state)
{
    u64 from_ns = port_host_now_ns;
    u32 lines;

    (void)state;
    for (u32 i = 0; i < 100; i++) {
        pvfront_say(&front, "protocol", "a-protocol-of-very-many-letters");
        pvfront_state(&front, 3);
        settle();
        pvfront_state(&front, 6);
        settle();
        pvfront_state(&front, 1);
        settle();
    }
    assert_string_equal(state_of(), "2");
    lines = said_count("makes no sense");
    assert_true(lines >= LOG_LIMIT_BURST && lines < 60);
    assert_true(lines <= LOG_LIMIT_BURST + 1 +
                             LOG_LIMIT_PER_SECOND * (port_host_now_ns - from_ns) / 1000000000);
}

/* xenstored's stock quota of 1000 nodes is less than our devices may need. */
static void a_used_up_quota_of_nodes_is_named_with_its_cure(void **state)
{
    (void)state;
    fake_xs_nodes_full(true);
    pvfront_join(&front);
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    assert_true(said("xenstored allows this domain no more nodes: raise its quota"));
    fake_xs_nodes_full(false);
    pvfront_disk_close(DOMID, DEVID);
    gone();
}

static void a_changed_size_is_written_with_state_4_again(void **state)
{
    void *handle = rig_be.device[0].handle;

    (void)state;
    backend_renew(&rig_be, handle); /* before it is connected: it will read it anyway */
    settle();
    assert_string_equal(state_of(), "2");
    join();
    pvfront_key_set(DOMID, DEVID, "sectors", "?");
    backend_renew(&rig_be, handle);
    settle();
    assert_string_equal(pvfront_key(DOMID, DEVID, "sectors"), "8");
    assert_string_equal(state_of(), "4");
    assert_int_equal(rig_glue.connects, 1);
}

static void conflicts_are_repeated_with_all_keys(void **state)
{
    (void)state;
    fake_xs_conflict(3);
    join();
    assert_string_equal(pvfront_key(DOMID, DEVID, "sectors"), "8");
    assert_int_equal(rig_glue.connects, 1);
}

/* A disk whose size cannot be told is of no use: it is given up, and said why. */
static void a_directory_that_cannot_be_written_is_given_up(void **state)
{
    (void)state;
    fake_xs_deny("backend/vbd");
    pvfront_join(&front);
    settle();
    assert_int_equal(rig_glue.detaches, 1);
    assert_true(said("cannot be written"));
    fake_xs_deny(NULL);
    pvfront_disk_close(DOMID, DEVID);
    gone();
}

static void front_ends_are_read_one_after_the_other(void **state)
{
    static struct pvfront other[8];

    (void)state;
    for (u32 i = 0; i < 8; i++) {
        u16 domid = (u16)(10 + i);

        pvfront_open(&other[i], fake_guest_make(domid, 1, PVFRONT_GUEST_BYTES), DEVID, 4, 2, false);
        pvfront_disk_make(domid, DEVID, "root", "w");
    }
    settle();
    for (u32 i = 0; i < 8; i++) {
        pvfront_join(&other[i]);
    }
    settle();
    assert_int_equal(rig_glue.connected, 8);
    for (u32 i = 0; i < 8; i++) {
        assert_string_equal(pvfront_key((u16)(10 + i), DEVID, "state"), "4");
        pvfront_disk_force((u16)(10 + i), DEVID);
    }
    pvfront_disk_force(DOMID, DEVID);
    gone();
}

/* No path of somebody else's is followed. */
static void a_front_end_elsewhere_is_refused(void **state)
{
    (void)state;
    pvfront_disk_make(6, DEVID, "root", "w");
    pvfront_key_set(6, DEVID, "frontend", "/local/domain/0/device/vbd/51712");
    (void)rig_run();
    assert_string_equal(pvfront_key(6, DEVID, "state"), "1");
    assert_true(said("key frontend = \"/local/domain/0/device/vbd/51712\" makes no sense"));
}

static void without_the_part_its_directories_are_not_looked_at(void **state)
{
    (void)rig_setup(state);
    pvfront_disk_make(6, DEVID, "root", "w");
    settle();
    assert_string_equal(pvfront_key(6, DEVID, "state"), "1");
    assert_int_equal(rig_glue.attaches, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_offered_comes_with_state_2_and_what_it_is_with_4),
        TEST(a_fast_front_end_does_not_hide_state_2_from_libxl),
        TEST(many_rings_of_many_pages_are_understood),
        TEST(what_need_not_be_said_has_a_default),
        TEST(nonsense_is_not_connected_and_may_be_mended),
        TEST(rings_that_cannot_be_served_are_told_so),
        TEST(a_front_end_may_close_and_come_again),
        TEST(a_front_end_that_begins_anew_is_closed_and_offered_again),
        TEST(a_medium_that_is_slow_to_let_go_is_waited_for),
        TEST(the_toolstack_waits_for_the_front_end_to_close),
        TEST(a_disk_that_nobody_connected_to_goes_at_once),
        TEST(a_closed_front_ends_disk_goes_at_once),
        TEST(a_front_end_that_is_forced_out_goes_at_once),
        TEST(a_directory_that_vanishes_ends_it),
        TEST(a_directory_that_vanishes_while_keys_are_read_ends_it),
        TEST(a_disk_made_anew_is_another_ones),
        TEST(a_dead_guests_rings_are_let_go),
        TEST(a_front_end_whose_channel_is_closed_may_come_again),
        TEST(a_state_that_is_none_counts_as_gone),
        TEST(a_storm_of_states_is_survived),
        TEST(refusals_are_said_at_a_limited_rate),
        TEST(a_used_up_quota_of_nodes_is_named_with_its_cure),
        TEST(a_changed_size_is_written_with_state_4_again),
        TEST(conflicts_are_repeated_with_all_keys),
        TEST(a_directory_that_cannot_be_written_is_given_up),
        TEST(front_ends_are_read_one_after_the_other),
        TEST(a_front_end_elsewhere_is_refused),
        TEST(without_the_part_its_directories_are_not_looked_at),
    };

    return cmocka_run_group_tests_name("backend_front", tests, NULL, NULL);
}
