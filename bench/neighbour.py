#!/usr/bin/env python3
"""What is left of the decode rate when every core has something else to do as well, beside llama.cpp.

  bench/neighbour.py MODEL.gguf [--threads 2] [--prompt 64] [--generate 64] [--runs 5] [--llama-bin FOLDER]

An endless loop per core runs beside the measured program, so that its fair share is half. Free and disturbed runs
alternate; printed are the medians in tokens/s and the median of the pairwise ratios. LLAMA_BIN may name the folder of
llama-bench.
"""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from pathlib import Path

from peer import Peer, caravan_rates, in_path, runner


@contextlib.contextmanager
def neighbours():
    """An endless loop on every core."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def row(name, rate, runs):
    pairs = []
    for _ in range(runs):
        free = rate()
        with neighbours():
            pairs.append((free, rate()))
    free, disturbed = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"| {name} | {free:.1f} | {disturbed:.1f} | {ratio:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--llama-bin", default=os.environ.get("LLAMA_BIN") or in_path("llama-bench"))
    args = parser.parse_args()
    args.batch = 1
    run = runner("")
    print(f"| {Path(args.model).name}, {args.threads} threads | free tok/s | with neighbours | ratio |")
    print("| --- | --- | --- | --- |")
    row("Caravan", lambda: caravan_rates(run, args.model, args.threads, args)["decode"], args.runs)
    if (Path(args.llama_bin) / "llama-bench").exists():
        peer = Peer(args.llama_bin, run)
        row("llama.cpp", lambda: peer.rates(args.model, args.threads, args)["decode"], args.runs)
    else:
        print("| llama.cpp | not here: name its folder with --llama-bin or LLAMA_BIN |||")


if __name__ == "__main__":
    main()
