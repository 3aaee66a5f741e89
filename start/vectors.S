/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vectors.S - every exception is the end: store struct trap_frame, call trap_entry() of trap.c.
 *
 * The program runs on SP_EL0, so an exception arrives on SP_EL1, the untouched trap stack, even if
 * the main stack has overflowed. An exception inside the handler (vectors 4..7) starts again at the
 * top of the trap stack: the broken report is given up for a short one.
 */
    .macro vector number
    .balign 128
    .if \number >= 4
    msr     tpidr_el1, x0
    adrp    x0, trap_stack_top
    add     x0, x0, :lo12:trap_stack_top
    mov     sp, x0
    mrs     x0, tpidr_el1
    .endif
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x1, #\number
    b       trap_save
    .endm

    .section .vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    vector \n
    .endr

    /* Vectors 8..15 are for exceptions from EL0, where nothing ever runs: code may lie there. */
    .balign 128
trap_save:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x2, sp_el0
    stp     x30, x2, [sp, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #256]
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [sp, #272]
    mov     x0, sp
    mov     x29, #0
    mov     x30, #0
    bl      trap_entry
1:  wfi
    b       1b
