/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_inflight_packed.h"

#include <stdlib.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"
#include "virtio/virtq_layout.h"

/* One descriptor's state and a queue's region, as they lie in the area. */
struct desc_state {
    u8 inflight;
    u8 padding;
    u16 next, last, num;
    u64 counter;
    u16 id, flags;
    u32 len;
    u64 addr;
};

struct packed_region {
    u64 features;
    u16 version; /* 0: never used */
    u16 desc_num;
    u16 free_head, old_free_head;
    u16 used_idx, old_used_idx;
    u8 used_wrap_counter, old_used_wrap_counter;
    u8 padding[7];
    struct desc_state desc[];
};

STATIC_CHECK(sizeof(struct desc_state) == 32, "[VHOST-USER] DescStatePacked");
STATIC_CHECK(offsetof(struct desc_state, counter) == 8, "[VHOST-USER] DescStatePacked");
STATIC_CHECK(offsetof(struct packed_region, desc) == 32, "[VHOST-USER] QueueRegionPacked");

#define REGION_VERSION 1
#define BITS           (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

static const char not_ours[] = "the inflight area does not belong to this ring";

u64 vu_packed_region_bytes(u32 size)
{
    return sizeof(struct packed_region) + size * sizeof(struct desc_state);
}

/* How a descriptor looks that was made available and not returned. [VIRTIO 2.8.1] */
static u16 bits_available(u16 pos)
{
    return VQ_POSITION_WRAP(pos) ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

/*
 * The stores must reach the area in the order of the program, for whoever maps it after our death:
 * release stores do.
 */
static void mark(struct packed_region *region, u16 head, u8 inflight)
{
    store_release_u8(&region->desc[head].inflight, inflight);
}

static void free_head_set(struct vu_packed_log *log, u16 head)
{
    log->free_head = head;
    store_release_u16(&log->region->free_head, head);
}

/* --- while a queue runs ---------------------------------------------------------------------- */

static struct vu_packed_log *log_of(struct virtq_journal *journal)
{
    return container_of(journal, struct vu_packed_log, journal);
}

/* Copy the descriptor at pos into the next free entry, as part of the chain at head. */
static void copy_slot(struct vu_packed_log *log, const struct virtq *vq, u16 head, u16 pos,
                      bool last)
{
    struct packed_region *region = log->region;
    const u16 at = log->free_head;
    struct desc_state *desc = &region->desc[at];
    struct vu_packed_entry *chain = &log->entry[head];
    struct virtq_slot slot;

    virtq_slot_read(vq, pos, &slot);
    if (last) {
        chain->last = at;
        store_u16(&region->desc[head].last, at);
        if (le16_get(slot.id) < log->size) {
            log->entry_of[le16_get(slot.id)] = head;
        }
    }
    store_u16(&region->desc[head].num, ++chain->num);
    store_u64(&desc->addr, le64_get(slot.addr));
    store_u32(&desc->len, le32_get(slot.len));
    store_u16(&desc->flags, le16_get(slot.flags));
    store_u16(&desc->id, le16_get(slot.id));
    free_head_set(log, log->entry[at].next);
}

static void log_taking(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to)
{
    struct vu_packed_log *log = log_of(journal);
    struct packed_region *region = log->region;
    const u16 head = log->free_head;
    u16 pos = from;

    if (head == log->size) {
        return;
    }
    log->entry[head].num = 0;
    store_u16(&region->desc[head].num, 0);
    store_u64(&region->desc[head].counter, log->counter++);
    mark(region, head, 1);
    /* There is a free entry for each descriptor of the ring, unless the driver changes ids while
     * they are in flight: then it loses the record, and only its own. */
    while (pos != to && log->free_head != log->size) {
        const u16 next = virtq_position_after(vq, pos, 1);

        copy_slot(log, vq, head, pos, next == to);
        pos = next;
    }
    store_release_u16(&region->old_free_head, log->free_head);
}

static void log_showing(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to)
{
    struct vu_packed_log *log = log_of(journal);
    struct packed_region *region = log->region;
    u16 pos = from;

    log->batch_count = 0;
    while (pos != to && log->batch_count < log->size) {
        struct virtq_slot slot;
        u16 id, head, last;

        virtq_slot_read(vq, pos, &slot);
        id = le16_get(slot.id);
        head = id < log->size ? log->entry_of[id] : log->size;
        if (head == log->size) {
            break; /* the driver has overwritten what we returned */
        }
        last = log->entry[head].last;
        log->entry[last].next = log->free_head;
        store_u16(&region->desc[last].next, log->free_head);
        free_head_set(log, head);
        log->entry_of[id] = log->size;
        log->batch[log->batch_count++] = head;
        pos = virtq_position_after(vq, pos, log->entry[head].num);
    }
    store_release_u16(&region->used_idx, VQ_POSITION_SLOT(to));
    store_release_u8(&region->used_wrap_counter, VQ_POSITION_WRAP(to));
}

/* The last batch counts: nothing goes back behind it any more. */
static void settle(struct packed_region *region, u16 free_head, u16 used_idx, u8 wrap)
{
    store_release_u16(&region->old_free_head, free_head);
    store_release_u16(&region->old_used_idx, used_idx);
    store_release_u8(&region->old_used_wrap_counter, wrap);
}

static void log_shown(struct virtq_journal *journal, u16 from, u16 to)
{
    struct vu_packed_log *log = log_of(journal);

    (void)from;
    while (log->batch_count > 0) {
        mark(log->region, log->batch[--log->batch_count], 0);
    }
    settle(log->region, log->free_head, VQ_POSITION_SLOT(to), VQ_POSITION_WRAP(to));
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

/* What is inflight, oldest first. Returns how many. */
static u32 pending_sorted(const struct vu_packed_log *log, struct pending *pending)
{
    const struct packed_region *region = log->region;
    u32 count = 0;

    for (u16 head = 0; head < log->size; head++) {
        if (load_acquire_u8(&region->desc[head].inflight) != 0) {
            pending[count++] = (struct pending){load_u64(&region->desc[head].counter), head};
        }
    }
    qsort(pending, count, sizeof(pending[0]), by_counter);
    return count;
}

static u64 flags_at(u64 ring, u16 pos)
{
    return ring + VQ_POSITION_SLOT(pos) * sizeof(struct virtq_slot) + VIRTQ_PACKED_FLAGS_AT;
}

/* Was the last batch shown? Then it counts, else it never was. Returns where the used side is. */
static const char *batch_decide(struct vu_packed_log *log, struct gmem *gm, u64 ring, u16 *pos)
{
    struct packed_region *region = log->region;
    const u16 used_idx = load_u16(&region->used_idx);
    const u16 old_idx = load_u16(&region->old_used_idx);
    const u8 wrap = load_acquire_u8(&region->used_wrap_counter) != 0;
    const u8 old_wrap = load_acquire_u8(&region->old_used_wrap_counter) != 0;
    le16_t wire;

    if (used_idx >= log->size || old_idx >= log->size) {
        return not_ours;
    }
    *pos = VQ_POSITION(old_idx, old_wrap);
    if (used_idx == old_idx && wrap == old_wrap) {
        return NULL;
    }
    if (gmem_copy_in(gm, &wire, (gpa_t){flags_at(ring, *pos)}, sizeof(wire)) != ST_OK) {
        return "the ring lies outside the memory that is shared";
    }
    if ((le16_get(wire) & BITS) != bits_available(*pos)) {
        *pos = VQ_POSITION(used_idx, wrap);
        settle(region, load_u16(&region->free_head), used_idx, wrap);
    }
    return NULL;
}

/* Go back to the old_ words, and take the mark from what they say is free. */
static void roll_back(struct vu_packed_log *log, u16 pos)
{
    struct packed_region *region = log->region;
    u16 at = load_u16(&region->old_free_head);

    store_release_u16(&region->free_head, at);
    store_release_u16(&region->used_idx, VQ_POSITION_SLOT(pos));
    store_release_u8(&region->used_wrap_counter, VQ_POSITION_WRAP(pos));
    for (u32 i = 0; i < log->size && at < log->size; i++) {
        mark(region, at, 0);
        at = load_u16(&region->desc[at].next);
    }
}

/* Copy the chain at head behind those that are to be taken again. in_use: entries of chains. */
static bool chain_copy(struct vu_packed_log *log, u16 head, bool *in_use)
{
    const struct packed_region *region = log->region;
    const u16 num = load_u16(&region->desc[head].num);
    u16 at = head, id = log->size;

    if (num == 0 || num > log->size - log->again_count) {
        return false;
    }
    for (u16 i = 0; i < num; i++) {
        const struct desc_state *desc = &region->desc[at];
        const u16 next = i + 1 < num ? VIRTQ_DESC_F_NEXT : 0;

        if (in_use[at]) {
            return false;
        }
        in_use[at] = true;
        id = load_u16(&desc->id);
        log->again[log->again_count++] = (struct virtq_slot){
            le64_make(load_u64(&desc->addr)), le32_make(load_u32(&desc->len)), le16_make(id),
            le16_make((u16)((load_u16(&desc->flags) & ~VIRTQ_DESC_F_NEXT) | next))};
        log->entry[head].last = at;
        log->entry[at].next = load_u16(&desc->next);
        if (next && log->entry[at].next >= log->size) {
            return false;
        }
        at = log->entry[at].next;
    }
    if (id >= log->size || log->entry_of[id] != log->size) {
        return false;
    }
    log->entry_of[id] = head;
    log->entry[head].num = num;
    log->again_chains++;
    return true;
}

/*
 * Link all entries that are in no chain. While this is half done, every list that old_free_head
 * can lead to holds free entries only.
 */
static void free_link(struct vu_packed_log *log, const bool *in_use)
{
    u16 head = log->size;

    for (u16 at = log->size; at-- > 0;) {
        if (!in_use[at]) {
            log->entry[at].next = head;
            store_u16(&log->region->desc[at].next, head);
            head = at;
        }
    }
    free_head_set(log, head);
    store_release_u16(&log->region->old_free_head, head);
}

/* Whatever was staged and not shown in the outstanding part of the ring looks available again. */
static enum status ring_clean(const struct vu_packed_log *log, struct gmem *gm, u64 ring, u16 pos)
{
    u16 slot = VQ_POSITION_SLOT(pos);
    bool wrap = VQ_POSITION_WRAP(pos);
    enum status st = ST_OK;

    for (u16 i = 0; i < log->again_count && st == ST_OK; i++) {
        const u16 at = VQ_POSITION(slot, wrap);
        const le16_t wire = le16_make(bits_available(at));

        st = gmem_copy_out(gm, (gpa_t){flags_at(ring, at)}, &wire, sizeof(wire));
        slot++;
        if (slot == log->size) {
            slot = 0;
            wrap = !wrap;
        }
    }
    return st;
}

/* Find what a predecessor left. */
static const char *resume(struct vu_packed_log *log, struct gmem *gm, u64 ring, u16 *pos)
{
    struct packed_region *region = log->region;
    struct pending pending[VQ_SIZE_MAX];
    bool in_use[VQ_SIZE_MAX] = {false};
    const char *why;
    u32 count;

    if (load_u16(&region->version) != REGION_VERSION || load_u16(&region->desc_num) != log->size) {
        return not_ours;
    }
    why = batch_decide(log, gm, ring, pos);
    if (why) {
        return why;
    }
    roll_back(log, *pos);
    count = pending_sorted(log, pending);
    for (u32 i = 0; i < count; i++) {
        if (!chain_copy(log, pending[i].head, in_use)) {
            return not_ours;
        }
    }
    log->counter = count > 0 ? pending[count - 1].counter + 1 : 0;
    free_link(log, in_use);
    return ring_clean(log, gm, ring, *pos) == ST_OK
               ? NULL
               : "the ring lies outside the memory that is shared";
}

static void region_begin(struct vu_packed_log *log, u16 pos)
{
    static const bool none[VQ_SIZE_MAX];
    struct packed_region *region = log->region;

    region->features = 0;
    store_u16(&region->desc_num, log->size);
    free_link(log, none);
    store_u16(&region->used_idx, VQ_POSITION_SLOT(pos));
    store_u8(&region->used_wrap_counter, VQ_POSITION_WRAP(pos));
    settle(region, log->free_head, VQ_POSITION_SLOT(pos), VQ_POSITION_WRAP(pos));
    store_release_u16(&region->version, REGION_VERSION);
}

enum status vu_packed_start(const struct vu_inflight *area, u32 queue, u32 size, struct gmem *gm,
                            u64 ring, u16 *pos, struct vu_packed_log *log, bool *resumed,
                            const char **why)
{
    *resumed = false;
    memset(log, 0, sizeof(*log));
    if (!area->map) {
        return ST_OK;
    }
    if (queue >= area->queues || vu_packed_region_bytes(size) > area->region_bytes) {
        *why = "the inflight area was made for fewer or shorter queues";
        return ST_INVAL;
    }
    log->journal = (struct virtq_journal){log_taking, log_showing, log_shown};
    log->region = (struct packed_region *)(void *)(area->base + queue * area->region_bytes);
    log->size = (u16)size;
    for (u32 id = 0; id < size; id++) {
        log->entry_of[id] = log->size;
    }
    if (load_u16(&log->region->version) == 0) {
        region_begin(log, *pos);
        return ST_OK;
    }
    *resumed = true;
    *why = resume(log, gm, ring, pos);
    if (*why) {
        log->region = NULL;
        return ST_INVAL;
    }
    return ST_OK;
}

void vu_packed_stop(struct vu_packed_log *log)
{
    struct pending pending[VQ_SIZE_MAX];

    if (!log->region) {
        return;
    }
    for (u32 count = pending_sorted(log, pending); count > 0; count--) {
        mark(log->region, pending[count - 1].head, 0);
    }
    log->region = NULL;
}
