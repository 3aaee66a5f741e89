/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_session.c - a disk behind the protocol, from connecting to hanging up. */
#include "tools/vhost-user/vu_session.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk/ramdisk.h"
#include "tests/fake/port_host.h"
#include "virtio/virtq_layout.h"

#define RING_SIZE  8
#define MEM_BYTES  KIB(64)
#define GUEST      UINT64_C(0x40000000)
#define USER       UINT64_C(0x7f0000000000)
#define DESC       0x0000 /* offsets in the guest's memory */
#define AVAIL      0x1000
#define USED       0x2000
#define HEADER     0x3000
#define STATUS     0x3800
#define DATA       0x4000
#define DISK_BYTES KIB(64)
#define ALL        UINT64_C(0) /* no feature beyond the two that every front end takes */

static u8 disk_memory[DISK_BYTES];
static struct ramdisk disk;
static struct vblk_pool pool;
static struct vu_session session;
static bool session_made;
static struct vu_answer answer;
static const char *why;
static int memory_fd;
static u8 *memory;
static int kick_fd, call_fd;
static u16 avail_idx;
static u32 fds_before;

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

static int connected(void **state)
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
        };

        ramdisk_init(&disk, "ram", disk_memory, sizeof(disk_memory), false);
        vblk_pool_init(&pool);
        vu_session_init(&session, &init);
        session_made = true;
    }
    fds_before = open_fds();
    memory_fd = memfd_create("guest", MFD_CLOEXEC);
    assert_int_equal(ftruncate(memory_fd, MEM_BYTES), 0);
    memory = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
    kick_fd = eventfd(0, EFD_NONBLOCK);
    call_fd = eventfd(0, EFD_NONBLOCK);
    avail_idx = 0;
    vu_session_open(&session);
    return 0;
}

/* Whatever a test did: the session closes, and no descriptor is left open or closed twice. */
static int hung_up(void **state)
{
    (void)state;
    vu_session_close(&session);
    munmap(memory, MEM_BYTES);
    close(memory_fd);
    close(kick_fd);
    close(call_fd);
    assert_int_equal(open_fds(), fds_before);
    assert_int_equal(vu_mem_pinned(&session.mem), 0);
    return 0;
}

/* Send a message with copies of descriptors, as the socket would make them. */
static enum status send(u32 request, u32 flags, const void *payload, u32 bytes, const int *fds,
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
    return vu_session_handle(&session, &header, buffer, &copies, &answer, &why);
}

static enum status send_u64(u32 request, u64 value)
{
    return send(request, 0, &value, sizeof(value), NULL, 0);
}

static enum status send_state(u32 request, u32 index, u32 num)
{
    const struct vu_vring_state state = {index, num};

    return send(request, 0, &state, sizeof(state), NULL, 0);
}

static enum status send_fd(u32 request, u64 value, int fd)
{
    return send(request, 0, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

static u64 answered_u64(void)
{
    u64 value;

    assert_int_equal(answer.bytes, VU_HEADER_BYTES + sizeof(value));
    memcpy(&value, answer.data + VU_HEADER_BYTES, sizeof(value));
    return value;
}

static u64 ask(u32 request)
{
    assert_int_equal(send(request, 0, NULL, 0, NULL, 0), ST_OK);
    return answered_u64();
}

static void negotiate(u64 features, u64 protocol)
{
    assert_int_equal(send_u64(VU_SET_PROTOCOL_FEATURES, protocol), ST_OK);
    assert_int_equal(send(VU_SET_OWNER, 0, NULL, 0, NULL, 0), ST_OK);
    assert_int_equal(send_u64(VU_SET_FEATURES,
                              features | BIT64(VIRTIO_F_VERSION_1) | BIT64(VU_F_PROTOCOL_FEATURES)),
                     ST_OK);
}

static enum status share_memory(void)
{
    const struct {
        u32 count, padding;
        struct vu_region region;
    } table = {1, 0, {GUEST, MEM_BYTES, USER, 0}};

    return send(VU_SET_MEM_TABLE, 0, &table, sizeof(table), &memory_fd, 1);
}

static enum status ring_addr(u64 desc, u64 avail, u64 used)
{
    const struct vu_vring_addr addr = {.desc = desc, .used = used, .avail = avail};

    return send(VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
}

static u64 called(void)
{
    u64 count = 0;

    return read(call_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void ring_start(u16 base)
{
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_BASE, 0, base), ST_OK);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    (void)called(); /* what an earlier life was told */
    assert_int_equal(send_fd(VU_SET_VRING_CALL, 0, call_fd), ST_OK);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, 0, kick_fd), ST_OK);
    assert_int_equal(called(), 1); /* a new descriptor is signalled once */
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_OK);
}

