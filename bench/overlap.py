#!/usr/bin/env python3
"""Several requests through a ring at once: two nodes with one thread each beside one node with two.

  bench/overlap.py [MODEL.gguf ...] [--runs 3] [--prompt 2048] [--generate 64]

Four requests together through the ring, its single request, and one node decoding batches of two (a ring of two reads
the weights once for each of its two steps under way); then one long prompt through the ring and through one node. The
planner's shares are for decoding, where the first stage has the head to read besides; a prompt does without it, so it
goes through a ring of equal shares. Runs alternate; printed are medians and the median of the pairwise ratios. Aims:
0.85 of one node, 1.7 of a single request.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/net"))
from cluster import CARAVAN, assert_all_see_all, default_model, make_cluster, model_name  # noqa: E402
from netns import Network, missing  # noqa: E402

median = statistics.median


def rate(result, what):
    return result[f"{what}_tokens_per_s"]["median"]


def bench_one(path, prompt, generate, batch):
    command = [CARAVAN, "bench", path, "--threads", "2", "--prompt", prompt, "--generate", generate, "--batch", batch,
               "--repeat", 1, "--json"]
    return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)


def bench_ring(nodes, model, prompt, generate, requests, repeat=1):
    return nodes[0].json("bench", model, "--cluster", "--prompt", prompt, "--generate", generate, "--repeat", repeat,
                         "--requests", requests)


def measure(nodes, path, args):
    model = model_name(path)
    load = ["load", model, "--nodes", 2, "--split", "pipeline", "--context", args.prompt + 256, "--parallel", 4]
    nodes[0].cli(*load)
    rows = []
    for _ in range(args.runs):
        rows.append({"pair": rate(bench_one(path, 32, args.generate, 2), "decode"),
                     "four": rate(bench_ring(nodes, model, 32, args.generate, 4), "decode"),
                     "single": rate(bench_ring(nodes, model, 32, args.generate, 1), "decode"),
                     "read": rate(bench_one(path, args.prompt, 1, 1), "prefill")})
    nodes[0].cli("stop", model)
    nodes[0].cli(*load, "--shares", ",".join(f"{node['name']}=1" for node in nodes[0].json("nodes")))
    read = bench_ring(nodes, model, args.prompt, 1, 1, args.runs)
    for row in rows:
        row["read_ring"] = rate(read, "prefill")
    nodes[0].cli("stop", model)
    of = {name: median(r[name] for r in rows) for name in rows[0]}
    ratio = [median(r[a] / r[b] for r in rows)
             for a, b in (("four", "pair"), ("four", "single"), ("read_ring", "read"))]
    print(f"| {Path(path).name} | {of['pair']:.0f} | {of['four']:.0f} | {ratio[0]:.2f} | {of['single']:.0f} "
          f"| {ratio[1]:.2f} | {of['read']:.0f} | {of['read_ring']:.0f} | {ratio[2]:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=2048)
    parser.add_argument("--generate", type=int, default=64)
    args = parser.parse_args()
    if missing():
        print(f"overlap.py: {missing()}")
        return
    paths = [os.path.abspath(p) for p in args.models or [default_model()]]
    print("| file | one node, batches of 2 | ring, 4 requests | ratio | ring, 1 request | ratio | prompt, one node "
          "| prompt, ring | ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, Network(2) as network:
        nodes = make_cluster(network, Path(folder), 2, "--threads", "1")
        for path in paths:
            for node in nodes:
                node.add_model(path)
        assert_all_see_all(nodes, 5)
        for path in paths:
            measure(nodes, path, args)


if __name__ == "__main__":
    main()
