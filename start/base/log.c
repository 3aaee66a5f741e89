/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c - a line is made once on the stack and handed to every sink. */
#include "start/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/limits.h"
#include "start/port.h"

static const char *const level_prefix[] = {
    [LOG_ERROR] = "error: ",
    [LOG_WARN] = "warning: ",
    [LOG_INFO] = "",
    [LOG_DEBUG] = "debug: ",
};

static struct {
    struct {
        log_sink_fn fn;
        void *ctx;
    } sink[LOG_SINKS_MAX];
    u32 sink_count;
    enum log_level level;
    /* The first lines of the program, for sinks that come late. */
    char kept[LOG_KEEP_BYTES];
    usize kept_bytes;
    bool kept_all;
} log_state;

void log_init(void)
{
    memset(&log_state, 0, sizeof(log_state));
    log_state.level = LOG_INFO;
    log_state.kept_all = true;
}

void log_level_set(enum log_level level)
{
    log_state.level = level;
}

bool log_sink_add(log_sink_fn fn, void *ctx)
{
    static const char cut[] = "(the lines between are not kept)\n";

    if (log_state.sink_count == LOG_SINKS_MAX) {
        return false;
    }
    if (log_state.kept_bytes != 0) {
        fn(ctx, log_state.kept, log_state.kept_bytes);
    }
    if (!log_state.kept_all) {
        fn(ctx, cut, sizeof(cut) - 1);
    }
    log_state.sink[log_state.sink_count].fn = fn;
    log_state.sink[log_state.sink_count].ctx = ctx;
    log_state.sink_count++;
    return true;
}

static void line_keep(const char *line, usize bytes)
{
    if (!log_state.kept_all || bytes > LOG_KEEP_BYTES - log_state.kept_bytes) {
        log_state.kept_all = false;
        return;
    }
    memcpy(log_state.kept + log_state.kept_bytes, line, bytes);
    log_state.kept_bytes += bytes;
}

/** Guests have a say in some of the text: nothing may move a terminal's cursor or forge a line. */
static void line_clean(char *text, usize bytes)
{
    for (usize i = 0; i < bytes; i++) {
        if ((u8)text[i] < 0x20 || (u8)text[i] >= 0x7f) {
            text[i] = '?';
        }
    }
}

/** What snprintf() says it would have written, cut to what fits. */
static usize written(int answer, usize room)
{
    usize bytes = answer < 0 ? 0 : (usize)answer;

    return bytes < room ? bytes : room - 1;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    u64 now_us = port_now_ns() / 1000;
    usize bytes;
    va_list args;
    int answer;

    if (level > log_state.level || level > LOG_DEBUG) {
        return;
    }
    bytes = written(snprintf(line, sizeof(line), "[%5u.%06u] %s", (unsigned)(now_us / 1000000),
                             (unsigned)(now_us % 1000000), level_prefix[level]),
                    sizeof(line));
    va_start(args, format);
    answer = vsnprintf(line + bytes, sizeof(line) - bytes, format, args);
    va_end(args);
    if (answer >= 0 && (usize)answer >= sizeof(line) - bytes) {
        memcpy(line + sizeof(line) - 4, "...", 3); /* the mark of a cut line */
    }
    bytes += written(answer, sizeof(line) - bytes);
    line_clean(line, bytes);
    line[bytes++] = '\n'; /* in place of the NUL */

    line_keep(line, bytes);
    for (u32 i = 0; i < log_state.sink_count; i++) {
        log_state.sink[i].fn(log_state.sink[i].ctx, line, bytes);
    }
}

bool log_limit_ok(struct log_limit *limit)
{
    if (bucket_level(&limit->lines, LOG_LIMIT_BURST, LOG_LIMIT_PER_SECOND) == 0) {
        limit->suppressed++;
        return false;
    }
    bucket_take(&limit->lines, 1);
    return true;
}
