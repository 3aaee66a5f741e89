/* SPDX-License-Identifier: BSD-2-Clause */
/* sdhci.c - the controller: what it can, reset, power, clock, voltage, tuning. */
#include "drivers/mmc/sdhci.h"

#include "drivers/mmc/mmc_proto.h"
#include "drivers/mmc/sdhci_parts.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"

#define TUNING_BLOCK_BYTES   64
#define TUNING_BLOCK_BYTES_8 128 /* on eight lines [EMMC 6.6.5.1] */

static struct sdhci *sdhci_of(struct mmc_host *host)
{
    return container_of(host, struct sdhci, host);
}

/* --- jobs ------------------------------------------------------------------------------------- */
void sdhci_wait(struct sdhci *s, enum sdhci_state state, u64 limit_ns)
{
    s->state = state;
    s->begun_ns = port_now_ns();
    s->look_ns = s->begun_ns;
    s->deadline_ns = s->begun_ns + limit_ns;
}

enum status sdhci_end(struct sdhci *s, enum status st)
{
    s->state = SDHCI_IDLE;
    s->req = NULL;
    return st;
}

static bool late(const struct sdhci *s)
{
    return port_now_ns() >= s->deadline_ns;
}

static enum status gone(struct sdhci *s)
{
    return sdhci_end(s, ST_NODEV);
}

/* --- resets ------------------------------------------------------------------------------------
 */
/**
 * The two lines one after the other: there are controllers that know no other value than a single
 * bit. What is reset shows as 1 until it is done [SD-HOST 2.2.16].
 */
enum status sdhci_lines_reset(struct sdhci *s, enum status st)
{
    s->line_resets++;
    s->end = st;
    s->reset_left = SDHCI_RESET_DAT;
    sdhci_write(s, SDHCI_CLOCK, s->clock | SDHCI_RESET_CMD);
    sdhci_wait(s, SDHCI_LINES, SDHCI_RESET_NS);
    return ST_AGAIN;
}

static enum status lines_poll(struct sdhci *s)
{
    u32 word = sdhci_read(s, SDHCI_CLOCK); /* read once */

    if (sdhci_gone(word)) {
        return gone(s);
    }
    if (word & (SDHCI_RESET_CMD | SDHCI_RESET_DAT)) {
        return late(s) ? sdhci_end(s, ST_IO) : ST_AGAIN;
    }
    if (s->reset_left) {
        sdhci_write(s, SDHCI_CLOCK, s->clock | s->reset_left);
        s->reset_left = 0;
        return ST_AGAIN;
    }
    sdhci_write(s, SDHCI_INT_STATUS, ~UINT32_C(0));
    return sdhci_end(s, s->end);
}

static enum status sdhci_reset_start(struct mmc_host *host)
{
    struct sdhci *s = sdhci_of(host);

    CHECK(s->state == SDHCI_IDLE);
    s->resets++;
    host->ios = (struct mmc_ios){.timing = MMC_TIMING_LEGACY, .width = 1};
    s->control = s->control_2 = s->clock = 0;
    sdhci_write(s, SDHCI_CLOCK, SDHCI_RESET_ALL);
    sdhci_wait(s, SDHCI_RESET, SDHCI_RESET_NS);
    return ST_AGAIN;
}

/** Version 4 mode is what it says only when its bits can be read back: some have none of it. */
static void version_4_try(struct sdhci *s)
{
    u32 wanted = SDHCI_V4;
    u32 got;

    s->v4 = false;
    if (s->version < SDHCI_SPEC_400 || (s->config.quirks & SDHCI_QUIRK_NO_V4)) {
        return;
    }
    if ((s->caps & SDHCI_CAPS_64BIT_V4) && !(s->config.quirks & SDHCI_QUIRK_NO_64BIT)) {
        wanted |= SDHCI_64BIT;
    }
    if (s->version >= SDHCI_SPEC_410) {
        wanted |= SDHCI_ADMA2_26BIT;
    }
    sdhci_write(s, SDHCI_CONTROL_2, wanted);
    got = sdhci_read(s, SDHCI_CONTROL_2) & wanted; /* read once */
    if (!(got & SDHCI_V4)) {
        sdhci_write(s, SDHCI_CONTROL_2, 0);
        return;
    }
    s->v4 = true;
    s->control_2 = got;
}

