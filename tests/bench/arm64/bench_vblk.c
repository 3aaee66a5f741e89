/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench_vblk.c - instructions per request of the engine on arm64, counted exactly.
 *
 * Runs alone on QEMU's virt machine with -icount shift=0,sleep=off and -cpu max, where the virtual
 * counter ticks at 1 GHz of virtual time, that is once per instruction. The guest is played by
 * prepared rings, so only the engine runs between two readings of the counter. Compiled with the
 * image's own flags; built a second time with NO_COPY, where port_copy() returns at once.
 *
 * Prints one line per figure: name, tab, value.
 */
#include <stdarg.h>
#include <string.h>

#include "blk/ramdisk.h"
#include "drivers/timer/timer.h"
#include "start/port.h"
#include "virtio/vblk.h"
#include "virtio/virtq_layout.h"
#include "virtio/vmmio.h"
#include "virtio/watch.h"

#ifdef NO_COPY
#define COPY_WORD "without copy"
#else
#define COPY_WORD "with copy"
#endif

#define DEPTH_MAX 64
#ifndef ROUNDS
#define ROUNDS 1000
#endif
#define REQUEST     4096
#define GUEST_BYTES MIB(2)
#define AT_TABLES   KIB(64)
#define AT_HEADERS  KIB(128)
#define AT_STATUS   KIB(192)
#define AT_DATA     KIB(256)
#define RING_BYTES  KIB(16)
#define RING_SIZE   256
#define DEVICES     16
#define PACKED      3                        /* the device whose ring is packed */
#define WIDE        8                        /* queues of the device that has several */
#define AT_WIDE     (u32)(MIB(1) + KIB(512)) /* their rings */

void bench_say(const char *text);
int bench_main(void);

static u8 guest[GUEST_BYTES] __attribute__((aligned(2097152)));
static u8 disk[KIB(512)] __attribute__((aligned(4096)));
static u32 pins[1];
static struct gmem gm;
static struct ramdisk ram;
static struct vblk_pool pool;
static struct vblk vb[DEVICES];
static struct vmmio mmio[DEVICES];
static struct vblk wide;
static struct vmmio wide_mmio;

/* --- what the engine links against ---------------------------------------------------------- */

static struct timer_scale scale;

static u64 ticks(void)
{
    u64 now;

    __asm__ volatile("isb\n mrs %0, cntvct_el0" : "=r"(now)::"memory");
    return now;
}

u64 port_now_ns(void)
{
    return timer_ticks_to_ns(&scale, ticks());
}

bool log_limit_ok(struct log_limit *limit)
{
    (void)limit;
    return true;
}

void log_line(enum log_level level, const char *format, ...)
{
    (void)level;
    bench_say(format);
    bench_say("\n");
}

_Noreturn void panic(const char *format, ...)
{
    bench_say("panic: ");
    bench_say(format);
    bench_say("\n");
    for (;;) {
        __asm__ volatile("mov w0, #0x18\n mov x1, #0x24\n movk x1, #2, lsl #16\n hlt #0xf000" ::
                             : "x0", "x1", "memory");
    }
}

#ifdef NO_COPY
void port_copy(void *to, const void *from, usize bytes)
{
    (void)to;
    (void)from;
    (void)bytes;
}
#endif

/* --- the guest -------------------------------------------------------------------------------- */

static enum status window_find(struct gmem *to, u64 addr, u32 bytes, enum gmem_dir dir,
                               struct gmem_hit *run)
{
    (void)to;
    (void)bytes;
    (void)dir;
    if (addr >= GUEST_BYTES) {
        return ST_GUEST;
    }
    *run = (struct gmem_hit){.bytes = GUEST_BYTES, .base = guest, .writable = true};
    return ST_OK;
}

static const struct gmem_ops window_ops = {.find = window_find};

static void irq(void *ctx)
{
    (void)ctx;
}

static u32 ring_at(u32 device)
{
    return device * (u32)RING_BYTES;
}

static void reg_write(struct vmmio *m, u32 reg, u32 value)
{
    u64 data = value;

    vmmio_access(m, reg, sizeof(u32), true, &data);
}

/** Up to FEATURES_OK, with more than what every device here has. */
static void negotiate(struct vmmio *m, u64 more)
{
    u64 features = more | BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_INDIRECT_DESC) |
                   BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_BLK_F_FLUSH);

    reg_write(m, 0x070, 0);
    reg_write(m, 0x070, 3);
    reg_write(m, 0x020, (u32)features);
    reg_write(m, 0x024, 1);
    reg_write(m, 0x020, (u32)(features >> 32));
    reg_write(m, 0x070, 0xb);
}

