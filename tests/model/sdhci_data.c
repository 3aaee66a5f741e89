/* SPDX-License-Identifier: BSD-2-Clause */
/* sdhci_data.c - the data of the controller model: buffer port, SDMA, ADMA2, busy, tuning. */
#include <string.h>

#include "tests/model/sdhci.h"

enum {
    W_SDMA = 0x00,
    W_BLOCK = 0x04,
    W_RESPONSE_3 = 0x1c,
    W_CONTROL = 0x28,
    W_CLOCK = 0x2c,
    W_STATUS_ENABLE = 0x34,
    W_CONTROL_2 = 0x3c,
    W_ADMA_ERROR = 0x54,
    W_ADMA = 0x58,
    W_ADMA_HIGH = 0x5c
};

#define LINKS_MAX 64

static bool v4(const struct sdhci_model *m)
{
    return sdhci_model_word(m, W_CONTROL_2) & 1u << 28;
}

static bool wide(const struct sdhci_model *m)
{
    return sdhci_model_word(m, W_CONTROL_2) & 1u << 29;
}

static u32 dma_select(const struct sdhci_model *m)
{
    return sdhci_model_word(m, W_CONTROL) >> 3 & 3;
}

static u64 timeout_ns(const struct sdhci_model *m)
{
    u64 hz = (u64)(m->caps & 0x3f) * (m->caps & 0x80 ? 1000000 : 1000);

    return (UINT64_C(1) << (13 + (sdhci_model_word(m, W_CLOCK) >> 16 & 15))) * 1000000000u /
           (hz ? hz : 1000000);
}

static u64 block_ns(const struct sdhci_model *m)
{
    return sdhci_model_clocks(m,
                              (u64)m->block_bytes * 8 / m->bus.width / (m->bus.ddr ? 2 : 1) + 24);
}

static void stick(struct sdhci_model *m, u32 bits)
{
    m->stage = SDHCI_STAGE_STUCK;
    if (bits) {
        sdhci_model_raise(m, bits);
    }
}

/* --- ADMA2
 * ------------------------------------------------------------------------------------------- */
static u32 descriptor_bytes(const struct sdhci_model *m)
{
    if (v4(m)) {
        return wide(m) ? 16 : 8;
    }
    return dma_select(m) == 3 ? 12 : 8;
}

static bool adma_fail(struct sdhci_model *m, const char *why)
{
    protocol_complain(m->log, "ADMA2: %s", why);
    sdhci_model_word_set(m, W_ADMA_ERROR, 1);
    stick(m, 1u << 25);
    return false;
}

/** Read the next descriptor that moves data. [SD-HOST] 1.13.3 */
static bool descriptor_next(struct sdhci_model *m)
{
    u32 bytes = descriptor_bytes(m);
    bool long_lengths = (sdhci_model_word(m, W_CONTROL_2) & 1u << 26) && m->version >= 4 && v4(m);

    for (u32 i = 0; i < LINKS_MAX; i++) {
        u32 d[4] = {0};
        u64 bus;

        if (m->piece_end) {
            return adma_fail(m, "the descriptors end before the data");
        }
        if (!m->user.dma_read(m->user.ctx, m->adma, d, bytes)) {
            return adma_fail(m, "no memory at the descriptor");
        }
        m->descriptors++;
        m->adma += bytes;
        if (!(d[0] & 1)) {
            return adma_fail(m, "a descriptor that is not valid");
        }
        bus = d[1] | (bytes > 8 ? (u64)d[2] << 32 : 0);
        m->piece_end = d[0] & 2;
        if ((d[0] & 0x30) == 0x30) {
            m->adma = bus;
        } else if ((d[0] & 0x30) == 0x20) {
            u32 length = d[0] >> 16 | (long_lengths ? (d[0] & 0xffc0) << 10 : 0);

            if (!long_lengths && (d[0] & 0xffc0)) {
                return adma_fail(m, "reserved attributes are set");
            }
            m->piece_left = length ? length : long_lengths ? 1u << 26 : 1u << 16;
            m->piece_bus = bus;
            if ((bus | m->piece_left) & 3) {
                return adma_fail(m, "a piece is not aligned to 4");
            }
            return true;
        }
    }
    return adma_fail(m, "links without end");
}

static bool memory_move(struct sdhci_model *m, u64 bus, u8 *data, u32 bytes)
{
    bool ok = m->writing ? m->user.dma_read(m->user.ctx, bus, data, bytes)
                         : m->user.dma_write(m->user.ctx, bus, data, bytes);

    m->dma_bytes += bytes;
    if (!ok) {
        protocol_complain(m->log, "DMA to no memory at 0x%llx", (unsigned long long)bus);
        stick(m, 1u << 25);
    }
    return ok;
}

