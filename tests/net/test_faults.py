"""Nodes that go: killed, frozen, leaving, and what others notice of it. Answers that outlive them: test_survival.py."""
import shutil
import signal
import time

import pytest
from cluster import (MODEL, Node, assert_all_see_all, come_to_rest, default_model, make_cluster, require_model,
                     wait_until)
from netns import Network


@pytest.fixture
def trio(tmp_path):
    """Three nodes with the default model."""
    require_model()
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 5)
        yield nodes


def long_answer(node):
    """A run that goes on for seconds, after its first words."""
    process = node.cli_start("run", MODEL, "Once upon a time", "--raw", "--seed", 5, "--max-tokens", 3000)
    assert process.stdout.read(16)
    return process


def by_stage(nodes):
    """The nodes in the order of the ring."""
    ids = {n["id"]: node for node in nodes for n in node.nodes() if n["self"]}
    return [ids[stage["members"][0]["node"]] for stage in nodes[0].json("ps")[0]["stages"]]


def assert_gone(nodes, gone, since):
    """Nobody lists the node as up any more, at most 3 s after it went."""
    left = [n for n in nodes if n is not gone]
    names = {n.name for n in left}
    assert wait_until(lambda: all(n.up() == names for n in left), since + 3 - time.monotonic()) is not None, [
        (n.name, n.nodes(), n.log[-5:]) for n in left]


def test_a_node_that_is_not_of_the_ring_may_go(trio):
    trio[0].cli("load", MODEL, "--nodes", 2, "--split", "pipeline")
    ring = by_stage(trio)
    (other,) = [n for n in trio if n not in ring]
    answer = long_answer(ring[0])
    begin = time.monotonic()
    other.kill()
    assert_gone(trio, other, begin)
    answer.communicate(timeout=60)
    assert answer.returncode == 0


def test_a_load_does_not_wait_for_a_frozen_node(trio):
    trio[2].process.send_signal(signal.SIGSTOP)
    refused = trio[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline", check=False, timeout=20)
    assert refused.returncode == 1 and "caravan: " in refused.stderr
    trio[2].process.send_signal(signal.SIGCONT)
    assert_all_see_all(trio, 5)
    trio[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")


@pytest.mark.parametrize("who", ["client", "node"])
def test_a_question_ends_with_who_asked_it(trio, who):
    """kill -9 of the client, or of the node that it asked: the ring comes to rest."""
    trio[0].cli("load", MODEL, "--nodes", 2, "--split", "pipeline")
    ring = by_stage(trio)
    (other,) = [n for n in trio if n not in ring]
    answer = long_answer(other)
    (answer if who == "client" else other).kill()
    assert come_to_rest(ring, 3)
    answer.kill()


def test_a_stop_is_orderly(trio):
    """SIGTERM says goodbye: the others know at once."""
    trio[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
    ring = by_stage(trio)
    assert ring[2].stop() == 0
    assert wait_until(lambda: all(ring[2].name not in n.up() for n in ring[:2]), 1) is not None


def test_a_node_that_leaves_is_alone(trio):
    trio[1].cli("leave")
    assert wait_until(lambda: trio[1].up() == {"node1"}, 2) is not None
    assert wait_until(lambda: trio[0].up() == trio[2].up() == {"node0", "node2"}, 3) is not None
    assert trio[1].code() != trio[0].code()


def test_a_node_restarts_into_its_cluster(trio):
    identity = next(n["id"] for n in trio[1].nodes() if n["self"])
    trio[1].kill()
    trio[1].start()
    assert_all_see_all(trio, 5)
    assert next(n["id"] for n in trio[1].nodes() if n["self"]) == identity


def test_ipv6_alone_is_enough(tmp_path):
    with Network(2, ipv4=False) as network:
        nodes = make_cluster(network, tmp_path, 2)
        assert_all_see_all(nodes, 3)
        assert all("fe80" in n["address"] for n in nodes[0].nodes() if not n["self"])


def test_a_named_peer_needs_no_multicast(tmp_path):
    with Network(2) as network:
        nodes = make_cluster(network, tmp_path, 2, "--no-discovery", start=False)
        nodes[0].start()
        nodes[1].start("--peer", network.address(0))
        assert_all_see_all(nodes, 3)
        nodes[0].kill()
        assert wait_until(lambda: nodes[1].up() == {"node1"}, 3) is not None
        nodes[0].start()
        assert_all_see_all(nodes, 10)


def test_two_nodes_of_one_host(tmp_path):
    """The second takes any free cluster port, which discovery announces."""
    with Network(2) as network:
        nodes = make_cluster(network, tmp_path, 2)
        third = Node(network, 0, tmp_path / "third", name="third")
        third.cli("join", nodes[0].code())
        third.start()
        assert_all_see_all([*nodes, third], 3)


def test_a_code_may_say_where(tmp_path):
    with Network(2) as network:
        nodes = [Node(network, i, tmp_path / f"home{i}", "--no-discovery").start() for i in range(2)]
        joined = nodes[1].cli("join", f"{nodes[0].code()}@{network.address(0)}")
        assert "node0" in joined.stdout
        assert_all_see_all(nodes, 2)


def test_a_copied_home_is_another_node(tmp_path):
    with Network(2) as network:
        first = Node(network, 0, tmp_path / "home").start()
        shutil.copytree(first.home, tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
        copy = Node(network, 1, tmp_path / "copy").start()
        assert_all_see_all([first, copy], 4)
        assert len({n["id"] for n in first.nodes()}) == 2
        copy.kill()
        assert wait_until(lambda: ("node1", "lost") in [(n["name"], n["state"]) for n in first.nodes()], 3) is not None
