/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trap.c - the report.
 *
 * Written so that it needs as little as possible of the program that has just failed: no memory but
 * its own stack and the log, every pointer checked before it is followed, every loop bounded. A
 * fault in here comes back to trap_entry(), which then says less each time.
 */
#include "start/trap.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "start/base/arith.h"
#include "start/base/check.h"
#include "start/base/log.h"
#include "start/boot.h"
#include "start/mmu.h"

#define FRAMES_MAX 32     /* call chain lines of a report */
#define PANIC_BRK  0xca15 /* BRK comment: panic() has said why already */
#define PANIC_MAX  200    /* bytes of a panic's sentence, NUL included */

/* ESR_EL1 [ARMv8] D13.2.37 */
#define ESR_EC(esr)   ((u32)((esr) >> 26) & 0x3f)
#define ESR_ISS(esr)  (0x1ffffff & (u32)(esr))
#define ISS_WRITE     BIT32(6)
#define ISS_FAR_WRONG BIT32(10)
#define EC_UNKNOWN    0x00
#define EC_SIMD       0x07
#define EC_BTI        0x0d
#define EC_ILLEGAL    0x0e
#define EC_HVC        0x16
#define EC_SYSREG     0x18
#define EC_FETCH      0x21
#define EC_PC_ALIGN   0x22
#define EC_DATA       0x25
#define EC_SP_ALIGN   0x26
#define EC_SERROR     0x2f
#define EC_BRK        0x3c

static void (*halt_hook)(void);
static void (*flush_hook)(void);
static u32 depth; /* reports begun: a second one failed in the first */

void trap_set_halt(void (*halt)(void))
{
    halt_hook = halt;
}

void trap_set_flush(void (*flush)(void))
{
    flush_hook = flush;
}

static _Noreturn void stop(void)
{
    if (flush_hook && depth <= 2) {
        flush_hook();
    }
    if (halt_hook && depth <= 3) {
        halt_hook();
    }
    for (;;) {
        __asm__ volatile("wfi" : : : "memory");
    }
}

static const char *class_words(u32 ec)
{
    switch (ec) {
    case EC_UNKNOWN:
        return "undefined instruction";
    case EC_SIMD:
        return "SIMD instruction while switched off";
    case EC_BTI:
        return "branch to a place that is no target";
    case EC_ILLEGAL:
        return "illegal execution state";
    case EC_HVC:
        return "hypervisor call refused";
    case EC_SYSREG:
        return "system register access refused";
    case EC_FETCH:
        return "instruction fetch";
    case EC_PC_ALIGN:
        return "misaligned program counter";
    case EC_DATA:
        return "data access";
    case EC_SP_ALIGN:
        return "misaligned stack pointer";
    case EC_SERROR:
        return "asynchronous external abort";
    case EC_BRK:
        return "breakpoint instruction";
    default:
        return "unexpected exception class";
    }
}

/** The status code of aborts, ISS bits 5..0 [ARMv8] D13.2.37. */
static const char *fault_words(u32 iss)
{
    switch (iss & 0x3c) {
    case 0x00:
        return "address too large for the tables";
    case 0x04:
        return "translation fault: nothing is mapped there";
    case 0x08:
        return "access flag fault";
    case 0x0c:
        return "permission fault: mapped, but not for this";
    case 0x14:
        return "external abort on a table walk";
    default:
        break;
    }
    switch (iss & 0x3f) {
    case 0x10:
        return "external abort: no memory or device answers, or the hypervisor refused it";
    case 0x21:
        return "alignment fault";
    case 0x30:
        return "TLB conflict";
    default:
        return "unusual fault code";
    }
}

static bool inside(u64 addr, const u8 *start, const u8 *end)
{
    return addr >= (u64)(uintptr_t)start && addr < (u64)(uintptr_t)end;
}

/** What the address of an access says about the mistake. */
static const char *place_words(u64 addr)
{
    if (addr < MMU_PAGE_BYTES) {
        return "page 0: a null pointer";
    }
    if (inside(addr, stack_guard, stack_bottom)) {
        return "the guard page below the stack: stack overflow";
    }
    if (inside(addr, image_start, text_end)) {
        return "our code";
    }
    if (inside(addr, text_end, rodata_end)) {
        return "our constants";
    }
    if (inside(addr, rodata_end, data_end)) {
        return "our initialised data";
    }
    if (inside(addr, stack_bottom, stack_top)) {
        return "our stack";
    }
    return inside(addr, data_end, image_start + image_bytes) ? "our data" : "outside the image";
}

static u64 image_offset(u64 addr)
{
    return addr - (u64)(uintptr_t)image_start;
}

static void report_frame(u32 number, u64 addr, const char *remark)
{
    if (inside(addr, image_start, text_end)) {
        log_error("  #%u 0x%016llx +0x%llx%s", number, (unsigned long long)addr,
                  (unsigned long long)image_offset(addr), remark);
    } else {
        log_error("  #%u 0x%016llx not our code%s", number, (unsigned long long)addr, remark);
    }
}

/** A frame record is two words on our stack: the caller's record, and where we return to [AAPCS64].
 */
