/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ramdisk.h - a range of our memory as a disk.                                    plane: data
 *
 * Requests complete inside bdev_submit(), so nothing is ever in flight and a flush has nothing to
 * wait for. The content survives its guests, not us.
 */
#pragma once

#include "blk/bdev.h"

struct ramdisk {
    struct bdev bdev;
    u8 *base;
    u64 bytes;
};

/** base stays valid; bytes is a multiple of SECTOR_BYTES and not 0. name stays valid. */
void ramdisk_init(struct ramdisk *disk, const char *name, void *base, u64 bytes, bool read_only);
