# SPDX-License-Identifier: BSD-2-Clause
"""tree.py - the files of the project and their code without comments, for the checks."""
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIT_LIMIT_S = 30


class TreeError(Exception):
    """The list of files cannot be had; the text says why."""


def tracked(root=ROOT):
    """Paths of the tracked files that exist, relative to root, sorted."""
    try:
        out = subprocess.run(
            ["git", "-C", str(root), "ls-files", "-z"],
            capture_output=True, check=True, timeout=GIT_LIMIT_S,
        ).stdout
    except FileNotFoundError as e:
        raise TreeError("git is not installed: run tools/setup.sh") from e
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        raise TreeError(f"git ls-files failed in {root}: the checks need a git checkout") from e
    names = sorted(n.decode() for n in out.split(b"\0") if n)
    return [n for n in names if (root / n).is_file()]


def _literal_end(text, at):
    """Index after the string or character literal that begins at text[at]."""
    quote = text[at]
    i = at + 1
    while i < len(text) and text[i] != quote and text[i] != "\n":
        i += 2 if text[i] == "\\" else 1
    return min(i + 1, len(text))


def blank(text, keep_strings=False):
    """C text with comments (and the insides of literals) as spaces; lines and columns stay."""
    out = []
    i = 0
    while i < len(text):
        two = text[i:i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = len(text) if end < 0 else end + 2
        elif two == "//":
            end = text.find("\n", i)
            end = len(text) if end < 0 else end
        elif text[i] in "\"'":
            end = _literal_end(text, i)
            if keep_strings:
                out.append(text[i:end])
                i = end
                continue
        else:
            out.append(text[i])
            i += 1
            continue
        out.append("".join(c if c == "\n" else " " for c in text[i:end]))
        i = end
    return "".join(out)
