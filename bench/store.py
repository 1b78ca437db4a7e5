#!/usr/bin/env python3
"""What pulling costs: from a hub beside curl, by a cluster, from a node to another beside a plain TLS stream.

  .venv/bin/python bench/store.py [MODEL.gguf] [--runs 3] [--rate BYTES/S]

The hub is the tests' own, on this machine. A single node and curl fetch the same file in turns, as fast as the hub
gives; what the node does besides is to hash, and to wait for the disk; then the same over links of 1 and 2.5 Gbit/s.
Then four nodes pull together from a hub that gives --rate in all; then one node pulls, the hub is gone, and another
one gets all of it from there over a veth pair, in turns with `openssl s_server` that gives the file to curl. Last,
`pull --check` compares the whole file with its hash.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
for room in ("hub", "net", "store"):
    sys.path.insert(0, str(ROOT / "tests" / room))
import hub as hubs  # noqa: E402
import shapes  # noqa: E402
from cluster import Node, default_model, make_cluster, wait_until  # noqa: E402
from conftest import Home  # noqa: E402
from netns import Network, missing  # noqa: E402

NAME = "org/model"
median = statistics.median


def timed(action):
    begin = time.monotonic()
    action()
    return time.monotonic() - begin


def single(model, args):
    """Seconds of a node's pull, of curl's, until what that wrote is on the disk too, and of a check of the hashes."""
    rows = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder, hubs.Hub() as hub:
            hub.add(NAME, model.name, model)
            home = Home(Path(folder) / "home", hub)
            pull = timed(lambda: home.cli("pull", NAME))
            copy = str(Path(folder) / "copy")
            url = f"{hub.url}/{NAME}/resolve/main/{model.name}"
            other = timed(lambda: subprocess.run(["curl", "-sSfL", "-o", copy, url], check=True))
            synced = other + timed(lambda: subprocess.run(["sync", copy], check=True))
            rows.append((pull, other, synced, timed(lambda: home.cli("pull", NAME, "--check"))))
    size = model.stat().st_size
    ours, curls, on_disk, checks = (size / median(row[i] for row in rows) / 1e6 for i in range(4))
    print(f"one node: {ours:.0f} MB/s, curl {curls:.0f} MB/s, ratio {median(r[1] / r[0] for r in rows):.2f}; "
          f"curl and `sync` {on_disk:.0f} MB/s, ratio {median(r[2] / r[0] for r in rows):.2f}; check {checks:.0f} MB/s",
          flush=True)


def together(model, args):
    """Four nodes, of which no three have the memory for it."""
    size = model.stat().st_size
    memory = f"{int(size * 0.3 + 40e6) >> 20}M"
    with tempfile.TemporaryDirectory() as folder, hubs.Hub(rate=args.rate) as hub:
        hub.add(NAME, model.name, model)
        nodes = [Home(Path(folder) / f"home{i}", hub) for i in range(4)]
        code = nodes[0].cli("code").stdout.strip()
        for i, node in enumerate(nodes):
            if i > 0:
                node.cli("join", code)
            peers = [] if i == 0 else ["--peer", own_address(nodes[0])]
            node.start("--name", f"n{i}", "--threads", "1", "--memory", memory, *peers)
        assert wait_until(lambda: all(sum(n["state"] == "up" for n in node.json("nodes")) == 4 for node in nodes), 20)
        took = timed(lambda: nodes[0].cli("pull", NAME, timeout=600))
        disks = [shapes.allocated(node.path / "models") for node in nodes]
        print(f"four nodes: {took:.2f} s, {took / (size / args.rate):.2f} of size / rate; the hub served "
              f"{hub.served / size:.3f} of the size", flush=True)
        shares = {part["node"]: part["bytes_total"] for part in nodes[0].downloads()[0]["parts"]}
        for node, disk in zip(nodes, disks, strict=True):
            share = shares.get(next(n["id"] for n in node.json("nodes") if n["self"]), 0)
            print(f"  disk {disk / 1e6:.1f} MB, share by the plan {share / 1e6:.1f} MB", flush=True)
        for node in nodes:
            node.stop()


def over_link(model, args, rate):
    """A node's pull and curl in turns, from a hub behind a link of `rate` bits/s."""
    rows = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder, Network(2) as network:
            hub, url = serve_model(network, 0, model, folder)
            network.check(0, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{rate:.0f}bit",
                          "burst", "1mb", "latency", "20ms")
            node = Node(network, 1, Path(folder) / "home")
            node.env["CARAVAN_HUB"] = url
            ours = timed(lambda: node.cli("pull", NAME, timeout=600))
            file = f"{url}/{NAME}/resolve/main/{model.name}"
            rows.append((ours, timed(lambda: network.check(1, "curl", "-sSfL", "-o", f"{folder}/copy", file))))
            hub.kill()
            hub.wait()
    size = model.stat().st_size
    ours, curls = (size / median(row[i] for row in rows) / 1e6 for i in range(2))
    print(f"one node over {rate / 1e9:.1f} Gbit/s: {ours:.0f} MB/s, curl {curls:.0f} MB/s, "
          f"ratio {median(r[1] / r[0] for r in rows):.2f}", flush=True)


