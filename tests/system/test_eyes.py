# SPDX-License-Identifier: BSD-2-Clause
"""What Dom0 sees in xenstore of a storage domain that serves stock guests."""

import time

import pytest

from tools import stories
from tools.stories import Storage, pv_disk

STOCK = dict(xen="debian", gic=3, xsm="dummy")
ROUND_TIMEOUT_S = 60
DEVID = 51712               # xvda


class Eyes:
    """The keys of a storage domain, as xenstore-ls shows them."""

    def __init__(self, bed, store):
        """Look at the domain of store."""
        self.bed, self.top = bed, f"/local/domain/{store.domain.id()}/data/caisson"

    def keys(self):
        """Return {key below stats: value}."""
        top = f"{self.top}/stats/"
        if self.bed.xenstore_read(f"{self.top}/watch") is None:
            return {}           # nobody has looked yet: xenstore-ls knows no such directory
        found = self.bed.xenstore_ls(self.top)
        return {key.removeprefix(top): value for key, value in found.items()
                if key.startswith(top)}

    def watch(self, seconds):
        """Say that somebody looks."""
        self.bed.dom0.run(f"xenstore-write {self.top}/watch {seconds}")

    def round(self):
        """Return the number of the last round."""
        return numbers(self.keys().get("round", "number=0"))["number"]

    def next_rounds(self, count=2):
        """Wait until so many rounds are over: the last one began after this call."""
        first, end = self.round(), time.monotonic() + ROUND_TIMEOUT_S
        while self.round() < first + count:
            assert time.monotonic() < end, f"no rounds: {self.keys()}"
            time.sleep(0.3)
        return self.keys()


def numbers(text):
    """Return {key: number} of "key=1 other=2"."""
    return {key: int(value) for key, value in (word.split("=") for word in text.split())}


@pytest.mark.bed(**STOCK)
def test_a_watcher_in_dom0_sees_what_a_guest_does(bed):
    """Keys move with the guest's fio and agree with the console; they go with the guest."""
    store = Storage(bed, "disk=data,size=8M")
    guest = bed.create_guest("g1", disks=[pv_disk("data")], memory=256)
    eyes = Eyes(bed, store)
    assert bed.xenstore_read(eyes.top) is None, "written though nobody looks"
    eyes.watch(600)
    before = eyes.next_rounds()
    where = f"{guest.id()}/{DEVID}"
    assert before[where] == "pv connected data"
    job = stories.fio(guest, "randrw", depth=8, size="4M", device="/dev/xvda")
    after = eyes.next_rounds()
    io, then = numbers(after[f"{where}/io"]), numbers(before[f"{where}/io"])
    reads, writes = job["read"]["total_ios"], job["write"]["total_ios"]
    assert reads + writes == 1024
    assert io["reads"] - then["reads"] >= reads and io["writes"] - then["writes"] == writes
    assert io["sectors_written"] - then["sectors_written"] == writes * 8
    latency = numbers(after[f"{where}/latency"])
    assert sum(latency.values()) == io["requests"], latency
    assert numbers(after[f"{where}/events"])["irqs"] > 0
    said = store.stats()
    device = next(values for area, values in said.items() if area.startswith("device dom"))
    assert device["requests"] == io["requests"]
    assert said["held"]["grants"] == numbers(after["held"])["grants"]
    # Nobody looks any more: no round comes, and the keys of a guest that goes go with it.
    eyes.watch(0)
    time.sleep(3)
    last = eyes.round()
    guest.destroy()
    end = time.monotonic() + ROUND_TIMEOUT_S
    while where in eyes.keys():
        assert time.monotonic() < end, "the keys of a guest that is gone stay"
        time.sleep(0.3)
    assert eyes.round() == last, "rounds go on though nobody looks"
