/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ioreq.c - one ioreq server per guest. See ioreq.h.                              [xen/hvm/ioreq.h]
 *
 *   slot state:   NONE --Xen--> READY --we--> INPROCESS --we--> RESP_READY --Xen--> NONE
 *
 * Xen writes a slot, sets it READY and sends the vCPU's event; we answer, set it RESP_READY and
 * send the event back. Any other order makes Xen crash the guest. A slot is ours from READY to
 * RESP_READY and is Xen's the rest of the time; no guest can write the page.
 */
#include "drivers/xen/ioreq.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"

#include "drivers/xen/dm_op.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/physmap.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xen_abi.h"

/* `state` is a bit-field: it shares its byte with flags, and C cannot say acquire or release of it.
 */
#define SLOT_STATE_BYTE  30
#define SLOT_STATE_MASK  0x0fu
#define SLOT_DATA_IS_PTR 0x10u
#define SLOT_DIR_READ    0x20u

STATIC_CHECK(sizeof(struct ioreq) == 32, "a slot is 32 bytes");
STATIC_CHECK(offsetof(struct ioreq, _pad0) == SLOT_STATE_BYTE - 2 &&
                 offsetof(struct ioreq, type) == SLOT_STATE_BYTE + 1,
             "the state byte lies between _pad0 and type");
STATIC_CHECK(GUEST_VCPUS_MAX * sizeof(struct ioreq) <= PAGE_BYTES, "all slots lie in one page");

/** An ioreq as it was when it became READY: read once. */
struct ioreq_snapshot {
    u64 addr, data;
    u32 count, size;
    u8 flags, type;
};

static u8 *slot_of(const struct ioreq_server *srv, u32 vcpu)
{
    return (u8 *)srv->page + vcpu * sizeof(struct ioreq);
}

/** The state byte; acquire pairs with Xen's barrier before it set READY. */
static u8 slot_flags(const u8 *slot)
{
    return load_acquire_u8(slot + SLOT_STATE_BYTE);
}

/** Release: the data is there before Xen sees the state. */
static void slot_state_set(u8 *slot, u8 flags, u8 state)
{
    store_release_u8(slot + SLOT_STATE_BYTE, (u8)((flags & ~SLOT_STATE_MASK) | state));
}

/* --- set up and tear down -------------------------------------------------------------------- */

/** Each refusal in words, with the cure. docs/privilege.md has the same table. */
static enum status refused(u16 domid, const char *step, long rc)
{
    switch (-rc) {
    case XEN_ENOSYS:
    case XEN_EOPNOTSUPP:
        log_error(
            "guest %u: %s: %s: this Xen has no ioreq server; build it with CONFIG_EXPERT=y and "
            "CONFIG_IOREQ_SERVER=y",
            domid, step, xen_errno_name(rc));
        return ST_NOSUP;
    case XEN_ESRCH:
        log_error("guest %u: %s: ESRCH (3): there is no such guest (any more)", domid, step);
        return ST_NOENT;
    case XEN_EPERM:
        log_error("guest %u: %s: EPERM (1): no right over this guest (docs/privilege.md)", domid,
                  step);
        return ST_ACCES;
    case XEN_EACCES:
        log_error(
            "guest %u: %s: EACCES (13): the FLASK policy denies it; load our module and give this "
            "domain its label (docs/privilege.md)",
            domid, step);
        return ST_ACCES;
    default:
        log_error("guest %u: %s: %s (%ld)", domid, step, xen_errno_name(rc), rc);
        return ST_HYPERCALL;
    }
}

static enum status vcpus_ask(struct ioreq_server *srv)
{
    long rc = dm_vcpu_count(srv->domid, &srv->vcpu_count);

