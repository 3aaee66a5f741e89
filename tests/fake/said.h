/* SPDX-License-Identifier: BSD-2-Clause */
/* said.h - what the log said: a sink that keeps the last lines for a test to look at. */
#pragma once

#include "start/base/types.h"

/** Start the log anew with this sink alone. */
void said_reset(void);
/** True when a line since the last said_reset() held these words. */
bool said(const char *words);
/** How many times they were said. */
u32 said_count(const char *words);
