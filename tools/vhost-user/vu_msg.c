/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/vu_msg.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

/* The forms a payload can have. */
enum form {
    FORM_NONE,
    FORM_U64,
    FORM_STATE,
    FORM_ADDR,
    FORM_TABLE,
    FORM_REGION,
    FORM_CONFIG,
    FORM_INFLIGHT,
    FORM_VRING_FD,
};

/* How many descriptors may come with a request. */
enum fds {
    FDS_NONE,
    FDS_ONE,
    FDS_MAY_ONE, /* allowed and closed unused: a known mistake of front ends */
    FDS_VRING,   /* one, unless the payload says that there is none */
    FDS_TABLE,   /* one for each region */
};

#define NO_FEATURE (-1)

/* One row for each request we answer, in the order of their numbers. */
static const struct rule {
    u8 request;
    u8 form;
    u8 fds;
    bool has_reply;
    s32 feature;
    const char *name;
} rules[] = {
    {VU_GET_FEATURES, FORM_NONE, FDS_NONE, true, NO_FEATURE, "GET_FEATURES"},
    {VU_SET_FEATURES, FORM_U64, FDS_NONE, false, NO_FEATURE, "SET_FEATURES"},
    {VU_SET_OWNER, FORM_NONE, FDS_NONE, false, NO_FEATURE, "SET_OWNER"},
    {VU_RESET_OWNER, FORM_NONE, FDS_NONE, false, NO_FEATURE, "RESET_OWNER"},
    {VU_SET_MEM_TABLE, FORM_TABLE, FDS_TABLE, false, NO_FEATURE, "SET_MEM_TABLE"},
    {VU_SET_VRING_NUM, FORM_STATE, FDS_NONE, false, NO_FEATURE, "SET_VRING_NUM"},
    {VU_SET_VRING_ADDR, FORM_ADDR, FDS_NONE, false, NO_FEATURE, "SET_VRING_ADDR"},
    {VU_SET_VRING_BASE, FORM_STATE, FDS_NONE, false, NO_FEATURE, "SET_VRING_BASE"},
    {VU_GET_VRING_BASE, FORM_STATE, FDS_NONE, true, NO_FEATURE, "GET_VRING_BASE"},
    {VU_SET_VRING_KICK, FORM_VRING_FD, FDS_VRING, false, NO_FEATURE, "SET_VRING_KICK"},
    {VU_SET_VRING_CALL, FORM_VRING_FD, FDS_VRING, false, NO_FEATURE, "SET_VRING_CALL"},
    {VU_SET_VRING_ERR, FORM_VRING_FD, FDS_VRING, false, NO_FEATURE, "SET_VRING_ERR"},
    {VU_GET_PROTOCOL_FEATURES, FORM_NONE, FDS_NONE, true, NO_FEATURE, "GET_PROTOCOL_FEATURES"},
    {VU_SET_PROTOCOL_FEATURES, FORM_U64, FDS_NONE, false, NO_FEATURE, "SET_PROTOCOL_FEATURES"},
    {VU_GET_QUEUE_NUM, FORM_NONE, FDS_NONE, true, VU_P_MQ, "GET_QUEUE_NUM"},
    {VU_SET_VRING_ENABLE, FORM_STATE, FDS_NONE, false, NO_FEATURE, "SET_VRING_ENABLE"},
    {VU_SET_BACKEND_REQ_FD, FORM_NONE, FDS_ONE, false, VU_P_BACKEND_REQ, "SET_BACKEND_REQ_FD"},
    {VU_GET_CONFIG, FORM_CONFIG, FDS_NONE, true, VU_P_CONFIG, "GET_CONFIG"},
    {VU_SET_CONFIG, FORM_CONFIG, FDS_NONE, false, VU_P_CONFIG, "SET_CONFIG"},
    {VU_GET_INFLIGHT_FD, FORM_INFLIGHT, FDS_NONE, true, VU_P_INFLIGHT_SHMFD, "GET_INFLIGHT_FD"},
    {VU_SET_INFLIGHT_FD, FORM_INFLIGHT, FDS_ONE, false, VU_P_INFLIGHT_SHMFD, "SET_INFLIGHT_FD"},
    {VU_RESET_DEVICE, FORM_NONE, FDS_NONE, false, VU_P_RESET_DEVICE, "RESET_DEVICE"},
    {VU_GET_MAX_MEM_SLOTS, FORM_NONE, FDS_NONE, true, VU_P_CONFIGURE_MEM_SLOTS,
     "GET_MAX_MEM_SLOTS"},
    {VU_ADD_MEM_REG, FORM_REGION, FDS_ONE, false, VU_P_CONFIGURE_MEM_SLOTS, "ADD_MEM_REG"},
    {VU_REM_MEM_REG, FORM_REGION, FDS_MAY_ONE, false, VU_P_CONFIGURE_MEM_SLOTS, "REM_MEM_REG"},
    {VU_SET_STATUS, FORM_U64, FDS_NONE, false, VU_P_STATUS, "SET_STATUS"},
    {VU_GET_STATUS, FORM_NONE, FDS_NONE, true, VU_P_STATUS, "GET_STATUS"},
};

