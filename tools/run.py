#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""run.py - the whole system once: Xen, Dom0, our storage domain, a stock guest with verified I/O.

Called by `make run`, which installs packages and builds the image first. Prints a table (step,
result, figure) and writes the figures to build/results/run.json. Exit 0 when every step did what
it should, 1 with a sentence about the first that did not. It always ends: each step has a time
limit, and so has the whole.

Times of an emulated machine mean nothing, so the figures are counts. Those of the start come from a
second boot in which QEMU counts instructions: the same figures on every machine.
"""
import re
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import results, stories  # noqa: E402  (the path above makes it importable)
from tools.testbed import scripted, util  # noqa: E402
from tools.testbed.bed import Bed  # noqa: E402
from tools.testbed.util import TestbedError  # noqa: E402

LIMIT_S = 3600              # of the whole, a first build of Xen included
DISK_MB = 64
FIO_JOBS = ((1, "1M"), (32, "8M"))     # depth, what is written and read back

# Entered with a guest waiting for it already, the image reaches InitWait without waiting.
START_SCRIPT = f""". /testbed/lib.sh
cat >/run/caisson.cfg <<'@@'
name = "caisson"
kernel = "/images/{stories.IMAGE}"
memory = {stories.IMAGE_MB + 1}
extra = "disk=data,size=1M"
seclabel = "{stories.LABEL}"
@@
xl create -p /run/caisson.cfg || exit 1
be=/local/domain/$(xl domid caisson)/backend/virtio_disk
guest_make g 256 none "disk = [ '{stories.disk("data")}' ]" &
n=0
until xenstore-exists "$be" 2>/dev/null; do n=$((n + 1)); [ $n -lt 300 ] || exit 2; sleep 0.1; done
sleep 1
xl unpause caisson
console_wait caisson 'ready at' 60 || exit 3
console caisson
wait
xl destroy g
"""
INIT_WAIT = re.compile(r"^\[ *(\d+\.\d+)\] guest \d+ virtio_disk \d+: ready at", re.M)


class Table:
    """The steps as they end, and the figures among them."""

    def __init__(self):
        self.lines, self.rows = [], []

    def step(self, name, result, figure=""):
        """Note a step that ended well."""
        self.lines.append((name, result, figure))
        util.say(f"{name}: {result} {figure}".rstrip())

    def figure(self, name, value, unit, how):
        """Note one measurement."""
        self.rows.append(results.row(name, value, unit, how))

    def text(self):
        """Return the table."""
        rows = [("step", "result", "figure"), *self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        text = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        text.insert(1, "-" * max(len(line) for line in text))
        return "\n".join(text)


def say_image(table, image):
    """Sizes of the image."""
    if not image.is_file():
        raise TestbedError(f"{image} is not there: run make")
    size = image.stat().st_size
    table.step("image", "built", f"{size:,} bytes")
    table.figure("image bytes", size, "bytes", "size of build/caisson.img")


def storage_step(table, bed):
    """Create the storage domain; return it."""
    store = stories.Storage(bed, f"disk=data,size={DISK_MB}M")
    kib = int(bed.xenstore_read(f"/local/domain/{store.domain.id()}/memory/target"))
    table.step("storage domain", "ready",
               f"{kib:,} KiB of RAM, {DISK_MB * 1024:,} of them the disk")
    table.figure("domain RAM", kib, "KiB",
                 f"memory/target in xenstore, with a disk of {DISK_MB} MiB")
    return store


def guest_steps(table, store, guest):
    """A file system, then random blocks, written and read back."""
    with util.progress("partition, mkfs.ext4, write a tree, remount, compare"):
        files = int(guest.run(stories.FILE_SYSTEM_JOB.format(disk="/dev/vda", part_mb=DISK_MB // 2),
                              timeout=600))
    if files != stories.FILE_SYSTEM_FILES:
        raise TestbedError(f"{files} files were compared instead of {stories.FILE_SYSTEM_FILES}")
    table.step("sfdisk, mkfs.ext4, tree, remount", "equal checksums", f"{files} files")
    for depth, size in FIO_JOBS:
        before = store.stats()
        with util.progress(f"fio randwrite 4 KiB, depth {depth}, read back, crc32c"):
            blocks = stories.fio_verified(guest, depth, size=size, device="/dev/vda2",
                                          timeout=900)
        table.step(f"fio --verify=crc32c, depth {depth}", "0 errors", f"{blocks:,} requests")
        say_cost(table, depth, stories.cost(before, store.stats()))


def say_cost(table, depth, cost):
    """What the image did for each request of a job."""
    requests = cost["requests"]
    each = {key: cost[key] / requests for key in ("hypercalls", "traps", "kicks", "irqs")}
    table.step(f"  per request, depth {depth}", "counted",
               f"{each['hypercalls']:.3f} hypercalls, {each['traps']:.3f} ioreq traps")
    for key, unit in (("hypercalls", "hypercalls"), ("traps", "ioreq traps"), ("kicks", "kicks"),
                      ("irqs", "interrupts")):
        table.figure(f"{key} per request, verified randwrite 4k qd{depth}", each[key],
                     f"{unit}/request", "difference of `stats` over the job, by its requests")


def end_steps(table, store, guest, base):
    """The guest goes; nothing of it stays."""
    seconds = guest.destroy()
    held = store.wait_held(base)
    left = ", ".join(f"{held[k]} {k}" for k in ("windows", "pages", "ports", "grants"))
    table.step("xl destroy of the guest", f"{seconds:.1f} s", f"{left} held")


def system(table, image):
    """The first job on a freely running machine."""
    with Bed(xen="ioreq", gic=3, xsm="flask", payload={stories.IMAGE: image}, name="run") as bed:
        table.step("Xen, flask enforcing, and Dom0", "booted")
        store = storage_step(table, bed)
        base = store.held()
        with util.progress("create and boot a stock guest"):
            guest = bed.create_guest("guest", disks=[stories.disk("data")])
        table.step("stock guest", "booted", guest.run("uname -r").strip())
        guest_steps(table, store, guest)
        end_steps(table, store, guest, base)


def start_counted(table, image):
    """Instructions and ticks from entry, from a boot that is the same every time."""
    run = scripted.run("run-start", START_SCRIPT, jobs={"none": "true\n"}, xsm="flask",
                       payload={stories.IMAGE: image}, smp=1, timeout=900)
    ready, announced = stories.READY.search(run.text), INIT_WAIT.search(run.text)
    if run.code != 0 or not ready or not announced:
        raise TestbedError(f"the counted start ended with code {run.code}:\n{run.text[-3000:]}")
    hertz = int(ready[3])
    entry_s = float(ready[1]) - int(ready[2]) / hertz
    for name, ticks, how in (
            ("ready", int(ready[2]), "what the image prints"),
            ("InitWait", round((float(announced[1]) - entry_s) * hertz),
             "the image's time stamps, of 1 us, a guest waiting since before")):
        # One virtual nanosecond is one instruction of the whole machine.
        instructions = round(ticks * 1e9 / hertz)
        table.step(f"entry to {name}, disk of 1 MiB", "counted",
                   f"{ticks:,} ticks, {instructions:,} instructions of the whole machine")
        table.figure(f"ticks from entry to {name}", ticks, f"ticks of {hertz} Hz", how)
        table.figure(f"instructions from entry to {name}", instructions, "instructions",
                     "QEMU -icount, all CPUs: " + how)


def over_time(*_):
    """The last resort: end what hangs."""
    raise TestbedError(f"no end after {LIMIT_S} s: see build/logs/run")


def main():
    """Run everything; return the exit code."""
    image = util.BUILD / stories.IMAGE
    table = Table()
    signal.signal(signal.SIGALRM, over_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.alarm(LIMIT_S)
    why = None
    try:
        say_image(table, image)
        system(table, image)
        start_counted(table, image)
    except TestbedError as err:
        why = str(err)
    except KeyboardInterrupt:
        why = "interrupted"
    signal.alarm(0)
    print("\n" + table.text())
    if why:
        print(f"\nrun: FAILED after the last step above: {why}")
        return 1
    print(f"\nrun: everything passed; figures in {results.write('run', table.rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
