#!/usr/bin/env python3
"""Caravan beside llama.cpp on the same files, same machine, same run: the table of README.md.

  bench/peer.py MODEL.gguf ... [--threads 1,2] [--prompt 512] [--generate 64] [--runs 5] [--llama-bin FOLDER]
                               [--batch 8] [--under COMMAND]

The two programs take turns (A B A B ...). A row has the medians of each, the median of the pairwise ratios, and how
much of the physical limit Caravan reaches: of the int8 multiply-adds of a register loop, of the bandwidth of a plain
read loop, both on the same threads in the same moments. Decoding begins behind the prompt; llama.cpp keeps its default
KV format, f16, as Caravan does. With --batch so many sequences decode together, beside llama-batched-bench. LLAMA_BIN
may name the folder of llama-bench. --under puts a command in front of every measured one (`taskset -c 0,1`).
"""
import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

CARAVAN = Path(__file__).resolve().parent.parent / "build/caravan"
median = statistics.median


class Peer:
    """llama.cpp's own benchmarks."""

    def __init__(self, folder, run):
        self.folder, self.run = Path(folder), run

    def bench(self, model, threads, *extra):
        command = [self.folder / "llama-bench", "-m", model, "-t", threads, "-r", 1, "-o", "json", *extra]
        return json.loads(self.run(command))[0]["avg_ts"]

    def rates(self, model, threads, args):
        return {"prefill": self.bench(model, threads, "-p", args.prompt, "-n", 0),
                "decode": self.bench(model, threads, "-p", 0, "-n", args.generate, "-d", args.prompt)}

    def batched_rates(self, model, threads, args):
        context = args.batch * (args.prompt + args.generate)
        lines = self.run([self.folder / "llama-batched-bench", "-m", model, "-t", threads, "-npp", args.prompt, "-ntg",
                          args.generate, "-npl", args.batch, "-c", context, "--output-format", "jsonl"])
        result = json.loads(next(line for line in lines.splitlines() if line.startswith("{")))
        return {"prefill": result["speed_pp"], "decode": result["speed_tg"]}


def caravan_rates(run, model, threads, args):
    result = json.loads(run([CARAVAN, "bench", model, "--threads", threads, "--prompt", args.prompt, "--generate",
                             args.generate, "--batch", args.batch, "--repeat", 1, "--json"]))
    return {"prefill": result["prefill_tokens_per_s"]["median"], "decode": result["decode_tokens_per_s"]["median"],
            "prefill_limit": result["prefill_matmul_fraction"], "decode_limit": result["decode_bandwidth_fraction"]}


def runner(under):
    """A function that runs a command and returns what it printed."""
    def run(command):
        words = shlex.split(under) + [str(word) for word in command]
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return run


def in_path(program):
    return os.path.dirname(shutil.which(program) or "")


def cells(what, rows):
    """Ours, theirs, the ratio, the fraction of the limit."""
    ours, theirs = [row[0][what] for row in rows], [row[1][what] for row in rows]
    ratio = median(a / b for a, b in zip(ours, theirs))
    limit = median(row[0][what + "_limit"] for row in rows)
    return f"{median(ours):.1f} | {median(theirs):.1f} | {ratio:.2f} | {limit:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--under", default="")
    parser.add_argument("--llama-bin", default=os.environ.get("LLAMA_BIN") or in_path("llama-bench"))
    args = parser.parse_args()
    if not (Path(args.llama_bin) / "llama-bench").exists():
        sys.exit("peer.py: no llama-bench: name its folder with --llama-bin or LLAMA_BIN")
    run = runner(args.under)
    peer = Peer(args.llama_bin, run)
    measure_peer = peer.rates if args.batch == 1 else peer.batched_rates
    print(f"tokens/s; prompt {args.prompt}, then {args.generate} more, {args.batch} together; median of {args.runs}\n")
    print("| file | threads | prefill | llama.cpp | ratio | of int8 peak | decode | llama.cpp | ratio | of bandwidth |")
    print("| --- " * 10 + "|")
    for model in args.models:
        for threads in args.threads.split(","):
            rows = [(caravan_rates(run, model, threads, args), measure_peer(model, threads, args))
                    for _ in range(args.runs)]
            rates = " | ".join(cells(what, rows) for what in ("prefill", "decode"))
            print(f"| {Path(model).name} | {threads} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
