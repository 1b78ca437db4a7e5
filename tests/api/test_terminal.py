"""The program on a terminal: the chat, and `caravan` alone."""
import os
import pty
import select
import termios
import time

import pytest

from conftest import CARAVAN, MODEL, Node, require_model

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


@pytest.fixture
def chat(node):
    terminal = Terminal(node.env, "run", MODEL, "--temperature", "0", "--max-tokens", "1000")
    terminal.expect(b"> ")
    yield terminal
    terminal.type(CTRL_D)
    assert terminal.end() == 0


def test_a_chat_goes_on(chat):
    chat.type(b"What is the opposite of hot?\n")
    chat.expect(b"\n")
    assert b"cold" in chat.expect(b"\n> ").lower()


def test_quotes_span_lines(chat):
    chat.type(b'"""What is\n')
    chat.expect(b". ")
    chat.type(b'the opposite of hot?"""\n')
    chat.expect(b"\n")
    assert b"cold" in chat.expect(b"\n> ").lower()


def test_ctrl_c_stops_the_answer_and_not_the_chat(chat):
    chat.type(b"Write a very long story about a whale.\n")
    chat.expect(b"whale.\r\n")
    chat.wait_for_editor(False)
    chat.expect(b" ")
    chat.interrupt()
    begin = time.monotonic()
    chat.expect(b"\n> ")
    assert time.monotonic() - begin < 2
    chat.type(b"What is the opposite of hot?\n")
    chat.expect(b"\n")
    chat.expect(b"\n> ")


def test_ctrl_c_throws_a_line_away(chat):
    chat.type(b"half a thought")
    chat.expect(b"thought")
    chat.interrupt()
    chat.expect(b"> ")


def test_caravan_alone_is_a_node(tmp_path):
    require_model()
    node = Node(tmp_path)
    terminal = Terminal(node.env, term="dumb")  # line by line: test_top.py has the view that is drawn
    terminal.expect(b"join    caravan join CARAVAN-")
    terminal.expect(b"nodes ")
    assert node.json("nodes")[0]["self"] is True
    terminal.interrupt()
    assert terminal.end() == 0
