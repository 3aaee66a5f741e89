/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evtchn.c - event channels, two-level ABI. See evtchn.h.
 *
 * The shared page is written by Xen and by us at the same time, bit by bit, so these are the only
 * atomic read-modify-writes of the program. No guest can write this page: nobody can keep us in the
 * loop.
 */
#include "drivers/xen/evtchn.h"

#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/base/log.h"
#include "start/port.h"

#include "drivers/xen/hypercall.h"
#include "drivers/xen/physmap.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xen_abi.h"

#define WORDS     64
#define WORD_BITS 64

STATIC_CHECK(EVTCHN_PORTS_MAX == WORDS * WORD_BITS, "the two-level ABI has 64 words of 64 ports");
STATIC_CHECK(sizeof(((struct shared_info *)0)->evtchn_pending) == WORDS * sizeof(u64),
             "the shared page is that of a 64-bit domain");

static struct shared_info *shared;
static u32 open_count;

static u64 word_and(void *p, u64 bits)
{
    return __atomic_fetch_and((u64 *)p, bits, __ATOMIC_SEQ_CST);
}

static u64 word_or(void *p, u64 bits)
{
    return __atomic_fetch_or((u64 *)p, bits, __ATOMIC_SEQ_CST);
}

enum status evtchn_init(u64 gpa)
{
    long rc = physmap_shared_info(gpa / PAGE_BYTES);

    if (rc < 0) {
        log_error("evtchn: Xen refuses to map the shared page at 0x%llx: %s",
                  (unsigned long long)gpa, xen_errno_name(rc));
        return ST_HYPERCALL;
    }
    shared = (struct shared_info *)(uintptr_t)gpa;
    open_count = 0;
    for (u32 i = 0; i < WORDS; i++) {
        store_u64(&shared->evtchn_mask[i], UINT64_MAX);
    }
    evtchn_drain();
    return ST_OK;
}

static long evtchn_op(unsigned op, void *arg)
{
    hypercall_count[HC_EVTCHN]++;
    return hypercall2(__HYPERVISOR_event_channel_op, op, (unsigned long)arg);
}

/** A guest can make this happen again and again: said at a limited rate. */
static enum status evtchn_status(const char *what, u16 remote, long rc)
{
    static struct log_limit said;

    if (log_limit_ok(&said)) {
        log_error("evtchn: %s domain %u: %s", what, remote, xen_errno_name(rc));
    }
    switch (-rc) {
    case XEN_ENOSPC:
        return ST_FULL;
    case XEN_EPERM:
    case XEN_EACCES:
        return ST_ACCES;
    case XEN_ESRCH:
    case XEN_EINVAL:
        return ST_NOENT;
    default:
        return ST_HYPERCALL;
    }
}

/** A fresh port of ours: within the ABI we use, masked, and counted. */
static enum status evtchn_opened(u32 port)
{
    if (port >= EVTCHN_PORTS_MAX) {
        struct evtchn_close arg = {.port = port};

        (void)evtchn_op(EVTCHNOP_close, &arg);
        return ST_FULL;
    }
    evtchn_mask(port);
    open_count++;
    return ST_OK;
}

enum status evtchn_alloc_unbound(u16 remote, u32 *port)
{
    struct evtchn_alloc_unbound arg = {.dom = DOMID_SELF, .remote_dom = remote};
    long rc = evtchn_op(EVTCHNOP_alloc_unbound, &arg);

    if (rc < 0) {
        return evtchn_status("no port for", remote, rc);
    }
    *port = arg.port;
    return evtchn_opened(arg.port);
}

enum status evtchn_bind_interdomain(u16 remote, u32 remote_port, u32 *port)
{
    struct evtchn_bind_interdomain arg = {.remote_dom = remote, .remote_port = remote_port};
    long rc = evtchn_op(EVTCHNOP_bind_interdomain, &arg);

    if (rc < 0) {
        return evtchn_status("cannot bind a port of", remote, rc);
    }
    *port = arg.local_port;
    return evtchn_opened(arg.local_port);
}

