#!/usr/bin/env python3
"""How much sooner a model is loaded by several nodes than by one, each with one thread.

  bench/load.py MODEL.gguf [--nodes 3] [--runs 3]

The file lies in the page cache, the nodes in network namespaces of this host. One node and all of them take turns;
printed are the medians in seconds and the median of the pairwise ratios. Aim: three nodes within 0.75 of one.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/net"))
from cluster import assert_all_see_all, make_cluster, model_name  # noqa: E402
from netns import Network, missing  # noqa: E402


def load_s(nodes, model, count):
    begin = time.monotonic()
    nodes[0].cli("load", model, "--nodes", count, "--split", "pipeline", "--context", 2048, "--parallel", 1)
    took = time.monotonic() - begin
    nodes[0].cli("stop", model)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if missing():
        print(f"load.py: {missing()}")
        return
    path = os.path.abspath(args.model)
    with tempfile.TemporaryDirectory() as folder, Network(args.nodes) as network:
        nodes = make_cluster(network, Path(folder), args.nodes, "--threads", "1")
        for node in nodes:
            node.add_model(path)
        assert_all_see_all(nodes, 5)
        load_s(nodes, model_name(path), args.nodes)  # warms the page cache
        rows = [(load_s(nodes, model_name(path), 1), load_s(nodes, model_name(path), args.nodes))
                for _ in range(args.runs)]
    one, all_of_them = statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows)
    print("| file | one node s | nodes | together s | ratio | aim |\n| --- | --- | --- | --- | --- | --- |")
    print(f"| {Path(path).name} | {one:.2f} | {args.nodes} | {all_of_them:.2f} "
          f"| {statistics.median(r[1] / r[0] for r in rows):.2f} | 0.75 |")


if __name__ == "__main__":
    main()