static void dma_choose(struct sdhci *s)
{
    struct mmc_host_caps *caps = &s->host.caps;
    bool wide = !(s->config.quirks & SDHCI_QUIRK_NO_64BIT);

    s->dma = SDHCI_PORT_ONLY;
    s->piece_bytes_max = (s->control_2 & SDHCI_ADMA2_26BIT)                ? (u32)MIB(64)
                         : (s->config.quirks & SDHCI_QUIRK_NO_ZERO_LENGTH) ? (u32)KIB(32)
                                                                           : (u32)KIB(64);
    s->format = s->v4 ? (s->control_2 & SDHCI_64BIT ? ADMA2_64_V4 : ADMA2_32)
                      : (wide && (s->caps & SDHCI_CAPS_64BIT_V3) ? ADMA2_64_V3 : ADMA2_32);
    caps->span_max = 0;
    caps->span_align = 1;
    caps->bus_limit = UINT64_MAX;
    if (!s->config.dma) {
        return;
    }
    if ((s->caps & SDHCI_CAPS_ADMA2) && s->config.table) {
        s->dma = SDHCI_ADMA2;
        caps->span_max = s->config.table_bytes / s->format;
        caps->bus_limit = s->format == ADMA2_32 ? BIT64(32) : UINT64_MAX;
    } else if (s->caps & SDHCI_CAPS_SDMA) {
        s->dma = SDHCI_SDMA;
        caps->span_max = 1;
        caps->bus_limit = s->control_2 & SDHCI_64BIT ? UINT64_MAX : BIT64(32);
    } else {
        return;
    }
    /* A read into a part of a line would fight with whoever writes the rest of it. */
    caps->span_align = s->config.coherent ? ADMA2_ALIGN : dma_line_bytes();
    if (s->dma == SDHCI_SDMA) {
        caps->span_align = 512; /* it stops at boundaries between blocks only */
    }
}

static enum status reset_poll(struct sdhci *s)
{
    u32 word = sdhci_read(s, SDHCI_CLOCK); /* read once */

    if (sdhci_gone(word)) {
        return gone(s);
    }
    if (word & SDHCI_RESET_ALL) {
        return late(s) ? sdhci_end(s, ST_IO) : ST_AGAIN;
    }
    version_4_try(s);
    dma_choose(s);
    s->enabled = SDHCI_ERR_ALL | SDHCI_INT_COMMAND | SDHCI_INT_TRANSFER | SDHCI_INT_DMA |
                 SDHCI_INT_WRITE_READY | SDHCI_INT_READ_READY;
    if (!s->host.caps.embedded) {
        s->enabled |= SDHCI_INT_REMOVED;
    }
    sdhci_write(s, SDHCI_INT_STATUS, ~UINT32_C(0));
    sdhci_write(s, SDHCI_INT_STATUS_ENABLE, s->enabled);
    sdhci_write(s, SDHCI_INT_SIGNAL_ENABLE, 0);
    s->control = s->dma == SDHCI_PORT_ONLY  ? 0
                 : s->dma == SDHCI_SDMA     ? SDHCI_CONTROL_DMA(SDHCI_DMA_SDMA)
                 : s->format == ADMA2_64_V3 ? SDHCI_CONTROL_DMA(SDHCI_DMA_ADMA2_64_V3)
                                            : SDHCI_CONTROL_DMA(SDHCI_DMA_ADMA2);
    return sdhci_end(s, ST_OK);
}

/* --- clock --------------------------------------------------------------------------------------
 */
static u32 base_clock_hz(const struct sdhci *s)
{
    u32 mhz = SDHCI_CAPS_BASE_MHZ(s->caps) & (s->version >= SDHCI_SPEC_300 ? 0xff : 0x3f);

    return s->config.base_clock_hz ? s->config.base_clock_hz : mhz * 1000000;
}

/** The clock word whose frequency is the highest not above hz. [SD-HOST 2.2.14] */
static u32 clock_word(const struct sdhci *s, u32 hz)
{
    u32 base_hz = base_clock_hz(s);
    u32 multiplier = SDHCI_CAPS_2_MULTIPLIER(s->caps_2);
    u32 half;

    if (s->version < SDHCI_SPEC_300) {
        for (half = 0; half < 128 && base_hz / (half ? 2 * half : 1) > hz;
             half = half ? 2 * half : 1) {
        }
        return SDHCI_CLOCK_DIVIDER(half);
    }
    if (multiplier > 0 && hz >= base_hz / 1024) {
        u64 fast_hz = (u64)base_hz * (multiplier + 1);
        u64 divider = (fast_hz + hz - 1) / hz;

        if (divider <= 1024) {
            return SDHCI_CLOCK_PROGRAMMABLE | SDHCI_CLOCK_DIVIDER(divider - 1);
        }
    }
    half = base_hz <= hz ? 0 : (base_hz + 2 * hz - 1) / (2 * hz);
    return SDHCI_CLOCK_DIVIDER(min_u32(half, 1023));
}

