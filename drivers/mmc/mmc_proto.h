/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mmc_proto.h - what SD cards and eMMC devices say.                                plane: both
 *
 * [SD-PHY] SD Specifications Part 1, Physical Layer Simplified Specification, version 9.10
 * [EMMC]   JEDEC JESD84-B51, Embedded Multi-Media Card, electrical standard 5.1
 *
 * Bit numbers are those of the specifications, where bit 0 is the last on the wire. A register
 * of 128 bits (CID, CSD) is four words, the first with bits 127 to 96.
 */
#pragma once

#include "start/base/types.h"

/* --- commands [SD-PHY 4.7.4] [EMMC 6.10.4] ---------------------------------------------------- */
#define CMD_GO_IDLE          0
#define CMD_MMC_SEND_OP_COND 1 /* [EMMC] */
#define CMD_ALL_SEND_CID     2
#define CMD_RELATIVE_ADDR    3 /* SD: the card chooses; eMMC: we do */
#define CMD_SWITCH           6 /* SD: functions, with data; eMMC: EXT_CSD, busy */
#define CMD_SELECT           7
#define CMD_SD_IF_COND       8
#define CMD_MMC_EXT_CSD      8 /* [EMMC] */
#define CMD_SEND_CSD         9
#define CMD_SD_VOLTAGE       11
#define CMD_STOP             12
#define CMD_SEND_STATUS      13
#define CMD_SET_BLOCKLEN     16
#define CMD_READ_SINGLE      17
#define CMD_READ_MULTIPLE    18
#define CMD_SD_TUNING        19
#define CMD_MMC_TUNING       21 /* [EMMC] */
#define CMD_SET_BLOCK_COUNT  23
#define CMD_WRITE_SINGLE     24
#define CMD_WRITE_MULTIPLE   25
#define CMD_SD_ERASE_FIRST   32
#define CMD_SD_ERASE_LAST    33
#define CMD_MMC_ERASE_FIRST  35 /* [EMMC] */
#define CMD_MMC_ERASE_LAST   36 /* [EMMC] */
#define CMD_ERASE            38
#define CMD_APP              55

#define ACMD_BUS_WIDTH    6
#define ACMD_SD_STATUS    13
#define ACMD_WELL_WRITTEN 22
#define ACMD_SD_OP_COND   41
#define ACMD_CARD_DETECT  42
#define ACMD_SCR          51

/* --- card status, R1 [SD-PHY 4.10.1] [EMMC 6.13] ------------------------------------------------
 */
#define R1_OUT_OF_RANGE  BIT32(31)
#define R1_ADDRESS       BIT32(30)
#define R1_BLOCK_LEN     BIT32(29)
#define R1_ERASE_SEQ     BIT32(28)
#define R1_ERASE_PARAM   BIT32(27)
#define R1_WP_VIOLATION  BIT32(26)
#define R1_LOCKED        BIT32(25) /* a state, no error */
#define R1_LOCK_FAILED   BIT32(24)
#define R1_COM_CRC       BIT32(23)
#define R1_ILLEGAL       BIT32(22)
#define R1_ECC_FAILED    BIT32(21)
#define R1_CC_ERROR      BIT32(20)
#define R1_ERROR         BIT32(19)
#define R1_CSD_OVERWRITE BIT32(16)
#define R1_WP_ERASE_SKIP BIT32(15)
#define R1_READY         BIT32(8)
#define R1_SWITCH_ERROR  BIT32(7) /* [EMMC] */
#define R1_APP           BIT32(5)
#define R1_AKE           BIT32(3)
#define R1_STATE(r)      ((r) >> 9 & 15)
/* What is an error in any answer. ERASE_RESET (13) only tells that a sequence was given up. */
#define R1_ERRORS                                                                               \
    (R1_OUT_OF_RANGE | R1_ADDRESS | R1_BLOCK_LEN | R1_ERASE_SEQ | R1_ERASE_PARAM |              \
     R1_WP_VIOLATION | R1_LOCK_FAILED | R1_COM_CRC | R1_ILLEGAL | R1_ECC_FAILED | R1_CC_ERROR | \
     R1_ERROR | R1_CSD_OVERWRITE | R1_WP_ERASE_SKIP)

