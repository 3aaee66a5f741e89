# SPDX-License-Identifier: BSD-2-Clause
"""Real vhost-user front ends, which nobody here wrote, for the tests of the vhost-user server.

Debian 12 has no libblkio, so QEMU's block tools with their blkio driver come from the suite of the
test bed, unpacked and run through that suite's own dynamic linker; fio is built from Debian's
source with its libblkio engine, which Debian's binary leaves out. Everything is cached under
build/testbed like the rest of the test bed.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from tools.testbed import packages, util
from tools.testbed.util import CACHE, HERE, LOGS, ROOT, TestbedError

LOG = LOGS / "vhost-user-clients.log"
SERVER = ROOT / "build/host/caisson-vhost-user"
CLIENT = ROOT / "build/host/vhost-client"

# What is unpacked with all its libraries, and what is only needed as a file.
WITH_LIBRARIES = ("qemu-utils", "libblkio-dev", "libblkio1", "libc6", "libgcc-s1")
ALONE = ("qemu-block-extra", "busybox-static")
SOURCE_SUITES = ("trixie", "sid")  # where fio's source is looked for
APT_TIMEOUT_S = 600
BUILD_TIMEOUT_S = 400
START_TIMEOUT_S = 10


def _arch():
    return util.output(["dpkg", "--print-architecture"]).strip()


def apt_conf():
    """Return a private apt configuration for this machine's architecture and the bed's suite."""
    suite = util.suites()["GUEST_SUITE"]
    folder = CACHE / f"apt-{_arch()}"
    stamp = folder / f"lists-{util.digest(HERE / 'apt.sh', suite, *SOURCE_SUITES)}"
    conf = folder / "apt.conf"
    with util.locked(f"apt-{_arch()}"):
        if conf.exists() and stamp.exists():
            return conf
        suites = list(dict.fromkeys((suite,) + SOURCE_SUITES))
        util.run(["sh", HERE / "apt.sh", folder, _arch(), "empty", *suites], LOG, 30,
                 env={"WITH_SOURCE": "yes"})
        with util.progress("fetch package lists for the vhost-user clients"):
            util.run(["apt-get", "-c", conf, "-q", "update"], LOG, APT_TIMEOUT_S,
                     cure=packages.CURE)
        stamp.touch()
    return conf


def _closure(conf, names, suite):
    """Return {package: version} of the libraries and programs that the names need."""
    text = util.output(["apt-get", "-c", conf, "-qq", "-t", suite, "install", "--no-remove",
                        "--print-uris", *names])
    found = re.findall(r"^'[^']+' (\S+)_(\S+)_(?:\w+)\.deb ", text, re.M)
    return {n: v.replace("%3a", ":") for n, v in found if n in names or n.startswith("lib")}


def _kernel_name(conf, suite):
    meta = f"linux-image-cloud-{_arch()}"
    text = util.output(["apt-cache", "-c", conf, "-o", f"APT::Default-Release={suite}",
                        "depends", "--no-recommends", "--no-suggests", meta])
    names = re.findall(r"Depends: (linux-image-\d\S*)", text)
    if len(names) != 1:
        raise TestbedError(f"{meta} of {suite} names {names or 'no kernel'}. {packages.CURE}")
    return names[0]


def _lock():
    """Return {group: [package=version, ...]}, resolved once and kept until build/ is removed."""
    suite = util.suites()["GUEST_SUITE"]
    path = CACHE / "vhost-user-clients.lock"
    key = util.digest(suite, _arch(), repr((WITH_LIBRARIES, ALONE)))
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["key"] == key:
            return data["groups"]
    conf = apt_conf()
    libraries = _closure(conf, WITH_LIBRARIES, suite)
    groups = {"clients": sorted(f"{n}={v}" for n, v in libraries.items())
              + [f"{n}/{suite}" for n in ALONE],
              "kernel": [f"{_kernel_name(conf, suite)}/{suite}"]}
    path.write_text(json.dumps({"key": key, "groups": groups}, indent=1), encoding="utf-8")
    return groups


def _unpacked(group):
    """Return the folder with the packages of a group unpacked as one root."""
    specs = _lock()[group]

    def build(folder):
        debs = folder / "debs"
        debs.mkdir()
        util.run(["apt-get", "-c", apt_conf(), "-q", "download", *specs], LOG, APT_TIMEOUT_S,
                 cwd=debs, cure=packages.CURE)
        for short in ("bin", "sbin", "lib", "lib64"):
            (folder / "usr" / short).mkdir(parents=True)
            (folder / short).symlink_to(f"usr/{short}")
        for deb in sorted(debs.glob("*.deb")):
            util.run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -C "$2" --no-same-owner '
                      "--keep-directory-symlink -xf -", "sh", deb, folder], LOG, 120)
        shutil.rmtree(debs)

    return util.cached(f"vhost-user-{group}", [" ".join(specs), "1"], build,
                       f"fetch and unpack {len(specs)} packages: vhost-user {group}")


@functools.cache
def tree():
    """Return the root with QEMU's block tools and libblkio."""
    return _unpacked("clients")


@functools.cache
def guest_kernel():
    """Return (kernel image, module folder) of a stock kernel for this machine's architecture."""
    root = _unpacked("kernel")
    images = list((root / "boot").glob("vmlinuz-*"))
    version = images[0].name.removeprefix("vmlinuz-")
    return images[0], root / "usr/lib/modules" / version


