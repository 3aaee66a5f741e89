/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * enum_virtq.c - every content of small rings, against a model that is nothing but the
 * specification.
 *
 * For queue sizes 1, 2 and 4 every descriptor table over a small alphabet (flags, next, address,
 * length) and every head are given to virtq_pop(). The model walks the same table the simple way
 * and says what must come out: which bytes in which direction, a malformed chain, or a broken
 * ring. Each case runs twice, with guest memory unknown to the inline runs (the slow way) and
 * known (the fast way). What virtq_quick.h would have taken must be just what virtq_pop() then
 * takes.
 */
#include "virtio/virtq_quick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"

#define TABLE (ARENA_BASE + 0x2000) /* the indirect table; two entries */
#define DATA  (ARENA_BASE + 0x3000)

static struct arena arena;
static struct driver drv;
static struct virtq vq;
static struct vq_chain chain;
static u64 cases, quick_cases;

struct entry {
    u64 addr;
    u32 bytes;
    u16 flags, next;
};

static struct entry ring_table[4];
static struct entry indirect_table[2];

/* --- the model
 * ----------------------------------------------------------------------------------- */

enum outcome { GOOD, MALFORMED, BROKEN };

struct expected {
    enum outcome outcome;
    u64 bytes[2];  /* by direction */
    u64 memory[2]; /* of those, in guest memory */
};

static bool in_memory(u64 addr, u32 bytes)
{
    u64 offset = addr - ARENA_BASE;

    return offset < arena.window_bytes && bytes <= arena.window_bytes - offset;
}

static struct expected model(u32 size, u32 head)
{
    struct expected out = {.outcome = MALFORMED};
    const struct entry *table = ring_table;
    u32 entries = size, index = head, steps = 0;
    bool in_table = false, writing = false;

    if (head >= size) {
        out.outcome = BROKEN;
        return out;
    }
    while (true) {
        const struct entry *e = &table[index];

        if (e->flags & VIRTQ_DESC_F_INDIRECT) {
            if (in_table || (e->flags & VIRTQ_DESC_F_NEXT) || e->bytes == 0 || e->bytes % 16) {
                return out;
            }
            table = indirect_table;
            entries = e->bytes / 16;
            index = 0;
            in_table = true;
            continue;
        }
        if (++steps > size || (writing && !(e->flags & VIRTQ_DESC_F_WRITE))) {
            return out;
        }
        writing = (e->flags & VIRTQ_DESC_F_WRITE) != 0;
        out.bytes[writing] += e->bytes;
        out.memory[writing] += in_memory(e->addr, e->bytes) ? e->bytes : 0;
        if (!(e->flags & VIRTQ_DESC_F_NEXT)) {
            out.outcome = GOOD;
            return out;
        }
        index = e->next;
        if (index >= entries) {
            return out;
        }
    }
}

/* --- one case
 * ------------------------------------------------------------------------------------- */

static void tables_write(u32 size)
{
    for (u16 i = 0; i < size; i++) {
        driver_desc(&drv, i, ring_table[i].addr, ring_table[i].bytes, ring_table[i].flags,
                    ring_table[i].next);
    }
    for (u16 i = 0; i < ARRAY_LEN(indirect_table); i++) {
        driver_desc_at(&drv, TABLE, i, indirect_table[i].addr, indirect_table[i].bytes,
                       indirect_table[i].flags, indirect_table[i].next);
    }
}

static void ring_start(u32 size)
{
    struct virtq_setup setup = {.size = size, .indirect = true, .event_idx = true};

    virtq_reset(&vq);
    drv.size = size;
    drv.desc = setup.desc = ARENA_BASE;
    drv.avail = setup.avail = ARENA_BASE + 0x1000;
    drv.used = setup.used = ARENA_BASE + 0x1800;
    arena_fill(&arena, drv.avail, 0, VIRTQ_AVAIL_BYTES(size));
    arena_fill(&arena, drv.used, 0, VIRTQ_USED_BYTES(size));
    drv.avail_idx = drv.used_idx = 0;
    assert_int_equal(virtq_enable(&vq, &arena.gm, &setup), ST_OK);
}

/** The spans must be the model's bytes, in memory or as holes. */
static void spans_check(const struct expected *expect)
{
    u64 bytes[2] = {0, 0}, memory[2] = {0, 0};

    for (u32 i = 0; i < (u32)chain.read_count + chain.write_count; i++) {
        u32 dir = i >= chain.read_count;
        const struct span *span = &chain.span[i];

        bytes[dir] += span->bytes;
        memory[dir] += span->base ? span->bytes : 0;
        if (span->base) {
            assert_true(span->base >= arena.window[0] &&
                        span->base + span->bytes <= arena.window[0] + arena.window_bytes);
        }
    }
    assert_true(bytes[0] == expect->bytes[0] && bytes[1] == expect->bytes[1]);
    assert_true(memory[0] == expect->memory[0] && memory[1] == expect->memory[1]);
    assert_true(chain.read_bytes == bytes[0] && chain.write_bytes == bytes[1]);
    assert_int_equal(chain.flaws != 0, bytes[0] + bytes[1] != memory[0] + memory[1]);
}

