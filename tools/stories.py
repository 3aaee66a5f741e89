# SPDX-License-Identifier: BSD-2-Clause
"""stories.py - what `make run` and the system tests do with a storage domain and its guests.

    with Bed(xen="ioreq", xsm="flask", payload={"caisson.img": ...}) as bed:
        store = Storage(bed, "disk=data,size=64M")
        guest = bed.create_guest("g1", disks=[disk("data")])
        print(guest.run(FILE_SYSTEM_JOB.format(disk="/dev/vda"), timeout=120))
        print(fio(guest, "randwrite", depth=32, size="8M", verify=True)["write"]["total_ios"])
        print(store.stats()["total"]["requests"])

The jobs are sh text for a stock guest; each ends with a code other than 0 when something differs.
"""

import gzip
import json
import re
import subprocess
import time

from tools.testbed.util import ROOT, TestbedError

IMAGE = "caisson.img"
LABEL = "system_u:system_r:caisson_t"
FRONT = "front"             # the front-end guest, tests/guest/front
FRONT_MB = 8
IMAGE_MB = 4                # what the image itself takes; its disks come on top
READY = re.compile(r"^\[ *(\d+\.\d+)\] ready after (\d+) ticks of (\d+) Hz$", re.M)
READY_TIMEOUT_S = 60
ANSWER_TIMEOUT_S = 60
FIO_TIMEOUT_S = 300

# Partition, make a file system, fill it, and find it the same after a remount.
FILE_SYSTEM_JOB = """set -e
disk={disk}
printf 'label: dos\\n,{part_mb}M,83\\n,,83\\n' | sfdisk -q "$disk" >/tmp/sfdisk 2>&1 || {{
    cat /tmp/sfdisk; exit 1; }}
n=0; until [ -b "$disk"2 ]; do n=$((n + 1)); [ $n -lt 100 ]; sleep 0.1; done
mkfs.ext4 -q "$disk"1
mount "$disk"1 /mnt
for d in a b c d; do
    mkdir -p "/mnt/tree/$d/deep/er"
    for f in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of="/mnt/tree/$d/deep/er/$f" bs=$((f * 3111)) count=$f 2>/dev/null
    done
    ln -s deep/er "/mnt/tree/$d/link"
done
(cd /mnt/tree && find . -type f -exec sha256sum '{{}}' + | sort -k 2) >/tmp/before
sync
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount -o ro "$disk"1 /mnt
(cd /mnt/tree && find . -type f -exec sha256sum '{{}}' + | sort -k 2) >/tmp/after
[ "$(readlink /mnt/tree/c/link)" = deep/er ]
umount /mnt
cmp /tmp/before /tmp/after
e2fsck -f -n "$disk"1 >/tmp/fsck 2>&1 || {{ cat /tmp/fsck; exit 1; }}
wc -l </tmp/after
"""
FILE_SYSTEM_FILES = 32      # what the job prints when all is well


def disk(target, vdev="xvda", access="rw", backend="caisson", grants=False):
    """Return the text of a disk of ours for xl's disk=[...]."""
    return (f"format=raw,vdev={vdev},access={access},specification=virtio,"
            f"grant_usage={int(grants)},backend={backend},target={target}")


def pv_disk(target, vdev="xvda", access="rw", backend="caisson"):
    """Return the text of a disk of ours over Xen's PV block protocol for xl's disk=[...]."""
    return f"format=raw,vdev={vdev},access={access},backend={backend},target={target}"


def virtio(backend="caisson", device=2):
    """Return the text of a virtio device for xl's virtio=[...]; 2 is our only disk."""
    return f"type=virtio,device{device:x},transport=mmio,grant_usage=0,backend={backend}"


