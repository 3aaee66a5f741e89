# SPDX-License-Identifier: BSD-2-Clause
"""What cannot work is refused: one sentence that names the cure, no hang, and others go on."""

import re
import subprocess
import time

import pytest

from tools import stories
from tools.stories import Storage, disk
from tools.testbed import util, xen as xen_build
from tools.testbed.bed import log_folder
from tools.testbed.console import CommandFailed
from tools.testbed.machine import DomU, Machine

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
DEBIAN = dict(xen="debian", gic=3, xsm="default")
XL_CREATE_MAX_S = 45.0      # what `xl create` of a refused guest may take on a slow machine
END_TIMEOUT_S = 60
BEHIND_BYTES = 2 << 20      # where tests/guest/wrong_tree.S expects the image

# name: (bootargs, more of the configuration, the sentence)
CANNOT_START = {
    "nodisk": ("", {}, r"no disk: the domain has no initrd .*and its bootargs name no disk="),
    "nosize": ("disk=data", {}, r"disk 'data' has no content: give the domain an initrd .* or the "
               r"disk a size"),
    "toolarge": ("disk=data,size=64M", {"memory": 16},
                 r"disk 'data': size=65536 KiB does not fit into the \d+ KiB of this domain: raise "
                 r"memory="),
    "badword": ("disk=data,size=1M spinn_us=5", {},
                r"bootargs: unknown word \(known: .*\): 'spinn_us=5'"),
    "badoption": ("disk=data,size=1M,rw", {}, r"bootargs: disk= knows .*, not: 'rw'"),
    "notree": ("", {"kernel": "wrong-tree-zero"},
               r"no device tree: x0 was 0x0 at entry, not the address of one"),
    "rubbish": ("", {"kernel": "wrong-tree-rubbish"},
                r"no device tree: there is no FDT magic at 0x4\w+, which x0 named"),
    "nogic": ("disk=data,size=1M", {"kernel": "wrong-tree-no-gic"},
              r"device tree: no interrupt controller: a node compatible with arm,gic-v3"),
}


def _put_wrong_trees(bed):
    """Build the kernels that enter the image with a wrong tree, and put the image behind them."""
    folder = util.ROOT / "build" / "guest"
    subprocess.run(["make", "--no-print-directory", "-s", "guest-kernels"], cwd=util.ROOT,
                   check=True, timeout=120)
    for kind in ("zero", "rubbish", "no-gic"):
        name = f"/images/wrong-tree-{kind}"
        bed.put(name, folder / f"wrong-tree-{kind}")
        bed.dom0.run(f"dd if=/images/{stories.IMAGE} of={name} bs=4k seek={BEHIND_BYTES >> 12} "
                     "conv=notrunc 2>/dev/null")


@pytest.mark.bed(**FLASK)
def test_a_domain_that_cannot_work_says_why_and_ends(bed):
    """No tree, a nonsense tree, no GIC, no disk, too large a disk, an unknown word."""
    _put_wrong_trees(bed)
    domains = {name: bed.create(name, **{"kernel": stories.IMAGE, "memory": 8, "extra": extra,
                                         "seclabel": stories.LABEL, **more})
               for name, (extra, more, _) in CANNOT_START.items()}
    for name, (_, _, sentence) in CANNOT_START.items():
        domains[name].wait_console(r"cannot start: " + sentence, END_TIMEOUT_S)
        domains[name].wait_gone(END_TIMEOUT_S)


def _refused(bed, name, **how):
    """Create a guest that cannot be served: xl gives up by itself, and nothing of it stays."""
    with pytest.raises(CommandFailed) as caught:
        bed.create_guest(name, memory=256, extra="quiet", timeout=XL_CREATE_MAX_S + 60, **how)
    assert caught.value.code == 3, caught.value.output
    assert "unable to add" in caught.value.output, caught.value.output
    assert bed.dom0.run(f"xl domid {name} 2>/dev/null || echo none").strip() == "none"


