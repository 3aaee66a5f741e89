/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost_client.c - drive a vhost-user-blk server and say how fast it was, or whether it kept the
 * data.
 *
 *   --socket=PATH --mode=read|write|verify|hold [--depth=1] [--queues=1] [--block=4096]
 *   [--span=BYTES] [--seconds=0.5] [--cpu=N] [--event-idx] [--indirect] [--seed=N] [--reconnect]
 *
 * read and write measure: one line of JSON with the latencies in ns. verify writes every block of
 * the span with content that names it, reads all back in random order, and compares every byte;
 * with --reconnect the back end may die and return meanwhile.
 */
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/vhost_front.h"

#define SECTOR      512u
#define SAMPLES_MAX (UINT64_C(1) << 22)
#define CLOCK_TURNS 1024 /* completions between two looks at the clock */
#define STALL_NS    UINT64_C(20000000000)
#define BLK_IN      0
#define BLK_OUT     1

enum mode { MODE_READ, MODE_WRITE, MODE_VERIFY, MODE_HOLD };

struct client {
    struct front front;
    enum mode mode;
    double seconds;
    uint64_t span_blocks;
    uint64_t random;
    bool reconnect;
    uint64_t reconnects;
    uint32_t *sample; /* latencies in ticks */
    uint64_t samples;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The cheapest steady clock of the machine; calibrated against now_ns() over the whole run. */
static uint64_t ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return now_ns();
#endif
}

