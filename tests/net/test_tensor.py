"""Nodes that share every layer, as they are asked for on the command line: the bits are those of one node, whatever the
family and the shares (tests/unit/test_group.c has the corner cases, in one process)."""
import json
import sys
from pathlib import Path

import pytest
from cluster import MODEL, assert_all_see_all, default_model, make_cluster, require_model, wait_until
from netns import Network

sys.path.append(str(Path(__file__).resolve().parent.parent / "golden"))
from engine import FIXTURES, TINY_MODEL, run, tiny_model  # noqa: E402
from more_families import TOKENS, families, write  # noqa: E402

# Norms over all heads, windows, biases, attention beside the FFN, latents, mixtures with a shared FFN, MXFP4 experts.
FAMILIES = ["cohere2", "deepseek2", "gemma3", "gpt-oss-mxfp4", "llama.q4_k", "mixtral", "olmo2", "qwen2moe"]
# Each of the two side by side with a norm of its own, weights on what goes into experts, norms behind the rotation,
# gated heads, ...
MORE_FAMILIES = ["gptneox", "falcon-40b", "llama4", "hunyuan-moe", "mistral4", "phimoe", "gpt2",
                 "bloom", "mpt", "olmo", "dbrx", "afmoe", "jais"]
SHARES = {"two": ["--nodes", "2"], "2:1:1": ["--shares", "node0=2,node1=1,node2=1"]}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path_factory.mktemp("group"), 3, "--threads", "1")
        assert_all_see_all(nodes, 5)
        yield nodes
        assert [node.stop() for node in nodes] == [0] * 3


@pytest.fixture
def unloaded(nodes):
    yield nodes
    for instance in nodes[0].json("ps"):
        nodes[0].cli("stop", instance["id"])


def logits_of(node, model, tokens):
    return node.cli("debug", "logits", model, "--cluster", "--tokens", tokens, text=False).stdout


def check_shares(unloaded, path, tokens):
    name, tokens = path.stem, ",".join(map(str, tokens))
    for node in unloaded:
        node.add_model(path)
    alone = run("debug", "logits", path, "--tokens", tokens).stdout
    for flags in SHARES.values():
        unloaded[0].cli("load", name, "--split", "tensor", *flags)
        assert logits_of(unloaded[1], name, tokens) == alone
        unloaded[0].cli("stop", unloaded[0].json("ps")[0]["id"])


@pytest.mark.parametrize("name", FAMILIES)
def test_families(unloaded, tmp_path, name):
    if not (FIXTURES.is_dir() and TINY_MODEL.exists()):
        pytest.skip(f"no fixtures at {FIXTURES}")
    golden = json.loads((FIXTURES / f"golden/{name}.json").read_text())
    path = tmp_path / f"{name}.gguf"
    tiny_model().write(tiny_model().FAMILIES[golden["family"]], name, path, golden["seed"], golden["type"])
    check_shares(unloaded, path, golden["tokens"])


@pytest.mark.parametrize("name", MORE_FAMILIES)
def test_more_families(unloaded, tmp_path, name):
    if not TINY_MODEL.exists():
        pytest.skip(f"no writer of tiny models at {TINY_MODEL}")
    path = tmp_path / f"{name}.gguf"
    write(families()[name], name, path)
    check_shares(unloaded, path, TOKENS)


@pytest.fixture
def shared(unloaded):
    """The default model on all nodes, 2:1:1."""
    require_model()
    for node in unloaded:
        if not (node.home / "models" / default_model().name).exists():
            node.add_model(default_model())
    unloaded[0].cli("load", MODEL, "--split", "tensor", "--context", 1024, *SHARES["2:1:1"])
    return unloaded


def test_the_plan_says_who_holds_what(shared):
    stages = shared[0].json("ps")[0]["stages"]
    assert len(stages) == 1 and stages[0]["layers"] == [0, 30]
    assert sorted(round(member["share"], 2) for member in stages[0]["members"]) == [0.25, 0.25, 0.5]


def test_a_long_prompt_and_short_ones(shared):
    long = ",".join(str(i * 7919 % 49152) for i in range(700))
    for tokens in (long, "1,4093,253", "7"):
        alone = run("debug", "logits", default_model(), "--tokens", tokens).stdout
        assert logits_of(shared[2], MODEL, tokens) == alone


def test_a_lost_member_is_not_lost_silently(shared):
    shared[2].kill()
    assert wait_until(lambda: shared[0].json("ps")[0]["state"] != "ready", 5) is not None
    shared[2].start()
    assert_all_see_all(shared, 8)


@pytest.mark.parametrize("name", ["gemma4-moe", "granitehybrid"])
def test_what_is_not_shared_lies_in_stages(unloaded, tmp_path, name):
    """Heads of two kinds, layers with states: over several pages of the prompt."""
    if not TINY_MODEL.exists():
        pytest.skip(f"no {TINY_MODEL}")
    path = tmp_path / f"{name}.gguf"
    write(families()[path.stem], path.stem, path)
    for node in unloaded:
        node.add_model(path)
    tokens = ",".join(map(str, TOKENS * 3))
    unloaded[0].cli("load", path.stem, "--split", "pipeline", "--nodes", "2")
    assert logits_of(unloaded[1], path.stem, tokens) == run("debug", "logits", path, "--tokens", tokens).stdout
