/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_ring.c - the rings of a session: when they run, where they stop. */
#include "tools/vhost-user/vu_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fake/vu_front.h"
#include "virtio/virtq_layout.h"

static void rings_of_a_wrong_number_size_or_place_are_refused(void **state)
{
    const u32 queues = front.session.vb.vdev.queue_count;

    (void)state;
    front_negotiate(ALL, 0);
    assert_int_equal(front_share_memory(), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, queues, RING_SIZE), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, UINT32_MAX, 0), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, queues, 1), ST_INVAL);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, queues, front.kick_fd), ST_INVAL);
    assert_int_equal(front_send_fd(VU_SET_VRING_CALL, 255, front.call_fd), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 0), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 3), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 2 * VQ_SIZE_MAX), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 0x10000 | RING_SIZE), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, 0x10000), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 2), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, VQ_SIZE_MAX), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + MEM_BYTES), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + MEM_BYTES - 8), ST_INVAL);
    assert_int_equal(front_ring_addr(USER + DESC + 8, USER + AVAIL, USER + USED), ST_INVAL);
    assert_int_equal(front_ring_addr(0, USER + AVAIL, USER + USED), ST_INVAL);
    assert_false(front.session.ring[0].running);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    front_read_works(5);
}

static void a_ring_does_nothing_before_it_is_enabled(void **state)
{
    (void)state;
    front_started();
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 0), ST_OK);
    front_read_offer(1);
    assert_int_equal(vu_session_poll(&front.session, 8), 0);
    assert_int_equal(front_used_idx(), 0);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_OK);
    assert_true(vu_session_poll(&front.session, 8) > 0);
    assert_int_equal(front_used_idx(), 1);
}

static void without_protocol_features_a_ring_starts_enabled(void **state)
{
    (void)state;
    assert_int_equal(front_send_u64(VU_SET_FEATURES, BIT64(VIRTIO_F_VERSION_1)), ST_OK);
    assert_int_equal(front_share_memory(), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, RING_SIZE), ST_OK);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    assert_false(front.session.ring[0].running);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    front_read_works(3);
}

/* D-2.1.2-01, for front ends that speak STATUS. */
static void with_status_no_ring_runs_before_driver_ok(void **state)
{
    (void)state;
    front_negotiate(ALL, front_protocol());
    assert_int_equal(front_share_memory(), ST_OK);
    assert_int_equal(front_send_u64(VU_SET_STATUS, VIRTIO_STATUS_ACKNOWLEDGE |
                                                       VIRTIO_STATUS_DRIVER |
                                                       VIRTIO_STATUS_FEATURES_OK),
                     ST_OK);
    front_ring_start(0);
    assert_int_equal(front_ask(VU_GET_STATUS), 0x0b);
    assert_false(front.session.ring[0].running);
    assert_int_equal(front_send_u64(VU_SET_STATUS, 0x0f), ST_OK);
    front_read_works(2);
    assert_int_equal(front_send_u64(VU_SET_STATUS, 256), ST_INVAL);
    assert_int_equal(front_send_u64(VU_SET_STATUS, 0), ST_OK);
    assert_int_equal(front_ask(VU_GET_STATUS), 0);
    assert_false(front.session.ring[0].running);
}

static void a_stopped_ring_tells_where_and_goes_on_from_there(void **state)
{
    const struct vu_vring_state ring = {0, 0};
    u32 stopped[2];

    (void)state;
    front_started();
    for (u32 i = 0; i < 5; i++) {
        front_read_works(i);
    }
    assert_int_equal(front_send(VU_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0), ST_OK);
    memcpy(stopped, front.answer.data + VU_HEADER_BYTES, sizeof(stopped));
    assert_int_equal(stopped[1], 5);
    front_read_offer(9);
    assert_int_equal(vu_session_poll(&front.session, 8), 0);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, stopped[1]), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    assert_true(vu_session_poll(&front.session, 8) > 0);
    assert_int_equal(front_used_idx(), 6);
    front_read_works(6);
}

