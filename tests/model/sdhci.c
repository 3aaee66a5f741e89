/* SPDX-License-Identifier: BSD-2-Clause */
/* sdhci.c - registers, reset, clock, power, commands. The data is in sdhci_data.c. */
#include "tests/model/sdhci.h"

#include <string.h>

/* [SD-HOST] 2.2: words by their offset. */
enum {
    W_SDMA = 0x00,
    W_BLOCK = 0x04,
    W_ARGUMENT = 0x08,
    W_COMMAND = 0x0c,
    W_RESPONSE = 0x10,
    W_BUFFER = 0x20,
    W_PRESENT = 0x24,
    W_CONTROL = 0x28,
    W_CLOCK = 0x2c,
    W_STATUS = 0x30,
    W_STATUS_ENABLE = 0x34,
    W_SIGNAL_ENABLE = 0x38,
    W_CONTROL_2 = 0x3c,
    W_CAPS = 0x40,
    W_CAPS_2 = 0x44,
    W_CURRENT = 0x48,
    W_CURRENT_2 = 0x4c,
    W_ADMA_ERROR = 0x54,
    W_ADMA = 0x58,
    W_ADMA_HIGH = 0x5c,
    W_PRESETS = 0x60,
    W_VENDOR = 0x78,
    W_VERSION = 0xfc,
};

u32 sdhci_model_word(const struct sdhci_model *m, u32 offset)
{
    u32 value;

    memcpy(&value, m->reg + offset, 4);
    return value;
}

void sdhci_model_word_set(struct sdhci_model *m, u32 offset, u32 value)
{
    memcpy(m->reg + offset, &value, 4);
}

static u64 now(const struct sdhci_model *m)
{
    return m->user.now_ns(m->user.ctx);
}

/** A status bit rises only when its enable is set [SD-HOST 2.2.19]. */
void sdhci_model_raise(struct sdhci_model *m, u32 bits)
{
    u32 status = sdhci_model_word(m, W_STATUS) | (bits & sdhci_model_word(m, W_STATUS_ENABLE));

    if (status & 0xffff0000u) {
        status |= 0x8000;
    }
    sdhci_model_word_set(m, W_STATUS, status);
}

u64 sdhci_model_clocks(const struct sdhci_model *m, u64 count)
{
    return m->bus.clock_hz ? count * 1000000000u / m->bus.clock_hz : 1000000000;
}

bool sdhci_model_fault(struct sdhci_model *m, enum sdhci_fault_phase phase)
{
    struct sdhci_fault *f = &m->fault;
    u32 command = m->command_app ? SDHCI_ACMD(m->command_index) : m->command_index;

    if (f->kind == SDHCI_FAULT_NONE || f->times == 0 || f->phase != phase ||
        (f->command != SDHCI_ANY_COMMAND && f->command != command)) {
        return false;
    }
    if (f->skip > 0) {
        f->skip--;
        return false;
    }
    f->times--;
    m->faults_hit++;
    if (f->kind == SDHCI_FAULT_REMOVE) {
        sdhci_model_remove(m);
    } else if (f->kind == SDHCI_FAULT_DEAD) {
        m->dead = true;
    } else if (f->kind == SDHCI_FAULT_STUCK) {
        m->stuck = true;
    }
    return true;
}

/* --- what the card sees -------------------------------------------------------------------------
 */
static u32 card_clock_hz(const struct sdhci_model *m)
{
    u32 word = sdhci_model_word(m, W_CLOCK);
    u32 base_hz = (m->caps >> 8 & (m->version >= 2 ? 0xff : 0x3f)) * 1000000;
    u32 divider = word >> 8 & 0xff;
    u32 multiplier = m->version >= 2 ? m->caps_2 >> 16 & 0xff : 0;

    if ((word & 7) != 7) {
        return 0;
    }
    if (m->version >= 2) {
        divider |= (word >> 6 & 3) << 8;
        if (word & 0x20) {
            return base_hz / (divider + 1) * (multiplier + 1);
        }
        return divider ? base_hz / (2 * divider) : base_hz;
    }
    if (word & 0xc0) {
        protocol_complain(m->log, "a divider of ten bits in version 2");
    }
    if (divider & (divider - 1)) {
        protocol_complain(m->log, "divider 0x%x is no power of two", divider);
    }
    return divider ? base_hz / (2 * divider) : base_hz;
}

