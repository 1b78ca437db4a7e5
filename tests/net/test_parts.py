"""Models of several files, in a cluster whose hub is a machine of its own: each byte leaves the hub once, each node
keeps its part, and whoever comes later gets its part from the others, the hub being gone."""
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import CARAVAN, ROOT, Node, assert_all_see_all, make_cluster
from netns import Network

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf", reason="gguf-py knows the names")
sys.path += [str(ROOT / "tests" / room) for room in ("golden", "hub")]
import hf_folder  # noqa: E402
import shapes  # noqa: E402

NAME, LAYERS, TOKENS, HUB = "org/model", 12, "1,5,3,7", 3


def split_gguf(folder):
    """45 MB in three files."""
    folder.mkdir(parents=True)
    shapes.write_gguf(folder / "m-Q8_0.gguf", layers=LAYERS, width=512, ff=2048, kv=256, vocab=2000, parts=3)
    return folder


def folder_of_tensors(folder):
    """48 MB in three files, tensor by tensor in turn: each node needs something of each."""
    config, tensors = hf_folder.small_llama(np.random.default_rng(3), layers=LAYERS, embd=512, heads=8, kv_heads=4,
                                            ff=1024, vocab=512)
    halves = {name: x if x.ndim == 1 else x.astype(np.float16) for name, x in tensors.items()}
    return hf_folder.write(folder, config, hf_folder.unconvert(halves, gguf.MODEL_ARCH.LLAMA, config), shards=3)


class Hub:
    """The tests' hub, in a member of the network."""

    def __init__(self, network, place, folder):
        self.network, self.place = network, place
        self.process = network.start(place, sys.executable, ROOT / "tests/hub/hub.py", folder, "--host",
                                     network.address(place), stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def sent(self):
        """Bytes that have left its machine, headers of packets too."""
        return int(self.network.check(self.place, "cat", "/sys/class/net/eth0/statistics/tx_bytes").stdout)

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=[split_gguf, folder_of_tensors], ids=["split", "tensors"])
def made(request, tmp_path):
    """(path of the model, its size, hub, two nodes, a function that makes a third one)"""
    repo = tmp_path / "hub" / NAME
    path = request.param(repo)
    size = sum(file.stat().st_size for file in repo.iterdir())
    with Network(4) as network:
        hub = Hub(network, HUB, tmp_path / "hub")
        nodes = make_cluster(network, tmp_path, 2, "--threads", "1", start=False)

        def late():
            node = Node(network, 2, tmp_path / "late", "--threads", "1")
            node.cli("join", nodes[0].code())
            nodes.append(node)
            return start(node)

        def start(node):
            node.env["CARAVAN_HUB"] = hub.url
            return node.start()
        for node in nodes[:2]:
            start(node)
        assert_all_see_all(nodes, 10)
        yield path, size, hub, nodes, late
        assert [node.stop() for node in nodes] == [0] * len(nodes)


def disk(node):
    return shapes.allocated(node.home / "models")


def logits(node):
    return node.cli("debug", "logits", NAME, "--cluster", "--tokens", TOKENS, text=False).stdout


def assert_shared(nodes):
    """Each node's disk holds its part and little more."""
    parts = {m["node"]: m["weights_bytes"] for s in nodes[0].json("ps")[0]["stages"] for m in s["members"]}
    for node in nodes:
        me = next(n["id"] for n in node.nodes() if n["self"])
        assert 0 < disk(node) <= 1.1 * parts[me] + (1 << 20), (me, disk(node), parts)


@pytest.mark.parametrize("split", ["pipeline", "tensor"])
def test_each_node_its_part_and_a_newcomer_from_the_others(made, split):
    path, size, hub, nodes, late = made
    alone = [CARAVAN, "debug", "logits", path, "--tokens", TOKENS]
    right = subprocess.run(alone, capture_output=True, check=True).stdout
    before = hub.sent()
    # What is measured would make one share small: of that, what lies around it in its chunks is more.
    nodes[1].cli("load", NAME, "--shares", "node0=1,node1=1", "--split", split, "--context", 128)
    assert logits(nodes[0]) == right
    assert size <= hub.sent() - before <= 1.05 * size, (hub.sent() - before) / size
    assert_shared(nodes)
    nodes[0].cli("stop", NAME)
    hub.end()
    newcomer = late()
    assert_all_see_all(nodes, 10)
    newcomer.cli("load", NAME, "--nodes", 3, "--split", split, "--context", 128)
    assert logits(newcomer) == right
    assert disk(newcomer) > size / 8, [n.log for n in nodes]


def test_a_share_of_every_layer_takes_little_more_on_the_disk(tmp_path):
    """Its rows of each of 84 matrices, of 560 MB, end within chunks, of which a node keeps all."""
    model = tmp_path / "hub" / NAME / "m-Q8_0.gguf"
    model.parent.mkdir(parents=True)
    shapes.write_gguf(model, layers=12, width=2048, ff=5632, kv=256, vocab=8000)
    with Network(5) as network:
        hub = Hub(network, 4, tmp_path / "hub")
        nodes = make_cluster(network, tmp_path, 4, "--threads", "1", start=False)
        for node in nodes:
            node.env["CARAVAN_HUB"] = hub.url
            node.start()
        assert_all_see_all(nodes, 10)
        before = hub.sent()
        shares = ",".join(f"{node.name}=1" for node in nodes)
        nodes[1].cli("load", NAME, "--shares", shares, "--split", "tensor", "--context", 128, timeout=300)
        size = model.stat().st_size
        assert hub.sent() - before <= 1.05 * size
        weights = {m["node"]: m["weights_bytes"] for m in nodes[0].json("ps")[0]["stages"][0]["members"]}
        for node in nodes:  # in memory there is more of it than in the file
            me = next(n["id"] for n in node.nodes() if n["self"])
            share = size * weights[me] / sum(weights.values())
            assert 0 < disk(node) <= 1.1 * share, (me, disk(node) / share)
        assert [node.stop() for node in nodes] == [0] * len(nodes)
