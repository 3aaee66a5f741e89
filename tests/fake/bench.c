/* SPDX-License-Identifier: BSD-2-Clause */
/* bench.c - a whole device on the bench. */
#include "tests/fake/bench.h"

#include <string.h>

#define BENCH_TURNS 10000

u64 bench_rings;

void bench_init(struct bench *b, const struct bench_setup *setup)
{
    u32 windows = setup->windows ? setup->windows : setup->queues > 4 ? setup->queues : 4;
    u64 window_bytes = setup->window_bytes ? setup->window_bytes : MIB(1);

    if (b->pristine[1] == 0) { /* once per bench: it is the larger part of the work */
        for (usize i = 0; i < sizeof(b->pristine); i++) {
            b->pristine[i] = (u8)(i / 512 * 31 + i);
        }
    }
    memcpy(b->disk, b->pristine, sizeof(b->disk));
    arena_init(&b->arena, windows, window_bytes);
    ramdisk_init(&b->ram, "ram", b->disk, sizeof(b->disk), setup->read_only);
    if (setup->logical_block_bytes) {
        b->ram.bdev.info.logical_block_bytes = setup->logical_block_bytes;
    }
    bdev_faulty_init(&b->faulty, &b->ram.bdev, setup->write_cache, 1);
    if (setup->erase_align_sectors) {
        b->ram.bdev.info.erase_align_sectors = setup->erase_align_sectors;
        b->faulty.bdev.info.erase_align_sectors = setup->erase_align_sectors;
    }
    if (setup->lifetime) {
        bdev_faulty_tell_lifetime(&b->faulty);
    }
    vblk_pool_init(&b->pool);
    vblk_init(&b->vb, &(struct vblk_init){
                          .bdev = setup->direct ? &b->ram.bdev : &b->faulty.bdev,
                          .gm = &b->arena.gm,
                          .pool = &b->pool,
                          .name = "bench",
                          .id = BENCH_ID,
                          .read_only = setup->read_only,
                          .queues = setup->queues,
                          .rings = setup->rings | bench_rings,
                      });
    vmmio_init(&b->mmio, &b->vb.vdev, driver_irq, &b->drv);
    driver_init(&b->drv, &b->arena, &b->mmio);
    bench_start(b, setup->features ? setup->features : UINT64_MAX, setup->size ? setup->size : 64);
}

void bench_start(struct bench *b, u64 features, u32 size)
{
    bool ready = driver_negotiate(&b->drv, features | BIT64(VIRTIO_F_VERSION_1)) &&
                 driver_queue(&b->drv, size);

    for (u32 q = 1; q < b->vb.vdev.queue_count; q++) {
        struct driver *more = &b->more[q - 1];

        driver_more(more, &b->drv, q, ARENA_BASE + q * b->arena.window_bytes);
        ready = ready && driver_queue(more, size);
    }
    CHECK(ready);
    driver_set(&b->drv, REG_STATUS, driver_get(&b->drv, REG_STATUS) | VIRTIO_STATUS_DRIVER_OK);
    CHECK(driver_get(&b->drv, REG_STATUS) & VIRTIO_STATUS_DRIVER_OK);
}

void bench_done(struct bench *b)
{
    u32 free = 0;

    b->faulty.stall = false;
    for (u32 i = 0; i < BENCH_TURNS && !vblk_shutdown(&b->vb); i++) {
    }
    CHECK(vblk_shutdown(&b->vb));
    CHECK(arena_pinned(&b->arena) == 0);
    CHECK(b->pool.in_flight == 0 && b->vb.in_flight == 0);
    for (struct vblk_req *vr = b->pool.free; vr; vr = vr->next_free) {
        free++;
    }
    CHECK(free == REQUESTS_MAX);
    arena_free(&b->arena);
}

bool bench_wait_on(struct bench *b, struct driver *drv, u32 *id, u32 *written)
{
    for (u32 i = 0; i < BENCH_TURNS; i++) {
        if (driver_take(drv, id, written)) {
            return true;
        }
        vblk_poll(&b->vb, 64);
    }
    return false;
}

bool bench_wait(struct bench *b, u32 *id, u32 *written)
{
    return bench_wait_on(b, &b->drv, id, written);
}

static u8 run_head_on(struct bench *b, struct driver *drv, u16 head, const struct driver_blk *blk,
                      u32 *written)
{
    u32 id = UINT32_MAX, bytes = UINT32_MAX;

    driver_offer(drv, head);
    CHECK(bench_wait_on(b, drv, &id, &bytes));
    CHECK(id == head);
    if (written) {
        *written = bytes;
    }
    return driver_blk_status(drv, blk);
}

u8 bench_run_head(struct bench *b, u16 head, const struct driver_blk *blk, u32 *written)
{
    return run_head_on(b, &b->drv, head, blk, written);
}

u8 bench_run_on(struct bench *b, struct driver *drv, const struct driver_blk *blk, bool write_data,
                u32 *written)
{
    const struct driver_piece piece[] = {
        {blk->header, sizeof(struct vblk_header), false},
        {blk->data, blk->bytes, write_data},
        {blk->status, 1, true},
    };

    return run_head_on(b, drv, driver_chain(drv, piece, ARRAY_LEN(piece)), blk, written);
}

u8 bench_run(struct bench *b, const struct driver_blk *blk, bool write_data, u32 *written)
{
    return bench_run_on(b, &b->drv, blk, write_data, written);
}

bool bench_serves(struct bench *b)
{
    struct driver_blk blk;
    u8 data[512];
    u32 written;

    b->drv.free = ARENA_BASE + b->arena.window_bytes / 2; /* the ring stays below */
    driver_blk_make(&b->drv, &blk, VIRTIO_BLK_T_IN, 77, sizeof(data));
    if (bench_run(b, &blk, true, &written) != VIRTIO_BLK_S_OK || written != sizeof(data) + 1) {
        return false;
    }
    arena_read(&b->arena, blk.data, data, sizeof(data));
    return memcmp(data, b->disk + 77 * 512, sizeof(data)) == 0;
}

int bench_layout_split(void **state)
{
    (void)state;
    bench_rings = 0;
    return 0;
}

int bench_layout_packed(void **state)
{
    (void)state;
    bench_rings = BIT64(VIRTIO_F_RING_PACKED);
    return 0;
}

int bench_layout_packed_order(void **state)
{
    (void)state;
    bench_rings = BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_IN_ORDER);
    return 0;
}
