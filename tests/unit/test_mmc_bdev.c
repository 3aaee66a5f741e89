/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_mmc_bdev.c - a card as a disk: merging, spans of any cut, bounce, flush, erase, removal,
 * what a request costs. The oracle is the card's image.
 */
#include "drivers/mmc/mmc_bdev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "start/port.h"
#include "tests/fake/port_host.h"
#include "tests/fake/rig_mmc.h"

#define BOUNCE_AT    KIB(64)
#define BOUNCE_BYTES (u32) KIB(64)
#define DATA_AT      KIB(256)

static struct rig_mmc rig;
static struct mmc_card card;
static struct mmc_bdev disk;
static struct blk_done done;

static void ready(const struct rig_mmc_setup *setup)
{
    struct span bounce;

    rig_mmc_init(&rig, setup);
    bounce = rig_mmc_span(BOUNCE_AT, BOUNCE_BYTES);
    mmc_init(&card, &rig.sdhci.host, "rig");
    mmc_identify(&card);
    assert_int_equal(rig_mmc_card_run(&card), ST_OK);
    mmc_bdev_init(&disk, &card, "disk", &bounce);
    blk_done_init(&done);
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

static struct blk_req request(enum blk_op op, u64 sector, u64 sectors, const struct span *spans,
                              u32 count)
{
    return (struct blk_req){.op = op,
                            .sector = sector,
                            .sectors = sectors,
                            .spans = spans,
                            .span_count = count,
                            .done = &done};
}

/** Poll until nothing is in flight. */
static void run(void)
{
    u64 end_ns = port_host_now_ns + RIG_MMC_RUN_NS;

    while (disk.bdev.in_flight > 0) {
        assert_true(port_host_now_ns < end_ns);
        bdev_poll(&disk.bdev);
        port_relax();
    }
}

static enum status serve(struct blk_req *req)
{
    enum status st = bdev_submit(&disk.bdev, req);

    if (st != ST_AGAIN) {
        return st;
    }
    run();
    assert_ptr_equal(blk_done_take(&done), req);
    return req->status;
}

static void neighbours_are_moved_by_one_command(void **state)
{
    struct blk_req reqs[8];
    struct span spans[8];
    u64 commands;

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    for (u32 op = BLK_READ; op <= BLK_WRITE; op++) {
        commands = disk.commands;
        for (u32 i = 0; i < 8; i++) {
            spans[i] = rig_mmc_span(DATA_AT + i * 8192, 4096);
            rig_mmc_pattern(spans[i].base, i * 8, 8, 5);
            reqs[i] = request(op, 1000 + i * 8, 8, &spans[i], 1);
            assert_int_equal(bdev_submit(&disk.bdev, &reqs[i]), ST_AGAIN);
        }
        run();
        assert_int_equal(disk.commands - commands, 1);
        for (u32 i = 0; i < 8; i++) {
            assert_ptr_equal(blk_done_take(&done), &reqs[i]);
            assert_int_equal(reqs[i].status, ST_OK);
            assert_memory_equal(spans[i].base, rig.image + (1000 + i * 8) * 512, 4096);
        }
    }
}

static void what_is_not_next_to_each_other_stays_apart(void **state)
{
    static const struct {
        enum blk_op op;
        u64 sector;
    } order[] = {{BLK_READ, 0},   {BLK_WRITE, 8},  {BLK_FLUSH, 0},
                 {BLK_WRITE, 16}, {BLK_WRITE, 32}, {BLK_WRITE, 24}};
    struct blk_req reqs[ARRAY_LEN(order)];
    struct span spans[ARRAY_LEN(order)];

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    for (u32 i = 0; i < ARRAY_LEN(order); i++) {
        bool flush = order[i].op == BLK_FLUSH;

        spans[i] = rig_mmc_span(DATA_AT + i * 4096, 4096);
        reqs[i] = request(order[i].op, order[i].sector, flush ? 0 : 8, &spans[i], flush ? 0 : 1);
        assert_int_equal(bdev_submit(&disk.bdev, &reqs[i]), ST_AGAIN);
    }
    run();
    assert_int_equal(disk.commands, ARRAY_LEN(order));
    assert_int_equal(disk.merged, 0);
    assert_int_equal(rig.card.flushes, 1);
    for (u32 i = 0; i < ARRAY_LEN(order); i++) {
        assert_ptr_equal(blk_done_take(&done), &reqs[i]); /* in their order */
    }
}

/* Spans of any cut: by the bounce buffer with DMA, straight by the port. */
static void spans_of_any_cut_are_served(void **state)
{
    (void)state;
    for (u32 port = 0; port < 2; port++) {
        struct span spans[] = {
            {.base = NULL, .bytes = 1}, {.base = NULL, .bytes = 1000}, {.base = NULL, .bytes = 23}};
        struct blk_req req = request(BLK_READ, 5, 2, spans, 3);
        struct blk_req back = request(BLK_WRITE, 50, 2, spans, 3);

        ready(&(struct rig_mmc_setup){.kind = CARD_SD, .no_dma = port == 1});
        spans[0] = rig_mmc_span(DATA_AT + 3, 1);
        spans[1] = rig_mmc_span(DATA_AT + 5000, 1000);
        spans[2] = rig_mmc_span(DATA_AT + 10001, 23);
        assert_int_equal(serve(&req), ST_OK);
        assert_memory_equal(spans[0].base, rig.image + 5 * 512, 1);
        assert_memory_equal(spans[1].base, rig.image + 5 * 512 + 1, 1000);
        assert_memory_equal(spans[2].base, rig.image + 5 * 512 + 1001, 23);
        assert_int_equal(serve(&back), ST_OK);
        assert_memory_equal(rig.image + 50 * 512, rig.image + 5 * 512, 1024);
        assert_int_equal(disk.bounced_bytes, port ? 0 : 2048);
        assert_int_equal(rig.log.complaints, 0);
        if (port == 0) {
            rig_mmc_done(&rig);
        }
    }
}

/* A controller of 32 bits and memory above 4 GiB: straight below, bounced above, in one request. */
static void memory_beyond_the_controllers_reach_is_bounced(void **state)
{
    u64 bus = BIT64(32) - MIB(2);
    struct span spans[2];
    struct blk_req req = request(BLK_WRITE, 64, 512, spans, 2);
    struct blk_req back = request(BLK_READ, 64, 512, spans, 2);
    static u8 wanted[KIB(256)];

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD, .version = 1, .bus = bus});
    /* The table is at the arena's end, above 4 GiB: this rig gives it a place below. */
    rig.sdhci.config.table = dma_host_at(0);
    rig.sdhci.config.table_bus = dma_host_bus(0);
    spans[0] = rig_mmc_span(DATA_AT, (u32)KIB(128));
    spans[1] = rig_mmc_span(MIB(3), (u32)KIB(128));
    rig_mmc_pattern(wanted, 64, 512, 3);
    memcpy(spans[0].base, wanted, KIB(128));
    memcpy(spans[1].base, wanted + KIB(128), KIB(128));
    assert_int_equal(serve(&req), ST_OK);
    assert_memory_equal(rig.image + 64 * 512, wanted, sizeof(wanted));
    assert_int_equal(disk.bounced_bytes, KIB(128));
    memset(spans[0].base, 0, KIB(128));
    memset(spans[1].base, 0, KIB(128));
    assert_int_equal(serve(&back), ST_OK);
    assert_memory_equal(spans[0].base, wanted, KIB(128));
    assert_memory_equal(spans[1].base, wanted + KIB(128), KIB(128));
}

