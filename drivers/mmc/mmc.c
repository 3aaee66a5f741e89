/* SPDX-License-Identifier: BSD-2-Clause */
/* mmc.c - the machine that runs the tables, and what it does when one fails. */
#include "drivers/mmc/mmc.h"

#include <string.h>

#include "drivers/mmc/mmc_parts.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"

const char *mmc_timing_name(enum mmc_timing timing)
{
    static const char *const names[] = {"default speed", "high speed", "SDR12", "SDR25", "SDR50",
                                        "SDR104",        "DDR50",      "DDR52", "HS200", "HS400"};

    STATIC_CHECK(ARRAY_LEN(names) == MMC_TIMING_COUNT, "one name each");
    return timing < MMC_TIMING_COUNT ? names[timing] : "?";
}

/* --- what steps are made of
 * ----------------------------------------------------------------------- */
static enum status started(struct mmc_card *card, enum status st)
{
    card->on_bus = st == ST_AGAIN;
    return st;
}

enum status mmc_send(struct mmc_card *card, u8 index, u32 arg, enum mmc_resp resp)
{
    card->req =
        (struct mmc_request){.index = index, .arg = arg, .resp = resp, .limit_ns = MMC_WRITE_NS};
    return started(card, card->host->ops->start(card->host, &card->req));
}

enum status mmc_send_app(struct mmc_card *card, u8 index, u32 arg, enum mmc_resp resp)
{
    card->req = (struct mmc_request){.index = index,
                                     .arg = arg,
                                     .resp = resp,
                                     .app = true,
                                     .rca = card->rca,
                                     .limit_ns = MMC_WRITE_NS};
    return started(card, card->host->ops->start(card->host, &card->req));
}

enum status mmc_read_register(struct mmc_card *card, u8 index, u32 arg, bool app, u32 bytes)
{
    CHECK(bytes <= sizeof(card->reg));
    memset(card->reg, 0, sizeof(card->reg));
    card->reg_span = (struct span){.base = card->reg, .bytes = bytes};
    card->req = (struct mmc_request){
        .index = index,
        .arg = arg,
        .resp = MMC_RESP_R1,
        .app = app,
        .rca = card->rca,
        .limit_ns = MMC_REGISTER_NS,
        .block_bytes = bytes,
        .blocks = 1,
        .spans = &card->reg_span,
        .span_count = 1,
        .by_port = true,
    };
    return started(card, card->host->ops->start(card->host, &card->req));
}

enum status mmc_bus(struct mmc_card *card, enum mmc_timing timing, u32 clock_hz, u32 width)
{
    struct mmc_ios ios = card->host->ios;

    ios.timing = timing;
    ios.clock_hz = clock_hz;
    ios.width = width;
    ios.power = true;
    return started(card, card->host->ops->set_ios(card->host, &ios));
}

u32 mmc_rca_arg(const struct mmc_card *card)
{
    return (u32)card->rca << 16;
}

enum status mmc_r1_status(u32 r1)
{
    if (r1 & (R1_WP_VIOLATION | R1_LOCKED)) {
        return ST_ACCES;
    }
    return r1 & R1_ERRORS ? ST_IO : ST_OK;
}

enum status mmc_r1_end(struct mmc_card *card, enum status st)
{
    bool checked = card->req.resp == MMC_RESP_R1 || card->req.resp == MMC_RESP_R1B;

    if (checked && mmc_r1_status(card->req.response[0]) == ST_ACCES) {
        return ST_ACCES;
    }
    return st == ST_OK && checked ? mmc_r1_status(card->req.response[0]) : st;
}

enum status mmc_status_send(struct mmc_card *card)
{
    return mmc_send(card, CMD_SEND_STATUS, mmc_rca_arg(card), MMC_RESP_R1);
}

enum status mmc_status_end(struct mmc_card *card, enum status st)
{
    u32 r1 = card->req.response[0];

