/* SPDX-License-Identifier: BSD-2-Clause */
/* test_backend.c - device directories come, change, go and lie; the toolstack sees the states it
 * waits for. */
#include "drivers/xen/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "drivers/xen/xs.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static struct xs xs;
static struct backend be;

/* What attach.c would do, and what it saw. */
static struct {
    enum status answer;
    u32 attached[DEVICES_MAX]; /* 1 while attached, by handle */
    u32 count, attaches, detaches;
    bool dead; /* what alive() answers */
    u16 dead_domid;
    struct backend_request request;
    struct backend_request of[DEVICES_MAX];
    char state_at_attach[8];
} glue;

static enum status attach(void *ctx, const struct backend_request *request, void **handle)
{
    char path[64];
    const char *state;

    assert_ptr_equal(ctx, &glue);
    glue.request = *request;
    snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u/state", request->domid, request->devid);
    state = fake_xs_get(path);
    snprintf(glue.state_at_attach, sizeof(glue.state_at_attach), "%s", state ? state : "?");
    if (glue.answer != ST_OK) {
        return glue.answer;
    }
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (!glue.attached[i]) {
            glue.attached[i] = 1;
            glue.of[i] = *request;
            glue.count++;
            glue.attaches++;
            *handle = &glue.attached[i];
            return ST_OK;
        }
    }
    return ST_FULL;
}

static void detach(void *ctx, void *handle)
{
    u32 *attached = handle;

    assert_ptr_equal(ctx, &glue);
    assert_int_equal(*attached, 1);
    *attached = 0;
    glue.count--;
    glue.detaches++;
}

static bool alive(void *ctx, void *handle)
{
    u32 *attached = handle;

    assert_ptr_equal(ctx, &glue);
    assert_int_equal(*attached, 1);
    return !glue.dead && glue.of[attached - glue.attached].domid != glue.dead_domid;
}

static const struct backend_ops ops = {.attach = attach, .detach = detach, .alive = alive};

static int setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    assert_int_equal(evtchn_init(fake_xen.region), ST_OK);
    memset(&glue, 0, sizeof(glue));
    port_host_now_ns = 1000;
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    backend_init(&be, &xs, &ops, &glue);
    return 0;
}

/** Turns of the loop until nothing happens. Returns their number. */
static u32 run(void)
{
    for (u32 i = 0; i < 20000; i++) {
        u32 work = xs_poll(&xs, 16);

        work += backend_poll(&be, 16);
        fake_xs_step();
        work += xs_poll(&xs, 16);
        if (work == 0) {
            return i;
        }
    }
    fail_msg("the loop does not come to rest");
    return 0;
}

static void wait_ns(u64 ns)
{
    u64 end = port_host_now_ns + ns;

    while (port_host_now_ns < end) {
        port_host_now_ns += ns / 16 + 1;
        (void)run();
    }
}

/* --- the toolstack --------------------------------------------------------------------------- */

static void key_set(u16 fe, u32 devid, const char *kind, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "backend/%s/%u/%u/%s", kind, fe, devid, key);
    if (value) {
        fake_xs_set(path, value);
    } else {
        fake_xs_rm(path);
    }
}

static const char *disk_state(u16 fe, u32 devid)
{
    char path[64];
    const char *value;

    snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u/state", fe, devid);
    value = fake_xs_get(path);
    return value ? value : "gone";
}

/** The keys libxl 4.20 writes for disk = [ "...specification=virtio" ]. */
static void disk_make(u16 fe, u32 devid)
{
    static const char *const keys[][2] = {
        {"params", "rootfs"},    {"online", "1"},
        {"removable", "0"},      {"bootable", "1"},
        {"dev", "xvda"},         {"mode", "w"},
        {"type", "standalone"},  {"device-type", "disk"},
        {"discard-enable", "1"}, {"specification", "virtio"},
        {"transport", "mmio"},   {"base", "33554432"},
        {"irq", "33"},           {"grant_usage", "0"},
    };
    char id[8];

    snprintf(id, sizeof(id), "%u", fe);
    key_set(fe, devid, "virtio_disk", "frontend-id", id);
    for (u32 i = 0; i < ARRAY_LEN(keys); i++) {
        key_set(fe, devid, "virtio_disk", keys[i][0], keys[i][1]);
    }
    key_set(fe, devid, "virtio_disk", "state", "1");
}

static void disk_close(u16 fe, u32 devid)
{
    key_set(fe, devid, "virtio_disk", "online", "0");
    key_set(fe, devid, "virtio_disk", "state", "5");
}

