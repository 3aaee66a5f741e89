# SPDX-License-Identifier: BSD-2-Clause
"""set-target, the way for one guest: what it opens under the dummy policy, and not under SILO."""

import gzip
import subprocess

import pytest

from tools import stories
from tools.stories import Storage, disk
from tools.testbed import util
from tools.testbed.console import CommandFailed

DUMMY = dict(xen="ioreq", gic=3, xsm="dummy")
SILO = dict(xen="ioreq", gic=3, xsm="silo")
DEVID = 51712               # xvda
DIRECTORY_TRIES = 300

# As docs/privilege.md tells it: wait for the guest's directory, name the guest, have it looked at
# again. It runs beside `xl create`, which waits for the disk.
HELPER = """be=$(xl domid caisson)
n=0
until fe=$(xl domid {guest} 2>/dev/null) &&
        xenstore-exists /local/domain/$be/backend/virtio_disk/$fe/{devid}/state; do
    n=$((n + 1)); [ $n -lt {tries} ] || exit 9
    sleep 0.1
done
set-target $be $fe
echo code $?
xenstore-write /local/domain/$be/backend/virtio_disk/$fe/{devid}/state 1
"""


def _put_helper(bed):
    subprocess.run(["make", "--no-print-directory", "-s", "build/set-target"], cwd=util.ROOT,
                   check=True, timeout=120)
    program = (util.ROOT / "build" / "set-target").read_bytes()
    bed.put("/run/set-target.gz", gzip.compress(program, 9))
    bed.dom0.run("cd /usr/sbin && gunzip -c /run/set-target.gz >set-target && chmod +x set-target")


def _start_helper(bed, guest):
    bed.put("/run/helper", HELPER.format(guest=guest, devid=DEVID, tries=DIRECTORY_TRIES))
    bed.dom0.run(f"sh /run/helper </dev/null >/run/helper.{guest} 2>&1 &")


def _helper_said(bed, guest):
    return bed.dom0.run(f"cat /run/helper.{guest}")


def _refused(bed, name):
    with pytest.raises(CommandFailed) as caught:
        bed.create_guest(name, disks=[disk("data")], memory=256, extra="quiet")
    assert "unable to add" in caught.value.output, caught.value.output


@pytest.mark.bed(**DUMMY)
def test_set_target_opens_exactly_one_guest(bed):
    """No right: EPERM and the cure. Named: served. A second one: refused, the first goes on."""
    _put_helper(bed)
    store = Storage(bed, "disk=data,size=8M")
    base = store.held()
    store.domain.wait_console(r"privilege: none of our own \(EPERM \(1\), dummy or SILO policy\): "
                              r"a guest can be served once set-target names it, exactly one")
    _refused(bed, "early")
    store.domain.wait_console(r"asking for its vCPUs: EPERM \(1\): no right over this guest; run "
                              r"set-target in Dom0 for it, or boot Xen with xsm=flask")
    _start_helper(bed, "named")
    guest = bed.create_guest("named", disks=[disk("data")], memory=256, extra="quiet")
    assert "code 0" in _helper_said(bed, "named")
    assert stories.fio_verified(guest, 32, "1M") == 512
    _start_helper(bed, "late")
    _refused(bed, "late")
    said = _helper_said(bed, "late")
    assert "code 1" in said and "has a target already" in said, said
    assert stories.fio_verified(guest, 8, "512k") == 256
    assert guest.destroy() < 10.0
    store.wait_held(base)
    # Xen holds the named guest for us until we end: its bookkeeping, not a mapping of ours.
    store.domain.destroy()
    bed.dom0.run("n=0; while xl list | grep -q null; do "
                 "n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.2; done")


@pytest.mark.bed(**SILO)
def test_silo_forbids_even_a_named_guest(bed):
    """EPERM when the ioreq server is created: the sentence says which policies would do."""
    _put_helper(bed)
    store = Storage(bed, "disk=data,size=1M")
    _start_helper(bed, "named")
    _refused(bed, "named")
    assert "code 0" in _helper_said(bed, "named"), _helper_said(bed, "named")
    store.domain.wait_console(r"creating the ioreq server: EPERM \(1\): set-target was done but "
                              r"Xen runs the SILO policy; boot it with xsm=dummy or xsm=flask")
