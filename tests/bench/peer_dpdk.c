/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer_dpdk.c - a RAM disk on DPDK's vhost library, to compare with; not part of the product.
 *
 *   peer-dpdk SOCKET MIB CPU
 *
 * A polling back end as one is written on rte_vhost's public interface: the library does the
 * protocol and the notifications, the application walks the descriptors, translates each address
 * with rte_vhost_va_from_guest_pa() and returns request by request. Split ring, one queue or
 * several, read and write. As much is checked as an application on this interface usually checks:
 * far less than our engine does.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <rte_atomic.h>
#include <rte_eal.h>
#include <rte_log.h>
#include <rte_memcpy.h>
#include <rte_pause.h>
#include <rte_vhost.h>

#define QUEUES_MAX 4
#define IOVS_MAX   130
#define SECTOR     512u
#define GET_CONFIG 24 /* [VHOST-USER], answered by the application */

struct iov {
    uint8_t *base;
    uint32_t bytes;
};

struct queue {
    struct rte_vhost_vring vring;
    uint16_t next;
};

static uint8_t *disk;
static uint64_t disk_bytes;
static volatile int served_vid = -1; /* the connection being served */
static volatile bool stop, parked = true;
static struct rte_vhost_memory *memory;
static struct queue queues[QUEUES_MAX];
static uint16_t queue_count;

/* What the library hands to a message handler: header, then payload. */
struct config_message {
    uint32_t request, flags, size;
    uint32_t offset, bytes, config_flags;
    uint8_t data[256];
} __attribute__((packed));

static void *translate(uint64_t guest, uint32_t bytes)
{
    uint64_t len = bytes;
    void *p = (void *)(uintptr_t)rte_vhost_va_from_guest_pa(memory, guest, &len);

    return len == bytes ? p : NULL;
}

static uint8_t transfer(const struct virtio_blk_outhdr *header, const struct iov *iov,
                        uint32_t iovs, uint32_t *moved)
{
    const uint64_t first = header->sector * SECTOR;
    uint64_t at = first;

    for (uint32_t i = 0; i < iovs; i++) {
        if (at > disk_bytes || iov[i].bytes > disk_bytes - at) {
            return VIRTIO_BLK_S_IOERR;
        }
        if (header->type == VIRTIO_BLK_T_IN) {
            rte_memcpy(iov[i].base, disk + at, iov[i].bytes);
        } else {
            rte_memcpy(disk + at, iov[i].base, iov[i].bytes);
        }
        at += iov[i].bytes;
    }
    *moved = header->type == VIRTIO_BLK_T_IN ? (uint32_t)(at - first) + 1 : 1;
    return VIRTIO_BLK_S_OK;
}

/* One request from head to used ring. Not inlined: its instructions are counted by name. */
__attribute__((noinline)) static void serve(int vid, uint16_t q, uint16_t head)
{
    struct rte_vhost_vring *vring = &queues[q].vring;
    const struct vring_desc *desc = &vring->desc[head];
    struct vring_used *used = vring->used;
    struct iov iov[IOVS_MAX];
    struct virtio_blk_outhdr *header;
    uint32_t iovs = 0, moved = 1;
    uint8_t *status;

    rte_vhost_set_inflight_desc_split(vid, q, head);
    header = translate(desc->addr, desc->len);
    for (desc = &vring->desc[desc->next]; (desc->flags & VRING_DESC_F_NEXT) && iovs < IOVS_MAX;
         desc = &vring->desc[desc->next]) {
        iov[iovs].base = translate(desc->addr, desc->len);
        iov[iovs].bytes = desc->len;
        if (!iov[iovs].base) {
            fprintf(stderr, "peer-dpdk: a buffer is not guest memory\n");
            abort();
        }
        iovs++;
    }
    status = translate(desc->addr, 1);
    if (!header || !status) {
        fprintf(stderr, "peer-dpdk: a header or status is not guest memory\n");
        abort();
    }
    *status = header->type <= VIRTIO_BLK_T_OUT ? transfer(header, iov, iovs, &moved)
                                               : VIRTIO_BLK_S_UNSUPP;
    rte_vhost_set_last_inflight_io_split(vid, q, head);
    used->ring[used->idx & (vring->size - 1)].id = head;
    used->ring[used->idx & (vring->size - 1)].len = moved;
    rte_smp_mb();
    used->idx++;
    rte_smp_mb();
    rte_vhost_clr_inflight_desc_split(vid, q, used->idx, head);
    rte_vhost_vring_call(vid, q);
}

