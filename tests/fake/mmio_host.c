/* SPDX-License-Identifier: BSD-2-Clause */
/* mmio_host.c - a table of register models. */
#include "tests/fake/mmio_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "drivers/mmio.h"
#include "start/base/arith.h"
#include "tests/fake/port_host.h"

#define MODELS_MAX 8
#define READ_NS    1000

static struct mmio_model models[MODELS_MAX];
static u32 model_count;

void mmio_host_reset(void)
{
    model_count = 0;
}

void mmio_host_add(const struct mmio_model *model)
{
    if (model_count == MODELS_MAX) {
        mmio_host_complain("more than %d register models", MODELS_MAX);
    }
    models[model_count++] = *model;
}

void mmio_host_complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

static const struct mmio_model *model_at(u64 addr, u32 width)
{
    if (!is_aligned(addr, width)) {
        mmio_host_complain("access of %u bytes at 0x%llx is not aligned", width,
                           (unsigned long long)addr);
    }
    for (u32 i = 0; i < model_count; i++) {
        if (addr >= models[i].base && range_ok(addr - models[i].base, width, models[i].bytes)) {
            return &models[i];
        }
    }
    mmio_host_complain("access of %u bytes at 0x%llx: no register there", width,
                       (unsigned long long)addr);
}

static u64 model_read(u64 addr, u32 width)
{
    const struct mmio_model *model = model_at(addr, width);

    port_host_now_ns += READ_NS;
    return model->read(model->ctx, addr - model->base, width);
}

static void model_write(u64 addr, u32 width, u64 value)
{
    const struct mmio_model *model = model_at(addr, width);

    model->write(model->ctx, addr - model->base, width, value);
}

u8 mmio_read8(u64 addr)
{
    return (u8)model_read(addr, 1);
}

u16 mmio_read16(u64 addr)
{
    return (u16)model_read(addr, 2);
}

u32 mmio_read32(u64 addr)
{
    return (u32)model_read(addr, 4);
}

u64 mmio_read64(u64 addr)
{
    return model_read(addr, 8);
}

void mmio_write8(u64 addr, u8 value)
{
    model_write(addr, 1, value);
}

void mmio_write16(u64 addr, u16 value)
{
    model_write(addr, 2, value);
}

void mmio_write32(u64 addr, u32 value)
{
    model_write(addr, 4, value);
}

void mmio_write64(u64 addr, u64 value)
{
    model_write(addr, 8, value);
}
