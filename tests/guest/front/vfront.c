/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vfront.c - a virtio-blk driver. See vfront.h.
 */
#include "tests/guest/front/vfront.h"

#include <inttypes.h>
#include <string.h>

#include "drivers/mmio.h"
#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/mmu.h"
#include "start/port.h"
#include "tests/guest/front/vregs.h"
#include "virtio/virtio_defs.h"

#define VIRTIO_MAGIC             0x74726976 /* "virt" */
#define VIRTIO_F_ACCESS_PLATFORM 33         /* [VIRTIO 6] */
#define GRANT_ADDRESS            BIT64(63)  /* Linux's XEN_GRANT_DMA_ADDR_OFF */
#define RESET_NS                 UINT64_C(2000000000)

/* Pages of the run. */
#define PAGE_DESC   0
#define PAGE_RINGS  1
#define PAGE_HEADER 2
#define PAGE_STATUS 3
#define PAGE_DATA   4
#define USED_AT     1024 /* in PAGE_RINGS */

STATIC_CHECK(3 * FRONT_DEPTH_MAX <= VFRONT_RING_MAX, "every slot has its descriptors");
STATIC_CHECK(VIRTQ_DESC_BYTES(VFRONT_RING_MAX) <= PAGE_BYTES, "one page");
STATIC_CHECK(VIRTQ_AVAIL_BYTES(VFRONT_RING_MAX) <= USED_AT, "one page for both rings");
STATIC_CHECK(USED_AT + VIRTQ_USED_BYTES(VFRONT_RING_MAX) <= PAGE_BYTES, "one page for both rings");

static u32 get(const struct vfront *v, u32 reg)
{
    return mmio_read32(v->regs + reg);
}

static void set(const struct vfront *v, u32 reg, u32 value)
{
    mmio_write32(v->regs + reg, value);
}

static void set_address(const struct vfront *v, u32 reg, u64 address)
{
    set(v, reg, (u32)address);
    set(v, reg + 4, (u32)(address >> 32));
}

u64 vfront_address(const struct vfront *v, const void *byte)
{
    u64 at = (u64)((const u8 *)byte - v->run.base);

    if (!v->granted) {
        return (u64)(uintptr_t)byte;
    }
    return GRANT_ADDRESS | ((v->run.ref + at / PAGE_BYTES) * (u64)PAGE_BYTES + at % PAGE_BYTES);
}

/* --- from reset to DRIVER_OK [VIRTIO 3.1.1] --------------------------------------------------- */

static void features_settle(struct vfront *v)
{
    u64 wanted = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_EVENT_IDX) | v->extra |
                 (v->granted ? BIT64(VIRTIO_F_ACCESS_PLATFORM) : 0);
    u64 needed = wanted & ~(BIT64(VIRTIO_F_EVENT_IDX) | v->extra);
    u64 offered = 0;

    for (u32 word = 0; word < 2; word++) {
        set(v, REG_DEVICE_FEATURES_SEL, word);
        offered |= (u64)get(v, REG_DEVICE_FEATURES) << (32 * word);
    }
    v->features = offered & wanted;
    if ((v->features & needed) != needed) {
        machine_refuse("the device at 0x%" PRIx64 " offers 0x%" PRIx64 "; VERSION_1%s is needed",
                       v->regs, offered,
                       v->granted ? ", and ACCESS_PLATFORM for grants (grant_usage=0 or grants=0 "
                                    "do without)"
                                  : "");
    }
    for (u32 word = 0; word < 2; word++) {
        set(v, REG_DRIVER_FEATURES_SEL, word);
        set(v, REG_DRIVER_FEATURES, (u32)(v->features >> (32 * word)));
    }
    set(v, REG_STATUS,
        VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
    if (!(get(v, REG_STATUS) & VIRTIO_STATUS_FEATURES_OK)) {
        machine_refuse("the device at 0x%" PRIx64 " refuses its own features 0x%" PRIx64, v->regs,
                       v->features);
    }
}

