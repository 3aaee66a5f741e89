/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_io.c - what is done with an identified card, and how it is brought back.       plane: data
 *
 * A write ends with CMD13: errors of programming are told by the next response only, so before it
 * nothing is acknowledged [SD-PHY 4.10.1].
 */
#include <string.h>

#include "drivers/mmc/mmc_parts.h"
#include "start/base/check.h"
#include "start/base/limits.h"
#include "start/base/log.h"
#include "start/port.h"

static u32 address(const struct mmc_card *card, u64 sector)
{
    return (u32)(card->by_sector ? sector : sector * 512);
}

/* --- read and write
 * --------------------------------------------------------------------------------- */
static bool writes(const struct mmc_card *card)
{
    return card->io.op == MMC_WRITE;
}

static enum status transfer(struct mmc_card *card)
{
    const struct mmc_io *io = &card->io;
    bool write = writes(card);
    bool many = io->sectors > 1;
    enum status st;

    card->req = (struct mmc_request){
        .index = (u8)(write ? (many ? CMD_WRITE_MULTIPLE : CMD_WRITE_SINGLE)
                            : (many ? CMD_READ_MULTIPLE : CMD_READ_SINGLE)),
        .arg = address(card, io->sector),
        .resp = MMC_RESP_R1,
        .counted = card->cmd23,
        .limit_ns = (write ? MMC_WRITE_NS : MMC_READ_NS) + io->sectors * MMC_MS(1),
        .write = write,
        .block_bytes = 512,
        .blocks = (u32)io->sectors,
        .spans = io->spans,
        .span_count = io->span_count,
        .by_port = io->by_port,
    };
    st = card->host->ops->start(card->host, &card->req);
    card->on_bus = st == ST_AGAIN;
    return st;
}

/**
 * A card that reads ahead may run over its end before it hears CMD12: that bit alone means nothing
 * when the transfer ends at the last sector [SD-PHY 4.3.3].
 */
static enum status transfer_end(struct mmc_card *card, enum status st)
{
    u32 stop = card->req.stop_response;

    if (card->io.sector + card->io.sectors == card->sectors) {
        stop &= ~R1_OUT_OF_RANGE;
    }
    st = mmc_r1_end(card, st);
    return st == ST_OK ? mmc_r1_status(stop) : st;
}

static const struct mmc_step transfer_steps[] = {
    {"transfer", NULL, transfer, transfer_end, 0, 0},
    {"CMD13 status", writes, mmc_status_send, mmc_status_end, MMC_WRITE_NS, 0},
};

/* --- flush
 * -------------------------------------------------------------------------------------------- */
static bool has_cache(const struct mmc_card *card)
{
    return card->cache;
}

/** A command with a busy of so long. */
static enum status busy_send(struct mmc_card *card, u8 index, u32 argument, u64 limit_ns)
{
    enum status st;

    card->req = (struct mmc_request){
        .index = index, .arg = argument, .resp = MMC_RESP_R1B, .limit_ns = limit_ns};
    st = card->host->ops->start(card->host, &card->req);
    card->on_bus = st == ST_AGAIN;
    return st;
}

static enum status flush(struct mmc_card *card)
{
    return busy_send(card, CMD_SWITCH, ext_csd_write(EXT_CSD_FLUSH_CACHE, 1), MMC_FLUSH_NS);
}

static const struct mmc_step flush_steps[] = {
    {"flush", has_cache, flush, NULL, 0, 0},
    {"CMD13 status", has_cache, mmc_status_send, mmc_status_end, MMC_FLUSH_NS, MMC_MS(1) / 20},
};

/* --- erase
 * -------------------------------------------------------------------------------------------- */
static enum status erase_first(struct mmc_card *card)
{
    bool sd = card->kind == MMC_KIND_SD;

    return mmc_send(card, sd ? CMD_SD_ERASE_FIRST : CMD_MMC_ERASE_FIRST,
                    address(card, card->io.sector), MMC_RESP_R1);
}

static enum status erase_last(struct mmc_card *card)
{
    bool sd = card->kind == MMC_KIND_SD;

    return mmc_send(card, sd ? CMD_SD_ERASE_LAST : CMD_MMC_ERASE_LAST,
                    address(card, card->io.sector + card->io.sectors - 1), MMC_RESP_R1);
}

static u32 erase_argument(const struct mmc_card *card)
{
    if (card->kind == MMC_KIND_SD) {
        return card->io.op == MMC_DISCARD && card->discard ? ERASE_ARG_SD_DISCARD : ERASE_ARG_ERASE;
    }
    switch (card->io.op) {
    case MMC_DISCARD:
        return card->discard ? ERASE_ARG_DISCARD : ERASE_ARG_TRIM;
    case MMC_SECURE:
        return ERASE_ARG_SECURE_TRIM_1;
    case MMC_ZERO:
    case MMC_READ:
    case MMC_WRITE:
    case MMC_FLUSH:
        break;
    }
    return ERASE_ARG_TRIM;
}

static enum status erase(struct mmc_card *card)
{
    return busy_send(card, CMD_ERASE, erase_argument(card), card->erase_ns);
}

