/* SPDX-License-Identifier: BSD-2-Clause */
/* xenstored.c - a small xenstored for one client. See xen.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "start/base/ring.h"

#include "tests/fake/xen.h"

#include "drivers/xen/xen_abi.h"

#define NODES     4096
#define TXS       10
#define TX_OPS    24
#define WATCHES   200
#define OUT_BYTES (1u << 20)

static struct {
    char *path, *value; /* path NULL: free */
} node[NODES];
static u32 node_count; /* no node is at or above this place */

static struct {
    u32 id; /* 0: free */
    u64 generation;
    u32 ops;
    struct {
        char *path, *value; /* value NULL: remove */
    } op[TX_OPS];
} tx[TXS];

static struct {
    char *path, *token;
    u32 cut; /* bytes of the absolute path that a relative watch leaves out */
} watch[WATCHES];

static struct xenstore_domain_interface page;
static u8 out[OUT_BYTES];
static u32 out_used;
static u8 in[16 + XENSTORE_PAYLOAD_MAX + 1];
static u32 in_used;
static u64 generation;
static u32 tx_next, conflicts;
static bool hanging;
static const char *denied;
static bool nodes_full;

static const char home[] = "/local/domain/1/";

/** Absolute form, in one of a few buffers that take turns. */
static const char *absolute(const char *path)
{
    static char buffer[4][512];
    static u32 turn;
    char *to = buffer[turn++ % 4];

    if (snprintf(to, 512, "%s%s", path[0] == '/' ? "" : home, path) >= 512) {
        abort(); /* a test's path is longer than this xenstored knows */
    }
    return to;
}

static bool below(const char *path, const char *prefix)
{
    usize length = strlen(prefix);

    return strncmp(path, prefix, length) == 0 && (path[length] == 0 || path[length] == '/');
}

/* --- answers --------------------------------------------------------------------------------- */

static void flush(void)
{
    u32 prod = page.rsp_prod;
    u32 room = ring_room(prod, page.rsp_cons, XENSTORE_RING_SIZE);
    u32 bytes = out_used < room ? out_used : room;

    if (bytes == 0) {
        return;
    }
    ring_put((u8 *)page.rsp, XENSTORE_RING_SIZE, prod, out, bytes);
    memmove(out, out + bytes, out_used - bytes);
    out_used -= bytes;
    __atomic_store_n(&page.rsp_prod, prod + bytes, __ATOMIC_RELEASE);
    fake_event(FAKE_XS_PORT);
}

static void message(u32 type, u32 req_id, u32 tx_id, const void *payload, u32 bytes)
{
    struct xsd_sockmsg header = {.type = type, .req_id = req_id, .tx_id = tx_id, .len = bytes};

    if (out_used + sizeof(header) + bytes > OUT_BYTES) {
        fprintf(stderr, "fake xenstored: too much output\n");
        abort();
    }
    memcpy(out + out_used, &header, sizeof(header));
    if (bytes) {
        memcpy(out + out_used + sizeof(header), payload, bytes);
    }
    out_used += (u32)sizeof(header) + bytes;
}

static void answer(const struct xsd_sockmsg *req, const void *payload, u32 bytes)
{
    message(req->type, req->req_id, req->tx_id, payload, bytes);
}

static void answer_text(const struct xsd_sockmsg *req, const char *text)
{
    answer(req, text, (u32)strlen(text) + 1);
}

static void refuse(const struct xsd_sockmsg *req, const char *error)
{
    message(XS_ERROR, req->req_id, req->tx_id, error, (u32)strlen(error) + 1);
}

/* --- the tree -------------------------------------------------------------------------------- */

static void watches_fire(const char *path)
{
    for (u32 i = 0; i < WATCHES; i++) {
        if (watch[i].path && (below(path, watch[i].path) || below(watch[i].path, path))) {
            char text[600];
            const char *shown = below(path, watch[i].path) ? path : watch[i].path;
            int bytes =
                snprintf(text, sizeof(text), "%s%c%s", shown + watch[i].cut, 0, watch[i].token);

            message(XS_WATCH_EVENT, 0, 0, text, (u32)bytes + 1);
        }
    }
}

static void node_set(const char *path, const char *value)
{
    u32 at = NODES;

    generation++;
    for (u32 i = 0; i < node_count; i++) {
        if (node[i].path && strcmp(node[i].path, path) == 0) {
            at = i;
            break;
        }
        if (!node[i].path && at == NODES) {
            at = i;
        }
    }
    if (at == NODES && node_count < NODES) {
        at = node_count++;
    }
    if (at == NODES) {
        fprintf(stderr, "fake xenstored: too many nodes\n");
        abort();
    }
    if (!node[at].path) {
        node[at].path = strdup(path);
    }
    free(node[at].value);
    node[at].value = strdup(value);
}

