/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ioreq.c - trapped accesses: answered once, in order, whatever they say; and the errno
 * ladder. */
#include "drivers/xen/ioreq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "drivers/xen/extregion.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define BASE  UINT64_C(0x02000000)
#define BYTES 0x200u

static struct ioreq_server srv;
static struct fake_guest *guest;

static struct {
    u32 calls;
    struct ioreq_access access;
    u64 data; /* as given to the handler */
    u64 answer;
} seen;

static void handler(void *ctx, const struct ioreq_access *access, u64 *data)
{
    assert_ptr_equal(ctx, &seen);
    seen.calls++;
    seen.access = *access;
    seen.data = *data;
    if (!access->write) {
        *data = seen.answer;
    }
}

static void machine(enum fake_policy policy, u32 vcpus)
{
    struct extregion_range region;
    u64 gpa;

    said_reset();
    fake_xen_reset(policy);
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(extregion_alloc(4096, 4096, &gpa), ST_OK);
    assert_int_equal(evtchn_init(gpa), ST_OK);
    guest = fake_guest_make(7, vcpus, MIB(1));
    fake_xen.target = 7;
    seen.calls = 0;
    seen.answer = 0;
}

static void machine_with_device(u32 vcpus)
{
    machine(FAKE_CONTROL, vcpus);
    assert_int_equal(ioreq_server_create(&srv, 7), ST_OK);
    assert_int_equal(ioreq_range_add(&srv, BASE, BYTES, handler, &seen), ST_OK);
    (void)ioreq_poll(&srv); /* binding leaves the ports pending once */
}

static void nothing_left(void)
{
    assert_int_equal(fake_ports_open(), 0);
    assert_int_equal(evtchn_open_count(), 0);
    assert_int_equal(fake_pages_foreign(), 0);
    assert_int_equal(fake_servers(), 0);
    assert_int_equal(extregion_used_bytes(), 4096); /* the shared page */
}

/* --- answering ------------------------------------------------------------------------------- */

static void read_is_answered_by_the_handler(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(1);
    seen.answer = UINT64_C(0xffffffff74726976);
    assert_true(fake_guest_access(guest, 0, BASE + 0x10, 4, false, 0xdead));
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    assert_int_equal(data, 0x74726976); /* cut to the access */
    assert_int_equal(seen.access.offset, 0x10);
    assert_int_equal(seen.access.bytes, 4);
    assert_false(seen.access.write);
    assert_int_equal(ioreq_poll(&srv), 0);
    assert_int_equal(srv.traps, 1);
    ioreq_server_destroy(&srv);
    nothing_left();
}

static void write_reaches_the_handler_cut_to_its_size(void **state)
{
    static const u64 mask[] = {0, 0xff, 0xffff, 0, 0xffffffff, 0, 0, 0, UINT64_MAX};
    u64 data;

    (void)state;
    machine_with_device(1);
    for (u32 size = 1; size <= 8; size *= 2) {
        assert_true(fake_guest_access(guest, 0, BASE, size, true, UINT64_C(0x1122334455667788)));
        assert_int_equal(ioreq_poll(&srv), 1);
        assert_true(fake_guest_resume(guest, 0, &data));
        assert_true(seen.access.write);
        assert_int_equal(seen.access.bytes, size);
        assert_int_equal(seen.data, UINT64_C(0x1122334455667788) & mask[size]);
    }
    ioreq_server_destroy(&srv);
}

static void every_vcpu_is_answered_once(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(GUEST_VCPUS_MAX);
    for (u32 v = 0; v < GUEST_VCPUS_MAX; v++) {
        assert_true(fake_guest_access(guest, v, BASE, 4, false, 0));
    }
    assert_int_equal(ioreq_poll(&srv), GUEST_VCPUS_MAX);
    for (u32 v = 0; v < GUEST_VCPUS_MAX; v++) {
        assert_true(fake_guest_resume(guest, v, &data));
        assert_false(fake_guest_resume(guest, v, &data));
    }
    assert_int_equal(seen.calls, GUEST_VCPUS_MAX);
    ioreq_server_destroy(&srv);
    nothing_left();
}

