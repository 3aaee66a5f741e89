/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_parts.h - what the files of the backend share; for them alone.          plane: control
 *
 *   backend.c       the state machine of a device directory
 *   backend_front.c its part for PV front ends, which have states of their own
 *   backend_tx.c    writing a state
 *   backend_keys.c  what a directory must say, and what its values mean
 *   backend_scan.c  which directories there are
 */
#pragma once

#include "start/base/log.h"
#include "start/base/parts.h"

#include "drivers/xen/backend.h"
#include "drivers/xen/xs.h"

#define BACKEND_DOMID_LAST 0x7fefu /* the last number a domain can have */
#define BACKEND_NEVER      UINT64_MAX

/* States of a directory, as xenbus has them. */
#define XB_INITIALISING 1
#define XB_INITWAIT     2
#define XB_INITIALISED  3
#define XB_CONNECTED    4
#define XB_CLOSING      5
#define XB_CLOSED       6
#define XB_REMOVE       255 /* not a state: the transaction removes the directory */

/* --- keys ------------------------------------------------------------------------------------ */

#define BACKEND_KEYS_CHECKED 2 /* state and online come first: a mere check asks for these */

/** The directory's name of a row of the type table; NULL behind the last row. */
const char *backend_type_directory(u32 type);
/** True when devices of the row are served: all, or all but PV ones. */
bool backend_type_is_served(const struct backend *be, u32 type);
/** True when the front end speaks the PV block protocol. */
bool backend_type_is_pv(u32 type);
/** The virtio device type of a row; 0: the directory says, or it is PV. */
u32 backend_type_device(u32 type);
/** The name of key i of the device's row; NULL behind the last. */
const char *backend_key_name(const struct backend_device *dev, u32 i);
/** The keys of the limits, one behind the other to the row's end: the first of them. */
u32 backend_key_limits(const struct backend_device *dev);
/** True when a wrong value costs the key only, and what was said before holds. */
bool backend_key_forgiven(const struct backend_device *dev, u32 i);
/** The directory has no key i. */
void backend_key_gone(struct backend_device *dev, u32 i);
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

/** PV front ends are a part of the image, or their code is nobody's. */
static inline bool backend_is_pv(const struct backend_device *dev)
{
    return PART_PV && dev->request.pv_block;
}

/** The handlers of the device, and their ctx. */
static inline const struct backend_ops *backend_ops_of(const struct backend_device *dev)
{
    return backend_is_pv(dev) ? dev->be->pv_ops : dev->be->ops;
}

static inline void *backend_ctx_of(const struct backend_device *dev)
{
    return backend_is_pv(dev) ? dev->be->pv_ctx : dev->be->ctx;
}

/** A free device begins to read its directory. */
void backend_device_begin(struct backend_device *dev, u32 type, u16 domid, u32 devid);
/** "backend/virtio_disk/7/51712", with "/" and leaf unless that is NULL. Always fits XS_PATH_MAX.
 */
void backend_device_path(const struct backend_device *dev, const char *leaf,
                         char path[XS_PATH_MAX]);
/** An answer came, of whatever kind: step the machine. */
void backend_device_answered(struct backend_device *dev);
/** Detach, write state 6, and in the end remove the directory. */
void backend_device_close(struct backend_device *dev);
/** The transaction that wrote dev->writing is over; written tells whether it was committed. */
void backend_device_tx_over(struct backend_device *dev, bool written);

/* --- transactions ---------------------------------------------------------------------------- */

/** Begin to write a state, with its keys, or XB_REMOVE; later when another one runs. */
void backend_tx_start(struct backend_device *dev, u8 state);
/** There was no room for the running step's request: send it now. */
void backend_tx_resend(struct backend_device *dev);

/* --- PV front ends --------------------------------------------------------------------------- */

/** "/local/domain/7/device/vbd/51712", with "/" and leaf unless that is NULL. Fits XS_PATH_MAX. */
void backend_front_path(const struct backend_device *dev, const char *leaf, char path[XS_PATH_MAX]);

/** Advance as far as is possible without waiting. */
void backend_front_step(struct backend_device *dev, u64 now);
/** State was written, or (nobody else having changed the directory) could not be. */
void backend_front_wrote(struct backend_device *dev, u8 state, u64 now);
/** Its event channel is closed: let go of its rings. The directory stays, as its guest may live. */
void backend_front_gone(struct backend_device *dev);
/** The device is detached. */
void backend_front_forget(struct backend_device *dev);
/** End the watch. True when there is none any more. */
bool backend_front_unwatch(struct backend_device *dev);
