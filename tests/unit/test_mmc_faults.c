/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mmc_faults.c - everything that can go wrong on the way to a card, one at a time: each error
 * bit, silence, a lost completion, stuck lines, a dead controller, a pulled card; at each phase of
 * a read, of a write and of the identification; once, and for ever; by DMA and by the port; on both
 * kinds of card.
 *
 * What must hold each time: it ends within a bounded virtual time; a read that succeeds has the
 * card's data; a write that succeeds is on the card; a fault that came once is recovered from; when
 * the fault is over the disk serves again; and no rule of the protocol was broken on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/mmc/mmc_bdev.h"
#include "start/port.h"
#include "tests/fake/port_host.h"
#include "tests/fake/rig_mmc.h"

#define SECTORS  1024
#define ARENA    KIB(192)
#define AT       512 /* sector of the work */
#define COUNT    16
#define DATA_AT  KIB(128)
#define BOUND_NS UINT64_C(60000000000)

static struct rig_mmc rig;
static struct mmc_card card;
static struct mmc_bdev disk;
static struct blk_done done;

static struct {
    u32 cases, hit, recovered, refused, missed;
    u64 longest_ns;
} tally;

static void open_disk(enum card_kind kind, bool port)
{
    struct span bounce;

    rig_mmc_init(&rig, &(struct rig_mmc_setup){
                           .kind = kind, .sectors = SECTORS, .arena_bytes = ARENA, .no_dma = port});
    bounce = rig_mmc_span(KIB(64), (u32)KIB(64));
    rig.log.quiet = true;
    mmc_init(&card, &rig.sdhci.host, "rig");
    mmc_identify(&card);
    assert_int_equal(rig_mmc_card_run(&card), ST_OK);
    mmc_bdev_init(&disk, &card, "disk", &bounce);
    blk_done_init(&done);
}

static enum status serve(enum blk_op op, u64 sector, struct span *span)
{
    struct blk_req req = {.op = op,
                          .sector = sector,
                          .sectors = span->bytes / 512,
                          .spans = span,
                          .span_count = 1,
                          .done = &done};
    u64 begun_ns = port_host_now_ns;
    enum status st = bdev_submit(&disk.bdev, &req);

    while (st == ST_AGAIN && disk.bdev.in_flight > 0) {
        bdev_poll(&disk.bdev);
        port_relax();
        if (!card.on_bus && card.not_before_ns > port_host_now_ns && card.state != MMC_READY) {
            port_host_now_ns = card.not_before_ns;
        } else if (card.on_bus && rig.sdhci.look_ns > port_host_now_ns) {
            port_host_now_ns = rig.sdhci.look_ns;
        }
        if (port_host_now_ns - begun_ns > BOUND_NS) {
            fail_msg("not ended after %llu s", (unsigned long long)(BOUND_NS / 1000000000));
        }
    }
    if (port_host_now_ns - begun_ns > tally.longest_ns) {
        tally.longest_ns = port_host_now_ns - begun_ns;
    }
    if (st == ST_AGAIN) {
        blk_done_init(&done);
        st = req.status;
    }
    return st;
}

/** The fault is over: whatever was pulled or died is back, and the disk serves. */
static void serves_again(const char *what)
{
    static u8 wanted[COUNT * 512];
    struct span span = rig_mmc_span(DATA_AT, COUNT * 512);

    rig.model.fault.kind = SDHCI_FAULT_NONE;
    rig.model.dead = rig.model.stuck = false;
    if (!rig.model.card) {
        sdhci_model_insert(&rig.model, &rig.card);
    }
    for (u32 i = 0; i < 200000 && card.state != MMC_READY; i++) {
        bdev_poll(&disk.bdev);
        port_host_now_ns += 100000;
    }
    rig_mmc_pattern(wanted, AT, COUNT, 99);
    memcpy(span.base, wanted, sizeof(wanted));
    if (serve(BLK_WRITE, AT, &span) != ST_OK) {
        (void)serve(BLK_READ, AT, &span); /* a card that came back unnoticed is noticed by one */
        for (u32 i = 0; i < 200000 && card.state != MMC_READY; i++) {
            bdev_poll(&disk.bdev);
            port_host_now_ns += 100000;
        }
        memcpy(span.base, wanted, sizeof(wanted));
        if (serve(BLK_WRITE, AT, &span) != ST_OK) {
            fail_msg("%s: does not serve afterwards", what);
        }
    }
    assert_memory_equal(rig.image + AT * 512, wanted, sizeof(wanted));
    memset(span.base, 0, span.bytes);
    assert_int_equal(serve(BLK_READ, AT, &span), ST_OK);
    assert_memory_equal(span.base, wanted, sizeof(wanted));
}

