/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * backend_scan.c - which device directories there are. See backend_parts.h.
 *
 * A change below `backend` names its path: if it is a known device's, that device looks again;
 * anything else starts a scan, one listing after the other. Names that are no numbers are passed
 * over.
 */
#include "drivers/xen/backend_parts.h"

#include <stdio.h>
#include <string.h>

static struct backend_device *device_find(struct backend *be, u32 type, u16 domid, u32 devid)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct backend_device *dev = &be->device[i];

        if (dev->state != BE_FREE && dev->type == type && dev->request.domid == domid &&
            dev->request.devid == devid) {
            return dev;
        }
    }
    return NULL;
}

/** The scan came by a directory: note it, or begin with it. */
static void device_found(struct backend *be, u32 type, u16 domid, u32 devid)
{
    struct backend_device *dev = device_find(be, type, domid, devid);

    for (u32 i = 0; !dev && i < DEVICES_MAX; i++) {
        if (be->device[i].state == BE_FREE) {
            dev = &be->device[i];
            backend_device_begin(dev, type, domid, devid);
        }
    }
    if (dev) {
        dev->seen = be->scan;
    } else if (!be->full_said) {
        be->full_said = true;
        log_error("guest %u %s %u: not served, DEVICES_MAX = %d devices are there already", domid,
                  backend_type_directory(type), devid, DEVICES_MAX);
    }
}

static void scan_next(struct backend *be);

static void scan_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct backend *be = ctx;

    (void)arg;
    be->busy = true;
    be->scan_busy = false;
    if (reply->status == ST_TIMEOUT || reply->status == ST_AGAIN) {
        be->scan_wanted = true;
    }
    if (be->scan_inner) {
        u32 at = 0;
        const char *name;
        u64 devid;

        while ((name = xs_directory_next(reply->data, reply->bytes, &at)) != NULL) {
            if (xs_parse_decimal(name, UINT32_MAX, &devid) == ST_OK) {
                device_found(be, be->scan_type, be->scan_domid, (u32)devid);
            }
        }
    } else {
        be->list_bytes = reply->bytes <= sizeof(be->list) ? reply->bytes : 0;
        be->list_at = 0;
        if (be->list_bytes) {
            memcpy(be->list, reply->data, be->list_bytes);
        }
    }
    scan_next(be);
}

/** List dir; inner: of one guest. False when xs has no room now. */
static bool scan_list(struct backend *be, bool inner)
{
    char path[XS_PATH_MAX];

    if (inner) {
        (void)snprintf(path, sizeof(path), "backend/%s/%u", backend_type_directory(be->scan_type),
                       be->scan_domid);
    } else {
        (void)snprintf(path, sizeof(path), "backend/%s", backend_type_directory(be->scan_type));
    }
    be->scan_inner = inner;
    be->scan_busy = xs_directory(be->xs, 0, path, scan_answer, be, 0) == ST_OK;
    if (!be->scan_busy) {
        be->scan_wanted = true; /* begin anew when there is room */
    }
    return be->scan_busy;
}

/** All rows were listed: what was not met has vanished, or came and went; its own look tells. */
static void scan_done(struct backend *be)
{
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (be->device[i].state != BE_FREE && be->device[i].seen != be->scan) {
            be->device[i].changed = true;
        }
    }
}

static void scan_next(struct backend *be)
{
    const char *name;
    u64 domid;

    while ((name = xs_directory_next(be->list, be->list_bytes, &be->list_at)) != NULL) {
        if (xs_parse_decimal(name, BACKEND_DOMID_LAST, &domid) == ST_OK) {
            be->scan_domid = (u16)domid;
            (void)scan_list(be, true);
            return;
        }
    }
    if (backend_type_directory(be->scan_type + 1u) &&
        backend_type_is_served(be, be->scan_type + 1u)) {
        be->scan_type++;
        (void)scan_list(be, false);
        return;
    }
    scan_done(be);
}

void backend_scan_start(struct backend *be)
{
    be->scan_wanted = false;
    be->scan++;
    be->scan_type = 0;
    be->list_bytes = 0;
    be->list_at = 0;
    (void)scan_list(be, false);
}

/** One component of a path as a number; *path moves behind it. False when it is none. */
static bool component_take(const char **path, u64 max, u64 *value)
{
    char number[12];
    usize length = strcspn(*path, "/");

    if (length == 0 || length >= sizeof(number)) {
        return false;
    }
    memcpy(number, *path, length);
    number[length] = 0;
    *path += length;
    *path += **path == '/';
    return xs_parse_decimal(number, max, value) == ST_OK;
}

/** The device whose directory path lies in, or NULL; *leaf is what follows the directory. */
static struct backend_device *device_of_path(struct backend *be, const char *path,
                                             const char **leaf)
{
    static const char prefix[] = "backend/";
    u64 domid, devid;

    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
        return NULL;
    }
    path += sizeof(prefix) - 1;
    for (u32 type = 0; backend_type_directory(type); type++) {
        usize length = strlen(backend_type_directory(type));

        if (strncmp(path, backend_type_directory(type), length) == 0 && path[length] == '/') {
            path += length + 1;
            if (!component_take(&path, BACKEND_DOMID_LAST, &domid) ||
                !component_take(&path, UINT32_MAX, &devid)) {
                return NULL;
            }
            *leaf = path;
            return device_find(be, type, (u16)domid, (u32)devid);
        }
    }
    return NULL;
}

/** Something below `backend` changed. A storm of these sets the same few flags again and again. */
void backend_changed(void *ctx, const char *path)
{
    struct backend *be = ctx;
    const char *leaf;
    struct backend_device *dev = device_of_path(be, path, &leaf);

    if (!dev) {
        be->scan_wanted = true;
        be->busy = true;
    } else if (!*leaf || strcmp(leaf, "state") == 0 || strcmp(leaf, "online") == 0) {
        dev->changed = true;
        be->busy = true;
    } else if (PART_LIMITS && strncmp(leaf, "limit-", 6) == 0) {
        dev->relimit = true;
        be->busy = true;
    }
}
