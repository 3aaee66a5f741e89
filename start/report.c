/* SPDX-License-Identifier: BSD-2-Clause */
/* report.c - see report.h. Each line fits LOG_LINE_MAX with 20-digit numbers. */
#include "start/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "start/base/check.h"
#include "start/base/parts.h"

#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/hypercall.h"

/** snprintf() for a text of REPORT_TEXT_MAX bytes. */
#define text_make(text, ...) (void)snprintf(text, REPORT_TEXT_MAX, __VA_ARGS__)

/** A counter that both front ends have. */
#define both(report, what) ((report)->attach->what + (PART_PV ? (report)->pv->what : 0))

/* --- the whole image ---------------------------------------------------------------------------
 */

/** Requests and what they cost in events, over all devices there ever were. */
static void total_text(const struct report *report, char *text)
{
    const struct attach *attach = report->attach;
    const struct pv *pv = report->pv;
    u64 requests = both(report, requests), kicks = both(report, kicks);
    u64 interrupts = both(report, interrupts);

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
    text_make(text, "requests=%" PRIu64 " kicks=%" PRIu64 " irqs=%" PRIu64, requests, kicks,
              interrupts);
}

static void ioreq_text(const struct attach *attach, char *text)
{
    u64 traps = attach->traps, refused = attach->traps_refused;
    u64 invalidations = attach->invalidations;

    for (u32 i = 0; i < attach->serving_count; i++) {
        const struct ioreq_server *server = &attach->serving[i]->server;

        traps += server->traps;
        refused += server->refused;
        invalidations += server->invalidations;
    }
    text_make(text, "traps=%" PRIu64 " refused=%" PRIu64 " invalidations=%" PRIu64, traps, refused,
              invalidations);
}

const char *report_area(const struct report *report, enum report_area area,
                        char text[REPORT_TEXT_MAX])
{
    const struct attach *attach = report->attach;
    const struct poll_loop *loop = report->loop;
    struct gmem_foreign_stats memory;

    gmem_foreign_stats(&memory);
    switch (area) {
    case REPORT_IMAGE:
        text_make(text,
                  "attached=%" PRIu64 " detached=%" PRIu64 " refused=%" PRIu64 " guests=%" PRIu32
                  " devices=%" PRIu32,
                  both(report, attached), report_gone(report), both(report, refused),
                  attach->serving_count, both(report, active_count));
        return "image";
    case REPORT_LOOP:
        text_make(text,
                  "turns=%" PRIu64 " busy=%" PRIu64 " sleeps=%" PRIu64 " spurious_irqs=%" PRIu64,
                  loop->turns, loop->busy_turns, loop->sleeps,
                  report->gic->spurious + report->gic->unknown);
        return "loop";
    case REPORT_TOTAL:
        total_text(report, text);
        return "total";
    case REPORT_XEN:
        text_make(text,
                  "evtchn=%" PRIu64 " memory=%" PRIu64 " dm=%" PRIu64 " gnttab=%" PRIu64
                  " other=%" PRIu64,
                  hypercall_count[HC_EVTCHN], hypercall_count[HC_MEMORY], hypercall_count[HC_DM],
                  hypercall_count[HC_GNTTAB], hypercall_count[HC_OTHER]);
        return "xen";
    case REPORT_IOREQ:
        ioreq_text(attach, text);
        return "ioreq";
    case REPORT_MEMORY:
        text_make(text,
                  "windows_total=%" PRIu32 " misses=%" PRIu64 " maps=%" PRIu64 " unmaps=%" PRIu64
                  " evictions=%" PRIu64,
                  memory.windows_total, memory.misses, memory.maps, memory.unmaps,
                  memory.evictions);
        return "memory";
    default:
        text_make(text,
                  "guests=%" PRIu32 " devices=%" PRIu32 " requests=%" PRIu32 " windows=%" PRIu32
                  " pages=%" PRIu32 " ports=%" PRIu32 " grants=%" PRIu32 " region_kib=%" PRIu64,
                  attach->serving_count, both(report, active_count), both(report, pool.in_flight),
                  memory.windows_used, memory.pages_mapped, evtchn_open_count(),
                  gnttab_mapped_count(), extregion_used_bytes() >> 10);
        return "held";
    }
}

