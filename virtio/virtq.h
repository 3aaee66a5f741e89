/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.h - the device side of a virtqueue, split or packed. [VIRTIO 2.7, 2.8]     plane: data
 *
 * The verbs are the same for both layouts; this is the split one, virtq_packed.h draws the other.
 *
 *      driver writes, we read (hostile: every word once)     we write, the driver reads
 *
 *      desc[]        addr len flags next                     used.ring[]   {head, bytes written}
 *      avail.ring[]  heads of chains offered                 used.idx      chains returned
 *      avail.idx     chains offered                          used.flags    "do not kick"
 *      avail.flags, used_event   when to interrupt           avail_event   when to kick
 *
 * Indices run freely modulo 2^16. The slot is index & (size - 1); (u16)(avail.idx - next) wait.
 *
 *      enable -> { pop ... push }* -> publish -> wants_irq -> ... -> reset
 *
 * pop takes a chain, push stages its return, publish shows all staged returns with one store,
 * wants_irq says whether the driver asked to be told. While we poll, kicks are off
 * (virtq_kick_disable()); before we sleep virtq_kick_enable() asks for them again and looks once
 * more.
 *
 * What a driver gets wrong has one of two ends, never ours:
 *   a malformed chain  is returned with length 0 and counted; after VQ_COMPLAINTS_MAX of them in
 *   one
 *                      life of the queue we stop believing: VQ_BROKEN
 *   a malformed ring   VQ_BROKEN at once: nothing of it is read or written any more until a reset,
 *                      which vdev asks the driver for [VIRTIO 2.1.2]
 *
 * A buffer that is not guest memory does not make its chain malformed: its bytes become a span
 * without base (a hole), and the device decides what that means for the request.
 *
 * Next in the tour: virtq.c, then vblk.c.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/log.h"
#include "start/port.h"
#include "virtio/gmem.h"

#define VQ_COMPLAINTS_MAX 16 /* malformed chains before the queue counts as broken */
#define VQ_DESC_BYTES_MAX \
    (u32)(MIB(2) + 16) /* a longer buffer is a hole: nobody holds all windows */

#define VQ_FLAW_HOLE 0x1 /* some span has no base: its bytes are not memory of the guest */
#define VQ_FLAW_CUT  0x2 /* more than VQ_SPAN_MAX spans: the last one ends the chain, before it */
                         /* some are missing */

/**
 * One request as taken from the ring. Its spans are borrowed: good until guest memory is mapped for
 * something else. When the request outlives the turn, virtq_hold() makes them good until the push.
 */
struct vq_chain {
    u16 head;       /* names the request towards the driver: a head, or a packed ring's buffer id */
    u16 desc_count; /* descriptors it was made of, those of a table included */
    u16 slots;      /* packed: descriptors of the ring itself */
    u16 order;      /* IN_ORDER: which one it is */
    u16 read_count; /* spans we may read: span[0..read_count) */
    u16 write_count; /* spans we may write: the ones after them */
    u8 flaws;        /* VQ_FLAW_*; 0 for a chain as it should be */
    u16 held;        /* leading spans that are pinned: 0 or all of them */
    u64 read_bytes;  /* sums over all descriptors, holes and missing spans included */
    u64 write_bytes;
    struct span span[VQ_SPAN_MAX]; /* base NULL: a hole, never touched */
};

enum vq_state { VQ_OFF, VQ_READY, VQ_BROKEN };

/* The image's flags say 0: its guests' rings end with it, so it has no use for journals. */
#ifndef VIRTQ_JOURNAL
#define VIRTQ_JOURNAL 1
#endif

struct virtq;

/** A descriptor of a packed ring, as the driver wrote it or as we return it. [VIRTIO 2.8.13] */
struct virtq_slot {
    le64_t addr;
    le32_t len;
    le16_t id;
    le16_t flags;
};

/**
 * Somebody who keeps a record of what is in flight that outlives this program: for transports whose
 * drivers stay when we go. Called once per batch; NULL everywhere else. Of a split ring, from and
 * to are free-running indices; of a packed one, positions (VQ_POSITION), and taking is called for
 * each chain by itself, when it was understood.
 */