static bool node_rm(const char *path)
{
    bool found = false;

    generation++;
    for (u32 i = 0; i < node_count; i++) {
        if (node[i].path && below(node[i].path, path)) {
            free(node[i].path);
            free(node[i].value);
            node[i].path = NULL;
            node[i].value = NULL;
            found = true;
        }
    }
    while (node_count && !node[node_count - 1].path) {
        node_count--;
    }
    return found;
}

void fake_xs_set(const char *path, const char *value)
{
    node_set(absolute(path), value);
    watches_fire(absolute(path));
    flush();
}

void fake_xs_rm(const char *path)
{
    if (node_rm(absolute(path))) {
        watches_fire(absolute(path));
        flush();
    }
}

const char *fake_xs_get(const char *path)
{
    const char *full = absolute(path);

    for (u32 i = 0; i < node_count; i++) {
        if (node[i].path && strcmp(node[i].path, full) == 0) {
            return node[i].value;
        }
    }
    return NULL;
}

bool fake_xs_exists(const char *path)
{
    const char *full = absolute(path);

    for (u32 i = 0; i < node_count; i++) {
        if (node[i].path && below(node[i].path, full)) {
            return true;
        }
    }
    return false;
}

/* --- transactions ---------------------------------------------------------------------------- */

static u32 tx_find(u32 id)
{
    u32 i = 0;

    while (i < TXS && (tx[i].id != id || id == 0)) {
        i++;
    }
    return i;
}

static void tx_clear(u32 i)
{
    for (u32 k = 0; k < tx[i].ops; k++) {
        free(tx[i].op[k].path);
        free(tx[i].op[k].value);
    }
    memset(&tx[i], 0, sizeof(tx[i]));
}

u32 fake_xs_transactions(void)
{
    u32 count = 0;

    for (u32 i = 0; i < TXS; i++) {
        count += tx[i].id != 0;
    }
    return count;
}

static void tx_start(const struct xsd_sockmsg *req)
{
    char text[16];

    for (u32 i = 0; i < TXS; i++) {
        if (!tx[i].id) {
            tx[i].id = ++tx_next;
            tx[i].generation = generation;
            snprintf(text, sizeof(text), "%u", tx[i].id);
            answer_text(req, text);
            return;
        }
    }
    refuse(req, "ENOSPC");
}

static void tx_end(const struct xsd_sockmsg *req, const char *how)
{
    u32 i = tx_find(req->tx_id);

    if (i == TXS) {
        refuse(req, "ENOENT");
        return;
    }
    if (*how == 'T' && (conflicts || (tx[i].ops && tx[i].generation != generation))) {
        conflicts -= conflicts > 0;
        tx_clear(i);
        refuse(req, "EAGAIN");
        return;
    }
    answer_text(req, "OK");
    for (u32 k = 0; k < tx[i].ops && *how == 'T'; k++) {
        if (tx[i].op[k].value) {
            node_set(tx[i].op[k].path, tx[i].op[k].value);
        } else {
            (void)node_rm(tx[i].op[k].path);
        }
        watches_fire(tx[i].op[k].path);
    }
    tx_clear(i);
}

/** Change the tree: now, or when the transaction is committed. */
static void change(const struct xsd_sockmsg *req, const char *path, const char *value)
{
    const char *full = absolute(path);
    u32 i = tx_find(req->tx_id);

    if (denied && below(full, absolute(denied))) {
        refuse(req, "EACCES");
        return;
    }
    if (nodes_full && value && !fake_xs_exists(path)) {
        refuse(req, "ENOSPC");
        return;
    }
    if (req->tx_id && i == TXS) {
        refuse(req, "ENOENT");
        return;
    }
    answer_text(req, "OK");
    if (req->tx_id) {
        tx[i].op[tx[i].ops].path = strdup(full);
        tx[i].op[tx[i].ops++].value = value ? strdup(value) : NULL;
    } else if (value) {
        node_set(full, value);
        watches_fire(full);
    } else if (node_rm(full)) {
        watches_fire(full);
    }
}

/* --- requests -------------------------------------------------------------------------------- */

static void directory(const struct xsd_sockmsg *req, const char *path)
{
    static char names[XENSTORE_PAYLOAD_MAX];
    const char *full = absolute(path);
    usize length = strlen(full);
    u32 bytes = 0;

    if (!fake_xs_exists(path)) {
        refuse(req, "ENOENT");
        return;
    }
    for (u32 i = 0; i < node_count; i++) {
        const char *name;
        u32 name_bytes, at = 0;

        if (!node[i].path || !below(node[i].path, full) || node[i].path[length] == 0) {
            continue;
        }
        name = node[i].path + length + 1;
        name_bytes = (u32)strcspn(name, "/");
        while (at < bytes &&
               (strlen(names + at) != name_bytes || memcmp(names + at, name, name_bytes))) {
            at += (u32)strlen(names + at) + 1;
        }
        if (at >= bytes && bytes + name_bytes + 1 <= sizeof(names)) {
            memcpy(names + bytes, name, name_bytes);
            names[bytes + name_bytes] = 0;
            bytes += name_bytes + 1;
        }
    }
    answer(req, names, bytes);
}

