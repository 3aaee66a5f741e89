/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmio_host.h - drivers/mmio.h on Linux: accesses go to the register model that owns the address.
 *
 * An access that no model owns, or that is not aligned to its width, aborts with a sentence: a real
 * bus would answer with an exception. Every read takes a microsecond of virtual time, so that a
 * driver that waits for a bit meets its deadline.
 */
#pragma once

#include "start/base/types.h"

struct mmio_model {
    u64 base, bytes;
    u64 (*read)(void *ctx, u64 offset, u32 width);
    void (*write)(void *ctx, u64 offset, u32 width, u64 value);
    void *ctx;
};

/** Forget all models. */
void mmio_host_reset(void);
void mmio_host_add(const struct mmio_model *model);
/** What a model says when the driver breaks a rule of the device: prints it and aborts. */
_Noreturn void mmio_host_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
