"""The chat of `caravan run` on terminals: Markdown, commands, keys, pastes, sizes, and pipes, which get plain text."""
import json
import re

import pytest

import script_model
from conftest import CARAVAN, Node
from terminals import CTRL_D, Terminal

MARKDOWN = """# Sums

Here is **how**, with `add(a)`:

```python
return a * b
```

- one
> two"""
PROSE = " ".join(f"{word} of the caravan" for word in "camels dunes wells stars bells tents traders".split())
HOSTILE = "before \x1b]0;taken\x07\x1b[2Jafter"
SIZES = [(60, 20), (80, 24), (160, 50)]
STATS = re.compile(r"\d[\d.]* tok/s, first token \d+\.\d\d s, \d+ tokens")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """Two models that recite."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    script_model.write(home / "models/script.gguf", {"show": MARKDOWN, "prose": "- " + PROSE, "hostile": HOSTILE,
                                                                 "one\ntwo": "both lines"})
    script_model.write(home / "models/other.gguf", {"show": "the other one"})
    node = Node(home)
    (home / "models/smollm2-135m.gguf").unlink()
    node.start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def chat(tmux, node):
    def open_chat(columns=80, rows=24, **env):
        terminal = tmux(columns, rows, f"{CARAVAN} run script --temperature 0", CARAVAN_HOME=str(node.home), **env)
        terminal.wait_until(prompts)
        return terminal
    return open_chat


def prompts(screen):
    return screen.rstrip().endswith("\n>")


def say(terminal, text, *signs):
    """Type a line; what the screen shows once the signs are there and the next prompt is."""
    terminal.run("send-keys", "-l", text)
    terminal.keys("Enter")
    terminal.wait_for(text)
    seen = terminal.wait_for(*signs)
    terminal.wait_until(prompts)
    return seen


@pytest.mark.parametrize("columns, rows", SIZES)
def test_markdown_is_drawn(chat, columns, rows):
    terminal = chat(columns, rows)
    say(terminal, "show", "│ two", "tok/s")
    shown = terminal.text()
    assert "Here is how, with add(a):\n" in shown and "\nreturn a * b\n" in shown and "\n• one\n" in shown
    assert "**" not in shown and "# Sums" not in shown and STATS.search(shown), shown
    inked = terminal.text("-e")
    assert re.search(r"\x1b\[[\d;]*1m(\x1b\[[\d;]*m)*how", inked) and re.search(r"\x1b\[[\d;]*36m", inked)


@pytest.mark.parametrize("columns, rows", SIZES)
def test_lines_end_between_words(chat, columns, rows):
    lines = say(chat(columns, rows), "prose", "traders of the caravan\n", "tok/s").split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("• camels"))
    said = lines[first:next(i for i, line in enumerate(lines) if "tok/s" in line)]
    assert " ".join(line[2:] for line in said) == PROSE and len(said) == -(-len(PROSE) // (columns - 2)), said
    assert all(line.startswith("  ") for line in said[1:])


def test_without_colour_it_is_plain(chat):
    terminal = chat(NO_COLOR="1")
    assert "Here is **how**, with `add(a)`:" in say(terminal, "show", "tok/s")


def test_no_answer_takes_the_terminal_over(chat):
    terminal = chat()
    assert "before ]0;taken[2Jafter" in say(terminal, "hostile", "tok/s")
    assert "hostile" in terminal.text()  # nothing was cleared


def test_commands(chat, tmp_path):
    terminal = chat(100, 50)
    say(terminal, "/help", "/stats", "Ctrl-R")
    say(terminal, "/stats", "no answer yet")
    say(terminal, "/set temperature 7", "takes a number from 0 to 2")
    say(terminal, "/set colour red", "there is no setting")
    say(terminal, "/set temperature 0.5")
    say(terminal, "/set", "temperature  0.5", "seed         auto")
    say(terminal, "/system Be brief.")
    say(terminal, "/nothing", "there is no command /nothing")
    say(terminal, "show", "│ two", "tok/s")
    say(terminal, "/stats", "script, 3 messages, ", " of 4096", "all answers: 1, ")
    say(terminal, f"/save {tmp_path}/chat.json", "3 messages saved to")
    saved = json.loads((tmp_path / "chat.json").read_text())
    assert saved["model"] == "script" and [m["role"] for m in saved["messages"]] == ["system", "user", "assistant"]
    assert saved["messages"][0]["content"] == "Be brief." and saved["messages"][2]["content"] == MARKDOWN
    assert (tmp_path / "chat.json").stat().st_mode & 0o777 == 0o600
    say(terminal, "/clear", "a new chat with the same system prompt")
    say(terminal, "/system", "\nBe brief.\n")
    say(terminal, f"/save {tmp_path}/chat.json", "is there already")
    say(terminal, f"/load {tmp_path}/chat.json", "3 messages from")
    say(terminal, "/save", "3 messages saved to")
    say(terminal, f"/load {tmp_path}/none.json", "cannot be read")
    (tmp_path / "bad.json").write_text('{"messages": [{"role": "user", "content": 5}]}')
    say(terminal, f"/load {tmp_path}/bad.json", "holds no chat")
    terminal.keys("/exit", "Enter")
    terminal.wait_for("ended 0")


def test_another_model_goes_on(chat):
    terminal = chat()
    say(terminal, "/model", "  other", "  script")
    say(terminal, "/model none", "none")
    say(terminal, "/model other", "loading other")
    say(terminal, "show", "the other one", "tok/s")


def test_lines_and_pastes_are_one_message(chat, tmp_path):
    terminal = chat()
    terminal.keys("one", "M-Enter", "two", "Enter")
    terminal.wait_for("both lines", "tok/s")
    terminal.wait_until(prompts)
    say(terminal, "/clear", "a new chat")
    (tmp_path / "paste").write_text("one\ntwo")
    terminal.run("load-buffer", str(tmp_path / "paste"), ";", "paste-buffer", "-p")
    terminal.wait_for("> one\ntwo")
    terminal.keys("Enter")
    terminal.wait_until(lambda screen: screen.count("both lines") == 2)


def test_history_is_kept(chat, node):
    terminal = chat()
    say(terminal, "/set seed 77")
    terminal.keys("C-d")
    terminal.wait_for("ended 0")
    assert (node.home / "history").stat().st_mode & 0o077 == 0
    terminal = chat()
    terminal.keys("Up")
    terminal.wait_for("> /set seed 77")
    terminal.keys("C-c")
    terminal.wait_until(prompts)
    terminal.keys("C-r", "seed")
    terminal.wait_for("> /set seed 77\nbck:seed")
    terminal.keys("C-c")
    terminal.wait_until(prompts)
    terminal.keys("/st", "Tab")
    terminal.wait_for("> /stats")
    terminal.keys("Enter")
    terminal.wait_for("no answer yet")


def test_it_follows_the_size(chat):
    terminal = chat(60, 20)
    terminal.run("send-keys", "-l", "word " * 15)
    terminal.wait_for("wor\nd ")
    terminal.run("resize-window", "-x", "120", "-y", "30")
    terminal.run("send-keys", "-l", "end")
    terminal.wait_for("> " + "word " * 15 + "end")
    terminal.keys("C-c")
    say(terminal, "show", "tok/s")


def test_on_a_dumb_terminal(node):
    terminal = Terminal(node.env, "run", "script", "--temperature", "0", term="dumb")
    terminal.expect(b"> ")
    terminal.type(b"show\n")
    seen = terminal.expect(b"tok/s")
    assert b"Here is **how**, with `add(a)`:" in seen
    terminal.expect(b"> ")
    terminal.type(b"hostile\n")
    seen += terminal.expect(b"tok/s")
    assert b"\x1b" not in seen and b"before ]0;taken[2Jafter" in seen
    terminal.expect(b"> ")
    terminal.type(CTRL_D)
    assert terminal.end() == 0


def test_pipes_are_plain(node):
    result = node.cli("run", "script", "--temperature", 0, stdin="show\n/help\n")
    assert result.stdout.startswith(MARKDOWN + "\n") and "\x1b" not in result.stdout and result.stderr == ""
    assert node.cli("run", "script", "hostile", "--temperature", 0).stdout == HOSTILE + "\n"