/* The payloads as they lie in the message. None has padding inside. */
struct wire_region {
    u64 guest, bytes, user, offset;
};
struct wire_table {
    u32 count, padding;
    struct wire_region region[VU_TABLE_MAX];
};
struct wire_single {
    u64 padding;
    struct wire_region region;
};
struct wire_config {
    u32 offset, bytes, flags;
    u8 data[VU_CONFIG_MAX];
};
struct wire_inflight {
    u64 bytes, offset;
    u16 queues, queue_size;
};
/* The members sum to 20 bytes; the front ends in use count, and want, the padded struct. */
#define WIRE_INFLIGHT_MEMBERS 20

STATIC_CHECK(sizeof(struct wire_table) == 264, "[VHOST-USER] memory regions description");
STATIC_CHECK(sizeof(struct wire_inflight) == 24, "[VHOST-USER] inflight description, padded");
STATIC_CHECK(sizeof(struct wire_single) == 40, "[VHOST-USER] single memory region description");
STATIC_CHECK(sizeof(struct wire_config) == VU_PAYLOAD_MAX, "the config message is the longest");
STATIC_CHECK(sizeof(struct wire_table) <= VU_PAYLOAD_MAX, "the config message is the longest");
STATIC_CHECK(sizeof(struct vu_vring_addr) == 40, "[VHOST-USER] vring address description");
STATIC_CHECK(VU_TABLE_MAX <= VU_FDS_MAX, "each region of a table has its descriptor");

#define VRING_FD_INDEX 0xffu
#define VRING_FD_NONE  BIT64(8)

static const struct rule *rule_find(u32 request)
{
    for (u32 i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].request == request) {
            return &rules[i];
        }
    }
    return NULL;
}

static enum status refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return ST_PROTO;
}

enum status vu_header_parse(const u8 *bytes, struct vu_header *header, const char **why)
{
    memcpy(header, bytes, sizeof(*header));
    if ((header->flags & VU_FLAG_VERSION_MASK) != VU_FLAG_VERSION) {
        return refuse(why, "the message is not of protocol version 1");
    }
    if (header->flags & VU_FLAG_REPLY) {
        return refuse(why, "the message is a reply, and we asked nothing");
    }
    if (header->size > VU_PAYLOAD_MAX) {
        return refuse(why, "the payload is longer than that of any request");
    }
    return ST_OK;
}

