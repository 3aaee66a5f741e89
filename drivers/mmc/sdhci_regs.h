/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sdhci_regs.h - the registers of an SD host controller.                          plane: both
 *
 * [SD-HOST] SD Specifications Part A2, SD Host Controller Simplified Specification, version 4.20,
 *           July 2018
 * [ARASAN]  the vendor register that the Arasan eMMC 5.1 controller adds
 *
 * Every register is named at the 32-bit word that holds it, and is read and written as that word:
 * controllers exist that take no other width (GL9755, bcm2711), and a word costs one access where
 * its parts cost two. RO, RW, W1C: written to a bit, one clears it.
 */
#pragma once

#include "start/base/types.h"

#define SDHCI_BYTES 0x100 /* of one slot's registers */

#define SDHCI_SDMA_ADDRESS   0x000 /* RW   2.2.1  before v4: SDMA address, or Argument 2 */
#define SDHCI_BLOCK_COUNT_32 0x000 /* RW 2.2.1  in v4 mode: 32-bit block count, or Argument 2 */

#define SDHCI_BLOCK             0x004 /* RW  2.2.2-3  block size, block count in [31:16] */
#define SDHCI_BLOCK_BOUNDARY(n) ((u32)(n) << 12) /* SDMA stops every 4 KiB << n */
#define SDHCI_BOUNDARY_512K     7
#define SDHCI_BLOCK_COUNT(n)    ((u32)(n) << 16)
#define SDHCI_BLOCK_COUNT_MAX   0xffff

#define SDHCI_ARGUMENT 0x008 /* RW  2.2.4 */

#define SDHCI_COMMAND          0x00c /* RW  2.2.5-6  transfer mode; command in [31:16] starts */
#define SDHCI_MODE_DMA         BIT32(0)
#define SDHCI_MODE_COUNT       BIT32(1) /* Block Count Enable */
#define SDHCI_MODE_AUTO_CMD12  (UINT32_C(1) << 2)
#define SDHCI_MODE_AUTO_CMD23  (UINT32_C(2) << 2)
#define SDHCI_MODE_READ        BIT32(4)
#define SDHCI_MODE_MULTI       BIT32(5)
#define SDHCI_CMD_RESP_NONE    (UINT32_C(0) << 16)
#define SDHCI_CMD_RESP_136     (UINT32_C(1) << 16)
#define SDHCI_CMD_RESP_48      (UINT32_C(2) << 16)
#define SDHCI_CMD_RESP_48_BUSY (UINT32_C(3) << 16)
#define SDHCI_CMD_CRC          BIT32(19)
#define SDHCI_CMD_INDEX_CHECK  BIT32(20)
#define SDHCI_CMD_DATA         BIT32(21)
#define SDHCI_CMD_TYPE_ABORT   (UINT32_C(3) << 22)
#define SDHCI_CMD_INDEX(n)     ((u32)(n) << 24)

#define SDHCI_RESPONSE(n) (0x010 + 4 * (n)) /* RO  2.2.7  n = 0..3 */
#define SDHCI_BUFFER      0x020             /* RW  2.2.8 */

#define SDHCI_PRESENT             0x024 /* RO  2.2.9 */
#define SDHCI_PRESENT_CMD_BUSY    BIT32(0)
#define SDHCI_PRESENT_DAT_BUSY    BIT32(1)
#define SDHCI_PRESENT_WRITE_READY BIT32(10)
#define SDHCI_PRESENT_READ_READY  BIT32(11)
#define SDHCI_PRESENT_CARD        BIT32(16)
#define SDHCI_PRESENT_STABLE      BIT32(17)
#define SDHCI_PRESENT_WRITABLE    BIT32(19)       /* the switch does not say "write protected" */
#define SDHCI_PRESENT_DAT(n)      BIT32(20 + (n)) /* level of DAT[n], n = 0..3 */
#define SDHCI_PRESENT_DAT_ALL     (UINT32_C(15) << 20)

#define SDHCI_CONTROL         0x028 /* RW  2.2.10-13  host control 1, power, gap, wakeup */
#define SDHCI_CONTROL_4BIT    BIT32(1)
#define SDHCI_CONTROL_HISPEED BIT32(2)
#define SDHCI_CONTROL_DMA(n)  ((u32)(n) << 3)
#define SDHCI_DMA_SDMA        0
#define SDHCI_DMA_ADMA2       2
#define SDHCI_DMA_ADMA2_64_V3 3 /* before v4 mode; with it ADMA2 serves both widths */
#define SDHCI_CONTROL_8BIT    BIT32(5)
#define SDHCI_CONTROL_POWER   BIT32(8)
#define SDHCI_CONTROL_VDD(n)  ((u32)(n) << 9)
#define SDHCI_VDD_18          5
#define SDHCI_VDD_30          6
#define SDHCI_VDD_33          7

#define SDHCI_CLOCK              0x02c /* RW  2.2.14-16  clock, timeout, software reset */
#define SDHCI_CLOCK_INTERNAL     BIT32(0)
#define SDHCI_CLOCK_STABLE       BIT32(1) /* RO */
#define SDHCI_CLOCK_CARD         BIT32(2)
#define SDHCI_CLOCK_PLL          BIT32(3) /* v4 */
#define SDHCI_CLOCK_PROGRAMMABLE BIT32(5)
#define SDHCI_CLOCK_DIVIDER(n)   ((0xff & (u32)(n)) << 8 | (3 & (u32)(n) >> 8) << 6)
#define SDHCI_TIMEOUT(n)         ((u32)(n) << 16) /* TMCLK << (13 + n), n = 0..14 */
#define SDHCI_TIMEOUT_MAX        14
#define SDHCI_RESET_ALL          BIT32(24)
#define SDHCI_RESET_CMD          BIT32(25)
#define SDHCI_RESET_DAT          BIT32(26)

