/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_guest.c - the fake Xen's device model calls, and the guests that trap into them. */
#include "tests/fake/xen.h"

#include "drivers/xen/xen_abi.h"
#include "tests/fake/xen_parts.h"

static struct ioreq *slot_of(struct fake_guest *g, u32 vcpu)
{
    return (struct ioreq *)(void *)g->ioreq + vcpu;
}

static long server_create(struct fake_guest *g, struct xen_dm_op_create_ioreq_server *arg)
{
    long rc = fake_may(g->domid, FAKE_RIGHT_EVENT);

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
        if (fake_port[i].guest == g && fake_port[i].vcpu < FAKE_VCPUS) {
            fake_port[i].guest->local_port[fake_port[i].vcpu] = 0;
            fake_port[i].guest = NULL;
            fake_port[i].state = PORT_UNBOUND;
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

long fake_dm_op(u16 domid, unsigned bufs, const struct xen_dm_op_buf *buf)
{
    struct xen_dm_op *op;
    struct fake_guest *g = fake_guest_by_id(domid);
    long rc;

    if (fake_xen.policy == FAKE_NO_IOREQ) {
        return -XEN_ENOSYS;
    }
    if (domid != 0 && !g) {
        return -XEN_ESRCH;
    }
    rc = fake_may(domid, FAKE_RIGHT_DM);
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
        fake_complain("a vCPU traps although it waits");
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
