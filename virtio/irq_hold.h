/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * irq_hold.h - when the interrupt of a completion waits for company.              plane: data
 *
 * An interrupt costs a guest more than a completion does: its vCPU leaves what it was at, and over
 * virtio-mmio it traps twice (InterruptStatus, InterruptACK). A driver that has more to submit is
 * better served by one interrupt for several completions; one that waits for this answer is not.
 * The two are told apart by proof, not by guess:
 *
 *   depth 1   an interrupt never finds more than one completion, and nothing is ever held
 *   deeper    an interrupt that finds IRQ_HOLD_PROOF of them shows a driver that goes on without
 *             answers: from then on an interrupt waits until `target` completions are there, or
 *             until hold_ns have passed since the first of them
 *
 * A target that is reached doubles, until one is missed; a missed one falls to three quarters of
 * what came, down to 1, which holds nothing; then it grows by 1 in IRQ_HOLD_CALM reached ones. So
 * a driver at a steady depth waits in vain about once in IRQ_HOLD_CALM interrupts.
 *
 * Holding is putting off the question whether the driver wants an interrupt [VIRTIO 2.7.7.2]: a
 * driver that finds its completions meanwhile is not interrupted at all.
 */
#pragma once

#include "start/base/types.h"

#define IRQ_HOLD_PROOF 3  /* completions at one interrupt */
#define IRQ_HOLD_MAX   32 /* completions worth waiting for */
#define IRQ_HOLD_CALM  64 /* reached targets before a larger one is tried */

struct irq_hold {
    u32 told;   /* completions when the driver was last told, or needed no telling */
    u32 target; /* completions that end the waiting; 0 and 1: there is none */
    u32 calm;   /* targets reached since one was missed; IRQ_HOLD_CALM at most */
    bool missed;
    bool holding;
    u64 since_ns; /* valid while holding */
};

/**
 * May the interrupt for the completions up to count (running freely modulo 2^32) wait? The clock
 * is read only when it may. Call again, each turn, until it is false; then irq_hold_end().
 * hold_ns of 0: never.
 */
bool irq_hold_more(struct irq_hold *hold, u32 count, u64 hold_ns);

/** The driver was asked whether it wants the interrupt: learn from what it was told of. */
void irq_hold_end(struct irq_hold *hold, u32 count, bool wanted);
