/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dm_op.c - typed tier of HYPERVISOR_dm_op. See dm_op.h.
 */
#include "drivers/xen/dm_op.h"

#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"

static long dm_op(u16 domid, struct xen_dm_op *op)
{
    struct xen_dm_op_buf buf = {.size = sizeof(*op)};

    set_xen_guest_handle(buf.h, op);
    hypercall_count[HC_DM]++;
    return hypercall3(__HYPERVISOR_dm_op, domid, 1, (unsigned long)&buf);
}

long dm_vcpu_count(u16 domid, u32 *count)
{
    struct xen_dm_op op = {.op = XEN_DMOP_nr_vcpus};
    long rc = dm_op(domid, &op);

    *count = rc == 0 ? op.u.nr_vcpus.vcpus : 0;
    return rc;
}

long dm_server_create(u16 domid, u16 *id)
{
    /* handle_bufioreq = 0, HVM_IOREQSRV_BUFIOREQ_OFF: Arm refuses anything else with EINVAL. */
    struct xen_dm_op op = {.op = XEN_DMOP_create_ioreq_server};
    long rc = dm_op(domid, &op);

    *id = op.u.create_ioreq_server.id;
    return rc;
}

long dm_server_destroy(u16 domid, u16 id)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_destroy_ioreq_server,
        .u.destroy_ioreq_server.id = id,
    };

    return dm_op(domid, &op);
}

long dm_server_enable(u16 domid, u16 id, bool enabled)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_ioreq_server_state,
        .u.set_ioreq_server_state = {.id = id, .enabled = enabled},
    };

    return dm_op(domid, &op);
}

static long dm_range(u16 domid, u32 what, u16 id, u64 base, u64 bytes)
{
    struct xen_dm_op op = {
        .op = what,
        /* The end is inclusive, so an off-by-one would claim a byte of the neighbour's window. */
        .u.map_io_range_to_ioreq_server =
            {
                .id = id,
                .type = XEN_DMOP_IO_RANGE_MEMORY,
                .start = base,
                .end = base + bytes - 1,
            },
    };

    return dm_op(domid, &op);
}

long dm_range_map(u16 domid, u16 id, u64 base, u64 bytes)
{
    return dm_range(domid, XEN_DMOP_map_io_range_to_ioreq_server, id, base, bytes);
}

long dm_range_unmap(u16 domid, u16 id, u64 base, u64 bytes)
{
    return dm_range(domid, XEN_DMOP_unmap_io_range_from_ioreq_server, id, base, bytes);
}

long dm_irq_raise(u16 domid, u32 irq)
{
    struct xen_dm_op op = {
        .op = XEN_DMOP_set_irq_level,
        .u.set_irq_level = {.irq = irq, .level = 1},
    };

    return dm_op(domid, &op);
}
