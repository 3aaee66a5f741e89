/* SPDX-License-Identifier: BSD-2-Clause */
/* test_eyes.c - what xenstore shows of us while somebody looks, and what that costs. */
#include "start/eyes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define SECOND UINT64_C(1000000000)
#define STATS  EYES_HOME "/stats"

static struct attach attach;
static struct pv pv;
static struct disks disks;
static struct shares shares;
static struct turn turn;
static struct poll_loop loop;
static struct gic gic;
static struct report report;
static struct xs xs;
static struct eyes eyes;
static u8 memory[KIB(64)];

static int fresh(void **state)
{
    struct extregion_range region;
    u64 gpa;

    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(extregion_alloc(4096, 4096, &gpa), ST_OK);
    assert_int_equal(evtchn_init(gpa), ST_OK);
    memset(&disks, 0, sizeof(disks));
    disks.count = 1;
    memcpy(disks.disk[0].name, "data", 5);
    ramdisk_init(&disks.disk[0].ram, "data", memory, sizeof(memory), false);
    attach_init(&attach, &disks, &shares);
    memset(&pv, 0, sizeof(pv));
    poll_init(&loop, 0);
    memset(&turn, 0, sizeof(turn));
    report =
        (struct report){.attach = &attach, .pv = &pv, .turn = &turn, .loop = &loop, .gic = &gic};
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    eyes_init(&eyes, &xs, &report);
    return 0;
}

/** Turns of the loop until nothing happens any more; the clock stands still. */
static void settle(void)
{
    for (u32 i = 0, idle = 0; idle < 4 && i < 20000; i++) {
        u32 work = eyes_poll(&eyes, 64);

        work += xs_poll(&xs, 16);
        fake_xs_step();
        idle = work ? 0 : idle + 1;
    }
}

static void later(u64 ns)
{
    port_host_now_ns += ns;
    settle();
}

/** A disk of a guest over PV block, as on_attach() leaves it. */
static struct pv_device *disk_comes(u16 domid, u32 devid)
{
    struct pv_device *device = NULL;

    for (u32 i = 0; i < DEVICES_MAX && !device; i++) {
        device = pv.device[i].state == PV_FREE ? &pv.device[i] : NULL;
    }
    assert_non_null(device);
    memset(device, 0, sizeof(*device));
    device->state = PV_LIVE;
    device->domid = domid;
    device->devid = devid;
    device->disk = &disks.disk[0];
    (void)snprintf(device->name, sizeof(device->name), "dom%u/%u data", domid, devid);
    pv.active[pv.active_count++] = device;
    return device;
}

static void disk_goes(struct pv_device *device)
{
    for (u32 i = 0; i < pv.active_count; i++) {
        if (pv.active[i] == device) {
            pv.active[i] = pv.active[--pv.active_count];
        }
    }
    device->state = PV_FREE;
    pv.detached++;
}

static void looks_for(const char *seconds)
{
    fake_xs_set(EYES_HOME "/watch", seconds);
    settle();
}

static const char *value(const char *path)
{
    const char *text = fake_xs_get(path);

    return text ? text : "none";
}

static void assert_holds(const char *path, const char *words)
{
    if (!strstr(value(path), words)) {
        fail_msg("%s is '%s', without '%s'", path, value(path), words);
    }
}

/* --- what is shown -----------------------------------------------------------------------------
 */

static void nothing_is_written_and_nothing_wakes_us_while_nobody_looks(void **state)
{
    u64 requests;

    (void)state;
    (void)disk_comes(5, 51712);
    settle();
    requests = xs.requests;
    for (u32 i = 0; i < 20; i++) {
        later(SECOND);
        assert_int_equal(eyes_deadline_ns(&eyes), POLL_NEVER);
    }
    assert_int_equal(xs.requests, requests);
    assert_false(fake_xs_exists(STATS));
}

static void a_watcher_sees_the_image_and_each_disk(void **state)
{
    struct pv_device *device;

    (void)state;
    device = disk_comes(5, 51712);
    device->connected = true;
    device->kicks = 7;
    device->blkif.requests = 12;
    device->blkif.reads = 8;
    device->blkif.writes = 4;
    device->blkif.bytes_read = 8192;
    device->blkif.bytes_written = 512;
    device->blkif.errors_guest = 3;
    device->blkif.errors_medium = 2;
    device->blkif.copies = 99;
    latency_add(&device->blkif.latency, 10, 3000);
    latency_add(&device->blkif.latency, 2, UINT64_MAX);
    loop.turns = 4711;
    looks_for("10");
    assert_string_equal(value(STATS "/5/51712"), "pv connected data");
    assert_holds(STATS "/5/51712/io", "requests=12 reads=8 writes=4 flushes=0 discards=0 "
                                      "sectors_read=16 sectors_written=1 ");
    assert_holds(STATS "/5/51712/events", "kicks=7 irqs=0 ");
    assert_holds(STATS "/5/51712/events", " copies=99");
    assert_holds(STATS "/5/51712/errors", "guest=3 medium=2 ");
    assert_string_equal(value(STATS "/5/51712/latency"), "4us=10 longer=2");
    assert_holds(STATS "/loop", "turns=4711 ");
    assert_holds(STATS "/held", "guests=0 devices=1 ");
    assert_holds(STATS "/image", "attached=0 ");
    assert_holds(STATS "/total", "requests=12 kicks=7 ");
    assert_holds(STATS "/xen", "evtchn=");
    assert_holds(STATS "/round", "number=1 ms=");
}

