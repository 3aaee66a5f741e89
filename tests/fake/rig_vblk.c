/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_vblk.c - see rig_vblk.h. */
#include "tests/fake/rig_vblk.h"

struct bench b;

int rig_vblk_setup(void **state)
{
    (void)state;
    bench_init(&b, &(struct bench_setup){0});
    return 0;
}

int rig_vblk_teardown(void **state)
{
    (void)state;
    bench_done(&b);
    return 0;
}

void expect_data(const struct driver_blk *blk, u64 sector)
{
    static u8 data[256 * 512];

    CHECK(blk->bytes <= sizeof(data));
    arena_read(&b.arena, blk->data, data, blk->bytes);
    assert_memory_equal(data, b.disk + sector * 512, blk->bytes);
}