static uint64_t random_next(struct client *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

_Noreturn static void die(const char *text)
{
    fprintf(stderr, "vhost-client: %s\n", text);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void submit_random(struct client *c, uint32_t queue, uint32_t slot)
{
    const uint32_t block = c->front.options.block_bytes;
    const uint64_t at = random_next(c) % c->span_blocks;

    c->front.queue[queue].slot[slot].started = ticks();
    front_submit(&c->front, queue, slot, c->mode == MODE_READ ? BLK_IN : BLK_OUT,
                 at * (block / SECTOR), block);
}

/* Take what is finished of one queue and put the same number in again. Returns how many. */
static uint32_t turn(struct client *c, uint32_t queue)
{
    struct front_queue *fq = &c->front.queue[queue];
    uint32_t done = 0;
    uint8_t status;
    int slot;

    while ((slot = front_take(&c->front, queue, &status)) >= 0) {
        if (status != 0) {
            die("a request failed");
        }
        if (c->samples < SAMPLES_MAX) {
            const uint64_t t = ticks() - fq->slot[slot].started;

            c->sample[c->samples++] = t < UINT32_MAX ? (uint32_t)t : UINT32_MAX;
        }
        submit_random(c, queue, (uint32_t)slot);
        done++;
    }
    if (done > 0) {
        front_flush(&c->front, queue);
    }
    return done;
}

/* One request that is not measured: servers start their queues in threads of their own. */
static void wait_until_served(struct client *c)
{
    const uint64_t end_ns = now_ns() + STALL_NS;
    uint8_t status;

    submit_random(c, 0, 0);
    front_flush(&c->front, 0);
    while (front_take(&c->front, 0, &status) < 0) {
        if (now_ns() > end_ns) {
            die("no request was answered for 20 s");
        }
    }
}

static void measure(struct client *c)
{
    const struct front_options *o = &c->front.options;
    uint64_t begin_ns, end_ns, begin, done = 0, kicks = 0, last_ns;
    double ns_per_tick, elapsed;

    wait_until_served(c);
    begin_ns = last_ns = now_ns();
    begin = ticks();
    end_ns = begin_ns + (uint64_t)(c->seconds * 1e9);
    for (uint32_t q = 0; q < o->queues; q++) {
        for (uint32_t s = 0; s < o->depth; s++) {
            submit_random(c, q, s);
        }
        front_flush(&c->front, q);
    }
    for (uint64_t loops = 0;; loops++) {
        for (uint32_t q = 0; q < o->queues; q++) {
            done += turn(c, q);
        }
        if (loops % CLOCK_TURNS == 0) {
            last_ns = now_ns();
            if (last_ns >= end_ns) {
                break;
            }
        }
    }
    if (c->samples < 100) {
        die("fewer than 100 requests were answered: is the server stuck?");
    }
    elapsed = (double)(last_ns - begin_ns);
    ns_per_tick = elapsed / (double)(ticks() - begin);
    for (uint32_t q = 0; q < o->queues; q++) {
        kicks += c->front.queue[q].kicks;
    }
    qsort(c->sample, c->samples, sizeof(*c->sample), compare);
#define AT(share) ((double)c->sample[(uint64_t)((double)(c->samples - 1) * (share))] * ns_per_tick)
    printf("{\"requests\": %llu, \"iops\": %.0f, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, "
           "\"max\": %.0f, \"kicks\": %llu}\n",
           (unsigned long long)done, (double)done / elapsed * 1e9, AT(0.5), AT(0.99), AT(0.999),
           AT(1.0), (unsigned long long)kicks);
#undef AT
}

/* --- verify --------------------------------------------------------------------------------- */

/* Content of a block: each word names the block, its place in it, and the run. */
static void pattern(const struct client *c, uint64_t block, uint8_t *data, uint64_t seed)
{
    uint64_t *word = (uint64_t *)(void *)data;

    for (uint32_t i = 0; i < c->front.options.block_bytes / sizeof(*word); i++) {
        word[i] = (block << 20 | i) * UINT64_C(0x9e3779b97f4a7c15) ^ seed;
    }
}

static void pattern_check(const struct client *c, uint64_t block, const uint8_t *data,
                          uint64_t seed)
{
    const uint64_t *word = (const uint64_t *)(const void *)data;

    for (uint32_t i = 0; i < c->front.options.block_bytes / sizeof(*word); i++) {
        if (word[i] != ((block << 20 | i) * UINT64_C(0x9e3779b97f4a7c15) ^ seed)) {
            fprintf(stderr, "vhost-client: block %llu, byte %u is not what was written\n",
                    (unsigned long long)block, i * (uint32_t)sizeof(*word));
            exit(1);
        }
    }
}

/* All blocks once, in an order that jumps: at -> at * step mod prime-free span. */
static uint64_t jump(const struct client *c, uint64_t n)
{
    const uint64_t step = UINT64_C(2654435761);

    return c->span_blocks % step == 0 ? n : n * step % c->span_blocks;
}

static void server_watch(struct client *c, uint64_t *progress_ns)
{
    if (c->reconnect && front_hung_up(&c->front)) {
        front_reconnect(&c->front);
        c->reconnects++;
        *progress_ns = now_ns();
    }
    if (now_ns() - *progress_ns > STALL_NS) {
        die("no request was answered for 20 s");
    }
}

/* One pass over all blocks. */
static void pass(struct client *c, bool write, uint64_t seed)
{
    const struct front_options *o = &c->front.options;
    const uint32_t slots = o->queues * o->depth;
    uint64_t next = 0, done = 0, progress_ns = now_ns();
    uint32_t idle = 0;

    while (done < c->span_blocks) {
        bool moved = false;

        for (uint32_t n = 0; n < slots; n++) {
            const uint32_t q = n % o->queues, s = n / o->queues;

            if (next < c->span_blocks && !c->front.queue[q].slot[s].busy) {
                const uint64_t block = write ? next : jump(c, next);

                if (write) {
                    pattern(c, block, front_data(&c->front, q, s), seed);
                }
                front_submit(&c->front, q, s, write ? BLK_OUT : BLK_IN,
                             block * (o->block_bytes / SECTOR), o->block_bytes);
                next++;
                moved = true;
            }
        }
        for (uint32_t q = 0; q < o->queues; q++) {
            uint8_t status;
            int s;

            front_flush(&c->front, q);
            while ((s = front_take(&c->front, q, &status)) >= 0) {
                if (status != 0) {
                    die("a request failed");
                }
                if (!write) {
                    pattern_check(c, c->front.queue[q].slot[s].sector / (o->block_bytes / SECTOR),
                                  front_data(&c->front, q, (uint32_t)s), seed);
                }
                done++;
                moved = true;
            }
        }
        if (moved) {
            progress_ns = now_ns();
            idle = 0;
        } else if (++idle % CLOCK_TURNS == 0) {
            server_watch(c, &progress_ns);
        }
    }
}

static void verify(struct client *c)
{
    const uint64_t end_ns = now_ns() + (uint64_t)(c->seconds * 1e9);
    uint64_t passes = 0;

    do {
        const uint64_t seed = random_next(c);

        pass(c, true, seed);
        pass(c, false, seed);
        passes++;
    } while (now_ns() < end_ns);
    printf("{\"verified_bytes\": %llu, \"passes\": %llu, \"reconnects\": %llu}\n",
           (unsigned long long)(passes * c->span_blocks * c->front.options.block_bytes),
           (unsigned long long)passes, (unsigned long long)c->reconnects);
}

/* --- options -------------------------------------------------------------------------------- */

static void pin_to(const char *text)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)strtoul(text, NULL, 10), &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        die("the CPU asked for is not there");
    }
}

