/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot.h - what start/entry.S leaves behind for the first line of C.              plane: control
 *
 * The loader gives: x0 = device tree, MMU off, the image at a 2 MiB aligned address [ARM64-BOOT].
 * entry.S makes of it: relocations applied, page tables of start/mmu.c on (virtual == physical),
 * .bss zero, the C library's thread block and the stack-protector guard set, SIMD registers usable,
 * interrupts masked for good, the main stack (guarded) in SP_EL0 and the trap stack in SP_EL1.
 * Then it calls start_c().
 *
 * Next in the tour: start/main.c.
 */
#pragma once

#include "start/base/types.h"

/** The composition root, start/main.c. dtb is x0 as the loader gave it: not checked, not mapped. */
_Noreturn void start_c(u64 dtb);

/* Symbols of the image itself: without this, a -fpie build looks them up in a table of pointers. */
#pragma GCC visibility push(hidden)

/** Exception level the loader entered us at: 1 under a hypervisor, 2 on a bare machine. */
extern u64 boot_el;
/** The virtual counter at the first instruction. */
extern u64 boot_ticks;

/* Edges of the image in memory, from linker/image.lds. image_start is 2 MiB aligned. */
extern u8 image_start[], text_end[], rodata_end[], data_end[], image_end[];
/* The main stack, and the unmapped page from stack_guard to stack_bottom. */
extern u8 stack_guard[], stack_bottom[], stack_top[];

#pragma GCC visibility pop
