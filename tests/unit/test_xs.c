/* SPDX-License-Identifier: BSD-2-Clause */
/* test_xs.c - the xenstore client: every request ends exactly once, whatever the other side does.
 */
#include "drivers/xen/xs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static struct xs xs;

static struct {
    u32 calls;
    u32 arg;
    enum status status;
    u32 bytes;
    char data[XS_PAYLOAD_MAX + 1];
    u32 events;
    char path[XS_PATH_MAX];
} got;

static void reply(void *ctx, u32 arg, const struct xs_reply *r)
{
    assert_ptr_equal(ctx, &got);
    got.calls++;
    got.arg = arg;
    got.status = r->status;
    got.bytes = r->bytes;
    if (r->bytes) {
        memcpy(got.data, r->data, r->bytes);
    }
    got.data[r->bytes] = 0;
}

static void event(void *ctx, const char *path)
{
    assert_ptr_equal(ctx, &got);
    got.events++;
    snprintf(got.path, sizeof(got.path), "%s", path);
}

static u32 got_number(void)
{
    u64 value = 0;

    assert_int_equal(xs_parse_decimal(got.data, UINT32_MAX, &value), ST_OK);
    return (u32)value;
}

static int setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    assert_int_equal(evtchn_init(fake_xen.region), ST_OK);
    memset(&got, 0, sizeof(got));
    port_host_now_ns = 1000;
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    return 0;
}

/** Turns of the loop until both sides have nothing to do. */
static void run(void)
{
    for (u32 i = 0; i < 1000; i++) {
        u32 work = xs_poll(&xs, 8);

        fake_xs_step();
        if (work + xs_poll(&xs, 8) == 0) {
            return;
        }
    }
    fail_msg("the loop does not come to rest");
}

static void value_is_read(void **state)
{
    (void)state;
    fake_xs_set("backend/x", "hello");
    assert_int_equal(xs_read(&xs, 0, "backend/x", reply, &got, 5), ST_OK);
    assert_int_equal(got.calls, 0); /* never from inside the call */
    run();
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.arg, 5);
    assert_int_equal(got.status, ST_OK);
    assert_string_equal(got.data, "hello");
    assert_int_equal(xs.slots_used, 0);
}

static void missing_node_is_noent(void **state)
{
    (void)state;
    assert_int_equal(xs_read(&xs, 0, "nothing/here", reply, &got, 0), ST_OK);
    run();
    assert_int_equal(got.status, ST_NOENT);
    assert_int_equal(got.bytes, 0);
}

static void written_and_removed_nodes_change_the_store(void **state)
{
    (void)state;
    assert_int_equal(xs_write(&xs, 0, "a/b", "2", reply, &got, 0), ST_OK);
    run();
    assert_string_equal(fake_xs_get("a/b"), "2");
    assert_int_equal(xs_rm(&xs, 0, "a", reply, &got, 0), ST_OK);
    run();
    assert_false(fake_xs_exists("a"));
    assert_int_equal(got.calls, 2);
}

static void directory_lists_the_children(void **state)
{
    (void)state;
    fake_xs_set("backend/vbd/1/a", "");
    fake_xs_set("backend/vbd/22/a", "");
    assert_int_equal(xs_directory(&xs, 0, "backend/vbd", reply, &got, 0), ST_OK);
    run();
    assert_int_equal(got.bytes, 5);
    assert_memory_equal(got.data, "1\00022\0", 5);
}

static void transaction_commits_at_once_or_not_at_all(void **state)
{
    u32 tx;

    (void)state;
    assert_int_equal(xs_tx_start(&xs, reply, &got, 0), ST_OK);
    run();
    tx = got_number();
    assert_true(tx > 0);
    assert_int_equal(xs_write(&xs, tx, "t", "1", reply, &got, 0), ST_OK);
    run();
    assert_null(fake_xs_get("t"));
    assert_int_equal(xs_tx_end(&xs, tx, true, reply, &got, 0), ST_OK);
    run();
    assert_string_equal(fake_xs_get("t"), "1");
    assert_int_equal(got.status, ST_OK);
}

static void conflict_is_again(void **state)
{
    (void)state;
    fake_xs_conflict(1);
    assert_int_equal(xs_tx_start(&xs, reply, &got, 0), ST_OK);
    run();
    assert_int_equal(xs_tx_end(&xs, got_number(), true, reply, &got, 0), ST_OK);
    run();
    assert_int_equal(got.status, ST_AGAIN);
    assert_int_equal(fake_xs_transactions(), 0);
}

static void transaction_number_must_be_one(void **state)
{
    static const char *const bad[] = {"", "x", "-1", "4294967296", "0"};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        struct xs_reply r = {ST_OK, (const u8 *)bad[i], (u32)strlen(bad[i]) + 1};

        assert_int_equal(xs_reply_tx(&r), 0);
    }
    assert_int_equal(xs_reply_tx(&(struct xs_reply){ST_OK, (const u8 *)"17", 3}), 17);
    assert_int_equal(xs_reply_tx(&(struct xs_reply){ST_FULL, (const u8 *)"17", 3}), 0);
}