@pytest.mark.bed(**FLASK)
def test_an_unknown_target_and_a_guest_flask_protects(bed):
    """Each is refused with its own sentence, and another guest goes on with its I/O."""
    store = Storage(bed, "disk=data,size=8M disk=other,size=8M")
    base = store.held()
    guest = bed.create_guest("good", disks=[disk("data")], memory=256, extra="quiet")
    guest.start(stories.fio_text("randwrite", depth=8, size="1M", seconds=30, verify=False) +
                " >/dev/null 2>&1 && cat /tmp/job.json")
    before = store.stats()
    _refused(bed, "lost", disks=[disk("nosuch")])
    store.domain.wait_console(r"there is no disk 'nosuch' here; target= may be: data, other")
    _refused(bed, "second", disks=[disk("data")])
    store.domain.wait_console(r"disk 'data' is in use by another guest: one writer or several "
                              r"readers")
    # A storage domain is no guest of another one: the policy says so.
    _refused(bed, "protected", disks=[disk("other")], seclabel=stories.LABEL)
    store.domain.wait_console(r"EACCES \(13\): the FLASK policy denies it; load our module and "
                              r"give this domain its label \(docs/privilege.md\)")
    after = store.stats()
    assert stories.cost(before, after)["requests"] > 0, "the good guest stood still meanwhile"
    assert after["image"]["refused"] - before["image"]["refused"] >= 3
    code, text = guest.finish(240)
    assert code == 0 and stories.fio_result(text)["write"]["total_ios"] > 0, text
    guest.destroy()
    store.wait_held(base)
    _no_such_guest(bed, store)


def _no_such_guest(bed, store):
    """A directory that names a domain which does not exist: ESRCH, and that is all."""
    path = f"/local/domain/{store.domain.id()}/backend/virtio_disk/4242/51712"
    keys = {"frontend": "/local/domain/4242/device/virtio_disk/51712", "params": "data",
            "frontend-id": "4242", "online": "1", "mode": "w", "device-type": "disk",
            "specification": "virtio", "transport": "mmio", "base": "33554432", "irq": "33",
            "grant_usage": "0", "type": "standalone", "state": "1"}
    bed.dom0.run("xenstore-write " + " ".join(f"{path}/{k} '{v}'" for k, v in keys.items()))
    store.domain.wait_console(r"ESRCH \(3\): there is no such guest", END_TIMEOUT_S)
    assert bed.xenstore_read(f"{path}/state") == "1", "a guest that does not exist was announced"
    bed.dom0.run(f"xenstore-rm {path}")


@pytest.mark.bed(**FLASK)
def test_a_storage_domain_without_its_label(bed):
    """FLASK denies what the label does not allow: the sentence names the label as the cure."""
    store = Storage(bed, "disk=data,size=1M", label="system_u:system_r:domU_t")
    _refused(bed, "g1", disks=[disk("data")])
    store.domain.wait_console(r"EACCES \(13\): the FLASK policy denies it; load our module and "
                              r"give this domain its label")


@pytest.mark.bed(**DEBIAN)
def test_a_xen_without_ioreq_server(bed):
    """Debian's own Xen: ENOSYS, and the sentence names the options that Xen must be built with."""
    store = Storage(bed, "disk=data,size=1M")
    assert re.search(r"privilege: this Xen has no ioreq server \(ENOSYS \(38\)\).*build Xen with "
                     r"CONFIG_EXPERT=y and CONFIG_IOREQ_SERVER=y", store.console())
    _refused(bed, "g1", disks=[disk("data")])
    store.domain.wait_console(r"ENOSYS \(38\): this Xen has no ioreq server; build it with")


def test_no_xenstore():
    """A domain that Xen starts itself, without a toolstack and without a xenstore page."""
    folder = log_folder("no-xenstore")
    image = DomU(util.BUILD / stories.IMAGE, memory_mb=8, bootargs="disk=data,size=1M")
    machine = Machine(folder, xen_build.image("ioreq"), kernel=None, initrds=[], domus=[image],
                      xen_args="bootscrub=0 xsm=dummy guest_loglvl=all")
    sentence = re.compile(r"cannot start: no xenstore: the toolstack gave this domain no xenstore "
                          r"page; start it with xl, or dom0less with xen,enhanced")

    def text():
        log = machine.console_log
        return log.read_text(errors="replace") if log.exists() else ""

    try:
        machine.start()
        end = time.monotonic() + 240
        while not sentence.search(text()):
            assert machine.alive() and time.monotonic() < end, \
                f"the sentence did not come:\n{text()[-3000:]}"
            time.sleep(0.5)
    finally:
        machine.kill()
