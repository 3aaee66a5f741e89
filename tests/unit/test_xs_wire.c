/* SPDX-License-Identifier: BSD-2-Clause */
/* test_xs_wire.c - xenstore messages: exact bytes out, no trust in bytes that come in. */
#include "drivers/xen/xs_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct xs_message msg;

static void request_has_the_protocols_layout(void **state)
{
    static const u8 read[] = {2, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 'a', '/', 'b', 0};

    (void)state;
    assert_int_equal(xs_encode(&msg, XST_READ, 9, 3, "a/b", NULL), ST_OK);
    assert_int_equal(msg.bytes, sizeof(read));
    assert_memory_equal(msg.data, read, sizeof(read));
}

static void written_value_has_no_nul_and_a_token_has_one(void **state)
{
    (void)state;
    assert_int_equal(xs_encode(&msg, XST_WRITE, 1, 0, "a", "42"), ST_OK);
    assert_int_equal(msg.bytes, XS_HEADER_BYTES + 4);
    assert_memory_equal(msg.data + XS_HEADER_BYTES,
                        "a\0"
                        "42",
                        4);
    assert_int_equal(xs_encode(&msg, XST_WRITE, 1, 0, "a", ""), ST_OK);
    assert_int_equal(msg.bytes, XS_HEADER_BYTES + 2);
    assert_int_equal(xs_encode(&msg, XST_WATCH, 1, 0, "a", "w0"), ST_OK);
    assert_int_equal(msg.bytes, XS_HEADER_BYTES + 5);
    assert_memory_equal(msg.data + XS_HEADER_BYTES, "a\0w0\0", 5);
}

static void text_that_does_not_fit_is_refused(void **state)
{
    char path[XS_REQUEST_MAX + 8];

    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = 0;
    assert_int_equal(xs_encode(&msg, XST_READ, 1, 0, path, NULL), ST_RANGE);
    path[XS_REQUEST_MAX] = 0;
    assert_int_equal(xs_encode(&msg, XST_READ, 1, 0, path, NULL), ST_RANGE);
    path[XS_REQUEST_MAX - 1] = 0;
    assert_int_equal(xs_encode(&msg, XST_READ, 1, 0, path, NULL), ST_OK);
    assert_int_equal(msg.bytes, sizeof(msg.data));
    assert_int_equal(xs_encode(&msg, XST_WRITE, 1, 0, path, "1"), ST_RANGE);
    assert_int_equal(xs_encode(&msg, XST_READ, 1, 0, "", NULL), ST_INVAL);
    assert_int_equal(xs_encode(&msg, XST_TX_START, 1, 0, "", NULL), ST_OK);
}

static void header_longer_than_the_protocol_is_refused(void **state)
{
    u8 bytes[XS_HEADER_BYTES] = {2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0};
    struct xs_header header;

    (void)state;
    assert_int_equal(xs_decode_header(bytes, &header), ST_OK);
    assert_int_equal(header.bytes, XS_PAYLOAD_MAX);
    assert_int_equal(header.req_id, 7);
    bytes[12] = 1;
    assert_int_equal(xs_decode_header(bytes, &header), ST_PROTO);
    bytes[15] = 0xff;
    assert_int_equal(xs_decode_header(bytes, &header), ST_PROTO);
}

static void error_names_become_statuses(void **state)
{
    (void)state;
    assert_int_equal(xs_decode_error((const u8 *)"ENOENT", 7), ST_NOENT);
    assert_int_equal(xs_decode_error((const u8 *)"ENOENT", 6), ST_NOENT); /* NUL forgotten */
    assert_int_equal(xs_decode_error((const u8 *)"EAGAIN", 7), ST_AGAIN);
    assert_int_equal(xs_decode_error((const u8 *)"EACCES", 7), ST_ACCES);
    assert_int_equal(xs_decode_error((const u8 *)"EQUOTA", 7), ST_FULL);
    assert_int_equal(xs_decode_error((const u8 *)"ENOENTX", 8), ST_IO);
    assert_int_equal(xs_decode_error((const u8 *)"ENO", 3), ST_IO);
    assert_int_equal(xs_decode_error((const u8 *)"", 0), ST_IO);
}

static void event_needs_two_whole_strings(void **state)
{
    static const struct {
        const char *bytes;
        u32 count;
        enum status st;
    } table[] = {
        {"path\0token\0", 11, ST_OK}, {"p\0t\0more", 8, ST_OK}, {"path\0token", 10, ST_PROTO},
        {"path\0", 5, ST_PROTO},      {"path", 4, ST_PROTO},    {"", 0, ST_PROTO},
        {"\0token\0", 7, ST_PROTO},   {"p\0\0", 3, ST_OK},
    };
    const char *path, *token;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        /* A copy of exact size: the sanitizer sees a byte too many. */
        u8 *copy = malloc(table[i].count ? table[i].count : 1);

        memcpy(copy, table[i].bytes, table[i].count);
        assert_int_equal(xs_decode_event(copy, table[i].count, &path, &token), table[i].st);
        if (table[i].st == ST_OK) {
            assert_string_equal(path, table[i].bytes);
            assert_true(strlen(token) < table[i].count);
        }
        free(copy);
    }
}

