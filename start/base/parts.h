/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts.h - what an image can be built without. `make PARTS=` names those that are in it; each is 1
 * or 0 here, and what is 0 is code that nobody calls, which the linker leaves out.
 */
#pragma once

#ifndef PART_PV
#define PART_PV 1 /* Xen's PV block protocol: start/pv.c */
#endif
#ifndef PART_GRANTS
#define PART_GRANTS 1 /* virtio devices whose guests grant pages: drivers/xen/gmem_grants.c */
#endif
#ifndef PART_RINGS
#define PART_RINGS 1 /* packed rings, and rings that return in order: virtio/virtq_packed.c */
#endif
#ifndef PART_ENTROPY
#define PART_ENTROPY 1 /* the entropy device: virtio/ventropy.c and its generator */
#endif
#ifndef PART_CONSOLE
#define PART_CONSOLE 1 /* the console device: virtio/vconsole.c, the commands tail and say */
#endif
#ifndef PART_LIMITS
#define PART_LIMITS 1 /* rates of disks: start/limit.c; time that guests owe each other */
#endif
#ifndef PART_EYES
#define PART_EYES 1 /* latency histograms; statistics and commands in xenstore: start/eyes.c */
#endif
#ifndef PART_TABLES
#define PART_TABLES \
    1 /* partition tables: blk/partition.c, the options part=, partuuid=, partlabel= */
#endif
