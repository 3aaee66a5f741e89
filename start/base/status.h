/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * status.h - every outcome a function may return, by whose fault it is.
 *
 * "Cannot happen" has no code: that is a CHECK. A status is handled where it is received.
 */
#pragma once

enum status {
    /* try again, or done */
    ST_OK = 0,
    ST_AGAIN, /* nothing there now; come back */

    /* the caller's fault */
    ST_INVAL, /* an argument makes no sense */
    ST_RANGE, /* outside the device or the table */
    ST_FULL,  /* a named limit is reached */
    ST_NOSUP, /* not offered here */

    /* outside's fault */
    ST_GUEST, /* the driver broke a rule of its protocol */
    ST_PROTO, /* text or a tree from outside is malformed */
    ST_NOENT, /* the named thing is not there */
    ST_ACCES, /* not allowed: read-only medium, missing privilege */

    /* the device's fault */
    ST_IO,      /* the medium failed */
    ST_TIMEOUT, /* a deadline passed */
    ST_NODEV,   /* gone, or never there */
    ST_CRC,     /* damaged on the way */

    /* the platform's fault */
    ST_HYPERCALL, /* the hypervisor refused; the errno is in the log */

    ST_COUNT
};

/** The name as written above, "?" for a number outside the catalogue. */
const char *status_name(enum status st);
