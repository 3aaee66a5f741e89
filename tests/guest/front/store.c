/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.c - xenstore, asked and waited for. See store.h.
 */
#include "tests/guest/front/store.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/port.h"

struct answer {
    bool there;
    enum status status;
    u32 bytes;
    u8 data[XS_PAYLOAD_MAX];
};

/* One question at a time. */
static struct answer answer;

static void answered(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct answer *a = ctx;

    (void)arg;
    a->status = reply->status;
    a->bytes = reply->bytes;
    memcpy(a->data, reply->data, reply->bytes);
    a->there = true;
}

/** xenstore's own deadline ends the wait. */
static enum status wait(struct front_machine *m, enum status st)
{
    if (st == ST_OK) {
        (void)machine_wait(m, &answer.there, FRONT_NEVER);
        st = answer.status;
    }
    return st;
}

enum status store_read(struct front_machine *m, const char *path, char *text, u32 max)
{
    enum status st;

    answer.there = false;
    st = wait(m, xs_read(&m->xs, 0, path, answered, &answer, 0));
    return st == ST_OK ? xs_decode_value(answer.data, answer.bytes, text, max) : st;
}

enum status store_number(struct front_machine *m, const char *path, u64 max, u64 *number)
{
    char text[24];
    enum status st = store_read(m, path, text, sizeof(text));

    return st == ST_OK ? xs_parse_decimal(text, max, number) : st;
}

enum status store_write(struct front_machine *m, const char *path, const char *value)
{
    answer.there = false;
    return wait(m, xs_write(&m->xs, 0, path, value, answered, &answer, 0));
}

enum status store_remove(struct front_machine *m, const char *path)
{
    answer.there = false;
    return wait(m, xs_rm(&m->xs, 0, path, answered, &answer, 0));
}

enum status store_names(struct front_machine *m, const char *path, char *names, u32 max, u32 *bytes)
{
    enum status st;

    answer.there = false;
    st = wait(m, xs_directory(&m->xs, 0, path, answered, &answer, 0));
    *bytes = st == ST_OK ? min_u32(answer.bytes, max) : 0;
    memcpy(names, answer.data, *bytes);
    return st;
}

static void changed(void *ctx, const char *path)
{
    bool *flag = ctx;

    (void)path;
    *flag = true;
}

static void watch(struct front_machine *m, const char *path, bool *flag)
{
    *flag = true;
    if (xs_watch_add(&m->xs, path, changed, flag) != ST_OK) {
        machine_refuse("xenstore takes no watch on %s", path);
    }
}

static void unwatch(struct front_machine *m, const char *path, bool *flag)
{
    if (xs_watch_remove(&m->xs, path, changed, flag) != ST_OK) {
        machine_refuse("xenstore does not end the watch on %s", path);
    }
}

bool store_wait(struct front_machine *m, const char *path, u32 states, u64 timeout_ns)
{
    u64 end_ns = port_now_ns() + timeout_ns;
    bool flag, good = false;

    watch(m, path, &flag);
    while (!good && machine_wait(m, &flag, end_ns)) {
        u64 state = 0;

        flag = false;
        if (store_number(m, path, 31, &state) != ST_OK) {
            state = 0;
        }
        good = (states & BIT32(state)) != 0;
    }
    unwatch(m, path, &flag);
    return good;
}

void store_wait_change(struct front_machine *m, const char *path, char *old, u32 max)
{
    char text[XS_VALUE_MAX];
    bool flag, good = false;

    watch(m, path, &flag);
    while (!good && machine_wait(m, &flag, FRONT_NEVER)) {
        flag = false;
        good = store_read(m, path, text, min_u32(max, sizeof(text))) == ST_OK &&
               strcmp(text, old) != 0;
    }
    memcpy(old, text, strlen(text) + 1);
    unwatch(m, path, &flag);
}
