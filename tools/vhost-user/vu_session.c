/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_session.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "start/base/log.h"
#include "tools/vhost-user/vu_ring.h"

#define PROTOCOL_OFFERED                                                                       \
    (BIT64(VU_P_MQ) | BIT64(VU_P_REPLY_ACK) | BIT64(VU_P_BACKEND_REQ) | BIT64(VU_P_CONFIG) |   \
     BIT64(VU_P_INFLIGHT_SHMFD) | BIT64(VU_P_RESET_DEVICE) | BIT64(VU_P_CONFIGURE_MEM_SLOTS) | \
     BIT64(VU_P_STATUS))

/* What config space writes are allowed to be: flags of SET_CONFIG. */
#define CONFIG_FLAG_WRITABLE 0u

/* Everything that handlers need of one message. */
struct call {
    struct vu_session *s;
    const struct vu_msg *msg;
    struct vu_fds *fds;
    struct vu_answer *answer;
    const char *why;
};

static u64 offered(const struct vu_session *s)
{
    return vdev_features_read(&s->vb.vdev, 0) | (u64)vdev_features_read(&s->vb.vdev, 1) << 32 |
           BIT64(VU_F_PROTOCOL_FEATURES);
}

static bool protocol_has(const struct vu_session *s, u32 feature)
{
    return (s->protocol & BIT64(feature)) != 0;
}

static enum status refuse(struct call *c, enum status st, const char *why)
{
    c->why = why;
    return st;
}

/* Take over the only descriptor of the message. */
static int fd_take(struct vu_fds *fds)
{
    int fd = VU_NO_FD;

    if (fds->count > 0) {
        fd = fds->fd[0];
        fds->fd[0] = VU_NO_FD;
    }
    return fd;
}

void vu_fds_close(struct vu_fds *fds)
{
    for (u32 i = 0; i < fds->count; i++) {
        if (fds->fd[i] != VU_NO_FD) {
            close(fds->fd[i]);
        }
    }
    fds->count = 0;
}

static void answer_u64(struct call *c, u64 value)
{
    c->answer->bytes = vu_reply_u64(c->answer->data, c->msg->request, value);
}

/* --- device --------------------------------------------------------------------------------- */

/* Back to a device that nobody drives: what a driver does by writing 0 to the status. */
static void device_reset(struct vu_session *s)
{
    vu_rings_stop(s);
    vdev_status_write(&s->vb.vdev, 0);
    s->status = 0;
    s->features_set = false;
}

static enum status set_features(struct call *c)
{
    struct vu_session *s = c->s;
    struct vdev *dev = &s->vb.vdev;
    const u64 driver = c->msg->u64 & ~BIT64(VU_F_PROTOCOL_FEATURES);
    const u32 before = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    if (s->features_set && s->features == c->msg->u64) {
        return ST_OK;
    }
    if (c->msg->u64 & ~offered(s)) {
        return refuse(c, ST_INVAL, "the driver wants features that were not offered");
    }
    vu_rings_stop(s);
    vdev_status_write(dev, 0);
    vdev_status_write(dev, VIRTIO_STATUS_ACKNOWLEDGE);
    vdev_status_write(dev, before);
    vdev_features_write(dev, 0, (u32)driver);
    vdev_features_write(dev, 1, (u32)(driver >> 32));
    vdev_status_write(dev, before | VIRTIO_STATUS_FEATURES_OK);
    s->features_set = (vdev_status_read(dev) & VIRTIO_STATUS_FEATURES_OK) != 0;
    s->features = c->msg->u64;
    if (!s->features_set) {
        return refuse(c, ST_INVAL,
                      "the driver's choice of features is not one we can serve: "
                      "a modern driver (VIRTIO_F_VERSION_1) is needed");
    }
    if (!(s->features & BIT64(VU_F_PROTOCOL_FEATURES))) {
        for (u32 q = 0; q < dev->queue_count; q++) {
            s->ring[q].enabled = true; /* [VHOST-USER] "Ring states" */
        }
    }
    return vu_rings_update(s, &c->why);
}

static enum status set_status(struct call *c)
{
    struct vu_session *s = c->s;

