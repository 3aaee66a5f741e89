/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_msg.h - one vhost-user message, to and from bytes.                           plane: control
 *
 * [VHOST-USER] QEMU, docs/interop/vhost-user.rst: "Vhost-user Protocol".
 *
 *   header   request u32, flags u32, size u32          native byte order
 *   payload  size bytes, its form given by the request
 *   fds      up to VU_FDS_MAX, beside the bytes
 *
 * Pure: no system call, no state. What a front end sends is hostile until vu_msg_parse() has said
 * ST_OK; then every length is exact for the request, every count is in bounds, and the number of
 * file descriptors is one that the request may carry. Whether the content makes sense is the
 * session's question. next in the tour: vu_session.h
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define VU_HEADER_BYTES      12
#define VU_FDS_MAX           8   /* descriptors of one message: SET_MEM_TABLE carries the most */
#define VU_TABLE_MAX         8   /* regions of one SET_MEM_TABLE */
#define VU_CONFIG_MAX        256 /* bytes of config space one message may carry */
#define VU_PAYLOAD_MAX       (12 + VU_CONFIG_MAX) /* the longest payload of any request we know */
#define VU_MSG_MAX           (VU_HEADER_BYTES + VU_PAYLOAD_MAX)
#define VU_FLAG_VERSION      1u
#define VU_FLAG_VERSION_MASK 3u
#define VU_FLAG_REPLY        BIT32(2)
#define VU_FLAG_NEED_REPLY   BIT32(3)

/** The feature bit by which a back end says that it speaks protocol features. */
#define VU_F_PROTOCOL_FEATURES 30

/* Protocol features. */
enum {
    VU_P_MQ = 0,
    VU_P_REPLY_ACK = 3,
    VU_P_BACKEND_REQ = 5,
    VU_P_CONFIG = 9,
    VU_P_INFLIGHT_SHMFD = 12,
    VU_P_RESET_DEVICE = 13,
    VU_P_CONFIGURE_MEM_SLOTS = 15,
    VU_P_STATUS = 16,
};

/* Front-end requests that we answer. */
enum vu_request {
    VU_GET_FEATURES = 1,
    VU_SET_FEATURES = 2,
    VU_SET_OWNER = 3,
    VU_RESET_OWNER = 4,
    VU_SET_MEM_TABLE = 5,
    VU_SET_VRING_NUM = 8,
    VU_SET_VRING_ADDR = 9,
    VU_SET_VRING_BASE = 10,
    VU_GET_VRING_BASE = 11,
    VU_SET_VRING_KICK = 12,
    VU_SET_VRING_CALL = 13,
    VU_SET_VRING_ERR = 14,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_SET_PROTOCOL_FEATURES = 16,
    VU_GET_QUEUE_NUM = 17,
    VU_SET_VRING_ENABLE = 18,
    VU_SET_BACKEND_REQ_FD = 21,
    VU_GET_CONFIG = 24,
    VU_SET_CONFIG = 25,
    VU_GET_INFLIGHT_FD = 31,
    VU_SET_INFLIGHT_FD = 32,
    VU_RESET_DEVICE = 34,
    VU_GET_MAX_MEM_SLOTS = 36,
    VU_ADD_MEM_REG = 37,
    VU_REM_MEM_REG = 38,
    VU_SET_STATUS = 39,
    VU_GET_STATUS = 40,
};

/* The one request that we send: "config space has changed, read it again". */
#define VU_BACKEND_CONFIG_CHANGE 2

struct vu_header {
    u32 request;
    u32 flags;
    u32 size; /* bytes of payload */
};

struct vu_vring_state {
    u32 index;
    u32 num;
};

struct vu_vring_addr {
    u32 index;
    u32 flags;
    u64 desc; /* these three are addresses of the front end's own process */
    u64 used;
    u64 avail;
    u64 log;
};

struct vu_region {
    u64 guest; /* first guest address */
    u64 bytes;
    u64 user;   /* the same byte in the front end's process */
    u64 offset; /* and in the file */
};

struct vu_mem_table {
    u32 count; /* at most VU_TABLE_MAX */
    struct vu_region region[VU_TABLE_MAX];
};

struct vu_config {
    u32 offset;
    u32 bytes; /* offset + bytes <= VU_CONFIG_MAX */
    u32 flags;
    u8 data[VU_CONFIG_MAX];
};

struct vu_inflight_desc {
    u64 bytes;
    u64 offset;
    u16 queues;
    u16 queue_size;
};

/** A vring index beside a file descriptor, or the statement that there is none. */
struct vu_vring_fd {
    u8 index;
    bool no_fd;
};

/** A checked message. Which member of the union is valid follows from the request. */
struct vu_msg {
    enum vu_request request;
    bool need_reply;
    union {
        u64 u64;
        struct vu_vring_state state;
        struct vu_vring_addr addr;
        struct vu_mem_table table;
        struct vu_region region;
        struct vu_config config;
        struct vu_inflight_desc inflight;
        struct vu_vring_fd vring_fd;
    };
};

/**
 * vu_header_parse - check the first VU_HEADER_BYTES bytes of a message.
 * Returns ST_OK, or ST_PROTO with *why set to a sentence when the version is not 1, the message is
 * a reply, or the payload is longer than VU_PAYLOAD_MAX.
 */
enum status vu_header_parse(const u8 *bytes, struct vu_header *header, const char **why);

/**
 * vu_msg_parse - check the payload of a message and the number of descriptors that came with it.
 * payload holds header->size bytes. Returns ST_OK; ST_NOSUP when the request is not one we answer;
 * ST_PROTO when length, counts or descriptors do not fit the request. *why is a sentence then.
 */
enum status vu_msg_parse(const struct vu_header *header, const u8 *payload, u32 fd_count,
                         struct vu_msg *msg, const char **why);

/** True when the request has an answer of its own, whether or not need_reply is set. */
bool vu_request_has_reply(enum vu_request request);

/** Bit number of the protocol feature that the request needs, or -1. */
int vu_request_feature(enum vu_request request);

/** The name of a request as the specification spells it, "unknown request" for others. */
const char *vu_request_name(u32 request);

/*
 * Replies: each writes a whole message to out (VU_MSG_MAX bytes) and returns its length in bytes.
 */
u32 vu_reply_u64(u8 *out, u32 request, u64 value);
u32 vu_reply_state(u8 *out, u32 request, const struct vu_vring_state *state);
/** With bytes == 0 in config: the error answer, without payload. */
u32 vu_reply_config(u8 *out, const struct vu_config *config);
u32 vu_reply_inflight(u8 *out, const struct vu_inflight_desc *inflight);
/** The back end's own request VU_BACKEND_CONFIG_CHANGE, which wants no answer. */
u32 vu_notice_config_change(u8 *out);
