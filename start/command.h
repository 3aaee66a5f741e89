/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - the few words `xl console` may type.                               plane: control
 *
 *   stats          every counter (start/report.h)
 *   held           what is held on behalf of guests
 *   tail DOMID     the last lines of a guest's console (start/consoles.h)
 *   say DOMID TEXT type a line there
 *   log LEVEL      error, warn, info or debug
 *   resize NAME SIZE    give the disk another size, such as 64M; its guests are told
 *   help           this list
 *
 * Typed by the toolstack's people, not by guests; still bounded: a line is COMMAND_LINE_MAX bytes.
 */
#pragma once

#include "start/attach.h"
#include "start/pv.h"
#include "start/report.h"

#define COMMAND_LINE_MAX 160 /* bytes of a line, NUL included; longer ones are refused whole */

struct command_reader {
    struct report *report;
    struct attach *attach;
    struct pv *pv;
    char line[COMMAND_LINE_MAX];
    u32 used;
    bool too_long;
};

void command_init(struct command_reader *reader, struct report *report, struct attach *attach,
                  struct pv *pv);
/** Take typed bytes; runs every line that is complete. */
void command_feed(struct command_reader *reader, const char *text, usize bytes);
