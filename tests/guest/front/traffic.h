/* SPDX-License-Identifier: BSD-2-Clause */
/* traffic.h - what a front end counts beside its requests. */
#pragma once

#include "start/base/types.h"

struct front_traffic {
    u64 kicks;      /* events we raised */
    u64 interrupts; /* events raised at us and taken */
    u64 nonsense;   /* answers to nothing that was asked */
    u64 in_use;     /* pages that the backend had in use after its answer */
};
