/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xs_wire.c - xenstore messages to and from bytes. See xs_wire.h.
 */
#include "drivers/xen/xs_wire.h"

#include <string.h>

#include "start/base/check.h"

#include "drivers/xen/xen_abi.h"

STATIC_CHECK(sizeof(struct xsd_sockmsg) == XS_HEADER_BYTES, "header of the protocol");
STATIC_CHECK(XENSTORE_PAYLOAD_MAX == XS_PAYLOAD_MAX, "payload of the protocol");
#define SAME(ours, theirs) ((u32)(ours) == (u32)(theirs))
STATIC_CHECK(SAME(XST_DIRECTORY, XS_DIRECTORY) && SAME(XST_READ, XS_READ) &&
                 SAME(XST_WATCH, XS_WATCH) && SAME(XST_TX_START, XS_TRANSACTION_START) &&
                 SAME(XST_TX_END, XS_TRANSACTION_END) && SAME(XST_WRITE, XS_WRITE) &&
                 SAME(XST_RM, XS_RM) && SAME(XST_WATCH_EVENT, XS_WATCH_EVENT) &&
                 SAME(XST_ERROR, XS_ERROR),
             "our names for the protocol's numbers");

enum status xs_encode(struct xs_message *msg, enum xs_type type, u32 req_id, u32 tx_id,
                      const char *first, const char *second)
{
    usize first_bytes = strnlen(first, XS_REQUEST_MAX) + 1;
    usize second_bytes = second ? strnlen(second, XS_REQUEST_MAX) : 0;
    struct xsd_sockmsg header;

    /* Only the transaction calls take an empty string. */
    if (first_bytes == 1 && type != XST_TX_START) {
        return ST_INVAL;
    }
    if (second && type != XST_WRITE) {
        second_bytes++;
    }
    if (first_bytes + second_bytes > XS_REQUEST_MAX) {
        return ST_RANGE;
    }
    header = (struct xsd_sockmsg){
        .type = type,
        .req_id = req_id,
        .tx_id = tx_id,
        .len = (u32)(first_bytes + second_bytes),
    };
    memcpy(msg->data, &header, sizeof(header));
    memcpy(msg->data + XS_HEADER_BYTES, first, first_bytes);
    if (second) {
        memcpy(msg->data + XS_HEADER_BYTES + first_bytes, second, second_bytes);
    }
    msg->bytes = XS_HEADER_BYTES + header.len;
    return ST_OK;
}

enum status xs_decode_header(const u8 bytes[XS_HEADER_BYTES], struct xs_header *header)
{
    struct xsd_sockmsg wire;

    memcpy(&wire, bytes, sizeof(wire));
    if (wire.len > XS_PAYLOAD_MAX) {
        return ST_PROTO;
    }
    *header = (struct xs_header){wire.type, wire.req_id, wire.tx_id, wire.len};
    return ST_OK;
}

enum status xs_decode_error(const u8 *payload, u32 bytes)
{
    static const struct {
        char text[8];
        u8 st;
    } known[] = {
        {"ENOENT", ST_NOENT}, {"EACCES", ST_ACCES}, {"EPERM", ST_ACCES},   {"EAGAIN", ST_AGAIN},
        {"EQUOTA", ST_FULL},  {"ENOSPC", ST_FULL},  {"E2BIG", ST_RANGE},   {"EINVAL", ST_INVAL},
        {"EEXIST", ST_INVAL}, {"ENOSYS", ST_NOSUP}, {"EISCONN", ST_INVAL},
    };

    for (u32 i = 0; i < ARRAY_LEN(known); i++) {
        usize length = strlen(known[i].text);

        if (bytes >= length && memcmp(payload, known[i].text, length) == 0 &&
            (bytes == length || payload[length] == 0)) {
            return (enum status)known[i].st;
        }
    }
    return ST_IO;
}

enum status xs_decode_event(const u8 *payload, u32 bytes, const char **path, const char **token)
{
    const u8 *end = payload + bytes;
    const u8 *middle = bytes ? memchr(payload, 0, bytes) : NULL;

    if (!middle || middle == payload || middle + 1 == end ||
        !memchr(middle + 1, 0, (usize)(end - middle - 1))) {
        return ST_PROTO;
    }
    *path = (const char *)payload;
    *token = (const char *)middle + 1;
    return ST_OK;
}

enum status xs_decode_value(const u8 *payload, u32 bytes, char *text, u32 max)
{
    if (bytes > 0 && payload[bytes - 1] == 0) {
        bytes--;
    }
    if (bytes >= max) {
        return ST_RANGE;
    }
    for (u32 i = 0; i < bytes; i++) {
        if (payload[i] < ' ' || payload[i] == 0x7f) {
            return ST_PROTO;
        }
        text[i] = (char)payload[i];
    }
    text[bytes] = 0;
    return ST_OK;
}

const char *xs_directory_next(const u8 *payload, u32 bytes, u32 *at)
{
    const u8 *name;
    const u8 *end;

    if (*at >= bytes) {
        return NULL;
    }
    name = payload + *at;
    end = memchr(name, 0, bytes - *at);
    if (!end || end == name) {
        return NULL;
    }
    *at += (u32)(end - name) + 1;
    return (const char *)name;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return 16;
}

static enum status digits_parse(const char *text, int base, u64 max, u64 *value)
{
    u64 sum = 0;

    if (!*text) {
        return ST_PROTO;
    }
    for (; *text; text++) {
        int digit = digit_value(*text);

        if (digit >= base) {
            return ST_PROTO;
        }
        if (__builtin_mul_overflow(sum, (u64)base, &sum) ||
            __builtin_add_overflow(sum, (u64)digit, &sum) || sum > max) {
            return ST_RANGE;
        }
    }
    *value = sum;
    return ST_OK;
}

enum status xs_parse_decimal(const char *text, u64 max, u64 *value)
{
    return digits_parse(text, 10, max, value);
}

enum status xs_parse_number(const char *text, u64 max, u64 *value)
{
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        return digits_parse(text + 2, 16, max, value);
    }
    return digits_parse(text, 10, max, value);
}
