/* SPDX-License-Identifier: BSD-2-Clause */
/* test_attach.c - guests and their devices come and go, on a fake Xen; nothing is left behind. */
#include "start/attach.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/extregion.h"
#include "drivers/xen/xen_abi.h"
#include "start/random.h"
#include "start/turn.h"
#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define DOMID 7
#define BASE  UINT64_C(0x02000000)

static struct attach attach;
static struct turn turn;
static struct poll_loop loop;
static struct disks disks;
static struct fake_guest *guest;
static u8 memory[SECTOR_BYTES * 8];

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
    assert_int_equal(gmem_foreign_init(), ST_OK);
    guest = fake_guest_make(DOMID, 1, MIB(4));
    memset(&disks, 0, sizeof(disks));
    disks.count = 1;
    memcpy(disks.disk[0].name, "data", 5);
    ramdisk_init(&disks.disk[0].ram, "data", memory, sizeof(memory), false);
    turn = (struct turn){.attach = &attach};
    attach_init(&attach, &disks, &turn.shares);
    poll_init(&loop, 0);
    turn_add_pollers(&turn, &loop);
    return 0;
}

static enum status ask(u32 type, u32 devid, const char *target, void **handle)
{
    struct backend_request request = {
        .domid = DOMID,
        .devid = devid,
        .device_type = type,
        .mmio_base = BASE + (u64)devid * VMMIO_BYTES,
        .irq = 33 + devid,
    };

    memcpy(request.target, target, strlen(target) + 1);
    return attach_backend_ops.attach(&attach, &request, handle);
}

/** What the guest reads in a register of its device. */
static u32 reg_read(u32 devid, u32 reg)
{
    u64 data = 0;

    assert_true(fake_guest_access(guest, 0, BASE + (u64)devid * VMMIO_BYTES + reg, 4, false, 0));
    poll_once(&loop);
    assert_true(fake_guest_resume(guest, 0, &data));
    return (u32)data;
}

static void nothing_left(void)
{
    assert_int_equal(attach.active_count, 0);
    assert_int_equal(attach.serving_count, 0);
    assert_int_equal(turn.shares.count, 0);
    assert_int_equal(attach.pool.in_flight, 0);
    assert_int_equal(disks.disk[0].writers, 0);
    assert_int_equal(disks.disk[0].readers, 0);
    assert_int_equal(fake_ports_open(), 0);
    assert_int_equal(fake_pages_foreign(), 0);
    assert_int_equal(fake_servers(), 0);
}

static void a_device_answers_from_the_moment_it_is_attached(void **state)
{
    void *handle;

    (void)state;
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    assert_int_equal(reg_read(0, REG_DEVICE_ID), VIRTIO_ID_BLOCK);
    assert_int_equal(disks.disk[0].writers, 1);
    assert_true(attach_backend_ops.alive(&attach, handle));
    attach_backend_ops.detach(&attach, handle);
    assert_int_equal(attach.attached, 1);
    assert_int_equal(attach.detached, 1);
    nothing_left();
}

static void an_unknown_type_is_refused_with_the_list_of_those_served(void **state)
{
    void *handle;

    (void)state;
    assert_int_equal(ask(0x22, 0, "", &handle), ST_NOSUP);
    assert_true(said("virtio device type 22 is not served here; served are: 2 (block), "));
    assert_int_equal(attach.refused, 1);
    nothing_left();
}

static void an_entropy_device_needs_a_good_seed(void **state)
{
    static const u8 seed[32] = {1, 2, 3};
    void *handle, *disk;

    (void)state;
    random_init();
    assert_int_equal(ask(VIRTIO_ID_ENTROPY, 0, "", &handle), ST_NOSUP);
    assert_true(said("dom7/0: no entropy device: this domain's seeds are worth 0 of 256 bits; "
                     "give its bootargs seed="));
    nothing_left();
    random_add(seed, sizeof(seed), 256);
    assert_int_equal(ask(VIRTIO_ID_ENTROPY, 0, "", &handle), ST_OK);
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 1, "data", &disk), ST_OK);
    assert_int_equal(reg_read(0, REG_DEVICE_ID), VIRTIO_ID_ENTROPY);
    assert_int_equal(reg_read(1, REG_DEVICE_ID), VIRTIO_ID_BLOCK);
    attach_backend_ops.detach(&attach, handle);
    assert_int_equal(reg_read(1, REG_DEVICE_ID), VIRTIO_ID_BLOCK);
    attach_backend_ops.detach(&attach, disk);
    nothing_left();
}

