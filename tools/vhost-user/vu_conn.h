/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_conn.h - messages of one front end over its unix socket. plane: control
 *
 * The socket is a stream: a message may come in pieces, and nothing is read beyond the message that
 * is being put together, so that its descriptors cannot be mistaken for the next one's. No call
 * blocks; a front end that sends half a message keeps only itself waiting.
 */
#pragma once

#include "tools/vhost-user/vu_session.h"

struct vu_conn {
    int fd;   /* VU_NO_FD: nobody is connected */
    u32 have; /* bytes of the message so far */
    u8 data[VU_MSG_MAX];
    struct vu_header header; /* valid when have >= VU_HEADER_BYTES */
    struct vu_fds fds;
};

/** fd becomes the connection's. */
void vu_conn_open(struct vu_conn *conn, int fd);

/**
 * Read and handle what is there, at most VU_CONN_BATCH messages. ST_AGAIN when there is no more for
 * now; ST_OK when there may be; ST_NODEV when the front end has hung up; any other status when it
 * must be dropped. *why is a sentence for the last.
 */
enum status vu_conn_serve(struct vu_conn *conn, struct vu_session *s, const char **why);

/** Close the socket and every descriptor not yet handed on. */
void vu_conn_close(struct vu_conn *conn);

#define VU_CONN_BATCH 64
