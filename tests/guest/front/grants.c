/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * grants.c - our grant table. See grants.h.
 *
 * Xen reads and writes the entries at the same time: the flags go last when a page is offered, and
 * are taken away in one step that fails when the other side has the page in use.
 */
#include "tests/guest/front/grants.h"

#include <inttypes.h>

#include "drivers/xen/gnttab.h"
#include "drivers/xen/xen_abi.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#define ENTRIES_PER_FRAME (PAGE_BYTES / (u32)sizeof(struct grant_entry_v1))

static struct grant_entry_v1 *table;
static u32 entries, next_ref, offered;

void grants_init(struct front_machine *m)
{
    u64 frames = min_u64(m->hypervisor.grants.bytes / PAGE_BYTES, GNTTAB_FRAMES_MAX);

    table = (void *)(uintptr_t)m->hypervisor.grants.base;
    entries = (u32)frames * ENTRIES_PER_FRAME;
    next_ref = GNTTAB_NR_RESERVED_ENTRIES;
}

struct grant_run grants_take(u8 *base, u32 pages, u16 domid)
{
    struct grant_run run = {base, pages, next_ref, domid};

    if (pages > entries - next_ref) {
        machine_refuse("%" PRIu32 " more pages to offer, and our grant table of %" PRIu32
                       " entries is full: take less depth= or size=",
                       pages, entries);
    }
    next_ref += pages;
    return run;
}

static bool revoke(struct grant_entry_v1 *entry)
{
    u16 flags = load_u16(&entry->flags);

    while (!(flags & (GTF_reading | GTF_writing))) {
        if (__atomic_compare_exchange_n(&entry->flags, &flags, GTF_invalid, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

void grants_offer(const struct grant_run *run, u32 first, u32 count, bool read_only)
{
    CHECK(range_ok(first, count, run->pages));
    for (u32 i = first; i < first + count; i++) {
        struct grant_entry_v1 *entry = &table[run->ref + i];

        if (load_u16(&entry->flags) != GTF_invalid) {
            continue; /* the other side had it in use: it stays offered */
        }
        offered++;
        store_u32(&entry->frame, (u32)((u64)(uintptr_t)run->base / PAGE_BYTES + i));
        store_u16(&entry->domid, run->domid);
        store_release_u16(&entry->flags, GTF_permit_access | (read_only ? GTF_readonly : 0));
    }
}

u32 grants_revoke(const struct grant_run *run, u32 first, u32 count)
{
    u32 in_use = 0;

    CHECK(range_ok(first, count, run->pages));
    for (u32 i = first; i < first + count; i++) {
        if (load_u16(&table[run->ref + i].flags) == GTF_invalid) {
            continue;
        }
        if (revoke(&table[run->ref + i])) {
            offered--;
        } else {
            in_use++;
        }
    }
    return in_use;
}

u32 grants_offered(void)
{
    return offered;
}
