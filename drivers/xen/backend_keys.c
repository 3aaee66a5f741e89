/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_keys.c - what a device directory must say. See backend_parts.h.
 *
 * The values are text of the toolstack's, checked here one by one: a wrong one costs its own
 * device. A further kind of device is a further row of the table at the end.
 */
#include "drivers/xen/backend_parts.h"

#include <string.h>

#include "start/base/arith.h"

#define MMIO_BYTES 0x200u /* a virtio-mmio window as libxl lays it out */
#define MMIO_BITS  48
#define SPI_FIRST  32
#define SPI_LAST   1019

static bool take_state(struct backend_device *dev, const char *value)
{
    u64 state;

    if (xs_parse_decimal(value, 8, &state) != ST_OK) {
        return false;
    }
    dev->found_state = (u8)state;
    return true;
}

static bool take_online(struct backend_device *dev, const char *value)
{
    dev->found_online = strcmp(value, "0") != 0;
    return true;
}

static bool take_frontend_id(struct backend_device *dev, const char *value)
{
    u64 domid;

    return xs_parse_decimal(value, BACKEND_DOMID_LAST, &domid) == ST_OK &&
           domid == dev->request.domid;
}

static bool take_params(struct backend_device *dev, const char *value)
{
    usize length = strlen(value);

    if (length >= DISK_NAME_MAX) {
        return false;
    }
    memcpy(dev->request.target, value, length + 1);
    return true;
}

static bool take_mode(struct backend_device *dev, const char *value)
{
    dev->request.read_only = strcmp(value, "r") == 0;
    return dev->request.read_only || strcmp(value, "w") == 0;
}

static bool take_transport(struct backend_device *dev, const char *value)
{
    (void)dev;
    return strcmp(value, "mmio") == 0;
}

/* libxl writes base in decimal for disk=, in 0x-hex for virtio=. */
static bool take_base(struct backend_device *dev, const char *value)
{
    u64 base;

    if (xs_parse_number(value, BIT64(MMIO_BITS) - MMIO_BYTES, &base) != ST_OK || base == 0 ||
        !is_aligned(base, MMIO_BYTES)) {
        return false;
    }
    dev->request.mmio_base = base;
    return true;
}

static bool take_irq(struct backend_device *dev, const char *value)
{
    u64 irq;

    if (xs_parse_number(value, SPI_LAST, &irq) != ST_OK || irq < SPI_FIRST) {
        return false;
    }
    dev->request.irq = (u32)irq;
    return true;
}

static bool take_grant_usage(struct backend_device *dev, const char *value)
{
    dev->request.grants = strcmp(value, "1") == 0;
    return dev->request.grants || strcmp(value, "0") == 0;
}

/* "virtio,device2": the number is hexadecimal [VIRTIO 5]. */
static bool take_type(struct backend_device *dev, const char *value)
{
    static const char prefix[] = "virtio,device";
    char number[8] = "0x";
    u64 type;

    if (strncmp(value, prefix, sizeof(prefix) - 1) != 0 ||
        strlen(value) - (sizeof(prefix) - 1) > sizeof(number) - 3) {
        return false;
    }
    strcpy(number + 2, value + sizeof(prefix) - 1);
    if (xs_parse_number(number, 0xff, &type) != ST_OK || type == 0) {
        return false;
    }
    dev->request.device_type = (u32)type;
    return true;
}

#define KEYS_MAX 10

static const struct device_type {
    const char *directory;
    u32 device_type; /* 0: the directory says */
    struct backend_key key[KEYS_MAX];
} types[] = {
    /* disk = [ "..., specification=virtio, backend=..." ]; grant_usage from Xen 4.19 on */
    {"virtio_disk",
     2,
     {{"state", take_state, false},
      {"online", take_online, true},
      {"frontend-id", take_frontend_id, false},
      {"transport", take_transport, false},
      {"base", take_base, false},
      {"irq", take_irq, false},
      {"params", take_params, true},
      {"mode", take_mode, false},
      {"grant_usage", take_grant_usage, true}}},
    /* virtio = [ "type=virtio,device2, transport=mmio, backend=..." ]; Xen 4.18 and later */
    {"virtio",
     0,
     {{"state", take_state, false},
      {"online", take_online, true},
      {"frontend-id", take_frontend_id, false},
      {"transport", take_transport, false},
      {"base", take_base, false},
      {"irq", take_irq, false},
      {"type", take_type, false},
      {"grant_usage", take_grant_usage, true}}},
};

const char *backend_type_directory(u32 type)
{
    return type < ARRAY_LEN(types) ? types[type].directory : NULL;
}

u32 backend_type_device(u32 type)
{
    return types[type].device_type;
}

const struct backend_key *backend_key(const struct backend_device *dev, u32 i)
{
    const struct backend_key *key = &types[dev->type].key[i];

    return i < KEYS_MAX && key->name ? key : NULL;
}