    if (rc == -XEN_EPERM) {
        log_error(
            "guest %u: asking for its vCPUs: EPERM (1): no right over this guest; run set-target "
            "in Dom0 for it, or boot Xen with xsm=flask and our policy (docs/privilege.md)",
            srv->domid);
        return ST_ACCES;
    }
    if (rc < 0) {
        return refused(srv->domid, "asking for its vCPUs", rc);
    }
    if (srv->vcpu_count == 0 || srv->vcpu_count > GUEST_VCPUS_MAX) {
        log_error("guest %u has %u vCPUs, at most GUEST_VCPUS_MAX = %d are served", srv->domid,
                  srv->vcpu_count, GUEST_VCPUS_MAX);
        return ST_FULL;
    }
    return ST_OK;
}

static enum status server_make(struct ioreq_server *srv)
{
    long rc = dm_server_create(srv->domid, &srv->id);

    if (rc == -XEN_EPERM) {
        /* Asking was allowed, so the dummy rules are met and it is SILO that forbids the event
         * channel. */
        log_error(
            "guest %u: creating the ioreq server: EPERM (1): set-target was done but Xen runs the "
            "SILO policy; boot it with xsm=dummy or xsm=flask (docs/privilege.md)",
            srv->domid);
        return ST_ACCES;
    }
    if (rc == -XEN_ENOSPC) {
        log_error("guest %u: creating the ioreq server: ENOSPC (28): it has eight of them already",
                  srv->domid);
        return ST_FULL;
    }
    if (rc < 0) {
        return refused(srv->domid, "creating the ioreq server", rc);
    }
    srv->created = true;
    return ST_OK;
}

static enum status page_map(struct ioreq_server *srv)
{
    u64 gpa;
    enum status st = extregion_alloc(PAGE_BYTES, PAGE_BYTES, &gpa);
    long rc;

    if (st != ST_OK) {
        log_error("guest %u: no page of extended region left for its ioreq page", srv->domid);
        return ST_FULL;
    }
    rc = physmap_ioreq_page(srv->domid, srv->id, gpa / PAGE_BYTES);
    if (rc < 0) {
        extregion_free(gpa, PAGE_BYTES);
        return refused(srv->domid, "mapping the ioreq page", rc);
    }
    srv->page_gpa = gpa;
    srv->page = (void *)(uintptr_t)gpa;
    return ST_OK;
}

static enum status ports_bind(struct ioreq_server *srv)
{
    for (u32 i = 0; i < srv->vcpu_count; i++) {
        u32 remote = load_u32(slot_of(srv, i) + offsetof(struct ioreq, vp_eport));
        enum status st = evtchn_bind_interdomain(srv->domid, remote, &srv->port[i]);

        if (st != ST_OK) {
            return st;
        }
        srv->port_count++;
        st = evtchn_set_add(&srv->ports, srv->port[i]);
        if (st != ST_OK) {
            log_error("guest %u: its event ports are too far apart (EVTCHN_SET_WORDS = %d)",
                      srv->domid, EVTCHN_SET_WORDS);
            return st;
        }
        /* Binding left the port pending. That is right: a request may have come before. */
    }
    return ST_OK;
}

enum status ioreq_server_create(struct ioreq_server *srv, u16 domid)
{
    enum status st;

    *srv = (struct ioreq_server){.domid = domid};
    evtchn_set_init(&srv->ports);
    st = vcpus_ask(srv);
    if (st == ST_OK) {
        st = server_make(srv);
    }
    if (st == ST_OK) {
        st = page_map(srv);
    }
    if (st == ST_OK) {
        /* Enabling is what writes the event ports into the slots. */
        long rc = dm_server_enable(srv->domid, srv->id, true);

        st = rc < 0 ? refused(domid, "enabling the ioreq server", rc) : ST_OK;
    }
    if (st == ST_OK) {
        st = ports_bind(srv);
    }
    if (st != ST_OK) {
        ioreq_server_destroy(srv);
    }
    return st;
}

static void slot_answer(struct ioreq_server *srv, u32 vcpu);

