/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * consoles.h - what guests say on their virtio consoles, and what they are told.  plane: control
 *
 * Each line of a guest appears in our log behind the name of its device, at a limited rate:
 *
 *   [   12.345678] dom5/0 console| Debian GNU/Linux 13 guest hvc1
 *
 * Lines above the rate are counted instead. Of everything, shown or not, the last
 * CONSOLE_KEPT_BYTES are kept; `tail DOMID` shows them, an unfinished line (a prompt) included.
 * `say DOMID TEXT` types a line. What moves a cursor or paints is left out: the reader is a log.
 */
#pragma once

#include "start/base/bucket.h"
#include "start/base/limits.h"
#include "start/base/status.h"
#include "virtio/vconsole.h"

#define CONSOLE_LINE_BYTES       160  /* of a guest's line in the log; the rest is the next line */
#define CONSOLE_KEPT_BYTES       2048 /* kept per guest; power of two; our own backlog is larger */
#define CONSOLE_TAIL_LINES       40   /* shown by `tail` at most */
#define CONSOLE_LINES_BURST      64   /* lines of a guest in our log at once ... */
#define CONSOLE_LINES_PER_SECOND 16   /* ... and in the long run */

/** Where the bytes of an escape sequence are; they are left out [ECMA-48] 5.4. */
enum console_escape { CONSOLE_TEXT, CONSOLE_ESCAPE, CONSOLE_SEQUENCE };

struct guest_console {
    struct vconsole *vc; /* NULL: free */
    const char *name;    /* the device's */
    u16 domid;
    enum console_escape escape;
    struct bucket rate;
    u32 hidden; /* lines not shown since the last shown one */
    u32 line_bytes;
    char line[CONSOLE_LINE_BYTES + 1];
    u32 kept_head; /* free-running: the last CONSOLE_KEPT_BYTES before it are there */
    char kept[CONSOLE_KEPT_BYTES];
};

struct consoles {
    struct guest_console console[CONSOLES_MAX];
};

/**
 * A console for device vc of a guest, called name (kept); console_output() of *console is its sink.
 * ST_OK; ST_FULL when there are CONSOLES_MAX already, and a line has said so.
 */
enum status console_open(struct consoles *consoles, u16 domid, const char *name,
                         struct vconsole *vc, struct guest_console **console);
void console_close(struct guest_console *console);

/** A vconsole_sink_fn; ctx is the struct guest_console. */
void console_output(void *ctx, const u8 *bytes, u32 count);

/** Type a line at the guest's console, the first one it has. Logs why when it cannot. */
void console_say(struct consoles *consoles, u16 domid, const char *text);
/** Log what is kept of the guest. */
void console_tail(const struct consoles *consoles, u16 domid);