struct virtq_journal {
    /** The chains at avail slots [from, to) are about to be taken, in this order. */
    void (*taking)(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to);
    /** Used slots [from, to) are staged and about to be shown with one store. */
    void (*showing)(struct virtq_journal *journal, const struct virtq *vq, u16 from, u16 to);
    /** They are shown now. */
    void (*shown)(struct virtq_journal *journal, u16 from, u16 to);
};

/** Where the driver says its ring is; checked by virtq_enable(). */
struct virtq_setup {
    u32 size;
    u64 desc, avail, used; /* guest addresses; packed: ring, driver area, device area */
    bool indirect;         /* VIRTIO_F_INDIRECT_DESC negotiated */
    bool event_idx;        /* VIRTIO_F_EVENT_IDX negotiated */
    bool packed;           /* VIRTIO_F_RING_PACKED negotiated */
    bool in_order;         /* VIRTIO_F_IN_ORDER negotiated */
    /*
     * Where both sides begin: VQ_FIRST(packed), unless a transport resumes a stopped ring at what
     * virtq_position() said then.
     */
    u16 first_idx;
    struct virtq_journal *journal;
    /*
     * With a journal: take again_count heads from here before any from the driver's ring, the i-th
     * at again[(first_idx + i) % size]. They were taken before and not returned. The driver's ring
     * goes on behind them. Read until they are taken.
     */
    const u16 *again;
    u16 again_count;
    /*
     * The same for a packed ring, whose descriptors may be overwritten by now: take
     * again_slot_count descriptors from here, chained by their NEXT flags, as if they lay in the
     * ring from first_idx on. The driver's go on behind them.
     */
    const struct virtq_slot *again_slot;
    u16 again_slot_count;
};

/**
 * A part of the ring in at most two runs of our memory, because a window of guest memory may end
 * inside it: byte offsets below split lie at base[0] + offset, the others at base[1] + offset.
 */
struct virtq_part {
    uintptr_t base[2];
    u32 split;
};

/** Where pop is in the descriptors of a chain. */
struct virtq_walk {
    u64 table;      /* guest address of the table */
    const u8 *flat; /* our pointer to all of it; NULL: entry by entry through gmem */
    u32 entries;
    enum status status; /* why the last step failed */
    u64 entry[2];       /* an entry that had to be copied out */
    const char *why;    /* what is wrong with a malformed chain ... */
    u64 value;          /* ... and the word that shows it */
};

/** What goes back to the driver: {head or id, bytes written}. */
struct virtq_element {
    u32 written;
    u16 id;
    u16 span; /* places of the ring that it stands for: used slots, or descriptors when packed */
};

/** IN_ORDER: what was returned and waits for an earlier one. */
struct virtq_order {
    u32 done;  /* by order modulo VQ_ORDER_MAX: entry[] is returned ... */
    u32 whole; /* ... and all that could be written was: a later one may speak for it */
    u16 turn;  /* the order of the next one to be staged */
    u16 held;  /* split: how many were returned and are not staged */
    bool open; /* last is complete but for those that it may yet speak for ... */
    bool open_whole;
    struct virtq_element last;
    struct virtq_element entry[VQ_ORDER_MAX];
};

/** A place in a packed ring as the wire has it: descriptor, and wrap counter in the top bit. */
#define VQ_POSITION(slot, wrap) ((u16)((slot) | (u32)(wrap) << 15))
#define VQ_POSITION_SLOT(pos)   ((u16)((pos)&0x7fff))
#define VQ_POSITION_WRAP(pos)   ((pos) >> 15 != 0)
/** Where a ring that was never used begins. */
#define VQ_FIRST(packed) ((packed) ? VQ_POSITION(0, 1) : 0)

