/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.h - the front-end guest's machine: what start/main.c is for the image.   plane: control
 *
 * The same parts of start/ and drivers/, brought up in the same order; what is missing ends the
 * domain with a sentence. One vCPU, no interrupt is ever taken: it only ends a sleep.
 */
#pragma once

#include "drivers/fdt/fdt_scan.h"
#include "drivers/gic/gic.h"
#include "drivers/xen/xs.h"
#include "start/memmap.h"

#define FRONT_NEVER UINT64_MAX

struct front_machine {
    struct fdt_scan fdt;
    struct memmap memory;
    struct fdt_hypervisor hypervisor;
    struct gic gic;
    struct xs xs;
    u32 console_port;
    u32 interrupts; /* lines of gic_drain() since start: a bit for each */
};

/** Bring everything up; dtb is x0 as the loader gave it. Does not return without it. */
void machine_init(struct front_machine *m, u64 dtb);

/** End the domain with a sentence: it was given something it cannot work with. */
_Noreturn void machine_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The work is done: say all that is left to say, and switch the domain off. */
_Noreturn void machine_off(void);

/** Whole pages of RAM, zeroed, at an address that is physical too. Ends the domain without. */
u8 *machine_pages(struct front_machine *m, u32 count);

/** Xenstore and console have their turn. Returns the work done. */
u32 machine_turn(struct front_machine *m);

/**
 * Sleep until an interrupt or until deadline_ns; the ports that shall wake us are unmasked by their
 * owners before, and masked by them after. Xenstore always wakes us.
 */
void machine_sleep(struct front_machine *m, u64 deadline_ns);

/** Another domain may run. */
void machine_yield(void);

/** Behind a sleep, when every port is masked again. */
void machine_awake(struct front_machine *m);

/** Turns and sleeps until *flag is set or the deadline has passed; whether it is set. */
bool machine_wait(struct front_machine *m, const bool *flag, u64 deadline_ns);
