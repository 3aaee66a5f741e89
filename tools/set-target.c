/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * set-target.c - run in Dom0: let one domain be the device model of one guest.
 *
 *     set-target BACKEND-DOMID GUEST-DOMID
 *
 * Under Xen's dummy policy a domain without privilege may serve virtio devices to exactly one
 * guest, the one that XEN_DOMCTL_set_target named; xl has no word for it. It cannot be taken back
 * and not be done twice in the backend's life. docs/privilege.md tells when to use it and what
 * comes next.
 *
 * A static Linux program for arm64. Exit code 0: done; 1: refused, with the reason; 2: misused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DOMID_LAST           0x7fefu
#define HYPERVISOR_DOMCTL    36 /* [xen/xen.h] __HYPERVISOR_domctl */
#define DOMCTL_SET_TARGET    46 /* [xen/domctl.h] XEN_DOMCTL_set_target, the same in 4.17 to 4.22 */
#define DOMCTL_UNION_BYTES   128
#define DOMCTL_VERSION_FIRST 0x15u /* Xen 4.17; 4.18 has 0x16, 4.19 to 4.21 0x17, 4.22 0x18 */
#define DOMCTL_VERSION_LAST  0x18u

/** [xen/domctl.h] struct xen_domctl, as far as this call needs it. */
struct domctl {
    uint32_t cmd;
    uint32_t interface_version;
    uint16_t domain;
    uint16_t pad[3];
    union {
        uint16_t target;
        uint8_t bytes[DOMCTL_UNION_BYTES];
    } u;
};

/** [linux/xen/privcmd.h] */
struct privcmd_hypercall {
    uint64_t op;
    uint64_t arg[5];
};

#define IOCTL_PRIVCMD_HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))

static int parse_domid(const char *text, uint16_t *domid)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] < '0' || text[0] > '9' || value > DOMID_LAST) {
        fprintf(stderr, "set-target: \"%s\" is no domain number (xl domid NAME tells it)\n", text);
        return -1;
    }
    *domid = (uint16_t)value;
    return 0;
}

/** One call with one interface version: 0 or an errno. */
static int set_target(int fd, struct domctl *op, uint32_t version, uint16_t backend, uint16_t guest)
{
    struct privcmd_hypercall call = {.op = HYPERVISOR_DOMCTL, .arg = {(uint64_t)(uintptr_t)op}};

    memset(op, 0, sizeof(*op));
    op->cmd = DOMCTL_SET_TARGET;
    op->interface_version = version;
    op->domain = backend;
    op->u.target = guest;
    return ioctl(fd, IOCTL_PRIVCMD_HYPERCALL, &call) == 0 ? 0 : errno;
}

static const char *reason(int error)
{
    switch (error) {
    case EPERM:
        return "this domain may not; run it in Dom0";
    case ESRCH:
        return "there is no such backend domain or no such guest";
    case EINVAL:
        return "the backend has a target already (once in its life: make it anew), or the two are "
               "the same domain";
    case EACCES:
        return "Xen's control interface is none of those from 4.17 to 4.22, or the FLASK policy "
               "denies it (under FLASK the policy module is the way, not set-target)";
    case ENOSYS:
        return "the kernel's privcmd refuses; is this Dom0?";
    default:
        return strerror(error);
    }
}

/** Memory that stays where it is while Xen reads it through our address. */
static struct domctl *buffer_make(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);

    return page == MAP_FAILED ? NULL : page;
}

int main(int argc, char **argv)
{
    uint16_t backend, guest;
    struct domctl *op;
    int fd;
    int error = EACCES;

    if (argc != 3) {
        fprintf(stderr, "usage: set-target BACKEND-DOMID GUEST-DOMID\n");
        return 2;
    }
    if (parse_domid(argv[1], &backend) || parse_domid(argv[2], &guest)) {
        return 2;
    }
    fd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr,
                "set-target: /dev/xen/privcmd: %s; is this Dom0, with xen-privcmd loaded?\n",
                strerror(errno));
        return 1;
    }
    op = buffer_make();
    if (!op) {
        fprintf(stderr, "set-target: no locked page: %s\n", strerror(errno));
        return 1;
    }
    /* Xen says EACCES to a version that is not its own, before it does anything. */
    for (uint32_t v = DOMCTL_VERSION_FIRST; v <= DOMCTL_VERSION_LAST && error == EACCES; v++) {
        error = set_target(fd, op, v, backend, guest);
    }
    if (error) {
        fprintf(stderr, "set-target: domain %u for guest %u: %s\n", backend, guest, reason(error));
        return 1;
    }
    printf("domain %u may now be the device model of guest %u\n", backend, guest);
    return 0;
}
