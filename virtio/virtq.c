/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.c - the verbs of a virtqueue, and the split layout behind them.
 *
 * A queue that is plain (split, and its buffers returned as they come) takes the short way through
 * each verb; one look at vq->plain decides.
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
#include "virtio/virtq_inner.h"
#include "virtio/virtq_walk.h"

/** avail_event is parked about half a turn of the index ahead, and moved on in steps. */
#define VQ_PARK_AHEAD 0x8000
#define VQ_PARK_STEP  0x4000

STATIC_CHECK(VQ_SIZE_MAX <= VQ_PARK_AHEAD - VQ_PARK_STEP,
             "a driver must not reach the parked index in one batch");

COLD void virtq_init(struct virtq *vq, const char *name)
{
    *vq = (struct virtq){.name = name, .state = VQ_OFF};
    vq->look_at = vq->avail_idx = (const u8 *)&vq->next;
}

/** The one place where a driver is complained about. */
static COLD void vq_guest_error(struct virtq *vq, const char *why, u64 value)
{
    if (log_limit_ok(&vq->limit)) {
        log_warn("%s: driver error: %s (%#llx)", vq->name, why, (unsigned long long)value);
    }
}

/** No work is to be found on a queue that is not ready. */
static COLD void vq_blind(struct virtq *vq)
{
    vq->avail_seen = vq->next;
    vq->quick_size = 0;
    vq->plain = false;
    vq->look_at = vq->avail_idx = (const u8 *)&vq->next;
    order_stop(vq);
}

COLD enum status vq_break(struct virtq *vq, const char *why, u64 value)
{
    vq_guest_error(vq, why, value);
    virtq_publish(vq); /* what was done before stays done */
    vq->state = VQ_BROKEN;
    vq->breaks++;
    vq_blind(vq);
    return ST_GUEST;
}

