# SPDX-License-Identifier: BSD-2-Clause
"""Again and again, under load: disks come and go, drivers are reloaded, guests reboot and die.

A cycle or two of each kind in `make test`; `make cycles` asks for a hundred. After each cycle what
the cycle before wrote is read back: a mark, and a checksum in every block that the load wrote.
"""

import os
import time

import pytest

from tools.stories import READY, Storage, disk, pv_disk

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
CYCLES = int(os.environ.get("CAISSON_CYCLES", "0"))     # 0: as few as show the kind
CYCLE_S = 60                # what a cycle may take on a slow machine
GUEST_MB = 160
DEVID = 51728               # xvdb
BUSY_WRITES = 100           # written since the load began: it is in the middle
HOLD_S = 1                  # a paused guest stays so
MARK_AT = 32                # where the mark lies, in its own size: behind what the load writes

# Every block that is written carries a checksum and its place; order does not matter.
FIO = ("fio --name=global --ioengine=libaio --direct=1 --bs=4k --size=256k --iodepth=16 "
       "--verify=crc32c --verify_header_seed=0 --verify_write_sequence=0 ")
FILL = FIO + "--rw=write --do_verify=0 {jobs} >/tmp/fill.out"
CHECK = FIO + "--rw=read --verify_fatal=1 {jobs} >/tmp/check.out 2>&1"
# A rate, because the emulated guest has one processor and its shell shall get some of it, too.
LOAD = FIO + "--rw=randwrite --do_verify=0 --time_based --runtime=36000 --rate_iops=200 {jobs}"

MARK = """dd if=/dev/urandom of=/tmp/mark bs=64k count=1 2>/dev/null
dd if=/tmp/mark of={device} bs=64k seek={at} oflag=direct 2>/dev/null
md5sum </tmp/mark
"""
MARKED = "dd if={device} bs=64k skip={at} count=1 iflag=direct 2>/dev/null | md5sum\n"

# Start the endless load and return when it is in the middle, on each of its devices.
BUSY = """written() {{ awk -v d="$1" '$3 == d {{ print $8 }}' /proc/diskstats; }}
for d in {names}; do eval "was_$d=$(written $d)"; done
{load} >/tmp/load.out 2>&1 &
echo $! >/tmp/load.pid
for d in {names}; do
    n=0
    until eval "[ $(written $d) -ge $((was_$d + {writes})) ]"; do
        n=$((n + 1)); [ $n -lt 600 ] || {{ cat /tmp/load.out; exit 1; }}
        sleep 0.1
    done
done
"""
ENDED = """n=0
while kill -0 "$(cat /tmp/load.pid)" 2>/dev/null; do
    n=$((n + 1)); [ $n -lt 300 ] || exit 1
    sleep 0.1
done
"""
WAIT_DEVICE = """n=0
until [ -b {device} ]; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
"""

# The driver lets go of its disk in the middle of the load; fio sees that and ends, and only then
# can the module be unloaded.
UNLOAD = """echo {device} >/sys/bus/{bus}/drivers/{driver}/unbind
n=0
until modprobe -r {module} 2>/dev/null; do
    n=$((n + 1)); [ $n -lt 100 ] || exit 1
    sleep 0.1
done
"""

# What a toolstack does for a front end that shall begin again: Linux looks for a disk's back end
# only while its own state is 1, and takes it for 1 only when the directory is new. A guest that did
# not see the old one go keeps its old device, which is closed for ever.
OLD_GOES = """set -e
be=$(xenstore-read {front}/backend)
n=0
until [ "$(xenstore-read {front}/state) $(xenstore-read $be/state)" = "6 6" ]; do
    n=$((n + 1)); [ $n -lt 100 ]
    sleep 0.1
done
xenstore-rm {front}
echo $be
"""
OLD_GONE = """n=0
while [ -e /sys/bus/xen/devices/vbd-{devid} ]; do
    n=$((n + 1)); [ $n -lt 100 ] || exit 1
    sleep 0.1
done
"""
NEW_COMES = """set -e
xenstore-write {front}/backend {be} {front}/backend-id {id} {front}/virtual-device {devid} \
    {front}/device-type disk {front}/state 1
xenstore-chmod -r {front} n{guest} r{id}
"""


