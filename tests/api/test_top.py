"""The live view on terminals of tmux: sizes, colours, letters, keys, and who goes on when it ends."""
import os
import pty
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import CARAVAN, MODEL, Node, require_model


def top(tmux, node, columns=80, rows=24, **env):
    return tmux(columns, rows, f"{CARAVAN} top", CARAVAN_HOME=str(node.home), **env)


@pytest.mark.parametrize("columns, rows", [(60, 20), (80, 24), (160, 50)])
def test_all_of_it_fits(tmux, node, columns, rows):
    terminal = top(tmux, node, columns, rows)
    seen = terminal.wait_for("1 machine", "machines", "models", MODEL, "ready", "0-29", "OPS", "GPU poor", "q quit")
    lines = seen.split("\n")
    assert lines[0].startswith(" Caravan") and lines[rows - 1].startswith(" q quit")
    assert max(map(len, lines)) <= columns
    terminal.run("resize-window", "-x", "100", "-y", "30")
    deadline = time.monotonic() + 5
    while not terminal.text().split("\n")[29].startswith(" q quit"):
        assert time.monotonic() < deadline, terminal.text()
        time.sleep(0.05)
    terminal.keys("q")
    assert "Caravan" not in terminal.wait_for("ended 0")  # the screen is given back as it was


def test_it_follows(tmux, fresh):
    terminal = top(tmux, fresh)
    terminal.wait_for("none is loaded")
    fresh.cli("load", MODEL, "--context", 512)
    terminal.wait_for(f"{MODEL} is ready", "512 tokens of context")
    stream = fresh.client().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Tell a very long story about a camel."}], stream=True,
        temperature=1.2, seed=2)
    next(iter(stream))
    terminal.wait_for("1 running", "tok/s")
    stream.close()
    fresh.cli("stop", MODEL)
    terminal.wait_for(f"{MODEL} was unloaded", "none is loaded")
    terminal.keys("C-c")
    terminal.wait_for("ended 0")


def test_plain_letters_and_no_colour(tmux, node):
    terminal = top(tmux, node, LANG="C", LC_ALL="C", NO_COLOR="1")
    terminal.wait_for(MODEL, "q quit")
    assert terminal.text().isascii()
    assert not re.search(r"\x1b\[[\d;]*3[0-7]m", terminal.text("-e"))
    coloured = top(tmux, node)
    coloured.wait_for(MODEL, "q quit")
    assert re.search(r"\x1b\[[\d;]*3[0-7]m", coloured.text("-e"))


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_where_nothing_can_be_drawn_it_says_so(node, term):
    read, write = pty.openpty()
    command = [CARAVAN, "top"]
    result = subprocess.run(command, env=node.env | {"TERM": term}, stdin=write, stdout=write, stderr=subprocess.PIPE,
                            timeout=20, text=True)
    os.close(write)
    os.close(read)
    assert result.returncode == 1 and "needs a terminal" in result.stderr


def test_without_a_terminal_it_says_so(node):
    result = node.cli("top", check=False)
    assert result.returncode == 1 and result.stdout == "" and "needs a terminal" in result.stderr


def test_it_costs_little(tmux, node):
    terminal = top(tmux, node)
    terminal.wait_for("q quit")
    shell = terminal.run("list-panes", "-F", "#{pane_pid}").strip()
    pid = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True, check=True).stdout.split()[0]

    def spent():
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before = spent()
    time.sleep(5)
    assert spent() - before < 0.01 * 5 + 0.02


def answers(node):
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(node.home / "run/socket")) == 0


def alone(tmux, home):
    return tmux(100, 30, str(CARAVAN), CARAVAN_HOME=str(home))


def test_caravan_alone_ends_with_its_view(tmux, tmp_path):
    require_model()
    node = Node(tmp_path / "home")
    terminal = alone(tmux, node.home)
    terminal.wait_for("found   ", " cores with ", "run     caravan run smollm2:135m, or the page: http://127.0.0.1:",
                      "join    caravan join CARAVAN-", "1 machine")
    assert node.json("nodes")[0]["self"] is True
    terminal.keys("q")
    terminal.wait_for("ended 0")
    assert not answers(node)


def test_caravan_alone_can_leave_its_node(tmux, tmp_path):
    require_model()
    node = Node(tmp_path / "home")
    terminal = alone(tmux, node.home)
    terminal.wait_for("d leave", "1 machine")
    terminal.keys("d")
    seen = terminal.wait_for("ended 0")
    pid = int(re.search(r"`kill (\d+)`", seen).group(1))
    try:
        again = alone(tmux, node.home)
        again.wait_for("found   a node that runs already: ", "1 machine")
        assert "d leave" not in again.text()
        again.keys("q")
        again.wait_for("ended 0")
        assert answers(node)
    finally:
        os.kill(pid, signal.SIGTERM)
