/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backend.c - device directories come, change and go; the toolstack sees the states it waits
 * for. */
#include "drivers/xen/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"
#include "tests/fake/rig_backend.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

/* --- coming ---------------------------------------------------------------------------------- */

static void disk_is_attached_and_announced_after_that(void **state)
{
    (void)state;
    (void)rig_run();
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
    assert_string_equal(rig_glue.state_at_attach, "1"); /* not before it answers */
    assert_int_equal(rig_glue.request.domid, 5);
    assert_int_equal(rig_glue.request.devid, 51712);
    assert_int_equal(rig_glue.request.device_type, 2);
    assert_int_equal(rig_glue.request.mmio_base, 0x02000000);
    assert_int_equal(rig_glue.request.irq, 33);
    assert_false(rig_glue.request.read_only);
    assert_false(rig_glue.request.grants);
    assert_string_equal(rig_glue.request.target, "rootfs");
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

static void directory_that_is_there_at_start_is_found(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

/* libxl waits for exactly 2, at most 10 s, and looks some time after it was told. */
static void state_4_comes_when_libxl_cannot_wait_for_2_any_more(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    rig_wait_ns(UINT64_C(10000000000));
    assert_string_equal(rig_disk_state(5, 51712), "2");
    rig_wait_ns(UINT64_C(8000000000));
    assert_string_equal(rig_disk_state(5, 51712), "4");
    assert_int_equal(rig_glue.attaches, 1);
}

static void state_4_comes_at_once_when_the_guest_runs(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    backend_in_use(&rig_be, &rig_glue.attached[0]);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "4");
}

/* --- refusals -------------------------------------------------------------------------------- */

static void refusal_leaves_the_state_alone_and_is_not_repeated(void **state)
{
    (void)state;
    rig_glue.answer = ST_ACCES;
    rig_disk_make(5, 51712);
    rig_wait_ns(UINT64_C(9000000000));
    assert_string_equal(rig_disk_state(5, 51712), "1");
    assert_int_equal(rig_be.refusals, 1);
    assert_int_equal(said_count("refused"), 1);
    /* libxl gives up: cleaned up at once, so that it does not wait. */
    rig_disk_close(5, 51712);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "6");
    rig_wait_ns(RIG_LINGER_NS);
    assert_string_equal(rig_disk_state(5, 51712), "gone");
    rig_nothing_left();
}

static void touching_the_directory_tries_again(void **state)
{
    (void)state;
    rig_glue.answer = ST_ACCES;
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_int_equal(rig_be.refusals, 1);
    rig_glue.answer = ST_OK; /* set-target was run; xenstore-write .../state 1 */
    rig_key_set(5, 51712, "virtio_disk", "state", "1");
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 1);
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

/* --- going ----------------------------------------------------------------------------------- */

static void closing_ends_in_state_6_and_then_the_directory_goes(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    rig_disk_close(5, 51712);
    (void)rig_run();
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(rig_disk_state(5, 51712), "6");
    rig_wait_ns(BACKEND_LINGER_NS * BACKEND_LINGER_LOOKS / 2);
    assert_string_equal(rig_disk_state(5, 51712), "6"); /* libxl needs time to see it */
    rig_wait_ns(RIG_LINGER_NS);
    assert_false(fake_xs_exists("backend/virtio_disk/5/51712"));
    rig_nothing_left();
    assert_true(UINT64_C(2000000000) >
                2 * BACKEND_LINGER_NS * BACKEND_LINGER_LOOKS); /* xl destroy returns within 2 s */
}

static void vanished_directory_is_not_made_anew(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    rig_disk_rm(5, 51712);
    rig_wait_ns(UINT64_C(20000000000));
    assert_int_equal(rig_glue.detaches, 1);
    assert_false(fake_xs_exists("backend/virtio_disk/5/51712"));
    rig_nothing_left();
}

static void dead_guest_is_detached_although_nobody_says_so(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    rig_disk_make(6, 51712);
    (void)rig_run();
    rig_glue.dead_domid = 5;
    rig_wait_ns(BACKEND_PROBE_NS);
    rig_wait_ns(RIG_LINGER_NS);
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(rig_disk_state(5, 51712), "gone");
    assert_string_equal(rig_disk_state(6, 51712), "2");
    assert_true(said("the guest is gone"));
}

