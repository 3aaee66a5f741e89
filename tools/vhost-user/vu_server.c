/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "start/base/log.h"
#include "start/port.h"

#define POLL_BUDGET    64   /* requests of one disk in one turn */
#define CONTROL_TURNS  4096 /* turns between two looks at the sockets: 40 us idle, a few ms busy */
#define TIGHT_TURNS    64   /* idle turns before the first pause: a lone driver's next request */
#define CLOCK_TURNS    64   /* idle turns between two looks at the clock */
#define SIZE_LOOK_NS   UINT64_C(500000000)
#define FDS_PER_EXPORT (2 + VQ_PER_DEVICE)
#define WAIT_FDS_MAX   (VU_DISKS_MAX * FDS_PER_EXPORT)

/* --- sockets -------------------------------------------------------------------------------- */

/* True when somebody answers at the path: then it is not ours to replace. */
static bool socket_alive(const struct sockaddr_un *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return alive;
}

static enum status listen_at(struct vu_export *export, const char *path, const char **why)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        *why = "the path of the socket is longer than 107 bytes";
        return ST_IO;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *why = strerror(errno);
        return ST_IO;
    }
    if (bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
        if (errno != EADDRINUSE) {
            *why = strerror(errno);
        } else if (socket_alive(&addr)) {
            *why = "another program listens at this socket";
        } else if (unlink(path) != 0 ||
                   bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
            *why = "something that is no socket of a dead server is in the way";
        }
    }
    if (!*why && listen(fd, 1) != 0) {
        *why = strerror(errno);
    }
    if (*why) {
        close(fd);
        return ST_IO;
    }
    export->listen_fd = fd;
    export->path = path;
    return ST_OK;
}

static enum status take_fd(struct vu_export *export, int fd, const char **why)
{
    int listening = 0;
    socklen_t bytes = sizeof(listening);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) != 0) {
        *why = "the descriptor is not a socket: start this program with one";
        return ST_IO;
    }
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        *why = strerror(errno);
        return ST_IO;
    }
    if (listening) {
        export->listen_fd = fd;
    } else {
        vu_conn_open(&export->conn, fd);
        vu_session_open(&export->session);
    }
    return ST_OK;
}

enum status vu_export_open(struct vu_export *export, const struct vu_disk_options *options,
                           const char **why)
{
    export->listen_fd = VU_NO_FD;
    export->conn.fd = VU_NO_FD;
    export->path = NULL;
    *why = NULL;
    return options->socket ? listen_at(export, options->socket, why)
                           : take_fd(export, options->fd, why);
}

static void drop(struct vu_export *export)
{
    vu_conn_close(&export->conn);
    vu_session_close(&export->session);
}

void vu_export_close(struct vu_export *export)
{
    if (export->conn.fd != VU_NO_FD) {
        drop(export);
    }
    if (export->listen_fd != VU_NO_FD) {
        close(export->listen_fd);
    }
    if (export->path) {
        unlink(export->path);
    }
}

/* --- control: front ends come, talk and go -------------------------------------------------- */

static void export_control(struct vu_export *export)
{
    const char *name = export->session.name;
    const char *why = "";
    enum status st;

    if (export->conn.fd == VU_NO_FD) {
        int fd = export->listen_fd == VU_NO_FD
                     ? VU_NO_FD
                     : accept4(export->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            return;
        }
        vu_conn_open(&export->conn, fd);
        vu_session_open(&export->session);
        log_info("%s: a front end has connected", name);
    }
    st = vu_conn_serve(&export->conn, &export->session, &why);
    if (vu_session_broken(&export->session)) {
        why = "it took memory away that it had shared";
        st = ST_PROTO;
    }
    if (st == ST_NODEV) {
        log_info("%s: the front end is gone: %s", name, why);
        drop(export);
    } else if (st != ST_OK && st != ST_AGAIN) {
        log_warn("%s: the front end is dropped: %s", name, why);
        drop(export);
    }
}

/* A file has another size: its front end hears of it, and the next one finds it so. */
static void sizes_look(struct vu_server *server)
{
    const u64 now_ns = port_now_ns();

    if (now_ns - server->size_looked_ns < SIZE_LOOK_NS) {
        return;
    }
    server->size_looked_ns = now_ns;
    for (u32 e = 0; e < server->export_count; e++) {
        struct vu_export *export = &server->export[e];

        if (export->file && bdev_file_resized(export->file)) {
            log_info("%s: the file has %llu sectors now", export->session.name,
                     (unsigned long long)export->file->dev.info.sectors);
            vu_session_resized(&export->session);
            server->resizes++;
        }
    }
}

/* --- waiting -------------------------------------------------------------------------------- */

struct waiting {
    struct pollfd fd[WAIT_FDS_MAX];
    nfds_t count;
};

