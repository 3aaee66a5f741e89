/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_hostile_block.c - long lives of a disk against a model that is nothing but an array, and the
 * neighbours of a disk, which no request reaches.
 */
#include <string.h>

#include "tests/fake/rig_vblk.h"

#define MODEL_SECTORS 64 /* few, so that requests meet */
#define MOST_SECTORS  16 /* of one request */
#define DEPTH         8

static u64 random_state;

/** xorshift64: the same life every time. */
static u32 below(u32 limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u32)((random_state >> 16) % limit);
}

/** Guest memory for request i of a batch. */
static u64 place(u32 i)
{
    return ARENA_BASE + KIB(128) + i * KIB(16);
}

/** A header, data and status at place(i), offered in 3 to 6 descriptors. */
static u16 offer(struct driver_blk *blk, u32 i, u32 type, u64 sector, u32 bytes)
{
    struct driver_piece piece[6];
    u32 count = 0, cut = bytes ? below(bytes + 1) : 0;
    bool in = type == VIRTIO_BLK_T_IN;
    u16 head;

    b.drv.free = place(i);
    driver_blk_make(&b.drv, blk, type, sector, bytes);
    piece[count++] = (struct driver_piece){blk->header, 16, false};
    piece[count++] = (struct driver_piece){blk->data, cut, in};
    piece[count++] = (struct driver_piece){blk->data + cut, bytes - cut, in};
    piece[count++] = (struct driver_piece){blk->status, 1, true};
    head =
        below(2) ? driver_chain(&b.drv, piece, count) : driver_chain_indirect(&b.drv, piece, count);
    driver_offer(&b.drv, head);
    return head;
}

/** One request alone: its status, and what the model says of it. */
static void one_against_the_model(u8 *model, u32 step)
{
    static u8 data[MOST_SECTORS * 512];
    u32 type = below(3) ? below(2) : VIRTIO_BLK_T_FLUSH;
    u64 sector = below(MODEL_SECTORS + 4);
    u32 bytes = type == VIRTIO_BLK_T_FLUSH ? 0 : below(MOST_SECTORS + 1) * 512;
    bool fits = sector + bytes / 512 <= MODEL_SECTORS;
    struct driver_blk blk;
    u32 id, written;

    b.drv.free = place(0);
    offer(&blk, 0, type, sector, bytes);
    arena_fill(&b.arena, blk.data, (u8)step, bytes);
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &blk),
                     fits || type == VIRTIO_BLK_T_FLUSH ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
    if (type == VIRTIO_BLK_T_OUT && fits) {
        memset(model + sector * 512, (u8)step, bytes);
    }
    if (type == VIRTIO_BLK_T_IN) {
        static u8 expected[MOST_SECTORS * 512];

        memset(expected, (u8)step, bytes);
        if (fits) { /* else what lay there before */
            memcpy(expected, model + sector * 512, bytes);
        }
        arena_read(&b.arena, blk.data, data, bytes);
        assert_memory_equal(data, expected, bytes);
    }
}

/* B-16, B-20 */
static void a_long_life_is_that_of_an_array(void **state)
{
    static u8 model[MODEL_SECTORS * 512];

    (void)state;
    random_state = 1;
    b.faulty.bdev.info.sectors = MODEL_SECTORS;
    memcpy(model, b.disk, sizeof(model));
    for (u32 step = 0; step < 20000; step++) {
        b.faulty.delay_turns = step % 16 ? 0 : below(3);
        one_against_the_model(model, step);
    }
    assert_memory_equal(b.disk, model, sizeof(model));
    assert_memory_equal(b.disk + sizeof(model), b.pristine + sizeof(model),
                        sizeof(b.disk) - sizeof(model));
}

