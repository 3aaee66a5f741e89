/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_host.h - the machine as a hosted program has it: start/port.h and panic() on Linux.
 *
 * Time is virtual: it moves only when a test, or port_sleep(), moves it. A panic prints its
 * sentence and aborts, unless a test waits for one with EXPECT_PANIC().
 */
#pragma once

#include <setjmp.h>

#include "start/base/types.h"

extern u64 port_host_now_ns;    /* what port_now_ns() returns */
extern u32 port_host_random;    /* words port_random_u64() has left; each is used once */
extern u32 port_host_relaxed;   /* calls of port_relax() */
extern u32 port_host_slept;     /* calls of port_sleep() */
extern jmp_buf *port_host_trap; /* where panic() jumps to; NULL: abort */
extern char port_host_panic[256];

/** True when statement panics; the sentence is in port_host_panic. Leaks what statement had in
 * hand. */
#define EXPECT_PANIC(statement)              \
    ({                                       \
        jmp_buf port_host_jump;              \
        volatile bool port_host_hit = false; \
        port_host_trap = &port_host_jump;    \
        if (setjmp(port_host_jump) == 0) {   \
            statement;                       \
        } else {                             \
            port_host_hit = true;            \
        }                                    \
        port_host_trap = NULL;               \
        port_host_hit;                       \
    })