enum r1_state {
    R1_STATE_IDLE,
    R1_STATE_READY,
    R1_STATE_IDENT,
    R1_STATE_STBY,
    R1_STATE_TRAN,
    R1_STATE_DATA,
    R1_STATE_RCV,
    R1_STATE_PRG,
    R1_STATE_DIS,
};

/* --- operating conditions [SD-PHY 4.2.3.1, 5.1] [EMMC 7.1] -------------------------------------
 */
#define OCR_READY      BIT32(31) /* clear: still powering up */
#define OCR_HCS        BIT32(30) /* to the card: we know high capacity; from it: it has */
#define OCR_XPC        BIT32(28) /* to the card: it may take more than 100 mA */
#define OCR_S18        BIT32(24) /* to the card: 1.8 V wanted; from it: it will switch */
#define OCR_VDD        UINT32_C(0x00ff8000) /* 2.7 to 3.6 V, a bit per 0.1 V */
#define OCR_VDD_32_34  UINT32_C(0x00300000)
#define OCR_MMC_SECTOR BIT32(30) /* [EMMC] sector addresses */
#define OCR_MMC_LOW    BIT32(7)  /* [EMMC] 1.70 to 1.95 V */

#define IF_COND_PATTERN 0x1aa /* 2.7 to 3.6 V, and the check pattern 0xaa [SD-PHY 4.3.13] */

/* --- SCR [SD-PHY 5.6]: 64 bits, the first word has bits 63 to 32 ---------------------------------
 */
#define SCR_BYTES       8
#define SCR_SPEC(w)     ((w) >> 24 & 15)
#define SCR_ERASED_ONES BIT32(23)
#define SCR_WIDTH_4     BIT32(18)
#define SCR_CMD23       BIT32(1)

/* --- SD status [SD-PHY 4.10.2]: 512 bits as 64 bytes, the first with bits 511 to 504
 * ---------------- */
#define SSR_BYTES           64
#define SSR_AU_SIZE_BYTE    10 /* [431:428] */
#define SSR_ERASE_SIZE_BYTE 11 /* [423:408] big-endian: AUs erased in the time below */
#define SSR_ERASE_TIME_BYTE 13 /* [407:402] s, offset [401:400] */
#define SSR_SUPPORT_BYTE    24 /* [313] discard, [312] full erase */
#define SSR_DISCARD         0x02

/* --- switch function status of CMD6 [SD-PHY 4.3.10.4]: 512 bits as 64 bytes
 * ----------------------- */
#define SWITCH_BYTES         64
#define SWITCH_CHECK         UINT32_C(0x00fffff0)
#define SWITCH_SET           UINT32_C(0x80fffff0)
#define SWITCH_GROUP_1_BYTE  12 /* [415:400] big-endian: functions of group 1 there are */
#define SWITCH_GROUP_4_BYTE  6  /* [463:448] */
#define SWITCH_RESULT_1_BYTE 16 /* [379:376] the low half: function chosen in group 1 */
#define SWITCH_RESULT_4_BYTE 15 /* [391:388] the high half: group 4 */
#define SWITCH_NO_RESULT     15
/* functions of group 1, access mode, and of group 4, power limit */
#define SD_MODE_SDR12  0 /* default speed at 3.3 V */
#define SD_MODE_SDR25  1 /* high speed at 3.3 V */
#define SD_MODE_SDR50  2
#define SD_MODE_SDR104 3
#define SD_MODE_DDR50  4

/* --- erase arguments [SD-PHY 4.3.5] [EMMC 6.6.9] ------------------------------------------------
 */
#define ERASE_ARG_ERASE         UINT32_C(0x00000000)
#define ERASE_ARG_SD_DISCARD    UINT32_C(0x00000001)
#define ERASE_ARG_TRIM          UINT32_C(0x00000001) /* [EMMC] */
#define ERASE_ARG_DISCARD       UINT32_C(0x00000003) /* [EMMC] */
#define ERASE_ARG_SECURE_TRIM_1 UINT32_C(0x80000001) /* [EMMC] mark */
#define ERASE_ARG_SECURE_TRIM_2 UINT32_C(0x80008000) /* [EMMC] do */

