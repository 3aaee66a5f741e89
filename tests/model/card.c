/* SPDX-License-Identifier: BSD-2-Clause */
/* card.c - what SD and eMMC have in common: states, transfers, erase, power. */
#include "tests/model/card.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ST(state) (1u << (state))

/* [SD-PHY] 3.9, 3.11 and [EMMC] 5.3.2: the fastest clock of each mode, and what else it asks for.
 */
static const struct {
    u32 hz;
    bool ddr, low, tune;
} limits[CARD_MODE_COUNT] = {
    [CARD_MODE_DS] = {26000000, false, false, false},
    [CARD_MODE_HS] = {52000000, false, false, false},
    [CARD_MODE_SDR12] = {25000000, false, true, false},
    [CARD_MODE_SDR25] = {50000000, false, true, false},
    [CARD_MODE_SDR50] = {100000000, false, true, false},
    [CARD_MODE_SDR104] = {208000000, false, true, true},
    [CARD_MODE_DDR50] = {50000000, true, true, false},
    [CARD_MODE_MMC_DDR52] = {52000000, true, false, false},
    [CARD_MODE_MMC_HS200] = {200000000, false, true, true},
    [CARD_MODE_MMC_HS400] = {200000000, true, true, true},
};

void protocol_complain(struct protocol_log *log, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(log->last, sizeof(log->last), format, args);
    va_end(args);
    log->complaints++;
    if (!log->quiet) {
        fprintf(stderr, "# protocol: %s\n", log->last);
    }
}

void reg128_set(u32 word[4], u32 first, u32 count, u32 value)
{
    for (u32 i = 0; i < count; i++) {
        u32 bit = first + i;

        word[3 - bit / 32] |= (value >> i & 1) << (bit % 32);
    }
}

/* [SD-PHY] 5.2 [EMMC] 7.2 */
void card_cid(const struct card_model *card, u32 word[4])
{
    memset(word, 0, 16);
    reg128_set(word, 120, 8, card->kind == CARD_SD ? 0x1d : 0xfe);
    reg128_set(word, 104, 16, 0x4341);
    reg128_set(word, 72, 32, 0x43495353);
    reg128_set(word, card->kind == CARD_SD ? 24 : 16, 32, card->serial);
    reg128_set(word, 8, 8, 0x66);
    word[3] |= 0x2b; /* CRC7 and the end bit: not told apart here */
}

void card_model_init(struct card_model *card, enum card_kind kind, struct protocol_log *log,
                     u8 *image, u64 sectors)
{
    memset(card, 0, sizeof(*card));
    card->kind = kind;
    card->log = log;
    card->image = image;
    card->sectors = sectors;
    card->serial = 0x20260101;
    card->modes = ~0u;
    card->high_capacity = true;
    card->cmd23 = true;
    card->discard = true;
    card->strobe = true;
    card->cache_kib = kind == CARD_EMMC ? 512 : 0;
    card->power_up_ns = 20000000;
    card->read_ns = 100000;
    card->write_ns = 200000;
    card->erase_ns = 1000000;
    card->bad_sector = UINT64_MAX;
    card->state = CARD_OFF;
    if (kind == CARD_EMMC) {
        card_mmc_init(card);
    }
}

/* --- power and wires ---------------------------------------------------------------------------
 */
void card_go_idle(struct card_model *card, u64 now_ns)
{
    card->state = CARD_IDLE;
    card->mode = card->at_1v8 && card->kind == CARD_SD ? CARD_MODE_SDR12 : CARD_MODE_DS;
    card->width = 1;
    card->rca = 0;
    card->errors = 0;
    card->app = false;
    card->moving = CARD_NO_DATA;
    card->count_armed = false;
    card->erase_step = 0;
    card->asked_1 = card->asked_2 = false;
    card->ready_asked = 0;
    card->busy_until_ns = now_ns;
    if (card->kind == CARD_EMMC) {
        card_mmc_power_up(card);
    }
}

static void power_lost(struct card_model *card)
{
    if (card->stable) { /* what only the cache held is gone */
        memcpy(card->image, card->stable, card->sectors * 512);
    }
    card->state = CARD_OFF;
    card->at_1v8 = card->s18_agreed = card->switching = false;
}

