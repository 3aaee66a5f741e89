/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fake/vu_front.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk/ramdisk.h"
#include "virtio/virtq_layout.h"

#define DISK_BYTES FRONT_DISK_BYTES

struct vu_front front;

static u8 disk_memory[DISK_BYTES];
static struct ramdisk disk;
static struct vblk_pool pool;
static bool session_made;

static u32 open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    u32 count = 0;

    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count;
}

int front_connected(void **state)
{
    (void)state;
    for (u32 i = 0; i < DISK_BYTES; i++) {
        disk_memory[i] = (u8)(i / SECTOR_BYTES + 1);
    }
    if (!session_made) {
        const struct vu_session_init init = {
            .name = "disk0",
            .bdev = &disk.bdev,
            .pool = &pool,
            .serial = "serial-1",
            .queues = QUEUES,
        };

        ramdisk_init(&disk, "ram", disk_memory, sizeof(disk_memory), false);
        vblk_pool_init(&pool);
        vu_session_init(&front.session, &init);
        session_made = true;
    }
    front.fds_before = open_fds();
    front.memory_fd = memfd_create("guest", MFD_CLOEXEC);
    assert_int_equal(ftruncate(front.memory_fd, MEM_BYTES), 0);
    front.memory = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, front.memory_fd, 0);
    front.kick_fd = eventfd(0, EFD_NONBLOCK);
    front.call_fd = eventfd(0, EFD_NONBLOCK);
    memset(front.avail_idx, 0, sizeof(front.avail_idx));
    vu_session_open(&front.session);
    return 0;
}

/* Whatever a test did: the session closes, and no descriptor is left open or closed twice. */
int front_hung_up(void **state)
{
    (void)state;
    vu_session_close(&front.session);
    munmap(front.memory, MEM_BYTES);
    close(front.memory_fd);
    close(front.kick_fd);
    close(front.call_fd);
    assert_int_equal(open_fds(), front.fds_before);
    assert_int_equal(vu_mem_pinned(&front.session.mem), 0);
    return 0;
}

/* Send a message with copies of descriptors, as the socket would make them. */
enum status front_send(u32 request, u32 flags, const void *payload, u32 bytes, const int *fds,
                       u32 count)
{
    const struct vu_header header = {request, VU_FLAG_VERSION | flags, bytes};
    struct vu_fds copies = {.count = count};
    u8 buffer[VU_PAYLOAD_MAX] = {0};

    if (bytes > 0) {
        memcpy(buffer, payload, bytes);
    }
    for (u32 i = 0; i < count; i++) {
        copies.fd[i] = dup(fds[i]);
    }
    return vu_session_handle(&front.session, &header, buffer, &copies, &front.answer, &front.why);
}

enum status front_send_u64(u32 request, u64 value)
{
    return front_send(request, 0, &value, sizeof(value), NULL, 0);
}

enum status front_send_state(u32 request, u32 index, u32 num)
{
    const struct vu_vring_state state = {index, num};

    return front_send(request, 0, &state, sizeof(state), NULL, 0);
}

