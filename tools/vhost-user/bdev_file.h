/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bdev_file.h - a host file or block device as a medium. plane: data
 *
 * Requests are answered in place by preadv(2), pwritev(2), fdatasync(2) and fallocate(2): a
 * completed write is in the host's page cache, a completed flush on the host's medium. A discard
 * makes a hole, and is offered where the file system can make one; so is what "unmap" of a write of
 * zeroes says. Whoever owns the file may change its size: bdev_file_resized() notices.
 */
#pragma once

#include "blk/bdev.h"

struct bdev_file {
    struct bdev dev;
    int fd;
    bool holes; /* the file system can make them */
};

/**
 * Open path. Bytes past the last whole sector are not part of the disk. Returns ST_OK; ST_NOENT,
 * ST_ACCES or ST_IO when it cannot be opened; ST_INVAL when it is neither a file nor a block
 * device, or holds no sector. *why is a sentence then. name stays valid as long as the bdev.
 */
enum status bdev_file_open(struct bdev_file *file, const char *name, const char *path,
                           bool read_only, const char **why);

/**
 * Look at the size again. True when it has changed: dev.info.sectors says the new one, which may be
 * 0. A file that is made shorter grows again by writes that came before this look.
 */
bool bdev_file_resized(struct bdev_file *file);

/** Nothing may be in flight. */
void bdev_file_close(struct bdev_file *file);
