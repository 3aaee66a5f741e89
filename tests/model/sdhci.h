/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sdhci.h - an SD host controller as a register model, version 2.00 to 4.20, with a card in it.
 *
 * Like card.h it stands on the specification alone and includes no header of the drivers. Time is
 * its user's: whatever should have happened by now happens when a register is touched, so a command
 * takes as long as its clock, its card and its busy say. It complains of every break of the
 * protocol that the specification names, and stays in the state in which a real controller would be
 * stuck.
 *
 * [SD-HOST] Part A2, SD Host Controller Simplified Specification 4.20
 */
#pragma once

#include "tests/model/card.h"

#define SDHCI_MODEL_BYTES 0x100

/** Whoever runs the model: memory as the controller's DMA sees it, and the clock. */
struct sdhci_model_user {
    /** False: there is no memory at that bus address. */
    bool (*dma_read)(void *ctx, u64 bus, void *to, u32 bytes);
    bool (*dma_write)(void *ctx, u64 bus, const void *from, u32 bytes);
    u64 (*now_ns)(void *ctx);
    void *ctx;
};

enum sdhci_fault_kind {
    SDHCI_FAULT_NONE,
    SDHCI_FAULT_ERROR,  /* the bits below are reported */
    SDHCI_FAULT_SILENT, /* nothing is reported, for ever */
    SDHCI_FAULT_LOST,   /* all is done and the completion is not reported */
    SDHCI_FAULT_REMOVE, /* the card is pulled */
    SDHCI_FAULT_DEAD,   /* the controller reads as all ones */
    SDHCI_FAULT_STUCK,  /* the inhibit bits stay set */
};

enum sdhci_fault_phase {
    SDHCI_PHASE_COMMAND,       /* instead of the response */
    SDHCI_PHASE_DATA_START,    /* before the first block */
    SDHCI_PHASE_DATA_MIDDLE,   /* half way */
    SDHCI_PHASE_DATA_END,      /* after the last block, instead of the completion */
    SDHCI_PHASE_WITH_COMPLETE, /* in the same look at the status as the completion */
    SDHCI_PHASE_COUNT
};

#define SDHCI_ANY_COMMAND 0xff
#define SDHCI_ACMD(n)     (64 + (n))

struct sdhci_fault {
    enum sdhci_fault_kind kind;
    enum sdhci_fault_phase phase;
    u32 bits;       /* of the error interrupt status, shifted up by 16 */
    u32 command;    /* index, SDHCI_ACMD(index) or SDHCI_ANY_COMMAND */
    u32 skip;       /* let so many pass */
    u32 times;      /* and hit so many */
    bool card_saw;  /* at a command: the card took it, only the answer is lost */
    bool last_lost; /* with the completion: the last block of a write never reached the card */
};

enum sdhci_model_stage {
    SDHCI_STAGE_OFF,
    SDHCI_STAGE_CARD,   /* the next block passes at next_ns */
    SDHCI_STAGE_BUFFER, /* the driver fills or empties the buffer */
    SDHCI_STAGE_SDMA,   /* a boundary: the driver gives the next address */
    SDHCI_STAGE_STALL,  /* nothing comes: a timeout at next_ns */
    SDHCI_STAGE_BUSY,   /* the card's busy, until next_ns */
    SDHCI_STAGE_STUCK,  /* an error was reported, or nothing ever will be */
};

struct sdhci_model {
    /* --- set by a test after sdhci_model_init() ------------------------------------------------
     */
    u32 version; /* 1: 2.00, 2: 3.00, 3: 4.00, 4: 4.10, 5: 4.20 */
    u32 caps, caps_2;
    bool arasan;    /* the enhanced strobe is bit 0 of the vendor's register 0x78 */
    bool word_only; /* takes accesses of 32 bits only */
    bool slide_switch_locked;
    bool no_regulator; /* the signals stay at 3.3 V: the bit does not stick */
    bool no_v4;        /* the bits of version 4 do not stick */
    bool stuck_heals;  /* a stuck inhibit ends with a reset of all */
    u32 tune_after;    /* how many blocks find the sampling point; above 40: never */
    u32 clock_ns, reset_ns;
    struct sdhci_fault fault;
    struct sdhci_model_user user;
    struct protocol_log *log;
    /* --- state ----------------------------------------------------------------------------------
     */
    struct card_model *card; /* NULL: the slot is empty */
    u8 reg[SDHCI_MODEL_BYTES];
    struct card_bus bus;
    bool dead, stuck;
    bool power_cut; /* by the removal of the card, and the driver has not written since */
    u64 clock_on_ns, reset_end_ns;
    u32 reset_bits;
    /* command */
    bool command_on, inhibit_command, inhibit_data;
    u64 command_end_ns;
    u32 command_index;
    bool command_app, next_app;
    /* data */
    enum sdhci_model_stage stage;
    bool writing, dma, auto_stop, tuning_block;
    u32 block_bytes;
    u64 blocks, blocks_done;
    u64 next_ns;
    u8 buffer[4096];
    u32 buffer_at;
    u64 sdma;
    u64 adma;
    u64 piece_bus;
    u32 piece_left;
    bool piece_end;
    u32 tune_count;
    /* what happened */
    u32 last_look; /* at the status, to tell a look that found nothing new */
    u64 reads, writes, empty_looks, faults_hit, descriptors, dma_bytes, port_bytes;
    u64 reads_of[SDHCI_MODEL_BYTES / 4], writes_of[SDHCI_MODEL_BYTES / 4];
};

void sdhci_model_init(struct sdhci_model *m, u32 version, struct protocol_log *log,
                      const struct sdhci_model_user *user);
void sdhci_model_insert(struct sdhci_model *m, struct card_model *card);
void sdhci_model_remove(struct sdhci_model *m);
u64 sdhci_model_read(void *model, u64 offset, u32 width);
void sdhci_model_write(void *model, u64 offset, u32 width, u64 value);

/* between sdhci.c and sdhci_data.c */
u32 sdhci_model_word(const struct sdhci_model *m, u32 offset);
void sdhci_model_word_set(struct sdhci_model *m, u32 offset, u32 value);
void sdhci_model_raise(struct sdhci_model *m, u32 bits);
bool sdhci_model_fault(struct sdhci_model *m, enum sdhci_fault_phase phase);
u64 sdhci_model_clocks(const struct sdhci_model *m, u64 count);
void sdhci_model_data_start(struct sdhci_model *m, u64 now_ns, const struct card_answer *answer);
void sdhci_model_data_advance(struct sdhci_model *m, u64 now_ns);
u32 sdhci_model_port_read(struct sdhci_model *m, u32 width);
void sdhci_model_port_write(struct sdhci_model *m, u32 value, u32 width);
void sdhci_model_sdma_go_on(struct sdhci_model *m);
