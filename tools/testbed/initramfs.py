# SPDX-License-Identifier: BSD-2-Clause
"""Initial file trees as cpio archives, written directly: same input, same bytes, no root needed.

The kernel unpacks concatenated archives one over the other, so what changes often (our image, a
job script) travels in a small archive of its own behind the large one.
"""

import os
import pathlib
import re
import tempfile

from . import packages, util
from .util import TestbedError

READELF = "aarch64-linux-gnu-readelf"
LIB_DIRS = ("usr/lib/aarch64-linux-gnu", "usr/lib")
ARCHIVE_ALIGN = 512

S_DIR, S_FILE, S_LINK, S_CHAR = 0o040000, 0o100000, 0o120000, 0o020000


class Tree:
    """A file tree in memory: paths without leading slash, each with mode and bytes."""

    def __init__(self):
        self.entries = {}

    def _parents(self, path):
        parts = path.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:i]), (S_DIR | 0o755, b"", (0, 0)))

    def dir(self, path):
        """Add a directory and its parents."""
        self._parents(path + "/x")

    def file(self, path, data, mode=0o644):
        """Add a file from bytes, str or a Path."""
        if isinstance(data, pathlib.Path):
            data = data.read_bytes()
        elif isinstance(data, str):
            data = data.encode()
        self._parents(path)
        self.entries[path] = (S_FILE | mode, data, (0, 0))

    def link(self, path, target):
        """Add a symbolic link."""
        self._parents(path)
        self.entries[path] = (S_LINK | 0o777, target.encode(), (0, 0))

    def char(self, path, major, minor):
        """Add a character device node."""
        self._parents(path)
        self.entries[path] = (S_CHAR | 0o600, b"", (major, minor))

    def write(self, path):
        """Write the tree as one newc archive, padded so that another can follow it."""
        with open(path, "wb") as out:
            size = 0
            items = sorted(self.entries.items())
            for inode, (name, (mode, data, rdev)) in enumerate(items, start=1):
                size += _record(out, inode, name, mode, data, rdev)
            size += _record(out, 0, "TRAILER!!!", 0, b"", (0, 0))
            out.write(bytes(-size % ARCHIVE_ALIGN))


def _record(out, inode, name, mode, data, rdev):
    """Write one newc record, return its bytes."""
    raw = name.encode() + b"\0"
    links = 2 if mode & 0o170000 == S_DIR else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    head += bytes(-len(head) % 4)
    body = data + bytes(-len(data) % 4)
    out.write(head)
    out.write(body)
    return len(head) + len(body)


class Sysroot:
    """Programs and their libraries taken from unpacked packages, first folder first."""

    def __init__(self, tree, *roots):
        self.tree = tree
        self.roots = roots

    def _find(self, path):
        for root in self.roots:
            if (root / path).exists():
                return root / path
        return None

    def program(self, path, at=None, hollow=()):
        """Add a program (a path inside the packages) with all libraries it needs.

        Libraries named in hollow are replaced by empty ones, see _hollow().
        """
        source = self._find(path)
        if source is None:
            raise TestbedError(f"no package of ours holds {path}: has it moved? Look at WANTED "
                               "in tools/testbed/packages.py")
        source = source.resolve()
        self.tree.file(at or path, source, 0o755)
        for name in hollow:
            self._hollow(source, name)
        self._libraries(source)

    def _hollow(self, program, name):
        """Add a library with the symbols that a program wants of it, each failing when called.

        fio is linked against the clients of six storage clusters, 50 MB with what they need. They
        are only called when a job asks for their engines, yet every guest would carry them.
        """
        real = self._find(f"{LIB_DIRS[0]}/{name}")
        if real is None:
            raise TestbedError(f"{program.name} has no library {name} to leave out any more")
        wanted = _symbols(program, defined=False)
        versions = {}
        for symbol in sorted(wanted & _symbols(real, defined=True)):
            base, _, version = symbol.partition("@")
            versions.setdefault(version, []).append(base)
        code = "".join(f"long {s}(void);\nlong {s}(void) {{ return -1; }}\n"
                       for names in versions.values() for s in names)
        script = "".join(f"{v} {{ global: {' '.join(n + ';' for n in names)} }};\n"
                         for v, names in versions.items() if v)
        cross = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-")
        with tempfile.TemporaryDirectory(prefix="testbed-") as where:
            folder = pathlib.Path(where)
            (folder / "a.c").write_text(code)
            (folder / "a.map").write_text(script)
            argv = [cross + "gcc", "-shared", "-nostdlib", "-fno-builtin", "-Wl,--build-id=none",
                    f"-Wl,-soname,{name}", "-o", folder / "a.so", folder / "a.c"]
            if script:
                argv.append(f"-Wl,--version-script={folder / 'a.map'}")
            util.output(argv)
            self.tree.file(f"{LIB_DIRS[0]}/{name}", folder / "a.so", 0o755)

    def library(self, name):
        """Add a library by its soname, for what is loaded at run time only."""
        self._library(name, [])

    def _library(self, name, extra_dirs):
        for folder in (*extra_dirs, *LIB_DIRS):
            path = f"{folder}/{name}"
            if path in self.tree.entries:
                return
            source = self._find(path)
            if source is not None:
                source = source.resolve()
                self.tree.file(path, source, 0o755)
                self._libraries(source)
                return
        raise TestbedError(f"the library {name} is in no package of ours: add its package to "
                           "WANTED in tools/testbed/packages.py")

    def _libraries(self, source):
        text = util.output([READELF, "-d", source])
        runpath = re.search(r"\((?:RUNPATH|RPATH)\).*\[(.*)\]", text)
        extra = [d.lstrip("/") for d in runpath.group(1).split(":")] if runpath else []
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text):
            self._library(name, extra)


