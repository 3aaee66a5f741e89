# SPDX-License-Identifier: BSD-2-Clause
"""Partitions and windows of one initrd as disks of their own; a stock Linux is the judge.

It sees the whole as one disk over PV block, parses the table itself, and must find in its
partitions what another guest wrote to our disks over virtio.
"""

import gzip
import subprocess

import pytest

from tools.stories import IMAGE, IMAGE_MB, LABEL, Storage, disk, pv_disk

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
MIB = 1 << 20
GPT_MB, MBR_MB, ALONE_MB = 8, 4, 1
STORE_MB = IMAGE_MB + GPT_MB + MBR_MB + ALONE_MB + 4
GUEST_MB = 160
UUID = "0fc63daf-8483-4772-8e79-3d69d8477de4"
GPT = f"""label: gpt
start=1MiB, size=1MiB, name=first
start=2MiB, size=2MiB, name=data
start=4MiB, size=1MiB, uuid={UUID}
"""
MBR = """label: dos
start=1MiB, size=1MiB, type=83
start=2MiB, size=2MiB, type=5
start=3MiB, size=512KiB, type=83
"""
# disk: (how it is named, the KiB where it lies in the initrd, its KiB, how Linux calls it)
SLICES = {
    "first": ("part=1", 1024, 1024, "/dev/xvda1"),
    "label": ("partlabel=data", 2048, 2048, "/dev/xvda2"),
    "uuid": (f"partuuid={UUID}", 4096, 1024, "/dev/xvda3"),
    "window": ("initrd,offset=6M,size=1M", 6144, 1024, None),
    "mbr": (f"initrd,offset={GPT_MB}M,size={MBR_MB}M,part=1", 9216, 1024, "/dev/xvdb1"),
    "logical": (f"initrd,offset={GPT_MB}M,size={MBR_MB}M,part=5", 11264, 512, "/dev/xvdb5"),
}
WHOLE = {"gpt": f"initrd,size={GPT_MB}M", "dos": f"initrd,offset={GPT_MB}M,size={MBR_MB}M"}
# What no other disk overlaps need not be shared.
ALONE = f"disk=alone,initrd,offset={GPT_MB + MBR_MB}M"
SECOND = """name = "second"
kernel = "/images/vmlinuz"
memory = 64
disk = [ "{disk}" ]
"""


def _initrd(folder):
    """Return the bytes of an initrd with both tables, made by sfdisk."""
    parts = []
    for name, text, megabytes in (("gpt", GPT, GPT_MB), ("mbr", MBR, MBR_MB)):
        path = folder / name
        with open(path, "wb") as out:
            out.truncate(megabytes * MIB)
        subprocess.run(["/sbin/sfdisk", "-q", "--no-tell-kernel", path], input=text.encode(),
                       check=True, timeout=30)
        parts.append(path.read_bytes())
    return b"".join(parts) + bytes(ALONE_MB * MIB)


def _bootargs(option):
    words = [f"disk={name},{how}{option}" for name, how in WHOLE.items()]
    return " ".join(words + [f"disk={name},{how}{option}" for name, (how, *_) in SLICES.items()])


def _find(guest, serial):
    """Return the guest's disk with this serial number, the name that we gave it."""
    return guest.run(f"for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = {serial} ] && "
                     "echo /dev/${d##*/}; done; true").strip()


def _digest(guest, device, skip_kib=0, kib=0):
    count = f"count={kib // 64}" if kib else ""
    return guest.run(f"dd if={device} bs=64k skip={skip_kib // 64} {count} iflag=direct "
                     "2>/dev/null | md5sum")


def _fill(guest, device, kib):
    """Fill the disk to its very end with what no other disk has; return the digest."""
    size = int(guest.run(f"blockdev --getsize64 {device}"))
    assert size == kib << 10, f"{device} has {size} bytes, not {kib} KiB"
    guest.run(f"dd if=/dev/urandom of=/tmp/random bs=64k count={kib // 64} 2>/dev/null; "
              f"dd if=/tmp/random of={device} bs=64k oflag=direct 2>/dev/null")
    return guest.run("md5sum </tmp/random")


@pytest.mark.bed(**FLASK)
def test_what_is_written_to_a_partition_lies_there_on_the_whole_disk(bed, tmp_path):
    """By number, label and PARTUUID, GPT and MBR, and a window; also when the table is gone."""
    bed.put("/images/tables.gz", gzip.compress(_initrd(tmp_path), 9))
    bed.dom0.run("cd /images && gunzip -c tables.gz >tables")
    _overlap_is_refused(bed)
    store = Storage(bed, f"{_bootargs(',shared')} {ALONE}", ramdisk="tables", memory=STORE_MB)
    names = [*SLICES, "alone"]
    writer = bed.create_guest("writer", memory=GUEST_MB, extra="quiet", wait=False, disks=[
        disk(name, f"xvd{letter}") for name, letter in zip(names, "abcdefg")])
    judge = bed.create_guest("judge", disks=[pv_disk("gpt"), pv_disk("dos", "xvdb")],
                             memory=GUEST_MB, extra="quiet", wait=False)
    _second_writer(bed)
    writer.wait_ready()
    judge.wait_ready()
    digests = {name: _fill(writer, _find(writer, name), row[2]) for name, row in SLICES.items()}
    assert len(set(digests.values())) == len(SLICES)
    for name, (_, at, kib, linux) in SLICES.items():
        whole, at = ("/dev/xvda", at) if at < GPT_MB << 10 else ("/dev/xvdb", at - (GPT_MB << 10))
        assert _digest(judge, whole, at, kib) == digests[name], f"{name} is not at {at} KiB"
        assert linux is None or _digest(judge, linux) == digests[name], f"{name} is not {linux}"
    # Whoever may write the whole may destroy the table: nobody's disk moves.
    judge.run("dd if=/dev/zero of=/dev/xvda bs=64k count=1 oflag=direct 2>/dev/null")
    again = _fill(writer, _find(writer, "label"), SLICES["label"][2])
    assert again != digests["label"]
    assert _digest(judge, "/dev/xvda", SLICES["label"][1], SLICES["label"][2]) == again
    _second_writer_refused(bed, store)


def _overlap_is_refused(bed):
    """The storage domain does not start when two disks over the same bytes may be written."""
    for extra, culprit in ((_bootargs(""), "first"),
                           ("disk=a,initrd,shared disk=b,part=1", "b"),
                           ("disk=a,initrd,size=2M disk=b,initrd,offset=1M,size=2M", "b")):
        domain = bed.create("overlap", kernel=IMAGE, ramdisk="tables", extra=extra,
                            memory=STORE_MB, seclabel=LABEL)
        domain.wait_console(rf"cannot start: disk '{culprit}' overlaps another disk's piece of the "
                            r"initrd: mark both ro or shared")
        domain.wait_gone()


def _second_writer(bed):
    """Begin to create a guest that wants what the first one has; xl waits ten seconds for it."""
    bed.put("/run/second.cfg", SECOND.format(disk=pv_disk("alone")))
    bed.dom0.run("{ xl create /run/second.cfg; echo code $?; } >/run/second.out 2>&1 &")


def _second_writer_refused(bed, store):
    store.domain.wait_console(r"disk 'alone' is in use by another guest: one writer or several "
                              r"readers")
    said = bed.dom0.run("n=0; until grep code /run/second.out; do n=$((n + 1)); "
                        "[ $n -lt 300 ] || break; sleep 0.1; done; cat /run/second.out")
    assert "unable to add" in said and "code 3" in said, said
