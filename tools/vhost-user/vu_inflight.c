/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_inflight.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/port.h"
#include "tools/vhost-user/vu_inflight_packed.h"

/* One descriptor's state and a queue's region, as they lie in the area. */
struct desc_state {
    u8 inflight;
    u8 padding[5];
    u16 next;
    u64 counter;
};

struct queue_region {
    u64 features;
    u16 version; /* 0: never used */
    u16 desc_num;
    u16 last_batch_head;
    u16 used_idx;
    struct desc_state desc[];
};

STATIC_CHECK(sizeof(struct desc_state) == 16, "[VHOST-USER] DescStateSplit");
STATIC_CHECK(offsetof(struct queue_region, desc) == 16, "[VHOST-USER] QueueRegionSplit");

#define REGION_VERSION 1
#define REGION_ALIGN   64 /* each queue's region begins on a line of its own */

static u64 region_bytes(u16 queue_size)
{
    return align_up(sizeof(struct queue_region) + queue_size * sizeof(struct desc_state),
                    REGION_ALIGN);
}

static struct queue_region *region_of(const struct vu_inflight *area, u32 queue)
{
    return (struct queue_region *)(void *)(area->base + queue * area->region_bytes);
}

u64 vu_inflight_bytes(u16 queues, u16 queue_size)
{
    return queues * region_bytes(queue_size);
}

static const char *counts_wrong(const struct vu_inflight_desc *desc)
{
    if (desc->queues == 0 || desc->queues > VU_INFLIGHT_QUEUES_MAX) {
        return "the inflight area is for no queue, or for more than 64";
    }
    if (desc->queue_size == 0 || desc->queue_size > VQ_SIZE_MAX) {
        return "the inflight area is for queues of size 0 or above 1024";
    }
    return NULL;
}

static const char *area_map(struct vu_inflight *area, const struct vu_inflight_desc *desc, int fd)
{
    const u64 page = (u64)sysconf(_SC_PAGESIZE);
    const u64 first = align_down(desc->offset, page);
    const u64 skip = desc->offset - first;
    struct stat st;
    int seals;
    void *map;

    if (fstat(fd, &st) != 0 || st.st_size < 0 ||
        !range_ok(desc->offset, desc->bytes, (u64)st.st_size)) {
        return "the inflight area is larger than the file behind it";
    }
    /* Nobody may take it away under us. Fails when it is sealed already: then that seal counts. */
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK)) {
        return "the inflight area's file can shrink: it must be a memfd that takes F_SEAL_SHRINK";
    }
    map = mmap(NULL, skip + desc->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)first);
    if (map == MAP_FAILED) {
        return "the system refuses to map the inflight area for reading and writing";
    }
    vu_inflight_detach(area);
    *area = (struct vu_inflight){
        .map = map,
        .map_bytes = skip + desc->bytes,
        .base = (u8 *)map + skip,
        .queues = desc->queues,
        .region_bytes = align_down(desc->bytes / desc->queues, sizeof(u64)),
    };
    return NULL;
}

enum status vu_inflight_create(struct vu_inflight *area, struct vu_inflight_desc *desc, int *fd,
                               const char **why)
{
    *why = counts_wrong(desc);
    if (*why) {
        return ST_INVAL;
    }
    /* Whatever size the front end names: QEMU's drivers may choose rings larger than it says. And
     * of either layout: a packed ring's region is the larger one. */
    desc->bytes = desc->queues * align_up(vu_packed_region_bytes(VQ_SIZE_MAX), REGION_ALIGN);
    desc->offset = 0;
    *fd = memfd_create("caisson-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, (off_t)desc->bytes) != 0) {
        *why = "the system gives no memory file for the inflight area";
    } else {
        *why = area_map(area, desc, *fd);
    }
    if (*why) {
        if (*fd >= 0) {
            close(*fd);
        }
        return ST_IO;
    }
    return ST_OK;
}

enum status vu_inflight_attach(struct vu_inflight *area, const struct vu_inflight_desc *desc,
                               int fd, const char **why)
{
    *why = counts_wrong(desc);
    if (*why) {
        return ST_INVAL;
    }
    if (desc->bytes < vu_inflight_bytes(desc->queues, desc->queue_size) ||
        !is_aligned(desc->offset, sizeof(u64))) {
        *why = "the inflight area is too small for its queues, or misaligned";
        return ST_INVAL;
    }
    *why = area_map(area, desc, fd);
    return *why ? ST_IO : ST_OK;
}

void vu_inflight_detach(struct vu_inflight *area)
{
    if (area->map) {
        munmap(area->map, area->map_bytes);
    }
    memset(area, 0, sizeof(*area));
}

/* --- while a queue runs ---------------------------------------------------------------------- */

/*
 * The stores must reach the area in the order of the program, for whoever maps it after our death:
 * release stores do.
 */
static void mark(struct queue_region *region, u16 head, u8 inflight)
{
    store_release_u8(&region->desc[head].inflight, inflight);
}

static struct vu_inflight_log *log_of(struct virtq_journal *journal)
{
    return container_of(journal, struct vu_inflight_log, journal);
}

