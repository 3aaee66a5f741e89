/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig_packed.h - a packed ring in an arena, a driver on one side and the engine on the other.
 *
 * After each test no pin may be left, and every chain that was taken must have been returned
 * exactly once.
 */
#pragma once

#include "tests/fake/driver.h"
#include "virtio/virtq.h"

#define RIG_DATA (ARENA_BASE + 0x8000) /* buffers; the ring lies below */

extern struct arena rig_arena;
extern struct driver rig_drv;
extern struct virtq rig_vq;
extern struct vq_chain rig_chain, rig_later;

/** For cmocka: a ring of 8 with EVENT_IDX, and the end of a test. */
int rig_packed_fresh(void **state);
int rig_packed_done(void **state);

/** How the driver's ring is to be enabled. */
struct virtq_setup rig_packed_setup(u32 size);
/** A ring of size, zeroed, enabled. */
void rig_packed_ring(u32 size, bool event_idx);
/** Offer a chain of so many descriptors, 8 writable bytes each. Returns its id. */
u16 rig_packed_offer(u32 pieces);
/** The driver finds id returned with written bytes, as the next used element. */
void rig_packed_expect(u32 id, u32 written);
/** One chain of some descriptors, there and back. */
void rig_packed_serve(u32 pieces);
