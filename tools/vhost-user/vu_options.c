/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "start/base/arith.h"
#include "virtio/virtio_defs.h"

#define SPIN_DEFAULT_NS UINT64_C(50000) /* about two wake-ups of a sleeping process */
#define SPIN_MAX_US     UINT64_C(10000000)
#define NS_PER_US       UINT64_C(1000)
#define SERIAL_DEFAULT  "caisson"

enum {
    OPT_SOCKET = 256,
    OPT_FD,
    OPT_FILE,
    OPT_MEMORY,
    OPT_READ_ONLY,
    OPT_SERIAL,
    OPT_QUEUES,
    OPT_RANGES,
    OPT_DISK,
    OPT_POLL,
    OPT_WITHOUT,
    OPT_CAPABILITIES,
};

static const struct option long_options[] = {
    {"socket-path", required_argument, NULL, OPT_SOCKET},
    {"fd", required_argument, NULL, OPT_FD},
    {"blk-file", required_argument, NULL, OPT_FILE},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"read-only", no_argument, NULL, OPT_READ_ONLY},
    {"serial", required_argument, NULL, OPT_SERIAL},
    {"queues", required_argument, NULL, OPT_QUEUES},
    {"ranges", required_argument, NULL, OPT_RANGES},
    {"disk", required_argument, NULL, OPT_DISK},
    {"poll", required_argument, NULL, OPT_POLL},
    {"without", required_argument, NULL, OPT_WITHOUT},
    {"print-capabilities", no_argument, NULL, OPT_CAPABILITIES},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

void vu_options_help(FILE *out)
{
    fputs(
        "usage: caisson-vhost-user --socket-path=PATH --blk-file=FILE [options]\n"
        "       caisson-vhost-user --disk=KEY=VALUE,... [--disk=...] [options]\n"
        "\n"
        "Serves disks to virtual machines (QEMU and others) as vhost-user-blk devices.\n"
        "\n"
        "  --socket-path=PATH   listen for the front end at this unix socket\n"
        "  --fd=N               or: this descriptor is the socket, listening or connected\n"
        "  --blk-file=FILE      the disk is this file or block device\n"
        "  --memory=SIZE        or: the disk is so much memory, zeroes at first (K, M, G)\n"
        "  --read-only          refuse writes\n"
        "  --serial=TEXT        the disk's serial number, up to 20 bytes (caisson)\n"
        "  --queues=N           queues that a driver may use at once, 1 to 8 (1)\n"
        "  --ranges=N           ranges that one discard may name, 1 to 16 (16)\n"
        "  --disk=LIST          one disk of several, its options separated by commas:\n"
        "                       socket=PATH or fd=N, file=FILE or memory=SIZE, ro, serial=TEXT,\n"
        "                       queues=N, ranges=N\n"
        "  --poll=TIME          after the last request look for more so many microseconds\n"
        "                       before sleeping (50); 'never' and 'always' are understood\n"
        "  --without=LIST       do not offer these to the driver, separated by commas: event-idx,\n"
        "                       indirect, packed\n"
        "  --print-capabilities what this program can do, as JSON\n"
        "  --quiet              only warnings and errors\n"
        "  --help               this text\n"
        "\n"
        "SIGTERM or SIGINT ends the program; it then prints what it did and exits with 0.\n",
        out);
}

struct reader {
    struct vu_options *options;
    struct vu_disk_options plain; /* the disk of the options without --disk */
    bool plain_used;
    char *error;
    usize error_bytes;
};

__attribute__((format(printf, 2, 3))) static enum status wrong(struct reader *r, const char *format,
                                                               ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->error, r->error_bytes, format, args);
    va_end(args);
    return ST_INVAL;
}

/* A number and nothing else; *rest is what follows it, when that is wanted. */
static bool number(const char *text, u64 *value, char **rest)
{
    char *end;

    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (rest) {
        *rest = end;
    }
    return errno == 0 && end != text && (rest || *end == '\0');
}

static enum status size_read(struct reader *r, const char *text, u64 *bytes)
{
    static const char units[] = "KMGT";
    u64 factor = 1;
    char *rest;

    if (!number(text, bytes, &rest)) {
        return wrong(r, "'%s' is not a size: write 64M or 1G, for example", text);
    }
    if (*rest != '\0') {
        const char *unit = strchr(units, *rest);

        if (!unit || rest[1] != '\0') {
            return wrong(r, "'%s' is not a size: the units are K, M, G and T", text);
        }
        factor = UINT64_C(1) << (10 * (unit - units + 1));
    }
    if (!mul_ok_u64(*bytes, factor, bytes) || *bytes > INT64_MAX) {
        return wrong(r, "a disk of %s is more than can be", text);
    }
    if (*bytes == 0 || *bytes % SECTOR_BYTES != 0) {
        return wrong(r, "a disk of %s is not a whole number of sectors of 512 bytes", text);
    }
    return ST_OK;
}

static enum status fd_read(struct reader *r, const char *text, int *fd)
{
    u64 value;

    if (!number(text, &value, NULL) || value > INT32_MAX) {
        return wrong(r, "'%s' is not the number of a file descriptor", text);
    }
    *fd = (int)value;
    return ST_OK;
}

/* A count of what, from 1 to most. */
static enum status count_read(struct reader *r, const char *text, const char *what, u32 most,
                              u16 *count)
{
    u64 value;

    if (!number(text, &value, NULL) || value < 1 || value > most) {
        return wrong(r, "a disk has 1 to %u %s, not '%s'", most, what, text);
    }
    *count = (u16)value;
    return ST_OK;
}

static enum status queues_read(struct reader *r, const char *text, u16 *queues)
{
    return count_read(r, text, "queues", VQ_PER_DEVICE, queues);
}

static enum status ranges_read(struct reader *r, const char *text, u16 *ranges)
{
    return count_read(r, text, "ranges in a discard", BLK_RANGES_MAX, ranges);
}

static enum status poll_read(struct reader *r, const char *text)
{
    u64 us;

    if (strcmp(text, "always") == 0) {
        r->options->spin_ns = VU_POLL_ALWAYS;
        return ST_OK;
    }
    if (strcmp(text, "never") == 0) {
        r->options->spin_ns = 0;
        return ST_OK;
    }
    if (!number(text, &us, NULL) || us > SPIN_MAX_US) {
        return wrong(r, "--poll=%s: it takes 'always', 'never' or microseconds up to 10 s", text);
    }
    r->options->spin_ns = us * NS_PER_US;
    return ST_OK;
}

static enum status without_read(struct reader *r, char *list)
{
    static const struct {
        const char *name;
        u32 feature;
    } known[] = {{"event-idx", VIRTIO_F_EVENT_IDX},
                 {"indirect", VIRTIO_F_INDIRECT_DESC},
                 {"packed", VIRTIO_F_RING_PACKED}};
    char *place = NULL;

    for (char *item = strtok_r(list, ",", &place); item; item = strtok_r(NULL, ",", &place)) {
        u32 i = 0;

        while (i < ARRAY_LEN(known) && strcmp(item, known[i].name) != 0) {
            i++;
        }
        if (i == ARRAY_LEN(known)) {
            return wrong(
                r, "--without: a driver can do without event-idx, indirect and packed, not '%s'",
                item);
        }
        r->options->without |= BIT64(known[i].feature);
    }
    return ST_OK;
}

static enum status disk_add(struct reader *r, const struct vu_disk_options *disk)
{
    const int sockets = (disk->socket != NULL) + (disk->fd >= 0);
    const int media = (disk->file != NULL) + (disk->memory_bytes != 0);

    if (sockets != 1) {
        return wrong(r, "a disk needs one socket: --socket-path=PATH or --fd=N");
    }
    if (media != 1) {
        return wrong(r, "a disk needs one medium: --blk-file=FILE or --memory=SIZE");
    }
    if (strlen(disk->serial) > 20) {
        return wrong(r, "the serial number '%s' is longer than 20 bytes", disk->serial);
    }
    if (r->options->disk_count == VU_DISKS_MAX) {
        return wrong(r, "more than %d disks: start a second server", VU_DISKS_MAX);
    }
    r->options->disk[r->options->disk_count++] = *disk;
    return ST_OK;
}

