/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_pv.c - guests use disks over PV block, from libxl's first key to the last page given back,
 * on a Xen without ioreq servers.
 */
#include "start/pv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/hypercall.h"
#include "drivers/xen/xs.h"
#include "start/turn.h"
#include "tests/fake/port_host.h"
#include "tests/fake/pvfront.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#include <xen/io/blkif.h>

#define DOMID      7
#define DEVID      51712
#define DISK_BYTES MIB(1)

static struct pv pv;
static struct attach attach; /* has nothing to do */
static struct turn turn;
static struct disks disks;
static struct xs xs;
static struct backend be;
static struct pvfront front;
static struct fake_guest *guest;
static u8 memory[2][DISK_BYTES] __attribute__((aligned(4096)));
static u8 seg_page[4096] __attribute__((aligned(4096)));

static void pv_begin(bool room)
{
    turn = (struct turn){.attach = &attach, .pv = &pv};
    attach_init(&attach, &disks, &turn.shares);
    pv_init(&pv, &(struct pv_init){
                     .disks = &disks,
                     .be = &be,
                     .shares = &turn.shares,
                     .seg_page = seg_page,
                     .room = room,
                 });
}

static int fresh(void **state)
{
    static const char names[2][8] = {"data", "more"};
    struct extregion_range region;
    u64 gpa;

    (void)state;
    said_reset();
    fake_xen_reset(FAKE_NO_IOREQ);
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(extregion_alloc(4096, 4096, &gpa), ST_OK);
    assert_int_equal(evtchn_init(gpa), ST_OK);
    assert_int_equal(grant_pages_init(), ST_OK);
    memset(&disks, 0, sizeof(disks));
    memset(memory, 0, sizeof(memory));
    disks.count = 2;
    for (u32 i = 0; i < 2; i++) {
        struct disk *disk = &disks.disk[i];

        memcpy(disk->name, names[i], sizeof(names[i]));
        disk->queues = 8; /* more than a PV front end may use */
        disk->source = DISK_ZEROES;
        ramdisk_init(&disk->ram, disk->name, memory[i], DISK_BYTES / 2, false);
        ramdisk_reserve(&disk->ram, DISK_BYTES);
    }
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    backend_init(&be, &xs, NULL, NULL);
    pv_begin(true);
    guest = fake_guest_make(DOMID, 1, PVFRONT_GUEST_BYTES);
    return 0;
}

static void run(void)
{
    for (u32 i = 0; i < 500; i++) {
        port_host_now_ns += BACKEND_HOLD_NS / 20;
        (void)turn_poll(&turn, 64);
        (void)xs_poll(&xs, 16);
        (void)backend_poll(&be, 16);
        fake_xs_step();
    }
}

static const char *key(const char *name)
{
    return pvfront_key(DOMID, DEVID, name);
}

static void connect_to(const char *target, u32 rings, u32 order, bool persistent)
{
    pvfront_open(&front, guest, DEVID, rings, order, persistent);
    pvfront_disk_make(DOMID, DEVID, target, "w");
    run();
    assert_string_equal(key("state"), "2");
    pvfront_join(&front);
    run();
    assert_string_equal(key("state"), "4");
}

static void nothing_is_held(void)
{
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(fake_grants_mapped(), 0);
    assert_int_equal(fake_ports_open(), 0);
    assert_int_equal(pv.pool.in_flight, 0);
}

/** libxl ends the disk by force, and nothing is left. */
static void end(void)
{
    pvfront_disk_force(DOMID, DEVID);
    for (u32 i = 0; i < 8; i++) {
        run();
    }
    assert_string_equal(key("state"), "gone");
    assert_int_equal(pv.active_count, 0);
    assert_int_equal(turn.shares.count, 0);
    assert_int_equal(pv.attached, pv.detached);
    assert_int_equal(disks.disk[0].writers, 0);
    nothing_is_held();
}

static void expect(u32 ring, u64 id, s16 status)
{
    struct pvfront_answer answer = {0};

    assert_true(pvfront_take(&front, ring, &answer));
    assert_int_equal(answer.id, id);
    assert_int_equal(answer.status, status);
}

