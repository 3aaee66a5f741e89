/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h - what the guest's kernel command line says.                          plane: control
 *
 *   job=NAME       verify: write, read back, compare (verify.h); hostile: break every rule of the
 *                  protocol, one after the other (hostile.h)
 *   seconds=N      this long is counted, from warm_ms after the start on, by the virtual counter
 *   warm_ms=N      load before and after what is counted, so that guests that start a little apart
 *                  are counted under the same load; 0 by default
 *   requests=N     end after so many requests of each disk, where that is earlier; 0: only by time
 *   depth=N        requests in flight of each disk, 1 to FRONT_DEPTH_MAX
 *   size=BYTES     of a request, whole sectors
 *   at=BYTES       where on the disk our piece begins
 *   span=BYTES     of our piece of a disk; the guest's disk number i begins at at + i * span
 *   seed=N         what the data and the order are made of
 *   wait           begin when xenstore's key `go`, in our own directory, is written; with every
 *                  change of it again, its first word a number and the others options as here,
 *                  which stay; when it says `off`, end
 *   spin=0|1       while there is nothing to do, yield and look again instead of sleeping: neither
 *                  protocol raises an event then; 0 by default
 *   grants=0|1     virtio: addresses are our own, or grants; by default what the device tree says
 *   stay=0|1       grants of data are offered once, or with every request; by default once for PV
 *                  disks, with every request for virtio, as Linux does
 *
 * N is decimal, BYTES may have a K, M or G. A word that is not known is refused.
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

#define FRONT_DEPTH_MAX 64
#define FRONT_WHY_MAX   120 /* bytes of a complaint, NUL included */

enum front_choice { CHOICE_AUTO, CHOICE_NO, CHOICE_YES };

struct front_options {
    char job[16];
    u64 seconds, warm_ms, requests;
    u32 depth;
    u32 size; /* bytes */
    u64 at, span, seed;
    bool wait, spin;
    enum front_choice grants, stay;
};

/** Options as nobody has said anything. */
void options_init(struct front_options *options);

/** Read words over what is there. ST_OK; ST_PROTO with a sentence in why[FRONT_WHY_MAX]. */
enum status options_parse(const char *text, struct front_options *options, char *why);
