/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.c - the device side of a split virtqueue.
 *
 * The driver may change any word of its memory at any time. So a word of the ring is loaded once,
 * into a local; the local is checked; the local is used. Barriers, with their partners in the
 * driver:
 *
 *   load avail.idx (acquire)  ->  load avail.ring[], desc[]      driver: ring, desc -> barrier ->
 *   idx store used.ring[]         ->  store used.idx (release)       driver: load idx -> barrier
 *   -> ring store used.idx -> full    ->  load used_event, avail.flags   driver: store event ->
 *   full -> load idx store avail_event -> full ->  load avail.idx                 driver: store
 *   idx -> full -> load event
 */
#include "virtio/virtq.h"

#include "start/base/arith.h"
#include "start/port.h"
#include "virtio/virtq_layout.h"

/** A descriptor longer than this is not mapped but counts as a hole: one request shall not hold
 * every
 *  window of the machine. */
#define VQ_DESC_BYTES_MAX (u32) MIB(2)

/** avail_event is parked half a turn of the index ahead, and moved on when half of that is used
 * up. */
#define VQ_PARK_AHEAD 0x8000
#define VQ_PARK_MOVE  0x4000

STATIC_CHECK(VQ_SIZE_MAX <= VQ_PARK_MOVE, "a driver must not reach the parked index in one batch");
STATIC_CHECK(VQ_DESC_BYTES_MAX <= WINDOW_BYTES, "a descriptor lies in at most two windows");

void virtq_init(struct virtq *vq, const char *name)
{
    *vq = (struct virtq){.name = name, .state = VQ_OFF};
    vq->avail_idx = (const u8 *)&vq->idle_idx;
}

/** The one place where a driver is complained about. */
static void vq_guest_error(struct virtq *vq, const char *why, u64 value)
{
    if (log_limit_ok(&vq->limit)) {
        log_warn("%s: driver error: %s (%#llx)", vq->name, why, (unsigned long long)value);
    }
}

/** No work is to be found on a queue that is not ready. */
static void vq_blind(struct virtq *vq)
{
    vq->idle_idx = vq->next;
    vq->avail_seen = vq->next;
    vq->avail_idx = (const u8 *)&vq->idle_idx;
}

static enum status vq_break(struct virtq *vq, const char *why, u64 value)
{
    vq_guest_error(vq, why, value);
    virtq_publish(vq); /* what was done before stays done */
    vq->state = VQ_BROKEN;
    vq->breaks++;
    vq_blind(vq);
    return ST_GUEST;
}

