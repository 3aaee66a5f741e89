# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the system tests: one booted machine is shared by all tests of one configuration.

    @pytest.mark.bed(xen="ioreq", gic=3, xsm="dummy")     # what Bed() takes; none: its defaults
    def test_something(bed):
        guest = bed.create_guest("g1", ...)

Tests are sorted by configuration, so each is booted once; every domain that a test leaves behind
is destroyed after it; after a failure the machine's logs are shown and it is booted anew.
build/caisson.img and build/guest/front (make guest-kernels) lie in Dom0's /images when they exist.
"""

import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.testbed import util  # noqa: E402  (the path above makes it importable)
from tools.testbed.bed import Bed  # noqa: E402

KERNELS = (util.BUILD / "caisson.img", util.BUILD / "guest" / "front")
LOG_TAIL_LINES = 40


def _settings(item):
    marker = item.get_closest_marker("bed")
    return dict(marker.kwargs) if marker else {}


def _key(settings):
    return repr(sorted(settings.items(), key=lambda kv: kv[0]))


def pytest_configure(config):
    """Tell pytest our markers, and keep progress lines out of its own output."""
    config.addinivalue_line("markers", "bed(**settings): the machine that a test needs, as Bed()")
    config.addinivalue_line("markers", "slow: takes minutes, part of make test-slow only")


def pytest_collection_modifyitems(items):
    """Bring tests of one configuration together, otherwise keep their order."""
    order = {}
    for item in items:
        order.setdefault(_key(_settings(item)), len(order))
    items.sort(key=lambda item: order[_key(_settings(item))])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Show the tails of the machine's logs with a failure, and remember it for the fixture."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        item.testbed_failed = True
        bed = getattr(item, "testbed_bed", None)
        if bed is not None:
            for path in sorted(bed.log_dir.glob("*.log")):
                report.sections.append((f"end of {path}", util.tail(path, LOG_TAIL_LINES)))


class _Pool:
    """At most one booted machine, with the settings it was booted with."""

    def __init__(self):
        self.bed, self.key = None, None

    def take(self, settings, name):
        """Return a booted machine with these settings."""
        key = _key(settings)
        if self.bed is not None and (key != self.key or not self.bed.machine.alive()):
            self.drop()
        if self.bed is None:
            # What takes long to make is named by the function that makes it.
            payload = {name: item() if callable(item) else item
                       for name, item in (settings.pop("payload", None) or {}).items()}
            for kernel in KERNELS:
                if kernel.is_file():
                    payload.setdefault(kernel.name, kernel)
            bed = Bed(payload=payload, name=name, **settings)
            bed.__enter__()
            self.bed, self.key = bed, key
        return self.bed

    def drop(self):
        """End the machine."""
        if self.bed is not None:
            self.bed.close()
            self.bed, self.key = None, None


@pytest.fixture(scope="session")
def _pool():
    pool = _Pool()
    yield pool
    pool.drop()


@pytest.fixture
def bed(request, _pool):
    """Return the booted machine that the test's marker asks for."""
    name = re.sub(r"\W+", "-", request.node.nodeid.removeprefix("tests/"))
    machine = _pool.take(_settings(request.node), name)
    request.node.testbed_bed = machine
    yield machine
    if getattr(request.node, "testbed_failed", False):
        _pool.drop()
        return
    try:
        machine.destroy_all()
    except util.TestbedError as err:
        _pool.drop()
        pytest.fail(f"the test left domains that cannot be destroyed: {err}")
