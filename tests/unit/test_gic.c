/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gic.c - what both versions must do, run over a model of each. */
#include "drivers/gic/gic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "drivers/gic/gic_regs.h"
#include "tests/model/gic.h"

#define TIMER  27
#define EVTCHN 31
#define SPI    40

static struct gic_model model;
static struct gic gic;

static struct gic_info info_for(u32 version)
{
    return (struct gic_info){
        .version = version,
        .dist_base = GIC_MODEL_DIST,
        .dist_bytes = 0x10000,
        .cpu_base = version == 2 ? GIC_MODEL_CPU : GIC_MODEL_REDIST,
        .cpu_bytes = version == 2 ? 0x2000 : 0x20000,
        .cpu_affinity = 0,
    };
}

static void start(u32 version)
{
    struct gic_info info = info_for(version);

    gic_model_init(&model, version);
    assert_int_equal(gic_init(&gic, &info), ST_OK);
}

static u32 version_of(void **state)
{
    return *(const u32 *)*state;
}

static void a_pending_line_is_acknowledged_once_and_ended(void **state)
{
    u32 timer, evtchn;

    start(version_of(state));
    assert_int_equal(gic_enable(&gic, TIMER, &timer), ST_OK);
    assert_int_equal(gic_enable(&gic, EVTCHN, &evtchn), ST_OK);
    model.edge[EVTCHN] = true;
    assert_int_equal(gic_drain(&gic), BIT32(evtchn));
    assert_int_equal(model.acknowledged, 1);
    assert_int_equal(model.ended, 1);
    model.edge[TIMER] = model.edge[EVTCHN] = true;
    assert_int_equal(gic_drain(&gic), BIT32(evtchn) | BIT32(timer));
    assert_int_equal(model.ended, 3);
    assert_int_equal(gic.line[evtchn].taken, 2);
    assert_int_equal(gic.spurious, 0);
}

/* [GICv2] 3.2.5, [GICv3] 2.2.1: 1023 says that there is nothing, and is never ended. */
static void nothing_pending_counts_as_spurious(void **state)
{
    start(version_of(state));
    assert_int_equal(gic_drain(&gic), 0);
    assert_int_equal(gic.spurious, 1);
    assert_int_equal(model.ended, 0);
}

static void a_line_nobody_enabled_is_ended_and_counted(void **state)
{
    start(version_of(state));
    model.enabled[EVTCHN] = model.group1[EVTCHN] = model.edge[EVTCHN] = true;
    assert_int_equal(gic_drain(&gic), 0);
    assert_int_equal(gic.unknown, 1);
    assert_int_equal(model.ended, 1);
}

static void a_line_that_stays_asserted_does_not_hold_the_drain(void **state)
{
    u32 line;

    start(version_of(state));
    assert_int_equal(gic_enable(&gic, TIMER, &line), ST_OK);
    model.level[TIMER] = true;
    assert_int_equal(gic_drain(&gic), BIT32(line));
    assert_int_equal(gic.drain_cut, 1);
    assert_int_equal(model.acknowledged, GIC_DRAIN_MAX);
    assert_int_equal(model.ended, GIC_DRAIN_MAX);
}

static void lines_left_enabled_by_a_loader_are_silenced(void **state)
{
    struct gic_info info = info_for(version_of(state));

    gic_model_init(&model, version_of(state));
    model.enabled[EVTCHN] = model.enabled[TIMER] = true;
    assert_int_equal(gic_init(&gic, &info), ST_OK);
    model.edge[EVTCHN] = model.edge[TIMER] = true;
    assert_int_equal(gic_drain(&gic), 0);
    assert_int_equal(model.acknowledged, 0);
}

static void lines_get_our_priority(void **state)
{
    u32 line;

    start(version_of(state));
    assert_int_equal(gic_enable(&gic, TIMER, &line), ST_OK);
    assert_int_equal(gic_enable(&gic, SPI, &line), ST_OK);
    assert_int_equal(model.priority[TIMER], GIC_PRIORITY);
    assert_int_equal(model.priority[SPI], GIC_PRIORITY);
}

static void a_shared_line_is_sent_to_this_cpu(void **state)
{
    u32 version = version_of(state);
    struct gic_info info = info_for(version);
    u32 line;

    gic_model_init(&model, version);
    model.mpidr = UINT64_C(0x0700080102) | BIT64(31);
    model.redist_typer[0] = UINT64_C(0x07080102) << 32 | GICR_TYPER_LAST;
    info.cpu_affinity = gic_cpu_affinity();
    assert_int_equal(gic_init(&gic, &info), ST_OK);
    assert_int_equal(gic_enable(&gic, SPI, &line), ST_OK);
    if (version == 2) {
        assert_int_equal(model.target[SPI], 0x04); /* as the private targets read */
    } else {
        assert_int_equal(model.router[SPI], UINT64_C(0x0700080102));
    }
    model.edge[SPI] = true;
    assert_int_equal(gic_drain(&gic), BIT32(line));
}

static void lines_beyond_the_hardware_or_the_table_are_refused(void **state)
{
    u32 line;

    start(version_of(state));
    assert_int_equal(gic_enable(&gic, GIC_MODEL_INTIDS, &line), ST_RANGE);
    assert_int_equal(gic_enable(&gic, 1023, &line), ST_RANGE);
    assert_int_equal(gic_enable(&gic, 15, &line), ST_RANGE);
    for (u32 i = 0; i < GIC_LINES_MAX; i++) {
        assert_int_equal(gic_enable(&gic, 16 + i, &line), ST_OK);
        assert_int_equal(line, i);
    }
    assert_int_equal(gic_enable(&gic, SPI, &line), ST_FULL);
}

