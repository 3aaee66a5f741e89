/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gnttab.c - grants that others give us. See gnttab.h.
 */
#include "drivers/xen/gnttab.h"

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/base/log.h"

#include "drivers/xen/hypercall.h"
#include "drivers/xen/physmap.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xen_abi.h"

static u32 mapped_count;

static long gnttab_op(unsigned op, void *ops, u32 count)
{
    hypercall_count[HC_GNTTAB]++;
    return hypercall3(__HYPERVISOR_grant_table_op, op, (unsigned long)ops, count);
}

enum status gnttab_init(u64 gpa, u64 bytes)
{
    u32 frames = (u32)min_u64(bytes / PAGE_BYTES, GNTTAB_FRAMES_MAX);

    if (frames == 0 || !is_aligned(gpa, PAGE_BYTES)) {
        log_error("gnttab: /hypervisor reg[0] has no room for a grant frame");
        return ST_RANGE;
    }
    for (u32 i = 0; i < frames; i++) {
        long rc = physmap_grant_frame(i, gpa / PAGE_BYTES + i);

        if (rc < 0 && i == 0) {
            log_error("gnttab: the grant table cannot be mapped: %s", xen_errno_name(rc));
            return ST_HYPERCALL;
        }
        if (rc < 0) {
            break; /* the domain was given fewer frames: what is there is enough to go on */
        }
    }
    return ST_OK;
}

enum status gnttab_map_batch(struct gnttab_map *maps, u32 count)
{
    static struct gnttab_map_grant_ref op[GNTTAB_BATCH_MAX];
    long rc;

    CHECK(count >= 1 && count <= GNTTAB_BATCH_MAX);
    for (u32 i = 0; i < count; i++) {
        op[i] = (struct gnttab_map_grant_ref){
            .host_addr = maps[i].gpa,
            /* Arm knows host mappings only; a grant given read-only must be mapped so. */
            .flags = GNTMAP_host_map | (maps[i].read_only ? GNTMAP_readonly : 0),
            .ref = maps[i].ref,
            .dom = maps[i].domid,
            .status = GNTST_general_error,
        };
    }
    rc = gnttab_op(GNTTABOP_map_grant_ref, op, count);
    for (u32 i = 0; i < count; i++) {
        maps[i].status = op[i].status;
        maps[i].handle = op[i].status == GNTST_okay ? op[i].handle : GNTTAB_NO_HANDLE;
        maps[i].bus = op[i].status == GNTST_okay ? op[i].dev_bus_addr : 0;
        mapped_count += op[i].status == GNTST_okay;
    }
    if (rc < 0) {
        log_error("gnttab: mapping %u grants: %s", count, xen_errno_name(rc));
        return ST_HYPERCALL;
    }
    return ST_OK;
}

enum status gnttab_unmap_batch(struct gnttab_unmap *unmaps, u32 count)
{
    static struct gnttab_unmap_grant_ref op[GNTTAB_BATCH_MAX];
    static u32 which[GNTTAB_BATCH_MAX];
    u32 used = 0;
    long rc;

    CHECK(count >= 1 && count <= GNTTAB_BATCH_MAX);
    for (u32 i = 0; i < count; i++) {
        unmaps[i].status = GNTST_okay;
        if (unmaps[i].handle == GNTTAB_NO_HANDLE) {
            continue;
        }
        op[used] = (struct gnttab_unmap_grant_ref){
            .host_addr = unmaps[i].gpa,
            .handle = unmaps[i].handle,
            .status = GNTST_general_error,
        };
        which[used++] = i;
    }
    if (used == 0) {
        return ST_OK;
    }
    rc = gnttab_op(GNTTABOP_unmap_grant_ref, op, used);
    for (u32 i = 0; i < used; i++) {
        struct gnttab_unmap *u = &unmaps[which[i]];

        u->status = op[i].status;
        if (op[i].status == GNTST_okay) {
            u->handle = GNTTAB_NO_HANDLE;
            mapped_count--;
        }
    }
    if (rc < 0) {
        log_error("gnttab: unmapping %u grants: %s", used, xen_errno_name(rc));
        return ST_HYPERCALL;
    }
    return ST_OK;
}

enum status gnttab_copy_batch(struct gnttab_copy_op *ops, u32 count)
{
    static struct gnttab_copy op[GNTTAB_BATCH_MAX];
    long rc;

    CHECK(count >= 1 && count <= GNTTAB_BATCH_MAX);
    for (u32 i = 0; i < count; i++) {
        const struct gnttab_place *from = &ops[i].from;
        const struct gnttab_place *to = &ops[i].to;

        op[i] = (struct gnttab_copy){
            .len = ops[i].bytes,
            .flags =
                (from->is_gfn ? 0 : GNTCOPY_source_gref) | (to->is_gfn ? 0 : GNTCOPY_dest_gref),
            .source = {.domid = from->is_gfn ? DOMID_SELF : from->domid, .offset = from->offset},
            .dest = {.domid = to->is_gfn ? DOMID_SELF : to->domid, .offset = to->offset},
            .status = GNTST_general_error,
        };
        if (from->is_gfn) {
            op[i].source.u.gmfn = from->ref_or_gfn;
        } else {
            op[i].source.u.ref = (grant_ref_t)from->ref_or_gfn;
        }
        if (to->is_gfn) {
            op[i].dest.u.gmfn = to->ref_or_gfn;
        } else {
            op[i].dest.u.ref = (grant_ref_t)to->ref_or_gfn;
        }
    }
    rc = gnttab_op(GNTTABOP_copy, op, count);
    for (u32 i = 0; i < count; i++) {
        ops[i].status = op[i].status;
    }
    if (rc < 0) {
        log_error("gnttab: copying %u pieces: %s", count, xen_errno_name(rc));
        return ST_HYPERCALL;
    }
    return ST_OK;
}

u32 gnttab_mapped_count(void)
{
    return mapped_count;
}
