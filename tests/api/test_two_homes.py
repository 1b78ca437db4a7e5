"""Two homes on one machine are two nodes, and can be one cluster."""
import time

import pytest

from conftest import MODEL, Node, require_model

QUESTION = ["run", MODEL, "What is the opposite of hot?", "--temperature", "0", "--max-tokens", "16"]


def wait_for(what, timeout=20):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def states(node):
    return {peer["name"]: peer["state"] for peer in node.json("nodes")}


@pytest.fixture
def pair(tmp_path):
    require_model()
    one, two = Node(tmp_path / "one", "--name", "one"), Node(tmp_path / "two", "--name", "two")
    two.cli("join", one.cli("code").stdout.strip())
    one.start()
    me, = one.json("nodes")
    two.flags += ["--peer", "127.0.0.1:" + me["address"].rpartition(":")[2]]
    two.start()
    wait_for(lambda: states(one) == states(two) == {"one": "up", "two": "up"})
    yield one, two
    for node in (one, two):
        if node.process.poll() is None:
            assert node.stop() == 0


def test_a_ring_of_two_homes_answers_as_one(pair):
    one, two = pair
    alone = one.cli(*QUESTION).stdout
    one.cli("stop", MODEL)
    assert one.cli("plan", MODEL, "--nodes", "3", check=False).returncode == 1
    one.cli("load", MODEL, "--nodes", "2", "--split", "pipeline", "--context", "512")
    loaded, = two.json("ps")
    assert loaded["state"] == "ready" and len(loaded["stages"]) == 2
    assert one.cli(*QUESTION).stdout == two.cli(*QUESTION).stdout == alone
    assert two.cli("load", MODEL, "--nodes", "1", check=False).returncode == 1
    question = [{"role": "user", "content": "Tell me of the sea. " * 20}]
    cached = [two.client().chat.completions.create(model=MODEL, messages=question, max_tokens=4, temperature=0)
              .usage.prompt_tokens_details.cached_tokens for _ in range(2)]
    assert cached[0] < 40 and cached[1] > 90
    bench = two.json("bench", MODEL, "--cluster", "--prompt", "16", "--generate", "8", "--repeat", "1")
    assert bench["hop_us"]["median"] > 0 and bench["raw_hop_us"] > 0 and len(bench["stages"]) == 2


def test_a_member_that_is_lost_costs_only_what_it_ran(pair):
    one, two = pair
    one.cli("load", MODEL, "--nodes", "2", "--split", "pipeline", "--context", "512")
    two.process.kill()
    two.process.wait()
    wait_for(lambda: states(one) == {"one": "up", "two": "lost"})
    assert [instance["state"] for instance in one.json("ps")] == ["recovering"]  # two nodes were asked for
    assert "cold" in one.cli(*QUESTION).stdout.lower()


def test_a_new_code_moves_who_is_up(pair):
    one, two = pair
    code = one.cli("code", "--new").stdout
    wait_for(lambda: two.cli("code").stdout == code)
    two.cli("leave")
    assert states(two) == {"two": "up"} and two.cli("code").stdout != code
    wait_for(lambda: states(one)["two"] == "lost")
