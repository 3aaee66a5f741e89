/* SPDX-License-Identifier: BSD-2-Clause */
/* said.c - what the log said. */
#include "tests/fake/said.h"

#include <stdlib.h>
#include <string.h>

#include "start/base/log.h"

static char text[65536];
static usize used;

static void said_sink(void *ctx, const char *line, usize bytes)
{
    (void)ctx;
    if (used + bytes >= sizeof(text)) {
        used = 0; /* a flood: the newest words are worth more */
    }
    if (bytes < sizeof(text)) {
        memcpy(text + used, line, bytes);
        used += bytes;
        text[used] = 0;
    }
}

void said_reset(void)
{
    used = 0;
    text[0] = 0;
    log_init();
    if (!log_sink_add(said_sink, NULL)) {
        abort();
    }
}

u32 said_count(const char *words)
{
    u32 count = 0;

    for (const char *at = strstr(text, words); at; at = strstr(at + 1, words)) {
        count++;
    }
    return count;
}

bool said(const char *words)
{
    return said_count(words) > 0;
}
