/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq_packed.c - the device side of a packed virtqueue. [VIRTIO 2.8]
 *
 *      one ring of descriptors, written by both       each marks its own with two bits
 *
 *      driver: addr len id, then flags   AVAIL =  w, USED = !w     w: its wrap counter, which turns
 *      we:          len id, then flags   AVAIL =  v, USED =  v     v: ours        with every lap
 *
 *          used_slot           avail_slot
 *              v                   v
 *      ... u u | a a a a a a a a a | a a a - - - ...
 *              '--- slots_out ----' '- wait
 *
 * A chain lies in consecutive descriptors; its id is in the last of them. What we return goes into
 * the descriptor at used_slot, whoever's that was, and stands for as many as the chain had: so a
 * chain that overtakes another one overwrites descriptors that were read already, never others.
 *
 * The trust rule is that of virtq.c: a word is loaded once, into a local. The second word of a
 * descriptor holds len, id and flags, so one load takes all three as they belong together.
 * Barriers, and what the driver does on its side:
 *
 *   we:     load flags (acquire) -> load the rest of the chain
 *   driver: store the chain -> barrier -> store the first one's flags
 *
 *   we:     store elements -> store the first one's flags (release)
 *   driver: load flags -> barrier -> load the element
 *
 *   we:     store flags -> full barrier -> load the driver's event
 *   driver: store its event -> full barrier -> load flags
 *
 *   we:     store the device's event -> full barrier -> load flags
 *   driver: store flags -> full barrier -> load the device's event
 *
 * A batch is shown by one store: all its elements are written but for the flags of the first one,
 * and the driver looks at no later one before that. [VIRTIO 2.8.2]
 */
#include "start/base/arith.h"
#include "start/port.h"
#include "virtio/virtq_inner.h"
#include "virtio/virtq_layout.h"
#include "virtio/virtq_walk.h"

STATIC_CHECK(sizeof(struct virtq_slot) == sizeof(struct virtq_desc), "[VIRTIO 2.8.13]");
STATIC_CHECK(offsetof(struct virtq_slot, flags) == VIRTQ_PACKED_FLAGS_AT, "[VIRTIO 2.8.13]");

#define CHAIN_FLAGS (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT)