/* --- EXT_CSD [EMMC 7.4]: byte numbers ------------------------------------------------------------
 */
#define EXT_CSD_BYTES            512
#define EXT_CSD_FLUSH_CACHE      32
#define EXT_CSD_CACHE_CTRL       33
#define EXT_CSD_POWER_OFF        34
#define EXT_CSD_SANITIZE_START   165
#define EXT_CSD_WR_REL_PARAM     166
#define EXT_CSD_RPMB_SIZE        168
#define EXT_CSD_ERASE_GROUP_DEF  175
#define EXT_CSD_PARTITION_CONFIG 179
#define EXT_CSD_ERASED_CONT      181
#define EXT_CSD_BUS_WIDTH        183
#define EXT_CSD_STROBE           184
#define EXT_CSD_HS_TIMING        185
#define EXT_CSD_REV              192
#define EXT_CSD_DEVICE_TYPE      196
#define EXT_CSD_SEC_COUNT        212 /* 4 bytes */
#define EXT_CSD_ERASE_TIMEOUT    223 /* 300 ms per group */
#define EXT_CSD_ERASE_GROUP      224 /* 512 KiB */
#define EXT_CSD_BOOT_SIZE        226 /* 128 KiB */
#define EXT_CSD_SEC_TRIM_MULT    229
#define EXT_CSD_SEC_ERASE_MULT   230
#define EXT_CSD_SEC_FEATURES     231
#define EXT_CSD_TRIM_MULT        232
#define EXT_CSD_POWER_OFF_LONG   247 /* 10 ms */
#define EXT_CSD_GENERIC_CMD6     248 /* 10 ms */
#define EXT_CSD_CACHE_SIZE       249 /* 4 bytes, Kibit */
#define EXT_CSD_PRE_EOL          267
#define EXT_CSD_LIFE_A           268
#define EXT_CSD_LIFE_B           269
#define EXT_CSD_SECTOR_SIZE      61 /* 1: emulates 512 on 4 KiB, and the native one is on */

#define EXT_CSD_TYPE_HS26     0x01
#define EXT_CSD_TYPE_HS52     0x02
#define EXT_CSD_TYPE_DDR52    0x04 /* at 1.8 or 3 V */
#define EXT_CSD_TYPE_HS200    0x10 /* at 1.8 V */
#define EXT_CSD_TYPE_HS400    0x40 /* at 1.8 V */
#define EXT_CSD_WIDTH_1       0
#define EXT_CSD_WIDTH_4       1
#define EXT_CSD_WIDTH_8       2
#define EXT_CSD_WIDTH_4_DDR   5
#define EXT_CSD_WIDTH_8_DDR   6
#define EXT_CSD_WIDTH_STROBE  0x80
#define EXT_CSD_TIMING_LEGACY 0
#define EXT_CSD_TIMING_HS     1
#define EXT_CSD_TIMING_HS200  2
#define EXT_CSD_TIMING_HS400  3
#define EXT_CSD_SEC_ER        0x01 /* secure erase and trim */
#define EXT_CSD_SEC_GB_CL     0x10 /* trim */
#define EXT_CSD_SEC_SANITIZE  0x40
#define EXT_CSD_POWERED_ON    1
#define EXT_CSD_POWER_OFF_GO  3 /* POWER_OFF_LONG: everything may be tidied up first */

/** The argument of CMD6 that writes one byte of EXT_CSD [EMMC 6.10.4]. */
static inline u32 ext_csd_write(u32 index, u32 value)
{
    return UINT32_C(3) << 24 | index << 16 | value << 8;
}

/** Bits [first + count - 1 : first] of a register of 128 bits; count at most 32. */
static inline u32 reg128_bits(const u32 reg[4], u32 first, u32 count)
{
    u32 word = 3 - first / 32;
    u64 both = reg[word] | (u64)(word > 0 ? reg[word - 1] : 0) << 32;

    return (u32)(both >> (first % 32) & (BIT64(count) - 1));
}
