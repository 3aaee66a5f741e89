/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hypercall.S - the raw tier of SEAM 5.  [xen/arch-arm.h, "hypercall calling convention"]
 *
 * x16 names the operation, x0..x4 are its arguments, the result comes back in x0. Xen may change
 * x16 and the argument registers, all of which a caller expects to lose anyway [AAPCS64 6.1.1].
 */
    .text
    .globl  hypercall
    .hidden hypercall
    .type   hypercall, %function
    .p2align 4
hypercall:
    mov     w16, w0
    mov     x0, x1
    mov     x1, x2
    mov     x2, x3
    mov     x3, x4
    mov     x4, x5
    hvc     #0xea1
    ret
    .size   hypercall, . - hypercall

    .section .note.GNU-stack, "", %progbits
