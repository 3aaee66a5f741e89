/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_parts.h - what the files of the fake Xen share; for them alone. */
#pragma once

#include "tests/fake/xen.h"

enum frame_kind { FRAME_NONE, FRAME_SHARED, FRAME_FOREIGN, FRAME_IOREQ, FRAME_GRANT, FRAME_TABLE };

struct frame {
    enum frame_kind kind;
    struct fake_guest *guest;
    u32 handle; /* FRAME_GRANT: the grant, counted from 1 */
};

enum port_state { PORT_FREE, PORT_UNBOUND, PORT_BOUND };

struct port {
    enum port_state state;
    struct fake_guest *guest; /* whose vCPU; NULL: xenstored */
    u32 vcpu;
};

extern struct port fake_port[FAKE_PORTS];

_Noreturn void fake_complain(const char *what);
/** Show a page of a memory file at frame gfn, or nothing. */
void fake_frame_show(u64 gfn, int fd, u64 offset);
void fake_frame_hide(u64 gfn);
/** NULL outside the region. */
struct frame *fake_frame(u64 gfn);
struct fake_guest *fake_guest_by_id(u16 domid);
/** A dying guest that nothing holds any more vanishes. */
void fake_guest_settle(struct fake_guest *guest);
/** May we do this to domid: 0 or a negative errno. */
long fake_may(u16 domid, u32 right);

/* Hypercall families with a file of their own. */
void fake_grants_reset(void);
long fake_grant_op(unsigned op, void *arg, u32 count);
struct xen_dm_op_buf;
long fake_dm_op(u16 domid, unsigned bufs, const struct xen_dm_op_buf *buf);