static void disk_rm(u16 fe, u32 devid)
{
    char path[64];

    snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u", fe, devid);
    fake_xs_rm(path);
}

static void nothing_left(void)
{
    assert_int_equal(glue.count, 0);
    assert_int_equal(be.attached, 0);
    assert_int_equal(glue.attaches, glue.detaches);
    assert_int_equal(xs.slots_used, 0);
    assert_int_equal(fake_xs_transactions(), 0);
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        assert_int_equal(be.device[i].state, BE_FREE);
    }
}

/* --- coming ---------------------------------------------------------------------------------- */

static void disk_is_attached_and_announced_after_that(void **state)
{
    (void)state;
    (void)run();
    disk_make(5, 51712);
    (void)run();
    assert_int_equal(glue.attaches, 1);
    assert_string_equal(glue.state_at_attach, "1"); /* not before it answers */
    assert_int_equal(glue.request.domid, 5);
    assert_int_equal(glue.request.devid, 51712);
    assert_int_equal(glue.request.device_type, 2);
    assert_int_equal(glue.request.mmio_base, 0x02000000);
    assert_int_equal(glue.request.irq, 33);
    assert_false(glue.request.read_only);
    assert_false(glue.request.grants);
    assert_string_equal(glue.request.target, "rootfs");
    assert_string_equal(disk_state(5, 51712), "2");
}

static void directory_that_is_there_at_start_is_found(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "2");
}

/* libxl waits for exactly 2, at most 10 s, and looks some time after it was told. */
static void state_4_comes_when_libxl_cannot_wait_for_2_any_more(void **state)
{
    (void)state;
    disk_make(5, 51712);
    wait_ns(UINT64_C(10000000000));
    assert_string_equal(disk_state(5, 51712), "2");
    wait_ns(UINT64_C(8000000000));
    assert_string_equal(disk_state(5, 51712), "4");
    assert_int_equal(glue.attaches, 1);
}

static void state_4_comes_at_once_when_the_guest_runs(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    backend_in_use(&be, &glue.attached[0]);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "4");
}

static void generic_virtio_device_has_a_hex_base(void **state)
{
    (void)state;
    key_set(5, 0, "virtio", "frontend-id", "5");
    key_set(5, 0, "virtio", "online", "1");
    key_set(5, 0, "virtio", "irq", "34");
    key_set(5, 0, "virtio", "base", "0x2000200");
    key_set(5, 0, "virtio", "type", "virtio,device2");
    key_set(5, 0, "virtio", "transport", "mmio");
    key_set(5, 0, "virtio", "grant_usage", "1");
    key_set(5, 0, "virtio", "state", "1");
    (void)run();
    assert_int_equal(glue.attaches, 1);
    assert_int_equal(glue.request.mmio_base, 0x02000200);
    assert_int_equal(glue.request.irq, 34);
    assert_int_equal(glue.request.device_type, 2);
    assert_true(glue.request.grants);
    assert_string_equal(glue.request.target, "");
    assert_string_equal(fake_xs_get("backend/virtio/5/0/state"), "2");
}

/* Xen 4.17 and 4.18 write no grant_usage. */
static void optional_keys_may_be_missing(void **state)
{
    (void)state;
    disk_make(5, 51712);
    key_set(5, 51712, "virtio_disk", "grant_usage", NULL);
    key_set(5, 51712, "virtio_disk", "params", NULL);
    key_set(5, 51712, "virtio_disk", "online", NULL);
    (void)run();
    assert_int_equal(glue.attaches, 1);
}

