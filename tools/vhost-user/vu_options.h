/* SPDX-License-Identifier: BSD-2-Clause */
/* vu_options.h - what the command line says. plane: control */
#pragma once

#include <stdio.h>

#include "start/base/limits.h"
#include "start/base/status.h"

#define VU_DISKS_MAX   16
#define VU_POLL_ALWAYS UINT64_MAX

struct vu_disk_options {
    const char *socket; /* path to listen at, or NULL */
    int fd;             /* a socket passed to us, or -1 */
    const char *file;   /* the medium: a path, or NULL */
    u64 memory_bytes;   /* the medium: so much memory, or 0 */
    const char *serial; /* GET_ID's answer */
    bool read_only;
    u16 queues; /* 1..VQ_PER_DEVICE */
    u16 ranges; /* of one discard: 1..BLK_RANGES_MAX */
};

struct vu_options {
    u32 disk_count;
    struct vu_disk_options disk[VU_DISKS_MAX];
    u64 spin_ns; /* look at the rings so long after the last work; VU_POLL_ALWAYS: do not sleep */
    u64 without; /* feature bits that no driver is offered */
    bool help, capabilities, quiet;
};

/**
 * Parse the arguments, which are changed and kept. ST_OK; ST_INVAL with the reason in error
 * (error_bytes long), a sentence that says what is right.
 */
enum status vu_options_parse(struct vu_options *options, int argc, char **argv, char *error,
                             usize error_bytes);

void vu_options_help(FILE *out);
