/* SPDX-License-Identifier: BSD-2-Clause */
/* test_blkif_wire.c - entries of both layouts, as the protocol's header and its users write them.
 */
#include "blk/blkif_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/limits.h"
#include <xen/io/blkif.h>

static u8 page[BLKIF_RING_PAGES_MAX * PAGE_BYTES] __attribute__((aligned(4096)));

/* What Linux's blkif_x86_32_request looks like: 64-bit numbers on 4 bytes. */
struct __attribute__((packed, aligned(4))) request_32 {
    u8 operation, nr_segments;
    u16 handle;
    u64 id;
    u64 sector_number;
    struct blkif_request_segment seg[BLKIF_DIRECT_MAX];
};
struct __attribute__((packed, aligned(4))) indirect_32 {
    u8 operation, indirect_op;
    u16 nr_segments;
    u64 id;
    u64 sector_number;
    u16 handle, pad;
    u32 grefs[8];
};

static void protocols_are_known_by_name(void **state)
{
    enum blkif_abi abi = BLKIF_ABI_COUNT;

    (void)state;
    assert_true(blkif_abi_find("", &abi));
    assert_int_equal(abi, BLKIF_ABI_64);
    assert_true(blkif_abi_find("x86_32-abi", &abi));
    assert_int_equal(abi, BLKIF_ABI_32);
    assert_true(blkif_abi_find("arm-abi", &abi));
    assert_int_equal(abi, BLKIF_ABI_64);
    assert_true(blkif_abi_find("x86_64-abi", &abi));
    assert_int_equal(abi, BLKIF_ABI_64);
    assert_false(blkif_abi_find("arm-abi2", &abi));
    assert_false(blkif_abi_find("powerpc64-abi-of-some-length", &abi));
}

/* xen/io/ring.h: __RING_SIZE */
static void a_ring_is_the_largest_power_of_two_that_fits(void **state)
{
    (void)state;
    assert_int_equal(blkif_ring_entries(BLKIF_ABI_64, 1),
                     __RING_SIZE((struct blkif_sring *)page, 4096));
    assert_int_equal(blkif_ring_entries(BLKIF_ABI_64, 2), 64);
    assert_int_equal(blkif_ring_entries(BLKIF_ABI_64, 4),
                     __RING_SIZE((struct blkif_sring *)page, 16384));
    assert_int_equal(blkif_ring_entries(BLKIF_ABI_32, 1), 32);
    assert_int_equal(blkif_ring_entries(BLKIF_ABI_32, 4), 128);
}

static void a_direct_request_is_read_in_both_layouts(void **state)
{
    struct blkif_request wide = {.operation = BLKIF_OP_WRITE,
                                 .nr_segments = 11,
                                 .id = UINT64_C(0x1122334455667788),
                                 .sector_number = UINT64_C(0x99aabbccddeeff00)};
    struct request_32 narrow = {.operation = BLKIF_OP_WRITE,
                                .nr_segments = 11,
                                .id = wide.id,
                                .sector_number = wide.sector_number};

    (void)state;
    assert_int_equal(sizeof(narrow), 108);
    for (u32 i = 0; i < BLKIF_DIRECT_MAX; i++) {
        wide.seg[i] = (struct blkif_request_segment){1000 + i, (u8)(i % 4), 7};
        narrow.seg[i] = wide.seg[i];
    }
    for (enum blkif_abi abi = 0; abi < BLKIF_ABI_COUNT; abi++) {
        struct blkif_wire wire;
        u32 bytes = abi == BLKIF_ABI_64 ? sizeof(wide) : sizeof(narrow);

        memset(page, 0xee, sizeof(page));
        memcpy(page + 64 + 5 * bytes, abi == BLKIF_ABI_64 ? (void *)&wide : (void *)&narrow, bytes);
        blkif_wire_read(abi, page, 32 + 5, 32, &wire); /* modulo entries */
        assert_int_equal(wire.op, BLKIF_OP_WRITE);
        assert_false(wire.indirect);
        assert_int_equal(wire.segs, 11);
        assert_true(wire.id == wide.id && wire.sector == wide.sector_number);
        for (u32 i = 0; i < BLKIF_DIRECT_MAX; i++) {
            assert_int_equal(wire.seg[i].ref, 1000 + i);
            assert_int_equal(wire.seg[i].first, i % 4);
            assert_int_equal(wire.seg[i].last, 7);
        }
    }
}