static enum mode mode_of(const char *text)
{
    static const char *const names[] = {"read", "write", "verify", "hold"};

    for (int i = 0; i < 4; i++) {
        if (strcmp(text, names[i]) == 0) {
            return (enum mode)i;
        }
    }
    die("--mode is read, write, verify or hold");
}

static void options_read(struct client *c, struct front_options *o, uint64_t *span, int argc,
                         char **argv)
{
    static const struct option options[] = {
        {"socket", 1, NULL, 's'},   {"mode", 1, NULL, 'm'},  {"depth", 1, NULL, 'd'},
        {"queues", 1, NULL, 'q'},   {"block", 1, NULL, 'b'}, {"span", 1, NULL, 'w'},
        {"seconds", 1, NULL, 't'},  {"cpu", 1, NULL, 'c'},   {"event-idx", 0, NULL, 'e'},
        {"indirect", 0, NULL, 'i'}, {"seed", 1, NULL, 'r'},  {"reconnect", 0, NULL, 'R'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            o->socket = optarg;
            break;
        case 'm':
            c->mode = mode_of(optarg);
            break;
        case 'd':
            o->depth = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'q':
            o->queues = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            o->block_bytes = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            *span = strtoull(optarg, NULL, 10);
            break;
        case 't':
            c->seconds = strtod(optarg, NULL);
            break;
        case 'c':
            pin_to(optarg);
            break;
        case 'e':
            o->event_idx = true;
            break;
        case 'i':
            o->indirect = true;
            break;
        case 'r':
            c->random += strtoull(optarg, NULL, 10);
            break;
        case 'R':
            c->reconnect = o->inflight = true;
            break;
        default:
            die("an option is unknown: see the head of vhost_client.c");
        }
    }
    if (!o->socket || o->block_bytes == 0 || o->block_bytes % SECTOR != 0) {
        die("--socket and a --block of whole sectors are needed");
    }
}

int main(int argc, char **argv)
{
    static struct client c = {.seconds = 0.5, .random = 88172645463325252u};
    struct front_options o = {.queues = 1, .depth = 1, .block_bytes = 4096};
    uint64_t span = UINT64_C(24) << 20;

    options_read(&c, &o, &span, argc, argv);
    c.sample = malloc(SAMPLES_MAX * sizeof(*c.sample));
    if (!c.sample) {
        die("no memory for the samples");
    }
    memset(c.sample, 0, SAMPLES_MAX * sizeof(*c.sample)); /* no page fault while measuring */
    front_open(&c.front, &o);
    if (c.front.sectors != 0 && c.front.sectors * SECTOR < span) {
        span = c.front.sectors * SECTOR;
    }
    c.span_blocks = span / o.block_bytes;
    if (c.mode == MODE_VERIFY) {
        verify(&c);
    } else if (c.mode == MODE_HOLD) {
        usleep((useconds_t)(c.seconds * 1e6)); /* connected, and silent */
    } else {
        measure(&c);
    }
    front_close(&c.front);
    free(c.sample);
    return 0;
}
