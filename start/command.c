/* SPDX-License-Identifier: BSD-2-Clause */
/* command.c - see command.h. */
#include "start/command.h"

#include <inttypes.h>
#include <string.h>

#include "start/base/parts.h"

void command_init(struct command_reader *reader, struct report *report, struct attach *attach,
                  struct pv *pv)
{
    memset(reader, 0, sizeof(*reader));
    reader->report = report;
    reader->attach = attach;
    reader->pv = pv;
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

/** words is "NAME SIZE". */
static bool run_resize(struct command_reader *reader, const char *words)
{
    char name[DISK_NAME_MAX], why[CONFIG_WHY_MAX];
    const char *blank = strchr(words, ' ');
    usize length = blank ? (usize)(blank - words) : 0;
    struct disk *disk;
    u64 bytes;
    u32 told;

    if (length == 0 || length >= sizeof(name) || !config_parse_bytes(blank + 1, &bytes)) {
        return false;
    }
    memcpy(name, words, length);
    name[length] = '\0';
    if (disks_resize(reader->attach->disks, name, bytes, &disk, why) != ST_OK) {
        log_warn("resize: %s", why);
        return true;
    }
    told = attach_disk_resized(reader->attach, disk);
    if (PART_PV) {
        told += pv_disk_resized(reader->pv, disk);
    }
    log_warn("disk '%s': %" PRIu64 " KiB from now on, %" PRIu32 " devices told", name, bytes >> 10,
             told);
    return true;
}

/** Cut "DOMID" and the blanks behind it off *line. False when there is no such number. */
static bool domid_cut(const char **line, u16 *domid)
{
    const char *p = *line;
    u32 value = 0;

    while (*p >= '0' && *p <= '9' && value <= UINT16_MAX) {
        value = value * 10 + (u32)(*p++ - '0');
    }
    if (p == *line || value > UINT16_MAX || (*p && *p != ' ')) {
        return false;
    }
    *domid = (u16)value;
    *line = p + strspn(p, " ");
    return true;
}

/** `tail` and `say`. */
static bool run_console(struct consoles *consoles, const char *line)
{
    bool tail = strncmp(line, "tail ", 5) == 0;
    bool say = strncmp(line, "say ", 4) == 0;
    const char *rest = line + (tail ? 5 : 4);
    u16 domid;

    if ((!tail && !say) || !domid_cut(&rest, &domid)) {
        return false;
    }
    if (say) {
        console_say(consoles, domid, rest);
    } else {
        console_tail(consoles, domid);
    }
    return true;
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
    } else if (strncmp(line, "resize ", 7) == 0 && run_resize(reader, line + 7)) {
        return;
    } else if (!PART_CONSOLE || !run_console(&reader->attach->consoles, line)) {
        log_warn("commands: stats, held, log error|warn|info|debug, resize NAME SIZE, %shelp",
                 PART_CONSOLE ? "tail DOMID, say DOMID TEXT, " : "");
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
