/* SPDX-License-Identifier: BSD-2-Clause */
/* config.c - the bootargs, read word by word; every word is ours or refused. */
#include "start/config.h"

#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/parts.h"

#define SPIN_DEFAULT_NS UINT64_C(50000) /* about what a sleep and a wake-up cost under Xen */

/** A piece of the bootargs: not terminated. */
struct word {
    const char *text;
    usize bytes;
};

static bool word_is(struct word w, const char *text)
{
    return w.bytes == strlen(text) && memcmp(w.text, text, w.bytes) == 0;
}

/** When w starts with "key=", cut that off and return true. */
static bool word_cut_key(struct word *w, const char *key)
{
    usize bytes = strlen(key);

    if (w->bytes <= bytes || memcmp(w->text, key, bytes) != 0 || w->text[bytes] != '=') {
        return false;
    }
    w->text += bytes + 1;
    w->bytes -= bytes + 1;
    return true;
}

/** The next piece of *rest up to a separator; false at the end. */
static bool word_next(const char **rest, char separator, struct word *w)
{
    const char *p = *rest;

    while (*p == separator) {
        p++;
    }
    w->text = p;
    while (*p && *p != separator) {
        p++;
    }
    w->bytes = (usize)(p - w->text);
    *rest = p;
    return w->bytes > 0;
}

static u32 digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return (u32)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (u32)(c - 'a') + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return (u32)(c - 'A') + 10;
    }
    return 16;
}

static u64 suffix_factor(char c)
{
    switch (c) {
    case 'K':
        return KIB(1);
    case 'M':
        return MIB(1);
    case 'G':
        return MIB(1024);
    default:
        return 1;
    }
}

static bool parse_bytes(struct word w, u64 *value)
{
    u64 base = 10;
    u64 sum = 0;
    u64 factor = w.bytes ? suffix_factor(w.text[w.bytes - 1]) : 1;

    if (factor != 1) {
        w.bytes--;
    }
    if (w.bytes > 2 && w.text[0] == '0' && w.text[1] == 'x') {
        base = 16;
        w.text += 2;
        w.bytes -= 2;
    }
    if (w.bytes == 0) {
        return false;
    }
    for (usize i = 0; i < w.bytes; i++) {
        u32 digit = digit_value(w.text[i]);

        if (digit >= base || !mul_ok_u64(sum, base, &sum) || !add_ok_u64(sum, digit, &sum)) {
            return false;
        }
    }
    return mul_ok_u64(sum, factor, value);
}

static enum status refuse(char *why, const char *what, struct word w)
{
    snprintf(why, CONFIG_WHY_MAX, "bootargs: %s: '%.*s'", what, (int)min_u64(w.bytes, 48), w.text);
    return ST_PROTO;
}