/* B-15: of writes to one place at the same time each sector is from one of them, as a whole. */
static void sectors_of_writes_at_the_same_time_are_not_torn(void **state)
{
    (void)state;
    random_state = 2;
    b.faulty.reorder = true;
    for (u32 round = 0; round < 300; round++) {
        struct driver_blk blk[DEPTH];
        u64 first[DEPTH];
        u32 count[DEPTH];

        for (u32 i = 0; i < DEPTH; i++) {
            first[i] = below(MODEL_SECTORS);
            count[i] = 1 + below(MOST_SECTORS);
            offer(&blk[i], i, VIRTIO_BLK_T_OUT, first[i], count[i] * 512);
            arena_fill(&b.arena, blk[i].data, (u8)(0x80 + i), count[i] * 512);
        }
        memset(b.disk, 0, (MODEL_SECTORS + MOST_SECTORS) * 512);
        for (u32 i = 0; i < DEPTH; i++) {
            u32 id, written;

            assert_true(bench_wait(&b, &id, &written));
            assert_int_equal(written, 1);
        }
        for (u32 sector = 0; sector < MODEL_SECTORS + MOST_SECTORS; sector++) {
            const u8 *at = b.disk + sector * 512;
            u32 who = at[0] ? at[0] - 0x80u : DEPTH;
            bool wanted = false;

            for (u32 i = 0; i < DEPTH; i++) {
                wanted |= sector >= first[i] && sector - first[i] < count[i];
            }
            assert_memory_equal(at, at + 1, 511); /* all bytes the same */
            assert_int_equal(who < DEPTH, wanted);
            assert_true(who == DEPTH || (sector >= first[who] && sector - first[who] < count[who]));
        }
    }
}

/* B-14: a disk between two others in one memory; every request there is leaves those alone. */
static void the_neighbours_of_a_disk_are_out_of_reach(void **state)
{
    static u8 memory[3 * KIB(64)], before[3 * KIB(64)];
    static const u64 odd[] = {UINT64_C(1) << 55, (UINT64_C(1) << 55) - 128, UINT64_MAX,
                              UINT64_MAX - 127,  UINT64_MAX / 512,          UINT64_C(1) << 63};
    static struct ramdisk middle;

    (void)state;
    random_state = 3;
    memset(memory, 0x77, sizeof(memory));
    memcpy(before, memory, sizeof(before));
    ramdisk_init(&middle, "middle", memory + KIB(64), KIB(64), false);
    b.vb.bdev = &middle.bdev;
    for (u32 step = 0; step < 3000; step++) {
        u64 sector = step % 4 ? below(256) : odd[below(ARRAY_LEN(odd))] + below(3);
        u32 type = below(2), sectors = below(40);
        struct driver_blk blk;
        u32 id, written;

        offer(&blk, 0, type, sector, sectors * 512);
        arena_fill(&b.arena, blk.data, (u8)step, sectors * 512);
        assert_true(bench_wait(&b, &id, &written));
        assert_int_equal(driver_blk_status(&b.drv, &blk), sector <= 128 && sectors <= 128 - sector
                                                              ? VIRTIO_BLK_S_OK
                                                              : VIRTIO_BLK_S_IOERR);
    }
    assert_memory_equal(memory, before, KIB(64));
    assert_memory_equal(memory + 2 * KIB(64), before, KIB(64));
    assert_memory_not_equal(memory + KIB(64), before, KIB(64));
    b.vb.bdev = &b.faulty.bdev;
}

/* B-18: the disk shrinks while requests to its end are in flight; those after it are refused. */
static void a_disk_that_shrinks_refuses_what_comes_after(void **state)
{
    struct driver_blk before, after;
    u32 id, written;

    (void)state;
    random_state = 4;
    b.faulty.stall = true;
    offer(&before, 0, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS - 1, 512);
    vblk_poll(&b.vb, 64);
    assert_int_equal(b.pool.in_flight, 1);
    b.faulty.bdev.info.sectors = 100;
    vblk_resized(&b.vb);
    b.faulty.stall = false;
    offer(&after, 1, VIRTIO_BLK_T_IN, BENCH_DISK_SECTORS - 1, 512);
    assert_true(bench_wait(&b, &id, &written));
    assert_true(bench_wait(&b, &id, &written));
    assert_int_equal(driver_blk_status(&b.drv, &before), VIRTIO_BLK_S_OK);
    assert_int_equal(driver_blk_status(&b.drv, &after), VIRTIO_BLK_S_IOERR);
    assert_true(bench_serves(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        VBLK_TEST(a_long_life_is_that_of_an_array),
        VBLK_TEST(sectors_of_writes_at_the_same_time_are_not_torn),
        VBLK_TEST(the_neighbours_of_a_disk_are_out_of_reach),
        VBLK_TEST(a_disk_that_shrinks_refuses_what_comes_after),
    };

    return BENCH_RUN_LAYOUTS(tests);
}