static void a_virtio_disk_is_shown_and_an_entropy_device_is_not(void **state)
{
    struct device *device = &attach.device[0], *other = &attach.device[1];

    (void)state;
    attach.guest[0].domid = 9;
    device->state = other->state = DEVICE_LIVE;
    device->guest = other->guest = &attach.guest[0];
    device->devid = 51728;
    device->vdev = &device->blk.vdev;
    device->vdev->device_id = VIRTIO_ID_BLOCK;
    device->disk = other->disk = &disks.disk[0]; /* the other's slot was a disk's before */
    device->blk.write_zeroes = 5;
    device->blk.vdev.interrupts = 6;
    other->vdev = &other->entropy.vdev;
    other->vdev->device_id = VIRTIO_ID_ENTROPY;
    attach.active[attach.active_count++] = other;
    attach.active[attach.active_count++] = device;
    looks_for("10");
    assert_string_equal(value(STATS "/9/51728"), "virtio waiting data");
    assert_holds(STATS "/9/51728/io", " zeroes=5 ");
    assert_holds(STATS "/9/51728/events", "kicks=0 irqs=6 ");
    assert_false(fake_xs_exists(STATS "/9/0"));
    device->blk.vdev.live = true;
    later(SECOND);
    assert_string_equal(value(STATS "/9/51728"), "virtio connected data");
}

static void a_round_comes_each_second_until_the_time_is_over(void **state)
{
    struct pv_device *device;

    (void)state;
    device = disk_comes(5, 51712);
    looks_for("3");
    assert_int_equal(eyes.rounds, 1);
    for (u32 i = 2; i <= 3; i++) {
        device->kicks = i;
        later(SECOND - 1);
        assert_int_equal(eyes.rounds, i - 1);
        later(1);
        assert_int_equal(eyes.rounds, i);
    }
    assert_holds(STATS "/5/51712/events", "kicks=3 ");
    later(SECOND);
    later(SECOND);
    assert_int_equal(eyes.rounds, 3);
    assert_int_equal(eyes_deadline_ns(&eyes), POLL_NEVER);
    /* The watcher comes again, and sees all of it at once. */
    fake_xs_rm(STATS);
    looks_for("1");
    assert_int_equal(eyes.rounds, 4);
    assert_holds(STATS "/5/51712/io", "requests=0 ");
}

static void what_has_not_changed_is_not_written_again(void **state)
{
    struct pv_device *device;
    u64 requests;

    (void)state;
    device = disk_comes(5, 51712);
    (void)disk_comes(6, 51712);
    looks_for("60");
    later(SECOND);
    requests = xs.requests;
    later(SECOND);
    /* The round's own key; and what the sending of these costs in hypercalls. */
    assert_true(xs.requests - requests <= 2);
    device->blkif.notifies++;
    requests = xs.requests;
    later(SECOND);
    assert_true(xs.requests - requests <= 4);
    assert_holds(STATS "/5/51712/events", "irqs=1 ");
}

static void a_watcher_may_end_it_and_nonsense_is_said_and_ignored(void **state)
{
    static const char *const odd[] = {"", "x", "-1", "3601", "99999999999999999999", "5 ", "0x5"};

    (void)state;
    looks_for("60");
    assert_int_equal(eyes.rounds, 1);
    for (u32 i = 0; i < ARRAY_LEN(odd); i++) {
        looks_for(odd[i]);
    }
    assert_int_equal(said_count("/watch: write how many seconds"), ARRAY_LEN(odd));
    later(SECOND);
    assert_int_equal(eyes.rounds, 2);
    looks_for("0");
    later(SECOND);
    assert_int_equal(eyes.rounds, 2);
    looks_for("60");
    assert_int_equal(eyes.rounds, 3);
    fake_xs_rm(EYES_HOME "/watch");
    settle();
    later(SECOND);
    assert_int_equal(eyes.rounds, 3);
    assert_int_equal(eyes_deadline_ns(&eyes), POLL_NEVER);
}

/* --- who goes ----------------------------------------------------------------------------------
 */

static void a_disk_that_goes_takes_its_keys_along(void **state)
{
    struct pv_device *one, *two, *other;

    (void)state;
    one = disk_comes(5, 51712);
    two = disk_comes(5, 51728);
    other = disk_comes(6, 51712);
    looks_for("1");
    later(2 * SECOND);
    /* nobody looks any more */
    disk_goes(one);
    settle();
    assert_false(fake_xs_exists(STATS "/5/51712"));
    assert_holds(STATS "/5/51728/io", "requests=");
    disk_goes(two);
    disk_goes(other);
    settle();
    assert_false(fake_xs_exists(STATS "/5"));
    assert_false(fake_xs_exists(STATS "/6"));
    assert_true(fake_xs_exists(STATS "/held"));
    assert_int_equal(eyes.rows, 0);
    assert_int_equal(eyes_deadline_ns(&eyes), POLL_NEVER);
}

