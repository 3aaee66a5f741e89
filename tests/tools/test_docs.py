# SPDX-License-Identifier: BSD-2-Clause
"""Code blocks of the documentation are what the named files say."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^(?:<!-- from (\S+) -->\n)?```c\n(.*?)^```$", re.M | re.S)


def _faults(text, read):
    """(line, message) of every block of C that is not in the file it is said to be from."""
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        path, code = found.groups()
        if path is None:
            yield line, "a block of C without '<!-- from FILE -->' in the line above it"
        elif "\n" + code not in "\n" + read(path):
            yield line, f"{path} says it differently now: copy it from there again"


def _read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_code_blocks_are_the_files_own():
    """Each C block of docs/*.md lies in its file, line for line."""
    faults, blocks = [], 0
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        faults += [f"docs/{page.name}:{line}: {why}" for line, why in _faults(text, _read)]
        blocks += len(BLOCK.findall(text))
    assert not faults, "\n".join(faults)
    assert blocks >= 6, "docs/writing-a-device.md has lost its code"


def test_a_block_that_differs_is_found():
    """The comparison itself: a changed word, half a line, no file named."""
    page = "text\n<!-- from a.c -->\n```c\nint x;\n```\n"
    assert not list(_faults(page, lambda path: "int w;\nint x;\n"))
    assert list(_faults(page, lambda path: "int y;\n")) == [
        (2, "a.c says it differently now: copy it from there again")]
    assert list(_faults(page, lambda path: "unsigned int x;\n"))
    assert [line for line, _ in _faults("```c\nint x;\n```\n", lambda path: "int x;\n")] == [1]