static struct vu_disk_options disk_default(void)
{
    return (struct vu_disk_options){
        .fd = -1, .serial = SERIAL_DEFAULT, .queues = 1, .ranges = BLK_RANGES_MAX};
}

/* KEY=VALUE,KEY=VALUE,... of --disk. */
static enum status disk_read(struct reader *r, char *list)
{
    struct vu_disk_options disk = disk_default();
    char *place = NULL;
    enum status st = ST_OK;

    for (char *item = strtok_r(list, ",", &place); item && st == ST_OK;
         item = strtok_r(NULL, ",", &place)) {
        char *value = strchr(item, '=');

        if (value) {
            *value++ = '\0';
        }
        if (strcmp(item, "ro") == 0 && !value) {
            disk.read_only = true;
        } else if (!value || *value == '\0') {
            st = wrong(r, "--disk: '%s' is not understood: write it as KEY=VALUE", item);
        } else if (strcmp(item, "socket") == 0) {
            disk.socket = value;
        } else if (strcmp(item, "fd") == 0) {
            st = fd_read(r, value, &disk.fd);
        } else if (strcmp(item, "file") == 0) {
            disk.file = value;
        } else if (strcmp(item, "memory") == 0) {
            st = size_read(r, value, &disk.memory_bytes);
        } else if (strcmp(item, "serial") == 0) {
            disk.serial = value;
        } else if (strcmp(item, "queues") == 0) {
            st = queues_read(r, value, &disk.queues);
        } else if (strcmp(item, "ranges") == 0) {
            st = ranges_read(r, value, &disk.ranges);
        } else {
            st = wrong(r,
                       "--disk: the keys are socket, fd, file, memory, serial, queues, ranges "
                       "and ro, not '%s'",
                       item);
        }
    }
    return st == ST_OK ? disk_add(r, &disk) : st;
}

static enum status option_read(struct reader *r, int option, char *value)
{
    struct vu_disk_options *plain = &r->plain;

    switch (option) {
    case OPT_SOCKET:
        plain->socket = value;
        break;
    case OPT_FD:
        r->plain_used = true;
        return fd_read(r, value, &plain->fd);
    case OPT_FILE:
        plain->file = value;
        break;
    case OPT_MEMORY:
        r->plain_used = true;
        return size_read(r, value, &plain->memory_bytes);
    case OPT_READ_ONLY:
        plain->read_only = true;
        break;
    case OPT_SERIAL:
        plain->serial = value;
        break;
    case OPT_QUEUES:
        r->plain_used = true;
        return queues_read(r, value, &plain->queues);
    case OPT_RANGES:
        r->plain_used = true;
        return ranges_read(r, value, &plain->ranges);
    case OPT_DISK:
        return disk_read(r, value);
    case OPT_POLL:
        return poll_read(r, value);
    case OPT_WITHOUT:
        return without_read(r, value);
    case OPT_CAPABILITIES:
        r->options->capabilities = true;
        return ST_OK;
    case 'q':
        r->options->quiet = true;
        return ST_OK;
    case 'h':
        r->options->help = true;
        return ST_OK;
    default:
        return wrong(r, "an option is unknown or lacks its value: see --help");
    }
    r->plain_used = true;
    return ST_OK;
}

enum status vu_options_parse(struct vu_options *options, int argc, char **argv, char *error,
                             usize error_bytes)
{
    struct reader r = {.options = options, .error = error, .error_bytes = error_bytes};
    int option;

    memset(options, 0, sizeof(*options));
    options->spin_ns = SPIN_DEFAULT_NS;
    r.plain = disk_default();
    optind = 0; /* begin anew, whoever parsed before */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "hq", long_options, NULL)) != -1) {
        enum status st = option_read(&r, option, optarg);

        if (st != ST_OK) {
            return st;
        }
    }
    if (options->help || options->capabilities) {
        return ST_OK;
    }
    if (optind < argc) {
        return wrong(&r, "'%s' is not an option: see --help", argv[optind]);
    }
    if (r.plain_used) {
        return disk_add(&r, &r.plain);
    }
    return options->disk_count > 0 ? ST_OK : wrong(&r, "no disk to serve: see --help");
}
