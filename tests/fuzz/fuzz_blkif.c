/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_blkif.c - the input is a front end: bytes of rings and pages, indices, grants that come and
 * go, and a medium that fails or is late.
 *
 * What must hold: reads and writes stay within what is mapped (the address sanitizer), the disk
 * within its bytes, no more answers than requests; at the end nothing is mapped and no slot taken.
 */
#include <string.h>

#include "blk/ramdisk.h"
#include "start/base/check.h"
#include "tests/fake/bdev_faulty.h"
#include "tests/fake/blkfront.h"

#define ACTIONS_MAX 512
#define TURNS_MAX   256 /* polls that end every delay of the medium */

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct blkfront front;
static struct ramdisk ram;
static struct bdev_faulty faulty;
static u8 disk[FRONT_DISK_SECTORS * SECTOR_BYTES];

struct input {
    const u8 *at;
    usize left;
};

static u8 take(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static struct blkif_sring *sring(u32 ring)
{
    return (struct blkif_sring *)(void *)front.ring[ring];
}

/** Bytes of the input over an entry, so that every field may be anything. */
static void put_raw(struct input *in, u32 ring)
{
    u8 *entry = blkfront_entry(&front, ring);
    u8 count = take(in);

    for (u32 i = 0; i < count && i < 108; i++) {
        entry[i] = take(in);
    }
    blkfront_push(&front, ring);
}

static void put_nearly_right(struct input *in)
{
    u8 op = take(in), sector = take(in), page = take(in), count = take(in);

    if (op & 0x80) {
        blkfront_put_indirect(&front, op & 7, sector, sector, page % FRONT_PAGES, count % 40,
                              take(in) % FRONT_PAGES);
    } else {
        blkfront_put(&front, op & 7, sector, sector, page % (FRONT_PAGES + 4), count % 16);
    }
    blkfront_push(&front, 0);
}

static void act(struct input *in)
{
    u8 what = take(in);

    switch (what % 13) {
    case 0:
    case 1:
    case 2:
        put_nearly_right(in);
        break;
    case 3:
        put_raw(in, what & 0x40 ? 1 : 0);
        break;
    case 4:
        sring(what & 0x40 ? 1 : 0)->req_prod += take(in) - 128u;
        break;
    case 5:
        sring(0)->rsp_event = sring(0)->rsp_prod + take(in);
        break;
    case 6:
        front.revoked[take(in) % FRONT_PAGES] ^= true;
        break;
    case 7:
        front.map_again = take(in) % 4;
        break;
    case 8:
        faulty.delay_turns = take(in) % 4;
        faulty.fail_every = take(in) % 8;
        faulty.fail = ST_IO;
        break;
    case 9:
        (void)blkif_arm(&front.bi);
        break;
    case 10: /* the front end goes and comes, in either layout */
        if (!blkif_shutdown(&front.bi)) {
            break; /* its requests are with the medium: later */
        }
        front.abi = what & 0x40 ? BLKIF_ABI_32 : BLKIF_ABI_64;
        (void)blkif_connect(&front.bi, 0, front.abi, front.ring[0], 1);
        front.prod[0] = front.bi.ring[0].req_cons;
        break;
    case 11: /* from now on the data is mapped, or copied by Xen */
        blkif_grants_stay(&front.bi, what & 0x40);
        break;
    default:
        (void)blkif_poll(&front.bi, take(in) % 64);
        break;
    }
}

static void answers_must_be_owed(void)
{
    for (u32 i = 0; i < BLKIF_QUEUES_MAX; i++) {
        const struct blkif_ring *ring = &front.bi.ring[i];

        CHECK(ring->req_cons - ring->rsp_next <= ring->entries);
        CHECK(ring->rsp_next - ring->rsp_prod <= ring->entries);
    }
    CHECK(front.bi.in_flight == front.pool.in_flight && front.pool.in_flight <= REQUESTS_MAX);
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};
    u8 how;

    ramdisk_init(&ram, "ram", disk, sizeof(disk), false);
    bdev_faulty_init(&faulty, &ram.bdev, true, 1);
    how = take(&in);
    /* The memory itself, which can be copied, or a medium that fails and is late. */
    blkfront_start(&front, how & 2 ? &ram.bdev : &faulty.bdev,
                   how & 1 ? BLKIF_ABI_32 : BLKIF_ABI_64, 1);
    CHECK(blkif_connect(&front.bi, 1, front.abi, front.ring[1], 1) == ST_OK);
    for (u32 i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&in);
        answers_must_be_owed();
    }
    faulty.stall = false;
    for (u32 i = 0; i < TURNS_MAX && !blkif_shutdown(&front.bi); i++) {
        bdev_poll(&faulty.bdev);
    }
    CHECK(front.bi.in_flight == 0 && front.mapped == 0);
    return 0;
}