/* M-05: What Xen never sends, or sends to somebody else: a defined answer, no handler, counted. */
static void odd_requests_read_all_ones(void **state)
{
    static const struct {
        struct fake_ioreq req;
        u64 answer;
    } odd[] = {
        {{.addr = BASE, .count = 1, .size = 3, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 0, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 16, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = UINT32_MAX, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 2, .size = 4, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 0, .size = 4, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 4, .type = IOREQ_TYPE_COPY, .data_is_ptr = true},
         UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 4, .type = 0}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 4, .type = 7}, UINT64_MAX},
        {{.addr = BASE, .count = 1, .size = 4, .type = 255}, UINT64_MAX},
        /* at and over the edges of the range */
        {{.addr = BASE - 1, .count = 1, .size = 1, .type = IOREQ_TYPE_COPY}, 0xff},
        {{.addr = BASE - 2, .count = 1, .size = 4, .type = IOREQ_TYPE_COPY}, 0xffffffff},
        {{.addr = BASE + BYTES, .count = 1, .size = 1, .type = IOREQ_TYPE_COPY}, 0xff},
        {{.addr = BASE + BYTES - 4, .count = 1, .size = 8, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = UINT64_MAX, .count = 1, .size = 8, .type = IOREQ_TYPE_COPY}, UINT64_MAX},
        {{.addr = 0, .count = 1, .size = 2, .type = IOREQ_TYPE_COPY}, 0xffff},
    };
    u64 data;

    (void)state;
    machine_with_device(1);
    for (u32 i = 0; i < ARRAY_LEN(odd); i++) {
        fake_guest_ioreq(guest, 0, &odd[i].req);
        assert_int_equal(ioreq_poll(&srv), 1);
        assert_true(fake_guest_resume(guest, 0, &data));
        assert_int_equal(data, odd[i].answer);
    }
    assert_int_equal(seen.calls, 0);
    assert_int_equal(srv.refused, ARRAY_LEN(odd));
    ioreq_server_destroy(&srv);
}

static void last_byte_of_the_range_is_inside(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(1);
    assert_true(fake_guest_access(guest, 0, BASE + BYTES - 1, 1, false, 0));
    assert_false(fake_guest_access(guest, 0, BASE + BYTES, 1, false, 0)); /* the neighbour's */
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    assert_int_equal(seen.access.offset, BYTES - 1);
    ioreq_server_destroy(&srv);
}

static void event_without_a_request_is_no_answer(void **state)
{
    (void)state;
    machine_with_device(2);
    fake_event(guest->local_port[0]);
    assert_int_equal(ioreq_poll(&srv), 0);
    assert_int_equal(guest->answers[0], 0);
    assert_true(srv.spurious > 0);
    ioreq_server_destroy(&srv);
}

static u32 dropped;

static void drop(void *ctx)
{
    (*(u32 *)ctx)++;
    assert_int_equal(guest->answers[0], 0); /* dropped before the guest goes on */
}

static void invalidation_is_obeyed_before_it_is_acknowledged(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(1);
    dropped = 0;
    srv.invalidate = drop;
    srv.invalidate_ctx = &dropped;
    fake_guest_ioreq(guest, 0, &(struct fake_ioreq){.type = IOREQ_TYPE_INVALIDATE, .size = 4});
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_int_equal(dropped, 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    assert_int_equal(srv.refused, 0);
    ioreq_server_destroy(&srv);
}

static void request_before_the_ports_are_bound_is_found(void **state)
{
    u64 data;

    (void)state;
    machine(FAKE_CONTROL, 1);
    fake_guest_ioreq(guest, 0, &(struct fake_ioreq){.type = IOREQ_TYPE_INVALIDATE});
    assert_int_equal(ioreq_server_create(&srv, 7), ST_OK);
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    ioreq_server_destroy(&srv);
}

/* --- sleeping -------------------------------------------------------------------------------- */

static void armed_server_wakes_us_and_loses_nothing(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(2);
    assert_true(fake_guest_access(guest, 1, BASE, 4, false, 0));
    assert_true(ioreq_arm(&srv)); /* it came before: no sleep */
    ioreq_disarm(&srv);
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 1, &data));
    assert_false(ioreq_arm(&srv));
    assert_true(fake_guest_access(guest, 0, BASE, 4, false, 0));
    assert_int_equal(fake_xen.upcalls, 1);
    evtchn_drain();
    ioreq_disarm(&srv);
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    ioreq_server_destroy(&srv);
}

