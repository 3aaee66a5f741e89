# SPDX-License-Identifier: BSD-2-Clause
"""The main job: stock guests do verified I/O on our disks, on both interrupt controllers."""

import re

import pytest

from tools import stories
from tools.stories import Storage, disk, fio_verified
from tools.testbed.console import CommandFailed

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
FLASK_GIC2 = dict(xen="ioreq", gic=2, xsm="flask")
JOB_TIMEOUT_S = 600


def _file_system_job(guest, part_mb):
    text = guest.run(stories.FILE_SYSTEM_JOB.format(disk="/dev/vda", part_mb=part_mb),
                     timeout=JOB_TIMEOUT_S)
    assert int(text) == stories.FILE_SYSTEM_FILES, "files are missing after the remount"


def _find(guest, serial):
    """Return the guest's disk with this serial number, the name that we gave it."""
    return guest.run(f"for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = {serial} ] && "
                     "echo /dev/${d##*/}; done; true").strip()


@pytest.mark.bed(**FLASK_GIC2)
def test_first_job_on_gicv2(bed):
    """Partition, mkfs, files, remount; fio at depths 1 and 32; nothing is held afterwards."""
    assert re.search(r"GICv2", bed.console_text()), "this machine has no GICv2"
    store = Storage(bed, "disk=data,size=32M")
    base = store.held()
    guest = bed.create_guest("g1", disks=[disk("data")])
    _file_system_job(guest, 16)
    for depth, size in ((1, "512k"), (32, "2M")):
        assert fio_verified(guest, depth, size, "/dev/vda2") > 0
    guest.destroy()
    store.wait_held(base)


@pytest.mark.bed(**FLASK)
def test_two_guests_at_once_on_gicv3(bed):
    """Two stock guests on two disks under FLASK: the first job, then verified fio side by side."""
    assert "Flask:  Starting in enforcing mode" in bed.console_text()
    store = Storage(bed, "disk=one,size=32M disk=two,size=32M")
    base = store.held()
    guests = [bed.create_guest(f"g{i}", disks=[disk(name)], wait=False)
              for i, name in enumerate(("one", "two"), 1)]
    for guest in guests:
        guest.wait_ready()
        assert guest.run("cat /sys/block/vda/size").strip() == "65536", "not a disk of 32 MiB"
    _file_system_job(guests[0], 16)
    assert fio_verified(guests[0], 1, "512k", "/dev/vda2") > 0
    _side_by_side(guests)
    for guest in guests:
        guest.destroy()
    store.wait_held(base)


def _side_by_side(guests):
    """Both guests write and verify at the same time, and neither sees the other's blocks."""
    for guest in guests:
        guest.start("echo $(cut -d' ' -f1 /proc/uptime)\n" +
                    stories.fio_text("randwrite", depth=32, size="2M", offset="24M",
                                     verify=True) + " >/dev/null && cat /tmp/job.json")
    results = [guest.finish(JOB_TIMEOUT_S) for guest in guests]
    for guest, (code, text) in zip(guests, results):
        assert code == 0, f"fio in {guest.name} ended with code {code}:\n{text}"
        job = stories.fio_result(text)
        assert job["write"]["total_ios"] == job["read"]["total_ios"] == 512, guest.name
    sums = {guest.run("dd if=/dev/vda bs=1M skip=24 count=2 iflag=direct 2>/dev/null | md5sum; "
                      f"dd if=/dev/zero bs=1M count={i} 2>/dev/null | md5sum").split()[0]
            for i, guest in enumerate(guests)}
    assert len(sums) == 2, "two guests read the same blocks from two disks"


@pytest.mark.bed(**FLASK)
def test_initrd_read_only_and_both_forms(bed):
    """Content from an initrd, disks that must not be written, and the virtio=[...] form.

    Two storage domains serve one guest: one never spins before it sleeps, the other never sleeps.
    """
    bed.dom0.run("dd if=/dev/urandom of=/images/content bs=64k count=64 2>/dev/null")
    content = bed.dom0.run("sha256sum </images/content").split()[0]
    one = Storage(bed, "spin_us=0", memory=stories.IMAGE_MB + 8, ramdisk="content", name="still")
    two = Storage(bed, "spin_us=forever disk=data,size=8M disk=fixed,size=4M,ro",
                  memory=stories.IMAGE_MB + 16, name="eager")
    bases = [one.held(), two.held()]
    guest = bed.create_guest("g1", virtio=[stories.virtio("still")],
                             disks=[disk("data", "xvda", backend="eager"),
                                    disk("fixed", "xvdb", "rw", backend="eager")])
    initrd, data, fixed = (_find(guest, name) for name in ("initrd", "data", "fixed"))
    assert initrd and data and fixed, "a disk is missing: " + guest.run("dmesg | grep -i virtio")
    assert guest.run(f"sha256sum <{initrd}").split()[0] == content, \
        "the guest reads other bytes than ramdisk= named"
    _must_not_be_written(guest, fixed)
    for device in (initrd, data):
        for depth, size in ((1, "256k"), (32, "1M")):
            assert fio_verified(guest, depth, size, device) > 0
    _few_kicks(two, guest, data)
    assert two.stats()["loop"]["sleeps"] == 0, "spin_us=forever slept"
    assert one.stats()["loop"]["sleeps"] > 100, "spin_us=0 did not sleep between requests"
    guest.destroy()
    for store, base in zip((one, two), bases):
        store.wait_held(base)
    _readers_only(bed, two, bases[1])


def _few_kicks(store, guest, device):
    """While a queue is polled its guest is asked not to kick: fewer than 1 of 20 requests does."""
    before = store.stats()
    job = stories.fio(guest, "randread", depth=32, size="4M", seconds=5, device=device)
    cost = stories.cost(before, store.stats())
    assert cost["requests"] >= job["read"]["total_ios"] > 100, "our counters miss requests"
    assert cost["kicks"] * 20 < cost["requests"], \
        f"{cost['kicks']} kicks for {cost['requests']} requests at depth 32"


def _must_not_be_written(guest, device):
    name = device.removeprefix("/dev/")
    assert guest.run(f"cat /sys/block/{name}/ro").strip() == "1", "not marked read-only"
    before = guest.run(f"sha256sum <{device}")
    with pytest.raises(CommandFailed):
        guest.run(f"dd if=/dev/urandom of={device} bs=4k count=1 conv=fsync 2>&1")
    # The kernel refuses for us; ask for a write that it lets through.
    guest.run(f"blockdev --setrw {device}; "
              f"dd if=/dev/urandom of={device} bs=4k count=1 oflag=direct 2>&1; true")
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(f"sha256sum <{device}") == before, "a read-only disk was changed"


def _readers_only(bed, store, base):
    """access=r makes a disk that could be written read-only for this guest."""
    guest = bed.create_guest("g2", disks=[disk("data", access="r", backend="eager")])
    before = guest.run("sha256sum </dev/vda")
    _must_not_be_written(guest, "/dev/vda")
    assert guest.run("sha256sum </dev/vda") == before
    guest.destroy()
    store.wait_held(base)
