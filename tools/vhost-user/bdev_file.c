/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/vhost-user/bdev_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "start/base/arith.h"

#define IOV_BATCH    64            /* spans handed to one system call */
#define PHYSICAL_MAX 4096u         /* what we say at most about the file system's block */
#define ZERO_BYTES   (u32) KIB(64) /* zeroes written at once where fallocate cannot */

static const u8 zeroes[ZERO_BYTES];

/*
 * Move all spans. A short transfer goes on where it stopped; 0 bytes mean that the file has shrunk.
 * Bounded: every round moves at least one byte.
 */
static enum status move(int fd, bool write, const struct span *spans, u32 count, u64 offset)
{
    struct iovec iov[IOV_BATCH];
    u32 at = 0;
    u32 done = 0; /* bytes of spans[at] that are moved */

    while (at < count) {
        int used = 0;
        ssize_t moved;

        for (u32 i = at; i < count && used < IOV_BATCH; i++, used++) {
            u32 skip = i == at ? done : 0;

            iov[used] = (struct iovec){spans[i].base + skip, spans[i].bytes - skip};
        }
        moved =
            write ? pwritev(fd, iov, used, (off_t)offset) : preadv(fd, iov, used, (off_t)offset);
        if (moved < 0 && errno == EINTR) {
            continue;
        }
        if (moved <= 0) {
            return ST_IO;
        }
        offset += (u64)moved;
        for (u64 left = (u64)moved; left > 0;) {
            u32 rest = spans[at].bytes - done;

            if (left < rest) {
                done += (u32)left;
                break;
            }
            left -= rest;
            at++;
            done = 0;
        }
    }
    return ST_OK;
}

static enum status hole_make(const struct bdev_file *file, u64 offset, u64 bytes)
{
    return fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                     (off_t)bytes) == 0
               ? ST_OK
               : ST_IO;
}

static enum status write_zeroes(const struct bdev_file *file, u64 offset, u64 bytes, bool unmap)
{
    struct span span = {.base = (u8 *)(uintptr_t)zeroes};

    /* A hole reads as zeroes. */
    if (unmap && file->holes && hole_make(file, offset, bytes) == ST_OK) {
        return ST_OK;
    }
    if (fallocate(file->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)bytes) == 0) {
        return ST_OK;
    }
    while (bytes > 0) {
        enum status st;

        span.bytes = bytes < ZERO_BYTES ? (u32)bytes : ZERO_BYTES;
        st = move(file->fd, true, &span, 1, offset);
        if (st != ST_OK) {
            return st;
        }
        offset += span.bytes;
        bytes -= span.bytes;
    }
    return ST_OK;
}

static enum status file_submit(struct bdev *dev, struct blk_req *req)
{
    struct bdev_file *file = container_of(dev, struct bdev_file, dev);
    u64 offset = req->sector * SECTOR_BYTES;
    u64 bytes = req->sectors * SECTOR_BYTES;
    enum status st = ST_NOSUP;

    switch (req->op) {
    case BLK_READ:
        st = move(file->fd, false, req->spans, req->span_count, offset);
        break;
    case BLK_WRITE:
        st = move(file->fd, true, req->spans, req->span_count, offset);
        break;
    case BLK_FLUSH:
        st = fdatasync(file->fd) == 0 ? ST_OK : ST_IO;
        break;
    case BLK_DISCARD:
        st = hole_make(file, offset, bytes);
        break;
    case BLK_WRITE_ZEROES:
        st = write_zeroes(file, offset, bytes, req->unmap);
        break;
    case BLK_SECURE_ERASE:
    case BLK_OP_COUNT:
        break;
    }
    return st;
}

static const struct bdev_ops file_ops = {.submit = file_submit};

static bool size_of(int fd, u64 *bytes, u32 *block_bytes, const char **why)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        *why = "its size cannot be read";
        return false;
    }
    *block_bytes = st.st_blksize > 0 ? (u32)st.st_blksize : SECTOR_BYTES;
    if (S_ISREG(st.st_mode)) {
        *bytes = (u64)st.st_size;
        return true;
    }
    if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes) == 0) {
        return true;
    }
    *why = "it is neither a file nor a block device";
    return false;
}

/*
 * Ask the file system for a hole behind the end of the file, where there is nothing to lose. A
 * block device is never asked for one: what it would make of the request only it knows.
 */
static bool holes_possible(int fd, u64 bytes)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
           fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)align_up(bytes, PHYSICAL_MAX), PHYSICAL_MAX) == 0;
}

enum status bdev_file_open(struct bdev_file *file, const char *name, const char *path,
                           bool read_only, const char **why)
{
    struct bdev_info info;
    u64 bytes = 0;
    u32 block_bytes = 0;

    memset(file, 0, sizeof(*file));
    file->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (file->fd < 0) {
        *why = strerror(errno);
        return errno == ENOENT ? ST_NOENT : errno == EACCES || errno == EROFS ? ST_ACCES : ST_IO;
    }
    if (!size_of(file->fd, &bytes, &block_bytes, why)) {
        close(file->fd);
        return ST_INVAL;
    }
    if (bytes < SECTOR_BYTES) {
        *why = "it holds no sector of 512 bytes: make it larger, with truncate -s for example";
        close(file->fd);
        return ST_INVAL;
    }
    file->holes = !read_only && holes_possible(file->fd, bytes);
    info = (struct bdev_info){
        .sectors = bytes / SECTOR_BYTES,
        .logical_block_bytes = SECTOR_BYTES,
        .physical_block_bytes = block_bytes < PHYSICAL_MAX ? SECTOR_BYTES : PHYSICAL_MAX,
        .seg_max = BLK_SEG_MAX,
        .read_only = read_only,
        .write_cache = true,
        .discard = file->holes,
        .write_zeroes = !read_only,
        .write_zeroes_may_unmap = file->holes,
        .range_sectors_max = BLK_RANGE_BYTES_MAX / SECTOR_BYTES,
    };
    info.discard_align_sectors = info.physical_block_bytes / SECTOR_BYTES;
    bdev_init(&file->dev, &file_ops, name, &info);
    return ST_OK;
}

bool bdev_file_resized(struct bdev_file *file)
{
    u64 *sectors = &file->dev.info.sectors;
    const char *why;
    u64 bytes;
    u32 block_bytes;

    if (!size_of(file->fd, &bytes, &block_bytes, &why) || bytes / SECTOR_BYTES == *sectors) {
        return false;
    }
    *sectors = bytes / SECTOR_BYTES;
    return true;
}

void bdev_file_close(struct bdev_file *file)
{
    close(file->fd);
    file->fd = -1;
}
