/* SPDX-License-Identifier: BSD-2-Clause */
/* card_mmc.c - the commands of eMMC devices, and EXT_CSD. */
#include <string.h>

#include "tests/model/card.h"

#define ST(state) (1u << (state))

static bool offers(const struct card_model *card, enum card_mode mode)
{
    return card->modes & 1u << mode;
}

/* [EMMC] 7.4: what never changes. */
void card_mmc_init(struct card_model *card)
{
    u8 *e = card->ext_csd;

    e[192] = 8; /* revision 5.1 */
    e[194] = 2; /* CSD structure */
    for (u32 i = 0; i < 4; i++) {
        e[212 + i] = (u8)(card->sectors >> (8 * i));
        e[249 + i] = (u8)(card->cache_kib * 8 >> (8 * i)); /* in Kibit */
    }
    e[223] = 1;  /* 300 ms */
    e[224] = 1;  /* 512 KiB */
    e[226] = 32; /* boot areas of 4 MiB */
    e[168] = 32; /* RPMB of 4 MiB */
    e[229] = 10;
    e[230] = 10;
    e[231] = 0x51; /* secure erase, trim, sanitize */
    e[232] = 2;
    e[247] = 20;
    e[248] = 5;
    e[267] = 1;
    e[268] = 3;
    e[269] = 2;
    e[160] = 1;
}

/** What power-on and CMD0 put back. */
void card_mmc_power_up(struct card_model *card)
{
    static const u8 cleared[] = {33, 34, 175, 179, 183, 185};
    u8 *e = card->ext_csd;

    for (u32 i = 0; i < ARRAY_LEN(cleared); i++) {
        e[cleared[i]] = 0;
    }
    e[181] = card->erased_ones ? 1 : 0;
    e[184] = card->strobe ? 1 : 0;
    e[196] = (u8)(1 | (offers(card, CARD_MODE_HS) ? 2 : 0) |
                  (offers(card, CARD_MODE_MMC_DDR52) ? 4 : 0) |
                  (offers(card, CARD_MODE_MMC_HS200) ? 0x10 : 0) |
                  (offers(card, CARD_MODE_MMC_HS400) ? 0x40 : 0));
    for (u32 i = 0; i < 4; i++) {
        e[249 + i] = (u8)(card->cache_kib * 8 >> (8 * i));
    }
}

/* [EMMC] 7.3 */
static void csd(const struct card_model *card, u32 word[4])
{
    memset(word, 0, 16);
    reg128_set(word, 126, 2, 3);
    reg128_set(word, 122, 4, 4);
    reg128_set(word, 96, 8, 0x32);
    reg128_set(word, 84, 12, 0x8f5);
    reg128_set(word, 80, 4, 9);
    reg128_set(word, 62, 12, 0xfff);
    reg128_set(word, 47, 3, 7);
    reg128_set(word, 12, 1, card->write_protected);
    word[3] |= 1;
}

static bool width_set(struct card_model *card, u32 value)
{
    static const u8 lines[] = {[0] = 1, [1] = 4, [2] = 8, [5] = 4, [6] = 8};
    u32 lanes = value & 0x7f;

    if (lanes >= ARRAY_LEN(lines) || lines[lanes] == 0) {
        return false;
    }
    if (value & 0x80 && (!card->strobe || lanes != 6)) {
        return false;
    }
    if (lanes >= 5 && card->mode != CARD_MODE_HS) {
        return false; /* double data rate is chosen in high speed [EMMC 6.6.2.2] */
    }
    card->width = lines[lanes];
    if (lanes >= 5) {
        card->mode = CARD_MODE_MMC_DDR52;
    }
    return true;
}

static bool timing_set(struct card_model *card, u32 value)
{
    u32 lanes = card->ext_csd[183] & 0x7f;

    switch (value & 15) {
    case 0:
        card->mode = CARD_MODE_DS;
        return true;
    case 1:
        if (!offers(card, CARD_MODE_HS)) {
            return false;
        }
        card->mode = CARD_MODE_HS;
        return true;
    case 2:
        if (!offers(card, CARD_MODE_MMC_HS200) || lanes == 0 || lanes > 2 || !card->at_1v8) {
            return false;
        }
        card->mode = CARD_MODE_MMC_HS200;
        return true;
    case 3:
        /* [EMMC] 6.6.2.3: from high speed with eight lines at double rate, clock at most 52 MHz. */
        if (!offers(card, CARD_MODE_MMC_HS400) || lanes != 6 || !card->at_1v8 ||
            card->mode != CARD_MODE_MMC_DDR52) {
            return false;
        }
        card->mode = CARD_MODE_MMC_HS400;
        return true;
    default:
        return false;
    }
}

