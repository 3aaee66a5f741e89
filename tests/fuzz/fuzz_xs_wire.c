/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_xs_wire.c - the input plays xenstored: its bytes go into the answer ring, and it moves the
 * clock and the ring's indices. The client and the backend above it must end every request exactly
 * once and attach nothing twice, whatever is said.
 *
 *   input = actions; one byte says which, what it needs follows
 */
#include <stdio.h>
#include <string.h>

#include "start/base/check.h"

#include "drivers/xen/backend.h"
#include "drivers/xen/evtchn.h"
#include "drivers/xen/xen_abi.h"
#include "drivers/xen/xs.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct xs xs;
static struct backend be;
static u32 attached[DEVICES_MAX];
static bool garbage; /* the indices are spoilt: the fake xenstored must not follow them */

static enum status attach(void *ctx, const struct backend_request *request, void **handle)
{
    (void)ctx;
    CHECK(request->irq >= 32 && request->mmio_base % 0x200 == 0 && request->mmio_base != 0);
    CHECK(memchr(request->target, 0, sizeof(request->target)));
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (!attached[i]) {
            attached[i] = 1;
            *handle = &attached[i];
            return request->devid % 5 ? ST_OK : (attached[i] = 0, ST_FULL);
        }
    }
    return ST_FULL;
}

static void detach(void *ctx, void *handle)
{
    u32 *mine = handle;

    (void)ctx;
    CHECK(*mine == 1);
    *mine = 0;
}

static bool alive(void *ctx, void *handle)
{
    (void)ctx;
    return *(u32 *)handle && port_host_now_ns % 3 != 0;
}

static const struct backend_ops ops = {.attach = attach, .detach = detach, .alive = alive};

struct input {
    const u8 *data;
    usize left;
};

static u8 next(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

/** A message whose header is mostly right: random headers would not come far. */
static void message(struct input *in)
{
    static const u8 types[] = {XS_DIRECTORY, XS_READ,  XS_WATCH, XS_TRANSACTION_START,
                               XS_WRITE,     XS_ERROR, XS_RM,    XS_TRANSACTION_END};
    struct xsd_sockmsg header = {.type = types[next(in) % sizeof(types)]};
    u8 slot = next(in);
    u8 payload[64];

    header.req_id = slot < XS_SLOTS ? xs.slot[slot].req_id : slot;
    if (slot < XS_SLOTS && xs.slot[slot].req_id && header.type != XS_ERROR) {
        header.type = xs.slot[slot].type;
    }
    header.len = next(in) % (sizeof(payload) + 1);
    for (u32 i = 0; i < header.len; i++) {
        payload[i] = next(in);
    }
    fake_xs_inject(&header, sizeof(header));
    fake_xs_inject(payload, header.len);
}

static void event(struct input *in)
{
    char payload[48] = "backend/";
    u32 bytes = 8 + next(in) % 32;
    struct xsd_sockmsg header = {.type = XS_WATCH_EVENT, .len = bytes + 4};

    for (u32 i = 8; i < bytes; i++) {
        payload[i] = (char)next(in);
    }
    memcpy(payload + bytes, "\0w0", 4);
    fake_xs_inject(&header, sizeof(header));
    fake_xs_inject(payload, header.len);
}

static void raw(struct input *in)
{
    u32 bytes = next(in);

    for (u32 i = 0; i < bytes; i++) {
        u8 byte = next(in);

        fake_xs_inject(&byte, 1);
    }
}

static void garbage_index(struct input *in)
{
    struct xenstore_domain_interface *page = fake_xs_page();

    garbage = true;
    if (next(in) % 2) {
        page->rsp_prod += next(in) * 64u;
    } else {
        page->req_cons += next(in) * 64u;
    }
}

/** A toolstack: keys that mostly exist, with values that mostly make sense. */
static void toolstack(struct input *in)
{
    static const char *const keys[] = {"state", "online",     "frontend-id", "transport",
                                       "base",  "irq",        "mode",        "params",
                                       "type",  "grant_usage"};
    static const char *const values[] = {"1",  "0", "5",    "mmio",           "0x2000000",
                                         "33", "w", "disk", "virtio,device2", "6"};
    char path[96];
    char value[24];
    u8 what = next(in);
    u8 how = next(in);
    u32 bytes = how % sizeof(value);

    snprintf(path, sizeof(path), "backend/%s/%u/%u/%s", what & 0x80 ? "virtio" : "virtio_disk",
             5 + (what >> 5) % 3, what >> 4 & 1, keys[what % 10]);
    for (u32 i = 0; i < bytes; i++) {
        value[i] = (char)(next(in) | 1);
    }
    value[bytes] = 0;
    if (how == 0xff) {
        path[strrchr(path, '/') - path] = 0;
        fake_xs_rm(path);
    } else {
        fake_xs_set(path, how & 0x80 ? value : values[how % 10]);
    }
}

/** A whole disk at once, as libxl writes it. */
static void disk(struct input *in)
{
    static const char *const keys[][2] = {
        {"online", "1"}, {"transport", "mmio"}, {"base", "0x2000000"}, {"irq", "33"},
        {"mode", "w"},   {"frontend-id", NULL}, {"state", "1"}};
    u8 fe = 5 + next(in) % 3;
    char path[96];
    char id[8];

    snprintf(id, sizeof(id), "%u", fe);
    for (u32 i = 0; i < ARRAY_LEN(keys); i++) {
        snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u/%s", fe, fe % 2, keys[i][0]);
        fake_xs_set(path, keys[i][1] ? keys[i][1] : id);
    }
}

static void answer(struct input *in)
{
    if (garbage) {
        return;
    }
    fake_xs_conflict(next(in) % 16 == 0);
    fake_xs_hang(false);
    fake_xs_step();
    fake_xs_hang(true);
}

static void turn(struct input *in)
{
    for (u32 i = next(in) % 8; i > 0; i--) {
        (void)xs_poll(&xs, 4);
        (void)backend_poll(&be, 4);
    }
}

static void act(struct input *in)
{
    switch (next(in) % 12) {
    case 0:
    case 1:
        message(in);
        break;
    case 2:
        event(in);
        break;
    case 3:
        raw(in);
        break;
    case 4:
        port_host_now_ns += (u64)next(in) << 26;
        break;
    case 5:
        if (next(in) == 0xff) {
            garbage_index(in);
        }
        break;
    case 6:
    case 7:
        toolstack(in);
        break;
    case 8:
        disk(in);
        break;
    case 9:
    case 10:
        turn(in);
        answer(in);
        break;
    default:
        turn(in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};
    static bool once;
    u32 count = 0;

    if (!once) {
        fake_xen_reset(FAKE_CONTROL);
        CHECK(evtchn_init(fake_xen.region) == ST_OK);
        once = true;
    }
    said_reset();
    fake_xs_reset();
    fake_xs_hang(true);
    garbage = false;
    port_host_now_ns = 1;
    memset(attached, 0, sizeof(attached));
    xs_init(&xs, fake_xs_page(), FAKE_XS_PORT);
    backend_init(&be, &xs, &ops, NULL);
    while (in.left > 0) {
        act(&in);
    }
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        count += attached[i];
    }
    CHECK(count == be.attached);
    CHECK(be.attaches - be.detaches == count);
    return 0;
}