def _symbols(path, defined):
    """Return the dynamic symbols NAME or NAME@VERSION that a file defines, or leaves undefined."""
    text = util.output([READELF, "-W", "--dyn-syms", path])
    found = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FUNC" and (fields[6] != "UND") == defined:
            found.add(fields[7].replace("@@", "@"))
    return found


def add_modules(tree, names):
    """Add kernel modules with what they depend on, and the modules.dep that modprobe reads."""
    _, folder, version = packages.kernel()
    paths = {p.name.split(".")[0].replace("-", "_"): p for p in folder.rglob("*.ko*")}
    builtin = {pathlib.Path(line).stem.replace("-", "_")
               for line in (folder / "modules.builtin").read_text().split()}
    dep, done = [], {}

    def add(name):
        name = name.replace("-", "_")
        if name in done or name in builtin:
            return done.get(name, [])
        if name not in paths:
            raise TestbedError(f"the kernel {version} has no module {name}")
        data = packages.module_bytes(paths[name])
        info = re.search(rb"\0depends=([^\0]*)\0", data)
        needs = []
        for need in (info.group(1).decode().split(",") if info and info.group(1) else []):
            for item in [*add(need), need.replace("-", "_")]:
                if item not in needs and item not in builtin:
                    needs.append(item)
        target = f"kernel/{paths[name].name.removesuffix('.xz')}"
        tree.file(f"lib/modules/{version}/{target}", data)
        done[name] = needs
        where = {n: f"kernel/{paths[n].name.removesuffix('.xz')}" for n in needs}
        # modprobe loads the listed modules from the last to the first.
        dep.append(f"{target}: " + " ".join(where[n] for n in reversed(needs)))
        return needs

    for name in names:
        add(name)
    tree.file(f"lib/modules/{version}/modules.dep", "\n".join(dep) + "\n")


def base_tree(*roots):
    """Return (tree, sysroot) with what every root needs: busybox, loader, device nodes."""
    tree = Tree()
    for name in ("proc", "sys", "dev", "tmp", "run", "mnt", "bin", "usr/sbin", "etc", "var"):
        tree.dir(name)
    tree.link("sbin", "usr/sbin")
    tree.char("dev/console", 5, 1)
    tree.char("dev/null", 1, 3)
    tree.file("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
    tree.file("etc/group", "root:x:0:\n")
    sysroot = Sysroot(tree, *roots)
    sysroot.program("usr/bin/busybox", "bin/busybox")
    sysroot.library("libc.so.6")
    sysroot.library("libgcc_s.so.1")
    # The program loader's fixed path; /lib is no link here, as modules live there too.
    sysroot.library("ld-linux-aarch64.so.1")
    tree.link("lib/ld-linux-aarch64.so.1", "/usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1")
    return tree, sysroot
