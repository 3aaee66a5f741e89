/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc_glue.c - what the compiler and picolibc ask of us: the stack protector.
 *
 * The C library is used for formatting into buffers, memory and string functions; it has no stdout,
 * no heap and no files here.
 */
#include "start/base/check.h"
#include "start/base/types.h"

/* Names fixed by the compiler, which uses them only after it has optimised. entry.S gives the guard
 * its value; .data, because .bss is cleared late. */
extern u64 __stack_chk_guard;
_Noreturn void __stack_chk_fail(void) __attribute__((used));

u64 __stack_chk_guard __attribute__((section(".data"), visibility("default"), used)) = 0;

void __stack_chk_fail(void)
{
    panic("a stack frame is overwritten: the guard word below the return address has changed");
}
