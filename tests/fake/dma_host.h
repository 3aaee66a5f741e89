/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dma_host.h - memory as a device sees it, kept apart from memory as we see it.
 *
 * The arena exists twice: what the processor reads and writes, and what is in memory behind its
 * caches. The functions of drivers/mmio.h move whole lines between the two, the device sees the
 * second one only. So a missing clean shows as old data at the device, a missing invalidate as old
 * data here, and what a real cache does at a time of its own choosing (write a dirty line over what
 * the device wrote) is complained of at once. A coherent machine has one memory.
 */
#pragma once

#include "tests/model/card.h"

#define DMA_HOST_LINE 64

/** bus is the address of the arena's first byte at the device. */
void dma_host_init(u64 bus, usize bytes, bool coherent, struct protocol_log *log);
void dma_host_done(void);
/** The arena at an offset, and what a device must be told for it. */
u8 *dma_host_at(usize offset);
u64 dma_host_bus(usize offset);
/** For the model: false when there is no memory. */
bool dma_host_read(void *ctx, u64 bus, void *to, u32 bytes);
bool dma_host_write(void *ctx, u64 bus, const void *from, u32 bytes);
/** Lines of the range that the device wrote and we would still read as they were. */
u32 dma_host_stale(const void *base, usize bytes);
/** Plants a bug: calls of this kind do nothing. */
extern bool dma_host_forget_clean, dma_host_forget_invalidate;