static void requests_beyond_the_table_are_cut(void **state)
{
    static struct span spans[BLK_SEG_MAX];
    struct blk_req req = request(BLK_READ, 0, BLK_SEG_MAX * 8, spans, BLK_SEG_MAX);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.sdhci.host.caps.span_max = 16;
    for (u32 i = 0; i < BLK_SEG_MAX; i++) {
        spans[i] = rig_mmc_span(DATA_AT + i * 8192, 4096);
    }
    assert_int_equal(serve(&req), ST_OK);
    for (u32 i = 0; i < BLK_SEG_MAX; i++) {
        assert_memory_equal(spans[i].base, rig.image + i * 4096, 4096);
    }
    assert_int_equal(disk.bounced_bytes, 0);
    assert_in_range(disk.commands, 8, 9);
}

static void a_bad_sector_fails_only_its_reader(void **state)
{
    struct blk_req reqs[4];
    struct span spans[4];

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.bad_sector = 110;
    for (u32 i = 0; i < 4; i++) {
        spans[i] = rig_mmc_span(DATA_AT + i * 4096, 4096);
        reqs[i] = request(BLK_READ, 96 + i * 8, 8, &spans[i], 1);
        bdev_submit(&disk.bdev, &reqs[i]);
    }
    run();
    for (u32 i = 0; i < 4; i++) {
        if (i == 1) {
            assert_int_not_equal(reqs[i].status, ST_OK);
        } else {
            assert_int_equal(reqs[i].status, ST_OK);
            assert_memory_equal(spans[i].base, rig.image + (96 + i * 8) * 512, 4096);
        }
    }
    assert_int_equal(disk.split, 1);
}

