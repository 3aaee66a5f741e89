/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_conn.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for more than a message may carry: what is too much is then received, counted and closed. */
#define CONTROL_FDS 16

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
};

void vu_conn_open(struct vu_conn *conn, int fd)
{
    memset(conn, 0, sizeof(*conn));
    conn->fd = fd;
}

void vu_conn_close(struct vu_conn *conn)
{
    vu_fds_close(&conn->fds);
    if (conn->fd != VU_NO_FD) {
        close(conn->fd);
    }
    conn->fd = VU_NO_FD;
}

/* Take over every descriptor that came. False when there were more than a message may carry. */
static bool fds_collect(struct vu_conn *conn, struct msghdr *msg)
{
    bool fit = (msg->msg_flags & MSG_CTRUNC) == 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        const usize count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (usize i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (conn->fds.count < VU_FDS_MAX) {
                conn->fds.fd[conn->fds.count++] = fd;
            } else {
                close(fd);
                fit = false;
            }
        }
    }
    return fit;
}

/* Read at most want bytes behind those we have. */
static enum status receive(struct vu_conn *conn, u32 want, const char **why)
{
    struct iovec iov = {conn->data + conn->have, want};
    union control control;
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t got = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            return ST_AGAIN;
        }
        *why = "the connection broke";
        return ST_NODEV;
    }
    if (!fds_collect(conn, &msg)) {
        *why = "more than 8 file descriptors came with one message";
        return ST_PROTO;
    }
    if (got == 0) {
        *why = conn->have > 0 ? "it hung up in the middle of a message" : "it hung up";
        return ST_NODEV;
    }
    conn->have += (u32)got;
    return ST_OK;
}

/* Go on with the message: header first, then exactly its payload. ST_OK when it is complete. */
static enum status message_receive(struct vu_conn *conn, const char **why)
{
    enum status st;

    if (conn->have < VU_HEADER_BYTES) {
        st = receive(conn, VU_HEADER_BYTES - conn->have, why);
        if (st != ST_OK || conn->have < VU_HEADER_BYTES) {
            return st == ST_OK ? ST_AGAIN : st;
        }
        st = vu_header_parse(conn->data, &conn->header, why);
        if (st != ST_OK) {
            return st;
        }
    }
    if (conn->have < VU_HEADER_BYTES + conn->header.size) {
        st = receive(conn, VU_HEADER_BYTES + conn->header.size - conn->have, why);
        if (st != ST_OK) {
            return st;
        }
    }
    return conn->have == VU_HEADER_BYTES + conn->header.size ? ST_OK : ST_AGAIN;
}

/* Send an answer whole or not at all: the socket's buffer holds hundreds of them. */
static enum status answer_send(struct vu_conn *conn, struct vu_answer *answer, const char **why)
{
    struct iovec iov = {answer->data, answer->bytes};
    union control control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    if (answer->fd != VU_NO_FD) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &answer->fd, sizeof(int));
    }
    sent = sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (answer->fd != VU_NO_FD) {
        close(answer->fd);
    }
    if (sent == (ssize_t)answer->bytes) {
        return ST_OK;
    }
    *why = "it does not read its answers";
    return ST_PROTO;
}

enum status vu_conn_serve(struct vu_conn *conn, struct vu_session *s, const char **why)
{
    for (u32 i = 0; i < VU_CONN_BATCH; i++) {
        struct vu_answer answer;
        enum status st = message_receive(conn, why);

        if (st != ST_OK) {
            return st;
        }
        st = vu_session_handle(s, &conn->header, conn->data + VU_HEADER_BYTES, &conn->fds, &answer,
                               why);
        conn->have = 0;
        if (st == ST_OK && answer.bytes > 0) {
            st = answer_send(conn, &answer, why);
        } else if (answer.fd != VU_NO_FD) {
            close(answer.fd);
        }
        if (st != ST_OK) {
            return st == ST_AGAIN || st == ST_NODEV ? ST_PROTO : st;
        }
    }
    return ST_OK;
}
