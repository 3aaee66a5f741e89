/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * copy.S - port_copy() and port_zero(): 256 bytes a turn through SIMD registers.   plane: data
 *
 * The copy is the largest part of a request, and the only SIMD code of ours: the C code is built
 * without, so there is nothing to save. v8..v15 belong to the caller [AAPCS64 6.1.2]. Any
 * alignment: the element size is a byte, and normal memory takes unaligned accesses.
 */
    .section .text.port_copy, "ax"
    .balign 64
    .global port_copy
    .type port_copy, %function
/* void port_copy(void *to, const void *from, usize bytes) */
port_copy:
    subs    x2, x2, #256
    b.lo    2f
1:  ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], #64
    ld1     {v4.16b, v5.16b, v6.16b, v7.16b}, [x1], #64
    ld1     {v16.16b, v17.16b, v18.16b, v19.16b}, [x1], #64
    ld1     {v20.16b, v21.16b, v22.16b, v23.16b}, [x1], #64
    subs    x2, x2, #256
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    st1     {v4.16b, v5.16b, v6.16b, v7.16b}, [x0], #64
    st1     {v16.16b, v17.16b, v18.16b, v19.16b}, [x0], #64
    st1     {v20.16b, v21.16b, v22.16b, v23.16b}, [x0], #64
    b.hs    1b
2:  tst     x2, #0xff           /* x2 is the rest minus 256: its low byte is the rest */
    b.eq    9f
    tbz     x2, #7, 3f
    ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], #64
    ld1     {v4.16b, v5.16b, v6.16b, v7.16b}, [x1], #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    st1     {v4.16b, v5.16b, v6.16b, v7.16b}, [x0], #64
3:  tbz     x2, #6, 4f
    ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
4:  tbz     x2, #5, 5f
    ldp     q0, q1, [x1], #32
    stp     q0, q1, [x0], #32
5:  tbz     x2, #4, 6f
    ldr     q0, [x1], #16
    str     q0, [x0], #16
6:  tbz     x2, #3, 7f
    ldr     x3, [x1], #8
    str     x3, [x0], #8
7:  tbz     x2, #2, 8f
    ldr     w3, [x1], #4
    str     w3, [x0], #4
8:  tbz     x2, #1, 10f
    ldrh    w3, [x1], #2
    strh    w3, [x0], #2
10: tbz     x2, #0, 9f
    ldrb    w3, [x1]
    strb    w3, [x0]
9:  ret
    .size port_copy, . - port_copy

    .section .text.port_zero, "ax"
    .balign 64
    .global port_zero
    .type port_zero, %function
/* void port_zero(void *to, usize bytes) */
port_zero:
    movi    v0.2d, #0
    movi    v1.2d, #0
    movi    v2.2d, #0
    movi    v3.2d, #0
    subs    x1, x1, #256
    b.lo    2f
1:  subs    x1, x1, #256
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x0], #64
    b.hs    1b
2:  ands    x1, x1, #0xff       /* the low byte of the rest minus 256 is the rest */
    b.eq    4f
3:  strb    wzr, [x0], #1
    subs    x1, x1, #1
    b.ne    3b
4:  ret
    .size port_zero, . - port_zero
