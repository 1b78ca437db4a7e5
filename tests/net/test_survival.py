"""An answer outlives the loss of any node but the one that the client asked: it reads as if nothing had happened."""
import signal
import time

import pytest
from cluster import MODEL, assert_all_see_all, default_model, make_cluster, require_model, wait_until
from netns import Network
from streams import Stream

PIECES = 40  # of the answer, before something happens


@pytest.fixture
def four(tmp_path):
    """Four nodes with the default model, loaded on three of them."""
    require_model()
    with Network(4) as network:
        nodes = make_cluster(network, tmp_path, 4, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 10)
        nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
        yield nodes


def by_stage(nodes, seen_by):
    """The nodes of the ring in its order."""
    ids = {n["id"]: node for node in nodes for n in node.nodes() if n["self"]}
    return [ids[stage["members"][0]["node"]] for stage in seen_by.json("ps")[0]["stages"]]


def state(node):
    return [(i["id"], i["state"]) for i in node.json("ps")]


def ring_and_gateway(nodes):
    """The ring, and a node outside of it where the client asks. There is one again after each recovery."""
    ring = by_stage(nodes, nodes[0])
    return ring, next(n for n in nodes if n not in ring)


def disturb(nodes, stage, strike):
    """The same answer twice, the second time with a fault in it. Returns the node that was struck."""
    ring, gateway = ring_and_gateway(nodes)
    (instance, _), = state(gateway)
    undisturbed = Stream(gateway).result()
    epoch = gateway.json("ps")[0]["epoch"]
    answer = Stream(gateway).after(PIECES)
    strike(ring[stage])
    assert answer.result() == undisturbed
    assert state(gateway) == [(instance, "ready")] and gateway.json("ps")[0]["epoch"] > epoch
    assert ring[stage] not in by_stage([n for n in nodes if n is not ring[stage]], gateway)
    print(f"stage {stage}: the longest pause was {answer.pause():.2f} s")
    return ring[stage]


@pytest.mark.parametrize("stage", [0, 1])
def test_a_killed_node(four, stage):
    killed = disturb(four, stage, lambda node: node.kill())
    killed.start()
    assert_all_see_all(four, 10)
    assert wait_until(lambda: state(killed) == state(four[0]) != [], 5) is not None


@pytest.mark.parametrize("stage", [0, 2])
def test_a_frozen_node(four, stage):
    """It wakes up, notices, and does no harm."""
    frozen = disturb(four, stage, lambda node: node.process.send_signal(signal.SIGSTOP))
    time.sleep(2.5)
    frozen.process.send_signal(signal.SIGCONT)
    assert_all_see_all(four, 10)
    assert wait_until(lambda: state(frozen) == state(four[0]) != [], 10) is not None
    assert Stream(frozen, tokens=5).result()[0]


@pytest.mark.parametrize("stage", [0, 1])
def test_a_node_whose_cable_is_pulled(four, stage):
    """Both sides run the model if they can; when they meet, one is left."""
    cut = disturb(four, stage, lambda node: node.network.cut(node.place))
    cut.network.mend(cut.place)
    assert_all_see_all(four, 10)
    assert wait_until(lambda: all(state(n) == state(four[0]) and len(state(n)) == 1 for n in four), 10) is not None
    assert Stream(cut, tokens=5).result()[0]


@pytest.mark.parametrize("stage", [0, 1])
def test_a_node_that_is_asked_to_leave(four, stage):
    """SIGTERM: what it ran goes to others before it ends."""
    left = disturb(four, stage, lambda node: node.process.send_signal(signal.SIGTERM))
    assert left.process.wait(timeout=5) == 0


def test_a_node_that_is_loading(four):
    """Lost while the model is still coming: the load goes on without it."""
    four[0].cli("stop", MODEL)
    load = four[0].cli_start("load", MODEL)
    assert wait_until(lambda: any(n.json("ps") for n in four[1:]), 5) is not None
    ring = by_stage(four, four[0])
    if ring[0] is not four[0]:
        ring[0].kill()
    assert load.wait(timeout=30) == 0
    left = [n for n in four if n.process.poll() is None]
    assert Stream(left[-1], tokens=5).result()[0]


def test_stops_and_lengths_are_counted_over_all_attempts(four):
    """A stop text behind the loss ends the answer where it would have; what was said before the loss counts."""
    ring, gateway = ring_and_gateway(four)
    whole, reason, usage = Stream(gateway).result()
    assert reason == "length" and usage["completion_tokens"] == 300
    new = [at for at in range(len(whole) // 3, len(whole) - 12) if whole.index(whole[at:at + 12]) == at]
    stop = whole[new[-1]:new[-1] + 12]
    stopped = Stream(gateway, stop=[stop]).result()
    assert stopped[0] == whole[:new[-1]] and stopped[1] == "stop"
    answer = Stream(gateway, stop=[stop]).after(PIECES)
    ring[1].kill()
    assert answer.result() == stopped


def test_nobody_has_room_for_it(tmp_path):
    """A clear error in the stream, nothing else is harmed, and the model comes back with the node."""
    require_model()
    size = default_model().stat().st_size
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3, "--threads", "1", start=False)
        for node in nodes:
            node.add_model(default_model())
            node.start("--memory", str(size * 9 // 10))
        assert_all_see_all(nodes, 10)
        nodes[0].cli("load", MODEL, "--context", 1024, "--parallel", 1)
        ring = by_stage(nodes, nodes[0])
        gateway = next(n for n in nodes if n is not ring[0])
        others = [n for n in nodes if n not in (ring[-1], gateway)]
        answer = Stream(gateway).after(PIECES)
        victims = [n for n in nodes if n is not gateway]
        for node in victims:
            node.kill()
        answer.join(30)
        assert not answer.is_alive() and "does not fit" in (answer.error() or ""), answer.raw()[-500:]
        assert [s for _, s in state(gateway)] == ["failed"] and others
        for node in victims:
            node.start("--memory", str(size * 9 // 10))
        assert wait_until(lambda: [s for _, s in state(gateway)] == ["ready"], 30) is not None
        assert Stream(gateway, tokens=5).result()[0]
