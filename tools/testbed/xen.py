# SPDX-License-Identifier: BSD-2-Clause
"""Xen with the ioreq server, built from Debian's source; and the FLASK policy with our module."""

import os
import pathlib
import shutil

from . import packages, util
from .util import LOGS, ROOT, TestbedError

BUILD_TIMEOUT_S = 900

# Debian's own hypervisor has neither the ioreq server nor static memory; they are behind EXPERT
# and UNSUPPORTED. The default of the security module is set to the plain one, as `xsm=` on the
# command line chooses per run.
DEFCONFIG = """\
CONFIG_EXPERT=y
CONFIG_UNSUPPORTED=y
CONFIG_IOREQ_SERVER=y
CONFIG_DOM0LESS_BOOT=y
CONFIG_STATIC_MEMORY=y
CONFIG_STATIC_SHM=y
CONFIG_STATIC_EVTCHN=y
CONFIG_SBSA_VUART_CONSOLE=y
CONFIG_XSM=y
CONFIG_XSM_FLASK=y
# CONFIG_XSM_SILO_DEFAULT is not set
CONFIG_XSM_DUMMY_DEFAULT=y
"""
REQUIRED = ("CONFIG_IOREQ_SERVER=y", "CONFIG_XSM_FLASK=y", "CONFIG_XSM_DUMMY_DEFAULT=y",
            "CONFIG_STATIC_MEMORY=y", "CONFIG_STATIC_SHM=y")

# Names that Xen would otherwise take from the machine that builds it.
FIXED = {"XEN_BUILD_DATE": "1970-01-01", "XEN_BUILD_TIME": "00:00:00", "XEN_WHOAMI": "testbed",
         "XEN_DOMAIN": "invalid", "XEN_BUILD_HOST": "testbed"}

FLASK_DIR = ROOT / "tools/flask"


def _compiler():
    return os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-")


def ioreq_hypervisor():
    """Return the path of the hypervisor image with the ioreq server."""
    version = packages.lock()["xen-source"]["xen"]
    cross = _compiler()
    gcc = util.output([cross + "gcc", "--version"]).splitlines()[0]

    def build(folder):
        log = LOGS / "xen-build.log"
        log.unlink(missing_ok=True)
        tree = folder / "src"
        shutil.copytree(packages.xen_source(), tree, symlinks=True)
        config = tree / "xen/arch/arm/configs/testbed_defconfig"
        config.write_text(DEFCONFIG)
        # make passes its own variables on; a make above us must not reach Xen's build.
        env = {**FIXED, "MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": ""}
        make = ["make", "-C", tree / "xen", "XEN_TARGET_ARCH=arm64", f"CROSS_COMPILE={cross}",
                "PYTHON=/usr/bin/python3", f"-j{os.cpu_count() or 1}"]
        util.run(make + ["testbed_defconfig"], log, BUILD_TIMEOUT_S, env=env)
        text = (tree / "xen/.config").read_text()
        missing = [line for line in REQUIRED if line not in text]
        if missing:
            raise TestbedError(f"this Xen's Kconfig refused {missing}: its options have changed, "
                               "look at DEFCONFIG in tools/testbed/xen.py")
        util.run(make, log, BUILD_TIMEOUT_S, env=env,
                 cure="If a tool is missing, run tools/setup.sh.")
        shutil.copy(tree / "xen/xen", folder / "xen")
        shutil.copy(tree / "xen/xen-syms", folder / "xen-syms")
        shutil.copy(tree / "xen/.config", folder / "config")
        shutil.rmtree(tree)

    folder = util.cached("xen-ioreq", [version, DEFCONFIG, repr(FIXED), gcc], build,
                         f"build Xen {version} with the ioreq server (about half a minute)")
    return folder / "xen"


def image(kind):
    """Return the hypervisor image: 'ioreq' (ours), 'debian' (4.20) or 'debian-old' (4.17)."""
    if kind == "ioreq":
        return ioreq_hypervisor()
    if kind == "debian":
        return packages.hypervisor("xen")
    if kind == "debian-old":
        return packages.hypervisor("xen-old")
    raise TestbedError(f"unknown xen '{kind}': use ioreq, debian or debian-old")


def policy():
    """Return the path of the FLASK policy: Xen's own example policy plus our module."""
    version = packages.lock()["xen-source"]["xen"]
    module = FLASK_DIR / "caisson.te"

    def build(folder):
        log = LOGS / "flask-build.log"
        log.unlink(missing_ok=True)
        source = packages.xen_source()
        tree = folder / "src"
        shutil.copytree(source / "tools/flask/policy", tree / "tools/flask/policy")
        shutil.copytree(source / "xen/xsm/flask/policy", tree / "xen/xsm/flask/policy")
        where = tree / "tools/flask/policy"
        shutil.copy(module, where / "modules/caisson.te")
        with open(where / "modules/modules.conf", "a") as conf:
            conf.write("\ncaisson = on\n")
        util.run(["make", "-C", where, "-f", "Makefile.common", f"FLASK_BUILD_DIR={where}",
                  "XEN_FULLVERSION=caisson", "all"], log, 120,
                 env={"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": ""},
                 cure="Look for an error in tools/flask/caisson.te; checkpolicy and m4 come with "
                      "tools/setup.sh.")
        shutil.copy(where / "xenpolicy-caisson", folder / "xenpolicy")
        shutil.rmtree(tree)

    folder = util.cached("flask", [version, module], build, "build the FLASK policy")
    return folder / "xenpolicy"


def policy_size(path):
    """Return the bytes of a policy file (for the boot module's reg property)."""
    return pathlib.Path(path).stat().st_size