/** The card's clock stops; the rest of the word stays. */
static void clock_stop(struct sdhci *s)
{
    s->clock &= ~SDHCI_CLOCK_CARD;
    sdhci_write(s, SDHCI_CLOCK, s->clock);
}

/** Begin with the internal clock; the card's follows when it is stable. hz 0: none. */
static enum status clock_begin(struct sdhci *s, u32 hz, u64 pause_ns)
{
    clock_stop(s);
    s->clock_hz = hz;
    s->clock = SDHCI_TIMEOUT(SDHCI_TIMEOUT_MAX);
    if (hz > 0) {
        s->clock |= clock_word(s, hz) | SDHCI_CLOCK_INTERNAL;
    }
    sdhci_write(s, SDHCI_CLOCK, s->clock);
    sdhci_wait(s, SDHCI_CLOCK_WAIT, SDHCI_STABLE_NS + pause_ns);
    s->look_ns += pause_ns;
    return ST_AGAIN;
}

static enum status clock_poll(struct sdhci *s)
{
    u32 word;

    if (s->clock_hz == 0) {
        return sdhci_end(s, ST_OK);
    }
    word = sdhci_read(s, SDHCI_CLOCK); /* read once */
    if (sdhci_gone(word)) {
        return gone(s);
    }
    if (!(word & SDHCI_CLOCK_STABLE)) {
        return late(s) ? sdhci_end(s, ST_IO) : ST_AGAIN;
    }
    if (s->v4 && s->version >= SDHCI_SPEC_410 && !(s->clock & SDHCI_CLOCK_PLL)) {
        s->clock |= SDHCI_CLOCK_PLL;
        sdhci_write(s, SDHCI_CLOCK, s->clock);
        return ST_AGAIN;
    }
    s->clock |= SDHCI_CLOCK_CARD;
    sdhci_write(s, SDHCI_CLOCK, s->clock);
    return sdhci_end(s, ST_OK);
}

/* --- power, width, timing
 * -------------------------------------------------------------------------- */
static u32 control_of(const struct sdhci *s, const struct mmc_ios *ios)
{
    u32 word = s->control & SDHCI_CONTROL_DMA(3);
    u32 vdd = s->caps & SDHCI_CAPS_33V   ? SDHCI_VDD_33
              : s->caps & SDHCI_CAPS_30V ? SDHCI_VDD_30
                                         : SDHCI_VDD_18;

    if (ios->power) {
        word |= SDHCI_CONTROL_POWER | SDHCI_CONTROL_VDD(vdd);
    }
    if (ios->width == 4) {
        word |= SDHCI_CONTROL_4BIT;
    } else if (ios->width == 8) {
        word |= SDHCI_CONTROL_8BIT;
    }
    if (ios->timing != MMC_TIMING_LEGACY) {
        word |= SDHCI_CONTROL_HISPEED;
    }
    return word;
}

static u32 uhs_mode(enum mmc_timing timing)
{
    switch (timing) {
    case MMC_TIMING_LEGACY:
    case MMC_TIMING_SDR12:
    case MMC_TIMING_COUNT:
        return SDHCI_UHS_SDR12;
    case MMC_TIMING_HS:
    case MMC_TIMING_SDR25:
        return SDHCI_UHS_SDR25;
    case MMC_TIMING_SDR50:
        return SDHCI_UHS_SDR50;
    case MMC_TIMING_SDR104:
    case MMC_TIMING_HS200:
        return SDHCI_UHS_SDR104;
    case MMC_TIMING_DDR50:
    case MMC_TIMING_DDR52:
        return SDHCI_UHS_DDR50;
    case MMC_TIMING_HS400:
        return SDHCI_UHS_HS400;
    }
    return SDHCI_UHS_SDR12;
}

static void strobe_set(struct sdhci *s, const struct mmc_ios *ios)
{
    if (s->config.quirks & SDHCI_QUIRK_ARASAN_STROBE) {
        sdhci_write(s, SDHCI_ARASAN_VENDOR, ios->strobe ? SDHCI_ARASAN_STROBE : 0);
    }
}

