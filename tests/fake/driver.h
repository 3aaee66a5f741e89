/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * driver.h - the guest: a small virtio-mmio driver with one ring in an arena, split or packed. A
 * device with several queues has a driver for each.
 *
 * A chain is made, offered and taken back with the same calls for both layouts: what names it is a
 * head, or a buffer id. Under IN_ORDER a used element stands for all chains offered up to the one
 * it names; they are taken one by one.
 *
 * It does what a driver does (negotiate, program the queue, offer chains, take used ones, decide
 * about kicks), and lets a test do each step wrongly: every word of the ring is one call away.
 */
#pragma once

#include "tests/fake/arena.h"
#include "virtio/vblk_defs.h"
#include "virtio/virtq_layout.h"
#include "virtio/vmmio.h"

/* Register offsets [VIRTIO 4.2.2] */
enum {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_SIZE_MAX = 0x034,
    REG_QUEUE_SIZE = 0x038,
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080, /* low; high is 4 further on */
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_SHM_SEL = 0x0ac,
    REG_SHM_LEN = 0x0b0,
    REG_SHM_BASE = 0x0b8,
    REG_QUEUE_RESET = 0x0c0,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

/** What a driver remembers of a chain that it made. */
struct driver_chain {
    u16 slot, slots; /* packed: where it lies */
    u16 flags;       /* packed: of its first descriptor, not yet written */
    bool used;       /* packed: the id is taken */
    u32 write_bytes;
};

struct driver {
    struct arena *arena;
    struct vmmio *mmio;
    u32 queue; /* which one: a further driver of the same device has another */
    u32 size;  /* of the queue */
    u64 features;
    u64 desc, avail, used; /* guest addresses */
    u64 free;              /* next guest address to hand out */
    u16 avail_idx;         /* as last written */
    u16 used_idx;          /* up to where used elements were taken */
    u16 desc_next;         /* next descriptor to use, wraps */
    u32 irqs;              /* edges seen; count through driver_irq() */
    bool packed;
    u16 slot, used_slot; /* packed: the next one to write, and to find used; with their wraps */
    bool wrap, used_wrap;
    u16 ids; /* packed: the last id given */
    struct driver_chain chain[VQ_SIZE_MAX];
    u16 order[VQ_SIZE_MAX]; /* offered and not taken, oldest first, by order_first modulo size */
    u32 order_first, order_count;
    u32 batch; /* IN_ORDER: chains that the last used element stands for, not taken yet */
    u32 batch_written;
};

/** One descriptor's worth of a request. */
struct driver_piece {
    u64 addr;
    u32 bytes;
    bool write;
};

/** A block request in guest memory. */
struct driver_blk {
    u64 header, data, status;
    u32 bytes;
};

void driver_init(struct driver *drv, struct arena *arena, struct vmmio *mmio);
/** vmmio_irq_fn: give it to vmmio_init() with the driver as context. */
void driver_irq(void *ctx);

u32 driver_get(struct driver *drv, u32 reg);
void driver_set(struct driver *drv, u32 reg, u32 value);
/** Guest memory, aligned, never given twice. */
u64 driver_alloc(struct driver *drv, u64 bytes, u64 align);

/** Reset to FEATURES_OK with what is offered of wanted. Returns whether FEATURES_OK stuck. */
bool driver_negotiate(struct driver *drv, u64 wanted);
/** Place a ring of size, all zero, at drv->desc, avail, used (0: allocate), packed or not. */
void driver_ring(struct driver *drv, u32 size);
/** The same, of the layout that was negotiated, and make it ready; QueueReady. */
bool driver_queue(struct driver *drv, u32 size);
/** A driver for one more queue of the same device, with guest memory of its own from free on. */
void driver_more(struct driver *more, const struct driver *drv, u32 queue, u64 free);
/** Everything from reset to DRIVER_OK. CHECKs that it worked. */
void driver_start(struct driver *drv, u64 wanted, u32 size);

void driver_desc(struct driver *drv, u16 index, u64 addr, u32 bytes, u16 flags, u16 next);
/** A descriptor of an indirect table at table. */
void driver_desc_at(struct driver *drv, u64 table, u16 index, u64 addr, u32 bytes, u16 flags,
                    u16 next);
/** Packed: write a descriptor into the ring as it is. */
void driver_slot(struct driver *drv, u16 slot, u64 addr, u32 bytes, u16 id, u16 flags);
/** Packed: the flags that make a descriptor available, or used, in the lap of wrap. */
u16 driver_available(bool wrap);
u16 driver_used(bool wrap);
/** Packed: the driver area, as one word. */
void driver_event(struct driver *drv, u16 position, u16 flags);
/** Pieces as a chain in the ring's table; returns its head. Packed: in the ring, its id. */
u16 driver_chain(struct driver *drv, const struct driver_piece *piece, u32 count);
/** The same through an indirect table. */
u16 driver_chain_indirect(struct driver *drv, const struct driver_piece *piece, u32 count);
/** Make head available. Returns true when the device wants a kick for it. */
bool driver_offer(struct driver *drv, u16 head);
void driver_kick(struct driver *drv);
/** Take a used element. */
bool driver_take(struct driver *drv, u32 *id, u32 *written);
/** Chains that came back since the ring was made, whether they were taken or not. */
u16 driver_used_idx(struct driver *drv);
/** EVENT_IDX: ask for an interrupt when used.idx passes index. Split. */
void driver_used_event(struct driver *drv, u16 index);

/** Allocate header, data and status (0xff) and fill the header. */
void driver_blk_make(struct driver *drv, struct driver_blk *blk, u32 type, u64 sector, u32 bytes);
/** Offer it as header, data in one piece, status. Returns the head. */
u16 driver_blk_offer(struct driver *drv, const struct driver_blk *blk, bool write_data);
u8 driver_blk_status(struct driver *drv, const struct driver_blk *blk);
