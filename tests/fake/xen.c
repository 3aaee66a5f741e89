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

struct fake_xen fake_xen;

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

#define FRAMES (FAKE_REGION_BYTES / PAGE_BYTES)
#define TABLES (FAKE_REGION_BYTES / MIB(2))

static struct frame frame[FRAMES];
static bool table[TABLES];
static struct port port[FAKE_PORTS];
static struct shared_info *shared; /* our view of the shared page */
static int shared_fd = -1;
static u64 fail_nth;
static long fail_error;
static unsigned fail_number, fail_op;
static long fail_op_error;
static struct {
    struct fake_guest *guest;
    u32 ref;
    u64 gpa;
} handle[256];

/* --- machine --------------------------------------------------------------------------------- */

_Noreturn static void complain(const char *what)
{
    fprintf(stderr, "fake xen: %s\n", what);
    abort();
}

/** A memory file and our own view of it. */
static int memory_make(u64 bytes, u8 **view)
{
    int fd = memfd_create("fake", 0);

    if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) {
        complain("no memory file");
    }
    *view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*view == MAP_FAILED) {
        complain("memory file cannot be mapped");
    }
    return fd;
}

static void frame_show(u64 gfn, int fd, u64 offset)
{
    if (mmap((void *)(uintptr_t)(gfn * PAGE_BYTES), PAGE_BYTES, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED, fd, (off_t)offset) == MAP_FAILED) {
        complain("a frame cannot be mapped");
    }
}

