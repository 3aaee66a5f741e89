#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""conformance.py - which test proves which requirement, or why none does.

tools/conformance.tsv lists what virtio 1.3 demands of a device (D-) and of a driver (G-) outside
its legacy and zoned parts, in our words, and the cases of a hostile driver (R, I, P, M, L, B). One
line each, fields separated by tabs:

    id   what is demanded   [feature   reason why no test is due while nothing offers the feature]
                            [-         reason why no test is ever due]

A test is due otherwise. It names the id in a comment in front of it or inside it: `D-2.1.2-01`,
`G-2.2.1-01, -03`, `R-14`. A device requirement is proved by a test that shows it kept, a driver
requirement by one that breaks it and shows that only the driver is hurt.

  tools/conformance.py           say what is untraced or stale; exit 1 when anything is
  tools/conformance.py --write   write docs/conformance.md
"""
import re
import sys
from collections import defaultdict

import tree

LIST = "tools/conformance.tsv"
TABLE = "docs/conformance.md"
COUNTS = {"D": 62, "G": 103}
TESTS = ("tests/unit/", "tests/enum/", "tests/fuzz/", "tests/system/")

TAG = re.compile(r"\b(?:([DG]-\d[\d.]*\.\d+)-(\d\d)((?:,\s+(?:\*\s+)?-\d\d)*)|([RIPMLB]-\d\d)\b)")
C_TEST = re.compile(r"^static (?:int|void) (\w+)\(void \*\*\w+\)$", re.MULTILINE)
PYTHON_TEST = re.compile(r"^def (test_\w+)\(", re.MULTILINE)

SECTIONS = {
    "2.1": "Device status", "2.2": "Feature bits", "2.4": "Reset", "2.5": "Config space",
    "2.6": "Queue reset", "2.7": "Split rings", "2.8": "Packed rings", "2.10": "Shared memory",
    "3.1": "Initialisation", "3.3": "Cleanup", "4.2": "MMIO transport", "5.2": "Block device",
    "5.3": "Console device", "5.4": "Entropy device",
    "6.1": "Reserved bits", "6.2": "Reserved bits",
}
CASES = {
    "R": "Rings", "I": "Indirect tables", "P": "Packed rings", "M": "Registers",
    "L": "Life of a device", "B": "Block requests",
}
HEAD = """# Conformance

`make conformance` writes this file from `tools/conformance.tsv` and the tags in the tests;
`make check` fails when it is stale or a requirement has neither a test nor a reason.

The requirements are those of virtio 1.3, which 1.4 repeats, outside the legacy interface (it is
refused) and zoned disks (never offered), in our words; the number is that of the section, and
counts the demands in it. A device requirement is proved by a test that shows it kept, a driver
requirement by a test that breaks it: only the driver is hurt, and after a reset it is served
again.

