"""What the loss of a node costs: how soon it is noticed, and how long a reader waits for the next word.

    bench/survival.py [ROUNDS [KIND...]]

Four nodes in network namespaces, SmolLM2 135M as a ring of three, one thread each; a client reads a streamed answer at
the fourth. Noticed is: the log of one who is left says so. Every answer is compared with the undisturbed one.
"""
import re
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/net"))
from cluster import MODEL, assert_all_see_all, default_model, make_cluster, wait_until  # noqa: E402
from netns import Network  # noqa: E402
from streams import Stream  # noqa: E402

STRIKES = {
    "kill -9": (lambda n: n.kill(), lambda n: n.start()),
    "SIGSTOP": (lambda n: n.process.send_signal(signal.SIGSTOP), lambda n: n.process.send_signal(signal.SIGCONT)),
    "cable": (lambda n: n.network.cut(n.place), lambda n: n.network.mend(n.place)),
    "mute": (lambda n: n.network.mute(n.place), lambda n: n.network.unmute(n.place)),
    "SIGTERM": (lambda n: n.process.send_signal(signal.SIGTERM), lambda n: (n.process.wait(timeout=10), n.start())),
}
NOTICED = re.compile(r"^(\d+\.\d+) .*(a new plan is sought|takes over|its parts are placed anew|speaks for it)")


def noticed_at(nodes, struck, since):
    """When the first of those who are left says so, on the clock of the logs."""
    lines = (NOTICED.match(line) for n in nodes if n is not struck for line in list(n.log))
    times = [float(m.group(1)) for m in lines if m]
    return min((t for t in times if t >= since), default=None)


def strike(nodes, gateway, stage, kind, expected):
    if len(gateway.json("ps")[0]["stages"]) < 3:
        gateway.cli("stop", MODEL)
        gateway.cli("load", MODEL, "--nodes", 3)
    ids = {n["id"]: node for node in nodes for n in node.nodes() if n["self"]}
    ring = [ids[s["members"][0]["node"]] for s in gateway.json("ps")[0]["stages"]]
    node = ring[stage % len(ring)]
    if node is gateway:
        node = next(n for n in ring if n is not gateway)
    answer = Stream(gateway, 300).after(40)
    begin = time.monotonic()
    STRIKES[kind][0](node)
    assert answer.result() == expected, "the answer is another one"
    noticed = noticed_at(nodes, node, begin)
    pause = max(after - max(before, begin) for (before, _), (after, _) in zip(answer.pieces, answer.pieces[1:])
                if after > begin)
    STRIKES[kind][1](node)
    assert_all_see_all(nodes, 20)
    assert wait_until(lambda: all([i["state"] for i in n.json("ps")] == ["ready"] for n in nodes), 20) is not None
    return (noticed - begin if noticed else None), pause


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as folder, Network(4) as network:
        nodes = make_cluster(network, Path(folder), 4, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 15)
        nodes[0].cli("load", MODEL, "--nodes", 3)
        gateway = nodes[3]
        expected = Stream(gateway, 300).result()
        for kind in sys.argv[2:] or STRIKES:
            results = [strike(nodes, gateway, i, kind, expected) for i in range(rounds)]
            noticed = sorted(n for n, _ in results if n is not None)
            pauses = sorted(p for _, p in results)
            print(f"{kind:8} noticed after {statistics.median(noticed) * 1000:.0f} ms (most {noticed[-1] * 1000:.0f}), "
                  f"the next word after {statistics.median(pauses):.2f} s (most {pauses[-1]:.2f})", flush=True)


if __name__ == "__main__":
    main()
