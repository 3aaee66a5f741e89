/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_host.h - a bus with one card on it, as the card stack sees it.               plane: both
 *
 * The card stack (mmc.c) asks for commands with or without data and for changes of the bus; a bus
 * driver (sdhci.c) does them one at a time. Every job is started by one call and advanced by
 * polling, at most one look at the hardware a turn, so a poll loop is never held up; every job
 * ends within a time of its own.
 *
 * What differs between a bus of SD commands and one of packets (UHS-II) stays below this line: that
 * an application command needs CMD55 first, how a transfer's length is announced (CMD23, CMD12, or
 * a field of the packet), how sampling is tuned, what a reset of the link means.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

enum mmc_resp {
    MMC_RESP_NONE,
    MMC_RESP_R1,  /* 48 bits with CRC and index: also R5, R6 and R7 */
    MMC_RESP_R1B, /* and busy on DAT0 until the work is done */
    MMC_RESP_R2,  /* 136 bits: CID, CSD */
    MMC_RESP_R3,  /* 48 bits without CRC and index: also R4 */
};

/** How the bus runs. The order is not a ranking. */
enum mmc_timing {
    MMC_TIMING_LEGACY, /* 25 MHz SD, 26 MHz eMMC */
    MMC_TIMING_HS,     /* 50 MHz SD, 52 MHz eMMC */
    MMC_TIMING_SDR12,
    MMC_TIMING_SDR25,
    MMC_TIMING_SDR50,
    MMC_TIMING_SDR104,
    MMC_TIMING_DDR50,
    MMC_TIMING_DDR52, /* eMMC */
    MMC_TIMING_HS200, /* eMMC */
    MMC_TIMING_HS400, /* eMMC */
    MMC_TIMING_COUNT
};

struct mmc_ios {
    enum mmc_timing timing;
    u32 clock_hz; /* at most; 0: no clock */
    u32 width;    /* data lines: 1, 4 or 8 */
    bool power;
    bool signal_1v8;
    bool strobe; /* HS400: the card returns a strobe with its responses too */
};

/** Where a request failed: what may have happened to the card and to its data. */
enum mmc_where {
    MMC_NOWHERE,
    MMC_AT_PREFIX,  /* CMD55 or CMD23: the command itself was not sent */
    MMC_AT_COMMAND, /* no proper response: the card may have taken the command or not */
    MMC_AT_DATA,    /* data was moving, or the card was busy with it */
    MMC_AT_STOP,    /* the data has moved, ending the transfer failed */
};

/** One command, with its data. Owned by the submitter, untouched by him while in flight. */
struct mmc_request {
    u8 index;
    enum mmc_resp resp;
    bool app;     /* application command; rca is the card's address for CMD55 */
    bool counted; /* announce the number of blocks if the bus does not do so by itself (CMD23) */
    u16 rca;
    u32 arg;
    u64 limit_ns; /* from the response to the end of data and of busy */
    /* data; blocks is 0 when there is none */
    bool write;
    u32 block_bytes;
    u32 blocks;
    const struct span *spans; /* sums to blocks * block_bytes */
    u32 span_count;
    bool by_port; /* the processor moves the data: spans need no bus address */
    /* filled by the bus */
    u32 stop_response; /* of a CMD12 that the bus sent; 0: none */
    u32 response[4];   /* R2: bits 127 to 0, the first word highest; else only [0] */
    enum mmc_where where;
};

struct mmc_host;

/**
 * Every function that starts a job returns ST_AGAIN when poll() will say how it ends, or its end.
 * One job at a time: starting a second one is a CHECK.
 */
struct mmc_host_ops {
    /**
     * ST_OK; ST_TIMEOUT: no answer, or not in time; ST_CRC: damaged on the way; ST_IO: the
     * controller's own fault; ST_NODEV: the card or the controller is gone; ST_RANGE, ST_FULL or
     * ST_INVAL: the spans do not suit the controller, nothing was sent.
     */
    enum status (*start)(struct mmc_host *host, struct mmc_request *req);
    /** Power, clock, width, timing. ST_OK, ST_NOSUP: not with this controller; as above. */
    enum status (*set_ios)(struct mmc_host *host, const struct mmc_ios *ios);
    /** After CMD11 was answered. ST_OK; ST_IO: the card must be power-cycled [SD-PHY 4.2.4.2]. */
    enum status (*switch_1v8)(struct mmc_host *host);
    /** Find the sampling point with CMD19 or CMD21. ST_OK, ST_IO: there is none; as above. */
    enum status (*tune)(struct mmc_host *host, u32 index);
    /** Bring the bus to its state after power-on, card unpowered. */
    enum status (*reset)(struct mmc_host *host);
    /** From the next request on the processor moves the data: this machine's DMA does not work. */
    void (*port_only)(struct mmc_host *host);
    /** Advance the job: ST_AGAIN, or its end. Without a job ST_OK. */
    enum status (*poll)(struct mmc_host *host);
    /** A card is in the slot and the controller answers. One read. */
    bool (*present)(struct mmc_host *host);
    /** The switch of the card's case says that it may be written. One read. */
    bool (*writable)(struct mmc_host *host);
};

struct mmc_host_caps {
    u32 timings;   /* BIT32(enum mmc_timing) */
    u32 width_max; /* 1, 4 or 8 */
    u32 clock_hz_max;
    bool signal_1v8; /* can, whichever it begins with */
    bool embedded;   /* the card is soldered: present for ever, no switch */
    u32 blocks_max;  /* of one request */
    u32 span_max;    /* of one request, 0 when the processor moves the data: any number */
    u32 span_align;  /* bus address and length of each span are multiples of it; 1: any */
    bool tune_sdr50; /* SDR50 wants a sampling point too */
    bool strobe;     /* HS400 with enhanced strobe */
    u64 bus_limit;   /* spans end below this bus address */
};

struct mmc_host {
    const struct mmc_host_ops *ops;
    struct mmc_host_caps caps;
    struct mmc_ios ios; /* as last set */
};
