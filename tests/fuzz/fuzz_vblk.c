/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vblk.c - block requests made of bytes, against a model of the disk.
 *
 * An input is a device (features, medium, block size) and a list of requests, each of any type, any
 * content and any cut into descriptors; between them the driver changes the cache mode and the
 * operator the size. The model says what status each must have and what the disk holds afterwards.
 *
 * What must hold: exactly that status, exactly those bytes; in write-through mode nothing that was
 * completed is volatile; nothing leaks.
 */
#include <string.h>

#include "start/base/arith.h"

#include "tests/fake/bench.h"

#define ACTIONS_MAX  64
#define PIECES_MAX   60 /* of each half: both are below the limit of a request's descriptors */
#define DATA_MAX     KIB(8)
#define SEGMENTS_MAX 20
#define WINDOW       KIB(64) /* one holds the ring, one a request */

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct bench b;

static struct model {
    u8 disk[BENCH_DISK_SECTORS * SECTOR_BYTES];
    u64 sectors;
    u32 block_bytes;
    u32 erase_align;
    bool read_only;
} model;

struct input {
    const u8 *at;
    usize left;
};

static u64 take(struct input *in, u32 width)
{
    u64 value = 0;

    for (u32 i = 0; i < width && in->left > 0; i++) {
        value |= (u64)*in->at++ << (8 * i);
        in->left--;
    }
    return value;
}

/** A request as the driver wants it: what is read after the header, what is written before the
 * status. */
struct want {
    u32 type;
    u64 sector;
    u32 read_bytes, write_bytes;
    u8 read[DATA_MAX];
};

/* --- the model ----------------------------------------------------------------------------------
 */

static bool model_has(u32 feature)
{
    return b.drv.features >> feature & 1;
}

static bool model_range_ok(u64 sector, u64 bytes)
{
    return sector * SECTOR_BYTES % model.block_bytes == 0 && bytes % model.block_bytes == 0 &&
           range_ok(sector, bytes / SECTOR_BYTES, model.sectors);
}

static u8 segment_status(const struct vblk_segment *segment, u32 type)
{
    u32 sectors = le32_get(segment->sectors);
    u64 sector = le64_get(segment->sector);
    u32 known = type == VIRTIO_BLK_T_WRITE_ZEROES ? VBLK_SEGMENT_UNMAP : 0;
    bool erase = type == VIRTIO_BLK_T_SECURE_ERASE;

    if (le32_get(segment->flags) & ~known) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    if (sectors > BLK_RANGE_BYTES_MAX / SECTOR_BYTES ||
        !model_range_ok(sector, (u64)sectors * SECTOR_BYTES) ||
        (erase && (sector % model.erase_align || sectors % model.erase_align))) {
        return VIRTIO_BLK_S_IOERR;
    }
    return VIRTIO_BLK_S_OK;
}

static u8 model_ranges(const struct want *want, u32 feature)
{
    u32 count = want->read_bytes / (u32)sizeof(struct vblk_segment);
    struct vblk_segment segment[BLK_RANGES_MAX];

    if (model.read_only) {
        return VIRTIO_BLK_S_IOERR;
    }
    if (!model_has(feature)) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    if (count == 0 || want->read_bytes % sizeof(segment[0]) || want->write_bytes > 0) {
        return VIRTIO_BLK_S_IOERR;
    }
    if (count > BLK_RANGES_MAX) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    memcpy(segment, want->read, want->read_bytes);
    for (u32 i = 0; i < count; i++) {
        u8 status = segment_status(&segment[i], want->type);

        if (status != VIRTIO_BLK_S_OK) {
            return status;
        }
    }
    for (u32 i = 0; i < count; i++) {
        memset(model.disk + le64_get(segment[i].sector) * SECTOR_BYTES, 0,
               (usize)le32_get(segment[i].sectors) * SECTOR_BYTES);
    }
    return VIRTIO_BLK_S_OK;
}

static u8 model_out(const struct want *want)
{
    if (model.read_only || want->write_bytes > 0 ||
        !model_range_ok(want->sector, want->read_bytes)) {
        return VIRTIO_BLK_S_IOERR;
    }
    memcpy(model.disk + want->sector * SECTOR_BYTES, want->read, want->read_bytes);
    return VIRTIO_BLK_S_OK;
}

