/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_inflight.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/port.h"

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
    return (struct queue_region *)(void *)(area->base + queue * region_bytes(area->queue_size));
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
        .queue_size = desc->queue_size,
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
    desc->bytes = vu_inflight_bytes(desc->queues, desc->queue_size);
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

enum status vu_inflight_start(struct vu_inflight *area, u32 queue, u32 size, u16 used_idx,
                              bool *resume, const char **why)
{
    struct queue_region *region;
    u16 version, batch;

    *resume = false;
    if (!area->map) {
        return ST_OK;
    }
    if (queue >= area->queues || size > area->queue_size) {
        *why = "the inflight area was made for fewer or shorter queues";
        return ST_INVAL;
    }
    region = region_of(area, queue);
    version = load_u16(&region->version);
    if (version == 0) {
        region->features = 0;
        store_u16(&region->desc_num, (u16)size);
        store_u16(&region->used_idx, used_idx);
        store_u16(&region->version, REGION_VERSION);
        return ST_OK;
    }
    batch = (u16)(used_idx - load_u16(&region->used_idx));
    if (version != REGION_VERSION || load_u16(&region->desc_num) != size || batch > size) {
        *why = "the inflight area does not belong to this ring";
        return ST_INVAL;
    }
    for (u32 i = 0; i < size; i++) {
        if (__atomic_load_n(&region->desc[i].inflight, __ATOMIC_RELAXED) != 0) {
            *why = "the inflight area was written by a back end that returns requests out of order";
            return ST_INVAL;
        }
    }
    store_u16(&region->used_idx, used_idx);
    *resume = true;
    return ST_OK;
}

void vu_inflight_used(struct vu_inflight *area, u32 queue, u16 used_idx)
{
    if (area->map && queue < area->queues) {
        store_u16(&region_of(area, queue)->used_idx, used_idx);
    }
}