def _front_anew(store, guest):
    """A new directory for the front end of the guest's PV disk; the back end's stays."""
    front = f"/local/domain/{guest.id()}/device/vbd/{DEVID}"
    be = store.bed.dom0.run(OLD_GOES.format(front=front)).strip()
    guest.run(OLD_GONE.format(devid=DEVID))
    store.bed.dom0.run(NEW_COMES.format(front=front, devid=DEVID, guest=guest.id(), be=be,
                                        id=store.domain.id()))


def _jobs(*devices):
    return " ".join(f"--name=on{i} --filename={device}" for i, device in enumerate(devices))


def _fill(guest, *devices):
    """Give every block of the loaded area its checksum."""
    guest.run(FILL.format(jobs=_jobs(*devices)))


def _begin(guest, *devices):
    """Write a mark that no other life wrote to each disk, and load them; return the digests."""
    text = guest.run("".join(MARK.format(device=device, at=MARK_AT) for device in devices) +
                     BUSY.format(load=LOAD.format(jobs=_jobs(*devices)), writes=BUSY_WRITES,
                                 names=" ".join(d.removeprefix("/dev/") for d in devices)))
    return dict(zip(devices, text.splitlines(), strict=True))


def _check(guest, device, mark):
    """What was written before is there: the mark, and each block whole and at its place."""
    text = guest.run(MARKED.format(device=device, at=MARK_AT) +
                     CHECK.format(jobs=_jobs(device)) + " || { cat /tmp/check.out; exit 1; }")
    assert text.strip() == mark, f"{guest.name}: the mark on {device} is another one"


class _Ledger:
    """The storage domain's accounts: open() before the cycles, close() when all guests are gone."""

    def __init__(self, store):
        self.store, self.domid = store, store.domain.id()
        self.held = store.held()
        self.before = store.stats()["image"]
        self.nodes = self._nodes()

    def _nodes(self):
        return set(self.store.bed.xenstore_ls(f"/local/domain/{self.domid}"))

    def close(self, attached):
        """Nothing is held, nothing lies in xenstore, nobody is a zombie, nobody was restarted."""
        self.store.wait_held(self.held)
        image = self.store.stats()["image"]
        counted = {key: image[key] - self.before[key] for key in ("attached", "detached")}
        assert counted == {"attached": attached, "detached": attached}
        assert image["refused"] == self.before["refused"], self.store.console()[-3000:]
        left = {path for path in self._nodes() - self.nodes if "/backend/" in path}
        assert not left, f"left in xenstore: {sorted(left)}"
        assert self.store.domain.id() == self.domid
        assert len(READY.findall(self.store.console())) == 1, "the image was started again"
        dying = [row for row in self.store.bed.dom0.run("xl list").splitlines()[1:]
                 if row.startswith("(null)") or "d" in row.split()[-2]]
        assert not dying, f"somebody holds their memory: {dying}"


@pytest.mark.bed(**FLASK)
@pytest.mark.limit(600 + CYCLE_S * CYCLES)
def test_a_disk_is_attached_and_detached_under_load(bed):
    """A PV disk goes in the middle of its I/O and comes back; the disk beside it never stops."""
    cycles = CYCLES or 2
    store = Storage(bed, "disk=steady,size=4M disk=hot,size=4M")
    ledger = _Ledger(store)
    guest = bed.create_guest("p", disks=[pv_disk("steady")], memory=GUEST_MB, extra="quiet")
    code, _ = guest.run(CHECK.format(jobs=_jobs("/dev/xvda")), check=False)
    assert code != 0, "blocks of zeroes pass for blocks with checksums"
    _fill(guest, "/dev/xvda")
    steady = _begin(guest, "/dev/xvda")["/dev/xvda"]
    guest.run("cp /tmp/load.pid /tmp/steady.pid; mv /tmp/load.out /tmp/steady.out")
    for cycle in range(cycles):
        guest.run(f"echo {cycle % 2} >/sys/module/xen_blkfront/parameters/feature_persistent")
        bed.xl_timed(f"block-attach {guest.name} '{pv_disk('hot', 'xvdb')}'")
        guest.run(WAIT_DEVICE.format(device="/dev/xvdb"))
        if cycle == 0:
            _fill(guest, "/dev/xvdb")
        else:
            _check(guest, "/dev/xvdb", hot)
        hot = _begin(guest, "/dev/xvdb")["/dev/xvdb"]
        bed.xl_timed(f"block-detach {guest.name} {DEVID}")
        guest.run(ENDED)
    guest.run("kill -INT $(cat /tmp/steady.pid)")           # not when it has ended by an error
    guest.run("cp /tmp/steady.pid /tmp/load.pid\n" + ENDED + "grep -q 'err= 0' /tmp/steady.out")
    _check(guest, "/dev/xvda", steady)
    guest.destroy()
    ledger.close(attached=1 + cycles)