/** Write count pages at every ring's own place, read them back elsewhere. */
static void write_and_read(u32 ring, u32 count)
{
    u64 sector = 8 * (u64)(ring * 11 + 1);

    for (u32 i = 0; i < count; i++) {
        memset(pvfront_page(&front, i), (int)(ring * 50 + i + 1), 4096);
        memset(pvfront_page(&front, 100 + i), 0xee, 4096);
    }
    pvfront_put(&front, ring, BLKIF_OP_WRITE, 1, sector, 0, count);
    pvfront_push(&front, ring);
    (void)turn_poll(&turn, 64);
    expect(ring, 1, BLKIF_RSP_OKAY);
    assert_memory_equal(memory[0] + sector * 512, pvfront_page(&front, 0), (usize)count * 4096);
    pvfront_put(&front, ring, BLKIF_OP_READ, 2, sector, 100, count);
    pvfront_push(&front, ring);
    (void)turn_poll(&turn, 64);
    expect(ring, 2, BLKIF_RSP_OKAY);
    assert_memory_equal(pvfront_page(&front, 100), pvfront_page(&front, 0), (usize)count * 4096);
}

/* No right is needed, and nothing is asked of the device model interface. */
static void a_guest_writes_and_reads_back_without_any_privilege(void **state)
{
    static const struct {
        u32 rings, order;
        bool persistent;
    } ways[] = {{1, 0, false}, {1, 0, true}, {4, 2, false}, {4, 2, true}, {2, 1, true}};
    u64 dm = hypercall_count[HC_DM];

    for (u32 i = 0; i < ARRAY_LEN(ways); i++) {
        (void)fresh(state);
        connect_to("data", ways[i].rings, ways[i].order, ways[i].persistent);
        for (u32 q = 0; q < ways[i].rings; q++) {
            write_and_read(q, 11);
        }
        assert_int_equal(pv.active[0]->blkif.requests, 2 * ways[i].rings);
        assert_true(guest->front_port[0].events > 0);
        end();
    }
    assert_int_equal(hypercall_count[HC_DM], dm);
}

static void the_directory_says_what_is_offered_and_what_the_disk_is(void **state)
{
    (void)state;
    connect_to("data", 1, 0, true);
    assert_string_equal(key("feature-persistent"), "1");
    assert_string_equal(key("feature-max-indirect-segments"), "32");
    assert_string_equal(key("max-ring-page-order"), "2");
    assert_string_equal(key("multi-queue-max-queues"), "4");
    assert_string_equal(key("feature-flush-cache"), "1");
    assert_string_equal(key("feature-barrier"), "1");
    assert_string_equal(key("feature-discard"), "1");
    assert_string_equal(key("discard-secure"), "1");
    assert_string_equal(key("sectors"), "1024");
    assert_string_equal(key("sector-size"), "512");
    assert_string_equal(key("physical-sector-size"), "4096");
    assert_string_equal(key("info"), "0");
    end();
}

static void a_reader_is_offered_nothing_that_writes(void **state)
{
    (void)state;
    pvfront_open(&front, guest, DEVID, 1, 0, false);
    pvfront_disk_make(DOMID, DEVID, "data", "r");
    run();
    pvfront_join(&front);
    run();
    assert_string_equal(key("info"), "4");
    assert_string_equal(key("feature-flush-cache"), "gone");
    assert_string_equal(key("feature-barrier"), "gone");
    assert_string_equal(key("feature-discard"), "gone");
    pvfront_put(&front, 0, BLKIF_OP_WRITE, 1, 0, 0, 1);
    memset(pvfront_page(&front, 0), 9, 4096);
    pvfront_push(&front, 0);
    (void)turn_poll(&turn, 64);
    expect(0, 1, BLKIF_RSP_ERROR);
    assert_int_equal(memory[0][0], 0);
    end();
}

static void put_discard(u64 sectors)
{
    u32 at = front.prod[0] & 31;
    u8 *entry = (u8 *)(void *)pvfront_index(&front, 0, 0) + 64 + (usize)at * 112;

    pvfront_put(&front, 0, BLKIF_OP_DISCARD, 3, 0, 0, 0);
    memcpy(entry + 24, &sectors, 8);
    pvfront_push(&front, 0);
}

/* discard-enable = 0: the toolstack wants none. */
static void no_discard_is_offered_or_done_when_the_toolstack_says_so(void **state)
{
    (void)state;
    pvfront_open(&front, guest, DEVID, 1, 0, false);
    pvfront_disk_make(DOMID, DEVID, "data", "w");
    pvfront_key_set(DOMID, DEVID, "discard-enable", "0");
    run();
    assert_string_equal(key("feature-discard"), "gone");
    pvfront_join(&front);
    run();
    memset(memory[0], 1, 512);
    put_discard(8);
    (void)turn_poll(&turn, 64);
    expect(0, 3, BLKIF_RSP_EOPNOTSUPP);
    assert_int_equal(memory[0][0], 1);
    end();
}

