/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.h - what start/entry.S leaves behind for the first line of C.              plane: control
 *
 * The loader gives: x0 = device tree, MMU off, the image at a 2 MiB aligned address [ARM64-BOOT].
 * entry.S makes of it: page tables of start/mmu.c on, the image at the address it is linked for,
 * .bss zero, the C library's thread block and the stack-protector guard set, SIMD registers usable,
 * interrupts masked for good, the main stack (guarded) in SP_EL0 and the trap stack in SP_EL1.
 * Then it calls start_c().
 *
 * Next in the tour: start/main.c.
 */
#pragma once

#include "start/base/types.h"

struct machine;

/** The composition root, start/main.c, and its zeroed memory. dtb is x0 as the loader gave it: not
 * checked, not mapped. */
_Noreturn void start_c(u64 dtb, struct machine *m);

/** Exception level the loader entered us at: 1 under a hypervisor, 2 on a bare machine. */
extern u64 boot_el;
/** The virtual counter at the first instruction. */
extern u64 boot_ticks;

/* Edges of the image, from linker/image.lds, where it runs; mmu_image_base() is where it lies. */
extern u8 image_start[], text_end[], rodata_end[], data_end[];
extern const u32 image_bytes; /* all of it, .bss included */
/* The main stack, and the unmapped page from stack_guard to stack_bottom. */
extern u8 stack_guard[], stack_bottom[], stack_top[];