static bool adma_move(struct sdhci_model *m, u8 *data, u32 bytes)
{
    while (bytes > 0) {
        u32 piece;

        if (m->piece_left == 0 && !descriptor_next(m)) {
            return false;
        }
        piece = bytes < m->piece_left ? bytes : m->piece_left;
        if (!memory_move(m, m->piece_bus, data, piece)) {
            return false;
        }
        data += piece;
        bytes -= piece;
        m->piece_bus += piece;
        m->piece_left -= piece;
    }
    return true;
}

/* --- SDMA
 * -------------------------------------------------------------------------------------------- */
static u64 sdma_address(const struct sdhci_model *m)
{
    if (!v4(m)) {
        return sdhci_model_word(m, W_SDMA);
    }
    return sdhci_model_word(m, W_ADMA) |
           (wide(m) ? (u64)sdhci_model_word(m, W_ADMA_HIGH) << 32 : 0);
}

static u64 boundary(const struct sdhci_model *m)
{
    return UINT64_C(4096) << (sdhci_model_word(m, W_BLOCK) >> 12 & 7);
}

static bool sdma_move(struct sdhci_model *m, u8 *data, u32 bytes)
{
    if (m->sdma & 3) {
        protocol_complain(m->log, "SDMA at 0x%llx", (unsigned long long)m->sdma);
    }
    if (!memory_move(m, m->sdma, data, bytes)) {
        return false;
    }
    if (m->sdma / boundary(m) != (m->sdma + bytes - 1) / boundary(m)) {
        protocol_complain(m->log, "a block crosses the SDMA boundary at 0x%llx",
                          (unsigned long long)m->sdma);
    }
    m->sdma += bytes;
    return true;
}

void sdhci_model_sdma_go_on(struct sdhci_model *m)
{
    u64 wanted = m->sdma;

    m->sdma = sdma_address(m);
    if (m->sdma != wanted) {
        protocol_complain(m->log, "SDMA goes on at 0x%llx, not at 0x%llx",
                          (unsigned long long)m->sdma, (unsigned long long)wanted);
    }
    m->stage = SDHCI_STAGE_CARD;
    m->next_ns = m->user.now_ns(m->user.ctx) + block_ns(m);
}

static bool dma_move(struct sdhci_model *m)
{
    return dma_select(m) == 0 ? sdma_move(m, m->buffer, m->block_bytes)
                              : adma_move(m, m->buffer, m->block_bytes);
}

static void dma_start(struct sdhci_model *m)
{
    u32 select = dma_select(m);

    m->piece_left = 0;
    m->piece_end = false;
    m->sdma = sdma_address(m);
    m->adma = sdhci_model_word(m, W_ADMA) |
              (descriptor_bytes(m) > 8 ? (u64)sdhci_model_word(m, W_ADMA_HIGH) << 32 : 0);
    if (select == 0 ? !(m->caps & 1u << 22) : !(m->caps & 1u << 19)) {
        protocol_complain(m->log, "DMA of kind %u, which is not offered", select);
    }
    if (select == 1 || (select == 3 && !v4(m) && !(m->caps & 1u << 28))) {
        protocol_complain(m->log, "DMA select %u", select);
    }
    if (select != 0 && (m->adma & (descriptor_bytes(m) == 16 ? 7 : 3))) {
        protocol_complain(m->log, "the descriptor table at 0x%llx is not aligned",
                          (unsigned long long)m->adma);
    }
    if (select == 0 && !v4(m) && (sdhci_model_word(m, 0x0c) >> 2 & 3) == 2) {
        protocol_complain(m->log, "Auto CMD23 and SDMA want the same register");
    }
}

/* --- the transfer
 * --------------------------------------------------------------------------------------- */
/** A fault at this point of the transfer. True: the transfer ends here. */
static bool fault_at(struct sdhci_model *m, enum sdhci_fault_phase phase)
{
    if (!sdhci_model_fault(m, phase)) {
        return false;
    }
    switch (m->fault.kind) {
    case SDHCI_FAULT_ERROR:
        stick(m, m->fault.bits);
        return true;
    case SDHCI_FAULT_REMOVE:
        return m->stage == SDHCI_STAGE_STALL;
    case SDHCI_FAULT_DEAD:
    case SDHCI_FAULT_STUCK:
        return false;
    default:
        stick(m, 0);
        return true;
    }
}