static void watch_tells_at_once_and_at_every_change(void **state)
{
    (void)state;
    assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_OK);
    run();
    assert_int_equal(got.events, 1);
    assert_string_equal(got.path, "backend");
    fake_xs_set("backend/vbd/1/51712/state", "1");
    fake_xs_set("other", "1");
    run();
    assert_int_equal(got.events, 2);
    assert_string_equal(got.path, "backend/vbd/1/51712/state");
}

static void storm_of_events_costs_no_memory(void **state)
{
    (void)state;
    assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_OK);
    run();
    for (u32 i = 0; i < 5000; i++) {
        fake_xs_set("backend/x", "1");
        if (i % 500 == 0) {
            (void)xs_poll(&xs, 8);
        }
    }
    run();
    assert_int_equal(got.events, 5001);
    assert_false(xs.broken);
    /* and requests still get through */
    assert_int_equal(xs_read(&xs, 0, "backend/x", reply, &got, 0), ST_OK);
    run();
    assert_int_equal(got.calls, 1);
}

static void a_watch_too_many_is_refused_until_one_is_removed(void **state)
{
    (void)state;
    for (u32 i = 0; i < XS_WATCHES_MAX; i++) {
        assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_OK);
        run();
    }
    assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_FULL);
    run();
    assert_int_equal(fake_xs_watches(), XS_WATCHES_MAX);
    assert_int_equal(xs_watch_remove(&xs, "backend", event, &got), ST_OK);
    run();
    assert_int_equal(fake_xs_watches(), XS_WATCHES_MAX - 1);
    assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_OK);
    assert_int_equal(xs_watch_remove(&xs, "backend", event, NULL), ST_OK); /* there is none */
}

/* What was on its way when the watch went comes to nobody. */
static void a_removed_watch_is_silent(void **state)
{
    (void)state;
    assert_int_equal(xs_watch_add(&xs, "backend", event, &got), ST_OK);
    run();
    got.events = 0;
    fake_xs_set("backend/x", "1");
    assert_int_equal(xs_watch_remove(&xs, "backend", event, &got), ST_OK);
    run();
    assert_int_equal(got.events, 0);
    fake_xs_set("backend/x", "2");
    run();
    assert_int_equal(got.events, 0);
    assert_int_equal(fake_xs_watches(), 0);
}

static void many_requests_are_pipelined_and_all_end(void **state)
{
    u32 accepted = 0;

    (void)state;
    fake_xs_set("some/rather/long/path/to/a/value/with/many/components", "v");
    while (xs_read(&xs, 0, "some/rather/long/path/to/a/value/with/many/components", reply, &got,
                   0) == ST_OK) {
        accepted++;
    }
    assert_int_equal(accepted, XS_SLOTS);
    run();
    assert_int_equal(got.calls, accepted);
    assert_int_equal(xs.slots_used, 0);
}

/* --- the other side misbehaves --------------------------------------------------------------- */

static void silence_ends_in_a_timeout(void **state)
{
    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    run();
    assert_int_equal(got.calls, 0);
    assert_int_equal(xs_deadline_ns(&xs), 1000 + XS_TIMEOUT_NS);
    port_host_now_ns = xs_deadline_ns(&xs);
    run();
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.status, ST_TIMEOUT);
    assert_int_equal(xs_deadline_ns(&xs), UINT64_MAX);
    /* The late answer is nobody's. */
    fake_xs_hang(false);
    run();
    assert_int_equal(got.calls, 1);
    assert_int_equal(xs.strays, 1);
}

static void broken_client(const char *words)
{
    run();
    assert_true(xs.broken);
    assert_true(said(words));
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.status, ST_IO);
    assert_int_equal(xs.slots_used, 0);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_IO);
    assert_int_equal(xs_poll(&xs, 8), 0);
    assert_false(xs_arm(&xs));
    assert_int_equal(said_count("xenstore:"), 1);
}

static void garbage_answer_index_breaks_the_client_only(void **state)
{
    struct xenstore_domain_interface *page = fake_xs_page();

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    page->rsp_prod = page->rsp_cons + XENSTORE_RING_SIZE + 1;
    broken_client("garbage");
}

static void garbage_request_index_breaks_the_client_only(void **state)
{
    struct xenstore_domain_interface *page = fake_xs_page();

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    page->req_cons = 5;
    broken_client("garbage");
}

static void overlong_answer_breaks_the_client_only(void **state)
{
    struct xsd_sockmsg header = {.type = XS_READ, .req_id = 1, .len = XS_PAYLOAD_MAX + 1};

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    fake_xs_inject(&header, sizeof(header));
    broken_client("longer than the protocol");
}

static void longest_answer_is_taken(void **state)
{
    static u8 bytes[sizeof(struct xsd_sockmsg) + XS_PAYLOAD_MAX];
    struct xsd_sockmsg header = {.type = XS_READ, .req_id = 1, .len = XS_PAYLOAD_MAX};

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    memcpy(bytes, &header, sizeof(header));
    memset(bytes + sizeof(header), 'x', XS_PAYLOAD_MAX);
    fake_xs_inject(bytes, sizeof(bytes));
    run();
    assert_int_equal(got.status, ST_OK);
    assert_int_equal(got.bytes, XS_PAYLOAD_MAX);
}

