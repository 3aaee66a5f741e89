/* SPDX-License-Identifier: BSD-2-Clause */
/* test_console.c - text arrives, nothing blocks, and the other side of the ring is not believed. */
#include "drivers/console/console.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <xen/io/console.h>

#include "start/base/log.h"
#include "tests/fake/mmio_host.h"
#include "tests/fake/port_host.h"

#define UART_BASE UINT64_C(0x22000000)

static char paper[65536];
static usize paper_bytes;

static void paper_add(const char *text, usize bytes)
{
    assert_true(bytes < sizeof(paper) - paper_bytes);
    memcpy(paper + paper_bytes, text, bytes);
    paper_bytes += bytes;
    paper[paper_bytes] = 0;
}

/* --- hypervisor console --------------------------------------------------------------------- */
static long hyp_answer;
static u32 hyp_calls;

static long hyp_write(const char *text, usize bytes)
{
    hyp_calls++;
    if (hyp_answer < 0) {
        return hyp_answer;
    }
    assert_true(bytes <= 128); /* the CPU is Xen's while it prints */
    paper_add(text, bytes);
    return 0;
}

/* --- UART: takes a byte and is then busy for a number of looks [PL011] 3.3.3 -------------------
 */
static u32 uart_busy_looks; /* UINT32_MAX: for ever */
static u32 uart_busy;
static const char *uart_typed;

static u64 uart_read(void *ctx, u64 offset, u32 width)
{
    (void)ctx;
    assert_int_equal(width, 4);
    if (offset == 0x18) {
        u32 full = uart_busy != 0;

        uart_busy -= uart_busy != 0 && uart_busy != UINT32_MAX;
        return (full ? 0x20 : 0) | (uart_typed && *uart_typed ? 0 : 0x10);
    }
    assert_int_equal(offset, 0);
    return (u8)*uart_typed++;
}

static void uart_write(void *ctx, u64 offset, u32 width, u64 value)
{
    char byte = (char)value;

    (void)ctx;
    assert_int_equal(width, 4);
    assert_int_equal(offset, 0);
    assert_int_equal(uart_busy, 0); /* a byte written to a full FIFO is lost */
    uart_busy = uart_busy_looks;
    paper_add(&byte, 1);
}

/* --- PV ring: xenconsoled's part ---------------------------------------------------------------
 */
static struct xencons_interface page;
static u32 notified;
static bool daemon_reads;

static void daemon_take(void)
{
    while (page.out_cons != page.out_prod) {
        paper_add(&page.out[page.out_cons++ % sizeof(page.out)], 1);
    }
}

static void daemon_notified(void *ctx)
{
    assert_ptr_equal(ctx, &page);
    notified++;
    if (daemon_reads) {
        daemon_take();
    }
}

static int start(void **state)
{
    (void)state;
    paper_bytes = 0;
    paper[0] = 0;
    hyp_answer = 0;
    hyp_calls = notified = 0;
    uart_busy_looks = uart_busy = 0;
    uart_typed = NULL;
    daemon_reads = true;
    memset(&page, 0, sizeof(page));
    port_host_now_ns = 0;
    log_init();
    mmio_host_reset();
    mmio_host_add(&(struct mmio_model){UART_BASE, 0x1000, uart_read, uart_write, NULL});
    return 0;
}

static void start_ring(void)
{
    assert_int_equal(console_ring_init(&page, daemon_notified, &page), ST_OK);
}

static void the_hypervisor_console_takes_lines_in_pieces(void **state)
{
    (void)state;
    assert_int_equal(console_hyp_init(hyp_write), ST_OK);
    log_info("%0200u", 7u);
    assert_int_equal(paper_bytes, strlen("[    0.000000] ") + 200 + 1);
    assert_int_equal(paper[paper_bytes - 1], '\n');
}

static void a_refused_hypervisor_console_is_not_tried_again(void **state)
{
    (void)state;
    hyp_answer = -EPERM;
    assert_int_equal(console_hyp_init(hyp_write), ST_ACCES);
    log_info("hello");
    assert_int_equal(hyp_calls, 1);
}

static void the_uart_waits_for_room_and_adds_carriage_returns(void **state)
{
    (void)state;
    uart_busy_looks = 3;
    assert_int_equal(console_uart_init(UART_BASE), ST_OK);
    log_info("hello");
    assert_non_null(strstr(paper, "] hello\n\r"));
}

static void a_stuck_uart_costs_one_deadline_and_no_more(void **state)
{
    u64 before;

    (void)state;
    assert_int_equal(console_uart_init(UART_BASE), ST_OK);
    uart_busy = UINT32_MAX;
    log_info("lost");
    assert_true(port_host_now_ns >= CONSOLE_UART_WAIT_NS);
    before = port_host_now_ns;
    for (u32 i = 0; i < 100; i++) {
        log_info("lost too");
    }
    assert_true(port_host_now_ns - before < CONSOLE_UART_WAIT_NS);
    uart_busy = 0;
    log_info("back");
    assert_non_null(strstr(paper, "] back\n"));
}

