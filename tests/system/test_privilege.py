# SPDX-License-Identifier: BSD-2-Clause
"""set-target, the way for one guest: what it opens under the dummy policy, and not under SILO."""

import pytest

from tools import stories
from tools.stories import Storage, disk
from tools.testbed.console import CommandFailed

DUMMY = dict(xen="ioreq", gic=3, xsm="dummy")
SILO = dict(xen="ioreq", gic=3, xsm="silo")


def _refused(bed, name):
    with pytest.raises(CommandFailed) as caught:
        bed.create_guest(name, disks=[disk("data")], memory=256, extra="quiet")
    assert "unable to add" in caught.value.output, caught.value.output


@pytest.mark.bed(**DUMMY)
def test_set_target_opens_exactly_one_guest(bed):
    """No right: EPERM and the cure. Named: served. A second one: refused, the first goes on."""
    stories.set_target_put(bed)
    store = Storage(bed, "disk=data,size=8M")
    base = store.held()
    store.domain.wait_console(r"privilege: none of our own \(EPERM \(1\), dummy or SILO policy\): "
                              r"a guest can be served once set-target names it, exactly one")
    _refused(bed, "early")
    store.domain.wait_console(r"asking for its vCPUs: EPERM \(1\): no right over this guest; run "
                              r"set-target in Dom0 for it, or boot Xen with xsm=flask")
    stories.set_target_start(bed, "named")
    guest = bed.create_guest("named", disks=[disk("data")], memory=256, extra="quiet")
    assert "code 0" in stories.set_target_said(bed, "named")
    assert stories.fio_verified(guest, 32, "1M") == 512
    stories.set_target_start(bed, "late")
    _refused(bed, "late")
    said = stories.set_target_said(bed, "late")
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
    stories.set_target_put(bed)
    store = Storage(bed, "disk=data,size=1M")
    stories.set_target_start(bed, "named")
    _refused(bed, "named")
    assert "code 0" in stories.set_target_said(bed, "named"), stories.set_target_said(bed, "named")
    store.domain.wait_console(r"creating the ioreq server: EPERM \(1\): set-target was done but "
                              r"Xen runs the SILO policy; boot it with xsm=dummy or xsm=flask")