static void polling_costs_no_hypercall_and_no_interrupt(void **state)
{
    u64 calls, data;

    (void)state;
    machine_with_device(4);
    calls = fake_xen.calls;
    for (u32 i = 0; i < 1000; i++) {
        assert_int_equal(ioreq_poll(&srv), 0);
    }
    assert_int_equal(fake_xen.calls, calls);
    assert_true(fake_guest_access(guest, 2, BASE, 4, false, 0));
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_int_equal(fake_xen.calls, calls + 1); /* the event back */
    assert_int_equal(fake_xen.upcalls, 0);
    assert_true(fake_guest_resume(guest, 2, &data));
    ioreq_server_destroy(&srv);
}

static void interrupt_is_one_call(void **state)
{
    u64 calls;

    (void)state;
    machine_with_device(1);
    calls = fake_xen.calls;
    assert_int_equal(ioreq_set_irq(&srv, 33), ST_OK);
    assert_int_equal(fake_xen.calls, calls + 1);
    assert_int_equal(guest->irqs[33], 1);
    assert_int_equal(ioreq_set_irq(&srv, 5), ST_HYPERCALL);
    ioreq_server_destroy(&srv);
}

/* --- ranges ---------------------------------------------------------------------------------- */

static void ranges_must_not_touch(void **state)
{
    (void)state;
    machine_with_device(1);
    assert_int_equal(ioreq_range_add(&srv, BASE, BYTES, handler, &seen), ST_INVAL);
    assert_int_equal(ioreq_range_add(&srv, BASE + BYTES - 1, BYTES, handler, &seen), ST_INVAL);
    assert_int_equal(ioreq_range_add(&srv, BASE - BYTES + 1, BYTES, handler, &seen), ST_INVAL);
    assert_int_equal(ioreq_range_add(&srv, UINT64_MAX - 4, BYTES, handler, &seen), ST_INVAL);
    assert_int_equal(ioreq_range_add(&srv, BASE + BYTES, 0, handler, &seen), ST_INVAL);
    assert_int_equal(ioreq_range_add(&srv, BASE + BYTES, BYTES, handler, &seen), ST_OK);
    ioreq_server_destroy(&srv);
    nothing_left();
}

static void sixteen_ranges_and_no_more(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(1);
    for (u32 i = 1; i < IOREQ_RANGES_MAX; i++) {
        assert_int_equal(ioreq_range_add(&srv, BASE + i * BYTES, BYTES, handler, &seen), ST_OK);
    }
    assert_int_equal(ioreq_range_add(&srv, BASE + 0x10000, BYTES, handler, &seen), ST_FULL);
    ioreq_range_remove(&srv, BASE + 3 * BYTES);
    assert_false(fake_guest_access(guest, 0, BASE + 3 * BYTES, 4, false, 0));
    assert_true(fake_guest_access(guest, 0, BASE + 4 * BYTES + 8, 4, false, 0));
    assert_int_equal(ioreq_poll(&srv), 1);
    assert_true(fake_guest_resume(guest, 0, &data));
    assert_int_equal(seen.access.offset, 8);
    assert_int_equal(ioreq_range_add(&srv, BASE + 3 * BYTES, BYTES, handler, &seen), ST_OK);
    ioreq_server_destroy(&srv);
    nothing_left();
}

/* --- coming and going ------------------------------------------------------------------------ */

static void waiting_vcpu_is_let_go_when_the_server_goes(void **state)
{
    u64 data;

    (void)state;
    machine_with_device(1);
    assert_true(fake_guest_access(guest, 0, BASE, 4, false, 0));
    ioreq_server_destroy(&srv);
    assert_true(fake_guest_resume(guest, 0, &data));
    assert_int_equal(seen.calls, 0);
    nothing_left();
}

static void dead_guest_is_noticed_and_vanishes(void **state)
{
    (void)state;
    machine_with_device(2);
    assert_true(ioreq_guest_alive(&srv));
    fake_guest_kill(guest);
    assert_false(ioreq_guest_alive(&srv));
    assert_false(fake_guest_gone(guest)); /* a zombie, for we hold its ioreq page */
    ioreq_server_destroy(&srv);
    assert_true(fake_guest_gone(guest));
    nothing_left();
}

static void guest_with_too_many_vcpus_is_refused(void **state)
{
    (void)state;
    machine(FAKE_CONTROL, 1);
    guest->vcpus = GUEST_VCPUS_MAX + 1;
    assert_int_equal(ioreq_server_create(&srv, 7), ST_FULL);
    assert_true(said("GUEST_VCPUS_MAX"));
    guest->vcpus = 0;
    assert_int_equal(ioreq_server_create(&srv, 7), ST_FULL);
    guest->vcpus = 1;
    nothing_left();
}

