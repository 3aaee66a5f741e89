/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen_abi.h - the one door to Xen's public headers (Debian package libxen-dev).
 *
 * The interface version is pinned, so that structures keep their layout whatever release the
 * package has; Xen 4.17 to 4.22 accept it. Hosted x86-64 builds see the x86 flavour of the same
 * structures: everything we use has the same members there, and code goes through the members only.
 */
#pragma once
#pragma GCC system_header

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/version.h>