static u64 all_protocol(void)
{
    return ask(VU_GET_PROTOCOL_FEATURES);
}

static void started(void)
{
    negotiate(ALL, all_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(share_memory(), ST_OK);
    ring_start(0);
    assert_true(session.ring[0].running);
}

static void desc_write(u32 index, u64 addr, u32 bytes, u16 flags, u16 next)
{
    struct {
        u64 addr;
        u32 bytes;
        u16 flags, next;
    } desc = {addr, bytes, flags, next};

    memcpy(memory + DESC + 16 * index, &desc, sizeof(desc));
}

static u16 used_idx(void)
{
    return load_u16(memory + USED + VIRTQ_USED_IDX);
}

/* Put one read of a sector into the ring. */
static void read_offer(u64 sector)
{
    const u64 header[2] = {0, sector};
    u16 head = 0;

    memcpy(memory + HEADER, header, sizeof(header));
    memory[STATUS] = 0xff;
    desc_write(0, GUEST + HEADER, 16, 1, 1);
    desc_write(1, GUEST + DATA, SECTOR_BYTES, 3, 2);
    desc_write(2, GUEST + STATUS, 1, 2, 0);
    memcpy(memory + AVAIL + 4 + 2 * (avail_idx % RING_SIZE), &head, sizeof(head));
    avail_idx++;
    store_u16(memory + AVAIL + 2, avail_idx);
}

static void read_works(u64 sector)
{
    const u16 before = used_idx();

    memset(memory + DATA, 0, SECTOR_BYTES);
    read_offer(sector);
    assert_true(vu_session_poll(&session, 8) > 0);
    assert_int_equal((u16)(used_idx() - before), 1);
    assert_int_equal(memory[STATUS], VIRTIO_BLK_S_OK);
    assert_int_equal(memory[DATA], (u8)(sector + 1));
    assert_int_equal(memory[DATA + SECTOR_BYTES - 1], (u8)(sector + 1));
}

/* --- tests ---------------------------------------------------------------------------------- */

static void a_front_end_that_does_everything_right_is_served(void **state)
{
    (void)state;
    started();
    assert_int_equal(ask(VU_GET_QUEUE_NUM), session.vb.vdev.queue_count);
    assert_int_equal(ask(VU_GET_MAX_MEM_SLOTS), VU_SLOTS_MAX);
    for (u32 i = 0; i < 3 * RING_SIZE; i++) {
        read_works(i);
    }
    assert_int_equal(called(), 3 * RING_SIZE);
}

static void features_that_were_not_offered_are_refused(void **state)
{
    const u64 offered = ask(VU_GET_FEATURES);

    (void)state;
    assert_true(offered & BIT64(VIRTIO_F_VERSION_1));
    for (u32 bit = 0; bit < 64; bit++) {
        const enum status st = send_u64(VU_SET_FEATURES, BIT64(VIRTIO_F_VERSION_1) | BIT64(bit));

        assert_int_equal(st, offered & BIT64(bit) ? ST_OK : ST_INVAL);
    }
}

static void a_legacy_driver_is_told_why_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(send_u64(VU_SET_FEATURES, BIT64(VU_F_PROTOCOL_FEATURES)), ST_INVAL);
    assert_non_null(strstr(why, "VERSION_1"));
}

static void a_request_whose_protocol_feature_is_not_negotiated_ends_the_session(void **state)
{
    static const u32 gated[] = {VU_GET_QUEUE_NUM, VU_GET_MAX_MEM_SLOTS, VU_GET_STATUS,
                                VU_RESET_DEVICE};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(gated); i++) {
        assert_int_equal(send(gated[i], 0, NULL, 0, NULL, 0), ST_PROTO);
    }
    assert_int_equal(send_u64(VU_SET_PROTOCOL_FEATURES, BIT64(1)), ST_INVAL);
}

static void need_reply_is_answered_with_the_outcome(void **state)
{
    const struct vu_vring_state good = {0, RING_SIZE}, bad = {0, RING_SIZE + 1};

    (void)state;
    negotiate(ALL, BIT64(VU_P_REPLY_ACK));
    assert_int_equal(send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &good, sizeof(good), NULL, 0),
                     ST_OK);
    assert_int_equal(answered_u64(), 0);
    assert_int_equal(send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &bad, sizeof(bad), NULL, 0), ST_OK);
    assert_int_not_equal(answered_u64(), 0);
    /* Nobody would hear of the refusal: the session ends. */
    assert_int_equal(send(VU_SET_VRING_NUM, 0, &bad, sizeof(bad), NULL, 0), ST_INVAL);
    assert_int_equal(answer.bytes, 0);
}