static void wrong_keys_are_refused_and_named(void **state)
{
    static const struct {
        const char *key, *value;
    } wrong[] = {
        {"frontend-id", "6"},
        {"frontend-id", "x"},
        {"frontend-id", NULL},
        {"transport", "pci"},
        {"transport", NULL},
        {"base", "33554433"},
        {"base", "0"},
        {"base", "-1"},
        {"base", "0xfffffffffffffe00"},
        {"base", "18446744073709551616"},
        {"base", ""},
        {"base", NULL},
        {"irq", "31"},
        {"irq", "1020"},
        {"irq", "3 3"},
        {"irq", NULL},
        {"params", "a-name-of-a-disk-that-is-longer-than-we-allow"},
        {"mode", "rw"},
        {"mode", NULL},
        {"grant_usage", "2"},
        {"state", "99"},
        {"state", "one"},
    };
    char long_value[XS_VALUE_MAX + 10];

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(wrong); i++) {
        char words[64];

        (void)setup(state);
        disk_make(5, 51712);
        key_set(5, 51712, "virtio_disk", wrong[i].key, wrong[i].value);
        (void)run();
        snprintf(words, sizeof(words), "key %s ", wrong[i].key);
        if (glue.attaches != 0 || !said(words) || said_count("guest 5") != 1) {
            fail_msg("%s = %s: attached %u times, said %u", wrong[i].key, wrong[i].value,
                     glue.attaches, said_count(words));
        }
        assert_false(strcmp(disk_state(5, 51712), "2") == 0);
    }
    (void)setup(state);
    memset(long_value, 'x', sizeof(long_value));
    long_value[sizeof(long_value) - 1] = 0;
    disk_make(5, 51712);
    key_set(5, 51712, "virtio_disk", "params", long_value);
    (void)run();
    assert_int_equal(glue.attaches, 0);
    assert_true(said("key params is too long"));
}

static void names_that_are_no_numbers_are_passed_over(void **state)
{
    (void)state;
    fake_xs_set("backend/virtio_disk/abc/1/state", "1");
    fake_xs_set("backend/virtio_disk/70000/1/state", "1");
    fake_xs_set("backend/virtio_disk/5/x/state", "1");
    fake_xs_set("backend/virtio_disk/5/4294967296/state", "1");
    fake_xs_set("backend/vkbd/5/1/state", "1");
    (void)run();
    disk_make(6, 1);
    (void)run();
    assert_int_equal(glue.attaches, 1);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void refusal_leaves_the_state_alone_and_is_not_repeated(void **state)
{
    (void)state;
    glue.answer = ST_ACCES;
    disk_make(5, 51712);
    wait_ns(UINT64_C(9000000000));
    assert_string_equal(disk_state(5, 51712), "1");
    assert_int_equal(be.refusals, 1);
    assert_int_equal(said_count("refused"), 1);
    /* libxl gives up: cleaned up at once, so that it does not wait. */
    disk_close(5, 51712);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "6");
    wait_ns(BACKEND_LINGER_NS * 2);
    assert_string_equal(disk_state(5, 51712), "gone");
    nothing_left();
}

static void touching_the_directory_tries_again(void **state)
{
    (void)state;
    glue.answer = ST_ACCES;
    disk_make(5, 51712);
    (void)run();
    assert_int_equal(be.refusals, 1);
    glue.answer = ST_OK; /* set-target was run; xenstore-write .../state 1 */
    key_set(5, 51712, "virtio_disk", "state", "1");
    (void)run();
    assert_int_equal(glue.attaches, 1);
    assert_string_equal(disk_state(5, 51712), "2");
}

static void device_limit_is_said_once(void **state)
{
    (void)state;
    for (u32 i = 0; i < DEVICES_MAX + 3; i++) {
        disk_make((u16)(1 + i / 8), i);
    }
    (void)run();
    assert_int_equal(glue.attaches, DEVICES_MAX);
    assert_int_equal(said_count("DEVICES_MAX"), 1);
}

/* --- going ----------------------------------------------------------------------------------- */

static void closing_ends_in_state_6_and_then_the_directory_goes(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    disk_close(5, 51712);
    (void)run();
    assert_int_equal(glue.detaches, 1);
    assert_string_equal(disk_state(5, 51712), "6");
    wait_ns(BACKEND_LINGER_NS / 2);
    assert_string_equal(disk_state(5, 51712), "6"); /* libxl needs time to see it */
    wait_ns(BACKEND_LINGER_NS);
    assert_false(fake_xs_exists("backend/virtio_disk/5/51712"));
    nothing_left();
    assert_true(UINT64_C(2000000000) > 2 * BACKEND_LINGER_NS); /* xl destroy returns within 2 s */
}

static void vanished_directory_is_not_made_anew(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    disk_rm(5, 51712);
    wait_ns(UINT64_C(20000000000));
    assert_int_equal(glue.detaches, 1);
    assert_false(fake_xs_exists("backend/virtio_disk/5/51712"));
    nothing_left();
}

static void parent_directory_may_vanish_as_a_whole(void **state)
{
    (void)state;
    disk_make(5, 51712);
    disk_make(5, 51728);
    disk_make(6, 51712);
    (void)run();
    assert_int_equal(glue.count, 3);
    fake_xs_rm("backend/virtio_disk/5");
    (void)run();
    assert_int_equal(glue.count, 1);
    fake_xs_rm("backend");
    (void)run();
    nothing_left();
}

