/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xen.c - version, parameters, console and the privilege line. See xen.h.
 */
#include "drivers/xen/xen.h"

#include "start/base/log.h"
#include "start/base/parts.h"

#include "drivers/xen/dm_op.h"
#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"

u64 hypercall_count[HC_FAMILIES];

enum status xen_version(u32 *major, u32 *minor)
{
    long rc;

    hypercall_count[HC_OTHER]++;
    rc = hypercall2(__HYPERVISOR_xen_version, XENVER_version, 0);
    if (rc <= 0) {
        return ST_HYPERCALL;
    }
    *major = (u32)rc >> 16;
    *minor = (u32)rc & 0xffff;
    return ST_OK;
}

enum status xen_param_get(enum xen_param param, u64 *value)
{
    static const u32 index[] = {
        [XEN_PARAM_STORE_PFN] = HVM_PARAM_STORE_PFN,
        [XEN_PARAM_STORE_EVTCHN] = HVM_PARAM_STORE_EVTCHN,
        [XEN_PARAM_CONSOLE_PFN] = HVM_PARAM_CONSOLE_PFN,
        [XEN_PARAM_CONSOLE_EVTCHN] = HVM_PARAM_CONSOLE_EVTCHN,
    };
    struct xen_hvm_param arg = {.domid = DOMID_SELF, .index = index[param]};
    long rc;

    hypercall_count[HC_OTHER]++;
    rc = hypercall2(__HYPERVISOR_hvm_op, HVMOP_get_param, (unsigned long)&arg);
    if (rc < 0) {
        log_error("xen: parameter %u cannot be read: %s", arg.index, xen_errno_name(rc));
        return ST_HYPERCALL;
    }
    if (arg.value == 0 || arg.value == UINT64_MAX) {
        return ST_NOENT;
    }
    *value = arg.value;
    return ST_OK;
}

long xen_console_write(const char *text, usize bytes)
{
    hypercall_count[HC_OTHER]++;
    return hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, bytes, (unsigned long)text);
}

void xen_shutdown_crash(void)
{
    struct sched_shutdown arg = {.reason = SHUTDOWN_crash};

    hypercall_count[HC_OTHER]++;
    (void)hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&arg);
}

const char *xen_errno_name(long error)
{
    static const struct {
        u8 number;
        char text[15];
    } known[] = {
        {XEN_EPERM, "EPERM (1)"},    {XEN_ENOENT, "ENOENT (2)"},       {XEN_ESRCH, "ESRCH (3)"},
        {XEN_EIO, "EIO (5)"},        {XEN_EAGAIN, "EAGAIN (11)"},      {XEN_ENOMEM, "ENOMEM (12)"},
        {XEN_EACCES, "EACCES (13)"}, {XEN_EFAULT, "EFAULT (14)"},      {XEN_EBUSY, "EBUSY (16)"},
        {XEN_EEXIST, "EEXIST (17)"}, {XEN_EINVAL, "EINVAL (22)"},      {XEN_ENOSPC, "ENOSPC (28)"},
        {XEN_ENOSYS, "ENOSYS (38)"}, {XEN_EOPNOTSUPP, "ENOTSUP (95)"},
    };

    for (u32 i = 0; i < ARRAY_LEN(known); i++) {
        if (known[i].number == (error < 0 ? -error : error)) {
            return known[i].text;
        }
    }
    return "?";
}

/*
 * Xen looks in this order: is the call there (ENOSYS), is there such a domain (ESRCH), may we
 * (EPERM from the dummy or SILO policy, EACCES from FLASK). Domain 0 is the one domain that nearly
 * always exists and never is a guest of ours, so what it answers tells the policy; asking for its
 * vCPU count changes nothing.
 */
enum status xen_privilege_probe(void)
{
    u32 count;
    long rc = dm_vcpu_count(0, &count);

    switch (-rc) {
    case 0:
        log_info("privilege: control domain: every guest can be served over virtio");
        return ST_OK;
    case XEN_ENOSYS:
    case XEN_EOPNOTSUPP:
        log_warn(
            "privilege: this Xen has no ioreq server (%s): virtio disks cannot be served%s; for "
            "virtio build Xen with CONFIG_EXPERT=y and CONFIG_IOREQ_SERVER=y",
            xen_errno_name(rc), PART_PV ? ", PV disks can" : "");
        return ST_NOSUP;
    case XEN_EPERM:
        log_info(
            "privilege: none of our own (EPERM (1), dummy or SILO policy): a guest can be served "
            "once set-target names it, exactly one; for several boot Xen with xsm=flask and our "
            "policy");
        return ST_ACCES;
    case XEN_EACCES:
        log_info(
            "privilege: FLASK decides (EACCES (13) for Dom0, as it should be): guests that the "
            "policy module allows can be served");
        return ST_ACCES;
    case XEN_ESRCH:
        log_info(
            "privilege: no Dom0 to ask about (ESRCH (3)): each guest will show what is allowed");
        return ST_ACCES;
    default:
        log_warn("privilege: the probe answered %s (%ld), which docs/privilege.md does not know",
                 xen_errno_name(rc), rc);
        return ST_ACCES;
    }
}