static void info_says_what_the_card_does(void **state)
{
    struct blk_req zeroes = request(BLK_WRITE_ZEROES, 100, 9, NULL, 0);
    struct blk_req discard = request(BLK_DISCARD, 200, 9, NULL, 0);
    struct blk_req secure = request(BLK_SECURE_ERASE, 300, 9, NULL, 0);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    assert_true(disk.bdev.info.discard && disk.bdev.info.write_zeroes);
    assert_false(disk.bdev.info.write_cache);
    assert_false(disk.bdev.info.secure_erase);
    assert_int_equal(serve(&zeroes), ST_OK);
    assert_int_equal(rig.image[100 * 512] | rig.image[109 * 512 - 1], 0);
    rig_mmc_done(&rig);
    ready(&(struct rig_mmc_setup){.kind = CARD_EMMC});
    assert_true(disk.bdev.info.write_cache && disk.bdev.info.secure_erase);
    assert_int_equal(serve(&secure), ST_OK);
    assert_int_equal(serve(&discard), ST_OK);
    assert_int_equal(rig.card.erases, 3); /* the secure one takes two */
    rig_mmc_done(&rig);
    rig_mmc_init(&rig, &(struct rig_mmc_setup){.kind = CARD_SD});
    rig.card.erased_ones = true;
    mmc_init(&card, &rig.sdhci.host, "rig");
    mmc_identify(&card);
    assert_int_equal(rig_mmc_card_run(&card), ST_OK);
    mmc_bdev_init(&disk, &card, "disk", &(struct span){.base = dma_host_at(0), .bytes = 512});
    assert_false(disk.bdev.info.write_zeroes);
}

static void a_write_protected_card_takes_no_writes(void **state)
{
    struct span span;
    struct blk_req write = request(BLK_WRITE, 8, 1, &span, 1);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    span = rig_mmc_span(DATA_AT, 512);
    card.read_only = true;
    assert_int_equal(serve(&write), ST_ACCES);
    assert_int_equal(rig.card.blocks_written, 0);
}

/** Let the disk look at its slot until its card is there, at most so long. */
static void wait_for_card(void)
{
    for (u32 i = 0; i < 100000 && card.state != MMC_READY; i++) {
        bdev_poll(&disk.bdev);
        port_host_now_ns += 100000;
    }
}

static void a_card_that_returns_goes_on_and_another_gives_errors(void **state)
{
    struct span span;
    struct blk_req read = request(BLK_READ, 8, 8, &span, 1);
    struct blk_req other = request(BLK_READ, 80, 8, &span, 1);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    span = rig_mmc_span(DATA_AT, 4096);
    sdhci_model_remove(&rig.model);
    assert_int_equal(bdev_submit(&disk.bdev, &read), ST_AGAIN);
    assert_int_equal(bdev_submit(&disk.bdev, &other), ST_AGAIN);
    run();
    assert_int_equal(read.status, ST_NODEV);
    assert_int_equal(other.status, ST_NODEV);
    blk_done_init(&done);
    assert_int_equal(serve(&read), ST_NODEV);
    sdhci_model_insert(&rig.model, &rig.card);
    wait_for_card();
    assert_int_equal(serve(&read), ST_OK);
    assert_memory_equal(span.base, rig.image + 8 * 512, 4096);
    sdhci_model_remove(&rig.model);
    rig.card.serial ^= 1;
    sdhci_model_insert(&rig.model, &rig.card);
    memset(span.base, 0x11, 4096);
    assert_int_not_equal(serve(&read), ST_OK);
    wait_for_card();
    assert_int_not_equal(card.state, MMC_READY);
    if (bdev_submit(&disk.bdev, &read) == ST_AGAIN) {
        run();
    }
    assert_int_equal(read.status, ST_NODEV);
    assert_int_equal(span.base[0], 0x11); /* nobody else's data */
    blk_done_init(&done);
    sdhci_model_remove(&rig.model);
    rig.card.serial ^= 1;
    sdhci_model_insert(&rig.model, &rig.card);
    wait_for_card();
    assert_int_equal(serve(&read), ST_OK);
}

