# SPDX-License-Identifier: BSD-2-Clause
"""layers.py: includes that point the wrong way are found, the others are left alone."""
import layers
import pytest

EXISTS = {
    "start/base/types.h", "start/port.h", "start/poll.h", "start/attach.h", "blk/bdev.h",
    "blk/ramdisk.c", "virtio/gmem.h", "virtio/virtq.h", "drivers/mmio.h", "drivers/xen/xs.h",
    "drivers/mmc/mmc.h", "tests/fake/xen.h",
}


def faults(path, line):
    return list(layers.faults(path, line + "\n", EXISTS))


@pytest.mark.parametrize("path, header", [
    ("start/main.c", "virtio/virtq.h"),
    ("start/base/log.c", "start/port.h"),
    ("virtio/virtq.c", "virtio/gmem.h"),
    ("virtio/vblk.c", "blk/bdev.h"),
    ("drivers/xen/gmem_foreign.c", "virtio/gmem.h"),
    ("drivers/mmc/mmc_bdev.c", "blk/bdev.h"),
    ("drivers/mmc/mmc.c", "drivers/mmio.h"),
    ("tests/unit/test_virtq.c", "tests/fake/xen.h"),
    ("tests/unit/test_virtq.c", "start/attach.h"),
])
def test_right_way(path, header):
    assert faults(path, f'#include "{header}"') == []


@pytest.mark.parametrize("path, header", [
    ("start/base/types.h", "start/port.h"),
    ("start/poll.c", "drivers/xen/xs.h"),
    ("blk/bdev.c", "virtio/gmem.h"),
    ("virtio/virtq.c", "blk/bdev.h"),
    ("virtio/vblk.c", "drivers/mmio.h"),
    ("virtio/virtq.c", "start/poll.h"),
    ("drivers/xen/ioreq.c", "virtio/gmem.h"),
    ("drivers/xen/gmem_foreign.c", "virtio/virtq.h"),
    ("drivers/mmc/mmc.c", "drivers/xen/xs.h"),
    ("drivers/mmc/mmc.c", "blk/bdev.h"),
    ("drivers/xen/backend.c", "start/attach.h"),
    ("virtio/virtq.c", "tests/fake/xen.h"),
    ("start/main.c", "tests/fake/xen.h"),
    ("start/main.c", "blk/ramdisk.c"),
    ("start/main.c", "gone.h"),
    ("somewhere/else.c", "start/port.h"),
])
def test_wrong_way(path, header):
    found = faults(path, f'#include "{header}"')
    assert len(found) == 1 and found[0][0] == 1


@pytest.mark.parametrize("path, header, right", [
    ("virtio/virtq.c", "stdint.h", True),
    ("drivers/xen/xs.c", "string.h", True),
    ("virtio/virtq.c", "stdlib.h", False),
    ("drivers/xen/evtchn.c", "xen/event_channel.h", True),
    ("virtio/virtq.c", "xen/event_channel.h", False),
    ("drivers/fdt/fdt_scan.c", "libfdt/libfdt.h", True),
    ("start/main.c", "libfdt/libfdt.h", False),
    ("tests/unit/test_virtq.c", "stdlib.h", True),
])
def test_headers_of_packages_have_one_owner(path, header, right):
    assert (faults(path, f"#include <{header}>") == []) == right


def test_the_line_is_told_and_comments_are_not_read():
    text = '/*\n#include "blk/bdev.h"\n*/\n// #include "gone.h"\n#  include "blk/bdev.h"\n'
    assert [at for at, _ in layers.faults("virtio/virtq.c", text, EXISTS)] == [5]


def test_a_computed_include_is_refused():
    assert faults("virtio/virtq.c", "#include HEADER")


def test_the_exceptions_are_all_needed():
    sources = {f: f'#include "{h}"' for f, h, _ in layers.EXCEPTIONS}
    assert list(layers.stale_exceptions(sources)) == []
    if layers.EXCEPTIONS:
        assert list(layers.stale_exceptions({}))