static void bus_update(struct sdhci_model *m)
{
    u32 control = sdhci_model_word(m, W_CONTROL);
    u32 control_2 = sdhci_model_word(m, W_CONTROL_2);
    u32 uhs = control_2 >> 16 & 7;
    struct card_bus bus = {
        .clock_hz = card_clock_hz(m),
        .width = control & 0x20 ? 8
                 : control & 2  ? 4
                                : 1,
        .ddr = uhs == 4 || uhs == 5,
        .signal_1v8 = control_2 & 1u << 19,
        .tuned = control_2 & 1u << 23,
        .tuned_wrong = m->bus.tuned_wrong && (control_2 & 1u << 23),
        .strobe = m->arasan && (sdhci_model_word(m, W_VENDOR) & 1),
        .powered = control & 0x100,
    };

    if (memcmp(&bus, &m->bus, sizeof(bus)) != 0) {
        m->bus = bus;
        if (m->card) {
            card_bus_changed(m->card, &bus, now(m));
        }
    }
}

/* --- commands
 * -------------------------------------------------------------------------------------- */
static void response_set(struct sdhci_model *m, const struct card_answer *answer)
{
    if (answer->resp == CARD_R2) {
        /* [SD-HOST] 2.2.7: bits 127 to 8 arrive as 119 to 0. */
        const u32 *w = answer->word;

        sdhci_model_word_set(m, W_RESPONSE + 0, w[3] >> 8 | w[2] << 24);
        sdhci_model_word_set(m, W_RESPONSE + 4, w[2] >> 8 | w[1] << 24);
        sdhci_model_word_set(m, W_RESPONSE + 8, w[1] >> 8 | w[0] << 24);
        sdhci_model_word_set(m, W_RESPONSE + 12, w[0] >> 8);
    } else if (answer->resp != CARD_SILENT) {
        sdhci_model_word_set(m, W_RESPONSE, answer->word[0]);
    }
}

/** [SD-HOST] 2.2.6, table 2-15: what the command register must say for each kind of response. */
static void response_type_check(struct sdhci_model *m, u32 command, enum card_resp resp)
{
    static const u32 wanted[] = {[CARD_R1] = 0x1a, [CARD_R1B] = 0x1b, [CARD_R2] = 0x09,
                                 [CARD_R3] = 0x02, [CARD_R6] = 0x1a,  [CARD_R7] = 0x1a};

    if (resp != CARD_SILENT && (command & 0x1b) != wanted[resp]) {
        protocol_complain(m->log, "CMD%u answers in another form than the register says (0x%02x)",
                          command >> 8 & 0x3f, command & 0x1b);
    }
}

static void answered(struct sdhci_model *m, u64 at_ns, u32 word, const struct card_answer *answer)
{
    u32 command = word >> 16;
    bool waits = (command & 3) != 0;
    bool data = command & 0x20;

    if (waits && answer->resp == CARD_SILENT) {
        sdhci_model_raise(m, 1u << 16); /* the inhibit bits stay: the lines must be reset */
        return;
    }
    response_type_check(m, command, answer->resp);
    response_set(m, answer);
    if (data && answer->data == CARD_NO_DATA && !m->tuning_block) {
        /* The card refused in its R1: nothing will come. */
        m->stage = SDHCI_STAGE_OFF;
    }
    m->inhibit_command = false;
    if (!m->tuning_block) {
        sdhci_model_raise(m, 1);
    }
    if (data || (command & 3) == 3) {
        sdhci_model_data_start(m, at_ns, answer);
    }
}

/** Auto CMD23 goes before the command. False: it failed, the command is not sent [SD-HOST 2.2.23].
 */
