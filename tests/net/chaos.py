"""Chaos: nodes of a cluster are killed, frozen, cut off, muted and asked to leave at random while clients read answers.

    chaos.py [--seconds N] [--seed N] [--folder DIR] [--for throughput]

Five nodes in network namespaces, the model on three of them, or for throughput in replicas; the fifth, where the
clients ask, is left alone. Every answer must be, word for word, the one that a single node gave before. Prints the
seed, each fault, and what it cost; ends with 1 if an answer differed or the cluster did not come to rest.
"""
import argparse
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from cluster import MODEL, assert_all_see_all, default_model, make_cluster, wait_until
from netns import Network, missing
from streams import Stream

QUESTIONS = ["Tell me a long story about a dog.", "How do ships float?", "Write a poem about the sea."]
TOKENS = 200
STRUCK_MAX = 2  # nodes that are away at the same time
# how the model is loaded; with so many requests multiplying limits, not reading weights: replicas are the best plan
LOADS = {"latency": ["--nodes", 3], "throughput": ["--for", "throughput", "--parallel", 64, "--context", 512]}
READERS = {"latency": 1, "throughput": 2}  # of each question


class Fault:
    """Something that happens to a node, and its end."""

    def __init__(self, dice, node):
        self.node, self.seconds = node, dice.uniform(0.5, 6)
        self.kind = dice.choice(["kill", "kill", "freeze", "cut", "mute", "leave"])

    def begin(self):
        self.at = time.monotonic()
        network, place, process = self.node.network, self.node.place, self.node.process
        if self.kind == "kill":
            self.node.kill()
        elif self.kind == "freeze":
            process.send_signal(signal.SIGSTOP)
        elif self.kind == "cut":
            network.cut(place)
        elif self.kind == "mute":
            network.mute(place)
        else:
            process.send_signal(signal.SIGTERM)

    def end(self):
        if self.kind == "freeze":
            self.node.process.send_signal(signal.SIGCONT)
        elif self.kind == "cut":
            self.node.network.mend(self.node.place)
        elif self.kind == "mute":
            self.node.network.unmute(self.node.place)
        else:
            self.node.process.wait(timeout=30)  # on a machine that is busy with chaos
            self.node.start()


class Reader(threading.Thread):
    """A client that asks again and again, and compares."""

    def __init__(self, gateway, question, expected, until):
        super().__init__(daemon=True)
        self.gateway, self.question, self.expected, self.until = gateway, question, expected, until
        self.answers, self.wrong, self.pieces = 0, [], []

    def run(self):
        while time.monotonic() < self.until:
            answer = Stream(self.gateway, TOKENS, question=self.question)
            answer.join(60)
            self.pieces += [at for at, _ in answer.pieces] + [None]
            try:
                if answer.result(1) != self.expected:
                    self.wrong.append(answer.raw())
            except AssertionError as error:
                self.wrong.append(str(error))
            self.answers += 1

    def pause_after(self, moment):
        """Seconds from the moment to the next piece, if an answer was on its way; and whether that was a pause."""
        for before, after in zip(self.pieces, self.pieces[1:]):
            if before is not None and after is not None and before <= moment < after:
                return after - moment
        return None


def torment(nodes, dice, until, faults):
    """Strike at random until then; nobody is away at the end."""
    away = []
    while time.monotonic() < until or away:
        now = time.monotonic()
        for fault in [f for f in away if now > f.at + f.seconds]:
            fault.end()
            away.remove(fault)
        if now < until and len(away) < STRUCK_MAX and dice.random() < 0.5:
            free = [n for n in nodes if n not in [f.node for f in away]]
            fault = Fault(dice, dice.choice(free))
            print(f"{fault.kind:6} {fault.node.name} for {fault.seconds:.1f} s", flush=True)
            fault.begin()
            away.append(fault)
            faults.append(fault)
        time.sleep(dice.uniform(0.1, 2))


def report(faults, readers):
    """What each kind of fault cost those who were reading."""
    for kind in sorted({f.kind for f in faults}):
        costs = [reader.pause_after(f.at) for f in faults if f.kind == kind for reader in readers]
        costs = sorted(c for c in costs if c is not None)
        if costs:
            print(f"{kind:6} {len(costs):4} answers: the next word after {statistics.median(costs):.2f} s (median), "
                  f"{costs[-1]:.2f} s (most)")


def running(node):
    """How many instances there are as a node sees it, if all are ready."""
    instances = node.json("ps")
    return len(instances) if all(i["state"] == "ready" for i in instances) else 0


def as_planned(node):
    """All replicas that the newest of them tells of are ready."""
    return running(node) == max(node.json("ps"), key=lambda i: i["epoch"])["replicas"]


def at_rest_with(nodes, aim):
    """All nodes see the same: one instance that is ready, or replicas of it."""
    counts = {running(node) for node in nodes}
    return len(counts) == 1 and (counts == {1} if aim == "latency" else min(counts) > 1)


def chaos(folder, seconds, seed, aim="latency"):
    print(f"seed {seed}: {seconds} s", flush=True)
    dice = random.Random(seed)
    with Network(5) as network:
        nodes = make_cluster(network, folder, 5, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 15)
        gateway = nodes[-1]
        assert wait_until(lambda: all(n["read_bandwidth"] for n in gateway.nodes()), 60) is not None, gateway.nodes()
        gateway.cli("load", MODEL, "--nodes", 1)
        expected = [Stream(gateway, TOKENS, question=q).result() for q in QUESTIONS]
        gateway.cli("stop", MODEL)
        gateway.cli("load", MODEL, *LOADS[aim])
        assert wait_until(lambda: as_planned(gateway), 30) is not None, gateway.json("ps")
        until, faults = time.monotonic() + seconds, []
        print(f"{running(gateway)} instances", flush=True)
        readers = [Reader(gateway, q, e, until) for q, e in list(zip(QUESTIONS, expected)) * READERS[aim]]
        for reader in readers:
            reader.start()
        torment(nodes[:-1], dice, until, faults)
        for reader in readers:
            reader.join(90)
        at_rest = wait_until(lambda: all(len(n.up()) == 5 for n in nodes), 30) is not None and wait_until(
            lambda: at_rest_with(nodes, aim), 30) is not None
        wrong = [text for reader in readers for text in reader.wrong]
        report(faults, readers)
        for text in wrong:
            print("WRONG:", text[-500:])
        if not at_rest:
            print("not at rest:", [(n.name, sorted(n.up()), n.json("ps")) for n in nodes])
        print(f"seed {seed}: {len(faults)} faults, {sum(r.answers for r in readers)} answers, {len(wrong)} wrong, "
              f"{running(gateway)} instances")
        return not wrong and at_rest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--for", dest="aim", choices=LOADS, default="latency")
    options = parser.parse_args()
    reason = missing() or (None if default_model().exists() else f"the default model is not at {default_model()}")
    if reason:
        print(f"chaos needs what is not here: {reason}")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        return 0 if chaos(options.folder or Path(folder), options.seconds, options.seed, options.aim) else 1


if __name__ == "__main__":
    sys.exit(main())