/** The inline runs hold all of memory, in both directions. */
static void memory_know(void)
{
    struct span span[2];
    u32 count = 0;

    assert_int_equal(gmem_span(&arena.gm, (gpa_t){ARENA_BASE}, 1, GMEM_READ, span, 2, &count),
                     ST_OK);
    assert_int_equal(gmem_span(&arena.gm, (gpa_t){ARENA_BASE}, 1, GMEM_WRITE, span, 2, &count),
                     ST_OK);
    gmem_release(&arena.gm, span, count);
}

#define FIRST_BYTES 2 /* of the chains that the quick way is asked for */

/** What the quick way saw is what the general way took: three spans in the right directions. */
static void quick_check(const struct vq_quick *q)
{
    const struct span *span = chain.span;

    quick_cases++;
    assert_int_equal(chain.head, q->head);
    assert_int_equal(chain.desc_count, 3);
    assert_int_equal(chain.read_count, q->data_write ? 1 : 2);
    assert_int_equal(chain.read_count + chain.write_count, 3);
    assert_ptr_equal(span[0].base, q->first);
    assert_int_equal(span[0].bytes, FIRST_BYTES);
    assert_ptr_equal(span[1].base, arena_byte(&arena, q->data_addr));
    assert_int_equal(span[1].bytes, q->data_bytes);
    assert_ptr_equal(span[2].base, q->last);
    assert_int_equal(span[2].bytes, 1);
}

static void one_way(u32 size, u16 head, bool known)
{
    struct expected expect = model(size, head);
    struct virtq_quick batch;
    struct vq_quick q;
    enum status st;
    bool quick;

    gmem_forget(&arena.gm);
    if (known) {
        memory_know();
    }
    driver_offer(&drv, head);
    quick = virtq_look(&vq) && virtq_quick_begin(&vq, &batch) &&
            quick_look(&vq, &batch, FIRST_BYTES, &q);
    st = virtq_pop(&vq, &chain);
    cases++;
    if (quick) {
        assert_int_equal(st, ST_OK);
        quick_check(&q);
    }
    if (expect.outcome == GOOD) {
        assert_int_equal(st, ST_OK);
        spans_check(&expect);
        virtq_push(&vq, &chain, 0);
    } else if (expect.outcome == MALFORMED) {
        assert_int_equal(st, ST_PROTO);
    } else {
        assert_int_equal(st, ST_GUEST);
        assert_int_equal(vq.state, VQ_BROKEN);
    }
    assert_int_equal(arena_pinned(&arena), vq.pin_count);
    if (expect.outcome != BROKEN) {
        u32 id, written;

        virtq_publish(&vq);
        assert_true(driver_take(&drv, &id, &written)); /* returned exactly once */
        assert_int_equal(id, head);
        assert_false(driver_take(&drv, &id, &written));
    }
    vq.complaints = 0;
    if (vq.state == VQ_BROKEN) {
        ring_start(size);
    }
}

static void one_case(u32 size, u16 head)
{
    one_way(size, head, false);
    one_way(size, head, true);
}

/* --- the alphabet
 * ------------------------------------------------------------------------------------ */

static const u16 all_flags[] = {
    0,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE,
    VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
};

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
    arena_free(&arena);
    return 0;
}

/** flags x next of one entry, by number; addresses and lengths as the flags need them. */
static void entry_set(struct entry *e, u32 code, u32 nexts, u32 slot)
{
    e->flags = all_flags[code % ARRAY_LEN(all_flags)];
    e->next = (u16)(code / ARRAY_LEN(all_flags) % nexts);
    if (e->flags & VIRTQ_DESC_F_INDIRECT) {
        e->addr = TABLE;
        e->bytes = 32;
    } else {
        e->addr = DATA + 64 * slot;
        e->bytes = 1u << slot; /* every subset of entries has a sum of its own */
    }
}

/* Sizes 1 and 2: all flags, next from 0 to one past the end, the indirect table likewise, every
 * head. */
static void every_table_of_size_1_and_2(void **state)
{
    (void)state;
    for (u32 size = 1; size <= 2; size++) {
        u32 codes = ARRAY_LEN(all_flags) * (size + 1);
        u32 inner = ARRAY_LEN(all_flags) * 3;

        ring_start(size);
        for (u32 c0 = 0; c0 < codes; c0++) {
            for (u32 c1 = 0; c1 < (size > 1 ? codes : 1); c1++) {
                bool nested;

                entry_set(&ring_table[0], c0, size + 1, 0);
                entry_set(&ring_table[1], c1, size + 1, 1);
                nested = (ring_table[0].flags | ring_table[1].flags) & VIRTQ_DESC_F_INDIRECT;
                for (u32 i0 = 0; i0 < (nested ? inner : 1); i0++) {
                    for (u32 i1 = 0; i1 < (nested ? inner : 1); i1++) {
                        entry_set(&indirect_table[0], i0, 3, 2);
                        entry_set(&indirect_table[1], i1, 3, 3);
                        tables_write(size);
                        for (u16 head = 0; head <= size; head++) {
                            one_case(size, head);
                        }
                    }
                }
            }
        }
    }
}

