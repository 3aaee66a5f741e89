/* SPDX-License-Identifier: BSD-2-Clause */
/* start.S - entry of the bench program: QEMU's -kernel drops us here at EL1, MMU off. */
    .section .text.start, "ax"
    .global _start
_start:
    mov     x0, #(3 << 20)      /* SIMD for port_copy() */
    msr     cpacr_el1, x0
    isb
    adrp    x0, stack_top
    add     x0, x0, :lo12:stack_top
    mov     sp, x0
    bl      bench_main
    mov     x1, #0x26           /* ADP_Stopped_ApplicationExit */
    movk    x1, #0x2, lsl #16
    adrp    x2, exit_block
    add     x2, x2, :lo12:exit_block
    stp     x1, x0, [x2]
    mov     x1, x2
    mov     w0, #0x18           /* SYS_EXIT */
    hlt     #0xf000
1:  b       1b

/* void bench_say(const char *text): semihosting SYS_WRITE0 */
    .global bench_say
bench_say:
    mov     x1, x0
    mov     w0, #0x04
    hlt     #0xf000
    ret

/* The stack protector stays on: what it costs is part of the figure. */
    .global __stack_chk_fail
__stack_chk_fail:
    mov     x0, #1
    b       1b

    .data
    .balign 8
    .global __stack_chk_guard
__stack_chk_guard:
    .quad   0x5ca1ab1e0ddba11

    .bss
    .balign 16
exit_block:
    .space 16
    .space 65536
stack_top:
