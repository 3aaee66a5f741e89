/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * machine.c - the front-end guest's machine. See machine.h.
 */
#include "tests/guest/front/machine.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "drivers/console/console.h"
#include "drivers/xen/evtchn.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/hypercall.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xen_abi.h"
#include "start/base/arith.h"
#include "start/base/log.h"
#include "start/boot.h"
#include "start/clock.h"
#include "start/mmu.h"
#include "start/port.h"
#include "start/trap.h"

#define SENTENCE_MAX 200 /* bytes of a refusal, NUL included */

/* --- the end -------------------------------------------------------------------------------- */

static void halt(void)
{
    xen_shutdown_crash();
}

static _Noreturn void stay(void)
{
    for (;;) {
        port_sleep(FRONT_NEVER);
    }
}

void machine_refuse(const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    log_error("front cannot go on: %s", sentence);
    console_flush();
    halt();
    stay();
}

void machine_off(void)
{
    struct sched_shutdown arg = {.reason = SHUTDOWN_poweroff};

    console_flush();
    (void)hypercall2(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (unsigned long)&arg);
    stay();
}

static void need(enum status st, const char *sentence)
{
    if (st != ST_OK) {
        machine_refuse("%s", sentence);
    }
}

/* --- start ---------------------------------------------------------------------------------- */

static void tree_init(struct front_machine *m, u64 dtb)
{
    u32 bytes;

    need(dtb != 0 && is_aligned(dtb, 8) ? mmu_map(dtb, 8, MMU_RODATA) : ST_INVAL,
         "x0 was no address of a device tree");
    bytes = fdt_blob_bytes((const void *)(uintptr_t)dtb);
    need(bytes ? mmu_map(dtb, bytes, MMU_RODATA) : ST_PROTO, "x0 named no device tree");
    need(fdt_scan_init(&m->fdt, (const void *)(uintptr_t)dtb, bytes), m->fdt.why);
}

static enum status memory_access(u64 base, u64 bytes)
{
    return mmu_map(base, bytes, MMU_DATA);
}

static void memory_init(struct front_machine *m, u64 dtb)
{
    struct fdt_ranges ranges;

    memmap_init(&m->memory, memory_access);
    need(fdt_scan_memory(&m->fdt, &ranges), m->fdt.why);
    for (u32 i = 0; i < ranges.count; i++) {
        need(memmap_add_bank(&m->memory, ranges.range[i].base, ranges.range[i].bytes),
             "too many memory banks");
    }
    need(fdt_scan_reserved(&m->fdt, &ranges), m->fdt.why);
    for (u32 i = 0; i < ranges.count; i++) {
        need(memmap_reserve(&m->memory, ranges.range[i].base, ranges.range[i].bytes),
             "too many reserved ranges");
    }
    need(memmap_reserve(&m->memory, mmu_image_base(), image_bytes), "no room for the image");
    need(memmap_reserve(&m->memory, dtb, m->fdt.bytes), "no room for the tree");
}

static void interrupts_init(struct front_machine *m)
{
    struct fdt_gic tree;
    struct gic_info info;
    u32 timer_intid, line;

    need(fdt_scan_gic(&m->fdt, &tree), m->fdt.why);
    need(mmu_map(tree.dist.base, tree.dist.bytes, MMU_DEVICE), "the GIC lies over memory");
    need(mmu_map(tree.cpu.base, tree.cpu.bytes, MMU_DEVICE), "the GIC lies over memory");
    info = (struct gic_info){
        .version = tree.version,
        .dist_base = tree.dist.base,
        .dist_bytes = tree.dist.bytes,
        .cpu_base = tree.cpu.base,
        .cpu_bytes = tree.cpu.bytes,
        .redist_stride = tree.redist_stride,
        .cpu_affinity = gic_cpu_affinity(),
    };
    need(gic_init(&m->gic, &info), "the interrupt controller does not answer as the tree says");
    need(fdt_scan_timer(&m->fdt, &timer_intid), m->fdt.why);
    need(gic_enable(&m->gic, timer_intid, &line), "the GIC has no such timer interrupt");
    need(gic_enable(&m->gic, m->hypervisor.evtchn_intid, &line),
         "the GIC has no such event-channel interrupt");
}