static void one_case(enum card_kind kind, bool port, enum blk_op op,
                     const struct sdhci_fault *fault)
{
    static u8 wanted[COUNT * 512];
    bool write = op == BLK_WRITE;
    bool lasting = fault->times > 1;
    bool recoverable = fault->kind == SDHCI_FAULT_ERROR || fault->kind == SDHCI_FAULT_LOST ||
                       fault->kind == SDHCI_FAULT_SILENT;
    struct span span;
    enum status st;
    char what[120];

    snprintf(what, sizeof(what), "%s, %s, %s: kind %u bits 0x%08x phase %u times %u%s%s",
             kind == CARD_SD ? "SD" : "eMMC", port ? "port" : "DMA", write ? "write" : "read",
             fault->kind, fault->bits, fault->phase, fault->times,
             fault->card_saw ? ", the card saw it" : "", fault->last_lost ? ", last lost" : "");
    open_disk(kind, port);
    span = rig_mmc_span(DATA_AT, COUNT * 512);
    rig_mmc_pattern(wanted, AT, COUNT, write ? 42 : 1);
    memcpy(wanted, write ? wanted : rig.image + AT * 512, sizeof(wanted));
    memcpy(span.base, wanted, sizeof(wanted));
    if (!write) {
        memset(span.base, 0xe5, sizeof(wanted));
    }
    rig.model.fault = *fault;
    st = serve(op, AT, &span);
    tally.cases++;
    tally.hit += rig.model.faults_hit > 0;
    tally.missed += rig.model.faults_hit == 0;
    if (st == ST_OK) {
        tally.recovered++;
        if (memcmp(write ? rig.image + AT * 512 : span.base, wanted, sizeof(wanted)) != 0) {
            fail_msg("%s: a success that is none", what);
        }
    } else {
        tally.refused++;
        if (recoverable && !lasting) {
            fail_msg("%s: not recovered from: %s", what, status_name(st));
        }
    }
    serves_again(what);
    if (rig.log.complaints > 0) {
        fail_msg("%s: %u complaints, the last: %s", what, rig.log.complaints, rig.log.last);
    }
    rig_mmc_done(&rig);
}

static void said(const char *what)
{
    print_message("# %s: %u faults, %u hit, %u recovered, %u told as an error; the longest took "
                  "%llu ms\n",
                  what, tally.cases, tally.hit, tally.recovered, tally.refused,
                  (unsigned long long)(tally.longest_ns / 1000000));
    memset(&tally, 0, sizeof(tally));
}

static void every_error_bit_at_every_phase(void **state)
{
    (void)state;
    for (u32 bit = 16; bit <= 28; bit++) {
        for (u32 phase = 0; phase < SDHCI_PHASE_COUNT; phase++) {
            for (u32 variant = 0; variant < 16; variant++) {
                bool write = variant & 1;
                bool eye = variant & 4; /* at a command: the card saw it; at the end: last lost */
                struct sdhci_fault fault = {
                    .kind = SDHCI_FAULT_ERROR,
                    .phase = phase,
                    .bits = 1u << bit,
                    .command = write ? 25 : 18,
                    .times = variant & 8 ? 1000 : 1,
                    .card_saw = phase == SDHCI_PHASE_COMMAND && eye,
                    .last_lost = phase == SDHCI_PHASE_WITH_COMPLETE && eye && write,
                };

                one_case(bit & 1 ? CARD_EMMC : CARD_SD, variant & 2, write ? BLK_WRITE : BLK_READ,
                         &fault);
            }
        }
    }
    assert_int_equal(tally.missed, 0);
    assert_true(tally.recovered >= tally.cases / 2);
    assert_true(tally.refused > tally.cases / 4);
    said("error bits");
}

