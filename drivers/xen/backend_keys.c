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

/* The front end's directory is where libxl puts it: no path of somebody else's is followed. */
static bool take_frontend(struct backend_device *dev, const char *value)
{
    char path[XS_PATH_MAX];

    backend_front_path(dev, NULL, path);
    return strcmp(value, path) == 0;
}

static bool take_discard(struct backend_device *dev, const char *value)
{
    dev->request.no_discard = strcmp(value, "0") == 0;
    return dev->request.no_discard || strcmp(value, "1") == 0;
}

/* "virtio,device2": the number is hexadecimal [VIRTIO 5]. */
static bool take_type(struct backend_device *dev, const char *value)
{
    static const char prefix[] = "virtio,device";
    const usize prefix_bytes = sizeof(prefix) - 1;
    char number[8] = "0x";
    usize digits = strlen(value);
    u64 type;

    if (digits <= prefix_bytes || memcmp(value, prefix, prefix_bytes) != 0) {
        return false;
    }
    digits -= prefix_bytes;
    if (digits + 3 > sizeof(number)) {
        return false;
    }
    memcpy(number + 2, value + prefix_bytes, digits + 1);
    if (xs_parse_number(number, 0xff, &type) != ST_OK || type == 0) {
        return false;
    }
    dev->request.device_type = (u32)type;
    return true;
}

/* Names and rows hold no pointers: each would cost a relocation entry in the image. */
enum key {
    KEY_STATE,
    KEY_ONLINE,
    KEY_FRONTEND_ID,
    KEY_TRANSPORT,
    KEY_BASE,
    KEY_IRQ,
    KEY_PARAMS,
    KEY_MODE,
    KEY_TYPE,
    KEY_GRANT_USAGE,
    KEY_FRONTEND,
    KEY_DISCARD,
    KEY_COUNT
};

static const char names[KEY_COUNT][16] = {
    [KEY_STATE] = "state",
    [KEY_ONLINE] = "online",
    [KEY_FRONTEND_ID] = "frontend-id",
    [KEY_TRANSPORT] = "transport",
    [KEY_BASE] = "base",
    [KEY_IRQ] = "irq",
    [KEY_PARAMS] = "params",
    [KEY_MODE] = "mode",
    [KEY_TYPE] = "type",
    [KEY_GRANT_USAGE] = "grant_usage",
    [KEY_FRONTEND] = "frontend",
    [KEY_DISCARD] = "discard-enable",
};

/* The last keys of every row, where limits are a part of the image. */
static const char limit_names[][12] = {"limit-iops", "limit-bytes", "limit-burst"};

#define ROW_KEYS 10
#define OPTIONAL \
    (BIT32(KEY_ONLINE) | BIT32(KEY_PARAMS) | BIT32(KEY_GRANT_USAGE) | BIT32(KEY_DISCARD))

static const struct device_type {
    char directory[12];
    u8 device_type; /* 0: the directory says */
    u8 key_count;
    u8 key[ROW_KEYS]; /* the BACKEND_KEYS_CHECKED first */
} types[] = {
    /* disk = [ "..., specification=virtio, backend=..." ]; grant_usage from Xen 4.19 on */
    {"virtio_disk",
     2,
     9,
     {KEY_STATE, KEY_ONLINE, KEY_FRONTEND_ID, KEY_TRANSPORT, KEY_BASE, KEY_IRQ, KEY_PARAMS,
      KEY_MODE, KEY_GRANT_USAGE}},
    /* virtio = [ "type=virtio,device2, transport=mmio, backend=..." ]; Xen 4.18 and later */
    {"virtio",
     0,
     8,
     {KEY_STATE, KEY_ONLINE, KEY_FRONTEND_ID, KEY_TRANSPORT, KEY_BASE, KEY_IRQ, KEY_TYPE,
      KEY_GRANT_USAGE}},
    /* disk = [ "..., backend=..." ]: Xen's PV block protocol */
    {"vbd",
     0,
     7,
     {KEY_STATE, KEY_ONLINE, KEY_FRONTEND_ID, KEY_FRONTEND, KEY_PARAMS, KEY_MODE, KEY_DISCARD}},
};

#define TYPE_PV 2 /* the row of the PV block protocol */

const char *backend_type_directory(u32 type)
{
    return type < ARRAY_LEN(types) ? types[type].directory : NULL;
}

bool backend_type_is_pv(u32 type)
{
    return type == TYPE_PV;
}

bool backend_type_is_served(const struct backend *be, u32 type)
{
    return type != TYPE_PV || (PART_PV && be->pv_ops);
}

u32 backend_type_device(u32 type)
{
    return types[type].device_type;
}

const char *backend_key_name(const struct backend_device *dev, u32 i)
{
    const struct device_type *type = &types[dev->type];

    if (i < type->key_count) {
        return names[type->key[i]];
    }
    i -= type->key_count;
    return PART_LIMITS && i < ARRAY_LEN(limit_names) ? limit_names[i] : NULL;
}

u32 backend_key_limits(const struct backend_device *dev)
{
    return types[dev->type].key_count;
}

bool backend_key_forgiven(const struct backend_device *dev, u32 i)
{
    return PART_LIMITS && i >= backend_key_limits(dev);
}

/** The limit that key i says. */
static u64 *limit_of(struct backend_device *dev, u32 i)
{
    struct backend_limits *limits = &dev->limits;
    u64 *const by_key[] = {&limits->iops, &limits->bytes, &limits->burst_ms};

    return by_key[i - backend_key_limits(dev)];
}

/* Wrong values leave what was said before. */
static bool take_limit(struct backend_device *dev, u32 i, const char *value)
{
    static const u64 last[] = {BACKEND_LIMIT_IOPS_MAX, BACKEND_LIMIT_BYTES_MAX,
                               BACKEND_LIMIT_BURST_LAST};
    u64 number;

    if (xs_parse_decimal(value, last[i - backend_key_limits(dev)], &number) != ST_OK) {
        return false;
    }
    *limit_of(dev, i) = number;
    return true;
}

void backend_key_gone(struct backend_device *dev, u32 i)
{
    if (backend_key_forgiven(dev, i)) {
        *limit_of(dev, i) = BACKEND_LIMIT_UNSAID;
    }
}

bool backend_key_optional(const struct backend_device *dev, u32 i)
{
    return backend_key_forgiven(dev, i) || (OPTIONAL & BIT32(types[dev->type].key[i]));
}

bool backend_key_take(struct backend_device *dev, u32 i, const char *value)
{
    if (backend_key_forgiven(dev, i)) {
        return take_limit(dev, i, value);
    }
    switch (types[dev->type].key[i]) {
    case KEY_STATE:
        return take_state(dev, value);
    case KEY_ONLINE:
        dev->found_online = strcmp(value, "0") != 0;
        return true;
    case KEY_FRONTEND_ID:
        return take_frontend_id(dev, value);
    case KEY_TRANSPORT:
        return strcmp(value, "mmio") == 0;
    case KEY_BASE:
        return take_base(dev, value);
    case KEY_IRQ:
        return take_irq(dev, value);
    case KEY_PARAMS:
        return take_params(dev, value);
    case KEY_MODE:
        return take_mode(dev, value);
    case KEY_TYPE:
        return take_type(dev, value);
    case KEY_FRONTEND:
        return take_frontend(dev, value);
    case KEY_DISCARD:
        return take_discard(dev, value);
    default:
        return take_grant_usage(dev, value);
    }
}
