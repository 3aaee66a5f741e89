/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mmc.c - cards of both kinds in every mode there is: identified, written, read, erased,
 * flushed, and what happens when a mode, a switch or a card does not keep its word.
 */
#include "drivers/mmc/mmc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/port_host.h"
#include "tests/fake/rig_mmc.h"

#define MODE(name) (1u << CARD_MODE_##name)

static struct rig_mmc rig;
static struct mmc_card card;

static void ready(const struct rig_mmc_setup *setup)
{
    rig_mmc_init(&rig, setup);
    mmc_init(&card, &rig.sdhci.host, "rig");
}

static enum status identify(void)
{
    mmc_identify(&card);
    return rig_mmc_card_run(&card);
}

static int ended_clean(void **state)
{
    int bad = rig.log.complaints > 0 && !rig.log.quiet;

    (void)state;
    if (bad) {
        fprintf(stderr, "# %u complaints, the last: %s\n", rig.log.complaints, rig.log.last);
    }
    rig_mmc_done(&rig);
    return bad;
}

static enum status work(enum mmc_op op, u64 sector, u64 sectors, const struct span *span)
{
    const struct mmc_io io = {
        .op = op, .sector = sector, .sectors = sectors, .spans = span, .span_count = span ? 1 : 0};

    mmc_start(&card, &io);
    return rig_mmc_card_run(&card);
}

/** Write, look at the image, read back; one sector and many. */
static void round_trip(void)
{
    static u8 wanted[64 * 512];
    struct span span = rig_mmc_span(0x1000, 64 * 512);
    struct span one = rig_mmc_span(0x40000, 512);

    rig_mmc_pattern(wanted, 9, 64, 77);
    memcpy(span.base, wanted, sizeof(wanted));
    assert_int_equal(work(MMC_WRITE, 200, 64, &span), ST_OK);
    assert_memory_equal(rig.image + 200 * 512, wanted, sizeof(wanted));
    memset(span.base, 0, sizeof(wanted));
    assert_int_equal(work(MMC_READ, 200, 64, &span), ST_OK);
    assert_memory_equal(span.base, wanted, sizeof(wanted));
    assert_int_equal(work(MMC_READ, 3, 1, &one), ST_OK);
    assert_memory_equal(one.base, rig.image + 3 * 512, 512);
    memset(one.base, 0x3c, 512);
    assert_int_equal(work(MMC_WRITE, rig.card.sectors - 1, 1, &one), ST_OK);
    assert_int_equal(rig.image[(rig.card.sectors - 1) * 512 + 511], 0x3c);
    assert_int_equal(card.retries, 0);
}

struct mode_case {
    enum card_kind kind;
    u32 modes, version, quirks;
    enum mmc_timing timing;
    enum card_mode mode;
    u32 width, hz;
};

#define UHS (MODE(SDR12) | MODE(SDR25) | MODE(HS))

