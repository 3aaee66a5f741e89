/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtq.h - the device side of a split virtqueue. [VIRTIO 2.7]                     plane: data
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
    u16 head;        /* names the request towards the driver */
    u16 desc_count;  /* descriptors it was made of */
    u16 read_count;  /* spans we may read: span[0..read_count) */
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

/**
 * Somebody who keeps a record of what is in flight that outlives this program: for transports whose
 * drivers stay when we go. Called once per batch; NULL everywhere else.
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
    u64 desc, avail, used; /* guest addresses */
    bool indirect;         /* VIRTIO_F_INDIRECT_DESC negotiated */
    bool event_idx;        /* VIRTIO_F_EVENT_IDX negotiated */
    u16 first_idx; /* where both rings begin: 0, unless a transport resumes a stopped ring */
    struct virtq_journal *journal;
    /*
     * With a journal: take again_count heads from here before any from the driver's ring, the i-th
     * at again[(first_idx + i) % size]. They were taken before and not returned. The driver's ring
     * goes on behind them. Read until they are taken.
     */
    const u16 *again;
    u16 again_count;
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

struct virtq {
    /* looked at by every idle turn */
    const u8 *avail_idx; /* avail.idx; points at idle_idx unless the queue is ready */
    u16 next;            /* next avail slot to take, runs freely */
    u16 avail_seen;      /* avail.idx as last read */
    u16 used_next;       /* next used slot to stage, runs freely */
    u16 used_shown;      /* used.idx as last published */
    u16 irq_from;        /* used.idx at the last virtq_wants_irq() */
    u16 kick_parked;     /* avail_event as last written */
    u16 mask;            /* size - 1 */
    u16 idle_idx;        /* equals next: an idle turn of a queue that is off finds no work */
    enum vq_state state;
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
    u64 busy[VQ_SIZE_MAX / 64]; /* heads in flight */
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
};

/** name is for messages and stays valid. */
void virtq_init(struct virtq *vq, const char *name);

/**
 * Check and map the ring, and start at setup->first_idx. Kicks are as the driver zeroed them: on.
 * ST_OK; ST_INVAL when the size is not a power of two in 1..VQ_SIZE_MAX or a part is misaligned;
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
 * where it is, pop again after a push of any queue; ST_GUEST when the queue is VQ_BROKEN or VQ_OFF.
 * [VIRTIO 2.7.5, 2.7.6]
 */
enum status virtq_pop(struct virtq *vq, struct vq_chain *chain);

/** Chains popped and not pushed; counts on through a reset. */
static inline u16 virtq_in_flight(const struct virtq *vq)
{
    return (u16)(vq->next - vq->used_next);
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

/** After virtq_publish(): has the driver asked to be told of it? [VIRTIO 2.7.7.2] */
bool virtq_wants_irq(struct virtq *vq);

/** Ask the driver not to kick. Advice: kicks may still come. [VIRTIO 2.7.10] */
void virtq_kick_disable(struct virtq *vq);

/** Ask for kicks, then look: returns true when a chain waits already. */
bool virtq_kick_enable(struct virtq *vq);

/** For journals: the head at an avail slot, and at a used slot. From guest memory: check it. */
u16 virtq_avail_head(const struct virtq *vq, u16 idx);
u32 virtq_used_head(const struct virtq *vq, u16 idx);

static inline bool virtq_has_journal(const struct virtq *vq)
{
    return VIRTQ_JOURNAL && __builtin_expect(vq->journal != NULL, 0);
}

/** True when a chain waits. Cheap: the idle turn of a polled queue. */
static inline bool virtq_waiting(const struct virtq *vq)
{
    return load_acquire_u16(vq->avail_idx) != vq->next;
}
