/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * console.h - where words can go: three kinds of console, each a log sink.        plane: control
 *
 *   hyp    HYPERVISOR_console_io: from the first line on, where this Xen allows it to a guest
 *   uart   a PL011 or SBSA UART: vpl011, or QEMU's
 *   ring   the PV console page shared with xenconsoled: what `xl console` shows; both directions
 *
 * A sink never blocks for long: a UART that does not drain loses text after a deadline and is given
 * up, the ring keeps CONSOLE_BACKLOG_BYTES and forgets the oldest beyond.
 */
#pragma once

#include "start/base/log.h"
#include "start/base/status.h"
#include "start/base/types.h"

#define CONSOLE_BACKLOG_BYTES 4096 /* text waiting for room in the ring; power of two */
#define CONSOLE_UART_WAIT_NS  UINT64_C(20000000)  /* one byte must leave within this time */
#define CONSOLE_FLUSH_WAIT_NS UINT64_C(500000000) /* console_flush() gives up after this time */

/* --- hypervisor console --------------------------------------------------------------------- */
/** The typed hypercall: 0, or a negative errno. */
typedef long (*console_hyp_fn)(const char *text, usize bytes);

/** Add the sink if Xen takes a line. ST_OK; ST_ACCES: refused (release build, not dom0less);
 * ST_FULL. */
enum status console_hyp_init(console_hyp_fn write);

/* --- UART ----------------------------------------------------------------------------------- */
/** Add the sink; the registers at base (4 KiB) are mapped. ST_OK; ST_FULL. */
enum status console_uart_init(u64 base);
/** Bytes typed at the UART; 0 when there are none. Never waits. */
usize console_uart_read(char *to, usize max);

/* --- PV console ring -------------------------------------------------------------------------- */
/**
 * Add the sink; page is the shared struct xencons_interface, notify sends its event channel.
 * ST_OK; ST_FULL.
 */
enum status console_ring_init(void *page, void (*notify)(void *ctx), void *ctx);
/** Move waiting text into the ring. Call it when the event comes and now and then. Returns bytes
 * moved. */
u32 console_ring_poll(void);
/** Bytes typed at `xl console`; 0 when there are none. Never waits. */
usize console_ring_read(char *to, usize max);

/** Wait, up to CONSOLE_FLUSH_WAIT_NS, until the ring's reader has taken everything. For the end. */
void console_flush(void);
