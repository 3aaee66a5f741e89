/* SPDX-License-Identifier: BSD-2-Clause */
/* xen_grant.c - the fake Xen's grant table calls. */
#include "tests/fake/xen.h"

#include <string.h>

#include "start/base/limits.h"

#include "drivers/xen/xen_abi.h"
#include "tests/fake/xen_parts.h"

static struct {
    struct fake_guest *guest;
    u32 ref;
    u64 gpa;
} handle[10240];

void fake_grants_reset(void)
{
    memset(handle, 0, sizeof(handle));
}

static struct fake_grant *grant_of(u16 domid, u32 ref)
{
    struct fake_guest *g = fake_guest_by_id(domid);

    return g && ref < FAKE_GRANTS && g->grant[ref].valid ? &g->grant[ref] : NULL;
}

static s16 grant_map(struct gnttab_map_grant_ref *op)
{
    struct fake_guest *g = fake_guest_by_id(op->dom);
    struct fake_grant *grant = grant_of(op->dom, op->ref);
    bool read_only = op->flags & GNTMAP_readonly;
    struct frame *f = fake_frame(op->host_addr / PAGE_BYTES);

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
            fake_frame_show(op->host_addr / PAGE_BYTES, g->memory_fd,
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
    fake_frame_hide(op->host_addr / PAGE_BYTES);
    *fake_frame(op->host_addr / PAGE_BYTES) = (struct frame){0};
    handle[h].guest->grant[handle[h].ref].mapped--;
    handle[h].guest->pages_held--;
    fake_guest_settle(handle[h].guest);
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
               ? fake_guest_byte(fake_guest_by_id(domid), grant->gfn * PAGE_BYTES + offset)
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

long fake_grant_op(unsigned op, void *arg, u32 count)
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
