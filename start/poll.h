/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll.h - the only loop.                                                         plane: data
 *
 * Every source of work is a poller. While any of them does work the loop spins; after spin_ns
 * without work it arms all of them (each then lets its peer kick), looks once more, and sleeps
 * until an interrupt or the next deadline. Arm, then look: the order that loses no kick.
 */
#pragma once

#include "start/base/limits.h"
#include "start/base/types.h"

#define POLLERS_MAX 8 /* kinds of work, not queues: a poller walks its own devices */
#define POLL_SELDOM 8
#define POLL_NEVER  UINT64_MAX

struct poller {
    /** Do at most about budget units of work; returns the units done, 0 when there was nothing. */
    u32 (*poll)(void *ctx, u32 budget);
    /**
     * Ask to be woken for new work, then look (full_barrier() between the two). Returns true when
     * work is there already. NULL: every kind of work raises an interrupt or has a deadline.
     */
    bool (*arm)(void *ctx);
    /** The loop polls again: wake-ups are not needed. NULL when arm is. */
    void (*disarm)(void *ctx);
    /** Absolute time of the next thing to do without being woken, POLL_NEVER if none. NULL: never.
     */
    u64 (*deadline_ns)(void *ctx);
    /** While those before it that are not seldom have work, it has a turn every POLL_SELDOM turns.
     */
    bool seldom;
    void *ctx;
};

struct poll_loop {
    struct poller poller[POLLERS_MAX];
    u32 poller_count;
    u64 spin_ns; /* 0: sleep at once; POLL_NEVER: never sleep */
    u64 turns, busy_turns, sleeps;
    bool is_idle;      /* no work since idle_since_ns */
    u64 idle_since_ns; /* valid while is_idle */
    /** Called after each sleep: acknowledge interrupts, note which event ports are pending. */
    void (*woken)(void *ctx);
    /** Called whenever all pollers are disarmed again, after woken. */
    void (*disarmed)(void *ctx);
    void *woken_ctx; /* of both */
};

void poll_init(struct poll_loop *loop, u64 spin_ns);
/** CHECKs that POLLERS_MAX is not exceeded. */
void poll_add(struct poll_loop *loop, const struct poller *poller);
/** One turn over all pollers; returns the work done. */
u32 poll_once(struct poll_loop *loop);
/** One turn, and what the idle policy says after it: nothing, a pause, or a sleep. */
void poll_step(struct poll_loop *loop);
_Noreturn void poll_forever(struct poll_loop *loop);
