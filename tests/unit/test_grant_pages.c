/* SPDX-License-Identifier: BSD-2-Clause */
/* test_grant_pages.c - front ends' pages in our space: found again, bounded, and given back. */
#include "drivers/xen/grant_pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/xen_abi.h"
#include "tests/fake/said.h"
#include "tests/fake/xen.h"

#define DOMID 7

static struct fake_guest *guest;
static struct grant_user user;
static struct grants seam;

static int setup(void **state)
{
    struct extregion_range region;

    (void)state;
    said_reset();
    fake_xen_reset(FAKE_NO_IOREQ); /* grants need no right */
    region = (struct extregion_range){fake_xen.region, FAKE_REGION_BYTES};
    assert_int_equal(extregion_init(&region, 1), ST_OK);
    assert_int_equal(grant_pages_init(), ST_OK);
    guest = fake_guest_make(DOMID, 1, FAKE_GRANTS * 4096);
    for (u32 i = 0; i < FAKE_GRANTS; i++) {
        guest->grant[i] = (struct fake_grant){
            .valid = i > 0,
            .gfn = FAKE_GUEST_BASE / 4096 + i,
        };
        *(u32 *)(void *)fake_guest_byte(guest, FAKE_GUEST_BASE + (u64)i * 4096) = i;
    }
    grant_pages_open(&user, DOMID, 3);
    seam = grant_pages_seam(&user);
    return 0;
}

/** Every test leaves nothing mapped. */
static int teardown(void **state)
{
    (void)state;
    grant_pages_close(&user);
    assert_int_equal(user.kept, 0);
    assert_int_equal(gnttab_mapped_count(), 0);
    assert_int_equal(fake_grants_mapped(), 0);
    return 0;
}

static enum status map(struct grant_map *maps, u32 first, u32 count, bool write)
{
    for (u32 i = 0; i < count; i++) {
        maps[i] = (struct grant_map){.ref = first + i, .write = write};
    }
    return seam.map(seam.ctx, maps, count);
}

static u32 word(const struct grant_map *map_of)
{
    return *(const u32 *)(const void *)map_of->page;
}

/** One request after the other over count pages from first on. */
static void use(u32 first, u32 count)
{
    struct grant_map maps[GRANT_MAPS_MAX];

    for (u32 at = 0; at < count; at += GRANT_MAPS_MAX) {
        u32 piece = count - at < GRANT_MAPS_MAX ? count - at : GRANT_MAPS_MAX;

        assert_int_equal(map(maps, first + at, piece, true), ST_OK);
        for (u32 i = 0; i < piece; i++) {
            assert_int_equal(word(&maps[i]), first + at + i);
        }
        seam.unmap(seam.ctx, maps, piece);
    }
}

static void pages_of_a_request_go_with_it_in_two_calls(void **state)
{
    struct grant_map maps[8];
    u64 calls = fake_xen.calls;

    (void)state;
    guest->grant[3].read_only = true; /* data to be written to the disk may be */
    assert_int_equal(map(maps, 1, 8, false), ST_OK);
    for (u32 i = 0; i < 8; i++) {
        assert_int_equal(word(&maps[i]), i + 1);
        assert_int_equal(maps[i].bus, FAKE_GUEST_BASE + (u64)(i + 1) * 4096);
    }
    seam.unmap(seam.ctx, maps, 8);
    assert_int_equal(fake_xen.calls, calls + 2);
    assert_int_equal(fake_grants_mapped(), 0);
}

static void a_page_that_is_not_granted_leaves_none_mapped(void **state)
{
    struct grant_map maps[4];

    (void)state;
    guest->grant[2].valid = false;
    assert_int_equal(map(maps, 1, 4, true), ST_GUEST);
    assert_int_equal(fake_grants_mapped(), 0);
    guest->grant[2] = (struct fake_grant){.valid = true, .read_only = true, .gfn = 1 + 0x40000};
    assert_int_equal(map(maps, 1, 4, true), ST_GUEST);
    assert_int_equal(fake_grants_mapped(), 0);
    maps[0] = (struct grant_map){.ref = UINT32_MAX};
    assert_int_equal(seam.map(seam.ctx, maps, 1), ST_GUEST);
    use(5, 8);
}