static bool auto_count(struct sdhci_model *m, u32 mode, u64 at_ns)
{
    struct card_answer answer = {.resp = CARD_SILENT};
    u32 argument = sdhci_model_word(m, W_SDMA);

    if ((mode >> 2 & 3) != 2) {
        return true;
    }
    if (m->version < 2) {
        protocol_complain(m->log, "Auto CMD23 before version 3");
    }
    if (argument != m->blocks) {
        protocol_complain(m->log, "Auto CMD23 announces %u blocks of %llu", argument,
                          (unsigned long long)m->blocks);
    }
    if (m->card) {
        card_command(m->card, 23, argument, at_ns, &answer);
    }
    if (answer.resp == CARD_SILENT) {
        sdhci_model_word_set(m, W_CONTROL_2,
                             (sdhci_model_word(m, W_CONTROL_2) & 0xffff0000u) | 0x02);
        sdhci_model_raise(m, 1u << 24);
        return false;
    }
    sdhci_model_word_set(m, W_RESPONSE + 12, answer.word[0]);
    return true;
}

static void command_end(struct sdhci_model *m)
{
    u32 word = sdhci_model_word(m, W_COMMAND);
    u32 argument = sdhci_model_word(m, W_ARGUMENT);
    struct card_answer answer = {.resp = CARD_SILENT};
    u64 at_ns = m->command_end_ns;
    bool hit = sdhci_model_fault(m, SDHCI_PHASE_COMMAND);

    m->command_on = false;
    if (!auto_count(m, word & 0xffff, at_ns)) {
        return;
    }
    if (m->card && (!hit || m->fault.card_saw)) {
        card_command(m->card, m->command_index, argument, at_ns, &answer);
        m->next_app = m->command_index == 55 && answer.resp == CARD_R1;
    }
    if (hit) {
        if (m->fault.kind == SDHCI_FAULT_ERROR) {
            sdhci_model_raise(m, m->fault.bits);
        }
        return;
    }
    answered(m, at_ns, word, &answer);
}

static void command_rules(struct sdhci_model *m, u32 word)
{
    u32 command = word >> 16;
    u32 index = command >> 8;
    bool data = command & 0x20;

    if (m->inhibit_command) {
        protocol_complain(m->log, "CMD%u while Command Inhibit (CMD) is set", index);
    }
    if (m->inhibit_data && (data || (command & 3) == 3) && (command >> 6 & 3) != 3) {
        protocol_complain(m->log, "CMD%u while Command Inhibit (DAT) is set", index);
    }
    if ((m->bus.clock_hz == 0 || !m->bus.powered) && !m->power_cut) {
        protocol_complain(m->log, "CMD%u without %s", index, m->bus.powered ? "clock" : "power");
    }
    if (m->reset_bits) {
        protocol_complain(m->log, "CMD%u during a reset", index);
    }
    if (index == 12 && (command >> 6 & 3) != 3) {
        protocol_complain(m->log, "CMD12 is not of type Abort");
    }
    if (sdhci_model_word(m, W_STATUS) & 0xffff0003u) {
        protocol_complain(m->log, "CMD%u with the status of the last one uncleared: 0x%08x", index,
                          sdhci_model_word(m, W_STATUS));
    }
    if (!data && (word & 0x37)) {
        protocol_complain(m->log, "CMD%u without data, transfer mode 0x%02x", index, word & 0xffff);
    }
}

static void data_prepare(struct sdhci_model *m, u32 word)
{
    u32 block = sdhci_model_word(m, W_BLOCK);
    u32 v4 = sdhci_model_word(m, W_CONTROL_2) & 1u << 28;
    bool multi = word & 0x20;

    m->block_bytes = block & 0xfff;
    m->blocks = multi ? block >> 16 : 1;
    if (v4 && m->blocks == 0) {
        m->blocks = sdhci_model_word(m, W_SDMA);
    }
    m->writing = !(word & 0x10);
    m->dma = word & 1;
    m->auto_stop = (word >> 2 & 3) == 1;
    m->blocks_done = 0;
    if (multi && !(word & 2)) {
        protocol_complain(m->log, "many blocks without Block Count Enable");
    }
    if (m->blocks == 0 || m->block_bytes == 0 || m->block_bytes > 2048) {
        protocol_complain(m->log, "a transfer of %llu blocks of %u bytes",
                          (unsigned long long)m->blocks, m->block_bytes);
        m->blocks = m->blocks ? m->blocks : 1;
        m->block_bytes = 512;
    }
}