static void an_indirect_request_tells_what_it_stands_for(void **state)
{
    struct blkif_request_indirect wide = {.operation = BLKIF_OP_INDIRECT,
                                          .indirect_op = BLKIF_OP_READ,
                                          .nr_segments = 300,
                                          .id = 7,
                                          .sector_number = 8,
                                          .indirect_grefs = {4242, 1}};
    struct indirect_32 narrow = {.operation = BLKIF_OP_INDIRECT,
                                 .indirect_op = BLKIF_OP_READ,
                                 .nr_segments = 300,
                                 .id = 7,
                                 .sector_number = 8,
                                 .grefs = {4242, 1}};

    (void)state;
    for (enum blkif_abi abi = 0; abi < BLKIF_ABI_COUNT; abi++) {
        struct blkif_wire wire;

        memcpy(page + 64, abi == BLKIF_ABI_64 ? (void *)&wide : (void *)&narrow,
               abi == BLKIF_ABI_64 ? sizeof(wide) : sizeof(narrow));
        blkif_wire_read(abi, page, 0, 32, &wire);
        assert_true(wire.indirect);
        assert_int_equal(wire.op, BLKIF_OP_READ);
        assert_int_equal(wire.segs, 300);
        assert_int_equal(wire.id, 7);
        assert_int_equal(wire.sector, 8);
        assert_int_equal(wire.seg_ref, 4242);
    }
}

static void a_discard_has_a_flag_and_a_length(void **state)
{
    struct blkif_request_discard wide = {.operation = BLKIF_OP_DISCARD,
                                         .flag = BLKIF_DISCARD_SECURE,
                                         .id = 9,
                                         .sector_number = 16,
                                         .nr_sectors = UINT64_C(1) << 40};
    struct blkif_wire wire;

    (void)state;
    memcpy(page + 64, &wide, sizeof(wide));
    blkif_wire_read(BLKIF_ABI_64, page, 0, 32, &wire);
    assert_int_equal(wire.flag, BLKIF_DISCARD_SECURE);
    assert_int_equal(wire.segs, 0);
    assert_true(wire.sectors == UINT64_C(1) << 40 && wire.sector == 16 && wire.id == 9);
    /* 32-bit x86: the same fields four bytes earlier. */
    memmove(page + 64 + 4, page + 64 + 8, 24);
    blkif_wire_read(BLKIF_ABI_32, page, 0, 32, &wire);
    assert_true(wire.sectors == UINT64_C(1) << 40 && wire.sector == 16 && wire.id == 9);
}

static void an_answer_touches_its_twelve_bytes_only(void **state)
{
    (void)state;
    for (enum blkif_abi abi = 0; abi < BLKIF_ABI_COUNT; abi++) {
        u32 bytes = abi == BLKIF_ABI_64 ? 112 : 108;
        struct blkif_response answer;

        memset(page, 0xee, sizeof(page));
        blkif_wire_answer(abi, page, 33, 32, 77, BLKIF_OP_WRITE, BLKIF_RSP_EOPNOTSUPP);
        memcpy(&answer, page + 64 + bytes, sizeof(answer));
        assert_int_equal(answer.id, 77);
        assert_int_equal(answer.operation, BLKIF_OP_WRITE);
        assert_int_equal(answer.status, BLKIF_RSP_EOPNOTSUPP);
        memset(page + 64 + bytes, 0xee, 9);
        memset(page + 64 + bytes + 10, 0xee, 2);
        for (u32 i = 0; i < PAGE_BYTES; i++) {
            assert_int_equal(page[i], 0xee);
        }
    }
}

static void segments_of_a_page_are_read_one_by_one(void **state)
{
    struct blkif_request_segment last = {0xdeadbeef, 3, 250};
    struct blkif_seg seg;

    (void)state;
    memcpy(page + PAGE_BYTES - 8, &last, 8);
    seg = blkif_wire_seg(page, BLKIF_SEG_PER_PAGE - 1);
    assert_int_equal(seg.ref, 0xdeadbeef);
    assert_int_equal(seg.first, 3);
    assert_int_equal(seg.last, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protocols_are_known_by_name),
        cmocka_unit_test(a_ring_is_the_largest_power_of_two_that_fits),
        cmocka_unit_test(a_direct_request_is_read_in_both_layouts),
        cmocka_unit_test(an_indirect_request_tells_what_it_stands_for),
        cmocka_unit_test(a_discard_has_a_flag_and_a_length),
        cmocka_unit_test(an_answer_touches_its_twelve_bytes_only),
        cmocka_unit_test(segments_of_a_page_are_read_one_by_one),
    };

    return cmocka_run_group_tests_name("blkif_wire", tests, NULL, NULL);
}
