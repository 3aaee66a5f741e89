/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_vhost_user.c - a front end and its guest that do whatever they like.
 *
 * The input is a list of actions: messages with well or badly chosen numbers and descriptors, raw
 * bytes as a message, writes to the guest's memory, turns of the data plane, hanging up. A choice
 * byte below the number of interesting values takes one of them, so that short inputs reach deep;
 * above it raw bytes follow. After each input: no descriptor is left open, nothing is pinned,
 * nothing is mapped.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk/ramdisk.h"
#include "start/base/check.h"
#include "tools/vhost-user/vu_session.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes);

#define GUEST       UINT64_C(0x40000000)
#define USER        UINT64_C(0x7f0000000000)
#define MEM_BYTES   KIB(64)
#define DISK_BYTES  KIB(64)
#define ACTIONS_MAX 256
#define TURNS_MAX   64

enum { FD_GUEST, FD_SMALL, FD_EVENT, FD_PIPE, FD_NULL, FD_KINDS };

static struct vu_session session;
static struct vblk_pool pool;
static struct ramdisk disk;
static u8 disk_memory[DISK_BYTES];
static u8 *guest;
static int source[FD_KINDS];

struct input {
    const u8 *at;
    size_t left;
};

static u8 next_u8(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->at++;
}

static u64 next_raw(struct input *in, u32 bytes)
{
    u64 value = 0;

    for (u32 i = 0; i < bytes; i++) {
        value |= (u64)next_u8(in) << (8 * i);
    }
    return value;
}

static u64 next_number(struct input *in)
{
    static const u64 interesting[] = {
        0,
        1,
        2,
        3,
        4,
        8,
        16,
        128,
        1024,
        1025,
        0x8000,
        0xffff,
        0x10000,
        0x100,
        0x101,
        USER,
        USER + 0x1000,
        USER + 0x2000,
        USER + 0x3000,
        USER + MEM_BYTES,
        USER + MEM_BYTES - 1,
        GUEST,
        GUEST + 0x1000,
        GUEST + 0x8000,
        GUEST + MEM_BYTES,
        MEM_BYTES,
        MEM_BYTES / 2,
        0x1000,
        BIT64(30),
        BIT64(32),
        BIT64(32) | BIT64(30),
        BIT64(32) | BIT64(29) | BIT64(28),
        BIT64(32) | BIT64(30) | BIT64(28),
        BIT64(34) | BIT64(32) | BIT64(30),
        BIT64(34) | BIT64(32) | BIT64(29) | BIT64(28),
        0x80008000,
        UINT64_MAX,
        UINT64_MAX - 0xfff,
        INT64_MAX,
        UINT32_MAX,
        0xf,
        0xb,
        0xd208,
        0xf209,
        0x1f209,
    };
    const u8 choice = next_u8(in);

    return choice < ARRAY_LEN(interesting) ? interesting[choice] : next_raw(in, 8);
}

static void next_fds(struct input *in, struct vu_fds *fds)
{
    fds->count = next_u8(in) % (VU_FDS_MAX + 1);
    for (u32 i = 0; i < fds->count; i++) {
        fds->fd[i] = fcntl(source[next_u8(in) % FD_KINDS], F_DUPFD_CLOEXEC, 0);
        CHECK(fds->fd[i] >= 0);
    }
}

/* A payload of up to six numbers of 4 or 8 bytes, or raw bytes. */
static u32 next_payload(struct input *in, u8 *payload)
{
    const u8 shape = next_u8(in);
    const u32 count = shape % 40;
    u32 bytes = 0;

    if (shape >= 200) {
        for (; bytes < shape - 180u; bytes++) {
            payload[bytes] = next_u8(in);
        }
        return bytes;
    }
    for (u32 i = 0; i < count && i < 33; i++) {
        const u32 width = shape >= 120 || i < shape / 40 * 2u ? 4 : 8;
        const u64 value = next_number(in);

        memcpy(payload + bytes, &value, width);
        bytes += width;
    }
    return bytes;
}

static void message(struct input *in, bool *alive)
{
    u8 wire[VU_MSG_MAX] = {0};
    const u32 words[3] = {next_u8(in), next_u8(in) & 8 ? 9 : 1, 0};
    struct vu_header header;
    struct vu_answer answer;
    struct vu_fds fds;
    const char *why = NULL;
    u32 bytes;

    next_fds(in, &fds);
    bytes = next_payload(in, wire + VU_HEADER_BYTES);
    memcpy(wire, words, sizeof(words));
    memcpy(wire + 8, &bytes, sizeof(bytes));
    if (vu_header_parse(wire, &header, &why) != ST_OK) {
        vu_fds_close(&fds);
        return;
    }
    *alive =
        vu_session_handle(&session, &header, wire + VU_HEADER_BYTES, &fds, &answer, &why) == ST_OK;
    CHECK(fds.count == 0 && answer.bytes <= VU_MSG_MAX && (*alive || why));
    if (answer.fd != VU_NO_FD) {
        close(answer.fd);
    }
}

static void poke(struct input *in)
{
    const u64 at = next_raw(in, 2) % MEM_BYTES;
    const u64 value = next_number(in);

    memcpy(guest + at, &value, at + 8 <= MEM_BYTES ? 8 : MEM_BYTES - at);
}

static u32 open_fds(void)
{
    u32 count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void set_up(void)
{
    const struct vu_session_init init = {
        .name = "disk0",
        .bdev = &disk.bdev,
        .pool = &pool,
        .serial = "fuzz",
        .queues = 3,
    };
    int pipes[2];

    ramdisk_init(&disk, "ram", disk_memory, sizeof(disk_memory), false);
    vblk_pool_init(&pool);
    vu_session_init(&session, &init);
    source[FD_GUEST] = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    source[FD_SMALL] = memfd_create("small", MFD_CLOEXEC);
    source[FD_EVENT] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    source[FD_NULL] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(pipe(pipes) == 0 && ftruncate(source[FD_GUEST], MEM_BYTES) == 0);
    source[FD_PIPE] = pipes[0];
    guest = mmap(NULL, MEM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, source[FD_GUEST], 0);
    CHECK(guest != MAP_FAILED);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t bytes)
{
    struct input in = {data, bytes};
    bool alive = true;
    u32 fds;

    if (!guest) {
        set_up();
    }
    memset(guest, 0, MEM_BYTES);
    fds = open_fds();
    vu_session_open(&session);
    for (u32 i = 0; i < ACTIONS_MAX && in.left > 0; i++) {
        const u8 action = next_u8(&in);

        if (action < 160) {
            message(&in, &alive);
        } else if (action < 220) {
            poke(&in);
        } else if (action < 250) {
            (void)vu_session_poll(&session, 1 + action % 8u);
        } else if (action == 250) {
            vu_session_resized(&session);
        } else {
            (void)vu_session_arm(&session);
            vu_session_disarm(&session);
        }
        if (!alive) {
            vu_session_close(&session);
            vu_session_open(&session);
            alive = true;
        }
    }
    for (u32 i = 0; i < TURNS_MAX && vu_session_poll(&session, 8) > 0; i++) {
    }
    vu_session_close(&session);
    CHECK(open_fds() == fds);
    CHECK(vu_mem_pinned(&session.mem) == 0 && session.mem.count == 0);
    CHECK(pool.in_flight == 0);
    return 0;
}