static void area_log(const struct report *report, enum report_area area)
{
    char text[REPORT_TEXT_MAX];
    const char *name = report_area(report, area, text);

    log_info("stats %s %s", name, text);
}

void report_held(const struct report *report)
{
    area_log(report, REPORT_HELD);
}

u64 report_gone(const struct report *report)
{
    return both(report, detached);
}

/* --- disks of guests --------------------------------------------------------------------------
 */

u32 report_disks(const struct report *report)
{
    return both(report, active_count);
}

bool report_disk(const struct report *report, u32 i, struct report_disk *disk)
{
    const struct attach *attach = report->attach;

    *disk = (struct report_disk){0};
    if (i < attach->active_count) {
        const struct device *device = attach->active[i];

        if (device->vdev->device_id != VIRTIO_ID_BLOCK) {
            return false;
        }
        disk->domid = device->guest->domid;
        disk->devid = device->devid;
        disk->vb = &device->blk;
        disk->name = device->disk->name;
        disk->state = device->state != DEVICE_LIVE ? "closing"
                      : device->vdev->live         ? "connected"
                                                   : "waiting";
        return true;
    }
    i -= attach->active_count;
    if (PART_PV && i < report->pv->active_count) {
        const struct pv_device *device = report->pv->active[i];

        disk->domid = device->domid;
        disk->devid = device->devid;
        disk->pv = device;
        disk->name = device->disk->name;
        disk->state = device->state != PV_LIVE ? "closing"
                      : device->connected      ? "connected"
                                               : "waiting";
        return true;
    }
    return false;
}

static void disk_is(const struct report_disk *disk, char *text)
{
    text_make(text, "%s %s %s", disk->pv ? "pv" : "virtio", disk->state, disk->name);
}

static void disk_io(const struct report_disk *disk, char *text)
{
    const struct vblk *vb = disk->vb;

    if (disk->pv) {
        const struct blkif *bi = &disk->pv->blkif;

        text_make(text,
                  "requests=%" PRIu64 " reads=%" PRIu64 " writes=%" PRIu64 " flushes=%" PRIu64
                  " discards=%" PRIu64 " sectors_read=%" PRIu64 " sectors_written=%" PRIu64
                  " batches=%" PRIu64 " in_flight=%" PRIu32,
                  bi->requests, bi->reads, bi->writes, bi->flushes, bi->discards,
                  bi->bytes_read / SECTOR_BYTES, bi->bytes_written / SECTOR_BYTES, bi->batches,
                  bi->in_flight);
        return;
    }
    text_make(text,
              "requests=%" PRIu64 " reads=%" PRIu64 " writes=%" PRIu64 " flushes=%" PRIu64
              " discards=%" PRIu64 " sectors_read=%" PRIu64 " sectors_written=%" PRIu64
              " batches=%" PRIu64 " in_flight=%" PRIu32 " zeroes=%" PRIu64 " erases=%" PRIu64,
              vdev_requests(&vb->vdev), vb->reads, vb->writes, vb->flushes, vb->discards,
              vb->bytes_read / SECTOR_BYTES, vb->bytes_written / SECTOR_BYTES, vb->batches,
              vb->in_flight, vb->write_zeroes, vb->secure_erases);
}

static void disk_events(const struct report_disk *disk, char *text)
{
    if (disk->pv) {
        const struct grant_user *pages = &disk->pv->pages;

        text_make(text,
                  "kicks=%" PRIu64 " irqs=%" PRIu64 " hits=%" PRIu64 " maps=%" PRIu64
                  " evictions=%" PRIu64 " copies=%" PRIu64,
                  disk->pv->kicks, disk->pv->blkif.notifies, pages->hits, pages->maps,
                  pages->evictions, disk->pv->blkif.copies);
    } else {
        const struct vdev *dev = &disk->vb->vdev;

        text_make(text, "kicks=%" PRIu64 " irqs=%" PRIu64 " resets=%" PRIu64, dev->kicks,
                  dev->interrupts, dev->resets);
    }
}