static void what_waits_can_be_cancelled(void **state)
{
    struct span span;
    struct blk_req first = request(BLK_READ, 8, 8, &span, 1);
    struct blk_req second = request(BLK_READ, 80, 8, &span, 1);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    span = rig_mmc_span(DATA_AT, 4096);
    bdev_submit(&disk.bdev, &first);
    bdev_submit(&disk.bdev, &second);
    bdev_poll(&disk.bdev);
    bdev_cancel(&disk.bdev, &second);
    assert_ptr_equal(blk_done_take(&done), &second);
    bdev_cancel(&disk.bdev, &first); /* is on the bus: stays */
    assert_null(blk_done_take(&done));
    run();
    assert_int_equal(first.status, ST_OK);
}

/* DMA that goes elsewhere is found out at start, and the processor takes over. */
static void dma_is_tried_before_it_is_trusted(void **state)
{
    struct span dma, port, wrong;
    struct blk_req read = request(BLK_READ, 8, 8, &port, 1);

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    dma = rig_mmc_span(DATA_AT, 4096);
    port = rig_mmc_span(DATA_AT + 8192, 4096);
    assert_true(mmc_dma_try(&card, &dma, &port));
    wrong = dma;
    wrong.bus += 65536;
    assert_false(mmc_dma_try(&card, &wrong, &port));
    assert_int_equal(rig.sdhci.dma, SDHCI_PORT_ONLY);
    assert_int_equal(serve(&read), ST_OK);
    assert_memory_equal(port.base, rig.image + 8 * 512, 4096);
}

struct cost {
    u64 reads, looks, writes, descriptors, copied;
};

static struct cost cost_of(enum blk_op op, u32 bytes)
{
    struct span span = rig_mmc_span(DATA_AT, bytes);
    struct blk_req req = request(op, 2048, bytes / 512, &span, 1);
    struct cost before = {rig.model.reads, rig.model.empty_looks, rig.model.writes,
                          rig.model.descriptors, disk.bounced_bytes};

    assert_int_equal(serve(&req), ST_OK);
    return (struct cost){rig.model.reads - before.reads - (rig.model.empty_looks - before.looks),
                         rig.model.empty_looks - before.looks, rig.model.writes - before.writes,
                         rig.model.descriptors - before.descriptors,
                         disk.bounced_bytes - before.copied};
}

/* Must show 4, our side: accesses to registers per request are bounded; looks that found nothing
 * are counted apart, they cost what the medium's time costs. */
static void a_request_costs_few_accesses(void **state)
{
    static const struct {
        enum blk_op op;
        u32 bytes;
        u32 reads_max, writes_max, descriptors_max;
    } bounds[] = {{BLK_READ, 4096, 4, 7, 1},
                  {BLK_WRITE, 4096, 7, 10, 1},
                  {BLK_READ, (u32)MIB(1), 4, 7, 1},
                  /* two more: it may take longer than the controller can count */
                  {BLK_WRITE, (u32)MIB(1), 7, 12, 1}};

    (void)state;
    ready(&(struct rig_mmc_setup){.kind = CARD_SD});
    for (u32 i = 0; i < ARRAY_LEN(bounds); i++) {
        struct cost c = cost_of(bounds[i].op, bounds[i].bytes);

        print_message("# %s of %7u bytes: %llu MMIO reads, %llu writes, %llu looks at nothing, "
                      "%llu descriptors, %llu bytes copied\n",
                      bounds[i].op == BLK_READ ? "read " : "write", bounds[i].bytes,
                      (unsigned long long)c.reads, (unsigned long long)c.writes,
                      (unsigned long long)c.looks, (unsigned long long)c.descriptors,
                      (unsigned long long)c.copied);
        assert_true(c.reads <= bounds[i].reads_max);
        assert_true(c.writes <= bounds[i].writes_max);
        assert_true(c.descriptors <= bounds[i].descriptors_max);
        assert_int_equal(c.copied, 0);
    }
}

#define CASE(name) cmocka_unit_test_teardown(name, ended_clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(neighbours_are_moved_by_one_command),
        CASE(what_is_not_next_to_each_other_stays_apart),
        CASE(spans_of_any_cut_are_served),
        CASE(memory_beyond_the_controllers_reach_is_bounced),
        CASE(requests_beyond_the_table_are_cut),
        CASE(a_bad_sector_fails_only_its_reader),
        CASE(info_says_what_the_card_does),
        CASE(a_write_protected_card_takes_no_writes),
        CASE(a_card_that_returns_goes_on_and_another_gives_errors),
        CASE(what_waits_can_be_cancelled),
        CASE(dma_is_tried_before_it_is_trusted),
        CASE(a_request_costs_few_accesses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
