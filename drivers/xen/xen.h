/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.h - meeting the hypervisor: version, parameters, console, errno.            plane: control
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

/** Parameters of our own domain that Xen answers [xen/hvm/params.h]. */
enum xen_param {
    XEN_PARAM_STORE_PFN,      /* frame of the xenstore page */
    XEN_PARAM_STORE_EVTCHN,   /* its event channel port, bound already */
    XEN_PARAM_CONSOLE_PFN,    /* frame of the PV console page */
    XEN_PARAM_CONSOLE_EVTCHN, /* its port */
};

/** ST_OK with *major, *minor; ST_HYPERCALL: there is no Xen under us that answers. */
enum status xen_version(u32 *major, u32 *minor);

/**
 * Read a parameter. ST_OK; ST_NOENT when Xen answers but the toolstack set none (0 or all ones);
 * ST_HYPERCALL with the errno logged.
 */
enum status xen_param_get(enum xen_param param, u64 *value);

/** Write to the hypervisor's console (HYPERVISOR_console_io): 0 or a negative errno. */
long xen_console_write(const char *text, usize bytes);

/** End our domain as crashed: the toolstack's on_crash= decides what follows. Returns if Xen
 * refuses. */
void xen_shutdown_crash(void);

/** "EPERM" for 1 or -1 and so on; "?" for a number we do not know. */
const char *xen_errno_name(long error);

/**
 * What may we do here? Asks with two harmless calls, needs no guest, and says it in one log line
 * with the cure. docs/privilege.md explains each line. ST_OK     control domain: every guest can be
 * served ST_ACCES  nothing known yet: FLASK or set_target decide per guest ST_NOSUP  this Xen has
 * no ioreq server: virtio cannot be served to anybody
 */
enum status xen_privilege_probe(void);
