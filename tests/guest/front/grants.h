/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grants.h - pages of ours that we offer to another domain [xen/grant_table.h], version 1.
 *                                                                                    plane: data
 * The only writer of our grant table. A run of references stands for a run of pages, so that a
 * buffer of several pages has consecutive ones.
 */
#pragma once

#include "tests/guest/front/machine.h"

/** Pages that may be offered, page i under reference ref + i; what is offered now is in the table.
 */
struct grant_run {
    u8 *base;
    u32 pages;
    u32 ref;
    u16 domid; /* to whom */
};

/** The table, which machine_init() has mapped. */
void grants_init(struct front_machine *m);

/** References for pages of ours from base on. Ends the domain when the table is full. */
struct grant_run grants_take(u8 *base, u32 pages, u16 domid);

/** Offer count pages from page first on. */
void grants_offer(const struct grant_run *run, u32 first, u32 count, bool read_only);

/**
 * Take count pages back from page first on, in use or not: what is not in use now cannot be mapped
 * any more. Returns how many the other side still has in use; these stay offered.
 */
u32 grants_revoke(const struct grant_run *run, u32 first, u32 count);

/** Entries of the table that are offered now. */
u32 grants_offered(void);