static void a_turn_costs_one_hypercall_for_copies_and_none_for_grants_that_stay(void **state)
{
    (void)state;
    for (u32 persistent = 0; persistent < 2; persistent++) {
        u64 before;

        (void)fresh(state);
        connect_to("data", 1, 0, persistent);
        for (u32 round = 0; round < 2; round++) {
            before = hypercall_count[HC_GNTTAB];
            for (u32 i = 0; i < 32; i++) {
                pvfront_put(&front, 0, BLKIF_OP_WRITE, i, 8 * (u64)i, i, 1);
            }
            pvfront_push(&front, 0);
            (void)turn_poll(&turn, 64);
            for (u32 i = 0; i < 32; i++) {
                expect(0, i, BLKIF_RSP_OKAY);
            }
        }
        assert_int_equal(hypercall_count[HC_GNTTAB] - before, persistent ? 0 : 1);
        assert_int_equal(fake_grants_mapped(), persistent ? 33 : 1);
        end();
    }
}

/* One event for a batch, and none that was not asked for. */
static void events_are_sent_per_batch_as_asked(void **state)
{
    u32 events;

    (void)state;
    connect_to("data", 1, 0, false);
    events = guest->front_port[0].events;
    for (u32 i = 0; i < 8; i++) {
        pvfront_put(&front, 0, BLKIF_OP_READ, i, 0, i, 1);
    }
    pvfront_push(&front, 0);
    (void)turn_poll(&turn, 64);
    assert_int_equal(guest->front_port[0].events, events + 1);
    pvfront_put(&front, 0, BLKIF_OP_READ, 9, 0, 9, 1); /* rsp_event stands where it stood */
    pvfront_push(&front, 0);
    (void)turn_poll(&turn, 64);
    assert_int_equal(guest->front_port[0].events, events + 1);
    end();
}

/* Arm, then look: a request or an event that comes in between ends the sleep. */
static void no_kick_is_lost_before_a_sleep(void **state)
{
    struct pv_device *device;

    (void)state;
    connect_to("data", 2, 0, false);
    device = pv.active[0];
    (void)pv_arm(&pv); /* what was pending since the port was bound is taken */
    pv_disarm(&pv);
    assert_false(pv_arm(&pv));
    assert_int_equal(*pvfront_index(&front, 0, 1), 1); /* req_event: the next request */
    fake_event(device->port[1]);
    assert_true(fake_upcall_pending());
    evtchn_drain();
    pv_disarm(&pv);
    assert_int_equal(device->kicks, 3); /* two of binding */
    assert_false(pv_arm(&pv));
    pvfront_put(&front, 1, BLKIF_OP_READ, 1, 0, 0, 1);
    pvfront_push(&front, 1);
    assert_true(pv_arm(&pv));
    pv_disarm(&pv);
    end();
}

static void what_cannot_be_served_is_told_why_and_leaves_nothing(void **state)
{
    static const struct {
        const char *key, *value, *words;
    } table[] = {
        {"ring-ref", "4000", "the pages of a ring cannot be mapped"},
        {"event-channel", "55", "cannot bind a port"},
        {"protocol", "m68k-abi", "its protocol is not known here"},
        {"multi-queue-num-queues", "3", "is missing or makes no sense"},
    };

    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        (void)fresh(state);
        pvfront_open(&front, guest, DEVID, 1, 0, true);
        pvfront_disk_make(DOMID, DEVID, "data", "w");
        run();
        pvfront_join(&front);
        pvfront_say(&front, table[i].key, table[i].value);
        run();
        assert_string_equal(key("state"), "5");
        assert_true(said(table[i].words));
        nothing_is_held();
        end();
    }
}

static void more_rings_than_were_offered_are_refused(void **state)
{
    (void)state;
    disks.disk[0].queues = 2;
    pvfront_open(&front, guest, DEVID, 3, 0, true);
    pvfront_disk_make(DOMID, DEVID, "data", "w");
    run();
    assert_string_equal(key("multi-queue-max-queues"), "2");
    pvfront_join(&front);
    run();
    assert_string_equal(key("state"), "5");
    assert_true(said("it has more rings than were offered"));
    nothing_is_held();
    end();
}

