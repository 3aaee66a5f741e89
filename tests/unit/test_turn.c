/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_turn.c - one turn over guests with disks of both front ends: a guest's devices divide its
 * share, whichever kind they are.
 */
#include "start/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/xs.h"
#include "tests/fake/port_host.h"
#include "tests/fake/pvfront.h"
#include "tests/fake/xen.h"

#include <xen/io/blkif.h>

#define DEVID  51712
#define BUDGET 64
#define DISKS  4

static struct pv pv;
static struct attach attach;
static struct turn turn;
static struct disks disks;
static struct xs xs;
static struct backend be;
static struct poll_loop loop;
static u8 memory[DISKS][KIB(64)] __attribute__((aligned(4096)));
static u8 seg_page[4096] __attribute__((aligned(4096)));

static int fresh(void **state)
{
    struct extregion_range region;
    u64 gpa;

    (void)state;
    fake_xen_reset(FAKE_CONTROL);
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(extregion_alloc(4096, 4096, &gpa), ST_OK);
    assert_int_equal(evtchn_init(gpa), ST_OK);
    assert_int_equal(gmem_foreign_init(), ST_OK);
    assert_int_equal(grant_pages_init(), ST_OK);
    memset(&disks, 0, sizeof(disks));
    disks.count = DISKS;
    for (u32 i = 0; i < DISKS; i++) {
        (void)snprintf(disks.disk[i].name, DISK_NAME_MAX, "disk%u", i);
        disks.disk[i].queues = 1;
        ramdisk_init(&disks.disk[i].ram, disks.disk[i].name, memory[i], KIB(64), false);
    }
    turn = (struct turn){.attach = &attach, .pv = &pv};
    attach_init(&attach, &disks, &turn.shares);
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    backend_init(&be, &xs, &attach_backend_ops, &attach);
    pv_init(&pv, &(struct pv_init){&disks, &be, &turn.shares, seg_page, true});
    poll_init(&loop, 0);
    turn_add_pollers(&turn, &loop);
    return 0;
}

static void run(void)
{
    for (u32 i = 0; i < 500; i++) {
        port_host_now_ns += BACKEND_HOLD_NS / 20;
        (void)poll_once(&loop);
        (void)xs_poll(&xs, 16);
        (void)backend_poll(&be, 16);
        fake_xs_step();
    }
}

/** A guest with a PV disk whose ring is full of reads, not shown yet. */
static void flood(struct pvfront *front, u16 domid, u32 devid, const char *target)
{
    struct fake_guest *guest = fake_guest_make(domid, 1, PVFRONT_GUEST_BYTES);

    pvfront_open(front, guest, devid, 1, 2, true);
    pvfront_disk_make(domid, devid, target, "w");
    run();
    pvfront_join(front);
    run();
    for (u32 i = 0; i < 120; i++) {
        pvfront_put(front, 0, BLKIF_OP_READ, i, 0, 0, 1);
    }
}

static struct pv_device *device_of(const char *target)
{
    for (u32 i = 0; i < pv.active_count; i++) {
        if (strcmp(pv.active[i]->disk->name, target) == 0) {
            return pv.active[i];
        }
    }
    return NULL;
}

/** A virtio device that always has work, and takes all it may. */
static struct {
    u32 units;
} greedy;

static u32 greedy_poll(struct vdev *dev, u32 budget)
{
    (void)dev;
    greedy.units += budget;
    return budget;
}

static const struct vdev_ops greedy_ops = {.poll = greedy_poll}, no_ops;

/** The same, and each unit is a request that is done. */
static u32 counting_poll(struct vdev *dev, u32 budget)
{
    dev->queue[0].vq.chains += budget;
    return greedy_poll(dev, budget);
}

static const struct vdev_ops counting_ops = {.poll = counting_poll};

static struct device *greedy_make(u16 domid, u32 devid, const char *target)
{
    static u8 avail_idx[2];
    struct backend_request request = {
        .domid = domid,
        .devid = devid,
        .device_type = VIRTIO_ID_BLOCK,
        .mmio_base = UINT64_C(0x02000000) + (u64)devid * VMMIO_BYTES,
        .irq = 33 + devid,
    };
    struct device *device;
    void *handle;

    (void)snprintf(request.target, sizeof(request.target), "%s", target);
    assert_int_equal(attach_backend_ops.attach(&attach, &request, &handle), ST_OK);
    device = handle;
    avail_idx[0] = 1;
    device->vdev->ops = &greedy_ops;
    device->vdev->queue[0].vq.look_at = avail_idx;
    device->vdev->queue[0].vq.look_mask = UINT16_MAX;
    return device;
}

