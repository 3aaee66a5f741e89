/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_arm64.c - the machine behind port.h: the virtual counter and its timer, WFI.  plane: both
 *
 * The virtual timer is only an alarm clock for port_sleep(): its interrupt, enabled in the GIC by
 * main.c, ends WFI and is acknowledged by gic_drain() like any other.    [ARMv8] D11
 */
#include "start/port.h"

#include "drivers/timer/timer.h"
#include "start/clock.h"

#define CNTV_CTL_OFF 0
#define CNTV_CTL_ON  1 /* ENABLE, IMASK clear */

static struct timer_scale scale;

static inline u64 counter_read(void)
{
    u64 ticks;

    /* The ISB keeps the read from being done early, before what it is to measure. */
    __asm__ volatile("isb\n mrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}

u64 clock_hz(void)
{
    u64 hz;

    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
    return hz & UINT32_MAX;
}

u64 clock_ticks(void)
{
    return counter_read();
}

enum status clock_init(void)
{
    return timer_scale_init(&scale, clock_hz());
}

u64 port_now_ns(void)
{
    return timer_ticks_to_ns(&scale, counter_read());
}

void port_relax(void)
{
    __asm__ volatile("yield" : : : "memory");
}

static void alarm_set(u64 control)
{
    __asm__ volatile("msr cntv_ctl_el0, %0\n isb" : : "r"(control) : "memory");
}

void port_sleep(u64 deadline_ns)
{
    bool alarm = deadline_ns != UINT64_MAX;

    if (alarm) {
        u64 ticks = counter_read();
        u64 now_ns = timer_ticks_to_ns(&scale, ticks);

        if (deadline_ns <= now_ns) {
            return;
        }
        ticks += timer_ns_to_ticks(&scale, deadline_ns - now_ns);
        __asm__ volatile("msr cntv_cval_el0, %0" : : "r"(ticks));
        alarm_set(CNTV_CTL_ON);
    }
    /* Every store of ours is visible before we stop looking. A pending interrupt ends WFI at once.
     */
    __asm__ volatile("dsb sy\n wfi" : : : "memory");
    if (alarm) {
        alarm_set(CNTV_CTL_OFF);
    }
}

#define RNDR_TRIES 10 /* the generator may be busy: asked again */

static bool rndr_is_there(void)
{
    u64 isar0;

    __asm__("mrs %0, id_aa64isar0_el1" : "=r"(isar0));
    return isar0 >> 60 != 0; /* RNDR, bits 63:60 */
}

bool port_random_u64(u64 *value)
{
    bool good = false;

    for (u32 i = 0; i < RNDR_TRIES && !good && rndr_is_there(); i++) {
        u64 word, ok;

        /* s3_3_c2_c4_0 is RNDR; Z is set when there was no number in time. */
        __asm__ volatile("mrs %0, s3_3_c2_c4_0\n cset %1, ne" : "=r"(word), "=r"(ok) : : "cc");
        *value = word;
        good = ok != 0;
    }
    return good;
}
