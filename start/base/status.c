/* SPDX-License-Identifier: BSD-2-Clause */
/* status.c - names of the outcomes. */
#include "start/base/status.h"

static const char *const status_names[ST_COUNT] = {
    [ST_OK] = "ST_OK",       [ST_AGAIN] = "ST_AGAIN", [ST_INVAL] = "ST_INVAL",
    [ST_RANGE] = "ST_RANGE", [ST_FULL] = "ST_FULL",   [ST_NOSUP] = "ST_NOSUP",
    [ST_GUEST] = "ST_GUEST", [ST_PROTO] = "ST_PROTO", [ST_NOENT] = "ST_NOENT",
    [ST_ACCES] = "ST_ACCES", [ST_IO] = "ST_IO",       [ST_TIMEOUT] = "ST_TIMEOUT",
    [ST_NODEV] = "ST_NODEV", [ST_CRC] = "ST_CRC",     [ST_HYPERCALL] = "ST_HYPERCALL",
};

const char *status_name(enum status st)
{
    return (unsigned)st < ST_COUNT ? status_names[st] : "?";
}
