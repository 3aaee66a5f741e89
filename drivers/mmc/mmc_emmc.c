/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_emmc.c - how an eMMC device is identified and set to its fastest mode.      plane: control
 *
 * The order of the table is that of [EMMC] 6.4 and, for the modes, 6.6.2 to 6.6.5: HS200 needs the
 * width first, then the timing, then tuning; HS400 goes from there back to high speed, to double
 * data rate, and up again; with enhanced strobe it comes from high speed at once.
 */
#include <string.h>

#include "drivers/mmc/mmc_parts.h"
#include "start/base/check.h"

#define EMMC_RCA 2 /* 0 means nobody, 1 is what devices begin with */

static enum status bus_end(struct mmc_card *card, enum status st)
{
    (void)card;
    return st;
}

/* --- identification
 * --------------------------------------------------------------------------------- */
static enum status go_idle(struct mmc_card *card)
{
    return mmc_send(card, CMD_GO_IDLE, 0, MMC_RESP_NONE);
}

static enum status op_cond(struct mmc_card *card)
{
    return mmc_send(card, CMD_MMC_SEND_OP_COND, OCR_MMC_SECTOR | OCR_VDD | OCR_MMC_LOW,
                    MMC_RESP_R3);
}

static enum status op_cond_end(struct mmc_card *card, enum status st)
{
    if (st != ST_OK) {
        return st;
    }
    card->ocr = card->req.response[0];
    if (!(card->ocr & OCR_READY)) {
        return ST_AGAIN;
    }
    card->kind = MMC_KIND_EMMC;
    card->by_sector = card->ocr & OCR_MMC_SECTOR;
    return ST_OK;
}

static enum status all_cid(struct mmc_card *card)
{
    return mmc_send(card, CMD_ALL_SEND_CID, 0, MMC_RESP_R2);
}

static enum status all_cid_end(struct mmc_card *card, enum status st)
{
    memcpy(card->cid, card->req.response, sizeof(card->cid));
    card->cid[3] &= ~UINT32_C(0xff);
    return st;
}

static enum status set_address(struct mmc_card *card)
{
    card->rca = EMMC_RCA;
    return mmc_send(card, CMD_RELATIVE_ADDR, mmc_rca_arg(card), MMC_RESP_R1);
}

static enum status send_csd(struct mmc_card *card)
{
    return mmc_send(card, CMD_SEND_CSD, mmc_rca_arg(card), MMC_RESP_R2);
}

static enum status send_csd_end(struct mmc_card *card, enum status st)
{
    memcpy(card->csd, card->req.response, sizeof(card->csd));
    card->read_only = reg128_bits(card->csd, 12, 2) != 0;
    if (st == ST_OK && reg128_bits(card->csd, 122, 4) < 4) {
        return ST_NOSUP; /* before version 4 there is no EXT_CSD */
    }
    return st;
}

static enum status select(struct mmc_card *card)
{
    return mmc_send(card, CMD_SELECT, mmc_rca_arg(card), MMC_RESP_R1B);
}

static enum status full_clock(struct mmc_card *card)
{
    return mmc_bus(card, MMC_TIMING_LEGACY, 25000000, 1);
}

/* --- EXT_CSD
 * ---------------------------------------------------------------------------------------- */
static enum status ext_csd(struct mmc_card *card)
{
    return mmc_read_register(card, CMD_MMC_EXT_CSD, 0, false, EXT_CSD_BYTES);
}

