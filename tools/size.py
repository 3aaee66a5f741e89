#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""size.py - where the bytes of the image go, by module, from the linked ELF and its map.

  tools/size.py            table and change to the last run; writes build/results/size.json
  tools/size.py --brief    the totals in one line

text, rodata, data and bss are told by the segment that holds a section: executable, read-only,
writable with and without bytes in the file. Exit 1 when text + rodata + data is above $IMAGE_LIMIT.
$IMAGE_BUILD is the folder of the image when it is not build. make gives both.
"""
import os
import re
import struct
import subprocess
import sys
from collections import defaultdict, namedtuple
from pathlib import Path

import results

BUILD = results.ROOT / os.environ.get("IMAGE_BUILD", "build")
ELF = BUILD / "caisson.elf"
MAP = BUILD / "caisson.map"
IMAGE = BUILD / "caisson.img"

LIMIT_BYTES = int(os.environ.get("IMAGE_LIMIT", 128 * 1024))
KINDS = ("text", "rodata", "data", "bss")
HOW = "section sizes of build/caisson.elf (tools/size.py)"
HOW_MODULE = "input sections in build/caisson.map (tools/size.py)"

# Sections the linker makes; the map names the first object for all of them.
LINKER_MADE = (".rela", ".relr", ".dyn", ".got", ".plt", ".hash", ".gnu.hash")
LINKER_SCRIPT = "(linker script)"

# What link-time optimisation makes of our files: one object, its code told by debug information.
LTO_OBJECT = re.compile(r"\.ltrans\d*|symbol from plugin")
NM = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-") + "nm"
NM_LIMIT_S = 60

PT_LOAD, SHT_NOBITS = 1, 8
PF_X, PF_W = 1, 2
SHF_ALLOC = 2
SHF_TLS = 0x400


Section = namedtuple("Section", "kind start size")


class SizeError(Exception):
    """The input is not what it should be; the text says what to do."""


def elf_sections(data):
    """{name: Section} of the allocated sections of a little-endian ELF64."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise SizeError(f"{ELF.name} is no little-endian 64-bit ELF: run make")
    phoff, shoff = struct.unpack_from("<QQ", data, 32)
    phsize, phnum, shsize, shnum, shstr = struct.unpack_from("<HHHHH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQ", data, phoff + i * phsize) for i in range(phnum)]
    headers = [struct.unpack_from("<IIQQQQ", data, shoff + i * shsize) for i in range(shnum)]
    names_at = headers[shstr][4]
    found = {}
    for name_at, kind, flags, addr, _, size in headers:
        if not flags & SHF_ALLOC or size == 0 or (flags & SHF_TLS and kind == SHT_NOBITS):
            continue
        end = data.index(b"\0", names_at + name_at)
        name = data[names_at + name_at:end].decode()
        holder = next((flags for seg, flags, _, vaddr, _, _, mem in segments
                       if seg == PT_LOAD and vaddr <= addr and addr + size <= vaddr + mem), None)
        if holder is None:
            raise SizeError(f"section {name} lies in no loaded segment: look at linker/image.lds")
        if kind == SHT_NOBITS:
            found[name] = Section("bss", addr, size)
        else:
            what = "text" if holder & PF_X else "data" if holder & PF_W else "rodata"
            found[name] = Section(what, addr, size)
    return found


def module_of(path):
    """What an input file is called in the table. A number in the linker script is in its place."""
    if re.match(r"(?:BYTE|SHORT|LONG|QUAD) 0x", path):
        return LINKER_SCRIPT
    package = re.match(r"build/setup/(\w+)/", path)
    if package:
        return package.group(1)
    archive = re.search(r"lib([\w+.-]+)\.a(?:\(|:)", path)
    if archive:
        return {"c": "picolibc"}.get(archive.group(1), "lib" + archive.group(1))
    return re.sub(r"^(?:\./)?build/\w+/|\.o$", "", path)


OUTPUT = re.compile(r"^(\.?[\w.]+)(?:\s+0x[0-9a-f]+\s+0x[0-9a-f]+.*)?$")
INPUT = re.compile(
    r"^ (\*fill\*|\.?[\w.$*-]+|COMMON)?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: (\S.*?))?\s*$")
NAME_ALONE = re.compile(r"^ (\.[\w.$-]+|COMMON)$")


def map_pieces(text, sections):
    """{output section: [(address, bytes, module)]} from a GNU ld map."""
    marker = "Linker script and memory map"
    if marker not in text:
        raise SizeError(f"{MAP.name} is no map of GNU ld: run make")
    pieces = {name: [] for name in sections}
    current = None
    for line in text.split(marker, 1)[1].split("\n"):
        output = OUTPUT.match(line)
        if output:
            current = pieces.get(output.group(1))
            continue
        if current is None or NAME_ALONE.match(line):
            continue
        found = INPUT.match(line)
        if found and int(found.group(3), 16) and (found.group(4) or found.group(1) == "*fill*"):
            module = module_of(found.group(4)) if found.group(4) else "(alignment)"
            current.append((int(found.group(2), 16), int(found.group(3), 16), module))
    return pieces


