/* SPDX-License-Identifier: BSD-2-Clause */
/* hostile_store.c - what a PV front end must not write to its own directory in xenstore. */
#include "tests/guest/front/hostile.h"

#include <string.h>

#include "start/base/arith.h"
#include "tests/guest/front/store.h"

#define FLAPS      12
#define LONG_BYTES 3000                 /* more than xenstored lets a guest write, by default */
#define FITS_BYTES 1900                 /* and what it does */
#define REFUSED_NS UINT64_C(1000000000) /* the backend has this long to say what it thinks */

/** Whether xenstored takes it or not. */
static enum status say(struct hostile *h, const char *key, const char *text)
{
    char path[BFRONT_PATH_MAX];

    return store_write(h->m, bfront_path(h->b, key, path), text);
}

static void drop(struct hostile *h, const char *key)
{
    char path[BFRONT_PATH_MAX];

    (void)store_remove(h->m, bfront_path(h->b, key, path));
}

/** The backend waits for keys; these are good but for one. Then that one is gone again. */
static bool connect_with(struct hostile *h, const char *key, const char *text)
{
    if (!bfront_await(h->m, h->b)) {
        return true;
    }
    (void)say(h, key, text);
    (void)say(h, "state", "3");
    (void)bfront_wait(h->m, h->b, BIT32(STATE_CONNECTED) | BIT32(STATE_CLOSING), REFUSED_NS);
    drop(h, key);
    return true;
}

#define PICK(values) (values)[h->round % ARRAY_LEN(values)]

static bool ring_ref(struct hostile *h)
{
    static const char *const texts[] = {"4294967295",          "-1", "0x10", "", "nonsense", "0",
                                        "99999999999999999999"};

    return connect_with(h, "ring-ref", PICK(texts));
}

static bool event_channel(struct hostile *h)
{
    static const char *const texts[] = {"1", "4095", "4294967295", "-1", "0", "3.5"};

    return connect_with(h, "event-channel", PICK(texts));
}

static bool ring_page_order(struct hostile *h)
{
    static const char *const texts[] = {"9", "3", "2", "4294967295", "-1", "x"};

    return connect_with(h, "ring-page-order", PICK(texts));
}

static bool num_queues(struct hostile *h)
{
    static const char *const texts[] = {"0", "5", "4", "4294967295", "-1", "18446744073709551616"};

    return connect_with(h, "multi-queue-num-queues", PICK(texts));
}

static bool protocol(struct hostile *h)
{
    static const char *const texts[] = {"nonsense", "", "x86_128-abi", "../../backend", "%s%n"};

    return connect_with(h, "protocol", PICK(texts));
}

static bool persistent(struct hostile *h)
{
    static const char *const texts[] = {"7", "yes", "-1"};

    return connect_with(h, "feature-persistent", PICK(texts));
}

static bool long_value(struct hostile *h)
{
    static const char *const keys[] = {"protocol", "ring-ref", "state", "event-channel"};
    static char text[LONG_BYTES + 1];

    memset(text, '1', LONG_BYTES);
    text[LONG_BYTES] = '\0';
    if (say(h, PICK(keys), text) != ST_OK) {
        text[FITS_BYTES] = '\0';
    }
    return connect_with(h, PICK(keys), text);
}

static bool state_nonsense(struct hostile *h)
{
    static const char *const texts[] = {"99", "-1", "", "4x", "18446744073709551620", "0", "7"};

    (void)say(h, "state", PICK(texts));
    hostile_pause(h);
    return true;
}

/** Every state in any order, and the backend is not waited for. */
static bool state_flaps(struct hostile *h)
{
    for (u32 i = 0; i < FLAPS; i++) {
        char text[] = {(char)('1' + hostile_random(h) % 6), '\0'};

        (void)say(h, "state", text);
    }
    return true;
}

/** All that a front end says is gone, its state too, while its ring is in use. */
static bool keys_removed(struct hostile *h)
{
    static const char *const keys[] = {"ring-ref", "event-channel", "protocol",
                                       "feature-persistent", "state"};

    for (u32 i = 0; i < ARRAY_LEN(keys); i++) {
        drop(h, keys[i]);
    }
    hostile_pause(h);
    return true;
}

const struct hostile_case hostile_store[] = {
    {"store_ring_ref", ring_ref},
    {"store_event_channel", event_channel},
    {"store_ring_page_order", ring_page_order},
    {"store_num_queues", num_queues},
    {"store_protocol", protocol},
    {"store_persistent", persistent},
    {"store_long_value", long_value},
    {"store_state_nonsense", state_nonsense},
    {"store_state_flaps", state_flaps},
    {"store_keys_removed", keys_removed},
};
const u32 hostile_store_count = ARRAY_LEN(hostile_store);