/* [BLKIF feature-persistent] */
static void grants_that_stay_are_mapped_once(void **state)
{
    u64 calls;

    (void)state;
    user.keep = true;
    use(1, 100);
    assert_int_equal(user.kept, 100);
    assert_int_equal(fake_grants_mapped(), 100);
    calls = fake_xen.calls;
    use(1, 100);
    assert_int_equal(fake_xen.calls, calls);
    assert_int_equal(user.hits, 100);
}

static void a_page_of_two_requests_is_one(void **state)
{
    struct grant_map one[1], two[1];

    (void)state;
    user.keep = true;
    assert_int_equal(map(one, 9, 1, true), ST_OK);
    assert_int_equal(map(two, 9, 1, true), ST_OK);
    assert_ptr_equal(one[0].page, two[0].page);
    seam.unmap(seam.ctx, one, 1);
    assert_int_equal(word(&two[0]), 9);
    seam.unmap(seam.ctx, two, 1);
    assert_int_equal(user.kept, 1);
}

/* The same page twice in one request, before it was ever seen. */
static void a_page_twice_in_a_request_is_mapped_twice_and_given_back(void **state)
{
    struct grant_map maps[2] = {{.ref = 9, .write = true}, {.ref = 9, .write = true}};

    (void)state;
    user.keep = true;
    assert_int_equal(seam.map(seam.ctx, maps, 2), ST_OK);
    seam.unmap(seam.ctx, maps, 2);
    use(9, 1);
    use(9, 1);
    assert_true(user.kept <= 2);
}

/* [BLKIF feature-persistent] the least recently used are discarded. */
static void no_more_are_kept_than_the_limit_and_the_latest_stay(void **state)
{
    u64 hits;

    (void)state;
    user.keep = true;
    use(1, FAKE_GRANTS - 1);
    assert_true(user.kept <= GRANT_KEEP_MAX && user.kept > GRANT_KEEP_MAX - 2 * GRANT_MAPS_MAX);
    assert_int_equal(fake_grants_mapped(), user.kept);
    assert_true(user.evictions > 0);
    hits = user.hits;
    use(FAKE_GRANTS - 1000, 1000);
    assert_int_equal(user.hits, hits + 1000);
    use(1, 100);
    assert_int_equal(user.hits, hits + 1000);
}

/* What is in use is never the one that goes. */
static void a_page_in_use_is_not_discarded(void **state)
{
    struct grant_map busy[GRANT_MAPS_MAX];

    (void)state;
    user.keep = true;
    assert_int_equal(map(busy, 1, GRANT_MAPS_MAX, true), ST_OK);
    use(100, FAKE_GRANTS - 100);
    for (u32 i = 0; i < GRANT_MAPS_MAX; i++) {
        assert_int_equal(word(&busy[i]), i + 1);
    }
    seam.unmap(seam.ctx, busy, GRANT_MAPS_MAX);
}

/* Many front ends that keep all they may leave room for those that keep nothing. */
static void there_is_always_room_for_the_requests_in_flight(void **state)
{
    static struct grant_user other[5];
    struct grant_map maps[GRANT_MAPS_MAX];

    (void)state;
    for (u32 k = 0; k < 5; k++) {
        grant_pages_open(&other[k], DOMID, (u16)(10 + k));
        other[k].keep = true;
        for (u32 at = 1; at + GRANT_MAPS_MAX <= FAKE_GRANTS; at += GRANT_MAPS_MAX) {
            for (u32 i = 0; i < GRANT_MAPS_MAX; i++) {
                maps[i] = (struct grant_map){.ref = at + i, .write = true};
            }
            seam = grant_pages_seam(&other[k]);
            assert_int_equal(seam.map(seam.ctx, maps, GRANT_MAPS_MAX), ST_OK);
            seam.unmap(seam.ctx, maps, GRANT_MAPS_MAX);
        }
    }
    assert_true(fake_grants_mapped() <= GRANT_PAGES - GRANT_SPARE);
    seam = grant_pages_seam(&user);
    use(1, 500);
    for (u32 k = 0; k < 5; k++) {
        grant_pages_close(&other[k]);
    }
}

