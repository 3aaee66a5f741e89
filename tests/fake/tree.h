/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tree.h - device trees for tests: a writer on libfdt, and the trees that guests of Xen get.
 */
#pragma once

#include "start/base/types.h"

#define TREE_BYTES_MAX 8192

struct tree {
    u8 blob[TREE_BYTES_MAX] __attribute__((aligned(8)));
};

void tree_begin(struct tree *tree);
/** Before the first node: a /memreserve/ entry. */
void tree_reserve(struct tree *tree, u64 base, u64 bytes);
/** Ends the reserved entries and opens the root. */
void tree_root(struct tree *tree);
void tree_node(struct tree *tree, const char *name);
void tree_end(struct tree *tree);
void tree_cells(struct tree *tree, const char *name, u32 count, const u32 *cells);
#define TREE_CELLS(tree, name, ...) \
    tree_cells(tree, name, ARRAY_LEN(((const u32[]){__VA_ARGS__})), (const u32[]){__VA_ARGS__})
void tree_text(struct tree *tree, const char *name, const char *text);
void tree_bytes(struct tree *tree, const char *name, const void *value, u32 bytes);
/** Closes the root; the blob is complete and as small as can be. */
void tree_finish(struct tree *tree);

/** What xl writes for a DomU, with the interrupt controller of that version. */
void tree_of_guest(struct tree *tree, u32 gic_version);
/** The part of it before /chosen's end: the caller adds to /chosen, then tree_guest_rest(). */
void tree_guest_chosen(struct tree *tree);
void tree_guest_rest(struct tree *tree, u32 gic_version);