#define SDHCI_INT_STATUS        0x030 /* W1C 2.2.17-18  normal, error in [31:16] */
#define SDHCI_INT_STATUS_ENABLE 0x034 /* RW  2.2.19-20  which bits of the status may rise */
#define SDHCI_INT_SIGNAL_ENABLE 0x038 /* RW  2.2.21-22  which of them raise the line */
#define SDHCI_INT_COMMAND       BIT32(0)
#define SDHCI_INT_TRANSFER      BIT32(1)
#define SDHCI_INT_DMA           BIT32(3)
#define SDHCI_INT_WRITE_READY   BIT32(4)
#define SDHCI_INT_READ_READY    BIT32(5)
#define SDHCI_INT_INSERTED      BIT32(6)
#define SDHCI_INT_REMOVED       BIT32(7)
#define SDHCI_INT_ERROR         BIT32(15) /* RO: one of the bits above 15 is set */
#define SDHCI_ERR_CMD_TIMEOUT   BIT32(16)
#define SDHCI_ERR_CMD_CRC       BIT32(17)
#define SDHCI_ERR_CMD_END       BIT32(18)
#define SDHCI_ERR_CMD_INDEX     BIT32(19)
#define SDHCI_ERR_DATA_TIMEOUT  BIT32(20)
#define SDHCI_ERR_DATA_CRC      BIT32(21)
#define SDHCI_ERR_DATA_END      BIT32(22)
#define SDHCI_ERR_CURRENT       BIT32(23)
#define SDHCI_ERR_AUTO_CMD      BIT32(24)
#define SDHCI_ERR_ADMA          BIT32(25)
#define SDHCI_ERR_TUNING        BIT32(26)
#define SDHCI_ERR_RESPONSE      BIT32(27)
#define SDHCI_ERR_ALL           UINT32_C(0xffff0000)

#define SDHCI_CONTROL_2          0x03c /* RW  2.2.23-24  Auto CMD error status RO; control 2 */
#define SDHCI_AUTO_NOT_EXECUTED  BIT32(0)
#define SDHCI_CONTROL_2_OF(word) (UINT32_C(0xffff0000) & (word))
#define SDHCI_UHS_MODE(n)        ((u32)(n) << 16)
#define SDHCI_UHS_MODE_MASK      (UINT32_C(7) << 16)
#define SDHCI_UHS_SDR12          0
#define SDHCI_UHS_SDR25          1
#define SDHCI_UHS_SDR50          2
#define SDHCI_UHS_SDR104         3
#define SDHCI_UHS_DDR50          4
#define SDHCI_UHS_HS400          5 /* by convention of the vendors: the specification has no */
#define SDHCI_SIGNAL_18          BIT32(19)
#define SDHCI_TUNE               BIT32(22) /* Execute Tuning */
#define SDHCI_TUNED              BIT32(23) /* Sampling Clock Select */
#define SDHCI_ADMA2_26BIT        BIT32(26)
#define SDHCI_V4                 BIT32(28)
#define SDHCI_64BIT              BIT32(29)
#define SDHCI_PRESET             BIT32(31)

#define SDHCI_CAPS                0x040 /* RO  2.2.26 */
#define SDHCI_CAPS_TIMEOUT_CLK(c) (0x3f & (c))
#define SDHCI_CAPS_TIMEOUT_MHZ    BIT32(7)
#define SDHCI_CAPS_BASE_MHZ(c)    ((c) >> 8 & 0xff) /* v3 on; before it 6 bits */
#define SDHCI_CAPS_8BIT           BIT32(18)
#define SDHCI_CAPS_ADMA2          BIT32(19)
#define SDHCI_CAPS_HISPEED        BIT32(21)
#define SDHCI_CAPS_SDMA           BIT32(22)
#define SDHCI_CAPS_33V            BIT32(24)
#define SDHCI_CAPS_30V            BIT32(25)
#define SDHCI_CAPS_18V            BIT32(26)
#define SDHCI_CAPS_64BIT_V4       BIT32(27)
#define SDHCI_CAPS_64BIT_V3       BIT32(28)
#define SDHCI_CAPS_SLOT(c)        ((c) >> 30)
#define SDHCI_SLOT_EMBEDDED       1

#define SDHCI_CAPS_2               0x044 /* RO  2.2.27 */
#define SDHCI_CAPS_2_SDR50         BIT32(0)
#define SDHCI_CAPS_2_SDR104        BIT32(1)
#define SDHCI_CAPS_2_DDR50         BIT32(2)
#define SDHCI_CAPS_2_TUNE_SDR50    BIT32(13)
#define SDHCI_CAPS_2_MULTIPLIER(c) ((c) >> 16 & 0xff)
#define SDHCI_CAPS_2_HS400         BIT32(31) /* by convention of the vendors */

#define SDHCI_ADMA_ERROR        0x054 /* RO  2.2.31 */
#define SDHCI_ADMA_ADDRESS      0x058 /* RW  2.2.32  also the SDMA address in v4 mode */
#define SDHCI_ADMA_ADDRESS_HIGH 0x05c /* RW */

#define SDHCI_ARASAN_VENDOR 0x078    /* RW  [ARASAN] */
#define SDHCI_ARASAN_STROBE BIT32(0) /* enhanced strobe */

#define SDHCI_VERSION            0x0fc /* RO  2.2.40  slot interrupts; version in [31:16] */
#define SDHCI_VERSION_SPEC(word) ((word) >> 16 & 0xff)
#define SDHCI_SPEC_200           1
#define SDHCI_SPEC_300           2
#define SDHCI_SPEC_400           3
#define SDHCI_SPEC_410           4
#define SDHCI_SPEC_420           5
