#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Turn the exception reports in a console log into source lines.

    tools/backtrace.py [--elf build/caisson.elf] [LOG]        reads standard input without LOG

A report's call chain names each address as an offset into the image, "#2 0x80000000448c +0x448c".
That far behind the first loaded byte of the ELF file is what addr2line translates; for a return
address, the byte before it, so that the line is the call's and not the next one's. Inlined calls
are shown too.
The log may hold other consoles' prefixes before the lines, and several reports.

Exit status: 0 when a report was found, 1 when there is none, 2 when something is missing.
"""

import argparse
import os
import re
import struct
import subprocess
import sys

PT_LOAD, PF_X = 1, 1
FRAME = re.compile(r"#(\d+) 0x[0-9a-f]+ \+0x([0-9a-f]+)( \(link register\))?")
TEXT = re.compile(r"(panic|exception): .*|  at address 0x[0-9a-f]+, .*"
                  r"|  \(the same \d+ more times\)")


def find_frames(lines):
    """Yield what matters of a log: ("text", line) and ("frame", number, offset, remark)."""
    for line in lines:
        frame = FRAME.search(line)
        if frame:
            yield "frame", int(frame[1]), int(frame[2], 16), frame[3] or ""
            continue
        text = TEXT.search(line)
        if text:
            yield "text", text[0]


def image_start(elf):
    """The address that the image is linked for: of the code segment of a little-endian ELF64."""
    with open(elf, "rb") as file:
        data = file.read(4096)
    try:
        phoff, = struct.unpack_from("<Q", data, 32)
        phsize, phnum = struct.unpack_from("<HH", data, 54)
        headers = [struct.unpack_from("<IIQQ", data, phoff + i * phsize) for i in range(phnum)]
        return min(addr for kind, flags, _, addr in headers
                   if kind == PT_LOAD and flags & PF_X)
    except (struct.error, ValueError):
        raise SystemExit(f"{elf} is no image of ours: run make") from None


def translate(elf, address):
    """Where an address of the ELF file is in the source: a list of (function, file:line), innermost
    first."""
    tool = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-") + "addr2line"
    try:
        done = subprocess.run([tool, "-e", elf, "-f", "-i", hex(address)], check=True,
                              capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit(f"no {tool}: run tools/setup.sh, or set CROSS_COMPILE") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{tool}: {error.stderr.strip()}") from None
    answer = done.stdout.splitlines()
    return [(name, shorten(place)) for name, place in zip(answer[::2], answer[1::2])]


def shorten(place):
    """Paths from the top of the source tree on, without addr2line's remarks."""
    place = place.split(" (discriminator")[0]
    return os.path.relpath(place) if place.startswith(os.getcwd() + os.sep) else place


def is_return_address(number, remark):
    """All but the faulting instruction itself are where a call comes back to."""
    return number != 0 or bool(remark)


def print_report(elf, lines, out=sys.stdout):
    """Print the translated reports; returns the number of frames."""
    count = 0
    start = image_start(elf)
    for item in find_frames(lines):
        if item[0] == "text":
            print(item[1], file=out)
            continue
        _, number, offset, remark = item
        count += 1
        where = translate(elf, start + offset - is_return_address(number, remark))
        for depth, (name, place) in enumerate(where):
            head = f"  #{number:<2}" if depth == 0 else "     "
            tail = " (inlined into)" if depth + 1 < len(where) else remark
            print(f"{head} +0x{offset:x}  {name}  {place}{tail}", file=out)
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elf", default="build/caisson.elf")
    parser.add_argument("log", nargs="?", help="console log; standard input without")
    args = parser.parse_args()
    if not os.path.exists(args.elf):
        print(f"no {args.elf}: run make first", file=sys.stderr)
        return 2
    if args.log:
        with open(args.log, encoding="utf-8", errors="replace") as log:
            count = print_report(args.elf, log)
    else:
        count = print_report(args.elf, sys.stdin)
    if count == 0:
        print("no exception report in this log", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
