/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_virtq.c - a hostile driver made of bytes: rings, split and packed, chains and block
 * requests.
 *
 * An input is a list of actions on a whole device over a small ramdisk: write guest memory (the
 * ring, the tables, headers), offer heads, set indices, poll, arm, stall the medium, reset. With
 * loads traced (-fsanitize-coverage=trace-loads) guest memory also changes whenever the device
 * looks at a byte a second time within one poll.
 *
 * What must hold: no access outside the windows, no panic, nothing leaked, a read-only disk
 * unchanged, and afterwards the device serves a good request.
 */
#include <string.h>

#include "tests/fake/bench.h"

#define ACTIONS_MAX 512
#define WINDOW      KIB(64)
#define RING        ARENA_BASE
#define PLAY_BYTES  KIB(16) /* where actions write: the ring and what it names */

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes);

static struct bench b;

/* --- memory that changes under our eyes --------------------------------------------------------
 */

static bool flipping;
static u64 flip_random;
static u8 seen[PLAY_BYTES / 8];

#ifdef __clang__
#define UNTRACED __attribute__((no_sanitize("coverage")))
#else
#define UNTRACED /* only clang traces loads */
#endif

UNTRACED static void looked_at(const void *at, u32 width)
{
    u64 offset = (u64)((const u8 *)at - b.arena.window[0]);

    if (!flipping || offset >= PLAY_BYTES || width > PLAY_BYTES - offset) {
        return;
    }
    for (u32 i = 0; i < width; i++) {
        if (seen[(offset + i) / 8] >> ((offset + i) % 8) & 1) {
            flip_random = flip_random * UINT64_C(6364136223846793005) + 1442695040888963407;
            b.arena.window[0][offset + i] ^= (u8)(flip_random >> 40);
        }
        seen[(offset + i) / 8] |= (u8)(1u << (offset + i) % 8);
    }
}

void __sanitizer_cov_load1(const u8 *at);
void __sanitizer_cov_load2(const u16 *at);
void __sanitizer_cov_load4(const u32 *at);
void __sanitizer_cov_load8(const u64 *at);
void __sanitizer_cov_load16(const void *at);

UNTRACED void __sanitizer_cov_load1(const u8 *at)
{
    looked_at(at, 1);
}

UNTRACED void __sanitizer_cov_load2(const u16 *at)
{
    looked_at(at, 2);
}

UNTRACED void __sanitizer_cov_load4(const u32 *at)
{
    looked_at(at, 4);
}

UNTRACED void __sanitizer_cov_load8(const u64 *at)
{
    looked_at(at, 8);
}

UNTRACED void __sanitizer_cov_load16(const void *at)
{
    looked_at(at, 16);
}

static void poll(u32 budget, bool flip)
{
    memset(seen, 0, sizeof(seen));
    flipping = flip;
    vblk_poll(&b.vb, budget);
    flipping = false;
}

/* --- the input
 * ------------------------------------------------------------------------------------- */

struct input {
    const u8 *at;
    usize left;
};

static u32 take(struct input *in, u32 width)
{
    u32 value = 0;

    for (u32 i = 0; i < width && in->left > 0; i++) {
        value |= (u32)*in->at++ << (8 * i);
        in->left--;
    }
    return value;
}

/** A guest address that is often interesting. */
static u64 take_address(struct input *in)
{
    static const u64 edges[] = {0,
                                ARENA_BASE - 1,
                                ARENA_BASE + WINDOW - 8,
                                ARENA_BASE + 4 * WINDOW - 1,
                                ARENA_BASE + 4 * WINDOW,
                                UINT64_MAX - 15,
                                UINT64_C(1) << 63};
    u32 choice = take(in, 1);

    if (choice < 200) {
        return RING + take(in, 2) % PLAY_BYTES;
    }
    if (choice < 240) {
        return ARENA_BASE + take(in, 4) % (4 * WINDOW);
    }
    return edges[choice % ARRAY_LEN(edges)];
}

static void act_desc(struct input *in)
{
    u16 index = (u16)(take(in, 1) % 64);
    u64 addr = take_address(in);
    u32 len = take(in, 1);
    u16 flags, next, marks;

    len = len < 250 ? len * 16 : take(in, 4);
    flags = (u16)take(in, 1);
    next = (u16)(take(in, 1) % 72);
    if (b.drv.packed) {
        marks = (flags & 0x80 ? VIRTQ_DESC_F_AVAIL : 0) | (flags & 0x40 ? VIRTQ_DESC_F_USED : 0);
        driver_slot(&b.drv, index, addr, len, next, (flags & 0xf) | marks);
    } else {
        driver_desc(&b.drv, index, addr, len, flags & 0xf, next);
    }
}

