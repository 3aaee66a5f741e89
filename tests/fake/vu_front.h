/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vu_front.h - a vhost-user front end and its driver for unit tests of the server's session.
 *
 * No socket: messages go to vu_session_handle(). One memory region holds everything; each queue has
 * STRIDE bytes of it with one request that is used again and again. There is one session for the
 * whole program, as in the server.
 */
#pragma once

#include "tools/vhost-user/vu_session.h"

#define RING_SIZE        8
#define MEM_BYTES        KIB(64)
#define GUEST            UINT64_C(0x40000000)
#define USER             UINT64_C(0x7f0000000000)
#define DESC             0x0000 /* offsets in the guest's memory */
#define AVAIL            0x1000
#define USED             0x2000
#define HEADER           0x3000
#define STATUS           0x3800
#define DATA             0x4000
#define STRIDE           0x5000 /* from what is of one queue to what is of the next */
#define QUEUES           3u
#define FRONT_DISK_BYTES KIB(64)
#define ALL              UINT64_C(0) /* no feature beyond the two that every front end takes */

struct vu_front {
    struct vu_session session;
    struct vu_answer answer;
    const char *why;
    int memory_fd;
    u8 *memory;
    int kick_fd, call_fd;
    u16 avail_idx[QUEUES];
    u32 fds_before;
};

extern struct vu_front front;

/** A front end has connected to a disk whose sector n is filled with n + 1. For cmocka. */
int front_connected(void **state);
/** Whatever a test did: the session closes, no descriptor is left open or closed twice, nothing
 * is pinned. For cmocka. */
int front_hung_up(void **state);
/** Send a message with copies of descriptors; front.answer and front.why are what came of it. */
enum status front_send(u32 request, u32 flags, const void *payload, u32 bytes, const int *fds,
                       u32 count);
enum status front_send_u64(u32 request, u64 value);
enum status front_send_state(u32 request, u32 index, u32 num);
/** fd < 0: none. */
enum status front_send_fd(u32 request, u64 value, int fd);
/** The answer, which must be a number. */
u64 front_answered_u64(void);
/** Send a request without payload that is answered by a number. */
u64 front_ask(u32 request);
/** features beyond the two that every front end here takes. */
void front_negotiate(u64 features, u64 protocol);
enum status front_share_memory(void);
enum status front_ring_addr_of(u32 queue, u64 desc, u64 avail, u64 used);
enum status front_ring_addr(u64 desc, u64 avail, u64 used);
/** How often we were called since the last look. */
u64 front_called(void);
/** Everything that starts a queue whose part of memory begins at queue * STRIDE. */
void front_queue_start(u32 queue, u16 base);
void front_ring_start(u16 base);
/** All protocol features that are offered. */
u64 front_protocol(void);
/** Negotiate, share the memory, start queue 0. */
void front_started(void);
u16 front_used_idx_of(u32 queue);
u16 front_used_idx(void);
/** Put one read of a sector into the ring of a queue. */
void front_read_offer_on(u32 queue, u64 sector);
void front_read_offer(u64 sector);
/** It was served, with the right data. */
void front_read_arrived(u32 queue, u64 sector);
/** Offer one, let it be served, and look. */
void front_read_works_on(u32 queue, u64 sector);
void front_read_works(u64 sector);
