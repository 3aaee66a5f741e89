# SPDX-License-Identifier: BSD-2-Clause
"""Runs in which nothing is typed: Dom0's init runs a script, prints, and powers off.

With icount (the default) QEMU counts instructions in one thread: one virtual nanosecond is one
executed instruction of all CPUs together, and two runs with the same inputs print the same bytes.

    result = scripted.run("hello", ". /testbed/lib.sh\\nguest_make g 384 try && guest_wait g 60",
                          jobs={"try": "uname -r; lsblk"})
    print(result.code, result.text)

The functions for such scripts are in rootfs/lib.sh. A job is sh text that a guest's init runs.
"""

import dataclasses
import pathlib
import re

from . import bed, trees, util
from .machine import MEMORY_MB, Machine
from .util import TestbedError

BEGIN = "testbed: SCRIPT BEGIN\n"
END = re.compile(r"^testbed: SCRIPT END (\d+)$", re.M)


@dataclasses.dataclass
class Result:
    """Exit code and output (less Xen's lines) of a script; the whole console; the log folder."""

    code: int
    text: str
    console: str
    log_dir: pathlib.Path


def run(name, script, jobs=None, payload=None, xen="ioreq", gic=3, xsm="dummy", icount=True,
        seed=1, smp=2, memory_mb=MEMORY_MB, dom0_mb=bed.DOM0_MB, dom0_vcpus=1, xen_args="",
        cpu=None, timeout=300):
    """Boot, run the script in Dom0, power off; return a Result.

    Raises TestbedError when the machine does not come to the script's end within timeout seconds.
    """
    log_dir = bed.log_folder(name)
    files = dict(payload or {})
    if jobs:
        extra = trees.payload({f"testbed/{job}": text for job, text in jobs.items()},
                              log_dir / "jobs.cpio")
        files["guest.cpio"] = trees.guest().read_bytes() + extra.read_bytes()
        extra.unlink()
    hypervisor, kernel, initrds, policy = bed.assemble(xen, xsm, files, log_dir, script=script)
    machine = Machine(
        log_dir, hypervisor, kernel, initrds, gic=gic, smp=smp, memory_mb=memory_mb,
        xen_args=bed.xen_command_line(xsm, dom0_mb, dom0_vcpus, xen_args), policy=policy,
        dom0_args="console=hvc0 rdinit=/init testbed.mode=script", icount=icount, seed=seed,
        cpu=cpu)
    with util.progress(f"scripted run {name} (xen {xen}, GICv{gic}, {xsm})"):
        try:
            machine.start()
            machine.wait(timeout)
        finally:
            machine.kill()
    console = machine.console_log.read_bytes().decode(errors="replace").replace("\r", "")
    return _result(console, log_dir)


def _result(console, log_dir):
    """Cut the script's own output out of the machine's console."""
    begin, end = console.find(BEGIN), END.search(console)
    if begin < 0 or end is None:
        raise TestbedError("the machine powered off before its script ended. Console:\n"
                           + util.tail(log_dir / "console.log", 60))
    lines = console[begin + len(BEGIN):end.start()].splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("(XEN)"))
    return Result(int(end.group(1)), text, console, log_dir)