static enum status table_parse(const u8 *payload, u32 bytes, struct vu_mem_table *table,
                               const char **why)
{
    struct wire_table wire;

    if (bytes < offsetof(struct wire_table, region)) {
        return refuse(why, "the memory table ends before its first region");
    }
    memcpy(&wire, payload, min_u32(bytes, sizeof(wire)));
    if (wire.count > VU_TABLE_MAX) {
        return refuse(why, "the memory table claims more than 8 regions");
    }
    /* Some front ends send the whole array whatever the count is; never less than the count. */
    if (bytes < offsetof(struct wire_table, region) + wire.count * sizeof(wire.region[0])) {
        return refuse(why, "the memory table is shorter than its count of regions");
    }
    table->count = wire.count;
    for (u32 i = 0; i < wire.count; i++) {
        const struct wire_region *r = &wire.region[i];

        table->region[i] = (struct vu_region){r->guest, r->bytes, r->user, r->offset};
    }
    return ST_OK;
}

static enum status config_parse(const u8 *payload, u32 bytes, struct vu_config *config,
                                const char **why)
{
    struct wire_config wire = {0};
    const u32 head = offsetof(struct wire_config, data);

    if (bytes < head) {
        return refuse(why, "the config message ends before its data");
    }
    memcpy(&wire, payload, min_u32(bytes, sizeof(wire)));
    if (!range_ok(wire.offset, wire.bytes, VU_CONFIG_MAX)) {
        return refuse(why, "the config message reaches beyond 256 bytes of config space");
    }
    if (wire.bytes != bytes - head) {
        return refuse(why, "the config message's length disagrees with its size field");
    }
    config->offset = wire.offset;
    config->bytes = wire.bytes;
    config->flags = wire.flags;
    memcpy(config->data, wire.data, sizeof(config->data));
    return ST_OK;
}

static enum status inflight_parse(const u8 *payload, u32 bytes, struct vu_inflight_desc *inflight,
                                  const char **why)
{
    struct wire_inflight wire;

    if (bytes != WIRE_INFLIGHT_MEMBERS && bytes != sizeof(wire)) {
        return refuse(why, "an inflight description has 20 bytes, or 24 with its padding");
    }
    memcpy(&wire, payload, WIRE_INFLIGHT_MEMBERS);
    *inflight = (struct vu_inflight_desc){wire.bytes, wire.offset, wire.queues, wire.queue_size};
    return ST_OK;
}

static enum status exact(u32 bytes, u32 want, const char **why)
{
    return bytes == want ? ST_OK : refuse(why, "the payload has the wrong length for its request");
}

static enum status payload_parse(enum form form, const u8 *payload, u32 bytes, struct vu_msg *msg,
                                 const char **why)
{
    enum status st = ST_OK;
    struct wire_single single;
    u64 word;

    switch (form) {
    case FORM_NONE:
        /* "N/A" in the specification: known front ends send a payload here or none. */
        break;
    case FORM_U64:
        st = exact(bytes, sizeof(msg->u64), why);
        if (st == ST_OK) {
            memcpy(&msg->u64, payload, sizeof(msg->u64));
        }
        break;
    case FORM_STATE:
        st = exact(bytes, sizeof(msg->state), why);
        if (st == ST_OK) {
            memcpy(&msg->state, payload, sizeof(msg->state));
        }
        break;
    case FORM_ADDR:
        st = exact(bytes, sizeof(msg->addr), why);
        if (st == ST_OK) {
            memcpy(&msg->addr, payload, sizeof(msg->addr));
        }
        break;
    case FORM_TABLE:
        st = table_parse(payload, bytes, &msg->table, why);
        break;
    case FORM_REGION:
        st = exact(bytes, sizeof(single), why);
        if (st == ST_OK) {
            memcpy(&single, payload, sizeof(single));
            msg->region = (struct vu_region){single.region.guest, single.region.bytes,
                                             single.region.user, single.region.offset};
        }
        break;
    case FORM_CONFIG:
        st = config_parse(payload, bytes, &msg->config, why);
        break;
    case FORM_INFLIGHT:
        st = inflight_parse(payload, bytes, &msg->inflight, why);
        break;
    case FORM_VRING_FD:
        st = exact(bytes, sizeof(word), why);
        if (st == ST_OK) {
            memcpy(&word, payload, sizeof(word));
            msg->vring_fd.index = (u8)(word & VRING_FD_INDEX);
            msg->vring_fd.no_fd = (word & VRING_FD_NONE) != 0;
        }
        break;
    }
    return st;
}

