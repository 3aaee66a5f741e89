/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_classes.c - the entropy and the console device under a driver that does anything.
 *
 * The first byte chooses the class; then come register accesses, chains of any shape, turns, input
 * and time. What must hold: a turn keeps near its budget, no more random bytes than the rate
 * allows, nothing stays in flight after a turn. Afterwards the device serves.
 */
#include <string.h>

#include "tests/fake/driver.h"
#include "tests/fake/port_host.h"
#include "virtio/vconsole.h"
#include "virtio/ventropy.h"

#define ACTIONS_MAX 1024
#define PIECES_MAX  6
#define QUEUE_SIZE  16

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct arena arena;
static struct vmmio mmio;
static struct driver drv[2];
static struct ventropy ve;
static struct vconsole vc;
static struct vdev *dev;
static struct vq_chain chain;
static u64 filled, shown, begun_ns;

struct input {
    const u8 *at;
    usize left;
};

static u32 take(struct input *in, u32 width)
{
    u32 value = 0;

    for (u32 i = 0; i < width && in->left > 0; i++) {
        value |= (u32)*in->at++ << (8 * i);
        in->left--;
    }
    return value;
}

static void check(bool condition, const char *what)
{
    if (!condition) {
        panic("%s", what);
    }
}

static void source(void *to, usize bytes)
{
    memset(to, 0x5a, bytes);
    filled += bytes;
}

static void sink(void *ctx, const u8 *bytes, u32 count)
{
    (void)ctx;
    (void)bytes;
    shown += count;
}

static void device_make(bool console)
{
    filled = shown = 0;
    port_host_now_ns = begun_ns = 1000000000;
    arena_init(&arena, 2, KIB(256));
    ventropy_init(&ve, &(struct ventropy_init){&arena.gm, &chain, "entropy", source});
    vconsole_init(&vc, &(struct vconsole_init){&arena.gm, &chain, "console", sink, NULL});
    dev = console ? &vc.vdev : &ve.vdev;
    vmmio_init(&mmio, dev, driver_irq, &drv[0]);
}

/** Everything up to DRIVER_OK, as a good driver does it. */
static void driver_begin(void)
{
    for (u32 q = 0; q < dev->queue_count; q++) {
        driver_init(&drv[q], &arena, &mmio);
        drv[q].queue = q;
        drv[q].free = ARENA_BASE + q * KIB(64);
    }
    check(driver_negotiate(&drv[0], UINT64_MAX), "FEATURES_OK did not stick");
    drv[1].features = drv[0].features;
    for (u32 q = 0; q < dev->queue_count; q++) {
        check(driver_queue(&drv[q], QUEUE_SIZE), "a good queue was refused");
    }
    driver_set(&drv[0], REG_STATUS, 0xf);
}

static void turn(u32 budget)
{
    /* One chain may be more than the budget; malformed ones count until the queue is broken. */
    u32 most = budget + 1 + VCONSOLE_CHAIN_BYTES / VCONSOLE_UNIT + 2 * VQ_COMPLAINTS_MAX +
               VCONSOLE_INPUT_BYTES;
    u64 earned = (port_host_now_ns - begun_ns) / (1000000000 / VENTROPY_PER_SECOND);

    check(dev->ops->poll(dev, budget) <= most, "a turn without end");
    for (u32 q = 0; q < dev->queue_count; q++) {
        check(virtq_in_flight(&dev->queue[q].vq) == 0, "a chain stays in flight");
    }
    check(filled <= VENTROPY_BURST + earned + 1, "more random bytes than the rate allows");
}

static void act_access(struct input *in)
{
    static const u8 widths[] = {4, 4, 4, 4, 1, 2, 8, 3};
    u32 code = take(in, 2);
    u64 data = code & 0x8000 ? take(in, 4) : 0;

    vmmio_access(&mmio, code & 0x1ff, widths[code >> 9 & 7], (code & 0x8000) != 0, &data);
}

static void act_chain(struct input *in)
{
    struct driver *d = &drv[take(in, 1) % dev->queue_count];
    struct driver_piece piece[PIECES_MAX];
    u32 count = 1 + take(in, 1) % PIECES_MAX;

    for (u32 i = 0; i < count; i++) {
        u32 shape = take(in, 1);

        piece[i].addr = shape & 2 ? take(in, 2) : ARENA_BASE + KIB(128) + take(in, 2);
        piece[i].bytes = shape & 4 ? take(in, 3) : take(in, 1);
        piece[i].write = (shape & 1) != 0;
    }
    driver_offer(d, driver_chain(d, piece, count));
}

static void act(struct input *in)
{
    u32 action = take(in, 1);

    if (action < 60) {
        act_access(in);
    } else if (action < 150) {
        act_chain(in);
    } else if (action < 200) {
        turn(take(in, 1) % 70);
    } else if (action < 215) {
        port_host_now_ns += (u64)take(in, 2) * 10000;
    } else if (action < 230) {
        (void)vconsole_input(&vc, "some text that is typed", take(in, 1) % 24);
    } else if (action < 240) {
        arena_put16(&arena, drv[action & 1].avail + 2, (u16)take(in, 2));
    } else if (action < 245) {
        check(!vdev_arm(dev) || !vdev_idle(dev), "awake without work");
    } else {
        driver_begin();
    }
}

/** After all that: a good driver gets what it asks for. */
static void must_serve(void)
{
    const struct driver_piece piece = {ARENA_BASE + KIB(200), 64, dev == &ve.vdev};
    struct driver *d = &drv[dev->queue_count - 1];
    u64 before = filled + shown;
    u32 id, written;

    driver_begin();
    port_host_now_ns += 1000000000;
    driver_offer(d, driver_chain(d, &piece, 1));
    turn(64);
    check(driver_take(d, &id, &written), "the device does not serve any more");
    check(filled + shown == before + 64, "and what it serves is wrong");
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};

    device_make((take(&in, 1) & 1) != 0);
    driver_begin();
    for (u32 i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&in);
    }
    must_serve();
    check(vdev_shutdown(dev) && arena_pinned(&arena) == 0, "something is held at the end");
    arena_free(&arena);
    return 0;
}
