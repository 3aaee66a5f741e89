/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_mem.c - guest memory made of a front end's files. */
#include "tools/vhost-user/vu_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE KIB(4)
#define USER UINT64_C(0x7f0000000000)

static struct vu_mem mem;
static bool mem_made;
static int file; /* 16 pages, each filled with its number */
static const char *why;

static int fresh(void **state)
{
    (void)state;
    if (!mem_made) {
        vu_mem_init(&mem);
        mem_made = true;
    }
    file = memfd_create("guest", 0);
    for (u32 page = 0; page < 16; page++) {
        u8 content[PAGE];

        memset(content, (int)page, sizeof(content));
        assert_int_equal(write(file, content, sizeof(content)), PAGE);
    }
    return 0;
}

static int gone(void **state)
{
    (void)state;
    vu_mem_clear(&mem);
    close(file);
    return 0;
}

static enum status add(u64 guest, u64 bytes, u64 user, u64 offset)
{
    const struct vu_region region = {guest, bytes, user, offset};

    why = NULL;
    return vu_mem_add(&mem, &region, file, &why);
}

static u8 byte_at(u64 guest)
{
    u8 byte = 0xff;

    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){guest}, 1), ST_OK);
    return byte;
}

static void a_region_shows_its_part_of_the_file(void **state)
{
    (void)state;
    assert_int_equal(add(0x10000, 2 * PAGE, USER, 3 * PAGE), ST_OK);
    assert_int_equal(byte_at(0x10000), 3);
    assert_int_equal(byte_at(0x10000 + PAGE), 4);
    assert_int_equal(byte_at(0x10000 + 2 * PAGE - 1), 4);
}

static void an_offset_need_not_be_a_page(void **state)
{
    (void)state;
    assert_int_equal(add(0x10000, PAGE, USER, PAGE + 16), ST_OK);
    assert_int_equal(byte_at(0x10000 + PAGE - 17), 1);
    assert_int_equal(byte_at(0x10000 + PAGE - 16), 2);
}

static void bytes_outside_every_region_are_not_memory(void **state)
{
    u8 byte;

    (void)state;
    assert_int_equal(add(0x10000, PAGE, USER, 0), ST_OK);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){0xffff}, 1), ST_GUEST);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){0x11000}, 1), ST_GUEST);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){0}, 1), ST_GUEST);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){UINT64_MAX}, 1), ST_GUEST);
}

/* neighbours for the guest, strangers for us. */
static void a_buffer_across_two_regions_becomes_two_spans(void **state)
{
    struct span spans[4];
    u32 count = 0;

    (void)state;
    assert_int_equal(add(0x12000, PAGE, USER + 0x100000, 9 * PAGE), ST_OK);
    assert_int_equal(add(0x10000, 2 * PAGE, USER, 0), ST_OK);
    assert_int_equal(gmem_span(&mem.gm, (gpa_t){0x11ff0}, 32, GMEM_WRITE, spans, 4, &count), ST_OK);
    assert_int_equal(count, 2);
    assert_int_equal(spans[0].bytes, 16);
    assert_int_equal(spans[0].base[0], 1);
    assert_int_equal(spans[1].bytes, 16);
    assert_int_equal(spans[1].base[0], 9);
    assert_int_equal(vu_mem_pinned(&mem), 2);
    gmem_release(&mem.gm, spans, count);
    assert_int_equal(vu_mem_pinned(&mem), 0);
    count = 0;
    assert_int_equal(gmem_span(&mem.gm, (gpa_t){0x12ff0}, 32, GMEM_READ, spans, 4, &count),
                     ST_GUEST);
    assert_int_equal(vu_mem_pinned(&mem), 0);
}

static void impossible_regions_are_refused(void **state)
{
    (void)state;
    assert_int_equal(add(0x10000, 0, USER, 0), ST_INVAL);
    assert_int_equal(add(UINT64_MAX - PAGE + 2, PAGE, USER, 0), ST_INVAL);
    assert_int_equal(add(0x10000, PAGE, UINT64_MAX - PAGE + 2, 0), ST_INVAL);
    assert_int_equal(add(0x10000, PAGE, USER, UINT64_MAX - PAGE + 2), ST_INVAL);
    assert_int_equal(add(0x10000, PAGE, USER, INT64_MAX), ST_INVAL);
    assert_int_equal(add(0x10000, 17 * PAGE, USER, 0), ST_IO);
    assert_int_equal(add(0x10000, PAGE, USER, 15 * PAGE + 1), ST_IO);
    assert_non_null(why);
    assert_int_equal(mem.count, 0);
}

static void overlapping_regions_are_refused(void **state)
{
    (void)state;
    assert_int_equal(add(0x10000, 4 * PAGE, USER, 0), ST_OK);
    assert_int_equal(add(0x10000, PAGE, USER + 0x100000, 0), ST_INVAL);
    assert_int_equal(add(0x13000, 2 * PAGE, USER + 0x100000, 0), ST_INVAL);
    assert_int_equal(add(0xf000, 2 * PAGE, USER + 0x100000, 0), ST_INVAL);
    assert_int_equal(add(0xf000, 16 * PAGE, USER + 0x100000, 0), ST_INVAL);
    assert_int_equal(add(0x20000, PAGE, USER + PAGE, 0), ST_INVAL);
    assert_int_equal(add(0xf000, PAGE, USER + 0x100000, 0), ST_OK);
    assert_int_equal(add(0x14000, PAGE, USER + 0x200000, 0), ST_OK);
}

