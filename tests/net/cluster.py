"""Nodes of a cluster, each in a member of a test network, and their command line."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/hub"))
import bare  # noqa: E402

CARAVAN = ROOT / "build/caravan"
MODEL = "smollm2:135m"
MODEL_FILE = "smollm2-135m.gguf"


def default_model():
    """Where tools/get-default-model has put it."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(os.environ.get("CARAVAN_HOME") or os.path.join(data, "caravan")) / "models" / MODEL_FILE


def model_name(path):
    """What a file in a model folder is called."""
    return MODEL if Path(path).name == MODEL_FILE else Path(path).stem


def require_model():
    if not default_model().exists():
        pytest.skip(f"the default model is not at {default_model()}; tools/get-default-model gets it")


def wait_until(condition, timeout_s):
    """Seconds until the condition held, or None."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            return None
        time.sleep(0.02)
    return time.monotonic() - begin


class Node:
    """A node in member `place` of a network, and its command line there."""

    def __init__(self, network, place, home, *flags, name=None):
        self.network, self.place, self.home, self.flags = network, place, Path(home), flags
        self.name = name or f"node{place}"
        self.home.mkdir(parents=True, exist_ok=True)
        self.env = bare.environment(home)
        self.process, self.log = None, []
        self.under = []  # a command that the node's own is given to
        self.before = None  # called in the node's process before it begins

    def add_model(self, model):
        (self.home / "models").mkdir(exist_ok=True)
        (self.home / "models" / Path(model).name).symlink_to(model)

    def start(self, *flags):
        self.process = self.network.start(self.place, *self.under, CARAVAN, "serve", "--port", "0", "--name", self.name,
                                          *self.flags, *flags, env=self.env, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                          preexec_fn=self.before)
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        line = self.process.stdout.readline()
        match = re.fullmatch(r"ready http://127\.0\.0\.1:(\d+)\n", line)
        assert match, f"no ready line but {line!r}; {self.log}"
        self.port = int(match.group(1))
        return self

    def cli(self, *arguments, check=True, timeout=120, text=True):
        result = subprocess.run(self.network.command(self.place, CARAVAN, *arguments), env=self.env, text=text,
                                capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
        assert not check or result.returncode == 0, result.stderr
        return result

    def cli_start(self, *arguments):
        """A verb that goes on while the test does something else."""
        return self.network.start(self.place, CARAVAN, *arguments, env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "--json").stdout)

    def http(self, method, path, body=None):
        """A request to the node's socket, which is also reached from outside its network; the open socket."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(self.home / "run/socket"))
        text = json.dumps(body) if body is not None else ""
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                           f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
        return connection

    def code(self):
        return self.cli("code").stdout.strip()

    def nodes(self):
        return self.json("nodes")

    def up(self):
        """Names of the nodes that this one sees, itself included."""
        return {n["name"] for n in self.nodes() if n["state"] == "up"}

    def cluster_address(self):
        """(host, port) of the cluster port."""
        address = next(n["address"] for n in self.nodes() if n["self"])
        return self.network.address(self.place), int(address.rpartition(":")[2])

    def read_bytes(self):
        """What the process has read so far."""
        return int(re.search(r"rchar: (\d+)", Path(f"/proc/{self.process.pid}/io").read_text()).group(1))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=5)  # less than the 10 s that running answers are given


def make_cluster(network, folder, count, *flags, start=True):
    """Nodes 0 to count - 1 with one secret."""
    nodes = [Node(network, i, folder / f"home{i}", *flags) for i in range(count)]
    code = nodes[0].code()
    for node in nodes[1:]:
        node.cli("join", code)
    if start:
        for node in nodes:
            node.start()
    return nodes


def assert_all_see_all(nodes, timeout_s):
    names = {n.name for n in nodes}
    spent = wait_until(lambda: all(n.up() == names for n in nodes), timeout_s)
    assert spent is not None, [(n.name, n.up(), n.log[-5:]) for n in nodes]
    return spent


def come_to_rest(nodes, timeout_s):
    """Whether all nodes together use less than 5 % of a core over half a second, soon enough."""
    def at_rest():
        before = sum(node.cpu_seconds() for node in nodes)
        time.sleep(0.5)
        return sum(node.cpu_seconds() for node in nodes) - before < 0.05 * 0.5 + 0.01
    return wait_until(at_rest, timeout_s) is not None
