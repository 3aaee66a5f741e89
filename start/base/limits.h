/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * limits.h - every bound of the program, its unit and its reason.
 *
 * All memory is static and sized from here. A bound that is reached is refused with a message
 * that names it; none is ever exceeded quietly.
 */
#pragma once

#include "start/base/check.h"
#include "start/base/types.h"

/* --- what we serve ------------------------------------------------------------------------ */
#define GUESTS_MAX      32  /* guests with a device of ours, at once */
#define DEVICES_MAX     160 /* devices over all guests: 16 guests x 8 disks and room */
#define CONSOLES_MAX    32  /* virtio consoles over all guests */
#define DISKS_MAX       16  /* named disks of this image */
#define DISK_NAME_MAX   32  /* bytes of a disk's name, terminating NUL included */
#define GUEST_VCPUS_MAX 64  /* vCPUs of one guest: slots polled in its ioreq page */

/* --- rings and requests ------------------------------------------------------------------- */
#define VQ_SIZE_MAX   1024 /* descriptors of one queue [VIRTIO 2.6] */
#define VQ_PER_DEVICE 8    /* queues of one device */
#define BLK_SEG_MAX   126  /* data segments of one request, so that it fits a queue of 128 */
#define BLK_SIZE_MAX  (u32) MIB(2)      /* bytes of one segment: config size_max; qemu-img's own */
#define VQ_CHAIN_MAX  (BLK_SEG_MAX + 2) /* descriptors of a block chain: header, data, status */
#define VQ_SPAN_MAX   272 /* spans of one chain: a segment may cross pages that do not touch */
#define REQUESTS_MAX  32  /* requests in flight over all queues of one poller */
#define VQ_ORDER_MAX  32  /* requests in flight of a queue whose driver wants them back in order */
#define SECTOR_BYTES  512 /* unit of every sector number [VIRTIO 5.2.4] */

/* --- discard, write zeroes, secure erase ---------------------------------------------------- */
#define BLK_RANGES_MAX      16            /* ranges of one request */
#define BLK_RANGE_BYTES_MAX (u32) MIB(32) /* of one range, so that others come to turn */

/* --- guest memory windows ------------------------------------------------------------------ */
#define PAGE_BYTES   4096u        /* Xen's page on arm64, whatever the guest's own page size is */
#define WINDOW_BYTES (u32) MIB(2) /* one window: a 2 MiB aligned piece of a guest */
#define WINDOWS_MAX  256          /* windows over all guests: 512 MiB of extended region */

/* --- pages that a guest grants for virtio; each guest has its own ------------------------------
 */
#define GRANT_RUNS_PER_GUEST                                                                       \
    512                            /* runs of pages: 64 rings of 3 parts, a chain of 130, and room \
                                    */
#define GRANT_PAGES_PER_GUEST 1024 /* 4 MiB of address space */

/* --- xenstore ------------------------------------------------------------------------------ */
#define XS_PATH_MAX   256                  /* bytes of a path we use; xenstore allows 3072 */
#define XS_VALUE_MAX  256                  /* bytes of a value we read; longer is refused */
#define XS_TIMEOUT_NS UINT64_C(5000000000) /* an answer is awaited this long */

/* --- log ------------------------------------------------------------------------------------ */
#define LOG_LINE_MAX         256  /* bytes of one line, newline included */
#define LOG_KEEP_BYTES       2048 /* bytes kept for the first sink */
#define LOG_SINKS_MAX        3    /* hypervisor console, UART, PV console ring */
#define LOG_LIMIT_BURST      8
#define LOG_LIMIT_PER_SECOND 2

STATIC_CHECK(VQ_SPAN_MAX >= 2 * BLK_SEG_MAX + 4, "each data segment may straddle one page edge");
STATIC_CHECK(VQ_ORDER_MAX >= REQUESTS_MAX, "no slot of ours waits for a queue's order");
STATIC_CHECK(DEVICES_MAX >= 16 * 8, "16 guests with 8 disks each are promised");
