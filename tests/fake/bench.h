/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - a whole device on the bench: arena, driver, registers, vblk, ramdisk under a faulty
 * medium.
 */
#pragma once

#include "blk/ramdisk.h"
#include "tests/fake/bdev_faulty.h"
#include "tests/fake/driver.h"
#include "virtio/vblk.h"

#define BENCH_DISK_SECTORS 4096
#define BENCH_ID           "bench disk"

struct bench_setup {
    u64 features; /* 0: everything offered */
    u32 size;     /* of the queue; 0: 64 */
    bool read_only;
    bool direct; /* the ramdisk itself, without the faulty medium in front of it */
    bool write_cache;
    bool lifetime;           /* the medium tells how worn it is */
    u16 queues;              /* 0: 1 */
    u64 rings;               /* offered on top of bench_rings */
    u32 erase_align_sectors; /* 0: 1 */
    u32 logical_block_bytes; /* 0: 512 */
    u32 windows;             /* 0: 4, or one for each queue */
    u64 window_bytes;        /* 0: 1 MiB */
};

struct bench {
    struct arena arena;
    struct driver drv;
    struct driver more[VQ_PER_DEVICE - 1]; /* of the queues after the first, when there are */
    struct vmmio mmio;
    struct vblk vb;
    struct vblk_pool pool;
    struct ramdisk ram;
    struct bdev_faulty faulty;
    u8 disk[BENCH_DISK_SECTORS * SECTOR_BYTES];
    u8 pristine[BENCH_DISK_SECTORS * SECTOR_BYTES]; /* what disk was at the start */
};

/** VIRTIO_F_RING_PACKED and VIRTIO_F_IN_ORDER: what every bench of this program offers. */
extern u64 bench_rings;

/** Everything up to DRIVER_OK, over a disk with a known pattern. */
void bench_init(struct bench *b, const struct bench_setup *setup);
/** CHECKs that nothing leaked: no request, no pin, no slot; then frees the arena. */
void bench_done(struct bench *b);

/** A driver for each queue, from reset to DRIVER_OK. */
void bench_start(struct bench *b, u64 features, u32 size);

/** Poll until a used element comes, at most turns times. False when none came. */
bool bench_wait(struct bench *b, u32 *id, u32 *written);
/** The same for one queue. */
bool bench_wait_on(struct bench *b, struct driver *drv, u32 *id, u32 *written);
/** Run one request to its end; returns its status byte (0xff: not written); *written may be NULL.
 */
u8 bench_run(struct bench *b, const struct driver_blk *blk, bool write_data, u32 *written);
/** The same on one queue. */
u8 bench_run_on(struct bench *b, struct driver *drv, const struct driver_blk *blk, bool write_data,
                u32 *written);
/** The same for any chain; blk names the status byte. */
u8 bench_run_head(struct bench *b, u16 head, const struct driver_blk *blk, u32 *written);
/** A read of sector that must succeed with the right data: the device still serves. */
bool bench_serves(struct bench *b);

/**
 * Run a group of tests for each layout of the rings: split, packed, and packed with buffers
 * returned in order. Needs cmocka.h. Its value is main()'s.
 */
#define BENCH_RUN_LAYOUTS(tests)                                               \
    (cmocka_run_group_tests_name("split", tests, bench_layout_split, NULL) +   \
     cmocka_run_group_tests_name("packed", tests, bench_layout_packed, NULL) + \
     cmocka_run_group_tests_name("in order", tests, bench_layout_packed_order, NULL))

/** For cmocka: what all benches offer from now on. */
int bench_layout_split(void **state);
int bench_layout_packed(void **state);
int bench_layout_packed_order(void **state);