void card_bus_changed(struct card_model *card, const struct card_bus *bus, u64 now_ns)
{
    struct card_bus was = card->bus;

    card->bus = *bus;
    if (!bus->powered) {
        if (was.powered) {
            power_lost(card);
        }
        return;
    }
    if (!was.powered) {
        card->powered_ns = now_ns;
        card_go_idle(card, now_ns);
    }
    if (card->switching && bus->signal_1v8 && bus->clock_hz > 0) {
        card->at_1v8 = !card->no_1v8_switch;
        card->switching = card->no_1v8_switch;
        card->mode = card->at_1v8 ? CARD_MODE_SDR12 : card->mode;
    }
    if (card->kind == CARD_EMMC) {
        card->at_1v8 = bus->signal_1v8; /* VCCQ is the host's choice */
    }
    if (bus->clock_hz > 0 && bus->clock_hz > limits[card->mode].hz) {
        protocol_complain(card->log, "clock of %u Hz, the card is set for %u", bus->clock_hz,
                          limits[card->mode].hz);
    }
}

u32 card_dat_levels(const struct card_model *card, u64 now_ns)
{
    if (card->state == CARD_OFF) {
        return 15; /* pulled up */
    }
    if (card->switching && !card->no_1v8_begin) {
        return 0; /* [SD-PHY] 4.2.4.2: the card drives all lines low until the switch is done */
    }
    return now_ns < card->busy_until_ns ? 14 : 15;
}

/* --- answers
 * --------------------------------------------------------------------------------------- */
void card_r1(struct card_model *card, struct card_answer *answer)
{
    static const u32 number[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 15};

    answer->resp = CARD_R1;
    answer->word[0] = card->errors | number[card->state] << 9 | (card->app ? 1u << 5 : 0) |
                      (card->state != CARD_PRG && card->state != CARD_RCV ? 1u << 8 : 0);
    card->errors = 0;
}

/** Refused: the card says nothing now and ILLEGAL_COMMAND in its next R1 [SD-PHY 4.10.1]. */
void card_illegal(struct card_model *card, u32 index)
{
    (void)index;
    card->errors |= 1u << 22;
}

/** A command in a state that does not take it. */
bool card_state_in(struct card_model *card, u32 index, u32 states)
{
    if (states & ST(card->state)) {
        return true;
    }
    card_illegal(card, index);
    return false;
}

void card_settle(struct card_model *card, u64 now_ns)
{
    if (card->state == CARD_PRG && now_ns >= card->busy_until_ns) {
        card->state = CARD_TRAN;
    }
}

/* --- transfers
 * --------------------------------------------------------------------------------------- */
static void start_moving(struct card_model *card, enum card_data way, u32 bytes,
                         struct card_answer *answer, u64 now_ns)
{
    card->moving = way;
    card->mode_next = card->mode;
    card->tuning = false;
    card->first_block_ns = now_ns + card->read_ns;
    card->counted = card->count_armed;
    card->count_left = card->count_next;
    card->count_armed = false;
    card->well_written = 0;
    answer->data = way;
    answer->block_bytes = bytes;
    card->state = way == CARD_SENDS ? CARD_DATA : CARD_RCV;
}

void card_send_small(struct card_model *card, u32 bytes, struct card_answer *answer, u64 now_ns)
{
    card_r1(card, answer);
    card->small_bytes = bytes;
    card->multiple = false;
    card->count_armed = false;
    start_moving(card, CARD_SENDS, bytes, answer, now_ns);
}

/** True when the address is one; the sector is in *sector. */
static bool address_ok(struct card_model *card, u32 arg, u64 *sector)
{
    *sector = card->high_capacity ? arg : arg / 512;
    if (!card->high_capacity && arg % 512 != 0) {
        card->errors |= 1u << 30; /* ADDRESS_ERROR */
        return false;
    }
    if (*sector >= card->sectors) {
        card->errors |= 1u << 31; /* OUT_OF_RANGE */
        return false;
    }
    return true;
}