static void need_reply_without_reply_ack_gets_none(void **state)
{
    const struct vu_vring_state good = {0, RING_SIZE};

    (void)state;
    negotiate(ALL, 0);
    assert_int_equal(send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &good, sizeof(good), NULL, 0),
                     ST_OK);
    assert_int_equal(answer.bytes, 0);
}

static void rings_of_a_wrong_number_size_or_place_are_refused(void **state)
{
    const u32 queues = session.vb.vdev.queue_count;

    (void)state;
    negotiate(ALL, 0);
    assert_int_equal(share_memory(), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_NUM, queues, RING_SIZE), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_BASE, UINT32_MAX, 0), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, queues, 1), ST_INVAL);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, queues, kick_fd), ST_INVAL);
    assert_int_equal(send_fd(VU_SET_VRING_CALL, 255, call_fd), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, 0), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, 3), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, 2 * VQ_SIZE_MAX), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, 0x10000 | RING_SIZE), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_BASE, 0, 0x10000), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 2), ST_INVAL);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, VQ_SIZE_MAX), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, 0, kick_fd), ST_OK);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + MEM_BYTES), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + MEM_BYTES - 8), ST_INVAL);
    assert_int_equal(ring_addr(USER + DESC + 8, USER + AVAIL, USER + USED), ST_INVAL);
    assert_int_equal(ring_addr(0, USER + AVAIL, USER + USED), ST_INVAL);
    assert_false(session.ring[0].running);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    read_works(5);
}

static void a_ring_does_nothing_before_it_is_enabled(void **state)
{
    (void)state;
    started();
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 0), ST_OK);
    read_offer(1);
    assert_int_equal(vu_session_poll(&session, 8), 0);
    assert_int_equal(used_idx(), 0);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_OK);
    assert_true(vu_session_poll(&session, 8) > 0);
    assert_int_equal(used_idx(), 1);
}

static void without_protocol_features_a_ring_starts_enabled(void **state)
{
    (void)state;
    assert_int_equal(send_u64(VU_SET_FEATURES, BIT64(VIRTIO_F_VERSION_1)), ST_OK);
    assert_int_equal(share_memory(), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    assert_false(session.ring[0].running);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, 0, kick_fd), ST_OK);
    read_works(3);
}

/* D-2.1.2-01, for front ends that speak STATUS. */
static void with_status_no_ring_runs_before_driver_ok(void **state)
{
    (void)state;
    negotiate(ALL, all_protocol());
    assert_int_equal(share_memory(), ST_OK);
    assert_int_equal(send_u64(VU_SET_STATUS, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                                 VIRTIO_STATUS_FEATURES_OK),
                     ST_OK);
    ring_start(0);
    assert_int_equal(ask(VU_GET_STATUS), 0x0b);
    assert_false(session.ring[0].running);
    assert_int_equal(send_u64(VU_SET_STATUS, 0x0f), ST_OK);
    read_works(2);
    assert_int_equal(send_u64(VU_SET_STATUS, 256), ST_INVAL);
    assert_int_equal(send_u64(VU_SET_STATUS, 0), ST_OK);
    assert_int_equal(ask(VU_GET_STATUS), 0);
    assert_false(session.ring[0].running);
}

static void a_stopped_ring_tells_where_and_goes_on_from_there(void **state)
{
    const struct vu_vring_state ring = {0, 0};
    u32 stopped[2];

    (void)state;
    started();
    for (u32 i = 0; i < 5; i++) {
        read_works(i);
    }
    assert_int_equal(send(VU_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0), ST_OK);
    memcpy(stopped, answer.data + VU_HEADER_BYTES, sizeof(stopped));
    assert_int_equal(stopped[1], 5);
    read_offer(9);
    assert_int_equal(vu_session_poll(&session, 8), 0);
    assert_int_equal(send_state(VU_SET_VRING_BASE, 0, stopped[1]), ST_OK);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, 0, kick_fd), ST_OK);
    assert_true(vu_session_poll(&session, 8) > 0);
    assert_int_equal(used_idx(), 6);
    read_works(6);
}

