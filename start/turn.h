/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.h - the data plane's turn: every device of every guest, of both front ends, within the share
 * that start/share.h gives it.                                                    plane: data
 */
#pragma once

#include "start/attach.h"
#include "start/poll.h"
#include "start/pv.h"
#include "start/share.h"

struct turn {
    struct shares shares;
    struct attach *attach;
    struct pv *pv; /* NULL: no PV disks are served */
};

/** The two pollers: trapped accesses first, data second. */
void turn_add_pollers(struct turn *turn, struct poll_loop *loop);

/** The second one's. ctx is the struct turn. */
u32 turn_poll(void *ctx, u32 budget);
