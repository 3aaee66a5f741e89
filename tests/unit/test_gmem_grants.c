/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gmem_grants.c - buffers that a guest grants: mapped as they are granted, kept while pinned,
 * given back before the driver is told. */
#include "drivers/xen/gmem_grants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "start/base/arith.h"

#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"
#include "virtio/virtq.h"
#include "virtio/virtq_layout.h"

#define DOMID 7
#define RAM   FAKE_GUEST_BASE

static struct fake_guest *guest;
static struct gmem_grants mem;
static struct gmem *gm;
static struct span spans[VQ_SPAN_MAX];
static u32 count;

/** Grant i is the guest's page i, and says so. */
static int setup(void **state)
{
    struct extregion_range region;

    (void)state;
    said_reset();
    fake_xen_reset(FAKE_CONTROL);
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(gmem_grants_init(), ST_OK);
    assert_int_equal(gmem_foreign_init(), ST_OK);
    guest = fake_guest_make(DOMID, 1, FAKE_GRANTS * 4096);
    for (u32 i = 1; i < FAKE_GRANTS; i++) {
        guest->grant[i] = (struct fake_grant){.valid = true, .gfn = RAM / 4096 + i};
        *(u32 *)(void *)fake_guest_byte(guest, RAM + (u64)i * 4096) = i;
    }
    memset(&mem, 0, sizeof(mem));
    assert_int_equal(gmem_grants_open(&mem, DOMID, 3), ST_OK);
    gm = &mem.plain.gm;
    count = 0;
    return 0;
}

/** Every test leaves nothing mapped. */
static int teardown(void **state)
{
    (void)state;
    gmem_release(gm, spans, count);
    gmem_grants_close(&mem);
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(fake_grants_mapped(), 0);
    assert_int_equal(fake_pages_foreign(), 0);
    return 0;
}

static u64 grant_addr(u32 ref, u32 offset)
{
    return GMEM_GRANT_BIT | (u64)ref << 12 | offset;
}

static enum status span(u64 addr, u32 bytes, enum gmem_dir dir)
{
    return gmem_span(gm, (gpa_t){addr}, bytes, dir, spans, VQ_SPAN_MAX, &count);
}

static void a_granted_page_is_the_guests(void **state)
{
    (void)state;
    assert_int_equal(span(grant_addr(5, 0), 4096, GMEM_WRITE), ST_OK);
    assert_int_equal(count, 1);
    assert_int_equal(*(u32 *)(void *)spans[0].base, 5);
    spans[0].base[100] = 0x5a;
    assert_int_equal(*fake_guest_byte(guest, RAM + 5 * 4096 + 100), 0x5a);
}

static void references_in_a_row_are_one_span_and_one_hypercall(void **state)
{
    u64 before = hypercall_count[HC_GNTTAB];

    (void)state;
    assert_int_equal(span(grant_addr(10, 4000), 2 * 4096, GMEM_READ), ST_OK);
    assert_int_equal(count, 1);
    assert_int_equal(spans[0].bytes, 2 * 4096);
    assert_int_equal(*(u32 *)(void *)(spans[0].base + 96), 11);
    assert_int_equal(*(u32 *)(void *)(spans[0].base + 96 + 4096), 12);
    assert_int_equal(hypercall_count[HC_GNTTAB] - before, 1);
    assert_int_equal(gnttab_mapped_count(), 3);
}

static void a_long_buffer_comes_in_pieces_of_one_hypercall_each(void **state)
{
    (void)state;
    assert_int_equal(span(grant_addr(100, 0), 150 * 4096, GMEM_READ), ST_OK);
    assert_int_equal(count, 3);
    for (u32 i = 0, ref = 100; i < count; i++) {
        for (u32 at = 0; at < spans[i].bytes; at += 4096) {
            assert_int_equal(*(u32 *)(void *)(spans[i].base + at), ref++);
        }
    }
}

static void what_is_granted_for_reading_is_not_written(void **state)
{
    (void)state;
    guest->grant[6].read_only = true;
    assert_int_equal(span(grant_addr(6, 0), 16, GMEM_READ), ST_OK);
    assert_int_equal(span(grant_addr(6, 0), 16, GMEM_WRITE), ST_GUEST);
    assert_int_equal(count, 1);
    assert_int_equal(mem.failures, 1);
}

static void what_is_not_granted_is_the_guests_error_and_leaves_nothing(void **state)
{
    (void)state;
    guest->grant[21].valid = false;
    assert_int_equal(span(grant_addr(20, 0), 3 * 4096, GMEM_READ), ST_GUEST);
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(span(grant_addr(FAKE_GRANTS, 0), 1, GMEM_READ), ST_GUEST);
    /* A reference has 32 bits, and the last one has none behind it. */
    assert_int_equal(span(GMEM_GRANT_BIT | BIT64(44), 1, GMEM_READ), ST_GUEST);
    assert_int_equal(span(GMEM_GRANT_BIT | (BIT64(44) - 1), 2, GMEM_READ), ST_GUEST);
    assert_int_equal(span(UINT64_MAX, 2, GMEM_READ), ST_GUEST);
    assert_int_equal(count, 0);
}

