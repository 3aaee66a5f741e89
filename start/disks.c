/* SPDX-License-Identifier: BSD-2-Clause */
/* disks.c - from configuration to named block devices. */
#include "start/disks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blk/partition.h"
#include "start/base/arith.h"
#include "start/base/parts.h"
#include "start/port.h"

static enum status place_zeroes(const struct config_disk *want, struct memmap *map,
                                struct memrange *place, char *why)
{
    u64 total = memmap_total(map);

    if (memmap_take(map, want->bytes_max, PAGE_BYTES, &place->base) != ST_OK) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s': %s=%" PRIu64 " KiB does not fit into the %" PRIu64
                 " KiB of this domain: raise memory=",
                 want->name, want->bytes_max == want->bytes ? "size" : "max", want->bytes_max >> 10,
                 total >> 10);
        return ST_FULL;
    }
    place->bytes = want->bytes;
    port_zero((void *)(uintptr_t)place->base, want->bytes_max);
    return ST_OK;
}

static enum status place_read(void *ctx, u64 sector, void *to)
{
    const struct memrange *place = ctx;

    memcpy(to, (const void *)(uintptr_t)(place->base + sector * SECTOR_BYTES), SECTOR_BYTES);
    return ST_OK;
}

STATIC_CHECK(CONFIG_PART_MAX == PARTITION_TEXT_MAX, "one is copied to the other");

static enum partition_key partition_key_of(enum disk_part part)
{
    return part == DISK_PART_NUMBER ? PARTITION_NUMBER
           : part == DISK_PART_UUID ? PARTITION_UUID
                                    : PARTITION_LABEL;
}

static const char *partition_flaw(enum status st)
{
    switch (st) {
    case ST_NOSUP:
        return "there is no partition table";
    case ST_PROTO:
        return "the partition table is damaged: repair it with sgdisk or sfdisk";
    case ST_NOENT:
        return "the table has no such partition";
    case ST_FULL:
        return "more than one partition is called so: name it by part= or partuuid=";
    default:
        return "that partition is empty or reaches out of the disk";
    }
}

/** Narrow the place to the partition that is wished for. */
static enum status place_partition(const struct config_disk *want, struct memrange *place,
                                   char *why)
{
    const struct partition_source source = {
        .read = place_read,
        .ctx = place,
        .sectors = place->bytes / SECTOR_BYTES,
        .block_bytes = SECTOR_BYTES,
    };
    struct partition_wish wish = {.key = partition_key_of(want->part), .number = want->part_number};
    struct partition found;
    enum status st;

    memcpy(wish.text, want->part_text, sizeof(wish.text));
    st = partition_find(&source, &wish, &found);
    if (st != ST_OK) {
        snprintf(why, CONFIG_WHY_MAX, "disk '%s': %s", want->name, partition_flaw(st));
        return st;
    }
    place->base += found.sector * SECTOR_BYTES;
    place->bytes = found.sectors * SECTOR_BYTES;
    return ST_OK;
}

static enum status place_initrd(const struct config_disk *want, const struct memrange *initrd,
                                struct memrange *place, char *why)
{
    u64 bytes;

    if (initrd->bytes == 0) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s' has no content: give the domain an initrd (ramdisk= in its xl config) "
                 "or the disk a size (disk=%s,size=64M)",
                 want->name, want->name);
        return ST_NOENT;
    }
    if (!range_ok(want->offset, want->bytes, initrd->bytes)) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s' reaches past the end of the initrd (%" PRIu64 " bytes)", want->name,
                 initrd->bytes);
        return ST_RANGE;
    }
    bytes = want->bytes ? want->bytes : initrd->bytes - want->offset;
    place->base = initrd->base + want->offset;
    place->bytes = align_down(bytes, SECTOR_BYTES);
    if (place->bytes == 0) {
        snprintf(why, CONFIG_WHY_MAX, "disk '%s': its piece of the initrd is less than a sector",
                 want->name);
        return ST_RANGE;
    }
    if (place->bytes != bytes) {
        log_warn("disk '%s': the last %" PRIu64
                 " bytes of the initrd are no whole sector: not served",
                 want->name, bytes - place->bytes);
    }
    return PART_TABLES && want->part != DISK_WHOLE ? place_partition(want, place, why) : ST_OK;
}

