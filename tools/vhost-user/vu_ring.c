/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_ring.h"

#include <fcntl.h>
#include <unistd.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/port.h"
#include "virtio/virtq_layout.h"

#define DRAIN_TIMEOUT_NS UINT64_C(10000000000) /* a medium that takes longer has failed */

static struct vu_ring *ring_of(struct vu_session *s, u32 index, const char **why)
{
    if (index >= s->vb.vdev.queue_count) {
        *why = "the ring's number is beyond the queues of this disk";
        return NULL;
    }
    return &s->ring[index];
}

static struct virtq *virtq_of(struct vu_session *s, u32 index)
{
    return &s->vb.vdev.queue[index].vq;
}

static bool may_run(const struct vu_session *s, const struct vu_ring *ring)
{
    return s->features_set && ring->size_set && ring->addr_set && ring->kick_set && ring->enabled &&
           (!s->status_used || (s->status & VIRTIO_STATUS_DRIVER_OK));
}

/* --- stopping ------------------------------------------------------------------------------- */

/*
 * Wait for requests that are with the medium. None is taken meanwhile, of no ring, so there are
 * only fewer; media that answer in place never have any here.
 */
static void drain(struct vu_session *s)
{
    const u64 deadline = port_now_ns() + DRAIN_TIMEOUT_NS;

    while (s->vb.in_flight > 0) {
        (void)bdev_poll(s->vb.bdev);
        (void)vu_session_poll(s, 0);
        if (port_now_ns() > deadline) {
            panic("%s: the medium holds %u requests for more than 10 s", s->name, s->vb.in_flight);
        }
    }
}

static void ring_stop(struct vu_session *s, u32 index)
{
    struct vu_ring *ring = &s->ring[index];
    struct virtq *vq = virtq_of(s, index);

    if (!ring->running) {
        return;
    }
    drain(s);
    ring->base = virtq_position(vq);
    ring->base_set = true;
    virtq_reset(vq);
    vu_inflight_stop(&ring->log);
    vu_packed_stop(&ring->packed_log);
    ring->running = false;
}

void vu_rings_stop(struct vu_session *s)
{
    for (u32 i = 0; i < s->vb.vdev.queue_count; i++) {
        ring_stop(s, i);
    }
    gmem_forget(&s->mem.gm);
    CHECK(vu_mem_pinned(&s->mem) == 0);
}

void vu_rings_disable(struct vu_session *s)
{
    vu_rings_stop(s);
    for (u32 i = 0; i < s->vb.vdev.queue_count; i++) {
        s->ring[i].enabled = false;
    }
}

static void fd_replace(int *slot, int fd)
{
    if (*slot != VU_NO_FD) {
        close(*slot);
    }
    *slot = fd;
}

void vu_rings_forget(struct vu_session *s)
{
    vu_rings_stop(s);
    for (u32 i = 0; i < s->vb.vdev.queue_count; i++) {
        struct vu_ring *ring = &s->ring[i];

        fd_replace(&ring->kick, VU_NO_FD);
        fd_replace(&ring->call, VU_NO_FD);
        fd_replace(&ring->err, VU_NO_FD);
        *ring = (struct vu_ring){.kick = VU_NO_FD, .call = VU_NO_FD, .err = VU_NO_FD};
    }
}

/* --- starting ------------------------------------------------------------------------------- */

static const char outside[] = "a part of the ring lies outside the memory that is shared";

/* used.idx as it stands in guest memory: what our predecessor showed last. */
static enum status used_idx_read(struct vu_session *s, u64 used, u16 *idx)
{
    le16_t wire;
    enum status st = gmem_copy_in(&s->mem.gm, &wire, (gpa_t){used + VIRTQ_USED_IDX}, sizeof(wire));

    *idx = st == ST_OK ? le16_get(wire) : 0;
    return st;
}

/* Where to begin, and what to take again, of a split ring. */
static enum status split_resume(struct vu_session *s, u32 index, struct virtq_setup *setup,
                                bool *resumed, const char **why)
{
    struct vu_ring *ring = &s->ring[index];
    u16 used_idx;
    enum status st;

    if (used_idx_read(s, setup->used, &used_idx) != ST_OK) {
        *why = outside;
        return ST_INVAL;
    }
    st = vu_inflight_start(&s->inflight, index, ring->size, used_idx, &ring->log, resumed, why);
    setup->first_idx = *resumed ? used_idx : ring->base;
    if (st == ST_OK && ring->log.region) {
        setup->journal = &ring->log.journal;
        setup->again = ring->log.again;
        setup->again_count = ring->log.again_count;
    }
    return st;
}

