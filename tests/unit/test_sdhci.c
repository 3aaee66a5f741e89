/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_sdhci.c - the controller without a card stack: power, clock, commands, data by every way
 * there is, resets and errors. The card is brought up by hand.
 */
#include "drivers/mmc/sdhci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fake/mmio_host.h"
#include "tests/fake/port_host.h"
#include "tests/fake/rig_mmc.h"

#define LIMIT_NS UINT64_C(1000000000)

static struct rig_mmc rig;

static struct mmc_request command(u8 index, u32 arg, enum mmc_resp resp)
{
    return (struct mmc_request){.index = index, .arg = arg, .resp = resp, .limit_ns = LIMIT_NS};
}

static enum status send(struct mmc_request *req)
{
    return rig_mmc_run(&rig, rig.sdhci.host.ops->start(&rig.sdhci.host, req));
}

static enum status send_plain(u8 index, u32 arg, enum mmc_resp resp, u32 *response)
{
    struct mmc_request req = command(index, arg, resp);
    enum status st = send(&req);

    if (response) {
        *response = req.response[0];
    }
    return st;
}

static enum status ios(u32 clock_hz, u32 width, enum mmc_timing timing)
{
    const struct mmc_ios wanted = {
        .clock_hz = clock_hz, .width = width, .timing = timing, .power = true};

    return rig_mmc_run(&rig, rig.sdhci.host.ops->set_ios(&rig.sdhci.host, &wanted));
}

/** Reset, power, and an SD card by hand until it is selected. */
static void bring_up(const struct rig_mmc_setup *setup)
{
    struct mmc_request op_cond = command(41, 0x40300000, MMC_RESP_R3);
    u32 rca;

    rig_mmc_init(&rig, setup);
    assert_int_equal(rig_mmc_run(&rig, rig.sdhci.host.ops->reset(&rig.sdhci.host)), ST_OK);
    assert_int_equal(ios(400000, 1, MMC_TIMING_LEGACY), ST_OK);
    port_host_now_ns += 2000000;
    assert_int_equal(send_plain(0, 0, MMC_RESP_NONE, NULL), ST_OK);
    assert_int_equal(send_plain(8, 0x1aa, MMC_RESP_R1, NULL), ST_OK);
    op_cond.app = true;
    for (u32 i = 0; i < 200 && !(op_cond.response[0] >> 31); i++) {
        assert_int_equal(send(&op_cond), ST_OK);
        port_host_now_ns += 1000000;
    }
    assert_true(op_cond.response[0] >> 31);
    assert_int_equal(send_plain(2, 0, MMC_RESP_R2, NULL), ST_OK);
    assert_int_equal(send_plain(3, 0, MMC_RESP_R1, &rca), ST_OK);
    assert_int_equal(send_plain(7, rca & 0xffff0000, MMC_RESP_R1B, NULL), ST_OK);
    assert_int_equal(ios(25000000, 1, MMC_TIMING_LEGACY), ST_OK);
}

static enum status transfer(bool write, u32 sector, u32 sectors, const struct span *spans,
                            u32 count, struct mmc_request *out)
{
    struct mmc_request req = {
        .index = (u8)(sectors > 1 ? (write ? 25 : 18) : (write ? 24 : 17)),
        .arg = sector,
        .resp = MMC_RESP_R1,
        .counted = true,
        .limit_ns = LIMIT_NS,
        .write = write,
        .block_bytes = 512,
        .blocks = sectors,
        .spans = spans,
        .span_count = count,
    };
    enum status st = send(&req);

    if (out) {
        *out = req;
    }
    return st;
}

static int ended_clean(void **state)
{
    (void)state;
    if (rig.log.complaints > 0) {
        fprintf(stderr, "# %u complaints, the last: %s\n", rig.log.complaints, rig.log.last);
    }
    int bad = rig.log.complaints > 0 && !rig.log.quiet;

    rig_mmc_done(&rig);
    return bad;
}

