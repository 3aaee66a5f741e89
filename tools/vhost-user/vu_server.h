/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_server.h - the loop: sockets, kicks and the data plane of all disks in one thread. plane: both
 *
 * While a disk has work the loop turns without a system call; every CONTROL_TURNS turns it looks at
 * the sockets. After spin_ns without work it asks all drivers for kicks, looks once more, and
 * sleeps in ppoll(2) until a socket or a kick wakes it. With spin_ns VU_POLL_ALWAYS it sleeps only
 * while no ring runs. Twice a second it looks whether a file has another size.
 */
#pragma once

#include "tools/vhost-user/bdev_file.h"
#include "tools/vhost-user/vu_conn.h"
#include "tools/vhost-user/vu_options.h"

/** One disk with its socket. */
struct vu_export {
    struct vu_session session;
    struct vu_conn conn;
    struct bdev_file *file; /* the medium, whose size is watched; NULL: it is memory */
    int listen_fd;          /* VU_NO_FD: the socket was handed to us connected */
    const char *path;       /* of the listening socket, to remove at the end; NULL: none */
};

struct vu_server {
    struct vu_export *export; /* export_count of them */
    u32 export_count;
    u64 spin_ns;
    u64 size_looked_ns; /* when the sizes of files were looked at */
    u64 turns, sleeps, resizes;
};

/**
 * Open the socket of a disk: listen at options->socket, or take options->fd, listening or
 * connected. A socket file that nobody listens at any more is replaced. ST_OK, or ST_IO with *why,
 * a sentence.
 */
enum status vu_export_open(struct vu_export *export, const struct vu_disk_options *options,
                           const char **why);
void vu_export_close(struct vu_export *export);

/**
 * Serve until *stop is set by a signal handler, whose signals are blocked outside of the waiting.
 * Returns ST_OK then, or once the only front ends there can be have hung up (sockets handed to us
 * connected).
 */
enum status vu_server_run(struct vu_server *server, const volatile int *stop);