/** Queue q, with its ring at desc. */
static void queue_start(struct vmmio *m, u32 q, u32 desc)
{
    memset(guest + desc, 0, RING_BYTES);
    reg_write(m, 0x030, q);
    reg_write(m, 0x038, RING_SIZE);
    reg_write(m, 0x080, desc);
    reg_write(m, 0x090, desc + 8192);
    reg_write(m, 0x0a0, desc + 12288);
    reg_write(m, 0x044, 1);
}

/** A device whose ring lies at ring_at(); used_event says that no interrupt is wanted soon. */
static void device_start(u32 d)
{
    u32 desc = d < 4 ? ring_at(d) : (u32)MIB(1) + ring_at(d);

    vblk_init(&vb[d], &(struct vblk_init){.bdev = &ram.bdev,
                                          .gm = &gm,
                                          .pool = &pool,
                                          .name = "bench",
                                          .id = "id",
                                          .rings = d == PACKED ? BIT64(VIRTIO_F_RING_PACKED) : 0});
    vmmio_init(&mmio[d], &vb[d].vdev, irq, NULL);
    negotiate(&mmio[d], d == PACKED ? BIT64(VIRTIO_F_RING_PACKED) : 0);
    queue_start(&mmio[d], 0, desc);
    reg_write(&mmio[d], 0x070, 0xf);
}

/** The device with several queues. */
static void wide_start(void)
{
    vblk_init(&wide, &(struct vblk_init){.bdev = &ram.bdev,
                                         .gm = &gm,
                                         .pool = &pool,
                                         .name = "wide",
                                         .id = "id",
                                         .queues = WIDE});
    vmmio_init(&wide_mmio, &wide.vdev, irq, NULL);
    negotiate(&wide_mmio, BIT64(VIRTIO_BLK_F_MQ));
    for (u32 q = 0; q < WIDE; q++) {
        queue_start(&wide_mmio, q, AT_WIDE + ring_at(q));
    }
    reg_write(&wide_mmio, 0x070, 0xf);
}

static void put_desc(u8 *at, u64 addr, u32 bytes, u16 flags, u16 next)
{
    const struct virtq_desc desc = {le64_make(addr), le32_make(bytes), le16_make(flags),
                                    le16_make(next)};

    memcpy(at, &desc, sizeof(desc));
}

/** Requests 0..DEPTH_MAX-1: descriptors 3i..3i+2, or descriptor 3i and an indirect table. */
static void requests_prepare(bool indirect)
{
    for (u32 i = 0; i < DEPTH_MAX; i++) {
        const struct vblk_header header = {.sector = le64_make(i % 64 * 8)};
        u16 head = (u16)(3 * i);
        u8 *table = indirect ? guest + AT_TABLES + 64 * i : guest + 16 * head;
        u16 first = indirect ? 0 : head;

        memcpy(guest + AT_HEADERS + 64 * i, &header, sizeof(header));
        put_desc(table, AT_HEADERS + 64 * i, 16, VIRTQ_DESC_F_NEXT, (u16)(first + 1));
        put_desc(table + 16, AT_DATA + REQUEST * i, REQUEST, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE,
                 (u16)(first + 2));
        put_desc(table + 32, AT_STATUS + 64 * i, 1, VIRTQ_DESC_F_WRITE, 0);
        if (indirect) {
            put_desc(guest + 16 * head, AT_TABLES + 64 * i, 48, VIRTQ_DESC_F_INDIRECT, 0);
        }
    }
}

/** Offer the first count requests in the ring at desc. */
static void offer(u32 desc, u32 count)
{
    u8 *avail = guest + desc + 8192;
    u16 offered = load_u16(avail + VIRTQ_AVAIL_IDX);

    for (u32 i = 0; i < count; i++) {
        u16 head = (u16)(3 * i);

        memcpy(avail + VIRTQ_AVAIL_RING(offered % RING_SIZE), &head, sizeof(head));
        offered++;
    }
    store_u16(avail + VIRTQ_AVAIL_USED_EVENT(RING_SIZE), (u16)(offered + 0x4000));
    store_release_u16(avail + VIRTQ_AVAIL_IDX, offered);
}