/* The toolstack may write limits for any device, and an entropy device lies where a disk lay. */
static void only_disks_have_limits(void **state)
{
    static const u8 seed[32] = {1, 2, 3};
    const struct backend_limits limits = {.iops = 10, .bytes = 0, .burst_ms = 100};
    struct device *device;
    void *handle;

    (void)state;
    random_add(seed, sizeof(seed), 256);
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    device = handle;
    attach_backend_ops.limit(&attach, handle, &limits);
    assert_true(device->limit.on);
    attach_backend_ops.detach(&attach, handle);
    assert_int_equal(ask(VIRTIO_ID_ENTROPY, 0, "", &handle), ST_OK);
    assert_ptr_equal(handle, device);
    assert_false(device->limit.on);
    device->disk = NULL;
    attach_backend_ops.limit(&attach, handle, &limits);
    assert_false(device->limit.on);
    attach_backend_ops.detach(&attach, handle);
    nothing_left();
}

/** A device that rests wakes the loop when its time comes. */
static void the_loop_sleeps_until_the_first_rest_is_over(void **state)
{
    static const u8 seed[32] = {1, 2, 3};
    void *handle;

    (void)state;
    random_add(seed, sizeof(seed), 256);
    assert_int_equal(ask(VIRTIO_ID_ENTROPY, 0, "", &handle), ST_OK);
    assert_true(loop.poller[1].deadline_ns(&turn) == POLL_NEVER);
    /* It began to rest in a turn of its own. */
    attach.active[0]->vdev->wake_ns = port_host_now_ns + 1000;
    attach.walk = true;
    poll_once(&loop);
    assert_int_equal(loop.poller[1].deadline_ns(&turn), port_host_now_ns + 1000);
    poll_once(&loop);
    assert_true(attach.active[0]->vdev->wake_ns != 0); /* not before */
    port_host_now_ns += 1000;
    poll_once(&loop);
    assert_int_equal(attach.active[0]->vdev->wake_ns, 0); /* it had its turn */
    attach_backend_ops.detach(&attach, handle);
    nothing_left();
}

static void a_refused_device_leaves_the_guest_as_it_was(void **state)
{
    void *handle, *lost;

    (void)state;
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "nosuch", &lost), ST_NOENT);
    assert_true(said("there is no disk 'nosuch' here; target= may be: data"));
    nothing_left();
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 1, "data", &lost), ST_ACCES);
    /* The device that is there serves on. */
    assert_int_equal(attach.serving_count, 1);
    assert_int_equal(reg_read(0, REG_DEVICE_ID), VIRTIO_ID_BLOCK);
    attach_backend_ops.detach(&attach, handle);
    nothing_left();
}

static void a_window_that_is_refused_gives_the_disk_back(void **state)
{
    void *handle;

    (void)state;
    fake_xen_fail_op(__HYPERVISOR_dm_op, XEN_DMOP_map_io_range_to_ioreq_server, -28);
    assert_int_not_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    assert_true(said("cannot claim the register window"));
    nothing_left();
}

/* Whoever uses the disk reads its new size, under a new generation. */
static void a_disk_that_changes_its_size_is_told_to_its_guests(void **state)
{
    u32 generation;
    void *handle;

    (void)state;
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    generation = reg_read(0, REG_CONFIG_GENERATION);
    assert_int_equal(reg_read(0, REG_CONFIG), 8);
    assert_int_equal(ramdisk_resize(&disks.disk[0].ram, SECTOR_BYTES), ST_OK);
    assert_int_equal(attach_disk_resized(&attach, &disks.disk[0]), 1);
    assert_int_equal(reg_read(0, REG_CONFIG), 1);
    assert_int_not_equal(reg_read(0, REG_CONFIG_GENERATION), generation);
    assert_int_equal(attach_disk_resized(&attach, &disks.disk[1]), 0);
    attach_backend_ops.detach(&attach, handle);
    assert_int_equal(attach_disk_resized(&attach, &disks.disk[0]), 0);
}

/** A class that counts its turns, and keeps as many requests in flight as it is told. */
static struct {
    u32 turns;
    u16 keep;
} counted;

static u32 counted_poll(struct vdev *dev, u32 budget)
{
    struct virtq *vq = &dev->queue[0].vq;

    (void)budget;
    counted.turns++;
    vq->next = load_u16(vq->look_at);
    vq->used_next = (u16)(vq->next - counted.keep);
    return 1;
}

