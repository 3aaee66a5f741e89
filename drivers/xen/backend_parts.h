/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_parts.h - what the three files of the backend share; for them alone.    plane: control
 *
 *   backend.c       the state machine of a device directory
 *   backend_keys.c  what a directory must say, and what its values mean
 *   backend_scan.c  which directories there are
 */
#pragma once

#include "start/base/log.h"

#include "drivers/xen/backend.h"
#include "drivers/xen/xs.h"

#define BACKEND_DOMID_LAST 0x7fefu /* the last number a domain can have */
#define BACKEND_NEVER      UINT64_MAX

/* --- keys ------------------------------------------------------------------------------------ */

/** A key and what it means. */
struct backend_key {
    const char *name;
    /** False when the value makes no sense; else the device knows it. */
    bool (*take)(struct backend_device *dev, const char *value);
    bool optional;
};

#define BACKEND_KEYS_CHECKED 2 /* state and online come first: a mere check asks for these */

/** The directory's name of a row of the type table; NULL behind the last row. */
const char *backend_type_directory(u32 type);
/** The virtio device type of a row; 0: the directory says. */
u32 backend_type_device(u32 type);
/** Key i of the device's row; NULL behind the last. */
const struct backend_key *backend_key(const struct backend_device *dev, u32 i);

#define device_log(level, dev, format, ...)                          \
    log_line(level, "guest %u %s %u: " format, (dev)->request.domid, \
             backend_type_directory((dev)->type), (dev)->request.devid, __VA_ARGS__)

/* --- scan ------------------------------------------------------------------------------------ */

/** List all rows and their guests anew; devices that are met begin, those not met are looked at. */
void backend_scan_start(struct backend *be);
/** Called by the watch: something below `backend` changed. */
void backend_changed(void *ctx, const char *path);

/* --- machine --------------------------------------------------------------------------------- */

/** A free device begins to read its directory. */
void backend_device_begin(struct backend_device *dev, u32 type, u16 domid, u32 devid);