/* Two disks of one guest, one of each kind, are together worth the one of the other guest. */
static void both_kinds_of_a_guest_divide_its_share(void **state)
{
    static struct pvfront front, other;
    struct device *device;
    u64 before[2], after[2];

    (void)state;
    memset(&greedy, 0, sizeof(greedy));
    flood(&front, 7, DEVID, "disk0");
    flood(&other, 8, DEVID, "disk1");
    device = greedy_make(7, 1, "disk2");
    assert_int_equal(turn.shares.count, 2);
    assert_int_equal(device->member.share->members, 2);
    before[0] = device_of("disk0")->blkif.requests;
    before[1] = device_of("disk1")->blkif.requests;
    pvfront_push(&front, 0);
    pvfront_push(&other, 0);
    for (u32 i = 0; i < 3; i++) {
        (void)turn_poll(&turn, BUDGET);
    }
    after[0] = device_of("disk0")->blkif.requests - before[0];
    after[1] = device_of("disk1")->blkif.requests - before[1];
    assert_int_equal(after[1], 3 * BUDGET / 2);
    assert_int_equal(after[0] + greedy.units, after[1]);
    assert_in_range(after[0], 3 * BUDGET / 4 - 2, 3 * BUDGET / 4 + 2);
    assert_int_equal(turn.shares.active[0]->units, turn.shares.active[1]->units);
    assert_int_equal(turn.shares.active[0]->turns, turn.shares.active[1]->turns);
    device->vdev->ops = &no_ops;
    attach_backend_ops.detach(&attach, device);
    pvfront_disk_force(7, DEVID);
    pvfront_disk_force(8, DEVID);
    for (u32 i = 0; i < 8; i++) {
        run();
    }
    assert_int_equal(turn.shares.count, 0);
    assert_int_equal(fake_ports_open(), 0);
}

/* A quiet disk costs its guest nothing: the busy one has the whole share. */
static void a_device_that_wants_nothing_leaves_its_part_to_the_others(void **state)
{
    struct device *busy, *quiet;

    (void)state;
    memset(&greedy, 0, sizeof(greedy));
    assert_non_null(fake_guest_make(7, 1, MIB(2)));
    quiet = greedy_make(7, 0, "disk0");
    quiet->vdev->queue[0].resting = true;
    busy = greedy_make(7, 1, "disk1");
    for (u32 i = 0; i < 10; i++) {
        assert_int_equal(turn_poll(&turn, BUDGET), BUDGET);
    }
    assert_int_equal(greedy.units, 10 * BUDGET);
    assert_int_equal(busy->member.share->units, greedy.units);
    busy->vdev->ops = quiet->vdev->ops = &no_ops;
    attach_backend_ops.detach(&attach, busy);
    attach_backend_ops.detach(&attach, quiet);
    assert_int_equal(turn.shares.count, 0);
}

/* 100 requests a second, from a guest that always has more; its other disk has none of that. */
static void a_limited_disk_keeps_to_its_rate_and_the_guests_other_disk_does_not(void **state)
{
    static struct pvfront front;
    struct backend_limits limits = {100, BACKEND_LIMIT_UNSAID, 10};
    struct pv_device *device;
    struct pvfront_answer answer;
    u64 done = 0, start_ns;

    (void)state;
    memset(&greedy, 0, sizeof(greedy));
    flood(&front, 7, DEVID, "disk0");
    device = device_of("disk0");
    pv_backend_ops.limit(&pv, device, &limits);
    pvfront_push(&front, 0);
    start_ns = port_host_now_ns;
    while (port_host_now_ns < start_ns + UINT64_C(10000000000)) {
        poll_step(&loop); /* sleeps up to the deadline */
        while (pvfront_take(&front, 0, &answer)) {
            assert_int_equal(answer.status, BLKIF_RSP_OKAY);
            pvfront_put(&front, 0, BLKIF_OP_READ, done++, 0, 0, 1);
            pvfront_push(&front, 0);
        }
    }
    assert_in_range(done, 1000, 1002);
    assert_true(device->limit.rests >= 990);
    assert_true(loop.sleeps >= 990); /* nobody spins for it */
    assert_true(loop.turns < 20 * done);
    /* Neither does a disk of virtio beside it wait. */
    (void)greedy_make(7, 1, "disk1");
    for (u32 i = 0; i < 100; i++) {
        (void)poll_once(&loop);
    }
    assert_true(greedy.units >= 99 * BUDGET);
}

static void a_virtio_disk_rests_until_it_has_tokens(void **state)
{
    struct backend_limits limits = {1000, 0, 1};
    struct device *device;
    u64 start_ns;

    (void)state;
    memset(&greedy, 0, sizeof(greedy));
    assert_non_null(fake_guest_make(7, 1, MIB(2)));
    device = greedy_make(7, 0, "disk0");
    device->vdev->ops = &counting_ops;
    attach_backend_ops.limit(&attach, device, &limits);
    start_ns = port_host_now_ns;
    while (port_host_now_ns < start_ns + UINT64_C(1000000000)) {
        (void)poll_once(&loop);
        if (device->vdev->queue[0].resting) {
            assert_false(loop.poller[1].arm(&turn));
            assert_true(loop.poller[1].deadline_ns(&turn) > port_host_now_ns);
            assert_true(loop.poller[1].deadline_ns(&turn) <= port_host_now_ns + 1000001);
            loop.poller[1].disarm(&turn);
            port_host_now_ns = loop.poller[1].deadline_ns(&turn);
        }
    }
    assert_in_range(greedy.units, 1000, 1002);
    limits.iops = 0;
    attach_backend_ops.limit(&attach, device, &limits);
    assert_int_equal(poll_once(&loop), BUDGET);
    device->vdev->ops = &no_ops;
    attach_backend_ops.detach(&attach, device);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_kinds_of_a_guest_divide_its_share),
        TEST(a_limited_disk_keeps_to_its_rate_and_the_guests_other_disk_does_not),
        TEST(a_virtio_disk_rests_until_it_has_tokens),
        TEST(a_device_that_wants_nothing_leaves_its_part_to_the_others),
    };

    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
