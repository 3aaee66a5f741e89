/* SPDX-License-Identifier: BSD-2-Clause */
/* test_vhost_user_msg.c - vhost-user messages: what is taken, what is refused. */
#include "tools/vhost-user/vu_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct vu_msg msg;
static const char *why;

static enum status parse(u32 request, const void *payload, u32 bytes, u32 fds)
{
    const struct vu_header header = {request, VU_FLAG_VERSION, bytes};
    u8 buffer[VU_PAYLOAD_MAX] = {0};

    if (bytes > 0) {
        memcpy(buffer, payload, bytes);
    }
    why = NULL;
    return vu_msg_parse(&header, buffer, fds, &msg, &why);
}

/* A payload of zeroes. */
static enum status parse_zeroes(u32 request, u32 bytes, u32 fds)
{
    static const u8 zeroes[VU_PAYLOAD_MAX];

    return parse(request, zeroes, bytes, fds);
}

static enum status header(u32 request, u32 flags, u32 size)
{
    const u32 words[3] = {request, flags, size};
    struct vu_header parsed;

    why = NULL;
    return vu_header_parse((const u8 *)words, &parsed, &why);
}

static void a_header_of_another_version_is_refused(void **state)
{
    (void)state;
    for (u32 version = 0; version < 4; version++) {
        assert_int_equal(header(1, version, 0), version == 1 ? ST_OK : ST_PROTO);
    }
}

static void a_reply_is_refused(void **state)
{
    (void)state;
    assert_int_equal(header(1, VU_FLAG_VERSION | VU_FLAG_REPLY, 0), ST_PROTO);
    assert_non_null(why);
}

static void the_longest_payload_is_taken_and_one_more_byte_is_not(void **state)
{
    (void)state;
    assert_int_equal(header(1, VU_FLAG_VERSION, VU_PAYLOAD_MAX), ST_OK);
    assert_int_equal(header(1, VU_FLAG_VERSION, VU_PAYLOAD_MAX + 1), ST_PROTO);
    assert_int_equal(header(1, VU_FLAG_VERSION, UINT32_MAX), ST_PROTO);
}

static void need_reply_is_told(void **state)
{
    const struct vu_header asks = {VU_SET_OWNER, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY, 0};

    (void)state;
    assert_int_equal(vu_msg_parse(&asks, NULL, 0, &msg, &why), ST_OK);
    assert_true(msg.need_reply);
    assert_int_equal(parse_zeroes(VU_SET_OWNER, 0, 0), ST_OK);
    assert_false(msg.need_reply);
}

static void requests_that_were_not_offered_are_told_apart(void **state)
{
    static const u32 unknown[] = {0, 6, 7, 19, 20, 22, 23, 26, 27, 28, 29, 30, 33, 35, 41, 1000};

    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(unknown); i++) {
        assert_int_equal(parse_zeroes(unknown[i], 8, 0), ST_NOSUP);
        assert_string_equal(vu_request_name(unknown[i]), "unknown request");
    }
    /* 257 & 255 == GET_FEATURES: numbers are compared whole. */
    assert_int_equal(parse_zeroes(256 + VU_GET_FEATURES, 0, 0), ST_NOSUP);
}

/* Requests with a payload of one length only, and the descriptors they need. */
static const struct {
    u32 request, bytes, fds;
} exact[] = {
    {VU_SET_FEATURES, 8, 0},     {VU_SET_PROTOCOL_FEATURES, 8, 0}, {VU_SET_STATUS, 8, 0},
    {VU_SET_VRING_NUM, 8, 0},    {VU_SET_VRING_BASE, 8, 0},        {VU_GET_VRING_BASE, 8, 0},
    {VU_SET_VRING_ENABLE, 8, 0}, {VU_SET_VRING_ADDR, 40, 0},       {VU_SET_VRING_KICK, 8, 1},
    {VU_SET_VRING_CALL, 8, 1},   {VU_SET_VRING_ERR, 8, 1},         {VU_ADD_MEM_REG, 40, 1},
    {VU_REM_MEM_REG, 40, 0},
};

static void a_payload_of_any_other_length_is_refused(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(exact); i++) {
        for (u32 bytes = 0; bytes <= VU_PAYLOAD_MAX; bytes++) {
            assert_int_equal(parse_zeroes(exact[i].request, bytes, exact[i].fds),
                             bytes == exact[i].bytes ? ST_OK : ST_PROTO);
        }
    }
}

