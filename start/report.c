/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. Each line fits LOG_LINE_MAX with 20-digit numbers. */
#include "start/report.h"

#include <inttypes.h>

#include "start/base/parts.h"

#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/hypercall.h"

static void report_image(const struct report *report)
{
    const struct attach *attach = report->attach;
    const struct pv *pv = report->pv;
    const struct poll_loop *loop = report->loop;

    log_info("stats image attached=%" PRIu64 " detached=%" PRIu64 " refused=%" PRIu64
             " guests=%" PRIu32 " devices=%" PRIu32,
             attach->attached + pv->attached, attach->detached + pv->detached,
             attach->refused + pv->refused, attach->serving_count,
             attach->active_count + pv->active_count);
    log_info("stats loop turns=%" PRIu64 " busy=%" PRIu64 " sleeps=%" PRIu64
             " spurious_irqs=%" PRIu64,
             loop->turns, loop->busy_turns, loop->sleeps, report->spurious_irqs);
}

/** Requests and what they cost in events, over all devices there ever were. */
static void report_requests(const struct attach *attach, const struct pv *pv)
{
    u64 requests = attach->requests + pv->requests, kicks = attach->kicks + pv->kicks;
    u64 interrupts = attach->interrupts + pv->interrupts;

    for (u32 i = 0; i < attach->active_count; i++) {
        const struct vdev *dev = attach->active[i]->vdev;

        requests += vdev_requests(dev);
        kicks += dev->kicks;
        interrupts += dev->interrupts;
    }
    for (u32 i = 0; PART_PV && i < pv->active_count; i++) {
        requests += pv->active[i]->blkif.requests;
        kicks += pv->active[i]->kicks;
        interrupts += pv->active[i]->blkif.notifies;
    }
    log_info("stats total requests=%" PRIu64 " kicks=%" PRIu64 " irqs=%" PRIu64, requests, kicks,
             interrupts);
}

static void report_xen(const struct report *report)
{
    u64 traps = report->attach->traps, refused = report->attach->traps_refused;
    u64 invalidations = report->attach->invalidations;

    for (u32 i = 0; i < report->attach->serving_count; i++) {
        const struct ioreq_server *server = &report->attach->serving[i]->server;

        traps += server->traps;
        refused += server->refused;
        invalidations += server->invalidations;
    }
    log_info("stats xen evtchn=%" PRIu64 " memory=%" PRIu64 " dm=%" PRIu64 " gnttab=%" PRIu64
             " other=%" PRIu64,
             hypercall_count[HC_EVTCHN], hypercall_count[HC_MEMORY], hypercall_count[HC_DM],
             hypercall_count[HC_GNTTAB], hypercall_count[HC_OTHER]);
    log_info("stats ioreq traps=%" PRIu64 " refused=%" PRIu64 " invalidations=%" PRIu64, traps,
             refused, invalidations);
}

void report_held(const struct report *report)
{
    struct gmem_foreign_stats memory;

    gmem_foreign_stats(&memory);
    log_info("stats held guests=%" PRIu32 " devices=%" PRIu32 " requests=%" PRIu32
             " windows=%" PRIu32 " pages=%" PRIu32 " ports=%" PRIu32 " grants=%" PRIu32
             " region_kib=%" PRIu64,
             report->attach->serving_count, report->attach->active_count + report->pv->active_count,
             report->attach->pool.in_flight + report->pv->pool.in_flight, memory.windows_used,
             memory.pages_mapped, evtchn_open_count(), gnttab_mapped_count(),
             extregion_used_bytes() >> 10);
}

static void report_memory(void)
{
    struct gmem_foreign_stats memory;

    gmem_foreign_stats(&memory);
    log_info("stats memory windows_total=%" PRIu32 " misses=%" PRIu64 " maps=%" PRIu64
             " unmaps=%" PRIu64 " evictions=%" PRIu64,
             memory.windows_total, memory.misses, memory.maps, memory.unmaps, memory.evictions);
}

/** What each guest had of our time. */
static void report_shares(const struct shares *shares)
{
    for (u32 i = 0; i < shares->count; i++) {
        const struct share *share = shares->active[i];

        log_info("stats share dom%u: devices=%" PRIu32 " turns=%" PRIu64 " units=%" PRIu64
                 " us=%" PRIu64 " contested_us=%" PRIu64 " sat_out=%" PRIu64,
                 share->domid, share->members, share->turns, share->units, share->ns / 1000,
                 share->contested_ns / 1000, share->sat_out);
    }
}

static void report_device(const struct device *device)
{
    const struct vdev *dev = device->vdev;

    if (dev->ops->report) {
        dev->ops->report(dev);
    }
    log_info("stats events %s: requests=%" PRIu64 " kicks=%" PRIu64 " irqs=%" PRIu64
             " resets=%" PRIu64 " needs_resets=%" PRIu64,
             device->name, vdev_requests(dev), dev->kicks, dev->interrupts, dev->resets,
             dev->needs_resets);
}

static void report_pv(const struct pv_device *device)
{
    const struct blkif *bi = &device->blkif;
    const struct grant_user *pages = &device->pages;

    log_info("stats device %s: requests=%" PRIu64 " flushes=%" PRIu64 " discards=%" PRIu64
             " kib_read=%" PRIu64 " kib_written=%" PRIu64 " batches=%" PRIu64,
             device->name, bi->requests, bi->flushes, bi->discards, bi->bytes_read >> 10,
             bi->bytes_written >> 10, bi->batches);
    log_info("stats grants %s: kept=%" PRIu32 " hits=%" PRIu64 " maps=%" PRIu64
             " evictions=%" PRIu64 " copies=%" PRIu64,
             device->name, pages->kept, pages->hits, pages->maps, pages->evictions, bi->copies);
    log_info("stats errors %s: errors_guest=%" PRIu64 " errors_medium=%" PRIu64 " no_slot=%" PRIu64
             " no_map=%" PRIu64,
             device->name, bi->errors_guest, bi->errors_medium, bi->no_slot, bi->no_map);
    log_info("stats events %s: requests=%" PRIu64 " kicks=%" PRIu64 " irqs=%" PRIu64, device->name,
             bi->requests, device->kicks, bi->notifies);
}

void report_all(const struct report *report)
{
    report_image(report);
    report_requests(report->attach, report->pv);
    report_xen(report);
    report_memory();
    report_held(report);
    if (PART_LIMITS) {
        report_shares(&report->turn->shares);
    }
    for (u32 i = 0; i < report->attach->active_count; i++) {
        report_device(report->attach->active[i]);
    }
    for (u32 i = 0; PART_PV && i < report->pv->active_count; i++) {
        report_pv(report->pv->active[i]);
    }
}
