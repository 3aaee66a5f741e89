/* SPDX-License-Identifier: BSD-2-Clause */
/* hostile_virtio.c - what a virtio driver must not do. Each case finds the device just started. */
#include "tests/guest/front/hostile.h"

#include <string.h>

#include "drivers/mmio.h"
#include "start/base/arith.h"
#include "start/port.h"
#include "tests/guest/front/vregs.h"
#include "virtio/virtio_defs.h"

#define STORM_KICKS   500
#define STORM_RESETS  20
#define STORM_TOGGLES 20
#define SCRIBBLES     64
#define IN            VIRTIO_BLK_T_IN
#define NO_MEMORY     UINT64_C(0x1000) /* the guest has no memory there */
#define HIGH          UINT64_C(0xfffffffff000)

enum { HEADER, DATA, STATUS }; /* descriptors of slot 0 */

static u64 reg_of(const struct hostile *h, u32 reg)
{
    return h->v->regs + reg;
}

static void set(const struct hostile *h, u32 reg, u32 value)
{
    mmio_write32(reg_of(h, reg), value);
}

static void set_address(const struct hostile *h, u32 reg, u64 address)
{
    set(h, reg, (u32)address);
    set(h, reg + 4, (u32)(address >> 32));
}

static void kick(const struct hostile *h)
{
    set(h, REG_QUEUE_NOTIFY, 0);
}

/** Heads become available; the ring says head for each. */
static void show(const struct hostile *h, u16 head, u16 count)
{
    struct vfront *v = h->v;

    for (u16 i = 0; i < count; i++) {
        store_u16(v->avail + VIRTQ_AVAIL_RING(v->avail_idx & (v->size - 1)), head);
        v->avail_idx++;
    }
    store_release_u16(v->avail + VIRTQ_AVAIL_IDX, v->avail_idx);
    kick(h);
}

/** Slot 0 is shown, whatever became of its descriptors; the device looks at it. */
static bool try_it(struct hostile *h)
{
    show(h, 0, 1);
    hostile_pause(h);
    return true;
}

/** Slot 0 is a good read that nobody has shown yet; returns its descriptors. */
static struct virtq_desc *read_make(struct hostile *h, u32 type, u64 sector)
{
    struct vfront *v = h->v;

