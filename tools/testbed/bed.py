# SPDX-License-Identifier: BSD-2-Clause
"""Bed: Xen, Dom0 and guests in one emulated machine, driven from Python.

    with Bed(xen="ioreq", gic=3, xsm="dummy") as bed:
        st = bed.create("store", kernel="caisson.img", memory=32)
        g = bed.create_guest("g1", virtio=["type=virtio,device2,transport=mmio,backend=store"])
        print(g.run("mkfs.ext4 -q /dev/vda && dmesg | tail"))

Files that Dom0 needs (images, disks, scripts) are given as payload={name: bytes or Path}; they lie
in /images of Dom0. The stock kernel and guest tree are always there.
"""

import base64
import itertools
import pathlib
import re
import shutil
import time

from . import packages, trees, util, xen as xen_build
from .console import Channel, CommandFailed, TimedOut
from .machine import GUEST_PORTS, MEMORY_MB, Machine
from .util import LOGS, TestbedError

BOOT_TIMEOUT_S = 240
XL_TIMEOUT_S = 90
GUEST_BOOT_TIMEOUT_S = 240
ALIVE_CHECK_S = 10
DOM0_MB = 896
XSM_ARGS = {"dummy": "xsm=dummy", "silo": "xsm=silo", "flask": "xsm=flask flask=enforcing",
            "default": ""}
GUEST_ARGS = "console=hvc0 rdinit=/init testbed.mode=agent"

_serial = itertools.count(1)


def xen_version_of(kind):
    """Return the version of the tools that fit a hypervisor ('ioreq', 'debian', 'debian-old')."""
    pins = util.suites()
    return pins["OLD_XEN_VERSION"] if kind == "debian-old" else pins["XEN_VERSION"]