static const struct mode_case cases[] = {
    {CARD_SD, 0, 5, 0, MMC_TIMING_LEGACY, CARD_MODE_DS, 4, 25000000},
    {CARD_SD, MODE(HS), 5, 0, MMC_TIMING_HS, CARD_MODE_HS, 4, 50000000},
    {CARD_SD, MODE(HS), 1, 0, MMC_TIMING_HS, CARD_MODE_HS, 4, 50000000},
    {CARD_SD, UHS | MODE(SDR50) | MODE(DDR50), 5, 0, MMC_TIMING_SDR50, CARD_MODE_SDR50, 4,
     100000000},
    {CARD_SD, UHS | MODE(DDR50), 5, 0, MMC_TIMING_DDR50, CARD_MODE_DDR50, 4, 50000000},
    {CARD_SD, ~0u, 5, 0, MMC_TIMING_SDR104, CARD_MODE_SDR104, 4, 200000000},
    {CARD_SD, ~0u, 2, 0, MMC_TIMING_SDR104, CARD_MODE_SDR104, 4, 200000000},
    {CARD_SD, ~0u, 5, SDHCI_QUIRK_NO_1V8, MMC_TIMING_HS, CARD_MODE_HS, 4, 50000000},
    {CARD_SD, UHS | MODE(DDR50) | MODE(SDR50), 5, SDHCI_QUIRK_NO_DDR50, MMC_TIMING_SDR50,
     CARD_MODE_SDR50, 4, 100000000},
    {CARD_EMMC, 0, 5, 0, MMC_TIMING_LEGACY, CARD_MODE_DS, 8, 25000000},
    {CARD_EMMC, MODE(HS), 5, 0, MMC_TIMING_HS, CARD_MODE_HS, 8, 50000000},
    {CARD_EMMC, MODE(HS) | MODE(MMC_DDR52), 5, 0, MMC_TIMING_DDR52, CARD_MODE_MMC_DDR52, 8,
     50000000},
    {CARD_EMMC, MODE(HS) | MODE(MMC_HS200), 5, 0, MMC_TIMING_HS200, CARD_MODE_MMC_HS200, 8,
     200000000},
    {CARD_EMMC, ~0u, 5, 0, MMC_TIMING_HS400, CARD_MODE_MMC_HS400, 8, 200000000},
    {CARD_EMMC, ~0u, 5, SDHCI_QUIRK_ARASAN_STROBE, MMC_TIMING_HS400, CARD_MODE_MMC_HS400, 8,
     200000000},
    {CARD_EMMC, ~0u, 2, 0, MMC_TIMING_HS400, CARD_MODE_MMC_HS400, 8, 200000000},
    {CARD_EMMC, ~0u, 1, 0, MMC_TIMING_HS, CARD_MODE_HS, 8, 50000000},
};

/* [SD-PHY] 4.2, 4.3.10, [EMMC] 6.4, 6.6: each mode is reached, without a break of the protocol. */
static void each_mode_is_reached_and_moves_data(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
        const struct mode_case *c = &cases[i];

        ready(&(struct rig_mmc_setup){.kind = c->kind, .version = c->version, .quirks = c->quirks});
        rig.card.modes = c->modes;
        assert_int_equal(identify(), ST_OK);
        assert_int_equal(card.kind == MMC_KIND_EMMC, c->kind == CARD_EMMC);
        assert_int_equal(card.timing, c->timing);
        assert_int_equal(rig.card.mode, c->mode);
        assert_int_equal(rig.card.width, c->width);
        assert_int_equal(rig.model.bus.clock_hz, c->hz);
        assert_int_equal(card.sectors, RIG_MMC_SECTORS);
        assert_int_equal(card.strobe, (c->quirks & SDHCI_QUIRK_ARASAN_STROBE) != 0);
        round_trip();
        assert_int_equal(card.degradations, 0);
        assert_int_equal(rig.log.complaints, 0);
        if (i + 1 < ARRAY_LEN(cases)) {
            rig_mmc_done(&rig);
        }
    }
}

static void cards_of_standard_capacity_are_addressed_by_byte(void **state)
{
    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.high_capacity = false;
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(card.sectors, RIG_MMC_SECTORS);
    assert_int_equal(card.timing, MMC_TIMING_HS);
    round_trip();
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.high_capacity = false;
    rig.card.version_1 = true;
    rig.card.cmd23 = false;
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(card.timing, MMC_TIMING_LEGACY);
    round_trip();
}

/* [SD-PHY] 4.2.4.2: a switch that fails is followed by a power cycle and 3.3 V. */
static void a_card_that_does_not_switch_runs_at_3v3(void **state)
{
    (void)state;
    for (u32 i = 0; i < 3; i++) {
        ready(&(struct rig_mmc_setup){.kind = CARD_SD});
        rig.card.no_1v8_begin = i == 0;  /* the lines are not held low */
        rig.model.no_regulator = i == 1; /* the voltage does not come down */
        rig.card.no_1v8_switch = i == 2; /* the lines are not let go */
        assert_int_equal(identify(), ST_OK);
        assert_int_equal(card.timing, MMC_TIMING_HS);
        assert_int_equal(card.identifications, 2);
        assert_false(rig.model.bus.signal_1v8);
        round_trip();
        assert_int_equal(rig.log.complaints, 0);
        if (i < 2) {
            rig_mmc_done(&rig);
        }
    }
}