class Storage:
    """A domain that runs the image; it is ready when the constructor returns."""

    def __init__(self, bed, extra="", memory=None, ramdisk=None, name="caisson", label=None,
                 ready=True, **more):
        """Create the domain; extra is its bootargs. Without ready nothing is waited for."""
        if label is None and bed.xsm == "flask":
            label = LABEL
        self.bed, self.name = bed, name
        self.domain = bed.create(name, kernel=IMAGE, memory=memory or IMAGE_MB + sizes_mb(extra),
                                 extra=extra, ramdisk=ramdisk, seclabel=label or None, **more)
        self.tty = None
        if ready:
            self.domain.wait_console(READY.pattern, READY_TIMEOUT_S)

    def console(self):
        """Return what the image said so far."""
        return self.domain.console()

    def say(self, words):
        """Type a line on the image's console."""
        if self.tty is None:
            self.tty = self.bed.xenstore_read(f"/local/domain/{self.domain.id()}/console/tty")
        if not self.tty:
            raise TestbedError(f"xenconsoled made no terminal for {self.name}")
        self.bed.dom0.run(f"echo '{words}' >{self.tty}")

    def stats(self, words="stats"):
        """Ask for all counters: {area: {key: number}}, devices as "device NAME", "events NAME"."""
        before = len(self.console())
        # A second `held` shows where the answer ends.
        self.say(words)
        self.say("held")
        wanted = 1 + (words == "stats")
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            text = self.console()[before:]
            lines = re.findall(r"^\[ *[\d.]+\] stats (.*)\n", text, re.M)
            if sum(line.startswith("held ") for line in lines) >= wanted:
                return _areas(lines)
            if time.monotonic() > end:
                raise TestbedError(f"{self.name} did not answer '{words}' within "
                                   f"{ANSWER_TIMEOUT_S} s. Its console:\n{self.console()[-3000:]}")
            time.sleep(0.1)

    def held(self):
        """Return what is held on behalf of guests: {key: number}."""
        return self.stats("held")["held"]

    def wait_held(self, wanted, timeout=60.0):
        """Wait until `held` is as wanted; return it. TestbedError says what is left."""
        end = time.monotonic() + timeout
        while True:
            held = self.held()
            if held == wanted:
                return held
            if time.monotonic() > end:
                raise TestbedError(f"{self.name} still holds {held} after {timeout} s, "
                                   f"wanted {wanted}. Its console:\n{self.console()[-3000:]}")
            time.sleep(0.5)


class Front:
    """A guest that only drives its disks: a verified job, again and again when told `go`."""

    def __init__(self, bed, name, disks, words, memory=FRONT_MB):
        """Create it; words is its command line (tests/guest/front/options.h)."""
        self.bed, self.name, self.runs = bed, name, 0
        self.domain = bed.create(name, kernel=FRONT, memory=memory, disks=disks,
                                 extra=f"{words} wait")

    def wait_ready(self, timeout=READY_TIMEOUT_S):
        """Wait until its disks are connected; return how many."""
        return int(self.domain.wait_console(r"front ready disks=(\d+)", timeout)[1])

    def wait_done(self, timeout=FIO_TIMEOUT_S):
        """Wait for the end of the run; return what it says: requests, errors, and each disk's."""
        self.domain.wait_console(r"(?:front done(?:.|\n)*){%u}" % self.runs, timeout)
        run = self.domain.console().split("front done")[self.runs - 1:self.runs + 1]
        return {"requests": _front_number(run[1], "requests"),
                "errors": _front_number(run[1], "errors"),
                "disks": [{key: _front_number(line, key)
                           for key in ("grants", "requests", "all", "checked")}
                          for line in run[0].splitlines() if "front result" in line]}

    def off(self, timeout=READY_TIMEOUT_S):
        """Have it close its disks and switch itself off; return the pages not given back."""
        fronts_go([self], "off")
        return int(self.domain.wait_console(r"front off in_use=(\d+)", timeout)[1])


def fronts_go(fronts, word=None, options=""):
    """Start all of them at once (one transaction); options from now on, or a word of its own."""
    pairs = []
    for front in fronts:
        front.runs += word is None
        pairs.append(f"/local/domain/{front.domain.id()}/go "
                     f"'{word or f'{front.runs} {options}'.strip()}'")
    fronts[0].bed.dom0.run(f"xenstore-write {' '.join(pairs)}")


def _front_number(text, key):
    return int(re.search(rf"\b{key}=(\d+)", text)[1])


def _areas(lines):
    areas = {}
    for line in lines:
        area, _, rest = line.partition(" ")
        if ": " in rest:
            name, _, rest = rest.partition(": ")
            area = f"{area} {name}"
        areas[area] = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", rest)}
    return areas


def sizes_mb(extra):
    """Return the MiB that the disks of zeroes in these bootargs take, or may grow to."""
    factor = {"K": 1 / 1024, "M": 1, "G": 1024}
    taken = (max((int(n) * factor[u] for n, u in re.findall(r"(?:size|max)=(\d+)([KMG])", word)),
                 default=0) for word in extra.split())
    return int(sum(taken) + 0.999)


def cost(before, after):
    """Return what happened between two stats(): requests, kicks, irqs, hypercalls, traps."""
    def moved(area, key):
        return after[area][key] - before[area][key]

    return {"requests": moved("total", "requests"), "kicks": moved("total", "kicks"),
            "irqs": moved("total", "irqs"), "traps": moved("ioreq", "traps"),
            "hypercalls": sum(moved("xen", key) for key in after["xen"])}


def fio_text(rw, depth=1, size="8M", bs="4k", device="/dev/vda", verify=False, seconds=0,
             offset="0", name="job"):
    """Return the fio command; its result lies in /tmp/NAME.json."""
    words = [f"fio --name={name} --filename={device} --rw={rw} --bs={bs} --iodepth={depth}",
             f"--size={size} --offset={offset} --ioengine=libaio --direct=1 --randrepeat=1",
             f"--output-format=json --output=/tmp/{name}.json"]
    if verify:
        words.append("--verify=crc32c --do_verify=1 --verify_fatal=1")
    if seconds:
        words.append(f"--runtime={seconds} --time_based")
    return " ".join(words)


