/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sdhci_quirks.c - controllers that are not as the specification says, in one table.
 *                                                                               plane: control
 * A row is added when a board needs it, with the reason beside it. Not tried on silicon by us: what
 * the rows say is what is publicly known of these controllers.
 */
#include <string.h>

#include "drivers/mmc/sdhci.h"
#include "start/base/types.h"

static const struct {
    const char *compatible;
    u32 quirks;
} table[] = {
    /* QEMU's controllers drop the bit of Auto CMD23 and have no version 4. */
    {"pci1b36,7", SDHCI_QUIRK_NO_AUTO_CMD23 | SDHCI_QUIRK_NO_V4 | SDHCI_QUIRK_NO_1V8},
    /* Genesys GL9750 and GL9755: DDR50 does not work. */
    {"pci17a0,9750", SDHCI_QUIRK_NO_DDR50},
    {"pci17a0,9755", SDHCI_QUIRK_NO_DDR50},
    /* Arasan in the Zynq families: the strobe is in the vendor's register, 1.8 V is the board's. */
    {"arasan,sdhci-8.9a", SDHCI_QUIRK_NO_AUTO_CMD23 | SDHCI_QUIRK_NO_1V8},
    {"xlnx,zynqmp-8.9a", SDHCI_QUIRK_NO_AUTO_CMD23 | SDHCI_QUIRK_NO_1V8},
    {"arasan,sdhci-5.1", SDHCI_QUIRK_ARASAN_STROBE},
    /* Raspberry Pi 4: the signal voltage is a regulator of the firmware's. */
    {"brcm,bcm2711-emmc2", SDHCI_QUIRK_NO_1V8 | SDHCI_QUIRK_NO_AUTO_CMD23},
};

u32 sdhci_quirks_find(const char *compatible)
{
    for (u32 i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].compatible, compatible) == 0) {
            return table[i].quirks;
        }
    }
    return 0;
}
