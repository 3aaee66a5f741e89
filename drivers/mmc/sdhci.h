/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sdhci.h - an SD host controller of version 2.00 to 4.20 as a bus for cards.      plane: both
 *
 *          start, set_ios, switch_1v8, tune, reset
 *   IDLE ------------------------------------------> one of the states below
 *     ^                                                   | poll(): one look each
 *     '---------------- the job's end <-------------------'
 *
 *   COMMAND    a command was sent; its response and its data are awaited    [SD-HOST 3.7]
 *   INHIBITED  the lines are not free yet
 *   LINES      after an error: the command and the data line are reset      [SD-HOST 3.10]
 *   RESET      the whole controller is reset
 *   CLOCK      the internal clock, then the PLL, is not stable yet          [SD-HOST 3.2]
 *   LOW, HIGH  the two halves of the switch to 1.8 V                        [SD-HOST 3.6.1]
 *   TUNE       blocks for the sampling circuit                              [SD-HOST 2.2.24]
 *
 * Polled: no interrupt is ever signalled. A look at a request is one read of the status register,
 * and looks are spaced by an eighth of what has been waited already. An error wins over a
 * completion in the same look. Every word of the controller is foreign: read once, and all ones
 * mean that nobody is there.
 */
#pragma once

#include "drivers/mmc/adma2.h"
#include "drivers/mmc/mmc_host.h"

/* What one controller does otherwise than the specification, or cannot do although it says so. */
enum sdhci_quirk {
    SDHCI_QUIRK_NO_V4 = 1 << 0,         /* leave version 4 mode alone */
    SDHCI_QUIRK_NO_AUTO_CMD23 = 1 << 1, /* announce blocks by a command of our own */
    SDHCI_QUIRK_NO_AUTO_CMD12 = 1 << 2, /* end transfers by a command of our own */
    SDHCI_QUIRK_NO_1V8 = 1 << 3,        /* no switch of the signal voltage on this board */
    SDHCI_QUIRK_NO_DDR50 = 1 << 4,
    SDHCI_QUIRK_ARASAN_STROBE = 1 << 5,  /* HS400 with enhanced strobe, by the vendor's register */
    SDHCI_QUIRK_NO_DETECT = 1 << 6,      /* the card-detect line is not wired: always present */
    SDHCI_QUIRK_NO_ZERO_LENGTH = 1 << 7, /* a descriptor's length of 0 is none */
    SDHCI_QUIRK_NO_64BIT = 1 << 8,
};

struct sdhci_config {
    const char *name;  /* for messages */
    u64 base;          /* of the registers */
    u32 quirks;        /* of enum sdhci_quirk */
    u32 base_clock_hz; /* 0: as the capabilities say */
    bool dma;          /* the controller may reach memory by itself */
    bool coherent;     /* what it reads and writes passes the caches */
    u8 *table;         /* for descriptors, aligned to a cache line; NULL: no ADMA2 */
    u64 table_bus;
    u32 table_bytes;
};

enum sdhci_state {
    SDHCI_IDLE,
    SDHCI_COMMAND_SENT,
    SDHCI_INHIBITED,
    SDHCI_LINES,
    SDHCI_RESET,
    SDHCI_CLOCK_WAIT,
    SDHCI_LOW,
    SDHCI_HIGH,
    SDHCI_TUNE_WAIT,
};

enum sdhci_dma { SDHCI_PORT_ONLY, SDHCI_SDMA, SDHCI_ADMA2 };

/** Which command of a request is on the bus. */
enum sdhci_stage { SDHCI_AT_APP, SDHCI_AT_COUNT, SDHCI_AT_MAIN, SDHCI_AT_STOP };

struct sdhci {
    struct mmc_host host;
    struct sdhci_config config;
    u32 version; /* SDHCI_SPEC_... */
    u32 caps, caps_2;
    bool v4;
    enum sdhci_dma dma;
    enum adma2_format format;
    u32 piece_bytes_max;
    /* what the words hold, so that a part is changed without a read */
    u32 control, control_2, clock;
    u32 enabled;    /* of the interrupt status */
    u64 timeout_ns; /* the longest that the controller can count */
    /* the job */
    enum sdhci_state state;
    enum status end; /* how the job ends when its state is over */
    u64 deadline_ns;
    u64 look_ns; /* no look before */
    u64 begun_ns;
    u32 reset_left; /* resets still to be done, of SDHCI_RESET_... */
    u32 clock_hz;   /* wanted: 0 leaves the card's clock off */
    u32 tune_index, tune_count;
    /* the request */
    struct mmc_request *req;
    enum sdhci_stage stage;
    u32 seen; /* of the status: known, not cleared yet */
    bool by_port;
    u32 port_span, port_byte; /* where the port goes on */
    u32 port_blocks;          /* that have passed it */
    u64 sdma_bus;
    /* counters since start */
    u64 commands, looks, data_errors, command_errors, line_resets, resets;
};

/**
 * Read what the controller is. ST_OK: its host is ready for reset(); ST_NODEV: nobody answers;
 * ST_NOSUP: no clock or no voltage that we know. Messages name the cure.
 */
enum status sdhci_init(struct sdhci *s, const struct sdhci_config *config);

/** Quirks of a device-tree compatible or of "pci1b36,7"; 0 when the table has none. */
u32 sdhci_quirks_find(const char *compatible);