static bool name_ok(struct word w)
{
    if (w.bytes == 0 || w.bytes >= DISK_NAME_MAX) {
        return false;
    }
    for (usize i = 0; i < w.bytes; i++) {
        char c = w.text[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (!plain && c != '-' && c != '_' && c != '.') {
            return false;
        }
    }
    return true;
}

/** The next comma-separated piece of *w; false at the end. */
static bool option_next(struct word *w, struct word *option)
{
    const char *comma = memchr(w->text, ',', w->bytes);

    if (w->bytes == 0) {
        return false;
    }
    option->text = w->text;
    option->bytes = comma ? (usize)(comma - w->text) : w->bytes;
    w->text += option->bytes + (comma ? 1 : 0);
    w->bytes -= option->bytes + (comma ? 1 : 0);
    return true;
}

static bool parse_sectors(struct word w, u64 *bytes)
{
    return parse_bytes(w, bytes) && *bytes > 0 && is_aligned(*bytes, SECTOR_BYTES);
}

static enum status parse_queues(struct config_disk *disk, struct word w, char *why)
{
    u64 queues;

    if (!parse_bytes(w, &queues) || queues < 1 || queues > VQ_PER_DEVICE) {
        return refuse(why, "queues= takes 1 to 8, not", w); /* VQ_PER_DEVICE */
    }
    disk->queues = (u16)queues;
    return ST_OK;
}

/** By what the option names a partition, and cut that off; DISK_WHOLE when it does not. */
static enum disk_part part_cut_key(struct word *option)
{
    if (word_cut_key(option, "part")) {
        return DISK_PART_NUMBER;
    }
    if (word_cut_key(option, "partuuid")) {
        return DISK_PART_UUID;
    }
    return word_cut_key(option, "partlabel") ? DISK_PART_LABEL : DISK_WHOLE;
}

static enum status parse_part(struct config_disk *disk, enum disk_part part, struct word w,
                              char *why)
{
    u64 number = 0;

    if (!PART_TABLES) {
        return refuse(why, "this image was built without partition tables (PARTS=tables)", w);
    }
    if (disk->part != DISK_WHOLE) {
        return refuse(why, "a disk is one partition; two are named, the second is", w);
    }
    if (part == DISK_PART_NUMBER &&
        (!parse_bytes(w, &number) || number == 0 || number > UINT32_MAX)) {
        return refuse(why, "part= takes the number of a partition, from 1, not", w);
    }
    if (w.bytes >= CONFIG_PART_MAX) {
        return refuse(why, "no PARTUUID or PARTLABEL is longer than 36 characters", w);
    }
    disk->part = part;
    disk->part_number = (u32)number;
    memcpy(disk->part_text, w.text, w.bytes);
    return ST_OK;
}

static enum status parse_limit(u64 *limit, u64 max, struct word w, char *why)
{
    if (!parse_bytes(w, limit) || *limit > max) {
        return refuse(why, "iops= takes up to 100000000 a second, bps= up to 10000000000, not", w);
    }
    return ST_OK;
}

#if PART_LIMITS
#define LIMIT_WORDS "iops=, bps=, "
#else
#define LIMIT_WORDS ""
#endif

static enum status parse_disk_option(struct config_disk *disk, struct word option, bool *initrd,
                                     char *why)
{
    struct word value = option;
    enum disk_part part = part_cut_key(&value);

    if (part != DISK_WHOLE) {
        return parse_part(disk, part, value, why);
    }
    if (word_is(option, "ro")) {
        disk->read_only = true;
    } else if (PART_RINGS && word_is(option, "packed")) {
        disk->packed = true;
    } else if (PART_RINGS && word_is(option, "in-order")) {
        disk->in_order = true;
    } else if (word_is(option, "shared")) {
        disk->shared = true;
    } else if (word_is(option, "initrd")) {
        *initrd = true;
    } else if (word_cut_key(&value, "size")) {
        if (!parse_sectors(value, &disk->bytes)) {
            return refuse(why, "size= takes a multiple of 512, such as 64M, not", value);
        }
    } else if (word_cut_key(&value, "max")) {
        if (!parse_sectors(value, &disk->bytes_max)) {
            return refuse(why, "max= takes a multiple of 512, such as 64M, not", value);
        }
    } else if (word_cut_key(&value, "queues")) {
        return parse_queues(disk, value, why);
    } else if (PART_LIMITS && word_cut_key(&value, "iops")) {
        return parse_limit(&disk->iops, CONFIG_IOPS_MAX, value, why);
    } else if (PART_LIMITS && word_cut_key(&value, "bps")) {
        return parse_limit(&disk->bps, CONFIG_BPS_MAX, value, why);
    } else if (word_cut_key(&value, "offset")) {
        if (!parse_bytes(value, &disk->offset) || !is_aligned(disk->offset, SECTOR_BYTES)) {
            return refuse(why, "offset= takes a multiple of 512, not", value);
        }
    } else {
        return refuse(why,
                      "disk= knows initrd, offset=, size=, part=, partuuid=, partlabel=, max=, "
                      "queues=, packed, in-order, " LIMIT_WORDS "ro and shared, not",
                      option);
    }
    return ST_OK;
}

static enum status parse_disk(struct config *config, struct word w, char *why)
{
    struct config_disk *disk;
    struct word option, name;
    bool initrd = false;

    if (config->disk_count == DISKS_MAX) {
        snprintf(why, CONFIG_WHY_MAX, "bootargs: more than %d disks (DISKS_MAX)", DISKS_MAX);
        return ST_FULL;
    }
    if (!option_next(&w, &option) || !name_ok(option)) {
        return refuse(why, "disk= begins with a name of letters, digits, '-', '_', '.'; not", w);
    }
    for (u32 i = 0; i < config->disk_count; i++) {
        if (word_is(option, config->disk[i].name)) {
            return refuse(why, "two disks have the same name", option);
        }
    }
    name = option;
    disk = &config->disk[config->disk_count];
    memset(disk, 0, sizeof(*disk));
    memcpy(disk->name, option.text, option.bytes);
    while (option_next(&w, &option)) {
        enum status st = parse_disk_option(disk, option, &initrd, why);

        if (st != ST_OK) {
            return st;
        }
    }
    disk->queues = disk->queues ? disk->queues : 1;
    disk->source = initrd || disk->bytes == 0 ? DISK_INITRD : DISK_ZEROES;
    if (disk->source == DISK_ZEROES && (disk->offset != 0 || disk->part != DISK_WHOLE)) {
        return refuse(why, "offset= and part= need initrd; zeroes have none: disk", name);
    }
    if (disk->bytes_max != 0 && (disk->source != DISK_ZEROES || disk->bytes_max < disk->bytes)) {
        return refuse(why, "max= needs a size= that is not larger, and no initrd: disk", name);
    }
    disk->bytes_max = disk->bytes_max ? disk->bytes_max : disk->bytes;
    config->disk_count++;
    return ST_OK;
}

static enum status parse_level(struct config *config, struct word w, char *why)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};

    for (u32 i = 0; i < ARRAY_LEN(names); i++) {
        if (word_is(w, names[i])) {
            config->level = (enum log_level)i;
            return ST_OK;
        }
    }
    return refuse(why, "log= takes error, warn, info or debug, not", w);
}