static void descriptors_in_any_other_number_are_refused(void **state)
{
    (void)state;
    for (u32 i = 0; i < ARRAY_LEN(exact); i++) {
        for (u32 fds = 0; fds <= VU_FDS_MAX; fds++) {
            const bool removes = exact[i].request == VU_REM_MEM_REG && fds == 1;

            assert_int_equal(parse_zeroes(exact[i].request, exact[i].bytes, fds),
                             fds == exact[i].fds || removes ? ST_OK : ST_PROTO);
        }
    }
    assert_int_equal(parse_zeroes(VU_GET_FEATURES, 0, 1), ST_PROTO);
    assert_int_equal(parse_zeroes(VU_SET_BACKEND_REQ_FD, 0, 0), ST_PROTO);
    assert_int_equal(parse_zeroes(VU_SET_BACKEND_REQ_FD, 0, 1), ST_OK);
}

static void a_vring_without_descriptor_says_so(void **state)
{
    const u64 none = 3 | BIT64(8);
    const u64 index_beyond_a_byte = 0xffff0003;

    (void)state;
    assert_int_equal(parse(VU_SET_VRING_KICK, &none, 8, 0), ST_OK);
    assert_true(msg.vring_fd.no_fd);
    assert_int_equal(msg.vring_fd.index, 3);
    assert_int_equal(parse(VU_SET_VRING_KICK, &none, 8, 1), ST_PROTO);
    assert_int_equal(parse(VU_SET_VRING_KICK, &index_beyond_a_byte, 8, 1), ST_OK);
    assert_int_equal(msg.vring_fd.index, 3);
}

struct table {
    u32 count, padding;
    struct vu_region region[VU_TABLE_MAX];
};

static void a_memory_table_has_as_many_regions_and_descriptors_as_it_says(void **state)
{
    struct table table = {.count = 2, .region = {{1, 2, 3, 4}, {5, 6, 7, 8}}};

    (void)state;
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, 8 + 2 * 32, 2), ST_OK);
    assert_int_equal(msg.table.count, 2);
    assert_int_equal(msg.table.region[1].guest, 5);
    assert_int_equal(msg.table.region[1].bytes, 6);
    assert_int_equal(msg.table.region[1].user, 7);
    assert_int_equal(msg.table.region[1].offset, 8);
    /* Longer than the count is what some front ends send; shorter is not there. */
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, sizeof(table), 2), ST_OK);
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, 8 + 2 * 32 - 1, 2), ST_PROTO);
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, 7, 0), ST_PROTO);
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, 8 + 2 * 32, 1), ST_PROTO);
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, 8 + 2 * 32, 3), ST_PROTO);
}

static void a_memory_table_of_more_than_eight_regions_is_refused(void **state)
{
    struct table table = {.count = VU_TABLE_MAX};

    (void)state;
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, sizeof(table), VU_TABLE_MAX), ST_OK);
    table.count = VU_TABLE_MAX + 1;
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, sizeof(table), VU_FDS_MAX), ST_PROTO);
    table.count = UINT32_MAX;
    assert_int_equal(parse(VU_SET_MEM_TABLE, &table, sizeof(table), VU_FDS_MAX), ST_PROTO);
}

static void config_stays_inside_the_config_space(void **state)
{
    struct {
        u32 offset, bytes, flags;
        u8 data[VU_CONFIG_MAX];
    } config = {.offset = 0, .bytes = VU_CONFIG_MAX, .flags = 7, .data = {1, 2}};

    (void)state;
    assert_int_equal(parse(VU_GET_CONFIG, &config, sizeof(config), 0), ST_OK);
    assert_int_equal(msg.config.flags, 7);
    assert_int_equal(msg.config.data[1], 2);
    config.offset = 1;
    assert_int_equal(parse(VU_GET_CONFIG, &config, sizeof(config), 0), ST_PROTO);
    config.offset = UINT32_MAX;
    config.bytes = 2;
    assert_int_equal(parse(VU_SET_CONFIG, &config, 14, 0), ST_PROTO);
    config.offset = VU_CONFIG_MAX - 2;
    assert_int_equal(parse(VU_SET_CONFIG, &config, 14, 0), ST_OK);
    assert_int_equal(parse(VU_SET_CONFIG, &config, 13, 0), ST_PROTO);
    assert_int_equal(parse(VU_SET_CONFIG, &config, 15, 0), ST_PROTO);
    assert_int_equal(parse(VU_SET_CONFIG, &config, 11, 0), ST_PROTO);
}

