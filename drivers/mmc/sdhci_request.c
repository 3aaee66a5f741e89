/* SPDX-License-Identifier: BSD-2-Clause */
/* sdhci_request.c - commands and their data: port, SDMA, ADMA2, errors. */
#include <string.h>

#include "drivers/mmc/mmc_proto.h"
#include "drivers/mmc/sdhci_parts.h"
#include "start/base/arith.h"
#include "start/base/check.h"

#define SDMA_BOUNDARY KIB(512)

/* --- what goes where
 * -------------------------------------------------------------------------------- */
static u32 response_bits(enum mmc_resp resp)
{
    switch (resp) {
    case MMC_RESP_NONE:
        return SDHCI_CMD_RESP_NONE;
    case MMC_RESP_R1:
        return SDHCI_CMD_RESP_48 | SDHCI_CMD_CRC | SDHCI_CMD_INDEX_CHECK;
    case MMC_RESP_R1B:
        return SDHCI_CMD_RESP_48_BUSY | SDHCI_CMD_CRC | SDHCI_CMD_INDEX_CHECK;
    case MMC_RESP_R2:
        return SDHCI_CMD_RESP_136 | SDHCI_CMD_CRC;
    case MMC_RESP_R3:
        return SDHCI_CMD_RESP_48;
    }
    return SDHCI_CMD_RESP_NONE;
}

static bool auto_count(const struct sdhci *s)
{
    /* Before version 4 some controllers that say 3.00 drop the bit, and SDMA wants its register. */
    return s->v4 && !(s->config.quirks & SDHCI_QUIRK_NO_AUTO_CMD23);
}

static bool auto_stop(const struct sdhci *s)
{
    return !(s->config.quirks & SDHCI_QUIRK_NO_AUTO_CMD12);
}

/** How the card is told where a transfer of many blocks ends. */
static enum {
    END_ITSELF,
    END_BY_COUNT,
    END_BY_COUNT_OURS,
    END_BY_STOP,
    END_BY_STOP_OURS
} end_of(const struct sdhci *s, const struct mmc_request *req)
{
    if (req->index != CMD_READ_MULTIPLE && req->index != CMD_WRITE_MULTIPLE) {
        return END_ITSELF;
    }
    if (req->counted && auto_count(s)) {
        return END_BY_COUNT;
    }
    if (auto_stop(s)) {
        return END_BY_STOP;
    }
    return req->counted ? END_BY_COUNT_OURS : END_BY_STOP_OURS;
}

static u32 transfer_mode(const struct sdhci *s, const struct mmc_request *req)
{
    u32 mode = req->write ? 0 : SDHCI_MODE_READ;

    if (!s->by_port) {
        mode |= SDHCI_MODE_DMA;
    }
    if (req->index == CMD_READ_MULTIPLE || req->index == CMD_WRITE_MULTIPLE) {
        mode |= SDHCI_MODE_MULTI | SDHCI_MODE_COUNT;
    }
    switch (end_of(s, req)) {
    case END_BY_COUNT:
        return mode | SDHCI_MODE_AUTO_CMD23;
    case END_BY_STOP:
        return mode | SDHCI_MODE_AUTO_CMD12;
    case END_ITSELF:
    case END_BY_COUNT_OURS:
    case END_BY_STOP_OURS:
        break;
    }
    return mode;
}

/* --- memory
 * ----------------------------------------------------------------------------------------- */
static void spans_sync(const struct sdhci *s, const struct mmc_request *req)
{
    if (s->config.coherent) {
        return;
    }
    for (u32 i = 0; i < req->span_count; i++) {
        if (req->write) {
            dma_clean(req->spans[i].base, req->spans[i].bytes);
        } else {
            dma_clean_invalidate(req->spans[i].base, req->spans[i].bytes);
        }
    }
}

static enum status adma_prepare(struct sdhci *s, const struct mmc_request *req)
{
    const struct adma2_table table = {
        .base = s->config.table,
        .bytes = s->config.table_bytes,
        .format = s->format,
        .piece_bytes_max = s->piece_bytes_max,
    };
    u32 count;
    enum status st = adma2_build(&table, req->spans, req->span_count, &count);

