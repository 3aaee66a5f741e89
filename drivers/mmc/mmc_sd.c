/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_sd.c - how an SD card is identified and set to its fastest mode.            plane: control
 *
 * The table at the end is figure 4-2 of [SD-PHY] and its continuation in 4.3.10. Both kinds of card
 * begin here; a device that does not know CMD55 is left to mmc_emmc.c.
 */
#include "drivers/mmc/mmc_parts.h"
#include "start/base/check.h"

/* What a mode is on both sides, the fastest first. */
static const struct {
    enum mmc_timing timing;
    u32 function; /* of CMD6, group 1 */
    u32 clock_hz;
    bool low; /* needs 1.8 V signals; the two that do not, need 3.3 V */
} modes[] = {
    {MMC_TIMING_SDR104, SD_MODE_SDR104, 208000000, true},
    {MMC_TIMING_SDR50, SD_MODE_SDR50, 100000000, true},
    {MMC_TIMING_DDR50, SD_MODE_DDR50, 50000000, true},
    {MMC_TIMING_SDR25, SD_MODE_SDR25, 50000000, true},
    {MMC_TIMING_SDR12, SD_MODE_SDR12, 25000000, true},
    {MMC_TIMING_HS, SD_MODE_SDR25, 50000000, false},
    {MMC_TIMING_LEGACY, SD_MODE_SDR12, 25000000, false},
};

#define LOW_TIMINGS                                                                 \
    (BIT32(MMC_TIMING_SDR104) | BIT32(MMC_TIMING_SDR50) | BIT32(MMC_TIMING_DDR50) | \
     BIT32(MMC_TIMING_SDR25) | BIT32(MMC_TIMING_SDR12))

static u32 mode_of(enum mmc_timing timing)
{
    for (u32 i = 0; i < ARRAY_LEN(modes); i++) {
        if (modes[i].timing == timing) {
            return i;
        }
    }
    return ARRAY_LEN(modes) - 1;
}

static u32 be16(const u8 *at)
{
    return (u32)at[0] << 8 | at[1];
}

/* --- power
 * ------------------------------------------------------------------------------------------ */
static enum status bus_reset(struct mmc_card *card)
{
    enum status st;

    card->rca = 0;
    card->width = 1;
    card->timing = MMC_TIMING_LEGACY;
    card->s18 = false;
    card->strobe = false;
    card->cache = false;
    card->life_a = card->life_b = card->pre_eol = 0;
    card->boot_sectors = card->rpmb_sectors = 0;
    st = card->host->ops->reset(card->host);
    card->on_bus = st == ST_AGAIN;
    return st;
}

/** Errors of the bus are passed on; there is no R1 to look at. */
static enum status bus_end(struct mmc_card *card, enum status st)
{
    (void)card;
    return st;
}

static enum status power_on(struct mmc_card *card)
{
    return mmc_bus(card, MMC_TIMING_LEGACY, MMC_IDENTIFY_HZ, 1);
}

static enum status go_idle(struct mmc_card *card)
{
    return mmc_send(card, CMD_GO_IDLE, 0, MMC_RESP_NONE);
}

/* --- operating conditions
 * --------------------------------------------------------------------------- */
static enum status if_cond(struct mmc_card *card)
{
    return mmc_send(card, CMD_SD_IF_COND, IF_COND_PATTERN, MMC_RESP_R1);
}

/** Silence is a card from before version 2, or no SD card at all [SD-PHY 4.3.13]. */
static enum status if_cond_end(struct mmc_card *card, enum status st)
{
    if (st == ST_OK && (card->req.response[0] & 0xfff) != IF_COND_PATTERN) {
        return ST_NOSUP;
    }
    card->version_2 = st == ST_OK;
    return st == ST_NODEV ? st : ST_OK;
}

