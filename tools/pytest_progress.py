# SPDX-License-Identifier: BSD-2-Clause
"""pytest_progress.py - the pytest plugin of run_tests.py.

Says which test begins, writes one JSON line per finished test to $CAISSON_TEST_EVENTS at once (so
that a killed run keeps what it has), and ends a test that takes longer than its limit:
$CAISSON_TEST_LIMIT_S, or @pytest.mark.limit(seconds).
"""
import json
import os
import signal

import pytest

WHY_MAX = 12000     # characters of a failure that are kept


class OverTime(Exception):
    """The test took longer than its limit."""


def _write(event):
    path = os.environ.get("CAISSON_TEST_EVENTS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): the test's own time limit")
    # The end comes as SIGTERM: let fixtures shut their machines down.
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def pytest_runtest_logstart(nodeid):
    # Only where a test may take long; the result is told by run_tests.py.
    if nodeid.startswith("tests/system/"):
        print(f"run   {nodeid}", flush=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("limit")
    limit = int(marker.args[0] if marker else os.environ.get("CAISSON_TEST_LIMIT_S", "0"))

    def over(*_):
        raise OverTime(f"no end after {limit} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(limit)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class _Item:
    """The phases of the test that runs now, added up."""

    seconds = 0.0
    outcome = "passed"
    why = ""


def _why(report):
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    text = str(report.longrepr)
    for title, content in report.sections:
        text += f"\n--- {title}\n{content}"
    return text if len(text) <= WHY_MAX else "...\n" + text[-WHY_MAX:]


def pytest_runtest_logreport(report):
    if report.when == "setup":
        _Item.seconds, _Item.outcome, _Item.why = 0.0, "passed", ""
    _Item.seconds += report.duration
    if report.outcome != "passed" and _Item.outcome != "failed":
        _Item.outcome = report.outcome
        _Item.why = getattr(report, "wasxfail", "") or _why(report)
    if report.when == "teardown":
        _write({"name": report.nodeid, "outcome": _Item.outcome,
                "seconds": _Item.seconds, "why": _Item.why})


def pytest_collectreport(report):
    if report.failed:
        _write({"name": f"{report.nodeid} (collection)", "outcome": "failed", "seconds": 0.0,
                "why": str(report.longrepr)})
    elif report.skipped:
        _write({"name": report.nodeid, "outcome": "skipped", "seconds": 0.0, "why": _why(report)})
