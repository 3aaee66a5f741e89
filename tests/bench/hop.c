/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop.c - what does it cost to talk between two CPUs right now?   hop CPU_A CPU_B
 *
 * Two pinned threads bounce a number over two cache lines; prints the lower decile of the round
 * trip in ns (on a shared machine most of the rest is waiting for a CPU). A virtual machine's host
 * moves its CPUs about, and every request over shared memory pays a few of these: samples are
 * comparable only at the same price.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH    64  /* round trips between two looks at the clock */
#define BATCHES  400 /* about 5 ms, when both threads run */
#define LIMIT_NS UINT64_C(500000000)

struct line {
    uint64_t value __attribute__((aligned(128)));
};

static struct line there, back;
static int far_cpu;

static void pin_to(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        fprintf(stderr, "hop: there is no CPU %d for us\n", cpu);
        exit(1);
    }
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *echo(void *unused)
{
    uint64_t seen = 0;

    pin_to(far_cpu);
    while (seen != UINT64_MAX) {
        const uint64_t v = __atomic_load_n(&there.value, __ATOMIC_ACQUIRE);

        if (v != seen) {
            seen = v;
            __atomic_store_n(&back.value, v, __ATOMIC_RELEASE);
        }
    }
    return unused;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The number of a CPU, digits only. */
static int cpu_of(const char *text)
{
    char *end;
    const unsigned long cpu = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || cpu >= CPU_SETSIZE) {
        fprintf(stderr, "hop: '%s' is not the number of a CPU\n", text);
        exit(1);
    }
    return (int)cpu;
}

int main(int argc, char **argv)
{
    static double batch_ns[BATCHES];
    uint64_t begin, last, value = 0;
    uint32_t batches = 0;
    pthread_t thread;

    if (argc < 3) {
        fputs("usage: hop CPU_A CPU_B\n", stderr);
        return 1;
    }
    far_cpu = cpu_of(argv[2]);
    pin_to(cpu_of(argv[1]));
    if (pthread_create(&thread, NULL, echo, NULL) != 0) {
        fputs("hop: no second thread\n", stderr);
        return 1;
    }
    begin = last = now_ns();
    while (batches < BATCHES && last - begin < LIMIT_NS) {
        uint64_t now;

        for (int i = 0; i < BATCH; i++) {
            __atomic_store_n(&there.value, ++value, __ATOMIC_RELEASE);
            while (__atomic_load_n(&back.value, __ATOMIC_ACQUIRE) != value) {
            }
        }
        now = now_ns();
        batch_ns[batches++] = (double)(now - last) / BATCH;
        last = now;
    }
    __atomic_store_n(&there.value, UINT64_MAX, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    qsort(batch_ns, batches, sizeof(batch_ns[0]), compare);
    printf("%.0f\n", batch_ns[batches / 10]);
    return 0;
}
