# SPDX-License-Identifier: BSD-2-Clause
"""What the image promises of itself: its size, its small domain, its exception reports."""

import re
import subprocess

import pytest

from tools import stories
from tools.stories import Storage
from tools.testbed import util
from tools.testbed.console import CommandFailed

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
PROMISED_BYTES = {"": 128 * 1024, "core": 96 * 1024}  # with its parts, and without
XL_SMALLEST_MB = 4
REPORT_TIMEOUT_S = 60

# selftest=: (what the report says, the statement that is at fault)
PLANTED = {
    "wild": (r"exception: data access, read: translation fault.*\n.*at address 0x7ead00000ba8",
             "*wild;"),
    "code": (r"exception: data access, write: permission fault.*\n.*our code", "*code = 0;"),
    "stack": (r"exception: data access, write: .*\n"
              r".*the guard page below the stack: stack overflow", None),
}


NOT_LOADED = re.compile(r"\.(bss|tables|stacks|debug|comment|symtab|shstrtab|strtab|note)")


@pytest.mark.parametrize("folder", PROMISED_BYTES)
def test_image_keeps_within_its_promise(folder):
    """text + rodata + data, as the section headers tell."""
    if folder:
        util.output(["make", "--no-print-directory", folder], timeout=300, cwd=util.ROOT)
    text = util.output(["aarch64-linux-gnu-size", "-A", util.BUILD / folder / "caisson.elf"])
    sizes = {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)", text, re.M)}
    loaded = sum(size for name, size in sizes.items() if not NOT_LOADED.match(name))
    assert 0 < loaded <= PROMISED_BYTES[folder], f"{folder}: {loaded} bytes: {sizes}"


@pytest.mark.bed(**FLASK)
def test_smallest_domain(bed):
    """memory=4, the smallest that xl can make, and a disk from ramdisk= serves."""
    with pytest.raises(CommandFailed):
        bed.create("tiny", kernel=stories.IMAGE, memory=XL_SMALLEST_MB // 2, extra="log=info")
    bed.dom0.run("dd if=/dev/urandom of=/images/small bs=64k count=4 2>/dev/null")
    store = Storage(bed, "", memory=XL_SMALLEST_MB, ramdisk="small")
    store.domain.wait_console(r"disk 'initrd': 256 KiB of initrd")
    kib = int(bed.xenstore_read(f"/local/domain/{store.domain.id()}/memory/target"))
    assert kib == XL_SMALLEST_MB * 1024
    guest = bed.create_guest("g1", disks=[stories.disk("initrd")], memory=256, extra="quiet")
    assert guest.run("sha256sum </dev/vda") == bed.dom0.run("sha256sum </images/small")


def _source_lines(log):
    """Return what tools/backtrace.py makes of a console text."""
    done = subprocess.run(
        ["/usr/bin/python3", "tools/backtrace.py", "--elf", util.BUILD / "caisson.elf"], input=log,
        cwd=util.ROOT, text=True, capture_output=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.bed(**FLASK)
def test_reports_name_the_source_line(bed):
    """A wild pointer, a write to code, a stack overflow: planted, reported, found in the source."""
    source = (util.ROOT / "start/trap.c").read_text().splitlines()
    for kind in PLANTED:
        bed.create(kind, kernel=stories.IMAGE, memory=8, extra=f"disk=data,size=1M selftest={kind}",
                   seclabel=stories.LABEL)
    for kind, (words, statement) in PLANTED.items():
        domain = bed.domains[kind]
        domain.wait_console(r"call chain \(image at 0x[0-9a-f]+\):(.*\n)+.*#\d", REPORT_TIMEOUT_S)
        # The whole report has come when its domain is gone.
        domain.wait_gone(REPORT_TIMEOUT_S)
        log = domain.console()
        assert re.search(words, log), f"selftest={kind}:\n{log}"
        lines = _source_lines(log)
        first = re.search(rf"^ *#0 .*  selftest_{kind}  (?:/\S+/)?start/trap.c:(\d+)", lines, re.M)
        assert first, f"selftest={kind}: the first frame is not the culprit:\n{lines}"
        if statement:
            assert source[int(first[1]) - 1].strip() == statement, lines
        assert re.search(r"  trap_selftest  (?:/\S+/)?start/trap.c:\d+", lines), lines
        assert re.search(r"  start_c  (?:/\S+/)?start/main.c:\d+", lines), lines
