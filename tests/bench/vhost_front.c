/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/bench/vhost_front.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define GUEST_BASE    UINT64_C(0x40000000) /* where the guest believes its memory to be */
#define RING_ALIGN    4096u
#define META_BYTES    64u /* header and status of a slot, each on a line of its own */
#define CONNECT_MS    5000
#define REPLY_MS      10000
#define RECONNECT_MAX 20 /* handshakes that may fail in a row */

/* [VIRTIO] */
#define F_INDIRECT    28
#define F_EVENT_IDX   29
#define F_PROTOCOL    30 /* [VHOST-USER] */
#define F_VERSION_1   32
#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

/* [VHOST-USER] */
#define P_MQ            0
#define P_REPLY_ACK     3
#define P_CONFIG        9
#define P_INFLIGHT      12
#define FLAG_VERSION    1u
#define FLAG_REPLY      4u
#define FLAG_NEED_REPLY 8u
enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
    GET_CONFIG = 24,
    GET_INFLIGHT_FD = 31,
    SET_INFLIGHT_FD = 32,
};

struct front_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
};

struct message {
    uint32_t request, flags, size;
    union {
        uint64_t u64;
        struct {
            uint32_t index, num;
        } state;
        struct {
            uint32_t index, flags;
            uint64_t desc, used, avail, log;
        } addr;
        struct {
            uint32_t count, padding;
            uint64_t guest, bytes, user, offset;
        } table;
        struct {
            uint32_t offset, bytes, flags;
            uint8_t data[60];
        } config;
        struct {
            uint64_t bytes, offset;
            uint16_t queues, queue_size;
        } inflight;
    } __attribute__((packed));
} __attribute__((packed));

#define HEADER_BYTES   12
#define CONFIG_HEAD    12
#define INFLIGHT_BYTES 24 /* padded: what back ends in use expect */

/* Where a failed handshake goes on from, when the back end may die in the middle of it. */
static jmp_buf retry;
static bool retrying;

