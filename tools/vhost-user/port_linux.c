/* SPDX-License-Identifier: BSD-2-Clause */
/* port_linux.c - SEAM 1 for the vhost-user server: the machine is a Linux process. */
#include "start/port.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "start/base/check.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

u64 port_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (u64)now.tv_sec * NS_PER_SECOND + (u64)now.tv_nsec;
}

void port_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void port_sleep(u64 deadline_ns)
{
    const u64 now = port_now_ns();

    if (deadline_ns > now) {
        (void)poll(NULL, 0, (int)((deadline_ns - now) / NS_PER_MS % INT32_MAX));
    }
}

void port_copy(void *to, const void *from, usize bytes)
{
    memcpy(to, from, bytes);
}

void port_zero(void *to, usize bytes)
{
    memset(to, 0, bytes);
}

_Noreturn void panic(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("panic: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
