/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blk.h - one block request, whoever asks and whatever the medium.                plane: data
 *
 * Owner: the front end allocates a blk_req (embedded in its own request), fills the first half and
 * gives it to bdev_submit(). A medium that finishes it at once says so in the return value.
 * Otherwise the device owns it until blk_req_done() has put it on the submitter's done list;
 * nothing is called back, so completion never re-enters submission. The front end drains its list
 * with blk_done_take().
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

enum blk_op {
    BLK_READ,
    BLK_WRITE,
    BLK_FLUSH,        /* every write completed before it was submitted is stable when it is done */
    BLK_DISCARD,      /* content becomes undefined */
    BLK_WRITE_ZEROES, /* content reads as zeroes */
    BLK_SECURE_ERASE, /* content is gone from the medium */
    BLK_OP_COUNT
};

/** DISCARD, WRITE_ZEROES, SECURE_ERASE: a range of sectors without data. */
static inline bool blk_op_is_range(enum blk_op op)
{
    return op >= BLK_DISCARD;
}

/** How worn a medium is, in the words of [JEDEC 84-B51 7.4]; 0 where it does not say. */
struct blk_lifetime {
    u16 pre_eol;     /* spare blocks: 1 normal, 2 80 % used, 3 90 % used */
    u16 worn_type_a; /* 1..10: up to so many tenths are used; 11: all */
    u16 worn_type_b;
};

struct blk_req;

/** Finished requests of one submitter, oldest first. */
struct blk_done {
    struct blk_req *head;
    struct blk_req **tail;
};

struct blk_req {
    /* filled by the submitter */
    enum blk_op op;
    u64 sector;               /* first sector, unit SECTOR_BYTES */
    u64 sectors;              /* count; 0 for BLK_FLUSH */
    bool unmap;               /* WRITE_ZEROES: the medium may give the space back */
    const struct span *spans; /* data of READ and WRITE: sums to sectors * SECTOR_BYTES */
    u32 span_count;
    struct blk_done *done; /* where it goes when finished */
    /* filled by the device */
    enum status status;   /* ST_OK, ST_IO, ST_TIMEOUT, ST_NODEV, ST_ACCES or ST_NOSUP */
    struct blk_req *next; /* done list, device queues */
};

static inline void blk_done_init(struct blk_done *done)
{
    done->head = NULL;
    done->tail = &done->head;
}

static inline void blk_req_done(struct blk_req *req, enum status status)
{
    req->status = status;
    req->next = NULL;
    *req->done->tail = req;
    req->done->tail = &req->next;
}

/** The oldest finished request, or NULL. */
static inline struct blk_req *blk_done_take(struct blk_done *done)
{
    struct blk_req *req = done->head;

    if (req) {
        done->head = req->next;
        if (!done->head) {
            done->tail = &done->head;
        }
    }
    return req;
}