static void an_inflight_description_comes_with_or_without_its_padding(void **state)
{
    const struct {
        u64 bytes, offset;
        u16 queues, queue_size;
    } wire = {4096, 64, 2, 128};

    (void)state;
    for (u32 bytes = 0; bytes <= 32; bytes++) {
        const bool fits = bytes == 20 || bytes == 24;

        assert_int_equal(parse_zeroes(VU_GET_INFLIGHT_FD, bytes, 0), fits ? ST_OK : ST_PROTO);
    }
    assert_int_equal(parse(VU_SET_INFLIGHT_FD, &wire, 20, 1), ST_OK);
    assert_int_equal(msg.inflight.bytes, 4096);
    assert_int_equal(msg.inflight.offset, 64);
    assert_int_equal(msg.inflight.queues, 2);
    assert_int_equal(msg.inflight.queue_size, 128);
    assert_int_equal(parse(VU_SET_INFLIGHT_FD, &wire, 20, 0), ST_PROTO);
}

static u32 word(const u8 *bytes, u32 index)
{
    u32 v;

    memcpy(&v, bytes + 4 * index, sizeof(v));
    return v;
}

static void replies_carry_the_reply_flag_and_their_length(void **state)
{
    const struct vu_vring_state ring = {1, 77};
    const struct vu_inflight_desc inflight = {8192, 0, 1, 256};
    struct vu_config config = {.offset = 8, .bytes = 4, .data = {9, 8, 7, 6}};
    u8 out[VU_MSG_MAX];

    (void)state;
    assert_int_equal(vu_reply_u64(out, VU_GET_FEATURES, 0x123456789), 20);
    assert_int_equal(word(out, 0), VU_GET_FEATURES);
    assert_int_equal(word(out, 1), VU_FLAG_VERSION | VU_FLAG_REPLY);
    assert_int_equal(word(out, 2), 8);
    assert_int_equal(word(out, 3), 0x23456789);
    assert_int_equal(word(out, 4), 1);
    assert_int_equal(vu_reply_state(out, VU_GET_VRING_BASE, &ring), 20);
    assert_int_equal(word(out, 4), 77);
    assert_int_equal(vu_reply_config(out, &config), 12 + 12 + 4);
    assert_int_equal(word(out, 2), 16);
    assert_int_equal(word(out, 3), 8);
    assert_int_equal(word(out, 4), 4);
    assert_int_equal(word(out, 6), 0x06070809);
    config.bytes = 0;
    assert_int_equal(vu_reply_config(out, &config), 12);
    assert_int_equal(vu_reply_inflight(out, &inflight), 12 + 24);
    assert_int_equal(word(out, 3), 8192);
    assert_int_equal(word(out, 7), 256 << 16 | 1);
    assert_int_equal(word(out, 8), 0); /* padding is not our stack */
    assert_int_equal(vu_notice_config_change(out), 12);
    assert_int_equal(word(out, 1), VU_FLAG_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_of_another_version_is_refused),
        cmocka_unit_test(a_reply_is_refused),
        cmocka_unit_test(the_longest_payload_is_taken_and_one_more_byte_is_not),
        cmocka_unit_test(need_reply_is_told),
        cmocka_unit_test(requests_that_were_not_offered_are_told_apart),
        cmocka_unit_test(a_payload_of_any_other_length_is_refused),
        cmocka_unit_test(descriptors_in_any_other_number_are_refused),
        cmocka_unit_test(a_vring_without_descriptor_says_so),
        cmocka_unit_test(a_memory_table_has_as_many_regions_and_descriptors_as_it_says),
        cmocka_unit_test(a_memory_table_of_more_than_eight_regions_is_refused),
        cmocka_unit_test(config_stays_inside_the_config_space),
        cmocka_unit_test(an_inflight_description_comes_with_or_without_its_padding),
        cmocka_unit_test(replies_carry_the_reply_flag_and_their_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