    if (st != ST_OK) {
        return st;
    }
    if (!s->config.coherent) {
        dma_clean(s->config.table, (usize)count * s->format);
    }
    sdhci_write(s, SDHCI_ADMA_ADDRESS, (u32)s->config.table_bus);
    if (s->format != ADMA2_32) {
        sdhci_write(s, SDHCI_ADMA_ADDRESS_HIGH, (u32)(s->config.table_bus >> 32));
    }
    return ST_OK;
}

static void sdma_address_write(const struct sdhci *s)
{
    if (!s->v4) {
        sdhci_write(s, SDHCI_SDMA_ADDRESS, (u32)s->sdma_bus);
        return;
    }
    /* The upper byte of the lower word sets it going: the upper word goes first. */
    if (s->control_2 & SDHCI_64BIT) {
        sdhci_write(s, SDHCI_ADMA_ADDRESS_HIGH, (u32)(s->sdma_bus >> 32));
    }
    sdhci_write(s, SDHCI_ADMA_ADDRESS, (u32)s->sdma_bus);
}

/** One span, and no block across a boundary: the controller stops between blocks only. */
static enum status sdma_prepare(struct sdhci *s, const struct mmc_request *req)
{
    u64 bus = req->spans[0].bus;

    if (req->span_count != 1 || !is_aligned(bus, ADMA2_ALIGN)) {
        return ST_INVAL;
    }
    if (!range_ok(bus, req->spans[0].bytes, s->host.caps.bus_limit)) {
        return ST_RANGE;
    }
    if (bus / SDMA_BOUNDARY != (bus + req->spans[0].bytes - 1) / SDMA_BOUNDARY &&
        !is_aligned(bus, req->block_bytes)) {
        return ST_INVAL;
    }
    s->sdma_bus = bus;
    sdma_address_write(s);
    return ST_OK;
}

static enum status data_prepare(struct sdhci *s, const struct mmc_request *req)
{
    u32 block = req->block_bytes | SDHCI_BLOCK_BOUNDARY(SDHCI_BOUNDARY_512K);
    enum status st = ST_OK;

    s->by_port = req->by_port || s->dma == SDHCI_PORT_ONLY;
    s->port_span = s->port_byte = s->port_blocks = 0;
    if (!s->by_port) {
        st = s->dma == SDHCI_ADMA2 ? adma_prepare(s, req) : sdma_prepare(s, req);
    }
    if (st != ST_OK) {
        return st;
    }
    if (!s->by_port) {
        spans_sync(s, req);
        dma_barrier();
    }
    sdhci_write(s, SDHCI_BLOCK, block | SDHCI_BLOCK_COUNT(req->blocks));
    if (end_of(s, req) == END_BY_COUNT) {
        sdhci_write(s, SDHCI_BLOCK_COUNT_32, req->blocks); /* Argument 2 */
    }
    return ST_OK;
}

/* --- the buffer port
 * ----------------------------------------------------------------------------------- */
static u8 *port_next(struct sdhci *s)
{
    const struct span *span = &s->req->spans[s->port_span];
    u8 *at;

    CHECK(s->port_span < s->req->span_count);
    at = span->base + s->port_byte;
    if (++s->port_byte == span->bytes) {
        s->port_byte = 0;
        s->port_span++;
    }
    return at;
}

static void port_word(struct sdhci *s, u32 bytes)
{
    u32 word = s->req->write ? 0 : sdhci_read(s, SDHCI_BUFFER);

    for (u32 i = 0; i < bytes; i++) {
        u8 *at = port_next(s);

        if (s->req->write) {
            word |= (u32)*at << (8 * i);
        } else {
            *at = (u8)(word >> (8 * i));
        }
    }
    if (s->req->write) {
        sdhci_write(s, SDHCI_BUFFER, word);
    }
}