    st = mmc_r1_end(card, st);
    if (st != ST_OK) {
        return st;
    }
    if (card->kind == MMC_KIND_EMMC && (r1 & R1_SWITCH_ERROR)) {
        return ST_IO;
    }
    return (r1 & R1_READY) && R1_STATE(r1) == R1_STATE_TRAN ? ST_OK : ST_AGAIN;
}

/* --- the machine
 * ---------------------------------------------------------------------------------- */
static void step_enter(struct mmc_card *card)
{
    u64 now_ns = port_now_ns();

    while (card->step < card->step_count && card->steps[card->step].wanted &&
           !card->steps[card->step].wanted(card)) {
        card->step++;
    }
    if (card->step < card->step_count) {
        card->not_before_ns = now_ns + card->steps[card->step].pause_ns;
        card->step_deadline_ns = card->not_before_ns + card->steps[card->step].limit_ns;
    }
}

void mmc_table_start(struct mmc_card *card, const struct mmc_step *steps, u32 count)
{
    card->steps = steps;
    card->step = 0;
    card->step_count = count;
    step_enter(card);
}

/**
 * Advance the table: ST_AGAIN, or how it ended. A step may start another table, which then takes
 * this one's place.
 */
static enum status table_poll(struct mmc_card *card)
{
    const struct mmc_step *steps = card->steps;
    const struct mmc_step *step = steps + card->step;
    enum status st;

    if (card->step == card->step_count) {
        return ST_OK; /* nothing of it was wanted */
    }
    if (port_now_ns() < card->not_before_ns) {
        return ST_AGAIN;
    }
    st = card->on_bus ? card->host->ops->poll(card->host) : step->start(card);
    if (st == ST_AGAIN) {
        return ST_AGAIN;
    }
    card->on_bus = false;
    st = step->end ? step->end(card, st) : mmc_r1_end(card, st);
    if (card->steps != steps) {
        return ST_AGAIN;
    }
    if (st == ST_AGAIN) {
        if (port_now_ns() >= card->step_deadline_ns) {
            return ST_TIMEOUT;
        }
        card->not_before_ns = port_now_ns() + step->pause_ns;
        return ST_AGAIN;
    }
    if (st != ST_OK) {
        return st;
    }
    card->step++;
    step_enter(card);
    return card->step < card->step_count ? ST_AGAIN : ST_OK;
}

/* --- what follows a table
 * ----------------------------------------------------------------------------- */
static bool gone(struct mmc_card *card, enum status st)
{
    return st == ST_NODEV || !card->host->ops->present(card->host);
}

static enum status absent(struct mmc_card *card)
{
    card->state = MMC_ABSENT;
    card->io_pending = card->io_lost = false;
    return ST_NODEV;
}

static void identify_again(struct mmc_card *card)
{
    card->state = MMC_IDENTIFYING;
    card->identifications++;
    mmc_sd_begin(card);
}

/** A mode that does not work is not tried again; default speed is always left. */
static void timing_bar(struct mmc_card *card)
{
    if (card->timing != MMC_TIMING_LEGACY) {
        log_warn("%s: %s does not work: the next slower mode", card->name,
                 mmc_timing_name(card->timing));
        card->barred |= BIT32(card->timing);
        card->degradations++;
    }
}

static enum status identified(struct mmc_card *card)
{
    if (card->known && memcmp(card->cid, card->was_cid, sizeof(card->cid)) != 0) {
        card->other_card = true;
        return absent(card);
    }
    memcpy(card->was_cid, card->cid, sizeof(card->cid));
    card->known = true;
    card->other_card = false;
    card->identify_tries = 0;
    if (card->io_pending) {
        card->state = MMC_WORKING;
        mmc_io_begin(card);
        return ST_AGAIN;
    }
    card->state = MMC_READY;
    if (card->io_lost) {
        card->io_lost = false;
        return ST_IO;
    }
    return ST_OK;
}

