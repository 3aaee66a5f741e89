# SPDX-License-Identifier: BSD-2-Clause
"""A small arm64 program, compiled and linked like the image, for the tools that read one."""
import os
import subprocess

CROSS = os.environ.get("CROSS_COMPILE", "aarch64-linux-gnu-")

SCRIPT = """
ENTRY(start_c)
PHDRS { text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6); }
SECTIONS
{
    . = 0x10000;
    .text : { *(.text .text.*) } :text
    . = ALIGN(4096);
    .rodata : { *(.rodata .rodata.*) } :rodata
    . = ALIGN(4096);
    .data : { *(.data .data.*) } :data
    .stacks (NOLOAD) : ALIGN(16) { stack_bottom = .; . += 4096; stack_top = .; } :data
    .bss (NOLOAD) : { *(.bss .bss.*) } :data
    /DISCARD/ : { *(.note.*) *(.comment) *(.eh_frame) }
}
"""

FLAGS = ["-std=c11", "-O2", "-ffreestanding", "-mgeneral-regs-only", "-fno-pie", "-fno-common",
         "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables", "-Wall",
         "-fno-stack-protector", "-fno-inline", "-fstack-usage"]


def build(directory, sources):
    """Compile {path: C text} below directory/build; returns the paths of ELF and map."""
    objects = []
    for name, text in sources.items():
        source = directory / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text)
        obj = f"build/arm/{name}.o"
        (directory / obj).parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([CROSS + "gcc", *FLAGS, "-c", name, "-o", obj], cwd=directory, check=True,
                       timeout=60)
        objects.append(obj)
    (directory / "test.lds").write_text(SCRIPT)
    elf, ld_map = directory / "build/caisson.elf", directory / "build/caisson.map"
    subprocess.run([CROSS + "ld", "-nostdlib", "-static", "-T", "test.lds", "--gc-sections",
                    "-z", "noexecstack", "-Map", str(ld_map), "-o", str(elf), *objects],
                   cwd=directory, check=True, timeout=60)
    return elf, ld_map


def frames(directory):
    """{function: bytes} as the compiler says (-fstack-usage)."""
    found = {}
    for path in directory.glob("build/**/*.su"):
        for line in path.read_text().splitlines():
            place, size, _ = line.split("\t")
            found[place.split(":")[-1]] = int(size)
    return found
