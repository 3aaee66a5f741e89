/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * adma2.h - spans to descriptors of a controller's own DMA.                        plane: data
 *
 * Three formats are alive [SD-HOST 1.13.3]:
 *
 *   8 bytes   attributes 16, length 16, address 32
 *   12 bytes  attributes 16, length 16, address 64, as version 3 packs it
 *   16 bytes  attributes 16, length 16, address 64, 32 reserved, of version 4
 *
 * With 26-bit lengths (version 4.10) the upper ten bits of a length are in bits 15 to 6 of the
 * attributes. A length of 0 means the longest there is. Pure: the table is memory of the caller,
 * who makes it visible to the device.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

enum adma2_format { ADMA2_32 = 8, ADMA2_64_V3 = 12, ADMA2_64_V4 = 16 }; /* bytes of one */

#define ADMA2_ALIGN 4u /* of data, in address and length [SD-HOST 1.13.3] */

struct adma2_table {
    u8 *base;
    u32 bytes;
    enum adma2_format format;
    u32 piece_bytes_max; /* of one descriptor: 64 KiB, or 64 MiB with 26-bit lengths */
};

/**
 * Describe spans, in order, in as few descriptors as there are pieces that touch. *count is how
 * many. ST_OK; ST_FULL: the table is too small; ST_INVAL: a span is not aligned, or nothing is to
 * be described; ST_RANGE: an address is beyond what the format can say.
 */
enum status adma2_build(const struct adma2_table *table, const struct span *spans, u32 span_count,
                        u32 *count);
