/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - the image's clock, beside the port_now_ns() that everybody uses.      plane: control
 */
#pragma once

#include "start/base/status.h"
#include "start/base/types.h"

/**
 * Read the counter's frequency; port_now_ns() is 0 before. ST_OK, or ST_INVAL when CNTFRQ_EL0 holds
 * nonsense (a firmware that did not set it).
 */
enum status clock_init(void);

/** Ticks of the virtual counter and its frequency, for figures. */
u64 clock_ticks(void);
u64 clock_hz(void);
