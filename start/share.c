/* SPDX-License-Identifier: BSD-2-Clause */
/* share.c - see share.h. */
#include "start/share.h"

#include "start/base/arith.h"
#include "start/base/log.h"

/** The guest's share, or one that is nobody's; NULL when there is none. */
static struct share *share_find(struct shares *shares, u16 domid)
{
    struct share *found = NULL;

    for (u32 i = 0; i < GUESTS_MAX; i++) {
        struct share *share = &shares->share[i];

        if (share->members > 0 && share->domid == domid) {
            return share;
        }
        found = share->members == 0 ? share : found;
    }
    return found;
}

enum status share_join(struct shares *shares, struct share_member *member, u16 domid, u32 devid)
{
    struct share *share = share_find(shares, domid);

    if (!share) {
        log_error("dom%u/%u: %d guests are served (GUESTS_MAX)", domid, devid, GUESTS_MAX);
        return ST_FULL;
    }
    if (share->members == 0) {
        *share = (struct share){.domid = domid, .first = member};
        member->next = member;
        shares->active[shares->count++] = share;
    }
    member->share = share;
    member->next = share->first->next;
    share->first->next = member;
    share->members++;
    return ST_OK;
}

void share_leave(struct shares *shares, struct share_member *member)
{
    struct share *share = member->share;
    struct share_member *before = member;

    for (u32 i = 1; i < share->members; i++) {
        before = before->next;
    }
    before->next = member->next;
    share->first = before;
    share->members--;
    for (u32 i = 0; share->members == 0 && i < shares->count; i++) {
        if (shares->active[i] == share) {
            shares->active[i] = shares->active[--shares->count];
        }
    }
}

u32 share_begin(struct shares *shares, struct share *share, u32 budget)
{
    share->first = share->first->next;
    if (PART_LIMITS && share->owed_ns > SHARE_OWED_NS) {
        share->sat_out++;
        return 0;
    }
    return max_u32(budget / shares->count, SHARE_UNITS_MIN);
}

void share_end(struct shares *shares, struct share *share, u32 budget, u32 work, u64 ns)
{
    share->hungry = work >= budget;
    share->turn_ns = ns;
    shares->hungry += share->hungry;
    if (work > 0) {
        share->turns++;
        share->units += work;
        share->ns += ns;
    }
}

/** Of several hungry ones, who has had more time than the one that had least owes the difference.
 */
static void contest(struct shares *shares)
{
    u64 least_ns = UINT64_MAX;

    for (u32 i = 0; i < shares->count; i++) {
        struct share *share = shares->active[i];

        share->owed_ns = share->hungry ? share->owed_ns + share->turn_ns : 0;
        if (share->hungry) {
            share->contested_ns += share->turn_ns;
            least_ns = min_u64(least_ns, share->owed_ns);
        }
    }
    for (u32 i = 0; i < shares->count; i++) {
        struct share *share = shares->active[i];

        share->owed_ns -= min_u64(share->owed_ns, least_ns);
        share->owed_ns = min_u64(share->owed_ns, SHARE_OWED_NS_MAX);
    }
}

void share_settle(struct shares *shares, u32 work)
{
    shares->start++;
    if (!PART_LIMITS) {
        return;
    }
    if (shares->hungry > 1) {
        contest(shares);
    }
    for (u32 i = 0; i < shares->count && (shares->hungry < 2 || work == 0); i++) {
        shares->active[i]->owed_ns = 0;
    }
    shares->hungry = 0;
}
