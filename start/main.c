/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - the composition root: what comes alive, in which order. The only file that knows
 * everyone.
 *
 * What is missing at start ends the domain with one sentence that names the cure. What goes wrong
 * later, with a guest, ends that guest's device.
 *
 * Next in the tour: start/poll.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "drivers/console/console.h"
#include "drivers/fdt/fdt_scan.h"
#include "drivers/gic/gic.h"
#include "drivers/timer/timer.h"
#include "drivers/xen/backend.h"
#include "drivers/xen/evtchn.h"
#include "drivers/xen/extregion.h"
#include "drivers/xen/gnttab.h"
#include "drivers/xen/grant_pages.h"
#include "drivers/xen/xen.h"
#include "drivers/xen/xs.h"
#include "start/attach.h"
#include "start/base/arith.h"
#include "start/base/parts.h"
#include "start/boot.h"
#include "start/clock.h"
#include "start/command.h"
#include "start/config.h"
#include "start/disks.h"
#include "start/eyes.h"
#include "start/mmu.h"
#include "start/port.h"
#include "start/pv.h"
#include "start/random.h"
#include "start/trap.h"
#include "start/turn.h"

#define EXTENDED_BYTES_MAX MIB(1024) /* of extended region that we map and use */

/** The whole state of the image, but for what drivers/xen keeps once per domain. */
struct machine {
    struct fdt_scan fdt;
    struct config config;
    struct memmap memory;
    struct memrange initrd;
    struct fdt_hypervisor hypervisor;
    struct gic gic;
    struct disks disks;
    struct attach attach;
    struct pv pv;
    struct turn turn;
    bool grant_room; /* address space for PV front ends' pages */
    struct xs xs;
    struct backend backend;
    struct poll_loop loop;
    struct report report;
    struct command_reader commands;
    struct eyes eyes;
    u32 console_port;
    bool console_ring;
};

/* Most of our memory: entry.S hands its address to start_c(). */
struct machine machine __attribute__((section(".far"), used));

/* --- the end -------------------------------------------------------------------------------- */

static void halt(void)
{
    xen_shutdown_crash();
}

/** Not our bug and not a guest's: the domain was given something it cannot work with. */
static _Noreturn void refuse_to_start(const char *sentence)
{
    log_error("cannot start: %s", sentence);
    console_flush();
    halt();
    for (;;) {
        port_sleep(POLL_NEVER);
    }
}

static void need(enum status st, const char *sentence)
{
    if (st != ST_OK) {
        refuse_to_start(sentence);
    }
}

/* --- what machine is this -------------------------------------------------------------------- */

static void fdt_init(struct machine *m, u64 dtb)
{
    char sentence[FDT_WHY_MAX];
    u32 bytes;

    if (dtb == 0 || !is_aligned(dtb, 8) || mmu_map(dtb, 8, MMU_RODATA) != ST_OK) {
        snprintf(sentence, sizeof(sentence),
                 "no device tree: x0 was 0x%" PRIx64 " at entry, not the address of one", dtb);
        refuse_to_start(sentence);
    }
    bytes = fdt_blob_bytes((const void *)(uintptr_t)dtb);
    if (bytes == 0) {
        snprintf(sentence, sizeof(sentence),
                 "no device tree: there is no FDT magic at 0x%" PRIx64 ", which x0 named", dtb);
        refuse_to_start(sentence);
    }
    need(mmu_map(dtb, bytes, MMU_RODATA),
         "the device tree lies over the image or outside of memory");
    need(fdt_scan_init(&m->fdt, (const void *)(uintptr_t)dtb, bytes), m->fdt.why);
}

static void config_init(struct machine *m)
{
    static char why[CONFIG_WHY_MAX];
    const char *bootargs;

    need(fdt_scan_bootargs(&m->fdt, &bootargs), m->fdt.why);
    need(config_parse(bootargs, &m->config, why), why);
    log_level_set(m->config.level);
}

