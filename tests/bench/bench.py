#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""bench.py - the hosted engine beside its peers, in one run, with the same client on the same CPUs.

  tests/bench/bench.py [--rounds N] [--seconds S] [--no-callgrind] [--docs]

On a shared machine only medians of good moments and exact counts mean something, so:
  - servers and depths alternate in rounds; while one is measured the others are stopped (SIGSTOP);
  - before each sample the price of talking between the two CPUs is measured (hop); samples are
    classed near or far by it and compared only inside one class;
  - a server's figure is the best median (p50) of its samples in the class; ratios are of those.
Nothing here fails on time. Writes build/results/bench.json and, where matplotlib is installed,
build/results/bench.svg. With --docs the table and the plot of docs/performance.md are renewed.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tools import results  # noqa: E402  (the path to it was not known before)

HOST = ROOT / "build/host"
SERVER_CPU, CLIENT_CPU = "0", "1"
NEAR_NS = 200
DEPTHS = (1, 32)
DISK_MIB = 64
SPAN_BYTES = 24 << 20
BLOCK_BYTES = 4096
START_LIMIT_S = 15
SAMPLE_LIMIT_S = 30
CALLGRIND_LIMIT_S = 120
ARM64_LIMIT_S = 120
COPY_FUNCTIONS = re.compile(r"mem(cpy|move)|emmintrin|avxintrin|port_copy")