/** Write and read back one sector, and many of them in spans of several cuts. */
static void moves_data(void)
{
    static u8 wanted[MIB(1)];
    struct span spans[] = {rig_mmc_span(0x1000, 4096), rig_mmc_span(0x2000, 512),
                           rig_mmc_span(0x8000, 4096 * 3)};
    struct span one = rig_mmc_span(0x20000, 512);
    bool single_span = rig.sdhci.host.caps.span_max == 1;
    struct span whole = rig_mmc_span(0x1000, 33 * 512);
    u32 count = single_span ? 1 : 3;
    const struct span *use = single_span ? &whole : spans;

    for (u32 i = 0, at = 0; i < count; at += use[i].bytes, i++) {
        rig_mmc_pattern(use[i].base, at / 512, use[i].bytes / 512, 7);
        memcpy(wanted + at, use[i].base, use[i].bytes);
    }
    assert_int_equal(transfer(true, 100, 33, use, count, NULL), ST_OK);
    port_host_now_ns += 10000000;
    assert_memory_equal(rig.image + 100 * 512, wanted, 33 * 512);
    for (u32 i = 0; i < count; i++) {
        memset(use[i].base, 0xee, use[i].bytes);
    }
    assert_int_equal(transfer(false, 100, 33, use, count, NULL), ST_OK);
    for (u32 i = 0, at = 0; i < count; at += use[i].bytes, i++) {
        assert_memory_equal(use[i].base, wanted + at, use[i].bytes);
        assert_int_equal(
            dma_host_stale(use[i].base, use[i].bytes),
            rig.sdhci.dma == SDHCI_PORT_ONLY ? dma_host_stale(use[i].base, use[i].bytes) : 0);
    }
    memset(one.base, 0xdd, 512);
    assert_int_equal(transfer(true, 5, 1, &one, 1, NULL), ST_OK);
    port_host_now_ns += 10000000;
    assert_int_equal(rig.image[5 * 512], 0xdd);
    memset(one.base, 0, 512);
    assert_int_equal(transfer(false, 5, 1, &one, 1, NULL), ST_OK);
    assert_memory_equal(one.base, rig.image + 5 * 512, 512);
    assert_int_equal(rig.card.state, CARD_TRAN);
}

static void data_by_port(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.no_dma = true});
    moves_data();
    assert_true(rig.model.port_bytes > 0 && rig.model.dma_bytes == 0);
}

static void data_by_port_on_version_2(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.no_dma = true, .version = 1});
    moves_data();
}

static void data_by_sdma(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.no_adma = true, .version = 2});
    assert_int_equal(rig.sdhci.dma, SDHCI_SDMA);
    moves_data();
    assert_true(rig.model.dma_bytes > 0 && rig.model.descriptors == 0);
}

static void data_by_sdma_in_version_4_mode(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.no_adma = true, .bus = 0x7ffff0000});
    moves_data();
}

/* [SD-HOST] 2.2.2: SDMA stops at each boundary and goes on when its address is written. */
static void sdma_goes_on_behind_each_boundary(void **state)
{
    struct span span;

    (void)state;
    for (u32 version = 2; version <= 5; version += 3) {
        bring_up(&(struct rig_mmc_setup){.no_adma = true, .version = version});
        span = rig_mmc_span(KIB(300), (u32)MIB(2));
        assert_int_equal(transfer(false, 64, (u32)MIB(2) / 512, &span, 1, NULL), ST_OK);
        assert_memory_equal(span.base, rig.image + 64 * 512, MIB(2));
        assert_int_equal(rig.log.complaints, 0);
        if (version == 2) {
            rig_mmc_done(&rig);
        }
    }
}

static void data_by_adma2_of_8_bytes(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.version = 1});
    assert_int_equal(rig.sdhci.format, ADMA2_32);
    moves_data();
    assert_true(rig.model.descriptors > 0);
}

static void data_by_adma2_of_12_bytes(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.version = 2, .bus = 0x1240000000});
    assert_int_equal(rig.sdhci.format, ADMA2_64_V3);
    moves_data();
}

static void data_by_adma2_of_16_bytes(void **state)
{
    (void)state;
    for (u32 version = 3; version <= 5; version++) {
        bring_up(&(struct rig_mmc_setup){.version = version, .bus = 0x1240000000});
        assert_int_equal(rig.sdhci.format, ADMA2_64_V4);
        assert_true(rig.sdhci.v4);
        moves_data();
        assert_int_equal(rig.log.complaints, 0);
        if (version < 5) {
            rig_mmc_done(&rig);
        }
    }
}