/** What entropy devices are seeded with; it may be too little for them. */
static void seed_init(struct machine *m)
{
    const void *seed;
    u32 bytes;

    if (!PART_ENTROPY) {
        return;
    }
    random_init();
    if (fdt_scan_seed(&m->fdt, &seed, &bytes) == ST_OK) {
        random_add(seed, bytes, bytes * 8);
    }
    if (m->config.seed_given) {
        random_add(m->config.seed, sizeof(m->config.seed), sizeof(m->config.seed) * 8);
    }
    if (m->config.seed_weak && !random_ready()) {
        log_warn("seed=weak: entropy devices give bytes that others may guess, their seeds are "
                 "worth %" PRIu32 " of %u bits",
                 random_bits(), RANDOM_BITS_MIN);
        random_accept_weak();
    }
}

static void uart_init(struct machine *m)
{
    struct fdt_range uart;

    if (fdt_scan_uart(&m->fdt, &uart) == ST_OK &&
        mmu_map(uart.base, uart.bytes, MMU_DEVICE) == ST_OK) {
        (void)console_uart_init(uart.base);
    }
}

static enum status memory_access(u64 base, u64 bytes)
{
    return mmu_map(base, bytes, MMU_DATA);
}

static void memory_init(struct machine *m, u64 dtb)
{
    struct fdt_ranges ranges;
    struct fdt_range initrd;
    enum status st;

    memmap_init(&m->memory, memory_access);
    need(fdt_scan_memory(&m->fdt, &ranges), m->fdt.why);
    for (u32 i = 0; i < ranges.count; i++) {
        need(memmap_add_bank(&m->memory, ranges.range[i].base, ranges.range[i].bytes),
             "device tree: more memory banks than MEMMAP_BANKS_MAX");
    }
    need(fdt_scan_reserved(&m->fdt, &ranges), m->fdt.why);
    for (u32 i = 0; i < ranges.count; i++) {
        need(memmap_reserve(&m->memory, ranges.range[i].base, ranges.range[i].bytes),
             "device tree: more reserved ranges than MEMMAP_TAKEN_MAX");
    }
    need(memmap_reserve(&m->memory, mmu_image_base(), image_bytes),
         "no room for the image in the memory map");
    need(memmap_reserve(&m->memory, dtb, m->fdt.bytes), "no room for the tree in the memory map");
    st = fdt_scan_initrd(&m->fdt, &initrd);
    if (st == ST_NOENT) {
        return;
    }
    need(st, m->fdt.why);
    if (!memmap_contains(&m->memory, initrd.base, initrd.bytes)) {
        refuse_to_start("/chosen: linux,initrd-start and -end name an initrd outside of memory");
    }
    need(memmap_reserve(&m->memory, initrd.base, initrd.bytes), "no room for the initrd");
    need(mmu_map(initrd.base, initrd.bytes, MMU_DATA),
         "the initrd lies over the image or the tree");
    m->initrd = (struct memrange){initrd.base, initrd.bytes};
}

/* --- interrupts: they only end a sleep ------------------------------------------------------- */

static void woken(void *ctx)
{
    struct machine *m = ctx;

    (void)gic_drain(&m->gic);
    evtchn_drain();
}

static void disarmed(void *ctx)
{
    (void)ctx;
    evtchn_all_masked();
}

static void interrupts_init(struct machine *m)
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

/* --- Xen ------------------------------------------------------------------------------------ */

/** Use the free guest-physical ranges that Xen names, EXTENDED_BYTES_MAX of them at most. */
static void extended_init(struct machine *m)
{
    struct extregion_range used[EXTREGION_REGIONS_MAX];
    const struct fdt_ranges *tree = &m->hypervisor.extended;
    u64 left = EXTENDED_BYTES_MAX;
    u32 count = 0;

    for (u32 i = 0; i < tree->count && count < EXTREGION_REGIONS_MAX && left > 0; i++) {
        u64 base = align_up(tree->range[i].base, WINDOW_BYTES);
        u64 end = align_down(tree->range[i].base + tree->range[i].bytes, WINDOW_BYTES);
        u64 bytes = end > base ? min_u64(end - base, left) : 0;

        if (bytes > 0 && mmu_map(base, bytes, MMU_DATA) == ST_OK) {
            used[count++] = (struct extregion_range){base, bytes};
            left -= bytes;
        }
    }
    if (count == 0) {
        refuse_to_start(
            "/hypervisor: no extended region to map guests' pages in: Xen 4.16 or newer "
            "writes reg[1..]");
    }
    need(extregion_init(used, count), "/hypervisor: extended regions overlap");
}