static void value_is_text_of_bounded_length(void **state)
{
    char text[8];

    (void)state;
    assert_int_equal(xs_decode_value((const u8 *)"abc", 3, text, sizeof(text)), ST_OK);
    assert_string_equal(text, "abc");
    assert_int_equal(xs_decode_value((const u8 *)"abc", 4, text, sizeof(text)), ST_OK);
    assert_string_equal(text, "abc");
    assert_int_equal(xs_decode_value((const u8 *)"", 0, text, sizeof(text)), ST_OK);
    assert_string_equal(text, "");
    assert_int_equal(xs_decode_value((const u8 *)"1234567", 7, text, sizeof(text)), ST_OK);
    assert_int_equal(xs_decode_value((const u8 *)"12345678", 8, text, sizeof(text)), ST_RANGE);
    assert_int_equal(xs_decode_value((const u8 *)"a\0b", 3, text, sizeof(text)), ST_PROTO);
    assert_int_equal(xs_decode_value((const u8 *)"a\nb", 3, text, sizeof(text)), ST_PROTO);
    assert_int_equal(xs_decode_value((const u8 *)"a\033b", 3, text, sizeof(text)), ST_PROTO);
}

static void directory_is_walked_name_by_name(void **state)
{
    static const u8 names[] = "1\00022\000333"; /* the last NUL is the string's own */
    u32 at = 0;

    (void)state;
    assert_string_equal(xs_directory_next(names, sizeof(names), &at), "1");
    assert_string_equal(xs_directory_next(names, sizeof(names), &at), "22");
    assert_string_equal(xs_directory_next(names, sizeof(names), &at), "333");
    assert_null(xs_directory_next(names, sizeof(names), &at));
    at = 0;
    assert_null(xs_directory_next((const u8 *)"abc", 3, &at)); /* no NUL: not a name */
    assert_null(xs_directory_next((const u8 *)"\0a", 3, &at)); /* empty: malformed */
    assert_null(xs_directory_next(NULL, 0, &at));
}

static void numbers_are_digits_and_nothing_else(void **state)
{
    static const char *const bad[] = {"",   "-1", "+1",    " 1",  "1 ",  "1a",
                                      "0x", "x",  "0x0x1", "1.0", "0xg", "１"};
    u64 v;

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(xs_parse_number(bad[i], UINT64_MAX, &v), ST_PROTO);
    }
    assert_int_equal(xs_parse_decimal("0x10", UINT64_MAX, &v), ST_PROTO);
    assert_int_equal(xs_parse_decimal("33554432", UINT64_MAX, &v), ST_OK);
    assert_int_equal(v, 0x02000000);
    assert_int_equal(xs_parse_number("0x2000000", UINT64_MAX, &v), ST_OK);
    assert_int_equal(v, 0x02000000);
    assert_int_equal(xs_parse_number("18446744073709551615", UINT64_MAX, &v), ST_OK);
    assert_int_equal(v, UINT64_MAX);
    assert_int_equal(xs_parse_number("18446744073709551616", UINT64_MAX, &v), ST_RANGE);
    assert_int_equal(xs_parse_number("0xffffffffffffffff0", UINT64_MAX, &v), ST_RANGE);
    assert_int_equal(xs_parse_decimal("257", 256, &v), ST_RANGE);
    assert_int_equal(xs_parse_decimal("000000000000000000000000256", 256, &v), ST_OK);
}

/* What is encoded comes back, and no bytes whatever make a decoder read outside them. */
static void random_bytes_are_survived(void **state)
{
    (void)state;
    srand(3);
    for (u32 turn = 0; turn < 20000; turn++) {
        u32 bytes = (u32)rand() % 40;
        u8 *copy = malloc(bytes ? bytes : 1);
        const char *path, *token;
        char text[16];
        u32 at = 0;

        for (u32 i = 0; i < bytes; i++) {
            copy[i] = (u8)(rand() % 4 ? "a/0\0w1T "[rand() % 8] : rand());
        }
        if (xs_decode_event(copy, bytes, &path, &token) == ST_OK) {
            assert_true(strlen(path) + strlen(token) + 2 <= bytes);
        }
        (void)xs_decode_error(copy, bytes);
        (void)xs_decode_value(copy, bytes, text, sizeof(text));
        while (xs_directory_next(copy, bytes, &at)) {
            assert_true(at <= bytes);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_has_the_protocols_layout),
        cmocka_unit_test(written_value_has_no_nul_and_a_token_has_one),
        cmocka_unit_test(text_that_does_not_fit_is_refused),
        cmocka_unit_test(header_longer_than_the_protocol_is_refused),
        cmocka_unit_test(error_names_become_statuses),
        cmocka_unit_test(event_needs_two_whole_strings),
        cmocka_unit_test(value_is_text_of_bounded_length),
        cmocka_unit_test(directory_is_walked_name_by_name),
        cmocka_unit_test(numbers_are_digits_and_nothing_else),
        cmocka_unit_test(random_bytes_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