static void sectors_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                            struct card_answer *answer)
{
    bool write = index == 24 || index == 25;

    if (!card_state_in(card, index, ST(CARD_TRAN))) {
        card->count_armed = false;
        return;
    }
    card->small_bytes = 0;
    card->multiple = index == 18 || index == 25;
    if (card->count_armed && !card->multiple) {
        protocol_complain(card->log, "CMD23 and then CMD%u", index);
    }
    bool good = address_ok(card, arg, &card->at_sector);

    if (write && card->write_protected) {
        card->errors |= 1u << 26; /* WP_VIOLATION */
        good = false;
    }
    card_r1(card, answer);
    if (good) {
        start_moving(card, write ? CARD_TAKES : CARD_SENDS, 512, answer, now_ns);
    } else {
        card->count_armed = false;
    }
}

static void transfer_done(struct card_model *card, u64 now_ns)
{
    bool was_write = card->moving == CARD_TAKES;

    card->moving = CARD_NO_DATA;
    card->mode = card->mode_next;
    card->state = was_write ? CARD_PRG : CARD_TRAN;
    if (was_write) {
        card->busy_until_ns = now_ns + card->write_ns;
    }
}

/** The wires must run on both sides alike, or nothing but rubbish passes. */
static bool wires_agree(struct card_model *card)
{
    const struct card_bus *bus = &card->bus;
    u32 before = card->log->complaints;
    bool tune = limits[card->mode].tune && !card->tuning &&
                !(card->mode == CARD_MODE_MMC_HS400 && bus->strobe);

    if (bus->width != card->width) {
        protocol_complain(card->log, "data on %u lines, the card is set for %u", bus->width,
                          card->width);
    }
    if (bus->ddr != limits[card->mode].ddr) {
        protocol_complain(card->log, "data at %s rate, the card is set for the other",
                          bus->ddr ? "double" : "single");
    }
    if (limits[card->mode].low && !bus->signal_1v8) {
        protocol_complain(card->log, "a 1.8 V mode with other signals");
    }
    if (bus->signal_1v8 != card->at_1v8) {
        protocol_complain(card->log, "host and card signal at different voltages");
    }
    if (tune && !bus->tuned) {
        protocol_complain(card->log, "data in mode %u without a sampling point", card->mode);
    }
    return card->log->complaints == before && !(tune && bus->tuned_wrong);
}

enum card_block card_send_block(struct card_model *card, u8 *to, u32 bytes, u64 now_ns)
{
    if (card->state != CARD_DATA || card->moving != CARD_SENDS) {
        return CARD_BLOCK_NONE;
    }
    memset(to, 0x5a, bytes);
    if (!wires_agree(card)) {
        return CARD_BLOCK_CRC;
    }
    if (card->small_bytes > 0) {
        if (bytes != card->small_bytes) {
            protocol_complain(card->log, "a block of %u bytes where the card sends %u", bytes,
                              card->small_bytes);
            return CARD_BLOCK_NONE;
        }
        memcpy(to, card->small, bytes);
        transfer_done(card, now_ns);
        return CARD_BLOCK_OK;
    }
    if (bytes != 512) {
        protocol_complain(card->log, "a sector in a block of %u bytes", bytes);
        return CARD_BLOCK_NONE;
    }
    if (card->at_sector >= card->sectors || card->at_sector == card->bad_sector) {
        card->errors |= card->at_sector >= card->sectors ? 1u << 31 : 1u << 21;
        return CARD_BLOCK_NONE;
    }
    memcpy(to, card->image + card->at_sector * 512, 512);
    card->blocks_read++;
    card->at_sector++;
    if (!card->multiple || (card->counted && --card->count_left == 0)) {
        transfer_done(card, now_ns);
    }
    return CARD_BLOCK_OK;
}

static bool volatile_cache(const struct card_model *card)
{
    return card->kind == CARD_EMMC && card->cache_kib > 0 && (card->ext_csd[33] & 1);
}

