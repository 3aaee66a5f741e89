/* SPDX-License-Identifier: BSD-2-Clause */
/* changing.c - guest memory that changes between any two reads. */
#include "tests/fake/changing.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "start/base/arith.h"
#include "start/base/check.h"

#if !defined(__x86_64__)
#error "changing.c steps over single instructions of x86-64"
#endif

#define PAGES_MAX      64
#define OPEN_MAX       4     /* pages that one instruction may touch */
#define PENDING_MAX    64    /* cells read by a copy of the C library */
#define EFLAGS_TRAP    0x100 /* stop after one instruction */
#define FAULT_IS_WRITE 0x2   /* page fault error code */
#define PAGE           UINT64_C(4096)

struct range {
    u64 addr;
    u32 bytes, cell_bytes;
    u8 *at;
};

static struct changing *watch;
static struct range ranges[CHANGING_RANGES_MAX];
static u32 range_count;
static u8 *pages[PAGES_MAX];
static u32 page_count;
static u8 *open_pages[OPEN_MAX];
static u32 open_count;
static u8 *pending[PENDING_MAX];
static u32 pending_count;
static bool in_library;
static struct sigaction old_segv, old_trap;

extern const char __executable_start[], etext[];

/** The instruction is the program's own, not one of a library's copy loop. */
static bool is_ours(u64 at)
{
    return at >= (u64)__executable_start && at < (u64)etext;
}

static void page_add(u8 *page)
{
    for (u32 i = 0; i < page_count; i++) {
        if (pages[i] == page) {
            return;
        }
    }
    CHECK(page_count < PAGES_MAX);
    pages[page_count++] = page;
}

static void protect(u8 *page, int how)
{
    if (mprotect(page, PAGE, how) != 0) {
        panic("changing: mprotect failed");
    }
}

/** Where the cell begins that holds at; NULL when nothing there changes. */
static u8 *cell_at(const u8 *at, u32 *bytes)
{
    for (u32 i = 0; i < range_count; i++) {
        u64 offset = (u64)(at - ranges[i].at);

        if (ranges[i].cell_bytes > 0 && offset < ranges[i].bytes) {
            *bytes = ranges[i].cell_bytes;
            return ranges[i].at + align_down(offset, ranges[i].cell_bytes);
        }
    }
    return NULL;
}

static u64 changed(u64 value)
{
    switch (watch->how) {
    case CHANGING_ONES:
        return UINT64_MAX;
    case CHANGING_ZERO:
        return 0;
    case CHANGING_FLIPS:
        return ~value;
    case CHANGING_COUNTS:
        return value + 1;
    case CHANGING_KEEPS:
    case CHANGING_HOW_COUNT:
        break;
    }
    return value;
}

static void change(const u8 *at)
{
    u32 bytes = 0;
    u8 *cell = cell_at(at, &bytes);
    u64 value = 0;

    if (!cell || watch->how == CHANGING_KEEPS) {
        return;
    }
    memcpy(&value, cell, bytes);
    value = changed(value);
    memcpy(cell, &value, bytes);
    watch->changes++;
}

/** The pages of the pending cells must be open. */
static void change_pending(void)
{
    for (u32 i = 0; i < pending_count; i++) {
        protect((u8 *)align_down((u64)pending[i], PAGE), PROT_READ | PROT_WRITE);
        change(pending[i]);
        protect((u8 *)align_down((u64)pending[i], PAGE), PROT_NONE);
    }
    pending_count = 0;
}

static void on_segv(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    u8 *at = info->si_addr;
    u8 *page = (u8 *)align_down((u64)at, PAGE);
    bool ours = is_ours((u64)uc->uc_mcontext.gregs[REG_RIP]);
    bool known = false;

    (void)number;
    for (u32 i = 0; watch && i < page_count; i++) {
        known |= pages[i] == page;
    }
    if (!known || open_count == OPEN_MAX) { /* a fault like any other: let it happen again */
        sigaction(SIGSEGV, &old_segv, NULL);
        return;
    }
    if (ours || !in_library) {
        change_pending(); /* whatever was copied before is complete */
    }
    in_library = !ours;
    if (uc->uc_mcontext.gregs[REG_ERR] & FAULT_IS_WRITE) {
        watch->writes++;
        if (watch->on_write) {
            u64 window = 0;

            while (at < watch->arena->window[window] ||
                   at >= watch->arena->window[window] + watch->arena->window_bytes) {
                window++;
                CHECK(window < watch->arena->window_count);
            }
            for (u32 i = 0; i < page_count; i++) {
                protect(pages[i], PROT_READ | PROT_WRITE);
            }
            watch->on_write(watch->ctx, ARENA_BASE + window * watch->arena->window_bytes +
                                            (u64)(at - watch->arena->window[window]));
            for (u32 i = 0; i < page_count; i++) {
                protect(pages[i], PROT_NONE);
            }
        }
    } else {
        watch->reads++;
        CHECK(pending_count < PENDING_MAX);
        pending[pending_count++] = at;
    }
    protect(page, PROT_READ | PROT_WRITE);
    open_pages[open_count++] = page;
    uc->uc_mcontext.gregs[REG_EFL] |= EFLAGS_TRAP;
}

/** The instruction is over. */
static void on_trap(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)number;
    (void)info;
    uc->uc_mcontext.gregs[REG_EFL] &= ~EFLAGS_TRAP;
    for (u32 i = 0; i < open_count; i++) {
        protect(open_pages[i], PROT_NONE);
    }
    open_count = 0;
    if (!in_library) {
        change_pending();
    }
}

void changing_add(u64 addr, u32 bytes, u32 cell_bytes)
{
    CHECK(range_count < CHANGING_RANGES_MAX && bytes > 0);
    ranges[range_count++] = (struct range){addr, bytes, cell_bytes, NULL};
}

void changing_start(struct changing *changing)
{
    struct sigaction segv = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    watch = changing;
    page_count = open_count = pending_count = 0;
    in_library = false;
    for (u32 i = 0; i < range_count; i++) {
        u8 *last;

        ranges[i].at = arena_byte(changing->arena, ranges[i].addr);
        last = ranges[i].at + ranges[i].bytes - 1;
        CHECK(arena_byte(changing->arena, ranges[i].addr + ranges[i].bytes - 1) == last);
        for (u64 page = align_down((u64)ranges[i].at, PAGE); page <= (u64)last; page += PAGE) {
            page_add((u8 *)page);
        }
    }
    sigaction(SIGSEGV, &segv, &old_segv);
    sigaction(SIGTRAP, &trap, &old_trap);
    for (u32 i = 0; i < page_count; i++) {
        protect(pages[i], PROT_NONE);
    }
}

void changing_stop(void)
{
    for (u32 i = 0; i < page_count; i++) {
        protect(pages[i], PROT_READ | PROT_WRITE);
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGTRAP, &old_trap, NULL);
    watch = NULL;
    range_count = page_count = 0;
}
