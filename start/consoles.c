/* SPDX-License-Identifier: BSD-2-Clause */
/* consoles.c - see consoles.h. Everything a guest says is text of a stranger. */
#include "start/consoles.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"

STATIC_CHECK((CONSOLE_KEPT_BYTES & (CONSOLE_KEPT_BYTES - 1)) == 0, "indices are masked");
STATIC_CHECK(CONSOLE_LINE_BYTES + 64 + 32 <= LOG_LINE_MAX, "a line, a name and the time");

/* --- who has one ------------------------------------------------------------------------------ */

enum status console_open(struct consoles *consoles, u16 domid, const char *name,
                         struct vconsole *vc, struct guest_console **console)
{
    for (u32 i = 0; i < CONSOLES_MAX; i++) {
        if (!consoles->console[i].vc) {
            *console = &consoles->console[i];
            **console = (struct guest_console){.vc = vc, .name = name, .domid = domid};
            return ST_OK;
        }
    }
    log_error("%s: %d consoles are served already (CONSOLES_MAX)", name, CONSOLES_MAX);
    return ST_FULL;
}

void console_close(struct guest_console *console)
{
    console->vc = NULL;
}

/** Which console is the guest's; CONSOLES_MAX: none, and a line has said so. */
static u32 console_find(const struct consoles *consoles, u16 domid)
{
    u32 i = 0;

    while (i < CONSOLES_MAX && !(consoles->console[i].vc && consoles->console[i].domid == domid)) {
        i++;
    }
    if (i == CONSOLES_MAX) {
        log_warn("dom%u has no console here: its configuration needs "
                 "virtio=[\"type=virtio,device3,...\"]",
                 domid);
    }
    return i;
}

/* --- what it says ----------------------------------------------------------------------------- */

static void line_show(struct guest_console *console)
{
    if (bucket_level(&console->rate, CONSOLE_LINES_BURST, CONSOLE_LINES_PER_SECOND) == 0) {
        console->hidden++;
    } else {
        bucket_take(&console->rate, 1);
        if (console->hidden > 0) {
            log_info("%s: %u lines are not shown: too many per second", console->name,
                     (unsigned)console->hidden);
        }
        console->hidden = 0;
        console->line[console->line_bytes] = '\0';
        log_info("%s| %s", console->name, console->line);
    }
    console->line_bytes = 0;
}

static void text_add(struct guest_console *console, char c)
{
    console->kept[console->kept_head++ % CONSOLE_KEPT_BYTES] = c;
    if (c != '\n') {
        console->line[console->line_bytes++] = c;
    }
    if (c == '\n' || console->line_bytes == CONSOLE_LINE_BYTES) {
        line_show(console);
    }
}

/** ESC [ parameters final, or ESC and one byte. */
static enum console_escape escape_next(enum console_escape at, u8 byte)
{
    if (at == CONSOLE_ESCAPE && byte == '[') {
        return CONSOLE_SEQUENCE;
    }
    if (at == CONSOLE_SEQUENCE && byte >= 0x20 && byte < 0x40) {
        return CONSOLE_SEQUENCE;
    }
    return CONSOLE_TEXT;
}

void console_output(void *ctx, const u8 *bytes, u32 count)
{
    struct guest_console *console = ctx;

    for (u32 i = 0; i < count; i++) {
        if (console->escape != CONSOLE_TEXT) {
            console->escape = escape_next(console->escape, bytes[i]);
        } else if (bytes[i] == 0x1b) {
            console->escape = CONSOLE_ESCAPE;
        } else if (bytes[i] >= 0x20 || bytes[i] == '\n') {
            text_add(console, (char)bytes[i]);
        } else if (bytes[i] == '\t') {
            text_add(console, ' ');
        }
    }
}

/* --- commands ------------------------------------------------------------------------------- */

void console_say(struct consoles *consoles, u16 domid, const char *text)
{
    u32 i = console_find(consoles, domid);
    char line[VCONSOLE_INPUT_BYTES];
    u32 bytes = (u32)min_u64(strlen(text), sizeof(line) - 1);

    if (i == CONSOLES_MAX) {
        return;
    }
    memcpy(line, text, bytes);
    line[bytes] = '\n';
    if (!vconsole_input(consoles->console[i].vc, line, bytes + 1)) {
        log_warn("%s: the guest does not read what it was told before: nothing was typed",
                 consoles->console[i].name);
    }
}

/** Where the last CONSOLE_TAIL_LINES of what is kept begin. */
static u32 tail_start(const struct guest_console *console)
{
    u32 head = console->kept_head;
    u32 kept = min_u32(head, CONSOLE_KEPT_BYTES);
    u32 bytes = 0, ends = 0;

    while (bytes < kept) {
        if (console->kept[(head - bytes - 1) % CONSOLE_KEPT_BYTES] == '\n' &&
            ++ends > CONSOLE_TAIL_LINES) {
            break;
        }
        bytes++;
    }
    return head - bytes;
}

void console_tail(const struct consoles *consoles, u16 domid)
{
    u32 i = console_find(consoles, domid);
    const struct guest_console *console = &consoles->console[i];
    char line[CONSOLE_LINE_BYTES + 1];
    u32 used = 0;

    if (i == CONSOLES_MAX) {
        return;
    }
    for (u32 at = tail_start(console); at != console->kept_head; at++) {
        char c = console->kept[at % CONSOLE_KEPT_BYTES];

        line[used] = c == '\n' ? '\0' : c;
        used += c != '\n';
        if (c == '\n' || used == CONSOLE_LINE_BYTES || at + 1 == console->kept_head) {
            line[used] = '\0';
            log_info("%s| %s", console->name, line);
            used = 0;
        }
    }
}