static u32 le32_at(const u8 *at)
{
    return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

static enum mmc_timing timing_choose(const struct mmc_card *card, u32 type)
{
    const struct mmc_host_caps *caps = &card->host->caps;
    u32 usable = caps->timings & ~card->barred;

    if ((type & EXT_CSD_TYPE_HS400) && (usable & BIT32(MMC_TIMING_HS400)) && caps->signal_1v8 &&
        caps->width_max == 8 && (card->strobe || (usable & BIT32(MMC_TIMING_HS200)))) {
        return MMC_TIMING_HS400;
    }
    if ((type & EXT_CSD_TYPE_HS200) && (usable & BIT32(MMC_TIMING_HS200)) && caps->signal_1v8 &&
        caps->width_max >= 4) {
        return MMC_TIMING_HS200;
    }
    if ((type & EXT_CSD_TYPE_DDR52) && (usable & BIT32(MMC_TIMING_DDR52)) && caps->width_max >= 4) {
        return MMC_TIMING_DDR52;
    }
    return (type & EXT_CSD_TYPE_HS52) && (usable & BIT32(MMC_TIMING_HS)) ? MMC_TIMING_HS
                                                                         : MMC_TIMING_LEGACY;
}

static enum status ext_csd_end(struct mmc_card *card, enum status st)
{
    const u8 *e = card->reg;
    u32 secure = e[EXT_CSD_SEC_FEATURES];

    st = mmc_r1_end(card, st);
    if (st != ST_OK) {
        return st;
    }
    card->sectors = le32_at(e + EXT_CSD_SEC_COUNT);
    if (card->sectors == 0) {
        return ST_NOSUP;
    }
    card->cmd23 = true;
    card->width = card->host->caps.width_max;
    card->cache = le32_at(e + EXT_CSD_CACHE_SIZE) > 0;
    card->erased_zero = e[EXT_CSD_ERASED_CONT] == 0 && (secure & EXT_CSD_SEC_GB_CL);
    card->discard = e[EXT_CSD_REV] >= 6;
    card->secure_erase = (secure & EXT_CSD_SEC_ER) && (secure & EXT_CSD_SEC_GB_CL);
    card->erase_ns = MMC_MS(300) * (e[EXT_CSD_TRIM_MULT] + 1) * (e[EXT_CSD_SEC_TRIM_MULT] + 1) * 64;
    card->pre_eol = e[EXT_CSD_PRE_EOL];
    card->life_a = e[EXT_CSD_LIFE_A];
    card->life_b = e[EXT_CSD_LIFE_B];
    card->boot_sectors = e[EXT_CSD_BOOT_SIZE] * (u32)(KIB(128) / 512);
    card->rpmb_sectors = e[EXT_CSD_RPMB_SIZE] * (u32)(KIB(128) / 512);
    card->strobe = e[EXT_CSD_STROBE] && card->host->caps.strobe;
    card->timing = timing_choose(card, e[EXT_CSD_DEVICE_TYPE]);
    card->strobe = card->strobe && card->timing == MMC_TIMING_HS400;
    return ST_OK;
}

/* --- one byte of EXT_CSD
 * ------------------------------------------------------------------------------ */
static enum status ext_csd_set(struct mmc_card *card, u32 index, u32 value)
{
    return mmc_send(card, CMD_SWITCH, ext_csd_write(index, value), MMC_RESP_R1B);
}

static enum status power_notify(struct mmc_card *card)
{
    return ext_csd_set(card, EXT_CSD_POWER_OFF, EXT_CSD_POWERED_ON);
}

static enum status cache_on(struct mmc_card *card)
{
    return ext_csd_set(card, EXT_CSD_CACHE_CTRL, 1);
}

static bool has_cache(const struct mmc_card *card)
{
    return card->cache;
}

/* --- modes
 * ---------------------------------------------------------------------------------------------- */
static bool goes_low(const struct mmc_card *card)
{
    return card->timing == MMC_TIMING_HS200 || card->timing == MMC_TIMING_HS400;
}

/** By way of HS200: the mode itself, and HS400 without a strobe. */
static bool by_hs200(const struct mmc_card *card)
{
    return goes_low(card) && !card->strobe;
}

static bool by_hs(const struct mmc_card *card)
{
    return card->timing != MMC_TIMING_LEGACY && card->timing != MMC_TIMING_HS200;
}

static bool ddr(const struct mmc_card *card)
{
    return card->timing == MMC_TIMING_HS400 || card->timing == MMC_TIMING_DDR52;
}

static bool is_ddr52(const struct mmc_card *card)
{
    return card->timing == MMC_TIMING_DDR52;
}

static bool is_hs400(const struct mmc_card *card)
{
    return card->timing == MMC_TIMING_HS400;
}

static bool widens_late(const struct mmc_card *card)
{
    return card->width > 1 && (card->timing == MMC_TIMING_HS || card->timing == MMC_TIMING_LEGACY);
}

static enum status signal_low(struct mmc_card *card)
{
    struct mmc_ios ios = card->host->ios;
    enum status st;

    ios.signal_1v8 = true;
    st = card->host->ops->set_ios(card->host, &ios);
    card->on_bus = st == ST_AGAIN;
    return st;
}

static enum status width_sdr(struct mmc_card *card)
{
    return ext_csd_set(card, EXT_CSD_BUS_WIDTH,
                       card->width == 8 ? EXT_CSD_WIDTH_8 : EXT_CSD_WIDTH_4);
}

static enum status width_follow(struct mmc_card *card)
{
    return mmc_bus(card, card->host->ios.timing, card->host->ios.clock_hz, card->width);
}

static enum status hs200_set(struct mmc_card *card)
{
    return ext_csd_set(card, EXT_CSD_HS_TIMING, EXT_CSD_TIMING_HS200);
}

static enum status hs200_follow(struct mmc_card *card)
{
    return mmc_bus(card, MMC_TIMING_HS200, 200000000, card->width);
}

static enum status tune(struct mmc_card *card)
{
    enum status st = card->host->ops->tune(card->host, CMD_MMC_TUNING);

    card->on_bus = st == ST_AGAIN;
    return st;
}

static enum status hs_set(struct mmc_card *card)
{
    /* [EMMC] 6.6.5.2: from HS200 the clock comes down before the timing does. */
    return ext_csd_set(card, EXT_CSD_HS_TIMING, EXT_CSD_TIMING_HS);
}

static enum status hs_slow(struct mmc_card *card)
{
    return mmc_bus(card, card->host->ios.timing, 50000000, card->host->ios.width);
}

static bool comes_down(const struct mmc_card *card)
{
    return is_hs400(card) && !card->strobe;
}

static enum status hs_follow(struct mmc_card *card)
{
    return mmc_bus(card, MMC_TIMING_HS, 52000000, card->host->ios.width);
}

static enum status width_ddr(struct mmc_card *card)
{
    u32 value = card->width == 8 ? EXT_CSD_WIDTH_8_DDR : EXT_CSD_WIDTH_4_DDR;

    return ext_csd_set(card, EXT_CSD_BUS_WIDTH, value | (card->strobe ? EXT_CSD_WIDTH_STROBE : 0));
}

static enum status ddr52_follow(struct mmc_card *card)
{
    return mmc_bus(card, MMC_TIMING_DDR52, 52000000, card->width);
}

static enum status hs400_set(struct mmc_card *card)
{
    return ext_csd_set(card, EXT_CSD_HS_TIMING, EXT_CSD_TIMING_HS400);
}

static enum status hs400_follow(struct mmc_card *card)
{
    struct mmc_ios ios = card->host->ios;
    enum status st;

    ios.timing = MMC_TIMING_HS400;
    ios.clock_hz = 200000000;
    ios.width = 8;
    ios.strobe = card->strobe;
    st = card->host->ops->set_ios(card->host, &ios);
    card->on_bus = st == ST_AGAIN;
    return st;
}

/* --- the table
 * ------------------------------------------------------------------------------------------ */
/* The releases of clang-format do not agree about its braces. */
/* clang-format off */
#define STATUS(wanted) \
    {"CMD13 status", (wanted), mmc_status_send, mmc_status_end, MMC_SETTLE_NS, MMC_MS(1) / 20}
/* clang-format on */

static const struct mmc_step emmc_steps[] = {
    {"CMD0", NULL, go_idle, bus_end, 0, MMC_MS(1)},
    {"CMD1 operating conditions", NULL, op_cond, op_cond_end, MMC_POWER_UP_NS, MMC_MS(5)},
    {"CMD2 CID", NULL, all_cid, all_cid_end, 0, 0},
    {"CMD3 address", NULL, set_address, NULL, 0, 0},
    {"CMD9 CSD", NULL, send_csd, send_csd_end, 0, 0},
    {"CMD7 select", NULL, select, NULL, 0, 0},
    {"clock", NULL, full_clock, bus_end, 0, 0},
    {"CMD8 EXT_CSD", NULL, ext_csd, ext_csd_end, 0, 0},
    {"power notification", NULL, power_notify, NULL, 0, 0},
    STATUS(NULL),
    {"cache", has_cache, cache_on, NULL, 0, 0},
    STATUS(has_cache),
    {"1.8 V", goes_low, signal_low, bus_end, 0, 0},
    {"BUS_WIDTH", by_hs200, width_sdr, NULL, 0, 0},
    {"width", by_hs200, width_follow, bus_end, 0, 0},
    STATUS(by_hs200),
    {"HS_TIMING HS200", by_hs200, hs200_set, NULL, 0, 0},
    {"HS200", by_hs200, hs200_follow, bus_end, 0, 0},
    STATUS(by_hs200),
    {"tuning", by_hs200, tune, bus_end, 0, 0},
    {"slower", comes_down, hs_slow, bus_end, 0, 0},
    {"HS_TIMING high speed", by_hs, hs_set, NULL, 0, 0},
    {"high speed", by_hs, hs_follow, bus_end, 0, 0},
    STATUS(by_hs),
    {"BUS_WIDTH double rate", ddr, width_ddr, NULL, 0, 0},
    {"DDR52", is_ddr52, ddr52_follow, bus_end, 0, 0},
    STATUS(ddr),
    {"HS_TIMING HS400", is_hs400, hs400_set, NULL, 0, 0},
    {"HS400", is_hs400, hs400_follow, bus_end, 0, 0},
    STATUS(is_hs400),
    {"BUS_WIDTH", widens_late, width_sdr, NULL, 0, 0},
    {"width", widens_late, width_follow, bus_end, 0, 0},
    STATUS(NULL),
};

void mmc_emmc_begin(struct mmc_card *card)
{
    MMC_TABLE(card, emmc_steps);
}
