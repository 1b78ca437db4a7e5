"""A real node per module: `build/caravan serve` on a free port, with a home of its own and the default model."""
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from openai import OpenAI

import script_model
import terminals

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))
import bare  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
CARAVAN = ROOT / "build/caravan"
MODEL = "smollm2:135m"
MODEL_FILE = "smollm2-135m.gguf"


def default_model():
    """Where tools/get-default-model has put it."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(os.environ.get("CARAVAN_HOME") or os.path.join(data, "caravan")) / "models" / MODEL_FILE


class Node:
    def __init__(self, home, *flags, env=None):
        self.home = Path(home)
        (self.home / "models").mkdir(parents=True, exist_ok=True)
        link = self.home / "models" / MODEL_FILE
        if not link.is_symlink():
            link.symlink_to(default_model())
        self.env = bare.environment(home, **(env or {}))
        self.process, self.log = None, []
        self.flags = ["--port", "0", "--cluster-port", "0", "--no-discovery", *flags]

    def start(self):
        self.process = subprocess.Popen([CARAVAN, "serve", *self.flags], env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        match = re.fullmatch(r"ready http://127\.0\.0\.1:(\d+)\n", line)
        assert match, f"no ready line but {line!r}; {self.log}"
        self.port = int(match.group(1))
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def cli(self, *arguments, check=True, timeout=120, stdin=""):
        result = subprocess.run([CARAVAN, *map(str, arguments)], env=self.env, capture_output=True, text=True,
                                timeout=timeout, input=stdin)
        assert not check or result.returncode == 0, result.stderr
        return result

    def cli_bytes(self, *arguments):
        """What a verb writes that writes no text."""
        command = [CARAVAN, *map(str, arguments)]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, timeout=120).stdout

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def client(self, key="none"):
        return OpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key=key, timeout=120, max_retries=0)

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def require_model():
    if not default_model().exists():
        pytest.skip(f"the default model is not at {default_model()}; tools/get-default-model gets it")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """A node with nothing loaded."""
    require_model()
    node = Node(tmp_path_factory.mktemp("home")).start()
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with the default model loaded."""
    require_model()
    node = Node(tmp_path_factory.mktemp("home")).start()
    node.cli("load", MODEL, "--context", 2048)
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def client(node):
    return node.client()


@pytest.fixture(scope="module")
def reciter(tmp_path_factory):
    """A node with a model that recites: `script`."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    script_model.hermes(home / "models" / "script.gguf")
    node = Node(home).start()
    yield node
    assert node.stop() == 0


@pytest.fixture
def tmux(tmp_path):
    yield from terminals.tmux_terminals(tmp_path)