static void a_ring_of_nonsense_is_not_connected(void **state)
{
    (void)state;
    pvfront_open(&front, guest, DEVID, 2, 0, true);
    *pvfront_index(&front, 1, 0) = 1000;
    pvfront_disk_make(DOMID, DEVID, "data", "w");
    run();
    pvfront_join(&front);
    run();
    assert_string_equal(key("state"), "5");
    nothing_is_held();
    end();
}

static void a_disk_that_is_not_there_or_in_use_is_refused_with_a_sentence(void **state)
{
    (void)state;
    pvfront_disk_make(DOMID, DEVID, "nosuch", "w");
    run();
    assert_string_equal(key("state"), "1");
    assert_true(said("there is no disk 'nosuch' here; target= may be: data, more"));
    disks.disk[0].writers = 1;
    pvfront_disk_make(DOMID, DEVID + 16, "data", "w");
    run();
    assert_true(said("disk 'data' is in use by another guest"));
    disks.disk[0].writers = 0;
    assert_int_equal(pv.refused, 2);
    assert_int_equal(pv.active_count, 0);
}

static void without_address_space_disks_are_refused_with_a_sentence(void **state)
{
    (void)state;
    pv_begin(false);
    pvfront_disk_make(DOMID, DEVID, "data", "w");
    run();
    assert_string_equal(key("state"), "1");
    assert_true(said("no room to map grants"));
}

static void larger_blocks_are_refused_with_the_cure(void **state)
{
    (void)state;
    disks.disk[0].ram.bdev.info.logical_block_bytes = 4096;
    pvfront_disk_make(DOMID, DEVID, "data", "w");
    run();
    assert_true(said("use specification=virtio"));
    assert_int_equal(disks.disk[0].writers, 0);
}

/* Its pages and ports go with it, whatever it had in flight. */
static void a_guest_that_dies_is_let_go(void **state)
{
    for (u32 persistent = 0; persistent < 2; persistent++) {
        (void)fresh(state);
        connect_to("data", 4, 2, persistent);
        write_and_read(0, 11);
        put_discard(DISK_BYTES / 512 / 2);
        fake_guest_kill(guest);
        assert_false(fake_guest_gone(guest)); /* we hold its rings */
        for (u32 i = 0; i < 8; i++) {
            port_host_now_ns += BACKEND_PROBE_NS;
            run();
        }
        assert_true(fake_guest_gone(guest));
        nothing_is_held();
        end(); /* the disk itself is the toolstack's to take away */
    }
}

static void what_is_with_the_medium_ends_before_the_disk_is_anybody_elses(void **state)
{
    (void)state;
    connect_to("data", 1, 0, false);
    memset(memory[0], 1, DISK_BYTES / 2);
    put_discard(DISK_BYTES / 512 / 2); /* longer than a slice: it stays for some turns */
    (void)turn_poll(&turn, 64);
    assert_int_equal(pv.pool.in_flight, 1);
    pvfront_disk_force(DOMID, DEVID);
    end();
    assert_int_equal(disks.disk[0].ram.bdev.in_flight, 0);
    connect_to("data", 1, 0, false);
    write_and_read(0, 3);
    end();
}

static void a_discard_of_the_whole_disk_is_answered(void **state)
{
    (void)state;
    connect_to("data", 1, 0, true);
    memset(memory[0], 1, DISK_BYTES / 2);
    put_discard(DISK_BYTES / 512 / 2);
    run();
    expect(0, 3, BLKIF_RSP_OKAY);
    assert_int_equal(memory[0][0], 0);
    assert_int_equal(memory[0][DISK_BYTES / 2 - 1], 0);
    end();
}

static void a_grant_that_is_taken_back_costs_its_request(void **state)
{
    for (u32 persistent = 0; persistent < 2; persistent++) {
        (void)fresh(state);
        connect_to("data", 1, 0, persistent);
        pvfront_grant(&front, 5)->valid = false;
        pvfront_put(&front, 0, BLKIF_OP_WRITE, 1, 0, 4, 3);
        pvfront_put(&front, 0, BLKIF_OP_WRITE, 2, 0, 8, 3);
        pvfront_push(&front, 0);
        (void)turn_poll(&turn, 64);
        expect(0, 1, BLKIF_RSP_ERROR);
        expect(0, 2, BLKIF_RSP_OKAY);
        assert_true(said("is not granted to us"));
        end();
    }
}

