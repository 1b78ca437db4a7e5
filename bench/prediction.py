#!/usr/bin/env python3
"""What the planner predicts beside what is measured, on clusters whose CPUs and links are braked on purpose.

  bench/prediction.py [MODEL.gguf ...] [--runs 3] [--generate 48] [--case WORD]

Each node lies in a network namespace and in a CPU control group with a quota per 10 ms; `tc tbf` shapes its link. All
facts are measured in the same run (`nodes --measure`), then each plan is loaded and decoded with. Printed are the
median of the runs and predicted / measured. Without models: the default model. Needs root, and a quiet machine.
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
from cluster import Node, assert_all_see_all, default_model, model_name, wait_until  # noqa: E402
from netns import Network, missing  # noqa: E402

PERIOD_US = 10000

# name, of each node: its part of a core and what its link passes (None: all), flags of the plan
CASES = [
    ("one, whole core", [(1.0, None)], ["--nodes", 1]),
    ("one, half a core", [(0.5, None)], ["--nodes", 1]),
    ("ring of 2, whole cores", [(1.0, None)] * 2, ["--nodes", 2, "--split", "pipeline"]),
    ("ring of 2, 0.6 and 0.3", [(0.6, None), (0.3, None)], ["--nodes", 2, "--split", "pipeline"]),
    ("ring of 3, 0.8, 0.4, 0.2", [(0.8, None), (0.4, None), (0.2, None)], ["--nodes", 3, "--split", "pipeline"]),
    ("ring of 3, 100 Mbit/s", [(0.8, "100mbit")] * 3, ["--nodes", 3, "--split", "pipeline"]),
    ("ring of 2, 10 Mbit/s", [(1.0, "10mbit")] * 2, ["--nodes", 2, "--split", "pipeline"]),
    ("group of 2, whole cores", [(1.0, None)] * 2, ["--nodes", 2, "--split", "tensor"]),
    ("group of 2, 0.8 and 0.4", [(0.8, None), (0.4, None)], ["--nodes", 2, "--split", "tensor"]),
    ("group of 2, 1 Gbit/s", [(1.0, "1gbit")] * 2, ["--nodes", 2, "--split", "tensor"]),
    ("auto of 2, 0.8 and 0.4", [(0.8, None), (0.4, None)], []),
]


class Brake:
    """A CPU control group, of version 1 or 2, for a part of one core."""

    def __init__(self, name, part):
        first = Path("/sys/fs/cgroup/cpu")
        self.path = (first if first.exists() else Path("/sys/fs/cgroup")) / name
        self.path.mkdir(exist_ok=True)
        quota = int(PERIOD_US * part) if part < 1 else -1
        if first.exists():
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota if quota > 0 else 'max'} {PERIOD_US}")

    def join(self):
        """The process that calls it, and what it becomes."""
        (self.path / "cgroup.procs").write_text("0")

    def remove(self):
        wait_until(lambda: not (self.path / "cgroup.procs").read_text(), 5)
        self.path.rmdir()


def shape(network, i, rate):
    if rate:
        network.check(i, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "32kb", "latency",
                      "200ms")


def start_nodes(network, folder, case, brakes, models):
    nodes = [Node(network, i, folder / f"home{i}", "--threads", "1") for i in range(len(case))]
    code = nodes[0].code()
    for i, (node, (_, rate)) in enumerate(zip(nodes, case)):
        if i:
            node.cli("join", code)
        for model in models:
            node.add_model(model)
        shape(network, i, rate)
        node.before = brakes[i].join
        node.start()
    assert_all_see_all(nodes, 10)
    return nodes


def measure(nodes, model, flags, args):
    """(predicted, median of what was measured) tokens a second; None: the plan is refused."""
    flags = [*flags, "--context", 1024, "--parallel", 1]
    answer = nodes[0].cli("plan", model, *flags, "--json", check=False)
    if answer.returncode:
        return None
    plan = nodes[0].json("plan", model, *flags)
    nodes[0].cli("load", model, *flags)
    rates = [nodes[0].json("bench", model, "--cluster", "--prompt", 16, "--generate", args.generate, "--repeat", 1)
             ["decode_tokens_per_s"]["median"] for _ in range(args.runs)]
    nodes[0].cli("stop", model)
    return plan["predicted"]["decode_tokens_per_s"], statistics.median(rates), plan["choice"]


def run_case(name, case, flags, models, args):
    brakes = [Brake(f"caravan-{os.getpid()}-{i}", part) for i, (part, _) in enumerate(case)]
    try:
        with tempfile.TemporaryDirectory() as folder, Network(len(case)) as network:
            nodes = start_nodes(network, Path(folder), case, brakes, models)
            for path in models:
                time.sleep(0.5)
                nodes[0].json("nodes", "--measure")
                result = measure(nodes, model_name(path), flags, args)
                tell(Path(path).name, name, result)
    finally:
        for brake in brakes:
            brake.remove()


def tell(model, name, result):
    if result:
        predicted, measured, choice = result
        print(f"| {model} | {name} | {predicted:.1f} | {measured:.1f} | {predicted / measured:.2f} | {choice} |")
    else:
        print(f"| {model} | {name} | not possible | | | |")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--generate", type=int, default=48)
    parser.add_argument("--case", default="")
    args = parser.parse_args()
    if missing():
        print(f"prediction.py: {missing()}")
        return
    models = [os.path.abspath(path) for path in args.models or [default_model()]]
    print("| model | cluster | predicted tok/s | measured tok/s | ratio | |\n| --- | --- | --- | --- | --- | --- |")
    for name, case, flags in CASES:
        if args.case in name:
            run_case(name, case, flags, models, args)


if __name__ == "__main__":
    main()