static bool in_two_steps(const struct mmc_card *card)
{
    return card->io.op == MMC_SECURE;
}

static enum status erase_second(struct mmc_card *card)
{
    return busy_send(card, CMD_ERASE, ERASE_ARG_SECURE_TRIM_2, card->erase_ns);
}

static const struct mmc_step erase_steps[] = {
    {"first sector", NULL, erase_first, NULL, 0, 0},
    {"last sector", NULL, erase_last, NULL, 0, 0},
    {"CMD38 erase", NULL, erase, NULL, 0, 0},
    {"CMD38 second step", in_two_steps, erase_second, NULL, 0, 0},
    {"CMD13 status", NULL, mmc_status_send, mmc_status_end, MMC_MS(60000), MMC_MS(1) / 20},
};

void mmc_io_begin(struct mmc_card *card)
{
    switch (card->io.op) {
    case MMC_READ:
    case MMC_WRITE:
        MMC_TABLE(card, transfer_steps);
        return;
    case MMC_FLUSH:
        MMC_TABLE(card, flush_steps);
        return;
    case MMC_DISCARD:
    case MMC_ZERO:
    case MMC_SECURE:
        MMC_TABLE(card, erase_steps);
        return;
    }
}

/* --- recovery
 * ------------------------------------------------------------------------------------------ */
/** The status as it is, errors of what failed included: they are told once and are gone. */
static enum status look_end(struct mmc_card *card, enum status st)
{
    (void)card;
    return st == ST_TIMEOUT || st == ST_CRC ? ST_AGAIN : st;
}

static bool in_transfer(const struct mmc_card *card)
{
    u32 state = R1_STATE(card->req.response[0]);

    return state == R1_STATE_DATA || state == R1_STATE_RCV;
}

static enum status stop(struct mmc_card *card)
{
    return mmc_send(card, CMD_STOP, 0, MMC_RESP_R1B);
}

/** Whatever it answers: the step after it sees whether it helped. */
static enum status stop_end(struct mmc_card *card, enum status st)
{
    (void)card;
    return st == ST_NODEV ? st : ST_OK;
}

static enum status settled_end(struct mmc_card *card, enum status st)
{
    u32 r1 = card->req.response[0];

    if (st != ST_OK) {
        return look_end(card, st);
    }
    return (r1 & R1_READY) && R1_STATE(r1) == R1_STATE_TRAN ? ST_OK : ST_AGAIN;
}

static bool wants_tuning(const struct mmc_card *card)
{
    return card->failed == ST_CRC &&
           (card->timing == MMC_TIMING_SDR104 || card->timing == MMC_TIMING_HS200 ||
            (card->timing == MMC_TIMING_SDR50 && card->host->caps.tune_sdr50));
}

static enum status tune(struct mmc_card *card)
{
    enum status st = card->host->ops->tune(card->host, card->kind == MMC_KIND_SD ? CMD_SD_TUNING
                                                                                 : CMD_MMC_TUNING);

    card->on_bus = st == ST_AGAIN;
    return st;
}

static enum status tune_end(struct mmc_card *card, enum status st)
{
    (void)card;
    return st;
}

static const struct mmc_step recover_steps[] = {
    {"CMD13 after an error", NULL, mmc_status_send, look_end, MMC_MS(100), MMC_MS(1)},
    {"CMD12", in_transfer, stop, stop_end, 0, 0},
    {"CMD13 until it is back", NULL, mmc_status_send, settled_end, MMC_SETTLE_NS, MMC_MS(1)},
    {"tuning again", wants_tuning, tune, tune_end, 0, 0},
};

void mmc_recover_begin(struct mmc_card *card)
{
    MMC_TABLE(card, recover_steps);
}

/* --- the trial of DMA
 * ------------------------------------------------------------------------------------ */
static enum status read_now(struct mmc_card *card, const struct span *span, bool by_port)
{
    const struct mmc_io io = {.op = MMC_READ,
                              .sectors = span->bytes / SECTOR_BYTES,
                              .spans = span,
                              .span_count = 1,
                              .by_port = by_port};
    enum status st;

    mmc_start(card, &io);
    while ((st = mmc_poll(card)) == ST_AGAIN) { /* every step of it has its own deadline */
        port_relax();
    }
    return st;
}

/** The poison differs in every byte from what is to be read, whatever the medium holds. */
bool mmc_dma_try(struct mmc_card *card, const struct span *dma, const struct span *port)
{
    CHECK(dma->bytes == port->bytes && card->state == MMC_READY);
    if (card->host->caps.span_max == 0 || read_now(card, port, true) != ST_OK) {
        return card->host->caps.span_max != 0;
    }
    for (u32 i = 0; i < dma->bytes; i++) {
        dma->base[i] = (u8)~port->base[i];
    }
    if (read_now(card, dma, false) == ST_OK && memcmp(dma->base, port->base, dma->bytes) == 0) {
        return true;
    }
    log_warn("%s: what the controller's DMA reads is not where it should be: the processor moves "
             "the data; see that bus addresses are those of this domain's memory",
             card->name);
    card->host->ops->port_only(card->host);
    return false;
}