static bool wants_low(const struct mmc_card *card)
{
    const struct mmc_host_caps *caps = &card->host->caps;

    return card->version_2 && caps->signal_1v8 && (caps->timings & LOW_TIMINGS & ~card->barred) &&
           (caps->timings & ~card->barred & BIT32(MMC_TIMING_SDR12));
}

static enum status op_cond(struct mmc_card *card)
{
    u32 arg = OCR_VDD_32_34;

    if (card->version_2) {
        arg |= OCR_HCS | OCR_XPC;
    }
    if (wants_low(card)) {
        arg |= OCR_S18;
    }
    return mmc_send_app(card, ACMD_SD_OP_COND, arg, MMC_RESP_R3);
}

static enum status op_cond_end(struct mmc_card *card, enum status st)
{
    if (st == ST_TIMEOUT && card->req.where == MMC_AT_PREFIX) {
        mmc_emmc_begin(card); /* CMD55 means nothing to it */
        return ST_OK;
    }
    if (st != ST_OK) {
        return st;
    }
    card->ocr = card->req.response[0];
    if ((card->ocr & OCR_VDD) == 0) {
        return ST_NOSUP;
    }
    if (!(card->ocr & OCR_READY)) {
        return ST_AGAIN;
    }
    card->kind = MMC_KIND_SD;
    card->by_sector = card->version_2 && (card->ocr & OCR_HCS);
    card->s18 = wants_low(card) && (card->ocr & OCR_S18);
    return ST_OK;
}

/* --- 1.8 V
 * ------------------------------------------------------------------------------------------ */
static bool goes_low(const struct mmc_card *card)
{
    return card->s18;
}

static enum status voltage_command(struct mmc_card *card)
{
    card->timing = MMC_TIMING_SDR12; /* what is barred when the switch fails */
    return mmc_send(card, CMD_SD_VOLTAGE, 0, MMC_RESP_R1);
}

static enum status voltage_switch(struct mmc_card *card)
{
    enum status st = card->host->ops->switch_1v8(card->host);

    card->on_bus = st == ST_AGAIN;
    return st;
}

/* --- registers
 * -------------------------------------------------------------------------------------- */
static enum status all_cid(struct mmc_card *card)
{
    return mmc_send(card, CMD_ALL_SEND_CID, 0, MMC_RESP_R2);
}

static enum status all_cid_end(struct mmc_card *card, enum status st)
{
    for (u32 i = 0; i < 4; i++) {
        card->cid[i] = card->req.response[i];
    }
    card->cid[3] &= ~UINT32_C(0xff); /* its CRC does not come through every controller */
    return st;
}

static enum status relative_addr(struct mmc_card *card)
{
    return mmc_send(card, CMD_RELATIVE_ADDR, 0, MMC_RESP_R1);
}

static enum status relative_addr_end(struct mmc_card *card, enum status st)
{
    card->rca = (u16)(card->req.response[0] >> 16);
    return st == ST_OK && card->rca == 0 ? ST_AGAIN : st;
}

static enum status send_csd(struct mmc_card *card)
{
    return mmc_send(card, CMD_SEND_CSD, mmc_rca_arg(card), MMC_RESP_R2);
}

/** [SD-PHY] 5.3.2 and 5.3.3 */
static enum status send_csd_end(struct mmc_card *card, enum status st)
{
    u32 *csd = card->csd;

    if (st != ST_OK) {
        return st;
    }
    for (u32 i = 0; i < 4; i++) {
        csd[i] = card->req.response[i];
    }
    if (reg128_bits(csd, 126, 2) == 0) {
        u32 shift = reg128_bits(csd, 47, 3) + 2 + reg128_bits(csd, 80, 4);

        if (shift < 9 || shift > 20) {
            return ST_NOSUP;
        }
        card->sectors = ((u64)reg128_bits(csd, 62, 12) + 1) << (shift - 9);
    } else {
        card->sectors = ((u64)reg128_bits(csd, 48, 28) + 1) * 1024;
    }
    card->read_only = reg128_bits(csd, 12, 2) != 0;
    return ST_OK;
}