static void log_taking(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to)
{
    struct vu_inflight_log *log = log_of(journal);

    for (u16 idx = from; idx != to; idx++) {
        const u16 head = virtq_avail_head(vq, idx);

        if (head < log->size) { /* the engine refuses the others */
            store_u64(&log->region->desc[head].counter, log->counter++);
            mark(log->region, head, 1);
        }
    }
}

static void log_showing(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to)
{
    struct queue_region *region = log_of(journal)->region;

    for (u16 idx = from; idx != to; idx++) {
        const u32 head = virtq_used_head(vq, idx);

        if (head < log_of(journal)->size) {
            store_u16(&region->desc[head].next, load_u16(&region->last_batch_head));
            store_release_u16(&region->last_batch_head, (u16)head);
        }
    }
}

/*
 * Clear a batch, newest first. The heads are followed in the area, which the front end may change:
 * each is checked, and there are no more steps than the batch is long.
 */
static bool batch_clear(struct queue_region *region, u16 size, u16 count)
{
    u16 head = load_u16(&region->last_batch_head);

    for (u16 i = 0; i < count; i++) {
        if (head >= size) {
            return false;
        }
        mark(region, head, 0);
        head = load_u16(&region->desc[head].next);
    }
    return true;
}

static void log_shown(struct virtq_journal *journal, u16 from, u16 to)
{
    struct vu_inflight_log *log = log_of(journal);

    (void)batch_clear(log->region, log->size, (u16)(to - from));
    store_release_u16(&log->region->used_idx, to);
}

/* --- from one life to the next --------------------------------------------------------------- */

struct pending {
    u64 counter;
    u16 head;
};

static int by_counter(const void *a, const void *b)
{
    const struct pending *x = a, *y = b;

    return (x->counter > y->counter) - (x->counter < y->counter);
}

/* What is inflight in a region of size descriptors, oldest first. Returns how many. */
static u32 pending_sorted(const struct queue_region *region, u16 size, struct pending *pending)
{
    u32 count = 0;

    for (u16 head = 0; head < size; head++) {
        if (load_acquire_u8(&region->desc[head].inflight) != 0) {
            pending[count++] = (struct pending){load_u64(&region->desc[head].counter), head};
        }
    }
    qsort(pending, count, sizeof(pending[0]), by_counter);
    return count;
}

/* Find what a predecessor left. */
static const char *resume(struct vu_inflight_log *log, u16 used_idx)
{
    struct queue_region *region = log->region;
    const u16 batch = (u16)(used_idx - load_u16(&region->used_idx));
    struct pending pending[VQ_SIZE_MAX];
    u32 count;

    if (load_u16(&region->version) != REGION_VERSION || load_u16(&region->desc_num) != log->size ||
        batch > log->size || !batch_clear(region, log->size, batch)) {
        return "the inflight area does not belong to this ring";
    }
    store_release_u16(&region->used_idx, used_idx);
    count = pending_sorted(region, log->size, pending);
    for (u32 i = 0; i < count; i++) {
        log->again[(used_idx + i) % log->size] = pending[i].head;
    }
    log->again_count = (u16)count;
    log->counter = count > 0 ? pending[count - 1].counter + 1 : 0;
    return NULL;
}

enum status vu_inflight_start(const struct vu_inflight *area, u32 queue, u32 size, u16 used_idx,
                              struct vu_inflight_log *log, bool *resumed, const char **why)
{
    struct queue_region *region;

    *resumed = false;
    log->region = NULL;
    log->again_count = 0;
    if (!area->map) {
        return ST_OK;
    }
    if (queue >= area->queues ||
        sizeof(*region) + size * sizeof(region->desc[0]) > area->region_bytes) {
        *why = "the inflight area was made for fewer or shorter queues";
        return ST_INVAL;
    }
    region = region_of(area, queue);
    log->journal = (struct virtq_journal){log_taking, log_showing, log_shown};
    log->region = region;
    log->size = (u16)size;
    log->counter = 0;
    if (load_u16(&region->version) == 0) {
        region->features = 0;
        store_u16(&region->desc_num, (u16)size);
        store_u16(&region->used_idx, used_idx);
        store_release_u16(&region->version, REGION_VERSION);
        return ST_OK;
    }
    *resumed = true;
    *why = resume(log, used_idx);
    if (*why) {
        log->region = NULL;
        return ST_INVAL;
    }
    return ST_OK;
}

void vu_inflight_stop(struct vu_inflight_log *log)
{
    struct pending pending[VQ_SIZE_MAX];

    if (!log->region) {
        return;
    }
    /* Newest first: what is left at any moment lies at the beginning of the ring's next part. */
    for (u32 count = pending_sorted(log->region, log->size, pending); count > 0; count--) {
        mark(log->region, pending[count - 1].head, 0);
    }
    log->region = NULL;
}

void vu_inflight_wipe(struct vu_inflight *area)
{
    if (area->map) {
        memset(area->base, 0, area->queues * area->region_bytes);
    }
}