static void frame_hide(u64 gfn)
{
    if (mmap((void *)(uintptr_t)(gfn * PAGE_BYTES), PAGE_BYTES, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
        complain("a frame cannot be unmapped");
    }
}

static void region_make(void)
{
    u64 bytes = FAKE_REGION_BYTES + MIB(2);
    u8 *at = fake_xen.region
                 ? (u8 *)(uintptr_t)fake_xen.region
                 : mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        complain("no address space");
    }
    fake_xen.region = align_up((u64)(uintptr_t)at, MIB(2));
    if (mmap((void *)(uintptr_t)fake_xen.region, FAKE_REGION_BYTES, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
        complain("the region cannot be cleared");
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
    memset(port, 0, sizeof(port));
    memset(handle, 0, sizeof(handle));
    if (shared_fd >= 0) {
        munmap(shared, PAGE_BYTES);
        close(shared_fd);
    }
    shared_fd = memory_make(PAGE_BYTES, (u8 **)&shared);
    port[FAKE_XS_PORT].state = PORT_BOUND;
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

static struct fake_guest *guest_by_id(u16 domid)
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
    complain("too many guests");
}

static void guest_check_gone(struct fake_guest *g)
{
    if (g->dying && g->pages_held == 0) {
        guest_drop(g);
    }
}

void fake_guest_kill(struct fake_guest *guest)
{
    guest->dying = true;
    for (u32 i = 0; i < FAKE_PORTS; i++) {
        if (port[i].state == PORT_BOUND && port[i].guest == guest) {
            port[i].state = PORT_UNBOUND;
            port[i].guest = NULL;
        }
    }
    guest_check_gone(guest);
}

bool fake_guest_gone(const struct fake_guest *guest)
{
    return guest->domid == 0;
}

u8 *fake_guest_byte(struct fake_guest *guest, u64 addr)
{
    if (addr - FAKE_GUEST_BASE >= guest->memory_bytes) {
        complain("a test looks outside the guest");
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
        if (port[i].state == PORT_FREE) {
            *out = i;
            return 0;
        }
    }
    return -XEN_ENOSPC;
}

static long port_bind(struct evtchn_bind_interdomain *arg)
{
    struct fake_guest *g = guest_by_id(arg->remote_dom);
    u32 p;
    long rc;

    if (!g) {
        return -XEN_ESRCH;
    }
    if (fake_xen.policy == FAKE_SILO) {
        return -XEN_EPERM;
    }
    for (u32 v = 0; v < g->vcpus; v++) {
        if (g->server && g->vcpu_port[v] == arg->remote_port && !g->local_port[v] && !g->dying) {
            rc = port_new(&p);
            if (rc == 0) {
                port[p] = (struct port){PORT_BOUND, g, v};
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
    if (p >= FAKE_PORTS || port[p].state == PORT_FREE) {
        return -XEN_EINVAL;
    }
    if (port[p].guest) {
        port[p].guest->local_port[port[p].vcpu] = 0;
    }
    port[p] = (struct port){0};
    return 0;
}

static long port_send(u32 p)
{
    if (p >= FAKE_PORTS || port[p].state == PORT_FREE) {
        return -XEN_EINVAL;
    }
    if (port[p].state == PORT_BOUND && port[p].guest) {
        port[p].guest->answers[port[p].vcpu]++;
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
            port[alloc->port].state = PORT_UNBOUND;
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
        status->status = port[status->port].state == PORT_BOUND     ? EVTCHNSTAT_interdomain
                         : port[status->port].state == PORT_UNBOUND ? EVTCHNSTAT_unbound
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
        count += port[i].state != PORT_FREE;
    }
    return count;
}

/* --- rights ---------------------------------------------------------------------------------- */

static long may(u16 domid, u32 right)
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

static struct frame *frame_of(u64 gfn)
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
        guest_check_gone(f->guest);
    }
    *f = (struct frame){0};
}

static long map_one(u64 gfn, enum frame_kind kind, struct fake_guest *g, int fd, u64 offset)
{
    struct frame *f = frame_of(gfn);
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
    frame_show(gfn, fd, offset);
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
    long rc = may(g->domid, FAKE_RIGHT_MMU);

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
        struct fake_guest *g = guest_by_id(arg->u.foreign_domid);

        if (arg->domid != DOMID_SELF || arg->space != XENMAPSPACE_gmfn_foreign) {
            return -XEN_EINVAL;
        }
        arg->errs.p[i] = g ? (int)map_foreign_one(g, arg->idxs.p[i], arg->gpfns.p[i]) : -XEN_ESRCH;
    }
    return 0;
}

static long unmap_one(const struct xen_remove_from_physmap *arg)
{
    struct frame *f = frame_of(arg->gpfn);

    if (!f || f->kind == FRAME_NONE) {
        return -XEN_ENOENT;
    }
    if (f->kind == FRAME_GRANT) {
        return -XEN_EINVAL;
    }
    frame_hide(arg->gpfn);
    frame_release(f);
    return 0;
}

static long acquire(struct xen_mem_acquire_resource *arg)
{
    struct fake_guest *g = guest_by_id(arg->domid);
    long rc;

    if (!g) {
        return -XEN_ESRCH;
    }
    rc = may(arg->domid, FAKE_RIGHT_RESOURCE);
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

/* --- device model ---------------------------------------------------------------------------- */

static struct ioreq *slot_of(struct fake_guest *g, u32 vcpu)
{
    return (struct ioreq *)(void *)g->ioreq + vcpu;
}

static long server_create(struct fake_guest *g, struct xen_dm_op_create_ioreq_server *arg)
{
    long rc = may(g->domid, FAKE_RIGHT_EVENT);

    if (arg->handle_bufioreq) {
        return -XEN_EINVAL;
    }
    if (rc < 0) {
        return rc;
    }
    if (g->server) {
        return -XEN_ENOSPC;
    }
    g->server = true;
    for (u32 v = 0; v < g->vcpus; v++) {
        g->vcpu_port[v] = 100 + v;
    }
    arg->id = 0;
    return 0;
}

static long server_destroy(struct fake_guest *g)
{
    g->server = false;
    g->server_enabled = false;
    g->ranges = 0;
    for (u32 i = 0; i < FAKE_PORTS; i++) {
        if (port[i].guest == g) {
            port[i].guest->local_port[port[i].vcpu] = 0;
            port[i].guest = NULL;
            port[i].state = PORT_UNBOUND;
        }
    }
    return 0;
}

static long server_enable(struct fake_guest *g, bool enabled)
{
    g->server_enabled = enabled;
    for (u32 v = 0; v < g->vcpus && enabled; v++) {
        slot_of(g, v)->vp_eport = g->vcpu_port[v];
    }
    return 0;
}

static long range_change(struct fake_guest *g, const struct xen_dm_op_ioreq_server_range *arg,
                         bool add)
{
    if (arg->type != XEN_DMOP_IO_RANGE_MEMORY || arg->start > arg->end) {
        return -XEN_EINVAL;
    }
    for (u32 i = 0; i < g->ranges; i++) {
        if (add && arg->start <= g->range[i].end && g->range[i].start <= arg->end) {
            return -XEN_EEXIST;
        }
        if (!add && g->range[i].start == arg->start && g->range[i].end == arg->end) {
            g->range[i] = g->range[--g->ranges];
            return 0;
        }
    }
    if (!add) {
        return -XEN_ENOENT;
    }
    if (g->ranges == FAKE_RANGES) {
        return -XEN_ENOSPC;
    }
    g->range[g->ranges].start = arg->start;
    g->range[g->ranges++].end = arg->end;
    return 0;
}

static long dm_op_guest(struct fake_guest *g, struct xen_dm_op *op)
{
    if (op->op == XEN_DMOP_nr_vcpus) {
        op->u.nr_vcpus.vcpus = g->vcpus;
        return 0;
    }
    if (op->op == XEN_DMOP_create_ioreq_server) {
        return server_create(g, &op->u.create_ioreq_server);
    }
    if (op->op == XEN_DMOP_set_irq_level) {
        u32 irq = op->u.set_irq_level.irq;

        if (irq < 32 || irq >= FAKE_SPIS || op->u.set_irq_level.level != 1) {
            return -XEN_EINVAL;
        }
        g->irqs[irq]++;
        return 0;
    }
    /* All others name the one server by id, first in their argument. */
    if (!g->server || op->u.destroy_ioreq_server.id != 0) {
        return -XEN_ENOENT;
    }
    switch (op->op) {
    case XEN_DMOP_destroy_ioreq_server:
        return server_destroy(g);
    case XEN_DMOP_set_ioreq_server_state:
        return server_enable(g, op->u.set_ioreq_server_state.enabled);
    case XEN_DMOP_map_io_range_to_ioreq_server:
        return range_change(g, &op->u.map_io_range_to_ioreq_server, true);
    case XEN_DMOP_unmap_io_range_from_ioreq_server:
        return range_change(g, &op->u.unmap_io_range_from_ioreq_server, false);
    default:
        return -XEN_EOPNOTSUPP;
    }
}

static long dm_op(u16 domid, unsigned bufs, const struct xen_dm_op_buf *buf)
{
    struct xen_dm_op *op;
    struct fake_guest *g = guest_by_id(domid);
    long rc;

    if (fake_xen.policy == FAKE_NO_IOREQ) {
        return -XEN_ENOSYS;
    }
    if (domid != 0 && !g) {
        return -XEN_ESRCH;
    }
    rc = may(domid, FAKE_RIGHT_DM);
    if (rc < 0) {
        return rc;
    }
    if (bufs != 1 || buf->size != sizeof(*op)) {
        return -XEN_EFAULT;
    }
    op = (struct xen_dm_op *)(void *)buf->h.p;
    if (op->pad) {
        return -XEN_EINVAL;
    }
    return g ? dm_op_guest(g, op) : 0;
}

u32 fake_servers(void)
{
    u32 count = 0;

    for (u32 i = 0; i < FAKE_GUESTS; i++) {
        count += fake_xen.guest[i].server;
    }
    return count;
}

void fake_guest_ioreq(struct fake_guest *guest, u32 vcpu, const struct fake_ioreq *req)
{
    struct ioreq *slot = slot_of(guest, vcpu);

    if (slot->state != STATE_IOREQ_NONE) {
        complain("a vCPU traps although it waits");
    }
    slot->addr = req->addr;
    slot->data = req->data;
    slot->count = req->count;
    slot->size = req->size;
    slot->dir = req->write ? IOREQ_WRITE : IOREQ_READ;
    slot->data_is_ptr = req->data_is_ptr;
    slot->df = 1;
    slot->type = req->type;
    slot->state = STATE_IOREQ_READY;
    if (guest->local_port[vcpu]) {
        fake_event(guest->local_port[vcpu]);
    }
}

bool fake_guest_access(struct fake_guest *guest, u32 vcpu, u64 addr, u32 size, bool write, u64 data)
{
    for (u32 i = 0; i < guest->ranges && guest->server_enabled; i++) {
        if (addr >= guest->range[i].start && addr + size - 1 <= guest->range[i].end) {
            fake_guest_ioreq(guest, vcpu,
                             &(struct fake_ioreq){.addr = addr,
                                                  .data = data,
                                                  .count = 1,
                                                  .size = size,
                                                  .write = write,
                                                  .type = IOREQ_TYPE_COPY});
            return true;
        }
    }
    return false;
}

bool fake_guest_resume(struct fake_guest *guest, u32 vcpu, u64 *data)
{
    struct ioreq *slot = slot_of(guest, vcpu);

    if (slot->state != STATE_IORESP_READY || guest->answers[vcpu] == 0 || slot->df != 1) {
        return false;
    }
    guest->answers[vcpu] = 0;
    *data = slot->data;
    slot->state = STATE_IOREQ_NONE;
    return true;
}

/* --- grants ---------------------------------------------------------------------------------- */

static struct fake_grant *grant_of(u16 domid, u32 ref)
{
    struct fake_guest *g = guest_by_id(domid);

    return g && ref < FAKE_GRANTS && g->grant[ref].valid ? &g->grant[ref] : NULL;
}

static s16 grant_map(struct gnttab_map_grant_ref *op)
{
    struct fake_guest *g = guest_by_id(op->dom);
    struct fake_grant *grant = grant_of(op->dom, op->ref);
    bool read_only = op->flags & GNTMAP_readonly;
    struct frame *f = frame_of(op->host_addr / PAGE_BYTES);

    if (!g) {
        return GNTST_bad_domain;
    }
    if (!grant || (grant->read_only && !read_only)) {
        return GNTST_general_error;
    }
    if (!(op->flags & GNTMAP_host_map) || !f || f->kind != FRAME_NONE) {
        return GNTST_bad_virt_addr;
    }
    for (u32 i = 1; i < ARRAY_LEN(handle); i++) {
        if (!handle[i].guest) {
            handle[i].guest = g;
            handle[i].ref = op->ref;
            handle[i].gpa = op->host_addr;
            *f = (struct frame){.kind = FRAME_GRANT, .guest = g, .handle = i};
            frame_show(op->host_addr / PAGE_BYTES, g->memory_fd,
                       grant->gfn * PAGE_BYTES - FAKE_GUEST_BASE);
            grant->mapped++;
            g->pages_held++;
            op->handle = i;
            op->dev_bus_addr = grant->gfn * PAGE_BYTES;
            return GNTST_okay;
        }
    }
    return GNTST_no_device_space;
}

static s16 grant_unmap(struct gnttab_unmap_grant_ref *op)
{
    u32 h = op->handle;

    if (h == 0 || h >= ARRAY_LEN(handle) || !handle[h].guest || handle[h].gpa != op->host_addr) {
        return GNTST_bad_handle;
    }
    frame_hide(op->host_addr / PAGE_BYTES);
    *frame_of(op->host_addr / PAGE_BYTES) = (struct frame){0};
    handle[h].guest->grant[handle[h].ref].mapped--;
    handle[h].guest->pages_held--;
    guest_check_gone(handle[h].guest);
    memset(&handle[h], 0, sizeof(handle[h]));
    return GNTST_okay;
}

static u8 *copy_place(u16 domid, u64 ref_or_gfn, bool gref, u32 offset, bool write)
{
    struct fake_grant *grant;

    if (!gref) {
        return domid == DOMID_SELF ? (u8 *)(uintptr_t)(ref_or_gfn * PAGE_BYTES + offset) : NULL;
    }
    grant = grant_of(domid, (u32)ref_or_gfn);
    return grant && !(write && grant->read_only)
               ? fake_guest_byte(guest_by_id(domid), grant->gfn * PAGE_BYTES + offset)
               : NULL;
}

static s16 grant_copy(const struct gnttab_copy *op)
{
    bool from_gref = op->flags & GNTCOPY_source_gref;
    bool to_gref = op->flags & GNTCOPY_dest_gref;
    u8 *from, *to;

    if (op->source.offset + op->len > PAGE_BYTES || op->dest.offset + op->len > PAGE_BYTES) {
        return GNTST_bad_copy_arg;
    }
    from = copy_place(op->source.domid, from_gref ? op->source.u.ref : op->source.u.gmfn, from_gref,
                      op->source.offset, false);
    to = copy_place(op->dest.domid, to_gref ? op->dest.u.ref : op->dest.u.gmfn, to_gref,
                    op->dest.offset, true);
    if (!from || !to) {
        return GNTST_general_error;
    }
    memcpy(to, from, op->len);
    return GNTST_okay;
}

static long grant_op(unsigned op, void *arg, u32 count)
{
    for (u32 i = 0; i < count; i++) {
        switch (op) {
        case GNTTABOP_map_grant_ref:
            ((struct gnttab_map_grant_ref *)arg)[i].status =
                grant_map(&((struct gnttab_map_grant_ref *)arg)[i]);
            break;
        case GNTTABOP_unmap_grant_ref:
            ((struct gnttab_unmap_grant_ref *)arg)[i].status =
                grant_unmap(&((struct gnttab_unmap_grant_ref *)arg)[i]);
            break;
        case GNTTABOP_copy:
            ((struct gnttab_copy *)arg)[i].status = grant_copy(&((struct gnttab_copy *)arg)[i]);
            break;
        default:
            return -XEN_ENOSYS;
        }
    }
    return 0;
}

u32 fake_grants_mapped(void)
{
    u32 count = 0;

    for (u32 i = 1; i < ARRAY_LEN(handle); i++) {
        count += handle[i].guest != NULL;
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
        return dm_op((u16)a0, (unsigned)a1, (const void *)a2);
    case __HYPERVISOR_multicall:
        return multicall((void *)a0, a1);
    case __HYPERVISOR_grant_table_op:
        return grant_op((unsigned)a0, (void *)a1, (u32)a2);
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