/* [VHOST-USER] "Multiple queue support" */
static void several_queues_are_served_and_stop_each_by_itself(void **state)
{
    const struct vu_vring_state middle = {1, 0};
    u32 stopped[2];

    (void)state;
    front_started();
    assert_int_equal(front_ask(VU_GET_QUEUE_NUM), QUEUES);
    assert_true(front_ask(VU_GET_FEATURES) & BIT64(VIRTIO_BLK_F_MQ));
    for (u32 q = 1; q < QUEUES; q++) {
        front_queue_start(q, 0);
    }
    for (u32 i = 0; i < 5 * QUEUES; i++) {
        front_read_works_on(i % QUEUES, i);
    }
    assert_int_equal(front_send(VU_GET_VRING_BASE, 0, &middle, sizeof(middle), NULL, 0), ST_OK);
    memcpy(stopped, front.answer.data + VU_HEADER_BYTES, sizeof(stopped));
    assert_int_equal(stopped[0], 1);
    assert_int_equal(stopped[1], 5);
    front_read_offer_on(1, 40);
    front_read_works_on(0, 41);
    front_read_works_on(2, 42);
    assert_int_equal(front_used_idx_of(1), 5);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 1, stopped[1]), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 1, front.kick_fd), ST_OK);
    assert_true(vu_session_poll(&front.session, 8) > 0);
    assert_int_equal(front_used_idx_of(1), 6);
    front_read_arrived(1, 40);
}

static void rings_go_on_when_memory_is_added_and_shared_anew(void **state)
{
    const struct {
        u64 padding;
        struct vu_region region;
    } more = {0, {GUEST + MEM_BYTES, KIB(4), USER + MEM_BYTES, 0}};

    (void)state;
    front_started();
    front_read_works(1);
    assert_int_equal(front_send(VU_ADD_MEM_REG, 0, &more, sizeof(more), &front.memory_fd, 1),
                     ST_OK);
    front_read_works(2);
    assert_int_equal(front_send(VU_ADD_MEM_REG, 0, &more, sizeof(more), &front.memory_fd, 1),
                     ST_INVAL);
    assert_int_equal(front_send(VU_REM_MEM_REG, 0, &more, sizeof(more), NULL, 0), ST_OK);
    front_read_works(3);
    assert_int_equal(front_share_memory(), ST_OK);
    front_read_works(4);
}

struct packed_desc {
    u64 addr;
    u32 len;
    u16 id, flags;
};

/* [VHOST-USER] "Vring descriptor indices for packed virtqueues": index, wrap counter, both sides.
 */
static void a_packed_ring_tells_where_it_stopped_with_its_wrap_counters(void **state)
{
    const struct vu_vring_state ring = {0, 0};
    struct packed_desc *desc = (void *)(front.memory + DESC);
    const u64 header[2] = {0, 6};
    u32 stopped[2];

    (void)state;
    front_negotiate(BIT64(VIRTIO_F_RING_PACKED), front_protocol() & ~BIT64(VU_P_STATUS));
    assert_int_equal(front_share_memory(), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 0), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, VQ_SIZE_MAX + 1), ST_INVAL);
    assert_int_equal(front_send_state(VU_SET_VRING_NUM, 0, 5), ST_OK); /* no power of two */
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, 0x80008003), ST_INVAL);
    assert_int_equal(front_ring_addr(USER + DESC, USER + AVAIL, USER + USED), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, 0x80058005), ST_OK);
    assert_int_equal(front_send_state(VU_SET_VRING_ENABLE, 0, 1), ST_INVAL); /* behind the end */
    /* Three of five descriptors are passed in the second lap: the chain goes round the end. */
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, 0x00030003), ST_OK);
    assert_true(front.session.ring[0].running);
    memcpy(front.memory + HEADER, header, sizeof(header));
    desc[4] = (struct packed_desc){GUEST + DATA, SECTOR_BYTES, 0,
                                   VIRTQ_DESC_F_USED | VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE};
    desc[0] = (struct packed_desc){GUEST + STATUS, 1, 2, VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_WRITE};
    desc[3] = (struct packed_desc){GUEST + HEADER, 16, 0, VIRTQ_DESC_F_USED | VIRTQ_DESC_F_NEXT};
    assert_true(vu_session_poll(&front.session, 8) > 0);
    front_read_arrived(0, 6);
    assert_int_equal(desc[3].id, 2);
    assert_int_equal(desc[3].len, SECTOR_BYTES + 1);
    assert_int_equal(desc[3].flags, VIRTQ_DESC_F_WRITE); /* used in the second lap: both bits 0 */
    assert_int_equal(front_send(VU_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0), ST_OK);
    memcpy(stopped, front.answer.data + VU_HEADER_BYTES, sizeof(stopped));
    assert_int_equal(stopped[1], 0x80018001);
    assert_int_equal(front_send_state(VU_SET_VRING_BASE, 0, stopped[1]), ST_OK);
    assert_int_equal(front_send_fd(VU_SET_VRING_KICK, 0, front.kick_fd), ST_OK);
    assert_int_equal(front.session.ring[0].base, VQ_POSITION(1, 1));
    assert_true(front.session.ring[0].running);
}