/* The same of a packed one. */
static enum status packed_resume(struct vu_session *s, u32 index, struct virtq_setup *setup,
                                 bool *resumed, const char **why)
{
    struct vu_ring *ring = &s->ring[index];
    struct vu_packed_log *log = &ring->packed_log;
    enum status st;

    setup->first_idx = ring->base;
    st = vu_packed_start(&s->inflight, index, ring->size, &s->mem.gm, setup->desc,
                         &setup->first_idx, log, resumed, why);
    if (st == ST_OK && log->region) {
        setup->journal = &log->journal;
        setup->again_slot = log->again;
        setup->again_slot_count = log->again_count;
    }
    return st;
}

/* What our predecessor left goes on; say so. */
static void resume_tell(struct vu_session *s, u32 index, const struct virtq_setup *setup)
{
    struct vu_ring *ring = &s->ring[index];
    const u32 again = setup->packed ? ring->packed_log.again_chains : ring->log.again_count;

    if (setup->first_idx != ring->base) {
        log_info("%s: queue %u goes on at %u, where our predecessor stopped, not at %u", s->name,
                 index, setup->first_idx, ring->base);
        ring->base = setup->first_idx;
        s->resumed++;
    }
    if (again > 0) {
        log_info("%s: queue %u: %u requests that our predecessor took are served again", s->name,
                 index, again);
        s->again += again;
    }
}

static enum status ring_start(struct vu_session *s, u32 index, const char **why)
{
    struct vu_ring *ring = &s->ring[index];
    struct vdev *dev = &s->vb.vdev;
    struct virtq_setup setup = {
        .size = ring->size,
        .indirect = vdev_has(dev, VIRTIO_F_INDIRECT_DESC),
        .event_idx = vdev_has(dev, VIRTIO_F_EVENT_IDX),
        .packed = vdev_has(dev, VIRTIO_F_RING_PACKED),
    };
    bool resumed = false;
    enum status st;

    if (!vu_mem_user_to_guest(&s->mem, ring->addr.desc, &setup.desc) ||
        !vu_mem_user_to_guest(&s->mem, ring->addr.avail, &setup.avail) ||
        !vu_mem_user_to_guest(&s->mem, ring->addr.used, &setup.used)) {
        *why = outside;
        return ST_INVAL;
    }
    if (!ring->base_set) {
        ring->base = VQ_FIRST(setup.packed);
    }
    if (setup.packed && VQ_POSITION_SLOT(ring->base) >= ring->size) {
        *why = "the base of the ring lies behind its end";
        return ST_INVAL;
    }
    st = setup.packed ? packed_resume(s, index, &setup, &resumed, why)
                      : split_resume(s, index, &setup, &resumed, why);
    if (st != ST_OK) {
        return st;
    }
    if (resumed) {
        resume_tell(s, index, &setup);
    }
    vdev_status_write(dev, vdev_status_read(dev) | VIRTIO_STATUS_DRIVER_OK);
    if (virtq_enable(virtq_of(s, index), &s->mem.gm, &setup) != ST_OK) {
        *why =
            "the ring is misaligned, of a wrong size, or not wholly in the memory that is shared";
        return ST_INVAL;
    }
    ring->running = true;
    /* Whoever served the ring before may have turned kicks off, or died before it called. */
    (void)virtq_kick_enable(virtq_of(s, index));
    if (ring->base != VQ_FIRST(setup.packed)) {
        vu_ring_call(s, index);
    }
    return ST_OK;
}

enum status vu_rings_update(struct vu_session *s, const char **why)
{
    enum status result = ST_OK;

    for (u32 i = 0; i < s->vb.vdev.queue_count; i++) {
        struct vu_ring *ring = &s->ring[i];
        enum status st = ST_OK;

        if (!may_run(s, ring)) {
            ring_stop(s, i);
        } else if (!ring->running) {
            st = ring_start(s, i, why);
        }
        result = result == ST_OK ? st : result;
    }
    return result;
}

/* --- messages ------------------------------------------------------------------------------- */

enum status vu_ring_set_size(struct vu_session *s, const struct vu_vring_state *state,
                             const char **why)
{
    struct vu_ring *ring = ring_of(s, state->index, why);

    if (!ring) {
        return ST_INVAL;
    }
    /* Unlike a transport of registers this one has no way to offer a size: front ends choose. */
    if (state->num == 0 || state->num > VQ_SIZE_MAX ||
        (!is_pow2(state->num) && !vdev_has(&s->vb.vdev, VIRTIO_F_RING_PACKED))) {
        *why =
            "the size of the ring is not a power of two up to 1024, or any such number if packed";
        return ST_INVAL;
    }
    ring_stop(s, state->index);
    ring->size = state->num;
    ring->size_set = true;
    return vu_rings_update(s, why);
}

