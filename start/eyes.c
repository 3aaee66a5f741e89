/* SPDX-License-Identifier: BSD-2-Clause */
/* eyes.c - see eyes.h. */
#include "start/eyes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/log.h"
#include "start/poll.h"
#include "start/port.h"

#define STATS EYES_HOME "/stats"

STATIC_CHECK(REPORT_TEXT_MAX < XS_PAYLOAD_MAX / 2, "a text and its path are one request");
STATIC_CHECK(EYES_WAITING_MAX < XS_SLOTS / 2, "others find slots");

void eyes_init(struct eyes *eyes, struct xs *xs, const struct report *report)
{
    port_zero(eyes, sizeof(*eyes));
    eyes->xs = xs;
    eyes->report = report;
    eyes->busy = true;
    eyes->deadline_ns = POLL_NEVER;
}

/* --- who looks -------------------------------------------------------------------------------- */

/** Everything is written anew: somebody may have been at our keys. */
static void told_forget(struct eyes *eyes)
{
    memset(eyes->told, 0, sizeof(eyes->told));
    for (u32 i = 0; i < DEVICES_MAX; i++) {
        memset(eyes->row[i].told, 0, sizeof(eyes->row[i].told));
    }
}

static void watch_for(struct eyes *eyes, u64 seconds)
{
    u64 now = port_now_ns();

    if (seconds > 0 && eyes->until_ns == 0) {
        eyes->next_ns = now;
        eyes->refusal_said = false;
        told_forget(eyes);
    }
    eyes->until_ns = seconds > 0 ? now + seconds * UINT64_C(1000000000) : 0;
}

static void look_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct eyes *eyes = ctx;
    char text[16];
    u64 seconds = 0;

    (void)arg;
    eyes->look_waiting = false;
    eyes->busy = true;
    if (reply->status == ST_TIMEOUT) {
        eyes->look = true;
        return;
    }
    if (reply->status == ST_OK &&
        (xs_decode_value(reply->data, reply->bytes, text, sizeof(text)) != ST_OK ||
         xs_parse_decimal(text, EYES_WATCH_S_MAX, &seconds) != ST_OK)) {
        if (log_limit_ok(&eyes->log)) {
            log_warn(EYES_HOME "/watch: write how many seconds you will look, 0 to %d",
                     EYES_WATCH_S_MAX);
        }
        return;
    }
    watch_for(eyes, seconds);
}

static void eyes_changed(void *ctx, const char *path)
{
    struct eyes *eyes = ctx;

    (void)path;
    eyes->look = true;
    eyes->busy = true;
}

/** Returns the requests made. */
static u32 look_step(struct eyes *eyes)
{
    if (!eyes->watch_placed) {
        eyes->watch_placed =
            xs_watch_add(eyes->xs, EYES_HOME "/watch", eyes_changed, eyes) == ST_OK;
        return eyes->watch_placed;
    }
    if (!eyes->look || eyes->look_waiting) {
        return 0;
    }
    eyes->look_waiting = xs_read(eyes->xs, 0, EYES_HOME "/watch", look_answer, eyes, 0) == ST_OK;
    eyes->look = !eyes->look_waiting;
    return eyes->look_waiting;
}

/* --- writing ---------------------------------------------------------------------------------- */

/** A sum of the text that is not 0. [FNV-1a] */
static u32 text_sum(const char *text)
{
    u32 sum = 2166136261u;

    for (; *text; text++) {
        sum = (sum ^ (u8)*text) * 16777619u;
    }
    return sum ? sum : 1;
}

static void write_answer(void *ctx, u32 arg, const struct xs_reply *reply)
{
    struct eyes *eyes = ctx;

    (void)arg;
    eyes->waiting--;
    eyes->busy = true;
    if (reply->status != ST_OK && !eyes->refusal_said) {
        eyes->refusal_said = true;
        log_warn("statistics: xenstore does not take all keys (%s): what is missing in " STATS
                 " is not told%s",
                 status_name(reply->status),
                 reply->status == ST_FULL ? "; start xenstored with a larger --entry-nb" : "");
    }
}

/** Write text unless it is what was written last. False: xenstore has no room now. */
static bool text_write(struct eyes *eyes, const char *path, const char *text, u32 *told)
{
    u32 sum = text_sum(text);

    if (*told == sum) {
        return true;
    }
    if (xs_write(eyes->xs, 0, path, text, write_answer, eyes, 0) != ST_OK) {
        return false;
    }
    eyes->waiting++;
    *told = sum;
    return true;
}

static bool area_write(struct eyes *eyes)
{
    char text[REPORT_TEXT_MAX], path[XS_PATH_MAX];

    (void)snprintf(path, sizeof(path), STATS "/%s", report_area(eyes->report, eyes->area, text));
    if (!text_write(eyes, path, text, &eyes->told[eyes->area])) {
        return false;
    }
    eyes->area++;
    return true;
}

/** The row of a disk: the one it has, or a free one. There is one for each device there may be. */
static struct eyes_row *row_of(struct eyes *eyes, u16 domid, u32 devid)
{
    struct eyes_row *free = NULL;

    for (u32 i = 0; i < DEVICES_MAX; i++) {
        struct eyes_row *row = &eyes->row[i];

        if (row->used && row->domid == domid && row->devid == devid) {
            return row;
        }
        free = row->used || free ? free : row;
    }
    if (free) {
        *free = (struct eyes_row){.used = true, .domid = domid, .devid = devid};
        eyes->rows++;
    }
    return free;
}

