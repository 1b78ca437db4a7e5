#!/usr/bin/env python3
"""How fast a node loads a model, beside plainly reading the file, and how much memory it holds, beside its own plan.

  bench/loading.py MODEL.gguf [--threads 2] [--runs 5] [--context 2048]

The file lies in the page cache. Plain reading: as many threads as the node has, each a part of the file, 8 MiB at a
time into one buffer. Loading and reading take turns; the ratio is the median of the pairs, the bytes those of the file.
Resident is the node's peak after loading, planned what `caravan plan` counts.
"""
import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/net"))
from cluster import Node, model_name  # noqa: E402
from netns import Network, missing  # noqa: E402

BLOCK = 8 << 20


def read_part(path, begin, end):
    buffer = memoryview(bytearray(BLOCK))
    with open(path, "rb", buffering=0) as file:
        file.seek(begin)
        while begin < end:
            begin += file.readinto(buffer[:min(BLOCK, end - begin)])


def read_s(path, threads):
    size = os.path.getsize(path)
    parts = [threading.Thread(target=read_part, args=(path, size * i // threads, size * (i + 1) // threads))
             for i in range(threads)]
    begin = time.monotonic()
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    return time.monotonic() - begin


def resident_peak(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def load_s(node, model, args):
    """Seconds, bytes resident, bytes planned."""
    node.start()
    time.sleep(3)  # it measures the machine, in memory of its own
    try:
        begin = time.monotonic()
        node.cli("load", model, "--context", args.context, "--parallel", 1)
        took = time.monotonic() - begin
        members = [m for stage in node.json("ps")[0]["stages"] for m in stage["members"]]
        planned = sum(m[key] for m in members for key in ("weights_bytes", "kv_bytes", "scratch_bytes"))
        return took, resident_peak(node.process.pid), planned
    finally:
        node.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--context", type=int, default=2048)
    args = parser.parse_args()
    if missing():
        sys.exit(f"loading.py: {missing()}")
    path = os.path.abspath(args.model)
    with tempfile.TemporaryDirectory() as folder, Network(1) as network:
        node = Node(network, 0, Path(folder) / "home", "--threads", str(args.threads), "--no-discovery")
        node.add_model(path)
        read_s(path, args.threads)  # warms the page cache
        rows = [(read_s(path, args.threads), *load_s(node, model_name(path), args)) for _ in range(args.runs)]
    gigabytes = os.path.getsize(path) / 1e9
    read, load, resident, planned = (statistics.median(column) for column in zip(*rows))
    print("| file | threads | plain read GB/s | loading GB/s | ratio | resident MB | planned MB | ratio |")
    print("| --- " * 8 + "|")
    print(f"| {Path(path).name} | {args.threads} | {gigabytes / read:.2f} | {gigabytes / load:.2f} | "
          f"{statistics.median(r[0] / r[1] for r in rows):.2f} | {resident / 1e6:.0f} | {planned / 1e6:.0f} | "
          f"{resident / planned:.3f} |")


if __name__ == "__main__":
    main()
