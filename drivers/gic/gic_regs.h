/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gic_regs.h - the registers of the GIC that we use, and no others.
 *
 * [GICv2] ARM Generic Interrupt Controller Architecture Specification 2.0, IHI 0048B.b
 * [GICv3] ARM Generic Interrupt Controller Architecture Specification v3 and v4, IHI 0069H
 * Xen's emulation refuses some identification registers of version 2: they are not read.
 */
#pragma once

#include "start/base/types.h"

/* Distributor [GICv2] 4.3, [GICv3] 12.9 */
#define GICD_CTLR       0x0000    /* RW */
#define GICD_CTLR_GRP0  BIT32(0)  /* version 2, and 3 with one security state */
#define GICD_CTLR_GRP1  BIT32(1)  /* version 3: group 1, or 1A seen from non-secure */
#define GICD_CTLR_ARE   BIT32(4)  /* version 3: affinity routing */
#define GICD_CTLR_RWP   BIT32(31) /* version 3: a write is still on its way */
#define GICD_TYPER      0x0004    /* RO   bits 4..0: INTIDs / 32 - 1 */
#define GICD_IGROUPR    0x0080    /* RW   one bit per INTID */
#define GICD_ISENABLER  0x0100    /* W1S  one bit per INTID */
#define GICD_ICENABLER  0x0180    /* W1C  one bit per INTID */
#define GICD_ICPENDR    0x0280    /* W1C  one bit per INTID */
#define GICD_IPRIORITYR 0x0400    /* RW   one byte per INTID */
#define GICD_ITARGETSR  0x0800    /* RW   version 2: one byte per INTID, a bit per CPU */
#define GICD_IROUTER    0x6000    /* RW   version 3: 8 bytes per INTID from 32 on */
#define GICD_PIDR2      0xffe8    /* RO   version 3: bits 7..4 are the version */
#define GICD_V2_BYTES   0x1000
#define GICD_V3_BYTES   0x10000

/* CPU interface of version 2 [GICv2] 4.4 */
#define GICC_CTLR  0x0000 /* RW   bit 0: signal interrupts */
#define GICC_PMR   0x0004 /* RW   lowest priority that passes */
#define GICC_BPR   0x0008 /* RW */
#define GICC_IAR   0x000c /* RO   read acknowledges; bits 9..0 INTID */
#define GICC_EOIR  0x0010 /* WO */
#define GICC_BYTES 0x1000

/* Redistributor of version 3: two 64 KiB frames [GICv3] 12.10, 12.11 */
#define GICR_TYPER        0x0008   /* RO   64 bits: affinity above, flags below */
#define GICR_TYPER_VLPIS  BIT64(1) /* two more frames follow */
#define GICR_TYPER_LAST   BIT64(4) /* of this region */
#define GICR_WAKER        0x0014   /* RW */
#define GICR_WAKER_SLEEP  BIT32(1) /* the processor sleeps: ours to clear */
#define GICR_WAKER_ASLEEP BIT32(2) /* its children sleep: follows */
#define GICR_PIDR2        0xffe8
#define GICR_SGI          0x10000 /* second frame: INTIDs 0..31 at the distributor's offsets */
#define GICR_BYTES        0x20000
#define GICR_BYTES_VLPI   0x40000

#define GIC_PIDR2_VERSION(pidr2) (((pidr2) >> 4) & 0xf)
#define GIC_INTIDS(typer)        (32 * ((0x1f & (typer)) + 1))
#define GIC_INTID_MAX            1020 /* 1020..1023 are special [GICv2] 3.2.5 */
#define GICV2_IAR_INTID          0x3ff
#define GICV3_IAR_INTID          0xffffff
#define GIC_PMR_ALL              0xff
