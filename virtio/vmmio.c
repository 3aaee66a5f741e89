/* SPDX-License-Identifier: BSD-2-Clause */
/* vmmio.c - the virtio-mmio register file as a table. [VIRTIO 4.2.2] */
#include "virtio/vmmio.h"

#include "start/base/arith.h"

#define VMMIO_MAGIC   0x74726976 /* "virt" */
#define VMMIO_VERSION 2
#define VMMIO_VENDOR  0x53494143 /* "CAIS" */
#define VMMIO_CONFIG  0x100

typedef u32 (*reg_read_fn)(struct vmmio *m);
typedef void (*reg_write_fn)(struct vmmio *m, u32 value);

/** The selected queue's setup while its registers may be written, else NULL. */
static struct virtq_setup *setup_open(struct vmmio *m)
{
    return vdev_queue_open(m->dev, m->queue_sel) ? &m->dev->queue[m->queue_sel].setup : NULL;
}

static void address_low(u64 *addr, u32 value)
{
    *addr = (*addr & ~(u64)UINT32_MAX) | value;
}

static void address_high(u64 *addr, u32 value)
{
    *addr = (*addr & UINT32_MAX) | (u64)value << 32;
}

static u32 magic_read(struct vmmio *m)
{
    (void)m;
    return VMMIO_MAGIC;
}

static u32 version_read(struct vmmio *m)
{
    (void)m;
    return VMMIO_VERSION;
}

static u32 device_id_read(struct vmmio *m)
{
    return m->dev->device_id;
}

static u32 vendor_read(struct vmmio *m)
{
    (void)m;
    return VMMIO_VENDOR;
}

static u32 device_features_read(struct vmmio *m)
{
    return vdev_features_read(m->dev, m->device_features_sel);
}

static void device_features_sel_write(struct vmmio *m, u32 value)
{
    m->device_features_sel = value;
}

static void driver_features_write(struct vmmio *m, u32 value)
{
    vdev_features_write(m->dev, m->driver_features_sel, value);
}

static void driver_features_sel_write(struct vmmio *m, u32 value)
{
    m->driver_features_sel = value;
}

static void queue_sel_write(struct vmmio *m, u32 value)
{
    m->queue_sel = value;
}

static u32 queue_size_max_read(struct vmmio *m)
{
    return m->queue_sel < m->dev->queue_count ? m->dev->queue[m->queue_sel].size_max : 0;
}

static void queue_size_write(struct vmmio *m, u32 value)
{
    struct virtq_setup *setup = setup_open(m);

    if (setup) {
        setup->size = value; /* all 32 bits: checked when the queue is made ready */
    }
}

static u32 queue_ready_read(struct vmmio *m)
{
    return vdev_queue_ready_read(m->dev, m->queue_sel);
}

static void queue_ready_write(struct vmmio *m, u32 value)
{
    vdev_queue_ready_write(m->dev, m->queue_sel, value);
}

/* The guest's vCPU waits for this access: the ring is looked at later, by the poll loop. */
static void queue_notify_write(struct vmmio *m, u32 value)
{
    vdev_kick(m->dev, value);
}

static u32 interrupt_status_read(struct vmmio *m)
{
    m->interrupt_fresh = 0;
    return m->interrupt_status;
}

static void interrupt_ack_write(struct vmmio *m, u32 value)
{
    m->interrupt_status &= ~value | m->interrupt_fresh;
    if ((value & m->interrupt_fresh) != 0) {
        m->irq(m->irq_ctx);
    }
}

static u32 status_read(struct vmmio *m)
{
    return vdev_status_read(m->dev);
}

static void status_write(struct vmmio *m, u32 value)
{
    vdev_status_write(m->dev, value);
    if ((value & 0xff) == 0) {
        m->interrupt_status = 0;
        m->interrupt_fresh = 0;
        m->device_features_sel = 0;
        m->driver_features_sel = 0;
        m->queue_sel = 0;
    }
}

#define QUEUE_ADDRESS(name, field)                            \
    static void name##_low_write(struct vmmio *m, u32 value)  \
    {                                                         \
        struct virtq_setup *setup = setup_open(m);            \
                                                              \
        if (setup) {                                          \
            address_low(&setup->field, value);                \
        }                                                     \
    }                                                         \
    static void name##_high_write(struct vmmio *m, u32 value) \
    {                                                         \
        struct virtq_setup *setup = setup_open(m);            \
                                                              \
        if (setup) {                                          \
            address_high(&setup->field, value);               \
        }                                                     \
    }

