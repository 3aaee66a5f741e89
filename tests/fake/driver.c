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

bool driver_queue(struct driver *drv, u32 size)
{
    drv->size = size;
    drv->desc = drv->desc ? drv->desc : driver_alloc(drv, VIRTQ_DESC_BYTES(size), 16);
    drv->avail = drv->avail ? drv->avail : driver_alloc(drv, VIRTQ_AVAIL_BYTES(size), 2);
    drv->used = drv->used ? drv->used : driver_alloc(drv, VIRTQ_USED_BYTES(size), 4);
    arena_fill(drv->arena, drv->avail, 0, VIRTQ_AVAIL_BYTES(size));
    arena_fill(drv->arena, drv->used, 0, VIRTQ_USED_BYTES(size));
    drv->avail_idx = drv->used_idx = drv->desc_next = 0;
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

u16 driver_chain(struct driver *drv, const struct driver_piece *piece, u32 count)
{
    u16 head = drv->desc_next;

    for (u32 i = 0; i < count; i++) {
        u16 next = (u16)((drv->desc_next + 1) & (drv->size - 1));
        u16 flags = piece[i].write ? VIRTQ_DESC_F_WRITE : 0;

        flags |= i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        driver_desc(drv, drv->desc_next, piece[i].addr, piece[i].bytes, flags, next);
        drv->desc_next = next;
    }
    return head;
}

u16 driver_chain_indirect(struct driver *drv, const struct driver_piece *piece, u32 count)
{
    u64 table = driver_alloc(drv, 16 * (u64)count, 16);
    u16 head = drv->desc_next;

    for (u32 i = 0; i < count; i++) {
        u16 flags = piece[i].write ? VIRTQ_DESC_F_WRITE : 0;

        flags |= i + 1 < count ? VIRTQ_DESC_F_NEXT : 0;
        driver_desc_at(drv, table, (u16)i, piece[i].addr, piece[i].bytes, flags, (u16)(i + 1));
    }
    driver_desc(drv, head, table, 16 * count, VIRTQ_DESC_F_INDIRECT, 0);
    drv->desc_next = (u16)((head + 1) & (drv->size - 1));
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

    arena_put16(drv->arena, drv->avail + VIRTQ_AVAIL_RING(from & (drv->size - 1)), head);
    store_release_u16(arena_byte(drv->arena, drv->avail + VIRTQ_AVAIL_IDX), drv->avail_idx);
    full_barrier();
    return kick_wanted(drv, from);
}

void driver_kick(struct driver *drv)
{
    driver_set(drv, REG_QUEUE_NOTIFY, drv->queue);
}

u16 driver_used_idx(struct driver *drv)
{
    return load_acquire_u16(arena_byte(drv->arena, drv->used + VIRTQ_USED_IDX));
}

bool driver_take(struct driver *drv, u32 *id, u32 *written)
{
    u64 element = drv->used + VIRTQ_USED_RING(drv->used_idx & (drv->size - 1));

    if (driver_used_idx(drv) == drv->used_idx) {
        return false;
    }
    *id = arena_get32(drv->arena, element);
    *written = arena_get32(drv->arena, element + 4);
    drv->used_idx++;
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