void ioreq_server_destroy(struct ioreq_server *srv)
{
    for (u32 i = 0; i < IOREQ_RANGES_MAX; i++) {
        srv->range[i] = (struct ioreq_range){0};
    }
    for (u32 i = 0; i < srv->port_count; i++) {
        slot_answer(srv, i);
    }
    if (srv->created) {
        long rc = dm_server_destroy(srv->domid, srv->id);

        /* A guest that is gone took its servers along. */
        if (rc < 0 && rc != -XEN_ESRCH) {
            log_warn("guest %u: the ioreq server does not go: %s", srv->domid, xen_errno_name(rc));
        }
        srv->created = false;
    }
    while (srv->port_count > 0) {
        evtchn_close(srv->port[--srv->port_count]);
    }
    evtchn_set_init(&srv->ports);
    if (srv->page_gpa) {
        u64 gfn = srv->page_gpa / PAGE_BYTES;

        if (physmap_remove(&gfn, 1) != 1) {
            log_warn("guest %u: the ioreq page does not go", srv->domid);
        }
        extregion_free(srv->page_gpa, PAGE_BYTES);
        srv->page_gpa = 0;
        srv->page = NULL;
    }
}

bool ioreq_guest_alive(const struct ioreq_server *srv)
{
    /*
     * A dying guest still has its number, and dm_op still answers, as long as we map a page of it.
     * Its event channels are closed at once, though.
     */
    return srv->port_count > 0 && evtchn_connected(srv->port[0]);
}

/* --- ranges ---------------------------------------------------------------------------------- */

static bool ranges_touch(const struct ioreq_range *r, u64 base, u64 bytes)
{
    return r->bytes && base < r->base + r->bytes && r->base < base + bytes;
}

enum status ioreq_range_add(struct ioreq_server *srv, u64 base, u64 bytes, ioreq_handler_fn fn,
                            void *ctx)
{
    struct ioreq_range *slot = NULL;
    u64 end;
    long rc;

    if (bytes == 0 || bytes > UINT32_MAX || !add_ok_u64(base, bytes, &end)) {
        return ST_INVAL;
    }
    for (u32 i = 0; i < IOREQ_RANGES_MAX; i++) {
        if (ranges_touch(&srv->range[i], base, bytes)) {
            return ST_INVAL;
        }
        if (!srv->range[i].bytes && !slot) {
            slot = &srv->range[i];
        }
    }
    if (!slot) {
        return ST_FULL;
    }
    /* The handler is there before the first access can be. */
    *slot = (struct ioreq_range){.base = base, .bytes = bytes, .fn = fn, .ctx = ctx};
    rc = dm_range_map(srv->domid, srv->id, base, bytes);
    if (rc < 0) {
        *slot = (struct ioreq_range){0};
        return rc == -XEN_EEXIST ? ST_INVAL : refused(srv->domid, "claiming a register window", rc);
    }
    return ST_OK;
}

void ioreq_range_remove(struct ioreq_server *srv, u64 base)
{
    for (u32 i = 0; i < IOREQ_RANGES_MAX; i++) {
        struct ioreq_range *r = &srv->range[i];

        if (r->bytes && r->base == base) {
            long rc = dm_range_unmap(srv->domid, srv->id, r->base, r->bytes);

            if (rc < 0 && rc != -XEN_ESRCH) {
                log_warn("guest %u: register window 0x%llx does not go: %s", srv->domid,
                         (unsigned long long)base, xen_errno_name(rc));
            }
            *r = (struct ioreq_range){0};
            return;
        }
    }
}

static struct ioreq_range *range_find(struct ioreq_server *srv, u64 addr, u32 size)
{
    for (u32 i = 0; i < IOREQ_RANGES_MAX; i++) {
        u32 at = (srv->range_hint + i) % IOREQ_RANGES_MAX;
        struct ioreq_range *r = &srv->range[at];

        /* addr below base makes the difference wrap to a huge number. */
        if (r->bytes && range_ok(addr - r->base, size, r->bytes)) {
            srv->range_hint = at;
            return r;
        }
    }
    return NULL;
}