static enum status select(struct mmc_card *card)
{
    return mmc_send(card, CMD_SELECT, mmc_rca_arg(card), MMC_RESP_R1B);
}

static enum status select_end(struct mmc_card *card, enum status st)
{
    st = mmc_r1_end(card, st);
    if (!card->host->caps.embedded && !card->host->ops->writable(card->host)) {
        card->read_only = true;
    }
    return st;
}

static enum status full_clock(struct mmc_card *card)
{
    return mmc_bus(card, card->s18 ? MMC_TIMING_SDR12 : MMC_TIMING_LEGACY, 25000000, 1);
}

static bool by_byte(const struct mmc_card *card)
{
    return !card->by_sector;
}

static enum status block_length(struct mmc_card *card)
{
    return mmc_send(card, CMD_SET_BLOCKLEN, 512, MMC_RESP_R1);
}

static enum status scr(struct mmc_card *card)
{
    return mmc_read_register(card, ACMD_SCR, 0, true, SCR_BYTES);
}

static enum status scr_end(struct mmc_card *card, enum status st)
{
    u32 word = be16(card->reg) << 16 | be16(card->reg + 2);

    st = mmc_r1_end(card, st);
    if (st != ST_OK) {
        return st;
    }
    card->width = word & SCR_WIDTH_4 && card->host->caps.width_max >= 4 ? 4 : 1;
    card->cmd23 = word & SCR_CMD23;
    card->erased_zero = !(word & SCR_ERASED_ONES);
    card->version_2 = SCR_SPEC(word) >= 1; /* CMD6 came with 1.10 */
    return ST_OK;
}

static enum status sd_status(struct mmc_card *card)
{
    return mmc_read_register(card, ACMD_SD_STATUS, 0, true, SSR_BYTES);
}

/** [SD-PHY] 4.14: time = ERASE_TIMEOUT / ERASE_SIZE a unit, and an offset. */
static enum status sd_status_end(struct mmc_card *card, enum status st)
{
    u32 units = be16(card->reg + SSR_ERASE_SIZE_BYTE);
    u32 seconds = card->reg[SSR_ERASE_TIME_BYTE] >> 2;
    u32 more = card->reg[SSR_ERASE_TIME_BYTE] & 3;

    card->discard = card->reg[SSR_SUPPORT_BYTE] & SSR_DISCARD;
    card->secure_erase = false;
    /* All of the card in one command, at 64 AU of 64 MiB the most; 250 ms a write block without. */
    card->erase_ns = units == 0 ? MMC_MS(60000) : MMC_MS(1000) * (seconds * 64 + more + 1);
    return mmc_r1_end(card, st);
}

/* --- width and mode
 * ------------------------------------------------------------------------------------ */
static bool wide(const struct mmc_card *card)
{
    return card->width == 4;
}

static enum status width_set(struct mmc_card *card)
{
    return mmc_send_app(card, ACMD_BUS_WIDTH, 2, MMC_RESP_R1);
}

static enum status width_follow(struct mmc_card *card)
{
    return mmc_bus(card, card->host->ios.timing, card->host->ios.clock_hz, card->width);
}

static bool has_modes(const struct mmc_card *card)
{
    return card->version_2;
}

static enum status modes_ask(struct mmc_card *card)
{
    return mmc_read_register(card, CMD_SWITCH, SWITCH_CHECK | 0xf, false, SWITCH_BYTES);
}

static enum status modes_ask_end(struct mmc_card *card, enum status st)
{
    u32 offered = be16(card->reg + SWITCH_GROUP_1_BYTE);
    u32 usable = card->host->caps.timings & ~card->barred;

