/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - xenstore for a guest that has nothing else to do: ask, and wait for the answer.
 *                                                                                 plane: control
 * Paths may be relative: they begin at the guest's own directory then.
 */
#pragma once

#include "tests/guest/front/machine.h"

/** The value as text. ST_OK, ST_NOENT, ST_ACCES, ST_PROTO, ST_RANGE (longer), ST_TIMEOUT. */
enum status store_read(struct front_machine *m, const char *path, char *text, u32 max);
/** The same as a decimal number of at most max. */
enum status store_number(struct front_machine *m, const char *path, u64 max, u64 *number);
enum status store_write(struct front_machine *m, const char *path, const char *value);
/** Remove path and everything below it. */
enum status store_remove(struct front_machine *m, const char *path);
/** The names in a directory, each ended by a NUL, cut at max bytes; *bytes of them. */
enum status store_names(struct front_machine *m, const char *path, char *names, u32 max,
                        u32 *bytes);

/**
 * Wait until the number at path is one of states (a bit for each), a missing one being 0. Returns
 * whether it came within timeout_ns.
 */
bool store_wait(struct front_machine *m, const char *path, u32 states, u64 timeout_ns);

/** Wait without an end until path holds something that differs from *old; it is left there. */
void store_wait_change(struct front_machine *m, const char *path, char *old, u32 max);