static void a_mode_without_a_sampling_point_is_left(void **state)
{
    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.model.tune_after = 41;
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(card.timing, MMC_TIMING_DDR50); /* SDR50 wants tuning here too */
    round_trip();
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    rig.model.tune_after = 41;
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(card.timing, MMC_TIMING_DDR52);
    round_trip();
}

/* A sampling point that drifts away is found again, and the request goes on. */
static void a_lost_sampling_point_is_found_again(void **state)
{
    struct span span;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_int_equal(identify(), ST_OK);
    span = rig_mmc_span(0, 4096);
    rig.model.bus.tuned_wrong = true;
    rig.card.bus.tuned_wrong = true;
    assert_int_equal(work(MMC_READ, 16, 8, &span), ST_OK);
    assert_memory_equal(span.base, rig.image + 16 * 512, 4096);
    assert_int_equal(card.retries, 1);
    assert_int_equal(card.timing, MMC_TIMING_SDR104);
}

static void erase_does_what_the_card_really_does(void **state)
{
    (void)state;
    for (u32 kind = CARD_SD; kind <= CARD_EMMC; kind++) {
        ready(&(struct rig_mmc_setup){.kind = kind});
        assert_int_equal(identify(), ST_OK);
        assert_true(card.discard && card.erased_zero);
        assert_int_equal(card.secure_erase, kind == CARD_EMMC);
        assert_int_equal(work(MMC_ZERO, 1001, 7, NULL), ST_OK);
        for (u32 i = 0; i < 7 * 512; i++) {
            assert_int_equal(rig.image[1001 * 512 + i], 0);
        }
        assert_int_not_equal(rig.image[1000 * 512 + 4], 0);
        assert_int_not_equal(rig.image[1008 * 512 + 4], 0);
        assert_int_equal(work(MMC_DISCARD, 2000, 1000, NULL), ST_OK);
        assert_int_equal(rig.card.erases, 2);
        if (kind == CARD_SD) {
            rig_mmc_done(&rig);
        }
    }
    assert_int_equal(work(MMC_SECURE, 4000, 10, NULL), ST_OK);
    assert_int_equal(rig.card.secure_erases, 2);
}

/* [SD-HOST] 2.2.15: the controller counts to 2.7 s; what may take longer is timed by us alone. */
static void an_erase_may_take_longer_than_the_controller_can_count(void **state)
{
    u32 enabled;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    assert_int_equal(identify(), ST_OK);
    rig.card.erase_ns = UINT64_C(20000000000);
    assert_int_equal(work(MMC_DISCARD, 0, 64, NULL), ST_OK);
    assert_int_equal(card.retries, 0);
    memcpy(&enabled, rig.model.reg + 0x34, 4);
    assert_true(enabled & 1u << 20); /* and counts again */
}

static void a_card_that_erases_to_ones_offers_no_zeroes(void **state)
{
    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.erased_ones = true;
    assert_int_equal(identify(), ST_OK);
    assert_false(card.erased_zero);
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    rig.card.erased_ones = true;
    assert_int_equal(identify(), ST_OK);
    assert_false(card.erased_zero);
}

/* [EMMC] 6.6.34: what only the cache holds is lost with the power, and kept by a flush. */
static void a_flush_reaches_the_card_and_keeps_what_was_written(void **state)
{
    struct span span;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    assert_int_equal(identify(), ST_OK);
    assert_true(card.cache);
    span = rig_mmc_span(0, 4096);
    memset(span.base, 0x61, 4096);
    assert_int_equal(work(MMC_WRITE, 0, 8, &span), ST_OK);
    assert_int_not_equal(rig.stable[0], 0x61);
    assert_int_equal(work(MMC_FLUSH, 0, 0, NULL), ST_OK);
    assert_int_equal(rig.stable[4095], 0x61);
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_int_equal(identify(), ST_OK);
    assert_false(card.cache);
    assert_int_equal(work(MMC_FLUSH, 0, 0, NULL), ST_OK);
}