@functools.cache
def _linker(root):
    """Return the argv prefix that runs a program of root with root's libraries only."""
    triplet = util.output(["gcc", "-print-multiarch"]).strip()
    linker = next(iter(sorted((root / "usr/lib" / triplet).glob("ld-linux*.so.*"))), None)
    if linker is None:
        raise TestbedError(f"{root} has no dynamic linker: remove it and try again")
    libs = f"{root}/usr/lib/{triplet}"
    return [linker, "--library-path", libs], libs


def qemu_tool(name, *args, timeout=60):
    """Run qemu-io, qemu-img or qemu-storage-daemon of the tree; returns the finished process."""
    root = tree()
    prefix, libs = _linker(root)
    env = dict(os.environ, QEMU_MODULE_DIR=f"{libs}/qemu", LC_ALL="C")
    return subprocess.run([*map(str, prefix), f"{root}/usr/bin/{name}", *map(str, args)],
                          capture_output=True, text=True, timeout=timeout, env=env, check=False)


def blkio(sock, **more):
    """Return the --image-opts text that opens the socket with QEMU's vhost-user driver."""
    options = {"driver": "virtio-blk-vhost-user", "path": str(sock), "cache.direct": "on", **more}
    return ",".join(f"{k}={v}" for k, v in options.items())


@functools.cache
def fio_program():
    """Return the path of fio with the libblkio engine, built once from Debian's source."""
    root = tree()
    _, libs = _linker(root)

    def build(folder):
        conf = apt_conf()
        for suite in SOURCE_SUITES:
            try:
                util.run(["apt-get", "-c", conf, "-q", "source", "--download-only", "--tar-only",
                          f"fio/{suite}"], LOG, APT_TIMEOUT_S, cwd=folder)
                break
            except TestbedError:
                continue
        tars = list(folder.glob("fio_*.orig.tar.*"))
        if not tars:
            raise TestbedError(f"no suite of {SOURCE_SUITES} delivers fio's source. "
                               f"{packages.CURE}")
        util.run(["tar", "-C", folder, "--strip-components=1", "-xf", tars[0]], LOG, 60)
        # Headers and library of the tree; its library wants a newer libc, which it gets at run
        # time from the same tree.
        pc = folder / "pc"
        pc.mkdir()
        (pc / "blkio.pc").write_text(
            f"Name: blkio\nDescription: libblkio\nVersion: 1.5.0\n"
            f"Cflags: -I{root}/usr/include\n"
            f"Libs: {libs}/libblkio.so -Wl,--allow-shlib-undefined\n")
        env = {"PKG_CONFIG_PATH": str(pc)}
        util.run(["./configure", "--disable-http", "--disable-gfapi", "--disable-rados",
                  "--disable-rbd", "--disable-optimizations"], LOG, BUILD_TIMEOUT_S, cwd=folder,
                 env=env)
        if "CONFIG_LIBBLKIO" not in (folder / "config-host.h").read_text():
            raise TestbedError(f"fio's configure did not find libblkio: see {LOG}")
        # It checks data here and measures nothing: its build is half as long this way.
        util.run(["make", "-j2", "OPTFLAGS=-O1", "fio"], LOG, BUILD_TIMEOUT_S, cwd=folder, env=env)

    folder = util.cached("vhost-user-fio", [str(root), "2"], build,
                         "build fio with libblkio from Debian's source (half a minute)")
    return folder / "fio"


def fio(*args, timeout=120):
    """Run that fio; returns the finished process."""
    prefix, _ = _linker(tree())
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*map(str, prefix), str(fio_program()), *map(str, args)], cwd=folder,
                              capture_output=True, text=True, timeout=timeout, check=False)


def fio_files():
    """Return ({name: path}, argv) of fio, its libraries and its linker, to run in a folder."""
    prefix, _ = _linker(tree())
    listed = util.output([*prefix, "--list", fio_program()])
    paths = re.findall(r"(/\S+) \(0x", listed)
    linker = pathlib.Path(prefix[0])
    files = {pathlib.Path(p).name: pathlib.Path(p) for p in paths}
    files |= {"fio": fio_program(), linker.name: linker}
    return files, [f"./{linker.name}", "--library-path", ".", "./fio"]


class Server:
    """A running caisson-vhost-user; as a context manager it ends with SIGTERM."""

    def __init__(self, *options, program=SERVER, folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="caisson-"))
        self.own_folder = folder is None
        self.socket = self.folder / "disk.sock"
        self.argv = [str(program), f"--socket-path={self.socket}", *map(str, options)]
        self.process = None
        self.statistics = {}
        self.log = self.folder / "server.log"
        self.start()

    def start(self):
        """Start the program and wait until it listens."""
        begun = time.monotonic()
        with open(self.log, "a", encoding="utf-8") as err:
            self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=err,
                                            stdin=subprocess.DEVNULL, text=True)
        while not self.listening():
            if self.process.poll() is not None or time.monotonic() - begun > START_TIMEOUT_S:
                raise TestbedError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.005)

    def listening(self):
        """True when our process listens at the socket (an old file may still lie there)."""
        text = pathlib.Path("/proc/net/unix").read_text(encoding="utf-8")
        # Column 4 is the flag "accepts connections".
        return any(line.endswith(f" {self.socket}") and line.split()[3] == "00010000"
                   for line in text.splitlines())

    def kill(self):
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self):
        """End it in order; returns its exit code. Its counters are in .statistics then."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=START_TIMEOUT_S)
        for line in out.splitlines():
            name, _, rest = line.partition(": ")
            words = rest.split()
            self.statistics[name] = dict(zip(words[::2], map(int, words[1::2])))
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.stop()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
