/* SPDX-License-Identifier: BSD-2-Clause */
/* pvfront.c - see pvfront.h. Lays its entries out by hand, not with the engine's tables. */
#include "tests/fake/pvfront.h"

#include <stdio.h>
#include <string.h>

#include "start/base/check.h"

#define PAGE        4096u
#define ENTRY_BYTES 112u
#define FIRST_DATA  (PVFRONT_RINGS * PVFRONT_RING_PAGES) /* page of the guest */

/* --- libxl ----------------------------------------------------------------------------------- */

void pvfront_key_set(u16 domid, u32 devid, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "backend/vbd/%u/%u%s%s", domid, devid, key ? "/" : "",
             key ? key : "");
    if (value) {
        fake_xs_set(path, value);
    } else {
        fake_xs_rm(path);
    }
}

const char *pvfront_key(u16 domid, u32 devid, const char *key)
{
    char path[128];
    const char *value;

    snprintf(path, sizeof(path), "backend/vbd/%u/%u/%s", domid, devid, key);
    value = fake_xs_get(path);
    return value ? value : "gone";
}

void pvfront_disk_make(u16 domid, u32 devid, const char *target, const char *mode)
{
    const char *const keys[][2] = {
        {"params", target},      {"script", "/etc/xen/scripts/block"},
        {"online", "1"},         {"removable", "0"},
        {"bootable", "1"},       {"dev", "xvda"},
        {"type", "phy"},         {"mode", mode},
        {"device-type", "disk"}, {"discard-enable", "1"},
    };
    char text[64];

    snprintf(text, sizeof(text), "/local/domain/%u/device/vbd/%u/state", domid, devid);
    fake_xs_set(text, "1");
    text[strlen(text) - strlen("/state")] = 0;
    pvfront_key_set(domid, devid, "frontend", text);
    snprintf(text, sizeof(text), "%u", domid);
    pvfront_key_set(domid, devid, "frontend-id", text);
    for (u32 i = 0; i < ARRAY_LEN(keys); i++) {
        pvfront_key_set(domid, devid, keys[i][0], keys[i][1]);
    }
    pvfront_key_set(domid, devid, "state", "1");
}

void pvfront_disk_close(u16 domid, u32 devid)
{
    pvfront_key_set(domid, devid, "online", "0");
    pvfront_key_set(domid, devid, "state", "5");
}

void pvfront_disk_force(u16 domid, u32 devid)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/device/vbd/%u", domid, devid);
    fake_xs_rm(path);
    pvfront_disk_close(domid, devid);
}

/* --- the guest ------------------------------------------------------------------------------- */

static u32 ref_of(u32 page)
{
    return page + 1; /* 0 grants nothing */
}

static u8 *guest_page(const struct pvfront *front, u32 page)
{
    return fake_guest_byte(front->guest, FAKE_GUEST_BASE + (u64)page * PAGE);
}

static u8 *ring_at(const struct pvfront *front, u32 ring)
{
    return guest_page(front, ring * PVFRONT_RING_PAGES);
}

static u32 entries(const struct pvfront *front)
{
    u32 room = ((PAGE << front->order) - 64) / ENTRY_BYTES;
    u32 count = 1;

    while (count * 2 <= room) {
        count *= 2;
    }
    return count;
}

void pvfront_open(struct pvfront *front, struct fake_guest *guest, u32 devid, u32 rings, u32 order,
                  bool persistent)
{
    *front = (struct pvfront){
        .guest = guest,
        .devid = devid,
        .rings = rings,
        .order = order,
        .persistent = persistent,
    };
    for (u32 i = 0; i < FIRST_DATA + PVFRONT_PAGES; i++) {
        guest->grant[ref_of(i)].valid = true;
        guest->grant[ref_of(i)].read_only = false;
        guest->grant[ref_of(i)].gfn = FAKE_GUEST_BASE / PAGE + i;
    }
    for (u32 i = 0; i < rings; i++) {
        memset(ring_at(front, i), 0, PAGE);
        *pvfront_index(front, i, 1) = 1;
        *pvfront_index(front, i, 3) = 1;
        guest->front_port[i].open = true;
    }
}

