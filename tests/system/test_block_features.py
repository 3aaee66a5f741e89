# SPDX-License-Identifier: BSD-2-Clause
"""What a stock guest does with a disk beside reading and writing: it discards, clears, erases and
trims it, chooses its cache mode, spreads over its queues, and follows its size."""

import time

import pytest

from tools import stories
from tools.stories import Storage, disk
from tools.testbed.console import CommandFailed

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
QUEUES = 4
MIB = 1 << 20
DISK_MB, MAX_MB, SMALL_MB = 8, 16, 4
TOLD_TIMEOUT_S = 30
MARK = r"\252"              # the byte that the files are full of
FILE_MB = 2
BLKDISCARD = "/usr/sbin/blkdiscard"     # the shell's own one knows no -z

# The bytes of [skip, skip + count) MiB that are not the byte given, read from the disk itself.
OTHERS = ("dd if={device} bs=1M skip={skip} count={count} iflag=direct 2>/dev/null | "
          "tr -d '{byte}' | wc -c")
ONES = (r"tr '\000' '\377' </dev/zero | dd of={device} bs=64k count={count} iflag=fullblock "
        "oflag=direct 2>/dev/null")
# A file system whose files are deleted again: their blocks are nobody's, and still on the disk.
FILLED = f"""mkfs.ext4 -q {{device}} && mount {{device}} /mnt
dd if=/dev/zero bs=1M count={FILE_MB} 2>/dev/null | tr '\\000' '{MARK}' >/mnt/marks
sync; rm /mnt/marks; sync"""
MARKS = "dd if={device} bs=1M iflag=direct 2>/dev/null | tr -cd '" + MARK + "' | wc -c"


def _find(guest, serial):
    """Return the guest's disk with this serial number, the name that we gave it."""
    return guest.run(f"for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = {serial} ] && "
                     "echo /dev/${d##*/}; done; true").strip()


def _counters(store, area, name):
    """Return what the image counted for the disk of that name."""
    return next(v for key, v in store.stats().items()
                if key.startswith(area + " ") and key.endswith(" " + name))


def _others(guest, device, skip, count, byte):
    return int(guest.run(OTHERS.format(device=device, skip=skip, count=count, byte=byte)))


@pytest.mark.bed(**FLASK)
def test_discard_cache_mode_queues_and_size(bed):
    """One guest with four vCPUs goes through all of it; the image's counters say that it came."""
    store = Storage(bed, f"disk=data,size={DISK_MB}M,max={MAX_MB}M,queues={QUEUES} "
                         f"disk=fixed,size=1M,ro disk=packed,size={FILE_MB}M,packed,in-order")
    base = store.held()
    guest = bed.create_guest("g1", disks=[disk("data"), disk("fixed", "xvdb"),
                                         disk("packed", "xvdc")], vcpus=QUEUES)
    data, fixed = _find(guest, "data"), _find(guest, "fixed")
    assert data and fixed, "a disk is missing: " + guest.run("dmesg | grep -i virtio")
    _packed(guest, _find(guest, "packed"))
    _queues(guest, data)
    _ranges(guest, store, data)
    _trim(guest, store, data)
    _cache_mode(guest, store, data)
    _size(guest, store, data)
    _read_only(guest, fixed)
    stories.assert_limit_holds(bed, store, guest, "virtio_disk", data, fixed)
    assert _counters(store, "errors", "data")["errors_medium"] == 0
    guest.destroy()
    store.wait_held(base)


def _packed(guest, device):
    """The driver takes the packed ring that is offered, and what it writes is what it reads."""
    name = device.removeprefix("/dev/")
    features = guest.run(f"cat /sys/block/{name}/device/features").strip()
    assert features[34] == "1", f"{name} has the features {features}, not bit 34: a packed ring"
    sums = guest.run(f"dd if=/dev/urandom of=/tmp/random bs=64k count={FILE_MB * 16} 2>/dev/null; "
                     f"dd if=/tmp/random of={device} bs=64k oflag=direct 2>/dev/null; "
                     f"md5sum </tmp/random; "
                     f"dd if={device} bs=16k iflag=direct 2>/dev/null | md5sum")
    assert len(sums.split()) == 4 and len(set(sums.split())) == 2, sums


def _queues(guest, device):
    name = device.removeprefix("/dev/")
    queues = guest.run(f"ls /sys/block/{name}/mq").split()
    assert len(queues) == QUEUES, f"the guest uses the queues {queues}"
    # Each vCPU has a queue of its own, and each is served.
    sums = guest.run(f"for cpu in 0 1 2 3; do taskset $(printf %x $((1 << cpu))) "
                     f"dd if={device} bs=64k count=4 iflag=direct 2>/dev/null | md5sum; done")
    assert len(set(sums.split("\n")[:QUEUES])) == 1, sums


