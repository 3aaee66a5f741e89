/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random.h - bytes that nobody can guess, or the truth that there are none.       plane: both
 *
 * The generator is the C library's arc4random (ChaCha20, rekeyed after every use); what matters is
 * its seed. A guest of Xen has three things to seed it from, and each is counted at what it is
 * worth:
 *
 *   /chosen/rng-seed   128 bytes of the control domain's own generator, fresh for each start of
 *                      the domain: libxl writes them
 *   RNDR               the processor's generator, where it has one and Xen shows it
 *   seed=HEX           bootargs, for a domain that has neither, such as one started by Xen itself
 *
 * The clock is mixed in and counts for nothing. Below RANDOM_BITS_MIN nobody is served from here,
 * unless the operator asks for it by seed=weak.
 */
#pragma once

#include "start/base/types.h"

#define RANDOM_BITS_MIN 256 /* what the seeds must be worth together */
#define RANDOM_SEED_MAX 40  /* bytes the generator asks for: its key and its nonce */

/** Forget everything, and ask the processor. */
void random_init(void);
/** Mix in bytes that are worth bits, as their giver says. */
void random_add(const void *bytes, usize count, u32 bits);
/** What the seeds so far are worth together. */
u32 random_bits(void);
/** The operator takes weak randomness for good: random_ready() from now on. */
void random_accept_weak(void);
/** random_fill() may be used for a guest's keys. */
bool random_ready(void);
/** Random bytes, of the quality that random_ready() tells of. */
void random_fill(void *to, usize bytes);

/** The generator's side: a seed of at most RANDOM_SEED_MAX bytes, which is forgotten here. */
void random_seed_take(void *to, usize bytes);