static bool record_ok(u64 fp)
{
    return is_aligned(fp, 16) && inside(fp, stack_bottom, stack_top);
}

/** A recursion is one line and a count, so that the chain shows who began it. */
static void report_repeats(u32 repeats)
{
    if (repeats != 0) {
        log_error("  (the same %u more times)", repeats);
    }
}

/** Each frame lies above the one before: the stack's size bounds the loop. */
static void report_calls(const struct trap_frame *frame)
{
    u64 fp = frame->x[29];
    u64 previous = 0;
    u32 number = 0;
    u32 repeats = 0;

    log_error("call chain (image at 0x%llx):", (unsigned long long)(uintptr_t)image_start);
    report_frame(number++, frame->elr, "");
    report_frame(number++, frame->x[30], " (link register)");
    while (number < FRAMES_MAX && record_ok(fp)) {
        const u64 *record = (const u64 *)(uintptr_t)fp;

        if (!inside(record[1], image_start, text_end)) {
            break; /* entry.S: the first call has no return address */
        }
        if (record[1] == previous) {
            repeats++;
        } else {
            report_repeats(repeats);
            report_frame(number++, record[1], "");
            previous = record[1];
            repeats = 0;
        }
        if (record[0] <= fp) {
            break; /* callers live above; anything else is damage or the end */
        }
        fp = record[0];
    }
    report_repeats(repeats);
    if (number == FRAMES_MAX) {
        log_error("  (more callers are not shown)");
    }
}

static void report_registers(const struct trap_frame *frame)
{
    for (u32 i = 0; i < 30; i += 3) {
        log_error("x%-2u %016llx  x%-2u %016llx  x%-2u %016llx", i, (unsigned long long)frame->x[i],
                  i + 1, (unsigned long long)frame->x[i + 1], i + 2,
                  (unsigned long long)frame->x[i + 2]);
    }
    log_error("x30 %016llx  sp  %016llx  spsr %llx", (unsigned long long)frame->x[30],
              (unsigned long long)frame->sp, (unsigned long long)frame->spsr);
}

static void report_cause(const struct trap_frame *frame, u64 kind)
{
    u32 ec = ESR_EC(frame->esr);
    u32 iss = ESR_ISS(frame->esr);

    if (kind % 4 != 0) {
        static const char *const kinds[] = {"", "interrupt", "fast interrupt", "system error"};

        log_error("exception: %s (vector %u)", kinds[kind % 4], (unsigned)kind);
    } else if (ec == EC_DATA || ec == EC_FETCH) {
        log_error("exception: %s%s: %s", class_words(ec),
                  ec == EC_FETCH    ? ""
                  : iss & ISS_WRITE ? ", write"
                                    : ", read",
                  fault_words(iss));
        if (!(iss & ISS_FAR_WRONG)) {
            log_error("  at address 0x%llx, %s", (unsigned long long)frame->far,
                      place_words(frame->far));
        }
    } else {
        log_error("exception: %s", class_words(ec));
    }
    log_error("esr %08llx (class %02x, iss %07x)  far %016llx  elr %016llx",
              (unsigned long long)frame->esr, ec, iss, (unsigned long long)frame->far,
              (unsigned long long)frame->elr);
}

void trap_entry(const struct trap_frame *frame, u64 kind)
{
    depth++;
    if (depth == 1) {
        bool is_panic = ESR_EC(frame->esr) == EC_BRK && (frame->esr & 0xffff) == PANIC_BRK;

        if (!is_panic) {
            report_cause(frame, kind);
        }
        report_registers(frame);
        report_calls(frame);
    } else if (depth == 2) {
        log_error("a second exception while reporting the first:");
        report_cause(frame, kind);
        report_frame(0, frame->elr, "");
    }
    stop();
}

void panic(const char *format, ...)
{
    char sentence[PANIC_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    log_error("panic: %s", sentence);
    /* The handler reports registers and calls as of here, from its own stack. */
    __asm__ volatile("brk %0" : : "i"(PANIC_BRK) : "memory");
    __builtin_unreachable();
}

/* --- the three mistakes to try the report with ---------------------------------------------- */
static __attribute__((noinline)) void selftest_wild(void)
{
    volatile u32 *wild = (volatile u32 *)(uintptr_t)UINT64_C(0x00007ead00000ba8);

    *wild;
}

static __attribute__((noinline)) void selftest_code(void)
{
    volatile u32 *code = (volatile u32 *)(void *)image_start;

    *code = 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): endless recursion is what is tried here. */
static __attribute__((noinline)) u64 selftest_stack(u64 n)
{
    volatile u64 frame[32] = {0};

    if (n == UINT64_MAX) {
        return 0;
    }
    frame[n % 32] = n;
    return selftest_stack(n + 1) + frame[(n + 1) % 32];
}

bool trap_selftest(const char *kind)
{
    if (strcmp(kind, "wild") == 0) {
        selftest_wild();
    } else if (strcmp(kind, "code") == 0) {
        selftest_code();
    } else if (strcmp(kind, "stack") == 0) {
        selftest_stack(0);
    }
    return false;
}