/** One block: the buffer is ready for no more [SD-HOST 3.7.2.2]. */
static void port_block(struct sdhci *s)
{
    u32 bytes = s->req->block_bytes;

    for (u32 at = 0; at < bytes; at += 4) {
        port_word(s, min_u32(4, bytes - at));
    }
    s->port_blocks++;
}

/* --- sending
 * ------------------------------------------------------------------------------------------ */
static void command_write(struct sdhci *s, u32 index, u32 arg, u32 bits)
{
    s->seen = 0;
    s->commands++;
    sdhci_write(s, SDHCI_ARGUMENT, arg);
    sdhci_write(s, SDHCI_COMMAND, SDHCI_CMD_INDEX(index) | bits);
    sdhci_wait(s, SDHCI_COMMAND_SENT, SDHCI_COMMAND_NS);
    s->look_ns += SDHCI_LOOK_MIN_NS;
}

/** The controller's own time limit must not end what may take longer than it can count. */
static void timeout_allow(struct sdhci *s, u64 limit_ns)
{
    u32 enabled = limit_ns > s->timeout_ns ? s->enabled & ~SDHCI_ERR_DATA_TIMEOUT
                                           : s->enabled | SDHCI_ERR_DATA_TIMEOUT;

    if (enabled != s->enabled) {
        s->enabled = enabled;
        sdhci_write(s, SDHCI_INT_STATUS_ENABLE, enabled);
    }
}

static enum status main_send(struct sdhci *s)
{
    struct mmc_request *req = s->req;
    u32 bits = response_bits(req->resp);

    s->stage = SDHCI_AT_MAIN;
    timeout_allow(s, req->limit_ns);
    if (req->blocks > 0) {
        enum status st = data_prepare(s, req);

        if (st != ST_OK) {
            return sdhci_end(s, st);
        }
        bits |= SDHCI_CMD_DATA | transfer_mode(s, req);
    }
    if (req->index == CMD_STOP) {
        bits |= SDHCI_CMD_TYPE_ABORT;
    }
    command_write(s, req->index, req->arg, bits);
    return ST_AGAIN;
}

/** The lines are free: send what the request begins with. */
static enum status first_send(struct sdhci *s)
{
    struct mmc_request *req = s->req;

    if (req->app) {
        s->stage = SDHCI_AT_APP;
        command_write(s, CMD_APP, (u32)req->rca << 16, response_bits(MMC_RESP_R1));
        return ST_AGAIN;
    }
    if (end_of(s, req) == END_BY_COUNT_OURS) {
        s->stage = SDHCI_AT_COUNT;
        command_write(s, CMD_SET_BLOCK_COUNT, req->blocks, response_bits(MMC_RESP_R1));
        return ST_AGAIN;
    }
    return main_send(s);
}

enum status sdhci_inhibited_poll(struct sdhci *s)
{
    u32 present = sdhci_read(s, SDHCI_PRESENT); /* read once */

    if (sdhci_gone(present)) {
        return sdhci_end(s, ST_NODEV);
    }
    if (!s->host.caps.embedded && !(present & SDHCI_PRESENT_CARD)) {
        return sdhci_end(s, ST_NODEV);
    }
    if (present & (SDHCI_PRESENT_CMD_BUSY | SDHCI_PRESENT_DAT_BUSY)) {
        return port_now_ns() < s->deadline_ns ? ST_AGAIN : sdhci_lines_reset(s, ST_IO);
    }
    return first_send(s);
}

enum status sdhci_request_start(struct mmc_host *host, struct mmc_request *req)
{
    struct sdhci *s = container_of(host, struct sdhci, host);

    CHECK(s->state == SDHCI_IDLE);
    CHECK(req->blocks <= host->caps.blocks_max);
    s->req = req;
    req->where = MMC_AT_PREFIX;
    req->stop_response = 0;
    memset(req->response, 0, sizeof(req->response));
    sdhci_wait(s, SDHCI_INHIBITED, SDHCI_INHIBIT_NS);
    return sdhci_inhibited_poll(s);
}

/* --- errors
 * --------------------------------------------------------------------------------------------- */
