/* SPDX-License-Identifier: BSD-2-Clause */
/* port_host.c - the machine as a hosted program has it. */
#include "tests/fake/port_host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start/base/check.h"
#include "start/port.h"

u64 port_host_now_ns;
u32 port_host_random;
u32 port_host_relaxed;
u32 port_host_slept;
jmp_buf *port_host_trap;
char port_host_panic[256];

u64 port_now_ns(void)
{
    return port_host_now_ns;
}

bool port_random_u64(u64 *value)
{
    if (port_host_random == 0) {
        return false;
    }
    *value = UINT64_C(0x9e3779b97f4a7c15) * port_host_random--;
    return true;
}

/** A pause takes a microsecond, so that whoever waits for something meets the deadline. */
void port_relax(void)
{
    port_host_relaxed++;
    port_host_now_ns += 1000;
}

/** Sleeps by moving the clock; for ever is a second, so that a test that hangs shows as one. */
void port_sleep(u64 deadline_ns)
{
    port_host_slept++;
    if (deadline_ns == UINT64_MAX) {
        port_host_now_ns += UINT64_C(1000000000);
    } else if (deadline_ns > port_host_now_ns) {
        port_host_now_ns = deadline_ns;
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
    vsnprintf(port_host_panic, sizeof(port_host_panic), format, args);
    va_end(args);
    if (port_host_trap) {
        longjmp(*port_host_trap, 1);
    }
    fprintf(stderr, "panic: %s\n", port_host_panic);
    abort();
}
