#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""bench_icount.py - what a request costs the whole machine, in instructions, beside Linux.

One deterministic boot (QEMU counts instructions; one virtual nanosecond is one instruction of all
CPUs together): Xen with FLASK, Dom0 with Linux xen-blkback, a DomU with Linux xen-blkback, two
DomUs with this image, and one stock Linux guest with a disk of each: over virtio and PV block from
ours, over PV block from Linux. All are ramdisks of the same size. fio in the guest does the same
jobs on all, in turn. Instructions per request = 1e9 / IOPS: fio, the guest's kernel, Xen and the
back end together. Two runs give the same figures; --twice shows it.

A second boot has one guest, then eight, that are front ends and nothing else (tests/guest/front),
with the same load each, over virtio and over PV block: a request should not cost more in company.

  tools/bench_icount.py [--twice] [--spin US]     writes build/results/bench-icount.json
"""
import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import results  # noqa: E402
from tools.testbed import scripted  # noqa: E402

IMAGE = ROOT / "build" / "caisson.img"
FRONT = ROOT / "build" / "guest" / "front"
DISK_MB = 64
SECONDS = 0.2  # of virtual time per fio job
HOW = "make bench-icount: fio in a stock guest, qemu -icount shift=0, 1e9/IOPS"
HOW_GUESTS = "make bench-icount: verified writes and reads of front-end guests, 1e9/all their IOPS"

# name, fio's rw, block size, depth
JOBS = [(f"{rw} {size} qd{depth}", rw, size, depth)
        for size, kinds in (("4k", ("randread", "randwrite")), ("128k", ("read", "write")))
        for rw in kinds for depth in (1, 32)]
PEERS = [("virtio", "/dev/vda"), ("blkif", "/dev/xvdb"),
         ("blkback-domU", "/dev/xvdc"), ("blkback-dom0", "/dev/xvdd"),
         ("no device", "/dev/nullb0")]  # what fio and the guest's block layer cost by themselves
# Ours, its domain, the peer it is measured by: one that has the same seat, and the other one.
RATIOS = [("virtio", "blkback-domU"), ("blkif", "blkback-domU"), ("blkif", "blkback-dom0")]
DOMAINS = {"virtio": "caisson", "blkif": "caisson-pv"}

DOM0_SCRIPT = f"""\
. /testbed/lib.sh
modprobe brd rd_nr=1 rd_size={DISK_MB << 10} || exit 1
domain_make caisson /images/caisson.img {DISK_MB + 8} \\
    'extra = "disk=data,size={DISK_MB}M @SPIN@"' \\
    'seclabel = "system_u:system_r:caisson_t"' || exit 1
domain_make caisson-pv /images/caisson.img {DISK_MB + 8} \\
    'extra = "disk=data,size={DISK_MB}M @SPIN@"' || exit 1
driver_make blk 512 1 {DISK_MB} || exit 1
guest_make fio 384 bench "disk = [ 'format=raw,vdev=xvda,access=rw,specification=virtio,\\
grant_usage=0,backend=caisson,target=data', \\
'format=raw,vdev=xvdb,access=rw,backend=caisson-pv,target=data', \\
'format=raw,vdev=xvdc,access=rw,backend=blk,target=ram0', \\
'format=raw,vdev=xvdd,access=rw,target=/dev/ram0' ]" || exit 1
guest_wait fio 600 || exit 1
"""

# The images' counters, asked for on their consoles when the guest is done: means over all jobs.
STATS = f"""\
for domain in {' '.join(DOMAINS.values())}; do
    echo stats >$(xenstore-read /local/domain/$(xl domid $domain)/console/tty)
    console_wait $domain 'stats held' 10
    console $domain | sed -n "s/.*stats /$domain /p"
done
"""


# One guest of a protocol, then eight: each begins when Dom0 says so, and counts for a second.
COMPANY = 8
PROTOCOLS = {"virtio": "specification=virtio,grant_usage=0,", "blkif": ""}
GUESTS_SCRIPT = """\
. /testbed/lib.sh
domain_make caisson /images/caisson.img 40 \\
    'extra = "%(disks)s"' 'seclabel = "system_u:system_r:caisson_t"' || exit 1
run() { # PROTOCOL DISK-WORDS GUESTS
    for i in $(seq 1 $3); do
        domain_make $1-$3-$i /images/front 12 \\
            "extra = 'job=verify wait seconds=1 warm_ms=100 depth=8 size=4K span=2M seed=$i'" \\
            "disk = [ 'format=raw,vdev=xvda,access=rw,$2backend=caisson,target=d$i' ]" || exit 1
    done
    for i in $(seq 1 $3); do console_wait $1-$3-$i 'front ready' 60 || exit 1; done
    for i in $(seq 1 $3); do
        xenstore-write /local/domain/$(xl domid $1-$3-$i)/go 1
    done
    for i in $(seq 1 $3); do
        console_wait $1-$3-$i 'front done' 120 || exit 1
        console $1-$3-$i | sed -n "s/.*front done/@ $1 $3/p"
        xl destroy $1-$3-$i
    done
}
%(runs)s
"""


def guest_job(jobs, seconds):
    """The guest's shell text: a line "@ NAME|PEER iops" per job."""
    lines = ["modprobe null_blk gb=1 || exit 1"]
    lines += [f"wait_dev {device} || exit 1" for _, device in PEERS] + ["sleep 1"]
    for name, rw, size, depth in jobs:
        for peer, device in PEERS:
            lines.append(
                f"fio --name=j --filename={device} --rw={rw} --bs={size} --iodepth={depth} "
                f"--size={DISK_MB // 2}M --direct=1 --ioengine=libaio --randrepeat=1 --time_based "
                f"--ramp_time=50ms --runtime={int(seconds * 1000)}ms --output-format=terse "
                "--terse-version=3 | "
                f"awk -F';' '{{print \"@ {name}|{peer} \" ($8 > 0 ? $8 : $49)}}'")
    return "\n".join(lines) + "\n"