static void xen_init(struct machine *m)
{
    u64 page;

    extended_init(m);
    need(extregion_alloc(PAGE_BYTES, PAGE_BYTES, &page), "no page for Xen's shared information");
    need(evtchn_init(page), "Xen does not map its shared information page");
    need(mmu_map(m->hypervisor.grants.base, m->hypervisor.grants.bytes, MMU_DATA),
         "/hypervisor: the grant area lies over memory");
    need(gnttab_init(m->hypervisor.grants.base, m->hypervisor.grants.bytes),
         "Xen does not map our grant table");
    m->grant_room = PART_PV && grant_pages_init() == ST_OK;
    if (PART_GRANTS) {
        (void)gmem_grants_init(); /* a device that needs it is refused with a word */
    }
    need(gmem_foreign_init(), "the extended regions have no room for one memory window");
}

static void console_notify(void *ctx)
{
    const struct machine *m = ctx;

    (void)evtchn_send(m->console_port);
}

/** A page the toolstack set up for us, such as the console ring: mapped, or NULL when there is
 * none. */
static void *toolstack_page(enum xen_param frame, enum xen_param event, u32 *port)
{
    u64 pfn, evtchn;

    if (xen_param_get(frame, &pfn) != ST_OK || xen_param_get(event, &evtchn) != ST_OK ||
        pfn >= BIT64(MMU_ADDRESS_BITS - 12) || evtchn >= EVTCHN_PORTS_MAX ||
        mmu_map(pfn * PAGE_BYTES, PAGE_BYTES, MMU_DATA) != ST_OK) {
        return NULL;
    }
    *port = (u32)evtchn;
    return (void *)(uintptr_t)(pfn * PAGE_BYTES);
}

static void console_init(struct machine *m)
{
    void *page = toolstack_page(XEN_PARAM_CONSOLE_PFN, XEN_PARAM_CONSOLE_EVTCHN, &m->console_port);

    if (page) {
        m->console_ring = console_ring_init(page, console_notify, m) == ST_OK;
    }
}

static void xenstore_init(struct machine *m)
{
    u32 port;
    void *page = toolstack_page(XEN_PARAM_STORE_PFN, XEN_PARAM_STORE_EVTCHN, &port);

    if (!page) {
        refuse_to_start(
            "no xenstore: the toolstack gave this domain no xenstore page; start it with xl, "
            "or dom0less with xen,enhanced and init-dom0less in Dom0");
    }
    xs_init(&m->xs, page, port);
}

/* --- pollers of the control plane ------------------------------------------------------------ */

static u32 poll_console(void *ctx, u32 budget)
{
    struct machine *m = ctx;
    char typed[32];
    usize bytes = console_ring_read(typed, sizeof(typed));
    u32 work = console_ring_poll();

    (void)budget;
    if (bytes > 0) {
        command_feed(&m->commands, typed, bytes);
    }
    return work + (u32)bytes;
}

static bool arm_console(void *ctx)
{
    struct machine *m = ctx;

    return evtchn_unmask_take(m->console_port) || poll_console(m, 1) > 0;
}

static void disarm_console(void *ctx)
{
    struct machine *m = ctx;

    evtchn_mask(m->console_port);
}

/* --- PV disks -------------------------------------------------------------------------------- */

static void pv_begin(struct machine *m)
{
    u64 page;

    need(memmap_take(&m->memory, PAGE_BYTES, PAGE_BYTES, &page), "no memory is left for a page");
    pv_init(&m->pv, &(struct pv_init){
                        .disks = &m->disks,
                        .be = &m->backend,
                        .shares = &m->turn.shares,
                        .seg_page = (u8 *)(uintptr_t)page,
                        .room = m->grant_room,
                    });
    m->turn.pv = &m->pv;
}

