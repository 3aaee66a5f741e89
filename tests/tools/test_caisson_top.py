# SPDX-License-Identifier: BSD-2-Clause
"""caisson-top: what it makes of keys, and how it gets them."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import stat

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools" / "caisson-top"
HOME = "/local/domain/3/data/caisson"

# What xenstore-ls -f prints in Dom0, of two rounds two seconds apart.
FIRST = f"""{HOME} = ""
{HOME}/watch = "21"
{HOME}/stats = ""
{HOME}/stats/image = "attached=2 detached=0 refused=0 guests=1 devices=2"
{HOME}/stats/loop = "turns=1000 busy=10 sleeps=7 spurious_irqs=0"
{HOME}/stats/held = "guests=1 devices=2 requests=0"
{HOME}/stats/5 = ""
{HOME}/stats/5/51712 = "virtio connected data"
{HOME}/stats/5/51712/io = "requests=1000 reads=600 writes=400 flushes=0 discards=0 \
sectors_read=4800 sectors_written=3200 batches=500 in_flight=0 zeroes=0 erases=0"
{HOME}/stats/5/51712/events = "kicks=100 irqs=200 resets=1"
{HOME}/stats/5/51712/errors = "guest=0 medium=0 no_slot=0 no_map=0 unsupported=0 needs_resets=0"
{HOME}/stats/5/51712/latency = "2us=900 4us=100"
{HOME}/stats/6/51728 = "pv waiting swap"
{HOME}/stats/6/51728/io = "requests=0 reads=0 writes=0 batches=0"
{HOME}/stats/6/51728/events = "kicks=0 irqs=0"
{HOME}/stats/6/51728/errors = "guest=0 medium=0"
{HOME}/stats/6/51728/latency = ""
{HOME}/stats/round = "number=4 ms=10000"
"""
SECOND = (FIRST.replace("number=4 ms=10000", "number=6 ms=12000")
          .replace("requests=1000 reads=600 writes=400", "requests=3000 reads=1600 writes=1400")
          .replace("sectors_read=4800 sectors_written=3200",
                   "sectors_read=12800 sectors_written=11200")
          .replace("batches=500", "batches=1000").replace("kicks=100", "kicks=110")
          .replace("irqs=200", "irqs=600").replace("errors = \"guest=0", "errors = \"guest=2", 1)
          .replace("2us=900 4us=100", "2us=2880 4us=110 1024us=10"))


@pytest.fixture(name="top", scope="module")
def _top():
    loader = importlib.machinery.SourceFileLoader("caisson_top", str(PROGRAM))
    spec = importlib.util.spec_from_loader("caisson_top", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _snapshot(top, text):
    return top.Snapshot(top.parse_tree(text, HOME))


def test_rates_are_those_of_the_interval(top):
    """Counters become rates by the image's own clock."""
    rows = top.compare(_snapshot(top, FIRST), _snapshot(top, SECOND))
    disk, idle = rows
    assert (disk["guest"], disk["vdev"], disk["name"]) == (5, "xvda", "data")
    assert (disk["protocol"], disk["state"]) == ("virtio", "connected")
    assert (disk["iops"], disk["reads"], disk["writes"]) == (1000, 500, 500)
    assert disk["read_mb"] == pytest.approx(8000 * 512 / 2 / 1e6)
    assert disk["depth"] == 4
    assert (disk["kicks"], disk["irqs"], disk["errors"]) == (5, 200, 2)
    assert (disk["p50_us"], disk["p99_us"]) == (2, 2)
    assert (idle["iops"], idle["depth"], idle["p50_us"], idle["vdev"]) == (0, 0, None, "xvdb")


def test_percentiles_are_bounds_of_what_moved(top):
    """Only requests between the two count, and the last bucket has no bound."""
    assert top.percentiles({}, {}) == {50: None, 99: None}
    assert top.percentiles({"2us": 50}, {"2us": 50, "8us": 1}) == {50: 8, 99: 8}
    assert top.percentiles({}, {"16us": 1, "2us": 98, "4us": 1}) == {50: 2, 99: 4}
    assert top.percentiles({}, {"2us": 1, "longer": 9}) == {50: ">16777216", 99: ">16777216"}


def test_a_disk_that_came_anew_begins_at_zero(top):
    """Counters that fell are another disk's: no negative rates."""
    rows = top.compare(_snapshot(top, SECOND), _snapshot(top, FIRST))
    assert rows[0]["iops"] > 0 and rows[0]["counters"]["io"]["requests"] == 1000


