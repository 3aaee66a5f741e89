# SPDX-License-Identifier: BSD-2-Clause
"""run_tests.py: whatever a program does, it is counted rightly and the run ends."""
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import run_tests

TOOLS = Path(run_tests.__file__).parent


@pytest.fixture(name="tally")
def fixture_tally():
    return run_tests.Tally(io.StringIO())


def program(directory, script):
    path = directory / "test_program"
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)
    return path


def unit(tally, directory, script, **options):
    run_tests.run_unit(tally, "test_program", program(directory, script), **options)
    return tally.passed, len(tally.failures), len(tally.skips)


def test_results_of_tap_are_counted(tally, tmp_path):
    assert unit(tally, tmp_path, """
        echo 1..3; echo ok 1 - one
        echo 'not ok 2 - two'; echo '# 0x1 != 0x2'
        echo 'not ok 3 # SKIP three'
        exit 1
        """) == (1, 1, 1)
    assert tally.failures == ["test_program: two"]
    assert tally.skips[0][0] == "test_program: three"
    assert "# 0x1 != 0x2" in tally.out.getvalue()


def test_several_groups_add_up(tally, tmp_path):
    assert unit(tally, tmp_path, """
        echo 1..1; echo ok 1 - one; echo 1..2; echo ok 1 - two; echo ok 2 - three
        """) == (3, 0, 0)


@pytest.mark.parametrize("script, words", [
    ("echo 1..2; echo ok 1 - one; kill -SEGV $$", "SIGSEGV after 1 of 2"),
    ("echo 1..2; echo ok 1 - one; exit 0", "ended after 1 of 2"),
    ("echo 1..1; echo ok 1 - one; echo leak; exit 23", "exit status 23 after all tests passed"),
    ("exit 0", "ran no test"),
    ("echo 1..1; echo 'not ok 1 - one'; exit 0", "says exit status 0"),
])
def test_a_program_that_ends_badly_is_a_failure(tally, tmp_path, script, words):
    assert unit(tally, tmp_path, script)[1] >= 1
    assert words in tally.out.getvalue()


def test_a_program_that_hangs_is_ended(tally, tmp_path, monkeypatch):
    monkeypatch.setattr(run_tests, "GRACE_S", 1)
    start = time.monotonic()
    assert unit(tally, tmp_path, """
        trap '' TERM
        echo 1..2; echo ok 1 - one
        while :; do sleep 0.1; done
        """, limit_s=1) == (1, 1, 0)
    assert time.monotonic() - start < 15
    assert "no end after 1 s" in tally.out.getvalue()


def test_what_a_program_leaves_behind_is_ended(tally, tmp_path):
    pid_file = tmp_path / "pid"
    unit(tally, tmp_path, f"""
        echo 1..1; echo ok 1 - one
        sleep 300 & echo $! > {pid_file}
        """)
    pid = int(pid_file.read_text())
    for _ in range(50):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().split(") ")[1][0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} still runs")


def test_the_closing_line(tally):
    tally.ok("a", 0)
    assert (tally.close(), tally.closing_line()) == (0, "1 passed, 0 failed")
    tally.skip("b", "no such machine")
    assert (tally.close(), tally.closing_line()) == (0, "1 passed, 0 failed, 1 skipped")
    assert "b: no such machine" in tally.out.getvalue()
    tally.fail("c", 0, "why")
    assert tally.close() == 1
    assert tally.out.getvalue().rstrip().split("\n")[-1] == "1 passed, 1 failed, 1 skipped"


def test_no_test_at_all_is_not_success(tally):
    assert tally.close() == 1


def test_a_failed_step_shows_its_output(tally):
    assert not run_tests.run_step(tally, "step", ["sh", "-c", "echo the cause; exit 3"], 10)
    assert "exit status 3" in tally.out.getvalue() and "the cause" in tally.out.getvalue()
    assert run_tests.run_step(tally, "step", ["true"], 10)


INNER = """
    import time
    import pytest

    def test_passes():
        pass

    def test_fails():
        assert 1 == 2

    @pytest.mark.skip(reason="no such machine")
    def test_skipped():
        pass

    @pytest.mark.limit(1)
    def test_hangs():
        time.sleep(60)

    @pytest.fixture
    def broken():
        yield
        raise OSError("teardown")

    def test_whose_fixture_breaks(broken):
        pass
    """


@pytest.fixture(name="inner")
def fixture_inner(tmp_path, monkeypatch):
    """A tree with tests of its own, run as run_tests.py runs ours."""
    directory = tmp_path / "tests" / "tools"
    directory.mkdir(parents=True)
    (tmp_path / "tools").symlink_to(TOOLS)
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    monkeypatch.setattr(run_tests, "EVENTS", tmp_path / "events")
    monkeypatch.setattr(run_tests, "PYTHON", sys.executable)
    return directory


def test_pytest_results_are_counted(tally, inner):
    (inner / "test_inner.py").write_text(textwrap.dedent(INNER))
    (inner / "test_broken.py").write_text("import nothing_of_this_name\n")
    run_tests.run_pytest(tally, "tests/tools", "")
    said = tally.out.getvalue()
    assert (tally.passed, len(tally.failures), len(tally.skips)) == (1, 4, 1), said
    assert "test_broken.py" in tally.failures[0]
    assert tally.skips[0][1] == "no such machine"
    assert "assert 1 == 2" in said and "no end after 1 s" in said and "teardown" in said


def test_the_filter_reaches_pytest(tally, inner):
    (inner / "test_inner.py").write_text(textwrap.dedent(INNER))
    run_tests.run_pytest(tally, "tests/tools", "passes")
    assert (tally.passed, len(tally.failures), len(tally.skips)) == (1, 0, 0)
    run_tests.run_pytest(tally, "tests/tools", "nothing_has_this_name")
    assert (tally.passed, len(tally.failures)) == (1, 0)


def test_a_killed_pytest_keeps_what_it_had(tally, inner, monkeypatch):
    (inner / "test_inner.py").write_text(textwrap.dedent("""
        import time
        def test_a():
            pass
        def test_b():
            time.sleep(60)
        """))
    monkeypatch.setitem(run_tests.PYTEST_LIMIT_S, "tests/tools", 3)
    run_tests.run_pytest(tally, "tests/tools", "")
    assert tally.passed == 1 and tally.failures[-1] == "tests/tools as a whole"


def test_interrupting_the_run_still_gives_the_closing_line(tmp_path):
    code = textwrap.dedent("""
        import sys
        import run_tests
        run_tests.run_all = lambda tally, options: run_tests.run_step(
            tally, "long", ["sleep", "60"], 100)
        sys.exit(run_tests.main([]))
        """)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(TOOLS)}, cwd=tmp_path)
    assert child.stdout.readline().startswith("run   long")
    time.sleep(0.5)
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=30)
    assert out.rstrip().split("\n")[-1] == "0 passed, 1 failed"
    assert child.returncode == 1
