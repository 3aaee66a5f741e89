# SPDX-License-Identifier: BSD-2-Clause
"""Many guests at once on one image, over both protocols: all data right, all served alike."""

import pytest

from tools import results, stories
from tools.stories import Front, Storage, disk, fronts_go, pv_disk

FLASK = dict(xen="ioreq", gic=3, xsm="flask")
FAIR = 0.8                  # slowest / fastest guest by requests completed in the same time
FAIR_FEW = 0.6              # beside four others, what else a busy machine does shows as well
SECONDS = 8                 # counted
PIECE_KB = 256              # of a shared disk, for each disk of each guest
SINGLE = f"job=verify seconds={SECONDS} warm_ms=1500 depth=8 span={PIECE_KB}K"
STOCK_FIO = "randwrite", 8, "4M"


class Pieces:
    """Pieces of a shared disk, each for one guest."""

    def __init__(self):
        self.used = 0

    def take(self, disks):
        """Return the words that give a guest the next pieces for so many disks."""
        at, self.used = self.used, self.used + disks
        return f"at={at * PIECE_KB}K seed={at + 1}"


def _stock(bed, name, own):
    return bed.create_guest(name, disks=[own], memory=192, extra="quiet", wait=False)


def _stock_job(guest):
    """A verified fio job that runs beside the others; its result is what it prints."""
    rw, depth, size = STOCK_FIO
    device = "/dev/vda" if guest.name.startswith("v") else "/dev/xvda"
    guest.start("cd /tmp && " + stories.fio_text(rw, depth=depth, size=size, device=device,
                                                 verify=True)
                + " >/tmp/job.out 2>&1; cat /tmp/job.json")


def _ratio(runs):
    counts = [run["requests"] for run in runs]
    return min(counts) / max(counts)


def _verified(fronts, options=""):
    """Start them together; return their runs, all without an error, when all are through."""
    fronts_go(fronts, options=options)
    runs = {front.name: front.wait_done() for front in fronts}
    for name, run in runs.items():
        assert run["errors"] == 0, f"{name}: {run}"
        assert all(d["requests"] > 0 and d["checked"] > 0 for d in run["disks"]), f"{name}: {run}"
    return runs


def _all_verified(fronts, guests):
    """Everybody at once; return the runs of the freestanding guests."""
    for guest in guests:
        _stock_job(guest)
    runs = _verified(fronts)
    for guest in guests:
        code, text = guest.finish(stories.FIO_TIMEOUT_S)
        assert code == 0, f"{guest.name}: {text[-2000:]}"
        job = stories.fio_result(text)
        assert job["write"]["total_ios"] == job["read"]["total_ios"] > 0, guest.name
    return runs


def _create(bed, singles, multis, stock):
    """Return (freestanding guests with one disk, with four, stock guests), all ready."""
    guests = [_stock(bed, name, own) for name, own in stock.items()]
    pieces = Pieces()
    alike, four = [], []
    for i in range(singles):
        alike.append(Front(bed, f"fv{i}", [disk("v")], f"{SINGLE} {pieces.take(1)}"))
        alike.append(Front(bed, f"fp{i}", [pv_disk("p")], f"{SINGLE} {pieces.take(1)}"))
    for i in range(multis):
        disks = [disk("v"), disk("v", "xvdb", grants=True), pv_disk("p", "xvdc"),
                 pv_disk("p", "xvdd")]
        four.append(Front(bed, f"fm{i}", disks, f"{SINGLE} depth=4 {pieces.take(4)}"))
    assert [front.wait_ready() for front in alike + four] == [1] * len(alike) + [4] * len(four)
    for guest in guests:
        guest.wait_ready()
    return alike, four, guests


def _everybody(bed, store, singles, multis, stock):
    """Guests are made, do verified I/O together, and go; return the ratios of their requests.

    Of one protocol while everybody is at work, guests asleep until an event comes. Of both, whose
    events cost a guest differently, while the guests look at their rings without a sleep.
    """
    base = store.held()
    alike, four, guests = _create(bed, singles, multis, stock)
    assert store.held()["devices"] == 2 * singles + 4 * multis + len(guests)
    runs = _all_verified(alike + four, guests)
    for front in four:
        assert [d["grants"] for d in runs[front.name]["disks"]] == [0, 1, 1, 1]
    together = _verified(alike, "spin=1")
    ratios = {"virtio": _ratio([runs[f"fv{i}"] for i in range(singles)]),
              "PV": _ratio([runs[f"fp{i}"] for i in range(singles)]),
              "both": _ratio(list(together.values()))}
    for front in alike + four:
        assert front.off() == 0, f"pages of {front.name} are still in use"
    for guest in guests:
        guest.destroy()
    store.wait_held(base)
    return ratios, (runs, together)


def _judge(ratios, runs, fair):
    counts = [{name: run["requests"] for name, run in some.items()} for some in runs]
    print(f"requests {counts}\nslowest/fastest {ratios}")
    assert all(ratio >= fair for ratio in ratios.values()), f"{ratios}: {counts}"


@pytest.mark.bed(**FLASK)
def test_six_guests_at_once(bed):
    """Stock and freestanding, virtio and PV, one with four disks: verified, served alike."""
    store = Storage(bed, "disk=v,size=4M,shared disk=p,size=4M,shared disk=s,size=4M")
    _judge(*_everybody(bed, store, singles=2, multis=1, stock={"v1": disk("s")}), FAIR_FEW)


@pytest.mark.slow
@pytest.mark.bed(**FLASK)
@pytest.mark.limit(1200)
def test_sixteen_guests_at_once(bed):
    """Three stock guests and thirteen freestanding ones: verified, served alike, nothing left."""
    store = Storage(bed, "disk=v,size=8M,shared disk=p,size=8M,shared "
                         "disk=s1,size=4M disk=s2,size=4M disk=s3,size=4M")
    ratios, runs = _everybody(bed, store, singles=5, multis=3,
                              stock={"v1": disk("s1"), "v2": disk("s2"), "p1": pv_disk("s3")})
    results.write("many", [
        results.row(f"fairness {what} 16 guests", ratio, "slowest/fastest",
                    "make test-slow: 5 guests of each protocol, equal load, by requests in 8 s")
        for what, ratio in ratios.items()])
    _judge(ratios, runs, FAIR)


@pytest.mark.bed(**FLASK)
def test_a_guest_that_meets_foreign_data_says_so(bed):
    """Two verified jobs with different seeds on the same piece: they must see each other."""
    store = Storage(bed, "disk=v,size=1M,shared")
    fronts = [Front(bed, f"fv{i}", [disk("v")], f"job=verify seconds=3 depth=4 span=64K seed={i}")
              for i in range(2)]
    for front in fronts:
        front.wait_ready()
    fronts_go(fronts)
    wrong = [front.wait_done()["errors"] for front in fronts]
    assert any(wrong), "two guests wrote to the same blocks, and nobody noticed"
    assert store.stats()["total"]["requests"] > 0