def own_address(home):
    address = next(n["address"] for n in home.json("nodes") if n["self"])
    return "127.0.0.1:" + address.rpartition(":")[2]


def plain_tls(network, model, folder):
    """Seconds that curl needs for the file from openssl's server in the other namespace."""
    key, certificate = Path(folder) / "key.pem", Path(folder) / "cert.pem"
    if not key.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=bench", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = network.start(0, "openssl", "s_server", "-WWW", "-quiet", "-accept", "4433", "-key", key, "-cert",
                           certificate, cwd=model.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    url = f"https://{network.address(0)}:4433/{model.name}"
    took = timed(lambda: network.check(1, "curl", "-sSk", "-o", str(Path(folder) / "copy"), url))
    server.kill()
    server.wait()
    return took


def serve_model(network, place, model, folder):
    repo = Path(folder) / "hub" / NAME
    repo.mkdir(parents=True)
    (repo / model.name).symlink_to(model)
    hub = network.start(place, sys.executable, ROOT / "tests/hub/hub.py", Path(folder) / "hub", "--host",
                        network.address(place), stdout=subprocess.PIPE, text=True)
    return hub, hub.stdout.readline().strip()


def from_peer(model, args):
    rows = []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as folder, Network(3) as network:
            hub, url = serve_model(network, 2, model, folder)
            nodes = make_cluster(network, Path(folder), 2, "--threads", "1", start=False)
            for node in nodes:
                node.env["CARAVAN_HUB"] = url
            nodes[0].start()
            nodes[0].cli("pull", NAME)
            hub.kill()
            hub.wait()
            nodes[1].start()
            assert wait_until(lambda: len(nodes[1].up()) == 2, 20)
            assert wait_until(lambda: all(n["read_bandwidth"] and n["matmul_rate"] for n in nodes[1].nodes()), 20)
            ours = timed(lambda: nodes[1].cli("pull", NAME))
            for node in nodes:
                node.stop()
            rows.append((ours, plain_tls(network, model, folder)))
    size = model.stat().st_size
    ours, streams = (size / median(row[i] for row in rows) / 1e6 for i in range(2))
    print(f"from a peer: {ours:.0f} MB/s, a TLS stream written to disk {streams:.0f} MB/s, "
          f"ratio {median(r[1] / r[0] for r in rows):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=default_model())
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50e6)
    args = parser.parse_args()
    model = args.model.resolve()
    single(model, args)
    if missing():
        print(f"store.py: {missing()}")
        return
    over_link(model, args, 1e9)
    over_link(model, args, 2.5e9)
    together(model, args)
    from_peer(model, args)


if __name__ == "__main__":
    main()