void evtchn_close(u32 port)
{
    struct evtchn_close arg = {.port = port};
    long rc;

    CHECK(port < EVTCHN_PORTS_MAX && open_count > 0);
    evtchn_mask(port);
    rc = evtchn_op(EVTCHNOP_close, &arg);
    if (rc < 0) {
        log_error("evtchn: port %u does not close: %s", port, xen_errno_name(rc));
        return;
    }
    (void)evtchn_take(port);
    open_count--;
}

enum status evtchn_send(u32 port)
{
    struct evtchn_send arg = {.port = port};

    return evtchn_op(EVTCHNOP_send, &arg) < 0 ? ST_HYPERCALL : ST_OK;
}

bool evtchn_connected(u32 port)
{
    struct evtchn_status arg = {.dom = DOMID_SELF, .port = port};

    return evtchn_op(EVTCHNOP_status, &arg) == 0 && arg.status == EVTCHNSTAT_interdomain;
}

bool evtchn_take(u32 port)
{
    u64 bit = BIT64(port % WORD_BITS);
    void *word = &shared->evtchn_pending[port / WORD_BITS];

    /* The plain look first: most looks find nothing, and a load costs less than the exclusive pair.
     */
    return (load_u64(word) & bit) && (word_and(word, ~bit) & bit);
}

void evtchn_mask(u32 port)
{
    (void)word_or(&shared->evtchn_mask[port / WORD_BITS], BIT64(port % WORD_BITS));
}

bool evtchn_unmask(u32 port)
{
    u32 word = port / WORD_BITS;
    u64 bit = BIT64(port % WORD_BITS);

    /* Unmask, then look; the partner is Xen's set-pending, then look at mask. The exclusive pair of
     * the unmasking alone would let the look go first. */
    (void)word_and(&shared->evtchn_mask[word], ~bit);
    full_barrier();
    return load_u64(&shared->evtchn_pending[word]) & bit;
}

bool evtchn_unmask_take(u32 port)
{
    return evtchn_unmask(port) && evtchn_take(port);
}

void evtchn_set_init(struct evtchn_set *set)
{
    set->count = 0;
}

enum status evtchn_set_add(struct evtchn_set *set, u32 port)
{
    u32 word = port / WORD_BITS;
    u32 i = 0;

    while (i < set->count && set->part[i].word != word) {
        i++;
    }
    if (i == EVTCHN_SET_WORDS) {
        return ST_FULL;
    }
    if (i == set->count) {
        set->part[i].word = word;
        set->part[i].bits = 0;
        set->count++;
    }
    set->part[i].bits |= BIT64(port % WORD_BITS);
    return ST_OK;
}

bool evtchn_set_pending(const struct evtchn_set *set)
{
    for (u32 i = 0; i < set->count; i++) {
        if (load_u64(&shared->evtchn_pending[set->part[i].word]) & set->part[i].bits) {
            return true;
        }
    }
    return false;
}

void evtchn_set_mask(const struct evtchn_set *set)
{
    for (u32 i = 0; i < set->count; i++) {
        (void)word_or(&shared->evtchn_mask[set->part[i].word], set->part[i].bits);
    }
}

bool evtchn_set_unmask(const struct evtchn_set *set)
{
    for (u32 i = 0; i < set->count; i++) {
        (void)word_and(&shared->evtchn_mask[set->part[i].word], ~set->part[i].bits);
    }
    full_barrier(); /* as in evtchn_unmask() */
    return evtchn_set_pending(set);
}

void evtchn_drain(void)
{
    struct vcpu_info *vcpu = &shared->vcpu_info[0];

    /*
     * 1 the upcall flag goes first: a send from here on raises the interrupt again;
     * 2 then the selector, whose set bits would keep a send from doing so;
     * 3 the pending bits stay for their owners.
     */
    __atomic_store_n(&vcpu->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    (void)__atomic_exchange_n((u64 *)(void *)&vcpu->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
}

void evtchn_all_masked(void)
{
    if (load_acquire_u8(&shared->vcpu_info[0].evtchn_upcall_pending)) {
        evtchn_drain();
    }
}

u32 evtchn_open_count(void)
{
    return open_count;
}
