/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xs_wire.h - one xenstore message to and from bytes. Pure.                       plane: control
 *
 * [XENSTORE] docs/misc/xenstore.txt and xen/io/xs_wire.h. A message is 16 bytes of header and up to
 * 4096 bytes of payload. What comes in is text from outside: nothing here trusts a length or a NUL.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/status.h"
#include "start/base/types.h"

#define XS_HEADER_BYTES 16
#define XS_PAYLOAD_MAX  4096                         /* [XENSTORE] XENSTORE_PAYLOAD_MAX */
#define XS_REQUEST_MAX  (XS_PATH_MAX + XS_VALUE_MAX) /* payload of a request of ours */

/** Message types we use; the numbers are the protocol's. */
enum xs_type {
    XST_DIRECTORY = 1,
    XST_READ = 2,
    XST_WATCH = 4,
    XST_UNWATCH = 5,
    XST_TX_START = 6,
    XST_TX_END = 7,
    XST_WRITE = 11,
    XST_RM = 13,
    XST_WATCH_EVENT = 15,
    XST_ERROR = 16,
};

struct xs_header {
    u32 type, req_id, tx_id, bytes;
};

/** A request of ours, ready for the ring. */
struct xs_message {
    u32 bytes; /* header and payload */
    u8 data[XS_HEADER_BYTES + XS_REQUEST_MAX];
};

/**
 * Build a request with one or two strings. The first always ends in a NUL on the wire; the second
 * is a value for XST_WRITE (sent without NUL) or a further string (with NUL). second may be NULL.
 * ST_OK; ST_INVAL when a string is empty where the protocol wants one; ST_RANGE when it does not
 * fit.
 */
enum status xs_encode(struct xs_message *msg, enum xs_type type, u32 req_id, u32 tx_id,
                      const char *first, const char *second);

/** Read a header. ST_OK; ST_PROTO when the length is above XS_PAYLOAD_MAX. */
enum status xs_decode_header(const u8 bytes[XS_HEADER_BYTES], struct xs_header *header);

/** The status for the text of an XST_ERROR payload ("ENOENT" and so on). */
enum status xs_decode_error(const u8 *payload, u32 bytes);

/**
 * Split an XST_WATCH_EVENT payload. path and token point into payload, both NUL-terminated there.
 * ST_OK or ST_PROTO.
 */
enum status xs_decode_event(const u8 *payload, u32 bytes, const char **path, const char **token);

/**
 * Copy a value of at most max - 1 bytes to text and end it with a NUL. A trailing NUL is dropped.
 * ST_OK; ST_PROTO when there is a NUL or a control character inside; ST_RANGE when it is longer.
 */
enum status xs_decode_value(const u8 *payload, u32 bytes, char *text, u32 max);

/** The next name of an XST_DIRECTORY payload from *at on, or NULL at the end or when it is
 * malformed. */
const char *xs_directory_next(const u8 *payload, u32 bytes, u32 *at);

/** A decimal number without sign, blanks or leading garbage. ST_OK, ST_PROTO, ST_RANGE (above max).
 */
enum status xs_parse_decimal(const char *text, u64 max, u64 *value);
/** The same, or hexadecimal after 0x. */
enum status xs_parse_number(const char *text, u64 max, u64 *value);
