/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verify.h - the verified job: write blocks, read them back, compare.                plane: data
 *
 * The content of a block follows from (seed, disk, sector, generation); each write of it is a new
 * generation. A slot has blocks of its own, so that a block is in one request at a time. At the end
 * every block that was ever written is read once more.
 *
 * Its words on the console, one line for each disk, then one for all:
 *   front result disk=N proto=virtio|vbd grants=0|1 requests=N all=N reads=N writes=N checked=N
 *         errors=N wrong=N nonsense=N in_use=N kicks=N irqs=N
 *   front done disks=N requests=N errors=N ms=N
 * requests= were completed in the counted time (options.h), all= at any time; errors= of the last
 * line are all that is not as it should be.
 */
#pragma once

#include "tests/guest/front/disk.h"

/** Run it once on all disks; returns what went wrong, 0 for nothing. */
u64 verify_run(struct front_machine *m, const struct front_options *options,
               struct front_disk *disk, u32 count);
