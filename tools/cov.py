#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""cov.py - what of virtio/ and blk/ the tests run: lines and branches, by gcov.

The objects of virtio/ and blk/ under build/cov count; the programs beside them are the unit tests,
the enumeration and the corpora of the fuzzers. Every line that no test runs stands in
tests/coverage.txt with the reason why: file, the line's text, the reason, separated by tabs.

  tools/cov.py             the table; exit 1 below the goals, or when the list is not the truth
  tools/cov.py --branches  the lines with branches that are never taken, too
  tools/cov.py --corpus    what the fuzzers' corpora alone run, per fuzzer; no goals
"""
import json
import os
import subprocess
import sys
from collections import defaultdict

import tree

HOST = tree.ROOT / "build" / "cov" / "host"
LIST = "tests/coverage.txt"
PARTS = ("virtio/", "blk/")
LINES_GOAL, BRANCHES_GOAL = 98.0, 92.0
TEST_LIMIT_S = 300
GCOV = os.environ.get("GCOV", "gcov")


def forget():
    """Counts of earlier runs."""
    for part in PARTS:
        for path in (HOST / part).glob("*.gcda"):
            path.unlink()


def run_programs(kinds):
    """Run what is there; returns the names of those that failed."""
    failed = []
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    for path in sorted((HOST / "tests").iterdir()):
        if path.is_file() and path.name.startswith(kinds) and os.access(path, os.X_OK):
            done = subprocess.run([str(path)], cwd=tree.ROOT, env=env, timeout=TEST_LIMIT_S,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  check=False)
            if done.returncode != 0:
                failed.append(path.name)
    return failed


def counts():
    """(lines, branches): by file and line number, how often; a branch also by its number."""
    lines, branches = defaultdict(dict), defaultdict(dict)
    for part in PARTS:
        for data in sorted((HOST / part).glob("*.gcda")):
            out = subprocess.run([GCOV, "--json-format", "--stdout", "-b", str(data)],
                                 cwd=tree.ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                 timeout=60, check=True).stdout
            for file in json.loads(out)["files"]:
                add(file, lines, branches)
    return lines, branches


def add(file, lines, branches):
    """A function that several objects have a copy of is run when one of them is."""
    name = file["file"]
    if not name.startswith(PARTS):
        return
    for line in file["lines"]:
        at = line["line_number"]
        lines[name][at] = lines[name].get(at, 0) + line["count"]
        for number, branch in enumerate(line["branches"]):
            key = (at, number)
            branches[name][key] = branches[name].get(key, 0) + branch["count"]


def share(table, name=None):
    """(reached, all) of a file, or of all files."""
    values = [c for n, cells in table.items() if name in (None, n) for c in cells.values()]
    return sum(c > 0 for c in values), len(values)


def percent(reached, total):
    return 100.0 * reached / total if total else 100.0


def show(lines, branches):
    """The table."""
    print(f"{'file':24} {'lines':>16} {'branches':>18}")
    for name in [*sorted(lines), None]:
        row = f"{name or 'all':24}"
        for table in (lines, branches):
            reached, total = share(table, name)
            row += f" {reached:5}/{total:<5} {percent(reached, total):5.1f}%"
        print(row)


def excuses():
    """{(file, text): reason}"""
    found = {}
    for line in (tree.ROOT / LIST).read_text().splitlines():
        if line and not line.startswith("#"):
            file, text, reason = line.split("\t")
            found[(file, text)] = reason
    return found


def judge(lines, excused):
    """Lines that no test runs and no reason names, and reasons for lines that are run."""
    missed = set()
    for name in sorted(lines):
        text = (tree.ROOT / name).read_text().splitlines()
        for at, count in sorted(lines[name].items()):
            if count == 0:
                line = text[at - 1].strip()
                missed.add((name, line))
                if (name, line) not in excused:
                    yield f"{name}:{at}: no test runs `{line}`, and {LIST} is silent"
    for name, text in sorted(set(excused) - missed):
        yield f"{LIST}: `{text}` of {name} is run, or gone: take it off the list"


def show_branches(branches):
    for name in sorted(branches):
        text = (tree.ROOT / name).read_text().splitlines()
        for at in sorted({at for (at, _), count in branches[name].items() if count == 0}):
            print(f"{name}:{at}: {text[at - 1].strip()}")


def corpora():
    """Each fuzzer's seeds alone."""
    for path in sorted((HOST / "tests").glob("fuzz_*")):
        if not path.is_file():
            continue
        forget()
        run_programs(path.name)
        lines, branches = counts()
        print(f"{path.name:16} lines {percent(*share(lines)):5.1f}%  "
              f"branches {percent(*share(branches)):5.1f}% of virtio/ and blk/")
    return 0


def main(argv):
    if argv == ["--corpus"]:
        return corpora()
    forget()
    wrong = [f"{name} fails" for name in run_programs(("test_", "enum_", "fuzz_"))]
    lines, branches = counts()
    if argv == ["--branches"]:
        show_branches(branches)
    show(lines, branches)
    wrong += judge(lines, excuses())
    for what, table, goal in (("line", lines, LINES_GOAL), ("branch", branches, BRANCHES_GOAL)):
        if percent(*share(table)) < goal:
            wrong.append(f"{what} coverage is below {goal}%")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
