/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sdhci_parts.h - what sdhci.c (the bus) and sdhci_request.c (commands and data) share.
 *                                                                                  plane: both
 */
#pragma once

#include "drivers/mmc/sdhci.h"
#include "drivers/mmc/sdhci_regs.h"
#include "drivers/mmio.h"
#include "start/port.h"

/* Times of the specification, in ns, with what controllers are known to need. */
#define SDHCI_RESET_NS    UINT64_C(100000000) /* a reset ends within 100 ms [SD-HOST 2.2.16] */
#define SDHCI_STABLE_NS   UINT64_C(150000000) /* a clock is stable within 150 ms [SD-HOST 3.2.1] */
#define SDHCI_COMMAND_NS  UINT64_C(50000000)  /* a response: 64 clocks at 100 kHz, and much room */
#define SDHCI_INHIBIT_NS  UINT64_C(10000000)  /* the lines are free after a job that has ended */
#define SDHCI_TUNE_NS     UINT64_C(150000000) /* [SD-PHY 4.2.4.5] */
#define SDHCI_TUNE_BLOCKS 40
#define SDHCI_VOLTAGE_NS  UINT64_C(5000000) /* [SD-PHY 4.2.4.2] 5 ms without a clock */
#define SDHCI_LEVELS_NS   UINT64_C(1000000) /* and 1 ms with one */
#define SDHCI_LOOK_MIN_NS UINT64_C(1000)    /* between two looks */
#define SDHCI_LOOK_MAX_NS UINT64_C(100000)

static inline u32 sdhci_read(const struct sdhci *s, u32 reg)
{
    return mmio_read32(s->config.base + reg);
}

static inline void sdhci_write(const struct sdhci *s, u32 reg, u32 value)
{
    mmio_write32(s->config.base + reg, value);
}

/** What a read gives when no controller is behind the address any more. */
static inline bool sdhci_gone(u32 word)
{
    return word == UINT32_MAX;
}

/** Begin to wait in a state, at most for so long. */
void sdhci_wait(struct sdhci *s, enum sdhci_state state, u64 limit_ns);
/** Reset the command and the data line; then the job ends with st. */
enum status sdhci_lines_reset(struct sdhci *s, enum status st);
/** The job is over. */
enum status sdhci_end(struct sdhci *s, enum status st);

enum status sdhci_request_start(struct mmc_host *host, struct mmc_request *req);
/** The lines were busy; look again. */
enum status sdhci_inhibited_poll(struct sdhci *s);
enum status sdhci_request_poll(struct sdhci *s);
