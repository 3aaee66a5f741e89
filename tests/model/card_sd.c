/* SPDX-License-Identifier: BSD-2-Clause */
/* card_sd.c - the commands of SD cards, and their registers. */
#include <string.h>

#include "tests/model/card.h"

#define ST(state) (1u << (state))

#define READY_BIT 0x80000000u
#define HIGH_BIT  0x40000000u
#define S18_BIT   0x01000000u

static const u8 tuning_block[64] = {
    /* [SD-PHY] 4.2.4.5, table 4-2 */
    0xff, 0x0f, 0xff, 0x00, 0xff, 0xcc, 0xc3, 0xcc, 0xc3, 0x3c, 0xcc, 0xff, 0xfe, 0xff, 0xfe, 0xef,
    0xff, 0xdf, 0xff, 0xdd, 0xff, 0xfb, 0xff, 0xfb, 0xbf, 0xff, 0x7f, 0xff, 0x77, 0xf7, 0xbd, 0xef,
    0xff, 0xf0, 0xff, 0xf0, 0x0f, 0xfc, 0xcc, 0x3c, 0xcc, 0x33, 0xcc, 0xcf, 0xff, 0xef, 0xff, 0xee,
    0xff, 0xfd, 0xff, 0xfd, 0xdf, 0xff, 0xbf, 0xff, 0xbb, 0xff, 0xf7, 0xff, 0xf7, 0x7f, 0x7b, 0xde};

static bool offers(const struct card_model *card, enum card_mode mode)
{
    return card->modes & 1u << mode;
}

static bool offers_uhs(const struct card_model *card)
{
    return offers(card, CARD_MODE_SDR50) || offers(card, CARD_MODE_SDR104) ||
           offers(card, CARD_MODE_DDR50);
}

/* [SD-PHY] 5.3 */
static void csd(const struct card_model *card, u32 word[4])
{
    memset(word, 0, 16);
    reg128_set(word, 126, 2, card->high_capacity ? 1 : 0);
    reg128_set(word, 112, 8, 0x0e);
    reg128_set(word, 96, 8, 0x32);
    reg128_set(word, 84, 12, 0x5b5);
    reg128_set(word, 80, 4, 9);
    if (card->high_capacity) {
        reg128_set(word, 48, 22, (u32)(card->sectors / 1024) - 1);
    } else {
        reg128_set(word, 62, 12, (u32)(card->sectors / 512) - 1); /* C_SIZE_MULT 7: 512 each */
        reg128_set(word, 47, 3, 7);
    }
    reg128_set(word, 46, 1, 1);
    reg128_set(word, 39, 7, 0x7f);
    reg128_set(word, 22, 4, 9);
    reg128_set(word, 12, 1, card->write_protected);
    word[3] |= 1;
}

/* [SD-PHY] 5.6 */
static void scr(const struct card_model *card, u8 out[8])
{
    memset(out, 0, 8);
    out[0] = card->version_1 ? 0 : 2;
    out[1] = (u8)((card->erased_ones ? 0x80 : 0) | 0x20 | 0x05);
    out[2] = card->version_1 ? 0 : 0x80;
    out[3] = card->cmd23 ? 0x02 : 0;
}

/* [SD-PHY] 4.10.2 */
static void ssr(const struct card_model *card, u8 out[64])
{
    memset(out, 0, 64);
    out[0] = card->width == 4 ? 0x80 : 0;
    out[10] = 0x90;       /* AU of 4 MiB */
    out[12] = 1;          /* one AU */
    out[13] = 2 << 2 | 1; /* in 2 s, 1 s more */
    out[24] = card->discard ? 2 : 0;
}

/* [SD-PHY] 4.3.10 */
static enum card_mode functions(struct card_model *card, u32 arg)
{
    u8 *out = card->small;
    u32 group1 = 1;
    u32 want = arg & 15;
    static const enum card_mode mode_of[] = {CARD_MODE_SDR12, CARD_MODE_SDR25, CARD_MODE_SDR50,
                                             CARD_MODE_SDR104, CARD_MODE_DDR50};

    group1 |= offers(card, CARD_MODE_HS) || offers(card, CARD_MODE_SDR25) ? 2 : 0;
    if (card->at_1v8) {
        group1 |= offers(card, CARD_MODE_SDR50) ? 4 : 0;
        group1 |= offers(card, CARD_MODE_SDR104) ? 8 : 0;
        group1 |= offers(card, CARD_MODE_DDR50) ? 16 : 0;
    }
    memset(out, 0, 64);
    out[1] = 100;
    for (u32 at = 2; at < 12; at += 2) {
        out[at] = 0x80; /* function 0xf, and 0 below: groups 6 to 2 */
        out[at + 1] = 0x01;
    }
    out[12] = 0x80;
    out[13] = (u8)group1;
    if (want != 15 && !(group1 & 1u << want)) {
        out[16] = 15;
        return card->mode;
    }
    out[16] = (u8)(want == 15 ? 0 : want);
    if ((arg >> 31) && want < 5) {
        return card->at_1v8 ? mode_of[want] : want == 0 ? CARD_MODE_DS : CARD_MODE_HS;
    }
    return card->mode;
}

