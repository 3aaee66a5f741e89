/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_front.h - a small vhost-user front end and virtio-blk driver for measuring and testing.
 *
 * It plays the virtual machine: shares one memfd, makes split rings in it, and polls them. It is
 * written from the specifications and shares no code with the engine, so that a misunderstanding of
 * ours shows. Any failure of the other side is a sentence on stderr and exit code 1: this is a
 * tool.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FRONT_QUEUES_MAX 16
#define FRONT_SLOT_DESCS 3 /* header, data, status */

struct front_options {
    const char *socket;
    uint32_t queues;
    uint32_t depth;       /* requests in flight of each queue */
    uint32_t block_bytes; /* data of each request */
    bool event_idx;
    bool indirect;
    bool inflight; /* ask for an inflight area and hand it over again at reconnection */
};

/* One request in flight: its descriptors and buffers are fixed, its number is the slot. */
struct front_slot {
    uint64_t sector;
    uint64_t started; /* ticks */
    bool busy;
};

struct front_queue {
    uint32_t size; /* descriptors in the ring */
    volatile struct front_desc *desc;
    volatile uint16_t *avail; /* flags, idx, ring[size], used_event */
    volatile uint16_t *used;  /* flags, idx, ring[size] of two words, avail_event */
    uint16_t avail_idx, used_idx;
    uint16_t avail_told; /* avail.idx at the last look whether to kick */
    int kick, call;
    uint64_t kicks;
    struct front_slot *slot;
};

struct front {
    struct front_options options;
    int socket;
    uint64_t features;
    uint64_t protocol;
    uint64_t sectors; /* the disk's size */
    uint8_t *memory;  /* the guest's memory: guest address 0 + GUEST_BASE */
    uint64_t memory_bytes;
    int memory_fd;
    uint8_t *buffers; /* data of queue q, slot s: front_data() */
    struct front_queue queue[FRONT_QUEUES_MAX];
    int inflight_fd; /* -1: none */
    uint64_t inflight_bytes, inflight_offset;
};

/** Connect, negotiate, share memory, start the queues. Waits up to 5 s for the socket to be there.
 */
void front_open(struct front *f, const struct front_options *options);

/**
 * The back end has died and another one listens: connect, hand over memory and inflight area, start
 * the queues where used.idx stands. Requests in flight stay in flight.
 */
void front_reconnect(struct front *f);

void front_close(struct front *f);

/** Data buffer of a slot. */
uint8_t *front_data(struct front *f, uint32_t queue, uint32_t slot);

/**
 * Put a request into the ring; front_flush() shows it. type is VIRTIO_BLK_T_*; bytes of data, at
 * most block_bytes.
 */
void front_submit(struct front *f, uint32_t queue, uint32_t slot, uint32_t type, uint64_t sector,
                  uint32_t bytes);

/** Show what was put into the ring and kick if the other side wants it. */
void front_flush(struct front *f, uint32_t queue);

/**
 * Take one completed request. Returns its slot, or -1 when there is none. *status is its status
 * byte. Exits when the other side returns what was never given.
 */
int front_take(struct front *f, uint32_t queue, uint8_t *status);

/** True when the back end has hung up. */
bool front_hung_up(const struct front *f);