_Noreturn __attribute__((format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;

    if (retrying) {
        longjmp(retry, 1);
    }
    fputs("vhost-client: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* --- messages ------------------------------------------------------------------------------- */

static void message_send(struct front *f, const struct message *m, int fd)
{
    struct iovec iov = {(void *)(uintptr_t)m, HEADER_BYTES + m->size};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (sendmsg(f->socket, &msg, MSG_NOSIGNAL) != (ssize_t)(HEADER_BYTES + m->size)) {
        fail("request %u could not be sent: %s", m->request, strerror(errno));
    }
}

/*
 * Read the answer to request into m; returns the descriptor that came with it, or -1. The socket is
 * a stream: header and payload may come in two pieces.
 */
static int message_receive(struct front *f, uint32_t request, struct message *m)
{
    struct iovec iov = {m, HEADER_BYTES};
    char control[CMSG_SPACE(sizeof(int))];
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    struct pollfd p = {.fd = f->socket, .events = POLLIN};
    struct cmsghdr *c;
    int fd = -1;

    if (poll(&p, 1, REPLY_MS) != 1) {
        fail("request %u got no answer within 10 s", request);
    }
    memset(m, 0, sizeof(*m));
    if (recvmsg(f->socket, &msg, MSG_WAITALL) != HEADER_BYTES || m->request != request ||
        !(m->flags & FLAG_REPLY) || m->size > sizeof(*m) - HEADER_BYTES ||
        recv(f->socket, (uint8_t *)m + HEADER_BYTES, m->size, MSG_WAITALL) != (ssize_t)m->size) {
        fail("request %u got no proper answer: was the connection dropped?", request);
    }
    c = CMSG_FIRSTHDR(&msg);
    if (c && c->cmsg_type == SCM_RIGHTS) {
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    }
    return fd;
}

/* Send; wait for the acknowledgement where there is one. */
static void command(struct front *f, struct message *m, uint32_t request, uint32_t size, int fd)
{
    const bool ack = (f->protocol & (UINT64_C(1) << P_REPLY_ACK)) != 0;
    struct message answer;

    m->request = request;
    m->flags = FLAG_VERSION | (ack ? FLAG_NEED_REPLY : 0);
    m->size = size;
    message_send(f, m, fd);
    if (ack) {
        message_receive(f, request, &answer);
        if (answer.u64 != 0) {
            fail("request %u was refused", request);
        }
    }
}

static uint64_t ask_u64(struct front *f, uint32_t request)
{
    struct message m = {.request = request, .flags = FLAG_VERSION};

    message_send(f, &m, -1);
    message_receive(f, request, &m);
    return m.u64;
}

static void command_u64(struct front *f, uint32_t request, uint64_t value, int fd)
{
    struct message m = {.u64 = value};

    command(f, &m, request, sizeof(m.u64), fd);
}

static void command_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
    struct message m = {.state = {index, num}};

    command(f, &m, request, sizeof(m.state), -1);
}

/* --- memory --------------------------------------------------------------------------------- */

static uint64_t guest_of(const struct front *f, const volatile void *p)
{
    return GUEST_BASE + (uint64_t)((const volatile uint8_t *)p - f->memory);
}

static uint32_t round_up(uint32_t v, uint32_t to)
{
    return (v + to - 1) / to * to;
}

/* Bytes before the data: rings of all queues, then header and status of all slots. */
static uint32_t ring_bytes(uint32_t size)
{
    return round_up(16 * size, RING_ALIGN) + round_up(6 + 2 * size, RING_ALIGN) +
           round_up(6 + 8 * size, RING_ALIGN);
}

static uint32_t slots_of(const struct front *f)
{
    return f->options.queues * f->options.depth;
}

static uint8_t *meta_of(struct front *f, uint32_t queue, uint32_t slot)
{
    uint32_t n = queue * f->options.depth + slot;

    return f->memory + f->options.queues * ring_bytes(f->queue[0].size) + n * 3 * META_BYTES;
}

uint8_t *front_data(struct front *f, uint32_t queue, uint32_t slot)
{
    uint32_t n = queue * f->options.depth + slot;

    return f->buffers + (uint64_t)n * round_up(f->options.block_bytes, RING_ALIGN);
}

/* Where the parts of each ring lie, and where a slot's descriptors are: they never change. */
static void rings_lay_out(struct front *f)
{
    uint32_t size = 1;
    uint8_t *at;

    while (size < f->options.depth * FRONT_SLOT_DESCS) {
        size *= 2;
    }
    for (uint32_t q = 0; q < f->options.queues; q++) {
        f->queue[q].size = size;
    }
    f->memory_bytes = f->options.queues * ring_bytes(size) +
                      round_up(slots_of(f) * 3 * META_BYTES, RING_ALIGN) +
                      (uint64_t)slots_of(f) * round_up(f->options.block_bytes, RING_ALIGN);
    f->memory_fd = memfd_create("guest", MFD_CLOEXEC);
    if (f->memory_fd < 0 || ftruncate(f->memory_fd, (off_t)f->memory_bytes) != 0) {
        fail("no memory file: %s", strerror(errno));
    }
    f->memory = mmap(NULL, f->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                     f->memory_fd, 0);
    if (f->memory == MAP_FAILED) {
        fail("no memory: %s", strerror(errno));
    }
    at = f->memory;
    for (uint32_t q = 0; q < f->options.queues; q++) {
        struct front_queue *fq = &f->queue[q];

        fq->desc = (volatile struct front_desc *)(void *)at;
        at += round_up(16 * size, RING_ALIGN);
        fq->avail = (volatile uint16_t *)(void *)at;
        at += round_up(6 + 2 * size, RING_ALIGN);
        fq->used = (volatile uint16_t *)(void *)at;
        at += round_up(6 + 8 * size, RING_ALIGN);
        fq->slot = calloc(f->options.depth, sizeof(*fq->slot));
        fq->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        fq->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (!fq->slot || fq->kick < 0 || fq->call < 0) {
            fail("no memory or descriptors for a queue");
        }
        /* We poll: interrupts are not wanted. With EVENT_IDX an index never reached says so. */
        fq->avail[0] = f->options.event_idx ? 0 : 1;
        fq->avail[2 + size] = 0x8000;
    }
    f->buffers = f->memory + f->memory_bytes -
                 (uint64_t)slots_of(f) * round_up(f->options.block_bytes, RING_ALIGN);
}

/* --- connecting ----------------------------------------------------------------------------- */

static void socket_connect(struct front *f)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    const struct timespec pause = {0, 2000000};

    if (strlen(f->options.socket) >= sizeof(addr.sun_path)) {
        fail("the path of the socket is longer than 107 bytes");
    }
    memcpy(addr.sun_path, f->options.socket, strlen(f->options.socket) + 1);
    f->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int ms = 0; connect(f->socket, (const struct sockaddr *)&addr, sizeof(addr)) != 0;
         ms += 2) {
        if (ms > CONNECT_MS) {
            fail("nobody listens at %s: %s", f->options.socket, strerror(errno));
        }
        nanosleep(&pause, NULL);
    }
}

