# SPDX-License-Identifier: BSD-2-Clause
"""A guest kernel with XEN_VIRTIO, which Debian's have not: from Debian's source, and small.

With it a guest grants its buffers for virtio instead of giving plain addresses.
"""

import os
import shutil

from . import packages, util
from .util import LOGS, TestbedError

BUILD_TIMEOUT_S = 3600
# Everything else is off: no modules, no network hardware, no drivers of real machines.
SWITCHED_ON = """
64BIT SMP ARM64_4K_PAGES ARM64_VA_BITS_48 PRINTK MULTIUSER POSIX_TIMERS FUTEX EPOLL EVENTFD
SIGNALFD TIMERFD AIO SHMEM ADVISE_SYSCALLS SYSVIPC BINFMT_ELF BINFMT_SCRIPT BLOCK BLK_DEV
BLK_DEV_INITRD RD_GZIP RD_ZSTD PROC_FS PROC_SYSCTL SYSFS TMPFS DEVTMPFS TTY UNIX98_PTYS
HVC_DRIVER PARAVIRT XEN HVC_XEN HVC_XEN_FRONTEND XEN_BLKDEV_FRONTEND XENFS XEN_COMPAT_XENFS
XEN_VIRTIO VIRTIO_MENU VIRTIO_MMIO BLK_MQ_VIRTIO VIRTIO_BLK EXT4_FS PARTITION_ADVANCED
EFI_PARTITION MSDOS_PARTITION MAGIC_SYSRQ DEVMEM KERNEL_MODE_NEON FILE_LOCKING INOTIFY_USER
MEMBARRIER RSEQ NET UNIX HIGH_RES_TIMERS NO_HZ_IDLE HZ_100
"""
CONFIG = "".join(f"CONFIG_{name}=y\n" for name in SWITCHED_ON.split()) + "CONFIG_NR_CPUS=8\n"


def xen_virtio():
    """Return the Image of a kernel with XEN_VIRTIO=y, the version of the stock guests' kernel."""
    version = packages.kernel_source_version()
    cross = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-")
    gcc = util.output([cross + "gcc", "--version"]).splitlines()[0]

    def build(folder):
        log = LOGS / "kernel-build.log"
        log.unlink(missing_ok=True)
        tree = folder / "src"
        tree.mkdir()
        packages.kernel_source(tree)
        (folder / "fragment").write_text(CONFIG)
        # make passes its own variables on; a make above us must not reach this build.
        env = {"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": "",
               "KBUILD_BUILD_TIMESTAMP": "1970-01-01", "KBUILD_BUILD_USER": "testbed",
               "KBUILD_BUILD_HOST": "testbed"}
        make = ["make", "-s", "-C", tree, "ARCH=arm64", f"CROSS_COMPILE={cross}"]
        util.run(make + [f"KCONFIG_ALLCONFIG={folder / 'fragment'}", "allnoconfig"], log,
                 BUILD_TIMEOUT_S, env=env)
        made = (tree / ".config").read_text().splitlines()
        missing = [line for line in CONFIG.splitlines() if line not in made]
        if missing:
            raise TestbedError(f"this kernel's Kconfig refused {missing}: its options have "
                               "changed, look at SWITCHED_ON in tools/testbed/kernel.py")
        util.run(make + [f"-j{os.cpu_count() or 1}", "Image"], log, BUILD_TIMEOUT_S, env=env,
                 cure="If a tool is missing, run tools/setup.sh.")
        shutil.copy(tree / "arch/arm64/boot/Image", folder / "Image")
        shutil.rmtree(tree)

    folder = util.cached("kernel-xen-virtio", [version, CONFIG, gcc], build,
                         f"build Linux {version} with XEN_VIRTIO (ten minutes on two cores)")
    return folder / "Image"
