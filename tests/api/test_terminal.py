"""The program on a terminal: the chat, and `caravan` alone."""
import re
import time

import pytest

from conftest import MODEL, Node, require_model
from terminals import CTRL_D, Terminal


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
    terminal.expect(b"found   ")
    assert re.search(rb"^\d+ cores with \w+, [\d.]+ GiB: models of up to [\d.]+B parameters", terminal.expect(b"\n"))
    terminal.expect(b"run     caravan run smollm2:135m, or the page: http://127.0.0.1:")
    terminal.expect(b"join    caravan join CARAVAN-")
    terminal.expect(b"nodes ")
    assert node.json("nodes")[0]["self"] is True
    terminal.interrupt()
    assert terminal.end() == 0


def test_caravan_on_a_new_machine_says_how_to_get_a_model(tmp_path):
    node = Node(tmp_path)
    (node.home / "models/smollm2-135m.gguf").unlink()
    terminal = Terminal(node.env, term="dumb")
    terminal.expect(b"run     caravan pull smollm2:135m, or the page: http://127.0.0.1:")
    terminal.interrupt()
    assert terminal.end() == 0
