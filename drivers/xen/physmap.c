/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * physmap.c - typed tier of HYPERVISOR_memory_op. See physmap.h.
 */
#include "drivers/xen/physmap.h"

#include "start/base/check.h"

#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"

#define REMOVE_BATCH 64 /* calls in one multicall */

STATIC_CHECK(sizeof(xen_pfn_t) == sizeof(u64) && sizeof(xen_ulong_t) == sizeof(u64),
             "frame lists are handed to Xen as they are");

static long memory_op(unsigned op, void *arg)
{
    hypercall_count[HC_MEMORY]++;
    return hypercall2(__HYPERVISOR_memory_op, op, (unsigned long)arg);
}

static long physmap_add(unsigned space, u64 idx, u64 gfn)
{
    struct xen_add_to_physmap arg = {
        .domid = DOMID_SELF,
        .space = space,
        .idx = idx,
        .gpfn = gfn,
    };

    return memory_op(XENMEM_add_to_physmap, &arg);
}

long physmap_shared_info(u64 gfn)
{
    return physmap_add(XENMAPSPACE_shared_info, 0, gfn);
}

long physmap_grant_frame(u32 idx, u64 gfn)
{
    return physmap_add(XENMAPSPACE_grant_table, idx, gfn);
}

long physmap_ioreq_page(u16 domid, u16 id, u64 gfn)
{
    xen_pfn_t frame = gfn;
    struct xen_mem_acquire_resource arg = {
        .domid = domid,
        .type = XENMEM_resource_ioreq_server,
        .id = id,
        .nr_frames = 1,
        .frame = XENMEM_resource_ioreq_server_frame_ioreq(0),
    };

    set_xen_guest_handle(arg.frame_list, &frame);
    return memory_op(XENMEM_acquire_resource, &arg);
}

long physmap_foreign(u16 domid, const u64 *idxs, const u64 *gfns, int *errors, u32 count)
{
    struct xen_add_to_physmap_batch arg = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_gmfn_foreign,
        .size = (u16)count,
        .u.foreign_domid = domid,
    };

    CHECK(count >= 1 && count <= PHYSMAP_BATCH_MAX);
    for (u32 i = 0; i < count; i++) {
        errors[i] = PHYSMAP_UNTOUCHED;
    }
    /* Xen's structure has no const; it only reads these two. */
    set_xen_guest_handle(arg.idxs, (xen_ulong_t *)(uintptr_t)idxs);
    set_xen_guest_handle(arg.gpfns, (xen_pfn_t *)(uintptr_t)gfns);
    set_xen_guest_handle(arg.errs, errors);
    return memory_op(XENMEM_add_to_physmap_batch, &arg);
}

/** Unmap up to REMOVE_BATCH pages in one multicall; returns the number unmapped. */
static u32 physmap_remove_some(const u64 *gfns, u32 count)
{
    static struct xen_remove_from_physmap arg[REMOVE_BATCH];
    static multicall_entry_t call[REMOVE_BATCH];
    u32 removed = 0;
    long rc;

    for (u32 i = 0; i < count; i++) {
        arg[i] = (struct xen_remove_from_physmap){.domid = DOMID_SELF, .gpfn = gfns[i]};
        call[i] = (multicall_entry_t){
            .op = __HYPERVISOR_memory_op,
            /* In case the multicall as a whole is refused: not done. */
            .result = (xen_ulong_t)-XEN_EINVAL,
            .args = {XENMEM_remove_from_physmap, (xen_ulong_t)&arg[i]},
        };
    }
    hypercall_count[HC_MEMORY]++;
    rc = hypercall2(__HYPERVISOR_multicall, (unsigned long)call, count);
    for (u32 i = 0; i < count; i++) {
        /* A multicall that is refused as a whole leaves single calls as the way out. */
        if (rc < 0 && (long)call[i].result != 0) {
            arg[i] = (struct xen_remove_from_physmap){.domid = DOMID_SELF, .gpfn = gfns[i]};
            call[i].result = (xen_ulong_t)memory_op(XENMEM_remove_from_physmap, &arg[i]);
        }
        removed += (long)call[i].result == 0;
    }
    return removed;
}

u32 physmap_remove(const u64 *gfns, u32 count)
{
    u32 removed = 0;

    for (u32 at = 0; at < count; at += REMOVE_BATCH) {
        u32 some = count - at < REMOVE_BATCH ? count - at : REMOVE_BATCH;

        removed += physmap_remove_some(gfns + at, some);
    }
    return removed;
}
