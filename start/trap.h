/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.h - the end: exceptions and panics become a report, then the domain stops.  plane: control
 *
 * The report goes through log_error() to every sink: what happened in words, ESR, FAR, ELR, the
 * registers, and the call chain by frame pointers, each address also as an offset into the image:
 * tools/backtrace.py turns the offsets into source lines. The handler has a stack of its own, so an
 * overflow of the main stack is reported like anything else.
 */
#pragma once

#include "start/base/types.h"

/** What vectors.S stores; the order is known to it. */
struct trap_frame {
    u64 x[31];
    u64 sp;
    u64 elr;
    u64 spsr;
    u64 esr;
    u64 far;
};

/**
 * What ends the domain after a report (SCHEDOP_shutdown, say). It should not return; if it does, or
 * before it is set, the CPU waits for ever. flush (may be NULL) is called before it, to let slow
 * consoles take the text; it must be bounded by a deadline.
 */
void trap_set_halt(void (*halt)(void));
void trap_set_flush(void (*flush)(void));

/** Called by vectors.S: kind is the vector's number, 0..15. */
_Noreturn void trap_entry(const struct trap_frame *frame, u64 kind);

/**
 * Do what must end in a report: "wild" reads through a wild pointer, "code" writes to our own code,
 * "stack" overflows the stack. Returns (false) only for another word.
 */
bool trap_selftest(const char *kind);