    st = mmc_r1_end(card, st);
    if (st != ST_OK) {
        return st;
    }
    card->timing = card->s18 ? MMC_TIMING_SDR12 : MMC_TIMING_LEGACY;
    for (u32 i = 0; i < ARRAY_LEN(modes); i++) {
        if (modes[i].low == card->s18 && (usable & BIT32(modes[i].timing)) &&
            (offered & BIT32(modes[i].function)) && (!modes[i].low || card->width == 4)) {
            card->timing = modes[i].timing;
            return ST_OK;
        }
    }
    return ST_OK;
}

static bool faster(const struct mmc_card *card)
{
    return card->timing != MMC_TIMING_LEGACY && card->timing != MMC_TIMING_SDR12;
}

static enum status mode_set(struct mmc_card *card)
{
    u32 function = modes[mode_of(card->timing)].function;

    return mmc_read_register(card, CMD_SWITCH, SWITCH_SET | function, false, SWITCH_BYTES);
}

static enum status mode_set_end(struct mmc_card *card, enum status st)
{
    st = mmc_r1_end(card, st);
    if (st != ST_OK) {
        return st;
    }
    return (card->reg[SWITCH_RESULT_1_BYTE] & 15) == modes[mode_of(card->timing)].function ? ST_OK
                                                                                           : ST_IO;
}

static enum status mode_follow(struct mmc_card *card)
{
    return mmc_bus(card, card->timing, modes[mode_of(card->timing)].clock_hz, card->width);
}

static bool wants_tuning(const struct mmc_card *card)
{
    return card->timing == MMC_TIMING_SDR104 ||
           (card->timing == MMC_TIMING_SDR50 && card->host->caps.tune_sdr50);
}

static enum status tune(struct mmc_card *card)
{
    enum status st = card->host->ops->tune(card->host, CMD_SD_TUNING);

    card->on_bus = st == ST_AGAIN;
    return st;
}

/* --- the table
 * ------------------------------------------------------------------------------------------ */
static const struct mmc_step sd_steps[] = {
    {"reset", NULL, bus_reset, bus_end, 0, 0},
    {"power on", NULL, power_on, bus_end, 0, MMC_MS(20)},
    {"CMD0", NULL, go_idle, bus_end, 0, MMC_MS(2)},
    {"CMD8 interface condition", NULL, if_cond, if_cond_end, 0, MMC_MS(1)},
    {"ACMD41 operating conditions", NULL, op_cond, op_cond_end, MMC_POWER_UP_NS, MMC_MS(5)},
    {"CMD11 1.8 V", goes_low, voltage_command, NULL, 0, 0},
    {"switch to 1.8 V", goes_low, voltage_switch, bus_end, 0, 0},
    {"CMD2 CID", NULL, all_cid, all_cid_end, 0, 0},
    {"CMD3 address", NULL, relative_addr, relative_addr_end, MMC_MS(10), 0},
    {"CMD9 CSD", NULL, send_csd, send_csd_end, 0, 0},
    {"CMD7 select", NULL, select, select_end, 0, 0},
    {"clock", NULL, full_clock, bus_end, 0, 0},
    {"CMD16 block length", by_byte, block_length, NULL, 0, 0},
    {"ACMD51 SCR", NULL, scr, scr_end, 0, 0},
    {"ACMD13 status", NULL, sd_status, sd_status_end, 0, 0},
    {"ACMD6 width", wide, width_set, NULL, 0, 0},
    {"width", wide, width_follow, bus_end, 0, 0},
    {"CMD6 modes", has_modes, modes_ask, modes_ask_end, 0, 0},
    {"CMD6 mode", faster, mode_set, mode_set_end, 0, 0},
    {"mode", faster, mode_follow, bus_end, 0, 0},
    {"tuning", wants_tuning, tune, bus_end, 0, 0},
    {"CMD13 status", NULL, mmc_status_send, mmc_status_end, MMC_SETTLE_NS, 0},
};

void mmc_sd_begin(struct mmc_card *card)
{
    MMC_TABLE(card, sd_steps);
}