/** What a packed ring has of its own: virtq_packed.h. */
struct virtq_packed {
    struct virtq_part ring;
    u16 size;
    u16 avail_slot, used_slot; /* the next one to take, and to return in */
    bool avail_wrap, used_wrap;
    u16 slots_out;  /* descriptors taken and not returned */
    u16 taken;      /* chains taken, runs freely */
    u16 again_look; /* what waiting looks like while there is something to take again */
    u16 again_left;
    u16 first_flags; /* of the first element that is staged and not shown ... */
    u8 *first_at;    /* ... which lies here; NULL: nothing is staged */
    u16 first_pos;
    u32 moved; /* descriptors returned since the last virtq_wants_irq() */
    const struct virtq_slot *again;
    const u8 *driver_event;
    u8 *device_event;
};

struct virtq {
    /*
     * Looked at by every idle turn: something waits when the word at look_at differs from next in
     * look_mask. Split: avail.idx, and all of it. Packed: the flags of the next descriptor, and the
     * AVAIL bit, which is in next as it is while nothing waits. Off: next itself.
     */
    const u8 *look_at;
    u16 next; /* split: next avail slot to take, runs freely */
    u16 look_mask;
    u16 avail_seen;      /* avail.idx as last read; packed: next */
    u16 used_next;       /* next used slot to stage, runs freely; packed: chains returned */
    const u8 *avail_idx; /* look_at of a split ring, else next itself */
    u16 used_shown;      /* used_next as last published */
    u16 irq_from;        /* used.idx at the last virtq_wants_irq() */
    u16 kick_parked;     /* avail_event as last written */
    u16 mask;            /* size - 1 */
    enum vq_state state;
    bool plain; /* VQ_READY, split, returned as they come, in memory that stays ours */
    bool packed;
    bool in_order;
    bool indirect;
    bool event_idx;
    bool kicks_on;
    u16 complaints;
    struct gmem *gm;
    const u8 *desc_flat; /* NULL: the table lies in two runs */
    u32 quick_size;      /* size, when virtq_quick.h can serve the queue; else 0 */
    u64 desc_addr;
    struct virtq_part avail, used;
    struct virtq_journal *journal;
    struct virtq_part avail_driver; /* avail, while that is setup->again; base 0: it is not */
    struct virtq_walk walk;
    u8 *used_idx;
    const u8 *used_event, *avail_flags;
    u8 *avail_event, *used_flags;
    u8 *park_at[2]; /* where the parked index is stored when it stays: here; when it moves: there */
    u64 busy[VQ_SIZE_MAX / 64]; /* heads or ids in flight */
    struct span pin[6];         /* holds the parts in place */
    u32 pin_count;
    const char *name; /* for messages */
    struct log_limit limit;
    /* counters since virtq_init() */
    u64 chains;       /* returned, dropped ones included; counted when they are shown */
    u64 dropped;      /* malformed, returned unused */
    u64 breaks;       /* times the queue became VQ_BROKEN */
    u64 publishes;    /* stores of used.idx */
    u64 kick_enables; /* times kicks were asked for */
    /* far from what every request touches */
    struct virtq_packed pk;
    struct virtq_order order;
};

/** name is for messages and stays valid. */
void virtq_init(struct virtq *vq, const char *name);

/**
 * Check and map the ring, and start at setup->first_idx. Kicks are as the driver zeroed them: on.
 * ST_OK; ST_INVAL when the size is not in 1..VQ_SIZE_MAX, or no power of two and the ring is split,
 * or a part is misaligned, or first_idx is no place of the ring;
 * ST_GUEST when a part is not guest memory; ST_AGAIN when requests of the last life are still in
 * flight, or no window is free; ST_NOSUP when a part lies in more than two runs; ST_HYPERCALL from
 * gmem. Every refusal is logged. The queue must be VQ_OFF.
 */
enum status virtq_enable(struct virtq *vq, struct gmem *gm, const struct virtq_setup *setup);

/**
 * Stop: from now on nothing is read from or written to the ring. Chains in flight keep their spans
 * until they are pushed, which then only lets go of them. VQ_OFF afterwards, whatever it was
 * before.
 */
void virtq_reset(struct virtq *vq);