def test_keys_that_make_no_sense_are_passed_over(top):
    """Half a disk, and text of a stranger."""
    text = FIRST + (f'{HOME}/stats/7/1 = "odd"\n{HOME}/stats/x/1 = "pv connected y"\n'
                    f'no line at all\n{HOME}/stats/8/51712 = "pv connected half"\n')
    snapshot = _snapshot(top, text)
    assert sorted(snapshot.disks) == [(5, 51712), (6, 51728), (8, 51712)]
    assert top.compare(snapshot, snapshot)[2]["iops"] == 0


def test_devices_have_the_names_that_xl_gives(top):
    """xvda, its partitions, and the wide numbers of disks beyond xvdp."""
    names = {51712: "xvda", 51713: "xvda1", 51728: "xvdb", (1 << 28) | (16 << 8): "xvdq",
             (1 << 28) | (26 << 8): "xvdaa", 768: "768"}
    assert {devid: top.vdev_name(devid) for devid in names} == names


# --- with programs that play xenstore ------------------------------------------------------------

PLAYED = """#!/usr/bin/python3 -IS
import pathlib, sys
here = pathlib.Path(__file__).parent
tool, path = pathlib.Path(sys.argv[0]).name, sys.argv[-1]
with open(here / "log", "a") as log:
    print(tool, *sys.argv[1:], file=log)
if tool == "xenstore-ls":
    looks = here / "looks"
    count = int(looks.read_text()) if looks.exists() else 0
    looks.write_text(str(count + 1))
    print((here / str(min(count, 2))).read_text(), end="")
elif tool == "xenstore-list":
    names = {"/local/domain": "0 3 5 6", "/local/domain/3/backend": "vbd", **EXTRA}
    if path not in names:
        sys.exit(1)
    print(*names[path].split(), sep="\\n")
elif tool == "xenstore-read":
    names = {"3": "caisson", "5": "web", "6": "mail", "0": "Domain-0"}
    print(names[path.split("/")[3]])
"""


def _play(tmp_path, monkeypatch, extra=None):
    for look, text in enumerate((FIRST.replace("number=4", "number=3"), FIRST, SECOND)):
        (tmp_path / str(look)).write_text(text)
    for tool in ("ls", "list", "read", "write"):
        path = tmp_path / f"xenstore-{tool}"
        path.write_text(PLAYED.replace("EXTRA", repr(extra or {})))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "log"


@pytest.mark.parametrize("via", [[], ["--via", "sh -c"]])
def test_one_interval_as_json(top, tmp_path, monkeypatch, capsys, via):
    """From the search for the domain to the object; the keys are asked for, for a while."""
    log = _play(tmp_path, monkeypatch)
    monkeypatch.setattr(top.time, "sleep", lambda seconds: None)
    assert top.main(["--once", "--json", *via]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["domain"] == 3 and shown["image"]["loop"]["sleeps"] == 7
    assert [(d["guest_name"], d["name"]) for d in shown["disks"]] == [("web", "data"),
                                                                      ("mail", "swap")]
    assert f"xenstore-write {HOME}/watch 21" in log.read_text()


def test_one_interval_as_a_table(top, tmp_path, monkeypatch, capsys):
    """One line for each disk under its title."""
    _play(tmp_path, monkeypatch)
    monkeypatch.setattr(top.time, "sleep", lambda seconds: None)
    assert top.main(["--once", "--domain", "caisson"]) == 0
    lines = capsys.readouterr().out.splitlines()
    title = next(line for line in lines if line.startswith("GUEST"))
    web = next(line for line in lines if line.startswith("web"))
    assert web.split()[:5] == ["web", "xvda", "data", "virtio", "connected"]
    assert len(web.split()) == 14
    assert web[:title.index("IOPS") + 4].endswith(" 1000")


def test_what_is_missing_is_said_with_the_cure(top, tmp_path, monkeypatch, capsys):
    """No such domain, several of them, no programs."""
    _play(tmp_path, monkeypatch, {"/local/domain/6/backend": "vbd"})
    assert top.main(["--once"]) == 1
    assert "pick one by --domain: caisson (3), mail (6)" in capsys.readouterr().err
    assert top.main(["--once", "--domain", "nobody"]) == 1
    assert "there is no domain nobody" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert top.main(["--once"]) == 1
    assert "--via" in capsys.readouterr().err


def test_a_domain_that_says_nothing_is_not_waited_for_forever(top, tmp_path, monkeypatch, capsys):
    """Rounds that do not come end it."""
    _play(tmp_path, monkeypatch)
    for look in range(3):
        (tmp_path / str(look)).write_text(FIRST)
    monkeypatch.setattr(top, "ROUND_LIMIT_S", 0.2)
    assert top.main(["--once"]) == 1
    assert "does it run Caisson" in capsys.readouterr().err