static void a_disk_that_grows_is_told_to_its_guests(void **state)
{
    struct disk *disk;
    char why[CONFIG_WHY_MAX];

    (void)state;
    connect_to("data", 1, 0, true);
    assert_int_equal(disks_resize(&disks, "data", DISK_BYTES, &disk, why), ST_OK);
    assert_int_equal(pv_disk_resized(&pv, disk), 1);
    assert_int_equal(pv_disk_resized(&pv, &disks.disk[1]), 0);
    run();
    assert_string_equal(key("sectors"), "2048");
    assert_string_equal(key("state"), "4");
    pvfront_put(&front, 0, BLKIF_OP_WRITE, 1, 2040, 0, 1);
    pvfront_push(&front, 0);
    (void)turn_poll(&turn, 64);
    expect(0, 1, BLKIF_RSP_OKAY);
    end();
}

/* 100 times: module unload and load in the guest. */
static void a_front_end_comes_back_a_hundred_times(void **state)
{
    (void)state;
    connect_to("data", 2, 1, true);
    for (u32 i = 0; i < 100; i++) {
        write_and_read(i % 2, 5);
        pvfront_state(&front, 5);
        run();
        pvfront_state(&front, 6);
        run();
        assert_string_equal(key("state"), "6");
        nothing_is_held();
        pvfront_open(&front, guest, DEVID, 1 + i % 4, i % 3, i % 2);
        pvfront_say(&front, "multi-queue-num-queues", NULL);
        pvfront_say(&front, "ring-page-order", NULL);
        pvfront_state(&front, 1);
        run();
        pvfront_join(&front);
        run();
        assert_string_equal(key("state"), "4");
        write_and_read(0, 3);
        if (i % 4 == 0) { /* the ring that the next round uses */
            front.rings = 2;
            pvfront_state(&front, 6);
            run();
            pvfront_open(&front, guest, DEVID, 2, 1, true);
            pvfront_state(&front, 1);
            run();
            pvfront_join(&front);
            run();
        }
    }
    end();
}

/* With equal load the turns are equal, whoever came first. */
static void two_guests_get_equal_turns(void **state)
{
    struct fake_guest *neighbour;
    struct pvfront other;
    u64 requests[2];

    (void)state;
    connect_to("data", 1, 2, true);
    neighbour = fake_guest_make(8, 1, PVFRONT_GUEST_BYTES);
    pvfront_open(&other, neighbour, DEVID, 1, 2, false);
    pvfront_disk_make(8, DEVID, "more", "w");
    run();
    pvfront_join(&other);
    run();
    for (u32 i = 0; i < 100; i++) {
        pvfront_put(&front, 0, BLKIF_OP_READ, i, 0, 0, 1);
        pvfront_put(&other, 0, BLKIF_OP_READ, i, 0, 0, 1);
    }
    pvfront_push(&front, 0);
    pvfront_push(&other, 0);
    for (u32 round = 1; round <= 3; round++) {
        (void)turn_poll(&turn, 64);
        for (u32 k = 0; k < 2; k++) {
            requests[k] = pv.active[k]->blkif.requests;
        }
        assert_int_equal(requests[0], requests[1]);
        assert_int_equal(requests[0], 32 * round);
    }
    pvfront_disk_force(8, DEVID);
    end();
}

#define TEST(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_guest_writes_and_reads_back_without_any_privilege),
        TEST(the_directory_says_what_is_offered_and_what_the_disk_is),
        TEST(a_reader_is_offered_nothing_that_writes),
        TEST(no_discard_is_offered_or_done_when_the_toolstack_says_so),
        TEST(a_turn_costs_one_hypercall_for_copies_and_none_for_grants_that_stay),
        TEST(events_are_sent_per_batch_as_asked),
        TEST(no_kick_is_lost_before_a_sleep),
        TEST(what_cannot_be_served_is_told_why_and_leaves_nothing),
        TEST(more_rings_than_were_offered_are_refused),
        TEST(a_ring_of_nonsense_is_not_connected),
        TEST(a_disk_that_is_not_there_or_in_use_is_refused_with_a_sentence),
        TEST(without_address_space_disks_are_refused_with_a_sentence),
        TEST(larger_blocks_are_refused_with_the_cure),
        TEST(a_guest_that_dies_is_let_go),
        TEST(what_is_with_the_medium_ends_before_the_disk_is_anybody_elses),
        TEST(a_discard_of_the_whole_disk_is_answered),
        TEST(a_grant_that_is_taken_back_costs_its_request),
        TEST(a_disk_that_grows_is_told_to_its_guests),
        TEST(a_front_end_comes_back_a_hundred_times),
        TEST(two_guests_get_equal_turns),
    };

    return cmocka_run_group_tests_name("pv", tests, NULL, NULL);
}