static void two_front_ends_have_their_own_page_of_the_same_number(void **state)
{
    static struct grant_user other;
    struct grants its;
    struct grant_map mine[1], theirs[1] = {{.ref = 9, .write = true}};
    struct fake_guest *neighbour = fake_guest_make(8, 1, MIB(1));

    (void)state;
    neighbour->grant[9] = (struct fake_grant){.valid = true, .gfn = FAKE_GUEST_BASE / 4096};
    memset(fake_guest_byte(neighbour, FAKE_GUEST_BASE), 0x5a, 4);
    grant_pages_open(&other, 8, 4);
    its = grant_pages_seam(&other);
    other.keep = user.keep = true;
    assert_int_equal(map(mine, 9, 1, true), ST_OK);
    assert_int_equal(its.map(its.ctx, theirs, 1), ST_OK);
    assert_int_equal(word(&mine[0]), 9);
    assert_int_equal(word(&theirs[0]), 0x5a5a5a5a);
    seam.unmap(seam.ctx, mine, 1);
    its.unmap(its.ctx, theirs, 1);
    grant_pages_close(&other);
}

static void copies_stand_alone_and_are_one_call(void **state)
{
    static u8 ours[4096] __attribute__((aligned(4096)));
    struct grant_copy copies[3] = {
        {.ref = 5, .bytes = 4, .ours = ours},
        {.ref = 0, .bytes = 4, .ours = ours + 4},
        {.ref = 6, .offset = 8, .bytes = 4, .to_guest = true, .ours = ours},
    };
    u64 calls = fake_xen.calls;

    (void)state;
    seam.copy(seam.ctx, copies, 3);
    assert_int_equal(fake_xen.calls, calls + 1);
    assert_int_equal(copies[0].status, ST_OK);
    assert_int_equal(copies[1].status, ST_GUEST); /* never granted */
    assert_int_equal(copies[2].status, ST_OK);
    assert_int_equal(ours[0], 5);
    assert_int_equal(*fake_guest_byte(guest, FAKE_GUEST_BASE + 6 * 4096 + 8), 5);
    fake_xen_fail(1, -XEN_EFAULT);
    seam.copy(seam.ctx, copies, 1);
    assert_int_equal(copies[0].status, ST_GUEST);
}

static void a_ring_lies_in_one_piece_wherever_its_pages_are(void **state)
{
    const u32 refs[4] = {40, 20, 30, 10};
    u8 *page;

    (void)state;
    assert_int_equal(grant_ring_map(&user, 1, refs, 4, &page), ST_OK);
    for (u32 i = 0; i < 4; i++) {
        assert_int_equal(*(u32 *)(void *)(page + (u64)i * 4096), refs[i]);
    }
    grant_ring_unmap(&user, 1);
    grant_ring_unmap(&user, 1); /* once is enough, twice no harm */
    assert_int_equal(grant_ring_map(&user, 1, refs, 1, &page), ST_OK);
    grant_ring_unmap(&user, 1);
}

static void a_ring_that_is_not_all_granted_is_not_mapped(void **state)
{
    const u32 refs[4] = {40, 20, 0, 10};
    u8 *page;

    (void)state;
    assert_int_equal(grant_ring_map(&user, 0, refs, 4, &page), ST_GUEST);
    assert_int_equal(fake_grants_mapped(), 0);
}

/* A dying guest stays as long as we hold a page of it. */
static void a_dead_guest_is_let_go(void **state)
{
    (void)state;
    user.keep = true;
    use(1, 64);
    fake_guest_kill(guest);
    assert_false(fake_guest_gone(guest));
    grant_pages_close(&user);
    assert_true(fake_guest_gone(guest));
}

static void without_address_space_it_says_so(void **state)
{
    const struct extregion_range small = {fake_xen.region, MIB(8)};

    (void)state;
    assert_int_equal(extregion_init(&small, 1), ST_OK);
    assert_int_equal(grant_pages_init(), ST_FULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_of_a_request_go_with_it_in_two_calls),
        TEST(a_page_that_is_not_granted_leaves_none_mapped),
        TEST(grants_that_stay_are_mapped_once),
        TEST(a_page_of_two_requests_is_one),
        TEST(a_page_twice_in_a_request_is_mapped_twice_and_given_back),
        TEST(no_more_are_kept_than_the_limit_and_the_latest_stay),
        TEST(a_page_in_use_is_not_discarded),
        TEST(there_is_always_room_for_the_requests_in_flight),
        TEST(two_front_ends_have_their_own_page_of_the_same_number),
        TEST(copies_stand_alone_and_are_one_call),
        TEST(a_ring_lies_in_one_piece_wherever_its_pages_are),
        TEST(a_ring_that_is_not_all_granted_is_not_mapped),
        TEST(a_dead_guest_is_let_go),
        TEST(without_address_space_it_says_so),
    };

    return cmocka_run_group_tests_name("grant_pages", tests, NULL, NULL);
}