static void a_descriptor_that_is_no_file_is_refused(void **state)
{
    const struct vu_region region = {0x10000, PAGE, USER, 0};
    int pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(vu_mem_add(&mem, &region, pipes[0], &why), ST_IO);
    assert_int_equal(vu_mem_add(&mem, &region, -1, &why), ST_IO);
    close(pipes[0]);
    close(pipes[1]);
}

static void every_slot_can_be_used_and_one_more_cannot(void **state)
{
    (void)state;
    for (u64 i = 0; i < VU_SLOTS_MAX; i++) {
        /* From the middle outwards, so that the order is not that of arrival. */
        const u64 at = i % 2 == 0 ? 1000 + i : 1000 - i;

        assert_int_equal(add(at * PAGE, PAGE, USER + at * PAGE, (at % 16) * PAGE), ST_OK);
    }
    assert_int_equal(add(0, PAGE, USER, 0), ST_FULL);
    for (u64 i = 0; i < VU_SLOTS_MAX; i++) {
        const u64 at = i % 2 == 0 ? 1000 + i : 1000 - i;

        assert_int_equal(byte_at(at * PAGE + 5), at % 16);
    }
}

static void a_removed_region_is_gone_and_its_slot_is_free(void **state)
{
    struct vu_region region = {0x10000, PAGE, USER, 0};
    u8 byte;

    (void)state;
    assert_int_equal(add(0x10000, PAGE, USER, 0), ST_OK);
    assert_int_equal(add(0x20000, PAGE, USER + 0x10000, PAGE), ST_OK);
    region.bytes = 2 * PAGE;
    assert_int_equal(vu_mem_remove(&mem, &region), ST_NOENT);
    region.bytes = PAGE;
    region.offset = 12345; /* ignored */
    assert_int_equal(byte_at(0x10000), 0);
    assert_int_equal(vu_mem_remove(&mem, &region), ST_OK);
    assert_int_equal(vu_mem_remove(&mem, &region), ST_NOENT);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){0x10000}, 1), ST_GUEST);
    assert_int_equal(byte_at(0x20000), 1);
    assert_int_equal(add(0x10000, PAGE, USER, 2 * PAGE), ST_OK);
    assert_int_equal(byte_at(0x10000), 2);
}

static void addresses_of_the_front_end_lead_to_guest_addresses(void **state)
{
    u64 guest = 0;

    (void)state;
    assert_int_equal(add(0x10000, PAGE, USER, 0), ST_OK);
    assert_int_equal(add(0x50000, PAGE, USER + PAGE, 0), ST_OK);
    assert_true(vu_mem_user_to_guest(&mem, USER + 5, &guest));
    assert_int_equal(guest, 0x10005);
    assert_true(vu_mem_user_to_guest(&mem, USER + PAGE, &guest));
    assert_int_equal(guest, 0x50000);
    assert_false(vu_mem_user_to_guest(&mem, USER - 1, &guest));
    assert_false(vu_mem_user_to_guest(&mem, USER + 2 * PAGE, &guest));
}

static void memory_taken_away_ends_the_guest_and_not_us(void **state)
{
    struct span span;
    u32 count = 0;
    u8 byte;

    (void)state;
    assert_int_equal(vu_mem_guard(), ST_OK);
    assert_int_equal(add(0x10000, 2 * PAGE, USER, 0), ST_OK);
    assert_int_equal(gmem_span(&mem.gm, (gpa_t){0x11000}, 8, GMEM_WRITE, &span, 1, &count), ST_OK);
    assert_int_equal(ftruncate(file, PAGE), 0);
    assert_false(mem.broken);
    *(volatile u8 *)span.base = 1;
    assert_true(mem.broken);
    gmem_release(&mem.gm, &span, 1);
    gmem_forget(&mem.gm);
    assert_int_equal(gmem_copy_in(&mem.gm, &byte, (gpa_t){0x10000}, 1), ST_GUEST);
    vu_mem_clear(&mem);
    assert_false(mem.broken);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_shows_its_part_of_the_file),
        TEST(an_offset_need_not_be_a_page),
        TEST(bytes_outside_every_region_are_not_memory),
        TEST(a_buffer_across_two_regions_becomes_two_spans),
        TEST(impossible_regions_are_refused),
        TEST(overlapping_regions_are_refused),
        TEST(a_descriptor_that_is_no_file_is_refused),
        TEST(every_slot_can_be_used_and_one_more_cannot),
        TEST(a_removed_region_is_gone_and_its_slot_is_free),
        TEST(addresses_of_the_front_end_lead_to_guest_addresses),
        TEST(memory_taken_away_ends_the_guest_and_not_us),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
