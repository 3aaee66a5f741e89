/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libc_glue.c - what the compiler and picolibc ask of us: the stack protector, and the seed of
 * arc4random.
 *
 * The C library is used for formatting into buffers, memory and string functions, and for random
 * bytes; it has no stdout, no heap, no files and no signals here.
 */
#include "start/base/check.h"
#include "start/base/types.h"
#include "start/random.h"

/* Names fixed by the C library. */
int getentropy(void *to, usize bytes);
int raise(int signal);

int getentropy(void *to, usize bytes)
{
    random_seed_take(to, bytes);
    return 0;
}

int raise(int signal)
{
    panic("the C library raised signal %d", signal);
}

/* Names fixed by the compiler, which uses them only after it has optimised. entry.S gives the guard
 * its value; .data, because .bss is cleared late. */
extern u64 __stack_chk_guard;
_Noreturn void __stack_chk_fail(void) __attribute__((used));

u64 __stack_chk_guard __attribute__((section(".data"), visibility("default"), used)) = 0;

void __stack_chk_fail(void)
{
    panic("a stack frame is overwritten: the guard word below the return address has changed");
}
