/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_conn.c - messages out of a stream of bytes and descriptors. */
#include "tools/vhost-user/vu_conn.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "blk/ramdisk.h"

static u8 disk_memory[4096];
static struct ramdisk disk;
static struct vblk_pool pool;
static struct vu_session session;
static struct vu_conn conn;
static bool session_made;
static const char *why;
static int peer;

static int connected(void **state)
{
    int pair[2];

    (void)state;
    if (!session_made) {
        const struct vu_session_init init = {
            .name = "disk0",
            .bdev = &disk.bdev,
            .pool = &pool,
            .serial = "serial",
        };

        ramdisk_init(&disk, "ram", disk_memory, sizeof(disk_memory), false);
        vblk_pool_init(&pool);
        vu_session_init(&session, &init);
        session_made = true;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    vu_conn_open(&conn, pair[0]);
    vu_session_open(&session);
    return 0;
}

static int closed(void **state)
{
    (void)state;
    vu_conn_close(&conn);
    vu_session_close(&session);
    if (peer >= 0) {
        close(peer);
    }
    return 0;
}

static u32 message(u8 *out, u32 request, u32 flags, const void *payload, u32 bytes)
{
    const u32 header[3] = {request, flags, bytes};

    memcpy(out, header, sizeof(header));
    if (bytes > 0) {
        memcpy(out + sizeof(header), payload, bytes);
    }
    return (u32)sizeof(header) + bytes;
}

static void put(const void *data, usize bytes)
{
    assert_int_equal(write(peer, data, bytes), bytes);
}

/* Send bytes with count copies of a descriptor. */
static void put_fds(const void *data, usize bytes, int fd, u32 count)
{
    struct iovec iov = {(void *)(uintptr_t)data, bytes};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(32 * sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes};
    struct cmsghdr *c;

    msg.msg_controllen = CMSG_SPACE(count * sizeof(int));
    c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (u32 i = 0; i < count; i++) {
        memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
    }
    assert_int_equal(sendmsg(peer, &msg, 0), bytes);
}

static enum status serve(void)
{
    why = NULL;
    return vu_conn_serve(&conn, &session, &why);
}

static ssize_t answer(u8 *out)
{
    return recv(peer, out, VU_MSG_MAX, MSG_DONTWAIT);
}

static void nothing_sent_is_nothing_done(void **state)
{
    (void)state;
    assert_int_equal(serve(), ST_AGAIN);
}

static void a_message_may_come_byte_by_byte(void **state)
{
    const u64 features = BIT64(VIRTIO_F_VERSION_1);
    u8 out[VU_MSG_MAX], in[VU_MSG_MAX];
    u32 bytes = message(out, VU_SET_FEATURES, 1, &features, sizeof(features));

    (void)state;
    bytes += message(out + bytes, VU_GET_FEATURES, 1, NULL, 0);
    for (u32 i = 0; i < bytes; i++) {
        assert_int_equal(answer(in), -1);
        put(out + i, 1);
        assert_int_equal(serve(), ST_AGAIN);
    }
    assert_int_equal(session.features, features);
    assert_int_equal(answer(in), VU_HEADER_BYTES + 8);
}

static void several_messages_at_once_are_all_handled(void **state)
{
    u8 out[10 * VU_HEADER_BYTES], in[VU_MSG_MAX];
    u32 bytes = 0;

    (void)state;
    for (u32 i = 0; i < 10; i++) {
        bytes += message(out + bytes, VU_GET_FEATURES, 1, NULL, 0);
    }
    put(out, bytes);
    assert_int_equal(serve(), ST_AGAIN);
    for (u32 i = 0; i < 10; i++) {
        assert_int_equal(recv(peer, in, VU_HEADER_BYTES + 8, MSG_DONTWAIT), VU_HEADER_BYTES + 8);
    }
}

static void descriptors_belong_to_the_message_they_came_with(void **state)
{
    const u64 ring = 0;
    u8 out[VU_MSG_MAX];
    u32 bytes = message(out, VU_SET_VRING_CALL, 1, &ring, sizeof(ring));
    int fd = eventfd(0, 0);

    (void)state;
    /* Half of the first message; then its rest with the second one behind it. */
    put_fds(out, VU_HEADER_BYTES, fd, 1);
    assert_int_equal(serve(), ST_AGAIN);
    put(out + VU_HEADER_BYTES, bytes - VU_HEADER_BYTES);
    put_fds(out, bytes, fd, 1);
    assert_int_equal(serve(), ST_AGAIN);
    assert_true(session.ring[0].call >= 0);
    /* Without one the same message is malformed. */
    put(out, bytes);
    assert_int_equal(serve(), ST_PROTO);
    close(fd);
}

static void too_many_descriptors_drop_the_front_end(void **state)
{
    u8 out[VU_MSG_MAX];
    u32 bytes = message(out, VU_SET_OWNER, 1, NULL, 0);
    int fd = eventfd(0, 0);

    (void)state;
    put_fds(out, bytes, fd, VU_FDS_MAX + 1);
    assert_int_equal(serve(), ST_PROTO);
    assert_non_null(strstr(why, "descriptors"));
    close(fd);
}

static void more_descriptors_than_we_receive_drop_the_front_end(void **state)
{
    u8 out[VU_MSG_MAX];
    u32 bytes = message(out, VU_SET_OWNER, 1, NULL, 0);
    int fd = eventfd(0, 0);

    (void)state;
    put_fds(out, bytes, fd, 32);
    assert_int_equal(serve(), ST_PROTO);
    close(fd);
}

static void hanging_up_is_told_apart_from_hanging_up_in_the_middle(void **state)
{
    u8 out[VU_MSG_MAX];

    (void)state;
    message(out, VU_SET_OWNER, 1, NULL, 0);
    put(out, 5);
    assert_int_equal(serve(), ST_AGAIN);
    close(peer);
    peer = -1;
    assert_int_equal(serve(), ST_NODEV);
    assert_non_null(strstr(why, "middle"));
}

static void a_front_end_that_reads_no_answers_is_dropped(void **state)
{
    u8 out[VU_HEADER_BYTES];
    enum status st = ST_AGAIN;

    (void)state;
    message(out, VU_GET_FEATURES, 1, NULL, 0);
    for (u32 i = 0; i < 100000 && (st == ST_AGAIN || st == ST_OK); i++) {
        put(out, sizeof(out));
        st = serve();
    }
    assert_int_equal(st, ST_PROTO);
    assert_non_null(strstr(why, "answers"));
}

static void a_message_longer_than_any_is_not_read(void **state)
{
    const u32 header[3] = {VU_SET_CONFIG, 1, VU_PAYLOAD_MAX + 1};

    (void)state;
    put(header, sizeof(header));
    assert_int_equal(serve(), ST_PROTO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connected, closed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_sent_is_nothing_done),
        TEST(a_message_may_come_byte_by_byte),
        TEST(several_messages_at_once_are_all_handled),
        TEST(descriptors_belong_to_the_message_they_came_with),
        TEST(too_many_descriptors_drop_the_front_end),
        TEST(more_descriptors_than_we_receive_drop_the_front_end),
        TEST(hanging_up_is_told_apart_from_hanging_up_in_the_middle),
        TEST(a_front_end_that_reads_no_answers_is_dropped),
        TEST(a_message_longer_than_any_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