static void command_issue(struct sdhci_model *m)
{
    u32 word = sdhci_model_word(m, W_COMMAND);
    u32 tune = sdhci_model_word(m, W_CONTROL_2) & 1u << 22;

    command_rules(m, word);
    if (m->inhibit_command) {
        return; /* the write has no effect [SD-HOST 2.2.6] */
    }
    m->command_index = word >> 24 & 0x3f;
    m->command_app = m->next_app;
    m->next_app = false;
    m->command_on = m->inhibit_command = true;
    m->tuning_block = tune && (m->command_index == 19 || m->command_index == 21);
    if (tune && !m->tuning_block) {
        protocol_complain(m->log, "CMD%u during tuning", m->command_index);
    }
    if (word >> 16 & 0x20) {
        data_prepare(m, word);
    }
    if ((word >> 16 & 0x20) || (word >> 16 & 3) == 3) {
        m->inhibit_data = true;
    }
    m->command_end_ns = now(m) + sdhci_model_clocks(m, (word >> 16 & 3) == 1 ? 200 : 112);
}

/* --- time
 * --------------------------------------------------------------------------------------------- */
static void reset_done(struct sdhci_model *m)
{
    u32 bits = m->reset_bits;

    m->reset_bits = 0;
    if (bits & 1) {
        memset(m->reg, 0, sizeof(m->reg));
        m->stuck = m->stuck && !m->stuck_heals;
        m->next_app = false;
    }
    if (bits & 3) {
        m->command_on = m->inhibit_command = false;
        sdhci_model_word_set(m, W_STATUS, sdhci_model_word(m, W_STATUS) & ~1u);
    }
    if (bits & 5) {
        m->stage = SDHCI_STAGE_OFF;
        m->inhibit_data = false;
        sdhci_model_word_set(m, W_STATUS, sdhci_model_word(m, W_STATUS) & ~0x3eu);
    }
    bus_update(m);
}

static void advance(struct sdhci_model *m)
{
    u64 at_ns = now(m);

    if (m->reset_bits && at_ns >= m->reset_end_ns) {
        reset_done(m);
    }
    if (m->command_on && at_ns >= m->command_end_ns) {
        command_end(m);
    }
    sdhci_model_data_advance(m, at_ns);
}

/* --- registers
 * ------------------------------------------------------------------------------------------ */
static u32 present_read(struct sdhci_model *m)
{
    u32 value = 1u << 24;

    if (m->inhibit_command || m->stuck) {
        value |= 1;
    }
    if (m->inhibit_data || m->stuck) {
        value |= 2;
    }
    if (m->stage == SDHCI_STAGE_BUFFER) {
        value |= m->writing ? 1u << 10 : 1u << 11;
    }
    value |= m->slide_switch_locked ? 0 : 1u << 19;
    value |= (m->card ? card_dat_levels(m->card, now(m)) : 15) << 20;
    return value | (m->card ? 7u << 16 : 1u << 17);
}

static u32 clock_read(struct sdhci_model *m)
{
    u32 word = sdhci_model_word(m, W_CLOCK) & ~2u;
    bool pll = m->version < 4 || !(sdhci_model_word(m, W_CONTROL_2) & 1u << 28) || (word & 8);

    if ((word & 1) && now(m) >= m->clock_on_ns + m->clock_ns) {
        word |= 2;
    }
    if ((word & 4) && !pll) {
        protocol_complain(m->log, "the card's clock is on without the PLL");
    }
    return word | m->reset_bits << 24;
}

static u32 register_read(struct sdhci_model *m, u32 offset)
{
    switch (offset) {
    case W_PRESENT:
        return present_read(m);
    case W_CLOCK:
        return clock_read(m);
    case W_CAPS:
        return m->caps;
    case W_CAPS_2:
        return m->version >= 2 ? m->caps_2 : 0;
    case W_VERSION:
        return m->version << 16;
    default:
        if ((offset > W_CURRENT_2 && offset < W_ADMA_ERROR) || offset > W_VENDOR) {
            protocol_complain(m->log, "read of register 0x%x, which is none", offset);
        }
        return sdhci_model_word(m, offset);
    }
}