static enum status error_status(u32 status)
{
    if (status & (SDHCI_ERR_CMD_CRC | SDHCI_ERR_CMD_END | SDHCI_ERR_CMD_INDEX | SDHCI_ERR_DATA_CRC |
                  SDHCI_ERR_DATA_END | SDHCI_ERR_TUNING)) {
        return ST_CRC;
    }
    if (status & (SDHCI_ERR_CMD_TIMEOUT | SDHCI_ERR_DATA_TIMEOUT)) {
        return ST_TIMEOUT;
    }
    return ST_IO;
}

static enum status request_fail(struct sdhci *s, enum status st, bool responded)
{
    struct mmc_request *req = s->req;

    switch (s->stage) {
    case SDHCI_AT_APP:
    case SDHCI_AT_COUNT:
        req->where = MMC_AT_PREFIX;
        break;
    case SDHCI_AT_MAIN:
        req->where = responded ? MMC_AT_DATA : MMC_AT_COMMAND;
        break;
    case SDHCI_AT_STOP:
        req->where = MMC_AT_STOP;
        break;
    }
    if (responded) {
        s->data_errors++;
    } else {
        s->command_errors++;
    }
    return sdhci_lines_reset(s, st);
}

/* --- answers
 * --------------------------------------------------------------------------------------------- */
static void response_read(struct sdhci *s)
{
    struct mmc_request *req = s->req;

    if (req->resp == MMC_RESP_NONE) {
        return;
    }
    req->response[0] = sdhci_read(s, SDHCI_RESPONSE(0));
    if (req->resp == MMC_RESP_R2) {
        /* The CRC is left out: bits 127 to 8 are in 119 to 0 [SD-HOST 2.2.7]. */
        u32 w0 = req->response[0];
        u32 w1 = sdhci_read(s, SDHCI_RESPONSE(1));
        u32 w2 = sdhci_read(s, SDHCI_RESPONSE(2));
        u32 w3 = sdhci_read(s, SDHCI_RESPONSE(3));

        req->response[0] = w3 << 8 | w2 >> 24;
        req->response[1] = w2 << 8 | w1 >> 24;
        req->response[2] = w1 << 8 | w0 >> 24;
        req->response[3] = w0 << 8;
    }
}

static enum status request_done(struct sdhci *s)
{
    struct mmc_request *req = s->req;

    if (req->blocks > 0 && !s->by_port) {
        if (!req->write) {
            spans_sync(s, req);
        }
        dma_barrier();
    }
    if (s->stage == SDHCI_AT_STOP) {
        req->stop_response = sdhci_read(s, SDHCI_RESPONSE(0));
    } else if (req->blocks > 0 && end_of(s, req) == END_BY_STOP) {
        req->stop_response = sdhci_read(s, SDHCI_RESPONSE(3));
    }
    req->where = MMC_NOWHERE;
    return sdhci_end(s, ST_OK);
}

/** A command of the request is over, and what it moved has moved. */
static enum status stage_done(struct sdhci *s)
{
    struct mmc_request *req = s->req;

    sdhci_write(s, SDHCI_INT_STATUS, s->seen);
    switch (s->stage) {
    case SDHCI_AT_APP:
        if (!(sdhci_read(s, SDHCI_RESPONSE(0)) & R1_APP)) {
            req->where = MMC_AT_PREFIX;
            return sdhci_end(s, ST_IO); /* the next one would not be taken for one of these */
        }
        return main_send(s);
    case SDHCI_AT_COUNT:
        return main_send(s);
    case SDHCI_AT_MAIN:
        if (req->blocks > 0 && end_of(s, req) == END_BY_STOP_OURS) {
            s->stage = SDHCI_AT_STOP;
            command_write(s, CMD_STOP, 0, response_bits(MMC_RESP_R1B) | SDHCI_CMD_TYPE_ABORT);
            s->deadline_ns += req->limit_ns;
            return ST_AGAIN;
        }
        return request_done(s);
    case SDHCI_AT_STOP:
        return request_done(s);
    }
    return sdhci_end(s, ST_IO);
}

