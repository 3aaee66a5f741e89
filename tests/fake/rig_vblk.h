/* SPDX-License-Identifier: BSD-2-Clause */
/* rig_vblk.h - the bench that all tests of vblk stand at: fresh for each, and nothing leaked. */
#pragma once

#include "tests/fake/bench.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

extern struct bench b;

/** For cmocka: a device with everything offered, and the check that it held nothing back. */
int rig_vblk_setup(void **state);
int rig_vblk_teardown(void **state);

#define VBLK_TEST(name) cmocka_unit_test_setup_teardown(name, rig_vblk_setup, rig_vblk_teardown)

/** The request's data is what the disk holds from sector on. */
void expect_data(const struct driver_blk *blk, u64 sector);