static void no_room_in_xen_is_named_with_its_cure(void **state)
{
    static u32 handle[MIB(64) / 4096];
    struct gnttab_map one = {.ref = 1, .domid = DOMID};
    u32 made = 0;
    /* Where other guests' grants would lie: there are none. */
    u64 gpa = fake_xen.region + (u64)(mem.slot + 1) * GRANT_PAGES_PER_GUEST * 4096;

    (void)state;
    for (; made < ARRAY_LEN(handle) && one.status == 0; made++) {
        one.gpa = gpa + made * 4096;
        assert_int_equal(gnttab_map_batch(&one, 1), ST_OK);
        handle[made] = one.handle;
    }
    assert_int_equal(one.status, GNTST_no_device_space);
    assert_int_equal(span(grant_addr(5, 0), 2 * 4096, GMEM_READ), ST_HYPERCALL);
    assert_true(said("max_maptrack_frames="));
    while (made-- > 0) {
        struct gnttab_unmap undo = {.gpa = gpa + made * 4096, .handle = handle[made]};

        assert_int_equal(gnttab_unmap_batch(&undo, 1), ST_OK);
    }
    assert_int_equal(span(grant_addr(5, 0), 2 * 4096, GMEM_READ), ST_OK);
}

static void what_is_pinned_stays_what_is_not_goes(void **state)
{
    (void)state;
    assert_int_equal(span(grant_addr(5, 0), 64, GMEM_WRITE), ST_OK);
    assert_int_equal(span(grant_addr(9, 0), 64, GMEM_READ), ST_OK);
    gmem_settle(gm);
    assert_int_equal(gnttab_mapped_count(), 2);
    gmem_release(gm, &spans[1], 1);
    count = 1;
    assert_int_equal(gnttab_mapped_count(), 2); /* the driver was not told yet */
    gmem_settle(gm);
    assert_int_equal(gnttab_mapped_count(), 1);
    assert_int_equal(guest->grant[9].mapped, 0);
    assert_null(gmem_peek(gm, grant_addr(9, 0), 1, GMEM_READ));
    assert_int_equal(*(u32 *)(void *)spans[0].base, 5);
}

static void a_page_that_is_mapped_is_found_again(void **state)
{
    (void)state;
    assert_int_equal(span(grant_addr(5, 0), 64, GMEM_WRITE), ST_OK);
    gmem_forget(gm);
    assert_int_equal(span(grant_addr(5, 128), 64, GMEM_READ), ST_OK);
    assert_int_equal(mem.maps, 1);
    assert_ptr_equal(spans[0].base + 128, spans[1].base);
}

static void other_addresses_are_guest_physical_ones(void **state)
{
    (void)state;
    assert_int_equal(span(RAM + 5 * 4096, 4096, GMEM_READ), ST_OK);
    assert_int_equal(*(u32 *)(void *)spans[0].base, 5);
    assert_int_equal(fake_pages_foreign(), 1);
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(span(RAM + (u64)FAKE_GRANTS * 4096, 1, GMEM_READ), ST_GUEST);
    gmem_settle(gm);
    assert_int_equal(fake_pages_foreign(), 1);
}

static void all_in_use_is_later_and_then_goes_on(void **state)
{
    u32 refs = 0;
    enum status st = ST_OK;
    static struct span held[GRANT_PAGES_PER_GUEST];
    u32 n = 0;

    (void)state;
    /* Every second reference, so that each page is a run of its own. */
    while (st == ST_OK) {
        st = gmem_span(gm, (gpa_t){grant_addr(1 + 2 * refs, 0)}, 4096, GMEM_READ, held,
                       GRANT_PAGES_PER_GUEST, &n);
        refs += st == ST_OK;
    }
    assert_int_equal(st, ST_AGAIN);
    assert_int_equal(n, GRANT_RUNS_PER_GUEST);
    gmem_release(gm, &held[n - 1], 1);
    assert_int_equal(span(grant_addr(4000, 0), 1, GMEM_READ), ST_OK);
    gmem_release(gm, held, n - 1);
}

static void a_row_that_does_not_fit_comes_page_by_page(void **state)
{
    static struct span held[GRANT_PAGES_PER_GUEST];
    u32 n = 0;

    (void)state;
    /* From a multiple of WINDOW_BYTES on: no run lies in two lines. */
    for (u32 i = 0; i < GRANT_PAGES_PER_GUEST / GNTTAB_BATCH_MAX; i++) {
        assert_int_equal(gmem_span(gm, (gpa_t){grant_addr(512 + i * GNTTAB_BATCH_MAX, 0)},
                                   GNTTAB_BATCH_MAX * 4096, GMEM_READ, held, GRANT_PAGES_PER_GUEST,
                                   &n),
                         ST_OK);
    }
    assert_int_equal(span(grant_addr(3000, 0), 1, GMEM_READ), ST_AGAIN);
    gmem_release(gm, &held[--n], 1);
    assert_int_equal(span(grant_addr(3000, 0), 4096, GMEM_READ), ST_OK);
    /* 63 pages are free now, in one row. */
    assert_int_equal(span(grant_addr(3100, 0), GNTTAB_BATCH_MAX * 4096, GMEM_READ), ST_AGAIN);
    assert_int_equal(count, 1);
    assert_int_equal(span(grant_addr(3100, 0), 63 * 4096, GMEM_READ), ST_OK);
    for (u32 i = 1; i < count; i++) {
        assert_int_equal(*(u32 *)(void *)spans[i].base, 3100 + i - 1);
    }
    gmem_release(gm, held, n);
}

