/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * card.h - an SD card or an eMMC device as a model, from its pins inwards.
 *
 * Stands on the specifications alone: it includes no header of the drivers, its numbers are its
 * own, so a wrong number over there does not meet itself here. It complains of whatever a host may
 * not do (protocol_complain()), keeps what power would keep apart from what a cache holds, and can
 * fail. The host model (sdhci.h) plays the other end of the wires.
 *
 * [SD-PHY] Part 1 Physical Layer Simplified Specification 9.10, [EMMC] JESD84-B51
 */
#pragma once

#include "start/base/types.h"

/** What the models think of the driver. */
struct protocol_log {
    u32 complaints;
    bool quiet;     /* only count: a test that breaks rules on purpose */
    char last[200]; /* the newest complaint */
};

void protocol_complain(struct protocol_log *log, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

enum card_kind { CARD_SD, CARD_EMMC };

/** How the card's interface runs; a row of limits each in card.c. */
enum card_mode {
    CARD_MODE_DS,
    CARD_MODE_HS,
    CARD_MODE_SDR12,
    CARD_MODE_SDR25,
    CARD_MODE_SDR50,
    CARD_MODE_SDR104,
    CARD_MODE_DDR50,
    CARD_MODE_MMC_DDR52,
    CARD_MODE_MMC_HS200,
    CARD_MODE_MMC_HS400,
    CARD_MODE_COUNT
};

/** What the host does to the wires. */
struct card_bus {
    u32 clock_hz; /* 0: stopped */
    u32 width;
    bool ddr;
    bool signal_1v8;
    bool tuned;       /* the host has a sampling point of its own */
    bool tuned_wrong; /* it lost it since */
    bool strobe;
    bool powered;
};

enum card_resp { CARD_SILENT, CARD_R1, CARD_R1B, CARD_R2, CARD_R3, CARD_R6, CARD_R7 };
enum card_block {
    CARD_BLOCK_OK,
    CARD_BLOCK_NONE, /* the card has none, or does not answer to this one */
    CARD_BLOCK_CRC,  /* it does not pass the wires undamaged */
};
enum card_data { CARD_NO_DATA, CARD_SENDS, CARD_TAKES };

struct card_answer {
    enum card_resp resp;
    u32 word[4]; /* R2: bits 127 to 0; else [0] */
    enum card_data data;
    u32 block_bytes;
};

enum card_state {
    CARD_IDLE,
    CARD_READY,
    CARD_IDENT,
    CARD_STBY,
    CARD_TRAN,
    CARD_DATA,
    CARD_RCV,
    CARD_PRG,
    CARD_DIS,
    CARD_INACTIVE,
    CARD_OFF
};

struct card_model {
    /* --- set by a test after card_model_init() and before power ----------------------------- */
    enum card_kind kind;
    struct protocol_log *log;
    u8 *image;   /* what a read sees */
    u8 *stable;  /* what is left after a loss of power; NULL: not asked */
    u64 sectors; /* what the card says and, unless backed is less, what the arrays hold */
    u32 serial;
    u32 modes; /* BIT32(enum card_mode) it offers */
    bool high_capacity;
    bool version_1; /* SD before 2.00: no CMD8 */
    bool cmd23;
    bool discard;       /* SD */
    bool erased_ones;   /* erased sectors read as ones */
    bool no_1v8_begin;  /* answers CMD11 and leaves its lines high */
    bool no_1v8_switch; /* says it will switch and then does not */
    bool write_protected;
    bool strobe;     /* eMMC: enhanced strobe */
    u32 cache_kib;   /* eMMC */
    u32 ddr_width_4; /* eMMC on a bus of four lines */
    u64 power_up_ns; /* until the operating conditions say ready */
    u64 read_ns;     /* from the command to the first block */
    u64 write_ns;    /* busy after a block */
    u64 erase_ns;
    u64 bad_sector;   /* cannot be read, nor programmed; UINT64_MAX: none */
    bool bad_heals;   /* programming repairs it */
    bool fail_switch; /* eMMC: CMD6 says SWITCH_ERROR */
    /* --- state -------------------------------------------------------------------------------- */
    struct card_bus bus;
    enum card_state state;
    enum card_mode mode;
    u32 width;
    bool at_1v8, s18_agreed, switching;
    u32 rca;
    u32 errors; /* of R1, until they were told */
    bool app;   /* the next command is an application command */
    u64 powered_ns, busy_until_ns;
    bool asked_1, asked_2;
    /* the transfer */
    enum card_data moving;
    u64 at_sector;
    u32 small_bytes; /* a register goes instead of sectors */
    u8 small[512];
    bool multiple;
    bool tuning;              /* what goes is a tuning block */
    enum card_mode mode_next; /* of CMD6, when its block is through */
    bool counted;
    u32 count_left;
    u32 count_next; /* of CMD23, for the next command */
    bool count_armed;
    u64 first_block_ns;
    u32 well_written;
    /* erase */
    u32 erase_step;
    u64 erase_first, erase_last;
    /* eMMC */
    u8 ext_csd[512];
    u32 ready_asked;
    /* what happened */
    u64 commands, blocks_read, blocks_written, flushes, erases, secure_erases, tunings, stops;
};

/** A card of so many sectors that offers everything its kind has; image stays the caller's. */
void card_model_init(struct card_model *card, enum card_kind kind, struct protocol_log *log,
                     u8 *image, u64 sectors);
/** The wires have changed. */
void card_bus_changed(struct card_model *card, const struct card_bus *bus, u64 now_ns);
/** One command; complains of what may not be. */
void card_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                  struct card_answer *answer);
/** The next block to the host. */
enum card_block card_send_block(struct card_model *card, u8 *to, u32 bytes, u64 now_ns);
/** The next block from the host. */
enum card_block card_take_block(struct card_model *card, const u8 *from, u32 bytes, u64 now_ns);
/** Level of DAT[3:0]. */
u32 card_dat_levels(const struct card_model *card, u64 now_ns);

/* between card.c, card_sd.c and card_mmc.c */
void card_go_idle(struct card_model *card, u64 now_ns);
bool card_state_in(struct card_model *card, u32 index, u32 states);
void card_r1(struct card_model *card, struct card_answer *answer);
void card_illegal(struct card_model *card, u32 index);
void card_send_small(struct card_model *card, u32 bytes, struct card_answer *answer, u64 now_ns);
void card_fill(struct card_model *card, u64 first, u64 last, bool stable);
void card_settle(struct card_model *card, u64 now_ns);
void card_cid(const struct card_model *card, u32 word[4]);
void reg128_set(u32 word[4], u32 first, u32 count, u32 value);
void card_sd_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                     struct card_answer *answer);
void card_mmc_init(struct card_model *card);
void card_mmc_power_up(struct card_model *card);
void card_mmc_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                      struct card_answer *answer);