/** Modes and voltage change while the card's clock stands [SD-HOST 2.2.24]. */
static enum status sdhci_set_ios(struct mmc_host *host, const struct mmc_ios *ios)
{
    struct sdhci *s = sdhci_of(host);
    bool lower = ios->signal_1v8 && !host->ios.signal_1v8;

    CHECK(s->state == SDHCI_IDLE);
    if (ios->width > host->caps.width_max || (ios->signal_1v8 && !host->caps.signal_1v8) ||
        !(host->caps.timings & BIT32(ios->timing))) {
        return ST_NOSUP;
    }
    clock_stop(s);
    s->control = control_of(s, ios);
    s->control_2 &= ~(SDHCI_UHS_MODE_MASK | SDHCI_SIGNAL_18);
    s->control_2 |= ios->signal_1v8 ? SDHCI_SIGNAL_18 : 0;
    s->control_2 |= SDHCI_UHS_MODE(uhs_mode(ios->timing));
    if (ios->timing == MMC_TIMING_LEGACY) {
        s->control_2 &= ~SDHCI_TUNED; /* HS400 takes over what HS200 found: it lives until then */
    }
    sdhci_write(s, SDHCI_CONTROL, s->control);
    if (s->version >= SDHCI_SPEC_300) {
        sdhci_write(s, SDHCI_CONTROL_2, s->control_2);
    }
    if (ios->strobe != host->ios.strobe) {
        strobe_set(s, ios);
    }
    host->ios = *ios;
    return clock_begin(s, min_u32(ios->clock_hz, host->caps.clock_hz_max),
                       lower ? SDHCI_VOLTAGE_NS : 0);
}

/* --- 1.8 V
 * ------------------------------------------------------------------------------------------ */
static enum status sdhci_switch_1v8(struct mmc_host *host)
{
    struct sdhci *s = sdhci_of(host);
    u32 present;

    CHECK(s->state == SDHCI_IDLE);
    clock_stop(s);
    present = sdhci_read(s, SDHCI_PRESENT); /* read once */
    if (sdhci_gone(present)) {
        return ST_NODEV;
    }
    if (present & SDHCI_PRESENT_DAT_ALL) {
        return ST_IO; /* the card does not hold the lines low: it has not begun the switch */
    }
    s->control_2 |= SDHCI_SIGNAL_18;
    sdhci_write(s, SDHCI_CONTROL_2, s->control_2);
    sdhci_wait(s, SDHCI_LOW, SDHCI_VOLTAGE_NS);
    s->look_ns += SDHCI_VOLTAGE_NS;
    return ST_AGAIN;
}

static enum status low_poll(struct sdhci *s)
{
    u32 word = sdhci_read(s, SDHCI_CONTROL_2); /* read once */

    if (sdhci_gone(word)) {
        return gone(s);
    }
    if (!(word & SDHCI_SIGNAL_18)) {
        return sdhci_end(s, ST_IO); /* the regulator did not come down */
    }
    s->host.ios.signal_1v8 = true;
    s->clock |= SDHCI_CLOCK_CARD;
    sdhci_write(s, SDHCI_CLOCK, s->clock);
    sdhci_wait(s, SDHCI_HIGH, SDHCI_LEVELS_NS);
    s->look_ns += SDHCI_LEVELS_NS;
    return ST_AGAIN;
}

static enum status high_poll(struct sdhci *s)
{
    u32 present = sdhci_read(s, SDHCI_PRESENT); /* read once */

    if (sdhci_gone(present)) {
        return gone(s);
    }
    return sdhci_end(s, (present & SDHCI_PRESENT_DAT_ALL) == SDHCI_PRESENT_DAT_ALL ? ST_OK : ST_IO);
}

/* --- tuning
 * ----------------------------------------------------------------------------------------- */
static void tune_block(struct sdhci *s)
{
    u32 bytes = s->host.ios.width == 8 ? TUNING_BLOCK_BYTES_8 : TUNING_BLOCK_BYTES;

    sdhci_write(s, SDHCI_BLOCK, bytes | SDHCI_BLOCK_COUNT(1));
    sdhci_write(s, SDHCI_ARGUMENT, 0);
    sdhci_write(s, SDHCI_COMMAND,
                SDHCI_MODE_READ | SDHCI_CMD_INDEX(s->tune_index) | SDHCI_CMD_RESP_48 |
                    SDHCI_CMD_CRC | SDHCI_CMD_INDEX_CHECK | SDHCI_CMD_DATA);
    s->tune_count++;
    s->commands++;
}

