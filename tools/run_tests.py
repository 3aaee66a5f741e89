#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""run_tests.py - every test there is, and one line at the end: N passed, N failed.

Builds what the tests need, then runs, in this order:
  check             `make check`
  unit tests        build/host/tests/{test,enum,fuzz}_*: programs that speak TAP
  tests of tools    tests/tools, by pytest
  system tests      tests/system, by pytest: they boot the test bed

A build that fails, a program that crashes, hangs, leaks or runs no test is a failed test.
Everything has a time limit. Exit 0 when nothing failed and something passed, else 1.
"""
import argparse
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build" / "host" / "tests"
EVENTS = ROOT / "build" / "tests"
PYTHON = "/usr/bin/python3"

BUILD_LIMIT_S = 600
CHECK_LIMIT_S = 300
UNIT_LIMIT_S = 120
PYTEST_LIMIT_S = {"tests/tools": 180, "tests/system": 2700}
TEST_LIMIT_S = {"tests/tools": 60, "tests/system": 600}
GRACE_S = 30          # from the request to end to the kill: a test bed shuts its machines down
DRAIN_S = 1           # output is awaited this long after the end of a program
SHOWN_LINES = 100     # of the output of a program that failed

TAP_PLAN = re.compile(r"1\.\.(\d+)$")
TAP_SKIP = re.compile(r"(?:not )?ok \d+ # SKIP\b\s*(.*)$", re.IGNORECASE)
TAP_RESULT = re.compile(r"(not )?ok \d+ - (.*)$")


class Tally:
    """What happened so far, and the words for it."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.passed = 0
        self.failures = []
        self.skips = []

    def say(self, text):
        print(text, file=self.out, flush=True)

    def ok(self, name, seconds):
        self.passed += 1
        self.say(f"ok    {name} ({seconds:.2f} s)")

    def fail(self, name, seconds, why):
        self.failures.append(name)
        self.say(f"FAIL  {name} ({seconds:.2f} s)")
        for line in why.rstrip().split("\n"):
            self.say(f"      {line}")

    def skip(self, name, reason):
        self.skips.append((name, reason))
        self.say(f"skip  {name}: {reason}")

    def closing_line(self):
        line = f"{self.passed} passed, {len(self.failures)} failed"
        return f"{line}, {len(self.skips)} skipped" if self.skips else line

    def close(self):
        """The summary; the closing line is the last thing that is printed."""
        if not (self.passed or self.failures or self.skips):
            self.say("no test was run: does the filter name one?")
        if self.skips:
            self.say("\nskipped:")
            for name, reason in self.skips:
                self.say(f"  {name}: {reason}")
        if self.failures:
            self.say("\nfailed:")
            for name in self.failures:
                self.say(f"  {name}")
        self.say(self.closing_line())
        return 0 if self.passed and not self.failures else 1