static void rings_go_on_when_memory_is_added_and_shared_anew(void **state)
{
    const struct {
        u64 padding;
        struct vu_region region;
    } more = {0, {GUEST + MEM_BYTES, KIB(4), USER + MEM_BYTES, 0}};

    (void)state;
    started();
    read_works(1);
    assert_int_equal(send(VU_ADD_MEM_REG, 0, &more, sizeof(more), &memory_fd, 1), ST_OK);
    read_works(2);
    assert_int_equal(send(VU_ADD_MEM_REG, 0, &more, sizeof(more), &memory_fd, 1), ST_INVAL);
    assert_int_equal(send(VU_REM_MEM_REG, 0, &more, sizeof(more), NULL, 0), ST_OK);
    read_works(3);
    assert_int_equal(share_memory(), ST_OK);
    read_works(4);
}

static void memory_under_a_ring_can_be_taken_away(void **state)
{
    const struct {
        u64 padding;
        struct vu_region region;
    } all = {0, {GUEST, MEM_BYTES, USER, 0}};

    (void)state;
    started();
    read_works(1);
    /* A known mistake of front ends: a descriptor comes along, and is closed. */
    assert_int_equal(send(VU_REM_MEM_REG, 0, &all, sizeof(all), &memory_fd, 1), ST_INVAL);
    assert_int_equal(session.mem.count, 0);
    read_offer(2);
    assert_int_equal(vu_session_poll(&session, 8), 0);
    assert_int_equal(send(VU_REM_MEM_REG, 0, &all, sizeof(all), NULL, 0), ST_NOENT);
    assert_int_equal(send(VU_ADD_MEM_REG, 0, &all, sizeof(all), &memory_fd, 1), ST_OK);
    assert_true(vu_session_poll(&session, 8) > 0);
    assert_int_equal(used_idx(), 2);
}

static void the_config_space_is_read_whole_and_written_never(void **state)
{
    struct {
        u32 offset, bytes, flags;
        u8 data[VU_CONFIG_MAX];
    } config = {0, 96, 0, {0}};
    const u64 refused = session.refused;
    u64 sectors;

    (void)state;
    negotiate(ALL, BIT64(VU_P_CONFIG));
    assert_int_equal(send(VU_GET_CONFIG, 0, &config, 12 + 96, NULL, 0), ST_OK);
    assert_int_equal(answer.bytes, VU_HEADER_BYTES + 12 + 96);
    memcpy(&sectors, answer.data + VU_HEADER_BYTES + 12, sizeof(sectors));
    assert_int_equal(sectors, DISK_BYTES / SECTOR_BYTES);
    config.bytes = 8;
    assert_int_equal(send(VU_SET_CONFIG, 0, &config, 12 + 8, NULL, 0), ST_OK);
    assert_int_equal(session.refused, refused + 1);
    assert_int_equal(send(VU_GET_CONFIG, 0, &config, 12 + 8, NULL, 0), ST_OK);
    memcpy(&sectors, answer.data + VU_HEADER_BYTES + 12, sizeof(sectors));
    assert_int_equal(sectors, DISK_BYTES / SECTOR_BYTES);
}

static void reset_device_forgets_the_rings_and_keeps_the_memory(void **state)
{
    (void)state;
    started();
    read_works(1);
    assert_int_equal(send(VU_RESET_DEVICE, 0, NULL, 0, NULL, 0), ST_OK);
    assert_false(session.ring[0].running);
    assert_int_equal(session.mem.count, 1);
    memset(memory, 0, MEM_BYTES);
    avail_idx = 0;
    negotiate(ALL, 0);
    ring_start(0);
    read_works(7);
}

static void what_was_in_flight_at_our_death_is_served_by_the_successor(void **state)
{
    const struct {
        u64 bytes, offset;
        u16 queues, queue_size, padding[2];
    } want = {0, 0, 1, RING_SIZE, {0}};
    u8 description[24];
    int area;

    (void)state;
    negotiate(ALL, all_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(send(VU_GET_INFLIGHT_FD, 0, &want, sizeof(want), NULL, 0), ST_OK);
    area = answer.fd;
    memcpy(description, answer.data + VU_HEADER_BYTES, sizeof(description));
    assert_int_equal(share_memory(), ST_OK);
    ring_start(0);
    read_works(1);
    read_works(2);
    /* Two requests are offered; we die before we look. The front end knows only its own index. */
    read_offer(3);
    read_offer(4);
    vu_session_close(&session);
    vu_session_open(&session);
    negotiate(ALL, all_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, description, 24, &area, 1), ST_OK);
    assert_int_equal(share_memory(), ST_OK);
    ring_start(avail_idx);
    assert_int_equal(session.ring[0].base, 2);
    assert_true(called() > 0);
    while (vu_session_poll(&session, 8) > 0) {
    }
    assert_int_equal(used_idx(), 4);
    read_works(5);
    close(area);
}