static u32 turns_of(u32 turns)
{
    counted.turns = 0;
    for (u32 i = 0; i < turns; i++) {
        (void)poll_once(&loop);
    }
    return counted.turns;
}

static void a_device_has_turns_while_it_has_chains_or_requests_in_flight(void **state)
{
    static const struct vdev_ops ops = {.poll = counted_poll}, none;
    struct device *device;
    void *handle;
    u8 avail_idx[2] = {0, 0};

    (void)state;
    assert_int_equal(ask(VIRTIO_ID_BLOCK, 0, "data", &handle), ST_OK);
    device = handle;
    assert_int_equal(attach.watch.count, device->vdev->queue_count);
    device->vdev->ops = &ops;
    device->vdev->queue[0].vq.look_at = avail_idx;
    device->vdev->queue[0].vq.look_mask = UINT16_MAX;
    assert_int_equal(turns_of(3), 0);
    avail_idx[0] = 1;
    counted.keep = 1;
    assert_int_equal(turns_of(3), 3); /* nothing waits any more, but the medium has it */
    counted.keep = 0;
    assert_int_equal(turns_of(3), 1);
    device->vdev->ops = &none;
    attach_backend_ops.detach(&attach, handle);
    assert_int_equal(attach.watch.count, 0);
    nothing_left();
}

static enum status ask_granted(u32 devid, void **handle)
{
    struct backend_request request = {
        .domid = DOMID,
        .devid = devid,
        .device_type = VIRTIO_ID_BLOCK,
        .mmio_base = BASE + (u64)devid * VMMIO_BYTES,
        .irq = 33 + devid,
        .target = "data",
        .grants = true,
        .read_only = devid > 0,
    };

    return attach_backend_ops.attach(&attach, &request, handle);
}

/** grant_usage=1: the driver may name memory by grants; other devices of the guest are as ever. */
static void only_a_device_with_grants_offers_access_platform(void **state)
{
    const u64 bit = BIT64(VIRTIO_F_ACCESS_PLATFORM);
    struct backend_request plain = {.domid = DOMID,
                                    .devid = 2,
                                    .device_type = VIRTIO_ID_BLOCK,
                                    .mmio_base = BASE + 2 * VMMIO_BYTES,
                                    .irq = 35,
                                    .target = "data",
                                    .read_only = true};
    void *handle[3];
    u64 data;

    (void)state;
    assert_int_equal(ask_granted(0, &handle[0]), ST_FULL);
    assert_true(said("give the device grant_usage=0"));
    nothing_left();
    assert_int_equal(gmem_grants_init(), ST_OK);
    disks.disk[0].shared = true;
    for (u32 i = 0; i < 2; i++) {
        assert_int_equal(ask_granted(i, &handle[i]), ST_OK);
        assert_true(((struct device *)handle[i])->vdev->offered & bit);
    }
    assert_int_equal(attach_backend_ops.attach(&attach, &plain, &handle[2]), ST_OK);
    assert_false(((struct device *)handle[2])->vdev->offered & bit);
    fake_guest_ioreq(guest, 0, &(struct fake_ioreq){.type = IOREQ_TYPE_INVALIDATE, .size = 4});
    poll_once(&loop);
    assert_true(fake_guest_resume(guest, 0, &data));
    for (u32 i = 0; i < 3; i++) {
        attach_backend_ops.detach(&attach, handle[i]);
    }
    nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_device_answers_from_the_moment_it_is_attached, fresh),
        cmocka_unit_test_setup(an_unknown_type_is_refused_with_the_list_of_those_served, fresh),
        cmocka_unit_test_setup(an_entropy_device_needs_a_good_seed, fresh),
        cmocka_unit_test_setup(only_disks_have_limits, fresh),
        cmocka_unit_test_setup(the_loop_sleeps_until_the_first_rest_is_over, fresh),
        cmocka_unit_test_setup(a_refused_device_leaves_the_guest_as_it_was, fresh),
        cmocka_unit_test_setup(a_window_that_is_refused_gives_the_disk_back, fresh),
        cmocka_unit_test_setup(a_disk_that_changes_its_size_is_told_to_its_guests, fresh),
        cmocka_unit_test_setup(only_a_device_with_grants_offers_access_platform, fresh),
        cmocka_unit_test_setup(a_device_has_turns_while_it_has_chains_or_requests_in_flight, fresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