static bool disk_write(struct eyes *eyes)
{
    char text[REPORT_TEXT_MAX], path[XS_PATH_MAX];
    struct report_disk disk;
    struct eyes_row *row;
    const char *name;

    row =
        report_disk(eyes->report, eyes->disk, &disk) ? row_of(eyes, disk.domid, disk.devid) : NULL;
    if (!row) {
        eyes->disk++;
        eyes->key = 0;
        return true;
    }
    name = report_disk_key(&disk, eyes->key, text);
    (void)snprintf(path, sizeof(path), STATS "/%u/%" PRIu32 "%s%s", disk.domid, disk.devid,
                   *name ? "/" : "", name);
    if (!text_write(eyes, path, text, &row->told[eyes->key])) {
        return false;
    }
    if (++eyes->key == REPORT_DISK_KEYS) {
        eyes->disk++;
        eyes->key = 0;
    }
    return true;
}

static bool round_write(struct eyes *eyes, u64 now)
{
    char text[64];
    u32 told = 0;

    (void)snprintf(text, sizeof(text), "number=%" PRIu64 " ms=%" PRIu64, eyes->rounds + 1,
                   now / 1000000);
    if (!text_write(eyes, STATS "/round", text, &told)) {
        return false;
    }
    eyes->rounds++;
    eyes->round = false;
    return true;
}

/** Returns the texts made. */
static u32 round_step(struct eyes *eyes, u64 now)
{
    u32 texts = 0;

    if (!eyes->round) {
        if (eyes->until_ns == 0 || now < eyes->next_ns) {
            return 0;
        }
        if (now >= eyes->until_ns) {
            eyes->until_ns = 0;
            return 0;
        }
        eyes->round = true;
        eyes->area = eyes->disk = eyes->key = 0;
        eyes->next_ns = now + EYES_PERIOD_NS;
    }
    for (bool room = true; eyes->round && room && texts < EYES_TEXTS_PER_TURN; texts += room) {
        if (eyes->waiting >= EYES_WAITING_MAX) {
            break;
        }
        if (eyes->area < REPORT_AREAS) {
            room = area_write(eyes);
        } else if (eyes->disk < report_disks(eyes->report)) {
            room = disk_write(eyes);
        } else {
            room = round_write(eyes, now);
        }
    }
    return texts;
}

/* --- devices that went ------------------------------------------------------------------------ */

static bool row_is_served(const struct eyes *eyes, const struct eyes_row *row)
{
    struct report_disk disk;

    for (u32 i = 0; i < report_disks(eyes->report); i++) {
        if (report_disk(eyes->report, i, &disk) && disk.domid == row->domid &&
            disk.devid == row->devid) {
            return true;
        }
    }
    return false;
}

/** Remove its keys; with the guest's last disk, the guest's directory. False: no room now. */
static bool row_remove(struct eyes *eyes, struct eyes_row *row)
{
    char path[XS_PATH_MAX];
    bool last = true;

    for (u32 i = 0; i < DEVICES_MAX; i++) {
        const struct eyes_row *other = &eyes->row[i];

        last &= !(other->used && other != row && other->domid == row->domid);
    }
    if (last) {
        (void)snprintf(path, sizeof(path), STATS "/%u", row->domid);
    } else {
        (void)snprintf(path, sizeof(path), STATS "/%u/%" PRIu32, row->domid, row->devid);
    }
    if (xs_rm(eyes->xs, 0, path, NULL, NULL, 0) != ST_OK) {
        return false;
    }
    row->used = false;
    eyes->rows--;
    return true;
}

/** A row each turn, until all are compared that were there when a device went. */
static u32 sweep_step(struct eyes *eyes)
{
    u64 gone = report_gone(eyes->report);
    struct eyes_row *row = &eyes->row[eyes->sweep_at];

    if (eyes->rows == 0) {
        eyes->gone = gone;
    }
    if (gone == eyes->gone) {
        return 0;
    }
    if (eyes->sweep_at == 0) {
        eyes->sweep_gone = gone;
    }
    if (row->used && !row_is_served(eyes, row) && !row_remove(eyes, row)) {
        return 0;
    }
    if (++eyes->sweep_at == DEVICES_MAX) {
        eyes->sweep_at = 0;
        eyes->gone = eyes->sweep_gone;
    }
    return 1;
}

/* --- the poll loop's view --------------------------------------------------------------------- */

static u64 deadline_of(const struct eyes *eyes, u64 now)
{
    bool stuck = !eyes->watch_placed || (eyes->look && !eyes->look_waiting) ||
                 (eyes->round && eyes->waiting == 0) || report_gone(eyes->report) != eyes->gone;

    if (stuck) {
        return now + EYES_RETRY_NS;
    }
    return eyes->until_ns && !eyes->round ? eyes->next_ns : POLL_NEVER;
}

u32 eyes_poll(void *ctx, u32 budget)
{
    struct eyes *eyes = ctx;
    u64 now;
    u32 work;

    (void)budget;
    if (!eyes->busy && eyes->deadline_ns == POLL_NEVER && report_gone(eyes->report) == eyes->gone) {
        return 0;
    }
    if (eyes->xs->broken) {
        eyes->deadline_ns = POLL_NEVER;
        return 0;
    }
    now = port_now_ns();
    if (!eyes->busy && now < eyes->deadline_ns && report_gone(eyes->report) == eyes->gone) {
        return 0;
    }
    eyes->busy = false;
    work = look_step(eyes) + sweep_step(eyes) + round_step(eyes, now);
    eyes->busy |= work > 0;
    eyes->deadline_ns = deadline_of(eyes, now);
    return work;
}

u64 eyes_deadline_ns(void *ctx)
{
    const struct eyes *eyes = ctx;

    return eyes->deadline_ns;
}