static u8 model_run(const struct want *want)
{
    switch (want->type) {
    case VIRTIO_BLK_T_IN:
        return want->read_bytes == 0 && model_range_ok(want->sector, want->write_bytes)
                   ? VIRTIO_BLK_S_OK
                   : VIRTIO_BLK_S_IOERR;
    case VIRTIO_BLK_T_OUT:
        return model_out(want);
    case VIRTIO_BLK_T_FLUSH:
    case VIRTIO_BLK_T_GET_ID:
        return VIRTIO_BLK_S_OK;
    case VIRTIO_BLK_T_GET_LIFETIME:
        if (!model_has(VIRTIO_BLK_F_LIFETIME)) {
            return VIRTIO_BLK_S_UNSUPP;
        }
        return want->write_bytes < sizeof(struct vblk_lifetime) ? VIRTIO_BLK_S_IOERR
                                                                : VIRTIO_BLK_S_OK;
    case VIRTIO_BLK_T_DISCARD:
        return model_ranges(want, VIRTIO_BLK_F_DISCARD);
    case VIRTIO_BLK_T_WRITE_ZEROES:
        return model_ranges(want, VIRTIO_BLK_F_WRITE_ZEROES);
    case VIRTIO_BLK_T_SECURE_ERASE:
        return model_ranges(want, VIRTIO_BLK_F_SECURE_ERASE);
    default:
        return VIRTIO_BLK_S_UNSUPP;
    }
}

/* --- requests from bytes ------------------------------------------------------------------------
 */

static u64 take_sector(struct input *in)
{
    static const u64 edges[] = {UINT64_MAX, UINT64_C(1) << 55, UINT64_MAX / 512, 1u << 31};
    u32 choice = (u32)take(in, 1);

    if (choice < 230) {
        return take(in, 2) % (BENCH_DISK_SECTORS + 2);
    }
    return choice < 245 ? model.sectors - choice % 4 : edges[choice % ARRAY_LEN(edges)];
}

static u32 take_bytes(struct input *in)
{
    u32 choice = (u32)take(in, 1);

    return choice < 200 ? choice % 16 * 512 : (u32)take(in, 2) % DATA_MAX;
}

static void take_segments(struct input *in, struct want *want)
{
    u32 count = (u32)take(in, 1) % SEGMENTS_MAX;

    for (u32 i = 0; i < count; i++) {
        u32 choice = (u32)take(in, 1);
        const struct vblk_segment segment = {
            .sector = le64_make(take_sector(in)),
            .sectors = le32_make((u32)take(in, choice < 250 ? 1 : 4)),
            .flags = le32_make(choice < 200 ? choice & 1 : (u32)take(in, choice < 230 ? 1 : 4)),
        };

        memcpy(want->read + i * sizeof(segment), &segment, sizeof(segment));
    }
    want->read_bytes = count * (u32)sizeof(struct vblk_segment);
    want->read_bytes += take(in, 1) > 240 ? 7 : 0;
}

static void take_request(struct input *in, struct want *want)
{
    static const u32 types[] = {
        VIRTIO_BLK_T_IN,           VIRTIO_BLK_T_OUT,          VIRTIO_BLK_T_FLUSH,
        VIRTIO_BLK_T_GET_ID,       VIRTIO_BLK_T_DISCARD,      VIRTIO_BLK_T_WRITE_ZEROES,
        VIRTIO_BLK_T_SECURE_ERASE, VIRTIO_BLK_T_GET_LIFETIME,
    };
    u32 choice = (u32)take(in, 1);

    memset(want, 0, sizeof(*want));
    want->type = choice < 250 ? types[choice % ARRAY_LEN(types)] : (u32)take(in, 4);
    want->sector = take_sector(in);
    if (want->type >= VIRTIO_BLK_T_DISCARD) {
        take_segments(in, want);
    } else if (want->type == VIRTIO_BLK_T_OUT) {
        want->read_bytes = take_bytes(in);
        memset(want->read, (u8)(choice ^ want->sector), sizeof(want->read));
    } else {
        want->write_bytes = take_bytes(in);
    }
    choice = (u32)take(in, 1);
    want->read_bytes += choice == 255 && want->type != VIRTIO_BLK_T_OUT ? 512 : 0;
    want->write_bytes += choice == 254 ? 1 : 0;
}

/** Cut [at, at + bytes) into descriptors of cut bytes. */
static u32 pieces(struct driver_piece *piece, u64 at, u32 bytes, u32 cut, bool write)
{
    u32 count = 0;

    cut = cut > bytes / PIECES_MAX ? cut : bytes / PIECES_MAX + 1;
    for (u32 done = 0; done < bytes; done += cut) {
        piece[count++] = (struct driver_piece){at + done, min_u32(cut, bytes - done), write};
    }
    return count;
}

