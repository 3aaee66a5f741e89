/* SPDX-License-Identifier: BSD-2-Clause */
/* xen.c - a Xen in one process. See xen.h. */
#include "tests/fake/xen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "start/base/arith.h"
#include "start/base/limits.h"

#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/xen_parts.h"

struct fake_xen fake_xen;

#define FRAMES (FAKE_REGION_BYTES / PAGE_BYTES)
#define TABLES (FAKE_REGION_BYTES / MIB(2))

static struct frame frame[FRAMES];
static bool table[TABLES];
struct port fake_port[FAKE_PORTS];
static struct shared_info *shared; /* our view of the shared page */
static int shared_fd = -1;
static u64 fail_nth;
static long fail_error;
static unsigned fail_number, fail_op;
static long fail_op_error;

/* --- machine --------------------------------------------------------------------------------- */

_Noreturn void fake_complain(const char *what)
{
    fprintf(stderr, "fake xen: %s\n", what);
    abort();
}

/** A memory file and our own view of it. */
static int memory_make(u64 bytes, u8 **view)
{
    int fd = memfd_create("fake", 0);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        fake_complain("no memory file");
    }
    *view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*view == MAP_FAILED) {
        fake_complain("memory file cannot be mapped");
    }
    return fd;
}

void fake_frame_show(u64 gfn, int fd, u64 offset)
{
    if (mmap((void *)(uintptr_t)(gfn * PAGE_BYTES), PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        fake_complain("a frame cannot be mapped");
    }
}

void fake_frame_hide(u64 gfn)
{
    if (mmap((void *)(uintptr_t)(gfn * PAGE_BYTES), PAGE_BYTES, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        fake_complain("a frame cannot be unmapped");
    }
}

static void region_make(void)
{
    u64 bytes = FAKE_REGION_BYTES + MIB(2);
    u8 *at = fake_xen.region
                 ? (u8 *)(uintptr_t)fake_xen.region
                 : mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        fake_complain("no address space");
    }
    fake_xen.region = align_up((u64)(uintptr_t)at, MIB(2));
    if (mmap((void *)(uintptr_t)fake_xen.region, FAKE_REGION_BYTES, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
        fake_complain("the region cannot be cleared");
    }
}

static void guest_drop(struct fake_guest *g)
{
    if (g->domid) {
        munmap(g->memory, g->memory_bytes);
        munmap(g->ioreq, PAGE_BYTES);
        close(g->memory_fd);
        close(g->ioreq_fd);
    }
    memset(g, 0, sizeof(*g));
}

void fake_xen_reset(enum fake_policy policy)
{
    u64 region = fake_xen.region;

    for (u32 i = 0; i < FAKE_GUESTS; i++) {
        guest_drop(&fake_xen.guest[i]);
    }
    memset(&fake_xen, 0, sizeof(fake_xen));
    fake_xen.region = region;
    fake_xen.policy = policy;
    fake_xen.rights = FAKE_RIGHT_ALL;
    fake_xen.tables_max = UINT32_MAX;
    region_make();
    memset(frame, 0, sizeof(frame));
    memset(table, 0, sizeof(table));
    memset(fake_port, 0, sizeof(fake_port));
    fake_grants_reset();
    if (shared_fd >= 0) {
        munmap(shared, PAGE_BYTES);
        close(shared_fd);
    }
    shared_fd = memory_make(PAGE_BYTES, (u8 **)&shared);
    fake_port[FAKE_XS_PORT].state = PORT_BOUND;
    fake_xen_fail(0, 0);
    fake_xen_fail_op(0, 0, 0);
    fake_xs_reset();
}

void fake_xen_fail(u64 nth, long error)
{
    fail_nth = nth;
    fail_error = error;
}

void fake_xen_fail_op(unsigned hypercall_number, unsigned op, long error)
{
    fail_number = hypercall_number;
    fail_op = op;
    fail_op_error = error;
}

/* --- guests ---------------------------------------------------------------------------------- */

struct fake_guest *fake_guest_by_id(u16 domid)
{
    for (u32 i = 0; i < FAKE_GUESTS; i++) {
        if (fake_xen.guest[i].domid == domid && domid) {
            return &fake_xen.guest[i];
        }
    }
    return NULL;
}

struct fake_guest *fake_guest_make(u16 domid, u32 vcpus, u64 memory_bytes)
{
    for (u32 i = 0; i < FAKE_GUESTS; i++) {
        struct fake_guest *g = &fake_xen.guest[i];

        if (!g->domid) {
            g->domid = domid;
            g->vcpus = vcpus;
            g->memory_bytes = memory_bytes;
            g->memory_fd = memory_make(memory_bytes, &g->memory);
            g->ioreq_fd = memory_make(PAGE_BYTES, &g->ioreq);
            return g;
        }
    }
    fake_complain("too many guests");
}

void fake_guest_settle(struct fake_guest *g)
{
    if (g->dying && g->pages_held == 0) {
        guest_drop(g);
    }
}

void fake_guest_kill(struct fake_guest *guest)
{
    guest->dying = true;
    for (u32 i = 0; i < FAKE_PORTS; i++) {
        if (fake_port[i].state == PORT_BOUND && fake_port[i].guest == guest) {
            fake_port[i].state = PORT_UNBOUND;
            fake_port[i].guest = NULL;
        }
    }
    fake_guest_settle(guest);
}

bool fake_guest_gone(const struct fake_guest *guest)
{
    return guest->domid == 0;
}

u8 *fake_guest_byte(struct fake_guest *guest, u64 addr)
{
    if (addr - FAKE_GUEST_BASE >= guest->memory_bytes) {
        fake_complain("a test looks outside the guest");
    }
    return guest->memory + (addr - FAKE_GUEST_BASE);
}

/* --- event channels -------------------------------------------------------------------------- */

void fake_event(u32 p)
{
    u64 bit = BIT64(p % 64);
    u32 word = p / 64;

    /* The order is Xen's, see evtchn.h. */
    if (__atomic_fetch_or((u64 *)&shared->evtchn_pending[word], bit, __ATOMIC_SEQ_CST) & bit) {
        return;
    }
    if (shared->evtchn_mask[word] & bit) {
        return;
    }
    if (__atomic_fetch_or((u64 *)&shared->vcpu_info[0].evtchn_pending_sel, BIT64(word),
                          __ATOMIC_SEQ_CST) &
        BIT64(word)) {
        return;
    }
    if (!__atomic_exchange_n(&shared->vcpu_info[0].evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST)) {
        fake_xen.upcalls++;
    }
}

bool fake_upcall_pending(void)
{
    return shared->vcpu_info[0].evtchn_upcall_pending;
}

static long port_new(u32 *out)
{
    for (u32 i = FAKE_XS_PORT + 1; i < FAKE_PORTS; i++) {
        if (fake_port[i].state == PORT_FREE) {
            *out = i;
            return 0;
        }
    }
    return -XEN_ENOSPC;
}

/** A port that the guest opened for us; its number in struct port follows those of the vCPUs. */
static long front_bind(struct fake_guest *g, u32 which, u32 *local)
{
    long rc = port_new(local);

    if (rc == 0) {
        fake_port[*local] = (struct port){PORT_BOUND, g, FAKE_VCPUS + which};
        g->front_port[which].local = *local;
        fake_event(*local);
    }
    return rc;
}

/** Our end of a guest's port: as the guest sees it. */
static u32 *port_local(const struct port *port)
{
    return port->vcpu < FAKE_VCPUS ? &port->guest->local_port[port->vcpu]
                                   : &port->guest->front_port[port->vcpu - FAKE_VCPUS].local;
}

static long port_bind(struct evtchn_bind_interdomain *arg)
{
    struct fake_guest *g = fake_guest_by_id(arg->remote_dom);
    u32 p;
    long rc;

    if (!g) {
        return -XEN_ESRCH;
    }
    if (fake_xen.policy == FAKE_SILO) {
        return -XEN_EPERM;
    }
    p = arg->remote_port - FAKE_FRONT_PORT;
    if (p < FAKE_FRONT_PORTS && g->front_port[p].open && !g->front_port[p].local && !g->dying) {
        return front_bind(g, p, &arg->local_port);
    }
    for (u32 v = 0; v < g->vcpus; v++) {
        if (g->server && g->vcpu_port[v] == arg->remote_port && !g->local_port[v] && !g->dying) {
            rc = port_new(&p);
            if (rc == 0) {
                fake_port[p] = (struct port){PORT_BOUND, g, v};
                g->local_port[v] = p;
                arg->local_port = p;
                fake_event(p);
            }
            return rc;
        }
    }
    return -XEN_EINVAL;
}

static long port_close(u32 p)
{
    if (p >= FAKE_PORTS || fake_port[p].state == PORT_FREE) {
        return -XEN_EINVAL;
    }
    if (fake_port[p].guest) {
        *port_local(&fake_port[p]) = 0;
    }
    fake_port[p] = (struct port){0};
    return 0;
}

static long port_send(u32 p)
{
    if (p >= FAKE_PORTS || fake_port[p].state == PORT_FREE) {
        return -XEN_EINVAL;
    }
    if (fake_port[p].state == PORT_BOUND && fake_port[p].guest && fake_port[p].vcpu >= FAKE_VCPUS) {
        fake_port[p].guest->front_port[fake_port[p].vcpu - FAKE_VCPUS].events++;
    } else if (fake_port[p].state == PORT_BOUND && fake_port[p].guest) {
        fake_port[p].guest->answers[fake_port[p].vcpu]++;
    } else if (p == FAKE_XS_PORT) {
        fake_xen.xs_sends++;
    }
    return 0;
}

static long event_op(unsigned op, void *arg)
{
    struct evtchn_alloc_unbound *alloc = arg;
    struct evtchn_status *status = arg;
    long rc;

    switch (op) {
    case EVTCHNOP_alloc_unbound:
        rc = port_new(&alloc->port);
        if (rc == 0) {
            fake_port[alloc->port].state = PORT_UNBOUND;
        }
        return rc;
    case EVTCHNOP_bind_interdomain:
        return port_bind(arg);
    case EVTCHNOP_close:
        return port_close(((struct evtchn_close *)arg)->port);
    case EVTCHNOP_send:
        return port_send(((struct evtchn_send *)arg)->port);
    case EVTCHNOP_status:
        if (status->port >= FAKE_PORTS) {
            return -XEN_EINVAL;
        }
        status->status = fake_port[status->port].state == PORT_BOUND     ? EVTCHNSTAT_interdomain
                         : fake_port[status->port].state == PORT_UNBOUND ? EVTCHNSTAT_unbound
                                                                         : EVTCHNSTAT_closed;
        return 0;
    default:
        return -XEN_ENOSYS;
    }
}

u32 fake_ports_open(void)
{
    u32 count = 0;

    for (u32 i = FAKE_XS_PORT + 1; i < FAKE_PORTS; i++) {
        count += fake_port[i].state != PORT_FREE;
    }
    return count;
}

/* --- rights ---------------------------------------------------------------------------------- */

long fake_may(u16 domid, u32 right)
{
    switch (fake_xen.policy) {
    case FAKE_CONTROL:
        return 0;
    case FAKE_DUMMY:
        return domid && domid == fake_xen.target ? 0 : -XEN_EPERM;
    case FAKE_SILO:
        return domid && domid == fake_xen.target && right != FAKE_RIGHT_EVENT ? 0 : -XEN_EPERM;
    case FAKE_FLASK:
        return domid && (fake_xen.rights & right) ? 0 : -XEN_EACCES;
    default:
        return -XEN_ENOSYS;
    }
}

/* --- our guest-physical space ---------------------------------------------------------------- */

struct frame *fake_frame(u64 gfn)
{
    u64 at = gfn - fake_xen.region / PAGE_BYTES;

    return at < FRAMES ? &frame[at] : NULL;
}

/** Second-stage table for this frame: from a pool, and never given back. */
static long table_get(u64 gfn)
{
    u64 at = (gfn * PAGE_BYTES - fake_xen.region) / MIB(2);

    if (!table[at]) {
        if (fake_xen.tables >= fake_xen.tables_max) {
            return -XEN_ENOMEM;
        }
        table[at] = true;
        fake_xen.tables++;
    }
    return 0;
}

static void frame_release(struct frame *f)
{
    if (f->kind == FRAME_FOREIGN || f->kind == FRAME_IOREQ) {
        f->guest->pages_held--;
        fake_guest_settle(f->guest);
    }
    *f = (struct frame){0};
}

static long map_one(u64 gfn, enum frame_kind kind, struct fake_guest *g, int fd, u64 offset)
{
    struct frame *f = fake_frame(gfn);
    long rc;

    if (!f) {
        return -XEN_EINVAL;
    }
    rc = table_get(gfn);
    if (rc < 0) {
        return rc;
    }
    frame_release(f);
    *f = (struct frame){.kind = kind, .guest = g};
    if (g) {
        g->pages_held++;
    }
    fake_frame_show(gfn, fd, offset);
    return 0;
}

static long map_shared(const struct xen_add_to_physmap *arg)
{
    if (arg->domid != DOMID_SELF) {
        return -XEN_EPERM;
    }
    if (arg->space == XENMAPSPACE_grant_table) {
        /* Kept as a page of its own: the tests give grants through struct fake_guest. */
        return arg->idx < 2 ? map_one(arg->gpfn, FRAME_TABLE, NULL, shared_fd, 0) : -XEN_EINVAL;
    }
    return arg->space == XENMAPSPACE_shared_info && arg->idx == 0
               ? map_one(arg->gpfn, FRAME_SHARED, NULL, shared_fd, 0)
               : -XEN_EINVAL;
}

static long map_foreign_one(struct fake_guest *g, u64 idx, u64 gfn)
{
    u64 at = idx - FAKE_GUEST_BASE / PAGE_BYTES;
    long rc = fake_may(g->domid, FAKE_RIGHT_MMU);

    if (rc < 0) {
        return rc;
    }
    if (g->dying || at >= g->memory_bytes / PAGE_BYTES) {
        return -XEN_EINVAL;
    }
    return map_one(gfn, FRAME_FOREIGN, g, g->memory_fd, at * PAGE_BYTES);
}

static long map_foreign(struct xen_add_to_physmap_batch *arg)
{
    for (u32 i = 0; i < arg->size; i++) {
        struct fake_guest *g = fake_guest_by_id(arg->u.foreign_domid);

        if (arg->domid != DOMID_SELF || arg->space != XENMAPSPACE_gmfn_foreign) {
            return -XEN_EINVAL;
        }
        arg->errs.p[i] = g ? (int)map_foreign_one(g, arg->idxs.p[i], arg->gpfns.p[i]) : -XEN_ESRCH;
    }
    return 0;
}

static long unmap_one(const struct xen_remove_from_physmap *arg)
{
    struct frame *f = fake_frame(arg->gpfn);

    if (!f || f->kind == FRAME_NONE) {
        return -XEN_ENOENT;
    }
    if (f->kind == FRAME_GRANT) {
        return -XEN_EINVAL;
    }
    fake_frame_hide(arg->gpfn);
    frame_release(f);
    return 0;
}

static long acquire(struct xen_mem_acquire_resource *arg)
{
    struct fake_guest *g = fake_guest_by_id(arg->domid);
    long rc;

    if (!g) {
        return -XEN_ESRCH;
    }
    rc = fake_may(arg->domid, FAKE_RIGHT_RESOURCE);
    if (rc < 0) {
        return rc;
    }
    if (arg->type != XENMEM_resource_ioreq_server || !g->server || arg->id != 0 || arg->pad ||
        arg->nr_frames != 1 || arg->frame != 1) {
        return -XEN_EINVAL;
    }
    return map_one(arg->frame_list.p[0], FRAME_IOREQ, g, g->ioreq_fd, 0);
}

static long memory_op(unsigned op, void *arg)
{
    switch (op) {
    case XENMEM_add_to_physmap:
        return map_shared(arg);
    case XENMEM_add_to_physmap_batch:
        return map_foreign(arg);
    case XENMEM_remove_from_physmap:
        return unmap_one(arg);
    case XENMEM_acquire_resource:
        return acquire(arg);
    default:
        return -XEN_ENOSYS;
    }
}

u32 fake_pages_foreign(void)
{
    u32 count = 0;

    for (u32 i = 0; i < FRAMES; i++) {
        count += frame[i].kind == FRAME_FOREIGN || frame[i].kind == FRAME_IOREQ;
    }
    return count;
}

/* --- the call -------------------------------------------------------------------------------- */

static long param_get(struct xen_hvm_param *arg)
{
    if (arg->domid != DOMID_SELF || arg->index >= ARRAY_LEN(fake_xen.param)) {
        return -XEN_EINVAL;
    }
    arg->value = fake_xen.param[arg->index];
    return 0;
}

static long multicall(multicall_entry_t *call, unsigned long count)
{
    for (unsigned long i = 0; i < count; i++) {
        call[i].result =
            (xen_ulong_t)hypercall((unsigned)call[i].op, call[i].args[0], call[i].args[1],
                                   call[i].args[2], call[i].args[3], call[i].args[4]);
        /* A debug build of Xen spoils everything but the result. */
        memset(call[i].args, 0xaa, sizeof(call[i].args));
    }
    return 0;
}

long hypercall(unsigned op, unsigned long a0, unsigned long a1, unsigned long a2, unsigned long a3,
               unsigned long a4)
{
    unsigned sub = op == __HYPERVISOR_dm_op ? 0 : (unsigned)a0;

    (void)a3;
    (void)a4;
    fake_xen.calls++;
    if (fail_nth && --fail_nth == 0) {
        return fail_error;
    }
    if (op == __HYPERVISOR_dm_op) {
        const struct xen_dm_op_buf *buf = (const void *)a2;

        sub = ((const struct xen_dm_op *)(const void *)buf->h.p)->op;
    }
    if (fail_op_error && op == fail_number && sub == fail_op) {
        return fail_op_error;
    }
    switch (op) {
    case __HYPERVISOR_memory_op:
        return memory_op((unsigned)a0, (void *)a1);
    case __HYPERVISOR_event_channel_op:
        return event_op((unsigned)a0, (void *)a1);
    case __HYPERVISOR_dm_op:
        return fake_dm_op((u16)a0, (unsigned)a1, (const void *)a2);
    case __HYPERVISOR_multicall:
        return multicall((void *)a0, a1);
    case __HYPERVISOR_grant_table_op:
        return fake_grant_op((unsigned)a0, (void *)a1, (u32)a2);
    case __HYPERVISOR_hvm_op:
        return a0 == HVMOP_get_param ? param_get((void *)a1) : -XEN_ENOSYS;
    case __HYPERVISOR_xen_version:
        return a0 == XENVER_version ? (4 << 16 | 20) : -XEN_ENOSYS;
    case __HYPERVISOR_console_io:
        snprintf(fake_xen.console, sizeof(fake_xen.console), "%.*s", (int)a1, (const char *)a2);
        return 0;
    default:
        return -XEN_ENOSYS;
    }
}