u64 sdhci_model_read(void *model, u64 offset, u32 width)
{
    struct sdhci_model *m = model;
    u32 word = (u32)offset & ~3u;
    u32 value;

    advance(m);
    m->reads++;
    m->reads_of[word / 4]++;
    if (m->dead) {
        return UINT64_MAX;
    }
    if (m->word_only && width != 4) {
        protocol_complain(m->log, "a read of %u bytes at 0x%x", width, (u32)offset);
    }
    value = word == W_BUFFER ? sdhci_model_port_read(m, width)
                             : register_read(m, word) >> (8 * (offset & 3));
    if (word == W_STATUS) {
        m->empty_looks += value == m->last_look;
        m->last_look = value;
    }
    return width == 4 ? value : value & ((1u << (8 * width)) - 1);
}

static void clock_write(struct sdhci_model *m, u32 value, u32 mask)
{
    u32 old = sdhci_model_word(m, W_CLOCK);
    u32 word = (old & ~mask) | (value & mask & 0x000fffffu);

    if ((old & word & 4) && ((old ^ word) & 0xffe0)) {
        protocol_complain(m->log, "the divider changes while the card's clock runs");
    }
    if ((word & 1) && !(old & 1)) {
        m->clock_on_ns = now(m);
    }
    if ((word & 4) && !(clock_read(m) & 2) && (word & 1)) {
        protocol_complain(m->log, "the card's clock is let through before it is stable");
    }
    if ((word >> 16 & 15) == 15) {
        protocol_complain(m->log, "data timeout value 15 is reserved");
    }
    word |= word & 1 ? 2 : 0; /* what counts is clock_read() */
    sdhci_model_word_set(m, W_CLOCK, word);
    if (value & mask & 0x07000000) {
        m->reset_bits |= value >> 24 & 7;
        m->reset_end_ns = now(m) + m->reset_ns;
    }
}

static void control_2_write(struct sdhci_model *m, u32 value, u32 mask)
{
    static const u32 writable[] = {0, 0, 0xc0ff0000u, 0xf0ff0000u, 0xf4ff0000u, 0xf4ff0000u};
    u32 old = sdhci_model_word(m, W_CONTROL_2);
    u32 may =
        writable[m->version] & ~(m->no_v4 ? 0x34000000u : 0) & ~(m->no_regulator ? 1u << 19 : 0);
    u32 word;

    mask &= may;
    word = (old & ~mask) | (value & mask);
    if (((old ^ word) & (7u << 16 | 1u << 19)) && m->bus.clock_hz > 0) {
        protocol_complain(m->log, "mode or voltage changes while the card's clock runs");
    }
    if ((word & ~old & 1u << 23) || (m->inhibit_data && ((old ^ word) & 1u << 28))) {
        protocol_complain(m->log, "control 2 written as 0x%08x", word);
    }
    if (word & ~old & 1u << 22) {
        m->tune_count = 0;
        word &= ~(1u << 23);
    }
    sdhci_model_word_set(m, W_CONTROL_2, word);
}

static void control_write(struct sdhci_model *m, u32 value, u32 mask)
{
    u32 old = sdhci_model_word(m, W_CONTROL);
    u32 word = (old & ~mask) | (value & mask);
    u32 vdd = word >> 9 & 7;

    if (word & 0x100) {
        bool known = (vdd == 7 && (m->caps & 1u << 24)) || (vdd == 6 && (m->caps & 1u << 25)) ||
                     (vdd == 5 && (m->caps & 1u << 26));

        if (!known) {
            protocol_complain(m->log, "power at voltage code %u, which is not offered", vdd);
        }
        if (!m->card) {
            word &= ~0x100u; /* [SD-HOST] 2.2.11: no power without a card */
        }
    }
    m->power_cut = false;
    sdhci_model_word_set(m, W_CONTROL, word);
}

