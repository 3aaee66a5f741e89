/* SPDX-License-Identifier: BSD-2-Clause */
/* fdt_blob.c - tokens of the structure block, one after the other; all else is made of that. */
#include "drivers/fdt/fdt_blob.h"

#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"

/* [DT] 5.2: the header's words, as offsets */
#define HEADER_MAGIC         0
#define HEADER_TOTAL         4
#define HEADER_STRUCTS       8
#define HEADER_STRINGS       12
#define HEADER_RESERVED      16
#define HEADER_VERSION       20
#define HEADER_LAST_COMPAT   24
#define HEADER_STRINGS_BYTES 32
#define HEADER_STRUCTS_BYTES 36
#define HEADER_BYTES         40
#define VERSION              17u
/* [DT] 5.3: an entry: base, bytes */
#define RESERVED_BYTES 16u
/* [DT] 5.4.1: tokens */
#define BEGIN_NODE 1u
#define END_NODE   2u
#define PROP       3u
#define NOP        4u
#define END        9u

/** What lies at one place of the structure block. */
struct token {
    u32 tag;
    const char *name; /* of a node or a property */
    const u8 *value;  /* of a property */
    u32 value_bytes;
};

u32 fdt_word(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

static u64 long_word(const u8 *p)
{
    return (u64)fdt_word(p) << 32 | fdt_word(p + 4);
}

u32 fdt_blob_bytes(const void *blob)
{
    u32 bytes = fdt_word((const u8 *)blob + 4);

    return fdt_word(blob) == FDT_BLOB_MAGIC && bytes <= FDT_BYTES_MAX ? bytes : 0;
}

/** The text at offset at of a block ends within it. */
static bool text_ends(const u8 *block, u32 at, u32 block_bytes)
{
    return at < block_bytes && memchr(block + at, 0, block_bytes - at);
}

/**
 * The token at *at of the structure block; *at becomes the offset of the next one. False when it is
 * no token, or not whole: only fdt_blob_open() sees that.
 */
static bool token_read(const struct fdt_blob *b, u32 *at, struct token *token)
{
    const u8 *block = b->bytes + b->structs;
    const u32 room = b->structs_bytes;
    u32 end = *at;

    *token = (struct token){0};
    if (!range_ok(end, 4, room)) {
        return false;
    }
    token->tag = fdt_word(block + end);
    end += 4;
    if (token->tag == BEGIN_NODE) {
        if (!text_ends(block, end, room)) {
            return false;
        }
        token->name = (const char *)block + end;
        end += (u32)strlen(token->name) + 1;
    } else if (token->tag == PROP) {
        u32 name;

        if (!range_ok(end, 8, room)) {
            return false;
        }
        token->value_bytes = fdt_word(block + end);
        name = fdt_word(block + end + 4);
        end += 8;
        if (!range_ok(end, token->value_bytes, room) ||
            !text_ends(b->bytes + b->strings, name, b->strings_bytes)) {
            return false;
        }
        token->name = (const char *)b->bytes + b->strings + name;
        token->value = block + end;
        end += token->value_bytes;
    } else if (token->tag != END_NODE && token->tag != NOP && token->tag != END) {
        return false;
    }
    *at = (u32)align_up(end, 4);
    return true;
}

/** [DT] 5.4: one tree, whose properties come before its nodes, and the end behind it. */
static const char *structure_check(struct fdt_blob *b)
{
    struct token token;
    u32 depth = 0;
    bool ended = false; /* the last node: no property may follow */

    b->root = FDT_NO_NODE;
    for (u32 at = 0; token_read(b, &at, &token);) {
        switch (token.tag) {
        case BEGIN_NODE:
            if (depth == 0 && b->root != FDT_NO_NODE) {
                return "there is a second root node";
            }
            if (depth == 0) {
                b->root = at - (u32)align_up(strlen(token.name) + 5, 4);
            }
            if (depth == FDT_DEPTH_MAX) {
                return "its nodes lie too deep in each other";
            }
            depth++;
            ended = false;
            break;
        case END_NODE:
            if (depth == 0) {
                return "a node ends that has not begun";
            }
            depth--;
            ended = true;
            break;
        case PROP:
            if (depth == 0 || ended) {
                return "a property lies outside of its node";
            }
            break;
        case END:
            return depth == 0 && b->root != FDT_NO_NODE ? NULL : "it ends within a node";
        default:
            break;
        }
    }
    return "its structure block breaks off or holds an unknown token";
}

/** [DT] 5.3: entries up to the first that is all zero. */
static bool reserved_count(struct fdt_blob *b)
{
    for (u32 at = b->reserved; range_ok(at, RESERVED_BYTES, b->total); at += RESERVED_BYTES) {
        if (long_word(b->bytes + at) == 0 && long_word(b->bytes + at + 8) == 0) {
            return true;
        }
        b->reserved_entries++;
    }
    return false;
}

const char *fdt_blob_open(struct fdt_blob *b, const void *blob, u32 bytes)
{
    const u8 *header = blob;

    *b = (struct fdt_blob){.bytes = blob};
    if (bytes < HEADER_BYTES) {
        return "it is shorter than its header";
    }
    b->total = fdt_word(header + HEADER_TOTAL);
    b->structs = fdt_word(header + HEADER_STRUCTS);
    b->structs_bytes = fdt_word(header + HEADER_STRUCTS_BYTES);
    b->strings = fdt_word(header + HEADER_STRINGS);
    b->strings_bytes = fdt_word(header + HEADER_STRINGS_BYTES);
    b->reserved = fdt_word(header + HEADER_RESERVED);
    if (fdt_word(header + HEADER_MAGIC) != FDT_BLOB_MAGIC ||
        fdt_word(header + HEADER_VERSION) < VERSION ||
        fdt_word(header + HEADER_LAST_COMPAT) > VERSION) {
        return "its format is not version 17";
    }
    if (b->total > bytes || b->total > FDT_BYTES_MAX || b->structs % 4 != 0 ||
        !range_ok(b->structs, b->structs_bytes, b->total) ||
        !range_ok(b->strings, b->strings_bytes, b->total)) {
        return "a block of it lies outside";
    }
    return reserved_count(b) ? structure_check(b) : "its list of reserved memory has no end";
}

u32 fdt_blob_next(const struct fdt_blob *b, u32 node, int *depth)
{
    struct token token;
    u32 at = node;

    if (!token_read(b, &at, &token)) {
        return FDT_NO_NODE;
    }
    for (u32 start = at; token_read(b, &at, &token) && token.tag != END; start = at) {
        if (token.tag == BEGIN_NODE) {
            if (depth) {
                ++*depth;
            }
            return start;
        }
        if (token.tag == END_NODE && depth) {
            --*depth;
        }
    }
    return FDT_NO_NODE;
}

u32 fdt_blob_parent(const struct fdt_blob *b, u32 node)
{
    u32 way[FDT_DEPTH_MAX]; /* the node of each depth that was begun last */
    int depth = 0;

    for (u32 at = b->root; at != FDT_NO_NODE; at = fdt_blob_next(b, at, &depth)) {
        CHECK(depth >= 0 && depth < FDT_DEPTH_MAX);
        if (at == node) {
            return depth == 0 ? FDT_NO_NODE : way[depth - 1];
        }
        way[depth] = at;
    }
    return FDT_NO_NODE;
}

u32 fdt_blob_child(const struct fdt_blob *b, u32 node)
{
    int depth = 0;
    u32 child = fdt_blob_next(b, node, &depth);

    return depth == 1 ? child : FDT_NO_NODE;
}

u32 fdt_blob_sibling(const struct fdt_blob *b, u32 node)
{
    int depth = 0;
    u32 at = node;

    do {
        at = fdt_blob_next(b, at, &depth);
    } while (at != FDT_NO_NODE && depth > 0);
    return depth == 0 ? at : FDT_NO_NODE;
}

const char *fdt_blob_name(const struct fdt_blob *b, u32 node)
{
    struct token token;

    return token_read(b, &node, &token) && token.name ? token.name : "";
}

/** [DT] 2.2.3: the unit address may be left out where the name alone is enough. */
static bool name_is(const char *name, const char *wanted, usize bytes)
{
    return strncmp(name, wanted, bytes) == 0 &&
           (name[bytes] == 0 || (name[bytes] == '@' && !memchr(wanted, '@', bytes)));
}

u32 fdt_blob_find(const struct fdt_blob *b, const char *path, usize bytes)
{
    u32 node = b->root;

    for (usize at = 0; node != FDT_NO_NODE;) {
        usize end;

        while (at < bytes && path[at] == '/') {
            at++;
        }
        end = at;
        while (end < bytes && path[end] != '/') {
            end++;
        }
        if (end == at) {
            return node;
        }
        node = fdt_blob_child(b, node);
        while (node != FDT_NO_NODE && !name_is(fdt_blob_name(b, node), path + at, end - at)) {
            node = fdt_blob_sibling(b, node);
        }
        at = end;
    }
    return FDT_NO_NODE;
}

const u8 *fdt_blob_prop(const struct fdt_blob *b, u32 node, const char *name, u32 *bytes)
{
    struct token token;
    u32 at = node;

    if (!token_read(b, &at, &token)) {
        return NULL;
    }
    while (token_read(b, &at, &token) && (token.tag == PROP || token.tag == NOP)) {
        if (token.tag == PROP && strcmp(token.name, name) == 0) {
            if (bytes) {
                *bytes = token.value_bytes;
            }
            return token.value;
        }
    }
    return NULL;
}

void fdt_blob_reserved(const struct fdt_blob *b, u32 idx, u64 *base, u64 *bytes)
{
    const u8 *entry = b->bytes + b->reserved + (usize)idx * RESERVED_BYTES;

    CHECK(idx < b->reserved_entries);
    *base = long_word(entry);
    *bytes = long_word(entry + 8);
}
