/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_session.c - a disk behind the protocol, from connecting to hanging up. */
#include "tools/vhost-user/vu_session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/vu_front.h"

static void a_front_end_that_does_everything_right_is_served(void **state)
{
    (void)state;
    front_started();
    assert_int_equal(front_ask(VU_GET_QUEUE_NUM), front.session.vb.vdev.queue_count);
    assert_int_equal(front_ask(VU_GET_MAX_MEM_SLOTS), VU_SLOTS_MAX);
    for (u32 i = 0; i < 3 * RING_SIZE; i++) {
        front_read_works(i);
    }
    assert_int_equal(front_called(), 3 * RING_SIZE);
}

static void features_that_were_not_offered_are_refused(void **state)
{
    const u64 offered = front_ask(VU_GET_FEATURES);

    (void)state;
    assert_true(offered & BIT64(VIRTIO_F_VERSION_1));
    for (u32 bit = 0; bit < 64; bit++) {
        const enum status st =
            front_send_u64(VU_SET_FEATURES, BIT64(VIRTIO_F_VERSION_1) | BIT64(bit));

        assert_int_equal(st, offered & BIT64(bit) ? ST_OK : ST_INVAL);
    }
}

static void a_legacy_driver_is_told_why_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(front_send_u64(VU_SET_FEATURES, BIT64(VU_F_PROTOCOL_FEATURES)), ST_INVAL);
    assert_non_null(strstr(front.why, "VERSION_1"));
}

static void a_request_whose_protocol_feature_is_not_negotiated_ends_the_session(void **state)
{
    static const u32 gated[] = {VU_GET_QUEUE_NUM, VU_GET_MAX_MEM_SLOTS, VU_GET_STATUS,
                                VU_RESET_DEVICE};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(gated); i++) {
        assert_int_equal(front_send(gated[i], 0, NULL, 0, NULL, 0), ST_PROTO);
    }
    assert_int_equal(front_send_u64(VU_SET_PROTOCOL_FEATURES, BIT64(1)), ST_INVAL);
}

static void need_reply_is_answered_with_the_outcome(void **state)
{
    const struct vu_vring_state good = {0, RING_SIZE}, bad = {0, RING_SIZE + 1};

    (void)state;
    front_negotiate(ALL, BIT64(VU_P_REPLY_ACK));
    assert_int_equal(front_send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &good, sizeof(good), NULL, 0),
                     ST_OK);
    assert_int_equal(front_answered_u64(), 0);
    assert_int_equal(front_send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &bad, sizeof(bad), NULL, 0),
                     ST_OK);
    assert_int_not_equal(front_answered_u64(), 0);
    /* Nobody would hear of the refusal: the session ends. */
    assert_int_equal(front_send(VU_SET_VRING_NUM, 0, &bad, sizeof(bad), NULL, 0), ST_INVAL);
    assert_int_equal(front.answer.bytes, 0);
}

static void need_reply_without_reply_ack_gets_none(void **state)
{
    const struct vu_vring_state good = {0, RING_SIZE};

    (void)state;
    front_negotiate(ALL, 0);
    assert_int_equal(front_send(VU_SET_VRING_NUM, VU_FLAG_NEED_REPLY, &good, sizeof(good), NULL, 0),
                     ST_OK);
    assert_int_equal(front.answer.bytes, 0);
}

static void the_front_end_hears_that_the_disk_has_another_size(void **state)
{
    int channel[2];
    u8 notice[VU_MSG_MAX];
    u32 request;

    (void)state;
    front_started();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, channel), 0);
    assert_int_equal(front_send(VU_SET_BACKEND_REQ_FD, 0, NULL, 0, &channel[1], 1), ST_OK);
    vu_session_resized(&front.session);
    assert_int_equal(read(channel[0], notice, sizeof(notice)), VU_HEADER_BYTES);
    memcpy(&request, notice, sizeof(request));
    assert_int_equal(request, VU_BACKEND_CONFIG_CHANGE);
    assert_int_equal(front.session.vb.vdev.config_generation, 1);
    /* A front end that does not listen loses the notice and nothing else. */
    close(channel[0]);
    vu_session_resized(&front.session);
    front_read_works(1);
    close(channel[1]);
}

static void the_config_space_is_read_whole_and_written_never(void **state)
{
    struct {
        u32 offset, bytes, flags;
        u8 data[VU_CONFIG_MAX];
    } config = {0, 96, 0, {0}};
    const u64 refused = front.session.refused;
    u64 sectors;

    (void)state;
    front_negotiate(ALL, BIT64(VU_P_CONFIG));
    assert_int_equal(front_send(VU_GET_CONFIG, 0, &config, 12 + 96, NULL, 0), ST_OK);
    assert_int_equal(front.answer.bytes, VU_HEADER_BYTES + 12 + 96);
    memcpy(&sectors, front.answer.data + VU_HEADER_BYTES + 12, sizeof(sectors));
    assert_int_equal(sectors, FRONT_DISK_BYTES / SECTOR_BYTES);
    config.bytes = 8;
    assert_int_equal(front_send(VU_SET_CONFIG, 0, &config, 12 + 8, NULL, 0), ST_OK);
    assert_int_equal(front.session.refused, refused + 1);
    assert_int_equal(front_send(VU_GET_CONFIG, 0, &config, 12 + 8, NULL, 0), ST_OK);
    memcpy(&sectors, front.answer.data + VU_HEADER_BYTES + 12, sizeof(sectors));
    assert_int_equal(sectors, FRONT_DISK_BYTES / SECTOR_BYTES);
}

