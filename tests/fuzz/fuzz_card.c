/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_card.c - a controller and a card that lie.
 *
 * The models are honest; between them and the driver stands the input: for every read of a register
 * it may change the value, and before the card is identified it may change what the card says of
 * itself. Then requests are served, the card is pulled and put back, time jumps. What must hold: no
 * access outside the buffers, no panic, everything ends, and an honest controller serves
 * afterwards.
 */
#include <string.h>

#include "drivers/mmc/mmc_bdev.h"
#include "start/port.h"
#include "tests/fake/mmio_host.h"
#include "tests/fake/port_host.h"
#include "tests/fake/rig_mmc.h"

#define ACTIONS_MAX 24
#define POLLS_MAX   3000 /* of one action; then time runs faster */
#define SECTORS     1024
#define ARENA       KIB(192)

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct {
    const u8 *at;
    usize left;
    bool lies;
} input;

static struct rig_mmc rig;
static struct mmc_card card;
static struct mmc_bdev disk;

static u32 take(u32 width)
{
    u32 value = 0;

    for (u32 i = 0; i < width && input.left > 0; i++) {
        value |= (u32)*input.at++ << (8 * i);
        input.left--;
    }
    return value;
}

static u64 lying_read(void *ctx, u64 offset, u32 width)
{
    u64 value = sdhci_model_read(ctx, offset, width);
    u32 how = input.lies && input.left > 0 ? take(1) : 0;

    if (how < 160) {
        return value;
    }
    if (how < 224) {
        return value ^ (UINT64_C(1) << (how & 31));
    }
    return how < 232 ? UINT32_MAX : take(4);
}

static void check(bool condition, const char *what)
{
    if (!condition) {
        panic("%s", what);
    }
}

/** One poll, and time up to where something can happen; after many it runs on by itself. */
static void turn(u32 polls)
{
    port_relax();
    if (!card.on_bus && card.not_before_ns > port_host_now_ns) {
        port_host_now_ns = card.not_before_ns;
    } else if (card.on_bus && rig.sdhci.look_ns > port_host_now_ns) {
        port_host_now_ns = rig.sdhci.look_ns;
    }
    if (polls > POLLS_MAX) {
        port_host_now_ns += UINT64_C(200000000);
        check(polls < 100 * POLLS_MAX, "it does not end");
    }
}

static enum status identify(void)
{
    enum status st;
    u32 polls = 0;

    mmc_identify(&card);
    while ((st = mmc_poll(&card)) == ST_AGAIN) {
        turn(polls++);
    }
    return st;
}

static void serve(enum blk_op op, u64 sector, u32 sectors, u32 offset)
{
    static struct blk_done done;
    struct span span = rig_mmc_span(KIB(80) + offset, sectors * 512);
    struct blk_req req = {.op = op,
                          .sector = sector,
                          .sectors = sectors,
                          .spans = &span,
                          .span_count = 1,
                          .done = &done};
    u32 polls = 0;

    blk_done_init(&done);
    if (bdev_submit(&disk.bdev, &req) == ST_AGAIN) {
        while (disk.bdev.in_flight > 0) {
            bdev_poll(&disk.bdev);
            turn(polls++);
        }
    }
}

static void act(void)
{
    u32 what = take(1);
    u64 sectors = disk.bdev.info.sectors;
    u64 sector = sectors > 64 ? take(2) % (sectors - 63) : 0;
    u32 count = sectors < 64 ? 1 : 1 + what % 63;

    if (what < 160) {
        serve(what & 1 ? BLK_WRITE : BLK_READ, sector, count, take(1) % 128);
    } else if (what < 200) {
        serve(BLK_DISCARD + what % 3, sector, count, 0);
    } else if (what < 220) {
        serve(BLK_FLUSH, 0, 0, 0);
    } else if (what < 235) {
        if (rig.model.card) {
            sdhci_model_remove(&rig.model);
        } else {
            sdhci_model_insert(&rig.model, &rig.card);
        }
    } else {
        port_host_now_ns += (u64)what << 22;
        bdev_poll(&disk.bdev);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct rig_mmc_setup setup = {.sectors = SECTORS, .arena_bytes = ARENA};
    struct span bounce;
    u32 flags;

    input.at = data;
    input.left = bytes;
    input.lies = false;
    flags = take(1);
    setup.kind = flags & 1 ? CARD_EMMC : CARD_SD;
    setup.no_dma = flags & 2;
    setup.no_adma = flags & 4;
    setup.version = 1 + (flags >> 3) % 5;
    rig_mmc_init(&rig, &setup);
    rig.log.quiet = true; /* a driver that is lied to breaks rules */
    mmio_host_reset();
    mmio_host_add(&(struct mmio_model){RIG_MMC_BASE, SDHCI_MODEL_BYTES, lying_read,
                                       sdhci_model_write, &rig.model});
    for (u32 i = 0; i < (flags >> 6); i++) {
        rig.card.ext_csd[take(1)] = (u8)take(1);
    }
    mmc_init(&card, &rig.sdhci.host, "fuzz");
    input.lies = true;
    bounce = rig_mmc_span(KIB(64), (u32)KIB(8));
    if (identify() == ST_OK && card.sectors > 0) {
        mmc_bdev_init(&disk, &card, "fuzz", &bounce);
        for (u32 i = 0; i < ACTIONS_MAX && input.left > 0; i++) {
            act();
        }
    }
    input.lies = false;
    if (!rig.model.card) {
        sdhci_model_insert(&rig.model, &rig.card);
    }
    check(rig_mmc_driver(&rig, &setup) == ST_OK, "an honest controller is refused");
    mmc_init(&card, &rig.sdhci.host, "fuzz");
    if (setup.kind == CARD_SD) { /* an eMMC may have been told nonsense of itself for good */
        check(identify() == ST_OK, "an honest card is not identified");
        mmc_bdev_init(&disk, &card, "fuzz", &bounce);
        serve(BLK_READ, 8, 8, 0);
        check(memcmp(dma_host_at(KIB(80)), rig.image + 8 * 512, 4096) == 0, "it does not serve");
    }
    rig_mmc_done(&rig);
    return 0;
}