static void register_write(struct sdhci_model *m, u32 offset, u32 value, u32 mask)
{
    bool moving = m->stage != SDHCI_STAGE_OFF && m->stage != SDHCI_STAGE_SDMA &&
                  m->stage != SDHCI_STAGE_STUCK && m->stage != SDHCI_STAGE_BUSY;

    if (moving && offset <= W_ARGUMENT && offset != W_ARGUMENT) {
        protocol_complain(m->log, "register 0x%x is written during a transfer", offset);
    }
    switch (offset) {
    case W_CLOCK:
        clock_write(m, value, mask);
        break;
    case W_CONTROL:
        control_write(m, value, mask);
        break;
    case W_CONTROL_2:
        control_2_write(m, value, mask);
        break;
    case W_STATUS: {
        u32 status = sdhci_model_word(m, W_STATUS) & ~(value & mask & ~0x8000u);

        sdhci_model_word_set(m, W_STATUS, status & 0xffff0000u ? status : status & ~0x8000u);
        break;
    }
    case W_PRESENT:
    case W_CAPS:
    case W_CAPS_2:
    case W_VERSION:
    case W_RESPONSE:
    case W_RESPONSE + 4:
    case W_RESPONSE + 8:
    case W_RESPONSE + 12:
        protocol_complain(m->log, "a write to the read-only register 0x%x", offset);
        break;
    default:
        if ((offset > W_CURRENT_2 && offset < W_ADMA) || offset > W_VENDOR) {
            protocol_complain(m->log, "a write to register 0x%x, which is none", offset);
        }
        sdhci_model_word_set(m, offset, (sdhci_model_word(m, offset) & ~mask) | (value & mask));
        break;
    }
    bus_update(m);
    if (offset == W_COMMAND && (mask >> 24)) {
        command_issue(m);
    } else if ((offset == W_SDMA || offset == W_ADMA) && (mask >> 24) &&
               m->stage == SDHCI_STAGE_SDMA) {
        sdhci_model_sdma_go_on(m);
    }
}

void sdhci_model_write(void *model, u64 offset, u32 width, u64 value)
{
    struct sdhci_model *m = model;
    u32 shift = 8 * ((u32)offset & 3);
    u32 mask = (u32)(((UINT64_C(1) << (8 * width)) - 1) << shift);

    advance(m);
    m->writes++;
    m->writes_of[offset / 4]++;
    m->last_look = 0;
    if (m->dead) {
        return;
    }
    if (m->word_only && width != 4) {
        protocol_complain(m->log, "a write of %u bytes at 0x%x", width, (u32)offset);
    }
    if ((offset & ~3u) == W_BUFFER) {
        sdhci_model_port_write(m, (u32)value, width);
    } else {
        register_write(m, (u32)offset & ~3u, (u32)value << shift, mask);
    }
}

/* --- the slot
 * ----------------------------------------------------------------------------------------- */
void sdhci_model_init(struct sdhci_model *m, u32 version, struct protocol_log *log,
                      const struct sdhci_model_user *user)
{
    memset(m, 0, sizeof(*m));
    m->version = version;
    m->log = log;
    m->user = *user;
    m->tune_after = 12;
    m->clock_ns = 20000;
    m->reset_ns = 5000;
    /* 3.3 V, SDMA, high speed, ADMA2, 8 lines, 50 MHz timeout clock; base clock by version */
    m->caps = 0x016c0000 | 0x80 | 50 | (version >= 2 ? 200u : 50u) << 8;
    if (version >= 2) {
        m->caps |= 1u << 28;
        m->caps_2 = 0x00002007 | 1u << 31;
        m->caps |= 1u << 26;
    }
    if (version >= 3) {
        m->caps |= 1u << 27;
    }
}

void sdhci_model_insert(struct sdhci_model *m, struct card_model *card)
{
    m->card = card;
    memset(&m->bus, 0, sizeof(m->bus));
    card->bus.powered = false;
    card->state = CARD_OFF;
    sdhci_model_raise(m, 1u << 6);
    bus_update(m);
}

void sdhci_model_remove(struct sdhci_model *m)
{
    static const struct card_bus none;

    if (m->card) {
        card_bus_changed(m->card, &none, now(m));
    }
    m->card = NULL;
    m->power_cut = true;
    m->bus.powered = false;
    sdhci_model_word_set(m, W_CONTROL, sdhci_model_word(m, W_CONTROL) & ~0x100u);
    sdhci_model_word_set(m, W_CLOCK, sdhci_model_word(m, W_CLOCK) & ~4u);
    sdhci_model_raise(m, 1u << 7);
    if (m->stage == SDHCI_STAGE_CARD || m->stage == SDHCI_STAGE_BUSY ||
        m->stage == SDHCI_STAGE_BUFFER) {
        m->stage = SDHCI_STAGE_STALL;
        m->next_ns = now(m) + 1000000;
    }
}
