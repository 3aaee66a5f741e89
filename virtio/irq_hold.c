/* SPDX-License-Identifier: BSD-2-Clause */
/* irq_hold.c - see irq_hold.h. */
#include "virtio/irq_hold.h"

#include "start/base/arith.h"
#include "start/port.h"

bool irq_hold_more(struct irq_hold *hold, u32 count, u64 hold_ns)
{
    u64 now_ns;

    if (__builtin_expect(hold->target <= 1, 1) || hold_ns == 0 ||
        count - hold->told >= hold->target) {
        return false;
    }
    now_ns = port_now_ns();
    if (!hold->holding) {
        hold->holding = true;
        hold->since_ns = now_ns;
    }
    return now_ns - hold->since_ns < hold_ns;
}

static void target_reached(struct irq_hold *hold)
{
    if (!hold->missed) {
        hold->target = min_u32(2 * hold->target, IRQ_HOLD_MAX);
    } else if (++hold->calm == IRQ_HOLD_CALM) {
        hold->calm = 0;
        hold->target = min_u32(hold->target + 1, IRQ_HOLD_MAX);
    }
}

static void target_missed(struct irq_hold *hold, u32 found)
{
    hold->missed = true;
    hold->calm = 0;
    hold->target = found - found / 4;
    if (hold->target <= 1) {
        *hold = (struct irq_hold){.told = hold->told};
    }
}

void irq_hold_end(struct irq_hold *hold, u32 count, bool wanted)
{
    u32 found = count - hold->told;

    hold->told = count;
    hold->holding = false;
    if (!wanted) {
        return; /* the driver is at it anyway: nothing is learnt */
    }
    if (hold->target <= 1) {
        hold->target = found >= IRQ_HOLD_PROOF ? min_u32(found - found / 4, IRQ_HOLD_MAX) : 0;
    } else if (found >= hold->target) {
        target_reached(hold);
    } else {
        target_missed(hold, found);
    }
}
