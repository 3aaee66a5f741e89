/* SPDX-License-Identifier: BSD-2-Clause */
/* test_disks.c - disks from a configuration: made, opened, resized, or refused with a sentence. */
#include "start/disks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MEMORY_BYTES MIB(4)

static _Alignas(PAGE_BYTES) u8 memory[MEMORY_BYTES];
static _Alignas(PAGE_BYTES) u8 content[KIB(64)];
static struct config config;
static struct disks disks;
static struct memmap map;
static char why[CONFIG_WHY_MAX];

/** The disks of these bootargs, over memory full of somebody's bytes. */
static enum status make(const char *bootargs)
{
    const struct memrange initrd = {(u64)(uintptr_t)content, sizeof(content)};

    memset(memory, 0xa5, sizeof(memory));
    why[0] = '\0';
    memmap_init(&map, NULL);
    assert_int_equal(memmap_add_bank(&map, (u64)(uintptr_t)memory, sizeof(memory)), ST_OK);
    assert_int_equal(config_parse(bootargs, &config, why), ST_OK);
    return disks_init(&disks, &config, &map, &initrd, why);
}

static enum status resize(const char *name, u64 bytes)
{
    struct disk *disk = NULL;
    enum status st;

    why[0] = '\0';
    st = disks_resize(&disks, name, bytes, &disk, why);
    assert_int_equal(st == ST_OK, disk != NULL);
    assert_int_equal(st == ST_OK, why[0] == '\0');
    return st;
}

static void expect_zeroes(const u8 *from, u64 bytes)
{
    static const u8 zeroes[MEMORY_BYTES];

    assert_memory_equal(from, zeroes, bytes);
}

static void a_disk_of_zeroes_is_zero_up_to_its_max(void **state)
{
    const struct ramdisk *ram = &disks.disk[0].ram;

    (void)state;
    assert_int_equal(make("disk=data,size=64K,max=1M,queues=3 disk=fixed,size=8K,ro"), ST_OK);
    assert_int_equal(disks.count, 2);
    assert_int_equal(ram->bytes, KIB(64));
    assert_int_equal(ram->reserved, MIB(1));
    assert_int_equal(disks.disk[0].queues, 3);
    assert_int_equal(disks.disk[1].queues, 1);
    assert_int_equal(disks.disk[1].ram.reserved, KIB(8));
    assert_true(disks.disk[1].ram.base >= ram->base + MIB(1));
    expect_zeroes(ram->base, MIB(1));
}

static void what_does_not_fit_is_refused_by_the_word_that_asks_for_it(void **state)
{
    (void)state;
    assert_int_equal(make("disk=data,size=5M"), ST_FULL);
    assert_non_null(strstr(why, "size=5120 KiB does not fit"));
    assert_int_equal(make("disk=data,size=1M,max=5M"), ST_FULL);
    assert_non_null(strstr(why, "max=5120 KiB does not fit"));
}

static void a_piece_of_the_initrd_stays_where_it_is(void **state)
{
    bool write = true;
    struct disk *disk;

    (void)state;
    memset(content, 0x3c, sizeof(content));
    assert_int_equal(make("disk=a,initrd,offset=4K,size=8K"), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &write, &disk), ST_OK);
    assert_ptr_equal(disk->ram.base, content + KIB(4));
    assert_int_equal(disk->queues, 1);
    assert_int_equal(content[KIB(4)], 0x3c);
    disk_close(disk, write);
    assert_int_equal(resize("a", KIB(4)), ST_NOSUP);
    assert_non_null(strstr(why, "'a' is a piece of the initrd"));
}

static void one_writer_or_several_readers(void **state)
{
    bool write = true, read = false;
    struct disk *first, *second;

    (void)state;
    assert_int_equal(make("disk=a,size=8K"), ST_OK);
    assert_int_equal(disk_open(&disks, "", &write, &first), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &read, &second), ST_ACCES);
    disk_close(first, write);
    assert_int_equal(disk_open(&disks, "a", &read, &first), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &read, &second), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &write, &second), ST_ACCES);
    assert_int_equal(disk_open(&disks, "b", &read, &second), ST_NOENT);
}

static void a_shared_disk_has_as_many_writers_as_come(void **state)
{
    bool write = true, read = false;
    struct disk *disk;

    (void)state;
    assert_int_equal(make("disk=a,size=8K,shared"), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &write, &disk), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &write, &disk), ST_OK);
    assert_int_equal(disk_open(&disks, "a", &read, &disk), ST_OK);
    disk_close(disk, true);
    disk_close(disk, true);
    disk_close(disk, false);
    assert_int_equal(disk->writers + disk->readers, 0);
}

static void pieces_that_overlap_are_read_only_or_shared(void **state)
{
    (void)state;
    assert_int_equal(make("disk=a,initrd,size=8K disk=b,offset=8K"), ST_OK);
    assert_int_equal(make("disk=a,initrd,size=8K disk=b,offset=4K"), ST_RANGE);
    assert_non_null(strstr(why, "'b' overlaps another disk's piece"));
    assert_int_equal(make("disk=a,initrd,size=8K,ro disk=b,offset=4K"), ST_RANGE);
    assert_int_equal(make("disk=a,initrd,size=8K,ro disk=b,offset=4K,ro"), ST_OK);
    assert_int_equal(make("disk=a,initrd,size=8K,shared disk=b,offset=4K,shared"), ST_OK);
    assert_int_equal(make("disk=a,initrd,size=8K,shared disk=b,offset=4K,ro"), ST_OK);
    assert_int_equal(make("disk=a,initrd,size=8K,shared disk=b,offset=4K"), ST_RANGE);
}

