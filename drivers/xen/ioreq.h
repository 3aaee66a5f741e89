/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioreq.h - one ioreq server per guest: its trapped MMIO accesses come to us.     plane: control
 *
 * Knows nothing of virtio: each range has a handler. The guest's vCPU stands still from the trap to
 * our answer, so ioreq_poll() answers at once and does no I/O in between.
 */
#pragma once

#include "drivers/xen/evtchn.h"
#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

#define IOREQ_RANGES_MAX 16 /* ranges of one guest; libxl has room for 11 virtio-mmio devices */

/** One access of the guest. bytes is 1, 2, 4 or 8; offset + bytes lies inside the range. */
struct ioreq_access {
    u32 offset; /* from the start of the range */
    u8 bytes;
    bool write;
};

/** Answer an access: *data is in for a write (already cut to bytes), out for a read. */
typedef void (*ioreq_handler_fn)(void *ctx, const struct ioreq_access *access, u64 *data);

struct ioreq_range {
    u64 base, bytes; /* bytes 0: free */
    ioreq_handler_fn fn;
    void *ctx;
};

struct ioreq_server {
    u16 domid;
    u16 id;
    bool created; /* the server exists in Xen */
    u32 vcpu_count;
    u32 port_count;            /* ports bound */
    void *page;                /* struct shared_iopage, our mapping */
    u64 page_gpa;              /* where it is mapped; 0: not yet */
    u32 port[GUEST_VCPUS_MAX]; /* ours, by vCPU */
    struct evtchn_set ports;   /* the same, for looking at all at once */
    struct ioreq_range range[IOREQ_RANGES_MAX];
    u32 range_hint; /* the range of the last access */
    /** The guest gave memory back: drop every mapping of it before this returns. */
    void (*invalidate)(void *ctx);
    void *invalidate_ctx;
    u64 traps;         /* accesses answered */
    u64 invalidations; /* IOREQ_TYPE_INVALIDATE obeyed */
    u64 refused;       /* answered with all ones or ignored: no range, bad size, bad kind */
    u64 spurious;      /* events without a request behind them */
};

/**
 * Create the server for domid, map its page, bind its ports, enable it.
 * Returns ST_OK; ST_ACCES when a step is refused for lack of privilege (the sentence with the cure
 * is logged); ST_NOSUP when this Xen has no ioreq servers; ST_NOENT when there is no such guest;
 * ST_FULL when a limit is reached; ST_HYPERCALL otherwise. On failure nothing is left behind.
 */
enum status ioreq_server_create(struct ioreq_server *srv, u16 domid);
/** Answer who still waits, give everything back. The ranges' handlers are not called any more. */
void ioreq_server_destroy(struct ioreq_server *srv);
/** False once the guest is being destroyed, also while our mappings keep it from vanishing. One
 * hypercall. */
bool ioreq_guest_alive(const struct ioreq_server *srv);

/** Claim [base, base + bytes). ST_OK, ST_INVAL (overlap, wrap), ST_FULL, ST_HYPERCALL. */
enum status ioreq_range_add(struct ioreq_server *srv, u64 base, u64 bytes, ioreq_handler_fn fn,
                            void *ctx);
void ioreq_range_remove(struct ioreq_server *srv, u64 base);

/** Answer every vCPU that waits. Returns the number answered; with none waiting it costs a load. */
u32 ioreq_poll(struct ioreq_server *srv);
/** Let the ports wake us; returns true when a vCPU waits already. */
bool ioreq_arm(struct ioreq_server *srv);
void ioreq_disarm(struct ioreq_server *srv);

/** Raise an edge on the guest's SPI irq (32..). One hypercall. ST_OK or ST_HYPERCALL. */
enum status ioreq_set_irq(struct ioreq_server *srv, u32 irq);