static enum status identify_failed(struct mmc_card *card, enum status st)
{
    if (gone(card, st)) {
        return absent(card);
    }
    if (++card->identify_tries >= MMC_IDENTIFY_TRIES) {
        log_error("%s: no card that can be used: step %s: %s", card->name,
                  card->steps[card->step].name, status_name(st));
        absent(card);
        return st;
    }
    timing_bar(card);
    identify_again(card);
    return ST_AGAIN;
}

static enum status io_done(struct mmc_card *card, enum status st)
{
    card->state = MMC_READY;
    card->io_pending = false;
    return st;
}

/** Bounded: so many tries, an identification without the mode, once more so many, and an error. */
static enum status io_failed(struct mmc_card *card, enum status st)
{
    if (gone(card, st)) {
        return absent(card);
    }
    if (st == ST_RANGE || st == ST_INVAL || st == ST_FULL || st == ST_NOSUP) {
        return io_done(card, st); /* nothing was sent */
    }
    card->failed = st;
    card->recoveries++;
    card->state = MMC_RECOVERING;
    mmc_recover_begin(card);
    return ST_AGAIN;
}

static enum status recovered(struct mmc_card *card)
{
    if (card->failed == ST_ACCES) {
        return io_done(card, ST_ACCES);
    }
    card->tries++;
    if (card->tries == MMC_IO_TRIES && card->failed != ST_IO) {
        if (card->failed == ST_CRC) {
            timing_bar(card);
        }
        identify_again(card);
        return ST_AGAIN;
    }
    if (card->tries >= 2 * MMC_IO_TRIES || (card->tries >= MMC_IO_TRIES && card->failed == ST_IO)) {
        return io_done(card, card->failed);
    }
    card->retries++;
    card->state = MMC_WORKING;
    mmc_io_begin(card);
    return ST_AGAIN;
}

/** The card could not be brought back: power it down and begin anew, but not for ever. */
static enum status recover_failed(struct mmc_card *card, enum status st)
{
    if (gone(card, st)) {
        return absent(card);
    }
    if (++card->tries >= 2 * MMC_IO_TRIES) {
        card->io_lost = card->io_pending;
        card->io_pending = false;
    }
    identify_again(card);
    return ST_AGAIN;
}

static enum status table_over(struct mmc_card *card, enum status st)
{
    switch (card->state) {
    case MMC_IDENTIFYING:
        return st == ST_OK ? identified(card) : identify_failed(card, st);
    case MMC_WORKING:
        return st == ST_OK ? io_done(card, ST_OK) : io_failed(card, st);
    case MMC_RECOVERING:
        return st == ST_OK ? recovered(card) : recover_failed(card, st);
    case MMC_ABSENT:
    case MMC_READY:
        break;
    }
    return ST_OK;
}

enum status mmc_poll(struct mmc_card *card)
{
    enum status st;

    if (card->state == MMC_ABSENT || card->state == MMC_READY) {
        return ST_OK;
    }
    st = table_poll(card);
    return st == ST_AGAIN ? ST_AGAIN : table_over(card, st);
}

/* --- the front door
 * ------------------------------------------------------------------------------------ */
void mmc_init(struct mmc_card *card, struct mmc_host *host, const char *name)
{
    *card = (struct mmc_card){.host = host, .name = name, .width = 1};
}

void mmc_identify(struct mmc_card *card)
{
    CHECK(card->state == MMC_ABSENT || card->state == MMC_READY);
    card->identify_tries = 0;
    card->io_pending = card->io_lost = false;
    card->tries = 0;
    identify_again(card);
}

void mmc_start(struct mmc_card *card, const struct mmc_io *io)
{
    CHECK(card->state == MMC_READY);
    card->io = *io;
    card->io_pending = true;
    card->tries = 0;
    card->identify_tries = 0;
    card->state = MMC_WORKING;
    mmc_io_begin(card);
}