/* --- answering ------------------------------------------------------------------------------- */

static u64 size_mask(u32 size)
{
    return size == 8 ? UINT64_MAX : BIT64(size * 8) - 1;
}

/** The answer to a plain access; all ones for a read we do not serve, as an empty bus gives. */
static u64 access_answer(struct ioreq_server *srv, const struct ioreq_snapshot *req)
{
    bool size_ok = req->size == 1 || req->size == 2 || req->size == 4 || req->size == 8;
    struct ioreq_range *range;
    struct ioreq_access access;
    u64 data;

    if (!size_ok || req->count != 1 || (req->flags & SLOT_DATA_IS_PTR)) {
        srv->refused++;
        return UINT64_MAX;
    }
    range = range_find(srv, req->addr, req->size);
    if (!range) {
        srv->refused++;
        return size_mask(req->size);
    }
    access = (struct ioreq_access){
        .offset = (u32)(req->addr - range->base),
        .bytes = (u8)req->size,
        .write = !(req->flags & SLOT_DIR_READ),
    };
    /* Only Xen 4.18 and later cut the data to the access themselves. */
    data = access.write ? req->data & size_mask(req->size) : 0;
    range->fn(range->ctx, &access, &data);
    return data & size_mask(req->size);
}

static u64 request_answer(struct ioreq_server *srv, const struct ioreq_snapshot *req)
{
    switch (req->type) {
    case IOREQ_TYPE_COPY:
        return access_answer(srv, req);
    case IOREQ_TYPE_INVALIDATE:
        srv->invalidations++;
        if (srv->invalidate) {
            srv->invalidate(srv->invalidate_ctx);
        }
        return req->data;
    default:
        srv->refused++;
        return UINT64_MAX;
    }
}

/** Answer the vCPU if it waits. */
static void slot_answer(struct ioreq_server *srv, u32 vcpu)
{
    u8 *slot = slot_of(srv, vcpu);
    u8 flags = slot_flags(slot);
    struct ioreq_snapshot req;
    u64 data;

    if ((flags & SLOT_STATE_MASK) != STATE_IOREQ_READY) {
        srv->spurious++;
        return;
    }
    req = (struct ioreq_snapshot){
        .addr = load_u64(slot + offsetof(struct ioreq, addr)),
        .data = load_u64(slot + offsetof(struct ioreq, data)),
        .count = load_u32(slot + offsetof(struct ioreq, count)),
        .size = load_u32(slot + offsetof(struct ioreq, size)),
        .flags = flags,
        .type = load_acquire_u8(slot + offsetof(struct ioreq, type)),
    };
    slot_state_set(slot, flags, STATE_IOREQ_INPROCESS);
    data = request_answer(srv, &req);
    store_u64(slot + offsetof(struct ioreq, data), data);
    slot_state_set(slot, flags, STATE_IORESP_READY);
    srv->traps++;
    (void)evtchn_send(srv->port[vcpu]);
}

u32 ioreq_poll(struct ioreq_server *srv)
{
    u64 before = srv->traps;

    if (!evtchn_set_pending(&srv->ports)) {
        return 0;
    }
    for (u32 i = 0; i < srv->port_count; i++) {
        /* The bit is cleared before the slot is looked at, so a request that comes now sets it
         * again. */
        if (evtchn_take(srv->port[i])) {
            slot_answer(srv, i);
        }
    }
    return (u32)(srv->traps - before);
}

bool ioreq_arm(struct ioreq_server *srv)
{
    return evtchn_set_unmask(&srv->ports);
}

void ioreq_disarm(struct ioreq_server *srv)
{
    evtchn_set_mask(&srv->ports);
}

enum status ioreq_set_irq(struct ioreq_server *srv, u32 irq)
{
    return dm_irq_raise(srv->domid, irq) < 0 ? ST_HYPERCALL : ST_OK;
}