static void watch_add(const struct xsd_sockmsg *req, const char *path, const char *token)
{
    for (u32 i = 0; i < WATCHES; i++) {
        if (!watch[i].path) {
            char text[600];
            int bytes = snprintf(text, sizeof(text), "%s%c%s", path, 0, token);

            watch[i].path = strdup(absolute(path));
            watch[i].token = strdup(token);
            watch[i].cut = path[0] == '/' ? 0 : sizeof(home) - 1;
            answer_text(req, "OK");
            message(XS_WATCH_EVENT, 0, 0, text, (u32)bytes + 1);
            return;
        }
    }
    refuse(req, "E2BIG");
}

static void watch_remove(const struct xsd_sockmsg *req, const char *path, const char *token)
{
    for (u32 i = 0; i < WATCHES; i++) {
        if (watch[i].path && strcmp(watch[i].path, absolute(path)) == 0 &&
            strcmp(watch[i].token, token) == 0) {
            free(watch[i].path);
            free(watch[i].token);
            watch[i].path = NULL;
            watch[i].token = NULL;
            answer_text(req, "OK");
            return;
        }
    }
    refuse(req, "ENOENT");
}

u32 fake_xs_watches(void)
{
    u32 count = 0;

    for (u32 i = 0; i < WATCHES; i++) {
        count += watch[i].path != NULL;
    }
    return count;
}

static void handle(const struct xsd_sockmsg *req, const char *payload)
{
    const char *second = payload + strlen(payload) + 1;
    char value[XENSTORE_PAYLOAD_MAX];

    switch (req->type) {
    case XS_DIRECTORY:
        directory(req, payload);
        break;
    case XS_READ:
        if (fake_xs_get(payload)) {
            answer(req, fake_xs_get(payload), (u32)strlen(fake_xs_get(payload)));
        } else {
            refuse(req, "ENOENT");
        }
        break;
    case XS_WRITE:
        snprintf(value, sizeof(value), "%.*s", (int)(req->len - (u32)(second - payload)), second);
        change(req, payload, value);
        break;
    case XS_RM:
        change(req, payload, NULL);
        break;
    case XS_WATCH:
        watch_add(req, payload, second);
        break;
    case XS_UNWATCH:
        watch_remove(req, payload, second);
        break;
    case XS_TRANSACTION_START:
        tx_start(req);
        break;
    case XS_TRANSACTION_END:
        tx_end(req, payload);
        break;
    default:
        refuse(req, "ENOSYS");
        break;
    }
}

void fake_xs_step(void)
{
    struct xsd_sockmsg header;
    u32 bytes;

    flush();
    while (!hanging && page.req_prod != page.req_cons) {
        bytes = ring_used(page.req_prod, page.req_cons);
        if (in_used < sizeof(header)) {
            bytes = bytes < sizeof(header) - in_used ? bytes : (u32)sizeof(header) - in_used;
        } else {
            memcpy(&header, in, sizeof(header));
            bytes = bytes < sizeof(header) + header.len - in_used
                        ? bytes
                        : (u32)sizeof(header) + header.len - in_used;
        }
        ring_get(in + in_used, (const u8 *)page.req, XENSTORE_RING_SIZE, page.req_cons, bytes);
        in_used += bytes;
        page.req_cons += bytes;
        memcpy(&header, in, sizeof(header));
        if (in_used >= sizeof(header) && in_used == sizeof(header) + header.len) {
            in_used = 0;
            in[sizeof(header) + header.len] = 0;
            handle(&header, (const char *)in + sizeof(header));
        }
    }
    flush();
}

void fake_xs_inject(const void *bytes, u32 count)
{
    memcpy(out + out_used, bytes, count);
    out_used += count;
    flush();
}

void fake_xs_deny(const char *prefix)
{
    denied = prefix;
}

void fake_xs_nodes_full(bool full)
{
    nodes_full = full;
}

void fake_xs_conflict(u32 n)
{
    conflicts = n;
}

void fake_xs_hang(bool hang)
{
    hanging = hang;
}

void *fake_xs_page(void)
{
    return &page;
}

void fake_xs_reset(void)
{
    (void)node_rm("");
    for (u32 i = 0; i < TXS; i++) {
        tx_clear(i);
    }
    for (u32 i = 0; i < WATCHES; i++) {
        free(watch[i].path);
        free(watch[i].token);
    }
    memset(watch, 0, sizeof(watch));
    memset(&page, 0, sizeof(page));
    out_used = 0;
    in_used = 0;
    conflicts = 0;
    tx_next = 0;
    hanging = false;
    denied = NULL;
    nodes_full = false;
}