static enum status parse_spin(struct config *config, struct word w, char *why)
{
    u64 us;

    if (word_is(w, "forever")) {
        config->spin_ns = UINT64_MAX;
        return ST_OK;
    }
    if (!parse_bytes(w, &us) || !mul_ok_u64(us, 1000, &config->spin_ns)) {
        return refuse(why, "spin_us= takes a number of microseconds or 'forever', not", w);
    }
    return ST_OK;
}

static enum status parse_seed(struct config *config, struct word w, char *why)
{
    config->seed_weak = word_is(w, "weak");
    config->seed_given = !config->seed_weak;
    if (config->seed_weak) {
        return ST_OK;
    }
    if (w.bytes != sizeof(config->seed) * 2) {
        return refuse(why, "seed= takes 64 hex digits or 'weak', not", w);
    }
    for (u32 i = 0; i < w.bytes; i++) {
        u32 digit = digit_value(w.text[i]);

        if (digit == 16) {
            return refuse(why, "seed= takes 64 hex digits or 'weak', not", w);
        }
        config->seed[i / 2] = (u8)(config->seed[i / 2] << 4 | digit);
    }
    return ST_OK;
}

static enum status parse_selftest(struct config *config, struct word w, char *why)
{
    if (!word_is(w, "wild") && !word_is(w, "code") && !word_is(w, "stack")) {
        return refuse(why, "selftest= takes wild, code or stack, not", w);
    }
    memcpy(config->selftest, w.text, w.bytes);
    config->selftest[w.bytes] = '\0';
    return ST_OK;
}

static enum status parse_word(struct config *config, struct word w, char *why)
{
    struct word value = w;

    if (word_cut_key(&value, "disk")) {
        return parse_disk(config, value, why);
    }
    if (word_cut_key(&value, "spin_us")) {
        return parse_spin(config, value, why);
    }
    if (word_cut_key(&value, "log")) {
        return parse_level(config, value, why);
    }
    if (PART_ENTROPY && word_cut_key(&value, "seed")) {
        return parse_seed(config, value, why);
    }
    if (word_cut_key(&value, "selftest")) {
        return parse_selftest(config, value, why);
    }
    return refuse(why, "unknown word (known: disk= spin_us= log= seed= selftest=, see README.md)",
                  w);
}

enum status config_parse(const char *bootargs, struct config *config, char *why)
{
    struct word w;

    memset(config, 0, sizeof(*config));
    config->spin_ns = SPIN_DEFAULT_NS;
    config->level = LOG_INFO;
    while (word_next(&bootargs, ' ', &w)) {
        enum status st = parse_word(config, w, why);

        if (st != ST_OK) {
            return st;
        }
    }
    return ST_OK;
}

bool config_parse_bytes(const char *text, u64 *bytes)
{
    return parse_bytes((struct word){.text = text, .bytes = strlen(text)}, bytes);
}
