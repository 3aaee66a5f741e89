/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - a guest that is only a front end: it drives its disks, says how that went, and ends.
 *
 * A kernel for xl as the image is, of the same parts, in 8 MiB and up; options.h says what its
 * command line takes. It says "front ready" when its disks are connected, and nothing while it
 * works.
 */
#include <inttypes.h>
#include <string.h>

#include "start/base/log.h"
#include "start/boot.h"
#include "start/port.h"
#include "tests/guest/front/hostile.h"
#include "tests/guest/front/store.h"
#include "tests/guest/front/verify.h"

/** Everything the guest knows. */
struct machine {
    struct front_machine m;
    struct front_options options;
    struct front_disk disk[FRONT_DISKS_MAX];
    u32 disk_count;
};

/* entry.S hands its address to start_c(). */
struct machine machine __attribute__((section(".far"), used));

#define GO_MAX 64 /* bytes of what `go` may say, NUL included */

/** A job does its work on all disks and returns how much went wrong. */
typedef u64 (*job_fn)(struct front_machine *m, const struct front_options *options,
                      struct front_disk *disk, u32 count);

static const struct job {
    const char *name;
    job_fn run;
} jobs[] = {
    {"verify", verify_run},
    {"hostile", hostile_run},
};

static job_fn job_find(const char *name)
{
    for (u32 i = 0; i < ARRAY_LEN(jobs); i++) {
        if (strcmp(jobs[i].name, name) == 0) {
            return jobs[i].run;
        }
    }
    machine_refuse("job=%s is none that this guest knows", name);
}

static void options_take(struct front_options *options, const char *text)
{
    static char why[FRONT_WHY_MAX];

    if (options_parse(text, options, why) != ST_OK) {
        machine_refuse("%s", why);
    }
}

/** What `go` says; what the disks were connected with is settled. */
static void options_change(struct front_options *options, const char *text)
{
    struct front_options before = *options;

    options_take(options, text);
    if (options->depth != before.depth || options->size != before.size ||
        options->grants != before.grants || options->stay != before.stay) {
        machine_refuse("go: depth=, size=, grants= and stay= belong on the command line");
    }
}

/** Run the job whenever `go` changes, until it says so. */
static void serve(struct machine *m)
{
    char go[GO_MAX] = "";

    for (;;) {
        store_wait_change(&m->m, "go", go, sizeof(go));
        if (strcmp(go, "off") == 0) {
            return;
        }
        options_change(&m->options, go + strcspn(go, " "));
        (void)job_find(m->options.job)(&m->m, &m->options, m->disk, m->disk_count);
    }
}

_Noreturn void start_c(u64 dtb, struct machine *m)
{
    const char *bootargs;
    u32 in_use;
    job_fn run;

    machine_init(&m->m, dtb);
    if (fdt_scan_bootargs(&m->m.fdt, &bootargs) != ST_OK) {
        machine_refuse("%s", m->m.fdt.why);
    }
    options_init(&m->options);
    options_take(&m->options, bootargs);
    run = job_find(m->options.job);
    grants_init(&m->m);
    m->disk_count = disks_open(&m->m, &m->options, m->disk);
    log_info("front ready disks=%" PRIu32 " ms=%" PRIu64, m->disk_count, port_now_ns() / 1000000);
    if (m->options.wait) {
        serve(m);
    } else {
        (void)run(&m->m, &m->options, m->disk, m->disk_count);
    }
    in_use = disks_close(&m->m, m->disk, m->disk_count);
    log_info("front off in_use=%" PRIu32 " offered=%" PRIu32, in_use, grants_offered());
    machine_off();
}
