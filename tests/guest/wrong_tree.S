/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wrong_tree.S - a kernel that starts the one behind it with a wrong device tree.
 *
 * An arm64 Image [ARM64-BOOT] of 2 MiB; the image under test is put behind it and entered as a
 * loader would enter it, but for x0. WRONG_TREE chooses what x0 is:
 *   0   zero
 *   1   an aligned address of memory that holds no tree
 *   2   the real tree, in which no node is compatible with an interrupt controller any more
 *
 * Runs with the MMU off, so what it changes in the tree lies in memory, not in a cache.
 */
#define BEHIND     0x200000    /* where the image under test begins */
#define SIZE_BYTES 4           /* offset of totalsize in a device tree [DTSPEC 5.2] */

    .section .text, "ax"
    .global head
head:
    b       entry
    .long   0
    .quad   0                   /* text_offset */
    .quad   BEHIND + 0x400000   /* image_size: with what lies behind us */
    .quad   0xa                 /* flags: little endian, 4 KiB pages, anywhere in memory */
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

entry:
    adr     x9, head
    add     x9, x9, #BEHIND
#if WRONG_TREE == 0
    mov     x0, #0
#elif WRONG_TREE == 1
    adr     x0, rubbish
#else
    /* Each "arm,gic-v3" and "arm,cortex-a15-gic" loses its first letter. */
    ldr     w10, [x0, #SIZE_BYTES]
    rev     w10, w10
    add     x10, x0, x10
    mov     x11, x0
1:  add     x12, x11, #18       /* bytes of the longer name, its end included, less one */
    cmp     x12, x10
    b.hs    4f
    adr     x13, gicv3_name
    bl      damage
    adr     x13, gicv2_name
    bl      damage
    add     x11, x11, #1
    b       1b
4:
#endif
    br      x9

#if WRONG_TREE == 2
/* x11: a place in the tree, x13: a name; uses x14..x17. The byte at the place is changed when the
 * name stands there. */
damage:
    mov     x14, x11
2:  ldrb    w15, [x13], #1
    ldrb    w16, [x14], #1
    cmp     w15, w16
    b.ne    3f
    cbnz    w15, 2b
    mov     w17, #'x'
    strb    w17, [x11]
3:  ret

gicv3_name:
    .asciz  "arm,gic-v3"
gicv2_name:
    .asciz  "arm,cortex-a15-gic"
#endif
    .balign 8
rubbish:
    .ascii  "this is no device tree; it is not"
    .balign 8