static void reset_device_forgets_the_rings_and_keeps_the_memory(void **state)
{
    (void)state;
    front_started();
    front_read_works(1);
    assert_int_equal(front_send(VU_RESET_DEVICE, 0, NULL, 0, NULL, 0), ST_OK);
    assert_false(front.session.ring[0].running);
    assert_int_equal(front.session.mem.count, 1);
    memset(front.memory, 0, MEM_BYTES);
    memset(front.avail_idx, 0, sizeof(front.avail_idx));
    front_negotiate(ALL, 0);
    front_ring_start(0);
    front_read_works(7);
}

static void what_was_in_flight_at_our_death_is_served_by_the_successor(void **state)
{
    const struct {
        u64 bytes, offset;
        u16 queues, queue_size, padding[2];
    } want = {0, 0, QUEUES, RING_SIZE, {0}};
    u8 description[24];
    int area;

    (void)state;
    front_negotiate(ALL, front_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(front_send(VU_GET_INFLIGHT_FD, 0, &want, sizeof(want), NULL, 0), ST_OK);
    area = front.answer.fd;
    memcpy(description, front.answer.data + VU_HEADER_BYTES, sizeof(description));
    assert_int_equal(front_share_memory(), ST_OK);
    for (u32 q = 0; q < QUEUES; q++) {
        front_queue_start(q, 0);
    }
    front_read_works(1);
    front_read_works(2);
    front_read_works_on(2, 5);
    /* Requests are offered; we die before we look. The front end knows only its own indices. */
    front_read_offer(3);
    front_read_offer(4);
    front_read_offer_on(1, 6);
    vu_session_close(&front.session);
    vu_session_open(&front.session);
    front_negotiate(ALL, front_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, description, 24, &area, 1), ST_OK);
    assert_int_equal(front_share_memory(), ST_OK);
    for (u32 q = QUEUES; q-- > 0;) {
        front_queue_start(q, front.avail_idx[q]);
    }
    assert_int_equal(front.session.ring[0].base, 2);
    assert_int_equal(front.session.ring[1].base, 0);
    assert_int_equal(front.session.ring[2].base, 1);
    assert_true(front_called() > 0);
    while (vu_session_poll(&front.session, 8) > 0) {
    }
    assert_int_equal(front_used_idx_of(0), 4);
    assert_int_equal(front_used_idx_of(1), 1);
    assert_int_equal(front_used_idx_of(2), 1);
    front_read_arrived(1, 6);
    for (u32 q = 0; q < QUEUES; q++) {
        front_read_works_on(q, 7 + q);
    }
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
    front_negotiate(ALL, front_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    area.bytes = bytes + 1;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_IO);
    area.bytes = bytes - 1;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.bytes = bytes;
    area.offset = UINT64_MAX - 8;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.offset = 0;
    area.queues = 0;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.queues = UINT16_MAX;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    area.queues = 1;
    area.queue_size = VQ_SIZE_MAX + 1;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_INVAL);
    /* Unsealed memory could vanish under us. */
    area.queue_size = RING_SIZE;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &front.memory_fd, 1),
                     ST_IO);
    /* A version of the future. */
    region = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    region[4] = 2;
    assert_int_equal(front_send(VU_SET_INFLIGHT_FD, 0, &area, sizeof(area), &fd, 1), ST_OK);
    assert_int_equal(front_share_memory(), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    assert_false(front.session.ring[0].running);
    /* Ours, and the batch that was shown last is longer than the ring. */
    region[4] = 1;
    region[5] = RING_SIZE;
    region[7] = (u16) - (RING_SIZE + 1);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    region[7] = 0;
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_OK);
    front_read_works(1);
    munmap(region, bytes);
    close(fd);
}

static void descriptors_of_refused_messages_are_closed(void **state)
{
    const u64 value = 0;
    int many[VU_FDS_MAX];

    (void)state;
    for (u32 i = 0; i < VU_FDS_MAX; i++) {
        many[i] = front.kick_fd;
    }
    for (u32 request = 0; request < 50; request++) {
        (void)front_send(request, 0, &value, sizeof(value), many, VU_FDS_MAX);
        (void)front_send(request, 0, &value, 0, many, VU_FDS_MAX);
    }
    /* The teardown counts. */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, front_connected, front_hung_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_front_end_that_does_everything_right_is_served),
        TEST(features_that_were_not_offered_are_refused),
        TEST(a_legacy_driver_is_told_why_it_is_refused),
        TEST(a_request_whose_protocol_feature_is_not_negotiated_ends_the_session),
        TEST(need_reply_is_answered_with_the_outcome),
        TEST(need_reply_without_reply_ack_gets_none),
        TEST(the_front_end_hears_that_the_disk_has_another_size),
        TEST(the_config_space_is_read_whole_and_written_never),
        TEST(reset_device_forgets_the_rings_and_keeps_the_memory),
        TEST(what_was_in_flight_at_our_death_is_served_by_the_successor),
        TEST(a_foreign_inflight_area_is_not_believed),
        TEST(descriptors_of_refused_messages_are_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
