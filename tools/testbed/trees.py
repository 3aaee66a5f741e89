# SPDX-License-Identifier: BSD-2-Clause
"""The two root file systems of the test bed: Dom0's and the guests'."""

import json
import pathlib

from . import initramfs, packages, util
from .util import HERE

ROOTFS = HERE / "rootfs"

DOM0_MODULES = ("xen-privcmd", "xen-evtchn", "xen-gntdev", "xenfs", "xen-blkback", "brd", "loop",
                "virtio_mmio", "null_blk")
GUEST_MODULES = ("virtio_mmio", "virtio_blk", "xen-blkfront", "xen-blkback", "xen-evtchn",
                 "xen-gntdev", "xen-privcmd", "xenfs", "brd", "loop", "null_blk", "dm-mod",
                 "dm-flakey", "dm-log-writes", "raid1", "vfat", "virtio-rng")
XENSTORE_TOOLS = ("read", "write", "ls", "list", "rm", "watch", "exists", "chmod")
DOM0_XEN = ("xl", "xenstored", "xenconsoled", "xenconsole", "xen-init-dom0", "init-dom0less",
            "xen-diag", "xentop", "flask-loadpolicy", "flask-getenforce", "flask-setenforce",
            "xenlockprof", "xenperf", "xentrace", "libxl-save-helper")
FIO_HOLLOW = ("librbd.so.1", "librados.so.2", "libgfapi.so.0", "libnbd.so.0", "libnfs.so.14",
              "libibverbs.so.1", "librdmacm.so.1", "libpmem.so.1")
GUEST_PROGRAMS = ("usr/sbin/mke2fs", "usr/sbin/e2fsck", "usr/sbin/dumpe2fs",
                  "usr/sbin/debugfs", "usr/sbin/resize2fs", "usr/sbin/tune2fs",
                  "usr/sbin/sfdisk", "usr/sbin/fdisk", "usr/sbin/blkdiscard",
                  "usr/sbin/blockdev", "usr/bin/lsblk", "usr/sbin/blkzone", "usr/bin/taskset",
                  "usr/bin/partx", "usr/sbin/wipefs", "usr/sbin/fstrim")
XL_CONF = 'autoballoon="off"\n'


def _scripts(*names):
    return [ROOTFS / n for n in names]


def _xenstore(sysroot):
    for tool in XENSTORE_TOOLS:
        sysroot.program(f"usr/bin/xenstore-{tool}")


def _cached_tree(name, group, scripts, make):
    inputs = [json.dumps(packages.lock()[g], sort_keys=True) for g in (group, "kernel")]
    inputs += [pathlib.Path(__file__), HERE / "initramfs.py", *scripts]

    def build(folder):
        make().write(folder / "root.cpio")

    return util.cached(name, inputs, build, f"make the file tree '{name}'") / "root.cpio"


def dom0(xen_version):
    """Return the archive with Dom0's root for the tools of one Xen version ('4.20', '4.17')."""
    pins = util.suites()
    group = "root" if xen_version == pins["XEN_VERSION"] else "root-old"
    scripts = _scripts("dom0-init", "agent", "block-script", "bridge", "lib.sh")

    def make():
        roots = [packages.unpacked(group)]
        if group != "root":
            roots.append(packages.unpacked("root"))
        tree, sysroot = initramfs.base_tree(*roots)
        initramfs.add_modules(tree, DOM0_MODULES)
        for name in DOM0_XEN:
            sysroot.program(f"usr/lib/xen-{xen_version}/bin/{name}")
            tree.link(f"usr/sbin/{name}", f"/usr/lib/xen-{xen_version}/bin/{name}")
        tree.link("usr/lib/xen", f"/usr/lib/xen-{xen_version}")
        _xenstore(sysroot)
        tree.file("init", ROOTFS / "dom0-init", 0o755)
        tree.file("usr/sbin/agent", ROOTFS / "agent", 0o755)
        tree.file("usr/sbin/bridge", ROOTFS / "bridge", 0o755)
        tree.file("testbed/lib.sh", ROOTFS / "lib.sh")
        tree.file("etc/xen/xl.conf", XL_CONF)
        tree.file("etc/xen/scripts/block", ROOTFS / "block-script", 0o755)
        # libxl looks for its scripts below the prefix that Debian built it with.
        tree.link(f"usr/lib/xen-{xen_version}/scripts", "/etc/xen/scripts")
        return tree

    return _cached_tree(f"dom0-{xen_version}", group, scripts, make)


def guest():
    """Return the archive with a guest's root: fio, file systems, front ends, driver domain."""
    scripts = _scripts("guest-init", "agent", "block-script", "driver-domain",
                       "driver-job")

    def make():
        tree, sysroot = initramfs.base_tree(packages.unpacked("root"))
        initramfs.add_modules(tree, GUEST_MODULES)
        sysroot.program("usr/bin/fio", hollow=FIO_HOLLOW)
        for path in GUEST_PROGRAMS:
            sysroot.program(path)
        for name in ("ext2", "ext3", "ext4"):
            tree.link(f"usr/sbin/mkfs.{name}", "mke2fs")
            tree.link(f"usr/sbin/fsck.{name}", "e2fsck")
        tree.file("etc/mke2fs.conf", packages.unpacked("root") / "etc/mke2fs.conf")
        tree.link("etc/mtab", "/proc/mounts")
        _xenstore(sysroot)
        tree.file("init", ROOTFS / "guest-init", 0o755)
        tree.file("usr/sbin/agent", ROOTFS / "agent", 0o755)
        tree.file("usr/sbin/driver-domain", ROOTFS / "driver-domain", 0o755)
        tree.file("testbed/driver", ROOTFS / "driver-job")
        tree.file("usr/lib/testbed/block", ROOTFS / "block-script", 0o755)
        return tree

    return _cached_tree("guest", "root", scripts, make)


def payload(files, path):
    """Write an extra archive {path in the tree: bytes, str or Path} to lie behind a root."""
    tree = initramfs.Tree()
    for name, data in files.items():
        mode = 0o755 if name.startswith(("usr/sbin/", "testbed/")) else 0o644
        tree.file(name, data, mode)
    tree.write(path)
    return path
