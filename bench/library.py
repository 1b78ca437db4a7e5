#!/usr/bin/env python3
"""How fast a node lists and shows models, and opens a model of 405 billion parameters.

  bench/library.py [--models 200] [--runs 21]

The files have headers of a megabyte each; one more has the shape of Llama 3.1 405B with a vocabulary of 128256 tokens
and 280147 merges (a header of 11 MB), and nothing behind the header. Asked over the node's socket, as its command line
does, and by the command line itself, with a node that runs and without one; the first list reads every header.
"""
import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
CARAVAN = ROOT / "build/caravan"
sys.path.insert(0, str(ROOT / "tests/hub"))
import bare  # noqa: E402
import shapes  # noqa: E402


class Connection(http.client.HTTPConnection):
    """Over the node's socket."""

    def __init__(self, home):
        super().__init__("localhost", timeout=60)
        self.home = home

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.home / "run/socket"))


def ask(home, path):
    connection = Connection(home)
    connection.request("GET", f"/caravan/v1/{path}")
    reply = connection.getresponse()
    body = json.loads(reply.read())
    assert reply.status == 200, body
    connection.close()
    return body


def took_ms(what):
    begin = time.monotonic()
    what()
    return 1000 * (time.monotonic() - begin)


def tell(name, times):
    times = sorted(times)
    print(f"{name:48} median {statistics.median(times):7.1f} ms   {times[0]:7.1f} .. {times[-1]:7.1f}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--models", type=int, default=200)
    arguments.add_argument("--runs", type=int, default=21)
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "models").mkdir()
        for i in range(args.models):
            shapes.write_gguf(home / f"models/m{i:03}.gguf", layers=1, seed=i, pad=1 << 20)
        shapes.llama_405b(home / "models/big.gguf")
        measure(home, args)


def measure(home, args):
    env = bare.environment(home)
    command = [CARAVAN, "list"]

    def run():
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    tell("caravan list, the first time", [took_ms(run)])
    time.sleep(3)  # headers that changed just now are read once more
    run()
    tell("caravan list, no node runs", [took_ms(run) for _ in range(args.runs)])
    node = subprocess.Popen([CARAVAN, "serve", "--port", "0", "--cluster-port", "0", "--no-discovery"], env=env,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    node.stdout.readline()
    assert len(ask(home, "models")) == args.models + 1
    names = [f"m{i:03}" for i in random.Random(1).choices(range(args.models), k=args.runs)]
    tell("caravan list, a node runs", [took_ms(run) for _ in range(args.runs)])
    tell("list", [took_ms(lambda: ask(home, "models")) for _ in range(args.runs)])
    tell("show", [took_ms(lambda: ask(home, f"models/show?model={quote(name)}")) for name in names])
    tell("show of 405B", [took_ms(lambda: ask(home, "models/show?model=big")) for _ in range(args.runs)])
    node.terminate()
    node.wait()

    def tokenize():
        command = [CARAVAN, "debug", "tokenize", "big"]
        subprocess.run(command, env=env, check=True, input=b"a", stdout=subprocess.DEVNULL)
    tell("405B opened, a letter made a token, no node", [took_ms(tokenize) for _ in range(args.runs)])


if __name__ == "__main__":
    main()
