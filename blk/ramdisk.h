/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ramdisk.h - a range of our memory as a disk.                                    plane: data
 *
 * A request of up to RAMDISK_SLICE_BYTES completes inside bdev_submit(). A longer one is copied a
 * slice per bdev_poll(), so that a turn of the poll loop stays short and other guests' accesses are
 * answered in between. A flush has nothing to wait for. The content survives its guests, not us.
 *
 * Discard, write zeroes and secure erase all store zeroes: memory has no other way to forget, and
 * none of them gives memory back.
 *
 * The disk can change its size within what is reserved for it. What lies behind its end is zero or
 * waits to be: it grows only into what is.
 *
 *   base            end                 wiped_from          reserved
 *   | the disk      | to be wiped       | zeroes            |
 */
#pragma once

#include "blk/bdev.h"

#define RAMDISK_SLICE_BYTES (u32) KIB(256)

struct ramdisk {
    struct bdev bdev;
    u8 *base;
    u64 bytes;
    u64 reserved;   /* bytes at base that the disk may grow to */
    u64 wiped_from; /* zeroes from here on; above bytes: ramdisk_wipe() has work */
    /* long requests, oldest first, and how far the oldest one is */
    struct blk_req *queue;
    struct blk_req **queue_tail;
    u32 at_span;
    u32 at_byte; /* inside that span */
    u64 done;    /* bytes of it */
};

/** base stays valid; bytes is a multiple of SECTOR_BYTES and not 0. name stays valid. */
void ramdisk_init(struct ramdisk *disk, const char *name, void *base, u64 bytes, bool read_only);

/** The memory behind the disk, up to bytes from its base, is the disk's too, and it is zero. */
void ramdisk_reserve(struct ramdisk *disk, u64 bytes);

/**
 * Change the size. ST_OK: bdev.info.sectors is the new one, requests in flight beyond it are
 * finished with ST_IO, and ramdisk_wipe() may have work; the front ends are still to be told.
 * ST_INVAL: bytes is 0 or not a multiple of SECTOR_BYTES; ST_RANGE: more than is reserved;
 * ST_AGAIN: what was cut off is not wiped yet.
 */
enum status ramdisk_resize(struct ramdisk *disk, u64 bytes);

/** Wipe a slice of what was cut off. Returns work done; 0 when there is nothing to wipe. */
u32 ramdisk_wipe(struct ramdisk *disk);
