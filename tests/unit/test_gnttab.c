/* SPDX-License-Identifier: BSD-2-Clause */
/* test_gnttab.c - grants: each of a batch stands alone, handles do not leak. */
#include "drivers/xen/gnttab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

static struct fake_guest *guest;

static int setup(void **state)
{
    (void)state;
    said_reset();
    fake_xen_reset(FAKE_DUMMY); /* grants need no right */
    guest = fake_guest_make(7, 1, MIB(1));
    for (u32 i = 1; i < 20; i++) {
        guest->grant[i] = (struct fake_grant){
            .valid = true,
            .read_only = i % 2,
            .gfn = FAKE_GUEST_BASE / 4096 + i,
        };
        *fake_guest_byte(guest, FAKE_GUEST_BASE + i * 4096) = (u8)i;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(fake_grants_mapped(), 0);
    return 0;
}

static struct gnttab_map map_of(u32 place, u32 ref, bool read_only)
{
    return (struct gnttab_map){
        .gpa = fake_xen.region + place * 4096u,
        .ref = ref,
        .domid = 7,
        .read_only = read_only,
    };
}

static void unmap_all(const struct gnttab_map *maps, u32 count)
{
    struct gnttab_unmap unmaps[GNTTAB_BATCH_MAX];

    for (u32 i = 0; i < count; i++) {
        unmaps[i] = (struct gnttab_unmap){.gpa = maps[i].gpa, .handle = maps[i].handle};
    }
    assert_int_equal(gnttab_unmap_batch(unmaps, count), ST_OK);
    for (u32 i = 0; i < count; i++) {
        assert_int_equal(unmaps[i].status, GNTST_okay);
        assert_int_equal(unmaps[i].handle, GNTTAB_NO_HANDLE);
    }
}

static void batch_is_one_call_and_shows_the_guests_bytes(void **state)
{
    struct gnttab_map maps[10];
    u64 calls = fake_xen.calls;

    (void)state;
    for (u32 i = 0; i < 10; i++) {
        maps[i] = map_of(i, i + 1, (i + 1) % 2);
    }
    assert_int_equal(gnttab_map_batch(maps, 10), ST_OK);
    assert_int_equal(fake_xen.calls, calls + 1);
    for (u32 i = 0; i < 10; i++) {
        assert_int_equal(maps[i].status, GNTST_okay);
        assert_int_equal(*(u8 *)(uintptr_t)maps[i].gpa, i + 1);
        assert_int_equal(maps[i].bus, FAKE_GUEST_BASE + (i + 1) * 4096);
    }
    assert_int_equal(gnttab_mapped_count(), 10);
    unmap_all(maps, 10);
}

static void bad_ones_of_a_batch_do_not_spoil_the_good(void **state)
{
    struct gnttab_map maps[4] = {map_of(0, 2, false), map_of(1, 60, false), map_of(2, 3, false),
                                 map_of(3, 4, false)};

    (void)state;
    maps[3].domid = 9;
    assert_int_equal(gnttab_map_batch(maps, 4), ST_OK);
    assert_int_equal(maps[0].status, GNTST_okay);
    assert_int_equal(maps[1].status, GNTST_general_error); /* never granted */
    assert_int_equal(maps[2].status, GNTST_general_error); /* granted read-only, mapped writable */
    assert_int_equal(maps[3].status, GNTST_bad_domain);
    assert_int_equal(maps[1].handle, GNTTAB_NO_HANDLE);
    assert_int_equal(gnttab_mapped_count(), 1);
    unmap_all(maps, 4); /* entries without a handle are passed over */
}

static void refused_call_maps_nothing(void **state)
{
    struct gnttab_map maps[2] = {map_of(0, 2, false), map_of(1, 4, false)};
    struct gnttab_unmap unmap;

    (void)state;
    fake_xen_fail(1, -XEN_EFAULT);
    assert_int_equal(gnttab_map_batch(maps, 2), ST_HYPERCALL);
    assert_true(maps[0].status < 0 && maps[1].status < 0);
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_true(said("EFAULT"));

    assert_int_equal(gnttab_map_batch(maps, 1), ST_OK);
    unmap = (struct gnttab_unmap){.gpa = maps[0].gpa, .handle = maps[0].handle};
    fake_xen_fail(1, -XEN_EFAULT);
    assert_int_equal(gnttab_unmap_batch(&unmap, 1), ST_HYPERCALL);
    assert_int_not_equal(unmap.handle, GNTTAB_NO_HANDLE); /* still ours to give back */
    assert_int_equal(gnttab_unmap_batch(&unmap, 1), ST_OK);
}

static void copy_needs_no_mapping(void **state)
{
    static u8 page[8192] __attribute__((aligned(4096)));
    struct gnttab_copy_op ops[3] = {
        {.from = {.ref_or_gfn = 3, .domid = 7, .offset = 0},
         .to = {.ref_or_gfn = (u64)(uintptr_t)page / 4096, .is_gfn = true, .offset = 100},
         .bytes = 1},
        {.from = {.ref_or_gfn = (u64)(uintptr_t)page / 4096, .is_gfn = true, .offset = 200},
         .to = {.ref_or_gfn = 3, .domid = 7},
         .bytes = 8},
        {.from = {.ref_or_gfn = 4, .domid = 7, .offset = 4090},
         .to = {.ref_or_gfn = (u64)(uintptr_t)page / 4096, .is_gfn = true},
         .bytes = 8},
    };

    (void)state;
    assert_int_equal(gnttab_copy_batch(ops, 3), ST_OK);
    assert_int_equal(ops[0].status, GNTST_okay);
    assert_int_equal(page[100], 3);
    assert_int_equal(ops[1].status, GNTST_general_error); /* grant 3 is read-only */
    assert_int_equal(ops[2].status, GNTST_bad_copy_arg);  /* crosses a page */
}

static void table_is_mapped_as_far_as_it_goes(void **state)
{
    (void)state;
    assert_int_equal(gnttab_init(fake_xen.region, MIB(1)), ST_OK); /* the fake has two frames */
    assert_int_equal(gnttab_init(fake_xen.region, 100), ST_RANGE);
    fake_xen_fail(1, -XEN_EPERM);
    assert_int_equal(gnttab_init(fake_xen.region, 4096), ST_HYPERCALL);
    assert_true(said("EPERM"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batch_is_one_call_and_shows_the_guests_bytes),
        TEST(bad_ones_of_a_batch_do_not_spoil_the_good),
        TEST(refused_call_maps_nothing),
        TEST(copy_needs_no_mapping),
        TEST(table_is_mapped_as_far_as_it_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