static void op_cond(struct card_model *card, u32 arg, u64 now_ns, struct card_answer *answer)
{
    if (!card_state_in(card, 41, ST(CARD_IDLE))) {
        return;
    }
    answer->resp = CARD_R3;
    answer->word[0] = 0x00ff8000;
    if ((arg & 0x00ff8000) == 0) {
        return; /* an inquiry */
    }
    if (card->high_capacity && (!(arg & HIGH_BIT) || !card->asked_2)) {
        return; /* a host that does not know high capacity waits for ever */
    }
    if (now_ns - card->powered_ns < card->power_up_ns) {
        return;
    }
    card->s18_agreed = (arg & S18_BIT) && offers_uhs(card) && !card->at_1v8 && card->high_capacity;
    answer->word[0] |=
        READY_BIT | (card->high_capacity ? HIGH_BIT : 0) | (card->s18_agreed ? S18_BIT : 0);
    card->state = CARD_READY;
}

static void app_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                        struct card_answer *answer)
{
    switch (index) {
    case 41:
        op_cond(card, arg, now_ns, answer);
        return;
    case 6:
        if (card_state_in(card, 6, ST(CARD_TRAN))) {
            card->width = (arg & 3) == 2 ? 4 : 1;
            card_r1(card, answer);
        }
        return;
    case 13:
        if (card_state_in(card, 13, ST(CARD_TRAN))) {
            ssr(card, card->small);
            card_send_small(card, 64, answer, now_ns);
        }
        return;
    case 22:
        if (card_state_in(card, 22, ST(CARD_TRAN))) {
            u32 count = card->well_written;

            for (u32 i = 0; i < 4; i++) {
                card->small[i] = (u8)(count >> (24 - 8 * i));
            }
            card_send_small(card, 4, answer, now_ns);
        }
        return;
    case 42:
        if (card_state_in(card, 42, ST(CARD_TRAN))) {
            card_r1(card, answer);
        }
        return;
    case 51:
        if (card_state_in(card, 51, ST(CARD_TRAN))) {
            scr(card, card->small);
            card_send_small(card, 8, answer, now_ns);
        }
        return;
    default:
        card_illegal(card, index);
    }
}

static void app_prefix(struct card_model *card, u32 arg, struct card_answer *answer)
{
    if (arg >> 16 != card->rca) {
        return; /* not addressed */
    }
    if (card_state_in(card, 55, ST(CARD_IDLE) | ST(CARD_STBY) | ST(CARD_TRAN))) {
        card->app = true;
        card_r1(card, answer);
    }
}

static void switch_1v8(struct card_model *card, struct card_answer *answer)
{
    if (!card->s18_agreed) {
        card_illegal(card, 11);
    } else if (card_state_in(card, 11, ST(CARD_READY))) {
        card_r1(card, answer);
        card->switching = true;
    }
}

void card_sd_command(struct card_model *card, u32 index, u32 arg, u64 now_ns,
                     struct card_answer *answer)
{
    if (card->app) {
        card->app = false;
        app_command(card, index, arg, now_ns, answer);
        if (answer->resp == CARD_R1) {
            answer->word[0] |= 1u << 5;
        }
        return;
    }
    switch (index) {
    case 3:
        if (card_state_in(card, 3, ST(CARD_IDENT) | ST(CARD_STBY))) {
            u32 state = card->state;

            card->rca = 0xb1a5;
            card->state = CARD_STBY;
            answer->resp = CARD_R6;
            answer->word[0] = card->rca << 16 | state << 9 | 1u << 8;
        }
        return;
    case 6:
        if (card_state_in(card, 6, ST(CARD_TRAN)) && !card->version_1) {
            enum card_mode next = functions(card, arg);

            card_send_small(card, 64, answer, now_ns);
            card->mode_next = next;
        }
        return;
    case 8:
        if (!card->version_1 && card_state_in(card, 8, ST(CARD_IDLE))) {
            card->asked_2 = true;
            answer->resp = (arg & 0xf00) == 0x100 ? CARD_R7 : CARD_SILENT;
            answer->word[0] = arg & 0xfff;
        }
        return;
    case 9:
        if (arg >> 16 == card->rca && card_state_in(card, 9, ST(CARD_STBY))) {
            answer->resp = CARD_R2;
            csd(card, answer->word);
        }
        return;
    case 11:
        switch_1v8(card, answer);
        return;
    case 19:
        if (card_state_in(card, 19, ST(CARD_TRAN))) {
            memcpy(card->small, tuning_block, 64);
            card->tunings++;
            card_send_small(card, 64, answer, now_ns);
            card->tuning = true;
        }
        return;
    case 55:
        app_prefix(card, arg, answer);
        return;
    default:
        card_illegal(card, index);
    }
}
