# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's own tests of vhost-user-blk, built from Debian's source and run against our server.

Debian's binary of QEMU cannot be driven by them (it has no qtest accelerator), and its packages do
not hold the tests. The source is that of the test bed's suite. A small QEMU, qemu-img and the tests
are built once, some ten minutes of two CPUs, and kept under build/testbed; the packages that this
takes are installed by `tools/setup.sh qtest`.
"""

import os
import pathlib
import re
import shutil
import subprocess

import vhost_user_clients as clients
from tools.testbed import packages, util
from tools.testbed.util import LOGS, ROOT, TestbedError

LOG = LOGS / "qemu-qtest.log"
STORAGE_DAEMON = pathlib.Path(__file__).resolve().parent / "storage_daemon.py"
FETCH_TIMEOUT_S = 600
BUILD_TIMEOUT_S = 3000
RUN_TIMEOUT_S = 120

# The machine that the tests drive, and nothing else.
DEVICES = ("I440FX", "VIRTIO_PCI", "VIRTIO_BLK", "VHOST_USER_BLK")
CONFIGURE = ("--python=/usr/bin/python3", "--target-list=x86_64-softmmu",
             "--without-default-features", "--enable-tcg", "--enable-vhost-user",
             "--enable-vhost-user-blk-server", "--enable-tools", "--disable-werror",
             "--disable-docs", "--disable-download", "--disable-install-blobs",
             "--disable-debug-info", "--without-default-devices", "--with-devices-x86_64=blk",
             "--extra-cflags=-O1")
PROGRAMS = ("qemu-system-x86_64", "qemu-img", "tests/qtest/qos-test")
FIRMWARE = ("/usr/share/seabios", "/usr/share/qemu")  # as qemu-system-x86 brings it
PREFIX = "/x86_64/pc/i440FX-pcihost/pci-bus-pc/pci-bus/vhost-user-blk-pci"


def _source(folder):
    """Fetch and unpack QEMU's source with Debian's patches; returns its folder."""
    suite = util.suites()["GUEST_SUITE"]
    util.run(["apt-get", "-c", clients.apt_conf(), "-q", "source", f"qemu/{suite}"], LOG,
             FETCH_TIMEOUT_S, cwd=folder, cure=packages.CURE)
    found = [p for p in folder.glob("qemu-*") if p.is_dir()]
    if len(found) != 1:
        raise TestbedError(f"{suite} delivers no source of QEMU. {packages.CURE}")
    return found[0]


def _build(folder):
    """Build the programs; only they and the firmware that they load are kept."""
    util.run(["sh", ROOT / "tools/setup.sh", "qtest"], LOG, FETCH_TIMEOUT_S)
    source = _source(folder)
    work = folder / "work"
    work.mkdir()
    devices = source / "configs/devices/x86_64-softmmu/blk.mak"
    devices.write_text("".join(f"CONFIG_{d}=y\n" for d in DEVICES), encoding="utf-8")
    util.run([source / "configure", *CONFIGURE], LOG, BUILD_TIMEOUT_S, cwd=work)
    util.run(["ninja", "-j2", *PROGRAMS], LOG, BUILD_TIMEOUT_S, cwd=work)
    for name in PROGRAMS:
        shutil.move(work / name, folder / pathlib.Path(name).name)
    # A QEMU that is not installed looks for its data beside itself, at this place.
    data = folder / "qemu-bundle/usr/local/share/qemu"
    data.mkdir(parents=True)
    for place in FIRMWARE:
        for file in pathlib.Path(place).glob("*.*"):
            if file.is_file():
                shutil.copy(file, data)
    for item in folder.iterdir():
        if item.name.startswith("qemu_"):
            item.unlink()
    shutil.rmtree(source)
    shutil.rmtree(work)


def programs():
    """Return the folder with QEMU, qemu-img and the tests, built when they are not there."""
    inputs = [util.suites()["GUEST_SUITE"], *DEVICES, *CONFIGURE, *PROGRAMS, "1"]
    return util.cached("qemu-qtest", inputs, _build,
                       "build QEMU's tests of vhost-user-blk from Debian's source (ten minutes)")


def run(name, folder):
    """Run one of the tests with our server behind it, its files in folder.

    Returns (passed, output): passed only when the test was run and neither failed nor was skipped.
    """
    place = programs()
    test = f"{PREFIX}/vhost-user-blk-pci-tests/{name}"
    if name in ("basic", "indirect"):
        test = f"{PREFIX}/vhost-user-blk/vhost-user-blk-tests/{name}"
    env = dict(os.environ, QTEST_QEMU_BINARY=str(place / "qemu-system-x86_64"),
               QTEST_QEMU_IMG=str(place / "qemu-img"),
               QTEST_QEMU_STORAGE_DAEMON_BINARY=str(STORAGE_DAEMON),
               CAISSON_VHOST_USER=str(clients.SERVER), TMPDIR=str(folder), LC_ALL="C")
    done = subprocess.run([place / "qos-test", "--tap", "-k", "-p", test], env=env, cwd=folder,
                          capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
    said = done.stdout + done.stderr
    ok = re.findall(r"^ok \d+ (\S+)$", done.stdout, re.M)
    return done.returncode == 0 and ok == [test] and "not ok" not in done.stdout, said
