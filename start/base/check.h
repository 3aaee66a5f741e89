/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * check.h - for our own mistakes only.
 *
 * CHECK states what only a bug of ours can break: preconditions of internal calls, state
 * transitions, relations between our own counters. Never CHECK a word that a guest, a card,
 * xenstore or the device tree had a say in: that is a status. The argument has no side effects.
 */
#pragma once

#define CHECK_TEXT_OF(line) #line
#define CHECK_TEXT(line)    CHECK_TEXT_OF(line)

/* The image says where; what was checked stands in its source there. */
#if __STDC_HOSTED__
#define CHECK_PLACE(cond) __FILE__ ":" CHECK_TEXT(__LINE__) ": " cond
#else
#define CHECK_PLACE(cond) __FILE__ ":" CHECK_TEXT(__LINE__)
#endif

/* One literal per CHECK: a call costs three instructions. */
#define CHECK(cond)                           \
    do {                                      \
        if (__builtin_expect(!(cond), 0)) {   \
            check_failed(CHECK_PLACE(#cond)); \
        }                                     \
    } while (0)

#define STATIC_CHECK(cond, why) _Static_assert(cond, why)

/**
 * panic - print the sentence, the registers and the call chain, and stop the machine.
 * The image implements it in start/trap.c, the hosted tests in tests/fake/port_host.c.
 */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline _Noreturn void check_failed(const char *place)
{
    panic("CHECK failed: %s", place);
}
