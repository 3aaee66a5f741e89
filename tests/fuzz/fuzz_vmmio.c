/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vmmio.c - any sequence of register accesses, with polls and requests in between.
 *
 * What must hold after every access: the device's status is one that the specification knows, a
 * queue is ready only with a ring in guest memory, unknown offsets read as zero. Afterwards the
 * device serves.
 */
#include <string.h>

#include "tests/fake/bench.h"

#define ACCESSES_MAX 1024

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct bench b;

struct input {
    const u8 *at;
    usize left;
};

static u64 take(struct input *in, u32 width)
{
    u64 value = 0;

    for (u32 i = 0; i < width && in->left > 0; i++) {
        value |= (u64)*in->at++ << (8 * i);
        in->left--;
    }
    return value;
}

/** Values a driver writes, and values that are near to them. */
static u64 take_value(struct input *in)
{
    u64 choice = take(in, 1);

    if (choice < 64) {
        return choice;
    }
    if (choice < 128) {
        return ARENA_BASE + (choice - 64) * 256;
    }
    if (choice < 192) {
        return UINT64_C(1) << (choice - 128);
    }
    return take(in, choice < 224 ? 4 : 8);
}

static void check(bool condition, const char *what)
{
    if (!condition) {
        panic("%s", what);
    }
}

static void invariants(void)
{
    const struct vdev *dev = &b.vb.vdev;
    u32 status = driver_get(&b.drv, REG_STATUS);

    check(!(status & VIRTIO_STATUS_DRIVER_OK) || (status & VIRTIO_STATUS_FEATURES_OK),
          "DRIVER_OK without FEATURES_OK");
    check(!(status & VIRTIO_STATUS_FEATURES_OK) || (dev->features >> VIRTIO_F_VERSION_1 & 1),
          "FEATURES_OK without VERSION_1");
    check((dev->features & ~dev->offered) == 0, "a feature that was not offered");
    check(dev->queue[0].vq.state == VQ_OFF || dev->queue[0].vq.pin_count >= 3 || dev->resetting,
          "a ready queue without its ring");
    check(!dev->live || (status & VIRTIO_STATUS_DRIVER_OK), "live without DRIVER_OK");
}

static void act_access(struct input *in)
{
    static const u8 widths[] = {4, 4, 4, 4, 4, 4, 1, 2, 8, 0, 3, 16};
    u32 code = (u32)take(in, 2);
    u32 offset = code & 0x1ff;
    u8 width = widths[(code >> 9 & 0x3f) % ARRAY_LEN(widths)];
    bool write = (code & 0x8000) != 0;
    u64 data = write ? take_value(in) : 0;

    vmmio_access(&b.mmio, offset, width, write, &data);
    if (!write && width != 0 && width < 8) {
        check(width == 3 || data >> (8 * width) == 0, "a read wider than its access");
    }
}

static void act_request(struct input *in)
{
    struct driver_blk blk;

    b.drv.free = ARENA_BASE + KIB(512);
    driver_blk_make(&b.drv, &blk, (u32)take(in, 1) % 12, take(in, 2), (u32)take(in, 1) * 512);
    driver_blk_offer(&b.drv, &blk, take(in, 1) & 1);
}

static void act(struct input *in)
{
    u64 action = take(in, 1);

    if (action < 200) {
        act_access(in);
    } else if (action < 215) {
        vblk_poll(&b.vb, (u32)take(in, 1) % 16);
    } else if (action < 225) {
        act_request(in);
    } else if (action < 230) {
        vdev_config_changed(&b.vb.vdev);
    } else if (action < 235) {
        b.faulty.stall = action & 1;
        b.faulty.delay_turns = (u32)action % 3;
    } else if (action < 240) {
        vblk_arm(&b.vb);
    } else if (driver_negotiate(&b.drv, UINT64_MAX)) { /* the way on, so that inputs get far */
        driver_queue(&b.drv, 64);
        if (action & 1) {
            driver_set(&b.drv, REG_STATUS, 0xf);
        }
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};

    bench_init(&b, &(struct bench_setup){.window_bytes = KIB(256)});
    for (u32 i = 0; i < ACCESSES_MAX && in.left > 0; i++) {
        act(&in);
        invariants();
    }
    b.faulty.stall = false;
    b.faulty.delay_turns = 0;
    for (u32 i = 0; i < 100; i++) {
        vblk_poll(&b.vb, 64);
    }
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = ARENA_BASE;
    driver_start(&b.drv, UINT64_MAX, 64);
    check(bench_serves(&b), "the device does not serve any more");
    bench_done(&b);
    return 0;
}