static void memory_under_a_ring_can_be_taken_away(void **state)
{
    const struct {
        u64 padding;
        struct vu_region region;
    } all = {0, {GUEST, MEM_BYTES, USER, 0}};

    (void)state;
    front_started();
    front_read_works(1);
    /* A known mistake of front ends: a descriptor comes along, and is closed. */
    assert_int_equal(front_send(VU_REM_MEM_REG, 0, &all, sizeof(all), &front.memory_fd, 1),
                     ST_INVAL);
    assert_int_equal(front.session.mem.count, 0);
    front_read_offer(2);
    assert_int_equal(vu_session_poll(&front.session, 8), 0);
    assert_int_equal(front_send(VU_REM_MEM_REG, 0, &all, sizeof(all), NULL, 0), ST_NOENT);
    assert_int_equal(front_send(VU_ADD_MEM_REG, 0, &all, sizeof(all), &front.memory_fd, 1), ST_OK);
    assert_true(vu_session_poll(&front.session, 8) > 0);
    assert_int_equal(front_used_idx(), 2);
}

static void a_broken_ring_signals_its_error_descriptor(void **state)
{
    int err_fd = eventfd(0, EFD_NONBLOCK);
    u64 count = 0;

    (void)state;
    front_started();
    assert_int_equal(front_send_fd(VU_SET_VRING_ERR, 0, err_fd), ST_OK);
    store_u16(front.memory + AVAIL + 2, RING_SIZE + 1); /* more than the ring holds */
    (void)vu_session_poll(&front.session, 8);
    assert_int_equal(read(err_fd, &count, sizeof(count)), sizeof(count));
    close(err_fd);
    /* After a reset the disk serves a good driver. */
    assert_int_equal(front_send(VU_RESET_DEVICE, 0, NULL, 0, NULL, 0), ST_OK);
    memset(front.memory, 0, MEM_BYTES);
    memset(front.avail_idx, 0, sizeof(front.avail_idx));
    front_negotiate(ALL, 0);
    front_ring_start(0);
    front_read_works(1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, front_connected, front_hung_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rings_of_a_wrong_number_size_or_place_are_refused),
        TEST(a_ring_does_nothing_before_it_is_enabled),
        TEST(without_protocol_features_a_ring_starts_enabled),
        TEST(with_status_no_ring_runs_before_driver_ok),
        TEST(a_stopped_ring_tells_where_and_goes_on_from_there),
        TEST(several_queues_are_served_and_stop_each_by_itself),
        TEST(rings_go_on_when_memory_is_added_and_shared_anew),
        TEST(a_packed_ring_tells_where_it_stopped_with_its_wrap_counters),
        TEST(memory_under_a_ring_can_be_taken_away),
        TEST(a_broken_ring_signals_its_error_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
