/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend.h - the toolstack's side: which guest wants which device of us.         plane: control
 *
 * Watches our own `backend` directory in xenstore, keeps one state machine per device directory, reads
 * its keys, and calls the handlers that start/attach.c gave. Knows no virtio. Everything is asynchronous:
 * a guest whose directory is nonsense or whose toolstack is slow holds up nobody.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

/** What a device directory said, checked. */
struct backend_request {
    u16 domid;       /* the front end's domain */
    u32 devid;       /* last component of the directory */
    u32 device_type; /* virtio device id; 2 = block [VIRTIO 5] */
    u64 mmio_base;   /* guest-physical base of its 0x200 byte register window */
    u32 irq;         /* SPI number, 32.. */
    bool read_only;  /* mode = r */
    bool grants;     /* grant_usage = 1 */
    char target[DISK_NAME_MAX]; /* params; "" when the directory has none */
};

struct backend_ops {
    /**
     * Make the device. When this returns ST_OK the guest may be started at once: the window is claimed
     * and answers. *handle is given back to detach. Any other status: the directory stays away from
     * InitWait; the reason has been logged by the handler.
     */
    enum status (*attach)(void *ctx, const struct backend_request *request, void **handle);
    /** The device goes (toolstack or guest death): let go of everything of it. */
    void (*detach)(void *ctx, void *handle);
};