static void cache_flush(struct card_model *card)
{
    card->flushes++;
    if (card->stable) {
        memcpy(card->stable, card->image, card->sectors * 512);
    }
}

static bool byte_set(struct card_model *card, u32 index, u32 value)
{
    switch (index) {
    case 183:
        return width_set(card, value);
    case 185:
        return timing_set(card, value);
    case 32:
        if (value & 1) {
            cache_flush(card);
        }
        return card->cache_kib > 0;
    case 33:
        if (!(value & 1) && (card->ext_csd[33] & 1)) {
            cache_flush(card);
        }
        return card->cache_kib > 0;
    case 34:
        if (value == 2 || value == 3) {
            cache_flush(card);
        }
        return value <= 4;
    case 165:
        return true;
    case 175:
        return value <= 1;
    case 179:
        if ((value & 7) != 0) {
            protocol_complain(card->log, "partition %u opened", value & 7);
        }
        return true;
    default:
        protocol_complain(card->log, "CMD6 writes EXT_CSD[%u]", index);
        return false;
    }
}

static void switch_command(struct card_model *card, u32 arg, u64 now_ns, struct card_answer *answer)
{
    u32 index = arg >> 16 & 0xff;
    u32 value = arg >> 8 & 0xff;

    if (!card_state_in(card, 6, ST(CARD_TRAN))) {
        return;
    }
    if (arg >> 24 != 3 || (arg & 0xff) != 0) {
        protocol_complain(card->log, "CMD6 with argument 0x%x", arg);
    }
    card_r1(card, answer);
    answer->resp = CARD_R1B;
    card->state = CARD_PRG;
    card->busy_until_ns = now_ns + (index == 32 ? card->erase_ns : 20000);
    if (card->fail_switch || !byte_set(card, index, value)) {
        card->errors |= 1u << 7; /* SWITCH_ERROR: told by the next R1 */
    } else if (index != 32 && index != 165) {
        card->ext_csd[index] = (u8)value;
    }
}

static void tuning_command(struct card_model *card, u64 now_ns, struct card_answer *answer)
{
    /* [EMMC] 6.6.5.1: the block of eight lines is that of four with each nibble twice; its content
     * is for the host's hardware. */
    if (card->mode != CARD_MODE_MMC_HS200) {
        card_illegal(card, 21);
    } else if (card_state_in(card, 21, ST(CARD_TRAN))) {
        memset(card->small, 0xa5, 128);
        card->tunings++;
        card_send_small(card, card->width == 8 ? 128 : 64, answer, now_ns);
        card->tuning = true;
    }
}

static void op_cond(struct card_model *card, u32 arg, u64 now_ns, struct card_answer *answer)
{
    if (!card_state_in(card, 1, ST(CARD_IDLE))) {
        return;
    }
    answer->resp = CARD_R3;
    answer->word[0] = 0x00ff8080;
    if ((arg & 0x00ff8080) == 0) {
        return;
    }
    if (!(arg & 0x40000000) && card->high_capacity) {
        protocol_complain(card->log, "CMD1 without sector mode for a device above 2 GB");
    }
    if (now_ns - card->powered_ns >= card->power_up_ns) {
        answer->word[0] |= 0x80000000 | (card->high_capacity ? 0x40000000 : 0);
        card->state = CARD_READY;
    }
}

void card_mmc_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                      struct card_answer *answer)
{
    switch (index) {
    case 1:
        op_cond(card, arg, now_ns, answer);
        return;
    case 3:
        if (card_state_in(card, 3, ST(CARD_IDENT))) {
            card->rca = arg >> 16;
            if (card->rca < 2) {
                protocol_complain(card->log, "relative address %u: 0 and 1 are taken", card->rca);
            }
            card_r1(card, answer);
            card->state = CARD_STBY;
        }
        return;
    case 6:
        switch_command(card, arg, now_ns, answer);
        return;
    case 8:
        if (card_state_in(card, 8, ST(CARD_TRAN))) {
            memcpy(card->small, card->ext_csd, 512);
            card_send_small(card, 512, answer, now_ns);
        }
        return;
    case 9:
        if (arg >> 16 == card->rca && card_state_in(card, 9, ST(CARD_STBY))) {
            answer->resp = CARD_R2;
            csd(card, answer->word);
        }
        return;
    case 21:
        tuning_command(card, now_ns, answer);
        return;
    default:
        card_illegal(card, index); /* CMD55 among them: that is how a host tells the kinds apart */
    }
}
