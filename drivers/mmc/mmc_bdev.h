/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_bdev.h - a card as a disk.                                                    plane: data
 *
 * Requests wait in the order in which they came. What is next to each other on the card and goes
 * the same way is moved by one command; when that fails its requests are tried one by one, so that
 * a bad sector fails nobody but its reader. Data goes straight to and from the spans when the
 * controller can reach them, through the bounce buffer otherwise.
 *
 * A card that is pulled fails what was in flight with ST_NODEV. The slot is looked at now and then:
 * the same card goes on, any other gives errors until it is out again.
 */
#pragma once

#include "blk/bdev.h"
#include "drivers/mmc/mmc.h"
#include "start/base/log.h"

#define MMC_BDEV_SPANS_MAX 128                            /* of one command */
#define MMC_BDEV_MERGE_MAX 32                             /* requests of one command */
#define MMC_BDEV_ERASE_MAX (u64)(MIB(128) / SECTOR_BYTES) /* sectors of one erase */
#define MMC_BDEV_SLOT_NS   UINT64_C(250000000)            /* between two looks at an empty slot */

struct mmc_bdev {
    struct bdev bdev;
    struct mmc_card *card;
    struct span bounce;
    /* waiting, oldest first */
    struct blk_req *queue;
    struct blk_req **queue_tail;
    /* the batch: requests that one run of neighbouring sectors is made of, in their order */
    struct blk_req *batch;
    u32 batch_count;
    u32 alone;              /* so many of the queue are not to be merged: they failed together */
    u64 sector;             /* where the batch goes on */
    u64 left;               /* sectors of it still to go */
    struct blk_req *at_req; /* whose data comes next */
    u32 at_span, at_byte;
    /* the command under way */
    struct span spans[MMC_BDEV_SPANS_MAX];
    u64 moving; /* sectors of it */
    bool bounced, busy;
    u64 slot_ns;
    struct log_limit words;
    /* counters since start */
    u64 commands, merged, bounced_bytes, split;
};

/**
 * Make a disk of card, which is READY. bounce is memory that the controller reaches, whole sectors,
 * aligned to a page; name stays valid.
 */
void mmc_bdev_init(struct mmc_bdev *disk, struct mmc_card *card, const char *name,
                   const struct span *bounce);