/** Of two disks over the same bytes of the initrd each must be read-only or shared. */
static bool place_is_free(const struct disks *disks, const struct memrange *place, bool tolerant)
{
    for (u32 i = 0; i < disks->count; i++) {
        const struct disk *disk = &disks->disk[i];
        const struct ramdisk *other = &disk->ram;
        u64 base = (u64)(uintptr_t)other->base;

        if (place->base < base + other->reserved && base < place->base + place->bytes &&
            !(tolerant && (disk->shared || other->bdev.info.read_only))) {
            return false;
        }
    }
    return true;
}

static enum status disk_make(struct disks *disks, const struct config_disk *want,
                             struct memmap *map, const struct memrange *initrd, char *why)
{
    struct disk *disk = &disks->disk[disks->count];
    struct memrange place;
    enum status st;

    st = want->source == DISK_ZEROES ? place_zeroes(want, map, &place, why)
                                     : place_initrd(want, initrd, &place, why);
    if (st != ST_OK) {
        return st;
    }
    if (!place_is_free(disks, &place, want->read_only || want->shared)) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s' overlaps another disk's piece of the initrd: mark both ro or shared",
                 want->name);
        return ST_RANGE;
    }
    memset(disk, 0, sizeof(*disk));
    memcpy(disk->name, want->name, sizeof(disk->name));
    disk->source = want->source;
    disk->queues = want->queues;
    disk->packed = want->packed;
    disk->in_order = want->in_order;
    disk->shared = want->shared;
    if (PART_LIMITS) {
        disk->iops = want->iops;
        disk->bps = want->bps;
    }
    ramdisk_init(&disk->ram, disk->name, (void *)(uintptr_t)place.base, place.bytes,
                 want->read_only);
    if (want->source == DISK_ZEROES) {
        ramdisk_reserve(&disk->ram, want->bytes_max);
    }
    disks->count++;
    log_info("disk '%s': %" PRIu64 " KiB of %s%s", disk->name, place.bytes >> 10,
             want->source == DISK_ZEROES ? "zeroes" : "initrd",
             want->read_only ? ", read-only" : "");
    return ST_OK;
}

enum status disks_init(struct disks *disks, const struct config *config, struct memmap *map,
                       const struct memrange *initrd, char *why)
{
    struct config_disk whole_initrd;

    disks->count = 0;
    disks->wiping = false;
    if (config->disk_count == 0 && initrd->bytes == 0) {
        snprintf(
            why, CONFIG_WHY_MAX,
            "no disk: the domain has no initrd (ramdisk= in its xl config) and its bootargs name "
            "no disk=NAME,size=64M");
        return ST_NOENT;
    }
    if (config->disk_count == 0) {
        memset(&whole_initrd, 0, sizeof(whole_initrd));
        memcpy(whole_initrd.name, "initrd", sizeof("initrd"));
        whole_initrd.source = DISK_INITRD;
        whole_initrd.queues = 1;
        return disk_make(disks, &whole_initrd, map, initrd, why);
    }
    for (u32 i = 0; i < config->disk_count; i++) {
        enum status st = disk_make(disks, &config->disk[i], map, initrd, why);

        if (st != ST_OK) {
            return st;
        }
    }
    return ST_OK;
}

static struct disk *disk_find(struct disks *disks, const char *name)
{
    if (name[0] == '\0') {
        return disks->count == 1 ? &disks->disk[0] : NULL;
    }
    for (u32 i = 0; i < disks->count; i++) {
        if (strcmp(disks->disk[i].name, name) == 0) {
            return &disks->disk[i];
        }
    }
    return NULL;
}

enum status disk_open(struct disks *disks, const char *name, bool *write, struct disk **disk)
{
    struct disk *found = disk_find(disks, name);

