/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.h - a Xen in one process: implements hypercall() of drivers/xen/hypercall.h.
 *
 * It checks rights, numbers and order as Xen does and keeps books, so that a leak shows. Our
 * guest-physical space is real memory at the same address: mapping a guest's page really aliases
 * it, and an access to what is not mapped is a fault. Tests play the guests and the toolstack.
 */
#pragma once

#include "start/base/types.h"

#define FAKE_SELF         1 /* our own domid */
#define FAKE_GUESTS       40
#define FAKE_VCPUS        64
#define FAKE_RANGES       16
#define FAKE_GRANTS       4096
#define FAKE_FRONT_PORTS  16   /* ports that a guest opens for us */
#define FAKE_FRONT_PORT   100u /* the first of them, as the guest numbers them */
#define FAKE_PORTS        4096
#define FAKE_XS_PORT      1 /* bound to xenstored from the start */
#define FAKE_REGION_BYTES MIB(704)
#define FAKE_GUEST_BASE   UINT64_C(0x40000000)
#define FAKE_SPIS         1020

/** Whose rules: what the errno ladder is about. */
enum fake_policy {
    FAKE_CONTROL,  /* we are a control domain */
    FAKE_DUMMY,    /* xsm=dummy: only the guest that set_target named */
    FAKE_SILO,     /* xsm=silo: and no event channels to it */
    FAKE_FLASK,    /* a policy: rights is what it allows over guests */
    FAKE_NO_IOREQ, /* Debian's own Xen */
};

#define FAKE_RIGHT_DM       1u
#define FAKE_RIGHT_EVENT    2u
#define FAKE_RIGHT_RESOURCE 4u
#define FAKE_RIGHT_MMU      8u
#define FAKE_RIGHT_ALL      15u

struct fake_grant {
    bool valid, read_only;
    u64 gfn;
    u32 mapped;
};

struct fake_guest {
    u16 domid; /* 0: no such guest */
    bool dying;
    u32 vcpus;
    int memory_fd;
    u8 *memory; /* our window for playing the guest */
    u64 memory_bytes;
    u32 pages_held; /* by us: a dying guest stays until this is 0 */
    bool server, server_enabled;
    int ioreq_fd;
    u8 *ioreq; /* our view of the ioreq page */
    u32 ranges;
    struct {
        u64 start, end; /* inclusive, as in the hypercall */
    } range[FAKE_RANGES];
    u32 vcpu_port[FAKE_VCPUS];  /* the guest's end */
    u32 local_port[FAKE_VCPUS]; /* ours, 0: not bound */
    u32 answers[FAKE_VCPUS];    /* events that came back */
    u32 irqs[FAKE_SPIS];
    struct fake_grant grant[FAKE_GRANTS];
    struct {
        bool open;
        u32 local;  /* ours, 0: not bound */
        u32 events; /* that we sent */
    } front_port[FAKE_FRONT_PORTS];
};

struct fake_xen {
    enum fake_policy policy;
    u32 rights;             /* FAKE_FLASK */
    u16 target;             /* FAKE_DUMMY, FAKE_SILO */
    u64 region;             /* FAKE_REGION_BYTES of extended region, 2 MiB aligned */
    u32 tables, tables_max; /* second-stage tables in use; ENOMEM above */
    u64 calls, upcalls;
    u32 xs_sends; /* events we sent to xenstored */
    u64 param[64];
    struct fake_guest guest[FAKE_GUESTS];
    char console[256];
};

extern struct fake_xen fake_xen;

/** A new machine: no guests, everything of the old one gone. */
void fake_xen_reset(enum fake_policy policy);

/** The nth hypercall from now (1: the next) is answered error without being done; 0: none.
 * Multicalls count as one and so does each call inside. */
void fake_xen_fail(u64 nth, long error);
/** From now on each call of memory, event, dm, grant operation op of hypercall number is answered
 * error. */
void fake_xen_fail_op(unsigned hypercall_number, unsigned op, long error);

struct fake_guest *fake_guest_make(u16 domid, u32 vcpus, u64 memory_bytes);
/** What xl destroy does to it: event channels close at once; it is gone when nothing holds its
 * pages. */
void fake_guest_kill(struct fake_guest *guest);
/** True when the domain has vanished: no zombie. */
bool fake_guest_gone(const struct fake_guest *guest);
/** The guest's byte at a guest-physical address. */
u8 *fake_guest_byte(struct fake_guest *guest, u64 addr);

/** The vCPU accesses a device. False: no enabled server claims it (a data abort in the guest). */
bool fake_guest_access(struct fake_guest *guest, u32 vcpu, u64 addr, u32 size, bool write,
                       u64 data);
/** Any ioreq, however odd. */
struct fake_ioreq {
    u64 addr, data;
    u32 count, size;
    bool write, data_is_ptr;
    u8 type;
};
void fake_guest_ioreq(struct fake_guest *guest, u32 vcpu, const struct fake_ioreq *req);
/** Take the answer: true when it came in good order (state and event), the vCPU runs on then. */
bool fake_guest_resume(struct fake_guest *guest, u32 vcpu, u64 *data);

/** Somebody sends an event to one of our ports. */
void fake_event(u32 port);
/** An upcall has been made and not been drained. */
bool fake_upcall_pending(void);

/* Books: 0 everywhere means nothing was left behind. */
u32 fake_ports_open(void);    /* opened by us */
u32 fake_pages_foreign(void); /* guests' pages in our space */
u32 fake_grants_mapped(void);
u32 fake_servers(void);

/* --- a small xenstored (xenstored.c): paths are absolute, or relative to /local/domain/1 -------
 */

void fake_xs_reset(void);
void *fake_xs_page(void);
void fake_xs_set(const char *path, const char *value);
void fake_xs_rm(const char *path);
/** NULL when there is none. */
const char *fake_xs_get(const char *path);
bool fake_xs_exists(const char *path);
/** Answer what is in the ring. */
void fake_xs_step(void);
/** Writes and removals below this prefix are refused to us; NULL: none. */
void fake_xs_deny(const char *prefix);
/** Our domain's quota of nodes is used up: what is not there cannot be written by us. */
void fake_xs_nodes_full(bool full);
/** The next n commits answer EAGAIN. */
void fake_xs_conflict(u32 n);
/** Nothing is answered while set. */
void fake_xs_hang(bool hang);
/** Put raw bytes into the answer ring. */
void fake_xs_inject(const void *bytes, u32 count);
/** Watches that are placed. */
u32 fake_xs_watches(void);
/** Open transactions. */
u32 fake_xs_transactions(void);