    v->header[0] = (struct vblk_header){.type = le32_make(type), .sector = le64_make(sector)};
    v->status[0] = UINT8_MAX;
    v->desc[DATA].flags = le16_make(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
    return v->desc;
}

static struct virtq_desc *good_make(struct hostile *h)
{
    return read_make(h, IN, 0);
}

/** A value of several, another one in each round. */
static u64 pick(const struct hostile *h, const u64 *values, u32 count)
{
    return values[h->round % count];
}

/* --- the available ring ----------------------------------------------------------------------- */

static bool avail_jump(struct hostile *h)
{
    static const u64 jumps[] = {1000, 0x7fff, 0x8000, 0xffff};

    (void)good_make(h);
    h->v->avail_idx = (u16)(h->v->avail_idx + pick(h, jumps, ARRAY_LEN(jumps)));
    return try_it(h);
}

static bool avail_back(struct hostile *h)
{
    (void)good_make(h);
    show(h, 0, 1);
    hostile_pause(h);
    h->v->avail_idx = (u16)(h->v->avail_idx - 5);
    return try_it(h);
}

static bool head_outside(struct hostile *h)
{
    const u64 heads[] = {h->v->size, 0xffff, 0x8000};

    show(h, (u16)pick(h, heads, ARRAY_LEN(heads)), 1);
    hostile_pause(h);
    return true;
}

static bool head_twice(struct hostile *h)
{
    (void)good_make(h);
    show(h, 0, (u16)h->v->size);
    hostile_pause(h);
    return true;
}

static bool head_in_chain(struct hostile *h)
{
    (void)good_make(h);
    show(h, DATA, 1);
    return try_it(h);
}

static bool events_poisoned(struct hostile *h)
{
    struct vfront *v = h->v;

    (void)good_make(h);
    store_u16(v->avail + VIRTQ_AVAIL_FLAGS, 0xffff);
    store_u16(v->avail + VIRTQ_AVAIL_USED_EVENT(v->size), (u16)hostile_random(h));
    store_u16(v->used + VIRTQ_USED_IDX, (u16)hostile_random(h));
    store_u16(v->used + VIRTQ_USED_FLAGS, 0xffff);
    return try_it(h);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static bool chain_loop(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    d[DATA].next = le16_make(h->round & 1 ? HEADER : DATA);
    return try_it(h);
}

static bool chain_outside(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    d[DATA].next = le16_make(h->round & 1 ? 0xffff : (u16)h->v->size);
    return try_it(h);
}

/** Every descriptor of the ring, and then the first again. */
static bool chain_too_long(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    for (u32 i = 1; i < h->v->size; i++) {
        d[i] = d[DATA];
        d[i].flags = le16_make(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
        d[i].next = le16_make((u16)((i + 1) & (h->v->size - 1)));
    }
    return try_it(h);
}

static bool header_writable(struct hostile *h)
{
    good_make(h)[HEADER].flags = le16_make(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
    return try_it(h);
}

static bool header_short(struct hostile *h)
{
    static const u64 bytes[] = {0, 1, 15};

    good_make(h)[HEADER].len = le32_make((u32)pick(h, bytes, ARRAY_LEN(bytes)));
    return try_it(h);
}

static bool header_alone(struct hostile *h)
{
    good_make(h)[HEADER].flags = le16_make(0);
    return try_it(h);
}

static bool status_readable(struct hostile *h)
{
    good_make(h)[STATUS].flags = le16_make(0);
    return try_it(h);
}

static bool status_empty(struct hostile *h)
{
    good_make(h)[STATUS].len = le32_make(0);
    return try_it(h);
}

static bool status_missing(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    d[DATA].flags = le16_make(0);
    return try_it(h);
}

static bool data_length(struct hostile *h)
{
    static const u64 bytes[] = {0, 1, 511, 513, 0x80000000, 0xffffffff, 0xfffffe00};

    good_make(h)[DATA].len = le32_make((u32)pick(h, bytes, ARRAY_LEN(bytes)));
    return try_it(h);
}

/** Together more than 32 bits can say. */
static bool data_endless(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    for (u32 i = 1; i + 1 < h->v->size; i++) {
        d[i] = d[DATA];
        d[i].len = le32_make(UINT32_MAX);
        d[i].flags = le16_make(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
        d[i].next = le16_make((u16)(i + 1));
    }
    d[h->v->size - 1] =
        (struct virtq_desc){le64_make(vfront_address(h->v, h->v->status)), le32_make(1),
                            le16_make(VIRTQ_DESC_F_WRITE), le16_make(0)};
    return try_it(h);
}

static bool flags_unknown(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    d[HEADER].flags = le16_make(VIRTQ_DESC_F_NEXT | 0xfff0);
    d[DATA].flags = le16_make(0xffff);
    return try_it(h);
}

/* --- addresses -------------------------------------------------------------------------------- */

static u64 bad_address(struct hostile *h)
{
    static const u64 all[] = {NO_MEMORY, HIGH, 0, BIT64(48), UINT64_MAX - PAGE_BYTES + 1,
                              BIT64(62)};

    return pick(h, all, ARRAY_LEN(all));
}

static bool header_unmapped(struct hostile *h)
{
    good_make(h)[HEADER].addr = le64_make(bad_address(h));
    return try_it(h);
}

static bool data_unmapped(struct hostile *h)
{
    good_make(h)[DATA].addr = le64_make(bad_address(h));
    return try_it(h);
}

static bool status_unmapped(struct hostile *h)
{
    good_make(h)[STATUS].addr = le64_make(bad_address(h));
    return try_it(h);
}

static bool data_wraps(struct hostile *h)
{
    struct virtq_desc *d = good_make(h);

    d[DATA].addr = le64_make(UINT64_MAX - 511);
    d[DATA].len = le32_make(PAGE_BYTES);
    return try_it(h);
}

/** A grant that was not given: without VIRTIO_F_ACCESS_PLATFORM not even an address. */
static bool data_not_granted(struct hostile *h)
{
    const u64 refs[] = {h->spare.ref, 0, 8, UINT32_MAX, UINT64_C(0x7fffffffffff)};

    good_make(h)[DATA].addr = le64_make(BIT64(63) | pick(h, refs, ARRAY_LEN(refs)) * PAGE_BYTES);
    return try_it(h);
}

static bool data_is_register_window(struct hostile *h)
{
    good_make(h)[DATA].addr = le64_make(h->v->regs & ~(u64)(PAGE_BYTES - 1));
    return try_it(h);
}

/** The disk is read into the rings that name the request. */
static bool data_is_rings(struct hostile *h)
{
    struct vfront *v = h->v;

    good_make(h)[DATA].addr =
        le64_make(vfront_address(v, h->round & 1 ? (u8 *)v->desc : (u8 *)v->avail));
    return try_it(h);
}

/* --- tables of descriptors -------------------------------------------------------------------- */

/** Slot 0 is a table in its own data buffer, with a good read in it. Returns the table. */
static struct virtq_desc *table_make(struct hostile *h, u32 bytes)
{
    struct vfront *v = h->v;
    struct virtq_desc *table = (struct virtq_desc *)(void *)vfront_buffer(v, 1);

    (void)good_make(h);
    memcpy(table, v->desc, 3 * sizeof(*table));
    v->desc[HEADER] = (struct virtq_desc){le64_make(vfront_address(v, table)), le32_make(bytes),
                                          le16_make(VIRTQ_DESC_F_INDIRECT), le16_make(0)};
    return table;
}

static bool table_in_table(struct hostile *h)
{
    struct virtq_desc *table = table_make(h, 3 * sizeof(*table));

    table[DATA].flags = le16_make(VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT);
    table[DATA].len = le32_make(sizeof(*table));
    return try_it(h);
}

static bool table_length(struct hostile *h)
{
    static const u64 bytes[] = {0, 1, 15, 17, 47, 16 * 4096, 16 * 65536, 0xfffffff0, 0xffffffff};

    (void)table_make(h, (u32)pick(h, bytes, ARRAY_LEN(bytes)));
    return try_it(h);
}

static bool table_then_next(struct hostile *h)
{
    (void)table_make(h, 3 * sizeof(struct virtq_desc));
    h->v->desc[HEADER].flags = le16_make(VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT);
    h->v->desc[HEADER].next = le16_make(DATA);
    return try_it(h);
}

static bool table_loop(struct hostile *h)
{
    struct virtq_desc *table = table_make(h, 3 * sizeof(*table));

    table[STATUS].flags = le16_make(VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
    table[STATUS].next = le16_make(h->round & 1 ? 3 : DATA);
    return try_it(h);
}

static bool table_unmapped(struct hostile *h)
{
    (void)table_make(h, 3 * sizeof(struct virtq_desc));
    h->v->desc[HEADER].addr = le64_make(bad_address(h));
    return try_it(h);
}

/* --- requests --------------------------------------------------------------------------------- */

static bool sector_outside(struct hostile *h)
{
    const u64 sectors[] = {h->sectors, h->sectors - 1, UINT64_MAX, BIT64(55), UINT64_MAX - 7};

    (void)read_make(h, IN, pick(h, sectors, ARRAY_LEN(sectors)));
    return try_it(h);
}

static bool type_unknown(struct hostile *h)
{
    static const u64 types[] = {2, 3, 5, 7, 9, 12, 15, 26, 0x80000000, UINT32_MAX};

    (void)read_make(h, (u32)pick(h, types, ARRAY_LEN(types)), 0);
    return try_it(h);
}

/** Types that take a segment list or nothing, with a writable buffer and other nonsense. */
static bool type_misused(struct hostile *h)
{
    static const u64 types[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES,
                                VIRTIO_BLK_T_SECURE_ERASE, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_OUT};

    (void)read_make(h, (u32)pick(h, types, ARRAY_LEN(types)), 3);
    return try_it(h);
}

static bool segments_nonsense(struct hostile *h)
{
    struct virtq_desc *d =
        read_make(h, h->round & 1 ? VIRTIO_BLK_T_WRITE_ZEROES : VIRTIO_BLK_T_DISCARD, 0);

    d[DATA].flags = le16_make(VIRTQ_DESC_F_NEXT);
    memset(vfront_buffer(h->v, 0), 0xff, h->v->bytes);
    return try_it(h);
}

/* --- registers -------------------------------------------------------------------------------- */

static bool queue_nowhere(struct hostile *h)
{
    static const u32 regs[] = {REG_QUEUE_DESC, REG_QUEUE_DRIVER, REG_QUEUE_DEVICE};

    set(h, REG_QUEUE_READY, 0);
    set_address(h, regs[h->round % ARRAY_LEN(regs)], bad_address(h));
    set(h, REG_QUEUE_READY, 1);
    return try_it(h);
}

static bool queue_unaligned(struct hostile *h)
{
    set(h, REG_QUEUE_READY, 0);
    set_address(h, REG_QUEUE_DESC, vfront_address(h->v, h->v->desc) + 1);
    set_address(h, REG_QUEUE_DRIVER, vfront_address(h->v, h->v->avail) + 1);
    set_address(h, REG_QUEUE_DEVICE, vfront_address(h->v, h->v->used) + 1);
    set(h, REG_QUEUE_READY, 1);
    return try_it(h);
}

static bool queue_on_itself(struct hostile *h)
{
    u64 one = vfront_address(h->v, h->v->desc);

    (void)good_make(h);
    set(h, REG_QUEUE_READY, 0);
    set_address(h, REG_QUEUE_DRIVER, one);
    set_address(h, REG_QUEUE_DEVICE, one);
    set(h, REG_QUEUE_READY, 1);
    return try_it(h);
}

static bool queue_moved(struct hostile *h)
{
    (void)good_make(h);
    show(h, 0, 1);
    set(h, REG_QUEUE_SIZE, 4);
    set_address(h, REG_QUEUE_DESC, NO_MEMORY);
    set_address(h, REG_QUEUE_DRIVER, HIGH);
    set_address(h, REG_QUEUE_DEVICE, UINT64_MAX);
    return try_it(h);
}

static bool queue_size(struct hostile *h)
{
    static const u64 sizes[] = {0, 3, 0x10000, 0x10004, UINT32_MAX, 0x8000};

    set(h, REG_QUEUE_READY, 0);
    set(h, REG_QUEUE_SIZE, (u32)pick(h, sizes, ARRAY_LEN(sizes)));
    set(h, REG_QUEUE_READY, 1);
    return try_it(h);
}

static bool ready_toggled(struct hostile *h)
{
    for (u32 i = 0; i < STORM_TOGGLES; i++) {
        (void)good_make(h);
        show(h, 0, 1);
        set(h, REG_QUEUE_READY, 0);
        set(h, REG_QUEUE_READY, i & 1 ? 1 : UINT32_MAX);
    }
    return try_it(h);
}

static bool reset_storm(struct hostile *h)
{
    for (u32 i = 0; i < STORM_RESETS; i++) {
        vfront_start(h->v);
        (void)good_make(h);
        show(h, 0, (u16)min_u32(h->v->size, 8));
        set(h, REG_STATUS, 0);
        kick(h);
    }
    return true;
}

static bool kick_storm(struct hostile *h)
{
    for (u32 i = 0; i < STORM_KICKS; i++) {
        kick(h);
    }
    return true;
}

static bool kick_nowhere(struct hostile *h)
{
    static const u32 queues[] = {1, 2, 7, 0xffff, 0x10000, 0x80000000, UINT32_MAX};

    for (u32 i = 0; i < ARRAY_LEN(queues); i++) {
        set(h, REG_QUEUE_NOTIFY, queues[i]);
        set(h, REG_QUEUE_SEL, queues[i]);
        set(h, REG_QUEUE_SIZE, 8);
        set(h, REG_QUEUE_READY, 1);
    }
    set(h, REG_QUEUE_SEL, 0);
    return try_it(h);
}

/** Every register and the configuration in every width, aligned and not across a register. */
static bool widths_odd(struct hostile *h)
{
    for (u32 at = 0; at < 0x200; at += 2) {
        (void)mmio_read8(reg_of(h, at + 1));
        (void)mmio_read16(reg_of(h, at));
        mmio_write8(reg_of(h, at + 1), 0xff);
        mmio_write16(reg_of(h, at), 0xffff);
        if (at % 8 == 0) {
            (void)mmio_read64(reg_of(h, at));
            mmio_write64(reg_of(h, at), UINT64_MAX);
        }
    }
    return true;
}

static bool status_any(struct hostile *h)
{
    for (u32 i = 1; i < 256; i += 2) {
        set(h, REG_STATUS, (u32)hostile_random(h) & 0xff);
        kick(h);
    }
    set(h, REG_STATUS, UINT32_MAX);
    return true;
}

static bool features_any(struct hostile *h)
{
    set(h, REG_STATUS, 0);
    set(h, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    for (u32 word = 0; word < 5; word++) {
        set(h, REG_DRIVER_FEATURES_SEL, word < 4 ? word : UINT32_MAX);
        set(h, REG_DRIVER_FEATURES, UINT32_MAX);
    }
    set(h, REG_STATUS,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    set(h, REG_STATUS, VIRTIO_STATUS_DRIVER_BITS & ~VIRTIO_STATUS_FAILED);
    return try_it(h);
}

static bool failed_then_used(struct hostile *h)
{
    (void)good_make(h);
    set(h, REG_STATUS, mmio_read32(reg_of(h, REG_STATUS)) | VIRTIO_STATUS_FAILED);
    return try_it(h);
}

static bool acks_nonsense(struct hostile *h)
{
    (void)good_make(h);
    show(h, 0, 1);
    set(h, REG_INTERRUPT_ACK, UINT32_MAX);
    set(h, REG_INTERRUPT_ACK, 0);
    return try_it(h);
}

/* --- everything at once ----------------------------------------------------------------------- */

/** Rings and requests are rewritten while the device reads them. */
static bool rings_scribbled(struct hostile *h)
{
    u64 *words = (u64 *)(void *)h->v->run.base;
    u32 count = 3 * PAGE_BYTES / sizeof(u64); /* descriptors, rings, headers */

    (void)good_make(h);
    for (u32 i = 0; i < SCRIBBLES; i++) {
        for (u32 k = 0; k < 32; k++) {
            u32 at = (u32)(hostile_random(h) % count);

            /* Never a length between a page and 2 GiB: it could be a good one, over our own code.
             */
            words[at] = hostile_random(h) & (at & 1 ? ~UINT64_C(0x7ffff000) : UINT64_MAX);
        }
        h->v->desc[0].addr = le64_make(vfront_address(h->v, h->v->header));
        h->v->desc[0].flags = le16_make(VIRTQ_DESC_F_NEXT);
        show(h, 0, (u16)(hostile_random(h) % h->v->size));
    }
    hostile_pause(h);
    return true;
}

const struct hostile_case hostile_virtio[] = {
    {"avail_jump", avail_jump},
    {"avail_back", avail_back},
    {"head_outside", head_outside},
    {"head_twice", head_twice},
    {"head_in_chain", head_in_chain},
    {"events_poisoned", events_poisoned},
    {"chain_loop", chain_loop},
    {"chain_outside", chain_outside},
    {"chain_too_long", chain_too_long},
    {"header_writable", header_writable},
    {"header_short", header_short},
    {"header_alone", header_alone},
    {"header_unmapped", header_unmapped},
    {"status_readable", status_readable},
    {"status_empty", status_empty},
    {"status_missing", status_missing},
    {"status_unmapped", status_unmapped},
    {"data_length", data_length},
    {"data_endless", data_endless},
    {"data_unmapped", data_unmapped},
    {"data_wraps", data_wraps},
    {"data_not_granted", data_not_granted},
    {"data_is_register_window", data_is_register_window},
    {"data_is_rings", data_is_rings},
    {"flags_unknown", flags_unknown},
    {"table_in_table", table_in_table},
    {"table_length", table_length},
    {"table_then_next", table_then_next},
    {"table_loop", table_loop},
    {"table_unmapped", table_unmapped},
    {"sector_outside", sector_outside},
    {"type_unknown", type_unknown},
    {"type_misused", type_misused},
    {"segments_nonsense", segments_nonsense},
    {"queue_nowhere", queue_nowhere},
    {"queue_unaligned", queue_unaligned},
    {"queue_on_itself", queue_on_itself},
    {"queue_moved", queue_moved},
    {"queue_size", queue_size},
    {"ready_toggled", ready_toggled},
    {"reset_storm", reset_storm},
    {"kick_storm", kick_storm},
    {"kick_nowhere", kick_nowhere},
    {"widths_odd", widths_odd},
    {"status_any", status_any},
    {"features_any", features_any},
    {"failed_then_used", failed_then_used},
    {"acks_nonsense", acks_nonsense},
    {"rings_scribbled", rings_scribbled},
};
const u32 hostile_virtio_count = ARRAY_LEN(hostile_virtio);