/** A chain was malformed: too many of them, and we stop believing the driver. */
static void complain(struct virtq *vq, const char *why, u64 value)
{
    vq_guest_error(vq, why, value);
    if (vq->state == VQ_READY && ++vq->complaints >= VQ_COMPLAINTS_MAX) {
        vq_break(vq, "too many malformed chains", vq->complaints);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static u8 *part_at(const struct virtq_part *part, u32 offset)
{
    return (u8 *)(part->base[offset >= part->split] + offset);
}

static enum status part_map(struct virtq *vq, struct virtq_part *part, u64 addr, u32 bytes,
                            u32 align, enum gmem_dir dir, const char *what)
{
    const struct span *pin = &vq->pin[vq->pin_count];
    u32 first = vq->pin_count;
    enum status st;

    if (!is_aligned(addr, align)) {
        vq_guest_error(vq, "a part of the ring is not aligned", addr);
        return ST_INVAL;
    }
    st = gmem_span(vq->gm, (gpa_t){addr}, bytes, dir, vq->pin, first + 2, &vq->pin_count);
    if (st != ST_OK) {
        vq_guest_error(vq, what, addr);
        return st == ST_FULL ? ST_NOSUP : st;
    }
    part->base[0] = (uintptr_t)pin[0].base;
    part->base[1] = (uintptr_t)pin[0].base;
    part->split = pin[0].bytes;
    if (vq->pin_count - first == 2) {
        part->base[1] = (uintptr_t)pin[1].base - pin[0].bytes;
    }
    if (!is_aligned(part->base[0], align) || !is_aligned(part->base[1], align) ||
        (part->split != bytes && !is_aligned(part->split, align))) {
        vq_guest_error(vq, "a part of the ring lies across runs of memory at an odd place", addr);
        return ST_NOSUP;
    }
    return ST_OK;
}

static enum status parts_map(struct virtq *vq, const struct virtq_setup *setup)
{
    u32 size = setup->size;
    enum status st;

    st = part_map(vq, &vq->desc, setup->desc, VIRTQ_DESC_BYTES(size), VIRTQ_DESC_ALIGN, GMEM_READ,
                  "the descriptor table is not in guest memory");
    if (st == ST_OK) {
        st = part_map(vq, &vq->avail, setup->avail, VIRTQ_AVAIL_BYTES(size), VIRTQ_AVAIL_ALIGN,
                      GMEM_READ, "the available ring is not in guest memory");
    }
    if (st == ST_OK) {
        st = part_map(vq, &vq->used, setup->used, VIRTQ_USED_BYTES(size), VIRTQ_USED_ALIGN,
                      GMEM_WRITE, "the used ring is not in guest memory");
    }
    return st;
}

static void parts_unmap(struct virtq *vq)
{
    if (vq->pin_count > 0) {
        gmem_release(vq->gm, vq->pin, vq->pin_count);
        vq->pin_count = 0;
    }
}

enum status virtq_enable(struct virtq *vq, struct gmem *gm, const struct virtq_setup *setup)
{
    enum status st;

    CHECK(vq->state == VQ_OFF && vq->pin_count == 0);
    if (!is_pow2(setup->size) || setup->size > VQ_SIZE_MAX) {
        vq_guest_error(vq, "the queue size is not a power of two in the range offered",
                       setup->size);
        return ST_INVAL;
    }
    if (vq->in_flight > 0) {
        vq_guest_error(vq, "the queue is enabled while its old requests are in flight",
                       vq->in_flight);
        return ST_AGAIN;
    }
    vq->gm = gm;
    st = parts_map(vq, setup);
    if (st != ST_OK) {
        parts_unmap(vq);
        return st;
    }
    vq->mask = (u16)(setup->size - 1);
    vq->indirect = setup->indirect;
    vq->event_idx = setup->event_idx;
    vq->avail_idx = part_at(&vq->avail, VIRTQ_AVAIL_IDX);
    vq->avail_flags = part_at(&vq->avail, VIRTQ_AVAIL_FLAGS);
    vq->used_event = part_at(&vq->avail, VIRTQ_AVAIL_USED_EVENT(setup->size));
    vq->used_idx = part_at(&vq->used, VIRTQ_USED_IDX);
    vq->used_flags = part_at(&vq->used, VIRTQ_USED_FLAGS);
    vq->avail_event = part_at(&vq->used, VIRTQ_USED_AVAIL_EVENT(setup->size));
    vq->next = vq->avail_seen = setup->first_idx;
    vq->used_next = vq->used_shown = vq->irq_from = setup->first_idx;
    vq->kicks_on = true;
    vq->complaints = 0;
    for (u32 i = 0; i < ARRAY_LEN(vq->busy); i++) {
        vq->busy[i] = 0;
    }
    vq->state = VQ_READY;
    return ST_OK;
}

void virtq_reset(struct virtq *vq)
{
    vq->state = VQ_OFF;
    vq_blind(vq);
    parts_unmap(vq);
}

/* --- returning ------------------------------------------------------------------------------- */

/** Stage {head, written}: plain stores, ordered before used.idx by virtq_publish(). */
static void stage(struct virtq *vq, u16 head, u32 written)
{
    u32 offset = VIRTQ_USED_RING(vq->used_next & vq->mask);

    *(u32 *)(void *)part_at(&vq->used, offset) = head;
    *(u32 *)(void *)part_at(&vq->used, offset + 4) = written;
    vq->used_next++;
}

void virtq_push(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    u64 *word = &vq->busy[chain->head / 64];

    for (u32 i = 0; i < (u32)chain->read_count + chain->write_count; i++) {
        if (chain->span[i].base) {
            vq->gm->pins[chain->span[i].tag]--;
        }
    }
    vq->in_flight--;
    if (vq->state != VQ_READY) {
        return;
    }
    *word &= ~BIT64(chain->head % 64);
    stage(vq, chain->head, written);
}

void virtq_push_malformed(struct virtq *vq, const struct vq_chain *chain, const char *why)
{
    virtq_push(vq, chain, 0);
    vq->dropped++;
    complain(vq, why, chain->head);
}

bool virtq_publish(struct virtq *vq)
{
    if (vq->used_next == vq->used_shown || vq->state != VQ_READY) {
        return false;
    }
    vq->used_shown = vq->used_next;
    store_release_u16(vq->used_idx, vq->used_shown);
    vq->publishes++;
    return true;
}

bool virtq_wants_irq(struct virtq *vq)
{
    u16 from = vq->irq_from;
    u16 shown = vq->used_shown;

    if (vq->state != VQ_READY) {
        return false;
    }
    /* used.idx must be visible before we look whether the driver wants to hear of it: the driver
     * writes used_event, then looks at used.idx. One of the two sees the other. */
    full_barrier();
    vq->irq_from = shown;
    if (!vq->event_idx) {
        return (load_u16(vq->avail_flags) & VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
    }
    /* used_event lies in [from, shown): an entry was written at the index it names. */
    return (u16)(load_u16(vq->used_event) - from) < (u16)(shown - from);
}

/* --- kicks ------------------------------------------------------------------------------------ */

static void kick_park(struct virtq *vq)
{
    vq->kick_parked = (u16)(vq->next + VQ_PARK_AHEAD);
    store_u16(vq->avail_event, vq->kick_parked);
}

void virtq_kick_disable(struct virtq *vq)
{
    if (vq->state != VQ_READY || !vq->kicks_on) {
        return;
    }
    vq->kicks_on = false;
    if (vq->event_idx) {
        kick_park(vq);
    } else {
        store_u16(vq->used_flags, VIRTQ_USED_F_NO_NOTIFY);
    }
}

bool virtq_kick_enable(struct virtq *vq)
{
    if (vq->state != VQ_READY) {
        return false;
    }
    vq->kicks_on = true;
    vq->kick_enables++;
    if (vq->event_idx) {
        store_u16(vq->avail_event, vq->next);
    } else {
        store_u16(vq->used_flags, 0);
    }
    /* The request for kicks must be visible before we look: the driver writes avail.idx, then looks
     * whether we want a kick. One of the two sees the other. */
    full_barrier();
    return virtq_waiting(vq);
}

/* --- taking ----------------------------------------------------------------------------------- */

/** The chain at next is malformed: give it back unused. */
static enum status vq_drop(struct virtq *vq, u16 head, const char *why, u64 value)
{
    vq->next++;
    vq->dropped++;
    stage(vq, head, 0);
    complain(vq, why, value);
    return ST_PROTO;
}

/** The head at next: ST_OK, ST_AGAIN when nothing waits, ST_GUEST when the ring makes no sense. */
static inline enum status head_at_next(struct virtq *vq, u16 *head)
{
    u16 idx;

    if (vq->next == vq->avail_seen) {
        idx = load_acquire_u16(vq->avail_idx); /* read once per batch */
        if (idx == vq->next) {
            return vq->state == VQ_READY ? ST_AGAIN : ST_GUEST;
        }
        if ((u16)(idx - vq->next) > (u32)vq->mask + 1) {
            return vq_break(vq, "avail.idx jumped by more than the queue size", idx);
        }
        vq->avail_seen = idx;
        if (!vq->kicks_on && vq->event_idx &&
            (u16)(vq->kick_parked - vq->next) < VQ_PARK_AHEAD - VQ_PARK_MOVE) {
            kick_park(vq);
        }
    }
    *head = load_u16(part_at(&vq->avail, VIRTQ_AVAIL_RING(vq->next & vq->mask)));
    if (*head > vq->mask) {
        return vq_break(vq, "a head is outside the descriptor table", *head);
    }
    if (vq->busy[*head / 64] >> (*head % 64) & 1) {
        return vq_break(vq, "a head is offered again while its request is in flight", *head);
    }
    return ST_OK;
}

/** Where the walk is: the descriptor table of the ring, or an indirect table in guest memory. */
struct walk {
    struct vq_chain *chain;
    u32 count;     /* spans so far */
    u64 table;     /* guest address of the indirect table */
    u32 entries;   /* of the table the walk is in */
    bool in_table; /* in the indirect one */
    bool writing;  /* a device-writable descriptor was seen */
    const char *why;
    u64 value;
};

static enum status walk_error(struct walk *w, const char *why, u64 value)
{
    w->why = why;
    w->value = value;
    return ST_PROTO;
}

/** Descriptor index of the table the walk is in, read once, as two words. */
static inline enum status desc_read(struct virtq *vq, const struct walk *w, u32 index, u64 word[2])
{
    const u8 *at;

    if (!w->in_table) {
        at = part_at(&vq->desc, index * (u32)sizeof(struct virtq_desc));
    } else {
        u64 addr = w->table + index * sizeof(struct virtq_desc);

        at = gmem_peek(vq->gm, addr, sizeof(struct virtq_desc), GMEM_READ);
        if (!at || !is_aligned((uintptr_t)at, sizeof(u64))) {
            return gmem_copy_in(vq->gm, word, (gpa_t){addr}, sizeof(struct virtq_desc));
        }
    }
    word[0] = load_u64(at);
    word[1] = load_u64(at + sizeof(u64));
    return ST_OK;
}

/** The walk goes on in the table that a descriptor names. [VIRTIO 2.7.5.3] */
static enum status walk_into_table(struct virtq *vq, struct walk *w, u64 addr, u64 word)
{
    u32 bytes = VIRTQ_DESC_LEN(word);

    if (!vq->indirect) {
        return walk_error(w, "an indirect descriptor, which was not negotiated", addr);
    }
    if (w->in_table) {
        return walk_error(w, "an indirect descriptor inside an indirect table", addr);
    }
    if (VIRTQ_DESC_FLAGS(word) & VIRTQ_DESC_F_NEXT) {
        return walk_error(w, "a descriptor that is indirect and has a next one", addr);
    }
    if (bytes == 0 || bytes % sizeof(struct virtq_desc) != 0) {
        return walk_error(w, "the length of an indirect table is no multiple of 16", bytes);
    }
    if (addr + (bytes - 1) < addr) {
        return walk_error(w, "an indirect table wraps around the address space", addr);
    }
    w->in_table = true;
    w->table = addr;
    w->entries = bytes / (u32)sizeof(struct virtq_desc);
    return ST_OK;
}

static void hole_append(struct walk *w, u32 bytes)
{
    w->chain->holes = true;
    w->chain->span[w->count++] = (struct span){.base = NULL, .bytes = bytes};
}

/** No room for all spans: keep the beginning, and always the last byte. */
static enum status span_append_cut(struct virtq *vq, struct walk *w, u64 addr, u32 bytes,
                                   enum gmem_dir dir)
{
    struct span *spans = w->chain->span;
    enum status st;

    w->chain->cut = true;
    if (w->count == VQ_SPAN_MAX) {
        gmem_release(vq->gm, &spans[--w->count], 1);
    }
    st = gmem_span(vq->gm, (gpa_t){addr + (bytes - 1)}, 1, dir, spans, VQ_SPAN_MAX, &w->count);
    if (st == ST_AGAIN) {
        return ST_AGAIN;
    }
    if (st != ST_OK) {
        hole_append(w, 1);
    }
    return ST_OK;
}

/** Append the spans of a descriptor's buffer. ST_OK, or ST_AGAIN when no window is free. */
static enum status span_append(struct virtq *vq, struct walk *w, u64 addr, u32 bytes,
                               enum gmem_dir dir)
{
    enum status st = ST_GUEST;

    if (bytes <= VQ_DESC_BYTES_MAX) {
        st = gmem_span(vq->gm, (gpa_t){addr}, bytes, dir, w->chain->span, VQ_SPAN_MAX, &w->count);
    }
    if (st == ST_OK || st == ST_AGAIN) {
        return st;
    }
    if (st == ST_FULL || w->count == VQ_SPAN_MAX) {
        return span_append_cut(vq, w, addr, bytes, dir);
    }
    hole_append(w, bytes);
    return ST_OK;
}

/**
 * Follow the chain from head, bounded by counting: a chain has at most as many descriptors as the
 * queue [VIRTIO 2.7.5.3.1]. ST_OK; ST_PROTO with w->why; ST_AGAIN when no window is free.
 */
static enum status walk_chain(struct virtq *vq, struct walk *w, u16 head)
{
    struct vq_chain *chain = w->chain;
    u64 bytes[2] = {0, 0}; /* by direction */
    u32 longest = 0, index = head, descs = 0;

    for (;;) {
        u64 word[2];
        u16 flags;
        u32 len;
        enum gmem_dir dir;
        enum status st = desc_read(vq, w, index, word);

        if (__builtin_expect(st != ST_OK, 0)) {
            return st == ST_AGAIN
                       ? st
                       : walk_error(w, "an indirect table is not in guest memory", w->table);
        }
        flags = VIRTQ_DESC_FLAGS(word[1]);
        if (flags & VIRTQ_DESC_F_INDIRECT) {
            st = walk_into_table(vq, w, word[0], word[1]);
            if (st != ST_OK) {
                return st;
            }
            index = 0;
            continue;
        }
        if (++descs > (u32)vq->mask + 1) {
            return walk_error(w, "a chain is longer than the queue", descs);
        }
        len = VIRTQ_DESC_LEN(word[1]);
        dir = flags & VIRTQ_DESC_F_WRITE ? GMEM_WRITE : GMEM_READ;
        if (dir == GMEM_WRITE && !w->writing) {
            w->writing = true;
            chain->read_count = (u16)w->count;
        } else if (dir == GMEM_READ && w->writing) {
            return walk_error(w, "a device-readable descriptor follows a writable one", index);
        }
        if (len > 0) { /* an empty descriptor adds nothing */
            if (__builtin_expect(w->count < VQ_SPAN_MAX, 1) &&
                gmem_span_one(vq->gm, word[0], len, dir, &chain->span[w->count])) {
                w->count++;
            } else if (span_append(vq, w, word[0], len, dir) != ST_OK) {
                return ST_AGAIN;
            }
            bytes[dir] += len;
            longest = len > longest ? len : longest;
        }
        if (!(flags & VIRTQ_DESC_F_NEXT)) {
            break;
        }
        index = VIRTQ_DESC_NEXT(word[1]);
        if (index >= w->entries) {
            return walk_error(w, "next is outside the table", index);
        }
    }
    chain->read_bytes = bytes[GMEM_READ];
    chain->write_bytes = bytes[GMEM_WRITE];
    chain->segment_bytes = longest;
    chain->desc_count = (u16)descs;
    return ST_OK;
}

/** Sort out where the readable spans end. */
static inline void chain_finish(struct vq_chain *chain, const struct walk *w)
{
    u32 read = w->writing ? chain->read_count : w->count;

    if (__builtin_expect(chain->cut, 0) && chain->write_bytes > 0 && read == w->count) {
        read = w->count - 1; /* the last span was taken over by a writable one */
    }
    chain->read_count = (u16)read;
    chain->write_count = (u16)(w->count - read);
}

enum status virtq_pop(struct virtq *vq, struct vq_chain *chain)
{
    struct walk w = {.chain = chain, .entries = (u32)vq->mask + 1};
    u16 head = 0;
    enum status st = head_at_next(vq, &head);

    if (st != ST_OK) {
        return st;
    }
    chain->head = head;
    chain->cut = false;
    chain->holes = false;
    st = walk_chain(vq, &w, head);
    if (__builtin_expect(st != ST_OK, 0)) {
        gmem_release(vq->gm, chain->span, w.count);
        return st == ST_AGAIN ? ST_FULL : vq_drop(vq, head, w.why, w.value);
    }
    chain_finish(chain, &w);
    vq->busy[head / 64] |= BIT64(head % 64);
    vq->in_flight++;
    vq->next++;
    vq->chains++;
    return ST_OK;
}

void virtq_drop_next(struct virtq *vq)
{
    u16 head = 0;

    if (head_at_next(vq, &head) == ST_OK) {
        vq_drop(vq, head, "a chain needs more of guest memory at once than can be mapped", head);
    }
}
