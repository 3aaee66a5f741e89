/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_mmc.c - see rig_mmc.h. */
#include "tests/fake/rig_mmc.h"

#include <stdlib.h>
#include <string.h>

#include "start/base/check.h"
#include "start/port.h"
#include "tests/fake/mmio_host.h"
#include "tests/fake/port_host.h"

static u64 virtual_now(void *ctx)
{
    (void)ctx;
    return port_host_now_ns;
}

struct span rig_mmc_span(usize offset, u32 bytes)
{
    return (struct span){.base = dma_host_at(offset), .bus = dma_host_bus(offset), .bytes = bytes};
}

void rig_mmc_pattern(u8 *to, u64 sector, u64 sectors, u32 seed)
{
    for (u64 i = 0; i < sectors * 512; i += 4) {
        u32 word = (u32)((sector * 512 + i) * 2654435761u) ^ seed * 40503u ^ (u32)(i >> 2);

        memcpy(to + i, &word, 4);
    }
}

static usize arena_bytes(const struct rig_mmc_setup *setup)
{
    return setup->arena_bytes ? setup->arena_bytes : RIG_MMC_ARENA_BYTES;
}

enum status rig_mmc_driver(struct rig_mmc *rig, const struct rig_mmc_setup *setup)
{
    struct span table = rig_mmc_span(arena_bytes(setup) - RIG_MMC_TABLE_BYTES, RIG_MMC_TABLE_BYTES);
    const struct sdhci_config config = {
        .name = "rig",
        .base = RIG_MMC_BASE,
        .quirks = setup->quirks,
        .dma = !setup->no_dma,
        .coherent = setup->coherent,
        .table = table.base,
        .table_bus = table.bus,
        .table_bytes = table.bytes,
    };

    return sdhci_init(&rig->sdhci, &config);
}

/** Kept from one rig to the next of the same size: thousands of rigs are made by one test. */
static void images_make(struct rig_mmc *rig, u64 sectors)
{
    static u8 *fresh, *image, *stable;
    static u64 kept;

    if (kept != sectors) {
        free(fresh);
        free(image);
        free(stable);
        fresh = malloc(sectors * 512);
        image = malloc(sectors * 512);
        stable = malloc(sectors * 512);
        rig_mmc_pattern(fresh, 0, sectors, 1);
        kept = sectors;
    }
    memcpy(image, fresh, sectors * 512);
    memcpy(stable, fresh, sectors * 512);
    rig->image = image;
    rig->stable = stable;
}

void rig_mmc_init(struct rig_mmc *rig, const struct rig_mmc_setup *setup)
{
    const struct sdhci_model_user user = {dma_host_read, dma_host_write, virtual_now, NULL};
    u64 sectors = setup->sectors ? setup->sectors : RIG_MMC_SECTORS;

    memset(rig, 0, sizeof(*rig));
    port_host_now_ns = 5000000;
    mmio_host_reset();
    dma_host_init(setup->bus ? setup->bus : 0x40000000, arena_bytes(setup), setup->coherent,
                  &rig->log);
    images_make(rig, sectors);
    sdhci_model_init(&rig->model, setup->version ? setup->version : 5, &rig->log, &user);
    if (setup->no_adma) {
        rig->model.caps &= ~(1u << 19 | 1u << 28);
    }
    rig->model.arasan = setup->quirks & SDHCI_QUIRK_ARASAN_STROBE;
    card_model_init(&rig->card, setup->kind, &rig->log, rig->image, sectors);
    rig->card.stable = rig->stable;
    sdhci_model_insert(&rig->model, &rig->card);
    mmio_host_add(&(struct mmio_model){RIG_MMC_BASE, SDHCI_MODEL_BYTES, sdhci_model_read,
                                       sdhci_model_write, &rig->model});
    CHECK(rig_mmc_driver(rig, setup) == ST_OK);
}

void rig_mmc_done(struct rig_mmc *rig)
{
    rig->image = rig->stable = NULL;
    mmio_host_reset();
    dma_host_done();
}

enum status rig_mmc_run(struct rig_mmc *rig, enum status started)
{
    u64 end_ns = port_host_now_ns + RIG_MMC_RUN_NS;

    while (started == ST_AGAIN) {
        if (port_host_now_ns > end_ns) {
            panic("the bus does not end its job: state %u", rig->sdhci.state);
        }
        port_relax();
        started = rig->sdhci.host.ops->poll(&rig->sdhci.host);
    }
    return started;
}

enum status rig_mmc_card_run(struct mmc_card *card)
{
    u64 end_ns = port_host_now_ns + RIG_MMC_RUN_NS;
    enum status st;

    while ((st = mmc_poll(card)) == ST_AGAIN) {
        if (port_host_now_ns > end_ns) {
            panic("the card does not end its work: state %u, step %s", card->state,
                  card->steps[card->step].name);
        }
        if (!card->on_bus && card->not_before_ns > port_host_now_ns) {
            port_host_now_ns = card->not_before_ns;
        }
        port_relax();
    }
    return st;
}
