# SPDX-License-Identifier: BSD-2-Clause
"""tidy.py: each rule finds its breach, and nothing in clean text."""
import re
from pathlib import Path

import pytest
import tidy
import tree

HEAD = "/* SPDX-License-Identifier: BSD-2-Clause */\n"


def line_faults(name, text, places=()):
    return list(tidy.check_lines(name, text.split("\n")[:-1], list(places)))


def c_faults(name, text):
    return list(tidy.check_c(name, text, tree.blank(text)))


def test_clean_text_has_no_fault():
    text = HEAD + "#pragma once\n\nvoid f(void);\n"
    assert line_faults("blk/x.h", text) == []
    assert c_faults("blk/x.h", text) == []
    assert list(tidy.check_file("blk/x.h", text, text.split("\n")[:-1])) == []


@pytest.mark.parametrize("line, word", [
    ("int x; ", "blanks"),
    ("\tint x;", "tab"),
    ("int x;\r", "carriage"),
    ("/* " + "x" * 100 + " */", "columns"),
    ("/* TO" + "DO: later */", "not done"),
    ("/* see /home/" + "someone/notes */", "path of one machine"),
    ("/* http:" + "//mirror.internal/x */", "mirror.internal"),
], ids=["blanks", "tab", "return", "width", "undone", "place", "host"])
def test_lines(line, word):
    found = line_faults("blk/x.c", HEAD + line + "\n")
    assert [at for at, _ in found] == [2] and word in found[0][1]


def test_public_hosts_and_xenstore_paths_are_fine():
    text = "http://deb.debian.org/debian https://docs.oasis-open.org/virtio/ /local/domain/0\n"
    assert line_faults("docs/x.md", text) == []


def test_the_place_of_this_checkout_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(tree, "ROOT", tmp_path / "place" / "caisson")
    places = tidy.places_here()
    for bad in (f"{tmp_path}/place/caisson/x", f"see {tmp_path}/place/notes"):
        assert line_faults("docs/x.md", bad + "\n", places)
    assert line_faults("docs/x.md", "/tmp/x and /usr/include\n", places) == []


@pytest.mark.parametrize("root", ["/check", "/tests/unit"])
def test_a_checkout_whose_name_ends_a_good_path_is_no_fault(monkeypatch, root):
    monkeypatch.setattr(tree, "ROOT", Path(root))
    places = tidy.places_here()
    line = "$(B)" + root + "/x.ok: ../caisson" + root + "\n"
    assert line_faults("docs/x.md", line, places) == []


def test_a_makefile_may_have_tabs_and_long_help():
    assert line_faults("Makefile", "x:" + " ## " + "y" * 120 + "\n\trule\n") == []


@pytest.mark.parametrize("name, code, caught", [
    ("virtio/x.c", "strcpy(a, b);", True),
    ("tests/unit/x.c", "sprintf(a, b);", True),
    ("virtio/x.c", "p = malloc(3);", True),
    ("tests/unit/x.c", "p = malloc(3);", False),
    ("start/config.c", "n = strtoul(s, 0, 0);", True),
    ("drivers/xen/xs.c", "__atomic_load_n(p, 0);", True),
    ("start/port.h", "__atomic_load_n(p, 0);", False),
    ("virtio/x.c", 'asm("nop");', True),
    ("start/mmu.c", 'asm("nop");', False),
    ("virtio/x.c", "volatile u32 *p;", True),
    ("drivers/mmio.h", "volatile u32 *p;", False),
    ("virtio/x.c", "/* not strcpy(a, b) */", False),
    ("virtio/x.c", 'log_info("strcpy(a, b)");', False),
    ("virtio/x.c", "my_strcpy(a, b); snprintf(a, 3, b); desc_free_count(3);", False),
])
def test_banned_calls(monkeypatch, tmp_path, name, code, caught):
    monkeypatch.setattr(tree, "ROOT", tmp_path)     # no own headers there
    text = HEAD + ("#pragma once\n" if name.endswith(".h") else "") + code + "\n"
    assert bool(c_faults(name, text)) == caught


def test_a_header_begins_with_pragma_once():
    assert c_faults("blk/x.h", HEAD + "#include <stdint.h>\n#pragma once\n")
    assert c_faults("blk/x.h", HEAD)
    assert c_faults("blk/x.h", HEAD + "/* words */\n#pragma once\n") == []


def test_the_own_header_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(tree, "ROOT", tmp_path)
    (tmp_path / "x.h").write_text("")
    assert c_faults("x.c", HEAD + '#include "x.h"\n#include <a.h>\n') == []
    assert [at for at, _ in c_faults("x.c", HEAD + '\n#include <a.h>\n#include "x.h"\n')] == [3]
    assert c_faults("x.c", HEAD + "int y;\n")
    assert c_faults("y.c", HEAD + "#include <a.h>\n") == []


@pytest.mark.parametrize("text, word", [
    ("int x;\n", "lack"),
    (HEAD + "int x;", "no newline"),
    (HEAD + "int x;\n\n", "blank lines"),
    (HEAD + "x\n" * 700, "at most"),
], ids=["licence", "newline", "blank", "long"])
def test_whole_files(text, word):
    lines = text.split("\n")[:-1] if text.endswith("\n") else text.split("\n")
    found = list(tidy.check_file("blk/x.c", text, lines))
    assert len(found) == 1 and word in found[0][1]


def test_functions_are_measured_from_brace_to_brace():
    text = (HEAD + "struct x {\n    int a;\n};\n\nstatic int f(int a,\n             int b)\n{\n"
            "    if (a) {\n        return b;\n    }\n    return 0;\n}\n\n"
            "enum status (*g(void))(int)\n{\n}\n\nstatic const int t[] =\n{\n    1,\n};\n")
    found = list(tidy.functions(tree.blank(text)))
    assert ("f", 6, 6) in found
    assert not any(name == "t" for name, _, _ in found)


def test_the_ratchet_only_turns_one_way():
    long = {("a.c", "f"): (10, 90)}
    assert list(tidy.check_lengths(long, {}))
    assert list(tidy.check_lengths(long, {("a.c", "f"): 89}))
    assert list(tidy.check_lengths(long, {("a.c", "f"): 90})) == []
    shorter = list(tidy.check_lengths({("a.c", "f"): (10, 80)}, {("a.c", "f"): 90}))
    assert shorter and "--ratchet" in shorter[0][2]
    assert list(tidy.check_lengths({("a.c", "f"): (10, 70)}, {})) == []


def test_comments_and_literals_become_blanks_of_the_same_shape():
    text = 'a /* b\nc */ "d\\"//e" \'"\' // f\ng'
    plain = tree.blank(text)
    assert len(plain) == len(text) and plain.count("\n") == text.count("\n")
    assert not re.search("[b-f]", plain) and "a" in plain and "g" in plain
    assert '"d\\"//e"' in tree.blank(text, keep_strings=True)