static void negotiate(struct front *f)
{
    const uint64_t wanted = UINT64_C(1) << F_VERSION_1 | UINT64_C(1) << F_PROTOCOL |
                            (uint64_t)f->options.event_idx << F_EVENT_IDX |
                            (uint64_t)f->options.indirect << F_INDIRECT;
    uint64_t protocol;
    struct message m = {.request = GET_CONFIG, .flags = FLAG_VERSION};

    f->protocol = 0;
    f->features = ask_u64(f, GET_FEATURES);
    if ((f->features & wanted) != wanted) {
        fail("features %#llx were wanted, %#llx are offered", (unsigned long long)wanted,
             (unsigned long long)f->features);
    }
    protocol = ask_u64(f, GET_PROTOCOL_FEATURES);
    protocol &= UINT64_C(1) << P_MQ | UINT64_C(1) << P_REPLY_ACK | UINT64_C(1) << P_CONFIG |
                (uint64_t)f->options.inflight << P_INFLIGHT;
    command_u64(f, SET_PROTOCOL_FEATURES, protocol, -1);
    f->protocol = protocol;
    command(f, &(struct message){.u64 = 0}, SET_OWNER, 0, -1);
    command_u64(f, SET_FEATURES, wanted, -1);
    if (protocol & UINT64_C(1) << P_CONFIG) {
        m.config.bytes = sizeof(m.config.data);
        m.size = sizeof(m.config);
        message_send(f, &m, -1);
        message_receive(f, GET_CONFIG, &m);
        memcpy(&f->sectors, m.config.data, sizeof(f->sectors));
    }
}

static void inflight_set_up(struct front *f)
{
    struct message m = {.request = GET_INFLIGHT_FD, .flags = FLAG_VERSION, .size = INFLIGHT_BYTES};

    if (!(f->protocol & UINT64_C(1) << P_INFLIGHT)) {
        if (f->options.inflight) {
            fail("the back end does not track requests in flight");
        }
        return;
    }
    m.inflight.queues = (uint16_t)f->options.queues;
    m.inflight.queue_size = (uint16_t)f->queue[0].size;
    if (f->inflight_fd < 0) {
        message_send(f, &m, -1);
        f->inflight_fd = message_receive(f, GET_INFLIGHT_FD, &m);
        if (f->inflight_fd < 0) {
            fail("the back end gave no inflight area");
        }
        f->inflight_bytes = m.inflight.bytes;
        f->inflight_offset = m.inflight.offset;
    }
    m = (struct message){.inflight = {f->inflight_bytes, f->inflight_offset,
                                      (uint16_t)f->options.queues, (uint16_t)f->queue[0].size}};
    command(f, &m, SET_INFLIGHT_FD, INFLIGHT_BYTES, f->inflight_fd);
}

static void queue_start(struct front *f, uint32_t q)
{
    struct front_queue *fq = &f->queue[q];
    struct message m = {
        .addr = {.index = q,
                 .desc = (uint64_t)(uintptr_t)fq->desc,
                 .used = (uint64_t)(uintptr_t)fq->used,
                 .avail = (uint64_t)(uintptr_t)fq->avail},
    };

    command_state(f, SET_VRING_NUM, q, fq->size);
    command_state(f, SET_VRING_BASE, q, fq->used[1]);
    command(f, &m, SET_VRING_ADDR, sizeof(m.addr), -1);
    command_u64(f, SET_VRING_CALL, q, fq->call);
    command_u64(f, SET_VRING_KICK, q, fq->kick);
}