/* Size 4: all flags and next without the indirect table's contents varied. */
static void every_table_of_size_4(void **state)
{
    static const u32 codes = 4 * 5; /* the flags without INDIRECT, next 0..4 */

    (void)state;
    ring_start(4);
    for (u32 n = 0; n < codes * codes * codes * codes; n++) {
        u32 rest = n, mixed = n * 0x9e3779b1; /* so that no entry decides where the chain starts */

        for (u32 i = 0; i < 4; i++) {
            u32 code = rest % codes;

            entry_set(&ring_table[i], code % 4 + code / 4 * 8, 5, i);
            rest /= codes;
        }
        tables_write(4);
        one_way(4, (u16)(mixed >> 30), mixed >> 29 & 1);
    }
    assert_true(quick_cases > 0);
}

/* Addresses and lengths at every edge, alone and behind each other. */
static void every_edge_of_memory(void **state)
{
    const u64 end = ARENA_BASE + arena.window_bytes;
    const u64 addrs[] = {
        0,   1,       ARENA_BASE - 1,    ARENA_BASE,        DATA,           end - 2,   end - 1,
        end, end + 1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    const u32 lengths[] = {0,
                           1,
                           2,
                           3,
                           4096,
                           (u32)KIB(16),
                           (u32)KIB(16) + 1,
                           VQ_DESC_BYTES_MAX + 1,
                           0x7fffffff,
                           0x80000000,
                           UINT32_MAX};

    (void)state;
    ring_start(2);
    for (u32 a = 0; a < ARRAY_LEN(addrs); a++) {
        for (u32 b = 0; b < ARRAY_LEN(addrs); b++) {
            for (u32 la = 0; la < ARRAY_LEN(lengths); la++) {
                for (u32 lb = 0; lb < ARRAY_LEN(lengths); lb++) {
                    ring_table[0] = (struct entry){addrs[a], lengths[la], VIRTQ_DESC_F_NEXT, 1};
                    ring_table[1] = (struct entry){addrs[b], lengths[lb], VIRTQ_DESC_F_WRITE, 0};
                    tables_write(2);
                    one_case(2, 0);
                    one_case(2, 1);
                }
            }
        }
    }
}

/* avail.idx: every value from every position in a ring of each size. */
static void every_avail_idx(void **state)
{
    (void)state;
    for (u32 size = 1; size <= 4; size *= 2) {
        for (u32 idx = 0; idx < 0x10000; idx += idx < 8 || idx > 0xfff0 ? 1 : 7) {
            ring_start(size);
            memset(ring_table, 0, sizeof(ring_table));
            for (u16 i = 0; i < size; i++) {
                arena_put16(&arena, drv.avail + VIRTQ_AVAIL_RING(i), i);
            }
            tables_write(size);
            arena_put16(&arena, drv.avail + VIRTQ_AVAIL_IDX, (u16)idx);
            for (u32 i = 0; i < size + 1; i++) {
                enum status st = virtq_pop(&vq, &chain);

                assert_int_equal(st, idx > size ? ST_GUEST : i < idx ? ST_OK : ST_AGAIN);
            }
            while (virtq_in_flight(&vq) > 0) {
                chain.held = 0;
                virtq_push(&vq, &chain, 0);
            }
            cases++;
        }
    }
}

/* Every pair of positions of used_event and of a batch, at the wrap and away from it. */
static void every_used_event(void **state)
{
    static const u16 starts[] = {0, 1, 0x7ffe, 0x7fff, 0x8000, 0xfffc, 0xffff};

    (void)state;
    ring_start(4);
    for (u32 s = 0; s < ARRAY_LEN(starts); s++) {
        for (u32 batch = 1; batch <= 4; batch++) {
            for (u32 event = 0; event < 0x10000; event++) {
                bool crossed = false;

                vq.irq_from = starts[s];
                vq.used_shown = (u16)(starts[s] + batch);
                driver_used_event(&drv, (u16)event);
                for (u32 i = 0; i < batch; i++) {
                    crossed |= (u16)(starts[s] + i) == event;
                }
                assert_int_equal(virtq_wants_irq(&vq), crossed);
                cases++;
            }
        }
    }
    vq.used_shown = vq.used_next = vq.next;
}

static int count_shown(void **state)
{
    (void)state;
    print_message("%llu cases, %llu of them quick\n", (unsigned long long)cases,
                  (unsigned long long)quick_cases);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_table_of_size_1_and_2),
        TEST(every_table_of_size_4),
        TEST(every_edge_of_memory),
        TEST(every_avail_idx),
        TEST(every_used_event),
    };

    return cmocka_run_group_tests(tests, NULL, count_shown);
}
