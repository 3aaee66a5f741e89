/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_packed.c - a packed ring in an arena. */
#include "tests/fake/rig_packed.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

struct arena rig_arena;
struct driver rig_drv;
struct virtq rig_vq;
struct vq_chain rig_chain, rig_later;

struct virtq_setup rig_packed_setup(u32 size)
{
    return (struct virtq_setup){
        .size = size,
        .desc = rig_drv.desc,
        .avail = rig_drv.avail,
        .used = rig_drv.used,
        .indirect = true,
        .event_idx = (rig_drv.features >> VIRTIO_F_EVENT_IDX & 1) != 0,
        .packed = true,
        .first_idx = VQ_FIRST(true),
    };
}

/** A ring of size, zeroed, enabled. */
void rig_packed_ring(u32 size, bool event_idx)
{
    struct virtq_setup setup;

    virtq_reset(&rig_vq);
    rig_drv.packed = true;
    rig_drv.features = event_idx ? BIT64(VIRTIO_F_EVENT_IDX) : 0;
    rig_drv.free = ARENA_BASE;
    rig_drv.desc = rig_drv.avail = rig_drv.used = 0;
    driver_ring(&rig_drv, size);
    rig_drv.free = RIG_DATA + 0x1000;
    setup = rig_packed_setup(size);
    assert_int_equal(virtq_enable(&rig_vq, &rig_arena.gm, &setup), ST_OK);
}

int rig_packed_fresh(void **state)
{
    (void)state;
    port_host_now_ns += UINT64_C(60000000000);
    arena_init(&rig_arena, 2, KIB(64));
    driver_init(&rig_drv, &rig_arena, NULL);
    virtq_init(&rig_vq, "ring");
    rig_packed_ring(8, true);
    return 0;
}

int rig_packed_done(void **state)
{
    (void)state;
    virtq_reset(&rig_vq);
    assert_int_equal(virtq_in_flight(&rig_vq), 0);
    assert_int_equal(arena_pinned(&rig_arena), 0);
    arena_free(&rig_arena);
    return 0;
}

/** Offer count writable bytes in pieces descriptors; returns the id. */
u16 rig_packed_offer(u32 pieces)
{
    struct driver_piece piece[VQ_SIZE_MAX];
    u16 id;

    for (u32 i = 0; i < pieces; i++) {
        piece[i] = (struct driver_piece){RIG_DATA + 8 * i, 8, true};
    }
    id = driver_chain(&rig_drv, piece, pieces);
    driver_offer(&rig_drv, id);
    return id;
}

/** The driver finds id returned with written bytes, as the next used element. */
void rig_packed_expect(u32 id, u32 written)
{
    u32 got, bytes;

    virtq_publish(&rig_vq);
    assert_true(driver_take(&rig_drv, &got, &bytes));
    assert_int_equal(got, id);
    assert_int_equal(bytes, written);
}

/** One chain of some descriptors, there and back. */
void rig_packed_serve(u32 pieces)
{
    u16 id = rig_packed_offer(pieces);

    assert_true(virtq_waiting(&rig_vq));
    assert_int_equal(virtq_pop(&rig_vq, &rig_chain), ST_OK);
    assert_int_equal(rig_chain.head, id);
    assert_int_equal(rig_chain.slots, pieces);
    assert_int_equal(rig_chain.write_bytes, 8 * pieces);
    virtq_push(&rig_vq, &rig_chain, 8 * pieces);
    rig_packed_expect(id, 8 * pieces);
}
