/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evtchn.h - event channels, two-level ABI [xen/event_channel.h].                 plane: both
 *
 * A port is a bit that the other side sets and we take. Nothing is ever handled in an interrupt:
 * while the loop spins every port is masked, so that a peer's send costs no interrupt, and the
 * owners look at their pending bits. Before the loop sleeps the owners unmask; after it woke
 * evtchn_drain() resets the upcall, and the owners mask again.
 *
 * Xen on a send:  set pending; if it was clear and mask is clear: set selector; if that was clear:
 * upcall. We to arm:      clear mask, then look at pending.  One of the two sees the other: no
 * event is lost. A pending bit is cleared only by evtchn_take(), by the owner who then looks for
 * work.
 *
 * One instance per domain, as Xen has one shared page per domain.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define EVTCHN_PORTS_MAX 4096 /* 64 words of 64 bits: the two-level ABI of a 64-bit domain */

/** Ports of one owner, grouped by word so that looking at many costs one load. */
#define EVTCHN_SET_WORDS 8 /* words one owner's ports may spread over */
struct evtchn_set {
    u32 count;
    struct {
        u32 word;
        u64 bits;
    } part[EVTCHN_SET_WORDS];
};

/**
 * Map the shared page at gpa (a page of extended region of ours), mask every port, forget the past.
 * ST_OK; ST_HYPERCALL with the errno logged.
 */
enum status evtchn_init(u64 gpa);

/** A new port for remote to bind. ST_OK, ST_FULL, ST_ACCES, ST_HYPERCALL. It is masked. */
enum status evtchn_alloc_unbound(u16 remote, u32 *port);
/** Bind to a port the other side allocated for us. ST_OK, ST_NOENT, ST_FULL, ST_ACCES,
 * ST_HYPERCALL. */
enum status evtchn_bind_interdomain(u16 remote, u32 remote_port, u32 *port);
/** Close; the port is masked and not pending afterwards. */
void evtchn_close(u32 port);
/** Tell the other side. ST_OK or ST_HYPERCALL. */
enum status evtchn_send(u32 port);
/** True while the other side holds its end. One hypercall; control plane only. */
bool evtchn_connected(u32 port);

/** Test and clear the pending bit. */
bool evtchn_take(u32 port);
void evtchn_mask(u32 port);
/** Returns true when the port is pending already: no upcall will come for that. */
bool evtchn_unmask(u32 port);
/**
 * For an owner who looks at more than the pending bit: unmask; true, and the bit is taken, when the
 * port is pending already. No upcall comes while the bit is set, so an owner may sleep only on
 * false.
 */
bool evtchn_unmask_take(u32 port);

void evtchn_set_init(struct evtchn_set *set);
/** ST_OK; ST_FULL when the ports spread over more than EVTCHN_SET_WORDS words. */
enum status evtchn_set_add(struct evtchn_set *set, u32 port);
/** True when any port of the set is pending: one relaxed load per word. */
bool evtchn_set_pending(const struct evtchn_set *set);
void evtchn_set_mask(const struct evtchn_set *set);
/** Returns true when one of them is pending already. */
bool evtchn_set_unmask(const struct evtchn_set *set);

/** After a sleep: reset the upcall, so that the next unmasked event interrupts again. */
void evtchn_drain(void);
/**
 * When every port is masked again: an event between evtchn_drain() and the masking left the upcall
 * set, and Xen raises no second one while it is. Its pending bit is what counts; the upcall is
 * forgotten here, and never while a port is unmasked, whose wake-up it might be.
 */
void evtchn_all_masked(void);

/** Ports opened here and not closed. */
u32 evtchn_open_count(void);