static void complete(struct sdhci_model *m)
{
    if (fault_at(m, SDHCI_PHASE_DATA_END)) {
        return;
    }
    if (sdhci_model_fault(m, SDHCI_PHASE_WITH_COMPLETE)) {
        if (m->fault.kind == SDHCI_FAULT_ERROR) {
            sdhci_model_raise(m, m->fault.bits);
        } else if (m->fault.kind == SDHCI_FAULT_LOST || m->fault.kind == SDHCI_FAULT_SILENT) {
            stick(m, 0);
            return;
        }
    }
    if (m->dma && m->blocks > 0 && dma_select(m) != 0 && (m->piece_left > 0 || !m->piece_end)) {
        protocol_complain(m->log, "ADMA2: the descriptors go on after the data");
    }
    m->stage = SDHCI_STAGE_OFF;
    m->inhibit_data = false;
    sdhci_model_raise(m, 2);
}

/** All blocks have passed: Auto CMD12, the card's busy, and then the completion. */
static void blocks_passed(struct sdhci_model *m, u64 now_ns)
{
    if (m->auto_stop && m->card) {
        struct card_answer answer;

        card_command(m->card, 12, 0, now_ns, &answer);
        if (answer.resp == CARD_SILENT) {
            sdhci_model_word_set(m, W_CONTROL_2,
                                 (sdhci_model_word(m, W_CONTROL_2) & 0xffff0000u) | 0x02);
            stick(m, 1u << 24);
            return;
        }
        sdhci_model_word_set(m, W_RESPONSE_3, answer.word[0]);
    }
    m->stage = SDHCI_STAGE_BUSY;
    m->next_ns = now_ns;
    if (m->writing && m->card && m->card->busy_until_ns > now_ns) {
        m->next_ns = m->card->busy_until_ns;
        /* A timeout that is not enabled does not end the wait. */
        if (m->next_ns - now_ns > timeout_ns(m) &&
            (sdhci_model_word(m, W_STATUS_ENABLE) & 1u << 20)) {
            m->stage = SDHCI_STAGE_STALL;
            m->next_ns = now_ns + timeout_ns(m);
        }
    }
}

static void block_failed(struct sdhci_model *m, enum card_block how, u64 now_ns)
{
    if (how == CARD_BLOCK_CRC) {
        stick(m, 1u << 21);
    } else {
        m->stage = SDHCI_STAGE_STALL;
        m->next_ns = now_ns + timeout_ns(m);
    }
}

static void buffer_open(struct sdhci_model *m)
{
    m->stage = SDHCI_STAGE_BUFFER;
    m->buffer_at = 0;
    sdhci_model_raise(m, m->writing ? 1u << 4 : 1u << 5);
}

/** One block is where it should be. */
static void block_passed(struct sdhci_model *m, u64 now_ns)
{
    m->blocks_done++;
    if (m->blocks_done == m->blocks) {
        blocks_passed(m, now_ns);
    } else if (m->dma && dma_select(m) == 0 && m->sdma % boundary(m) == 0) {
        m->stage = SDHCI_STAGE_SDMA;
        sdhci_model_raise(m, 1u << 3);
    } else if (m->writing && !m->dma) {
        buffer_open(m);
    } else {
        u64 from_ns = m->writing && m->card && m->card->busy_until_ns > now_ns
                          ? m->card->busy_until_ns
                          : now_ns;

        m->stage = SDHCI_STAGE_CARD;
        m->next_ns = from_ns + block_ns(m);
    }
}

static void block_from_card(struct sdhci_model *m, u64 now_ns)
{
    enum card_block how =
        m->card ? card_send_block(m->card, m->buffer, m->block_bytes, now_ns) : CARD_BLOCK_NONE;

    if (how != CARD_BLOCK_OK) {
        block_failed(m, how, now_ns);
    } else if (!m->dma) {
        buffer_open(m);
    } else if (dma_move(m)) {
        block_passed(m, now_ns);
    }
}

static void block_to_card(struct sdhci_model *m, u64 now_ns)
{
    enum card_block how = CARD_BLOCK_NONE;
    bool lost = m->fault.kind != SDHCI_FAULT_NONE && m->fault.last_lost && m->fault.times > 0 &&
                m->blocks_done + 1 == m->blocks && m->fault.command == m->command_index;

    if (m->dma && !dma_move(m)) {
        return;
    }
    if (m->card && lost) {
        u8 before[512];

        /* The card keeps what it had: whoever calls this a success loses a write. */
        memcpy(before, m->card->image + m->card->at_sector * 512, 512);
        how = card_take_block(m->card, before, m->block_bytes, now_ns);
    } else if (m->card) {
        how = card_take_block(m->card, m->buffer, m->block_bytes, now_ns);
    }
    if (how != CARD_BLOCK_OK) {
        block_failed(m, how, now_ns);
    } else {
        block_passed(m, now_ns);
    }
}

