/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc.h - one card on a bus: identified, set to its fastest mode, read, written, brought back.
 *                                                                                  plane: both
 *            mmc_identify()                    mmc_start()
 *   ABSENT ------------------> IDENTIFYING --> READY <----> WORKING
 *     ^  ^                        ^   |                      |   ^
 *     |  '------ gone ------------+---+----------------------'   |
 *     |                           '------- RECOVERING <----------'   an error, bounded retries
 *     '--- another card than before
 *
 * Whatever is done is a table of steps (struct mmc_step): a step sends one command or changes the
 * bus, judges the answer, and goes on, asks to be repeated, or fails the table. So nothing waits in
 * a loop, and the order of the specification can be read from the tables in mmc_sd.c, mmc_emmc.c
 * and mmc_io.c. A mode in which a card fails is barred, and the card is identified again without
 * it.
 *
 * A write is acknowledged when the card says, asked after its busy has ended, that it programmed it
 * without an error. A card is told apart from another by its CID.
 */
#pragma once

#include "drivers/mmc/mmc_host.h"
#include "drivers/mmc/mmc_proto.h"

enum mmc_kind { MMC_KIND_SD, MMC_KIND_EMMC };

enum mmc_op {
    MMC_READ,
    MMC_WRITE,
    MMC_FLUSH,
    MMC_DISCARD, /* content becomes undefined */
    MMC_ZERO,    /* erase to what reads as zeroes; only if erased_zero */
    MMC_SECURE,  /* erase so that nothing is left; only if secure_erase */
};

struct mmc_io {
    enum mmc_op op;
    u64 sector, sectors;
    const struct span *spans; /* of READ and WRITE */
    u32 span_count;
    bool by_port; /* the processor moves the data */
};

enum mmc_state { MMC_ABSENT, MMC_IDENTIFYING, MMC_READY, MMC_WORKING, MMC_RECOVERING };

struct mmc_card;

/** See above. Returns of start and end: ST_OK goes on, anything else fails the table. */
struct mmc_step {
    const char *name;
    bool (*wanted)(const struct mmc_card *card); /* NULL: always */
    /** ST_AGAIN: a job of the bus is under way, and end() judges it. */
    enum status (*start)(struct mmc_card *card);
    /** st is how the job ended. ST_AGAIN: once more, after pause_ns. NULL: mmc_r1_end(). */
    enum status (*end)(struct mmc_card *card, enum status st);
    u64 limit_ns; /* of all repetitions */
    u64 pause_ns; /* before the step, and before it is repeated */
};

struct mmc_card {
    struct mmc_host *host;
    const char *name;
    /* what it is; valid in READY, WORKING and RECOVERING */
    u64 sectors;
    u64 erase_ns; /* of one command */
    u32 cid[4], csd[4];
    enum mmc_kind kind;
    enum mmc_timing timing;
    u32 width;
    u32 life_a, life_b, pre_eol;    /* eMMC: as EXT_CSD says; 0: not known */
    u32 boot_sectors, rpmb_sectors; /* eMMC: of each boot area; both are left alone */
    u16 rca;
    bool read_only;
    bool cache; /* a completed write may be lost until a flush */
    bool cmd23;
    bool discard, erased_zero, secure_erase;
    /* between steps */
    bool version_2, by_sector, s18, strobe;
    bool known;      /* was_cid is of a card that was in use: no other one may take its place */
    bool other_card; /* what is in the slot is not that card */
    bool on_bus;     /* the step waits for the bus */
    bool io_pending;
    bool io_lost; /* given up, to be told when the card is identified again */
    enum mmc_state state;
    u32 was_cid[4];
    u32 ocr;
    u32 barred; /* BIT32(enum mmc_timing) in which it failed */
    u8 reg[EXT_CSD_BYTES];
    struct span reg_span;
    /* the table under way */
    const struct mmc_step *steps;
    u64 not_before_ns, step_deadline_ns;
    u32 step, step_count;
    struct mmc_request req;
    /* the work */
    struct mmc_io io;
    enum status failed; /* how the last table of the work ended */
    u32 tries, identify_tries;
    /* counters since start */
    u64 retries, recoveries, identifications, degradations;
};

/** name is for messages and stays. The card is ABSENT. */
void mmc_init(struct mmc_card *card, struct mmc_host *host, const char *name);

/** Begin to identify what is in the slot. Only in ABSENT and READY. */
void mmc_identify(struct mmc_card *card);

/** Begin io, which is copied; its spans stay the caller's. Only in READY. */
void mmc_start(struct mmc_card *card, const struct mmc_io *io);

/**
 * Advance. ST_AGAIN while something is under way. Then how it ended: ST_OK; ST_IO, ST_TIMEOUT or
 * ST_CRC: after all retries; ST_ACCES: the card is write-protected; ST_NODEV: there is no card, or
 * another one (the state is ABSENT then); ST_NOSUP: not a card we can use; ST_RANGE, ST_INVAL,
 * ST_FULL: the spans do not suit the bus. In ABSENT and READY with nothing begun: ST_OK.
 */
enum status mmc_poll(struct mmc_card *card);

/** "SDR104" and so on. */
const char *mmc_timing_name(enum mmc_timing timing);

/**
 * Read sectors by the controller's DMA into poisoned memory, and once more through the buffer port,
 * and compare; where they differ, or the DMA fails, the processor moves all data from now on. dma
 * and port are of the same length, whole sectors. At start only: it polls until it is done. Returns
 * true when the DMA works. Only in READY.
 */
bool mmc_dma_try(struct mmc_card *card, const struct span *dma, const struct span *port);
