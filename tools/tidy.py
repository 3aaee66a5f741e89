#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""tidy.py - the house style as a test: what clang-format and clang-tidy cannot see.

Every violation is one line, file:line: message; exit 1 when there is any. docs/style.md says why.

  tools/tidy.py            check the tracked files; writes build/results/tidy.json
  tools/tidy.py --ratchet  accept the functions that are long today (tools/tidy_long.txt)
"""
import os
import re
import statistics
import sys
from pathlib import Path

import results
import tree

WIDTH_MAX = 100
FILE_WARN_LINES = 500
FILE_MAX_LINES = 700
FUNCTION_MAX_LINES = 70
RATCHET = "tools/tidy_long.txt"
LICENCE = "SPDX-License-Identifier: BSD-2-Clause"

C_CODE = (".c", ".h")
CODE = (".c", ".h", ".S", ".lds", ".py", ".sh", ".te", ".mk")
SEEDS = "tests/fuzz/seeds/"  # inputs for programs, not text
PICTURE = ".svg"  # written by a plotting library
SHIPPED = ("start/", "drivers/", "virtio/", "blk/")
ENGINE = ("start/base/", "virtio/", "blk/")

# The few files that may spell atomic accesses themselves: the accessors, the byte ring of console
# and xenstore, and the event channel page that no guest writes.
ATOMIC_HOMES = ("start/port.h", "start/base/ring.h", "drivers/xen/evtchn.c")

# Work that is not done belongs into an issue. Spelled apart: this file is checked too.
UNDONE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")

# (what, where: () is everywhere, except there, cure)
BANNED = [
    (r"\b(?:strcpy|strcat|stpcpy|sprintf|vsprintf|gets)\s*\(", (), (),
     "has no bound: use snprintf or memcpy with a length"),
    (r"\bstrn(?:cpy|cat)\s*\(", (), (), "may leave no NUL: use snprintf or memcpy with a length"),
    (r"\b(?:alloca|__builtin_alloca)\s*\(", (), (), "has no bound on the stack: use a named limit"),
    (r"\b(?:atoi|atol|atoll|atof)\s*\(", (), (), "cannot refuse nonsense: parse digit by digit"),
    (r"\b(?:strto(?:l|ul|ll|ull|k)|sscanf|vsscanf)\s*\(", SHIPPED, (),
     "takes signs, blanks and rests of text from outside: parse digit by digit"),
    (r"\b(?:malloc|calloc|realloc|reallocarray|free|strdup|strndup)\s*\(", SHIPPED, (),
     "all memory is static, sized by start/base/limits.h"),
    (r"\b(?:printf|vprintf|fprintf|puts|fputs|putchar)\s*\(", SHIPPED, (),
     "words for people go through start/base/log.h"),
    (r"\b(?:assert|abort|exit)\s*\(", SHIPPED, ("start/libc_glue.c",),
     "our own mistakes are a CHECK, everybody else's a status"),
    (r"\b(?:setjmp|longjmp)\s*\(", SHIPPED, (), "unwinds past owners: return a status"),
    (r"\b(?:__atomic_|__sync_|atomic_)\w+\s*\(", SHIPPED, ATOMIC_HOMES,
     "words that others write go through the accessors of start/port.h"),
    (r"\b(?:__asm__|asm|__asm)\b", ENGINE, (), "the engine compiles on every machine: use port.h"),
    (r"\bvolatile\b", ENGINE, (), "orders nothing: use the accessors of start/port.h"),
    (r"\bstrtok\s*\(", (), (), "hides its state: walk the text by index"),
]
BANNED = [(re.compile(what), where, but, cure) for what, where, but, cure in BANNED]

# A URL in the project must lead where everybody can go.
URL = re.compile(r"\b(?:https?|ftp|git|ssh)://(?:[^/\s@'\"]*@)?([^/\s:'\"<>)`\]}]+)")
PUBLIC_HOSTS = re.compile(
    r"""(?: (?:[\w-]+\.)*(?:debian\.org | xenproject\.org | xen\.org | oasis-open\.org | kernel\.org
        | arm\.com | spdx\.org | github\.com | gnu\.org | llvm\.org | sdcard\.org | jedec\.org
        | cmocka\.org | qemu\.org | uefi\.org | devicetree\.org | opensource\.org | python\.org)
      | (?:[\w-]+\.)*example(?:\.org|\.com|\.net)? | [\w.-]*\.invalid | localhost | \$.* | %.* )""",
    re.VERBOSE)

# Absolute directories that name one person's or one machine's place.
HOMES = re.compile(r"(?<![\w.~$}{/-])/(?:home/[A-Za-z_]|root/)")
STANDARD_DIRS = set("/ /tmp /var /var/tmp /usr /usr/local /usr/src /opt /srv /mnt /media /build"
                    " /home /root /boot /run".split())

C_FUNCTION = re.compile(r"(\w+)\s*\((?:[^;{}]*)\)\s*(?:__attribute__\s*\(\(.*\)\)\s*)?$", re.DOTALL)


def places_here():
    """Patterns of this checkout's own directories: a path of one machine helps nobody else.

    One name below the root (/check, /src) says nothing of a machine, and ends many good paths."""
    found = []
    here = Path(os.path.realpath(tree.ROOT))
    for place in [here, *here.parents]:
        if str(place) not in STANDARD_DIRS and len(place.parts) > 2:
            found.append(re.compile(r"(?<![\w.~$(){}/-])" + re.escape(str(place)) + r"(?![\w-])"))
    return found


def is_text(data):
    return b"\0" not in data[:8192]


def needs_licence(name, lines):
    return (name.endswith(CODE) or os.path.basename(name) == "Makefile"
            or (bool(lines) and lines[0].startswith("#!")))


def check_lines(name, lines, places):
    """Rules of single lines in any text."""
    tabs_ok = os.path.basename(name) == "Makefile" or name.endswith(".mk")
    code = needs_licence(name, lines)
    for at, line in enumerate(lines, 1):
        if line.endswith("\r"):
            yield at, "a carriage return: lines end with a newline alone"
        elif line != line.rstrip():
            yield at, "blanks at the end of the line"
        if code and not tabs_ok and "\t" in line:
            yield at, "a tab: indent with 4 spaces"
        # In a makefile a tab counts as 4, and the text of `make help` is as long as it is.
        width = len(line.expandtabs(4).split(" ## ")[0] if tabs_ok else line)
        if code and width > WIDTH_MAX:
            yield at, f"{width} columns, at most {WIDTH_MAX}"
        if code and UNDONE.search(line):
            yield at, "a note of work not done: finish it or open an issue"
        if any(p.search(line) for p in places) or HOMES.search(line):
            yield at, "a path of one machine: name files from the root of the repository"
        for host in URL.findall(line):
            if not PUBLIC_HOSTS.fullmatch(host):
                yield at, f"the host {host} is not in PUBLIC_HOSTS of tools/tidy.py"


def check_file(name, text, lines):
    """Rules of a whole file."""
    if text and not text.endswith("\n"):
        yield len(lines), "no newline at the end of the file"
    if text.endswith("\n\n"):
        yield len(lines), "blank lines at the end of the file"
    if needs_licence(name, lines) and not any(LICENCE in line for line in lines[:3]):
        yield 1, f"the first lines lack '{LICENCE}'"
    if needs_licence(name, lines) and len(lines) > FILE_MAX_LINES:
        yield len(lines), f"{len(lines)} lines, at most {FILE_MAX_LINES}: find the second subject"


def check_c(name, text, plain):
    """Rules of C and assembly; plain is the text without comments and literals."""
    plain_lines = plain.split("\n")
    directives = [(at, line.split()) for at, line in enumerate(plain_lines, 1)
                  if line.lstrip().startswith("#")]
    if name.endswith(".h") and (not directives or directives[0][1] != ["#pragma", "once"]):
        yield (directives[0][0] if directives else 1), "a header begins with #pragma once"
    if name.endswith(".c"):
        yield from check_own_header(name, text)
    for at, line in enumerate(plain_lines, 1):
        for what, where, but, cure in BANNED:
            found = what.search(line)
            applies = (not where or name.startswith(where)) and name not in but
            if found and applies:
                yield at, f"{found.group().rstrip('( ')}: {cure}"


def check_own_header(name, text):
    """The own header comes first: so it is proved to stand on its own."""
    own = name[:-2] + ".h"
    if not (tree.ROOT / own).is_file():
        return
    code = tree.blank(text, keep_strings=True)
    includes = [(code.count("\n", 0, m.start(1)) + 1, m.group(1))
                for m in re.finditer(r'^\s*#\s*include\s*["<]([^">]+)[">]', code, re.MULTILINE)]
    if not includes:
        yield 1, f'"{own}" is not included: the compiler must see both'
    elif includes[0][1] != own:
        yield includes[0][0], f'"{own}" comes first: own header, then base, port, others'


def functions(plain):
    """(name, first line, lines) of the functions in formatted C without comments."""
    lines = plain.split("\n")
    at = 0
    while at < len(lines):
        if lines[at] != "{":
            at += 1
            continue
        end = next((i for i in range(at, len(lines)) if lines[i].startswith("}")), len(lines) - 1)
        first = at
        while first > 0 and lines[first - 1].strip() and lines[first - 1][-1] not in ";}":
            first -= 1
        head = C_FUNCTION.search("\n".join(lines[first:at]).split("__attribute__")[0].rstrip())
        if head:
            yield head.group(1), first + 1, end - at + 1
        at = end + 1


def read_ratchet():
    """{(file, function): lines} accepted as long."""
    accepted = {}
    path = tree.ROOT / RATCHET
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                name, function, count = line.split()
                accepted[name, function] = int(count)
    return accepted


def write_ratchet(long_functions):
    """Accept what is long today."""
    head = ("# Functions longer than the limit of tools/tidy.py, and their lines: none may grow,\n"
            "# and no other may join. 'tools/tidy.py --ratchet' writes this file.\n")
    rows = [f"{name} {function} {count}\n" for (name, function), count in
            sorted(long_functions.items())]
    (tree.ROOT / RATCHET).write_text(head + "".join(rows), encoding="utf-8")


def check_lengths(sizes, accepted):
    """(file, line, message) of functions that break the ratchet. sizes: {(file, name): (at, n)}."""
    for (name, function), (at, count) in sizes.items():
        bound = accepted.get((name, function), FUNCTION_MAX_LINES)
        if count > max(bound, FUNCTION_MAX_LINES):
            yield name, at, f"{function}() has {count} lines, at most {bound}: split it"
    for (name, function), bound in accepted.items():
        count = sizes.get((name, function), (0, 0))[1]
        if count < bound:
            yield RATCHET, 1, (f"{function}() of {name} has {count} lines now, not {bound}: "
                               "run tools/tidy.py --ratchet")


def scan(names, places):
    """All violations as (file, line, message), and the function sizes."""
    found, sizes, warnings = [], {}, []
    for name in names:
        data = (tree.ROOT / name).read_bytes()
        if name.startswith(SEEDS) or name.endswith(PICTURE) or not is_text(data):
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as e:
            found.append((name, data.count(b"\n", 0, e.start) + 1, "not UTF-8"))
            continue
        lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
        found += [(name, at, why) for at, why in check_lines(name, lines, places)]
        found += [(name, at, why) for at, why in check_file(name, text, lines)]
        if name.endswith(CODE) and FILE_WARN_LINES < len(lines) <= FILE_MAX_LINES:
            warnings.append(f"{name}:{len(lines)}: note: over {FILE_WARN_LINES} lines")
        if name.endswith(C_CODE):
            plain = tree.blank(text)
            found += [(name, at, why) for at, why in check_c(name, text, plain)]
            sizes.update({(name, f): (at, count) for f, at, count in functions(plain)})
    return found, sizes, warnings


def steering(sizes):
    """The trend lines of docs/style.md over the code that ships."""
    counts = sorted(n for (name, _), (_, n) in sizes.items() if name.startswith(SHIPPED))
    if not counts:
        return []
    over = sum(n > FUNCTION_MAX_LINES for n in counts)
    how = "lines from brace to brace over start, drivers, virtio, blk (tools/tidy.py)"
    return [
        results.row("functions", len(counts), "functions", how),
        results.row("function length median", statistics.median(counts), "lines", how),
        results.row("function length p90", counts[int(0.9 * (len(counts) - 1))], "lines", how),
        results.row("functions over the limit", over, "functions", how),
    ]


def main(argv):
    if argv not in ([], ["--ratchet"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        names = tree.tracked()
    except tree.TreeError as e:
        print(f"tidy: {e}", file=sys.stderr)
        return 2
    found, sizes, warnings = scan(names, places_here())
    if argv:
        write_ratchet({key: n for key, (_, n) in sizes.items() if n > FUNCTION_MAX_LINES})
    found += check_lengths(sizes, read_ratchet())
    for line in warnings:
        print(line)
    for name, at, why in sorted(found):
        print(f"{name}:{at}: {why}")
    rows = steering(sizes)
    if rows:
        results.write("tidy", rows)
    if found:
        print(f"tidy: {len(found)} violations", file=sys.stderr)
        return 1
    print(f"tidy: {len(names)} files, no violation; "
          + "; ".join(f"{r['name']} {r['value']:g}" for r in rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