/** One primary partition of 16 sectors at 64, one of 4 at 100. */
static void content_partition(void)
{
    static const u8 entry[32] = {
        [4] = 0x83, [8] = 64, [12] = 16, [20] = 0x83, [24] = 100, [28] = 4};

    memset(content, 0, sizeof(content));
    memcpy(content + 440, "\x34\x12\xfe\xca", 4);
    memcpy(content + 446, entry, sizeof(entry));
    content[510] = 0x55;
    content[511] = 0xaa;
}

static void a_partition_is_a_disk_and_its_table_is_read_once(void **state)
{
    (void)state;
    content_partition();
    assert_int_equal(make("disk=a,part=1 disk=b,partuuid=cafe1234-02,ro disk=c,size=4K"), ST_OK);
    memset(content, 0xff, SECTOR_BYTES);
    assert_ptr_equal(disks.disk[0].ram.base, content + 64 * 512);
    assert_int_equal(disks.disk[0].ram.bytes, 16 * 512);
    assert_ptr_equal(disks.disk[1].ram.base, content + 100 * 512);
    assert_int_equal(disks.disk[1].ram.bytes, 4 * 512);
    assert_int_equal(disks.disk[2].ram.bytes, KIB(4));
}

static void a_partition_that_is_not_there_is_said(void **state)
{
    (void)state;
    content_partition();
    assert_int_equal(make("disk=a,part=3"), ST_NOENT);
    assert_string_equal(why, "disk 'a': the table has no such partition");
    assert_int_equal(make("disk=a,part=1 disk=all"), ST_RANGE);
    assert_non_null(strstr(why, "'all' overlaps another disk's piece"));
    content[446 + 13] = 0xff;
    assert_int_equal(make("disk=a,part=1"), ST_RANGE);
    assert_non_null(strstr(why, "reaches out of the disk"));
    content[446 + 4] = 0xee;
    assert_int_equal(make("disk=a,partlabel=root"), ST_PROTO);
    assert_non_null(strstr(why, "is damaged: repair it with sgdisk or sfdisk"));
    content[510] = 0;
    assert_int_equal(make("disk=a,part=1"), ST_NOSUP);
    assert_non_null(strstr(why, "there is no partition table"));
}

static void a_resize_that_cannot_be_says_why(void **state)
{
    (void)state;
    assert_int_equal(make("disk=data,size=64K,max=128K"), ST_OK);
    assert_int_equal(resize("dat", KIB(64)), ST_NOENT);
    assert_non_null(strstr(why, "there is no disk 'dat' here, but: data"));
    assert_int_equal(resize("data", KIB(129)), ST_RANGE);
    assert_non_null(strstr(why, "129 KiB are more than the 128 KiB reserved"));
    assert_int_equal(resize("data", 100), ST_INVAL);
    assert_non_null(strstr(why, "multiple of 512"));
    assert_int_equal(resize("data", 0), ST_INVAL);
    assert_int_equal(disks.disk[0].ram.bytes, KIB(64));
    assert_int_equal(disks_poll(&disks, 1), 0);
}

/* What was cut off is wiped by the poll loop, a slice a turn, and only then comes back. */
static void what_is_cut_off_is_wiped_by_the_poll_loop(void **state)
{
    u8 *base;
    u32 turns = 0;

    (void)state;
    assert_int_equal(make("disk=data,size=2M disk=other,size=64K"), ST_OK);
    base = disks.disk[0].ram.base;
    memset(base, 0x77, MIB(2));
    assert_false(disks_arm(&disks));
    assert_int_equal(resize("data", KIB(512)), ST_OK);
    assert_true(disks_arm(&disks)); /* no sleep while there is something to wipe */
    disks_disarm(&disks);
    assert_int_equal(resize("data", MIB(1)), ST_AGAIN);
    assert_non_null(strstr(why, "still being wiped"));
    while (disks_poll(&disks, 1) > 0) {
        assert_true(++turns <= 8);
    }
    assert_int_equal(turns, (MIB(2) - KIB(512)) / RAMDISK_SLICE_BYTES);
    assert_false(disks_arm(&disks));
    assert_int_equal(resize("data", MIB(2)), ST_OK);
    assert_int_equal(base[KIB(512) - 1], 0x77);
    expect_zeroes(base + KIB(512), MIB(2) - KIB(512));
    assert_int_equal(disks_poll(&disks, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_of_zeroes_is_zero_up_to_its_max),
        cmocka_unit_test(what_does_not_fit_is_refused_by_the_word_that_asks_for_it),
        cmocka_unit_test(a_piece_of_the_initrd_stays_where_it_is),
        cmocka_unit_test(one_writer_or_several_readers),
        cmocka_unit_test(a_shared_disk_has_as_many_writers_as_come),
        cmocka_unit_test(pieces_that_overlap_are_read_only_or_shared),
        cmocka_unit_test(a_partition_is_a_disk_and_its_table_is_read_once),
        cmocka_unit_test(a_partition_that_is_not_there_is_said),
        cmocka_unit_test(a_resize_that_cannot_be_says_why),
        cmocka_unit_test(what_is_cut_off_is_wiped_by_the_poll_loop),
    };

    return cmocka_run_group_tests_name("disks", tests, NULL, NULL);
}
