# SPDX-License-Identifier: BSD-2-Clause
"""PV block on Debian's own hypervisors: stock guests do verified I/O on our disks, unprivileged."""

import time

import pytest

from tools import stories
from tools.stories import Storage, disk, fio_verified, pv_disk
from tools.testbed.console import CommandFailed

STOCK = dict(xen="debian", gic=3, xsm="dummy")
STOCK_OLD = dict(xen="debian-old", gic=2, xsm="dummy")
JOB_TIMEOUT_S = 600
GUEST_MB = 256
DEVID = 51728               # xvdb


def _first_job(bed, store, guest):
    """Partition, make a file system, fill it, find it after a remount; fio at depths 1 and 32."""
    text = guest.run(stories.FILE_SYSTEM_JOB.format(disk="/dev/xvda", part_mb=16),
                     timeout=JOB_TIMEOUT_S)
    assert int(text) == stories.FILE_SYSTEM_FILES, "files are missing after the remount"
    before = store.stats()
    for depth, size in ((1, "512k"), (32, "2M")):
        assert fio_verified(guest, depth, size, "/dev/xvda2") > 0
    cost = stories.cost(before, store.stats())
    assert cost["requests"] >= 2 * (128 + 512), "our counters miss requests"
    assert cost["traps"] == 0
    # Dom0 sees what the toolstack and the guest were told.
    where = f"/local/domain/{store.domain.id()}/backend/vbd/{guest.id()}/51712"
    keys = bed.xenstore_ls(where)
    assert keys[f"{where}/state"] == "4"
    assert keys[f"{where}/sectors"] == "65536"
    assert keys[f"{where}/feature-persistent"] == "1"


def _disk_size(guest, wanted):
    """Wait until the guest's disk has so many sectors."""
    guest.run(f"n=0; until [ $(cat /sys/block/xvda/size) = {wanted} ]; do n=$((n + 1)); "
              "[ $n -lt 100 ] || exit 1; sleep 0.1; done")


@pytest.mark.bed(**STOCK_OLD)
def test_first_job_on_debians_xen_4_17(bed):
    """The verified job on xen-hypervisor-4.17-arm64 as it is; nothing is held afterwards."""
    assert "Xen version 4.17" in bed.console_text(), "this is not Xen 4.17"
    store = Storage(bed, "disk=data,size=32M")
    store.domain.wait_console(r"privilege: this Xen has no ioreq server")
    base = store.held()
    guest = bed.create_guest("g1", disks=[pv_disk("data")], memory=GUEST_MB)
    _first_job(bed, store, guest)
    assert guest.destroy() < 10.0
    store.wait_held(base)


@pytest.mark.bed(**STOCK)
def test_first_job_on_debians_xen_4_20(bed):
    """The same on 4.20; a disk that comes, is used, grows and goes; a virtio disk is refused."""
    assert "Xen version 4.20" in bed.console_text(), "this is not Xen 4.20"
    store = Storage(bed, "disk=data,size=32M,max=40M,queues=2 disk=fixed,size=4M,ro "
                         "disk=hot,size=8M")
    base = store.held()
    with pytest.raises(CommandFailed):
        bed.create_guest("g0", disks=[disk("data")], memory=GUEST_MB, extra="quiet")
    store.domain.wait_console(r"ioreq server")
    guest = bed.create_guest("g1", disks=[pv_disk("data"), pv_disk("fixed", "xvdc")],
                             memory=GUEST_MB, vcpus=2)
    _first_job(bed, store, guest)
    _read_only(guest, "xvdc")
    store.say("resize data 40M")
    _disk_size(guest, 81920)
    assert fio_verified(guest, 8, "1M", "/dev/xvda", offset="36M") == 512
    stories.assert_limit_holds(bed, store, guest, "vbd", "/dev/xvda", "/dev/xvdc")
    for stays in (True, False):
        _comes_and_goes(bed, store, guest, stays)
    guest.start(stories.fio_text("randwrite", depth=32, size="8M", seconds=60,
                                 device="/dev/xvda"))
    time.sleep(3)
    assert guest.destroy() < 10.0
    store.wait_held(base)


def _read_only(guest, name):
    assert guest.run(f"cat /sys/block/{name}/ro").strip() == "1", "not marked read-only"
    before = guest.run(f"sha256sum </dev/{name}")
    guest.run(f"blockdev --setrw /dev/{name}; "
              f"dd if=/dev/urandom of=/dev/{name} bs=4k count=1 oflag=direct 2>&1; true")
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(f"sha256sum </dev/{name}") == before, "a read-only disk was changed"


def _comes_and_goes(bed, store, guest, stays):
    """xl block-attach, verified I/O with grants that stay or that Xen copies by, block-detach."""
    before = store.held()
    guest.run(f"echo {int(stays)} >/sys/module/xen_blkfront/parameters/feature_persistent")
    bed.xl_timed(f"block-attach {guest.name} '{pv_disk('hot', 'xvdb')}'")
    guest.run("n=0; until [ -b /dev/xvdb ]; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; "
              "sleep 0.1; done")
    for bs in ("4k", "128k"):
        job = stories.fio(guest, "randwrite", depth=32, size="2M", bs=bs, device="/dev/xvdb",
                          verify=True)
        assert job["read"]["total_ios"] == job["write"]["total_ios"] > 0
    grants = next(numbers for area, numbers in store.stats().items()
                  if area.startswith("grants ") and area.endswith(" hot"))
    if stays:
        assert grants["hits"] > grants["maps"] > 0 and grants["copies"] == 0, grants
    else:
        assert grants["copies"] > 1000 and grants["maps"] == 0, grants
    seconds, _, _ = bed.xl_timed(f"block-detach {guest.name} {DEVID}")
    assert seconds < 8.0, f"xl block-detach waited {seconds} s"
    held = store.wait_held({**before, "grants": store.held()["grants"]})
    assert held["grants"] <= before["grants"], "grants of a disk that is gone are held"