def code_places(elf):
    """[(address, bytes, source file)] of our functions, by the debug information."""
    try:
        listing = subprocess.run([NM, "-S", "-l", "--defined-only", str(elf)], check=True,
                                 capture_output=True, text=True, timeout=NM_LIMIT_S).stdout
    except FileNotFoundError as e:
        raise SizeError(f"no {NM}: run tools/setup.sh") from e
    except subprocess.SubprocessError as e:
        raise SizeError(f"{NM} cannot read {elf}: run make ({e})") from e
    places = set()
    for line in listing.split("\n"):
        found = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tT] \S+\t(\S+):\d+$", line)
        if found:
            path = os.path.relpath(os.path.join(results.ROOT, found.group(3)), results.ROOT)
            places.add((int(found.group(1), 16), int(found.group(2), 16), module_of(path)))
    return sorted(places)


def split_piece(at, size, kind, places):
    """(module, bytes) of a piece that link-time optimisation made out of many files."""
    told = 0
    for start, length, path in places:
        if at <= start and start + length <= at + size:
            yield path, length
            told += length
    yield ("(code of no function)" if kind == "text" else "(data and strings)"), size - told


def map_modules(text, sections, places=()):
    """{module: {kind: bytes}} from a GNU ld map."""
    modules = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    for name, pieces in map_pieces(text, sections).items():
        section = sections[name]
        if name.startswith(LINKER_MADE):
            modules["(relocation)"][section.kind] += section.size
            continue
        pieces.sort()
        ends = [at for at, _, _ in pieces[1:]] + [section.start + section.size]
        for (at, size, module), end in zip(pieces, ends):
            # Strings that were merged with another module's are listed over what follows them.
            size = max(0, min(size, end - at))
            parts = [(module, size)]
            if LTO_OBJECT.search(module):
                parts = split_piece(at, size, section.kind, places)
            for part, part_bytes in parts:
                modules[part][section.kind] += part_bytes
    return {name: m for name, m in modules.items() if any(m.values())}


def account(modules, sections):
    """Totals by kind; what the map tells of no module becomes one of its own."""
    totals = dict.fromkeys(KINDS, 0)
    for section in sections.values():
        totals[section.kind] += section.size
    rest = {k: totals[k] - sum(m[k] for m in modules.values()) for k in KINDS}
    if any(n < 0 for n in rest.values()):
        raise SizeError(f"the map tells of more than the ELF has ({rest}): run make clean; make")
    if any(rest.values()):
        rest = {k: rest[k] + modules.get(LINKER_SCRIPT, rest.fromkeys(KINDS, 0))[k] for k in KINDS}
        modules[LINKER_SCRIPT] = rest
    return totals


def table(modules, totals, before):
    """Lines for people, largest first. before: {name: value} of the last run."""
    width = max(map(len, modules), default=0)
    head = f"{'module':<{width}}" + "".join(f"{k:>9}" for k in KINDS) + f"{'change':>9}"
    yield head
    in_file = lambda m: m["text"] + m["rodata"] + m["data"]     # noqa: E731
    for name, m in sorted(modules.items(), key=lambda item: (-in_file(item[1]), item[0])):
        old = [before.get(f"{name} {k}") for k in KINDS[:3]]
        change = in_file(m) - sum(o or 0 for o in old) if before else 0
        yield (f"{name:<{width}}" + "".join(f"{m[k]:>9}" for k in KINDS)
               + (f"{change:>+9}" if change else ""))
    yield f"{'total':<{width}}" + "".join(f"{totals[k]:>9}" for k in KINDS)


def measure():
    """(modules, totals) of what make has linked."""
    try:
        sections = elf_sections(ELF.read_bytes())
        modules = map_modules(MAP.read_text(encoding="utf-8"), sections, code_places(ELF))
    except FileNotFoundError as e:
        raise SizeError(f"there is no build/{Path(e.filename).name}: run make") from e
    return modules, account(modules, sections)


def rows_of(modules, totals):
    used = totals["text"] + totals["rodata"] + totals["data"]
    rows = [results.row("text+rodata+data", used, "bytes", HOW)]
    if IMAGE.is_file():
        rows.append(results.row("image file", IMAGE.stat().st_size, "bytes",
                                "build/caisson.img, alignment between the parts included"))
    rows += [results.row(f"total {k}", totals[k], "bytes", HOW) for k in KINDS]
    rows += [results.row(f"{name} {k}", m[k], "bytes", HOW_MODULE)
             for name, m in sorted(modules.items()) for k in KINDS if m[k]]
    return rows


def main(argv):
    if argv not in ([], ["--brief"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        modules, totals = measure()
    except (SizeError, struct.error, ValueError) as e:
        print(f"size: {e}", file=sys.stderr)
        return 2
    before = {r["name"]: r["value"] for r in results.read("size")}
    rows = rows_of(modules, totals)
    used = rows[0]["value"]
    if not argv:
        print("\n".join(table(modules, totals, before)))
        results.write("size", rows)
    print(f"size: {BUILD.name}: text+rodata+data {used} of {LIMIT_BYTES} bytes; "
          + ", ".join(f"{k} {totals[k]}" for k in KINDS))
    if used > LIMIT_BYTES:
        print(f"size: {used - LIMIT_BYTES} bytes above the limit: `make size` tells where they are",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