static void windows_that_make_no_sense_are_refused(void **state)
{
    u32 version = version_of(state);
    struct gic_info info;

    gic_model_init(&model, version);
    info = info_for(version);
    info.version = 4;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
    info = info_for(version);
    info.dist_base = 0;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
    info = info_for(version);
    info.dist_base += 4;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
    info = info_for(version);
    info.cpu_bytes = 0x800;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
    info = info_for(version);
    info.cpu_base = UINT64_MAX - 0xfff;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
    info = info_for(version);
    info.redist_stride = 3;
    assert_int_equal(gic_init(&gic, &info), ST_INVAL);
}

/* --- version 3 only ----------------------------------------------------------------------------
 */
static void three_redistributors(u64 bytes, u64 flags)
{
    gic_model_init(&model, 3);
    model.redist_count = 3;
    model.redist_bytes = bytes;
    model.mpidr = 2;
    for (u64 i = 0; i < 3; i++) {
        model.redist_typer[i] = i << 32 | flags | (i == 2 ? GICR_TYPER_LAST : 0);
    }
}

static struct gic_info info_for_three(u64 affinity)
{
    struct gic_info info = info_for(3);

    info.cpu_affinity = affinity;
    info.cpu_bytes = GIC_MODEL_REDISTS * GICR_BYTES_VLPI;
    return info;
}

/* [GICv3] 12.10: frames follow each other every 128 KiB, 256 KiB with VLPIS, or as the tree says.
 */
static void the_redistributor_of_this_cpu_is_found(void **state)
{
    struct gic_info info = info_for_three(2);

    (void)state;
    three_redistributors(GICR_BYTES, 0);
    assert_int_equal(gic_init(&gic, &info), ST_OK);
    assert_int_equal(gic.redist_base, GIC_MODEL_REDIST + 2 * GICR_BYTES);
    three_redistributors(GICR_BYTES_VLPI, GICR_TYPER_VLPIS);
    assert_int_equal(gic_init(&gic, &info), ST_OK);
    assert_int_equal(gic.redist_base, GIC_MODEL_REDIST + 2 * GICR_BYTES_VLPI);
    three_redistributors(GICR_BYTES_VLPI, 0);
    info.redist_stride = GICR_BYTES_VLPI;
    assert_int_equal(gic_init(&gic, &info), ST_OK);
    assert_int_equal(gic.redist_base, GIC_MODEL_REDIST + 2 * GICR_BYTES_VLPI);
}

static void a_cpu_without_redistributor_is_refused(void **state)
{
    struct gic_info info = info_for_three(5);

    (void)state;
    three_redistributors(GICR_BYTES, 0);
    assert_int_equal(gic_init(&gic, &info), ST_NOENT); /* the last one says that it is */
    info = info_for_three(2);
    info.cpu_bytes = 2 * GICR_BYTES;
    three_redistributors(GICR_BYTES, 0);
    assert_int_equal(gic_init(&gic, &info), ST_NOENT); /* ours would lie outside of the window */
}

static void hardware_that_does_not_answer_ends_in_a_status(void **state)
{
    struct gic_info info = info_for(3);

    (void)state;
    gic_model_init(&model, 3);
    model.pidr2 = 0x2b;
    assert_int_equal(gic_init(&gic, &info), ST_NODEV);
    gic_model_init(&model, 3);
    model.sre_refused = true;
    assert_int_equal(gic_init(&gic, &info), ST_NODEV);
    gic_model_init(&model, 3);
    model.rwp_stuck = true;
    assert_int_equal(gic_init(&gic, &info), ST_TIMEOUT);
    gic_model_init(&model, 3);
    model.never_wakes = true;
    assert_int_equal(gic_init(&gic, &info), ST_TIMEOUT);
}

static void affinity_is_mpidr_without_its_flags(void **state)
{
    (void)state;
    gic_model_init(&model, 3);
    model.mpidr = UINT64_C(0x12c1345678);
    assert_int_equal(gic_cpu_affinity(), UINT64_C(0x1200345678));
}

static const u32 v2 = 2, v3 = 3;

#define ON(version, test) \
    ((struct CMUnitTest){#test " (" #version ")", test, NULL, NULL, (void *)&version})
#define BOTH(test) ON(v2, test), ON(v3, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_pending_line_is_acknowledged_once_and_ended),
        BOTH(nothing_pending_counts_as_spurious),
        BOTH(a_line_nobody_enabled_is_ended_and_counted),
        BOTH(a_line_that_stays_asserted_does_not_hold_the_drain),
        BOTH(lines_left_enabled_by_a_loader_are_silenced),
        BOTH(lines_get_our_priority),
        BOTH(a_shared_line_is_sent_to_this_cpu),
        BOTH(lines_beyond_the_hardware_or_the_table_are_refused),
        BOTH(windows_that_make_no_sense_are_refused),
        cmocka_unit_test(the_redistributor_of_this_cpu_is_found),
        cmocka_unit_test(a_cpu_without_redistributor_is_refused),
        cmocka_unit_test(hardware_that_does_not_answer_ends_in_a_status),
        cmocka_unit_test(affinity_is_mpidr_without_its_flags),
    };

    return cmocka_run_group_tests_name("gic", tests, NULL, NULL);
}