class Peer:
    """A server process that is stopped while it is not measured."""

    def __init__(self, name, argv, socket, fill=True):
        self.name, self.socket, self.fill = name, str(socket), fill
        self.process = subprocess.Popen(nice() + [str(a) for a in argv], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.samples = {depth: [] for depth in DEPTHS}  # (hop, what the client measured)
        deadline = time.monotonic() + START_LIMIT_S
        while not pathlib.Path(self.socket).exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.end()
                raise RuntimeError(f"{name} did not start: {' '.join(map(str, argv))}")
            time.sleep(0.02)
        self.stop()  # until it is its turn: all of them spin on the same CPU

    def client(self, *options, limit=SAMPLE_LIMIT_S):
        """Run our client against it; returns what the client measured."""
        argv = nice() + [str(HOST / "vhost-client"), f"--socket={self.socket}",
                         f"--cpu={CLIENT_CPU}", f"--block={BLOCK_BYTES}", f"--span={SPAN_BYTES}",
                         *options]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)

    def go(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.go()
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def best(self, depth, near, key="p50"):
        """Return (best value, number of samples) of a class."""
        values = [s[key] for hop, s in self.samples[depth] if (hop < NEAR_NS) == near]
        return (min(values), len(values)) if values else (None, 0)


def nice():
    """Return the prefix that keeps other load of the machine away, where we may."""
    return ["nice", "-n", "-20"] if os.geteuid() == 0 else []


def hop():
    """Return the round trip between the two CPUs now, in ns."""
    out = subprocess.run(nice() + [str(HOST / "hop"), SERVER_CPU, CLIENT_CPU], text=True,
                         capture_output=True, timeout=10, check=True).stdout
    return int(out)


def caisson_argv(socket, poll="always"):
    return [HOST / "caisson-vhost-user", "--quiet", f"--memory={DISK_MIB}M", f"--poll={poll}",
            f"--socket-path={socket}"]


def start_peers(folder, stack):
    """Start every server this machine has; returns them, ours first. The stack ends them."""
    pinned = ["taskset", "-c", SERVER_CPU]
    peers = []

    def start(name, argv, socket, fill=True):
        peers.append(Peer(name, argv, socket, fill))
        stack.callback(peers[-1].end)

    start("caisson", pinned + caisson_argv(folder / "caisson"), folder / "caisson")
    if (HOST / "peer-dpdk").exists():
        start("dpdk", [HOST / "peer-dpdk", folder / "dpdk", DISK_MIB, SERVER_CPU],
              folder / "dpdk")
    else:
        print("bench: no DPDK peer: install libdpdk-dev (tools/setup.sh bench) to compare with it")
    if shutil.which("qemu-storage-daemon"):
        sock = folder / "qsd"
        start("qsd-null", pinned + [
            "qemu-storage-daemon", "--object", "iothread,id=iot0,poll-max-ns=1000000000",
            "--blockdev", "driver=null-co,node-name=n0,size=1073741824,read-zeroes=off", "--export",
            f"type=vhost-user-blk,id=e0,node-name=n0,addr.type=unix,addr.path={sock},"
            "writable=on,num-queues=1,iothread=iot0"], sock, fill=False)
    else:
        print("bench: no qemu-storage-daemon: install qemu-utils (tools/setup.sh bench)")
    return peers


def sample_all(peers, rounds, seconds):
    """Fill, check and measure: rounds x depths x servers."""
    for peer in peers:
        peer.go()
        if peer.fill:
            peer.client("--mode=verify", "--depth=16", "--seconds=0")
        peer.stop()
    for number in range(1, rounds + 1):
        for depth in DEPTHS:
            for peer in peers:
                price = hop()
                peer.go()
                measured = peer.client("--mode=read", f"--depth={depth}", f"--seconds={seconds}",
                                       f"--seed={number}")
                peer.stop()
                peer.samples[depth].append((price, measured))
        print(f"bench: round {number} of {rounds}", file=sys.stderr, flush=True)


def ratio_rows(peers):
    """Return result rows: ratios of the best medians, and the medians they came from."""
    rows = []
    ours = peers[0]
    for depth in DEPTHS:
        for near in (True, False):
            where = "near" if near else "far"
            own, count = ours.best(depth, near)
            if own is None:
                continue
            for peer in peers:
                value, samples = peer.best(depth, near)
                if value is None:
                    continue
                unit = "ns" if depth == 1 else "ns per request"
                rows.append({"name": f"{peer.name} p50 qd{depth} {where}", "unit": unit,
                             "value": round(value / depth, 1),
                             "how": f"best of {samples} medians, 4 KiB random read, hop {where}"})
                if peer is not ours:
                    rows.append({"name": f"ratio {peer.name} p50 qd{depth} {where}",
                                 "value": round(own / value, 3), "unit": "ratio",
                                 "how": f"best of {count} medians over best of {samples}, one "
                                        f"interleaved run, hop {where}"})
    for depth in DEPTHS:
        for peer in peers[1:]:
            # The plain name stands for the class with more samples.
            name = f"ratio {peer.name} p50 qd{depth}"
            found = {r["name"]: r for r in rows}
            where = max(("near", "far"), key=lambda w: min(ours.best(depth, w == "near")[1],
                                                           peer.best(depth, w == "near")[1]))
            if f"{name} {where}" in found:
                rows.append({**found[f"{name} {where}"], "name": name})
    for peer in peers:
        values = [s["kicks"] / s["requests"] for _, s in peer.samples[32]]
        rows.append({"name": f"{peer.name} kicks per request qd32", "unit": "kicks",
                     "value": round(statistics.median(values), 4),
                     "how": "median of all samples, counted by the client"})
    return rows


# ---- arm64, exact -------------------------------------------------------------------------------

def arm64_rows():
    """Return the engine's instructions on arm64: QEMU's virtual counter ticks once for each."""
    rows = []
    how = "qemu-system-aarch64 -cpu max -icount shift=0,sleep=off, the engine alone"
    for program in ("vblk", "vblk-no-copy"):
        elf = ROOT / f"build/bench/{program}.elf"
        if not elf.exists() or not shutil.which("qemu-system-aarch64"):
            print(f"bench: no arm64 counts: {elf} or qemu-system-aarch64 is missing")
            return []
        done = subprocess.run(
            ["qemu-system-aarch64", "-M", "virt", "-cpu", "max", "-m", "64", "-nodefaults", "-nic",
             "none", "-display", "none", "-semihosting", "-icount", "shift=0,sleep=off", "-kernel",
             elf], capture_output=True, text=True, timeout=ARM64_LIMIT_S, check=True)
        lines = done.stderr + done.stdout
        for name, value in re.findall(r"^(arm64 [^\t\n]+)\t([\d.]+)$", lines, re.M):
            rows.append({"name": name, "value": float(value), "unit": "instructions", "how": how})
    return rows + arm64_summary({r["name"]: r["value"] for r in rows}, how)


def arm64_summary(values, how):
    """Return the figures of the goals, by their plain names."""
    read = "arm64 instructions per 4k read"
    jitter = "arm64 instructions jitter of a 4k batch"
    rows = [{"name": f"{read} {copy}", "value": values[f"{read} {copy} depth 32"],
             "unit": "instructions", "how": how + ", 32 requests a batch"}
            for copy in ("without copy", "with copy") if f"{read} {copy} depth 32" in values]
    plain = read + " without copy depth "
    if plain + "64" in values:
        rows.append({"name": "arm64 ratio depth 64 to depth 8", "unit": "ratio", "how": how,
                     "value": round(values[plain + "64"] / values[plain + "8"], 3)})
        rows.append({"name": "arm64 ratio 8 queues to one", "unit": "ratio", "how": how +
                     ", 8 requests in each queue",
                     "value": round(values[f"{read} over 8 queues without copy depth 8"] /
                                    values[plain + "8"], 3)})
        rows.append({"name": "arm64 instructions jitter", "unit": "instructions",
                     "value": max(v for n, v in values.items() if n.startswith(jitter)),
                     "how": how + ", most less least over 999 equal batches"})
        rows.append({"name": "arm64 instructions per idle queue", "unit": "instructions",
                     "value": values["arm64 instructions per idle queue without copy depth 0"],
                     "how": how + ", 16 idle devices"})
    return rows


# ---- exact counts -------------------------------------------------------------------------------

def callgrind(argv, toggle, folder, name, socket):
    """Run a server under callgrind and our client at depth 32; returns (file, requests)."""
    out = folder / f"callgrind.{name}"
    prefix = ["valgrind", "--tool=callgrind", f"--toggle-collect={toggle}",
              f"--callgrind-out-file={out}"]
    with open(folder / f"{name}.txt", "w", encoding="utf-8") as text:
        process = subprocess.Popen(prefix + [str(a) for a in argv], stdout=text,
                                   stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + START_LIMIT_S * 2
            while not pathlib.Path(socket).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(1)
            done = subprocess.run([HOST / "vhost-client", f"--socket={socket}", "--mode=read",
                                   "--depth=32", "--seconds=1.5", f"--cpu={CLIENT_CPU}"],
                                  capture_output=True, text=True, timeout=CALLGRIND_LIMIT_S,
                                  check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{name} under callgrind: {done.stderr}")
            process.terminate()
            process.wait(timeout=CALLGRIND_LIMIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return out, (folder / f"{name}.txt").read_text(encoding="utf-8")


def self_costs(path):
    """Return ({(file, function): own instructions}, {function: calls}) of a callgrind output."""
    names, costs, calls = {}, {}, {}

    def name_of(text):
        found = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not found:
            return text
        if found[2]:
            names[found[1]] = found[2]
        return names.get(found[1], text)

    files = {}
    file = function = callee = ""
    call_line = False
    names_fn, names_fl = {}, files
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, sep, rest = line.partition("=")
        if sep and key in ("fl", "fi", "fe"):
            names = names_fl
            file = name_of(rest)
        elif sep and key == "fn":
            names = names_fn
            function = name_of(rest)
        elif sep and key == "cfn":
            names = names_fn
            callee = name_of(rest)
        elif sep and key in ("cfi", "cfl"):
            names = names_fl
            name_of(rest)
        elif sep and key == "calls":
            calls[callee] = calls.get(callee, 0) + int(rest.split()[0])
            call_line = True
        elif re.match(r"[+\-*\d]", line):
            if not call_line:
                words = line.split()
                if len(words) > 1:
                    at = (file, function)
                    costs[at] = costs.get(at, 0) + int(words[1])
            call_line = False
    return costs, calls


def split_copy(costs):
    """Return (instructions of the engine, instructions of copying data)."""
    copy = sum(c for (f, n), c in costs.items() if COPY_FUNCTIONS.search(f"{f}:{n}"))
    return sum(costs.values()) - copy, copy


def count_rows(folder):
    """Return exact instruction counts per request, ours and DPDK's."""
    if not shutil.which("valgrind"):
        print("bench: no valgrind: no exact counts (tools/setup.sh bench)")
        return []
    rows, how = [], "callgrind, 4 KiB random reads, depth 32, x86-64"
    sock = folder / "cg"
    path, said = callgrind(caisson_argv(sock), "vu_session_poll", folder, "caisson", sock)
    costs, calls = self_costs(path)
    requests = int(re.search(r"reads (\d+)", said)[1])
    batches = int(re.search(r"batches (\d+)", said)[1])
    turns = int(re.search(r"turns (\d+)", said)[1])
    idle = idle_cost(folder)
    engine, copy = split_copy(costs)
    own = (engine - idle * (turns - batches)) / requests
    rows.append({"name": "caisson instructions per 4k read without copy", "value": round(own, 1),
                 "unit": "instructions", "how": how + f", {requests / batches:.1f} per batch, "
                 f"idle turns ({idle} each) taken off"})
    rows.append({"name": "caisson instructions per 4k read copy", "unit": "instructions",
                 "value": round(copy / requests, 1), "how": how})
    rows.append({"name": "caisson instructions per idle turn", "value": idle,
                 "unit": "instructions", "how": "callgrind, no request"})
    if (HOST / "peer-dpdk").exists():
        sock = folder / "cg-dpdk"
        path, _ = callgrind([HOST / "peer-dpdk", sock, DISK_MIB, SERVER_CPU], "serve", folder,
                            "dpdk", sock)
        costs, calls = self_costs(path)
        requests = calls.get("rte_vhost_vring_call", 0) or sum(
            n for f, n in calls.items() if f.startswith("rte_vhost_vring_call"))
        engine, copy = split_copy(costs)
        peer = engine / requests
        rows.append({"name": "dpdk instructions per 4k read without copy", "unit": "instructions",
                     "value": round(peer, 1), "how": how})
        rows.append({"name": "dpdk instructions per 4k read copy", "unit": "instructions",
                     "value": round(copy / requests, 1), "how": how})
        rows.append({"name": "ratio dpdk instructions per 4k read without copy",
                     "value": round(own / peer, 3), "unit": "ratio", "how": how})
    return rows


def idle_cost(folder):
    """Return the instructions of one turn of the engine that finds nothing."""
    sock = folder / "cg-idle"
    out = folder / "callgrind.idle"
    process = subprocess.Popen(
        ["valgrind", "--tool=callgrind", "--toggle-collect=vu_session_poll",
         f"--callgrind-out-file={out}", *map(str, caisson_argv(sock))],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + START_LIMIT_S * 2
    while not sock.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    # One request, then only idle turns: with thousands of them its share is rounded away.
    subprocess.run([HOST / "vhost-client", f"--socket={sock}", "--mode=verify", "--seconds=0",
                    f"--span={BLOCK_BYTES}"], capture_output=True, timeout=60, check=True)
    holder = subprocess.Popen([HOST / "vhost-client", f"--socket={sock}", "--mode=hold",
                               "--seconds=2"], stdout=subprocess.DEVNULL)
    holder.wait(timeout=60)
    process.terminate()
    said, _ = process.communicate(timeout=CALLGRIND_LIMIT_S)
    costs, _ = self_costs(out)
    turns = int(re.search(r"turns (\d+)", said)[1])
    return round(sum(costs.values()) / turns)


# ---- output -------------------------------------------------------------------------------------

def plot(rows, path):
    """Draw the medians as bars; nothing without matplotlib."""
    try:
        import matplotlib
        matplotlib.use("svg")
        from matplotlib import pyplot
    except ImportError:
        print("bench: no plot: python3-matplotlib is not installed")
        return
    matplotlib.rcParams["svg.hashsalt"] = "caisson"
    figure, axes = pyplot.subplots(1, len(DEPTHS), figsize=(9, 3.2))
    for axis, depth in zip(axes, DEPTHS):
        for offset, where in ((-0.2, "near"), (0.2, "far")):
            found = [(r["name"].split(" p50")[0], r["value"]) for r in rows
                     if r["name"].endswith(f" p50 qd{depth} {where}")
                     and not r["name"].startswith("ratio")]
            places = [i + offset for i in range(len(found))]
            axis.bar(places, [v for _, v in found], 0.36, label=f"CPUs {where}")
            if found:
                axis.set_xticks(range(len(found)), [n for n, _ in found])
        axis.set_title(f"4 KiB random read, depth {depth}")
        axis.set_ylabel("ns per request (best median)")
        axis.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


# The goals: name, what is best, and the goal.
GOALS = (
    ("arm64 instructions per 4k read without copy", 150),
    ("arm64 instructions per 4k read with copy", 560),
    ("arm64 instructions jitter", 0),
    ("arm64 instructions per idle queue", 12),
    ("arm64 ratio depth 64 to depth 8", 1.05),
    ("arm64 ratio 8 queues to one", 1.05),
    ("ratio dpdk instructions per 4k read without copy", 0.45),
    ("ratio dpdk p50 qd1", 0.90),
    ("ratio qsd-null p50 qd1", 0.30),
    ("ratio dpdk p50 qd32", 0.60),
    ("ratio qsd-null p50 qd32", 0.33),
)
MARKS = ("<!-- table: make bench -->\n", "<!-- end of table -->\n")


def docs_table(rows):
    """Return the goals with what was measured, as Markdown."""
    found = {r["name"]: r for r in rows}
    lines = ["| figure | measured | goal | how |", "|---|---|---|---|"]
    for name, goal in GOALS:
        row = found.get(name)
        value = f"{row['value']:g}" if row else "not measured"
        lines.append(f"| {name} | {value} | {goal:g} | {row['how'] if row else ''} |")
    medians = [r for r in rows if re.search(r" p50 qd\d+ (near|far)$", r["name"])
               and not r["name"].startswith("ratio")]
    lines += ["", "| server and depth | ns per request |", "|---|---|"]
    lines += [f"| {r['name']} | {r['value']:g} |" for r in medians]
    return "\n".join(lines) + "\n"


def docs_renew(rows):
    """Put the table and the plot into docs/."""
    page = ROOT / "docs/performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    page.write_text(before + MARKS[0] + docs_table(rows) + MARKS[1] + after, encoding="utf-8")
    plot(rows, ROOT / "docs/performance.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds of samples (7)")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a sample (0.4)")
    parser.add_argument("--no-callgrind", action="store_true", help="leave out exact counts")
    parser.add_argument("--docs", action="store_true", help="renew docs/performance.md")
    options = parser.parse_args()
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="caisson-bench-", dir=shm) as name:
        folder = pathlib.Path(name)
        with contextlib.ExitStack() as stack:
            peers = start_peers(folder, stack)
            sample_all(peers, options.rounds, options.seconds)
        rows = ratio_rows(peers) + arm64_rows()
        if not options.no_callgrind:
            rows += count_rows(folder)
    results.write("bench", rows)
    print(results.table(rows))
    plot(rows, ROOT / "build/results/bench.svg")
    if options.docs:
        docs_renew(rows)


if __name__ == "__main__":
    main()
