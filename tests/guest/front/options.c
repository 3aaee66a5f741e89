/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.c - the guest's command line. See options.h.
 */
#include "tests/guest/front/options.h"

#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/limits.h"
#include "start/config.h"

#define WORD_MAX 64 /* bytes of one word, NUL included */

static const struct front_options defaults = {
    .job = "verify",
    .seconds = 1,
    .depth = 1,
    .size = 4096,
    .span = MIB(1),
    .seed = 1,
};

static enum status refuse(char *why, const char *word, const char *reason)
{
    (void)snprintf(why, FRONT_WHY_MAX, "%s: %s", word, reason);
    return ST_PROTO;
}

static bool choice_set(enum front_choice *choice, u64 number)
{
    *choice = number ? CHOICE_YES : CHOICE_NO;
    return number <= 1;
}

/** Set the option that key names. False: there is none, or the number is out of its range. */
static bool number_set(struct front_options *o, const char *key, u64 number)
{
    if (strcmp(key, "seconds") == 0) {
        o->seconds = number;
    } else if (strcmp(key, "warm_ms") == 0) {
        o->warm_ms = number;
    } else if (strcmp(key, "requests") == 0) {
        o->requests = number;
    } else if (strcmp(key, "depth") == 0) {
        o->depth = (u32)min_u64(number, UINT32_MAX);
        return number >= 1 && number <= FRONT_DEPTH_MAX;
    } else if (strcmp(key, "size") == 0) {
        o->size = (u32)min_u64(number, UINT32_MAX);
        return number > 0 && number % SECTOR_BYTES == 0 && number <= BLK_SIZE_MAX;
    } else if (strcmp(key, "at") == 0) {
        o->at = number;
        return number % SECTOR_BYTES == 0;
    } else if (strcmp(key, "span") == 0) {
        o->span = number;
        return number > 0 && number % SECTOR_BYTES == 0;
    } else if (strcmp(key, "seed") == 0) {
        o->seed = number;
    } else if (strcmp(key, "spin") == 0) {
        o->spin = number == 1;
        return number <= 1;
    } else if (strcmp(key, "grants") == 0) {
        return choice_set(&o->grants, number);
    } else if (strcmp(key, "stay") == 0) {
        return choice_set(&o->stay, number);
    } else {
        return false;
    }
    return true;
}

static enum status word_take(struct front_options *o, char *word, char *why)
{
    char *value = strchr(word, '=');
    u64 number;

    if (strcmp(word, "wait") == 0) {
        o->wait = true;
        return ST_OK;
    }
    if (!value) {
        return refuse(why, word, "unknown word");
    }
    *value++ = '\0';
    if (strcmp(word, "job") == 0) {
        if (strlen(value) >= sizeof(o->job)) {
            return refuse(why, word, "no such job");
        }
        memcpy(o->job, value, strlen(value) + 1);
        return ST_OK;
    }
    if (!config_parse_bytes(value, &number)) {
        return refuse(why, word, "wants a number");
    }
    return number_set(o, word, number)
               ? ST_OK
               : refuse(why, word, "unknown, or its number is out of range (options.h)");
}

void options_init(struct front_options *options)
{
    *options = defaults;
}

enum status options_parse(const char *text, struct front_options *options, char *why)
{
    char word[WORD_MAX];

    for (;;) {
        usize bytes;

        text += strspn(text, " ");
        bytes = strcspn(text, " ");
        if (bytes == 0) {
            break;
        }
        if (bytes >= sizeof(word)) {
            return refuse(why, "command line", "a word is too long");
        }
        memcpy(word, text, bytes);
        word[bytes] = '\0';
        text += bytes;
        if (word_take(options, word, why) != ST_OK) {
            return ST_PROTO;
        }
    }
    return options->span / options->size >= options->depth
               ? ST_OK
               : refuse(why, "span=", "holds fewer blocks than requests are in flight: depth=");
}
