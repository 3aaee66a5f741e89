# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest that grants its buffers for virtio: Debian's source, built with XEN_VIRTIO."""

import pytest

from tools import stories
from tools.stories import Storage, disk, fio_verified
from tools.testbed import kernel

GRANTS = dict(xen="ioreq", gic=3, xsm="flask", payload={"vmlinuz-grants": kernel.xen_virtio})
GUEST_MB = 256


@pytest.mark.slow
@pytest.mark.limit(3600)
@pytest.mark.bed(**GRANTS)
def test_first_job_over_grants(bed):
    """The verified job; no page is mapped that was not granted, none stays mapped but the ring."""
    store = Storage(bed, "disk=data,size=32M disk=plain,size=4M")
    base = store.held()
    guest = bed.create_guest("g1", disks=[disk("data", grants=True)], memory=GUEST_MB,
                             kernel="vmlinuz-grants")
    features = guest.run("cat /sys/bus/virtio/devices/virtio0/features").strip()
    assert features[33] == "1", f"the driver did not take ACCESS_PLATFORM: {features}"
    text = guest.run(stories.FILE_SYSTEM_JOB.format(disk="/dev/vda", part_mb=16), timeout=600)
    assert int(text) == stories.FILE_SYSTEM_FILES, "files are missing after the remount"
    before = store.stats()
    for depth, size in ((1, "512k"), (32, "2M")):
        assert fio_verified(guest, depth, size, "/dev/vda2") > 0
    after = store.stats()
    assert after["xen"]["gnttab"] > before["xen"]["gnttab"], "nothing was granted"
    held = store.held()
    assert held["pages"] == base["pages"], "the guest's memory is mapped without a grant"
    assert 0 < held["grants"] <= 8, f"{held['grants']} grants are held, not only a ring's"
    assert "still in use" not in guest.run("dmesg"), "a grant was held when its buffer was shown"
    guest.destroy()
    store.wait_held(base)


@pytest.mark.slow
@pytest.mark.limit(3600)
@pytest.mark.bed(**GRANTS)
def test_both_kinds_of_addresses_from_one_guest(bed):
    """A disk by grants beside one by plain addresses; the guest dies in the middle of fio."""
    store = Storage(bed, "disk=data,size=8M disk=plain,size=8M")
    base = store.held()
    guest = bed.create_guest("g1", disks=[disk("data", grants=True), disk("plain", "xvdb")],
                             memory=GUEST_MB, kernel="vmlinuz-grants")
    for device in ("/dev/vda", "/dev/vdb"):
        assert fio_verified(guest, 16, "2M", device) > 0
    guest.start(stories.fio_text("randwrite", depth=32, size="4M", seconds=600, device="/dev/vda")
                + " >/dev/null 2>&1")
    guest.run("sleep 3")
    assert guest.destroy() < 20.0
    store.wait_held(base)