static void one_that_goes_while_others_are_compared_is_not_forgotten(void **state)
{
    struct pv_device *device[8];

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(device); i++) {
        device[i] = disk_comes((u16)(i + 1), 51712);
    }
    looks_for("60");
    disk_goes(device[7]);
    (void)eyes_poll(&eyes, 64);
    (void)eyes_poll(&eyes, 64);
    (void)eyes_poll(&eyes, 64);
    disk_goes(device[0]); /* its row was passed already */
    settle();
    assert_false(fake_xs_exists(STATS "/1"));
    assert_false(fake_xs_exists(STATS "/8"));
    assert_true(fake_xs_exists(STATS "/2"));
}

/* --- bounds ------------------------------------------------------------------------------------
 */

static void as_many_disks_as_there_may_be_cost_a_turn_no_more_than_one(void **state)
{
    u32 most_texts = 0, most_waiting = 0;
    char path[64];

    (void)state;
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        (void)disk_comes((u16)(i / 8 + 1), i % 8);
    }
    settle();
    fake_xs_set(EYES_HOME "/watch", "60");
    for (u32 i = 0; i < 4000 && eyes.rounds == 0; i++) {
        u64 before = xs.requests;
        u32 texts = eyes_poll(&eyes, 64);

        assert_true(xs.requests - before <= EYES_TEXTS_PER_TURN + 2);
        most_texts = texts > most_texts ? texts : most_texts;
        most_waiting = eyes.waiting > most_waiting ? eyes.waiting : most_waiting;
        (void)xs_poll(&xs, 16);
        fake_xs_step();
    }
    assert_int_equal(eyes.rounds, 1);
    assert_true(most_texts <= EYES_TEXTS_PER_TURN + 2);
    assert_true(most_waiting <= EYES_WAITING_MAX);
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        (void)snprintf(path, sizeof(path), STATS "/%u/%u/latency", i / 8 + 1, i % 8);
        assert_non_null(fake_xs_get(path));
    }
}

static void an_xenstored_that_hangs_stops_only_us(void **state)
{
    (void)state;
    (void)disk_comes(5, 51712);
    settle();
    fake_xs_set(EYES_HOME "/watch", "60");
    (void)xs_poll(&xs, 16);
    fake_xs_step();
    (void)xs_poll(&xs, 16);
    (void)eyes_poll(&eyes, 64);
    (void)xs_poll(&xs, 16);
    fake_xs_step();
    fake_xs_hang(true);
    for (u32 i = 0; i < 100; i++) {
        port_host_now_ns += XS_TIMEOUT_NS / 10;
        (void)eyes_poll(&eyes, 64);
        (void)xs_poll(&xs, 16);
        fake_xs_step();
        assert_true(eyes.waiting <= EYES_WAITING_MAX);
        assert_true(xs.slots_used <= EYES_WAITING_MAX);
    }
    fake_xs_hang(false);
    settle();
    later(SECOND);
    looks_for("60");
    assert_holds(STATS "/5/51712/io", "requests=");
}

static void what_xenstore_refuses_is_said_once(void **state)
{
    (void)state;
    (void)disk_comes(5, 51712);
    settle();
    fake_xs_deny(STATS);
    looks_for("60");
    later(SECOND);
    later(SECOND);
    assert_int_equal(said_count("xenstore does not take all keys (ST_ACCES)"), 1);
    assert_int_equal(eyes.waiting, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_written_and_nothing_wakes_us_while_nobody_looks, fresh),
        cmocka_unit_test_setup(a_watcher_sees_the_image_and_each_disk, fresh),
        cmocka_unit_test_setup(a_virtio_disk_is_shown_and_an_entropy_device_is_not, fresh),
        cmocka_unit_test_setup(a_round_comes_each_second_until_the_time_is_over, fresh),
        cmocka_unit_test_setup(what_has_not_changed_is_not_written_again, fresh),
        cmocka_unit_test_setup(a_watcher_may_end_it_and_nonsense_is_said_and_ignored, fresh),
        cmocka_unit_test_setup(a_disk_that_goes_takes_its_keys_along, fresh),
        cmocka_unit_test_setup(one_that_goes_while_others_are_compared_is_not_forgotten, fresh),
        cmocka_unit_test_setup(as_many_disks_as_there_may_be_cost_a_turn_no_more_than_one, fresh),
        cmocka_unit_test_setup(an_xenstored_that_hangs_stops_only_us, fresh),
        cmocka_unit_test_setup(what_xenstore_refuses_is_said_once, fresh),
    };

    return cmocka_run_group_tests_name("eyes", tests, NULL, NULL);
}
