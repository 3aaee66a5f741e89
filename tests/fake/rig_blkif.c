/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_blkif.c - a PV block ring over a faulty medium. */
#include "tests/fake/rig_blkif.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct blkfront rig_front;
struct ramdisk rig_ram;
struct bdev_faulty rig_faulty;
u8 rig_disk[FRONT_DISK_SECTORS * SECTOR_BYTES];

void rig_start_with(enum blkif_abi abi, u32 pages)
{
    memset(rig_disk, 0, sizeof(rig_disk));
    ramdisk_init(&rig_ram, "ram", rig_disk, sizeof(rig_disk), false);
    bdev_faulty_init(&rig_faulty, &rig_ram.bdev, true, 1);
    blkfront_start(&rig_front, &rig_faulty.bdev, abi, pages);
}

int rig_blkif_start(void **state)
{
    (void)state;
    rig_start_with(BLKIF_ABI_64, 1);
    return 0;
}

int rig_blkif_finish(void **state)
{
    (void)state;
    rig_faulty.stall = false;
    for (u32 i = 0; i < 64 && !blkif_shutdown(&rig_front.bi); i++) {
        bdev_poll(&rig_faulty.bdev);
    }
    assert_int_equal(rig_front.mapped, 0);
    assert_int_equal(rig_front.pool.in_flight, 0);
    assert_int_equal(rig_front.bi.in_flight, 0);
    return 0;
}

void rig_serve(void)
{
    blkfront_push(&rig_front, 0);
    for (u32 i = 0; i < 64; i++) {
        (void)blkif_poll(&rig_front.bi, 64);
    }
}

void rig_expect_answer(u64 id, u8 op, s16 status)
{
    struct blkfront_answer answer = {0};

    assert_true(blkfront_take(&rig_front, &answer));
    assert_int_equal(answer.id, id);
    assert_int_equal(answer.op, op);
    assert_int_equal(answer.status, status);
}

void rig_expect_no_answer(void)
{
    struct blkfront_answer answer;

    assert_false(blkfront_take(&rig_front, &answer));
}

void rig_fill(u32 page, u8 seed)
{
    for (u32 i = 0; i < PAGE_BYTES; i++) {
        rig_front.page[page][i] = (u8)(seed + i * 7);
    }
}
