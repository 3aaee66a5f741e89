/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_session.h - one disk behind the vhost-user protocol: a transport for vdev.   plane: control
 *
 * The front end says where the guest's memory is (vu_mem), where the rings are, and which eventfds
 * kick and call. A ring runs while all of these hold; whenever one changes, ring_update() starts or
 * stops it:
 *
 *   size and addresses set, kick or "poll it" set      [VHOST-USER] "Ring states": started
 *   enabled, where protocol features are negotiated
 *   features accepted; DRIVER_OK, where the front end speaks STATUS
 *
 * A ring stops at a point that GET_VRING_BASE names and can go on from there. Before memory is
 * taken away all rings stop; afterwards those still in memory go on.
 *
 * Life: init -> { open -> handle... poll... -> close }* . One front end at a time.
 */
#pragma once

#include "tools/vhost-user/vu_inflight_packed.h"
#include "tools/vhost-user/vu_mem.h"
#include "tools/vhost-user/vu_msg.h"
#include "virtio/vblk.h"

#define VU_NO_FD (-1)

/** Descriptors that came with a message. Who uses one replaces it by VU_NO_FD; the rest are closed.
 */
struct vu_fds {
    u32 count;
    int fd[VU_FDS_MAX];
};

struct vu_ring {
    bool size_set, addr_set, base_set, kick_set, enabled;
    bool running;
    u32 size;
    struct vu_vring_addr addr;
    /* What to begin with, where it stopped while it is not running: virtq_position(). */
    u16 base;
    int kick, call, err;
    struct vu_inflight_log log;
    struct vu_packed_log packed_log;
};

struct vu_session {
    const char *name;
    struct vblk vb;
    struct vu_mem mem;
    struct vu_inflight inflight;
    u64 features; /* as acknowledged, VU_F_PROTOCOL_FEATURES included */
    u64 protocol; /* protocol features acknowledged */
    bool features_set, status_used;
    u8 status; /* what a front end that speaks STATUS wrote */
    struct vu_ring ring[VQ_PER_DEVICE];
    int backend_fd; /* for requests of ours */
    bool backend_fd_tried;
    /* counters since init */
    u64 sessions, messages, refused, calls, kicks, resumed;
    u64 again; /* requests that a predecessor took and we served */
};

struct vu_session_init {
    const char *name; /* for messages; stays valid */
    struct bdev *bdev;
    struct vblk_pool *pool;
    const char *serial;
    bool read_only;
    u16 queues;  /* 1..VQ_PER_DEVICE; 0 means 1 */
    u16 ranges;  /* of one discard: 1..BLK_RANGES_MAX; 0 means all of them */
    u64 without; /* feature bits that are not offered although we have them */
};

/** What to send back: bytes == 0 for nothing. fd is closed by whoever sends it. */
struct vu_answer {
    u32 bytes;
    int fd;
    u8 data[VU_MSG_MAX];
};

void vu_session_init(struct vu_session *s, const struct vu_session_init *init);

/** A front end has connected. */
void vu_session_open(struct vu_session *s);

/**
 * Do what one message asks. fds is emptied. Returns ST_OK, with *answer to send if it has bytes;
 * any other status means that the front end must be dropped, and *why is a sentence.
 */
enum status vu_session_handle(struct vu_session *s, const struct vu_header *header,
                              const u8 *payload, struct vu_fds *fds, struct vu_answer *answer,
                              const char **why);

/** The front end is gone: rings stop, memory and descriptors are let go, features are forgotten. */
void vu_session_close(struct vu_session *s);

/** One turn of the data plane; returns the work done. */
u32 vu_session_poll(struct vu_session *s, u32 budget);

/** The medium has another size: tell the front end. */
void vu_session_resized(struct vu_session *s);

/** Ask for kicks; true when there is work already. And the reverse. */
bool vu_session_arm(struct vu_session *s);
void vu_session_disarm(struct vu_session *s);

/** True once the front end took memory away that it had shared: close the session. */
static inline bool vu_session_broken(const struct vu_session *s)
{
    return s->mem.broken != 0;
}

void vu_fds_close(struct vu_fds *fds);
