/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - what the bootargs say.                                              plane: control
 *
 *   disk=NAME[,initrd][,offset=N][,size=N][,part=N|,partuuid=U|,partlabel=L][,max=N][,queues=N]
 *       [,packed][,in-order][,iops=N][,bps=N][,ro][,shared]
 *                                  a disk, as often as needed (DISKS_MAX)
 *        without size=, or with initrd: a piece of the domain's initrd (the whole by default)
 *        with size= and no initrd:      zeroes
 *        part=    a partition of that piece, by number, PARTUUID or PARTLABEL; its table is read at
 *                 start and never again
 *        max=     zeroes only: memory is reserved so that `resize` may grow the disk up to this
 *        queues=  virtqueues that a guest may use at once, 1 to VQ_PER_DEVICE; 1 by default
 *        packed   the layout of the rings that is offered; without it only the split one is
 *        in-order requests may be returned in the order they came in, for drivers that like that
 *        iops=    requests per second that a guest may make, bps= bytes per second; a guest's own
 *                 directory may say otherwise (drivers/xen/backend.h)
 *        shared   several guests may write to it, and it may overlap others that are shared or ro
 *   spin_us=N | spin_us=forever    poll this long without work before sleeping
 *   log=error|warn|info|debug
 *   seed=HEX | seed=weak           64 hex digits of randomness for entropy devices, or leave to
 *                                  serve weak randomness (start/random.h)
 *   selftest=wild|code|stack       end in the exception report, to try it
 *
 * N is decimal or 0x-hex with an optional K, M or G. Words are separated by blanks. Anything else
 * is refused: a misspelt word must not start a disk server that serves something else.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/log.h"
#include "start/base/status.h"

enum disk_source { DISK_INITRD, DISK_ZEROES };
enum disk_part { DISK_WHOLE, DISK_PART_NUMBER, DISK_PART_UUID, DISK_PART_LABEL };

#define CONFIG_PART_MAX 37 /* bytes of a PARTUUID or a PARTLABEL, NUL included */

struct config_disk {
    char name[DISK_NAME_MAX];
    enum disk_source source;
    u64 offset;    /* bytes into the initrd */
    u64 bytes;     /* 0: up to the end of the initrd */
    u64 bytes_max; /* the disk may grow to; not below bytes unless that is 0 */
    enum disk_part part;
    u32 part_number;
    char part_text[CONFIG_PART_MAX]; /* of DISK_PART_UUID and DISK_PART_LABEL */
    u16 queues;
    bool packed, in_order; /* the features of the rings that are offered */
    bool read_only;
    bool shared;
    u64 iops, bps; /* 0: no limit */
};

#define CONFIG_IOPS_MAX   UINT64_C(100000000)
#define CONFIG_BPS_MAX    UINT64_C(10000000000)
#define CONFIG_WORD_MAX   16 /* bytes of a selftest name, NUL included */
#define CONFIG_SEED_BYTES 32 /* of seed=, two hex digits each */

struct config {
    struct config_disk disk[DISKS_MAX];
    u32 disk_count;
    u64 spin_ns;
    enum log_level level;
    u8 seed[CONFIG_SEED_BYTES];
    bool seed_given, seed_weak;
    char selftest[CONFIG_WORD_MAX]; /* "" for none */
};

#define CONFIG_WHY_MAX 200 /* bytes of a complaint, NUL included */

/**
 * Read the NUL-terminated bootargs. ST_OK; ST_PROTO with a sentence in why[CONFIG_WHY_MAX]; ST_FULL
 * with a sentence when there are more than DISKS_MAX disks.
 */
enum status config_parse(const char *bootargs, struct config *config, char *why);

/** Read "64M" and the like: true, and the bytes. */
bool config_parse_bytes(const char *text, u64 *bytes);