static void silence_loss_removal_death_and_stuck_lines(void **state)
{
    static const enum sdhci_fault_kind kinds[] = {SDHCI_FAULT_SILENT, SDHCI_FAULT_LOST,
                                                  SDHCI_FAULT_REMOVE, SDHCI_FAULT_DEAD,
                                                  SDHCI_FAULT_STUCK};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(kinds); i++) {
        for (u32 phase = 0; phase < SDHCI_PHASE_COUNT; phase++) {
            for (u32 variant = 0; variant < 16; variant++) {
                bool write = variant & 1;
                struct sdhci_fault fault = {
                    .kind = kinds[i],
                    .phase = phase,
                    .command = write ? 25 : 18,
                    .times = variant & 8 ? 1000 : 1,
                    .card_saw = phase == SDHCI_PHASE_COMMAND && (i & 1),
                };

                one_case(variant & 2 ? CARD_EMMC : CARD_SD, variant & 4,
                         write ? BLK_WRITE : BLK_READ, &fault);
            }
        }
    }
    assert_int_equal(tally.missed, 0);
    said("silence, loss, removal, death, stuck lines");
}

/** One fault in an identification: a card or a clear no, in bounded time; then a card. */
static void identify_case(enum card_kind kind, const struct sdhci_fault *fault)
{
    u64 begun_ns;
    enum status st;

    rig_mmc_init(&rig,
                 &(struct rig_mmc_setup){.kind = kind, .sectors = SECTORS, .arena_bytes = ARENA});
    rig.log.quiet = true;
    mmc_init(&card, &rig.sdhci.host, "rig");
    rig.model.fault = *fault;
    begun_ns = port_host_now_ns;
    mmc_identify(&card);
    st = rig_mmc_card_run(&card);
    tally.cases++;
    tally.hit += rig.model.faults_hit > 0;
    tally.recovered += st == ST_OK;
    tally.refused += st != ST_OK;
    if (port_host_now_ns - begun_ns > tally.longest_ns) {
        tally.longest_ns = port_host_now_ns - begun_ns;
    }
    if (rig.log.complaints > 0) {
        fail_msg("CMD%u bits 0x%08x kind %u: %s", fault->command, fault->bits, fault->kind,
                 rig.log.last);
    }
    if (fault->kind == SDHCI_FAULT_ERROR && fault->times == 1 && st != ST_OK) {
        fail_msg("CMD%u bits 0x%08x: not recovered from: %s", fault->command, fault->bits,
                 status_name(st));
    }
    rig.model.fault.kind = SDHCI_FAULT_NONE;
    rig.model.dead = rig.model.stuck = false;
    if (!rig.model.card) {
        sdhci_model_insert(&rig.model, &rig.card);
    }
    card.barred = 0;
    mmc_identify(&card);
    assert_int_equal(rig_mmc_card_run(&card), ST_OK);
    rig_mmc_done(&rig);
}

static void every_step_of_an_identification(void **state)
{
    static const u32 sd[] = {
        0, 8, 55, SDHCI_ACMD(41), 11, 2, 3, 9, 7, SDHCI_ACMD(51), SDHCI_ACMD(13), SDHCI_ACMD(6),
        6, 13};
    static const u32 emmc[] = {0, 1, 2, 3, 9, 7, 8, 6, 13};

    (void)state;
    for (u32 kind = CARD_SD; kind <= CARD_EMMC; kind++) {
        const u32 *commands = kind == CARD_SD ? sd : emmc;
        u32 count = kind == CARD_SD ? ARRAY_LEN(sd) : ARRAY_LEN(emmc);

        for (u32 i = 0; i < count; i++) {
            for (u32 what = 0; what < 9; what++) {
                struct sdhci_fault fault = {.kind = SDHCI_FAULT_ERROR,
                                            .bits = 1u << (16 + what % 4),
                                            .command = commands[i],
                                            .times = what < 4 ? 1 : 1000};

                if (what == 8) {
                    fault.kind = SDHCI_FAULT_SILENT;
                    fault.times = 1;
                } else if (what == 7) {
                    fault.kind = SDHCI_FAULT_DEAD;
                } else if (what == 6) {
                    fault.kind = SDHCI_FAULT_REMOVE;
                }
                identify_case(kind, &fault);
            }
        }
    }
    assert_true(tally.hit > 190);
    said("identification");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_bit_at_every_phase),
        cmocka_unit_test(silence_loss_removal_death_and_stuck_lines),
        cmocka_unit_test(every_step_of_an_identification),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