static void a_page_that_does_not_unmap_is_not_used_again(void **state)
{
    u8 *base;

    (void)state;
    assert_int_equal(span(grant_addr(5, 0), 64, GMEM_WRITE), ST_OK);
    base = spans[0].base;
    gmem_release(gm, spans, 1);
    count = 0;
    fake_xen_fail(1, -22);
    gmem_settle(gm);
    assert_true(said("a grant does not unmap"));
    assert_int_equal(span(grant_addr(5, 0), 64, GMEM_WRITE), ST_OK);
    assert_ptr_not_equal(spans[0].base, base);
    /* By hand what Xen would not do, so that the books are even. */
    assert_int_equal(
        gnttab_unmap_batch(
            &(struct gnttab_unmap){.gpa = (u64)(uintptr_t)base, .handle = mem.handle[0]}, 1),
        ST_OK);
}

/* --- a ring ----------------------------------------------------------------------------------- */

#define DESC_REF  50
#define AVAIL_REF 51
#define USED_REF  52
#define DATA_REF  60

static void store(u32 ref, u32 offset, const void *bytes, usize size)
{
    memcpy(fake_guest_byte(guest, RAM + (u64)ref * 4096 + offset), bytes, size);
}

/** Two buffers, one that we read and one that we write, in chain 0. */
static void ring_offer(void)
{
    struct virtq_desc desc[2] = {
        {{grant_addr(DATA_REF, 0)}, {16}, {VIRTQ_DESC_F_NEXT}, {1}},
        {{grant_addr(DATA_REF + 1, 8)}, {4096}, {VIRTQ_DESC_F_WRITE}, {0}},
    };
    u16 avail[3] = {0, 1, 0};

    store(DESC_REF, 0, desc, sizeof(desc));
    store(AVAIL_REF, 0, avail, sizeof(avail));
}

static void rings_stay_mapped_and_buffers_go_before_the_driver_sees_them_used(void **state)
{
    static struct virtq vq;
    static struct vq_chain chain;
    u16 used_idx;

    (void)state;
    guest->grant[DATA_REF].read_only = true;
    virtq_init(&vq, "test");
    assert_int_equal(virtq_enable(&vq, gm,
                                  &(struct virtq_setup){.size = 8,
                                                        .desc = grant_addr(DESC_REF, 0),
                                                        .avail = grant_addr(AVAIL_REF, 0),
                                                        .used = grant_addr(USED_REF, 0)}),
                     ST_OK);
    assert_int_equal(gnttab_mapped_count(), 3);
    ring_offer();
    assert_int_equal(virtq_pop(&vq, &chain), ST_OK);
    assert_int_equal(chain.read_count, 1);
    assert_int_equal(chain.write_bytes, 4096);
    assert_int_equal(gnttab_mapped_count(), 3 + 1 + 2);
    virtq_push(&vq, &chain, 4096);
    memcpy(&used_idx, fake_guest_byte(guest, RAM + USED_REF * 4096 + 2), 2);
    assert_int_equal(used_idx, 0);
    assert_true(virtq_publish(&vq));
    memcpy(&used_idx, fake_guest_byte(guest, RAM + USED_REF * 4096 + 2), 2);
    assert_int_equal(used_idx, 1);
    assert_int_equal(gnttab_mapped_count(), 3);
    assert_int_equal(guest->grant[DATA_REF].mapped + guest->grant[DATA_REF + 1].mapped, 0);
    virtq_reset(&vq);
    assert_int_equal(gnttab_mapped_count(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_granted_page_is_the_guests),
        TEST(references_in_a_row_are_one_span_and_one_hypercall),
        TEST(a_long_buffer_comes_in_pieces_of_one_hypercall_each),
        TEST(what_is_granted_for_reading_is_not_written),
        TEST(what_is_not_granted_is_the_guests_error_and_leaves_nothing),
        TEST(no_room_in_xen_is_named_with_its_cure),
        TEST(what_is_pinned_stays_what_is_not_goes),
        TEST(a_page_that_is_mapped_is_found_again),
        TEST(other_addresses_are_guest_physical_ones),
        TEST(all_in_use_is_later_and_then_goes_on),
        TEST(a_row_that_does_not_fit_comes_page_by_page),
        TEST(a_page_that_does_not_unmap_is_not_used_again),
        TEST(rings_stay_mapped_and_buffers_go_before_the_driver_sees_them_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