static void the_uart_gives_what_was_typed(void **state)
{
    char to[4];

    (void)state;
    assert_int_equal(console_uart_init(UART_BASE), ST_OK);
    assert_int_equal(console_uart_read(to, sizeof(to)), 0);
    uart_typed = "stats\r";
    assert_int_equal(console_uart_read(to, sizeof(to)), 4);
    assert_memory_equal(to, "stat", 4);
    assert_int_equal(console_uart_read(to, sizeof(to)), 2);
}

static void the_ring_carries_lines_across_its_end(void **state)
{
    (void)state;
    page.out_cons = page.out_prod = UINT32_MAX - 100; /* indices run freely */
    start_ring();
    for (u32 i = 0; i < 500; i++) {
        log_info("line %u", i);
    }
    assert_non_null(strstr(paper, "] line 0\n"));
    assert_non_null(strstr(paper, "] line 250\n"));
    assert_non_null(strstr(paper, "] line 499\n"));
    assert_int_equal(notified, 500);
}

static void a_full_ring_waits_in_the_backlog_and_forgets_the_oldest(void **state)
{
    (void)state;
    start_ring();
    daemon_reads = false;
    for (u32 i = 0; i < 1000; i++) {
        log_info("line %u", i);
    }
    assert_int_equal(page.out_prod - page.out_cons, sizeof(page.out));
    daemon_reads = true;
    daemon_take();
    for (u32 i = 0; i < 10; i++) {
        console_ring_poll();
    }
    assert_int_equal(console_ring_poll(), 0);
    assert_true(paper_bytes <= sizeof(page.out) + CONSOLE_BACKLOG_BYTES);
    assert_non_null(strstr(paper, "] line 0\n"));
    assert_null(strstr(paper, "] line 500\n"));
    assert_non_null(strstr(paper, "] line 999\n"));
}

static void a_reader_index_that_makes_no_sense_is_no_room(void **state)
{
    (void)state;
    start_ring();
    daemon_reads = false;
    page.out_cons = page.out_prod + 1; /* "has read" what was never written */
    log_info("hello");
    assert_int_equal(page.out_prod, 0);
    page.out_cons = page.out_prod - 5000;
    log_info("hello");
    assert_int_equal(page.out_prod, 0);
    page.out_cons = page.out_prod;
    daemon_reads = true;
    assert_true(console_ring_poll() > 0);
    assert_non_null(strstr(paper, "] hello\n"));
}

static void typed_bytes_come_in_order_and_give_room_back(void **state)
{
    char to[16];
    u32 before;

    (void)state;
    page.in_prod = page.in_cons = UINT32_MAX - 1;
    start_ring();
    before = notified;
    assert_int_equal(console_ring_read(to, sizeof(to)), 0);
    assert_int_equal(notified, before);
    for (const char *p = "stats\n"; *p; p++) {
        page.in[page.in_prod++ % sizeof(page.in)] = *p;
    }
    assert_int_equal(console_ring_read(to, 2), 2);
    assert_memory_equal(to, "st", 2);
    assert_int_equal(console_ring_read(to, sizeof(to)), 4);
    assert_memory_equal(to, "ats\n", 4);
    assert_int_equal(page.in_cons, page.in_prod);
    assert_int_equal(notified, before + 2);
}

static void a_writer_index_that_makes_no_sense_is_dropped(void **state)
{
    char to[2048];

    (void)state;
    start_ring();
    page.in_prod = sizeof(page.in) + 1;
    assert_int_equal(console_ring_read(to, sizeof(to)), 0);
    assert_int_equal(page.in_cons, page.in_prod);
    page.in[page.in_prod++ % sizeof(page.in)] = 'x';
    assert_int_equal(console_ring_read(to, sizeof(to)), 1);
    assert_int_equal(to[0], 'x');
}

static void a_flush_ends_when_all_is_read_or_at_its_deadline(void **state)
{
    (void)state;
    start_ring();
    log_info("hello");
    console_flush();
    assert_int_equal(port_host_now_ns, 0);
    daemon_reads = false;
    log_info("never read");
    console_flush();
    assert_true(port_host_now_ns >= CONSOLE_FLUSH_WAIT_NS);
    assert_true(port_host_now_ns < 2 * CONSOLE_FLUSH_WAIT_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_hypervisor_console_takes_lines_in_pieces, start),
        cmocka_unit_test_setup(a_refused_hypervisor_console_is_not_tried_again, start),
        cmocka_unit_test_setup(the_uart_waits_for_room_and_adds_carriage_returns, start),
        cmocka_unit_test_setup(a_stuck_uart_costs_one_deadline_and_no_more, start),
        cmocka_unit_test_setup(the_uart_gives_what_was_typed, start),
        cmocka_unit_test_setup(the_ring_carries_lines_across_its_end, start),
        cmocka_unit_test_setup(a_full_ring_waits_in_the_backlog_and_forgets_the_oldest, start),
        cmocka_unit_test_setup(a_reader_index_that_makes_no_sense_is_no_room, start),
        cmocka_unit_test_setup(typed_bytes_come_in_order_and_give_room_back, start),
        cmocka_unit_test_setup(a_writer_index_that_makes_no_sense_is_dropped, start),
        cmocka_unit_test_setup(a_flush_ends_when_all_is_read_or_at_its_deadline, start),
    };

    return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
