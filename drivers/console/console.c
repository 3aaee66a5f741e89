/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.c - three sinks and two sources of text.
 *
 * [PL011] ARM PrimeCell UART, DDI 0183; an SBSA UART has the same data and flag registers.
 * [XEN-IO] xen/io/console.h: two byte rings in a shared page, free-running 32-bit indices. Xen's
 * console daemon in the control domain writes in_prod and out_cons: they are read once and not
 * trusted.
 */
#include "drivers/console/console.h"

#include <string.h>
#include <xen/io/console.h>

#include "drivers/mmio.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#define UART_DR      0x00     /* RW   a byte */
#define UART_FR      0x18     /* RO   flags */
#define UART_FR_RXFE BIT32(4) /* nothing typed */
#define UART_FR_TXFF BIT32(5) /* no room */

#define HYP_LINE_MAX 128 /* bytes given to Xen at once: it prints nothing else meanwhile */

STATIC_CHECK((CONSOLE_BACKLOG_BYTES & (CONSOLE_BACKLOG_BYTES - 1)) == 0, "indices are masked");

static struct {
    console_hyp_fn write;
} hyp;

static struct {
    u64 base;
    bool stuck; /* it did not take a byte in time: nobody waits for it again until it does */
} uart;

static struct {
    struct xencons_interface *page;
    void (*notify)(void *ctx);
    void *notify_ctx;
    /* Text that had no room yet, oldest at tail; free-running indices. */
    char backlog[CONSOLE_BACKLOG_BYTES];
    u32 head, tail;
} ring;

/* --- hypervisor console --------------------------------------------------------------------- */
static void hyp_sink(void *ctx, const char *text, usize bytes)
{
    (void)ctx;
    while (bytes != 0) {
        usize piece = min_u64(bytes, HYP_LINE_MAX);

        if (hyp.write(text, piece) < 0) {
            return; /* the text is on other consoles or in the kept lines */
        }
        text += piece;
        bytes -= piece;
    }
}

enum status console_hyp_init(console_hyp_fn write)
{
    /* A release build of Xen answers -EPERM to a domain made by xl: an empty line finds out. */
    if (write("", 0) < 0) {
        return ST_ACCES;
    }
    hyp.write = write;
    return log_sink_add(hyp_sink, NULL) ? ST_OK : ST_FULL;
}

/* --- UART ----------------------------------------------------------------------------------- */
static bool uart_has_room(void)
{
    u64 deadline_ns;

    if (!(mmio_read32(uart.base + UART_FR) & UART_FR_TXFF)) {
        return true;
    }
    if (uart.stuck) {
        return false;
    }
    deadline_ns = port_now_ns() + CONSOLE_UART_WAIT_NS;
    while (port_now_ns() < deadline_ns) {
        if (!(mmio_read32(uart.base + UART_FR) & UART_FR_TXFF)) {
            return true;
        }
        port_relax();
    }
    return false;
}

static void uart_sink(void *ctx, const char *text, usize bytes)
{
    (void)ctx;
    for (usize i = 0; i < bytes; i++) {
        uart.stuck = !uart_has_room();
        if (uart.stuck) {
            return;
        }
        mmio_write32(uart.base + UART_DR, (u8)text[i]);
        if (text[i] == '\n' && uart_has_room()) {
            mmio_write32(uart.base + UART_DR, '\r');
        }
    }
}

enum status console_uart_init(u64 base)
{
    uart.base = base;
    uart.stuck = false;
    return log_sink_add(uart_sink, NULL) ? ST_OK : ST_FULL;
}

usize console_uart_read(char *to, usize max)
{
    usize bytes = 0;

    while (uart.base != 0 && bytes < max && !(mmio_read32(uart.base + UART_FR) & UART_FR_RXFE)) {
        to[bytes++] = (char)mmio_read32(uart.base + UART_DR);
    }
    return bytes;
}

/* --- PV console ring -------------------------------------------------------------------------- */
static void backlog_put(const char *text, usize bytes)
{
    for (usize i = 0; i < bytes; i++) {
        if (ring.head - ring.tail == CONSOLE_BACKLOG_BYTES) {
            ring.tail++; /* the oldest goes */
        }
        ring.backlog[ring.head++ % CONSOLE_BACKLOG_BYTES] = text[i];
    }
}

u32 console_ring_poll(void)
{
    struct xencons_interface *page = ring.page;
    u32 prod, used, room, moved = 0;

    if (!page || ring.head == ring.tail) {
        return 0;
    }
    prod = load_u32(&page->out_prod);
    used = prod - load_acquire_u32(&page->out_cons); /* read once */
    room = used <= sizeof(page->out) ? (u32)sizeof(page->out) - used : 0;
    while (moved < room && ring.tail != ring.head) {
        page->out[prod++ % sizeof(page->out)] = ring.backlog[ring.tail++ % CONSOLE_BACKLOG_BYTES];
        moved++;
    }
    if (moved != 0) {
        store_release_u32(&page->out_prod, prod);
        ring.notify(ring.notify_ctx);
    }
    return moved;
}

static void ring_sink(void *ctx, const char *text, usize bytes)
{
    (void)ctx;
    backlog_put(text, bytes);
    console_ring_poll();
}

enum status console_ring_init(void *page, void (*notify)(void *ctx), void *ctx)
{
    CHECK(page && notify);
    ring.page = page;
    ring.notify = notify;
    ring.notify_ctx = ctx;
    ring.head = ring.tail = 0;
    return log_sink_add(ring_sink, NULL) ? ST_OK : ST_FULL;
}

usize console_ring_read(char *to, usize max)
{
    struct xencons_interface *page = ring.page;
    u32 cons, pending, bytes = 0;

    if (!page) {
        return 0;
    }
    cons = load_u32(&page->in_cons);
    pending = load_acquire_u32(&page->in_prod) - cons; /* read once */
    if (pending > sizeof(page->in)) {
        cons += pending; /* nonsense: drop it all */
        pending = 0;
        store_release_u32(&page->in_cons, cons);
    }
    while (bytes < pending && bytes < max) {
        to[bytes++] = page->in[cons++ % sizeof(page->in)];
    }
    if (bytes != 0) {
        full_barrier(); /* the bytes are read before the room is given back */
        store_u32(&page->in_cons, cons);
        ring.notify(ring.notify_ctx);
    }
    return bytes;
}

/** True when everything is in the ring and its reader has taken it. */
static bool ring_is_drained(void)
{
    return ring.head == ring.tail &&
           load_u32(&ring.page->out_prod) == load_acquire_u32(&ring.page->out_cons);
}

void console_flush(void)
{
    u64 deadline_ns = port_now_ns() + CONSOLE_FLUSH_WAIT_NS;

    while (ring.page && port_now_ns() < deadline_ns) {
        console_ring_poll();
        if (ring_is_drained()) {
            return;
        }
        port_relax();
    }
}
