/* SPDX-License-Identifier: BSD-2-Clause */
/* vmmio.c - the virtio-mmio register file. [VIRTIO 4.2.2] */
#include "virtio/vmmio.h"

#include "start/base/arith.h"

#define VMMIO_MAGIC   0x74726976 /* "virt" */
#define VMMIO_VERSION 2
#define VMMIO_VENDOR  0x53494143 /* "CAIS" */
#define VMMIO_CONFIG  0x100

/* Registers that are named more than once; all others are spelled where they are answered. */
#define VMMIO_QUEUE_SIZE   0x038
#define VMMIO_QUEUE_READY  0x044
#define VMMIO_STATUS       0x070
#define VMMIO_QUEUE_DESC   0x080
#define VMMIO_QUEUE_DRIVER 0x090
#define VMMIO_QUEUE_DEVICE 0x0a0
#define VMMIO_QUEUE_RESET  0x0c0
#define VMMIO_HIGH         0x004 /* the upper half of an address */

/** The selected queue's setup while its registers may be written, else NULL. */
static struct virtq_setup *setup_open(struct vmmio *m)
{
    return vdev_queue_open(m->dev, m->queue_sel) ? &m->dev->queue[m->queue_sel].setup : NULL;
}

static u32 queue_size_max_read(const struct vmmio *m)
{
    return m->queue_sel < m->dev->queue_count ? m->dev->queue[m->queue_sel].size_max : 0;
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

/** One of the registers that describe the selected queue. What the values mean is looked at when
 * the queue is made ready, all 32 bits of each. */
static void queue_setup_write(struct vmmio *m, u32 reg, u32 value)
{
    struct virtq_setup *setup = setup_open(m);
    u64 *addr;

    if (!setup) {
        return;
    }
    if (reg == VMMIO_QUEUE_SIZE) {
        setup->size = value;
        return;
    }
    addr = reg < VMMIO_QUEUE_DRIVER   ? &setup->desc
           : reg < VMMIO_QUEUE_DEVICE ? &setup->avail
                                      : &setup->used;
    *addr = reg & VMMIO_HIGH ? (*addr & UINT32_MAX) | (u64)value << 32
                             : (*addr & ~(u64)UINT32_MAX) | value;
}

/** A register that can be read; everything else reads as zero. */
static u32 reg_read(struct vmmio *m, u32 reg)
{
    switch (reg) {
    case 0x000:
        return VMMIO_MAGIC;
    case 0x004:
        return VMMIO_VERSION;
    case 0x008:
        return m->dev->device_id;
    case 0x00c:
        return VMMIO_VENDOR;
    case 0x010: /* DeviceFeatures */
        return vdev_features_read(m->dev, m->device_features_sel);
    case 0x034: /* QueueSizeMax */
        return queue_size_max_read(m);
    case VMMIO_QUEUE_READY:
        return vdev_queue_ready_read(m->dev, m->queue_sel);
    case 0x060: /* InterruptStatus */
        return interrupt_status_read(m);
    case VMMIO_STATUS:
        return vdev_status_read(m->dev);
    case VMMIO_QUEUE_RESET:
        return vdev_queue_reset_read(m->dev, m->queue_sel);
    case 0x0b0: /* SHMLen and SHMBase: no shared memory region exists, they read as -1 */
    case 0x0b4:
    case 0x0b8:
    case 0x0bc:
        return UINT32_MAX;
    case 0x0fc: /* ConfigGeneration */
        return m->dev->config_generation;
    default:
        return 0;
    }
}

/** A register that can be written; everything else ignores it. */
static void reg_write(struct vmmio *m, u32 reg, u32 value)
{
    switch (reg) {
    case 0x014:
        m->device_features_sel = value;
        return;
    case 0x020: /* DriverFeatures */
        vdev_features_write(m->dev, m->driver_features_sel, value);
        return;
    case 0x024:
        m->driver_features_sel = value;
        return;
    case 0x030:
        m->queue_sel = value;
        return;
    case VMMIO_QUEUE_READY:
        vdev_queue_ready_write(m->dev, m->queue_sel, value);
        return;
    case 0x050: /* QueueNotify: the guest's vCPU waits, the poll loop looks at the ring later */
        vdev_kick(m->dev, vdev_has(m->dev, VIRTIO_F_NOTIFICATION_DATA) ? (u16)value : value);
        return;
    case 0x064:
        interrupt_ack_write(m, value);
        return;
    case VMMIO_STATUS:
        status_write(m, value);
        return;
    case VMMIO_QUEUE_RESET:
        if (value == 1) {
            vdev_queue_reset(m->dev, m->queue_sel);
        }
        return;
    case VMMIO_QUEUE_SIZE:
    case VMMIO_QUEUE_DESC:
    case VMMIO_QUEUE_DESC | VMMIO_HIGH:
    case VMMIO_QUEUE_DRIVER:
    case VMMIO_QUEUE_DRIVER | VMMIO_HIGH:
    case VMMIO_QUEUE_DEVICE:
    case VMMIO_QUEUE_DEVICE | VMMIO_HIGH:
        queue_setup_write(m, reg, value);
        return;
    default:
        return;
    }
}

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
    vdev_transport(dev, vmmio_raise, m,
                   BIT64(VIRTIO_F_NOTIFICATION_DATA) | BIT64(VIRTIO_F_RING_RESET));
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
    if (write) {
        reg_write(m, offset, (u32)*data);
    } else {
        *data = reg_read(m, offset);
    }
}
