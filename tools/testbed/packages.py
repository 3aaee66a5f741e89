# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages of the emulated machine: resolved, downloaded and unpacked without installing.

apt runs with a private configuration for architecture arm64 and an empty package state, so names
resolve as on a bare machine; apt checks every file against the signed lists. Which version a name
stood for is written down once (packages.lock) and kept until `update` is asked for.
"""

import json
import lzma
import re
import shutil
import subprocess

from . import util
from .util import CACHE, HERE, LOGS, TestbedError

APT_TIMEOUT_S = 600
LOG = LOGS / "packages.log"

# Libraries come along with what needs them; the rest of the closure (interpreters, init systems,
# account tools) is left out, since no program of ours in the emulated machine runs it.
WANTED = ("busybox-static", "fio", "e2fsprogs", "fdisk", "util-linux", "mount", "kmod",
          "xen-utils-{xen}", "xen-utils-common", "xenstore-utils", "libgcc-s1", "libc6")
# Raise when the way of unpacking changes, so that older results are not used.
UNPACK_FORMAT = "2"
# Dom0's tools for the older hypervisor: they must have its version.
WANTED_OLD = ("xen-utils-{xen}",)
CURE = ("Is the network there, and does the mirror in build/testbed/apt-arm64/sources.list carry "
        "the suites of tools/testbed/suites.conf? `-m tools.testbed fetch --update` renews lists.")


def _conf(update=False):
    """Return the path of the private apt configuration; lists are fetched when missing."""
    pins = util.suites()
    folder = CACHE / "apt-arm64"
    conf = folder / "apt.conf"
    stamp = folder / f"lists-{util.digest(HERE / 'suites.conf', HERE / 'apt.sh')}"
    if conf.exists() and stamp.exists() and not update:
        return conf
    with util.progress("fetch package lists"):
        util.run(["sh", HERE / "apt.sh", folder, "arm64", "empty",
                  pins["GUEST_SUITE"], pins["OLD_XEN_SUITE"]],
                 LOG, 30, env={"WITH_SOURCE": "yes"}, cure="See the message below.")
        util.run(["apt-get", "-c", conf, "-q", "update"], LOG, APT_TIMEOUT_S, cure=CURE)
    stamp.touch()
    return conf


def _depends(conf, name, suite):
    """Return the names that a (meta) package of a suite depends on."""
    text = util.output(["apt-cache", "-c", conf, "-o", f"APT::Default-Release={suite}",
                        "depends", "--no-recommends", "--no-suggests", name])
    return re.findall(r"^ +(?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]+)", text, re.M)


def _version(conf, name, suite):
    """Return the version of a package in a suite."""
    text = util.output(["apt-cache", "-c", conf, "madison", name])
    for line in text.splitlines():
        fields = [f.strip() for f in line.split("|")]
        if len(fields) == 3 and f" {suite}/" in " " + fields[2] and "Sources" not in fields[2]:
            return fields[1]
    raise TestbedError(f"the suite {suite} has no package {name}. {CURE}")


def _closure(conf, names, suite):
    """Return {package: version} of everything that installing the names would bring."""
    text = util.output(["apt-get", "-c", conf, "-qq", "-t", suite, "install", "--no-remove",
                        "--print-uris", *names])
    files = re.findall(r"^'[^']+' (\S+)_(\S+)_(?:arm64|all)\.deb ", text, re.M)
    return {name: version.replace("%3a", ":") for name, version in files}


def _is_library(name):
    """Say whether a package is a shared library that a program of ours may need."""
    return name.startswith(("lib", "zlib")) and not re.match(
        r"libpython|libpam|libaudit-|libperl|libsemanage", name)


def _resolve(conf):
    """Turn our list of names into exact (package, version) pairs per use."""
    pins = util.suites()
    suite, old = pins["GUEST_SUITE"], pins["OLD_XEN_SUITE"]
    wanted = [n.format(xen=pins["XEN_VERSION"]) for n in WANTED]
    closure = _closure(conf, wanted, suite)
    root = {n: v for n, v in closure.items() if n in wanted or _is_library(n)}
    wanted_old = [n.format(xen=pins["OLD_XEN_VERSION"]) for n in WANTED_OLD]
    root_old = {n: v for n, v in _closure(conf, wanted_old, old).items()
                if n in wanted_old or _is_library(n)}
    kernels = [n for n in _depends(conf, "linux-image-cloud-arm64", suite)
               if re.match(r"linux-image-\d", n)]
    if len(kernels) != 1:
        raise TestbedError(f"linux-image-cloud-arm64 of {suite} names {kernels or 'no kernel'}")
    xen = f"xen-hypervisor-{pins['XEN_VERSION']}-arm64"
    old_xen = f"xen-hypervisor-{pins['OLD_XEN_VERSION']}-arm64"
    source = re.search(r"^Package: xen\n(?:.*\n)*?Version: (\S+)", util.output(
        ["apt-cache", "-c", conf, "showsrc", "--only-source", "xen"]), re.M)
    version = _version(conf, xen, suite)
    if source is None:
        raise TestbedError(f"no source package xen in the lists of {suite}. {CURE}")
    return {"root": root,
            "root-old": root_old,
            "kernel": {kernels[0]: _version(conf, kernels[0], suite)},
            "xen": {xen: version},
            "xen-old": {old_xen: _version(conf, old_xen, old)},
            "xen-source": {"xen": re.sub(r"\+b\d+$", "", version)}}


def lock(update=False):
    """Return the exact packages in use, {group: {name: version}}, resolving them at first use."""
    path = CACHE / "packages.lock"
    key = util.digest(HERE / "suites.conf", HERE / "apt.sh", repr(WANTED + WANTED_OLD),
                      UNPACK_FORMAT)
    with util.locked("packages"):
        if path.exists() and not update:
            data = json.loads(path.read_text())
            if data["key"] == key:
                return data["groups"]
        groups = _resolve(_conf(update))
        path.write_text(json.dumps({"key": key, "groups": groups}, indent=1, sort_keys=True))
    return groups


def _download(group, folder):
    """Download the packages of a group into the folder."""
    names = lock()[group]
    conf = _conf()
    argv = ["apt-get", "-c", conf, "-q", "download"] + [f"{n}={v}" for n, v in names.items()]
    util.run(argv, LOG, APT_TIMEOUT_S, cwd=folder, cure=CURE)


def unpacked(group):
    """Return the folder with the packages of a group unpacked as one root file system."""
    names = lock()[group]

    def build(folder):
        debs = folder / "debs"
        debs.mkdir()
        _download(group, debs)
        for short in ("bin", "sbin", "lib"):
            (folder / "usr" / short).mkdir(parents=True)
            (folder / short).symlink_to(f"usr/{short}")
        for deb in sorted(debs.glob("*.deb")):
            _unpack(deb, folder)
        shutil.rmtree(debs)

    return util.cached(f"debs-{group}", [json.dumps(names, sort_keys=True), UNPACK_FORMAT],
                       build, f"fetch and unpack the packages '{group}' ({len(names)})")


def _unpack(deb, root):
    """Unpack one package over the root, keeping its /lib, /bin and /sbin links."""
    tar = deb.with_suffix(".tar")
    with open(tar, "wb") as out:
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], stdout=out,
                              stdin=subprocess.DEVNULL, timeout=120, check=False)
    if done.returncode != 0:
        raise TestbedError(f"dpkg-deb cannot read {deb}: remove build/testbed and try again")
    util.run(["tar", "-C", root, "--keep-directory-symlink", "--no-same-owner", "-xf", tar],
             LOG, 120)
    tar.unlink()


def _upstream(name, version, folder):
    """Unpack the upstream source of a Debian source package into the folder.

    Only the upstream tarball: apt checks its digest; Debian's changes are packaging.
    """
    util.run(["apt-get", "-c", _conf(), "-q", "source", "--download-only", "--tar-only",
              f"{name}={version}"], LOG, APT_TIMEOUT_S, cwd=folder, cure=CURE)
    tars = list(folder.glob(f"{name}_*.orig.tar.*"))
    if len(tars) != 1:
        raise TestbedError(f"apt delivered {len(tars)} tarballs for {name}={version}. {CURE}")
    util.run(["tar", "-C", folder, "--strip-components=1", "-xf", tars[0]], LOG, 600)
    tars[0].unlink()


def xen_source():
    """Return the folder with the unpacked source of the pinned Xen."""
    version = lock()["xen-source"]["xen"]
    return util.cached("xen-source", [version], lambda folder: _upstream("xen", version, folder),
                       f"fetch the source of Xen {version}")


def kernel_source_version():
    """Return the version of Debian's source of the stock kernel."""
    (version,) = lock()["kernel"].values()
    return re.sub(r"\+b\d+$", "", version)


def kernel_source(folder):
    """Unpack the upstream source of the stock kernel into the folder."""
    _upstream("linux", kernel_source_version(), folder)


def kernel():
    """Return (Image path, module folder, version) of the stock arm64 kernel."""
    root = unpacked("kernel")
    images = list((root / "boot").glob("vmlinuz-*"))
    if len(images) != 1:
        raise TestbedError(f"the kernel package holds {len(images)} images: remove {root}")
    version = images[0].name.removeprefix("vmlinuz-")
    return images[0], root / "usr/lib/modules" / version, version


def hypervisor(group):
    """Return the hypervisor image of Debian's own package ('xen' or 'xen-old')."""
    root = unpacked(group)
    images = [p for p in (root / "boot").glob("xen-*-arm64") if p.is_file()]
    if len(images) != 1:
        raise TestbedError(f"{root}/boot holds {len(images)} hypervisors: remove it, try again")
    return images[0]


def module_bytes(path):
    """Return the plain bytes of a kernel module, compressed or not."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data
