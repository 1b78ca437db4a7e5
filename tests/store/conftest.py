"""Homes and nodes that pull from a hub of the test's own."""
import json
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CARAVAN = ROOT / "build/caravan"
sys.path.insert(0, str(ROOT / "tests/hub"))

import bare  # noqa: E402
import hub as hubs  # noqa: E402
import shapes  # noqa: E402


def wait_until(condition, timeout_s):
    """The first truth that the condition gave, or None."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)
    return found


class Home:
    """A home, its command line, and perhaps a node that runs there."""

    def __init__(self, path, hub, **env):
        self.path = Path(path)
        self.env = bare.environment(path, CARAVAN_HUB=hub.url, **env)
        if "HF_TOKEN" not in env:
            self.env.pop("HF_TOKEN", None)
        self.process, self.log = None, []

    def cli(self, *arguments, check=True, timeout=60):
        result = subprocess.run([CARAVAN, *map(str, arguments)], env=self.env, capture_output=True, text=True,
                                timeout=timeout, stdin=subprocess.DEVNULL)
        assert not check or result.returncode == 0, result.stderr
        return result

    def fails(self, *arguments, timeout=120):
        """What a verb that must fail says."""
        result = self.cli(*arguments, check=False, timeout=timeout)
        assert result.returncode == 1 and result.stdout == "", result
        return result.stderr

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def start(self, *flags):
        command = [CARAVAN, "serve", "--port", "0", "--cluster-port", "0", "--no-discovery", *flags]
        self.process = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        threading.Thread(target=lambda p=self.process: self.log.extend(p.stderr), daemon=True).start()
        match = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+)\n", self.process.stdout.readline())
        assert match, self.log
        self.url = match[1]
        return self

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=20)

    def post(self, path, **body):
        return self._curl("-d", json.dumps(body), path)

    def downloads(self):
        return self._curl("downloads")

    def _curl(self, *arguments):
        *flags, path = arguments
        command = ["curl", "-s", "--unix-socket", str(self.path / "run/socket"), *flags,
                   f"http://localhost/caravan/v1/{path}"]
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout)


def held_chunks(path):
    """(bytes that are here, whether they are hashed) of each chunk, as a map has it."""
    data = path.read_bytes()
    records = (struct.unpack_from("<II", data, at) for at in range(64, len(data), 40))
    return [(have, state & 3 > 0) for have, state in records]


def held_bytes(home):
    """Bytes that the home's maps of chunks say are here."""
    return sum(have for path in (home.path / "models").glob("*/.*.map") for have, _ in held_chunks(path))


@pytest.fixture
def hub():
    with hubs.Hub() as hub:
        yield hub


@pytest.fixture
def home(tmp_path, hub):
    home = Home(tmp_path / "home", hub)
    yield home
    if home.process and home.process.poll() is None:
        assert home.stop() == 0


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """9 MB that are a model."""
    path = tmp_path_factory.mktemp("shapes") / "m-Q8_0.gguf"
    return shapes.write_gguf(path, layers=6, width=384, ff=1024, vocab=800)[0]


@pytest.fixture
def repo(hub, model):
    hub.add("org/repo", "m-Q8_0.gguf", model)
    hub.add("org/repo", "README.md", b"words").lfs = False
    return "org/repo"