static bool waits_for_transfer(const struct sdhci *s)
{
    if (s->stage == SDHCI_AT_STOP) {
        return true;
    }
    return s->stage == SDHCI_AT_MAIN && (s->req->blocks > 0 || s->req->resp == MMC_RESP_R1B);
}

/**
 * The response is there: what follows has a time of its own. False: the card refused, and no data
 * will come.
 */
static bool responded(struct sdhci *s)
{
    u64 now_ns = port_now_ns();

    s->begun_ns = now_ns;
    if (s->stage != SDHCI_AT_MAIN) {
        return true;
    }
    response_read(s);
    s->deadline_ns = now_ns + s->req->limit_ns;
    return s->req->blocks == 0 || !(s->req->response[0] & R1_ERRORS);
}

/** Not over: look again after an eighth of what we have waited since something happened. */
static enum status not_yet(struct sdhci *s)
{
    u64 now_ns = port_now_ns();
    u64 gap_ns = (now_ns - s->begun_ns) / 8;

    if (now_ns >= s->deadline_ns) {
        return request_fail(s, ST_TIMEOUT, s->seen & SDHCI_INT_COMMAND);
    }
    gap_ns = gap_ns < SDHCI_LOOK_MIN_NS   ? SDHCI_LOOK_MIN_NS
             : gap_ns > SDHCI_LOOK_MAX_NS ? SDHCI_LOOK_MAX_NS
                                          : gap_ns;
    s->look_ns = now_ns + gap_ns;
    return ST_AGAIN;
}

static void data_advance(struct sdhci *s, u32 fresh)
{
    u32 ready = s->req->write ? SDHCI_INT_WRITE_READY : SDHCI_INT_READ_READY;

    if ((fresh & ready) && s->by_port && s->port_blocks < s->req->blocks) {
        sdhci_write(s, SDHCI_INT_STATUS, ready); /* before the block: the next may come at once */
        port_block(s);
        s->begun_ns = port_now_ns();
    }
    if (fresh & SDHCI_INT_DMA) {
        sdhci_write(s, SDHCI_INT_STATUS, SDHCI_INT_DMA);
        s->sdma_bus = align_down(s->sdma_bus, SDMA_BOUNDARY) + SDMA_BOUNDARY;
        sdma_address_write(s);
    }
}

/**
 * One look. What is known already (seen) stays set in the register until the end, where one write
 * clears it all: a request costs one acknowledgement.
 */
enum status sdhci_request_poll(struct sdhci *s)
{
    u32 status = sdhci_read(s, SDHCI_INT_STATUS); /* read once */
    u32 fresh = status & ~s->seen;

    if (sdhci_gone(status) || (status & SDHCI_INT_REMOVED)) { /* whatever is in the slot by now */
        s->req->where = s->seen & SDHCI_INT_COMMAND ? MMC_AT_DATA : MMC_AT_COMMAND;
        return sdhci_end(s, ST_NODEV);
    }
    if (status & SDHCI_ERR_ALL) {
        bool command = status & (SDHCI_ERR_CMD_TIMEOUT | SDHCI_ERR_CMD_CRC | SDHCI_ERR_CMD_END |
                                 SDHCI_ERR_CMD_INDEX);

        return request_fail(s, error_status(status), !command && (status & SDHCI_INT_COMMAND));
    }
    s->seen |= fresh & (SDHCI_INT_COMMAND | SDHCI_INT_TRANSFER);
    if ((fresh & SDHCI_INT_COMMAND) && !responded(s)) {
        return request_fail(s, ST_IO, true);
    }
    if (s->req->blocks > 0 && s->stage == SDHCI_AT_MAIN) {
        data_advance(s, fresh);
    }
    if (!(s->seen & SDHCI_INT_COMMAND) ||
        (waits_for_transfer(s) && !(s->seen & SDHCI_INT_TRANSFER))) {
        return not_yet(s); /* whatever else the register says: it has a deadline */
    }
    return stage_done(s);
}