static void *worker(void *unused)
{
    while (!stop) {
        const int vid = served_vid;

        if (vid < 0) {
            parked = true;
            rte_pause();
            continue;
        }
        parked = false;
        if (vid != served_vid) {
            continue;
        }
        for (uint16_t q = 0; q < queue_count; q++) {
            struct rte_vhost_vring *vring = &queues[q].vring;
            const uint16_t avail = __atomic_load_n(&vring->avail->idx, __ATOMIC_ACQUIRE);

            while (queues[q].next != avail) {
                serve(vid, q, vring->avail->ring[queues[q].next & (vring->size - 1)]);
                queues[q].next++;
            }
        }
    }
    return unused;
}

static int device_new(int vid)
{
    queue_count = rte_vhost_get_vring_num(vid);
    if (queue_count > QUEUES_MAX || rte_vhost_get_mem_table(vid, &memory) != 0) {
        fprintf(stderr, "peer-dpdk: %u queues, or no memory table\n", queue_count);
        return -1;
    }
    for (uint16_t q = 0; q < queue_count; q++) {
        uint16_t avail, used;

        if (rte_vhost_get_vhost_vring(vid, q, &queues[q].vring) != 0 ||
            rte_vhost_get_vring_base(vid, q, &avail, &used) != 0) {
            return -1;
        }
        queues[q].next = avail;
        rte_vhost_enable_guest_notification(vid, q, 0);
    }
    served_vid = vid;
    return 0;
}

static void device_destroy(int vid)
{
    if (served_vid != vid) {
        return;
    }
    served_vid = -1;
    for (parked = false; !parked;) {
        rte_pause();
    }
    for (uint16_t q = 0; q < queue_count; q++) {
        rte_vhost_set_vring_base(vid, q, queues[q].next, queues[q].next);
    }
    free(memory);
    memory = NULL;
}

static enum rte_vhost_msg_result config_answer(int vid, void *msg)
{
    struct config_message *m = msg;
    const uint64_t sectors = disk_bytes / SECTOR;

    (void)vid;
    if (m->request != GET_CONFIG) {
        return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
    }
    memset(m->data, 0, sizeof(m->data));
    memcpy(m->data, &sectors, sizeof(sectors));
    return RTE_VHOST_MSG_RESULT_REPLY;
}

static const struct rte_vhost_user_extern_ops extern_ops = {.pre_msg_handle = config_answer};

static int connection_new(int vid)
{
    return rte_vhost_extern_callback_register(vid, &extern_ops, NULL);
}

static const struct rte_vhost_device_ops device_ops = {
    .new_device = device_new,
    .destroy_device = device_destroy,
    .new_connection = connection_new,
};

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop = true;
}

int main(int argc, char **argv)
{
    static char arg_lcore[16];
    char *eal[] = {argv[0],          arg_lcore, "--no-huge", "--no-pci",
                   "--no-telemetry", "-m",      "64",        "--file-prefix=caisson-peer",
                   "--log-level=4",  NULL};
    const uint64_t features = 1ULL << VIRTIO_F_VERSION_1 | 1ULL << 30;
    uint64_t protocol;
    pthread_t thread;
    cpu_set_t set;

    if (argc != 4) {
        fputs("usage: peer-dpdk SOCKET MIB CPU\n", stderr);
        return 1;
    }
    disk_bytes = strtoull(argv[2], NULL, 10) << 20;
    disk = mmap(NULL, disk_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    snprintf(arg_lcore, sizeof(arg_lcore), "-l%s", argv[3]);
    unlink(argv[1]);
    if (disk == MAP_FAILED || rte_eal_init(9, eal) < 0 ||
        rte_vhost_driver_register(argv[1], 0) != 0 ||
        rte_vhost_driver_set_features(argv[1], features) != 0 ||
        rte_vhost_driver_get_protocol_features(argv[1], &protocol) != 0 ||
        rte_vhost_driver_set_protocol_features(argv[1], protocol | 1ULL << 9) != 0 ||
        rte_vhost_driver_callback_register(argv[1], &device_ops) != 0) {
        fputs("peer-dpdk: DPDK did not start\n", stderr);
        return 1;
    }
    signal(SIGTERM, on_stop);
    CPU_ZERO(&set);
    CPU_SET(strtoul(argv[3], NULL, 10), &set);
    if (pthread_create(&thread, NULL, worker, NULL) != 0 ||
        pthread_setaffinity_np(thread, sizeof(set), &set) != 0 ||
        rte_vhost_driver_start(argv[1]) != 0) {
        fputs("peer-dpdk: it did not start\n", stderr);
        return 1;
    }
    pthread_join(thread, NULL);
    unlink(argv[1]);
    /* Not through the library's clean-up: it waits for its own threads, which an emulator starves.
     */
    fflush(NULL);
    _exit(0);
}
