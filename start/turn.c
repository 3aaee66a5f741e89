/* SPDX-License-Identifier: BSD-2-Clause */
/* turn.c - see turn.h. */
#include "start/turn.h"

#include "start/base/arith.h"
#include "start/base/parts.h"
#include "start/port.h"

static u32 member_poll(struct turn *turn, struct share_member *member, u32 budget)
{
    if (PART_PV && member->pv) {
        return pv_device_poll(turn->pv, container_of(member, struct pv_device, member), budget);
    }
    return attach_device_poll(turn->attach, container_of(member, struct device, member), budget);
}

/**
 * The devices of one guest, which may go meanwhile. Each has a part of the budget; then those that
 * want more have what others left of it.
 */
static u32 guest_poll(struct turn *turn, struct share *share, u32 budget)
{
    struct share_member *member = share->first;
    bool more = false, again = false;
    u32 work = 0;

    for (u32 left = share->members; left > 0; left--) {
        struct share_member *next = member->next;
        u32 part = share_part(budget, work, again ? 1 : left);
        u32 done = member_poll(turn, member, part);

        work += done;
        more |= done >= part;
        if (left == 1 && more && !again && work < budget) {
            again = true;
            left += share->members;
        }
        member = next;
    }
    return work;
}

u32 turn_poll(void *ctx, u32 budget)
{
    struct turn *turn = ctx;
    struct shares *shares = &turn->shares;
    u32 count = shares->count;
    u32 reaped = gmem_foreign_reap(), work = 0;
    u64 then_ns, now_ns;

    if (!attach_due(turn->attach) && (!PART_PV || !pv_due(turn->pv))) {
        return reaped;
    }
    then_ns = PART_LIMITS ? port_now_ns() : 0;
    for (u32 i = 0; i < count && i < shares->count; i++) {
        struct share *share = shares->active[(shares->start + i) % shares->count];
        u32 part = share_begin(shares, share, budget);
        u32 done = guest_poll(turn, share, part);

        work += done;
        if (PART_LIMITS) {
            now_ns = port_now_ns();
            share_end(shares, share, part, done, now_ns - then_ns);
            then_ns = now_ns;
        }
    }
    share_settle(shares, work);
    return reaped + work;
}

static bool turn_arm(void *ctx)
{
    struct turn *turn = ctx;
    bool pending = attach_arm(turn->attach);

    return (PART_PV && turn->pv && pv_arm(turn->pv)) || pending;
}

static void turn_disarm(void *ctx)
{
    struct turn *turn = ctx;

    attach_disarm(turn->attach);
    if (PART_PV && turn->pv) {
        pv_disarm(turn->pv);
    }
}

/** When the first rest of a device is over. */
static u64 turn_deadline_ns(void *ctx)
{
    const struct turn *turn = ctx;

    return PART_PV && turn->pv ? min_u64(turn->attach->wake_ns, turn->pv->wake_ns)
                               : turn->attach->wake_ns;
}

void turn_add_pollers(struct turn *turn, struct poll_loop *loop)
{
    poll_add(loop, &(struct poller){
                       .poll = attach_mmio_poll,
                       .arm = attach_mmio_arm,
                       .disarm = attach_mmio_disarm,
                       .ctx = turn->attach,
                   });
    poll_add(loop, &(struct poller){
                       .poll = turn_poll,
                       .arm = turn_arm,
                       .disarm = turn_disarm,
                       .deadline_ns = turn_deadline_ns,
                       .ctx = turn,
                   });
}