static void pollers_init(struct machine *m)
{
    poll_init(&m->loop, m->config.spin_ns);
    m->loop.woken = woken;
    m->loop.disarmed = disarmed;
    m->loop.woken_ctx = m;
    turn_add_pollers(&m->turn, &m->loop);
    poll_add(&m->loop, &(struct poller){
                           .seldom = true,
                           .poll = disks_poll,
                           .arm = disks_arm,
                           .disarm = disks_disarm,
                           .ctx = &m->disks,
                       });
    poll_add(&m->loop, &(struct poller){
                           .seldom = true,
                           .poll = xs_poll,
                           .arm = xs_arm,
                           .disarm = xs_disarm,
                           .deadline_ns = xs_deadline_ns,
                           .ctx = &m->xs,
                       });
    poll_add(&m->loop, &(struct poller){
                           .seldom = true,
                           .poll = backend_poll,
                           .deadline_ns = backend_deadline_ns,
                           .ctx = &m->backend,
                       });
    if (PART_EYES) {
        poll_add(&m->loop, &(struct poller){
                               .seldom = true,
                               .poll = eyes_poll,
                               .deadline_ns = eyes_deadline_ns,
                               .ctx = &m->eyes,
                           });
    }
    if (m->console_ring) {
        poll_add(&m->loop, &(struct poller){
                               .seldom = true,
                               .poll = poll_console,
                               .arm = arm_console,
                               .disarm = disarm_console,
                               .ctx = m,
                           });
    }
}

static void hello(void)
{
    u32 major = 0, minor = 0;

    need(xen_version(&major, &minor),
         "there is no Xen under us: this image is a kernel for a Xen guest");
    log_info("Caisson on Xen %u.%u, image at 0x%" PRIx64 ", %u KiB", major, minor, mmu_image_base(),
             image_bytes >> 10);
}

_Noreturn void start_c(u64 dtb, struct machine *m)
{
    static char why[CONFIG_WHY_MAX];

    log_init(); /* words are kept until a console comes     */
    trap_set_halt(halt);
    trap_set_flush(console_flush);
    (void)console_hyp_init(xen_console_write); /* dom0less, debug builds: from the first line */
    need(clock_init(), "CNTFRQ_EL0 holds nonsense: the firmware did not set it");
    console_init(m); /* what xl console shows                    */
    hello();
    fdt_init(m, dtb); /* what machine is this                     */
    config_init(m);
    seed_init(m); /* what nobody can guess                    */
    uart_init(m);
    memory_init(m, dtb); /* our RAM and who has it                   */
    need(fdt_scan_hypervisor(&m->fdt, &m->hypervisor), m->fdt.why);
    interrupts_init(m); /* v2 or v3, as the tree says               */
    xen_init(m);        /* shared info, event channels, grants      */
    xenstore_init(m);   /* xenstore client                          */
    (void)trap_selftest(m->config.selftest);
    (void)xen_privilege_probe(); /* what may we do here, and the cure        */
    need(disks_init(&m->disks, &m->config, &m->memory, &m->initrd, why), why);
    attach_init(&m->attach, &m->disks, &m->turn.shares);
    m->turn.attach = &m->attach;
    backend_init(&m->backend, &m->xs, &attach_backend_ops, &m->attach);
    if (PART_PV) {
        pv_begin(m);
    }
    m->report = (struct report){
        .attach = &m->attach, .pv = &m->pv, .turn = &m->turn, .loop = &m->loop, .gic = &m->gic};
    command_init(&m->commands, &m->report, &m->attach, &m->pv);
    if (PART_EYES) {
        eyes_init(&m->eyes, &m->xs, &m->report);
    }
    pollers_init(m);
    log_info("ready after %" PRIu64 " ticks of %" PRIu64 " Hz", clock_ticks() - boot_ticks,
             clock_hz());
    poll_forever(&m->loop); /* does not return                          */
}