/** What the two bits are in a descriptor that is available, and in one that is used. */
static inline u16 bits_available(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static inline u16 bits_used(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
}

static inline u16 bits_of(u64 word)
{
    return VIRTQ_PACKED_FLAGS(word) & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
}

static inline u8 *slot_at(const struct virtq *vq, u32 slot)
{
    return vq_part_at(&vq->pk.ring, slot * (u32)sizeof(struct virtq_slot));
}

/** Go count slots on; count is at most the size. */
static inline void slot_forward(const struct virtq_packed *pk, u16 *slot, bool *wrap, u32 count)
{
    u32 to = *slot + count;

    if (to >= pk->size) {
        to -= pk->size;
        *wrap = !*wrap;
    }
    *slot = (u16)to;
}

u16 virtq_position_after(const struct virtq *vq, u16 pos, u16 slots)
{
    u16 slot = VQ_POSITION_SLOT(pos);
    bool wrap = VQ_POSITION_WRAP(pos);

    slot_forward(&vq->pk, &slot, &wrap, slots);
    return VQ_POSITION(slot, wrap);
}

void virtq_slot_read(const struct virtq *vq, u16 pos, struct virtq_slot *slot)
{
    const u8 *at = slot_at(vq, VQ_POSITION_SLOT(pos));
    u64 words[2] = {load_u64(at), load_u64(at + VIRTQ_PACKED_WORD)};

    __builtin_memcpy(slot, words, sizeof(*slot));
}

/** Where the next chain will be seen. */
static inline void look_update(struct virtq *vq)
{
    struct virtq_packed *pk = &vq->pk;

    vq->next = pk->avail_wrap ? 0 : VIRTQ_DESC_F_AVAIL;
    vq->avail_seen = vq->next;
    pk->again_look = (u16)~vq->next;
    vq->look_at = pk->again_left > 0 ? (const u8 *)&pk->again_look
                                     : slot_at(vq, pk->avail_slot) + VIRTQ_PACKED_FLAGS_AT;
}

/* --- life ----------------------------------------------------------------------------------- */

static COLD enum status parts_map(struct virtq *vq, const struct virtq_setup *setup)
{
    struct virtq_part driver, device;
    enum status st;

    st = vq_part_map(vq, &vq->pk.ring, setup->desc, VIRTQ_DESC_BYTES(setup->size), VIRTQ_DESC_ALIGN,
                     GMEM_WRITE, "the descriptor ring is not in guest memory");
    if (st == ST_OK) {
        st = vq_part_map(vq, &driver, setup->avail, VIRTQ_EVENT_BYTES, VIRTQ_EVENT_ALIGN, GMEM_READ,
                         "the driver area is not in guest memory");
    }
    if (st == ST_OK) {
        st = vq_part_map(vq, &device, setup->used, VIRTQ_EVENT_BYTES, VIRTQ_EVENT_ALIGN, GMEM_WRITE,
                         "the device area is not in guest memory");
    }
    if (st == ST_OK) {
        vq->pk.driver_event = vq_part_at(&driver, 0);
        vq->pk.device_event = vq_part_at(&device, 0);
    }
    return st;
}

COLD enum status packed_start(struct virtq *vq, const struct virtq_setup *setup)
{
    struct virtq_packed *pk = &vq->pk;
    enum status st = parts_map(vq, setup);

    if (st != ST_OK) {
        return st;
    }
    pk->size = (u16)setup->size;
    pk->used_slot = pk->avail_slot = VQ_POSITION_SLOT(setup->first_idx);
    pk->used_wrap = pk->avail_wrap = VQ_POSITION_WRAP(setup->first_idx);
    pk->slots_out = pk->taken = 0;
    pk->first_at = NULL;
    pk->moved = 0;
    pk->again = setup->again_slot;
    pk->again_left = virtq_has_journal(vq) ? setup->again_slot_count : 0;
    CHECK(pk->again_left <= pk->size);
    vq->used_next = vq->used_shown = 0;
    vq->avail_idx = (const u8 *)&vq->next;
    vq->look_mask = VIRTQ_DESC_F_AVAIL;
    look_update(vq);
    return ST_OK;
}

/* --- returning ------------------------------------------------------------------------------- */

void packed_stage(struct virtq *vq, struct virtq_element element)
{
    struct virtq_packed *pk = &vq->pk;
    u8 *at = slot_at(vq, pk->used_slot);
    u16 flags = bits_used(pk->used_wrap) | (element.written > 0 ? VIRTQ_DESC_F_WRITE : 0);

    if (!pk->first_at) {
        store_u32(at + VIRTQ_PACKED_WORD, element.written);
        store_u16(at + offsetof(struct virtq_slot, id), element.id);
        pk->first_at = at;
        pk->first_flags = flags;
        pk->first_pos = VQ_POSITION(pk->used_slot, pk->used_wrap);
    } else {
        store_u64(at + VIRTQ_PACKED_WORD,
                  element.written | (u64)element.id << 32 | (u64)flags << 48);
    }
    slot_forward(pk, &pk->used_slot, &pk->used_wrap, element.span);
    pk->slots_out = (u16)(pk->slots_out - element.span);
    pk->moved += element.span;
}

/** Give back a chain of slots descriptors, the order-th one. */
static void give_back(struct virtq *vq, u16 order, struct virtq_element element, bool whole)
{
    vq->used_next++;
    if (__builtin_expect(vq->in_order, 0)) {
        order_return(vq, order, element, whole);
    } else {
        packed_stage(vq, element);
    }
}

void packed_push(struct virtq *vq, const struct vq_chain *chain, u32 written)
{
    const struct virtq_element element = {written, chain->head, chain->slots};

    vq->busy[chain->head / 64] &= ~BIT64(chain->head % 64);
    give_back(vq, chain->order, element, written == chain->write_bytes);
}

bool packed_publish(struct virtq *vq)
{
    struct virtq_packed *pk = &vq->pk;
    u16 to;

    order_close(vq);
    if (!pk->first_at) {
        return false;
    }
    to = VQ_POSITION(pk->used_slot, pk->used_wrap);
    if (virtq_has_journal(vq)) {
        vq->journal->showing(vq->journal, vq, pk->first_pos, to);
    }
    store_release_u16(pk->first_at + VIRTQ_PACKED_FLAGS_AT, pk->first_flags);
    pk->first_at = NULL;
    vq->chains += (u16)(vq->used_next - vq->used_shown);
    vq->used_shown = vq->used_next;
    vq->publishes++;
    if (virtq_has_journal(vq)) {
        vq->journal->shown(vq->journal, pk->first_pos, to);
    }
    return true;
}

/** A position as a number in [0, 2 * size): the second lap follows the first, and is followed by
 * it. */
static u32 position_linear(const struct virtq_packed *pk, u16 slot, bool wrap)
{
    return wrap ? slot : (u32)slot + pk->size;
}

bool packed_wants_irq(struct virtq *vq)
{
    struct virtq_packed *pk = &vq->pk;
    u32 moved = pk->moved, event, at, now;

    /* The flags must be visible before we look whether the driver wants to hear of them: the driver
     * writes its event, then looks at the flags. One of the two sees the other. */
    full_barrier();
    pk->moved = 0;
    event = load_u32(pk->driver_event); /* read once */
    if (VIRTQ_EVENT_FLAGS(event) != VIRTQ_EVENT_DESC || !vq->event_idx) {
        return VIRTQ_EVENT_FLAGS(event) != VIRTQ_EVENT_DISABLE;
    }
    if (VQ_POSITION_SLOT(event) >= pk->size) {
        return true; /* no such place: once too often is better than never */
    }
    /* The place was passed: it lies in [now - moved, now). */
    at = position_linear(pk, VQ_POSITION_SLOT(event), VQ_POSITION_WRAP((u16)event));
    now = position_linear(pk, pk->used_slot, pk->used_wrap);
    now += now <= at ? 2u * pk->size : 0;
    return now - at <= moved;
}

COLD void packed_kicks(struct virtq *vq, bool on)
{
    u32 event = VIRTQ_EVENT(VIRTQ_EVENT_DISABLE);

    if (on) {
        event = vq->event_idx ? VIRTQ_EVENT(VIRTQ_EVENT_DESC) | virtq_position(vq)
                              : VIRTQ_EVENT(VIRTQ_EVENT_ENABLE);
    }
    store_u32(vq->pk.device_event, event);
}

/* --- taking ----------------------------------------------------------------------------------- */

/** The descriptors of one chain, one after the other. */
struct list {
    u64 addr, word; /* the one it stands at, each read once */
    u32 slots;      /* up to and with that one */
    u16 slot;
    bool wrap;
    bool again; /* it was taken before: it lies in pk->again, and is available */
};

/** Read the descriptor it comes to. */
static inline void list_read(const struct virtq *vq, struct list *list)
{
    const u8 *at = list->again ? (const u8 *)&vq->pk.again[list->slots] : slot_at(vq, list->slot);

    list->word = load_acquire_u64(at + VIRTQ_PACKED_WORD);
    list->addr = load_u64(at);
    list->slots++;
}

/**
 * Read the first descriptor of the next chain. ST_OK; ST_AGAIN when nothing waits; ST_GUEST when
 * the ring makes no sense.
 */
static enum status list_first(struct virtq *vq, struct list *list)
{
    const struct virtq_packed *pk = &vq->pk;

    list->slots = 0;
    list->slot = pk->avail_slot;
    list->wrap = pk->avail_wrap;
    list->again = pk->again_left > 0;
    list_read(vq, list);
    if (list->again) {
        return ST_OK;
    }
    if (((bits_of(list->word) ^ vq->next) & VIRTQ_DESC_F_AVAIL) == 0) {
        return ST_AGAIN;
    }
    if (bits_of(list->word) != bits_available(list->wrap)) {
        return vq_break(vq, "a descriptor is marked available and used at once", list->slot);
    }
    if (pk->slots_out == pk->size) {
        return vq_break(vq, "a buffer is offered again while its request is in flight", list->slot);
    }
    return ST_OK;
}

/**
 * Go on to the next descriptor of the chain. The driver makes the first one available last, so all
 * of them are, or the ring makes no sense. [VIRTIO 2.8.17]
 */
static enum status list_next(struct virtq *vq, struct list *list)
{
    const struct virtq_packed *pk = &vq->pk;

    if (list->slots == (list->again ? pk->again_left : (u32)pk->size - pk->slots_out)) {
        return vq_break(vq, "a chain is longer than the ring has room for", list->slots);
    }
    slot_forward(pk, &list->slot, &list->wrap, 1);
    list_read(vq, list);
    if (!list->again && bits_of(list->word) != bits_available(list->wrap)) {
        return vq_break(vq, "a chain goes on in a descriptor that is not available", list->slot);
    }
    return ST_OK;
}

/** The second word of a descriptor in the order of a split one: length, flags. */
static inline u64 word_split(u64 word)
{
    return (u32)word | DESC_WORD(VIRTQ_PACKED_FLAGS(word) & CHAIN_FLAGS);
}

/** The chain is an indirect table: what follows is read from there. [VIRTIO 2.8.7] */
static COLD enum status table_enter(struct virtq *vq, struct walk *w, const struct list *list,
                                    u64 word)
{
    enum status st = walk_into_table(vq, list->addr, word, false);

    if (st == ST_OK && list->slots > 1) {
        return walk_malformed(vq, "an indirect descriptor in a chain of others", list->addr);
    }
    if (st == ST_OK && vq->walk.entries > VQ_SIZE_MAX) {
        return walk_malformed(vq, "an indirect table is longer than any queue", vq->walk.entries);
    }
    w->in_table = true;
    w->table = vq->walk.flat;
    w->entries = vq->walk.entries;
    return st;
}

/**
 * Add a descriptor to the chain, or all those of its table: one after the other, whatever their
 * flags say but for WRITE. ST_OK; ST_PROTO; ST_AGAIN.
 */
static inline enum status walk_entries(struct virtq *vq, struct vq_chain *chain, struct walk *w,
                                       u64 addr, u64 word)
{
    enum status st;
    u32 i = 0;

    do {
        if (w->in_table) {
            const u8 *at = w->table ? w->table + i * sizeof(struct virtq_slot)
                                    : walk_entry_copy(vq, chain, w->count, i);

            if (!at) {
                return vq->walk.status;
            }
            addr = load_u64(at); /* each word read once */
            word = word_split(load_u64(at + VIRTQ_PACKED_WORD));
        }
        st = walk_desc(vq, chain, w, addr, word);
    } while (st == ST_OK && ++i < w->entries);
    return st;
}

/**
 * Follow the chain to its end, which names it. result is ST_OK, or ST_PROTO when it is known to be
 * of no use. Returns that; ST_PROTO when it is malformed, with the list at its end all the same;
 * ST_AGAIN when no window is free; ST_GUEST when the ring makes no sense.
 */
static inline enum status walk_list(struct virtq *vq, struct vq_chain *chain, struct list *list,
                                    enum status result)
{
    struct walk w = {.lines = vq->gm->line[GMEM_READ], .left = VQ_SIZE_MAX, .entries = 1};

    for (;;) {
        u64 word = word_split(list->word);

        if (result == ST_OK && (word & DESC_WORD(VIRTQ_DESC_F_INDIRECT))) {
            result = table_enter(vq, &w, list, word);
        }
        if (result == ST_OK) {
            result = walk_entries(vq, chain, &w, list->addr, word);
        }
        if (result == ST_AGAIN) {
            return result;
        }
        if (!(word & DESC_WORD(VIRTQ_DESC_F_NEXT))) {
            break;
        }
        if (list_next(vq, list) != ST_OK) {
            return ST_GUEST;
        }
    }
    if (result == ST_OK) {
        walk_finish(vq, chain, &w);
        chain->desc_count = (u16)(VQ_SIZE_MAX - w.left);
    }
    return result;
}

/** The id at the end of a chain, checked: nothing else of the ring names the request. */
static enum status id_check(struct virtq *vq, u16 id)
{
    if (id >= vq->pk.size) {
        return vq_break(vq, "a buffer id is not smaller than the queue size", id);
    }
    if (vq->busy[id / 64] >> (id % 64) & 1) {
        return vq_break(vq, "a buffer is offered again while its request is in flight", id);
    }
    return ST_OK;
}

/** The chain in list is taken. Returns its number. */
static u16 list_take(struct virtq *vq, const struct list *list)
{
    struct virtq_packed *pk = &vq->pk;
    u16 from = virtq_position(vq);

    slot_forward(pk, &pk->avail_slot, &pk->avail_wrap, list->slots);
    pk->slots_out = (u16)(pk->slots_out + list->slots);
    if (VIRTQ_JOURNAL && list->again) {
        pk->again += list->slots;
        pk->again_left = (u16)(pk->again_left - list->slots);
    } else if (virtq_has_journal(vq)) {
        vq->journal->taking(vq->journal, vq, from, virtq_position(vq));
    }
    look_update(vq);
    return pk->taken++;
}

/** Give the chain in list back unused: vq->walk says why. */
static COLD enum status list_drop(struct virtq *vq, const struct list *list)
{
    const struct virtq_element element = {0, VIRTQ_PACKED_ID(list->word), (u16)list->slots};

    vq->dropped++;
    give_back(vq, list_take(vq, list), element, false);
    vq_complain(vq, vq->walk.why, vq->walk.value);
    return ST_PROTO;
}

enum status packed_pop(struct virtq *vq, struct vq_chain *chain, enum status known)
{
    struct list list;
    enum status st = list_first(vq, &list);
    u16 id;

    if (st != ST_OK) {
        return st;
    }
    if (known == ST_OK) {
        chain->held = 0;
        chain->flaws = 0;
    }
    st = walk_list(vq, chain, &list, known);
    id = VIRTQ_PACKED_ID(list.word);
    if ((st == ST_OK || st == ST_PROTO) && id_check(vq, id) != ST_OK) {
        st = ST_GUEST;
    }
    if (__builtin_expect(st != ST_OK, 0)) {
        if (known == ST_OK) {
            gmem_release(vq->gm, chain->span, chain->held);
        }
        return st == ST_AGAIN ? ST_FULL : st == ST_PROTO ? list_drop(vq, &list) : st;
    }
    chain->head = id;
    chain->slots = (u16)list.slots;
    chain->order = list_take(vq, &list);
    vq->busy[id / 64] |= BIT64(id % 64);
    return ST_OK;
}