static void directory_made_again_between_two_looks_is_another_device(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    rig_disk_rm(5, 51712);
    rig_disk_make(5, 51712);
    rig_key_set(5, 51712, "virtio_disk", "params", "other");
    (void)rig_run();
    assert_int_equal(rig_glue.attaches, 2);
    assert_int_equal(rig_glue.detaches, 1);
    assert_string_equal(rig_glue.request.target, "other");
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

static void directory_made_again_while_it_is_being_removed_is_kept(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    (void)rig_run();
    rig_disk_close(5, 51712);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "6");
    rig_disk_rm(5, 51712);
    rig_disk_make(5, 51712);
    rig_wait_ns(RIG_LINGER_NS);
    assert_int_equal(rig_glue.attaches, 2);
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

static void closing_while_keys_are_read_never_attaches(void **state)
{
    (void)state;
    (void)rig_run();
    rig_disk_make(5, 51712);
    rig_disk_close(5, 51712);
    rig_wait_ns(RIG_LINGER_NS);
    assert_int_equal(rig_glue.attaches, 0);
    assert_string_equal(rig_disk_state(5, 51712), "gone");
    rig_nothing_left();
}

/* The toolstack closes between our attach and our write of state 2: its 5 must not be overwritten.
 */
static void closing_while_announcing_is_not_overwritten(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    while (rig_glue.attaches == 0) {
        (void)xs_poll(&rig_xs, 16);
        (void)backend_poll(&rig_be, 16);
        if (rig_glue.attaches == 0) {
            fake_xs_step();
        }
    }
    rig_disk_close(5, 51712);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "6");
    rig_wait_ns(RIG_LINGER_NS);
    rig_nothing_left();
}

/* --- xenstore is difficult ------------------------------------------------------------------- */

static void conflicting_transactions_are_repeated(void **state)
{
    (void)state;
    fake_xs_conflict(BACKEND_TX_TRIES - 1);
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_string_equal(rig_disk_state(5, 51712), "2");
}

static void endless_conflicts_are_given_up(void **state)
{
    (void)state;
    fake_xs_conflict(UINT32_MAX);
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_true(said("could not be written"));
    assert_int_equal(fake_xs_transactions(), 0);
    fake_xs_conflict(0);
    rig_disk_close(5, 51712);
    rig_wait_ns(RIG_LINGER_NS);
    rig_nothing_left();
}

static void missing_right_to_write_does_not_loop(void **state)
{
    (void)state;
    fake_xs_deny("backend");
    rig_disk_make(5, 51712);
    (void)rig_run();
    assert_true(said("cannot be written"));
    rig_disk_close(5, 51712);
    rig_wait_ns(UINT64_C(30000000000));
    assert_true(rig_xs.requests < 1000);
    assert_int_equal(rig_glue.count, 0);
    fake_xs_deny(NULL);
    rig_disk_rm(5, 51712);
    (void)rig_run();
    rig_nothing_left();
}

static void silent_xenstored_is_waited_for(void **state)
{
    (void)state;
    (void)rig_run();
    fake_xs_hang(true);
    rig_disk_make(5, 51712);
    rig_wait_ns(XS_TIMEOUT_NS * 3);
    assert_int_equal(rig_glue.attaches, 0);
    fake_xs_hang(false);
    rig_wait_ns(XS_TIMEOUT_NS * 2);
    assert_int_equal(rig_glue.attaches, 1);
    assert_string_equal(rig_disk_state(5, 51712), "2");
    rig_disk_close(5, 51712);
    rig_wait_ns(RIG_LINGER_NS);
    rig_nothing_left();
}

static void broken_xenstore_leaves_the_served_served(void **state)
{
    (void)state;
    rig_disk_make(5, 51712);
    rig_disk_make(6, 51712);
    (void)rig_run();
    *(u32 *)(void *)((u8 *)fake_xs_page() + 2048 + 12) += 5000; /* rsp_prod */
    rig_wait_ns(UINT64_C(20000000000));
    assert_true(rig_xs.broken);
    assert_int_equal(rig_glue.count, 2);
    rig_glue.dead_domid = 5;
    rig_wait_ns(BACKEND_PROBE_NS * 2);
    assert_int_equal(rig_glue.count, 1);
}

/* --- many ------------------------------------------------------------------------------------ */

#define ROUNDS 2