static void disk_errors(const struct report_disk *disk, char *text)
{
    const struct vblk *vb = disk->vb;

    if (disk->pv) {
        const struct blkif *bi = &disk->pv->blkif;

        text_make(text, "guest=%" PRIu64 " medium=%" PRIu64 " no_slot=%" PRIu64 " no_map=%" PRIu64,
                  bi->errors_guest, bi->errors_medium, bi->no_slot, bi->no_map);
        return;
    }
    text_make(text,
              "guest=%" PRIu64 " medium=%" PRIu64 " no_slot=%" PRIu64 " no_map=%" PRIu64
              " unsupported=%" PRIu64 " needs_resets=%" PRIu64,
              vb->errors_guest, vb->errors_medium, vb->no_slot, vb->no_window, vb->unsupported,
              vb->vdev.needs_resets);
}

/** "4us=17 8us=2": 17 took less than 4 us and at least 2, ... What does not fit is left out. */
static void latency_text(const struct latency *latency, char *text)
{
    usize used = 0;

    text[0] = '\0';
    for (u32 i = 0; i < LATENCY_BUCKETS; i++) {
        char word[40];
        usize bytes;

        if (latency->count[i] == 0) {
            continue;
        }
        if (i + 1 < LATENCY_BUCKETS) {
            (void)snprintf(word, sizeof(word), "%s%" PRIu32 "us=%" PRIu64, used ? " " : "",
                           BIT32(i), latency->count[i]);
        } else {
            (void)snprintf(word, sizeof(word), "%slonger=%" PRIu64, used ? " " : "",
                           latency->count[i]);
        }
        bytes = strlen(word);
        if (bytes >= REPORT_TEXT_MAX - used) {
            break;
        }
        memcpy(text + used, word, bytes + 1);
        used += bytes;
    }
}

static void disk_latency(const struct report_disk *disk, char *text)
{
    latency_text(disk->pv ? &disk->pv->blkif.latency : &disk->vb->latency, text);
}

static const struct {
    char name[8];
    void (*text)(const struct report_disk *disk, char *text);
} keys[REPORT_DISK_KEYS] = {
    {"", disk_is},           {"io", disk_io},           {"events", disk_events},
    {"errors", disk_errors}, {"latency", disk_latency},
};

const char *report_disk_key(const struct report_disk *disk, u32 key, char text[REPORT_TEXT_MAX])
{
    CHECK(key < REPORT_DISK_KEYS);
    keys[key].text(disk, text);
    return keys[key].name;
}

/* --- all of it as lines ------------------------------------------------------------------------
 */

/** Of a disk that is limited. */
static void report_limit(const struct limit *limit, const char *name)
{
    if (PART_LIMITS && limit->on) {
        log_info("stats limits %s: iops=%" PRIu64 " bytes=%" PRIu64 " rests=%" PRIu64, name,
                 limit->iops, limit->bytes, limit->rests);
    }
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

static void latency_log(const char *name, const struct latency *latency)
{
    char text[REPORT_TEXT_MAX];

    if (PART_EYES) {
        latency_text(latency, text);
        log_info("stats latency %s: %s", name, text);
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
    if (dev->device_id == VIRTIO_ID_BLOCK) {
        latency_log(device->name, &device->blk.latency);
        report_limit(&device->limit, device->name);
    }
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
    latency_log(device->name, &bi->latency);
    report_limit(&device->limit, device->name);
}

void report_all(const struct report *report)
{
    for (enum report_area area = 0; area < REPORT_AREAS; area++) {
        area_log(report, area);
    }
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
