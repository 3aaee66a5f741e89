# SPDX-License-Identifier: BSD-2-Clause
"""size.py: every byte of the image is told of some module."""
import cross
import pytest
import results
import size

SOURCES = {
    "start/main.c": """
        extern int other(int);
        static char zeroes[1000];
        int words[25] = {1, 2, 3};
        const int table[50] = {4, 5, 6};
        int start_c(int n);
        int start_c(int n) { zeroes[n] = 1; return other(words[n] + table[n]) + zeroes[2]; }
        """,
    "blk/bdev.c": "int other(int n); int other(int n) { return n * 3; }\n",
}


@pytest.fixture(name="built")
def fixture_built(tmp_path, monkeypatch):
    elf, ld_map = cross.build(tmp_path, SOURCES)
    monkeypatch.setattr(size, "ELF", elf)
    monkeypatch.setattr(size, "MAP", ld_map)
    monkeypatch.setattr(size, "IMAGE", tmp_path / "none")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results.write, "__defaults__", (tmp_path / "results",))
    monkeypatch.setattr(results.read, "__defaults__", (tmp_path / "results",))
    return tmp_path


def test_modules_have_the_bytes_of_their_objects(built):
    modules, totals = size.measure()
    assert modules["start/main.c"]["data"] == 100
    assert modules["start/main.c"]["rodata"] == 200
    assert modules["start/main.c"]["bss"] == 1000
    assert modules["blk/bdev.c"]["text"] >= 8 and modules["blk/bdev.c"]["bss"] == 0
    for kind in size.KINDS:
        assert sum(m[kind] for m in modules.values()) == totals[kind]
    assert totals["bss"] >= 4096 + 1000       # the stack of the linker script, too


def test_the_limit_is_a_limit(built, monkeypatch, capsys):
    assert size.main([]) == 0
    used = next(r["value"] for r in results.read("size") if r["name"] == "text+rodata+data")
    monkeypatch.setattr(size, "LIMIT_BYTES", used)
    assert size.main(["--brief"]) == 0
    monkeypatch.setattr(size, "LIMIT_BYTES", used - 1)
    assert size.main(["--brief"]) == 1
    assert "1 bytes above the limit" in capsys.readouterr().err


def test_a_second_run_shows_the_change(built, capsys):
    size.main([])
    assert "+" not in capsys.readouterr().out.replace("text+rodata+data", "")
    rows = results.read("size")
    for r in rows:
        if r["name"] == "start/main.c data":
            r["value"] -= 7
    results.write("size", rows)
    size.main([])
    line = next(t for t in capsys.readouterr().out.split("\n") if t.startswith("start/main.c"))
    assert line.endswith("+7")


def test_what_is_missing_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(size, "ELF", tmp_path / "caisson.elf")
    assert size.main([]) == 2
    assert "run make" in capsys.readouterr().err
    (tmp_path / "caisson.elf").write_bytes(b"\x7fELF\x01\x01" + bytes(100))
    assert size.main([]) == 2
    assert "64-bit ELF" in capsys.readouterr().err


@pytest.mark.parametrize("path, module", [
    ("build/arm/virtio/virtq.c.o", "virtio/virtq.c"),
    ("/usr/lib/picolibc/aarch64-linux-gnu/lib/libc.a(libc_stdio_snprintf.c.o)", "picolibc"),
    ("/usr/lib/aarch64-linux-gnu/libfdt.a(fdt.o)", "libfdt"),
    ("build/setup/libfdt/fdt_ro.c", "libfdt"),
])
def test_names_of_modules(path, module):
    assert size.module_of(path) == module
