/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify.c - the verified job. See verify.h.
 */
#include "tests/guest/front/verify.h"

#include <inttypes.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"

#define BLOCKS_MAX    4096 /* of our piece of one disk */
#define COMPLAINS_MAX 4    /* blocks of a disk that are named when they are wrong */
#define DRAIN_NS      UINT64_C(60000000000) /* the last requests must come back in this time */
#define MS            UINT64_C(1000000)

struct slot {
    bool busy, write;
    u32 block;
};

/** What is known of one disk. */
struct work {
    struct front_disk *disk;
    u64 random;
    u32 blocks;                 /* of our piece */
    u32 generation[BLOCKS_MAX]; /* of each block; 0: unknown */
    struct slot slot[FRONT_DEPTH_MAX];
    u32 in_flight;
    u32 next; /* block to look at, of the last check */
    u64 counted, all, reads, writes, checked, errors, wrong;
};

struct verify {
    const struct front_options *options;
    struct work *work;
    u32 count;
    u64 counted_from_ns, counted_to_ns, end_ns;
    bool checking; /* the last check: every block once */
};

static struct work works[FRONT_DISKS_MAX] __attribute__((section(".far")));

/* --- contents --------------------------------------------------------------------------------- */

/** Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014: the finaliser. */
static u64 mix(u64 v)
{
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

#define STEP UINT64_C(0x9e3779b97f4a7c15)

static u64 random_next(struct work *w)
{
    w->random += STEP;
    return mix(w->random);
}

static u64 first_word(const struct verify *job, const struct work *w, u32 block)
{
    return mix(job->options->seed + STEP * (w->disk->number + 1) +
               mix((u64)w->generation[block] << 32 | block));
}

static void content_make(const struct verify *job, const struct work *w, u32 block, u8 *to)
{
    u64 *word = (u64 *)(void *)to;
    u64 v = first_word(job, w, block);

    for (u32 i = 0; i < job->options->size / 8; i++, v += STEP) {
        word[i] = v;
    }
}

/** The first word that differs, or the number of words. */
static u32 content_compare(const struct verify *job, const struct work *w, u32 block,
                           const u8 *from)
{
    const u64 *word = (const u64 *)(const void *)from;
    u64 v = first_word(job, w, block);
    u32 i = 0;

    while (i < job->options->size / 8 && word[i] == v) {
        i++;
        v += STEP;
    }
    return i;
}

static u64 sector_of(const struct verify *job, const struct work *w, u32 block)
{
    const struct front_options *o = job->options;

    return (o->at + w->disk->number * o->span + (u64)block * o->size) / SECTOR_BYTES;
}

/* --- requests --------------------------------------------------------------------------------- */

static void start(const struct verify *job, struct work *w, u32 s, u32 block, bool write)
{
    w->slot[s] = (struct slot){true, write, block};
    w->in_flight++;
    if (write) {
        w->generation[block]++;
        content_make(job, w, block, disk_buffer(w->disk, s));
    } else {
        memset(disk_buffer(w->disk, s), 0, job->options->size);
    }
    disk_submit(w->disk, s, write, sector_of(job, w, block));
}

/** The last check: the next block that was written; false when there is none. */
static bool check_next(const struct verify *job, struct work *w, u32 s)
{
    while (w->next < w->blocks && w->generation[w->next] == 0) {
        w->next++;
    }
    if (w->next == w->blocks) {
        return false;
    }
    start(job, w, s, w->next++, false);
    return true;
}

static bool ended(const struct verify *job, const struct work *w, u64 now_ns)
{
    const struct front_options *o = job->options;

    return now_ns >= job->end_ns || (o->requests && w->all + w->in_flight >= o->requests);
}

static void refill(const struct verify *job, struct work *w, u64 now_ns)
{
    for (u32 s = 0; s < job->options->depth; s++) {
        u32 row, block;
        u64 chance;

        if (w->slot[s].busy) {
            continue;
        }
        if (job->checking) {
            if (!check_next(job, w, s)) {
                break;
            }
            continue;
        }
        if (ended(job, w, now_ns)) {
            break;
        }
        chance = random_next(w);
        row = (u32)(chance >> 32) % (w->blocks / job->options->depth);
        block = row * job->options->depth + s;
        start(job, w, s, block, w->generation[block] == 0 || (chance & 1));
    }
    disk_publish(w->disk);
}

static void compare(const struct verify *job, struct work *w, u32 s)
{
    u32 block = w->slot[s].block;
    u32 at = content_compare(job, w, block, disk_buffer(w->disk, s));

    if (at == job->options->size / 8) {
        return;
    }
    if (w->wrong++ < COMPLAINS_MAX) {
        log_error("front wrong disk=%" PRIu32 " sector=%" PRIu64 " generation=%" PRIu32
                  " byte=%" PRIu32,
                  w->disk->number, sector_of(job, w, block), w->generation[block], at * 8);
    }
}

static void finish(const struct verify *job, struct work *w, u32 s, bool good, u64 now_ns)
{
    struct slot *slot = &w->slot[s];

    slot->busy = false;
    w->in_flight--;
    w->all++;
    w->counted += now_ns >= job->counted_from_ns && now_ns < job->counted_to_ns;
    w->errors += !good;
    w->checked += job->checking;
    w->reads += !slot->write;
    w->writes += slot->write;
    if (!good) {
        w->generation[slot->block] = 0; /* an outcome that nobody knows */
    } else if (!slot->write) {
        compare(job, w, s);
    }
}

/* --- the loop --------------------------------------------------------------------------------- */

/** All disks have a turn. Returns the completions. */
static u32 turn(const struct verify *job, u64 now_ns)
{
    u32 done = 0;

    for (u32 i = 0; i < job->count; i++) {
        struct work *w = &job->work[i];
        u32 slot, before = done;
        bool good;

        while (done - before < FRONT_DEPTH_MAX && disk_take(w->disk, &slot, &good)) {
            finish(job, w, slot, good, now_ns);
            done++;
        }
        if (done != before || w->in_flight == 0) {
            refill(job, w, now_ns);
        }
    }
    return done;
}

static bool in_flight(const struct verify *job)
{
    for (u32 i = 0; i < job->count; i++) {
        if (job->work[i].in_flight > 0) {
            return true;
        }
    }
    return false;
}

static void sleep(struct front_machine *m, const struct verify *job, u64 deadline_ns)
{
    bool ready = false;

    for (u32 i = 0; i < job->count; i++) {
        ready |= disk_arm(job->work[i].disk);
    }
    if (!ready) {
        machine_sleep(m, deadline_ns);
    }
    for (u32 i = 0; i < job->count; i++) {
        disk_disarm(job->work[i].disk);
    }
    machine_awake(m);
}

/** Until nothing is left to be done and nothing is in flight. */
static void run(struct front_machine *m, const struct verify *job)
{
    u64 last_ns = port_now_ns();

    (void)turn(job, last_ns);
    while (in_flight(job)) {
        u64 now_ns = port_now_ns();

        if (turn(job, now_ns) > 0) {
            last_ns = now_ns;
        } else if (now_ns - last_ns > DRAIN_NS) {
            machine_refuse("the backend has not answered a request for %" PRIu64 " s",
                           DRAIN_NS / 1000 / MS);
        } else if (machine_turn(m) != 0) {
            continue;
        } else if (job->options->spin) {
            machine_yield();
        } else {
            sleep(m, job, last_ns + DRAIN_NS + MS);
        }
    }
}

/* --- the job ---------------------------------------------------------------------------------- */

static void work_init(struct work *w, const struct front_options *o, struct front_disk *disk)
{
    u64 blocks = o->span / o->size;
    u64 first = (o->at + disk->number * o->span) / SECTOR_BYTES;

    memset(w, 0, sizeof(*w));
    w->disk = disk;
    w->random = o->seed ^ disk->number;
    if (blocks > BLOCKS_MAX || o->size % 8 != 0) {
        machine_refuse("span= holds %" PRIu64 " blocks of size=; at most %u are kept in mind",
                       blocks, BLOCKS_MAX);
    }
    if (!range_ok(first, blocks * (o->size / SECTOR_BYTES), disk->sectors)) {
        machine_refuse("disk %" PRIu32 " has %" PRIu64 " sectors: our piece of it, at= and span=, "
                       "ends behind them",
                       disk->number, disk->sectors);
    }
    w->blocks = (u32)blocks;
}

static u64 report(struct work *w)
{
    struct front_disk *disk = w->disk;
    const struct front_traffic *t = disk_traffic(disk);

    log_info("front result disk=%" PRIu32 " proto=%s grants=%u requests=%" PRIu64 " all=%" PRIu64
             " reads=%" PRIu64 " writes=%" PRIu64 " checked=%" PRIu64,
             disk->number, disk->is_virtio ? "virtio" : "vbd", !disk->is_virtio || disk->v.granted,
             w->counted, w->all, w->reads, w->writes, w->checked);
    log_info("front health disk=%" PRIu32 " errors=%" PRIu64 " wrong=%" PRIu64 " nonsense=%" PRIu64
             " in_use=%" PRIu64 " kicks=%" PRIu64 " irqs=%" PRIu64,
             disk->number, w->errors, w->wrong, t->nonsense, t->in_use, t->kicks, t->interrupts);
    return w->errors + w->wrong + t->nonsense + t->in_use;
}

u64 verify_run(struct front_machine *m, const struct front_options *options,
               struct front_disk *disk, u32 count)
{
    u64 begin_ns = port_now_ns();
    struct verify job = {
        .options = options,
        .work = works,
        .count = count,
        .counted_from_ns = begin_ns + options->warm_ms * MS,
        .counted_to_ns = begin_ns + options->warm_ms * MS + options->seconds * 1000 * MS,
    };
    u64 requests = 0, errors = 0;

    job.end_ns = job.counted_to_ns + options->warm_ms * MS;
    for (u32 i = 0; i < count; i++) {
        work_init(&works[i], options, &disk[i]);
    }
    run(m, &job);
    job.checking = true;
    run(m, &job);
    for (u32 i = 0; i < count; i++) {
        errors += report(&works[i]);
        requests += works[i].counted;
    }
    log_info("front done disks=%" PRIu32 " requests=%" PRIu64 " errors=%" PRIu64 " ms=%" PRIu64,
             count, requests, errors, (port_now_ns() - begin_ns) / MS);
    return errors;
}