/* Version 4 mode is taken only when its bits can be read back. */
static void bits_of_version_4_that_do_not_stick_are_not_used(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){0});
    rig_mmc_done(&rig);
    rig_mmc_init(&rig, &(struct rig_mmc_setup){0});
    rig.model.no_v4 = true;
    assert_int_equal(rig_mmc_run(&rig, rig.sdhci.host.ops->reset(&rig.sdhci.host)), ST_OK);
    assert_false(rig.sdhci.v4);
    assert_int_equal(rig.sdhci.format, ADMA2_64_V3);
}

static void transfers_end_by_commands_of_our_own_where_the_controller_cannot(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.quirks = SDHCI_QUIRK_NO_AUTO_CMD23});
    moves_data(); /* by Auto CMD12 */
    assert_int_equal(rig.card.stops, 2);
    rig_mmc_done(&rig);
    bring_up(
        &(struct rig_mmc_setup){.quirks = SDHCI_QUIRK_NO_AUTO_CMD23 | SDHCI_QUIRK_NO_AUTO_CMD12});
    moves_data(); /* by CMD23 */
    assert_int_equal(rig.card.stops, 0);
}

static void a_transfer_without_count_is_stopped_by_hand(void **state)
{
    struct span span = {0};
    struct mmc_request req;

    (void)state;
    bring_up(
        &(struct rig_mmc_setup){.quirks = SDHCI_QUIRK_NO_AUTO_CMD23 | SDHCI_QUIRK_NO_AUTO_CMD12});
    span = rig_mmc_span(0, 4096);
    req = (struct mmc_request){.index = 18,
                               .arg = 8,
                               .resp = MMC_RESP_R1,
                               .limit_ns = LIMIT_NS,
                               .block_bytes = 512,
                               .blocks = 8,
                               .spans = &span,
                               .span_count = 1};
    assert_int_equal(send(&req), ST_OK);
    assert_memory_equal(span.base, rig.image + 8 * 512, 4096);
    assert_int_equal(rig.card.stops, 1);
    assert_true(req.stop_response & 0x1e00);
}

/* [SD-HOST] 2.2.14: the clock is never above what was asked for, and near it. */
static void dividers_come_near_and_stay_below(void **state)
{
    static const u32 wanted[] = {400000, 25000000, 50000000, 100000000, 208000000, 52000000};

    (void)state;
    for (u32 version = 1; version <= 5; version++) {
        bring_up(&(struct rig_mmc_setup){.version = version});
        rig.log.quiet = true; /* the card stays in default speed */
        for (u32 i = 0; i < ARRAY_LEN(wanted); i++) {
            u32 base_hz = version == 1 ? 50000000 : 200000000;
            u32 best_hz = wanted[i] < base_hz ? wanted[i] : base_hz;

            assert_int_equal(ios(wanted[i], 1, MMC_TIMING_LEGACY), ST_OK);
            assert_true(rig.model.bus.clock_hz <= best_hz);
            assert_true(rig.model.bus.clock_hz > best_hz / 2);
        }
        if (version < 5) {
            rig_mmc_done(&rig);
        }
    }
}

static void a_clock_multiplier_is_used(void **state)
{
    (void)state;
    bring_up(&(struct rig_mmc_setup){.version = 2});
    rig.model.caps_2 |= 3 << 16; /* times four */
    assert_int_equal(rig_mmc_driver(&rig, &(struct rig_mmc_setup){.version = 2}), ST_OK);
    assert_int_equal(rig_mmc_run(&rig, rig.sdhci.host.ops->reset(&rig.sdhci.host)), ST_OK);
    assert_int_equal(ios(26000000, 1, MMC_TIMING_LEGACY), ST_OK);
    assert_in_range(rig.model.bus.clock_hz, 24000000, 26000000);
}