def log_folder(name):
    """Return an empty folder for the logs of one run."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    folder = LOGS / safe
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def assemble(xen, xsm, payload, log_dir, script=None):
    """Return (hypervisor, kernel, initrds, policy) for a run; builds what is missing."""
    if xsm not in XSM_ARGS:
        raise TestbedError(f"unknown xsm '{xsm}': use {', '.join(XSM_ARGS)}")
    hypervisor = xen_build.image(xen)
    policy = xen_build.policy() if xsm == "flask" else None
    kernel, _, _ = packages.kernel()
    files = {f"images/{name}": data for name, data in (payload or {}).items()}
    initrds = [trees.dom0(xen_version_of(xen)), _guest_images(kernel)]
    if script is not None:
        files["testbed/script"] = script
    if files:
        initrds.append(trees.payload(files, log_dir / "payload.cpio"))
    return hypervisor, kernel, initrds, policy


def _guest_images(kernel):
    """Return the archive with the guests' kernel and tree as Dom0's /images."""
    root = trees.guest()

    def build(folder):
        trees.payload({"images/vmlinuz": kernel, "images/guest.cpio": root},
                      folder / "images.cpio")

    return util.cached("guest-images", [str(kernel), str(root)], build,
                       "pack the guests' images") / "images.cpio"


def xen_command_line(xsm, dom0_mb, dom0_vcpus, extra=""):
    """Return Xen's command line less the console, which Machine adds.

    The emulated memory is zero to begin with: not scrubbing it saves time, and memory of the host.
    """
    return " ".join(filter(None, ["bootscrub=0", f"dom0_mem={dom0_mb}M",
                                  f"dom0_max_vcpus={dom0_vcpus}", XSM_ARGS[xsm], extra]))


class Domain:
    """A domain that xl made. Its name stays; its id changes with a reboot."""

    def __init__(self, bed, name, kind):
        self.bed, self.name, self.kind = bed, name, kind

    def id(self):
        """Return the present domain id."""
        return int(self.bed.dom0.run(f"xl domid {self.name}"))

    def alive(self):
        """Say whether xl knows the domain."""
        code, _ = self.bed.dom0.run(f"xl domid {self.name}", check=False)
        return code == 0

    def console(self):
        """Return what the domain printed on its PV console so far (all its lives)."""
        text = self.bed.dom0.run(f"cat /var/log/xen/console/guest-{self.name}.log 2>/dev/null; "
                                 "true")
        return text.replace("\r\n", "\n").replace("\r", "")

    def wait_console(self, pattern, timeout=30.0):
        """Wait until the console text matches a regular expression; return the match."""
        end = time.monotonic() + timeout
        while True:
            text = self.console()
            match = re.search(pattern, text, re.M)
            if match:
                return match
            if time.monotonic() > end:
                raise TestbedError(f"{self.name} did not print /{pattern}/ within {timeout} s. "
                                   f"Its console:\n{text[-3000:]}")
            time.sleep(0.2)

    def wait_gone(self, timeout=30.0):
        """Wait until xl knows the domain no more."""
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                raise TestbedError(f"{self.name} is still there after {timeout} s. Its console:\n"
                                   f"{self.console()[-3000:]}")
            time.sleep(0.2)

    def destroy(self, timeout=XL_TIMEOUT_S):
        """Destroy the domain; return the seconds that xl took (by Dom0's clock)."""
        return self.bed.xl_timed(f"destroy {self.name}", timeout)[0]


class Guest(Domain):
    """A stock Linux guest with a root shell."""

    def __init__(self, bed, name, port):
        super().__init__(bed, name, "guest")
        self.port = port
        self.channel = Channel(name, bed.machine.port(port), bed.log_dir / f"{name}.log",
                               bed.machine.alive)

    def join(self):
        """Join the console of the created domain to its port."""
        self.bed.dom0.run(f"setsid bridge {self.name} {self.port} </dev/null >/dev/null 2>&1 &")

    def wait_ready(self, timeout=GUEST_BOOT_TIMEOUT_S):
        """Wait until the guest's shell listens; not longer than the guest lives."""
        end = time.monotonic() + timeout
        gone = False
        while True:
            left = end - time.monotonic()
            try:
                self.channel.wait_ready(min(max(left, 0.1), ALIVE_CHECK_S))
                return
            except TimedOut as err:
                # Between the two lives of a reboot there is no domain for a moment.
                died, gone = gone, not self.alive()
                if left > ALIVE_CHECK_S and not (died and gone):
                    continue
                why = f"{self.name} is gone" if died and gone else str(err)
                raise TestbedError(f"{why}\nIts console:\n{self.console()[-4000:]}") from err

    def run(self, script, timeout=60.0, check=True):
        """Run sh text as root; return the output, or (code, output) when check is off."""
        return self.channel.run(script, timeout, check)

    def start(self, script):
        """Start sh text without waiting: finish() fetches (code, output)."""
        self.channel.start(script)

    def finish(self, timeout=60.0):
        """Wait for what start() began; return (code, output)."""
        return self.channel.finish(timeout)

    def put(self, path, data):
        """Write a file in the guest (small: it travels over the console)."""
        put(self.channel, path, data)

    def reboot(self, timeout=GUEST_BOOT_TIMEOUT_S):
        """Reboot from inside; wait until the new domain's shell listens."""
        old = self.id()
        self.channel.start("sync; reboot -f")
        self.wait_ready(timeout)
        if self.id() == old:
            raise TestbedError(f"{self.name} kept its id {old} over a reboot")

    def shutdown(self, timeout=XL_TIMEOUT_S):
        """Power the guest off from inside and wait until its domain is gone."""
        self.channel.start("sync; poweroff -f")
        end = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > end:
                raise TestbedError(f"{self.name} is still there {timeout} s after poweroff")
            time.sleep(0.2)
        self.release()

    def destroy(self, timeout=XL_TIMEOUT_S):
        """Destroy the guest; return the seconds that xl took."""
        self._unbridge()
        seconds = super().destroy(timeout)
        self._free()
        return seconds

    def _unbridge(self):
        self.bed.dom0.run(f"rm -f /run/bridge-{self.port}; "
                          f"kill $(cat /run/bridge-{self.port}.pid) 2>/dev/null; true")

    def _free(self):
        self.channel.abandon()
        self.channel.close()
        self.bed.port_free(self)

    def release(self):
        """Give back the port of a guest that is gone by itself."""
        self._unbridge()
        self._free()


def put(channel, path, data):
    """Write a file at the other end of a channel."""
    if isinstance(data, pathlib.Path):
        data = data.read_bytes()
    elif isinstance(data, str):
        data = data.encode()
    text = base64.b64encode(data).decode()
    channel.run(f"mkdir -p \"$(dirname '{path}')\"; base64 -d >'{path}' <<'@@'\n{text}\n@@",
                timeout=60 + len(data) / 20000)


class Bed:
    """A booted machine; a context manager that always ends it.

    xen: 'ioreq' (built here), 'debian' (4.20) or 'debian-old' (4.17); gic: 2 or 3; xsm: 'dummy',
    'silo', 'flask' (enforcing, with our policy module) or 'default'; icount: count instructions
    (slow and single-threaded; for runs that must be exactly repeatable use scripted.run()).
    payload: files for Dom0's /images; name: of the log folder under build/logs.
    """

    def __init__(self, xen="ioreq", gic=3, xsm="dummy", icount=False, smp=2, memory_mb=MEMORY_MB,
                 dom0_mb=DOM0_MB, dom0_vcpus=1, payload=None, xen_args="", cpu=None, name=None):
        self.name = name or f"bed-{next(_serial)}"
        self.log_dir = log_folder(self.name)
        hypervisor, kernel, initrds, policy = assemble(xen, xsm, payload, self.log_dir)
        self._ports = [f"guest{i}" for i in range(1, GUEST_PORTS + 1)]
        self.machine = Machine(
            self.log_dir, hypervisor, kernel, initrds, gic=gic, smp=smp, memory_mb=memory_mb,
            xen_args=xen_command_line(xsm, dom0_mb, dom0_vcpus, xen_args), policy=policy,
            dom0_args="console=hvc0 rdinit=/init testbed.mode=agent", icount=icount, cpu=cpu,
            ports=["dom0", *self._ports])
        self.xen, self.gic, self.xsm = xen, gic, xsm
        self.dom0 = None
        self.domains = {}

    def __enter__(self):
        with util.progress(f"boot {self.name} (xen {self.xen}, GICv{self.gic}, {self.xsm})"):
            self.machine.start()
            try:
                self.dom0 = Channel("dom0", self.machine.port("dom0"), self.log_dir / "dom0.log",
                                    self.machine.alive)
                try:
                    self.dom0.wait_ready(BOOT_TIMEOUT_S)
                except TestbedError as err:
                    raise TestbedError(f"{err}\nConsole:\n{self.console_tail()}") from err
            except BaseException:
                self.machine.kill()
                raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Save the consoles' logs, power off, and make sure that nothing is left running."""
        if self.dom0 and self.machine.alive():
            try:
                if not self.dom0.busy():
                    self._save_consoles()
                    self.dom0.start("poweroff -f")
                    self.machine.wait(15)
            except TestbedError as err:
                util.say(f"{self.name}: {str(err).splitlines()[0]}")
        self.machine.kill()
        for domain in self.domains.values():
            if isinstance(domain, Guest):
                domain.channel.close()
        self.domains = {}
        if self.dom0:
            self.dom0.close()
            self.dom0 = None

    def _save_consoles(self):
        """Append what the domains printed to guests-console.log on this side."""
        text = self.dom0.run("cd /var/log/xen/console && for f in guest-*; do [ -f $f ] && "
                             "echo \"==> $f\" && tail -n 400 $f; done; true", timeout=60)
        with open(self.log_dir / "guests-console.log", "a") as out:
            out.write(text)

    def console_text(self):
        """Return what Xen and Dom0 printed on the machine's console."""
        path = self.machine.console_log
        if not path.exists():
            return ""
        return path.read_bytes().decode(errors="replace").replace("\r", "")

    def console_tail(self, lines=40):
        """Return the last lines of the machine's console."""
        return util.tail(self.machine.console_log, lines)

    def put(self, path, data):
        """Write a file in Dom0 (some MB at most; large ones belong into payload)."""
        put(self.dom0, path, data)

    def xenstore_ls(self, path="/"):
        """Return {path: value} of a xenstore subtree (values as xenstore-ls prints them)."""
        text = self.dom0.run(f"xenstore-ls -f {path}")
        found = {}
        for line in text.splitlines():
            key, sep, value = line.partition(" = ")
            if sep:
                found[key] = value[1:-1] if value.startswith('"') else value
        return found

    def xenstore_read(self, path):
        """Return the value of one xenstore node, or None."""
        code, out = self.dom0.run(f"xenstore-read {path}", check=False)
        return out.rstrip("\n") if code == 0 else None

    def xl_timed(self, args, timeout=XL_TIMEOUT_S, check=True):
        """Run xl; return (seconds by Dom0's clock, code, output)."""
        out = self.dom0.run("t0=$(cut -d' ' -f1 /proc/uptime); "
                            f"xl {args}; code=$?; "
                            'echo "@xl $t0 $(cut -d" " -f1 /proc/uptime) $code"', timeout)
        text, _, last = out.rpartition("@xl ")
        t0, t1, code = last.split()
        if check and int(code) != 0:
            raise CommandFailed("dom0", f"xl {args}", int(code), text)
        return float(t1) - float(t0), int(code), text

    def _config(self, name, kernel, memory, vcpus, ramdisk, extra, disks, virtio, seclabel,
                options):
        def path(p):
            return p if p.startswith("/") else f"/images/{p}"

        lines = [f'name = "{name}"', f'kernel = "{path(kernel)}"', f"memory = {memory}",
                 f"vcpus = {vcpus}"]
        if ramdisk:
            lines.append(f'ramdisk = "{path(ramdisk)}"')
        if extra:
            lines.append(f'extra = "{extra}"')
        if disks:
            lines.append("disk = [ " + ", ".join(f"'{d}'" for d in disks) + " ]")
        if virtio:
            lines.append("virtio = [ " + ", ".join(f"'{v}'" for v in virtio) + " ]")
        if seclabel:
            lines.append(f'seclabel = "{seclabel}"')
        lines += [f"{k} = {v}" for k, v in (options or {}).items()]
        return "\n".join(lines) + "\n"

    def create(self, name, kernel, memory=32, vcpus=1, ramdisk=None, extra="", disks=(),
               virtio=(), seclabel=None, options=None, timeout=XL_TIMEOUT_S):
        """Create a domain from a configuration written here; CommandFailed when xl refuses.

        kernel and ramdisk are names in Dom0's /images or absolute paths there. options are
        further lines of the xl configuration as {key: text}.
        """
        config = self._config(name, kernel, memory, vcpus, ramdisk, extra, disks, virtio,
                              seclabel, options)
        put(self.dom0, f"/run/{name}.cfg", config)
        self.xl_timed(f"create /run/{name}.cfg", timeout)
        domain = Domain(self, name, "domain")
        self.domains[name] = domain
        return domain

    def create_guest(self, name, disks=(), virtio=(), memory=384, vcpus=1, extra="",
                     seclabel=None, options=None, ramdisk="guest.cpio", wait=True,
                     timeout=XL_TIMEOUT_S, kernel="vmlinuz"):
        """Create a Linux guest, stock unless a kernel is named, and wait for its root shell."""
        if not self._ports:
            raise TestbedError(f"all {GUEST_PORTS} guest consoles are in use: destroy a guest")
        config = self._config(name, kernel, memory, vcpus, ramdisk,
                              f"{GUEST_ARGS} {extra}".strip(), disks, virtio, seclabel, options)
        put(self.dom0, f"/run/{name}.cfg", config)
        guest = Guest(self, name, self._ports.pop(0))
        try:
            self.xl_timed(f"create /run/{name}.cfg", timeout)
        except TestbedError:
            guest.release()
            raise
        guest.join()
        self.domains[name] = guest
        if wait:
            guest.wait_ready()
        return guest

    def create_driver_domain(self, name, ramdisk_mb, count=1, memory=None, vcpus=1,
                             seclabel=None, options=None):
        """Create a Linux domain that serves count ramdisks (ram0, ...) through xen-blkback.

        Guests reach them with disks=["format=raw,vdev=xvda,access=rw,backend=NAME,target=ram0"].
        """
        domain = self.create_guest(name, memory=memory or 256 + ramdisk_mb * count, vcpus=vcpus,
                                   seclabel=seclabel, options=options,
                                   extra="testbed.modules=none")
        domain.run(f"setsid driver-domain {count} {ramdisk_mb} </dev/null >/run/driver.log 2>&1 &\n"
                   "n=0; until grep -q 'is up' /run/driver.log; do n=$((n + 1)); "
                   "[ $n -lt 300 ] || exit 1; sleep 0.1; done")
        return domain

    def destroy_all(self):
        """Destroy every domain but Dom0 (what a test left behind)."""
        for domain in list(self.domains.values()):
            if domain.alive():
                domain.destroy()
            elif isinstance(domain, Guest):
                domain.release()
        self.domains = {}
        self._save_consoles()
        self.dom0.run("for id in $(xl list | sed 1,2d | awk '{print $2}'); do xl destroy $id; "
                      "done; rm -f /var/log/xen/console/guest-*.log; modprobe -r brd; true",
                      timeout=XL_TIMEOUT_S)

    def port_free(self, guest):
        """Take back a guest's console port (called by Guest)."""
        self._ports.append(guest.port)
        self.domains.pop(guest.name, None)
