/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_backend.c - a backend on a fake xenstore. See rig_backend.h. */
#include "tests/fake/rig_backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/evtchn.h"
#include "tests/fake/port_host.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

struct xs rig_xs;
struct backend rig_be;
struct rig_glue rig_glue;

static enum status attach(void *ctx, const struct backend_request *request, void **handle)
{
    char path[64];
    const char *state;

    assert_ptr_equal(ctx, &rig_glue);
    rig_glue.request = *request;
    snprintf(path, sizeof(path), "backend/%s/%u/%u/state",
             request->pv_block ? "vbd" : "virtio_disk", request->domid, request->devid);
    state = fake_xs_get(path);
    snprintf(rig_glue.state_at_attach, sizeof(rig_glue.state_at_attach), "%s", state ? state : "?");
    if (rig_glue.answer != ST_OK) {
        return rig_glue.answer;
    }
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        if (!rig_glue.attached[i]) {
            rig_glue.attached[i] = 1;
            rig_glue.of[i] = *request;
            rig_glue.count++;
            rig_glue.attaches++;
            *handle = &rig_glue.attached[i];
            return ST_OK;
        }
    }
    return ST_FULL;
}

static void joined_set(const u32 *attached, bool joined)
{
    bool *now = &rig_glue.joined[attached - rig_glue.attached];

    rig_glue.connected += joined;
    rig_glue.connected -= *now;
    *now = joined;
}

static void detach(void *ctx, void *handle)
{
    u32 *attached = handle;

    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*attached, 1);
    *attached = 0;
    joined_set(attached, false);
    rig_glue.count--;
    rig_glue.detaches++;
}

static bool alive(void *ctx, void *handle)
{
    u32 *attached = handle;

    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*attached, 1);
    return rig_glue.of[attached - rig_glue.attached].domid != rig_glue.dead_domid;
}

static void limit(void *ctx, void *handle, const struct backend_limits *limits)
{
    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*(u32 *)handle, 1);
    rig_glue.limits = *limits;
    rig_glue.limits_told++;
}

static const struct backend_ops ops = {
    .attach = attach, .detach = detach, .alive = alive, .limit = limit};

static bool pair(void *ctx, void *handle, bool connected, u32 i, struct backend_pair *out)
{
    static const struct backend_pair offered[] = {{"feature-a", "1"}, {"feature-b", "2"}};
    static const struct backend_pair is[] = {
        {"sectors", "8"}, {"sector-size", "512"}, {"info", "0"}};

    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*(u32 *)handle, 1);
    if (i >= (connected ? ARRAY_LEN(is) : ARRAY_LEN(offered))) {
        return false;
    }
    *out = connected ? is[i] : offered[i];
    return true;
}

static enum status connect(void *ctx, void *handle, const struct backend_front *front)
{
    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*(u32 *)handle, 1);
    rig_glue.front = *front;
    rig_glue.connects++;
    joined_set(handle, rig_glue.connect_answer == ST_OK);
    return rig_glue.connect_answer;
}

static bool disconnect(void *ctx, void *handle)
{
    assert_ptr_equal(ctx, &rig_glue);
    assert_int_equal(*(u32 *)handle, 1);
    if (rig_glue.busy > 0) {
        rig_glue.busy--;
        return false;
    }
    joined_set(handle, false);
    rig_glue.disconnects++;
    return true;
}

static const struct backend_ops pv_ops = {
    .attach = attach,
    .detach = detach,
    .alive = alive,
    .limit = limit,
    .pair = pair,
    .connect = connect,
    .disconnect = disconnect,
};

int rig_setup_pv(void **state)
{
    (void)rig_setup(state);
    backend_serve_pv(&rig_be, &pv_ops, &rig_glue);
    return 0;
}

int rig_setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    assert_int_equal(evtchn_init(fake_xen.region), ST_OK);
    memset(&rig_glue, 0, sizeof(rig_glue));
    port_host_now_ns = 1000;
    xs_init(&rig_xs, fake_xs_page(), FAKE_XS_PORT);
    backend_init(&rig_be, &rig_xs, &ops, &rig_glue);
    return 0;
}

u32 rig_run(void)
{
    for (u32 i = 0; i < 20000; i++) {
        u32 work = xs_poll(&rig_xs, 16);

        work += backend_poll(&rig_be, 16);
        fake_xs_step();
        work += xs_poll(&rig_xs, 16);
        if (work == 0) {
            return i;
        }
    }
    fail_msg("the loop does not come to rest");
    return 0;
}

void rig_wait_ns(u64 ns)
{
    u64 end = port_host_now_ns + ns;

    while (port_host_now_ns < end) {
        port_host_now_ns += ns / 64 + 1;
        (void)rig_run();
    }
}

/* --- the toolstack --------------------------------------------------------------------------- */

void rig_key_set(u16 fe, u32 devid, const char *kind, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "backend/%s/%u/%u/%s", kind, fe, devid, key);
    if (value) {
        fake_xs_set(path, value);
    } else {
        fake_xs_rm(path);
    }
}

const char *rig_disk_state(u16 fe, u32 devid)
{
    char path[64];
    const char *value;

    snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u/state", fe, devid);
    value = fake_xs_get(path);
    return value ? value : "gone";
}

void rig_disk_make(u16 fe, u32 devid)
{
    static const char *const keys[][2] = {
        {"params", "rootfs"},    {"online", "1"},
        {"removable", "0"},      {"bootable", "1"},
        {"dev", "xvda"},         {"mode", "w"},
        {"type", "standalone"},  {"device-type", "disk"},
        {"discard-enable", "1"}, {"specification", "virtio"},
        {"transport", "mmio"},   {"base", "33554432"},
        {"irq", "33"},           {"grant_usage", "0"},
    };
    char id[8];

    snprintf(id, sizeof(id), "%u", fe);
    rig_key_set(fe, devid, "virtio_disk", "frontend-id", id);
    for (u32 i = 0; i < ARRAY_LEN(keys); i++) {
        rig_key_set(fe, devid, "virtio_disk", keys[i][0], keys[i][1]);
    }
    rig_key_set(fe, devid, "virtio_disk", "state", "1");
}

void rig_disk_close(u16 fe, u32 devid)
{
    rig_key_set(fe, devid, "virtio_disk", "online", "0");
    rig_key_set(fe, devid, "virtio_disk", "state", "5");
}

void rig_disk_rm(u16 fe, u32 devid)
{
    char path[64];

    snprintf(path, sizeof(path), "backend/virtio_disk/%u/%u", fe, devid);
    fake_xs_rm(path);
}

void rig_nothing_left(void)
{
    assert_int_equal(rig_glue.count, 0);
    assert_int_equal(rig_be.attached, 0);
    assert_int_equal(rig_glue.attaches, rig_glue.detaches);
    assert_int_equal(rig_xs.slots_used, 0);
    assert_int_equal(fake_xs_transactions(), 0);
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        assert_int_equal(rig_be.device[i].state, BE_FREE);
    }
}
