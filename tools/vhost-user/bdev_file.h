/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bdev_file.h - a host file or block device as a medium. plane: data
 *
 * Requests are answered in place by preadv(2), pwritev(2), fdatasync(2) and fallocate(2): a
 * completed write is in the host's page cache, a completed flush on the host's medium. Discard
 * makes holes where the file system can; where it cannot, the first refusal turns further discards
 * into nothing, which a discard may be.
 */
#pragma once

#include "blk/bdev.h"

struct bdev_file {
    struct bdev dev;
    int fd;
    bool no_holes; /* the file system refused to make one */
};

/**
 * Open path. Bytes past the last whole sector are not part of the disk. Returns ST_OK; ST_NOENT,
 * ST_ACCES or ST_IO when it cannot be opened; ST_INVAL when it is neither a file nor a block
 * device, or holds no sector. *why is a sentence then. name stays valid as long as the bdev.
 */
enum status bdev_file_open(struct bdev_file *file, const char *name, const char *path,
                           bool read_only, const char **why);

/** Nothing may be in flight. */
void bdev_file_close(struct bdev_file *file);