enum status vu_ring_set_addr(struct vu_session *s, const struct vu_vring_addr *addr,
                             const char **why)
{
    struct vu_ring *ring = ring_of(s, addr->index, why);

    if (!ring) {
        return ST_INVAL;
    }
    if (addr->flags != 0) {
        *why = "logging of a ring is asked for, which was not offered";
        return ST_INVAL;
    }
    ring_stop(s, addr->index);
    ring->addr = *addr;
    ring->addr_set = true;
    return vu_rings_update(s, why);
}

enum status vu_ring_set_base(struct vu_session *s, const struct vu_vring_state *state,
                             const char **why)
{
    const bool packed = vdev_has(&s->vb.vdev, VIRTIO_F_RING_PACKED);
    struct vu_ring *ring = ring_of(s, state->index, why);

    if (!ring) {
        return ST_INVAL;
    }
    /* [VHOST-USER] "Vring descriptor indices": the used side of a packed ring is in the upper half.
     * We stop with nothing in flight, so for us both are the same. */
    if (!packed && state->num > UINT16_MAX) {
        *why = "the base of the ring is not a 16-bit index";
        return ST_INVAL;
    }
    if (packed && state->num >> 16 != (u16)state->num && !s->inflight.map) {
        *why = "the base says that requests of a packed ring are in flight, and nothing says which";
        return ST_INVAL;
    }
    ring_stop(s, state->index);
    ring->base = (u16)state->num;
    ring->base_set = true;
    return vu_rings_update(s, why);
}

enum status vu_ring_enable(struct vu_session *s, const struct vu_vring_state *state,
                           const char **why)
{
    struct vu_ring *ring = ring_of(s, state->index, why);

    if (!ring) {
        return ST_INVAL;
    }
    if (state->num > 1) {
        *why = "a ring is enabled by 1 and disabled by 0";
        return ST_INVAL;
    }
    ring->enabled = state->num == 1;
    return vu_rings_update(s, why);
}

/* Our reads and writes of eventfds must never block; an object of another kind is not one of those.
 */
static bool fd_prepare(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static enum status set_fd(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                          struct vu_ring **ring, const char **why)
{
    *ring = ring_of(s, vring->index, why);
    if (*ring && fd != VU_NO_FD && !fd_prepare(fd)) {
        *why = "the descriptor cannot be made non-blocking";
        *ring = NULL;
    }
    if (!*ring) {
        if (fd != VU_NO_FD) {
            close(fd);
        }
        return ST_INVAL;
    }
    return ST_OK;
}

enum status vu_ring_set_kick(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                             const char **why)
{
    struct vu_ring *ring;
    enum status st = set_fd(s, vring, fd, &ring, why);

    if (st != ST_OK) {
        return st;
    }
    fd_replace(&ring->kick, fd);
    ring->kick_set = true;
    return vu_rings_update(s, why);
}

enum status vu_ring_set_call(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                             const char **why)
{
    struct vu_ring *ring;
    enum status st = set_fd(s, vring, fd, &ring, why);

    if (st == ST_OK) {
        fd_replace(&ring->call, fd);
        /* What was returned before the driver could be called: it is called now. Always, because
         * libvhost-user does so and drivers' tests wait for it. */
        vu_ring_call(s, vring->index);
    }
    return st;
}

enum status vu_ring_set_err(struct vu_session *s, const struct vu_vring_fd *vring, int fd,
                            const char **why)
{
    struct vu_ring *ring;
    enum status st = set_fd(s, vring, fd, &ring, why);

    if (st == ST_OK) {
        fd_replace(&ring->err, fd);
    }
    return st;
}

enum status vu_ring_stop_for_good(struct vu_session *s, struct vu_vring_state *state,
                                  const char **why)
{
    struct vu_ring *ring = ring_of(s, state->index, why);

    if (!ring) {
        return ST_INVAL;
    }
    ring_stop(s, state->index);
    fd_replace(&ring->kick, VU_NO_FD);
    ring->kick_set = false;
    state->num = ring->base;
    if (vdev_has(&s->vb.vdev, VIRTIO_F_RING_PACKED)) {
        state->num |= (u32)ring->base << 16;
    }
    return ST_OK;
}

/* --- signals -------------------------------------------------------------------------------- */

static void signal_fd(int fd)
{
    const u64 one = 1;

    /* A full eventfd is a signal that is still pending; anything else is the front end's doing. */
    if (fd != VU_NO_FD) {
        ssize_t n = write(fd, &one, sizeof(one));

        (void)n;
    }
}

void vu_ring_call(struct vu_session *s, u32 index)
{
    s->calls++;
    signal_fd(s->ring[index].call);
}

void vu_rings_tell_errors(struct vu_session *s)
{
    for (u32 i = 0; i < s->vb.vdev.queue_count; i++) {
        if (virtq_of(s, i)->state == VQ_BROKEN) {
            signal_fd(s->ring[i].err);
        }
    }
}
