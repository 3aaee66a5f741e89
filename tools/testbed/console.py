# SPDX-License-Identifier: BSD-2-Clause
"""Talk to the agent (rootfs/agent) at the other end of a console or serial port."""

import base64
import re
import secrets
import time

from pexpect import EOF, TIMEOUT, fdpexpect

from .util import TestbedError

# A PV console ring holds 1 KiB of input; shorter lines pass whole.
CHUNK = 480


class CommandFailed(TestbedError):
    """A command inside the machine ended with a code other than 0; see code and output."""

    def __init__(self, where, command, code, output):
        super().__init__(f"in {where}, code {code}: {command}\n{output}")
        self.code, self.output = code, output


class TimedOut(TestbedError):
    """What was waited for did not come in time."""


class Channel:
    """One agent on one stream socket. Not for several threads at once."""

    def __init__(self, where, sock, log_path, alive):
        self.where = where
        self._log = open(log_path, "ab", buffering=0)
        self._sock = sock
        self._alive = alive
        self._pending, self._begun = None, False
        self._spawn = fdpexpect.fdspawn(sock.fileno(), logfile=None, maxread=65536)
        self._spawn.logfile_read = self._log

    def close(self):
        """Close the log; the socket belongs to the machine."""
        self._log.close()

    def expect(self, pattern, timeout, what):
        """Wait for a pattern (bytes regular expression); return the match and the text before."""
        try:
            self._spawn.expect(pattern, timeout=timeout)
        except (TIMEOUT, EOF, OSError) as err:
            seen = (self._spawn.before or b"")[-2000:].decode(errors="replace")
            how = "did not come within" if self._alive() else "cannot come, QEMU is gone, after"
            raise TimedOut(f"{self.where}: {what} {how} {timeout:.0f} s. Last seen:\n{seen}"
                           ) from err
        return self._spawn.match, self._spawn.before

    def wait_ready(self, timeout):
        """Wait until a fresh agent says that it listens."""
        self._pending = None
        self.expect(rb"@@agent:READY@@\r?\n", timeout, "the agent's first word")

    def ping(self, timeout):
        """Wait until an agent answers, sending again: for a channel that was only just joined."""
        end = time.monotonic() + timeout
        while True:
            ident = secrets.token_hex(4)
            self._spawn.send(f"\nP {ident}\n".encode())
            try:
                self._spawn.expect(f"@@{ident}:PONG@@\r?\n".encode(), timeout=2)
                return
            except TIMEOUT as err:
                if time.monotonic() > end or not self._alive():
                    raise TestbedError(f"{self.where}: no agent answers within {timeout} s") \
                        from err

    def start(self, script):
        """Start a script (sh text) without waiting; its end is fetched by finish()."""
        if self._pending:
            raise TestbedError(f"{self.where} still runs: {self._pending[1]}")
        ident = secrets.token_hex(6)
        text = base64.b64encode(script.encode()).decode()
        lines = [f"A {ident} {text[i:i + CHUNK]}\n" for i in range(0, len(text), CHUNK)]
        for line in [*lines, f"X {ident}\n"]:
            self._spawn.send(line.encode())
        self._pending, self._begun = (ident, script), False

    def finish(self, timeout):
        """Wait for the started script; return (code, output). After a time-out, call it again."""
        if not self._pending:
            raise TestbedError(f"{self.where} runs nothing")
        ident, script = self._pending
        first = script.strip().splitlines()[0] if script.strip() else ""
        tag = re.escape(ident.encode())
        end = time.monotonic() + timeout
        if not self._begun:
            self.expect(rb"@@" + tag + rb":BEGIN@@\r?\n", timeout, f"the start of '{first}'")
            self._begun = True
        left = max(0.1, end - time.monotonic())
        match, before = self.expect(rb"@@" + tag + rb":END:(\d+)@@\r?\n", left,
                                    f"the end of '{first}'")
        self._pending = None
        return int(match.group(1)), before.decode(errors="replace").replace("\r\n", "\n")

    def busy(self):
        """Say whether a started script was not fetched by finish() yet."""
        return self._pending is not None

    def abandon(self):
        """Forget a started script: its machine is gone."""
        self._pending = None

    def run(self, script, timeout=60.0, check=True):
        """Run a script; return its output. CommandFailed when its code is not 0 and check."""
        self.start(script)
        code, output = self.finish(timeout)
        if check and code != 0:
            raise CommandFailed(self.where, script.strip(), code, output)
        return output if check else (code, output)

    def send_text(self, text):
        """Send raw text, for a console without an agent."""
        self._spawn.send(text.encode())
