/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * classes.h - the device classes that guests may ask for: one row each.           plane: control
 *
 * A class lives in virtio/ and knows neither Xen nor its row. A row names it to the toolstack and
 * binds a new device to what it serves; attach.c does the rest, the same for every class
 * (docs/writing-a-device.md).
 */
#pragma once

#include "start/attach.h"

struct device_class {
    u32 device_id;    /* what the toolstack asks for [VIRTIO 5] */
    const char *name; /* for messages */
    /**
     * Take what the device serves, name the device, make it over device->guest's memory and set
     * device->vdev. Any status but ST_OK refuses the request, and a line has said why.
     */
    enum status (*open)(struct attach *attach, struct device *device,
                        const struct backend_request *request);
    /** The device is stopped and nothing of it is in flight: let go of what open took. NULL:
     * nothing. */
    void (*close)(struct attach *attach, struct device *device);
};

/** The class of a request, or NULL; a line has said so then. */
const struct device_class *class_find(const struct backend_request *request);