    if (!found) {
        return ST_NOENT;
    }
    if (found->ram.bdev.info.read_only) {
        *write = false;
    }
    if (!found->shared && (found->writers > 0 || (*write && found->readers > 0))) {
        return ST_ACCES;
    }
    if (*write) {
        found->writers++;
    } else {
        found->readers++;
    }
    *disk = found;
    return ST_OK;
}

enum status disk_open_said(struct disks *disks, const char *who, const char *name, bool *write,
                           struct disk **disk)
{
    char names[128];
    bool wanted = *write;
    enum status st = disk_open(disks, name, write, disk);

    if (st == ST_NOENT) {
        disks_names(disks, names, sizeof(names));
        log_error("%s: there is no disk '%s' here; target= may be: %s", who, name, names);
    } else if (st != ST_OK) {
        log_error("%s: disk '%s' is in use by another guest: one writer or several readers", who,
                  name);
    } else if (wanted && !*write) {
        log_warn("%s: disk '%s' is read-only", who, name);
    }
    return st;
}

void disk_close(struct disk *disk, bool write)
{
    if (write) {
        CHECK(disk->writers > 0);
        disk->writers--;
    } else {
        CHECK(disk->readers > 0);
        disk->readers--;
    }
}

void disks_names(const struct disks *disks, char *text, usize bytes)
{
    usize used = 0;

    text[0] = '\0';
    for (u32 i = 0; i < disks->count && used + 1 < bytes; i++) {
        int n = snprintf(text + used, bytes - used, "%s%s", i ? ", " : "", disks->disk[i].name);

        used += n > 0 ? (usize)n : 0;
    }
}

/* --- size --------------------------------------------------------------------------------------
 */

static enum status resize_refused(const struct disk *disk, u64 bytes, enum status st, char *why)
{
    const char *name = disk->name;

    if (st == ST_RANGE) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s': %" PRIu64 " KiB are more than the %" PRIu64
                 " KiB reserved for it: start us with a larger max= for this disk",
                 name, bytes >> 10, disk->ram.reserved >> 10);
    } else if (st == ST_AGAIN) {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s': %" PRIu64 " KiB that were cut off are still being wiped: try again",
                 name, (disk->ram.wiped_from - disk->ram.bytes) >> 10);
    } else {
        snprintf(why, CONFIG_WHY_MAX,
                 "disk '%s': a size is a multiple of %" PRIu32 " bytes and not 0", name,
                 disk->ram.bdev.info.logical_block_bytes);
    }
    return st;
}

enum status disks_resize(struct disks *disks, const char *name, u64 bytes, struct disk **disk,
                         char *why)
{
    struct disk *found = disk_find(disks, name);
    char names[128];
    enum status st;

    if (!found) {
        disks_names(disks, names, sizeof(names));
        snprintf(why, CONFIG_WHY_MAX, "there is no disk '%s' here, but: %s", name, names);
        return ST_NOENT;
    }
    if (found->source != DISK_ZEROES) {
        snprintf(why, CONFIG_WHY_MAX, "disk '%s' is a piece of the initrd: it has no other size",
                 name);
        return ST_NOSUP;
    }
    st = ramdisk_resize(&found->ram, bytes);
    if (st != ST_OK) {
        return resize_refused(found, bytes, st, why);
    }
    disks->wiping = true;
    *disk = found;
    return ST_OK;
}

u32 disks_poll(void *ctx, u32 budget)
{
    struct disks *disks = ctx;
    u32 work = 0;

    (void)budget; /* a slice for each disk that was cut */
    if (!disks->wiping) {
        return 0;
    }
    for (u32 i = 0; i < disks->count; i++) {
        work += ramdisk_wipe(&disks->disk[i].ram);
    }
    disks->wiping = work > 0;
    return work;
}

bool disks_arm(void *ctx)
{
    const struct disks *disks = ctx;

    return disks->wiping;
}

/* Nobody was asked to wake us. */
void disks_disarm(void *ctx)
{
    (void)ctx;
}