static void queues_start(struct front *f)
{
    struct message m = {
        .table = {1, 0, GUEST_BASE, f->memory_bytes, (uint64_t)(uintptr_t)f->memory, 0},
    };
    const uint64_t one = 1;

    command(f, &m, SET_MEM_TABLE, sizeof(m.table), f->memory_fd);
    inflight_set_up(f);
    for (uint32_t q = 0; q < f->options.queues; q++) {
        queue_start(f, q);
    }
    for (uint32_t q = 0; q < f->options.queues; q++) {
        command_state(f, SET_VRING_ENABLE, q, 1);
        /* [VHOST-USER] "Ring states": the first kick starts the ring. */
        if (write(f->queue[q].kick, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
            fail("a queue could not be kicked: %s", strerror(errno));
        }
    }
}

static void handshake(struct front *f)
{
    if (f->socket >= 0) {
        close(f->socket);
    }
    socket_connect(f);
    negotiate(f);
    queues_start(f);
}

void front_open(struct front *f, const struct front_options *options)
{
    memset(f, 0, sizeof(*f));
    f->options = *options;
    f->inflight_fd = -1;
    if (options->queues == 0 || options->queues > FRONT_QUEUES_MAX || options->depth == 0) {
        fail("1 to %d queues and a depth of at least 1 are needed", FRONT_QUEUES_MAX);
    }
    rings_lay_out(f);
    f->socket = -1;
    if (options->inflight) {
        front_reconnect(f);
    } else {
        handshake(f);
    }
}

void front_reconnect(struct front *f)
{
    volatile int attempts = 0;

    retrying = setjmp(retry) == 0 || ++attempts < RECONNECT_MAX;
    handshake(f);
    retrying = false;
}

bool front_hung_up(const struct front *f)
{
    struct pollfd p = {.fd = f->socket, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

void front_close(struct front *f)
{
    close(f->socket);
    for (uint32_t q = 0; q < f->options.queues; q++) {
        close(f->queue[q].kick);
        close(f->queue[q].call);
        free(f->queue[q].slot);
    }
    munmap(f->memory, f->memory_bytes);
    close(f->memory_fd);
    if (f->inflight_fd >= 0) {
        close(f->inflight_fd);
    }
}

/* --- requests ------------------------------------------------------------------------------- */

static void desc_set(volatile struct front_desc *d, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    d->addr = addr;
    d->len = len;
    d->flags = flags;
    d->next = next;
}

void front_submit(struct front *f, uint32_t queue, uint32_t slot, uint32_t type, uint64_t sector,
                  uint32_t bytes)
{
    struct front_queue *fq = &f->queue[queue];
    const uint16_t head = (uint16_t)(slot * FRONT_SLOT_DESCS);
    uint8_t *meta = meta_of(f, queue, slot);
    const uint32_t header[4] = {type, 0, (uint32_t)sector, (uint32_t)(sector >> 32)};
    volatile struct front_desc *d = &fq->desc[head];
    uint16_t first = head;

    if (f->options.indirect) {
        /* The table lies behind the header, on the slot's own lines. */
        d = (volatile struct front_desc *)(void *)(meta + 16);
        first = 0;
        desc_set(&fq->desc[head], guest_of(f, d), FRONT_SLOT_DESCS * 16, DESC_INDIRECT, 0);
    }
    memcpy(meta, header, sizeof(header));
    meta[2 * META_BYTES] = 0xff;
    desc_set(&d[0], guest_of(f, meta), sizeof(header), DESC_NEXT, (uint16_t)(first + 1));
    desc_set(&d[bytes > 0 ? 2 : 1], guest_of(f, meta + 2 * META_BYTES), 1, DESC_WRITE, 0);
    if (bytes > 0) {
        desc_set(&d[1], guest_of(f, front_data(f, queue, slot)), bytes,
                 DESC_NEXT | (type == 0 || type == 8 ? DESC_WRITE : 0), (uint16_t)(first + 2));
    }
    fq->slot[slot].sector = sector;
    fq->slot[slot].busy = true;
    fq->avail[2 + fq->avail_idx % fq->size] = head;
    fq->avail_idx++;
}

void front_flush(struct front *f, uint32_t queue)
{
    struct front_queue *fq = &f->queue[queue];
    const uint16_t from = fq->avail_told;
    const uint64_t one = 1;
    bool kick;

    __atomic_store_n(&fq->avail[1], fq->avail_idx, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (f->options.event_idx) {
        const uint16_t event = fq->used[2 + 4 * fq->size];

        kick = (uint16_t)(fq->avail_idx - event - 1) < (uint16_t)(fq->avail_idx - from);
    } else {
        kick = (fq->used[0] & 1) == 0;
    }
    fq->avail_told = fq->avail_idx;
    if (kick) {
        fq->kicks++;
        if (write(fq->kick, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
            fail("a queue could not be kicked: %s", strerror(errno));
        }
    }
}

int front_take(struct front *f, uint32_t queue, uint8_t *status)
{
    struct front_queue *fq = &f->queue[queue];
    const volatile uint32_t *entry;
    uint32_t head, slot;

    if (__atomic_load_n(&fq->used[1], __ATOMIC_ACQUIRE) == fq->used_idx) {
        return -1;
    }
    entry = (const volatile uint32_t *)(const volatile void *)&fq->used[2];
    head = entry[2 * (fq->used_idx % fq->size)];
    slot = head / FRONT_SLOT_DESCS;
    if (head % FRONT_SLOT_DESCS != 0 || slot >= f->options.depth || !fq->slot[slot].busy) {
        fail("the other side returned head %u, which was not given to it", head);
    }
    fq->used_idx++;
    fq->slot[slot].busy = false;
    *status = *(volatile uint8_t *)(meta_of(f, queue, slot) + 2 * META_BYTES);
    if (f->options.event_idx) {
        fq->avail[2 + fq->size] = (uint16_t)(fq->used_idx + 0x8000); /* never reached */
    }
    return (int)slot;
}