    if (c->msg->u64 > UINT8_MAX) {
        return refuse(c, ST_INVAL, "the device status has more than 8 bits");
    }
    if (c->msg->u64 == 0) {
        device_reset(s);
        vu_inflight_wipe(&s->inflight);
        return ST_OK;
    }
    s->status_used = true;
    s->status = (u8)c->msg->u64;
    return vu_rings_update(s, &c->why);
}

/* What the front end wrote; FEATURES_OK and NEEDS_RESET as the device sees them. */
static u8 get_status(const struct vu_session *s)
{
    const u8 ours = VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_NEEDS_RESET;
    const u8 device = (u8)vdev_status_read(&s->vb.vdev);

    return (u8)((s->status & (u8)~ours) | (s->status & device & VIRTIO_STATUS_FEATURES_OK) |
                (device & VIRTIO_STATUS_NEEDS_RESET));
}

static enum status get_config(struct call *c)
{
    struct vu_config config = c->msg->config;

    for (u32 i = 0; i < config.bytes; i++) {
        config.data[i] = (u8)vdev_config_read(&c->s->vb.vdev, config.offset + i, 1);
    }
    c->answer->bytes = vu_reply_config(c->answer->data, &config);
    return ST_OK;
}

static enum status set_config(struct call *c)
{
    struct vdev *dev = &c->s->vb.vdev;
    const struct vu_config *config = &c->msg->config;

    /* > back-ends MUST NOT accept SET_CONFIG for read-only configuration space fields */
    if (config->flags != CONFIG_FLAG_WRITABLE || config->bytes != 1 ||
        config->offset != offsetof(struct vblk_config, writeback)) {
        return refuse(c, ST_ACCES, "the config space is read-only but for writeback");
    }
    vdev_config_write(dev, config->offset, 1, config->data[0]);
    return ST_OK;
}

/* --- memory --------------------------------------------------------------------------------- */

static enum status set_mem_table(struct call *c)
{
    struct vu_session *s = c->s;
    enum status st = ST_OK;

    vu_rings_stop(s);
    vu_mem_clear(&s->mem);
    for (u32 i = 0; i < c->msg->table.count && st == ST_OK; i++) {
        st = vu_mem_add(&s->mem, &c->msg->table.region[i], c->fds->fd[i], &c->why);
    }
    return st == ST_OK ? vu_rings_update(s, &c->why) : st;
}

static enum status add_mem_reg(struct call *c)
{
    enum status st = vu_mem_add(&c->s->mem, &c->msg->region, c->fds->fd[0], &c->why);

    return st == ST_OK ? vu_rings_update(c->s, &c->why) : st;
}

static enum status rem_mem_reg(struct call *c)
{
    enum status st;

    vu_rings_stop(c->s);
    st = vu_mem_remove(&c->s->mem, &c->msg->region);
    if (st != ST_OK) {
        c->why = "there is no such memory region to remove";
        (void)vu_rings_update(c->s, &(const char *){NULL});
        return st;
    }
    return vu_rings_update(c->s, &c->why);
}

/* --- inflight tracking ---------------------------------------------------------------------- */

static enum status get_inflight_fd(struct call *c)
{
    struct vu_inflight_desc desc = c->msg->inflight;
    enum status st;

    vu_rings_stop(c->s);
    st = vu_inflight_create(&c->s->inflight, &desc, &c->answer->fd, &c->why);
    if (st != ST_OK) {
        return st;
    }
    c->answer->bytes = vu_reply_inflight(c->answer->data, &desc);
    return vu_rings_update(c->s, &c->why);
}

static enum status set_inflight_fd(struct call *c)
{
    enum status st;

    vu_rings_stop(c->s);
    st = vu_inflight_attach(&c->s->inflight, &c->msg->inflight, c->fds->fd[0], &c->why);
    return st == ST_OK ? vu_rings_update(c->s, &c->why) : st;
}

/* --- one message ---------------------------------------------------------------------------- */

static enum status set_backend_fd(struct call *c)
{
    if (c->s->backend_fd != VU_NO_FD) {
        close(c->s->backend_fd);
    }
    c->s->backend_fd = fd_take(c->fds);
    return ST_OK;
}

static enum status set_protocol_features(struct call *c)
{
    if (c->msg->u64 & ~PROTOCOL_OFFERED) {
        return refuse(c, ST_INVAL, "the front end wants protocol features that were not offered");
    }
    c->s->protocol = c->msg->u64;
    return ST_OK;
}

