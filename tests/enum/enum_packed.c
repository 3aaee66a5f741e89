/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * enum_packed.c - every content of small packed rings, against a model that is nothing but the
 * specification.
 *
 * For queue sizes 1, 2 and 4, from every position in both laps: every descriptor over a small
 * alphabet (flags, the two marks, id) is given to virtq_pop(). The model follows the same
 * descriptors the simple way and says what must come out: nothing, which bytes in which direction,
 * a malformed chain that comes back unused, or a broken ring. Each case runs with guest memory
 * unknown to the inline runs, or known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define SIZE_MAX_HERE 4
#define EVENTS        (ARENA_BASE + 0x1000)
#define TABLE         (ARENA_BASE + 0x2000) /* the indirect table; two entries */
#define DATA          (ARENA_BASE + 0x3000)

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain;
static u64 cases, good_cases;

struct entry {
    u32 bytes;
    u16 id, flags; /* with the two marks */
};

static struct entry ring[SIZE_MAX_HERE];
static u16 table_flags[2];

/* --- the model -------------------------------------------------------------------------------- */

enum outcome { NOTHING, GOOD, MALFORMED, BROKEN };

struct expected {
    enum outcome outcome;
    u16 id;
    u64 bytes[2]; /* by direction */
};

static bool marked(const struct entry *e, u16 mark)
{
    return (e->flags & mark) != 0;
}

/** Add a buffer. False when it may be read and comes after one that is written. [VIRTIO 2.8.5] */
static bool add(struct expected *out, bool write, u64 bytes)
{
    out->bytes[write] += bytes;
    return write || out->bytes[true] == 0;
}

/** One descriptor of the chain, the first one or a later one. False: the chain is malformed. */
static bool model_entry(struct expected *out, const struct entry *e, bool first)
{
    if (!(e->flags & VIRTQ_DESC_F_INDIRECT)) {
        return add(out, e->flags & VIRTQ_DESC_F_WRITE, e->bytes);
    }
    if (!first || (e->flags & VIRTQ_DESC_F_NEXT)) { /* [VIRTIO 2.8.19] */
        return false;
    }
    for (u32 i = 0; i < ARRAY_LEN(table_flags); i++) {
        if (!add(out, table_flags[i] & VIRTQ_DESC_F_WRITE, 16u << i)) {
            return false;
        }
    }
    return true;
}

static struct expected model(u32 size, u32 slot, bool wrap)
{
    struct expected out = {.outcome = GOOD};

    if (marked(&ring[slot], VIRTQ_DESC_F_AVAIL) != wrap) {
        out.outcome = NOTHING;
        return out;
    }
    for (u32 i = 0; i < size; i++) {
        const struct entry *e = &ring[slot];

        if (marked(e, VIRTQ_DESC_F_AVAIL) != wrap || marked(e, VIRTQ_DESC_F_USED) == wrap) {
            out.outcome = BROKEN; /* not available, though the chain goes on here */
            return out;
        }
        if (out.outcome == GOOD && !model_entry(&out, e, i == 0)) {
            out.outcome = MALFORMED;
        }
        if (!(e->flags & VIRTQ_DESC_F_NEXT)) {
            out.id = e->id;
            out.outcome = e->id < size ? out.outcome : BROKEN;
            return out;
        }
        wrap ^= slot + 1 == size;
        slot = (slot + 1) % size;
    }
    out.outcome = BROKEN; /* longer than the ring */
    return out;
}

/* --- one case --------------------------------------------------------------------------------- */

static void ring_start(u32 size, u16 position)
{
    struct virtq_setup setup = {
        .size = size,
        .desc = ARENA_BASE,
        .avail = EVENTS,
        .used = EVENTS + 16,
        .indirect = true,
        .event_idx = true,
        .packed = true,
        .first_idx = position,
    };

    virtq_reset(&vq);
    drv.desc = setup.desc;
    for (u16 i = 0; i < size; i++) {
        bool nested = ring[i].flags & VIRTQ_DESC_F_INDIRECT;

        driver_slot(&drv, i, nested ? TABLE : DATA + 64 * i, nested ? 32 : ring[i].bytes,
                    ring[i].id, ring[i].flags);
    }
    for (u16 i = 0; i < ARRAY_LEN(table_flags); i++) {
        /* id and flags lie where a split descriptor has flags and next */
        driver_desc_at(&drv, TABLE, i, DATA + 1024 + 64 * i, 16u << i, 0xffff, table_flags[i]);
    }
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
}

/** What was returned stands where the chain began, and says what it must. */
static void returned_check(u32 slot, bool wrap, u16 id, u32 written)
{
    u64 at = ARENA_BASE + 16 * (u64)slot;
    u16 flags;

    assert_true(virtq_publish(&vq));
    flags = arena_get16(&arena, at + 14);
    assert_int_equal(flags & (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED), driver_used(wrap));
    assert_int_equal(arena_get16(&arena, at + 12), id);
    assert_int_equal((flags & VIRTQ_DESC_F_WRITE) != 0, written > 0);
    if (written > 0) {
        assert_int_equal(arena_get32(&arena, at + 8), written);
    }
    assert_false(virtq_publish(&vq)); /* exactly once */
}

