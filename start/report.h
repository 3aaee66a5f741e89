/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - the counters as text, for people and for scripts.                   plane: control
 *
 * Lines of "stats AREA key=value ..." through the log. AREA is "image", "xen", "memory",
 * "share domN" (what turns a guest
 * had), "device NAME" (the class's own counters) or "events NAME". Numbers are decimal and count
 * since start.
 */
#pragma once

#include "start/attach.h"
#include "start/pv.h"
#include "start/turn.h"

struct report {
    const struct attach *attach;
    const struct pv *pv; /* zeroes when the image has none */
    const struct turn *turn;
    const struct poll_loop *loop;
    u64 spurious_irqs; /* refreshed by the caller before report_all() */
};

/** Everything. */
void report_all(const struct report *report);
/** What is held on behalf of guests: all zero again when the last one is gone. */
void report_held(const struct report *report);