/* The number of descriptors that the message must have, or a range for FDS_MAY_ONE. */
static bool fds_ok(enum fds rule, const struct vu_msg *msg, u32 fd_count)
{
    switch (rule) {
    case FDS_NONE:
        return fd_count == 0;
    case FDS_ONE:
        return fd_count == 1;
    case FDS_MAY_ONE:
        return fd_count <= 1;
    case FDS_VRING:
        return fd_count == (msg->vring_fd.no_fd ? 0u : 1u);
    case FDS_TABLE:
        return fd_count == msg->table.count;
    }
    return false;
}

enum status vu_msg_parse(const struct vu_header *header, const u8 *payload, u32 fd_count,
                         struct vu_msg *msg, const char **why)
{
    const struct rule *rule = rule_find(header->request);
    enum status st;

    if (!rule) {
        *why = "the request is not one of those we offered";
        return ST_NOSUP;
    }
    memset(msg, 0, sizeof(*msg));
    msg->request = (enum vu_request)rule->request;
    msg->need_reply = (header->flags & VU_FLAG_NEED_REPLY) != 0;
    st = payload_parse((enum form)rule->form, payload, header->size, msg, why);
    if (st != ST_OK) {
        return st;
    }
    if (!fds_ok((enum fds)rule->fds, msg, fd_count)) {
        return refuse(why, "the number of file descriptors is wrong for the request");
    }
    return ST_OK;
}

bool vu_request_has_reply(enum vu_request request)
{
    const struct rule *rule = rule_find(request);

    return rule && rule->has_reply;
}

int vu_request_feature(enum vu_request request)
{
    const struct rule *rule = rule_find(request);

    return rule ? rule->feature : NO_FEATURE;
}

const char *vu_request_name(u32 request)
{
    const struct rule *rule = rule_find(request);

    return rule ? rule->name : "unknown request";
}

static u32 message(u8 *out, u32 request, u32 flags, const void *payload, u32 bytes)
{
    const struct vu_header header = {request, VU_FLAG_VERSION | flags, bytes};

    CHECK(bytes <= VU_PAYLOAD_MAX);
    memcpy(out, &header, sizeof(header));
    if (bytes > 0) {
        memcpy(out + sizeof(header), payload, bytes);
    }
    return (u32)sizeof(header) + bytes;
}

u32 vu_reply_u64(u8 *out, u32 request, u64 value)
{
    return message(out, request, VU_FLAG_REPLY, &value, sizeof(value));
}

u32 vu_reply_state(u8 *out, u32 request, const struct vu_vring_state *state)
{
    return message(out, request, VU_FLAG_REPLY, state, sizeof(*state));
}

u32 vu_reply_config(u8 *out, const struct vu_config *config)
{
    struct wire_config wire = {config->offset, config->bytes, config->flags, {0}};
    const u32 head = offsetof(struct wire_config, data);

    CHECK(config->bytes <= VU_CONFIG_MAX);
    memcpy(wire.data, config->data, config->bytes);
    return message(out, VU_GET_CONFIG, VU_FLAG_REPLY, &wire,
                   config->bytes > 0 ? head + config->bytes : 0);
}

u32 vu_reply_inflight(u8 *out, const struct vu_inflight_desc *inflight)
{
    struct wire_inflight wire;

    memset(&wire, 0, sizeof(wire));
    wire.bytes = inflight->bytes;
    wire.offset = inflight->offset;
    wire.queues = inflight->queues;
    wire.queue_size = inflight->queue_size;
    return message(out, VU_GET_INFLIGHT_FD, VU_FLAG_REPLY, &wire, sizeof(wire));
}

u32 vu_notice_config_change(u8 *out)
{
    return message(out, VU_BACKEND_CONFIG_CHANGE, 0, NULL, 0);
}
