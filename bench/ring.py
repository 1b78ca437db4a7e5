#!/usr/bin/env python3
"""A ring of nodes beside one node, and llama.cpp's RPC beside both: what the splitting itself costs.

  bench/ring.py [MODEL.gguf ...] [--nodes 3,5] [--runs 3] [--prompt 32] [--generate 64] [--llama-bin FOLDER]

Every node has one thread and lies in a network namespace of its own; the stages of a ring take turns, so a ring that
cost nothing would be as fast as one node. Runs alternate (one node, ring, peer, ...); printed are medians and the
median of the pairwise ratios. Without models: the default model. LLAMA_BIN may name the folder of llama-bench and
ggml-rpc-server.
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
from cluster import assert_all_see_all, default_model, make_cluster, model_name  # noqa: E402
from netns import Network, missing  # noqa: E402

RPC_PORT = 50052


def measure_cluster(nodes, model, args):
    """`bench --cluster` on what is loaded, from the first node."""
    return nodes[0].json("bench", model, "--cluster", "--prompt", args.prompt, "--generate", args.generate,
                         "--repeat", 1)


def load(nodes, model, count):
    for instance in nodes[0].json("ps"):
        nodes[0].cli("stop", instance["id"])
    nodes[0].cli("load", model, "--nodes", count, "--split", "pipeline", "--context", 2048, "--parallel", 1)


def start_rpc(network, count, llama_bin):
    """ggml-rpc-server with one thread in each of `count` members behind the first, which asks them."""
    command = [Path(llama_bin) / "ggml-rpc-server", "-H", "0.0.0.0", "-p", str(RPC_PORT), "-t", "1"]
    for i in range(1, count + 1):
        network.start(i, *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def measure_peer(network, path, args, servers):
    """llama.cpp's decode rate with the layers on the members' servers; without servers, on one thread here."""
    command = [Path(args.llama_bin) / "llama-bench", "-m", path, "-t", "1", "-r", "1", "-o", "json", "-p", "0",
               "-n", str(args.generate), "-d", str(args.prompt)] + (["--rpc", servers, "-ngl", "99"] if servers else [])
    return json.loads(network.check(0, *command).stdout)[0]["avg_ts"]


def compare(network, nodes, path, count, args):
    model = model_name(path)
    servers = ",".join(f"{network.address(i)}:{RPC_PORT}" for i in range(1, count + 1)) if args.llama_bin else None
    rows = []
    for _ in range(args.runs):
        load(nodes, model, 1)
        one = measure_cluster(nodes, model, args)
        load(nodes, model, count)
        ring = measure_cluster(nodes, model, args)
        peer = [measure_peer(network, path, args, where) for where in (None, servers)] if servers else None
        rows.append((one, ring, peer))
    tell(path, count, rows)


def tell(path, count, rows):
    median = statistics.median
    alone = [one["decode_tokens_per_s"]["median"] for one, _, _ in rows]
    rings = [ring["decode_tokens_per_s"]["median"] for _, ring, _ in rows]
    hops = [ring["hop_us"] for _, ring, _ in rows]
    ratios = [r / a for r, a in zip(rings, alone)]
    peers = "| - | - |"
    if rows[0][2]:
        peers = f"| {median(p[1] for _, _, p in rows):.1f} | {median(p[1] / p[0] for _, _, p in rows):.2f} |"
    print(f"| {Path(path).name} | {count} | {median(alone):.1f} | {median(rings):.1f} | {median(ratios):.2f} "
          f"({min(ratios):.2f}-{max(ratios):.2f}) | {median(h['median'] for h in hops):.0f} "
          f"| {median(h['p99'] for h in hops):.0f} | {median(r['raw_hop_us'] for _, r, _ in rows):.0f} {peers}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--nodes", default="3,5")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--llama-bin", default=os.environ.get("LLAMA_BIN"))
    args = parser.parse_args()
    if missing():
        print(f"ring.py: {missing()}")
        return
    print("| file | nodes | one node tok/s | ring tok/s | ratio | hop us | p99 | raw hop us | llama.cpp RPC tok/s "
          "| its ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    counts = [int(count) for count in args.nodes.split(",")]
    paths = [os.path.abspath(path) for path in args.models or [default_model()]]
    with tempfile.TemporaryDirectory() as folder, Network(max(counts) + 1) as network:
        nodes = make_cluster(network, Path(folder), max(counts), "--threads", "1")
        for node in nodes:
            for path in paths:
                node.add_model(path)
        assert_all_see_all(nodes, 5)
        if args.llama_bin:
            start_rpc(network, max(counts), args.llama_bin)
        for path in paths:
            for count in counts:
                compare(network, nodes, path, count, args)


if __name__ == "__main__":
    main()