/* Every way in which the silence of a card or a controller can look ends, and says what it is. */
static void silence_ends_with_a_status(void **state)
{
    struct span span;
    u64 before_ns;

    (void)state;
    bring_up(&(struct rig_mmc_setup){0});
    span = rig_mmc_span(0, 4096);
    assert_int_equal(send_plain(63, 0, MMC_RESP_R1, NULL), ST_TIMEOUT); /* no such command */
    assert_int_equal(send_plain(13, rig.card.rca << 16, MMC_RESP_R1, NULL), ST_OK);
    rig.model.fault = (struct sdhci_fault){
        .kind = SDHCI_FAULT_LOST, .phase = SDHCI_PHASE_WITH_COMPLETE, .command = 18, .times = 1};
    before_ns = port_host_now_ns;
    assert_int_equal(transfer(false, 0, 8, &span, 1, NULL), ST_TIMEOUT);
    assert_in_range(port_host_now_ns - before_ns, LIMIT_NS, 2 * LIMIT_NS);
    rig.model.stuck = true;
    assert_int_equal(send_plain(13, rig.card.rca << 16, MMC_RESP_R1, NULL), ST_IO);
    rig.model.stuck = false;
    rig.model.dead = true;
    assert_int_equal(send_plain(13, rig.card.rca << 16, MMC_RESP_R1, NULL), ST_NODEV);
    assert_false(rig.sdhci.host.ops->present(&rig.sdhci.host));
    rig.model.dead = false;
    sdhci_model_remove(&rig.model);
    assert_false(rig.sdhci.host.ops->present(&rig.sdhci.host));
    assert_int_equal(send_plain(13, 0, MMC_RESP_R1, NULL), ST_NODEV);
}

/* [SD-HOST] 3.10: an error is told, the lines are reset, and the bus works again. */
static void an_error_wins_over_a_completion(void **state)
{
    static const struct {
        u32 bit;
        enum status st;
    } errors[] = {{20, ST_TIMEOUT}, {21, ST_CRC}, {22, ST_CRC}, {23, ST_IO}, {24, ST_IO},
                  {25, ST_IO},      {26, ST_CRC}, {27, ST_IO},  {28, ST_IO}};
    struct span span;

    (void)state;
    bring_up(&(struct rig_mmc_setup){0});
    span = rig_mmc_span(0, 4096);
    for (u32 i = 0; i < ARRAY_LEN(errors); i++) {
        struct mmc_request req;

        rig.model.fault = (struct sdhci_fault){.kind = SDHCI_FAULT_ERROR,
                                               .phase = SDHCI_PHASE_WITH_COMPLETE,
                                               .bits = 1u << errors[i].bit,
                                               .command = 18,
                                               .times = 1};
        assert_int_equal(transfer(false, 0, 8, &span, 1, &req), errors[i].st);
        assert_int_equal(req.where, MMC_AT_DATA);
        assert_int_equal(transfer(false, 0, 8, &span, 1, NULL), ST_OK);
    }
    assert_int_equal(rig.sdhci.data_errors, ARRAY_LEN(errors));
}

/* The card's refusal in its R1 ends a transfer at once: no data is waited for. */
static void a_refusal_in_the_response_ends_the_transfer(void **state)
{
    struct span span;
    struct mmc_request req;
    u64 before_ns;

    (void)state;
    bring_up(&(struct rig_mmc_setup){0});
    span = rig_mmc_span(0, 4096);
    before_ns = port_host_now_ns;
    assert_int_equal(transfer(false, RIG_MMC_SECTORS, 8, &span, 1, &req), ST_IO);
    assert_true(req.response[0] >> 31);
    assert_true(port_host_now_ns - before_ns < 1000000);
}

static void what_the_controller_cannot_reach_is_refused_unsent(void **state)
{
    struct span span;
    u64 commands;

    (void)state;
    bring_up(&(struct rig_mmc_setup){.version = 1});
    span = rig_mmc_span(0, 512);
    commands = rig.card.commands;
    span.bus = BIT64(32);
    assert_int_equal(transfer(true, 0, 1, &span, 1, NULL), ST_RANGE);
    span.bus = 2;
    assert_int_equal(transfer(true, 0, 1, &span, 1, NULL), ST_INVAL);
    assert_int_equal(rig.card.commands, commands);
}

static u64 ready_for_ever(void *model, u64 offset, u32 width)
{
    return sdhci_model_read(model, offset, width) | (offset == 0x30 ? 0x20 : 0);
}