static void chain_check(const struct expected *expect)
{
    u64 bytes[2] = {0, 0};

    for (u32 i = 0; i < (u32)chain.read_count + chain.write_count; i++) {
        const struct span *span = &chain.span[i];

        assert_true(span->base >= arena.window[0] &&
                    span->base + span->bytes <= arena.window[0] + arena.window_bytes);
        bytes[i >= chain.read_count] += span->bytes;
    }
    assert_true(bytes[0] == expect->bytes[0] && bytes[1] == expect->bytes[1]);
    assert_true(chain.read_bytes == bytes[0] && chain.write_bytes == bytes[1]);
    assert_int_equal(chain.head, expect->id);
}

static void one_case(u32 size, u16 slot, bool wrap, bool known)
{
    struct expected expect = model(size, slot, wrap);
    static const enum status statuses[] = {ST_AGAIN, ST_OK, ST_PROTO, ST_GUEST};
    enum status st;

    gmem_forget(&arena.gm);
    ring_start(size, VQ_POSITION(slot, wrap));
    if (!known) {
        gmem_forget(&arena.gm);
    }
    assert_int_equal(virtq_waiting(&vq), expect.outcome != NOTHING);
    st = virtq_pop(&vq, &chain);
    assert_int_equal(st, statuses[expect.outcome]);
    assert_int_equal(vq.state == VQ_BROKEN, expect.outcome == BROKEN);
    if (expect.outcome == GOOD) {
        chain_check(&expect);
        virtq_push(&vq, &chain, (u32)expect.bytes[true]);
        good_cases++;
    }
    if (expect.outcome == GOOD || expect.outcome == MALFORMED) {
        returned_check(slot, wrap, expect.id, expect.outcome == GOOD ? (u32)expect.bytes[true] : 0);
    }
    assert_int_equal(virtq_in_flight(&vq), 0);
    vq.complaints = 0;
    cases++;
}

/** From every position, in both laps. */
static void every_position(u32 size)
{
    for (u16 at = 0; at < 2 * size; at++) {
        one_case(size, at % size, at < size, (cases & 1) != 0);
    }
}

/* --- the alphabet ----------------------------------------------------------------------------- */

static const u16 marks[] = {0, VIRTQ_DESC_F_AVAIL, VIRTQ_DESC_F_USED,
                            VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED};

/** kinds: how many of the eight flags; ids: from 0 on. */
static void entry_set(u32 slot, u32 code, u32 kinds, u32 ids)
{
    ring[slot].flags = (u16)(code % kinds) | marks[code / kinds % 4];
    ring[slot].id = (u16)(code / kinds / 4 % ids);
    ring[slot].bytes = 1u << slot; /* every subset of entries has a sum of its own */
}

STATIC_CHECK((VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT) == 7,
             "a code is its flags");

static int fresh(void **state)
{
    (void)state;
    arena_init(&arena, 1, KIB(16));
    driver_init(&drv, &arena, NULL);
    virtq_init(&vq, "ring");
    return 0;
}

static int done(void **state)
{
    (void)state;
    virtq_reset(&vq);
    assert_int_equal(arena_pinned(&arena), 0);
    arena_free(&arena);
    return 0;
}

/* Flags, marks and ids up to one past the end; and, where there is one, every table. */
static void every_ring_of_size_1_and_2(void **state)
{
    static const u16 inner[] = {0, VIRTQ_DESC_F_WRITE, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT};

    (void)state;
    for (u32 size = 1; size <= 2; size++) {
        u32 codes = 8 * 4 * (size + 1);

        for (u32 n = 0; n < (size > 1 ? codes * codes : codes); n++) {
            bool nested;

            entry_set(0, n % codes, 8, size + 1);
            entry_set(1, n / codes, 8, size + 1);
            nested = (ring[0].flags | ring[1].flags) & VIRTQ_DESC_F_INDIRECT;
            for (u32 i = 0; i < (nested ? 9 : 1); i++) {
                table_flags[0] = inner[i % 3];
                table_flags[1] = inner[i / 3];
                every_position(size);
            }
        }
    }
}

/* Chains of every length, broken off and started anywhere: NEXT, WRITE and the marks of all four.
 */
static void every_ring_of_size_4(void **state)
{
    const u32 codes = 4 * 4;

    (void)state;
    for (u32 n = 0; n < codes * codes * codes * codes; n++) {
        u32 rest = n;

        for (u32 slot = 0; slot < 4; slot++) {
            entry_set(slot, rest % codes, 4, 1);
            ring[slot].id = (u16)(3 - slot);
            rest /= codes;
        }
        one_case(4, (u16)(n % 4), n / 4 % 2, n / 8 % 2);
        one_case(4, (u16)((n * 0x9e3779b1u) >> 30), true, false);
    }
}

static int count_shown(void **state)
{
    (void)state;
    print_message("%llu cases, %llu of them good chains\n", (unsigned long long)cases,
                  (unsigned long long)good_cases);
    assert_true(good_cases > 1000);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_ring_of_size_1_and_2),
        TEST(every_ring_of_size_4),
    };

    return cmocka_run_group_tests(tests, NULL, count_shown);
}
