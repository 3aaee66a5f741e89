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

#define BACKEND_KEYS_CHECKED 2 /* state and online come first: a mere check asks for these */

/** The directory's name of a row of the type table; NULL behind the last row. */
const char *backend_type_directory(u32 type);
/** The virtio device type of a row; 0: the directory says. */
u32 backend_type_device(u32 type);
/** The name of key i of the device's row; NULL behind the last. */
const char *backend_key_name(const struct backend_device *dev, u32 i);
/** True when the directory may be without it. */
bool backend_key_optional(const struct backend_device *dev, u32 i);
/** Check a value of key i and note what it means. False when it makes no sense. */
bool backend_key_take(struct backend_device *dev, u32 i, const char *value);

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
