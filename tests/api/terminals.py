"""Terminals for tests: a plain pty, and tmux, which draws what comes."""
import os
import pty
import select
import shlex
import shutil
import subprocess
import termios
import time
from pathlib import Path

import pytest

CARAVAN = Path(__file__).resolve().parent.parent.parent / "build/caravan"
CTRL_C, CTRL_D = b"\x03", b"\x04"


class Terminal:
    def __init__(self, environment, *arguments, term="xterm"):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(CARAVAN, ["caravan", *arguments], environment | {"TERM": term})
        self.seen = b""

    def wait_for_editor(self, editing=True):
        """The editor reads key by key; between its lines the terminal does the editing."""
        deadline = time.monotonic() + 10
        while bool(termios.tcgetattr(self.fd)[3] & termios.ICANON) == editing:
            assert time.monotonic() < deadline, self.seen
            time.sleep(0.005)

    def type(self, keys):
        self.wait_for_editor()
        os.write(self.fd, keys)

    def interrupt(self):
        os.write(self.fd, CTRL_C)

    def expect(self, text, timeout=20):
        """Read until the text comes; what came before it."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come, but {self.seen!r}"
            try:
                more = os.read(self.fd, 4096)
            except OSError:
                more = b""
            assert more, f"it ended without {text!r}: {self.seen!r}"
            self.seen += more
        before, _, self.seen = self.seen.partition(text)
        return before

    def end(self, timeout=10):
        """Its exit status, once it has ended by itself."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 4096)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        pytest.fail(f"it did not end: {self.seen!r}")


class Tmux:
    """A terminal of a given size in which one command runs."""

    def __init__(self, folder, columns, rows, command, **env):
        self.socket = str(folder / "tmux")
        words = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
        line = f"env -u NO_COLOR LANG=C.UTF-8 {words} {command}; echo ended $?; sleep 100"
        (folder / "conf").write_text("set -g status off\n")
        self.run("-f", str(folder / "conf"), "new-session", "-d", "-x", str(columns), "-y", str(rows), line)

    def run(self, *arguments):
        command = ["tmux", "-S", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def text(self, *flags):
        return self.run("capture-pane", "-p", *flags)

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def wait_until(self, is_so, timeout=20):
        """The screen once it is so."""
        deadline = time.monotonic() + timeout
        while not is_so(seen := self.text()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
        return seen

    def wait_for(self, *texts, timeout=20):
        return self.wait_until(lambda seen: all(text in seen for text in texts), timeout)


def tmux_terminals(tmp_path):
    """What opens a terminal of tmux; all of them end with the test. The body of the fixture `tmux`."""
    if not shutil.which("tmux"):
        pytest.skip("there is no tmux")
    opened = []

    def open_tmux(columns, rows, command, **env):
        folder = tmp_path / f"terminal{len(opened)}"
        folder.mkdir()
        opened.append(Tmux(folder, columns, rows, command, **env))
        return opened[-1]

    yield open_tmux
    for terminal in opened:
        subprocess.run(["tmux", "-S", terminal.socket, "kill-server"], capture_output=True)
