/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ramdisk.h - a range of our memory as a disk.                                    plane: data
 *
 * A request of up to RAMDISK_SLICE_BYTES completes inside bdev_submit(). A longer one is copied a
 * slice per bdev_poll(), so that a turn of the poll loop stays short and other guests' accesses are
 * answered in between. A flush has nothing to wait for. The content survives its guests, not us.
 */
#pragma once

#include "blk/bdev.h"

#define RAMDISK_SLICE_BYTES (u32) KIB(256)

struct ramdisk {
    struct bdev bdev;
    u8 *base;
    u64 bytes;
    /* long requests, oldest first, and how far the oldest one is */
    struct blk_req *queue;
    struct blk_req **queue_tail;
    u32 at_span;
    u32 at_byte; /* inside that span */
    u64 copied;
};

/** base stays valid; bytes is a multiple of SECTOR_BYTES and not 0. name stays valid. */
void ramdisk_init(struct ramdisk *disk, const char *name, void *base, u64 bytes, bool read_only);
