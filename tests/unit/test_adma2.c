/* SPDX-License-Identifier: BSD-2-Clause */
/* test_adma2.c - spans to descriptors: three formats, cuts, refusals. The bytes are spelled out. */
#include "drivers/mmc/adma2.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"

static u8 memory[256];

static struct adma2_table table(enum adma2_format format, u32 count)
{
    memset(memory, 0xee, sizeof(memory));
    return (struct adma2_table){
        .base = memory, .bytes = count * format, .format = format, .piece_bytes_max = 65536};
}

static struct span at(u64 bus, u32 bytes)
{
    return (struct span){.bus = bus, .bytes = bytes};
}

/* [SD-HOST] 1.13.3.1: attributes Valid, End and Act=Tran; length; 32-bit address. */
static void eight_bytes_are_attributes_length_address(void **state)
{
    static const u8 wanted[] = {0x21, 0, 0x00, 0x10, 0x78, 0x56, 0x34, 0x12,
                                0x23, 0, 0x00, 0x02, 0x00, 0x00, 0x00, 0x80};
    struct adma2_table t = table(ADMA2_32, 2);
    struct span spans[] = {at(0x12345678, 0x1000), at(0x80000000, 0x200)};
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, spans, 2, &count), ST_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(memory, wanted, sizeof(wanted));
    assert_int_equal(memory[16], 0xee);
}

static void twelve_bytes_hold_a_64_bit_address_packed(void **state)
{
    static const u8 wanted[] = {0x21, 0, 0x04, 0, 0x00, 0, 0, 0x10, 0x0a, 0, 0, 0,
                                0x23, 0, 0x08, 0, 0x20, 0, 0, 0x10, 0x0b, 0, 0, 0};
    struct adma2_table t = table(ADMA2_64_V3, 2);
    struct span spans[] = {at(0xa10000000, 4), at(0xb10000020, 8)};
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, spans, 2, &count), ST_OK);
    assert_memory_equal(memory, wanted, sizeof(wanted));
    assert_int_equal(memory[24], 0xee);
}

static void sixteen_bytes_end_in_a_reserved_word(void **state)
{
    static const u8 wanted[] = {0x23, 0, 0x00, 0x02, 0xf0, 0xff, 0xff, 0xff,
                                0x01, 0, 0,    0,    0,    0,    0,    0};
    struct adma2_table t = table(ADMA2_64_V4, 2);
    struct span span = at(0x1fffffff0, 0x200);
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, &span, 1, &count), ST_OK);
    assert_memory_equal(memory, wanted, sizeof(wanted));
    assert_int_equal(memory[16], 0xee);
}

/* [SD-HOST] 1.13.3: a 16-bit length of 0 is 65536 bytes. */
static void a_long_span_is_cut_at_64_kib(void **state)
{
    static const u8 wanted[] = {0x21, 0, 0, 0, 0, 0, 0, 0x10, 0x23, 0, 4, 0, 0, 0, 1, 0x10};
    struct adma2_table t = table(ADMA2_32, 2);
    struct span span = at(0x10000000, 65540);
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, &span, 1, &count), ST_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(memory, wanted, sizeof(wanted));
}

/* [SD-HOST] 1.13.3: 26-bit lengths have their upper ten bits in bits 15 to 6. */
static void a_26_bit_length_is_split_and_0_is_64_mib(void **state)
{
    static const u8 wanted[] = {0x21, 0,    0,    0,    0, 0, 0, 0x10,
                                0xe3, 0x48, 0x64, 0x45, 0, 0, 0, 0x14};
    struct adma2_table t = table(ADMA2_32, 2);
    struct span span = at(0x10000000, (u32)MIB(64) + 0x1234564);
    u32 count;

    (void)state;
    t.piece_bytes_max = (u32)MIB(64);
    assert_int_equal(adma2_build(&t, &span, 1, &count), ST_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(memory, wanted, sizeof(wanted));
}

static void spans_that_touch_share_a_descriptor(void **state)
{
    static const u8 wanted[] = {0x21, 0, 0x00, 0x30, 0, 0,    0, 0x10,
                                0x23, 0, 4,    0,    4, 0x30, 0, 0x10};
    struct adma2_table t = table(ADMA2_32, 2);
    struct span spans[] = {at(0x10000000, 0x1000), at(0x10001000, 0x1000), at(0x10002000, 0x1000),
                           at(0x10003004, 4)};
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, spans, 4, &count), ST_OK);
    assert_int_equal(count, 2);
    assert_memory_equal(memory, wanted, sizeof(wanted));
}

static void a_full_table_is_told_and_not_overrun(void **state)
{
    struct adma2_table t = table(ADMA2_32, 1);
    struct span spans[] = {at(0, 4), at(8, 4)};
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, spans, 2, &count), ST_FULL);
    assert_int_equal(memory[8], 0xee);
}

static void spans_that_the_device_cannot_reach_are_refused(void **state)
{
    struct adma2_table t = table(ADMA2_32, 4);
    struct span odd_address = at(2, 4);
    struct span odd_length = at(4, 6);
    struct span nothing = at(4, 0);
    struct span last = at(0xfffffffc, 4);
    struct span beyond = at(0xfffffffc, 8);
    u32 count;

    (void)state;
    assert_int_equal(adma2_build(&t, &odd_address, 1, &count), ST_INVAL);
    assert_int_equal(adma2_build(&t, &odd_length, 1, &count), ST_INVAL);
    assert_int_equal(adma2_build(&t, &nothing, 1, &count), ST_INVAL);
    assert_int_equal(adma2_build(&t, &last, 0, &count), ST_INVAL);
    assert_int_equal(adma2_build(&t, &last, 1, &count), ST_OK);
    assert_int_equal(adma2_build(&t, &beyond, 1, &count), ST_RANGE);
    t.format = ADMA2_64_V4;
    assert_int_equal(adma2_build(&t, &beyond, 1, &count), ST_OK);
    t.piece_bytes_max = 65535;
    assert_true(EXPECT_PANIC(adma2_build(&t, &last, 1, &count)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bytes_are_attributes_length_address),
        cmocka_unit_test(twelve_bytes_hold_a_64_bit_address_packed),
        cmocka_unit_test(sixteen_bytes_end_in_a_reserved_word),
        cmocka_unit_test(a_long_span_is_cut_at_64_kib),
        cmocka_unit_test(a_26_bit_length_is_split_and_0_is_64_mib),
        cmocka_unit_test(spans_that_touch_share_a_descriptor),
        cmocka_unit_test(a_full_table_is_told_and_not_overrun),
        cmocka_unit_test(spans_that_the_device_cannot_reach_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