/* Found by fuzzing: a status that always says something new must not put the deadline off. */
static void a_status_that_never_rests_has_a_deadline_too(void **state)
{
    struct span span;
    u64 before_ns;

    (void)state;
    bring_up(&(struct rig_mmc_setup){.no_dma = true});
    rig.log.quiet = true;
    span = rig_mmc_span(0, 512);
    mmio_host_reset();
    mmio_host_add(&(struct mmio_model){RIG_MMC_BASE, SDHCI_MODEL_BYTES, ready_for_ever,
                                       sdhci_model_write, &rig.model});
    rig.model.fault = (struct sdhci_fault){
        .kind = SDHCI_FAULT_SILENT, .phase = SDHCI_PHASE_DATA_START, .command = 17, .times = 1};
    before_ns = port_host_now_ns;
    assert_int_equal(transfer(false, 0, 1, &span, 1, NULL), ST_TIMEOUT);
    assert_in_range(port_host_now_ns - before_ns, LIMIT_NS, 2 * LIMIT_NS);
}

/* Must show 5: an operation on the caches that is left out does not stay hidden. */
static void a_forgotten_cache_operation_is_seen(void **state)
{
    struct span span;

    (void)state;
    bring_up(&(struct rig_mmc_setup){0});
    rig.log.quiet = true;
    span = rig_mmc_span(0x1000, 4096);
    dma_host_forget_clean = true;
    memset(span.base, 0x77, 4096);
    transfer(true, 0, 8, &span, 1, NULL);
    assert_true(rig.log.complaints > 0);
    rig_mmc_done(&rig);
    bring_up(&(struct rig_mmc_setup){0});
    rig.log.quiet = true;
    span = rig_mmc_span(0x1000, 4096);
    dma_host_forget_invalidate = true;
    memset(span.base, 0x11, 4096);
    transfer(false, 0, 8, &span, 1, NULL);
    assert_true(rig.log.complaints > 0);
    assert_true(dma_host_stale(span.base, 4096) > 0);
}

static void nobody_at_the_address_is_said(void **state)
{
    (void)state;
    rig_mmc_init(&rig, &(struct rig_mmc_setup){0});
    rig.model.dead = true;
    assert_int_equal(rig_mmc_driver(&rig, &(struct rig_mmc_setup){0}), ST_NODEV);
    rig.model.dead = false;
    rig.model.caps &= ~0xff00u;
    assert_int_equal(rig_mmc_driver(&rig, &(struct rig_mmc_setup){0}), ST_NOSUP);
}

static void quirks_are_found_by_name(void **state)
{
    (void)state;
    rig_mmc_init(&rig, &(struct rig_mmc_setup){0});
    assert_true(sdhci_quirks_find("pci1b36,7") & SDHCI_QUIRK_NO_AUTO_CMD23);
    assert_true(sdhci_quirks_find("arasan,sdhci-5.1") & SDHCI_QUIRK_ARASAN_STROBE);
    assert_int_equal(sdhci_quirks_find("nobody,knows"), 0);
}

#define CASE(name) cmocka_unit_test_teardown(name, ended_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(data_by_port),
        CASE(data_by_port_on_version_2),
        CASE(data_by_sdma),
        CASE(data_by_sdma_in_version_4_mode),
        CASE(sdma_goes_on_behind_each_boundary),
        CASE(data_by_adma2_of_8_bytes),
        CASE(data_by_adma2_of_12_bytes),
        CASE(data_by_adma2_of_16_bytes),
        CASE(bits_of_version_4_that_do_not_stick_are_not_used),
        CASE(transfers_end_by_commands_of_our_own_where_the_controller_cannot),
        CASE(a_transfer_without_count_is_stopped_by_hand),
        CASE(dividers_come_near_and_stay_below),
        CASE(a_clock_multiplier_is_used),
        CASE(silence_ends_with_a_status),
        CASE(an_error_wins_over_a_completion),
        CASE(a_refusal_in_the_response_ends_the_transfer),
        CASE(what_the_controller_cannot_reach_is_refused_unsent),
        CASE(a_status_that_never_rests_has_a_deadline_too),
        CASE(a_forgotten_cache_operation_is_seen),
        CASE(nobody_at_the_address_is_said),
        CASE(quirks_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
