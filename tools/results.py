#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""results.py - what was measured, in one form.

Every target that measures writes build/results/TARGET.json: a list of
{"name": ..., "value": ..., "unit": ..., "how": ...}. This is the one writer, and the one table.

  tools/results.py            print every result there is
  tools/results.py size stack print these
"""
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"


def row(name, value, unit, how):
    """One measurement. value is a number, unit what it counts, how the way it was taken."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: a result is a number, not {value!r}")
    if not (name and unit and how):
        raise ValueError(f"result {name!r} needs a name, a unit and a how")
    return {"name": name, "value": value, "unit": unit, "how": how}


def write(target, rows, directory=RESULTS):
    """Replace the results of target by rows, whole or not at all; returns the path."""
    rows = [row(**r) for r in rows]
    names = [r["name"] for r in rows]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ValueError(f"{target}: two results have the name {sorted(twice)[0]!r}")
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{target}.json"
    part = directory / f".{target}.{os.getpid()}.part"
    part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def read(target, directory=RESULTS):
    """The rows of target; [] when it was never measured or the file is not ours."""
    try:
        rows = json.loads((directory / f"{target}.json").read_text(encoding="utf-8"))
        return [row(**r) for r in rows]
    except (OSError, ValueError, TypeError):
        return []


def table(rows):
    """Aligned text, one line per row."""
    if not rows:
        return ""

    def shown(value):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"

    name_width = max(len(r["name"]) for r in rows)
    value_width = max(len(shown(r["value"])) for r in rows)
    return "\n".join(
        f"{r['name']:<{name_width}}  {shown(r['value']):>{value_width}} {r['unit']}" for r in rows
    )


def main(argv):
    targets = argv or sorted(p.stem for p in RESULTS.glob("*.json"))
    if not targets:
        print("results: nothing was measured yet; 'make help' lists the targets that measure")
        return 1
    status = 0
    for target in targets:
        rows = read(target)
        if not rows:
            print(f"results: there is no readable build/results/{target}.json", file=sys.stderr)
            status = 1
            continue
        print(f"{target}\n{table(rows)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