/* An error of programming is told after the write only: it must not be missed. */
static void a_sector_that_cannot_be_programmed_is_an_error(void **state)
{
    struct span span;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_int_equal(identify(), ST_OK);
    span = rig_mmc_span(0, 4096);
    rig.card.bad_sector = 10;
    assert_int_equal(work(MMC_WRITE, 8, 8, &span), ST_IO);
    assert_int_equal(work(MMC_WRITE, 16, 8, &span), ST_OK);
    assert_int_not_equal(work(MMC_READ, 8, 8, &span), ST_OK);
    assert_int_equal(work(MMC_READ, 16, 8, &span), ST_OK);
}

static void write_protection_is_known_and_told(void **state)
{
    struct span span;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.model.slide_switch_locked = true;
    assert_int_equal(identify(), ST_OK);
    assert_true(card.read_only);
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_int_equal(identify(), ST_OK);
    assert_false(card.read_only);
    span = rig_mmc_span(0, 512);
    rig.card.write_protected = true;
    assert_int_equal(work(MMC_WRITE, 8, 1, &span), ST_ACCES);
    assert_int_equal(work(MMC_READ, 8, 1, &span), ST_OK);
}

static void an_empty_slot_and_a_mute_card_are_told(void **state)
{
    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    sdhci_model_remove(&rig.model);
    assert_int_equal(identify(), ST_NODEV);
    assert_int_equal(card.state, MMC_ABSENT);
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.power_up_ns = UINT64_MAX / 2;
    assert_int_equal(identify(), ST_TIMEOUT);
    assert_int_equal(card.state, MMC_ABSENT);
}

static void the_same_card_may_come_back_and_another_may_not(void **state)
{
    struct span span;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_int_equal(identify(), ST_OK);
    span = rig_mmc_span(0, 4096);
    sdhci_model_remove(&rig.model);
    assert_int_equal(work(MMC_READ, 0, 8, &span), ST_NODEV);
    sdhci_model_insert(&rig.model, &rig.card);
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(work(MMC_READ, 0, 8, &span), ST_OK);
    sdhci_model_remove(&rig.model);
    rig.card.serial++;
    sdhci_model_insert(&rig.model, &rig.card);
    assert_int_equal(work(MMC_READ, 0, 8, &span), ST_NODEV);
    assert_int_equal(identify(), ST_NODEV);
    assert_true(card.other_card);
}

static void what_an_emmc_tells_of_itself_is_kept(void **state)
{
    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    assert_int_equal(identify(), ST_OK);
    assert_int_equal(card.life_a, 3);
    assert_int_equal(card.life_b, 2);
    assert_int_equal(card.pre_eol, 1);
    assert_int_equal(card.boot_sectors, MIB(4) / 512);
    assert_int_equal(card.rpmb_sectors, MIB(4) / 512);
    assert_int_equal(rig.card.ext_csd[34], 1);
    assert_string_equal(mmc_timing_name(card.timing), "HS400");
}

#define CASE(name) cmocka_unit_test_teardown(name, ended_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_mode_is_reached_and_moves_data),
        CASE(cards_of_standard_capacity_are_addressed_by_byte),
        CASE(a_card_that_does_not_switch_runs_at_3v3),
        CASE(a_mode_without_a_sampling_point_is_left),
        CASE(a_lost_sampling_point_is_found_again),
        CASE(erase_does_what_the_card_really_does),
        CASE(an_erase_may_take_longer_than_the_controller_can_count),
        CASE(a_card_that_erases_to_ones_offers_no_zeroes),
        CASE(a_flush_reaches_the_card_and_keeps_what_was_written),
        CASE(a_sector_that_cannot_be_programmed_is_an_error),
        CASE(write_protection_is_known_and_told),
        CASE(an_empty_slot_and_a_mute_card_are_told),
        CASE(the_same_card_may_come_back_and_another_may_not),
        CASE(what_an_emmc_tells_of_itself_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
