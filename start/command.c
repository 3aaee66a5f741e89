/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c - see command.h. */
#include "start/command.h"

#include <string.h>

void command_init(struct command_reader *reader, struct report *report)
{
    memset(reader, 0, sizeof(*reader));
    reader->report = report;
}

static bool run_log(const char *level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (u32 i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(level, names[i]) == 0) {
            log_level_set((enum log_level)i);
            return true;
        }
    }
    return false;
}

static void run_line(struct command_reader *reader)
{
    const char *line = reader->line;

    if (strcmp(line, "stats") == 0) {
        report_all(reader->report);
    } else if (strcmp(line, "held") == 0) {
        report_held(reader->report);
    } else if (strncmp(line, "log ", 4) == 0 && run_log(line + 4)) {
        log_warn("log level is now %s", line + 4);
    } else {
        log_warn("commands: stats, held, log error|warn|info|debug, help");
    }
}

void command_feed(struct command_reader *reader, const char *text, usize bytes)
{
    for (usize i = 0; i < bytes; i++) {
        if (text[i] == '\r' || text[i] == '\n') {
            reader->line[reader->used] = '\0';
            if (reader->too_long) {
                log_warn("that line is too long for a command");
            } else if (reader->used > 0) {
                run_line(reader);
            }
            reader->used = 0;
            reader->too_long = false;
        } else if (reader->used + 1 < COMMAND_LINE_MAX) {
            reader->line[reader->used++] = text[i];
        } else {
            reader->too_long = true;
        }
    }
}
