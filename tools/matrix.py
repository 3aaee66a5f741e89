#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""matrix.py - what works on which Xen, under which policy: every cell of docs/matrix.md is run.

    tools/matrix.py                  boot each configuration once, then write docs/matrix.md
    tools/matrix.py debian-dummy     only those named; the others keep what an earlier run found

A cell is one guest with one disk of ours. It works when fio wrote to the disk and read the same
back; otherwise the cell is what our console, xl and the guest said, word by word. Results are kept
in build/matrix, one file for each configuration. Called by `make matrix`, which builds the image.
"""
import datetime
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import stories  # noqa: E402  (the path above makes it importable)
from tools.stories import Storage, disk, pv_disk  # noqa: E402
from tools.testbed import packages, util  # noqa: E402
from tools.testbed.bed import Bed  # noqa: E402
from tools.testbed.console import CommandFailed  # noqa: E402
from tools.testbed.util import TestbedError  # noqa: E402

XENS = {"debian-old": "Debian 12's 4.17, unmodified", "debian": "Debian 13's 4.20, unmodified",
        "ioreq": "4.20 built with `CONFIG_IOREQ_SERVER=y`"}
POLICIES = {"dummy": "`xsm=dummy`", "silo": "`xsm=silo`", "default": "(nothing)",
            "flask": "`xsm=flask flask=enforcing`, our module"}
PLAIN, NAMED, PV = "virtio", "virtio, guest named by set-target", "PV block"
CELLS = (PLAIN, NAMED, PV)
WHO = (("our console", "ours"), ("`xl`", "xl"), ("the guest", "guest"), ("`set-target`", "helper"))
GUEST_MB = 160
DISKS = "disk=virtio,size=4M disk=named,size=4M disk=pv,size=4M"
DEVICE_WAIT_S = 10
FOLDER = util.BUILD / "matrix"
PAGE = ROOT / "docs" / "matrix.md"

# The cure of what has no line of ours, because Xen stopped the guest before it came to us.
SILO_CURE = "boot Xen with xsm=dummy, or with xsm=flask and our module"


def configurations():
    """Return {name: (xen, xsm)}."""
    return {f"{xen}-{xsm}": (xen, xsm) for xen in XENS for xsm in POLICIES}


# ---- running one configuration ------------------------------------------------------------------

def _lines(text):
    """Return the lines of a console without their times."""
    return [re.sub(r"^\[ *[\d.]+\] ", "", line).strip() for line in text.splitlines()]


def _said(store, before):
    """Return the errors and warnings on our console since then."""
    return [line for line in _lines(store.console()[before:]) if line.startswith(("error", "warn"))]


def _xl_said(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ([line for line in lines if "libxl: error" in line] or lines)[:2]


def _guest_said(guest):
    text = guest.run("dmesg | grep -i -E 'vbd|blkfront|xenbus|virtio_blk|I/O error' || true")
    return [line for line in _lines(text) if re.search(r"fail|error|fatal|alloc|-\d+$", line, re.I)]


def _use(guest, names):
    """Wait for the disk and do verified I/O; return (how many requests, or None, what it said)."""
    found = guest.run(f"n=0; while [ $n -lt {DEVICE_WAIT_S * 10} ]; do for d in {names}; do "
                      "[ -b $d ] && echo $d && exit; done; n=$((n + 1)); sleep 0.1; done")
    if not found.strip():
        return None, [f"no disk appeared within {DEVICE_WAIT_S} s"] + _guest_said(guest)
    try:
        return stories.fio_verified(guest, 32, "1M", found.strip()), []
    except TestbedError as err:
        return None, [str(err).splitlines()[0]] + _guest_said(guest)


def _cell(bed, store, name, text, names):
    """Create a guest with the disk and use it; return the cell."""
    before = len(store.console())
    cell = {"works": False, "requests": 0, "xl": [], "guest": [], "ours": []}
    try:
        guest = bed.create_guest(name, disks=[text], memory=GUEST_MB, extra="quiet")
    except CommandFailed as err:
        cell["xl"] = _xl_said(err.output)
    else:
        requests, cell["guest"] = _use(guest, names)
        cell["works"], cell["requests"] = requests is not None, requests or 0
        guest.destroy()
    cell["ours"] = _said(store, before)
    return cell


def _virtio(xen, target):
    """Return the text of a virtio disk; the xl of 4.17 knows no grant_usage."""
    text = disk(target)
    return text.replace("grant_usage=0,", "") if xen == "debian-old" else text


def _run(name, xen, xsm):
    """Boot one configuration and fill its cells."""
    image = util.BUILD / stories.IMAGE
    with Bed(xen=xen, xsm=xsm, gic=3, payload={stories.IMAGE: image},
             name=f"matrix-{name}") as bed:
        store = Storage(bed, DISKS)
        probe = store.domain.wait_console(r"privilege: .*$").group(0)
        found = {PV: _cell(bed, store, "pv", pv_disk("pv"), "/dev/xvda"),
                 PLAIN: _cell(bed, store, "plain", _virtio(xen, "virtio"), "/dev/vda")}
        if not found[PLAIN]["works"]:
            stories.set_target_put(bed)
            stories.set_target_start(bed, "named")
            found[NAMED] = _cell(bed, store, "named", _virtio(xen, "named"), "/dev/vda")
            found[NAMED]["helper"] = _lines(stories.set_target_said(bed, "named"))
        version = re.search(r"Xen version (\S+) \(([^)]*)\)", bed.console_text())
        return {"xen": version.group(1), "built": version.group(2), "probe": probe,
                "date": datetime.date.today().isoformat(),
                "image": util.output(["git", "-C", str(ROOT), "rev-parse", "--short=12",
                                      "HEAD"]).strip(), "cells": found}


# ---- writing the page ---------------------------------------------------------------------------

def _word(cell):
    return "-" if cell is None else "**works**" if cell["works"] else "no"


def _cure(kind, cell, probe):
    """Return the cure that a sentence of ours names: about this disk, or else at the start."""
    for line in reversed(cell["ours"]):
        match = re.search(r"; ((?:run|boot|build|load|give|make) .*|.*boot it with .*)$", line)
        if match:
            return match.group(1)
    return SILO_CURE if kind == PV else probe.rpartition("; ")[2]


def _failures(results):
    """Return {(kind, what was said, cure): [configurations]}: the same words are shown once."""
    found = {}
    for name in configurations():
        for kind in CELLS:
            cell = results[name]["cells"].get(kind)
            if cell is None or cell["works"]:
                continue
            said = tuple((who, line) for who, key in WHO
                         for line in dict.fromkeys(cell.get(key, [])))
            cure = _cure(kind, cell, results[name]["probe"])
            found.setdefault((kind, said, cure), []).append(name)
    return found


def _details(results):
    """Return the lines about what does not work, word by word."""
    out = []
    for (kind, said, cure), names in _failures(results).items():
        out += ["", f"### {kind}, on", ""]
        out += [f"* {XENS[xen]}: {POLICIES[xsm]}" for xen, xsm in map(configurations().get, names)]
        out += ["", "| who | says |", "|---|---|"]
        out += [f"| {who} | `{line.replace('|', '¦')}` |" for who, line in said]
        out += [f"| **cure** | {cure} |"]
    return out


def _probes(results):
    """Return what the image says about each configuration when it starts."""
    found = {}
    for name in configurations():
        found.setdefault(results[name]["probe"], []).append(name)
    out = []
    for probe, names in found.items():
        out += ["", f"`{probe}`", ""]
        out += [f"* {XENS[xen]}: {POLICIES[xsm]}" for xen, xsm in map(configurations().get, names)]
    return out


def _page(results):
    kernel = packages.kernel()[2]
    qemu = util.output(["qemu-system-aarch64", "--version"]).split("\n")[0]
    dates = sorted({r["date"] for r in results.values()})
    head = ["# What works on what", "",
            "Written by `make matrix`: each configuration was booted; each cell is a guest that",
            "was created on it and, where it says that it works, wrote to its disk with fio and",
            "read the same back.", "",
            f"Run {' and '.join({dates[0]: 0, dates[-1]: 0})}, {qemu}; guests and Dom0: Debian 13, "
            f"linux {kernel}.", "",
            "| Xen | version | its command line | " + " | ".join(CELLS) + " |",
            "|---" * (3 + len(CELLS)) + "|"]
    for name, (xen, xsm) in configurations().items():
        result = results[name]
        words = [_word(result["cells"].get(kind)) for kind in CELLS]
        head.append(f"| {XENS[xen]} | {result['xen']} | {POLICIES[xsm]} | {' | '.join(words)} |")
    head += ["", "A dash: not needed, virtio works without. *Named by set-target* is one guest",
             "in the life of a storage domain ([privilege.md](privilege.md)). With grants under",
             "virtio (`grant_usage=1`) see the README. The `xl` of 4.17 knows no `grant_usage=`:",
             "there the disk was named without it.", "",
             "## What is said where it does not work"]
    middle = ["", "## What the storage domain says when it starts"]
    return "\n".join(head + _details(results) + middle + _probes(results)) + "\n"


def main(words):
    """Run the configurations that are named, or all; write the page when all have been run."""
    known = configurations()
    wrong = [word for word in words if word not in known]
    if wrong:
        sys.exit(f"matrix: no configuration {', '.join(wrong)}; there are: {', '.join(known)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in words or known:
        result = _run(name, *known[name])
        (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1))
        util.say(f"{name}: " + ", ".join(f"{kind}: {_word(result['cells'].get(kind))}"
                                         for kind in CELLS))
    missing = [name for name in known if not (FOLDER / f"{name}.json").is_file()]
    if missing:
        util.say(f"{PAGE.name} is written when these have been run, too: {', '.join(missing)}")
        return
    PAGE.write_text(_page({name: json.loads((FOLDER / f"{name}.json").read_text())
                           for name in known}))
    util.say(f"{PAGE} is written")


if __name__ == "__main__":
    main(sys.argv[1:])
