/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * partition.h - one partition of a medium, by number, PARTUUID or PARTLABEL.      plane: control
 *
 * The table, GPT [UEFI 5.3] or MBR [UEFI 5.2], is read when it is asked, each sector once, and
 * never again: what a guest writes over it later moves nobody's disk. A GPT is believed when both
 * of its checksums are right, in its first copy or in the one at the end of the medium; a
 * protective MBR without such a GPT is no table.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"

#define PARTITION_TEXT_MAX 37 /* bytes of a PARTUUID or a PARTLABEL, NUL included */

enum partition_key {
    PARTITION_NUMBER, /* from 1; logical partitions of an MBR from 5 */
    PARTITION_UUID,   /* as Linux writes it: 36 characters for GPT, "xxxxxxxx-nn" for MBR */
    PARTITION_LABEL,  /* GPT only */
};

struct partition_wish {
    enum partition_key key;
    u32 number;
    char text[PARTITION_TEXT_MAX];
};

/** Where the table is read from. */
struct partition_source {
    /** Copy the sector (unit SECTOR_BYTES) to to[SECTOR_BYTES]. ST_OK or what failed. */
    enum status (*read)(void *ctx, u64 sector, void *to);
    void *ctx;
    u64 sectors;     /* of the medium */
    u32 block_bytes; /* its logical blocks: the unit of the table's numbers */
};

struct partition {
    u32 number;
    u64 sector, sectors; /* inside the medium, unit SECTOR_BYTES; sectors is not 0 */
};

/**
 * Find the one partition that is wished for. ST_OK; ST_NOSUP: there is no table; ST_PROTO: the
 * table is damaged; ST_NOENT: no partition answers; ST_FULL: more than one does; ST_RANGE: it
 * reaches out of the medium or over the table; or what read() returned.
 */
enum status partition_find(const struct partition_source *source, const struct partition_wish *wish,
                           struct partition *found);