QUEUE_ADDRESS(queue_desc, desc)
QUEUE_ADDRESS(queue_driver, avail)
QUEUE_ADDRESS(queue_device, used)

/* No shared memory region exists: its length and base read as -1. [VIRTIO 4.2.2] */
static u32 shm_read(struct vmmio *m)
{
    (void)m;
    return UINT32_MAX;
}

static u32 config_generation_read(struct vmmio *m)
{
    return m->dev->config_generation;
}

/** One line per register; a missing direction reads as zero or ignores the write. */
static const struct vmmio_reg {
    reg_read_fn read;
    reg_write_fn write;
} vmmio_regs[VMMIO_CONFIG / sizeof(u32)] = {
    [0x000 / 4] = {magic_read, NULL},
    [0x004 / 4] = {version_read, NULL},
    [0x008 / 4] = {device_id_read, NULL},
    [0x00c / 4] = {vendor_read, NULL},
    [0x010 / 4] = {device_features_read, NULL},
    [0x014 / 4] = {NULL, device_features_sel_write},
    [0x020 / 4] = {NULL, driver_features_write},
    [0x024 / 4] = {NULL, driver_features_sel_write},
    [0x030 / 4] = {NULL, queue_sel_write},
    [0x034 / 4] = {queue_size_max_read, NULL},
    [0x038 / 4] = {NULL, queue_size_write},
    [0x044 / 4] = {queue_ready_read, queue_ready_write},
    [0x050 / 4] = {NULL, queue_notify_write},
    [0x060 / 4] = {interrupt_status_read, NULL},
    [0x064 / 4] = {NULL, interrupt_ack_write},
    [0x070 / 4] = {status_read, status_write},
    [0x080 / 4] = {NULL, queue_desc_low_write},
    [0x084 / 4] = {NULL, queue_desc_high_write},
    [0x090 / 4] = {NULL, queue_driver_low_write},
    [0x094 / 4] = {NULL, queue_driver_high_write},
    [0x0a0 / 4] = {NULL, queue_device_low_write},
    [0x0a4 / 4] = {NULL, queue_device_high_write},
    [0x0b0 / 4] = {shm_read, NULL},
    [0x0b4 / 4] = {shm_read, NULL},
    [0x0b8 / 4] = {shm_read, NULL},
    [0x0bc / 4] = {shm_read, NULL},
    [0x0fc / 4] = {config_generation_read, NULL},
};

/** vdev's raise hook: the cause first, then the edge. */
static void vmmio_raise(void *ctx, u32 cause, u16 queue)
{
    struct vmmio *m = ctx;

    (void)queue; /* one interrupt for all queues [VIRTIO 4.2.3.4] */
    m->interrupt_status |= cause;
    m->interrupt_fresh |= cause;
    m->irq(m->irq_ctx);
}

void vmmio_init(struct vmmio *m, struct vdev *dev, vmmio_irq_fn irq, void *irq_ctx)
{
    *m = (struct vmmio){.dev = dev, .irq = irq, .irq_ctx = irq_ctx};
    vdev_transport(dev, vmmio_raise, m);
}

static void config_access(struct vmmio *m, u32 offset, u8 bytes, bool write, u64 *data)
{
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) {
        return;
    }
    if (write) {
        vdev_config_write(m->dev, offset, bytes, *data);
    } else {
        *data = vdev_config_read(m->dev, offset, bytes);
    }
}

void vmmio_access(struct vmmio *m, u32 offset, u8 bytes, bool write, u64 *data)
{
    const struct vmmio_reg *reg;

    if (!write) {
        *data = 0;
    }
    if (offset >= VMMIO_CONFIG) {
        config_access(m, offset - VMMIO_CONFIG, bytes, write, data);
        return;
    }
    if (bytes != sizeof(u32) || !is_aligned(offset, sizeof(u32))) {
        return;
    }
    reg = &vmmio_regs[offset / sizeof(u32)];
    if (write && reg->write) {
        reg->write(m, (u32)*data);
    } else if (!write && reg->read) {
        *data = reg->read(m);
    }
}