def run(name, spin):
    """One boot; returns ({(job, peer): instructions per request}, the images' stats lines)."""
    extra = f"spin_us={spin}" if spin is not None else ""
    result = scripted.run(name, DOM0_SCRIPT.replace("@SPIN@", extra) + STATS,
                          jobs={"bench": guest_job(JOBS, SECONDS)},
                          payload={"caisson.img": IMAGE}, xsm="flask", timeout=1500)
    if result.code != 0:
        sys.exit(f"bench-icount: the run failed ({result.code}); its output:\n{result.text}")
    figures = {}
    for job, peer, iops in re.findall(r"^@ ([^|]+)\|(\S+) (\d+)", result.text, re.M):
        figures[job, peer] = round(1e9 / int(iops))
    if len(figures) != len(JOBS) * len(PEERS):
        sys.exit(f"bench-icount: {len(figures)} of {len(JOBS) * len(PEERS)} jobs gave a figure; "
                 f"output:\n{result.text}")
    stats = {peer: re.findall(rf"^{domain} (.*)", result.text, re.M)
             for peer, domain in DOMAINS.items()}
    return figures, stats


def per_request(peer, stats):
    """Hypercalls, traps and interrupts per request of the whole run, from an image's counters."""
    count = {f"{area} {key}": int(value) for line in stats
             for area in [line.split()[0]] for key, value in re.findall(r"(\w+)=(\d+)", line)}
    requests = count["total requests"]
    calls = sum(count[f"xen {family}"] for family in ("evtchn", "memory", "dm", "gnttab"))
    rows = [("hypercalls", calls), ("ioreq traps", count["ioreq traps"]),
            ("kicks", count["total kicks"]), ("interrupts", count["total irqs"])]
    return [results.row(f"{name} per request {peer}", round(value / requests, 4), "per request",
                        f"{HOW}; mean over all jobs, the image's own counters")
            for name, value in rows]


def report(figures, stats):
    """Rows for the results file and the table."""
    rows = []
    for job, _, _, _ in JOBS:
        for peer, _ in PEERS:
            rows.append(results.row(f"instructions {peer} {job}", figures[job, peer],
                                    "instructions per request", HOW))
        for ours, peer in RATIOS:
            rows.append(results.row(f"ratio {ours}/{peer} {job}",
                                    round(figures[job, ours] / figures[job, peer], 3), "ratio",
                                    HOW))
    return rows + [row for peer, lines in stats.items() for row in per_request(peer, lines)]


def run_guests():
    """The boot with one guest and with eight; returns rows."""
    script = GUESTS_SCRIPT % {
        "disks": " ".join(f"disk=d{i},size=4M" for i in range(1, COMPANY + 1)),
        "runs": "\n".join(f"run {name} {words or chr(39) * 2} {guests}"
                          for name, words in PROTOCOLS.items() for guests in (1, COMPANY))}
    result = scripted.run("bench-icount-guests", script,
                          payload={"caisson.img": IMAGE, "front": FRONT}, xsm="flask",
                          timeout=1500)
    if result.code != 0:
        sys.exit(f"bench-icount: the run failed ({result.code}); its output:\n{result.text}")
    requests = {}
    for name, guests, words in re.findall(r"^@ (\w+) (\d+) (.*)", result.text, re.M):
        found = dict(re.findall(r"(\w+)=(\d+)", words))
        if found["errors"] != "0":
            sys.exit(f"bench-icount: a guest found errors: {words}")
        requests.setdefault((name, int(guests)), []).append(int(found["requests"]))
    rows = []
    for name in PROTOCOLS:
        cost = {n: round(1e9 / sum(requests[name, n])) for n in (1, COMPANY)}
        for n, value in cost.items():
            rows.append(results.row(f"instructions {name} 4k qd8 guests {n}", value,
                                    "instructions per request", HOW_GUESTS))
        rows.append(results.row(f"ratio {name} {COMPANY} guests/1 guest",
                                round(cost[COMPANY] / cost[1], 3), "ratio", HOW_GUESTS))
        rows.append(results.row(f"ratio {name} slowest/fastest of {COMPANY} guests",
                                round(min(requests[name, COMPANY]) / max(requests[name, COMPANY]),
                                      3), "ratio", HOW_GUESTS))
    return rows


def main():
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--twice", action="store_true", help="run twice and compare")
    parser.add_argument("--spin", help="spin_us= of the image instead of its default")
    options = parser.parse_args()
    figures, stats = run("bench-icount", options.spin)
    rows = report(figures, stats) + run_guests()
    results.write("bench-icount", rows)
    print(results.table(rows))
    if options.twice:
        again, _ = run("bench-icount-again", options.spin)
        different = [k for k in figures if figures[k] != again[k]]
        if different:
            sys.exit(f"bench-icount: two runs differ in {different}")
        print("a second run gave the same figures")


if __name__ == "__main__":
    main()