static void xen_pages_init(struct front_machine *m)
{
    u64 page;

    need(m->hypervisor.extended.count > 0 ? ST_OK : ST_NOENT,
         "/hypervisor: no extended region for Xen's shared page: Xen 4.16 or newer is needed");
    page = align_up(m->hypervisor.extended.range[0].base, PAGE_BYTES);
    need(mmu_map(page, PAGE_BYTES, MMU_DATA), "the extended region lies over memory");
    need(evtchn_init(page), "Xen does not map its shared information page");
    need(mmu_map(m->hypervisor.grants.base, m->hypervisor.grants.bytes, MMU_DATA),
         "/hypervisor: the grant area lies over memory");
    need(gnttab_init(m->hypervisor.grants.base, m->hypervisor.grants.bytes),
         "Xen does not map our grant table");
}

static void *toolstack_page(enum xen_param frame, enum xen_param event, u32 *port)
{
    u64 pfn, evtchn;

    if (xen_param_get(frame, &pfn) != ST_OK || xen_param_get(event, &evtchn) != ST_OK ||
        mmu_map(pfn * PAGE_BYTES, PAGE_BYTES, MMU_DATA) != ST_OK) {
        return NULL;
    }
    *port = (u32)evtchn;
    return (void *)(uintptr_t)(pfn * PAGE_BYTES);
}

static void console_notify(void *ctx)
{
    const struct front_machine *m = ctx;

    (void)evtchn_send(m->console_port);
}

void machine_init(struct front_machine *m, u64 dtb)
{
    void *page;
    u32 port;

    log_init();
    trap_set_halt(halt);
    trap_set_flush(console_flush);
    need(clock_init(), "CNTFRQ_EL0 holds nonsense");
    page = toolstack_page(XEN_PARAM_CONSOLE_PFN, XEN_PARAM_CONSOLE_EVTCHN, &m->console_port);
    if (page) {
        need(console_ring_init(page, console_notify, m), "no room for the console");
    }
    tree_init(m, dtb);
    memory_init(m, dtb);
    need(fdt_scan_hypervisor(&m->fdt, &m->hypervisor), m->fdt.why);
    interrupts_init(m);
    xen_pages_init(m);
    page = toolstack_page(XEN_PARAM_STORE_PFN, XEN_PARAM_STORE_EVTCHN, &port);
    need(page ? ST_OK : ST_NOENT, "no xenstore: start this domain with xl");
    xs_init(&m->xs, page, port);
}

u8 *machine_pages(struct front_machine *m, u32 count)
{
    u64 bytes = (u64)count * PAGE_BYTES;
    u64 base;

    if (memmap_take(&m->memory, bytes, PAGE_BYTES, &base) != ST_OK) {
        machine_refuse("no %" PRIu64 " KiB of memory are left: give the guest more, or take less "
                       "depth= or size=",
                       bytes >> 10);
    }
    memset((void *)(uintptr_t)base, 0, bytes);
    return (u8 *)(uintptr_t)base;
}

/* --- turns and sleeps ------------------------------------------------------------------------ */

u32 machine_turn(struct front_machine *m)
{
    return xs_poll(&m->xs, 1) + console_ring_poll();
}

void machine_sleep(struct front_machine *m, u64 deadline_ns)
{
    deadline_ns = min_u64(deadline_ns, xs_deadline_ns(&m->xs));
    if (!xs_arm(&m->xs) && deadline_ns > port_now_ns()) {
        port_sleep(deadline_ns);
        m->interrupts |= gic_drain(&m->gic);
        evtchn_drain();
    }
}

void machine_yield(void)
{
    (void)hypercall2(__HYPERVISOR_sched_op, SCHEDOP_yield, 0);
}

void machine_awake(struct front_machine *m)
{
    xs_disarm(&m->xs);
    evtchn_all_masked();
}

bool machine_wait(struct front_machine *m, const bool *flag, u64 deadline_ns)
{
    while (!*flag && port_now_ns() < deadline_ns) {
        if (machine_turn(m) == 0) {
            machine_sleep(m, deadline_ns);
            machine_awake(m);
        }
    }
    return *flag;
}
