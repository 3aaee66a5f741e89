/* SPDX-License-Identifier: BSD-2-Clause */
/* driver.c - the guest: a small virtio-mmio driver. */
#include "tests/fake/driver.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/port.h"

void driver_init(struct driver *drv, struct arena *arena, struct vmmio *mmio)
{
    *drv = (struct driver){.arena = arena, .mmio = mmio, .free = ARENA_BASE};
}

void driver_irq(void *ctx)
{
    struct driver *drv = ctx;

    drv->irqs++;
}

u32 driver_get(struct driver *drv, u32 reg)
{
    u64 data = 0;

    vmmio_access(drv->mmio, reg, sizeof(u32), false, &data);
    return (u32)data;
}

void driver_set(struct driver *drv, u32 reg, u32 value)
{
    u64 data = value;

    vmmio_access(drv->mmio, reg, sizeof(u32), true, &data);
}

u64 driver_alloc(struct driver *drv, u64 bytes, u64 align)
{
    u64 addr = align_up(drv->free, align);

    CHECK(arena_byte(drv->arena, addr + bytes - 1));
    drv->free = addr + bytes;
    return addr;
}

bool driver_negotiate(struct driver *drv, u64 wanted)
{
    u64 offered = 0;

    driver_set(drv, REG_STATUS, 0);
    driver_set(drv, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    driver_set(drv, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (u32 word = 0; word < 2; word++) {
        driver_set(drv, REG_DEVICE_FEATURES_SEL, word);
        offered |= (u64)driver_get(drv, REG_DEVICE_FEATURES) << (32 * word);
    }
    drv->features = offered & wanted;
    for (u32 word = 0; word < 2; word++) {
        driver_set(drv, REG_DRIVER_FEATURES_SEL, word);
        driver_set(drv, REG_DRIVER_FEATURES, (u32)(drv->features >> (32 * word)));
    }
    driver_set(drv, REG_STATUS,
               VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    return (driver_get(drv, REG_STATUS) & VIRTIO_STATUS_FEATURES_OK) != 0;
}

static void set_address(struct driver *drv, u32 reg, u64 addr)
{
    driver_set(drv, reg, (u32)addr);
    driver_set(drv, reg + 4, (u32)(addr >> 32));
}

void driver_ring(struct driver *drv, u32 size)
{
    u32 driver_bytes = drv->packed ? VIRTQ_EVENT_BYTES : VIRTQ_AVAIL_BYTES(size);
    u32 device_bytes = drv->packed ? VIRTQ_EVENT_BYTES : VIRTQ_USED_BYTES(size);

    drv->size = size;
    drv->desc = drv->desc ? drv->desc : driver_alloc(drv, VIRTQ_DESC_BYTES(size), 16);
    drv->avail = drv->avail ? drv->avail : driver_alloc(drv, driver_bytes, 4);
    drv->used = drv->used ? drv->used : driver_alloc(drv, device_bytes, 4);
    arena_fill(drv->arena, drv->avail, 0, driver_bytes);
    arena_fill(drv->arena, drv->used, 0, device_bytes);
    if (drv->packed) {
        arena_fill(drv->arena, drv->desc, 0, VIRTQ_DESC_BYTES(size));
    }
    drv->avail_idx = drv->used_idx = drv->desc_next = 0;
    drv->slot = drv->used_slot = drv->ids = 0;
    drv->wrap = drv->used_wrap = true;
    drv->order_first = drv->order_count = drv->batch = 0;
    memset(drv->chain, 0, sizeof(drv->chain));
}

bool driver_queue(struct driver *drv, u32 size)
{
    drv->packed = (drv->features >> VIRTIO_F_RING_PACKED & 1) != 0;
    driver_ring(drv, size);
    driver_set(drv, REG_QUEUE_SEL, drv->queue);
    driver_set(drv, REG_QUEUE_SIZE, size);
    set_address(drv, REG_QUEUE_DESC, drv->desc);
    set_address(drv, REG_QUEUE_DRIVER, drv->avail);
    set_address(drv, REG_QUEUE_DEVICE, drv->used);
    driver_set(drv, REG_QUEUE_READY, 1);
    return driver_get(drv, REG_QUEUE_READY) == 1;
}

void driver_more(struct driver *more, const struct driver *drv, u32 queue, u64 free)
{
    *more = (struct driver){
        .arena = drv->arena,
        .mmio = drv->mmio,
        .queue = queue,
        .features = drv->features,
        .free = free,
    };
}

void driver_start(struct driver *drv, u64 wanted, u32 size)
{
    bool features_ok = driver_negotiate(drv, wanted | BIT64(VIRTIO_F_VERSION_1));
    bool ready = driver_queue(drv, size);

    CHECK(features_ok && ready);
    driver_set(drv, REG_STATUS, driver_get(drv, REG_STATUS) | VIRTIO_STATUS_DRIVER_OK);
    CHECK(driver_get(drv, REG_STATUS) & VIRTIO_STATUS_DRIVER_OK);
}

void driver_desc_at(struct driver *drv, u64 table, u16 index, u64 addr, u32 bytes, u16 flags,
                    u16 next)
{
    struct virtq_desc desc = {
        .addr = le64_make(addr),
        .len = le32_make(bytes),
        .flags = le16_make(flags),
        .next = le16_make(next),
    };

    arena_write(drv->arena, table + 16 * (u64)index, &desc, sizeof(desc));
}

void driver_desc(struct driver *drv, u16 index, u64 addr, u32 bytes, u16 flags, u16 next)
{
    driver_desc_at(drv, drv->desc, index, addr, bytes, flags, next);
}

/* --- packed rings [VIRTIO 2.8] -------------------------------------------------------------- */

void driver_slot(struct driver *drv, u16 slot, u64 addr, u32 bytes, u16 id, u16 flags)
{
    struct virtq_slot desc = {le64_make(addr), le32_make(bytes), le16_make(id), le16_make(flags)};

    arena_write(drv->arena, drv->desc + 16 * (u64)slot, &desc, sizeof(desc));
}

u16 driver_available(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

u16 driver_used(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
}

void driver_event(struct driver *drv, u16 position, u16 flags)
{
    arena_put32(drv->arena, drv->avail, position | VIRTQ_EVENT(flags));
}

/** An id that no chain has: not the next one, so that nobody takes ids for places. */
static u16 packed_id(struct driver *drv)
{
    for (u32 i = 0; i < drv->size; i++) {
        u16 id = (u16)((drv->ids + 7u + i) % drv->size);

        if (!drv->chain[id].used) {
            drv->ids = id;
            return id;
        }
    }
    panic("driver: every id of the ring is taken");
}

static void packed_forward(struct driver *drv, u16 *slot, bool *wrap, u32 count)
{
    u32 to = *slot + count;

    *wrap ^= to >= drv->size;
    *slot = (u16)(to % drv->size);
}

/** The chain is in the ring but for the flags of its first descriptor. */
static u16 packed_chain(struct driver *drv, const struct driver_piece *piece, u32 count,
                        u16 extra_flags)
{
    u16 id = packed_id(drv);
    struct driver_chain *chain = &drv->chain[id];

    *chain = (struct driver_chain){.slot = drv->slot, .slots = (u16)count, .used = true};
    for (u32 i = 0; i < count; i++) {
        u16 flags = driver_available(drv->wrap) | extra_flags;
        u16 last = i + 1 == count;

        flags |= (piece[i].write ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT);
        if (i == 0) {
            chain->flags = flags;
            flags = arena_get16(drv->arena, drv->desc + 16 * (u64)drv->slot + 14);
        }
        driver_slot(drv, drv->slot, piece[i].addr, piece[i].bytes, last ? id : 0xdead, flags);
        packed_forward(drv, &drv->slot, &drv->wrap, 1);
    }
    return id;
}

static void packed_offer(struct driver *drv, u16 id)
{
    const struct driver_chain *chain = &drv->chain[id];

    store_release_u16(arena_byte(drv->arena, drv->desc + 16 * (u64)chain->slot + 14), chain->flags);
}

/** The next used descriptor, when it is used. */
static bool packed_element(struct driver *drv, u32 *id, u32 *written)
{
    u64 at = drv->desc + 16 * (u64)drv->used_slot;
    u16 flags = load_acquire_u16(arena_byte(drv->arena, at + 14));

    if ((flags & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)) != driver_used(drv->used_wrap)) {
        return false;
    }
    *id = arena_get16(drv->arena, at + 12);
    *written = flags & VIRTQ_DESC_F_WRITE ? arena_get32(drv->arena, at + 8) : 0;
    return true;
}

/** What a correct driver decides after it made the one descriptor at from available. */
static bool packed_kick_wanted(struct driver *drv, const struct driver_chain *chain)
{
    u32 event = arena_get32(drv->arena, drv->used);
    bool wrap = (chain->flags & VIRTQ_DESC_F_AVAIL) != 0;

    if (VIRTQ_EVENT_FLAGS(event) == VIRTQ_EVENT_DESC) {
        for (u32 i = 0; i < chain->slots; i++) {
            u16 slot = chain->slot;
            bool lap = wrap;

            packed_forward(drv, &slot, &lap, i);
            if ((u16)event == VQ_POSITION(slot, lap)) {
                return true;
            }
        }
        return false;
    }
    return VIRTQ_EVENT_FLAGS(event) == VIRTQ_EVENT_ENABLE;
}

/* --- both layouts --------------------------------------------------------------------------- */

static void remember(struct driver *drv, u16 id, const struct driver_piece *piece, u32 count)
{
    drv->chain[id].write_bytes = 0;
    for (u32 i = 0; i < count; i++) {
        drv->chain[id].write_bytes += piece[i].write ? piece[i].bytes : 0;
    }
}

u16 driver_chain(struct driver *drv, const struct driver_piece *piece, u32 count)
{
    u16 head = drv->desc_next;

    if (drv->packed) {
        head = packed_chain(drv, piece, count, 0);
        remember(drv, head, piece, count);
        return head;
    }
    for (u32 i = 0; i < count; i++) {
        u16 next = (u16)((drv->desc_next + 1) & (drv->size - 1));
        u16 flags = piece[i].write ? VIRTQ_DESC_F_WRITE : 0;

        flags |= i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        driver_desc(drv, drv->desc_next, piece[i].addr, piece[i].bytes, flags, next);
        drv->desc_next = next;
    }
    remember(drv, head, piece, count);
    return head;
}

u16 driver_chain_indirect(struct driver *drv, const struct driver_piece *piece, u32 count)
{
    u64 table = driver_alloc(drv, 16 * (u64)count, 16);
    const struct driver_piece one = {table, 16 * count, false};
    u16 head = drv->desc_next;

    for (u32 i = 0; i < count; i++) {
        u16 flags = piece[i].write ? VIRTQ_DESC_F_WRITE : 0;

        if (drv->packed) { /* the last word is id and flags there */
            driver_desc_at(drv, table, (u16)i, piece[i].addr, piece[i].bytes, 0, flags);
            continue;
        }
        flags |= i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        driver_desc_at(drv, table, (u16)i, piece[i].addr, piece[i].bytes, flags, (u16)(i + 1));
    }
    if (drv->packed) {
        head = packed_chain(drv, &one, 1, VIRTQ_DESC_F_INDIRECT);
    } else {
        driver_desc(drv, head, table, 16 * count, VIRTQ_DESC_F_INDIRECT, 0);
        drv->desc_next = (u16)((head + 1) & (drv->size - 1));
    }
    remember(drv, head, piece, count);
    return head;
}

/** [VIRTIO 2.7.10]: what a correct driver decides after it moved avail.idx from `from` by one. */
static bool kick_wanted(struct driver *drv, u16 from)
{
    if (drv->features >> VIRTIO_F_EVENT_IDX & 1) {
        return arena_get16(drv->arena, drv->used + VIRTQ_USED_AVAIL_EVENT(drv->size)) == from;
    }
    return (arena_get16(drv->arena, drv->used + VIRTQ_USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY) == 0;
}

bool driver_offer(struct driver *drv, u16 head)
{
    u16 from = drv->avail_idx++;

    if (drv->order_count < VQ_SIZE_MAX) { /* a driver that misbehaves may offer more */
        drv->order[(drv->order_first + drv->order_count++) % VQ_SIZE_MAX] = head;
    }
    if (drv->packed) {
        packed_offer(drv, head);
        full_barrier();
        return packed_kick_wanted(drv, &drv->chain[head]);
    }
    arena_put16(drv->arena, drv->avail + VIRTQ_AVAIL_RING(from & (drv->size - 1)), head);
    store_release_u16(arena_byte(drv->arena, drv->avail + VIRTQ_AVAIL_IDX), drv->avail_idx);
    full_barrier();
    return kick_wanted(drv, from);
}

void driver_kick(struct driver *drv)
{
    driver_set(drv, REG_QUEUE_NOTIFY, drv->queue);
}

/** The next used element, whatever it stands for. */
static bool element(struct driver *drv, u32 *id, u32 *written)
{
    u64 at = drv->used + VIRTQ_USED_RING(drv->used_idx & (drv->size - 1));

    if (drv->packed) {
        return packed_element(drv, id, written);
    }
    if (driver_used_idx(drv) == drv->used_idx) {
        return false;
    }
    *id = arena_get32(drv->arena, at);
    *written = arena_get32(drv->arena, at + 4);
    return true;
}

/** The chain is back: its descriptors are the driver's again. */
static void chain_back(struct driver *drv, u32 id)
{
    if (drv->packed) {
        CHECK(id < drv->size && drv->chain[id].used);
        packed_forward(drv, &drv->used_slot, &drv->used_wrap, drv->chain[id].slots);
        drv->chain[id].used = false;
    }
    drv->used_idx++;
}

/** IN_ORDER: how many chains it stands for that the element names id. */
static u32 batch_of(const struct driver *drv, u32 id)
{
    for (u32 i = 0; i < drv->order_count; i++) {
        if (drv->order[(drv->order_first + i) % VQ_SIZE_MAX] == id) {
            return i + 1;
        }
    }
    panic("driver: a chain is returned that was not offered");
}

/** Packed: how many chains are back and not taken. */
static u32 packed_waiting(struct driver *drv)
{
    struct driver ahead = *drv;
    u32 count = drv->batch, id, written;

    while (packed_element(&ahead, &id, &written) && id < drv->size) {
        u32 batch = drv->features >> VIRTIO_F_IN_ORDER & 1 ? batch_of(&ahead, id) : 1;
        u32 slots = 0;

        for (u32 i = 0; i < batch; i++) {
            u32 one = batch > 1 ? ahead.order[(ahead.order_first + i) % VQ_SIZE_MAX] : id;

            slots += ahead.chain[one].slots;
        }
        ahead.order_first += batch;
        ahead.order_count -= batch;
        packed_forward(&ahead, &ahead.used_slot, &ahead.used_wrap, slots);
        count += batch;
    }
    return count;
}

u16 driver_used_idx(struct driver *drv)
{
    if (drv->packed) {
        return (u16)(drv->used_idx + packed_waiting(drv));
    }
    return load_acquire_u16(arena_byte(drv->arena, drv->used + VIRTQ_USED_IDX));
}

bool driver_take(struct driver *drv, u32 *id, u32 *written)
{
    if (!(drv->features >> VIRTIO_F_IN_ORDER & 1)) {
        if (!element(drv, id, written)) {
            return false;
        }
        chain_back(drv, *id);
        return true;
    }
    if (drv->batch == 0) {
        if (!element(drv, id, &drv->batch_written)) {
            return false;
        }
        drv->batch = batch_of(drv, *id);
    }
    *id = drv->order[drv->order_first++ % VQ_SIZE_MAX];
    drv->order_count--;
    *written = --drv->batch > 0 ? drv->chain[*id].write_bytes : drv->batch_written;
    chain_back(drv, *id);
    return true;
}

void driver_used_event(struct driver *drv, u16 index)
{
    arena_put16(drv->arena, drv->avail + VIRTQ_AVAIL_USED_EVENT(drv->size), index);
}

void driver_blk_make(struct driver *drv, struct driver_blk *blk, u32 type, u64 sector, u32 bytes)
{
    struct vblk_header header = {.type = le32_make(type), .sector = le64_make(sector)};

    blk->header = driver_alloc(drv, sizeof(header), 8);
    blk->data = driver_alloc(drv, bytes ? bytes : 1, 8);
    blk->status = driver_alloc(drv, 1, 1);
    blk->bytes = bytes;
    arena_write(drv->arena, blk->header, &header, sizeof(header));
    arena_fill(drv->arena, blk->status, 0xff, 1);
}

u16 driver_blk_offer(struct driver *drv, const struct driver_blk *blk, bool write_data)
{
    const struct driver_piece piece[] = {
        {blk->header, sizeof(struct vblk_header), false},
        {blk->data, blk->bytes, write_data},
        {blk->status, 1, true},
    };
    u16 head = driver_chain(drv, piece, ARRAY_LEN(piece));

    driver_offer(drv, head);
    return head;
}

u8 driver_blk_status(struct driver *drv, const struct driver_blk *blk)
{
    return *arena_byte(drv->arena, blk->status);
}
