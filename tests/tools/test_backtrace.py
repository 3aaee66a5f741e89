# SPDX-License-Identifier: BSD-2-Clause
"""backtrace.py: offsets of a report become the function and line that the compiler put there."""
import io
import re
import subprocess

import backtrace
import cross

SOURCE = """
int start_c(int n);
int middle(int n);
int inner(int n);
int inner(int n)
{
    return *(volatile int *)(long)n;  /* line INNER */
}
int middle(int n)
{
    int a = inner(n);  /* line MIDDLE */
    return a + 1;
}
int start_c(int n)
{
    int a = middle(n);  /* line START */
    return a * 3;
}
"""

LINKED = 0x10000  # where cross.SCRIPT links

REPORT = """\
(XEN) d1v0 something else
[    0.253203] error: exception: data access, read: translation fault
[    0.253953] error:   at address 0x7ead00000ba8, outside the image
[    0.254512] error: x0  00007ead00000ba8  x1  0000000040209d40  x2  0000000000000000
[    0.258267] error: call chain (image at 0x40200000):
[    0.258482] error:   #0 0x{0:016x} +0x{1:x}
[    0.258637] error:   #1 0x{2:016x} +0x{3:x} (link register)
[    0.258637] error:   (the same 7 more times)
[    0.259290] error:   #2 0x{4:016x} +0x{5:x}
[    0.259495] error:   #3 0x0000000000000010 not our code
"""


def line_of(mark):
    return next(number for number, text in enumerate(SOURCE.splitlines(), 1) if mark in text)


def addresses(elf):
    """The load in inner, and where the two calls come back to, from the disassembly."""
    text = subprocess.run([cross.CROSS + "objdump", "-d", str(elf)], check=True, text=True,
                          capture_output=True, timeout=60).stdout
    back = {}
    load = None
    function = None
    for line in text.splitlines():
        head = re.match(r"[0-9a-f]+ <(\w+)>:", line)
        function = head[1] if head else function
        code = re.match(r"\s*([0-9a-f]+):\t[0-9a-f]+ \t(\w+)\t(.*)", line)
        if code and function == "inner" and code[2].startswith("ldr"):
            load = int(code[1], 16)
        if code and code[2] == "bl":
            back[function] = int(code[1], 16) + 4
    return load, back["middle"], back["start_c"]


def make(tmp_path, monkeypatch):
    monkeypatch.setattr(cross, "FLAGS", cross.FLAGS + ["-g"])
    elf, _ = cross.build(tmp_path, {"main.c": SOURCE})
    base = 0x40200000
    places = [n for a in addresses(elf) for n in (base + a - LINKED, a - LINKED)]
    return elf, REPORT.format(*places)


def test_every_frame_has_its_function_and_line(tmp_path, monkeypatch):
    elf, report = make(tmp_path, monkeypatch)
    out = io.StringIO()
    assert backtrace.print_report(str(elf), report.splitlines(), out) == 3
    frames = [line for line in out.getvalue().splitlines() if line.startswith("  #")]
    assert [f.split()[2] for f in frames] == ["inner", "middle", "start_c"]
    wanted = [line_of(mark) for mark in ("INNER", "MIDDLE", "START")]
    assert [int(re.search(r"main\.c:(\d+)", f)[1]) for f in frames] == wanted


def test_the_cause_is_repeated_and_other_lines_are_not(tmp_path, monkeypatch):
    elf, report = make(tmp_path, monkeypatch)
    out = io.StringIO()
    backtrace.print_report(str(elf), report.splitlines(), out)
    assert "exception: data access, read" in out.getvalue()
    assert "at address 0x7ead00000ba8, outside the image" in out.getvalue()
    assert "(the same 7 more times)" in out.getvalue()
    assert "XEN" not in out.getvalue() and "x0 " not in out.getvalue()


def test_a_log_without_report_fails(tmp_path, monkeypatch, capsys):
    elf, _ = make(tmp_path, monkeypatch)
    log = tmp_path / "log"
    log.write_text("[    0.000001] all is well\n")
    monkeypatch.setattr("sys.argv", ["backtrace.py", "--elf", str(elf), str(log)])
    assert backtrace.main() == 1
    assert "no exception report" in capsys.readouterr().err


def test_a_missing_elf_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["backtrace.py", "--elf", str(tmp_path / "none.elf")])
    assert backtrace.main() == 2
    assert "run make first" in capsys.readouterr().err
