"""Rings of real nodes on one network: what every node knows, and that a split never changes an answer."""
import json
import subprocess
import threading

import pytest
from cluster import (CARAVAN, MODEL, Node, assert_all_see_all, come_to_rest, default_model, make_cluster, require_model,
                     wait_until)
from netns import Network

PROMPT = "The three largest cities of France are"
TOKENS = "1,4093,253,3575,282,4649,314,504,2837,260,1343,28,732,2,30"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Five nodes with the default model, one thread each."""
    require_model()
    with Network(5) as network:
        nodes = make_cluster(network, tmp_path_factory.mktemp("ring"), 5, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 5)
        yield nodes
        assert [node.stop() for node in nodes] == [0] * 5


@pytest.fixture
def unloaded(nodes):
    yield nodes
    for instance in nodes[0].json("ps"):
        nodes[0].cli("stop", instance["id"])


def run(node, *flags):
    return node.cli("run", MODEL, PROMPT, "--seed", 11, "--temperature", 0.9, "--max-tokens", 40, *flags).stdout


def assert_rates_are_known(node):
    """Every node measures itself soon after its start, and tells all others."""
    assert wait_until(lambda: all(n["read_bandwidth"] and n["matmul_rate"] for n in node.nodes()), 20) is not None


def one_alone(*arguments):
    command = [CARAVAN, "debug", "logits", default_model(), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_nodes_find_each_other_after_join(tmp_path):
    with Network(3) as network:
        nodes = [Node(network, i, tmp_path / f"home{i}").start() for i in range(3)]
        assert all(node.up() == {node.name} for node in nodes)
        code = nodes[0].code()
        joins = [node.cli_start("join", code) for node in nodes[1:]]
        assert_all_see_all(nodes, 2)
        for join in joins:
            assert join.wait(timeout=5) == 0 and "node0" in join.stdout.read()


def test_nodes_tell_what_the_contract_names(nodes):
    nodes[0].json("nodes", "--measure")
    assert_rates_are_known(nodes[0])
    listed = nodes[0].nodes()
    assert sorted(n["name"] for n in listed) == [f"node{i}" for i in range(5)]
    assert [n["name"] for n in listed if n["self"]] == ["node0"]
    ids = {n["id"] for n in listed}
    assert len(ids) == 5
    for n in listed:
        assert n["state"] == "up" and n["threads"] == 1 and n["address"].startswith("10.77.0.")
        assert 0 < n["memory_free"] <= n["memory_total"]
        assert n["isa"] in ("ref", "avx2", "avx512", "amx", "neon")
        assert n["matmul_rate"] > 0 and n["read_bandwidth"] > 0
        for device in n["devices"]:
            assert device["kind"] == "cpu" and device["id"] and device["memory_total"] >= device["memory_free"] > 0
            assert device["matmul_rate"] > 0 and device["read_bandwidth"] > 0
        assert all(link["to"] in ids - {n["id"]} and set(link) >= {"rtt_us", "bandwidth"} for link in n["links"])
    assert {link["to"] for link in listed[0]["links"] if link["rtt_us"]} == ids - {listed[0]["id"]}


def test_a_plan_says_everything(nodes):
    assert_rates_are_known(nodes[2])
    plan = nodes[2].json("plan", MODEL, "--nodes", 3, "--split", "pipeline", "--context", 1024, "--parallel", 2)
    assert plan["model"] == MODEL and plan["fits"] is True and plan["context"] == 1024
    assert plan["predicted"]["decode_tokens_per_s"] > 0 and plan["predicted"]["prefill_tokens_per_s"] > 0
    ids = {n["id"] for n in nodes[2].nodes()}
    bounds = [stage["layers"] for stage in plan["stages"]]
    assert [b for b, _ in bounds] == [0] + [e for _, e in bounds[:-1]] and bounds[-1][1] == 30
    for stage in plan["stages"]:
        (member,) = stage["members"]
        assert member["node"] in ids and member["share"] == 1 and member["scratch_bytes"] > 0
        begin, end = stage["layers"]
        assert member["kv_bytes"] == 2 * 1024 * (end - begin) * 2 * 192 * 2  # sessions, context, layers, K and V, f16
        assert member["weights_bytes"] > 0
    assert len(plan["left_out"]) == 2 and all(left["node"] in ids and left["reason"] for left in plan["left_out"])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_logits_of_a_ring_are_those_of_one_node(unloaded, count):
    nodes = unloaded
    nodes[0].cli("load", MODEL, "--nodes", count, "--split", "pipeline", "--context", 1024)
    for flags in ([], ["--chunk", "1"]):
        alone = one_alone("--tokens", TOKENS, *flags)
        for node in (nodes[0], nodes[4]):
            ring = node.cli("debug", "logits", MODEL, "--cluster", "--tokens", TOKENS, *flags, text=False)
            assert ring.stdout == alone


def test_a_long_prompt_goes_round_in_pieces(unloaded):
    nodes = unloaded
    tokens = ",".join(str(i * 7919 % 49152) for i in range(700))
    nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline", "--context", 1024)
    ring = nodes[3].cli("debug", "logits", MODEL, "--cluster", "--tokens", tokens, text=False)
    assert ring.stdout == one_alone("--tokens", tokens)


def test_bench_shows_the_price_of_a_hop(unloaded):
    nodes = unloaded
    assert nodes[0].cli("bench", MODEL, "--cluster", "--json", check=False).returncode == 1
    nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
    for asked, requests in ((nodes[0], 1), (nodes[4], 3)):
        shown = asked.json("bench", MODEL, "--cluster", "--prompt", 16, "--generate", 32, "--repeat", 2,
                           "--requests", requests)
        for rate in (shown["prefill_tokens_per_s"], shown["decode_tokens_per_s"]):
            assert 0 < rate["min"] <= rate["median"] <= rate["max"]
        assert len(shown["stages"]) == 3 and shown["weights_bytes"] > 0
    shown = nodes[0].json("bench", MODEL, "--cluster", "--prompt", 16, "--generate", 32, "--repeat", 2)
    assert 0 < shown["raw_hop_us"] and 0 < shown["hop_us"]["median"] <= shown["hop_us"]["p99"]
    assert all(shown["token_us"][part] > 0 for part in ("compute", "serialise", "others"))
    assert shown["token_us"]["wire"] >= 0  # nothing is left for it where the asker's own core was taken away


def test_answers_are_the_same_from_every_ring_and_every_node(unloaded):
    nodes = unloaded
    answers = set()
    for count in (1, 2, 3):
        nodes[count].cli("load", MODEL, "--nodes", count, "--split", "pipeline")
        answers |= {run(node) for node in nodes}
        nodes[0].cli("stop", MODEL)
    assert len(answers) == 1 and len(answers.pop()) > 20


def test_ps_is_the_same_everywhere(unloaded):
    nodes = unloaded
    nodes[1].cli("load", MODEL, "--nodes", 3, "--split", "pipeline", "--context", 512)
    seen = [node.json("ps") for node in nodes]
    assert all(s == seen[0] for s in seen)
    (instance,) = seen[0]
    assert instance["model"] == MODEL and instance["state"] == "ready" and instance["context"] == 512
    assert instance["epoch"] and len(instance["stages"]) == 3
    assert set(instance["stages"][0]["members"][0]) >= {"node", "device", "share", "weights_bytes", "kv_bytes",
                                                        "scratch_bytes"}
    nodes[4].cli("load", MODEL)                                                  # it is there: nothing to do
    nodes[4].cli("load", MODEL, "--nodes", 3, "--split", "pipeline", "--context", 512)
    assert nodes[4].cli("load", MODEL, "--nodes", 2, "--split", "pipeline", check=False).returncode == 1
    nodes[3].cli("stop", instance["id"])
    assert all(node.json("ps") == [] for node in nodes)


def test_two_loads_at_once_are_one_instance(unloaded):
    nodes = unloaded
    for _ in range(3):
        loads = [node.cli_start("load", MODEL, "--nodes", "2", "--split", "pipeline") for node in nodes[:3]]
        assert [load.wait(timeout=30) for load in loads] == [0, 0, 0], [load.stderr.read() for load in loads]
        assert len(nodes[4].json("ps")) == 1
        assert len({run(node) for node in nodes[:3]}) == 1
        nodes[4].cli("stop", MODEL)


def test_a_member_reads_its_slice_and_no_more(unloaded):
    nodes = unloaded
    by_id = {n["id"]: node for node in nodes for n in node.nodes() if n["self"]}
    nodes[0].json("plan", MODEL)    # the header is read once by every node, before any slice
    before = {identity: node.read_bytes() for identity, node in by_id.items()}
    nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
    for stage in nodes[0].json("ps")[0]["stages"]:
        member = stage["members"][0]
        spent = by_id[member["node"]].read_bytes() - before[member["node"]]
        assert spent <= 1.02 * member["weights_bytes"], (stage["layers"], spent, member["weights_bytes"])


def test_a_client_that_leaves_ends_its_generation(unloaded):
    nodes = unloaded
    nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
    body = {"model": MODEL, "stream": True, "temperature": 1.5, "seed": 3, "max_tokens": 4000,
            "messages": [{"role": "user", "content": "Write a very long story about a caravan."}]}
    connection = nodes[4].http("POST", "/v1/chat/completions", body)
    received = b""
    while received.count(b"data:") < 5:
        assert (more := connection.recv(4096)), received
        received += more
    connection.close()
    assert come_to_rest(nodes, 2), [(n.name, n.log[-5:]) for n in nodes]


def node_text(node, seed):
    return node.cli("run", MODEL, PROMPT, "--seed", seed, "--max-tokens", 40).stdout


def test_requests_at_once_keep_their_answers(unloaded):
    nodes = unloaded
    nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
    expected = {seed: node_text(nodes[0], seed) for seed in range(8)}
    texts = {}
    threads = [threading.Thread(target=lambda s=s: texts.update({s: node_text(nodes[s % 5], s)})) for s in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == expected


def nodes_of(instance):
    return {member["node"] for stage in instance["stages"] for member in stage["members"]}


def test_for_throughput_each_node_answers_for_itself(unloaded):
    nodes = unloaded
    expected = {seed: node_text(nodes[0], seed) for seed in range(8)}
    nodes[0].cli("stop", MODEL)
    flags = ("--for", "throughput", "--parallel", 512, "--context", 128)
    plan = nodes[0].json("plan", MODEL, *flags)
    assert plan["replicas"] == 5 and "5 replicas" in plan["choice"], plan
    nodes[0].cli("load", MODEL, *flags)
    ready = lambda: [i for i in nodes[4].json("ps") if i["state"] == "ready"]
    assert wait_until(lambda: len(ready()) == 5, 20) is not None, nodes[4].json("ps")
    assert len(set.union(*map(nodes_of, ready()))) == 5 and all(len(nodes_of(i)) == 1 for i in ready())
    by_id = {n["id"]: node for node in nodes for n in node.nodes() if n["self"]}
    before = {identity: node.cpu_seconds() for identity, node in by_id.items()}
    texts = {}
    threads = [threading.Thread(target=lambda s=s: texts.update({s: node_text(nodes[0], s)})) for s in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == expected
    worked = {identity for identity, node in by_id.items() if node.cpu_seconds() - before[identity] > 0.2}
    assert len(worked) >= 2, worked    # who is measured to be slower gets less
    nodes[3].cli("stop", ready()[0]["id"])
    assert wait_until(lambda: len(ready()) == 4, 5) is not None
    nodes[3].cli("stop", MODEL)
    assert nodes[0].json("ps") == []


def test_a_replica_that_is_lost_takes_nothing_else_down(tmp_path):
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 3)
        expected = node_text(nodes[0], 5)
        nodes[0].cli("stop", MODEL)
        nodes[0].cli("load", MODEL, "--for", "throughput", "--parallel", 512, "--context", 128)
        ready = lambda: [i for i in nodes[0].json("ps") if i["state"] == "ready"]
        assert wait_until(lambda: len(ready()) == 3, 20) is not None, nodes[0].json("ps")
        nodes[2].kill()
        assert node_text(nodes[0], 5) == expected
        assert wait_until(lambda: len(ready()) == 2, 10) is not None, nodes[0].json("ps")
        nodes[2].start()
        assert wait_until(lambda: len(ready()) == 3, 20) is not None, nodes[0].json("ps")


def test_a_node_without_the_model_is_given_its_part(tmp_path):
    require_model()
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3, "--threads", "1")
        for node in nodes[:2]:
            node.add_model(default_model())
        assert_all_see_all(nodes, 5)
        nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
        lacking = next(n["id"] for n in nodes[2].nodes() if n["self"])
        members = [m["node"] for stage in nodes[0].json("ps")[0]["stages"] for m in stage["members"]]
        assert lacking in members and len(members) == 3
        assert len(run(nodes[2])) > 20


def test_a_model_too_big_is_refused_in_numbers(tmp_path):
    require_model()
    with Network(2) as network:
        nodes = make_cluster(network, tmp_path, 2, "--threads", "1", "--memory", str(80 << 20))
        for node in nodes:
            node.add_model(default_model())
        assert_all_see_all(nodes, 5)
        refused = nodes[0].cli("load", MODEL, check=False)
        assert refused.returncode == 1 and any(c.isdigit() for c in refused.stderr.replace(MODEL, "")), refused.stderr
        planned = nodes[0].cli("plan", MODEL, "--json", check=False)
        assert planned.returncode == 1
        plan = json.loads(planned.stdout)
        assert plan["fits"] is False and any(c.isdigit() for c in plan["reason"].replace(MODEL, "")), plan
        # Two halves fit where the whole does not.
        nodes[0].cli("load", MODEL, "--context", 256, "--parallel", 1)
        assert len(nodes[0].json("ps")[0]["stages"]) == 2
