/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * entry.S - from the loader's jump to start_c().  start/boot.h says what it leaves behind.
 *
 * [ARM64-BOOT] Linux Documentation/arch/arm64/booting.rst: the Image header, x0 = device tree, MMU
 * off, the image's file part clean to the point of coherency.
 *
 * Two halves. With the MMU off, wherever the loader put us: zeroed translation tables, mmu_build().
 * With it on, at the address the image is linked for: .bss, where the bulk is. What runs in the
 * first half reaches the image's parts relative to the program counter and looks at no pointer that
 * the linker stored. Memory written there is cleaned and invalidated from the caches before (no
 * dirty line may fall on it later) and again after (no stale one may hide it).
 */

#define SCTLR_RES1 0x30d00800 /* bits that are 1 in ARMv8.0, MMU and caches off */

    .section .head, "ax"
image_head:
    b       entry
    .long   0
    .quad   0                   /* text_offset: any 2 MiB boundary will do */
    .long   head_bytes          /* image_size, from image.lds, lower half */
    .long   0
    .quad   0xa                 /* flags: little endian, 4 KiB pages, anywhere in memory */
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

entry:
    msr     daifset, #0xf
    mrs     x19, cntvct_el0
    mov     x20, x0
    mrs     x21, CurrentEL
    lsr     x21, x21, #2
    cmp     x21, #2
    b.ne    1f
    bl      drop_to_el1
1:
    ldr     w1, =SCTLR_RES1
    msr     sctlr_el1, x1
    isb

    mov     x1, #(3 << 20)      /* CPACR_EL1.FPEN: SIMD for port_copy() and the C library */
    msr     cpacr_el1, x1
    bl      stacks_here
    bl      cache_forget

    adrp    x0, tables_start
    adrp    x1, tables_end
    bl      zero_range
    mov     x29, #0
    mov     x30, #0
    adrp    x0, image_head
    adrp    x1, tables_start
    bl      mmu_build
    bl      cache_forget
    ldr     x0, =linked
    b       mmu_start

linked:
    bl      stacks_here
    mov     x29, #0
    mov     x30, #0
    bl      mmu_settle

    adrp    x0, bss_start
    adrp    x1, bss_end
    bl      zero_range
    adrp    x1, tls_block
    add     x1, x1, :lo12:tls_block
    msr     tpidr_el0, x1

    adrp    x1, boot_ticks
    str     x19, [x1, :lo12:boot_ticks]
    adrp    x1, boot_el
    str     x21, [x1, :lo12:boot_el]

    /* The guard: time, place and the tree's address stirred; a zero byte stops string overruns. */
    mrs     x1, cntvct_el0
    eor     x1, x1, x19, ror #23
    adrp    x2, image_head
    eor     x1, x1, x2, ror #41
    eor     x1, x1, x20, ror #7
    ldr     x2, =0x9e3779b97f4a7c15
    mul     x1, x1, x2
    eor     x1, x1, x1, lsr #29
    mul     x1, x1, x2
    and     x1, x1, #0xffffffffffffff00
    adrp    x2, __stack_chk_guard
    str     x1, [x2, :lo12:__stack_chk_guard]

    mov     x0, x20
    ldr     x1, =machine        /* farther away than the C code's addressing reaches */
    mov     x29, #0
    mov     x30, #0
    bl      start_c

park:
    wfi
    b       park

/* Two stacks: SP_EL1 belongs to exceptions, everything else runs on SP_EL0. Uses x1. */
stacks_here:
    msr     spsel, #1
    adrp    x1, trap_stack_top
    add     x1, x1, :lo12:trap_stack_top
    mov     sp, x1
    msr     spsel, #0
    adrp    x1, stack_top
    add     x1, x1, :lo12:stack_top
    mov     sp, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    isb
    ret

    .section .bss.boot, "aw", %nobits
    .balign 8
    .global boot_ticks
boot_ticks:
    .skip   8
    .global boot_el
boot_el:
    .skip   8

    .section .head, "ax"

/* Clean and invalidate what is written while the caches are off. Uses x0..x3. */
cache_forget:
    adrp    x0, rodata_start
    adrp    x1, stacks_end
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4     /* DminLine: log2 of words in the smallest line */
    mov     x3, #4
    lsl     x2, x3, x2
1:  dc      civac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

/* Zero [x0, x1), both multiples of 64. */
zero_range:
    cmp     x0, x1
    b.hs    2f
1:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    1b
2:  ret

/*
 * A loader on a bare machine may enter at EL2. There is nothing for us to do there, but main.c can
 * only say so in words once the device tree is read: go to EL1 with the least setting up.
 */
drop_to_el1:
    mov     x1, #(5 << 29)      /* HCR_EL2.RW: EL1 is AArch64; HCD: a hypercall is undefined */
    msr     hcr_el2, x1
    mov     x1, #3              /* CNTHCTL_EL2: EL1 may read the physical counter and timer */
    msr     cnthctl_el2, x1
    msr     cntvoff_el2, xzr
    mov     x1, #0x33ff         /* CPTR_EL2: no SIMD traps */
    msr     cptr_el2, x1
    mrs     x1, midr_el1
    msr     vpidr_el2, x1
    mrs     x1, mpidr_el1
    msr     vmpidr_el2, x1
    mrs     x1, id_aa64pfr0_el1
    ubfx    x1, x1, #24, #4     /* GIC system registers there? Then EL1 may use them. */
    cbz     x1, 1f
    mov     x1, #0xf
    msr     s3_4_c12_c9_5, x1   /* ICC_SRE_EL2 */
1:  ldr     w1, =SCTLR_RES1
    msr     sctlr_el1, x1
    mov     x1, #0x3c5          /* EL1h, everything masked */
    msr     spsr_el2, x1
    msr     elr_el2, x30
    isb
    eret