static void tuning_block(struct sdhci_model *m, u64 now_ns)
{
    u32 control_2 = sdhci_model_word(m, W_CONTROL_2);
    bool over;

    if (m->card) {
        card_send_block(m->card, m->buffer, m->block_bytes, now_ns);
    }
    m->stage = SDHCI_STAGE_OFF;
    m->inhibit_data = false;
    m->tune_count++;
    over = m->tune_count >= m->tune_after || m->tune_count >= 40;
    if (over) {
        control_2 &= ~(1u << 22);
        control_2 |= m->tune_count >= m->tune_after ? 1u << 23 : 0;
        sdhci_model_word_set(m, W_CONTROL_2, control_2);
        m->bus.tuned = control_2 >> 23 & 1;
        m->bus.tuned_wrong = false;
        if (m->card) {
            card_bus_changed(m->card, &m->bus, now_ns);
        }
    }
    sdhci_model_raise(m, 1u << 5);
}

void sdhci_model_data_start(struct sdhci_model *m, u64 now_ns, const struct card_answer *answer)
{
    bool data = sdhci_model_word(m, 0x0c) >> 16 & 0x20;

    if (!data) { /* R1b */
        m->blocks = 0;
        m->dma = false;
        m->writing = true;
        m->auto_stop = false;
        blocks_passed(m, now_ns);
        return;
    }
    if (answer->data != CARD_NO_DATA && (answer->data == CARD_TAKES) != m->writing) {
        protocol_complain(m->log, "CMD%u moves data the other way", m->command_index);
    }
    if (answer->data == CARD_NO_DATA) {
        m->stage = SDHCI_STAGE_STALL;
        m->next_ns = now_ns + timeout_ns(m);
        return;
    }
    if (m->dma) {
        dma_start(m);
    }
    if (m->writing && !m->dma) {
        buffer_open(m);
        return;
    }
    m->stage = SDHCI_STAGE_CARD;
    m->next_ns = (m->writing ? now_ns : m->card->first_block_ns) + block_ns(m);
}

/** One step of what time has brought. False: nothing is due. */
static bool data_step(struct sdhci_model *m, u64 now_ns)
{
    if (now_ns < m->next_ns) {
        return false;
    }
    switch (m->stage) {
    case SDHCI_STAGE_CARD:
        if (m->tuning_block) {
            tuning_block(m, m->next_ns);
            return true;
        }
        if (m->blocks_done == 0 && fault_at(m, SDHCI_PHASE_DATA_START)) {
            return true;
        }
        if (m->blocks_done == m->blocks / 2 && m->blocks > 1 &&
            fault_at(m, SDHCI_PHASE_DATA_MIDDLE)) {
            return true;
        }
        if (m->writing) {
            block_to_card(m, m->next_ns);
        } else {
            block_from_card(m, m->next_ns);
        }
        return true;
    case SDHCI_STAGE_BUSY:
        complete(m);
        return true;
    case SDHCI_STAGE_STALL:
        stick(m, 1u << 20);
        return true;
    default:
        return false;
    }
}

void sdhci_model_data_advance(struct sdhci_model *m, u64 now_ns)
{
    while (data_step(m, now_ns)) {
    }
}

/* --- the buffer port
 * ------------------------------------------------------------------------------------- */
u32 sdhci_model_port_read(struct sdhci_model *m, u32 width)
{
    u32 value = 0;

    if (m->stage != SDHCI_STAGE_BUFFER || m->writing || m->buffer_at + width > sizeof(m->buffer)) {
        protocol_complain(m->log, "the buffer is read while it holds nothing");
        return 0;
    }
    memcpy(&value, m->buffer + m->buffer_at, width);
    m->buffer_at += width;
    m->port_bytes += width;
    if (m->buffer_at >= m->block_bytes) {
        block_passed(m, m->user.now_ns(m->user.ctx));
    }
    return value;
}

void sdhci_model_port_write(struct sdhci_model *m, u32 value, u32 width)
{
    if (m->stage != SDHCI_STAGE_BUFFER || !m->writing || m->buffer_at + width > sizeof(m->buffer)) {
        protocol_complain(m->log, "the buffer is written while it takes nothing");
        return;
    }
    memcpy(m->buffer + m->buffer_at, &value, width);
    m->buffer_at += width;
    m->port_bytes += width;
    if (m->buffer_at >= m->block_bytes) {
        m->stage = SDHCI_STAGE_CARD;
        m->next_ns = m->user.now_ns(m->user.ctx) + block_ns(m);
    }
}