static void dead_guest_is_detached_although_nobody_says_so(void **state)
{
    (void)state;
    disk_make(5, 51712);
    disk_make(6, 51712);
    (void)run();
    glue.dead_domid = 5;
    wait_ns(BACKEND_PROBE_NS + 4 * BACKEND_LINGER_NS);
    assert_int_equal(glue.detaches, 1);
    assert_string_equal(disk_state(5, 51712), "gone");
    assert_string_equal(disk_state(6, 51712), "2");
    assert_true(said("the guest is gone"));
}

static void directory_made_again_between_two_looks_is_another_device(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    disk_rm(5, 51712);
    disk_make(5, 51712);
    key_set(5, 51712, "virtio_disk", "params", "other");
    (void)run();
    assert_int_equal(glue.attaches, 2);
    assert_int_equal(glue.detaches, 1);
    assert_string_equal(glue.request.target, "other");
    assert_string_equal(disk_state(5, 51712), "2");
}

static void directory_made_again_while_it_is_being_removed_is_kept(void **state)
{
    (void)state;
    disk_make(5, 51712);
    (void)run();
    disk_close(5, 51712);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "6");
    disk_rm(5, 51712);
    disk_make(5, 51712);
    wait_ns(BACKEND_LINGER_NS * 3);
    assert_int_equal(glue.attaches, 2);
    assert_string_equal(disk_state(5, 51712), "2");
}

static void closing_while_keys_are_read_never_attaches(void **state)
{
    (void)state;
    (void)run();
    disk_make(5, 51712);
    disk_close(5, 51712);
    wait_ns(BACKEND_LINGER_NS * 2);
    assert_int_equal(glue.attaches, 0);
    assert_string_equal(disk_state(5, 51712), "gone");
    nothing_left();
}

/* The toolstack closes between our attach and our write of state 2: its 5 must not be overwritten.
 */
static void closing_while_announcing_is_not_overwritten(void **state)
{
    (void)state;
    disk_make(5, 51712);
    while (glue.attaches == 0) {
        (void)xs_poll(&xs, 16);
        (void)backend_poll(&be, 16);
        if (glue.attaches == 0) {
            fake_xs_step();
        }
    }
    disk_close(5, 51712);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "6");
    wait_ns(BACKEND_LINGER_NS * 2);
    nothing_left();
}

/* --- xenstore is difficult ------------------------------------------------------------------- */

static void conflicting_transactions_are_repeated(void **state)
{
    (void)state;
    fake_xs_conflict(BACKEND_TX_TRIES - 1);
    disk_make(5, 51712);
    (void)run();
    assert_string_equal(disk_state(5, 51712), "2");
}

static void endless_conflicts_are_given_up(void **state)
{
    (void)state;
    fake_xs_conflict(UINT32_MAX);
    disk_make(5, 51712);
    (void)run();
    assert_true(said("could not be written"));
    assert_int_equal(fake_xs_transactions(), 0);
    fake_xs_conflict(0);
    disk_close(5, 51712);
    wait_ns(BACKEND_LINGER_NS * 2);
    nothing_left();
}

static void missing_right_to_write_does_not_loop(void **state)
{
    (void)state;
    fake_xs_deny("backend");
    disk_make(5, 51712);
    (void)run();
    assert_true(said("cannot be written"));
    disk_close(5, 51712);
    wait_ns(UINT64_C(30000000000));
    assert_true(xs.requests < 1000);
    assert_int_equal(glue.count, 0);
    fake_xs_deny(NULL);
    disk_rm(5, 51712);
    (void)run();
    nothing_left();
}

static void silent_xenstored_is_waited_for(void **state)
{
    (void)state;
    (void)run();
    fake_xs_hang(true);
    disk_make(5, 51712);
    wait_ns(XS_TIMEOUT_NS * 3);
    assert_int_equal(glue.attaches, 0);
    fake_xs_hang(false);
    wait_ns(XS_TIMEOUT_NS * 2);
    assert_int_equal(glue.attaches, 1);
    assert_string_equal(disk_state(5, 51712), "2");
    disk_close(5, 51712);
    wait_ns(BACKEND_LINGER_NS * 2);
    nothing_left();
}