/** A whole plausible request, then perhaps bent by a later write. */
static void act_request(struct input *in)
{
    static const u32 types[] = {0, 1, 4, 8, 2, 11, 13, 0x80000000};
    u64 header = RING + KIB(8) + take(in, 1) * 16;
    u64 sector = take(in, 2);
    u32 bytes = take(in, 1) * 512;
    struct vblk_header h = {.type = le32_make(types[take(in, 1) % ARRAY_LEN(types)]),
                            .sector = le64_make(sector)};
    bool write_data = le32_get(h.type) != VIRTIO_BLK_T_OUT;
    const struct driver_piece piece[] = {
        {header, 16, false}, {ARENA_BASE + WINDOW, bytes, write_data}, {header + 4095, 1, true}};

    arena_write(&b.arena, header, &h, sizeof(h));
    memset(b.drv.chain, 0, sizeof(b.drv.chain)); /* it takes nothing back, so no id is ever free */
    driver_offer(&b.drv, driver_chain(&b.drv, piece, ARRAY_LEN(piece)));
}

static void act_write(struct input *in)
{
    u64 at = RING + take(in, 2) % (PLAY_BYTES - 16);
    u32 count = take(in, 1) % 16;

    for (u32 i = 0; i < count; i++) {
        *arena_byte(&b.arena, at + i) = (u8)take(in, 1);
    }
}

static void act(struct input *in)
{
    u32 action = take(in, 1);

    switch (action % 12) {
    case 0:
    case 1:
        act_desc(in);
        break;
    case 2:
        driver_offer(&b.drv, (u16)(take(in, 1) % 72));
        break;
    case 3:
    case 4:
        act_request(in);
        break;
    case 5:
        act_write(in);
        break;
    case 6:
        arena_put16(&b.arena, b.drv.avail + VIRTQ_AVAIL_IDX, (u16)take(in, 2));
        break;
    case 7:
    case 8:
        poll(take(in, 1) % 32, action & 0x80);
        break;
    case 9:
        if (!vblk_arm(&b.vb) && (action & 0x40)) {
            vblk_disarm(&b.vb);
        }
        break;
    case 10:
        b.faulty.stall = (action & 0x80) != 0;
        b.faulty.delay_turns = action >> 4 & 3;
        b.faulty.fail_every = action & 0x40 ? 3 : 0;
        b.faulty.fail = ST_IO;
        break;
    default:
        if (action & 0x80) {
            driver_set(&b.drv, REG_STATUS, 0);
        }
        gmem_forget(&b.arena.gm);
        b.arena.pinned_max = action >> 4 & 7;
        b.arena.evict = (action & 0x80) != 0;
        break;
    }
}

static void forgive(void)
{
    b.faulty.stall = false;
    b.faulty.fail_every = 0;
    b.faulty.delay_turns = 0;
    b.arena.pinned_max = 0;
    for (u32 i = 0; i < 100; i++) {
        vblk_poll(&b.vb, 64);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, usize bytes)
{
    struct input in = {data, bytes};
    u32 config = take(&in, 1);
    bool read_only = (config & 0x40) != 0;
    bool direct = (config & 7) == 7; /* no faulty medium: the quick way is taken */

    flip_random = bytes;
    bench_init(&b, &(struct bench_setup){
                       .size = direct ? 64 : 1u << (config & 7),
                       .direct = direct,
                       .rings = (config & 0x20 ? BIT64(VIRTIO_F_RING_PACKED) : 0) |
                                (config & 0x80 ? BIT64(VIRTIO_F_IN_ORDER) : 0),
                       .features = config & 8 ? ~BIT64(VIRTIO_F_EVENT_IDX) : UINT64_MAX,
                       .write_cache = config & 0x10,
                       .read_only = read_only,
                       .window_bytes = WINDOW,
                   });
    for (u32 i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        act(&in);
    }
    forgive();
    if (read_only && memcmp(b.disk, b.pristine, sizeof(b.disk)) != 0) {
        panic("a read-only disk was written");
    }
    b.drv.desc = b.drv.avail = b.drv.used = 0;
    b.drv.free = RING;
    driver_start(&b.drv, UINT64_MAX, 64);
    if (!bench_serves(&b)) {
        panic("the device does not serve any more");
    }
    bench_done(&b);
    return 0;
}