static enum status get_vring_base(struct call *c)
{
    struct vu_vring_state state = c->msg->state;
    enum status st = vu_ring_stop_for_good(c->s, &state, &c->why);

    if (st == ST_OK) {
        c->answer->bytes = vu_reply_state(c->answer->data, c->msg->request, &state);
    }
    return st;
}

static enum status dispatch_ring(struct call *c)
{
    struct vu_session *s = c->s;

    switch (c->msg->request) {
    case VU_SET_VRING_NUM:
        return vu_ring_set_size(s, &c->msg->state, &c->why);
    case VU_SET_VRING_ADDR:
        return vu_ring_set_addr(s, &c->msg->addr, &c->why);
    case VU_SET_VRING_BASE:
        return vu_ring_set_base(s, &c->msg->state, &c->why);
    case VU_GET_VRING_BASE:
        return get_vring_base(c);
    case VU_SET_VRING_KICK:
        return vu_ring_set_kick(s, &c->msg->vring_fd, fd_take(c->fds), &c->why);
    case VU_SET_VRING_CALL:
        return vu_ring_set_call(s, &c->msg->vring_fd, fd_take(c->fds), &c->why);
    case VU_SET_VRING_ERR:
        return vu_ring_set_err(s, &c->msg->vring_fd, fd_take(c->fds), &c->why);
    case VU_SET_VRING_ENABLE:
        return vu_ring_enable(s, &c->msg->state, &c->why);
    default:
        return refuse(c, ST_NOSUP, "the request is not about a ring");
    }
}

static enum status dispatch(struct call *c)
{
    struct vu_session *s = c->s;

    switch (c->msg->request) {
    case VU_GET_FEATURES:
        answer_u64(c, offered(s));
        return ST_OK;
    case VU_SET_FEATURES:
        return set_features(c);
    case VU_SET_OWNER:
        return ST_OK;
    case VU_RESET_OWNER: /* > either ignore this message, or use it to disable all rings */
        vu_rings_disable(s);
        return ST_OK;
    case VU_SET_MEM_TABLE:
        return set_mem_table(c);
    case VU_SET_VRING_NUM:
    case VU_SET_VRING_ADDR:
    case VU_SET_VRING_BASE:
    case VU_GET_VRING_BASE:
    case VU_SET_VRING_KICK:
    case VU_SET_VRING_CALL:
    case VU_SET_VRING_ERR:
    case VU_SET_VRING_ENABLE:
        return dispatch_ring(c);
    case VU_GET_PROTOCOL_FEATURES:
        answer_u64(c, PROTOCOL_OFFERED);
        return ST_OK;
    case VU_SET_PROTOCOL_FEATURES:
        return set_protocol_features(c);
    case VU_GET_QUEUE_NUM:
        answer_u64(c, s->vb.vdev.queue_count);
        return ST_OK;
    case VU_SET_BACKEND_REQ_FD:
        return set_backend_fd(c);
    case VU_GET_CONFIG:
        return get_config(c);
    case VU_SET_CONFIG:
        return set_config(c);
    case VU_GET_INFLIGHT_FD:
        return get_inflight_fd(c);
    case VU_SET_INFLIGHT_FD:
        return set_inflight_fd(c);
    case VU_RESET_DEVICE:
        device_reset(s);
        vu_rings_forget(s);
        vu_inflight_wipe(&s->inflight);
        return ST_OK;
    case VU_GET_MAX_MEM_SLOTS:
        answer_u64(c, VU_SLOTS_MAX);
        return ST_OK;
    case VU_ADD_MEM_REG:
        return add_mem_reg(c);
    case VU_REM_MEM_REG:
        return rem_mem_reg(c);
    case VU_SET_STATUS:
        return set_status(c);
    case VU_GET_STATUS:
        answer_u64(c, get_status(s));
        return ST_OK;
    }
    return refuse(c, ST_NOSUP, "the request is not one of those we offered");
}

/* The request's own answer, or the acknowledgement, or nothing; a refusal that nobody hears ends
 * it. */
static enum status settle(struct call *c, enum status st)
{
    struct vu_session *s = c->s;
    const bool ack = c->msg->need_reply && protocol_has(s, VU_P_REPLY_ACK);

