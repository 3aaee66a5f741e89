# SPDX-License-Identifier: BSD-2-Clause
"""The test bed itself, with Linux's own block back end: no image of ours is needed.

What fails here fails in the bed, in Xen, in QEMU or in a Debian package, never in Caisson.
"""

import concurrent.futures
import re

import pytest

from tools.testbed import scripted
from tools.testbed.console import CommandFailed, TimedOut
from tools.testbed.util import TestbedError

BLKBACK_DISK = ["phy:/dev/ram0,xvda,w"]

WRITE_AND_READ_BACK = """set -e
mkfs.ext4 -q /dev/xvda
mount /dev/xvda /mnt
mkdir /mnt/tree
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/urandom of=/mnt/tree/$i bs=64k count=4 2>/dev/null
done
(cd /mnt/tree && md5sum *) >/tmp/before
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/xvda /mnt
(cd /mnt/tree && md5sum *) >/tmp/after
umount /mnt
cmp /tmp/before /tmp/after
wc -l </tmp/after
"""


def _filesystem_survives_remount(bed):
    bed.dom0.run("modprobe brd rd_nr=2 rd_size=32768")
    guest = bed.create_guest("g1", disks=BLKBACK_DISK)
    assert guest.run(WRITE_AND_READ_BACK, timeout=120).split() == ["8"]
    # What the guest wrote is on Dom0's disk, not only in the guest's cache.
    assert "ef53" in bed.dom0.run("dd if=/dev/ram0 bs=1 skip=1080 count=2 2>/dev/null | "
                                  "hexdump -v -e '1/2 \"%04x\"'")


@pytest.mark.bed(gic=3)
def test_stock_guest_keeps_a_file_system_on_blkback_gicv3(bed):
    """mkfs, write, unmount, mount, equal checksums: GICv3."""
    _filesystem_survives_remount(bed)
    assert "GICv3" in bed.console_text()


@pytest.mark.bed(gic=2)
def test_stock_guest_keeps_a_file_system_on_blkback_gicv2(bed):
    """The same on GICv2."""
    _filesystem_survives_remount(bed)
    assert re.search(r"GICv2 initialization|GICv2: ", bed.console_text())


@pytest.mark.bed(gic=3)
def test_two_guests_are_driven_at_the_same_time(bed):
    """Two jobs overlap in time, and a guest can be rebooted under the same name."""
    one = bed.create_guest("g1")
    two = bed.create_guest("g2")
    one.start("echo begin-one; sleep 2; echo one")
    two.start("echo two")
    code, text = two.finish(60)
    assert (code, text) == (0, "two\n")
    code, text = one.finish(60)
    assert (code, text) == (0, "begin-one\none\n")
    first = two.id()
    two.reboot()
    assert two.id() != first
    assert two.run("echo again") == "again\n"


@pytest.mark.bed(gic=3)
def test_a_failing_command_raises_with_its_output(bed):
    """A wrong result cannot pass unnoticed: code and text of a failed command come back."""
    with pytest.raises(CommandFailed) as caught:
        bed.dom0.run("echo the reason; exit 7")
    assert caught.value.code == 7
    assert "the reason" in caught.value.output
    with pytest.raises(CommandFailed):
        bed.create("broken", kernel="no-such-image")
    with pytest.raises(TimedOut):
        bed.dom0.run("sleep 5", timeout=1)
    assert bed.dom0.finish(60)[0] == 0
    # A guest that dies early is told apart from a slow one.
    with pytest.raises(TestbedError, match="g1 is gone"):
        bed.create_guest("g1", extra="rdinit=/nothing panic=1", options={
            "on_crash": '"destroy"', "on_reboot": '"destroy"'})


@pytest.mark.bed(gic=3)
def test_linux_driver_domain_serves_a_guest(bed):
    """xen-blkback in a DomU, the peer of our image, and a quick end for its guest."""
    bed.create_driver_domain("driver", ramdisk_mb=32)
    guest = bed.create_guest(
        "g1", disks=["format=raw,vdev=xvda,access=rw,backend=driver,target=ram0"])
    assert guest.run(WRITE_AND_READ_BACK, timeout=120).split() == ["8"]
    assert bed.xenstore_read("/local/domain/0/backend/vbd") is None
    # xl waits ten seconds for a back end that does not take its directory away.
    assert guest.destroy() < 10.0


@pytest.mark.bed(xsm="flask")
def test_flask_policy_is_enforced_and_knows_our_label(bed):
    """The boot module is Xen's policy; a domain can have the storage domain's label."""
    assert "Flask:  Starting in enforcing mode" in bed.console_text()
    assert bed.dom0.run("flask-getenforce; true").strip() == "Enforcing"
    label = "system_u:system_r:caisson_t"
    guest = bed.create_guest("g1", seclabel=label)
    row = [r for r in bed.dom0.run("xl list -Z").splitlines() if r.startswith("g1")]
    assert row and row[0].split()[-1] == label
    assert guest.run("echo runs") == "runs\n"
    # A label that the policy does not know is refused, so the one above was really looked up.
    with pytest.raises(CommandFailed):
        bed.create_guest("g2", seclabel="system_u:system_r:nosuch_t")


def test_counted_runs_are_byte_identical():
    """Two deterministic runs of Xen, Dom0 and a guest doing I/O print the same bytes."""
    script = """. /testbed/lib.sh
modprobe brd rd_nr=1 rd_size=16384
guest_make g 256 io "disk = [ 'phy:/dev/ram0,xvda,w' ]" && guest_wait g 60
"""
    job = """wait_dev /dev/xvda
mkfs.ext4 -q /dev/xvda && cat /proc/uptime && md5sum /dev/xvda
"""

    def once(name):
        # SILO is Xen's own default: with it Xen prints no warning and waits for nobody to read it.
        return scripted.run(name, script, jobs={"io": job}, xsm="silo", timeout=280)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(once, ("counted-1", "counted-2"))
    assert first.code == 0, first.text
    assert re.search(r"^[0-9a-f]{32}  /dev/xvda$", first.text, re.M)
    assert first.text == second.text
    assert first.console == second.console
