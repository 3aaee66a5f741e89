/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - caisson-vhost-user: the engine of the image as a vhost-user-blk server on Linux. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blk/ramdisk.h"
#include "start/base/log.h"
#include "tools/vhost-user/bdev_file.h"
#include "tools/vhost-user/vu_options.h"
#include "tools/vhost-user/vu_server.h"

#define NAME_BYTES 32

/* A disk and everything behind it. */
struct disk {
    char name[NAME_BYTES];
    struct bdev *bdev;
    struct bdev_file file;
    struct ramdisk ram;
};

static struct disk disks[VU_DISKS_MAX];
static struct vu_export exports[VU_DISKS_MAX];
static struct vblk_pool pool;
static volatile int stop;

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void stderr_sink(void *ctx, const char *text, usize bytes)
{
    (void)ctx;
    (void)fwrite(text, 1, bytes, stderr);
}

static bool signals_set_up(void)
{
    struct sigaction action;
    sigset_t blocked;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_stop;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    return sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
           sigprocmask(SIG_BLOCK, &blocked, NULL) == 0 && vu_mem_guard() == ST_OK;
}

static bool memory_open(struct disk *disk, const struct vu_disk_options *options, const char **why)
{
    void *base = mmap(NULL, options->memory_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED) {
        *why = "the system does not give so much memory";
        return false;
    }
    /* Random accesses to small pages miss the TLB each time. Advice: it need not be taken. */
    (void)madvise(base, options->memory_bytes, MADV_HUGEPAGE);
    ramdisk_init(&disk->ram, disk->name, base, options->memory_bytes, options->read_only);
    disk->bdev = &disk->ram.bdev;
    return true;
}

static bool disk_open(u32 index, const struct vu_disk_options *options, u64 without)
{
    struct disk *disk = &disks[index];
    struct vu_session_init session = {
        .pool = &pool,
        .read_only = options->read_only,
        .queues = options->queues,
        .ranges = options->ranges,
        .without = without,
    };
    const char *what = options->file ? options->file : "memory";
    const char *why = "";

    snprintf(disk->name, sizeof(disk->name), "disk%u", index);
    if (options->file) {
        if (bdev_file_open(&disk->file, disk->name, options->file, options->read_only, &why) ==
            ST_OK) {
            disk->bdev = &disk->file.dev;
            exports[index].file = &disk->file;
        }
    } else {
        (void)memory_open(disk, options, &why);
    }
    if (!disk->bdev) {
        fprintf(stderr, "caisson-vhost-user: cannot serve %s: %s\n", what, why);
        return false;
    }
    session.name = disk->name;
    session.bdev = disk->bdev;
    session.serial = options->serial;
    vu_session_init(&exports[index].session, &session);
    if (vu_export_open(&exports[index], options, &why) != ST_OK) {
        fprintf(stderr, "caisson-vhost-user: cannot use the socket %s of %s: %s\n",
                options->socket ? options->socket : "(--fd)", what, why);
        return false;
    }
    log_info("%s: %s, %llu sectors%s, at %s", disk->name, what,
             (unsigned long long)disk->bdev->info.sectors, options->read_only ? ", read-only" : "",
             options->socket ? options->socket : "the socket handed over");
    return true;
}

static void statistics(const struct vu_server *server)
{
    for (u32 i = 0; i < server->export_count; i++) {
        const struct vu_session *s = &exports[i].session;
        const struct vblk *vb = &s->vb;
        u64 batches = 0;
        u32 queues_used = 0, queues_packed = 0;
        const u64 requests = vb->reads + vb->writes + vb->flushes + vb->get_ids + vb->unsupported +
                             vb->discards + vb->write_zeroes;

        for (u32 q = 0; q < vb->vdev.queue_count; q++) {
            batches += vb->vdev.queue[q].vq.publishes;
            queues_used += vb->vdev.queue[q].vq.publishes > 0;
            queues_packed += vb->vdev.queue[q].vq.packed;
        }
        printf("%s: front-ends %llu requests %llu reads %llu writes %llu flushes %llu "
               "bytes-read %llu bytes-written %llu errors-driver %llu errors-medium %llu "
               "batches %llu kicks %llu calls %llu messages %llu refused %llu resumed %llu "
               "again %llu discards %llu write-zeroes %llu queues-used %u queues-packed %u\n",
               s->name, (unsigned long long)s->sessions, (unsigned long long)requests,
               (unsigned long long)vb->reads, (unsigned long long)vb->writes,
               (unsigned long long)vb->flushes, (unsigned long long)vb->bytes_read,
               (unsigned long long)vb->bytes_written, (unsigned long long)vb->errors_guest,
               (unsigned long long)vb->errors_medium, (unsigned long long)batches,
               (unsigned long long)s->kicks, (unsigned long long)s->calls,
               (unsigned long long)s->messages, (unsigned long long)s->refused,
               (unsigned long long)s->resumed, (unsigned long long)s->again,
               (unsigned long long)vb->discards, (unsigned long long)vb->write_zeroes, queues_used,
               queues_packed);
    }
    printf("loop: turns %llu sleeps %llu resizes %llu\n", (unsigned long long)server->turns,
           (unsigned long long)server->sleeps, (unsigned long long)server->resizes);
}

int main(int argc, char **argv)
{
    static struct vu_options options;
    struct vu_server server = {.export = exports};
    char error[256] = "";

    if (vu_options_parse(&options, argc, argv, error, sizeof(error)) != ST_OK) {
        fprintf(stderr, "caisson-vhost-user: %s\n", error);
        return EXIT_FAILURE;
    }
    if (options.help) {
        vu_options_help(stdout);
        return EXIT_SUCCESS;
    }
    if (options.capabilities) {
        puts("{\n  \"type\": \"block\",\n  \"features\": [\"read-only\", \"blk-file\"]\n}");
        return EXIT_SUCCESS;
    }
    log_init();
    log_level_set(options.quiet ? LOG_WARN : LOG_INFO);
    (void)log_sink_add(stderr_sink, NULL);
    if (!signals_set_up()) {
        fputs("caisson-vhost-user: the system refuses the signal handlers\n", stderr);
        return EXIT_FAILURE;
    }
    vblk_pool_init(&pool);
    for (; server.export_count < options.disk_count; server.export_count++) {
        if (!disk_open(server.export_count, &options.disk[server.export_count], options.without)) {
            for (u32 i = 0; i < server.export_count; i++) {
                vu_export_close(&exports[i]);
            }
            return EXIT_FAILURE;
        }
    }
    server.spin_ns = options.spin_ns;
    (void)vu_server_run(&server, &stop);
    for (u32 i = 0; i < server.export_count; i++) {
        vu_export_close(&exports[i]);
    }
    statistics(&server);
    return EXIT_SUCCESS;
}
