/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poll.c - spin, arm, look, sleep.
 *
 * The race with a peer that kicks just when we stop looking is closed by the order in loop_sleep():
 *   1  arm a poller: from here on its peer's new work also raises an interrupt
 *   2  look once more, part of arm(): work that came before 1 took effect is found here
 *   3  sleep: an interrupt that came since 1 is pending and ends the sleep at once
 */
#include "start/poll.h"

#include "start/base/arith.h"
#include "start/base/parts.h"
#include "start/port.h"

#define POLL_BUDGET 64 /* units of work a poller may do before the next one has its turn */

void poll_init(struct poll_loop *loop, u64 spin_ns)
{
    *loop = (struct poll_loop){.spin_ns = spin_ns};
}

void poll_add(struct poll_loop *loop, const struct poller *poller)
{
    CHECK(loop->poller_count < POLLERS_MAX);
    CHECK(poller->poll);
    CHECK(!poller->arm == !poller->disarm);
    loop->poller[loop->poller_count++] = *poller;
}

u32 poll_once(struct poll_loop *loop)
{
    u32 done = 0, data = 0;

    for (u32 i = 0; i < loop->poller_count; i++) {
        const struct poller *poller = &loop->poller[i];

        if (PART_LIMITS && poller->seldom && data > 0 && loop->turns % POLL_SELDOM != 0) {
            continue;
        }
        done += poller->poll(poller->ctx, POLL_BUDGET);
        data = poller->seldom ? data : done;
    }
    loop->turns++;
    loop->busy_turns += done != 0;
    return done;
}

/** Steps 1 and 2. Returns true when a poller has work already; all of them are armed all the same.
 */
static bool loop_arm(struct poll_loop *loop)
{
    bool work = false;

    for (u32 i = 0; i < loop->poller_count; i++) {
        const struct poller *poller = &loop->poller[i];

        if (poller->arm && poller->arm(poller->ctx)) {
            work = true;
        }
    }
    return work;
}

static void loop_disarm(struct poll_loop *loop)
{
    for (u32 i = 0; i < loop->poller_count; i++) {
        const struct poller *poller = &loop->poller[i];

        if (poller->disarm) {
            poller->disarm(poller->ctx);
        }
    }
}

static u64 loop_deadline_ns(const struct poll_loop *loop)
{
    u64 first = POLL_NEVER;

    for (u32 i = 0; i < loop->poller_count; i++) {
        const struct poller *poller = &loop->poller[i];

        if (poller->deadline_ns) {
            first = min_u64(first, poller->deadline_ns(poller->ctx));
        }
    }
    return first;
}

/** Sleep once, unless a poller has work. Returns with every poller disarmed. */
static void loop_sleep(struct poll_loop *loop)
{
    if (!loop_arm(loop)) {
        u64 deadline_ns = loop_deadline_ns(loop);

        if (deadline_ns == POLL_NEVER || deadline_ns > port_now_ns()) {
            loop->sleeps++;
            port_sleep(deadline_ns);
            if (loop->woken) {
                loop->woken(loop->woken_ctx);
            }
        }
    }
    loop_disarm(loop);
    if (loop->disarmed) {
        loop->disarmed(loop->woken_ctx);
    }
}

/** True when the loop has been without work for spin_ns. The clock is read only while idle. */
static bool loop_tired(struct poll_loop *loop)
{
    u64 now_ns;

    if (loop->spin_ns == 0) {
        return true;
    }
    if (loop->spin_ns == POLL_NEVER) {
        return false;
    }
    now_ns = port_now_ns();
    if (!loop->is_idle) {
        loop->is_idle = true;
        loop->idle_since_ns = now_ns;
    }
    return now_ns - loop->idle_since_ns >= loop->spin_ns;
}

void poll_step(struct poll_loop *loop)
{
    if (poll_once(loop) != 0) {
        loop->is_idle = false;
    } else if (loop_tired(loop)) {
        /* A sleep ended by nothing of interest is followed by another, not by a spin. */
        loop_sleep(loop);
    } else {
        port_relax();
    }
}

void poll_forever(struct poll_loop *loop)
{
    for (;;) {
        poll_step(loop);
    }
}