void pvfront_say(const struct pvfront *front, const char *key, const char *value)
{
    char path[128];

    snprintf(path, sizeof(path), "/local/domain/%u/device/vbd/%u/%s", front->guest->domid,
             front->devid, key);
    if (value) {
        fake_xs_set(path, value);
    } else {
        fake_xs_rm(path);
    }
}

static void say_number(const struct pvfront *front, const char *key, u32 number)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", number);
    pvfront_say(front, key, text);
}

void pvfront_state(const struct pvfront *front, u32 state)
{
    say_number(front, "state", state);
}

void pvfront_join(const struct pvfront *front)
{
    char key[48];

    if (front->rings > 1) {
        say_number(front, "multi-queue-num-queues", front->rings);
    }
    if (front->order > 0) {
        say_number(front, "ring-page-order", front->order);
    }
    for (u32 q = 0; q < front->rings; q++) {
        int used = front->rings > 1 ? snprintf(key, sizeof(key), "queue-%u/", q) : 0;

        for (u32 p = 0; p < 1u << front->order; p++) {
            if (front->order > 0) {
                snprintf(key + used, 32, "ring-ref%u", p);
            } else {
                snprintf(key + used, 32, "ring-ref");
            }
            say_number(front, key, ref_of(q * PVFRONT_RING_PAGES + p));
        }
        snprintf(key + used, 32, "event-channel");
        say_number(front, key, FAKE_FRONT_PORT + q);
    }
    pvfront_say(front, "protocol", "arm-abi");
    pvfront_say(front, "feature-persistent", front->persistent ? "1" : "0");
    pvfront_state(front, 3);
}

u8 *pvfront_page(const struct pvfront *front, u32 page)
{
    CHECK(page < PVFRONT_PAGES);
    return guest_page(front, FIRST_DATA + page);
}

struct fake_grant *pvfront_grant(const struct pvfront *front, u32 page)
{
    return &front->guest->grant[ref_of(FIRST_DATA + page)];
}

u32 *pvfront_index(const struct pvfront *front, u32 ring, u32 which)
{
    return (u32 *)(void *)(ring_at(front, ring) + (usize)which * 4);
}

void pvfront_put(struct pvfront *front, u32 ring, u8 op, u64 id, u64 sector, u32 page, u32 count)
{
    u32 idx = front->prod[ring]++ & (entries(front) - 1);
    u8 *entry = ring_at(front, ring) + 64 + (usize)idx * ENTRY_BYTES;

    memset(entry, 0, ENTRY_BYTES);
    entry[0] = op;
    entry[1] = (u8)count;
    memcpy(entry + 8, &id, 8);
    memcpy(entry + 16, &sector, 8);
    for (u32 i = 0; i < count && i < 11; i++) {
        u32 ref = ref_of(FIRST_DATA + page + i);

        memcpy(entry + 24 + (usize)i * 8, &ref, 4);
        entry[24 + i * 8 + 5] = 7;
    }
}

void pvfront_push(struct pvfront *front, u32 ring)
{
    __atomic_store_n(pvfront_index(front, ring, 0), front->prod[ring], __ATOMIC_RELEASE);
}

bool pvfront_take(struct pvfront *front, u32 ring, struct pvfront_answer *answer)
{
    u32 idx = front->cons[ring] & (entries(front) - 1);
    const u8 *entry = ring_at(front, ring) + 64 + (usize)idx * ENTRY_BYTES;

    if (*pvfront_index(front, ring, 2) == front->cons[ring]) {
        return false;
    }
    front->cons[ring]++;
    memcpy(&answer->id, entry, 8);
    answer->op = entry[8];
    memcpy(&answer->status, entry + 10, 2);
    return true;
}