enum card_block card_take_block(struct card_model *card, const u8 *from, u32 bytes, u64 now_ns)
{
    if (card->state != CARD_RCV || card->moving != CARD_TAKES) {
        return CARD_BLOCK_NONE;
    }
    if (!wires_agree(card)) {
        return CARD_BLOCK_CRC;
    }
    if (bytes != 512) {
        protocol_complain(card->log, "a sector in a block of %u bytes", bytes);
        return CARD_BLOCK_NONE;
    }
    if (card->at_sector >= card->sectors) {
        card->errors |= 1u << 31;
        return CARD_BLOCK_NONE;
    }
    if (card->at_sector == card->bad_sector && !card->bad_heals) {
        card->errors |= 1u << 19; /* ERROR: taken, and found out while programming */
    } else {
        memcpy(card->image + card->at_sector * 512, from, 512);
        if (card->stable && !volatile_cache(card)) {
            memcpy(card->stable + card->at_sector * 512, from, 512);
        }
        if (card->at_sector == card->bad_sector) {
            card->bad_sector = UINT64_MAX;
        }
        card->well_written++;
    }
    card->blocks_written++;
    card->at_sector++;
    card->busy_until_ns = now_ns + card->write_ns;
    if (!card->multiple || (card->counted && --card->count_left == 0)) {
        transfer_done(card, now_ns);
    }
    return CARD_BLOCK_OK;
}

/* --- erase
 * ------------------------------------------------------------------------------------------ */
void card_fill(struct card_model *card, u64 first, u64 last, bool stable)
{
    u8 with = card->erased_ones ? 0xff : 0;

    memset(card->image + first * 512, with, (last - first + 1) * 512);
    if (stable && card->stable) {
        memset(card->stable + first * 512, with, (last - first + 1) * 512);
    }
}

static void erase_address(struct card_model *card, u32 step, u32 arg, struct card_answer *answer)
{
    u64 sector;

    if (!card_state_in(card, 32 + step, ST(CARD_TRAN))) {
        return;
    }
    if (card->erase_step != step) {
        card->errors |= 1u << 28; /* ERASE_SEQ */
        card->erase_step = 0;
    } else if (address_ok(card, arg, &sector)) {
        *(step == 0 ? &card->erase_first : &card->erase_last) = sector;
        card->erase_step = step + 1;
    }
    card_r1(card, answer);
}

static void erase_start(struct card_model *card, u32 arg, u64 now_ns, struct card_answer *answer)
{
    bool mmc = card->kind == CARD_EMMC;
    bool known = mmc ? arg == 0 || arg == 1 || arg == 3 || arg == 0x80000000 || arg == 0x80000001 ||
                           arg == 0x80008000
                     : arg == 0 || (arg == 1 && card->discard);
    u32 group = mmc && (arg == 0 || arg == 0x80000000) ? 1024 : 1;
    u64 first = card->erase_first / group * group;
    u64 last = (card->erase_last / group + 1) * group - 1;

    if (!card_state_in(card, 38, ST(CARD_TRAN))) {
        return;
    }
    if (arg == 0x80008000) { /* [EMMC] 6.6.12: the second step has no addresses of its own */
        card->erase_step = 2;
    }
    if (card->erase_step != 2) {
        card->errors |= 1u << 28;
    } else if (!known || first > last || last >= card->sectors) {
        card->errors |= 1u << 27; /* ERASE_PARAM */
    } else if (card->write_protected) {
        card->errors |= 1u << 26;
    } else {
        if (arg != 0x80008000) {
            card_fill(card, first, last, true);
        }
        card->erases++;
        card->secure_erases += arg >> 31;
        card->busy_until_ns = now_ns + card->erase_ns;
    }
    card->erase_step = 0;
    card_r1(card, answer);
    answer->resp = CARD_R1B;
    if (card->busy_until_ns > now_ns) {
        card->state = CARD_PRG;
    }
}

/* --- commands
 * --------------------------------------------------------------------------------------- */
static void stop_command(struct card_model *card, u64 now_ns, struct card_answer *answer)
{
    if (!card_state_in(card, 12, ST(CARD_DATA) | ST(CARD_RCV))) {
        return;
    }
    card->stops++;
    card_r1(card, answer);
    answer->resp = CARD_R1B;
    transfer_done(card, now_ns);
}

static void status_command(struct card_model *card, u32 arg, struct card_answer *answer)
{
    if (arg >> 16 != card->rca || card->rca == 0) {
        return;
    }
    if (card_state_in(card, 13,
                      ST(CARD_STBY) | ST(CARD_TRAN) | ST(CARD_DATA) | ST(CARD_RCV) | ST(CARD_PRG) |
                          ST(CARD_DIS))) {
        card_r1(card, answer);
    }
}

