/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig_mmc.h - a controller model with a card, memory for DMA, and the drivers above them.
 *
 * One rig at a time. The image file of the card is an array of the rig: what a test finds in it
 * was read outside the driver.
 */
#pragma once

#include "drivers/mmc/mmc.h"
#include "drivers/mmc/sdhci.h"
#include "tests/fake/dma_host.h"
#include "tests/model/sdhci.h"

#define RIG_MMC_BASE        UINT64_C(0xfe340000)
#define RIG_MMC_SECTORS     (u32)(MIB(8) / 512)
#define RIG_MMC_ARENA_BYTES MIB(6)
#define RIG_MMC_TABLE_BYTES 4096u /* of descriptors, at the arena's end */
#define RIG_MMC_RUN_NS      UINT64_C(60000000000)

struct rig_mmc_setup {
    enum card_kind kind;
    u32 version; /* of the controller; 0: 4.20 */
    u64 bus;     /* of the arena; 0: 0x40000000 */
    u32 quirks;
    bool no_dma;
    bool no_adma; /* the controller has SDMA only */
    bool coherent;
    u64 sectors;       /* 0: RIG_MMC_SECTORS */
    usize arena_bytes; /* 0: RIG_MMC_ARENA_BYTES */
};

struct rig_mmc {
    struct protocol_log log;
    struct sdhci_model model;
    struct card_model card;
    struct sdhci sdhci;
    u8 *image, *stable;
};

/** Model and card are there, the driver knows its controller; nothing was switched on. */
void rig_mmc_init(struct rig_mmc *rig, const struct rig_mmc_setup *setup);
void rig_mmc_done(struct rig_mmc *rig);
/** The driver reads the controller again, after a test changed the model. */
enum status rig_mmc_driver(struct rig_mmc *rig, const struct rig_mmc_setup *setup);
/** Poll the bus until its job is over; a job that does not end within RIG_MMC_RUN_NS panics. */
enum status rig_mmc_run(struct rig_mmc *rig, enum status started);
/** A span of the arena. */
struct span rig_mmc_span(usize offset, u32 bytes);
/** Bytes that tell where they belong. */
void rig_mmc_pattern(u8 *to, u64 sector, u64 sectors, u32 seed);
/** Poll the card until what is under way has ended. */
enum status rig_mmc_card_run(struct mmc_card *card);
