/* SPDX-License-Identifier: BSD-2-Clause */
/* vblk_defs.h - the block device on the wire. [VIRTIO 5.2] */
#pragma once

#include "start/base/check.h"
#include "start/base/types.h"

/* Feature bits [VIRTIO 5.2.3] */
#define VIRTIO_BLK_F_SIZE_MAX     1
#define VIRTIO_BLK_F_SEG_MAX      2
#define VIRTIO_BLK_F_RO           5
#define VIRTIO_BLK_F_BLK_SIZE     6
#define VIRTIO_BLK_F_FLUSH        9
#define VIRTIO_BLK_F_TOPOLOGY     10
#define VIRTIO_BLK_F_CONFIG_WCE   11
#define VIRTIO_BLK_F_MQ           12
#define VIRTIO_BLK_F_DISCARD      13
#define VIRTIO_BLK_F_WRITE_ZEROES 14
#define VIRTIO_BLK_F_LIFETIME     15
#define VIRTIO_BLK_F_SECURE_ERASE 16

/* Request types [VIRTIO 5.2.6] */
#define VIRTIO_BLK_T_IN           0
#define VIRTIO_BLK_T_OUT          1
#define VIRTIO_BLK_T_FLUSH        4
#define VIRTIO_BLK_T_GET_ID       8
#define VIRTIO_BLK_T_GET_LIFETIME 10
#define VIRTIO_BLK_T_DISCARD      11
#define VIRTIO_BLK_T_WRITE_ZEROES 13
#define VIRTIO_BLK_T_SECURE_ERASE 14

/* Status byte [VIRTIO 5.2.6] */
#define VIRTIO_BLK_S_OK     0
#define VIRTIO_BLK_S_IOERR  1
#define VIRTIO_BLK_S_UNSUPP 2

#define VBLK_ID_BYTES 20 /* GET_ID, not NUL-terminated when full */

/* The device-readable start of every request. */
struct vblk_header {
    le32_t type;
    le32_t reserved;
    le64_t sector;
};

/* One range of DISCARD, WRITE_ZEROES or SECURE_ERASE: their data is a list of them. */
struct vblk_segment {
    le64_t sector;
    le32_t sectors;
    le32_t flags;
};

#define VBLK_SEGMENT_UNMAP 0x1 /* WRITE_ZEROES only; every other bit is reserved */

/* What GET_LIFETIME returns. */
struct vblk_lifetime {
    le16_t pre_eol;
    le16_t worn_type_a;
    le16_t worn_type_b;
};

#define VBLK_PRE_EOL_LAST 3  /* larger values are reserved */
#define VBLK_WORN_LAST    11 /* larger values are reserved */

/* Device configuration layout [VIRTIO 5.2.4], as far as the features offered reach. */
struct vblk_config {
    le64_t capacity; /* sectors of 512 bytes */
    le32_t size_max; /* bytes of one segment */
    le32_t seg_max;  /* data segments of one request */
    le16_t cylinders;
    u8 heads;
    u8 sectors;
    le32_t blk_size;       /* logical block */
    u8 physical_block_exp; /* log2 of logical blocks per physical block */
    u8 alignment_offset;   /* of the first physical block, in logical blocks */
    le16_t min_io_size;    /* logical blocks */
    le32_t opt_io_size;    /* logical blocks */
    u8 writeback;
    u8 unused0;
    le16_t num_queues;
    le32_t max_discard_sectors;
    le32_t max_discard_seg;
    le32_t discard_sector_alignment;
    le32_t max_write_zeroes_sectors;
    le32_t max_write_zeroes_seg;
    u8 write_zeroes_may_unmap;
    u8 unused1[3];
    le32_t max_secure_erase_sectors;
    le32_t max_secure_erase_seg;
    le32_t secure_erase_sector_alignment;
};

STATIC_CHECK(sizeof(struct vblk_header) == 16, "[VIRTIO 5.2.6]");
STATIC_CHECK(offsetof(struct vblk_config, blk_size) == 20, "[VIRTIO 5.2.4]");
STATIC_CHECK(offsetof(struct vblk_config, opt_io_size) == 28, "[VIRTIO 5.2.4]");
STATIC_CHECK(offsetof(struct vblk_config, num_queues) == 34, "[VIRTIO 5.2.4]");
STATIC_CHECK(offsetof(struct vblk_config, write_zeroes_may_unmap) == 56, "[VIRTIO 5.2.4]");
STATIC_CHECK(sizeof(struct vblk_config) == 72, "[VIRTIO 5.2.4] up to the zoned part");
STATIC_CHECK(sizeof(struct vblk_segment) == 16, "[VIRTIO 5.2.6]");
STATIC_CHECK(sizeof(struct vblk_lifetime) == 6, "[VIRTIO 5.2.6]");
