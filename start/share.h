/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * share.h - who may do how much in a turn of the poll loop: guests first, then their devices, of
 * both front ends alike.                                                          plane: data
 *
 *   turn:   every guest with devices has an equal share of the budget, each turn another one first
 *   guest:  its devices divide what is left of the guest's share; each turn another one is first;
 *           what one does not use is the next one's
 *
 * So eight disks of one guest weigh as much as one disk of another. A request is done whole, so a
 * guest may take more than its share, and a unit of work may be dear; hence the time counts too
 * (PART_LIMITS): of the guests that want more than they get, who has had more of it than another
 * owes the difference, and sits out turns until the other has had as much. Who is content owes
 * nothing, and when nobody else wants more than it gets, nobody does.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/parts.h"
#include "start/base/status.h"

#define SHARE_UNITS_MIN 4               /* of a guest in a turn, however many there are */
#define SHARE_OWED_NS   UINT64_C(50000) /* owing more than this, a guest sits out turns */
/* It never owes more than this: time goes by in a guest's turn also while Xen runs somebody else in
 * our place, and that shall keep nobody from its disk for long. */
#define SHARE_OWED_NS_MAX UINT64_C(2000000)

struct share;

/** What a device has in its guest's share. */
struct share_member {
    struct share_member *next; /* of the same guest, round in a ring */
    struct share *share;
    bool pv; /* in a struct pv_device, not in a struct device */
};

/** A guest's. */
struct share {
    u16 domid;
    u32 members;                /* 0: nobody's */
    struct share_member *first; /* whose turn comes first */
    bool hungry;                /* in this turn it used up its budget, or sat out */
    u64 turn_ns;                /* this turn took it so long */
    u64 owed_ns;
    /* counters since it came */
    u64 turns;        /* in which it did something */
    u64 units;        /* of work */
    u64 ns;           /* that these turns and its trapped accesses took */
    u64 contested_ns; /* of those, in turns in which two guests or more wanted more than they got */
    u64 sat_out;      /* turns */
};

struct shares {
    struct share share[GUESTS_MAX];
    struct share *active[GUESTS_MAX]; /* those with members, dense */
    u32 count;
    u32 start;  /* whose turn comes first */
    u32 hungry; /* guests in this turn that are */
};

/**
 * A device of domid has turns from now on. ST_OK; ST_FULL with a line when GUESTS_MAX guests are
 * served. who: the device, for that line.
 */
enum status share_join(struct shares *shares, struct share_member *member, u16 domid, u32 devid);
/** It has no turns any more; the guest's share goes with its last device. */
void share_leave(struct shares *shares, struct share_member *member);

/** What share may do in this turn, of a budget for all. Its next device is first in the next turn.
 */
u32 share_begin(struct shares *shares, struct share *share, u32 budget);
/** Of what is left of a guest's budget, the part of a device when left devices are still to come.
 */
static inline u32 share_part(u32 budget, u32 work, u32 left)
{
    return work < budget ? (budget - work + left - 1) / left : 0;
}
/** It did so many units of its budget, in ns. */
void share_end(struct shares *shares, struct share *share, u32 budget, u32 work, u64 ns);
/** All guests have had their turn, and did work units together. */
void share_settle(struct shares *shares, u32 work);
