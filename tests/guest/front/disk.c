/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk.c - the guest's disks. See disk.h.
 */
#include "tests/guest/front/disk.h"

#include <inttypes.h>

#include "tests/guest/front/store.h"

static u32 virtio_open(struct front_machine *m, const struct front_options *options,
                       struct front_disk *disk)
{
    struct tree_virtio found[FRONT_DISKS_MAX];
    u32 count = tree_virtio_scan(&m->fdt, found, FRONT_DISKS_MAX);

    if (count > FRONT_DISKS_MAX) {
        machine_refuse("%" PRIu32 " virtio devices; at most %u disks are driven", count,
                       FRONT_DISKS_MAX);
    }
    for (u32 i = 0; i < count; i++) {
        disk[i] = (struct front_disk){.number = i, .is_virtio = true};
        disk[i].sectors = vfront_open(m, options, &found[i], &disk[i].v);
    }
    return count;
}

/** The names in device/vbd, by their number; 0 of them when there is no such directory. */
static u32 pv_names(struct front_machine *m, u32 devid[FRONT_DISKS_MAX])
{
    static char names[XS_PAYLOAD_MAX];
    const char *name;
    u32 bytes, at = 0, count = 0;

    (void)store_names(m, "device/vbd", names, sizeof(names), &bytes);
    while ((name = xs_directory_next((const u8 *)names, bytes, &at)) != NULL) {
        u64 number;
        u32 i = count;

        if (xs_parse_decimal(name, UINT32_MAX, &number) != ST_OK) {
            machine_refuse("device/vbd/%s is no number", name);
        }
        if (count == FRONT_DISKS_MAX) {
            machine_refuse("more than %u PV disks", FRONT_DISKS_MAX);
        }
        for (; i > 0 && devid[i - 1] > number; i--) {
            devid[i] = devid[i - 1];
        }
        devid[i] = (u32)number;
        count++;
    }
    return count;
}

u32 disks_open(struct front_machine *m, const struct front_options *options,
               struct front_disk disk[FRONT_DISKS_MAX])
{
    u32 devid[FRONT_DISKS_MAX];
    u32 count = virtio_open(m, options, disk);
    u32 pv_count = pv_names(m, devid);

    if (count + pv_count == 0) {
        machine_refuse("no disk: neither a virtio,mmio node nor a directory in device/vbd");
    }
    if (count + pv_count > FRONT_DISKS_MAX) {
        machine_refuse("%" PRIu32 " disks; at most %u are driven", count + pv_count,
                       FRONT_DISKS_MAX);
    }
    for (u32 i = 0; i < pv_count; i++, count++) {
        disk[count] = (struct front_disk){.number = count};
        disk[count].sectors = bfront_open(m, options, devid[i], &disk[count].b);
    }
    return count;
}

u32 disks_close(struct front_machine *m, struct front_disk *disk, u32 count)
{
    u32 in_use = 0;

    for (u32 i = 0; i < count; i++) {
        in_use += disk[i].is_virtio ? vfront_close(&disk[i].v) : bfront_close(m, &disk[i].b);
    }
    return in_use;
}

u8 *disk_buffer(const struct front_disk *disk, u32 slot)
{
    return disk->is_virtio ? vfront_buffer(&disk->v, slot) : bfront_buffer(&disk->b, slot);
}

void disk_submit(struct front_disk *disk, u32 slot, bool write, u64 sector)
{
    if (disk->is_virtio) {
        vfront_submit(&disk->v, slot, write, sector);
    } else {
        bfront_submit(&disk->b, slot, write, sector);
    }
}

void disk_publish(struct front_disk *disk)
{
    if (disk->is_virtio) {
        vfront_publish(&disk->v);
    } else {
        bfront_publish(&disk->b);
    }
}

bool disk_take(struct front_disk *disk, u32 *slot, bool *good)
{
    return disk->is_virtio ? vfront_take(&disk->v, slot, good) : bfront_take(&disk->b, slot, good);
}

bool disk_arm(struct front_disk *disk)
{
    return disk->is_virtio ? vfront_arm(&disk->v) : bfront_arm(&disk->b);
}

void disk_disarm(struct front_disk *disk)
{
    if (disk->is_virtio) {
        vfront_disarm(&disk->v);
    } else {
        bfront_disarm(&disk->b);
    }
}

struct front_traffic *disk_traffic(struct front_disk *disk)
{
    return disk->is_virtio ? &disk->v.traffic : &disk->b.traffic;
}