static enum status sdhci_tune(struct mmc_host *host, u32 index)
{
    struct sdhci *s = sdhci_of(host);

    CHECK(s->state == SDHCI_IDLE);
    s->tune_index = index;
    s->tune_count = 0;
    s->control_2 &= ~SDHCI_TUNED;
    sdhci_write(s, SDHCI_CONTROL_2, s->control_2 | SDHCI_TUNE);
    tune_block(s);
    sdhci_wait(s, SDHCI_TUNE_WAIT, SDHCI_TUNE_NS);
    return ST_AGAIN;
}

static enum status tune_fail(struct sdhci *s)
{
    sdhci_write(s, SDHCI_CONTROL_2, s->control_2);
    return sdhci_lines_reset(s, ST_IO);
}

/** Only Buffer Read Ready tells of a block; the circuit drains it itself [SD-HOST 2.2.24]. */
static enum status tune_poll(struct sdhci *s)
{
    u32 status = sdhci_read(s, SDHCI_INT_STATUS); /* read once */
    u32 word;

    if (sdhci_gone(status)) {
        return gone(s);
    }
    if (!(status & (SDHCI_INT_READ_READY | SDHCI_ERR_ALL))) {
        return late(s) ? tune_fail(s) : ST_AGAIN;
    }
    sdhci_write(s, SDHCI_INT_STATUS, status);
    word = sdhci_read(s, SDHCI_CONTROL_2); /* read once */
    if (sdhci_gone(word)) {
        return gone(s);
    }
    if (!(word & SDHCI_TUNE)) {
        if (!(word & SDHCI_TUNED)) {
            return tune_fail(s);
        }
        s->control_2 |= SDHCI_TUNED;
        return sdhci_end(s, ST_OK);
    }
    if ((status & SDHCI_ERR_ALL) || s->tune_count >= SDHCI_TUNE_BLOCKS || late(s)) {
        return tune_fail(s);
    }
    tune_block(s);
    return ST_AGAIN;
}

/* --- the host
 * ----------------------------------------------------------------------------------------- */
static enum status sdhci_poll(struct mmc_host *host)
{
    struct sdhci *s = sdhci_of(host);

    if (s->state == SDHCI_IDLE) {
        return ST_OK;
    }
    if (port_now_ns() < s->look_ns) {
        return ST_AGAIN;
    }
    s->looks++;
    switch (s->state) {
    case SDHCI_COMMAND_SENT:
        return sdhci_request_poll(s);
    case SDHCI_INHIBITED:
        return sdhci_inhibited_poll(s);
    case SDHCI_LINES:
        return lines_poll(s);
    case SDHCI_RESET:
        return reset_poll(s);
    case SDHCI_CLOCK_WAIT:
        return clock_poll(s);
    case SDHCI_LOW:
        return low_poll(s);
    case SDHCI_HIGH:
        return high_poll(s);
    case SDHCI_TUNE_WAIT:
        return tune_poll(s);
    case SDHCI_IDLE:
        break;
    }
    return ST_OK;
}

static bool sdhci_present(struct mmc_host *host)
{
    u32 present = sdhci_read(sdhci_of(host), SDHCI_PRESENT); /* read once */

    return !sdhci_gone(present) && (host->caps.embedded || (present & SDHCI_PRESENT_CARD));
}

static void sdhci_port_only(struct mmc_host *host)
{
    struct sdhci *s = sdhci_of(host);

    CHECK(s->state == SDHCI_IDLE);
    s->config.dma = false;
    dma_choose(s);
}

static bool sdhci_writable(struct mmc_host *host)
{
    u32 present = sdhci_read(sdhci_of(host), SDHCI_PRESENT); /* read once */

    return host->caps.embedded || (present & SDHCI_PRESENT_WRITABLE);
}

static const struct mmc_host_ops sdhci_ops = {
    .start = sdhci_request_start,
    .set_ios = sdhci_set_ios,
    .switch_1v8 = sdhci_switch_1v8,
    .tune = sdhci_tune,
    .reset = sdhci_reset_start,
    .port_only = sdhci_port_only,
    .poll = sdhci_poll,
    .present = sdhci_present,
    .writable = sdhci_writable,
};