static void run(struct input *in)
{
    static struct want want;
    static u8 got[DATA_MAX + 1];
    struct driver_piece piece[2 * PIECES_MAX + 2];
    struct driver_blk blk;
    u32 cut_read, cut_write, count, written;
    u64 at;
    u8 status, expected;

    take_request(in, &want);
    cut_read = 1 + (u32)take(in, 1);
    cut_write = 1 + (u32)take(in, 1);
    b.drv.free = ARENA_BASE + WINDOW;
    at = driver_alloc(&b.drv, sizeof(struct vblk_header) + want.read_bytes, 8);
    {
        const struct vblk_header header = {.type = le32_make(want.type),
                                           .sector = le64_make(want.sector)};

        arena_write(&b.arena, at, &header, sizeof(header));
        arena_write(&b.arena, at + sizeof(header), want.read, want.read_bytes);
    }
    count = pieces(piece, at, 16 + want.read_bytes, cut_read, false);
    at = driver_alloc(&b.drv, want.write_bytes + 1, 1);
    arena_fill(&b.arena, at, 0xee, want.write_bytes + 1);
    count += pieces(piece + count, at, want.write_bytes + 1, cut_write, true);
    blk = (struct driver_blk){.data = at, .status = at + want.write_bytes};
    status = bench_run_head(&b, driver_chain_indirect(&b.drv, piece, count), &blk, &written);
    expected = model_run(&want);
    if (status != expected) {
        panic("type %u: status %u, the model says %u", want.type, status, expected);
    }
    arena_read(&b.arena, at, got, want.write_bytes);
    if (want.type == VIRTIO_BLK_T_IN && status == VIRTIO_BLK_S_OK &&
        memcmp(got, model.disk + want.sector * SECTOR_BYTES, want.write_bytes) != 0) {
        panic("a read brought other bytes than the model holds");
    }
    if (written > want.write_bytes + 1) {
        panic("more bytes reported than there are");
    }
}

/* --- between requests ----------------------------------------------------------------------------
 */

static void resize(struct input *in)
{
    u64 sectors = take(in, 2) % BENCH_DISK_SECTORS + 1;

    sectors = align_up(sectors, model.block_bytes / SECTOR_BYTES);
    while (ramdisk_wipe(&b.ram) > 0) {
    }
    CHECK(ramdisk_resize(&b.ram, sectors * SECTOR_BYTES) == ST_OK);
    b.faulty.bdev.info.sectors = sectors;
    vblk_resized(&b.vb);
    model.sectors = sectors;
    memset(model.disk + sectors * SECTOR_BYTES, 0, sizeof(model.disk) - sectors * SECTOR_BYTES);
}

static void write_mode(struct input *in)
{
    u64 mode = take(in, 1);

    vmmio_access(&b.mmio, REG_CONFIG + offsetof(struct vblk_config, writeback), 1, true, &mode);
}

static bool is_write_through(void)
{
    if (!b.faulty.bdev.info.write_cache) {
        return false; /* nothing is volatile */
    }
    return model_has(VIRTIO_BLK_F_CONFIG_WCE) ? b.vb.config.writeback == 0
                                              : !model_has(VIRTIO_BLK_F_FLUSH);
}

static void act(struct input *in)
{
    u32 action = (u32)take(in, 1);
    u32 volatile_before = b.faulty.unflushed_writes;

    if (action < 12) {
        resize(in);
    } else if (action < 24) {
        write_mode(in);
    } else {
        run(in);
        if (is_write_through() && b.faulty.unflushed_writes > volatile_before) {
            panic("a completed change is volatile in write-through mode");
        }
    }
}

static void begin(struct input *in)
{
    u32 config = (u32)take(in, 1);
    u64 features = ~(take(in, 1) << 9); /* FLUSH up to SECURE_ERASE, each with or without */

    bench_init(&b, &(struct bench_setup){
                       .features = features ? features : UINT64_MAX,
                       .size = 256,
                       .window_bytes = WINDOW,
                       .read_only = (config & 7) == 7,
                       .write_cache = config & 8,
                       .lifetime = config & 16,
                       .logical_block_bytes = config & 32 ? 4096 : 0,
                       .erase_align_sectors = config & 64 ? 24 : 0,
                   });
    b.faulty.delay_turns = config >> 7;
    memcpy(model.disk, b.disk, sizeof(model.disk));
    model.sectors = BENCH_DISK_SECTORS;
    model.block_bytes = b.faulty.bdev.info.logical_block_bytes;
    model.erase_align = b.faulty.bdev.info.erase_align_sectors;
    model.read_only = (config & 7) == 7;
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};

    begin(&in);
    for (u32 i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&in);
    }
    while (ramdisk_wipe(&b.ram) > 0) {
    }
    if (memcmp(b.disk, model.disk, sizeof(model.disk)) != 0) {
        panic("the disk holds other bytes than the model");
    }
    bench_done(&b);
    return 0;
}
