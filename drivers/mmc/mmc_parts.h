/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_parts.h - what mmc.c (the machine), mmc_sd.c, mmc_emmc.c and mmc_io.c (the tables) share.
 *                                                                                  plane: both
 */
#pragma once

#include "drivers/mmc/mmc.h"

#define MMC_MS(n)          (UINT64_C(1000000) * (n))
#define MMC_IDENTIFY_HZ    400000
#define MMC_POWER_UP_NS    MMC_MS(1000) /* [SD-PHY 4.2.3] [EMMC 6.4.2] ready within a second */
#define MMC_REGISTER_NS    MMC_MS(500)  /* until a register has been read */
#define MMC_READ_NS        MMC_MS(500)  /* [SD-PHY 4.6.2.1] 100 ms a block, with room */
#define MMC_WRITE_NS       MMC_MS(1000) /* [SD-PHY 4.6.2.2] 250 ms a block, 500 ms SDXC */
#define MMC_FLUSH_NS       MMC_MS(30000)
#define MMC_SETTLE_NS      MMC_MS(2000) /* back in the transfer state after an error */
#define MMC_IO_TRIES       3            /* of one request between two identifications */
#define MMC_IDENTIFY_TRIES 6            /* modes to fall through, one bad contact */

/** A table of steps, by its array. */
#define MMC_TABLE(card, table) mmc_table_start((card), (table), ARRAY_LEN(table))

void mmc_table_start(struct mmc_card *card, const struct mmc_step *steps, u32 count);

enum status mmc_send(struct mmc_card *card, u8 index, u32 arg, enum mmc_resp resp);
enum status mmc_send_app(struct mmc_card *card, u8 index, u32 arg, enum mmc_resp resp);
/** A register of the card into card->reg. */
enum status mmc_read_register(struct mmc_card *card, u8 index, u32 arg, bool app, u32 bytes);
enum status mmc_bus(struct mmc_card *card, enum mmc_timing timing, u32 clock_hz, u32 width);
u32 mmc_rca_arg(const struct mmc_card *card);
/** What an R1 says: ST_OK, ST_ACCES for a write protection, ST_IO for any other error. */
enum status mmc_r1_status(u32 r1);
enum status mmc_r1_end(struct mmc_card *card, enum status st);
/** CMD13 until the card is ready and in the transfer state. */
enum status mmc_status_send(struct mmc_card *card);
enum status mmc_status_end(struct mmc_card *card, enum status st);

void mmc_sd_begin(struct mmc_card *card);
void mmc_emmc_begin(struct mmc_card *card);
void mmc_io_begin(struct mmc_card *card);
void mmc_recover_begin(struct mmc_card *card);