enum status front_send_fd(u32 request, u64 value, int fd)
{
    return front_send(request, 0, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

u64 front_answered_u64(void)
{
    u64 value;

    assert_int_equal(front.answer.bytes, VU_HEADER_BYTES + sizeof(value));
    memcpy(&value, front.answer.data + VU_HEADER_BYTES, sizeof(value));
    return value;
}

u64 front_ask(u32 request)
{
    assert_int_equal(front_send(request, 0, NULL, 0, NULL, 0), ST_OK);
    return front_answered_u64();
}

void front_negotiate(u64 features, u64 protocol)
{
    assert_int_equal(front_send_u64(VU_SET_PROTOCOL_FEATURES, protocol), ST_OK);
    assert_int_equal(front_send(VU_SET_OWNER, 0, NULL, 0, NULL, 0), ST_OK);
    assert_int_equal(front_send_u64(VU_SET_FEATURES, features | BIT64(VIRTIO_F_VERSION_1) |
                                                         BIT64(VU_F_PROTOCOL_FEATURES)),
                     ST_OK);
}

enum status front_share_memory(void)
{
    const struct {
        u32 count, padding;
        struct vu_region region;
    } table = {1, 0, {GUEST, MEM_BYTES, USER, 0}};

    return front_send(VU_SET_MEM_TABLE, 0, &table, sizeof(table), &front.memory_fd, 1);
}

enum status front_ring_addr_of(u32 queue, u64 desc, u64 avail, u64 used)
{
    const struct vu_vring_addr addr = {.index = queue, .desc = desc, .used = used, .avail = avail};

    return front_send(VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
}

enum status front_ring_addr(u64 desc, u64 avail, u64 used)
{
    return front_ring_addr_of(0, desc, avail, used);
}

u64 front_called(void)
{
    u64 count = 0;

    return read(front.call_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

void front_queue_start(u32 queue, u16 base)
{
    const u64 at = USER + queue * STRIDE;

    assert_int_equal(front_send_state(VU_SET_VRING_NUM, queue, RING_SIZE), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, queue, base), ST_OK);
    assert_int_equal(front_ring_addr_of(queue, at + DESC, at + AVAIL, at + USED), ST_OK);
    (void)front_called(); /* what an earlier life was told */
    assert_int_equal(front_send_fd(VU_SET_VRING_CALL, queue, front.call_fd), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, queue, front.kick_fd), ST_OK);
    assert_int_equal(front_called(), 1); /* a new descriptor is signalled once */
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, queue, 1), ST_OK);
}

void front_ring_start(u16 base)
{
    front_queue_start(0, base);
}

u64 front_protocol(void)
{
    return front_ask(VU_GET_PROTOCOL_FEATURES);
}

void front_started(void)
{
    front_negotiate(ALL, front_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(front_share_memory(), ST_OK);
    front_ring_start(0);
    assert_true(front.session.ring[0].running);
}

static void desc_write(u32 queue, u32 index, u64 addr, u32 bytes, u16 flags, u16 next)
{
    struct {
        u64 addr;
        u32 bytes;
        u16 flags, next;
    } desc = {addr, bytes, flags, next};

    memcpy(front.memory + queue * STRIDE + DESC + 16 * index, &desc, sizeof(desc));
}

u16 front_used_idx_of(u32 queue)
{
    return load_u16(front.memory + queue * STRIDE + USED + VIRTQ_USED_IDX);
}

u16 front_used_idx(void)
{
    return front_used_idx_of(0);
}

/* Put one read of a sector into a ring. */
void front_read_offer_on(u32 queue, u64 sector)
{
    const u64 header[2] = {0, sector}, at = GUEST + queue * STRIDE;
    u8 *mine = front.memory + queue * STRIDE;
    u16 head = 0;

    memcpy(mine + HEADER, header, sizeof(header));
    mine[STATUS] = 0xff;
    desc_write(queue, 0, at + HEADER, 16, 1, 1);
    desc_write(queue, 1, at + DATA, SECTOR_BYTES, 3, 2);
    desc_write(queue, 2, at + STATUS, 1, 2, 0);
    memcpy(mine + AVAIL + 4 + 2 * (front.avail_idx[queue] % RING_SIZE), &head, sizeof(head));
    front.avail_idx[queue]++;
    store_u16(mine + AVAIL + 2, front.avail_idx[queue]);
}

void front_read_offer(u64 sector)
{
    front_read_offer_on(0, sector);
}

void front_read_arrived(u32 queue, u64 sector)
{
    const u8 *mine = front.memory + queue * STRIDE;

    assert_int_equal(mine[STATUS], VIRTIO_BLK_S_OK);
    assert_int_equal(mine[DATA], (u8)(sector + 1));
    assert_int_equal(mine[DATA + SECTOR_BYTES - 1], (u8)(sector + 1));
}

void front_read_works_on(u32 queue, u64 sector)
{
    const u16 before = front_used_idx_of(queue);

    memset(front.memory + queue * STRIDE + DATA, 0, SECTOR_BYTES);
    front_read_offer_on(queue, sector);
    assert_true(vu_session_poll(&front.session, 8) > 0);
    assert_int_equal((u16)(front_used_idx_of(queue) - before), 1);
    front_read_arrived(queue, sector);
}

void front_read_works(u64 sector)
{
    front_read_works_on(0, sector);
}