/** The same requests, into the packed ring of device PACKED: slot and wrap are the driver's. */
static void offer_packed(u32 count)
{
    static u32 slot;
    static bool turned;

    for (u32 i = 0; i < 3 * count; i++) {
        const u8 *from = guest + 16 * i;
        struct virtq_slot desc;
        u16 flags = turned ? VIRTQ_DESC_F_USED : VIRTQ_DESC_F_AVAIL;

        memcpy(&desc, from, 12);
        desc.id = le16_make((u16)(i / 3));
        flags |= i % 3 < 2 ? VIRTQ_DESC_F_NEXT : 0;
        flags |= i % 3 > 0 ? VIRTQ_DESC_F_WRITE : 0;
        desc.flags = le16_make(flags);
        memcpy(guest + ring_at(PACKED) + 16 * slot, &desc, sizeof(desc));
        slot = (slot + 1) % RING_SIZE;
        turned ^= slot == 0;
    }
    store_u32(guest + ring_at(PACKED) + 8192, VIRTQ_EVENT(VIRTQ_EVENT_DISABLE));
}

/* --- figures ------------------------------------------------------------------------------------
 */

static u64 cost_of_ticks(void)
{
    u64 begin = ticks();

    return ticks() - begin;
}

static void say_number(u64 value)
{
    char digits[21];
    u32 at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    bench_say(digits + at);
}

/** One line: name, how, a tab, the value. */
static void say(const char *name, bool indirect, u32 depth, u64 times10)
{
    bench_say(name);
    bench_say(" " COPY_WORD);
    bench_say(indirect ? " indirect depth " : " depth ");
    say_number(depth);
    bench_say("\t");
    say_number(times10 / 10);
    bench_say(".");
    say_number(times10 % 10);
    bench_say("\n");
}

static void reads(u32 depth, bool indirect, bool packed)
{
    struct vblk *served = packed ? &vb[PACKED] : &vb[0];
    u64 sum = 0, least = UINT64_MAX, most = 0, overhead = cost_of_ticks();

    requests_prepare(indirect);
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 begin, spent;

        if (packed) {
            offer_packed(depth);
        } else {
            offer(0, depth);
        }
        begin = ticks();
        vblk_poll(served, 1000);
        spent = ticks() - begin - overhead;
        if (round > 0) { /* the first one maps the windows */
            sum += spent;
            least = spent < least ? spent : least;
            most = spent > most ? spent : most;
        }
    }
    say(packed ? "arm64 instructions per packed 4k read" : "arm64 instructions per 4k read",
        indirect, depth, sum * 10 / (ROUNDS - 1) / depth);
    say(packed ? "arm64 instructions jitter of a packed 4k batch"
               : "arm64 instructions jitter of a 4k batch",
        indirect, depth, (most - least) * 10);
}

/** A turn over WIDE queues of one device, depth requests in each. */
static void reads_wide(u32 depth)
{
    u64 sum = 0, overhead = cost_of_ticks();

    requests_prepare(false);
    for (u32 q = 0; q < WIDE; q++) {
        memcpy(guest + AT_WIDE + ring_at(q), guest, 16 * 3 * DEPTH_MAX);
    }
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 begin, spent;

        for (u32 q = 0; q < WIDE; q++) {
            offer(AT_WIDE + ring_at(q), depth);
        }
        begin = ticks();
        vblk_poll(&wide, 1000);
        spent = ticks() - begin - overhead;
        CHECK(vblk_idle(&wide));
        sum += round > 0 ? spent : 0;
    }
    say("arm64 instructions per 4k read over 8 queues", false, depth,
        sum * 10 / (ROUNDS - 1) / depth / WIDE);
}

/** Turns of a loop that looks after DEVICES queues, none of which has work. */
static void idle(void)
{
    static struct watch watch;
    u64 begin, overhead = cost_of_ticks(), spent;
    u32 work = 0;

    for (u32 d = 0; d < DEVICES; d++) {
        watch_add(&watch, &vb[d].vdev);
    }
    begin = ticks();
    for (u32 turn = 0; turn < ROUNDS; turn++) {
        work += watch_found(&watch);
    }
    spent = ticks() - begin - overhead;
    CHECK(work == 0);
    say("arm64 instructions per idle queue", false, 0, spent * 10 / ROUNDS / DEVICES);
}

int bench_main(void)
{
    CHECK(timer_scale_init(&scale, UINT64_C(1000000000)) == ST_OK);
    gmem_init(&gm, &window_ops, pins);
    ramdisk_init(&ram, "ram", disk, sizeof(disk), false);
    vblk_pool_init(&pool);
    for (u32 d = 0; d < DEVICES; d++) {
        device_start(d);
    }
    wide_start();
    reads(1, false, false);
    reads_wide(1);
    reads(8, false, false);
    reads_wide(8);
    reads(32, false, false);
    reads(64, false, false);
    reads(1, false, true);
    reads(32, false, true);
    reads(1, true, false);
    reads(32, true, false);
    idle();
    return 0;
}