def _ranges(guest, store, device):
    """blkdiscard in its three kinds: the named MiB are zeroes, their neighbours are not."""
    guest.run(ONES.format(device=device, count=DISK_MB * 16))
    assert _others(guest, device, 0, DISK_MB, r"\377") == 0, "the disk was not filled"
    before = _counters(store, "ranges", "data")
    for at, option in ((1, ""), (3, "-z"), (5, "-s")):
        guest.run(f"{BLKDISCARD} {option} -o {at}M -l 1M {device}")
        assert _others(guest, device, at, 1, r"\000") == 0, f"{BLKDISCARD} {option} left something"
    after = _counters(store, "ranges", "data")
    for kind in ("discards", "write_zeroes", "secure_erases"):
        assert after[kind] > before[kind], f"no request of the kind {kind} came"
    assert after["unsupported"] == before["unsupported"]
    for at in (0, 2, 4, 6):
        assert _others(guest, device, at, 1, r"\377") == 0, f"MiB {at} was touched"


def _trim(guest, store, device):
    """mkfs discards the disk, fstrim what was deleted: nothing of it is left on the ramdisk."""
    before = _counters(store, "ranges", "data")["discards"]
    guest.run(FILLED.format(device=device))
    made = _counters(store, "ranges", "data")["discards"]
    assert made > before, "mkfs.ext4 discarded nothing"
    left = int(guest.run(MARKS.format(device=device)))
    assert left >= FILE_MB * MIB, f"{left} bytes of the deleted file lie on the disk, not all"
    said = guest.run("/usr/sbin/fstrim -v /mnt")
    assert "trimmed" in said, said
    assert _counters(store, "ranges", "data")["discards"] > made, "fstrim discarded nothing"
    left = int(guest.run(MARKS.format(device=device)))
    assert left < 64 << 10, f"{left} bytes of the deleted file lie on the disk after fstrim"


def _flushes_of_a_write(guest, store):
    before = _counters(store, "device", "data")["flushes"]
    guest.run("dd if=/dev/zero of=/mnt/file bs=4k count=4 conv=fsync 2>/dev/null")
    return _counters(store, "device", "data")["flushes"] - before


def _cache_mode(guest, store, device):
    """A ramdisk has no cache: write-through. The driver may ask for the other mode, and flushes."""
    folder = f"/sys/block/{device.removeprefix('/dev/')}"
    both = f"cat {folder}/cache_type {folder}/queue/write_cache"
    assert guest.run(both).split("\n")[:2] == ["write through"] * 2
    assert _flushes_of_a_write(guest, store) == 0, "flushes without a cache"
    guest.run(f"echo 'write back' >{folder}/cache_type")
    assert guest.run(both).split("\n")[:2] == ["write back"] * 2
    assert _flushes_of_a_write(guest, store) > 0, "no flush in write-back mode"
    guest.run(f"echo 'write through' >{folder}/cache_type")
    assert guest.run(both).split("\n")[:2] == ["write through"] * 2


def _resize(guest, store, device, megabytes):
    """Type the command; wait until the guest, which polls nothing, has heard of it."""
    size = f"cat /sys/block/{device.removeprefix('/dev/')}/size"
    end = time.monotonic() + TOLD_TIMEOUT_S
    store.say(f"resize data {megabytes}M")
    store.domain.wait_console(rf"disk 'data': {megabytes << 10} KiB from now on, 1 devices told")
    while int(guest.run(size)) != megabytes * MIB // 512:
        assert time.monotonic() < end, f"the guest was not told: {guest.run(size)} sectors"
        time.sleep(0.2)


def _size(guest, store, device):
    """A mounted file system grows with its disk; what is cut off comes back as zeroes."""
    _resize(guest, store, device, MAX_MB)
    blocks, block_bytes = guest.run(f"resize2fs {device} >/dev/null 2>&1; "
                                    "stat -f -c '%b %S' /mnt").split()
    assert int(blocks) * int(block_bytes) > DISK_MB * MIB, "the file system did not grow"
    store.say(f"resize data {MAX_MB + 1}M")
    store.domain.wait_console(rf"KiB are more than the {MAX_MB << 10} KiB reserved for it")
    guest.run("umount /mnt && " + ONES.format(device=device, count=MAX_MB * 16))
    _resize(guest, store, device, SMALL_MB)
    there = guest.run(f"dd if={device} bs=1M skip={SMALL_MB - 1} count=4 iflag=direct 2>/dev/null "
                      "| wc -c")
    assert int(there) == MIB, "there is something behind the end"
    _resize(guest, store, device, DISK_MB)
    assert _others(guest, device, 0, SMALL_MB, r"\377") == 0, "what was not cut off changed"
    assert _others(guest, device, SMALL_MB, DISK_MB - SMALL_MB, r"\000") == 0, \
        "what was cut off came back"


def _read_only(guest, device):
    """No write, discard, clear or erase gets through, also not after the kernel was overruled."""
    before = guest.run(f"sha256sum <{device}")
    for command in (f"dd if=/dev/urandom of={device} bs=4k count=1 oflag=direct",
                    f"{BLKDISCARD} {device}", f"{BLKDISCARD} -z {device}",
                    f"{BLKDISCARD} -s {device}"):
        with pytest.raises(CommandFailed):
            guest.run(f"{command} 2>&1")
    guest.run(f"blockdev --setrw {device}; "
              f"dd if=/dev/urandom of={device} bs=4k count=1 oflag=direct 2>&1; "
              f"{BLKDISCARD} -z {device} 2>&1; true")
    guest.run("echo 3 >/proc/sys/vm/drop_caches")
    assert guest.run(f"sha256sum <{device}") == before, "a read-only disk was changed"
