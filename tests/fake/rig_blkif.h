/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_blkif.h - a front end on one side of a PV block ring, and the engine with a disk on the
 * other. */
#pragma once

#include "blk/ramdisk.h"
#include "tests/fake/bdev_faulty.h"
#include "tests/fake/blkfront.h"

extern struct blkfront rig_front;
extern struct ramdisk rig_ram;
extern struct bdev_faulty rig_faulty; /* in front of rig_ram */
extern u8 rig_disk[FRONT_DISK_SECTORS * SECTOR_BYTES];

/** A zeroed disk, and a ring of so many pages in that layout. */
void rig_start_with(enum blkif_abi abi, u32 pages);
/** For cmocka: a ring of one page; and the end of a test, which leaves no page mapped and no slot
 * taken. */
int rig_blkif_start(void **state);
int rig_blkif_finish(void **state);
/** Show what was put, and serve it. */
void rig_serve(void);
/** The next answer is this one; there is none. */
void rig_expect_answer(u64 id, u8 op, s16 status);
void rig_expect_no_answer(void);
/** Fill a page of the front end with bytes that seed tells apart. */
void rig_fill(u32 page, u8 seed);