class Program:
    """A program on a terminal of its own: its output comes line by line, and it always ends."""

    running = None

    def __init__(self, command, limit_s, env=None):
        self.limit_s = limit_s
        self.timed_out = False
        self.master, slave = pty.openpty()
        try:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                start_new_session=True)
        except OSError:
            os.close(self.master)
            raise
        finally:
            os.close(slave)
        Program.running = self

    def kill(self, number):
        """The whole session: also what the program started and left behind."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def _chunks(self):
        end = time.monotonic() + self.limit_s
        kill_at = None
        gone_at = None
        while True:
            now = time.monotonic()
            if self.process.poll() is not None and gone_at is None:
                gone_at = now
            if gone_at is not None and now > gone_at + DRAIN_S:
                return
            if kill_at is None and now > end:
                self.timed_out = True
                self.kill(signal.SIGTERM)
                kill_at = now + GRACE_S
            elif kill_at is not None and now > kill_at:
                self.kill(signal.SIGKILL)
                kill_at = now + GRACE_S
            if not select.select([self.master], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:        # the last holder of the terminal is gone
                data = b""
            if not data:
                return
            yield data

    def lines(self):
        """Every line of output, without its end; returns after the program's end."""
        rest = b""
        try:
            for data in self._chunks():
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    yield line.decode("utf-8", "replace").rstrip("\r")
            if rest:
                yield rest.decode("utf-8", "replace").rstrip("\r")
        finally:
            self.end()

    def end(self):
        try:
            self.process.wait(0 if self.timed_out else DRAIN_S)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGTERM)
            try:
                self.process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                pass
        self.kill(signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        Program.running = None

    def outcome(self):
        """None when the program ended well, else the sentence."""
        code = self.process.returncode
        if self.timed_out:
            return f"no end after {self.limit_s} s"
        if code < 0:
            return f"ended by {signal.Signals(-code).name}"
        return f"exit status {code}" if code else None


def environment():
    """Ours, without the make that called us, and with readable sanitizer reports."""
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    env["ASAN_OPTIONS"] = "color=never:" + env.get("ASAN_OPTIONS", "")
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:color=never:" + env.get("UBSAN_OPTIONS", "")
    env["CMOCKA_MESSAGE_OUTPUT"] = "TAP"
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    env["PY_COLORS"] = "0"
    return env


def tail(lines):
    cut = len(lines) - SHOWN_LINES
    return "\n".join(([f"... {cut} lines before"] if cut > 0 else []) + lines[-SHOWN_LINES:])


def run_step(tally, name, command, limit_s, quiet_ok=False):
    """A command whose exit status is the result. Returns True when it passed."""
    start = time.monotonic()
    tally.say(f"run   {name}")
    program = Program(command, limit_s, environment())
    lines = list(program.lines())
    why = program.outcome()
    seconds = time.monotonic() - start
    if why:
        tally.fail(name, seconds, f"{why}: {' '.join(command)}\n{tail(lines)}")
    elif not quiet_ok:
        tally.ok(name, seconds)
    return not why


def make(*targets, keep_going=True):
    jobs = f"-j{os.cpu_count() or 1}"
    return ["make", "--no-print-directory", jobs, "--output-sync=target",
            *(["-k"] if keep_going else []), *targets]


def run_unit(tally, name, path, limit_s=UNIT_LIMIT_S):
    """One cmocka program: each of its tests is one of ours."""
    start = last = time.monotonic()
    planned = seen = failed = 0
    lines, since = [], []
    pending = None          # a failed test; its report follows its result
    program = Program([str(path)], limit_s, environment())

    def flush():
        nonlocal pending
        if pending:
            tally.fail(*pending, "\n".join(since))
        pending = None
        since.clear()

    for line in program.lines():
        lines.append(line)
        plan, skip, result = (p.match(line) for p in (TAP_PLAN, TAP_SKIP, TAP_RESULT))
        if not (plan or skip or result):
            since.append(line)
            continue
        now = time.monotonic()
        if plan:
            flush()
            planned += int(plan.group(1))
            last = now
            continue
        seen += 1
        before = [] if pending else list(since)
        flush()
        if skip:
            tally.skip(f"{name}: {skip.group(1)}", "; ".join(before) or "skip() without a word")
        elif result.group(1):
            failed += 1
            pending = (f"{name}: {result.group(2)}", now - last)
            since.extend(before)
        else:
            tally.ok(f"{name}: {result.group(2)}", now - last)
        last = now
    flush()
    judge_unit(tally, name, program, (planned, seen, failed), time.monotonic() - start, lines)


def judge_unit(tally, name, program, counts, seconds, lines):
    """What the single results do not tell: crash, hang, leak, nothing run."""
    planned, seen, failed = counts
    why = program.outcome()
    if seen < planned or program.timed_out or program.process.returncode < 0:
        tally.fail(name, seconds,
                   f"{why or 'ended'} after {seen} of {planned} tests\n{tail(lines)}")
    elif not planned:
        tally.fail(name, seconds, f"ran no test ({why or 'exit status 0'})\n{tail(lines)}")
    elif why and not failed:
        tally.fail(name, seconds, f"{why} after all tests passed (a leak?)\n{tail(lines)}")
    elif failed and not why:
        tally.fail(name, seconds, "a test failed but the program says exit status 0")


def unit_sources(root=ROOT):
    return sorted([*root.glob("tests/unit/test_*.c"), *root.glob("tests/enum/enum_*.c"),
                   *root.glob("tests/fuzz/fuzz_*.c")])


def run_units(tally, wanted):
    for source in unit_sources():
        name = source.stem
        if not wanted(name):
            continue
        path = PROGRAMS / name
        if os.access(path, os.X_OK):
            run_unit(tally, name, path)
        else:
            tally.fail(name, 0, f"{path.relative_to(ROOT)} was not built: see the build above")


def run_pytest(tally, directory, pattern, slow=False):
    """The tests of a directory; the plugin pytest_progress tells us of each as it ends."""
    if not any((ROOT / directory).rglob("test_*.py")):
        return
    EVENTS.mkdir(parents=True, exist_ok=True)
    events = EVENTS / (directory.replace("/", "-") + ".jsonl")
    events.write_text("")
    env = environment()
    env["CAISSON_TEST_EVENTS"] = str(events)
    env["CAISSON_TEST_LIMIT_S"] = str(TEST_LIMIT_S[directory])
    command = [PYTHON, "-m", "pytest", "-p", "pytest_progress", "-p", "no:terminal",
               "-p", "no:cacheprovider", "--continue-on-collection-errors", directory]
    if directory == "tests/system":
        command.append("--capture=no")     # a test bed shows how far it is
        if not slow:
            command += ["-m", "not slow"]
    if pattern:
        command += ["-k", pattern]
    start = time.monotonic()
    program = Program(command, PYTEST_LIMIT_S[directory], env)
    lines, read_at = [], 0
    for line in program.lines():
        lines.append(line)
        if line:
            tally.say(f"      {line}")
        read_at = take_events(tally, events, read_at)
    take_events(tally, events, read_at)
    # 1: tests failed, told above. 5: the filter left none.
    if program.timed_out or program.process.returncode not in (0, 1, 5):
        tally.fail(f"{directory} as a whole", time.monotonic() - start,
                   f"{program.outcome()}\n{tail(lines)}")


def take_events(tally, events, at):
    """Count what the plugin has written since byte `at`; returns where it stopped."""
    with open(events, "rb") as file:
        file.seek(at)
        for line in file:
            if not line.endswith(b"\n"):
                break
            at += len(line)
            event = json.loads(line)
            if event["outcome"] == "passed":
                tally.ok(event["name"], event["seconds"])
            elif event["outcome"] == "skipped":
                tally.skip(event["name"], event["why"])
            else:
                tally.fail(event["name"], event["seconds"], event["why"])
    return at


def parse(argv):
    parser = argparse.ArgumentParser(description="Run the tests of Caisson.")
    parser.add_argument("-k", metavar="NAME", default="",
                        help="only tests with NAME in their name (a unit program, or pytest's -k)")
    parser.add_argument("--unit-only", action="store_true",
                        help="only unit tests and tests of tools")
    parser.add_argument("--system-only", action="store_true", help="only system tests")
    parser.add_argument("--slow", action="store_true", help="the slow system tests too")
    parser.add_argument("--no-build", action="store_true", help="take what is built")
    return parser.parse_args(argv)


def run_all(tally, options):
    units, system = not options.system_only, not options.unit_only
    names = [s.stem for s in unit_sources() if options.k in s.stem]
    if not options.no_build:
        if units and names:
            targets = [f"build/host/tests/{n}" for n in names] if options.k else ["host-tests"]
            run_step(tally, "build of the unit tests", make(*targets), BUILD_LIMIT_S,
                     quiet_ok=bool(options.k))
        if system:
            run_step(tally, "build of the image", make("all", "guest-kernels"), BUILD_LIMIT_S,
                     quiet_ok=bool(options.k))
    if units and system and options.k in "check":
        run_step(tally, "check", make("check"), CHECK_LIMIT_S)
    if units:
        run_units(tally, lambda name: options.k in name)
        run_pytest(tally, "tests/tools", options.k)
    if system:
        run_pytest(tally, "tests/system", options.k, options.slow)


def stop(number, _frame):
    if Program.running:
        Program.running.kill(signal.SIGTERM)
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(argv):
    options = parse(argv)
    tally = Tally()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        run_all(tally, options)
    except KeyboardInterrupt as e:
        tally.fail("the whole run", 0, f"interrupted by {e}")
    return tally.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
