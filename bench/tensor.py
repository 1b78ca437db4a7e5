#!/usr/bin/env python3
"""Two nodes that share every layer beside one node with as many threads: what the sharing itself costs.

  bench/tensor.py [MODEL.gguf ...] [--nodes 2] [--shares 1,1] [--runs 3] [--prompt 512] [--generate 64]

Every node of the group has one thread and lies in a network namespace of its own; the node that it is compared with has
one thread for each of them, so sharing that cost nothing would be as fast. Runs alternate (one node, group, one node
...); printed are medians and the median of the pairwise ratios, then what a token of the group is made of. Without
models: the default model.
"""
import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/net"))
from cluster import Node, assert_all_see_all, default_model, make_cluster, model_name  # noqa: E402
from netns import Network, missing  # noqa: E402

median = statistics.median


def measure(node, model, args, *flags):
    """`bench --cluster` on what was loaded with these flags; unloaded afterwards."""
    node.cli("load", model, "--context", 1024, "--parallel", 1, *flags)
    shown = node.json("bench", model, "--cluster", "--prompt", args.prompt, "--generate", args.generate, "--repeat", 3)
    for instance in node.json("ps"):
        node.cli("stop", instance["id"])
    return shown


def compare(alone, nodes, path, args):
    model = model_name(path)
    weights = args.shares.split(",") if args.shares else ["1"] * len(nodes)
    shares = ",".join(f"{node.name}={weight}" for node, weight in zip(nodes, weights))
    rows = [(measure(alone, model, args), measure(nodes[0], model, args, "--split", "tensor", "--shares", shares))
            for _ in range(args.runs)]
    cells = [Path(path).name, shares]
    for what in ("decode_tokens_per_s", "prefill_tokens_per_s"):
        one, group = [[row[i][what]["median"] for row in rows] for i in (0, 1)]
        ratios = [b / a for a, b in zip(one, group)]
        cells += [f"{median(one):.1f}", f"{median(group):.1f}",
                  f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"]
    spent = rows[-1][1]["token_us"] or {}
    cells += [str(spent.get(part, "-")) for part in ("compute", "serialise", "wire")]
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--shares")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    args = parser.parse_args()
    if missing():
        print(f"tensor.py: {missing()}")
        return
    one = f"one node x {args.nodes}"
    print(f"| file | shares | decode, {one} | group | ratio | prefill, {one} | group | ratio "
          "| computing us | serialising | wire |\n" + "| --- " * 11 + "|")
    paths = [os.path.abspath(path) for path in args.models or [default_model()]]
    with tempfile.TemporaryDirectory() as folder, Network(args.nodes + 1) as network:
        nodes = make_cluster(network, Path(folder), args.nodes, "--threads", "1")
        alone = Node(network, args.nodes, Path(folder) / "alone", "--threads", args.nodes).start()
        for node in [*nodes, alone]:
            for path in paths:
                node.add_model(path)
        assert_all_see_all(nodes, 5)
        for path in paths:
            compare(alone, nodes, path, args)


if __name__ == "__main__":
    main()
