/* SPDX-License-Identifier: BSD-2-Clause */
/* hostile.c - the driver of the hostile cases. See hostile.h. */
#include "tests/guest/front/hostile.h"

#include <inttypes.h>

#include "drivers/console/console.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"
#include "virtio/virtio_defs.h"

#define MS UINT64_C(1000000)

/** A table of cases, and how often each ran. */
struct suite {
    const struct hostile_case *cases;
    u32 count;
    u64 runs[HOSTILE_CASES_MAX];
};

enum { SUITE_VIRTIO, SUITE_BLKIF, SUITE_STORE, SUITES };

static struct suite suites[SUITES];
static struct hostile hostiles[FRONT_DISKS_MAX];

u64 hostile_random(struct hostile *h)
{
    /* Marsaglia, "Xorshift RNGs", 2003 */
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return h->random;
}

void hostile_pause(struct hostile *h)
{
    u64 end_ns = port_now_ns() + HOSTILE_PAUSE_NS;

    while (port_now_ns() < end_ns) {
        if (machine_turn(h->m) == 0) {
            machine_sleep(h->m, end_ns);
            machine_awake(h->m);
        }
    }
}

/** One read of the first sectors, as any driver does it. */
static bool read_served(struct hostile *h, struct front_disk *disk)
{
    u64 end_ns = port_now_ns() + HOSTILE_ANSWER_NS;
    u32 slot;
    bool good;

    disk_submit(disk, 0, false, 0);
    disk_publish(disk);
    while (port_now_ns() < end_ns) {
        if (disk_take(disk, &slot, &good)) {
            return good;
        }
        if (machine_turn(h->m) > 0) {
            continue;
        }
        if (!disk_arm(disk)) {
            machine_sleep(h->m, end_ns);
        }
        disk_disarm(disk);
        machine_awake(h->m);
    }
    return false;
}

/** The disk works: it was not broken, or is started anew. */
static bool recover(struct hostile *h, struct front_disk *disk, bool broke)
{
    if (broke && h->v) {
        vfront_start(h->v);
    } else if (broke && !bfront_again(h->m, h->b)) {
        log_error("front hostile: PV disk %" PRIu32 " does not connect again, its backend is in "
                  "state %" PRIu32,
                  h->b->devid, bfront_state(h->m, h->b));
        return false;
    }
    return read_served(h, disk);
}

static struct hostile *hostile_make(struct front_machine *m, const struct front_options *options,
                                    struct front_disk *disk)
{
    struct hostile *h = &hostiles[disk->number];

    if (!h->m) {
        u16 domid = disk->is_virtio ? disk->v.run.domid : disk->b.run.domid;

        *h = (struct hostile){
            .m = m,
            .v = disk->is_virtio ? &disk->v : NULL,
            .b = disk->is_virtio ? NULL : &disk->b,
            .sectors = disk->sectors,
            .random = options->seed + disk->number + 1,
            .spare = grants_take(machine_pages(m, HOSTILE_PAGES), HOSTILE_PAGES, domid),
        };
        if (h->v) {
            h->v->extra = BIT64(VIRTIO_F_INDIRECT_DESC);
            vfront_start(h->v);
        }
    }
    return h;
}

/** One case on a disk. Returns whether the disk serves afterwards. */
static bool step(struct hostile *h, struct front_disk *disk, struct suite *suite, u32 i)
{
    bool broke;

    broke = suite->cases[i].run(h);
    suite->runs[i]++;
    if (!recover(h, disk, broke || h->v)) {
        log_error("front hostile: disk %" PRIu32 " serves no read after case %s", disk->number,
                  suite->cases[i].name);
        return false;
    }
    return true;
}

static void report(void)
{
    for (u32 s = 0; s < SUITES; s++) {
        for (u32 i = 0; i < suites[s].count; i++) {
            log_info("front hostile case=%s runs=%" PRIu64, suites[s].cases[i].name,
                     suites[s].runs[i]);
            console_flush(); /* more lines than the console's ring holds */
        }
    }
}

u64 hostile_run(struct front_machine *m, const struct front_options *options,
                struct front_disk *disk, u32 count)
{
    u64 begin_ns = port_now_ns();
    u64 end_ns = begin_ns + options->seconds * 1000 * MS;
    u64 served = 0, errors = 0;
    bool whole = false;

    suites[SUITE_VIRTIO] = (struct suite){.cases = hostile_virtio, .count = hostile_virtio_count};
    suites[SUITE_BLKIF] = (struct suite){.cases = hostile_blkif, .count = hostile_blkif_count};
    suites[SUITE_STORE] = (struct suite){.cases = hostile_store, .count = hostile_store_count};
    for (u32 s = 0; s < SUITES; s++) {
        CHECK(suites[s].count <= HOSTILE_CASES_MAX);
    }
    while (errors == 0 && (!whole || port_now_ns() < end_ns)) {
        /* A case of each disk in turn, so that both protocols are broken at the same time. */
        for (u32 i = 0; i < HOSTILE_CASES_MAX && errors == 0; i++) {
            for (u32 k = 0; k < count && (!whole || port_now_ns() < end_ns); k++) {
                struct hostile *h = hostile_make(m, options, &disk[k]);
                u32 blkif = suites[SUITE_BLKIF].count;
                struct suite *suite = h->v        ? &suites[SUITE_VIRTIO]
                                      : i < blkif ? &suites[SUITE_BLKIF]
                                                  : &suites[SUITE_STORE];
                u32 at = suite == &suites[SUITE_STORE] ? i - blkif : i;

                if (at < suite->count) {
                    bool good = step(h, &disk[k], suite, at);

                    served += good;
                    errors += !good;
                }
            }
        }
        for (u32 k = 0; k < count; k++) {
            hostiles[disk[k].number].round++;
        }
        whole = true;
    }
    for (u32 k = 0; k < count; k++) {
        /* What is answered to nonsense is no complaint of the next job. */
        *disk_traffic(&disk[k]) = (struct front_traffic){0};
    }
    report();
    log_info("front done disks=%" PRIu32 " requests=%" PRIu64 " errors=%" PRIu64 " ms=%" PRIu64,
             count, served, errors, (port_now_ns() - begin_ns) / MS);
    console_flush();
    return errors;
}