COLD void vq_complain(struct virtq *vq, const char *why, u64 value)
{
    vq_guest_error(vq, why, value);
    if (vq->state == VQ_READY && ++vq->complaints >= VQ_COMPLAINTS_MAX) {
        vq_break(vq, "too many malformed chains", vq->complaints);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

COLD enum status vq_part_map(struct virtq *vq, struct virtq_part *part, u64 addr, u32 bytes,
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

static COLD enum status parts_map(struct virtq *vq, const struct virtq_setup *setup)
{
    u32 size = setup->size;
    struct virtq_part desc;
    enum status st;

    st = vq_part_map(vq, &desc, setup->desc, VIRTQ_DESC_BYTES(size), VIRTQ_DESC_ALIGN, GMEM_READ,
                     "the descriptor table is not in guest memory");
    vq->desc_addr = setup->desc;
    vq->desc_flat = st == ST_OK && desc.base[0] == desc.base[1] ? (const u8 *)desc.base[0] : NULL;
    if (st == ST_OK) {
        st = vq_part_map(vq, &vq->avail, setup->avail, VIRTQ_AVAIL_BYTES(size), VIRTQ_AVAIL_ALIGN,
                         GMEM_READ, "the available ring is not in guest memory");
    }
    if (st == ST_OK) {
        st = vq_part_map(vq, &vq->used, setup->used, VIRTQ_USED_BYTES(size), VIRTQ_USED_ALIGN,
                         GMEM_WRITE, "the used ring is not in guest memory");
    }
    return st;
}

static COLD void parts_unmap(struct virtq *vq)
{
    if (vq->pin_count > 0) {
        gmem_release(vq->gm, vq->pin, vq->pin_count);
        vq->pin_count = 0;
        gmem_settle(vq->gm);
    }
}

/** The ring begins with the heads of setup->again: they lie where the driver's would. */
static COLD void take_again(struct virtq *vq, const struct virtq_setup *setup)
{
    const uintptr_t base = (uintptr_t)setup->again - VIRTQ_AVAIL_RING(0);

    CHECK(setup->again_count <= setup->size);
    vq->avail_driver = vq->avail;
    vq->avail = (struct virtq_part){.base = {base, base}, .split = UINT32_MAX};
    vq->avail_seen = (u16)(vq->next + setup->again_count);
}

static COLD enum status split_start(struct virtq *vq, const struct virtq_setup *setup)
{
    enum status st = parts_map(vq, setup);

    if (st != ST_OK) {
        return st;
    }
    vq->mask = (u16)(setup->size - 1);
    vq->quick_size = vq->desc_flat && setup->size >= 3 && !(PART_GRANTS && vq->gm->ops->settle) &&
                             vq->avail.base[0] == vq->avail.base[1] &&
                             vq->used.base[0] == vq->used.base[1]
                         ? setup->size
                         : 0;
    vq->look_at = vq->avail_idx = vq_part_at(&vq->avail, VIRTQ_AVAIL_IDX);
    vq->look_mask = UINT16_MAX;
    vq->avail_flags = vq_part_at(&vq->avail, VIRTQ_AVAIL_FLAGS);
    vq->used_event = vq_part_at(&vq->avail, VIRTQ_AVAIL_USED_EVENT(setup->size));
    vq->used_idx = vq_part_at(&vq->used, VIRTQ_USED_IDX);
    vq->used_flags = vq_part_at(&vq->used, VIRTQ_USED_FLAGS);
    vq->avail_event = vq_part_at(&vq->used, VIRTQ_USED_AVAIL_EVENT(setup->size));
    vq->park_at[0] = (u8 *)&vq->kick_parked;
    vq->park_at[1] = vq->avail_event;
    vq->next = vq->avail_seen = setup->first_idx;
    vq->used_next = vq->used_shown = vq->irq_from = setup->first_idx;
    vq->avail_driver = (struct virtq_part){.split = 0};
    if (virtq_has_journal(vq) && setup->again_count > 0) {
        take_again(vq, setup);
    }
    return ST_OK;
}

/** A split ring's size is a power of two; a packed one's need not be. [VIRTIO 2.7, 2.8.10.1] */
static COLD bool size_is_good(const struct virtq_setup *setup)
{
    if (setup->packed) {
        return setup->size > 0 && setup->size <= VQ_SIZE_MAX &&
               VQ_POSITION_SLOT(setup->first_idx) < setup->size;
    }
    return is_pow2(setup->size) && setup->size <= VQ_SIZE_MAX;
}

COLD enum status virtq_enable(struct virtq *vq, struct gmem *gm, const struct virtq_setup *setup)
{
    enum status st;

    CHECK(vq->state == VQ_OFF && vq->pin_count == 0);
    CHECK(PART_RINGS || (!setup->packed && !setup->in_order)); /* who offers it has it */
    if (!size_is_good(setup)) {
        vq_guest_error(vq, "the queue size is not one of those that the layout of the ring allows",
                       setup->size);
        return ST_INVAL;
    }
    if (virtq_in_flight(vq) > 0) {
        vq_guest_error(vq, "the queue is enabled while its old requests are in flight",
                       virtq_in_flight(vq));
        return ST_AGAIN;
    }
    vq->gm = gm;
    vq->journal = setup->journal;
    st = PART_RINGS && setup->packed ? packed_start(vq, setup) : split_start(vq, setup);
    if (st != ST_OK) {
        parts_unmap(vq);
        return st;
    }
    vq->packed = setup->packed;
    vq->in_order = setup->in_order;
    vq->plain = !setup->packed && !setup->in_order && !(PART_GRANTS && gm->ops->settle);
    vq->indirect = setup->indirect;
    vq->event_idx = setup->event_idx;
    order_start(vq, setup->packed ? 0 : setup->first_idx);
    vq->kicks_on = true;
    vq->complaints = 0;
    for (u32 i = 0; i < ARRAY_LEN(vq->busy); i++) {
        vq->busy[i] = 0;
    }
    vq->state = VQ_READY;
    return ST_OK;
}

COLD void virtq_reset(struct virtq *vq)
{
    vq->state = VQ_OFF;
    vq_blind(vq);
    parts_unmap(vq);
}

/* --- returning ------------------------------------------------------------------------------- */

/** Stage {head, written}: plain stores, ordered before used.idx by virtq_publish(). */
static inline void stage(struct virtq *vq, u16 head, u32 written)
{
    u32 offset = VIRTQ_USED_RING(vq->used_next & vq->mask);
    u32 *element = (u32 *)(void *)vq_part_at(&vq->used, offset);

    element[0] = head;
    if (__builtin_expect(offset + sizeof(u32) != vq->used.split, 1)) {
        element[1] = written;
    } else {
        *(u32 *)(void *)vq_part_at(&vq->used, offset + sizeof(u32)) = written;
    }
    vq->used_next++;
}

COLD void vq_split_stage(struct virtq *vq, struct virtq_element element)
{
    stage(vq, element.id, element.written);
    vq->used_next = (u16)(vq->used_next + element.span - 1);
}

/** Give back a chain of a split ring, the order-th one. */
static COLD void give_back(struct virtq *vq, u16 order, u16 head, u32 written, bool whole)
{
    if (vq_is_in_order(vq)) {
        order_return(vq, order, (struct virtq_element){written, head, 1}, whole);
    } else {
        stage(vq, head, written);
    }
}

static COLD void push_other(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    if (vq->state != VQ_READY) {
        vq->used_next++; /* counted, not written */
    } else if (vq_is_packed(vq)) {
        packed_push(vq, chain, written);
    } else {
        vq->busy[chain->head / 64] &= ~BIT64(chain->head % 64);
        give_back(vq, chain->order, chain->head, written, written == chain->write_bytes);
    }
}

static inline void push(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    if (__builtin_expect(!vq->plain, 0)) {
        push_other(vq, chain, written);
        return;
    }
    vq->busy[chain->head / 64] &= ~BIT64(chain->head % 64);
    stage(vq, chain->head, written);
}

static COLD void push_held(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    gmem_release(vq->gm, chain->span, chain->held);
    push(vq, chain, written);
}

void virtq_push(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    if (__builtin_expect(chain->held > 0, 0)) {
        push_held(vq, chain, written);
        return;
    }
    push(vq, chain, written);
}

COLD void virtq_push_malformed(struct virtq *vq, const struct vq_chain *chain, const char *why)
{
    virtq_push(vq, chain, 0);
    vq->dropped++;
    vq_complain(vq, why, chain->head);
}

u16 virtq_position(const struct virtq *vq)
{
    return vq_is_packed(vq) ? VQ_POSITION(vq->pk.avail_slot, vq->pk.avail_wrap) : vq->next;
}

u16 virtq_avail_head(const struct virtq *vq, u16 idx)
{
    return load_u16(vq_part_at(&vq->avail, VIRTQ_AVAIL_RING(idx & vq->mask)));
}

u32 virtq_used_head(const struct virtq *vq, u16 idx)
{
    return load_u32(vq_part_at(&vq->used, VIRTQ_USED_RING(idx & vq->mask)));
}

static COLD void show_journalled(struct virtq *vq)
{
    const u16 from = vq->used_shown;

    vq->journal->showing(vq->journal, vq, from, vq->used_next);
    vq->used_shown = vq->used_next;
    store_release_u16(vq->used_idx, vq->used_shown);
    vq->journal->shown(vq->journal, from, vq->used_shown);
}

/** The driver's ring offers the slots up to idx. */
static COLD void take_journalled(struct virtq *vq, u16 idx)
{
    if (vq->avail_driver.base[0] != 0) {
        vq->avail = vq->avail_driver; /* all that was to be taken again is taken */
        vq->avail_driver.base[0] = 0;
    }
    vq->journal->taking(vq->journal, vq, vq->next, idx);
}

/** Show what is staged in the used ring: there is something. */
static inline void show(struct virtq *vq)
{
    vq->chains += (u16)(vq->used_next - vq->used_shown);
    if (virtq_has_journal(vq)) {
        show_journalled(vq);
    } else {
        vq->used_shown = vq->used_next;
        store_release_u16(vq->used_idx, vq->used_shown);
    }
    vq->publishes++;
}

static COLD bool publish_other(struct virtq *vq)
{
    gmem_settle(vq->gm);
    if (vq->state != VQ_READY) {
        return false;
    }
    if (vq_is_packed(vq)) {
        return packed_publish(vq);
    }
    if (vq_is_in_order(vq)) {
        order_close(vq);
    }
    if (vq->used_next == vq->used_shown) {
        return false;
    }
    show(vq);
    return true;
}

bool virtq_publish(struct virtq *vq)
{
    if (__builtin_expect(!vq->plain, 0)) {
        return publish_other(vq);
    }
    if (vq->used_next == vq->used_shown) {
        return false;
    }
    show(vq);
    return true;
}

/** virtq_wants_irq() of a split ring. */
static inline bool split_wants_irq(struct virtq *vq)
{
    u16 from = vq->irq_from;
    u16 shown = vq->used_shown;

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

static COLD bool wants_irq_other(struct virtq *vq)
{
    if (vq->state != VQ_READY) {
        return false;
    }
    return vq_is_packed(vq) ? packed_wants_irq(vq) : split_wants_irq(vq);
}

bool virtq_wants_irq(struct virtq *vq)
{
    return __builtin_expect(vq->plain, 1) ? split_wants_irq(vq) : wants_irq_other(vq);
}

/* --- kicks ------------------------------------------------------------------------------------ */

/** Where avail_event is parked while next is as it is: ahead, and moved in steps. */
static inline u16 park_index(const struct virtq *vq)
{
    return (u16)((vq->next & ~(VQ_PARK_STEP - 1u)) + VQ_PARK_AHEAD);
}

static COLD void kick_park(struct virtq *vq)
{
    vq->kick_parked = park_index(vq);
    store_u16(vq->avail_event, vq->kick_parked);
}

/**
 * Move the parked index on when it is time. Without a branch: every batch costs the same. While
 * it stays it is not written, for the driver's CPU would lose the line.
 */
static inline void kick_park_on(struct virtq *vq)
{
    u16 parked = park_index(vq);
    u32 moved = parked != vq->kick_parked;

    store_u16(vq->park_at[moved & vq->event_idx & !vq->kicks_on], parked);
    vq->kick_parked = parked;
}

void virtq_kick_disable(struct virtq *vq)
{
    if (vq->state != VQ_READY || !vq->kicks_on) {
        return;
    }
    vq->kicks_on = false;
    if (vq_is_packed(vq)) {
        packed_kicks(vq, false);
    } else if (vq->event_idx) {
        kick_park(vq);
    } else {
        store_u16(vq->used_flags, VIRTQ_USED_F_NO_NOTIFY);
    }
}

COLD bool virtq_kick_enable(struct virtq *vq)
{
    if (vq->state != VQ_READY) {
        return false;
    }
    vq->kicks_on = true;
    vq->kick_enables++;
    if (vq_is_packed(vq)) {
        packed_kicks(vq, true);
    } else if (vq->event_idx) {
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
static COLD enum status vq_drop(struct virtq *vq, u16 head, const char *why, u64 value)
{
    vq->dropped++;
    give_back(vq, vq->next++, head, 0, false);
    vq_complain(vq, why, value);
    return ST_PROTO;
}

/** Look at avail.idx. ST_OK; ST_AGAIN when nothing waits; ST_GUEST when it makes no sense. */
static enum status avail_look(struct virtq *vq)
{
    u16 idx = load_acquire_u16(vq->avail_idx); /* read once per batch */

    if (idx == vq->next) {
        return vq->state == VQ_READY ? ST_AGAIN : ST_GUEST;
    }
    if ((u16)(idx - vq->next) > (u32)vq->mask + 1) {
        return vq_break(vq, "avail.idx jumped by more than the queue size", idx);
    }
    vq->avail_seen = idx;
    if (virtq_has_journal(vq)) {
        take_journalled(vq, idx);
    }
    kick_park_on(vq);
    return ST_OK;
}

bool virtq_look(struct virtq *vq)
{
    return avail_look(vq) == ST_OK || (vq_is_packed(vq) && virtq_waiting(vq));
}

/** The head at next: ST_OK, ST_AGAIN when nothing waits, ST_GUEST when the ring makes no sense. */
static inline enum status head_at_next(struct virtq *vq, u32 *head)
{
    if (vq->next == vq->avail_seen) {
        enum status st = avail_look(vq);

        if (st != ST_OK) {
            return st;
        }
    }
    *head = load_u16(vq_part_at(&vq->avail, VIRTQ_AVAIL_RING(vq->next & vq->mask)));
    if (*head > vq->mask) {
        return vq_break(vq, "a head is outside the descriptor table", *head);
    }
    if (vq->busy[*head / 64] >> (*head % 64) & 1) {
        return vq_break(vq, "a buffer is offered again while its request is in flight", *head);
    }
    return ST_OK;
}

/**
 * Follow the chain from head, bounded by counting: a chain has at most as many descriptors as the
 * queue [VIRTIO 2.7.5.3.1]. ST_OK; ST_PROTO when it is malformed; ST_AGAIN when no window is free.
 */
static inline enum status walk_chain(struct virtq *vq, struct vq_chain *chain, u32 head)
{
    struct walk w = {
        .table = vq->desc_flat,
        .lines = vq->gm->line[GMEM_READ],
        .entries = vq->mask + 1u,
        .left = vq->mask + 1u,
    };
    u32 index = head;

    vq->walk.table = vq->desc_addr;
    for (;;) {
        const u8 *at = w.table ? w.table + index * sizeof(struct virtq_desc)
                               : walk_entry_copy(vq, chain, w.count, index);
        enum status st;
        u64 addr, word;

        if (!at) {
            return vq->walk.status;
        }
        addr = load_u64(at); /* each word read once */
        word = load_u64(at + sizeof(u64));
        if (word & DESC_WORD(VIRTQ_DESC_F_INDIRECT)) {
            st = walk_into_table(vq, addr, word, w.in_table);
            if (st != ST_OK) {
                return st;
            }
            w.in_table = true;
            w.table = vq->walk.flat;
            w.entries = vq->walk.entries;
            index = 0;
            continue;
        }
        st = walk_desc(vq, chain, &w, addr, word);
        if (__builtin_expect(st != ST_OK, 0)) {
            return st;
        }
        if (!(word & DESC_WORD(VIRTQ_DESC_F_NEXT))) {
            break;
        }
        index = VIRTQ_DESC_NEXT(word);
        if (index >= w.entries) {
            return walk_malformed(vq, "next is outside the table", index);
        }
    }
    walk_finish(vq, chain, &w);
    chain->desc_count = (u16)(vq->mask + 1u - w.left);
    return ST_OK;
}

__attribute__((noinline)) enum status virtq_pop(struct virtq *vq, struct vq_chain *chain)
{
    u32 head = 0;
    enum status st;

    if (__builtin_expect(!vq->plain, 0)) {
        if (vq->state != VQ_READY) {
            return ST_GUEST;
        }
        if (order_is_full(vq)) {
            return ST_FULL;
        }
        if (vq_is_packed(vq)) {
            return packed_pop(vq, chain, ST_OK);
        }
    }
    st = head_at_next(vq, &head);
    if (__builtin_expect(st != ST_OK, 0)) {
        return st;
    }
    chain->head = (u16)head;
    chain->held = 0;
    chain->flaws = 0;
    st = walk_chain(vq, chain, head);
    if (__builtin_expect(st != ST_OK, 0)) {
        gmem_release(vq->gm, chain->span, chain->held);
        return st == ST_AGAIN ? ST_FULL : vq_drop(vq, (u16)head, vq->walk.why, vq->walk.value);
    }
    vq->busy[head / 64] |= BIT64(head % 64);
    chain->order = vq->next++;
    return ST_OK;
}

COLD void virtq_hold(struct virtq *vq, struct vq_chain *chain)
{
    walk_hold(vq, chain, (u32)chain->read_count + chain->write_count);
}

COLD void virtq_drop_next(struct virtq *vq)
{
    u32 head = 0;

    if (vq->state != VQ_READY || order_is_full(vq)) {
        return;
    }
    walk_malformed(vq, "a chain needs more of guest memory at once than can be mapped", vq->next);
    if (vq_is_packed(vq)) {
        packed_pop(vq, NULL, ST_PROTO);
    } else if (head_at_next(vq, &head) == ST_OK) {
        vq_drop(vq, (u16)head, vq->walk.why, head);
    }
}
