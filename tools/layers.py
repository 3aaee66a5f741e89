#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""layers.py - prints every #include that points the wrong way.

The rooms and who may look into which are drawn in docs/architecture.md; RULES is that picture.
A file belongs to the first rule whose pattern matches it, and may include what the rule lists.
Exit 1 when an include breaks a rule.
"""
import fnmatch
import re
import sys

import tree

BASE = ["start/base/*.h"]
GROUND = BASE + ["start/port.h"]

# The composition root: it knows every room, and no room knows it.
ROOT = ["main", "attach", "pv", "share", "turn", "limit", "classes", "consoles", "disks",
        "report", "command", "eyes"]

# (files, project headers they may include, why it is so)
RULES = [
    ("start/base/*.h", BASE, "base knows only base"),
    ("start/base/*.c", GROUND, "base knows only base, and the clock of start/port.h"),
    *[(f"start/{name}.[ch]", ["*"], "") for name in ROOT],
    ("start/config.[ch]", GROUND + ["start/config.h"],
     "the configuration names disks and devices but serves none"),
    ("start/port.h", BASE, "seam 1 stands on base alone"),
    ("start/poll.[ch]", GROUND + ["start/poll.h"], "the loop knows pollers, not what they do"),
    ("start/*", GROUND + ["start/*.h", "drivers/*.h"],
     "boot code knows the machine, not the devices it serves"),
    ("blk/*", GROUND + ["blk/*.h"], "blk knows no front end and no driver"),
    ("virtio/vblk*", GROUND + ["virtio/*.h", "blk/*.h"], "virtio-blk knows virtio and blk only"),
    ("virtio/*", GROUND + ["virtio/*.h"], "the virtio engine does not know what a device is for"),
    ("drivers/mmio.h", BASE, "seam 4 stands on base alone"),
    ("drivers/*/gmem_*", GROUND + ["drivers/mmio.h", "<own>/*.h", "virtio/gmem.h"],
     "a driver of guest memory implements virtio/gmem.h and sees no more of virtio"),
    ("drivers/*/grant_pages.[ch]", GROUND + ["drivers/mmio.h", "<own>/*.h", "blk/grants.h"],
     "a driver of grants implements blk/grants.h and sees no ring"),
    ("drivers/*/*_bdev.[ch]", GROUND + ["drivers/mmio.h", "<own>/*.h", "blk/*.h"],
     "a medium implements blk/bdev.h and sees no front end"),
    ("drivers/*", GROUND + ["drivers/mmio.h", "<own>/*.h"],
     "a driver knows the ground, seam 4 and its own folder"),
    ("tests/*", ["*"], ""),
    ("tools/*", ["*"], ""),
]

# Headers that only the composition root may see, whatever the rule above says.
ROOT_ONLY = [f"start/{name}.h" for name in ROOT]
ROOT_FILES = [f"start/{name}.[ch]" for name in ROOT] + ["tests/*"]

# Exceptions: (file, header, reason). Each one is a debt or a seam; keep the list short.
EXCEPTIONS = []

# Headers from packages: (pattern, files that may include them). The first match decides.
COMPILER = "stdbool.h stddef.h stdint.h stdarg.h stdalign.h stdnoreturn.h limits.h".split()
LIBC = "string.h stdio.h inttypes.h".split()
PACKAGES = [
    ("libfdt*.h", ["drivers/fdt/*", "tests/*"], "only drivers/fdt knows libfdt"),
    ("fdt.h", ["drivers/fdt/*", "tests/*"], "only drivers/fdt knows libfdt"),
    ("xen/io/console.h", ["drivers/console/*", "tests/*"], "only drivers/console knows that ring"),
    ("xen/io/blkif.h", ["blk/blkif*", "tests/*"], "only blk/blkif knows that protocol"),
    ("xen/*", ["drivers/xen/*", "tests/*", "tools/*"], "only drivers/xen knows Xen's headers"),
    ("stdlib.h", ["start/random.c", "tests/*", "tools/*"],
     "only start/random.c draws on the C library's generator"),
    ("*", ["start/libc_glue.c", "tests/*", "tools/*"],
     "the image stands on compiler headers and " + " ".join(LIBC)),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]*)"|<([^>]*)>|(\S.*))')


def matches(path, patterns):
    return any(fnmatch.fnmatchcase(path, p) for p in patterns)


def rule_of(path):
    """(allowed patterns, why) of the file's room, or None when it has no room."""
    for files, allowed, why in RULES:
        if fnmatch.fnmatchcase(path, files):
            # drivers/X/...: the driver's folder, also from folders below it.
            own = "/".join(path.split("/")[:2])
            return [a.replace("<own>", own) for a in allowed], why
    return None


def fault_package(path, header):
    """Why path may not include the package header, or None."""
    if header in COMPILER or (header in LIBC and not path.endswith("types.h")):
        return None
    for pattern, files, why in PACKAGES:
        if fnmatch.fnmatchcase(header, pattern):
            return None if matches(path, files) else f"<{header}>: {why}"
    return None


def fault_project(path, header, exists):
    """Why path may not include the project header, or None."""
    if header not in exists:
        return f'"{header}" is no tracked file: name headers from the root of the repository'
    if header.endswith(".c") and not path.startswith("tests/"):
        return f'"{header}": a source file is compiled, not included'
    if header.startswith(("tests/", "tools/")) and not path.startswith(("tests/", "tools/")):
        return f'"{header}": nothing that ships looks into tests/ or tools/'
    if (path, header) in {(f, h) for f, h, _ in EXCEPTIONS}:
        return None
    if header in ROOT_ONLY and not matches(path, ROOT_FILES):
        return f'"{header}": only the composition root includes it'
    rule = rule_of(path)
    if rule is None:
        return "this file is in no room of tools/layers.py: add a rule for it"
    allowed, why = rule
    return None if matches(header, allowed) else f'"{header}": {why}'


def faults(path, text, exists):
    """(line, message) of every wrong include of one file."""
    for number, line in enumerate(tree.blank(text, keep_strings=True).split("\n"), 1):
        found = INCLUDE.match(line)
        if not found:
            continue
        project, package, computed = found.groups()
        if computed is not None:
            yield number, f"computed include '{computed}': name the header"
            continue
        if project is not None:
            fault = fault_project(path, project, exists)
        else:
            fault = fault_package(path, package)
        if fault:
            yield number, fault


def stale_exceptions(sources):
    """Exceptions that nothing needs any more."""
    for path, header, _ in EXCEPTIONS:
        text = sources.get(path)
        if text is None or f'#include "{header}"' not in text:
            yield f"tools/layers.py: the exception {path} -> {header} is no longer used: remove it"


def main():
    try:
        names = tree.tracked()
    except tree.TreeError as e:
        print(f"layers: {e}", file=sys.stderr)
        return 2
    exists = set(names)
    sources = {
        n: (tree.ROOT / n).read_text(encoding="utf-8", errors="replace")
        for n in names if n.endswith((".c", ".h", ".S", ".lds"))
    }
    lines = [f"{n}:{at}: {why}" for n, text in sources.items()
             for at, why in faults(n, text, exists)]
    lines += stale_exceptions(sources)
    for line in lines:
        print(line)
    if lines:
        print(f"layers: {len(lines)} includes point the wrong way", file=sys.stderr)
        return 1
    print(f"layers: {len(sources)} files, every include points the right way")
    return 0


if __name__ == "__main__":
    sys.exit(main())