static void answers_to_nobody_are_counted(void **state)
{
    struct xsd_sockmsg header = {.type = XS_READ, .req_id = 77, .len = 0};
    struct {
        struct xsd_sockmsg header;
        char text[8];
    } odd = {{.type = XS_WATCH_EVENT, .len = 8}, "a\0zz9\0"};

    (void)state;
    fake_xs_inject(&header, sizeof(header));
    header.req_id = 0;
    fake_xs_inject(&header, sizeof(header));
    fake_xs_inject(&odd, sizeof(odd));
    memcpy(odd.text, "a\0w3\0\0\0", 8);
    fake_xs_inject(&odd, sizeof(odd));
    memcpy(odd.text, "noend..", 8);
    odd.text[7] = '.';
    fake_xs_inject(&odd, sizeof(odd));
    run();
    assert_int_equal(xs.strays, 5);
    assert_false(xs.broken);
}

static void answer_of_another_type_is_refused(void **state)
{
    struct xsd_sockmsg header = {.type = XS_RM, .req_id = 1, .len = 0};

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    fake_xs_inject(&header, sizeof(header));
    run();
    assert_int_equal(got.status, ST_PROTO);
}

static void answer_in_single_bytes_is_put_together(void **state)
{
    struct {
        struct xsd_sockmsg header;
        char text[3];
    } slow = {{.type = XS_READ, .req_id = 1, .len = 3}, "abc"};

    (void)state;
    fake_xs_hang(true);
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    for (u32 i = 0; i < sizeof(slow.header) + 3; i++) {
        assert_int_equal(got.calls, 0);
        fake_xs_inject((const u8 *)&slow + i, 1);
        run();
    }
    assert_int_equal(got.calls, 1);
    assert_string_equal(got.data, "abc");
}

static void random_answers_are_survived(void **state)
{
    (void)state;
    srand(5);
    for (u32 turn = 0; turn < 300; turn++) {
        (void)setup(state);
        fake_xs_hang(true);
        (void)xs_watch_add(&xs, "backend", event, &got);
        for (u32 i = 0; i < 5; i++) {
            (void)xs_read(&xs, 0, "a", reply, &got, i);
        }
        for (u32 i = 0; i < 20; i++) {
            struct xsd_sockmsg header = {
                .type = (u32)rand() % 18,
                .req_id = (u32)rand() % 8,
                .len = rand() % 20 ? (u32)rand() % 60 : (u32)rand(),
            };
            u8 junk[64];

            for (u32 k = 0; k < sizeof(junk); k++) {
                junk[k] = (u8)rand();
            }
            fake_xs_inject(&header, sizeof(header));
            fake_xs_inject(junk, header.len < 60 ? header.len : 60);
            (void)xs_poll(&xs, 3);
        }
        port_host_now_ns += XS_TIMEOUT_NS;
        run();
        assert_int_equal(xs.slots_used, 0);
        assert_int_equal(got.calls, 5);
    }
}

/* --- sleeping -------------------------------------------------------------------------------- */

static void armed_client_wakes_us_and_loses_nothing(void **state)
{
    (void)state;
    fake_xs_set("a", "1");
    assert_int_equal(xs_read(&xs, 0, "a", reply, &got, 0), ST_OK);
    assert_true(xs_arm(&xs)); /* a request waits for the ring */
    xs_disarm(&xs);
    (void)xs_poll(&xs, 8);
    fake_event(FAKE_XS_PORT);
    assert_true(xs_arm(&xs)); /* an event that came before: go round, it may mean anything */
    xs_disarm(&xs);
    assert_false(xs_arm(&xs));
    fake_xs_step();
    assert_true(fake_xen.upcalls > 0);
    evtchn_drain();
    assert_true(xs_arm(&xs)); /* the answer is there */
    xs_disarm(&xs);
    run();
    assert_int_equal(got.calls, 1);
    assert_true(fake_xen.xs_sends > 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(value_is_read),
        TEST(missing_node_is_noent),
        TEST(written_and_removed_nodes_change_the_store),
        TEST(directory_lists_the_children),
        TEST(transaction_commits_at_once_or_not_at_all),
        TEST(conflict_is_again),
        TEST(transaction_number_must_be_one),
        TEST(watch_tells_at_once_and_at_every_change),
        TEST(storm_of_events_costs_no_memory),
        TEST(a_watch_too_many_is_refused_until_one_is_removed),
        TEST(a_removed_watch_is_silent),
        TEST(many_requests_are_pipelined_and_all_end),
        TEST(silence_ends_in_a_timeout),
        TEST(garbage_answer_index_breaks_the_client_only),
        TEST(garbage_request_index_breaks_the_client_only),
        TEST(overlong_answer_breaks_the_client_only),
        TEST(longest_answer_is_taken),
        TEST(answers_to_nobody_are_counted),
        TEST(answer_of_another_type_is_refused),
        TEST(answer_in_single_bytes_is_put_together),
        TEST(random_answers_are_survived),
        TEST(armed_client_wakes_us_and_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
