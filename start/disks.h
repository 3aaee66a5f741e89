/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disks.h - the named disks of this image and who has them open.                  plane: control
 *
 * A disk is made once, at start, from the configuration; a guest's target= picks one by name. One
 * writer, or any number of readers, unless the disk is marked shared: what Xen's own block script
 * enforces for Dom0's disks. A disk of zeroes can change its size while guests use it, within the
 * memory that was taken for it.
 */
#pragma once

#include "blk/ramdisk.h"
#include "start/config.h"
#include "start/memmap.h"

struct disk {
    char name[DISK_NAME_MAX];
    struct ramdisk ram;
    enum disk_source source;
    u16 queues;            /* that a guest may use at once */
    bool packed, in_order; /* the features of their rings that are offered */
    u32 readers, writers;
    bool shared;   /* as many writers as there are */
    u64 iops, bps; /* limits of a guest whose directory says none; 0: none */
};

struct disks {
    struct disk disk[DISKS_MAX];
    u32 count;
    bool wiping; /* some disk may have work for ramdisk_wipe() */
};

/**
 * Make every disk of config: pieces of the initrd stay where they are, zeroes are taken from map.
 * initrd->bytes is 0 when the domain has none. A configuration without disks and with an initrd
 * makes one disk of it, named "initrd". Partition tables are read here and only here. ST_OK; what
 * partition_find() returns, ST_NOENT, ST_RANGE or ST_FULL with a sentence in why[CONFIG_WHY_MAX].
 */
enum status disks_init(struct disks *disks, const struct config *config, struct memmap *map,
                       const struct memrange *initrd, char *why);

/**
 * Open the disk called name; *write says whether the guest may write and is cleared when the disk
 * is read-only. "" opens the only disk there is. ST_OK; ST_NOENT when there is none of that name;
 * ST_ACCES when it is not shared and somebody else writes it, or reads it and *write is set.
 */
enum status disk_open(struct disks *disks, const char *name, bool *write, struct disk **disk);
/** The same for who, "dom3/51712": what does not succeed is said in a line with the cure. */
enum status disk_open_said(struct disks *disks, const char *who, const char *name, bool *write,
                           struct disk **disk);
void disk_close(struct disk *disk, bool write);

/**
 * Change the size of the disk called name, which is one of zeroes. ST_OK: *disk has its new size,
 * and its guests are still to be told. ST_NOENT, ST_NOSUP, ST_INVAL, ST_RANGE or ST_AGAIN with a
 * sentence in why[CONFIG_WHY_MAX].
 */
enum status disks_resize(struct disks *disks, const char *name, u64 bytes, struct disk **disk,
                         char *why);

/** For start/poll.h; ctx is the struct disks: wipes what was cut off, a slice each turn. */
u32 disks_poll(void *ctx, u32 budget);
bool disks_arm(void *ctx);
void disks_disarm(void *ctx);

/** "a, b, c": the names, for messages; cut to bytes. */
void disks_names(const struct disks *disks, char *text, usize bytes);