"""


class Row:
    """One line of the list."""

    def __init__(self, at, line):
        fields = line.split("\t")
        self.id, self.text, self.feature, self.reason = fields + [""] * (4 - len(fields))
        if len(fields) not in (2, 4) or not all(fields):
            raise ValueError(f"{LIST}:{at}: an id, a sentence, and perhaps a feature and a reason")
        self.tests = []

    def group(self):
        """The heading it belongs under."""
        if self.id[0] not in "DG":
            return CASES[self.id[0]]
        number = ".".join(self.id.split("-")[1].split(".")[:2])
        return f"{number} {SECTIONS[number]}"

    def answer(self):
        """Its tests, or the reason why there is none."""
        if not self.tests:
            return self.reason
        by_file = defaultdict(list)
        for name, test in self.tests:
            by_file[name].append(test)
        return "; ".join(f"{name}: {', '.join(tests)}" for name, tests in sorted(by_file.items()))


def rows_read(text):
    """The list by id, in its order."""
    rows = {}
    for at, line in enumerate(text.rstrip("\n").split("\n"), 1):
        row = Row(at, line)
        if row.id in rows:
            raise ValueError(f"{LIST}:{at}: {row.id} is there already")
        rows[row.id] = row
    return rows


def tags_in(text):
    """Ids named in text."""
    for match in TAG.finditer(text):
        section, number, more, case = match.groups()
        if case:
            yield case
            continue
        for n in [number] + re.findall(r"\d\d", more):
            yield f"{section}-{n}"


def comments(text):
    """(position, comment) of C text."""
    plain = tree.blank(text, keep_strings=True)
    for match in re.finditer(r"/\*.*?\*/", text, re.DOTALL):
        if plain[match.start()] == " ":
            yield match.start(), match.group()


def owner(text, at, starts):
    """The test a comment at `at` speaks of: the one it stands in or in front of, or None."""
    before = [s for s in starts if s[0] < at]
    if before and "\n}\n" not in text[before[-1][0]:at]:
        return before[-1][1]
    after = [s for s in starts if s[0] > at]
    end = text.find("*/", at) + 2
    if after and not text[end:after[0][0]].strip():
        return after[0][1]
    return None


def tests_of(name, text):
    """(id, test) for every tag of a file of tests. Raises when a tag belongs to no test."""
    if name.endswith(".py"):
        starts = [(m.start(), m.group(1)) for m in PYTHON_TEST.finditer(text)]
        for at, test in starts:
            end = min([s[0] for s in starts if s[0] > at], default=len(text))
            for tag in tags_in(text[at:end]):
                yield tag, test
        return
    starts = [(m.start(), m.group(1)) for m in C_TEST.finditer(text)]
    head = text.find("#include")
    for at, comment in comments(text):
        for tag in tags_in(comment):
            if at < head and not starts:
                yield tag, "(every case)"  # a program that enumerates, or a fuzzer
                continue
            test = owner(text, at, starts)
            line = text.count("\n", 0, at) + 1
            if at < head:
                continue
            if test is None:
                raise ValueError(f"{name}:{line}: {tag} stands at no test: put it in front of one")
            if len(re.findall(rf"\b{test}\b", text)) < 2:
                raise ValueError(f"{name}:{line}: {test} is never run")
            yield tag, test


def trace(rows, files):
    """Give every row its tests. files: (name, text). Returns what is wrong with the tags."""
    wrong = []
    for name, text in files:
        try:
            found = list(tests_of(name, text))
        except ValueError as e:
            wrong.append(str(e))
            continue
        for tag, test in found:
            if tag not in rows:
                wrong.append(f"{name}: {tag} is not in {LIST}")
            elif (name, test) not in rows[tag].tests:
                rows[tag].tests.append((name, test))
    return wrong


def judge(rows, engine):
    """What has neither test nor reason, and reasons that no longer hold. engine: its text."""
    for kind, count in COUNTS.items():
        have = sum(row.id.startswith(f"{kind}-") for row in rows.values())
        if have != count:
            yield f"{LIST}: {have} requirements {kind}-, {count} are in the specification"
    for row in rows.values():
        offered = row.feature not in ("", "-") and re.search(rf"\b{row.feature}\b", engine)
        if row.tests and row.reason:
            yield f"{LIST}: {row.id} has a test now: take its reason away"
        elif offered:
            yield f"{LIST}: {row.id}: {row.feature} is served now: write its test"
        elif not row.tests and not row.reason:
            yield f"{LIST}: {row.id} ({row.text}) has no test: write one and name the id beside it"


def totals(rows):
    """One line of figures."""
    parts = []
    for kind, what in (("D", "device requirements"), ("G", "driver requirements"),
                       ("RIPMLB", "cases of a hostile driver")):
        mine = [r for r in rows.values() if r.id[0] in kind]
        tested = sum(bool(r.tests) for r in mine)
        parts.append(f"{len(mine)} {what}, {tested} by tests and {len(mine) - tested} by a reason")
    return "; ".join(parts)


def table(rows):
    """The text of TABLE."""
    out = [HEAD, totals(rows).replace("; ", ";\n"), ".\n"]
    part = None
    for row in rows.values():
        kind = {"D": "The device", "G": "The driver, broken"}.get(row.id[0], "Hostile drivers")
        if (kind, row.group()) != part:
            if part is None or part[0] != kind:
                out.append(f"\n## {kind}\n")
            part = (kind, row.group())
            out.append(f"\n### {part[1]}\n\n| id | what | proof |\n|---|---|---|\n")
        answer = row.answer() if row.tests else f"no test: {row.reason}"
        out.append(f"| {row.id} | {row.text} | {answer} |\n")
    return "".join(out).replace(" | tests/", " | ").replace("; tests/", "; ")


def main(argv):
    rows = rows_read((tree.ROOT / LIST).read_text())
    names = tree.tracked()
    files = [(n, (tree.ROOT / n).read_text()) for n in names
             if n.startswith(TESTS) and n.endswith((".c", ".py"))]
    engine = "\n".join((tree.ROOT / n).read_text() for n in names
                       if n.startswith("virtio/") and n.endswith(".c"))
    wrong = trace(rows, files) + list(judge(rows, engine))
    text = table(rows)
    path = tree.ROOT / TABLE
    if argv == ["--write"]:
        path.write_text(text)
    elif not path.is_file() or path.read_text() != text:
        wrong.append(f"{TABLE} is stale: make conformance")
    for line in wrong:
        print(line)
    print(totals(rows))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
