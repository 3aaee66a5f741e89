/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypercall.h - SEAM 5: the raw call into Xen.                                     plane: both
 *
 * The image links hypercall.S, hosted builds link tests/fake/xen.c. This is the raw tier: an
 * operation number and words. The typed tier above it has one file per family, and nothing else
 * builds the structures of a hypercall:
 *
 *   xen.h        version, parameters, start-up         evtchn.h   event channels
 *   physmap.h    what is mapped where in our space     gnttab.h   grant tables
 *   dm_op.h      ioreq servers and guest interrupts
 *
 * Pointers given to Xen are our own virtual addresses: Xen walks our page tables for them, so a
 * buffer may live anywhere in our data or on the stack, but never in a foreign mapping.
 */
#pragma once

#include "start/base/types.h"

/**
 * Call Xen: op in x16, arguments in x0..x4, hvc #0xea1 [xen/arch-arm.h]. Returns what the operation
 * returns: by convention 0 or a positive value, or a negative XEN_E* number.
 */
long hypercall(unsigned op, unsigned long a0, unsigned long a1, unsigned long a2, unsigned long a3,
               unsigned long a4);

static inline long hypercall1(unsigned op, unsigned long a0)
{
    return hypercall(op, a0, 0, 0, 0, 0);
}

static inline long hypercall2(unsigned op, unsigned long a0, unsigned long a1)
{
    return hypercall(op, a0, a1, 0, 0, 0);
}

static inline long hypercall3(unsigned op, unsigned long a0, unsigned long a1, unsigned long a2)
{
    return hypercall(op, a0, a1, a2, 0, 0);
}

/** Calls since start, by family: the price of a request is measured with these. */
enum hypercall_family { HC_EVTCHN, HC_MEMORY, HC_DM, HC_GNTTAB, HC_OTHER, HC_FAMILIES };
extern u64 hypercall_count[HC_FAMILIES];