static void select_command(struct card_model *card, u32 arg, struct card_answer *answer)
{
    if (arg >> 16 != card->rca || card->rca == 0) {
        if (card->state == CARD_TRAN) {
            card->state = CARD_STBY;
        }
        return;
    }
    if (card_state_in(card, 7, ST(CARD_STBY))) {
        card_r1(card, answer);
        answer->resp = CARD_R1B;
        card->state = CARD_TRAN;
    }
}

static void count_command(struct card_model *card, u32 arg, struct card_answer *answer)
{
    if (!card->cmd23) {
        card_illegal(card, 23);
    } else if (card_state_in(card, 23, ST(CARD_TRAN))) {
        card_r1(card, answer);
        card->count_armed = (arg & 0xffff) != 0;
        card->count_next = arg & 0xffff;
        if (arg & 0xffff0000) {
            protocol_complain(card->log, "CMD23 with argument 0x%x", arg);
        }
    }
}

/** Commands that mean the same in both worlds. False: not one of them. */
static bool common_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                           struct card_answer *answer)
{
    bool mmc = card->kind == CARD_EMMC;

    switch (index) {
    case 2:
        if (card_state_in(card, 2, ST(CARD_READY))) {
            answer->resp = CARD_R2;
            card_cid(card, answer->word);
            card->state = CARD_IDENT;
        }
        return true;
    case 7:
        select_command(card, arg, answer);
        return true;
    case 12:
        stop_command(card, now_ns, answer);
        return true;
    case 13:
        status_command(card, arg, answer);
        return true;
    case 16:
        if (card_state_in(card, 16, ST(CARD_TRAN))) {
            card->errors |= arg == 512 ? 0 : 1u << 29;
            card_r1(card, answer);
        }
        return true;
    case 17:
    case 18:
    case 24:
    case 25:
        sectors_command(card, index, arg, now_ns, answer);
        return true;
    case 23:
        count_command(card, arg, answer);
        return true;
    case 38:
        erase_start(card, arg, now_ns, answer);
        return true;
    default:
        if (index == (mmc ? 35u : 32u) || index == (mmc ? 36u : 33u)) {
            erase_address(card, index - (mmc ? 35 : 32), arg, answer);
            return true;
        }
        return false;
    }
}

static void command_context(struct card_model *card, u32 index, u64 now_ns)
{
    if (card->bus.clock_hz == 0) {
        protocol_complain(card->log, "CMD%u without a clock", index);
    }
    if (card->state <= CARD_IDENT && card->bus.clock_hz > 400000) {
        protocol_complain(card->log, "CMD%u at %u Hz: identification runs at 400 kHz", index,
                          card->bus.clock_hz);
    }
    if (index != 18 && index != 25 && index != 17 && index != 24 && index != 13) {
        card->count_armed = false; /* it counts for the next command only */
    }
    if (now_ns - card->powered_ns < 1000000) {
        protocol_complain(card->log, "CMD%u less than 1 ms after power", index);
    }
    /* Only these may come while the card drives busy [SD-PHY 4.3.4]. */
    if (now_ns < card->busy_until_ns && index != 0 && index != 12 && index != 13 && index != 7 &&
        index != 15) {
        protocol_complain(card->log, "CMD%u while the card is busy", index);
    }
}

void card_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                  struct card_answer *answer)
{
    *answer = (struct card_answer){.resp = CARD_SILENT};
    if (card->state == CARD_OFF || card->state == CARD_INACTIVE || !card->bus.powered) {
        return;
    }
    card->commands++;
    command_context(card, index, now_ns);
    card_settle(card, now_ns);
    if (index == 0) {
        card_go_idle(card, now_ns);
        return;
    }
    if (card->switching) {
        return;
    }
    if (!card->app && common_command(card, index, arg, now_ns, answer)) {
        return;
    }
    if (card->kind == CARD_SD) {
        card_sd_command(card, index, arg, now_ns, answer);
    } else {
        card_mmc_command(card, index, arg, now_ns, answer);
    }
}