def fio_result(text):
    """Return fio's own account of one job from its JSON."""
    job = json.loads(text[text.index("{"):])["jobs"][0]
    if job["error"] != 0:
        raise TestbedError(f"fio ended with error {job['error']}: {text[-2000:]}")
    return job


def fio(guest, rw, timeout=FIO_TIMEOUT_S, name="job", **options):
    """Run fio in a guest; return its account of the job."""
    text = guest.run(f"{fio_text(rw, name=name, **options)} >/tmp/{name}.out 2>&1 || "
                     f"{{ c=$?; cat /tmp/{name}.out; exit $c; }}; cat /tmp/{name}.json",
                     timeout=timeout)
    return fio_result(text)


def fio_verified(guest, depth, size="8M", device="/dev/vda", offset="0", timeout=FIO_TIMEOUT_S):
    """Write at random, read all of it back and compare; return the number of requests."""
    job = fio(guest, "randwrite", depth=depth, size=size, device=device, offset=offset,
              verify=True, timeout=timeout)
    written, read = job["write"]["total_ios"], job["read"]["total_ios"]
    if written == 0 or read != written:
        raise TestbedError(f"fio wrote {written} blocks and read back {read}")
    return written + read


# As docs/privilege.md tells it: wait for the guest's directory, name the guest, have it looked at
# again. It runs beside `xl create`, which waits for the disk.
SET_TARGET = """be=$(xl domid caisson)
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
SET_TARGET_TRIES = 300
SET_TARGET_DEVID = 51712    # xvda


def set_target_put(bed):
    """Build the helper for Dom0 that names a guest, and put it there."""
    subprocess.run(["make", "--no-print-directory", "-s", "build/set-target"], cwd=ROOT,
                   check=True, timeout=120)
    program = (ROOT / "build" / "set-target").read_bytes()
    bed.put("/run/set-target.gz", gzip.compress(program, 9))
    bed.dom0.run("cd /usr/sbin && gunzip -c /run/set-target.gz >set-target && chmod +x set-target")


def set_target_start(bed, guest):
    """Name a guest that is about to be created, as soon as its directory is there."""
    bed.put("/run/helper", SET_TARGET.format(guest=guest, devid=SET_TARGET_DEVID,
                                             tries=SET_TARGET_TRIES))
    bed.dom0.run(f"sh /run/helper </dev/null >/run/helper.{guest} 2>&1 &")


def set_target_said(bed, guest):
    """Return what the helper said; its last line is its code."""
    return bed.dom0.run(f"cat /run/helper.{guest}")


LIMIT_IOPS, LIMIT_SECONDS = 100, 10


def limit_holds(bed, store, guest, kind, device, other, devid=51712):
    """Limit a disk in xenstore to 100 requests a second while its guest asks it and another disk of
    its for more, during 10 s of its own time.

    Return the rates of both, and that of the first one once the limit is gone.
    """
    where = (f"/local/domain/{store.domain.id()}/backend/{kind}/{guest.id()}/{devid}")
    # The bucket is emptied first; a second of it makes up for a machine that stands still.
    bed.dom0.run(f"xenstore-write {where}/limit-burst 1000 {where}/limit-iops {LIMIT_IOPS}")
    store.domain.wait_console(rf"limited to {LIMIT_IOPS} requests/s")
    ramp = f"--ramp_time=3 --runtime={LIMIT_SECONDS} --time_based"
    jobs = [f"{fio_text('randread', depth=8, size='1M', device=d, name=n)} {ramp}"
            for d, n in ((device, "limited"), (other, "free"))]
    text = guest.run(f"{jobs[0]} >/tmp/out 2>&1 & {jobs[1]} >/tmp/out2 2>&1; wait; "
                     "cat /tmp/limited.json; echo @@@; cat /tmp/free.json", timeout=FIO_TIMEOUT_S)
    rates = [fio_result(one)["read"]["iops"] for one in text.split("@@@")]
    bed.dom0.run(f"xenstore-rm {where}/limit-burst; xenstore-rm {where}/limit-iops")
    store.domain.wait_console("limited to 0 requests/s")
    job = fio(guest, "randread", depth=8, size="1M", device=device)
    return (*rates, job["read"]["iops"])


def assert_limit_holds(*args, **options):
    """The limit holds within 5 %; neither the other disk nor what comes after knows of it."""
    limited, other, after = limit_holds(*args, **options)
    assert abs(limited - LIMIT_IOPS) <= LIMIT_IOPS * 0.05, f"{limited} requests a second"
    assert other > 2 * LIMIT_IOPS, f"the disk that is not limited: {other} requests a second"
    assert after > 2 * LIMIT_IOPS, f"without a limit: {after} requests a second"
