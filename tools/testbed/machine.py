# SPDX-License-Identifier: BSD-2-Clause
"""One QEMU machine that boots Xen and Dom0: its device tree, its command line, its end.

Every run has a time limit and ends with the process group dead, however it ends. The device tree
is QEMU's own, dumped, with Xen's boot modules added; so two or three modules (kernel, initial
file tree, FLASK policy) take the same way.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import util
from .util import TestbedError

QEMU = "qemu-system-aarch64"
DTB_TIMEOUT_S = 30

# Where the boot modules lie in the machine's memory (which starts at 1 GiB). Xen copies them.
KERNEL_ADDR = 0x60000000
POLICY_ADDR = 0x6F000000
INITRD_ADDR = 0x70000000
DOMU_ADDR = 0x58000000
DOMU_STEP = 0x01000000
RAM_BASE = 0x40000000

# Linux in Dom0 maps foreign pages where there is memory of the machine that is not its own, and
# only above its own lowest gigabyte: memory beyond 4 GiB makes sure that there is such a place.
MEMORY_MB = 4096

GUEST_PORTS = 12


@dataclasses.dataclass
class DomU:
    """A domain that Xen itself starts (dom0less), without xenstore; it has a vpl011 console."""

    kernel: pathlib.Path
    memory_mb: int
    bootargs: str = ""


class Machine:
    """A machine to boot; start(), then wait() or kill(). See Bed for the meaning of the options.

    initrds is a list of archives that lie one behind the other. ports are names of virtio-serial
    ports, each a stream socket (see port()); without ports no device but the console exists.
    Without a kernel (None) there is no Dom0; domus are domains that Xen starts beside it.
    """

    def __init__(self, log_dir, xen, kernel, initrds, gic=3, smp=2, memory_mb=MEMORY_MB,
                 xen_args="", dom0_args="", policy=None, icount=False, seed=1, ports=(),
                 interactive=False, cpu=None, domus=()):
        self.log_dir = pathlib.Path(log_dir)
        self.xen, self.kernel, self.initrds = xen, kernel, list(initrds)
        self.gic, self.smp, self.memory_mb = gic, smp, memory_mb
        # An old and a new core between them cover both kinds of atomics; counted runs keep to one.
        self.cpu = cpu or ("cortex-a57" if icount or gic == 2 else "neoverse-n1")
        self.xen_args, self.dom0_args = xen_args, dom0_args
        self.policy, self.icount, self.seed = policy, icount, seed
        self.ports, self.interactive = tuple(ports), interactive
        self.domus = [(DOMU_ADDR + i * DOMU_STEP, domu) for i, domu in enumerate(domus)]
        self.console_log = self.log_dir / "console.log"
        self.qemu_log = self.log_dir / "qemu.log"
        self.proc = None
        self._sockets = {}
        self._run_dir = None

    def _board(self):
        return ["-M", f"virt,virtualization=on,gic-version={self.gic},dtb-randomness=off",
                "-cpu", self.cpu, "-smp", str(self.smp), "-m", str(self.memory_mb),
                "-nodefaults", "-display", "none"]

    def _modules(self):
        """Return [(address, file, kind, bootargs)] of the boot modules."""
        modules = []
        if self.kernel:
            modules.append((KERNEL_ADDR, self.kernel, "kernel", self.dom0_args))
        if self.policy:
            modules.append((POLICY_ADDR, self.policy, "policy", None))
        return modules

    def _device_tree(self, path):
        """Write QEMU's own device tree with our boot modules in /chosen."""
        util.output([QEMU, *(a.replace("virt,", f"virt,dumpdtb={path},", 1)
                             for a in self._board())], timeout=DTB_TIMEOUT_S)
        cells = {"kernel": ["multiboot,kernel", "multiboot,module"],
                 "ramdisk": ["multiboot,ramdisk", "multiboot,module"],
                 "policy": ["xen,xsm-policy", "multiboot,module"]}
        total = sum(pathlib.Path(p).stat().st_size for p in self.initrds)
        nodes = [(a, pathlib.Path(f).stat().st_size, kind, args)
                 for a, f, kind, args in self._modules()]
        if self.initrds:
            nodes.append((INITRD_ADDR, total, "ramdisk", None))
        # Xen hands this on to Dom0, whose xl would otherwise wait seconds for entropy. It is the
        # same for every run, as nothing in an emulated test machine is secret.
        util.output(["fdtput", "-t", "x", path, "/chosen", "rng-seed",
                     *(f"{0x9E3779B9 * i & 0xFFFFFFFF:x}" for i in range(1, 17))])
        end = RAM_BASE + self.memory_mb * 1024 * 1024
        for addr, size, kind, args in nodes:
            if addr + size > (POLICY_ADDR if addr == KERNEL_ADDR else end):
                raise TestbedError(f"the {kind} module of {size} bytes does not fit at {addr:#x}: "
                                   "give the machine more memory (memory_mb)")
            node = f"/chosen/module@{addr:x}"
            util.output(["fdtput", "-cp", path, node])
            util.output(["fdtput", "-t", "s", path, node, "compatible", *cells[kind]])
            util.output(["fdtput", "-t", "x", path, node, "reg", "0", f"{addr:x}", "0",
                         f"{size:x}"])
            if args:
                util.output(["fdtput", "-t", "s", path, node, "bootargs", args])
        for addr, domu in self.domus:
            self._domu_node(path, addr, domu)

    @staticmethod
    def _domu_node(path, addr, domu):
        """Add the node of a domain that Xen starts."""
        def put(node, kind, name, *values):
            util.output(["fdtput", *kind, path, node, name, *values])

        node = f"/chosen/domain@{addr:x}"
        kernel = f"{node}/module@{addr:x}"
        size = pathlib.Path(domu.kernel).stat().st_size
        util.output(["fdtput", "-cp", path, kernel])
        put(node, ["-t", "s"], "compatible", "xen,domain")
        for name, *cells in (("#address-cells", "2"), ("#size-cells", "2"), ("cpus", "1"),
                             ("memory", "0", f"{domu.memory_mb * 1024:x}")):
            put(node, ["-t", "x"], name, *cells)
        put(node, [], "vpl011")
        put(node, ["-t", "s"], "xen,enhanced", "no-xenstore")
        put(kernel, ["-t", "s"], "compatible", "multiboot,kernel", "multiboot,module")
        put(kernel, ["-t", "x"], "reg", "0", f"{addr:x}", "0", f"{size:x}")
        put(kernel, ["-t", "s"], "bootargs", domu.bootargs)

    def argv(self, dtb):
        """Return QEMU's command line."""
        # A killed parent takes the machine with it: the kernel sees to that.
        argv = ["setpriv", "--pdeathsig", "KILL", QEMU, *self._board(), "-dtb", str(dtb),
                "-kernel", str(self.xen), "-append",
                "console=dtuart " + self.xen_args, "-monitor", "none", "-nic", "none"]
        if self.icount:
            # One thread and one virtual nanosecond per instruction: two runs are the same run.
            argv += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off",
                     "-seed", str(self.seed), "-rtc", "base=2026-01-01,clock=vm"]
        else:
            argv += ["-accel", "tcg,thread=multi"]
        loads = [(addr, path) for addr, path, _, _ in self._modules()]
        loads += [(addr, domu.kernel) for addr, domu in self.domus]
        for addr, path in loads:
            argv += ["-device", f"loader,file={path},addr={addr:#x},force-raw=on"]
        addr = INITRD_ADDR
        for path in self.initrds:
            argv += ["-device", f"loader,file={path},addr={addr:#x},force-raw=on"]
            addr += pathlib.Path(path).stat().st_size
        if self.interactive:
            argv += ["-chardev", f"stdio,id=con,signal=off,logfile={self.console_log}"]
        else:
            argv += ["-chardev", f"file,id=con,path={self.console_log}"]
        argv += ["-serial", "chardev:con"]
        if self.ports:
            argv += ["-device", f"virtio-serial-device,max_ports={len(self.ports) + 1}"]
        for i, name in enumerate(self.ports):
            sock = f"{self._run_dir}/{name}"
            argv += ["-chardev", f"socket,id=p{i},path={sock},server=on,wait=off",
                     "-device", f"virtserialport,chardev=p{i},name={name},nr={i + 1}"]
        return argv

    def start(self):
        """Start the machine and connect its ports."""
        domus = [domu.kernel for _, domu in self.domus]
        for path in filter(None, (self.xen, self.kernel, *self.initrds, *domus)):
            if not pathlib.Path(path).is_file():
                raise TestbedError(f"{path} is not there: build it first")
        self.log_dir.mkdir(parents=True, exist_ok=True)
        # Socket paths are short: their limit is 107 bytes, build paths may be longer.
        self._run_dir = tempfile.mkdtemp(prefix="testbed-")
        dtb = self.log_dir / "machine.dtb"
        try:
            self._device_tree(dtb)
            argv = self.argv(dtb)
            (self.log_dir / "qemu.cmd").write_text(" ".join(map(str, argv)) + "\n")
            with open(self.qemu_log, "wb") as err:
                self.proc = subprocess.Popen(
                    argv, stdin=None if self.interactive else subprocess.DEVNULL,
                    stdout=None if self.interactive else err, stderr=err,
                    start_new_session=not self.interactive)
            for name in self.ports:
                self._sockets[name] = self._connect(f"{self._run_dir}/{name}")
        except FileNotFoundError as err:
            self.kill()
            raise TestbedError(f"{QEMU} is not installed: run tools/setup.sh") from err
        except BaseException:
            self.kill()
            raise

    def _connect(self, path, limit_s=10.0):
        end = time.monotonic() + limit_s
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
                return sock
            except OSError as err:
                sock.close()
                if self.proc.poll() is not None:
                    raise TestbedError("QEMU ended at once. " + util.tail(self.qemu_log)) from err
                if time.monotonic() > end:
                    raise TestbedError(f"QEMU does not open {path} within {limit_s} s") from err
                time.sleep(0.02)

    def port(self, name):
        """Return the connected socket of a port."""
        return self._sockets[name]

    def alive(self):
        """Say whether QEMU runs."""
        return self.proc is not None and self.proc.poll() is None

    def wait(self, timeout):
        """Wait for the machine to power itself off; raise TestbedError after timeout seconds."""
        try:
            code = self.proc.wait(timeout)
        except subprocess.TimeoutExpired as err:
            self.kill()
            raise TestbedError(f"the machine did not power off within {timeout} s.\n"
                               f"{self.console_log} ends:\n{util.tail(self.console_log)}"
                               ) from err
        finally:
            self._forget()
        if code != 0:
            raise TestbedError(f"QEMU ended with code {code}.\n{util.tail(self.qemu_log)}")

    def kill(self):
        """End the machine, whatever it does; safe to call again."""
        if self.proc is not None and self.proc.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                if self.interactive:
                    self.proc.kill()
                else:
                    os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()
        self._forget()

    def _forget(self):
        for sock in self._sockets.values():
            sock.close()
        self._sockets = {}
        if self._run_dir:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None
