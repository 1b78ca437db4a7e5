#!/usr/bin/env python3
"""Perplexity of a model quantised by Caravan beside the same by llama-quantize, both measured by llama-perplexity.

  bench/quantize.py MODEL.gguf --llama FOLDER [--types q4_0,q8_0] [--text FILE] [--context N] [--chunks N] [--threads N]

FOLDER holds llama-quantize and llama-perplexity. Both programs start from an F32 copy of the model. The last column is
also what Caravan's own perplexity says of its file.
"""
import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

TYPES = "q4_0,q4_1,q5_0,q5_1,q8_0,q4_k,q5_k,q6_k,q3_k,q2_k,iq4_nl,iq4_xs"
OWN_NAMES = {"q4_k": "Q4_K_M", "q5_k": "Q5_K_M", "q3_k": "Q3_K_M"}


def output(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def llama_perplexity(options, model):
    said = output(options.llama / "llama-perplexity", "-m", model, "-f", options.text, "-c", options.context, "-t",
                  options.threads, "--chunks", options.chunks)
    return float(re.search(r"Final estimate: PPL = ([0-9.]+)", said).group(1))


def own_perplexity(options, model):
    said = subprocess.run([options.caravan, "perplexity", model, options.text, "--context", str(options.context),
                           "--threads", str(options.threads), "--json"], check=True, capture_output=True, text=True)
    return json.loads(said.stdout)["perplexity"]


def compare(options, folder, source, kind):
    """One line of the table; both files are gone afterwards."""
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    output(options.caravan, "quantize", source, ours, kind)
    output(options.llama / "llama-quantize", "--allow-requantize", source, theirs, OWN_NAMES.get(kind, kind.upper()))
    found = [llama_perplexity(options, path) for path in (ours, theirs)]
    sizes = [path.stat().st_size / 1e6 for path in (ours, theirs)]
    print(f"{kind:8} {sizes[0]:8.1f} {sizes[1]:8.1f} {found[0]:10.4f} {found[1]:10.4f} "
          f"{100 * (found[0] / found[1] - 1):+8.2f} %", end="", flush=True)
    print("" if options.chunks > 0 else f" {own_perplexity(options, ours):10.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--llama", type=Path, required=True)
    parser.add_argument("--caravan", default="build/caravan")
    parser.add_argument("--types", default=TYPES)
    parser.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=-1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("type      MB here MB there   PPL here  PPL there difference" + ("" if options.chunks > 0 else "  own PPL"))
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "f32.gguf"
        output(options.caravan, "quantize", options.model, source, "f32")
        for kind in options.types.split(","):
            compare(options, Path(name), source, kind)


if __name__ == "__main__":
    main()
