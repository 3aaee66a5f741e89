/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dm_op.h - typed tier of HYPERVISOR_dm_op: what a device model may do to its guest.  plane: both
 *
 * Each returns 0 or a negative XEN_E* number [xen/hvm/dm_op.h]:
 *   -ENOSYS this Xen was built without the ioreq server      -ESRCH no such guest
 *   -EPERM no right under the dummy or SILO policy           -EACCES FLASK denies
 */
#pragma once

#include "start/base/types.h"

/** vCPUs the guest was built with, offline ones included. */
long dm_vcpu_count(u16 domid, u32 *count);
/** A server without a buffered ring, which Arm does not have. */
long dm_server_create(u16 domid, u16 *id);
long dm_server_destroy(u16 domid, u16 id);
long dm_server_enable(u16 domid, u16 id, bool enabled);
/** Claim or release the guest-physical range [base, base + bytes). */
long dm_range_map(u16 domid, u16 id, u64 base, u64 bytes);
long dm_range_unmap(u16 domid, u16 id, u64 base, u64 bytes);
/** Raise the guest's SPI (32..): Xen treats it as an edge, there is nothing to lower. */
long dm_irq_raise(u16 domid, u32 irq);