    if (st == ST_OK) {
        if (ack && c->answer->bytes == 0) {
            answer_u64(c, 0);
        }
        return ST_OK;
    }
    s->refused++;
    log_warn("%s: %s refused: %s", s->name, vu_request_name(c->msg->request), c->why);
    if (c->msg->request == VU_GET_INFLIGHT_FD) {
        return st;
    }
    if (ack && !vu_request_has_reply(c->msg->request)) {
        answer_u64(c, 1);
        return ST_OK;
    }
    /* A read-only field of the config space stays as it is, which the driver can see. */
    return c->msg->request == VU_SET_CONFIG ? ST_OK : st;
}

enum status vu_session_handle(struct vu_session *s, const struct vu_header *header,
                              const u8 *payload, struct vu_fds *fds, struct vu_answer *answer,
                              const char **why)
{
    struct vu_msg msg;
    struct call c = {.s = s, .msg = &msg, .fds = fds, .answer = answer, .why = ""};
    enum status st;

    s->messages++;
    answer->bytes = 0;
    answer->fd = VU_NO_FD;
    st = vu_msg_parse(header, payload, fds->count, &msg, &c.why);
    if (st == ST_OK) {
        const int feature = vu_request_feature(msg.request);

        if (feature >= 0 && !protocol_has(s, (u32)feature)) {
            st = refuse(&c, ST_PROTO, "the request needs a protocol feature not negotiated");
        } else {
            st = settle(&c, dispatch(&c));
        }
    }
    vu_fds_close(fds);
    *why = c.why;
    return st;
}

/* --- the driver's side of vdev -------------------------------------------------------------- */

static void session_raise(void *ctx, u32 cause, u16 queue)
{
    struct vu_session *s = ctx;
    u8 notice[VU_MSG_MAX];

    if (cause & VIRTIO_INT_QUEUE) {
        vu_ring_call(s, queue);
    }
    if ((cause & VIRTIO_INT_CONFIG) && s->backend_fd != VU_NO_FD) {
        /* Not waited for: a front end that reads nothing loses the notice, not our time. */
        u32 bytes = vu_notice_config_change(notice);

        if (send(s->backend_fd, notice, bytes, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)bytes) {
            log_warn("%s: the front end does not take the notice of a config change", s->name);
        }
    }
    if (cause & VIRTIO_INT_CONFIG) {
        vu_rings_tell_errors(s);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

void vu_session_init(struct vu_session *s, const struct vu_session_init *init)
{
    const struct vblk_init vblk = {
        .bdev = init->bdev,
        .gm = &s->mem.gm,
        .pool = init->pool,
        .name = init->name,
        .id = init->serial,
        .read_only = init->read_only,
        .queues = init->queues,
        .ranges_max = init->ranges,
    };

    memset(s, 0, sizeof(*s));
    s->name = init->name;
    s->backend_fd = VU_NO_FD;
    vu_mem_init(&s->mem);
    vblk_init(&s->vb, &vblk);
    vdev_transport(&s->vb.vdev, session_raise, s, BIT64(VIRTIO_F_RING_PACKED));
    s->vb.vdev.offered &= ~init->without;
    for (u32 q = 0; q < VQ_PER_DEVICE; q++) {
        s->ring[q].kick = s->ring[q].call = s->ring[q].err = VU_NO_FD;
    }
}

void vu_session_open(struct vu_session *s)
{
    s->sessions++;
}

void vu_session_close(struct vu_session *s)
{
    device_reset(s);
    vu_rings_forget(s);
    vu_mem_clear(&s->mem);
    vu_inflight_detach(&s->inflight);
    if (s->backend_fd != VU_NO_FD) {
        close(s->backend_fd);
    }
    s->backend_fd = VU_NO_FD;
    s->features = 0;
    s->protocol = 0;
    s->status_used = false;
}

u32 vu_session_poll(struct vu_session *s, u32 budget)
{
    return vblk_poll(&s->vb, budget);
}

void vu_session_resized(struct vu_session *s)
{
    vblk_resized(&s->vb);
}

bool vu_session_arm(struct vu_session *s)
{
    return vblk_arm(&s->vb);
}

void vu_session_disarm(struct vu_session *s)
{
    vblk_disarm(&s->vb);
}