static void a_foreign_inflight_area_is_not_believed(void **state)
{
    struct {
        u64 bytes, offset;
        u16 queues, queue_size, padding[2];
    } area = {0, 0, 1, RING_SIZE, {0}};
    const u64 bytes = vu_inflight_bytes(1, RING_SIZE);
    int fd = memfd_create("area", MFD_ALLOW_SEALING);
    u16 *region;

    (void)state;
    negotiate(ALL, all_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    area.bytes = bytes + 1;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_IO);
    area.bytes = bytes - 1;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.bytes = bytes;
    area.offset = UINT64_MAX - 8;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.offset = 0;
    area.queues = 0;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.queues = UINT16_MAX;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.queues = 1;
    area.queue_size = VQ_SIZE_MAX + 1;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    /* Unsealed memory could vanish under us. */
    area.queue_size = RING_SIZE;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &memory_fd, 1), ST_IO);
    /* A version of the future. */
    region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    region[4] = 2;
    assert_int_equal(send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_OK);
    assert_int_equal(share_memory(), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    assert_int_equal(send_fd(VU_SET_VRING_KICK, 0, kick_fd), ST_OK);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    assert_false(session.ring[0].running);
    /* Ours, and the batch that was shown last is longer than the ring. */
    region[4] = 1;
    region[5] = RING_SIZE;
    region[7] = (u16) - (RING_SIZE + 1);
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    region[7] = 0;
    assert_int_equal(send_state(VU_SET_VRING_ENABLE, 0, 1), ST_OK);
    read_works(1);
    munmap(region, bytes);
    close(fd);
}

static void a_broken_ring_signals_its_error_descriptor(void **state)
{
    int err_fd = eventfd(0, EFD_NONBLOCK);
    u64 count = 0;

    (void)state;
    started();
    assert_int_equal(send_fd(VU_SET_VRING_ERR, 0, err_fd), ST_OK);
    store_u16(memory + AVAIL + 2, RING_SIZE + 1); /* more than the ring holds */
    (void)vu_session_poll(&session, 8);
    assert_int_equal(read(err_fd, &count, sizeof(count)), sizeof(count));
    close(err_fd);
    /* After a reset the disk serves a good driver. */
    assert_int_equal(send(VU_RESET_DEVICE, 0, NULL, 0, NULL, 0), ST_OK);
    memset(memory, 0, MEM_BYTES);
    avail_idx = 0;
    negotiate(ALL, 0);
    ring_start(0);
    read_works(1);
}

static void descriptors_of_refused_messages_are_closed(void **state)
{
    const u64 value = 0;
    int many[VU_FDS_MAX];

    (void)state;
    for (u32 i = 0; i < VU_FDS_MAX; i++) {
        many[i] = kick_fd;
    }
    for (u32 request = 0; request < 50; request++) {
        (void)send(request, 0, &value, sizeof(value), many, VU_FDS_MAX);
        (void)send(request, 0, &value, 0, many, VU_FDS_MAX);
    }
    /* The teardown counts. */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connected, hung_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_front_end_that_does_everything_right_is_served),
        TEST(features_that_were_not_offered_are_refused),
        TEST(a_legacy_driver_is_told_why_it_is_refused),
        TEST(a_request_whose_protocol_feature_is_not_negotiated_ends_the_session),
        TEST(need_reply_is_answered_with_the_outcome),
        TEST(need_reply_without_reply_ack_gets_none),
        TEST(rings_of_a_wrong_number_size_or_place_are_refused),
        TEST(a_ring_does_nothing_before_it_is_enabled),
        TEST(without_protocol_features_a_ring_starts_enabled),
        TEST(with_status_no_ring_runs_before_driver_ok),
        TEST(a_stopped_ring_tells_where_and_goes_on_from_there),
        TEST(rings_go_on_when_memory_is_added_and_shared_anew),
        TEST(memory_under_a_ring_can_be_taken_away),
        TEST(the_config_space_is_read_whole_and_written_never),
        TEST(reset_device_forgets_the_rings_and_keeps_the_memory),
        TEST(what_was_in_flight_at_our_death_is_served_by_the_successor),
        TEST(a_foreign_inflight_area_is_not_believed),
        TEST(a_broken_ring_signals_its_error_descriptor),
        TEST(descriptors_of_refused_messages_are_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