/* Every single hypercall fails once: a clear status, no crash, nothing left behind. */
static void every_failing_hypercall_is_survived(void **state)
{
    static const long errors[] = {-XEN_EPERM, -XEN_EACCES, -XEN_ENOMEM, -XEN_EINVAL, -XEN_ESRCH};
    u32 failed = 0;

    (void)state;
    for (u32 e = 0; e < ARRAY_LEN(errors); e++) {
        for (u64 nth = 1; nth < 16; nth++) {
            enum status st;

            machine(FAKE_CONTROL, 3);
            fake_xen_fail(nth, errors[e]);
            st = ioreq_server_create(&srv, 7);
            if (st == ST_OK) {
                st = ioreq_range_add(&srv, BASE, BYTES, handler, &seen);
                fake_xen_fail(0, 0);
                ioreq_server_destroy(&srv);
            }
            failed += st != ST_OK;
            nothing_left();
        }
    }
    /* vcpus, create, page, enable, three ports, range */
    assert_int_equal(failed, 8 * ARRAY_LEN(errors));
}

/* --- the errno ladder: docs/privilege.md ----------------------------------------------------- */

static void privilege_missing(enum fake_policy policy, u32 rights, u16 target, enum status st,
                              const char *words)
{
    machine(policy, 1);
    fake_xen.rights = rights;
    fake_xen.target = target;
    assert_int_equal(ioreq_server_create(&srv, 7), st);
    if (words) {
        assert_true(said(words));
        assert_int_equal(said_count("guest 7"), 1);
        nothing_left();
    } else {
        ioreq_server_destroy(&srv);
    }
}

static void each_refusal_names_its_cure(void **state)
{
    (void)state;
    privilege_missing(FAKE_NO_IOREQ, 0, 0, ST_NOSUP, "CONFIG_IOREQ_SERVER=y");
    privilege_missing(FAKE_DUMMY, 0, 0, ST_ACCES, "set-target");
    privilege_missing(FAKE_DUMMY, 0, 7, ST_OK, NULL);
    privilege_missing(FAKE_SILO, 0, 0, ST_ACCES, "set-target");
    privilege_missing(FAKE_SILO, 0, 7, ST_ACCES, "SILO");
    privilege_missing(FAKE_FLASK, 0, 0, ST_ACCES, "FLASK");
    privilege_missing(FAKE_FLASK, FAKE_RIGHT_DM, 0, ST_ACCES, "creating the ioreq server: EACCES");
    privilege_missing(FAKE_FLASK, FAKE_RIGHT_DM | FAKE_RIGHT_EVENT, 0, ST_ACCES,
                      "mapping the ioreq page: EACCES");
    privilege_missing(FAKE_FLASK, FAKE_RIGHT_ALL, 0, ST_OK, NULL);
    machine(FAKE_CONTROL, 1);
    assert_int_equal(ioreq_server_create(&srv, 8), ST_NOENT);
    assert_true(said("no such guest"));
    nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_is_answered_by_the_handler),
        cmocka_unit_test(write_reaches_the_handler_cut_to_its_size),
        cmocka_unit_test(every_vcpu_is_answered_once),
        cmocka_unit_test(odd_requests_read_all_ones),
        cmocka_unit_test(last_byte_of_the_range_is_inside),
        cmocka_unit_test(event_without_a_request_is_no_answer),
        cmocka_unit_test(invalidation_is_obeyed_before_it_is_acknowledged),
        cmocka_unit_test(request_before_the_ports_are_bound_is_found),
        cmocka_unit_test(armed_server_wakes_us_and_loses_nothing),
        cmocka_unit_test(polling_costs_no_hypercall_and_no_interrupt),
        cmocka_unit_test(interrupt_is_one_call),
        cmocka_unit_test(ranges_must_not_touch),
        cmocka_unit_test(sixteen_ranges_and_no_more),
        cmocka_unit_test(waiting_vcpu_is_let_go_when_the_server_goes),
        cmocka_unit_test(dead_guest_is_noticed_and_vanishes),
        cmocka_unit_test(guest_with_too_many_vcpus_is_refused),
        cmocka_unit_test(every_failing_hypercall_is_survived),
        cmocka_unit_test(each_refusal_names_its_cure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