static void wait_for(struct waiting *w, int fd)
{
    if (fd != VU_NO_FD) {
        w->fd[w->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

/* Empty a kick eventfd: what it says is said by waking us. */
static void kick_take(struct vu_export *export, struct vu_ring *ring, const struct pollfd *p)
{
    u64 count;

    if (p->revents & POLLIN) {
        if (read(ring->kick, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
            export->session.kicks++;
        }
    } else if (p->revents & (POLLERR | POLLHUP | POLLNVAL)) {
        /* Not an eventfd, or one that can never speak again: do not wake for it for ever. */
        log_warn("%s: a kick descriptor is unusable and is polled no more", export->session.name);
        close(ring->kick);
        ring->kick = VU_NO_FD;
    }
}

static bool wait_kicks(struct vu_server *server, struct waiting *w, bool collect)
{
    nfds_t at = 0;
    bool any = false;

    for (u32 e = 0; e < server->export_count; e++) {
        struct vu_export *export = &server->export[e];

        for (u32 q = 0; q < export->session.vb.vdev.queue_count; q++) {
            struct vu_ring *ring = &export->session.ring[q];

            if (!ring->running) {
                continue;
            }
            any = true;
            if (!collect) {
                wait_for(w, ring->kick);
            } else if (ring->kick != VU_NO_FD && at < w->count && w->fd[at].fd == ring->kick) {
                kick_take(export, ring, &w->fd[at++]);
            }
        }
    }
    return any;
}

/*
 * Look at the sockets (and kicks, when sleeping) until timeout, NULL meaning for ever. Signals are
 * let in here only.
 */
static void control(struct vu_server *server, bool kicks, const struct timespec *timeout)
{
    struct waiting w = {.count = 0};
    sigset_t none;
    int ready;

    if (kicks) {
        (void)wait_kicks(server, &w, false);
    }
    for (u32 e = 0; e < server->export_count; e++) {
        struct vu_export *export = &server->export[e];

        wait_for(&w, export->conn.fd != VU_NO_FD ? export->conn.fd : export->listen_fd);
    }
    sigemptyset(&none);
    ready = ppoll(w.fd, w.count, timeout, &none);
    sizes_look(server);
    if (ready <= 0) {
        return;
    }
    if (kicks) {
        (void)wait_kicks(server, &w, true);
    }
    for (u32 e = 0; e < server->export_count; e++) {
        export_control(&server->export[e]);
    }
}

/* --- the loop ------------------------------------------------------------------------------- */

static u32 turn(struct vu_server *server)
{
    u32 done = 0;

    for (u32 e = 0; e < server->export_count; e++) {
        struct vu_session *s = &server->export[e].session;

        if (s->vb.in_flight > 0) {
            done += bdev_poll(s->vb.bdev);
        }
        done += vu_session_poll(s, POLL_BUDGET);
    }
    return done;
}

static bool may_sleep(const struct vu_server *server)
{
    for (u32 e = 0; e < server->export_count; e++) {
        const struct vu_session *s = &server->export[e].session;

        /* What is with the medium wakes nobody; and some drivers asked to be polled. */
        if (s->vb.in_flight > 0) {
            return false;
        }
        for (u32 q = 0; q < s->vb.vdev.queue_count; q++) {
            if (s->ring[q].running &&
                (server->spin_ns == VU_POLL_ALWAYS || s->ring[q].kick == VU_NO_FD)) {
                return false;
            }
        }
    }
    return true;
}

/* A driver whose disk is a file is told of its size while it sleeps, too. */
static bool sizes_matter(const struct vu_server *server)
{
    for (u32 e = 0; e < server->export_count; e++) {
        if (server->export[e].file && server->export[e].conn.fd != VU_NO_FD) {
            return true;
        }
    }
    return false;
}

/* Arm, then look, then sleep: the order that loses no kick. */
static void sleep_for_work(struct vu_server *server)
{
    static const struct timespec at_once, till_next_look = {.tv_nsec = SIZE_LOOK_NS};
    const struct timespec *timeout = sizes_matter(server) ? &till_next_look : NULL;
    bool work = false;

    for (u32 e = 0; e < server->export_count; e++) {
        work |= vu_session_arm(&server->export[e].session);
    }
    server->sleeps++;
    control(server, true, work ? &at_once : timeout);
    for (u32 e = 0; e < server->export_count; e++) {
        vu_session_disarm(&server->export[e].session);
    }
}

/* Sockets that were handed to us connected are not replaced when their front ends have gone. */
static bool nobody_can_come(const struct vu_server *server)
{
    for (u32 e = 0; e < server->export_count; e++) {
        if (server->export[e].listen_fd != VU_NO_FD || server->export[e].conn.fd != VU_NO_FD) {
            return false;
        }
    }
    return true;
}

/* The clock is looked at seldom: its reading costs as much as a turn. */
static bool spun_enough(const struct vu_server *server, u32 idle_turns, u64 *idle_since)
{
    if (server->spin_ns == 0 || server->spin_ns == VU_POLL_ALWAYS) {
        return true;
    }
    if (idle_turns == TIGHT_TURNS) {
        *idle_since = port_now_ns();
    }
    return idle_turns % CLOCK_TURNS == 0 && port_now_ns() - *idle_since > server->spin_ns;
}

enum status vu_server_run(struct vu_server *server, const volatile int *stop)
{
    static const struct timespec at_once;
    u64 idle_since = 0;
    u32 idle_turns = 0;
    bool done = nobody_can_come(server);

    while (!*stop && !done) {
        server->turns++;
        if (turn(server) > 0) {
            idle_turns = 0;
        } else {
            idle_turns++;
        }
        if (server->turns % CONTROL_TURNS == 0) {
            control(server, false, &at_once);
            done = nobody_can_come(server);
        }
        if (idle_turns == 0 || (idle_turns < TIGHT_TURNS && server->spin_ns != 0)) {
            continue;
        }
        port_relax();
        if (spun_enough(server, idle_turns, &idle_since) && may_sleep(server)) {
            sleep_for_work(server);
            idle_turns = 0;
            done = nobody_can_come(server);
        }
    }
    return ST_OK;
}