static u32 timings_of(const struct sdhci *s)
{
    u32 timings = BIT32(MMC_TIMING_LEGACY);

    if (s->caps & SDHCI_CAPS_HISPEED) {
        timings |= BIT32(MMC_TIMING_HS);
    }
    if (s->version < SDHCI_SPEC_300) {
        return timings;
    }
    if (s->caps_2 & (SDHCI_CAPS_2_SDR50 | SDHCI_CAPS_2_SDR104 | SDHCI_CAPS_2_DDR50)) {
        timings |= BIT32(MMC_TIMING_SDR12) | BIT32(MMC_TIMING_SDR25);
    }
    if (s->caps_2 & (SDHCI_CAPS_2_SDR50 | SDHCI_CAPS_2_SDR104)) {
        timings |= BIT32(MMC_TIMING_SDR50);
    }
    if (s->caps_2 & SDHCI_CAPS_2_SDR104) {
        timings |= BIT32(MMC_TIMING_SDR104) | BIT32(MMC_TIMING_HS200);
    }
    if ((s->caps_2 & SDHCI_CAPS_2_DDR50) && !(s->config.quirks & SDHCI_QUIRK_NO_DDR50)) {
        timings |= BIT32(MMC_TIMING_DDR50) | BIT32(MMC_TIMING_DDR52);
    }
    if (s->caps_2 & SDHCI_CAPS_2_HS400) {
        timings |= BIT32(MMC_TIMING_HS400);
    }
    return timings;
}

/** [SD-HOST] 2.2.15: TMCLK << (13 + SDHCI_TIMEOUT_MAX). */
static u64 timeout_ns(const struct sdhci *s)
{
    u64 khz = SDHCI_CAPS_TIMEOUT_CLK(s->caps) * (s->caps & SDHCI_CAPS_TIMEOUT_MHZ ? 1000 : 1);

    return khz == 0 ? 0 : (UINT64_C(1000000) << (13 + SDHCI_TIMEOUT_MAX)) / khz;
}

enum status sdhci_init(struct sdhci *s, const struct sdhci_config *config)
{
    u32 word;

    *s = (struct sdhci){.config = *config};
    s->host.ops = &sdhci_ops;
    word = sdhci_read(s, SDHCI_VERSION); /* read once */
    s->caps = sdhci_read(s, SDHCI_CAPS); /* read once */
    if (sdhci_gone(word) || sdhci_gone(s->caps)) {
        log_error("sdhci %s: nobody answers at 0x%llx: is the controller given to this domain?",
                  config->name, (unsigned long long)config->base);
        return ST_NODEV;
    }
    s->version = min_u32(SDHCI_VERSION_SPEC(word), SDHCI_SPEC_420);
    s->caps_2 = s->version >= SDHCI_SPEC_300 ? sdhci_read(s, SDHCI_CAPS_2) : 0;
    if (base_clock_hz(s) == 0) {
        log_error("sdhci %s: the capabilities name no clock: give its frequency", config->name);
        return ST_NOSUP;
    }
    if (!(s->caps & (SDHCI_CAPS_33V | SDHCI_CAPS_30V | SDHCI_CAPS_18V))) {
        log_error("sdhci %s: the capabilities name no voltage: the controller is not set up",
                  config->name);
        return ST_NOSUP;
    }
    s->host.caps = (struct mmc_host_caps){
        .timings = timings_of(s),
        .width_max = s->caps & SDHCI_CAPS_8BIT ? 8 : 4,
        .clock_hz_max = base_clock_hz(s) * (SDHCI_CAPS_2_MULTIPLIER(s->caps_2) + 1),
        .signal_1v8 = s->version >= SDHCI_SPEC_300 && (timings_of(s) & BIT32(MMC_TIMING_SDR12)) &&
                      !(config->quirks & SDHCI_QUIRK_NO_1V8),
        .embedded = SDHCI_CAPS_SLOT(s->caps) == SDHCI_SLOT_EMBEDDED ||
                    (config->quirks & SDHCI_QUIRK_NO_DETECT),
        .tune_sdr50 = s->caps_2 & SDHCI_CAPS_2_TUNE_SDR50,
        .strobe = config->quirks & SDHCI_QUIRK_ARASAN_STROBE,
        .blocks_max = SDHCI_BLOCK_COUNT_MAX,
    };
    s->timeout_ns = timeout_ns(s);
    dma_choose(s);
    return ST_OK;
}
