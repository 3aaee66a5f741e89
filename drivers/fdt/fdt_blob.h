/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fdt_blob.h - a flattened device tree as nodes and properties.  [DT] 5              plane: control
 *
 * The blob is bytes of somebody else. fdt_blob_open() walks all of it once: afterwards every token
 * is known to be whole, every name to end within its block, every node to be closed. The functions
 * behind it keep every read within the blob all the same, and bound their loops by its size.
 *
 * Own code, and not libfdt's, for the size of the image; tests/fuzz/fuzz_fdt.c compares the two.
 *
 * A node is named by the offset of its token in the structure block; FDT_NO_NODE is none. Results
 * point into the blob, which must stay mapped and unchanged.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define FDT_BLOB_MAGIC 0xd00dfeedu /* the first word [DT] 5.2 */
#define FDT_NO_NODE    UINT32_MAX
#define FDT_BYTES_MAX  MIB(2) /* bytes; a larger tree is refused [ARM64-BOOT] */
#define FDT_DEPTH_MAX  32     /* nodes within nodes; a deeper tree is refused */

struct fdt_blob {
    const u8 *bytes;
    u32 total;                      /* bytes of all */
    u32 structs, structs_bytes;     /* the structure block */
    u32 strings, strings_bytes;     /* the strings block */
    u32 reserved, reserved_entries; /* the memory reservation block, without its last entry */
    u32 root;                       /* a node */
};

/** A big-endian word, byte by byte: nothing is known of p's alignment. */
u32 fdt_word(const u8 *p);

/** The size the header claims, from the first 8 bytes: 0 when the magic is wrong or the size is
 * above FDT_BYTES_MAX. */
u32 fdt_blob_bytes(const void *blob);

/**
 * Check bytes of blob, of which the header claims no more. NULL and *b is filled in; or what is
 * wrong with it, in a few words.
 */
const char *fdt_blob_open(struct fdt_blob *b, const void *blob, u32 bytes);

/**
 * The node behind node in the order of the blob, or FDT_NO_NODE. *depth, unless NULL, grows by one
 * where that is a child, and shrinks by one for each node that ends in between.
 */
u32 fdt_blob_next(const struct fdt_blob *b, u32 node, int *depth);

/** The node that holds node, or FDT_NO_NODE for the root. */
u32 fdt_blob_parent(const struct fdt_blob *b, u32 node);

/** The first child, and the child behind node of the same parent, or FDT_NO_NODE. */
u32 fdt_blob_child(const struct fdt_blob *b, u32 node);
u32 fdt_blob_sibling(const struct fdt_blob *b, u32 node);

/**
 * The node of an absolute path of so many bytes. A component without a unit address finds the first
 * node of that name with any. FDT_NO_NODE when there is none.
 */
u32 fdt_blob_find(const struct fdt_blob *b, const char *path, usize bytes);

/** Name and unit address, NUL-terminated; "" for the root. */
const char *fdt_blob_name(const struct fdt_blob *b, u32 node);

/** The value of a property and, unless NULL, its *bytes; NULL when the node has none so named. */
const u8 *fdt_blob_prop(const struct fdt_blob *b, u32 node, const char *name, u32 *bytes);

/** An entry of the memory reservation block; idx < reserved_entries. */
void fdt_blob_reserved(const struct fdt_blob *b, u32 idx, u64 *base, u64 *bytes);