static void broken_xenstore_leaves_the_served_served(void **state)
{
    (void)state;
    disk_make(5, 51712);
    disk_make(6, 51712);
    (void)run();
    *(u32 *)((u8 *)fake_xs_page() + 2048 + 12) += 5000; /* rsp_prod */
    wait_ns(UINT64_C(20000000000));
    assert_true(xs.broken);
    assert_int_equal(glue.count, 2);
    glue.dead_domid = 5;
    wait_ns(BACKEND_PROBE_NS * 2);
    assert_int_equal(glue.count, 1);
}

/* --- many ------------------------------------------------------------------------------------ */

#define ROUNDS 4

static void sixteen_guests_with_eight_disks_come_and_go(void **state)
{
    (void)state;
    for (u16 round = 0; round < ROUNDS; round++) {
        for (u16 g = 0; g < 16; g++) {
            for (u32 d = 0; d < 8; d++) {
                disk_make((u16)(1 + round * 16 + g), 51712 + 16 * d);
            }
        }
        (void)run();
        assert_int_equal(glue.count, 128);
        for (u16 g = 0; g < 16; g++) {
            for (u32 d = 0; d < 8; d++) {
                assert_string_equal(disk_state((u16)(1 + round * 16 + g), 51712 + 16 * d), "2");
                disk_close((u16)(1 + round * 16 + g), 51712 + 16 * d);
            }
        }
        wait_ns(BACKEND_LINGER_NS * 3);
        nothing_left();
        fake_xs_rm("backend/virtio_disk"); /* libxl removes the empty parents */
        (void)run();
    }
    assert_int_equal(glue.attaches, ROUNDS * 128);
}

static void idle_backend_asks_nothing(void **state)
{
    u64 requests;

    (void)state;
    disk_make(5, 51712);
    wait_ns(UINT64_C(20000000000));
    requests = xs.requests;
    wait_ns(UINT64_C(600000000000));
    assert_int_equal(xs.requests, requests);
}

/* A toolstack gone mad, with conflicts, silence and deaths: at the end nothing is left. */
static void random_toolstack_leaves_nothing_behind(void **state)
{
    (void)state;
    for (u32 seed = 1; seed <= 40; seed++) {
        (void)setup(state);
        srand(seed);
        for (u32 turn = 0; turn < 400; turn++) {
            u16 fe = (u16)(1 + rand() % 4);
            u32 devid = 51712 + 16 * ((u32)rand() % 3);

            switch (rand() % 12) {
            case 0:
            case 1:
            case 2:
                disk_make(fe, devid);
                break;
            case 3:
            case 4:
                disk_close(fe, devid);
                break;
            case 5:
                disk_rm(fe, devid);
                break;
            case 6:
                fake_xs_conflict((u32)rand() % 10);
                break;
            case 7:
                fake_xs_hang(rand() % 4 == 0);
                break;
            case 8:
                glue.answer = rand() % 3 ? ST_OK : ST_FULL;
                break;
            case 9:
                glue.dead_domid = (u16)(rand() % 8);
                break;
            case 10:
                port_host_now_ns += (u64)rand() * 8;
                break;
            default:
                key_set(fe, devid, "virtio_disk", "irq", rand() % 2 ? "33" : "x");
                break;
            }
            for (u32 i = 0; i < (u32)rand() % 8; i++) {
                (void)xs_poll(&xs, 1 + (u32)rand() % 4);
                (void)backend_poll(&be, 4);
                if (rand() % 2) {
                    fake_xs_step();
                }
            }
            assert_int_equal(glue.count, be.attached);
        }
        fake_xs_hang(false);
        fake_xs_conflict(0);
        fake_xs_rm("backend");
        wait_ns(UINT64_C(40000000000));
        if (xs.slots_used || glue.count || fake_xs_exists("backend")) {
            fail_msg("seed %u", seed);
        }
        nothing_left();
    }
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(disk_is_attached_and_announced_after_that),
        TEST(directory_that_is_there_at_start_is_found),
        TEST(state_4_comes_when_libxl_cannot_wait_for_2_any_more),
        TEST(state_4_comes_at_once_when_the_guest_runs),
        TEST(generic_virtio_device_has_a_hex_base),
        TEST(optional_keys_may_be_missing),
        TEST(wrong_keys_are_refused_and_named),
        TEST(names_that_are_no_numbers_are_passed_over),
        TEST(refusal_leaves_the_state_alone_and_is_not_repeated),
        TEST(touching_the_directory_tries_again),
        TEST(device_limit_is_said_once),
        TEST(closing_ends_in_state_6_and_then_the_directory_goes),
        TEST(vanished_directory_is_not_made_anew),
        TEST(parent_directory_may_vanish_as_a_whole),
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