static void sixteen_guests_with_eight_disks_come_and_go(void **state)
{
    (void)state;
    for (u16 round = 0; round < ROUNDS; round++) {
        for (u16 g = 0; g < 16; g++) {
            for (u32 d = 0; d < 8; d++) {
                rig_disk_make((u16)(1 + round * 16 + g), 51712 + 16 * d);
            }
        }
        (void)rig_run();
        assert_int_equal(rig_glue.count, 128);
        for (u16 g = 0; g < 16; g++) {
            for (u32 d = 0; d < 8; d++) {
                assert_string_equal(rig_disk_state((u16)(1 + round * 16 + g), 51712 + 16 * d), "2");
                rig_disk_close((u16)(1 + round * 16 + g), 51712 + 16 * d);
            }
        }
        rig_wait_ns(RIG_LINGER_NS);
        rig_nothing_left();
        fake_xs_rm("backend/virtio_disk"); /* libxl removes the empty parents */
        (void)rig_run();
    }
    assert_int_equal(rig_glue.attaches, ROUNDS * 128);
}

static void idle_backend_asks_nothing(void **state)
{
    u64 requests;

    (void)state;
    rig_disk_make(5, 51712);
    rig_wait_ns(UINT64_C(20000000000));
    requests = rig_xs.requests;
    rig_wait_ns(UINT64_C(600000000000));
    assert_int_equal(rig_xs.requests, requests);
}

/* A toolstack gone mad, with conflicts, silence and deaths: at the end nothing is left. */
static void random_toolstack_leaves_nothing_behind(void **state)
{
    (void)state;
    for (u32 seed = 1; seed <= 15; seed++) {
        (void)rig_setup(state);
        srand(seed);
        for (u32 turn = 0; turn < 400; turn++) {
            u16 fe = (u16)(1 + rand() % 4);
            u32 devid = 51712 + 16 * ((u32)rand() % 3);

            switch (rand() % 12) {
            case 0:
            case 1:
            case 2:
                rig_disk_make(fe, devid);
                break;
            case 3:
            case 4:
                rig_disk_close(fe, devid);
                break;
            case 5:
                rig_disk_rm(fe, devid);
                break;
            case 6:
                fake_xs_conflict((u32)rand() % 10);
                break;
            case 7:
                fake_xs_hang(rand() % 4 == 0);
                break;
            case 8:
                rig_glue.answer = rand() % 3 ? ST_OK : ST_FULL;
                break;
            case 9:
                rig_glue.dead_domid = (u16)(rand() % 8);
                break;
            case 10:
                port_host_now_ns += (u64)rand() * 8;
                break;
            default:
                rig_key_set(fe, devid, "virtio_disk", "irq", rand() % 2 ? "33" : "x");
                break;
            }
            for (u32 i = 0; i < (u32)rand() % 8; i++) {
                (void)xs_poll(&rig_xs, 1 + (u32)rand() % 4);
                (void)backend_poll(&rig_be, 4);
                if (rand() % 2) {
                    fake_xs_step();
                }
            }
            assert_int_equal(rig_glue.count, rig_be.attached);
        }
        fake_xs_hang(false);
        fake_xs_conflict(0);
        fake_xs_rm("backend");
        rig_wait_ns(UINT64_C(40000000000));
        if (rig_xs.slots_used || rig_glue.count || fake_xs_exists("backend")) {
            fail_msg("seed %u", seed);
        }
        rig_nothing_left();
    }
}

#define TEST(name) cmocka_unit_test_setup(name, rig_setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(disk_is_attached_and_announced_after_that),
        TEST(directory_that_is_there_at_start_is_found),
        TEST(state_4_comes_when_libxl_cannot_wait_for_2_any_more),
        TEST(state_4_comes_at_once_when_the_guest_runs),
        TEST(refusal_leaves_the_state_alone_and_is_not_repeated),
        TEST(touching_the_directory_tries_again),
        TEST(closing_ends_in_state_6_and_then_the_directory_goes),
        TEST(vanished_directory_is_not_made_anew),
        TEST(dead_guest_is_detached_although_nobody_says_so),
        TEST(directory_made_again_between_two_looks_is_another_device),
        TEST(directory_made_again_while_it_is_being_removed_is_kept),
        TEST(closing_while_keys_are_read_never_attaches),
        TEST(closing_while_announcing_is_not_overwritten),
        TEST(conflicting_transactions_are_repeated),
        TEST(endless_conflicts_are_given_up),
        TEST(missing_right_to_write_does_not_loop),
        TEST(silent_xenstored_is_waited_for),
        TEST(broken_xenstore_leaves_the_served_served),
        TEST(sixteen_guests_with_eight_disks_come_and_go),
        TEST(idle_backend_asks_nothing),
        TEST(random_toolstack_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