/** The descriptors never change but for the direction of the data. */
static void ring_make(struct vfront *v)
{
    for (u32 s = 0; s < v->depth; s++) {
        u16 first = (u16)(3 * s);

        v->desc[first] = (struct virtq_desc){le64_make(vfront_address(v, &v->header[s])),
                                             le32_make(sizeof(struct vblk_header)),
                                             le16_make(VIRTQ_DESC_F_NEXT), le16_make(first + 1)};
        v->desc[first + 1] = (struct virtq_desc){le64_make(vfront_address(v, vfront_buffer(v, s))),
                                                 le32_make(v->bytes), le16_make(VIRTQ_DESC_F_NEXT),
                                                 le16_make(first + 2)};
        v->desc[first + 2] =
            (struct virtq_desc){le64_make(vfront_address(v, &v->status[s])), le32_make(1),
                                le16_make(VIRTQ_DESC_F_WRITE), le16_make(0)};
    }
    if (!(v->features & BIT64(VIRTIO_F_EVENT_IDX))) {
        store_u16(v->avail + VIRTQ_AVAIL_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
}

static void memory_take(struct vfront *v, u16 backend)
{
    u32 pages = PAGE_DATA + v->depth * v->slot_pages;
    u8 *base = machine_pages(v->machine, pages);

    v->run = v->granted ? grants_take(base, pages, backend) : (struct grant_run){.base = base};
    v->desc = (struct virtq_desc *)(void *)(base + PAGE_DESC * PAGE_BYTES);
    v->avail = base + PAGE_RINGS * PAGE_BYTES;
    v->used = v->avail + USED_AT;
    v->header = (struct vblk_header *)(void *)(base + PAGE_HEADER * PAGE_BYTES);
    v->status = base + PAGE_STATUS * PAGE_BYTES;
    v->data = base + PAGE_DATA * PAGE_BYTES;
    if (v->granted) {
        grants_offer(&v->run, 0, PAGE_DATA, false);
        (void)grants_revoke(&v->run, PAGE_HEADER, 1);
        grants_offer(&v->run, PAGE_HEADER, 1, true);
        if (v->stay) {
            grants_offer(&v->run, PAGE_DATA, pages - PAGE_DATA, false);
        }
    }
}

static void queue_make(struct vfront *v)
{
    set(v, REG_QUEUE_SEL, 0);
    while (v->size < 3 * v->depth) {
        v->size *= 2;
    }
    if (get(v, REG_QUEUE_SIZE_MAX) < v->size) {
        machine_refuse("the device's queue has %" PRIu32 " descriptors, depth=%" PRIu32
                       " needs %" PRIu32,
                       get(v, REG_QUEUE_SIZE_MAX), v->depth, v->size);
    }
    ring_make(v);
    set(v, REG_QUEUE_SIZE, v->size);
    set_address(v, REG_QUEUE_DESC, vfront_address(v, v->desc));
    set_address(v, REG_QUEUE_DRIVER, vfront_address(v, v->avail));
    set_address(v, REG_QUEUE_DEVICE, vfront_address(v, v->used));
    set(v, REG_QUEUE_READY, 1);
    if (get(v, REG_QUEUE_READY) != 1) {
        machine_refuse("the device at 0x%" PRIx64 " does not take our queue", v->regs);
    }
}

/** The device is done with our memory when its status reads 0. [VIRTIO 4.2.2.2] */
static void reset(const struct vfront *v)
{
    u64 end_ns = port_now_ns() + RESET_NS;

    set(v, REG_STATUS, 0);
    while (get(v, REG_STATUS) != 0 && port_now_ns() < end_ns) {
        port_relax();
    }
}

void vfront_start(struct vfront *v)
{
    v->avail_idx = 0;
    v->shown_idx = 0;
    v->used_idx = 0;
    v->in_flight = 0;
    reset(v);
    memset(v->run.base, 0, (usize)PAGE_HEADER * PAGE_BYTES);
    set(v, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE);
    set(v, REG_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    features_settle(v);
    queue_make(v);
    set(v, REG_STATUS, get(v, REG_STATUS) | VIRTIO_STATUS_DRIVER_OK);
}

u64 vfront_open(struct front_machine *m, const struct front_options *options,
                const struct tree_virtio *node, struct vfront *v)
{
    *v = (struct vfront){
        .machine = m,
        .regs = node->regs.base,
        .size = 4,
        .depth = options->depth,
        .bytes = options->size,
        .slot_pages = (u32)(align_up(options->size, PAGE_BYTES) / PAGE_BYTES),
        .granted = options->grants == CHOICE_AUTO ? node->grants : options->grants == CHOICE_YES,
        .stay = options->stay == CHOICE_YES,
    };
    if (v->granted && !node->grants) {
        machine_refuse("grants=1, and the device tree names no xen,grant-dma: grant_usage=1");
    }
    if (mmu_map(node->regs.base, node->regs.bytes, MMU_DEVICE) != ST_OK ||
        get(v, REG_MAGIC) != VIRTIO_MAGIC || get(v, REG_VERSION) != 2 ||
        get(v, REG_DEVICE_ID) != VIRTIO_ID_BLOCK) {
        machine_refuse("no virtio disk answers at 0x%" PRIx64, v->regs);
    }
    if (gic_enable(&m->gic, node->intid, &v->irq_line) != ST_OK) {
        machine_refuse("the GIC has no interrupt %" PRIu32 " for a disk", node->intid);
    }
    memory_take(v, node->backend);
    vfront_start(v);
    return (u64)get(v, REG_CONFIG + 4) << 32 | get(v, REG_CONFIG);
}

u32 vfront_close(struct vfront *v)
{
    CHECK(v->in_flight == 0);
    reset(v);
    return v->granted ? grants_revoke(&v->run, 0, v->run.pages) : 0;
}

/* --- requests --------------------------------------------------------------------------------- */

u8 *vfront_buffer(const struct vfront *v, u32 slot)
{
    return v->data + (usize)slot * v->slot_pages * PAGE_BYTES;
}

void vfront_submit(struct vfront *v, u32 slot, bool write, u64 sector)
{
    u16 head = (u16)(3 * slot);

    CHECK(slot < v->depth && !(v->in_flight & BIT64(slot)));
    v->in_flight |= BIT64(slot);
    if (v->granted && !v->stay) {
        grants_offer(&v->run, PAGE_DATA + slot * v->slot_pages, v->slot_pages, write);
    }
    v->header[slot] = (struct vblk_header){
        .type = le32_make(write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN), .sector = le64_make(sector)};
    v->status[slot] = UINT8_MAX;
    v->desc[head + 1].flags =
        le16_make(write ? VIRTQ_DESC_F_NEXT : VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE);
    store_u16(v->avail + VIRTQ_AVAIL_RING(v->avail_idx & (v->size - 1)), head);
    v->avail_idx++;
}

/** [VIRTIO 2.7.10], after avail.idx moved from `from`. */
static bool kick_wanted(const struct vfront *v, u16 from)
{
    if (v->features & BIT64(VIRTIO_F_EVENT_IDX)) {
        u16 event = load_u16(v->used + VIRTQ_USED_AVAIL_EVENT(v->size));

        return (u16)(v->avail_idx - event - 1) < (u16)(v->avail_idx - from);
    }
    return !(load_u16(v->used + VIRTQ_USED_FLAGS) & VIRTQ_USED_F_NO_NOTIFY);
}

void vfront_publish(struct vfront *v)
{
    u16 from = v->shown_idx;

    if (from == v->avail_idx) {
        return;
    }
    store_release_u16(v->avail + VIRTQ_AVAIL_IDX, v->avail_idx);
    v->shown_idx = v->avail_idx;
    full_barrier(); /* shown, then look: the device stores its wish, then looks at avail.idx */
    if (kick_wanted(v, from)) {
        v->traffic.kicks++;
        set(v, REG_QUEUE_NOTIFY, 0);
    }
}

bool vfront_take(struct vfront *v, u32 *slot, bool *good)
{
    while (load_acquire_u16(v->used + VIRTQ_USED_IDX) != v->used_idx) {
        u32 head = load_u32(v->used + VIRTQ_USED_RING(v->used_idx & (v->size - 1)));

        v->used_idx++;
        if (head % 3 != 0 || head / 3 >= v->depth || !(v->in_flight & BIT64(head / 3))) {
            v->traffic.nonsense++;
            continue;
        }
        *slot = head / 3;
        v->in_flight &= ~BIT64(*slot);
        *good = v->status[*slot] == VIRTIO_BLK_S_OK;
        if (v->granted && !v->stay) {
            v->traffic.in_use +=
                grants_revoke(&v->run, PAGE_DATA + *slot * v->slot_pages, v->slot_pages);
        }
        return true;
    }
    return false;
}

bool vfront_arm(struct vfront *v)
{
    if (v->features & BIT64(VIRTIO_F_EVENT_IDX)) {
        store_u16(v->avail + VIRTQ_AVAIL_USED_EVENT(v->size), v->used_idx);
    } else {
        store_u16(v->avail + VIRTQ_AVAIL_FLAGS, 0);
    }
    full_barrier(); /* asked, then look: the device stores used.idx, then looks at what we ask */
    return load_acquire_u16(v->used + VIRTQ_USED_IDX) != v->used_idx;
}

void vfront_disarm(struct vfront *v)
{
    if (!(v->features & BIT64(VIRTIO_F_EVENT_IDX))) {
        store_u16(v->avail + VIRTQ_AVAIL_FLAGS, VIRTQ_AVAIL_F_NO_INTERRUPT);
    }
    if (v->machine->interrupts & BIT32(v->irq_line)) {
        v->machine->interrupts &= ~BIT32(v->irq_line);
        v->traffic.interrupts++;
        set(v, REG_INTERRUPT_ACK, get(v, REG_INTERRUPT_STATUS));
    }
}
