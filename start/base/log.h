/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - words for people. Control plane only: nothing is logged per request.    plane: control
 *
 * A line is formatted by picolibc's vsnprintf into a fixed buffer, cut at LOG_LINE_MAX, stripped of
 * control characters (guests have a say in some of the text), given a time stamp and a level, and
 * handed to every sink added with log_sink_add(). Lines before the first sink are kept
 * (LOG_KEEP_BYTES) and shown to it when it comes.
 */
#pragma once

#include "start/base/bucket.h"
#include "start/base/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/** A sink takes whole lines, newline included. It must not block and must not log. */
typedef void (*log_sink_fn)(void *ctx, const char *text, usize bytes);

void log_init(void);
void log_level_set(enum log_level level);
/** Returns false when LOG_SINKS_MAX sinks are there already. */
bool log_sink_add(log_sink_fn fn, void *ctx);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/**
 * A token bucket for complaints a guest can provoke. One per guest or per queue, never global,
 * so that one guest cannot silence another.
 */
struct log_limit {
    struct bucket lines;
    u32 suppressed; /* lines not shown since the last shown one */
};

/** True when a line may be shown now (LOG_LIMIT_BURST lines, then LOG_LIMIT_PER_SECOND). */
bool log_limit_ok(struct log_limit *limit);