/**
 * All chains seen so far were taken: look at the ring for more. False when nothing waits, and when
 * the ring makes no sense: the queue is VQ_BROKEN then.
 */
bool virtq_look(struct virtq *vq);

/** How many chains virtq_pop() can take before it has to look at the ring again. */
static inline u16 virtq_seen(const struct virtq *vq)
{
    return (u16)(vq->avail_seen - vq->next);
}

/**
 * Take the next chain. ST_OK; ST_AGAIN when there is none; ST_PROTO when one was malformed and has
 * been returned to the driver unused (pop again); ST_FULL when no window is free for it: it stays
 * where it is, pop again after a push of any queue; the same when VQ_ORDER_MAX are in flight of a
 * queue that returns them in order; ST_GUEST when the queue is VQ_BROKEN or VQ_OFF.
 * [VIRTIO 2.7.5, 2.7.6, 2.8.13]
 */
enum status virtq_pop(struct virtq *vq, struct vq_chain *chain);

/** Chains popped and not pushed; counts on through a reset. */
static inline u16 virtq_in_flight(const struct virtq *vq)
{
    return (u16)((vq->packed ? vq->pk.taken : vq->next) - vq->used_next - vq->order.held);
}

/** The chain stays in flight beyond this turn: pin what its spans point to. */
void virtq_hold(struct virtq *vq, struct vq_chain *chain);

/** Return the chain that pop would take next, unused: the way out when ST_FULL will not go away. */
void virtq_drop_next(struct virtq *vq);

/**
 * Stage the return of chain and let go of its spans. written is the number of bytes written to its
 * device-writable part without a gap from the first one on. [VIRTIO 2.7.8.2]
 */
void virtq_push(struct virtq *vq, const struct vq_chain *chain, u32 written);

/**
 * Return a chain unused because its content cannot be understood, and count it against the driver:
 * the queue may be VQ_BROKEN afterwards.
 */
void virtq_push_malformed(struct virtq *vq, const struct vq_chain *chain, const char *why);

/** Show what is staged to the driver with one store. Returns true when something was. */
bool virtq_publish(struct virtq *vq);

/** After virtq_publish(): has the driver asked to be told of it? [VIRTIO 2.7.7.2, 2.8.10] */
bool virtq_wants_irq(struct virtq *vq);

/** Ask the driver not to kick. Advice: kicks may still come. [VIRTIO 2.7.10] */
void virtq_kick_disable(struct virtq *vq);

/** Ask for kicks, then look: returns true when a chain waits already. */
bool virtq_kick_enable(struct virtq *vq);

/**
 * What comes next, for a transport that stops a ring and resumes it: the avail index of a split
 * ring, the position of a packed one. With nothing in flight the used side stands there too.
 */
u16 virtq_position(const struct virtq *vq);

/** For journals: the head at an avail slot, and at a used slot. From guest memory: check it. */
u16 virtq_avail_head(const struct virtq *vq, u16 idx);
u32 virtq_used_head(const struct virtq *vq, u16 idx);
/** The same for a packed ring: the descriptor at a position. */
void virtq_slot_read(const struct virtq *vq, u16 pos, struct virtq_slot *slot);
/** The position that is slots further on in a packed ring; slots is at most its size. */
u16 virtq_position_after(const struct virtq *vq, u16 pos, u16 slots);

static inline bool virtq_has_journal(const struct virtq *vq)
{
    return VIRTQ_JOURNAL && __builtin_expect(vq->journal != NULL, 0);
}

STATIC_CHECK(offsetof(struct virtq, next) == sizeof(u8 *) &&
                 offsetof(struct virtq, look_mask) == offsetof(struct virtq, next) + sizeof(u16),
             "an idle turn has all it needs of the queue with one load of a pair");

/** True when a chain waits. Cheap: the idle turn of a polled queue. */
static inline bool virtq_waiting(const struct virtq *vq)
{
    u32 look = (u32) * (const u64 *)(const void *)&vq->next; /* next and look_mask */

    return ((load_acquire_u16(vq->look_at) ^ look) & look >> 16) != 0;
}
