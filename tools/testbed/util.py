# SPDX-License-Identifier: BSD-2-Clause
"""Paths, progress lines, bounded commands and the build cache of the test bed.

Everything that is downloaded or built lies under build/testbed/NAME-KEY, where KEY is a digest of
all the inputs. A step runs into a private folder that is renamed when it is complete, under a
file lock, so that two runs at the same time neither clash nor see half a result.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("CAISSON_BUILD", ROOT / "build"))
CACHE = BUILD / "testbed"
LOGS = BUILD / "logs"

HEARTBEAT_S = 10.0
KEY_DIGITS = 16


class TestbedError(Exception):
    """A step failed; the text says what happened and what to do about it."""

    __test__ = False  # Not a test class, whatever pytest makes of its name.


_start = time.monotonic()
_quiet = False


def set_quiet(quiet):
    """Switch progress lines off (or on again): a caller that prints a table of its own."""
    global _quiet
    _quiet = quiet


def say(text):
    """Print one progress line with the seconds since the program started."""
    if not _quiet:
        print(f"[{time.monotonic() - _start:6.1f}s] {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(name):
    """Announce a step, say every ten seconds that it still runs, and how long it took."""
    begun = time.monotonic()
    over = threading.Event()

    def beat():
        while not over.wait(HEARTBEAT_S):
            say(f"... {name} ({time.monotonic() - begun:.0f} s)")

    say(name)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    say(f"{name}: {time.monotonic() - begun:.1f} s")


def suites():
    """Return the pinned suites and versions of suites.conf as a dict."""
    pins = {}
    for line in (HERE / "suites.conf").read_text().splitlines():
        key, sep, value = line.partition("=")
        if sep and not key.startswith("#"):
            pins[key.strip()] = value.strip()
    return pins


def tail(path, lines=30):
    """Return the last lines of a text file, or a note that there is none."""
    try:
        text = pathlib.Path(path).read_bytes().decode(errors="replace").replace("\r", "")
    except OSError:
        return f"({path} is not there)"
    return "\n".join(text.splitlines()[-lines:])


def run(argv, log, timeout, cwd=None, env=None, cure=""):
    """Run a command with its output appended to the file log.

    Raises TestbedError with the tail of the log and the sentence cure when the command fails or
    takes longer than timeout seconds; its whole process group is ended then.
    """
    argv = [str(a) for a in argv]
    log = pathlib.Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    full_env = dict(os.environ, LC_ALL="C", **(env or {}))
    with open(log, "ab") as out:
        out.write(("$ " + " ".join(argv) + "\n").encode())
        out.flush()
        try:
            proc = subprocess.Popen(argv, cwd=cwd, env=full_env, stdin=subprocess.DEVNULL,
                                    stdout=out, stderr=subprocess.STDOUT,
                                    start_new_session=True)
        except FileNotFoundError as err:
            raise TestbedError(f"{argv[0]} is not installed: run tools/setup.sh") from err
        try:
            code = proc.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if proc.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(proc.pid, 9)
                proc.wait()
    if code != 0:
        how = f"took more than {timeout} s" if code is None else f"ended with code {code}"
        raise TestbedError(f"{argv[0]} {how}. {cure}\nLog: {log}\n{tail(log)}")


def output(argv, timeout=60, cwd=None):
    """Return the standard output of a short command, or raise TestbedError with its stderr."""
    argv = [str(a) for a in argv]
    try:
        done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout, text=True, errors="replace", check=False,
                              env=dict(os.environ, LC_ALL="C"))
    except FileNotFoundError as err:
        raise TestbedError(f"{argv[0]} is not installed: run tools/setup.sh") from err
    except subprocess.TimeoutExpired as err:
        raise TestbedError(f"{' '.join(argv)} took more than {timeout} s") from err
    if done.returncode != 0:
        raise TestbedError(f"{' '.join(argv)} ended with code {done.returncode}:\n{done.stderr}")
    return done.stdout


def digest(*inputs):
    """Return a short digest of texts (str, bytes) and of the contents of files (Path)."""
    h = hashlib.sha256()
    for item in inputs:
        if isinstance(item, pathlib.Path):
            item = item.read_bytes()
        elif isinstance(item, str):
            item = item.encode()
        h.update(len(item).to_bytes(8, "little"))
        h.update(item)
    return h.hexdigest()[:KEY_DIGITS]


@contextlib.contextmanager
def locked(name):
    """Hold the lock of one cache entry against other processes."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".lock-{name}", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that builds {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name, inputs, build, what=None):
    """Return the folder with the result of build(folder), made once for the same inputs.

    inputs are texts and Paths as digest() takes them. Older results of the same name stay until
    the verb `clean` removes them.
    """
    final = CACHE / f"{name}-{digest(*inputs)}"
    if final.is_dir():
        return final
    with locked(name):
        if final.is_dir():
            return final
        work = CACHE / f"{name}.partial"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        with progress(what or f"build {name}"):
            build(work)
        work.rename(final)
    return final
