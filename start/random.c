/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random.c - see random.h.
 *
 * Seeds are added up by exclusive or, each byte at the next place of the pool: sources that do not
 * know of each other cannot make the sum weaker than the best of them.
 */
#include "start/random.h"

#include <stdlib.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/port.h"

#define RNDR_WORDS 8 /* of the processor's, per seed */

static struct {
    u8 pool[RANDOM_SEED_MAX];
    u32 at; /* where the next byte goes */
    u32 bits;
    bool weak_is_fine;
} seeds;

/** The processor's own words, worth what their number says; the time, worth nothing. */
static void add_machine(void)
{
    u64 now_ns = port_now_ns();

    for (u32 i = 0; i < RNDR_WORDS; i++) {
        u64 word;

        if (!port_random_u64(&word)) {
            break;
        }
        random_add(&word, sizeof(word), 64);
    }
    random_add(&now_ns, sizeof(now_ns), 0);
}

void random_init(void)
{
    port_zero(&seeds, sizeof(seeds));
    add_machine();
}

void random_add(const void *bytes, usize count, u32 bits)
{
    const u8 *from = bytes;

    for (usize i = 0; i < count; i++) {
        seeds.pool[seeds.at] ^= from[i];
        seeds.at = seeds.at + 1 < RANDOM_SEED_MAX ? seeds.at + 1 : 0;
    }
    seeds.bits = (u32)min_u64((u64)seeds.bits + bits, UINT32_MAX);
}

u32 random_bits(void)
{
    return seeds.bits;
}

void random_accept_weak(void)
{
    seeds.weak_is_fine = true;
}

bool random_ready(void)
{
    return seeds.bits >= RANDOM_BITS_MIN || seeds.weak_is_fine;
}

void random_fill(void *to, usize bytes)
{
    CHECK(random_ready());
    arc4random_buf(to, bytes);
}

/*
 * The generator asks when it is first used, and again after every so many bytes. No seed is given
 * twice: later ones are what the machine has then, which the generator mixes with its own state.
 */
void random_seed_take(void *to, usize bytes)
{
    u8 *out = to;

    CHECK(bytes <= RANDOM_SEED_MAX);
    add_machine();
    for (usize i = 0; i < bytes; i++) {
        out[i] = seeds.pool[i];
    }
    port_zero(seeds.pool, sizeof(seeds.pool));
}