@pytest.mark.bed(**FLASK)
@pytest.mark.limit(600 + CYCLE_S * CYCLES)
def test_drivers_are_reloaded_under_load(bed):
    """xen-blkfront and virtio_blk are unbound in the middle of I/O, unloaded and loaded again."""
    store = Storage(bed, "disk=a,size=4M disk=b,size=4M")
    ledger = _Ledger(store)
    guest = bed.create_guest("both", disks=[disk("a"), pv_disk("b", "xvdb")], memory=GUEST_MB,
                             extra="quiet")
    _fill(guest, "/dev/vda", "/dev/xvdb")
    for _ in range(CYCLES or 2):
        marks = _begin(guest, "/dev/vda", "/dev/xvdb")
        guest.run(UNLOAD.format(device=f"vbd-{DEVID}", bus="xen", driver="vbd",
                                module="xen-blkfront"))
        _front_anew(store, guest)
        guest.run("modprobe xen-blkfront\n" + WAIT_DEVICE.format(device="/dev/xvdb"))
        _check(guest, "/dev/xvdb", marks["/dev/xvdb"])
        guest.run(UNLOAD.format(device="virtio0", bus="virtio", driver="virtio_blk",
                                module="virtio_blk") + ENDED +
                  "modprobe virtio_blk\n" + WAIT_DEVICE.format(device="/dev/vda"))
        _check(guest, "/dev/vda", marks["/dev/vda"])
    guest.destroy()
    ledger.close(attached=2)


def _served(store, guest):
    name = f"events dom{guest.id()}/"
    return sum(v["requests"] for key, v in store.stats().items() if key.startswith(name))


def _pause(bed, store, paused, other):
    """A guest that Xen does not run, with requests in its ring, holds up nobody."""
    bed.xl_timed(f"pause {paused.name}")
    time.sleep(HOLD_S)          # what was in the ring is served
    before, others = _served(store, paused), _served(store, other)
    time.sleep(HOLD_S)
    assert _served(store, paused) == before, f"{paused.name} was not paused"
    assert _served(store, other) > others, f"{other.name} stands still"
    bed.xl_timed(f"unpause {paused.name}")
    end = time.monotonic() + CYCLE_S
    while _served(store, paused) == before:
        assert time.monotonic() < end, f"{paused.name} does not go on"


@pytest.mark.bed(**FLASK)
@pytest.mark.limit(600 + CYCLE_S * CYCLES)
def test_guests_reboot_and_are_destroyed_under_load(bed):
    """Two guests, one on virtio and one on PV block: in turns one reboots and one is destroyed.

    Not one guest with both: libxl loses the disks of such a guest when it reboots.
    """
    rounds = CYCLES or 1
    disks = {"v": disk("v"), "p": pv_disk("p")}
    device = {"v": "/dev/vda", "p": "/dev/xvda"}

    def make(name):
        return bed.create_guest(name, disks=[disks[name]], memory=GUEST_MB, extra="quiet",
                                wait=False)

    store = Storage(bed, "disk=v,size=4M disk=p,size=4M")
    ledger = _Ledger(store)
    guests = {name: make(name) for name in disks}
    for name, guest in guests.items():
        guest.wait_ready()
        _fill(guest, device[name])
    for cycle in range(rounds):
        marks = {}
        for name, guest in guests.items():
            marks.update(_begin(guest, device[name]))
        reboots, dies = ("v", "p") if cycle % 2 == 0 else ("p", "v")
        if cycle < 2:
            _pause(bed, store, guests[reboots], guests[dies])
        old = guests[reboots].id()
        # In turns the kernel says goodbye to its devices, or not.
        guests[reboots].start("reboot -f" if cycle % 4 < 2 else "echo b >/proc/sysrq-trigger")
        guests[dies].destroy()
        guests[dies] = make(dies)
        for name, guest in guests.items():
            guest.wait_ready()
            _check(guest, device[name], marks[device[name]])
        assert guests[reboots].id() != old, "the guest was not rebooted"
    for guest in guests.values():
        guest.destroy()
    ledger.close(attached=2 + 2 * rounds)
