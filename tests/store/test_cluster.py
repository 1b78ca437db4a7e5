"""A cluster that pulls: the hub serves each byte once, each node keeps its part, nodes give what they have."""
import contextlib
import re
import shutil
import signal
import subprocess
import time

import hanging
import pytest
from conftest import CARAVAN, Home, shapes, wait_until

LAYERS, CHUNK = 16, 65536


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """45 MB in many layers."""
    path = tmp_path_factory.mktemp("wide") / "w-Q8_0.gguf"
    return shapes.write_gguf(path, layers=LAYERS, width=512, ff=1536, kv=256, vocab=2000)[0]


class Cluster:
    def __init__(self, folder, hub, count, *flags):
        self.hub = hub
        self.nodes = [Home(folder / f"home{i}", hub) for i in range(count)]
        code = self.nodes[0].cli("code").stdout.strip()
        for node in self.nodes[1:]:
            node.cli("join", code)
        for i, node in enumerate(self.nodes):
            self.start(node, i, *flags)

    def start(self, node, number, *flags):
        running = [n for n in self.nodes if n.process and n is not node and n.process.poll() is None]
        peers = [flag for n in running[:1] for flag in ("--peer", self.address(n))]
        node.start("--name", f"n{number}", "--threads", "1", *peers, *flags)
        everybody = [*running, node]
        assert wait_until(lambda: all(self.sees(n) >= len(everybody) for n in everybody), 30)

    @staticmethod
    def sees(node):
        return sum(n["state"] == "up" for n in node.json("nodes"))

    @staticmethod
    def address(node):
        address = next(n["address"] for n in node.json("nodes") if n["self"])
        return "127.0.0.1:" + address.rpartition(":")[2]

    def stop(self):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                assert node.stop() == 0


@pytest.fixture
def cluster(tmp_path, hub):
    made = []

    def make(count, *flags):
        made.append(Cluster(tmp_path, hub, count, *flags))
        return made[-1]
    yield make
    for one in made:
        one.stop()


def disk(home):
    return shapes.allocated(home.path / "models")


def logits(home, name):
    command = [CARAVAN, "debug", "logits", name, "--cluster", "--tokens", "1,2,3,4"]
    return subprocess.run(command, env=home.env, capture_output=True, check=True).stdout


def reference(model):
    return subprocess.run([CARAVAN, "debug", "logits", model, "--tokens", "1,2,3,4"], capture_output=True,
                          check=True).stdout


def assert_shared(nodes, share=1.1):
    """Each node's disk holds its part and little more."""
    parts = {m["node"]: m["weights_bytes"] for s in nodes[0].json("ps")[0]["stages"] for m in s["members"]}
    for node in nodes:
        me = next(n["id"] for n in node.json("nodes") if n["self"])
        assert disk(node) <= share * parts[me] + (1 << 20), (me, disk(node), parts)


def test_four_nodes_load_and_the_hub_serves_once(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    size = wide.stat().st_size
    nodes = cluster(4).nodes
    nodes[1].cli("load", "org/wide", "--nodes", "4", "--split", "pipeline", "--context", "256")
    assert logits(nodes[2], "org/wide") == reference(wide)
    assert hub.served <= 1.02 * size, hub.served / size
    assert_shared(nodes)


def test_four_nodes_pull_and_load_later(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    size = wide.stat().st_size
    nodes = cluster(4, "--memory", "150M").nodes
    nodes[0].cli("pull", "org/wide")
    assert size <= hub.served <= 1.02 * size
    assert sum(disk(n) for n in nodes) <= 1.15 * size
    (listed,) = nodes[0].json("list")
    assert listed["name"] == "org/wide" and listed["size_bytes"] == size
    nodes[0].cli("load", "org/wide")
    assert logits(nodes[3], "org/wide") == reference(wide) and hub.served <= 1.02 * size


def test_memory_too_small_for_the_usual_context_shares_a_pull(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    nodes = cluster(4, "--memory", "40M").nodes
    nodes[0].cli("pull", "org/wide")
    shares = {part["node"]: part["bytes_total"] for part in nodes[0].downloads()[0]["parts"]}
    for node in nodes:
        me = next(n["id"] for n in node.json("nodes") if n["self"])
        assert 0 < disk(node) <= 1.1 * shares[me], (me, disk(node), shares)
    assert max(shares.values()) < wide.stat().st_size / 2 and hub.served <= 1.02 * wide.stat().st_size
    refused = nodes[0].fails("load", "org/wide")
    nodes[0].cli("load", "org/wide", "--context", re.search(r"--context (\d+) would fit", refused)[1])
    assert logits(nodes[3], "org/wide") == reference(wide)


def test_all_pull_at_once(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    size = wide.stat().st_size
    hub.rate = 40e6
    nodes = cluster(3).nodes
    pulls = [subprocess.Popen([CARAVAN, "pull", "org/wide"], env=n.env, stderr=subprocess.PIPE) for n in nodes]
    for pull in pulls:
        assert pull.wait(timeout=60) == 0, pull.stderr.read()
    assert hub.served <= 1.1 * size, hub.served / size


def kill_amid_a_pull(together, hub):
    """The first node's slow pull, and who was killed in the middle of it."""
    nodes = together.nodes
    hub.rate = 4e6
    pull = subprocess.Popen([CARAVAN, "pull", "org/wide"], env=nodes[0].env, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: hub.served > 4e6, 30)
    parts = {part["node"] for part in nodes[0].downloads()[0]["parts"]}
    killed = next(n for n in nodes[1:] if next(v["id"] for v in n.json("nodes") if v["self"]) in parts)
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    return pull, killed


def pull_until_one_is_killed(together, hub):
    """Who was killed in the middle of the first node's pull, which ends with that."""
    pull, lost = kill_amid_a_pull(together, hub)
    told = pull.communicate(timeout=120)[1]
    assert pull.returncode == 1 and "pull again" in told, told
    hub.rate = 0
    return lost


def test_a_pull_ends_with_a_lost_node_and_goes_on_without(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    together = cluster(4, "--memory", "150M")
    pull_until_one_is_killed(together, hub)
    together.nodes[0].cli("pull", "org/wide")
    assert not any("did not come round" in line for node in together.nodes for line in node.log)
    together.nodes[0].cli("load", "org/wide", "--context", "256")
    assert logits(together.nodes[0], "org/wide") == reference(wide)


def test_a_killed_node_comes_back_with_what_it_had(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    together = cluster(3, "--memory", "150M")
    lost = pull_until_one_is_killed(together, hub)
    together.start(lost, together.nodes.index(lost), "--memory", "150M")
    together.nodes[0].cli("pull", "org/wide")
    assert hub.served <= 1.02 * wide.stat().st_size, hub.served / wide.stat().st_size
    together.nodes[0].cli("load", "org/wide", "--context", "256")
    assert logits(lost, "org/wide") == reference(wide)


def test_a_pull_goes_on_with_a_node_that_was_killed_and_is_back_at_once(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    together = cluster(3, "--memory", "150M")
    nodes = together.nodes
    pull, killed = kill_amid_a_pull(together, hub)
    together.start(killed, nodes.index(killed), "--memory", "150M")
    hub.rate = 0
    told = pull.communicate(timeout=50)[1]
    assert pull.returncode == 0, told
    nodes[0].cli("load", "org/wide", "--context", "256")
    assert logits(killed, "org/wide") == reference(wide)


@pytest.mark.parametrize("asked", [0, 2], ids=["another", "itself"])
def test_a_newcomer_gets_its_part_from_the_others(cluster, hub, wide, tmp_path, asked):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    together = cluster(2)
    nodes = together.nodes
    nodes[0].cli("load", "org/wide", "--nodes", "2", "--context", "256")
    nodes[0].cli("stop", "org/wide")
    served = hub.served
    late = Home(tmp_path / "late", hub)
    late.cli("join", nodes[0].cli("code").stdout.strip())
    together.nodes.append(late)
    together.start(late, 2)
    nodes[asked].cli("load", "org/wide", "--nodes", "3", "--context", "256")
    assert logits(late, "org/wide") == reference(wide)
    assert hub.served == served and disk(late) > 1e6, [n.log for n in together.nodes]


def same_bytes(path, model):
    return path.read_bytes() == model.read_bytes()


def pulled_model(home):
    (path,) = (home.path / "models").glob("*/*.gguf")
    return path


def differing(path, model):
    """Chunks that are not as in the model, where the disk holds something."""
    mine, right = path.read_bytes(), model.read_bytes()
    cuts = range(0, len(right), CHUNK)
    return [at // CHUNK for at in cuts if mine[at:at + CHUNK] != right[at:at + CHUNK] and any(mine[at:at + CHUNK])]


def test_a_node_that_gives_wrong_bytes_is_banned_and_mends_them(cluster, hub, wide, tmp_path):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    first = Home(tmp_path / "home0", hub)
    first.cli("pull", "org/wide")
    shutil.copytree(first.path / "models", tmp_path / "home1/models")
    served, size = hub.served, wide.stat().st_size
    with pulled_model(Home(tmp_path / "home1", hub)).open("r+b") as file:
        for at in range(2 * 1024 * 1024, size, 15 * CHUNK):  # odd and even ones: two givers may take turns
            file.seek(at + 77)
            file.write(b"wrong")
    nodes = cluster(3).nodes
    nodes[2].cli("load", "org/wide", "--nodes", "3", "--split", "pipeline", "--context", "256")
    assert hub.served == served and disk(nodes[2]) > 1e6, [n.log for n in nodes]
    assert differing(pulled_model(nodes[2]), wide) == []
    assert wait_until(lambda: any("do not have their hash -> nothing more" in line for line in nodes[2].log), 20)
    assert wait_until(lambda: any("do not have their hash -> compared again" in line for line in nodes[1].log), 20)
    assert wait_until(lambda: same_bytes(pulled_model(nodes[1]), wide), 30)
    assert hub.served == served


def test_a_file_of_one_node_serves_all(cluster, hub, wide):
    nodes = cluster(3).nodes
    (nodes[1].path / "models").mkdir(exist_ok=True)
    (nodes[1].path / "models/mine.gguf").symlink_to(wide)
    nodes[1].cli("load", "mine", "--nodes", "3", "--context", "256")
    assert logits(nodes[0], "mine") == reference(wide)
    assert hub.served == 0
    assert_shared(nodes)


def elsewhere(node, name):
    return {share["state"] for share in node.json("show", name, "--cluster")["elsewhere"]}


def test_where_its_parts_lie_and_all_of_them_go(cluster, hub, wide):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    nodes = cluster(3).nodes
    nodes[0].cli("load", "org/wide", "--nodes", "2", "--context", "256")
    shown = nodes[0].json("show", "org/wide", "--cluster")
    states = [share["state"] for share in shown["elsewhere"]]
    assert not shown["whole"] and len(states) == 2 and "part" in states and set(states) <= {"part", "absent"}, shown
    here = sum(file["bytes_here"] for file in shown["files"])
    assert here < wide.stat().st_size <= here + sum(share["bytes_here"] for share in shown["elsewhere"])
    assert "part" in nodes[0].cli("show", "org/wide", "--cluster").stdout
    nodes[0].cli("stop", "org/wide")
    nodes[0].cli("rm", "org/wide", "--cluster")
    assert all(node.json("list") == [] and disk(node) == 0 for node in nodes)
    assert nodes[0].fails("rm", "org/wide", "--cluster")


def test_what_cannot_be_deleted_elsewhere_is_told(cluster, hub, wide, tmp_path):
    nodes = cluster(2).nodes
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas/w.gguf").symlink_to(wide)
    (nodes[0].path / "models/mine.gguf").symlink_to(wide)
    nodes[1].cli("models", "add", tmp_path / "nas")
    assert elsewhere(nodes[0], "mine") == {"whole"}
    assert "read-only" in nodes[0].cli("rm", "mine", "--cluster", check=False).stderr
    assert nodes[0].json("list") == [] and [m["name"] for m in nodes[1].json("list")] == ["w"] and wide.exists()


def test_who_is_asked_what_its_mounts_hold_goes_on_pulling(cluster, hub, wide, tmp_path):
    hub.add("org/wide", "w-Q8_0.gguf", wide)
    hub.rate = 2e6
    together = cluster(1)
    first = together.nodes[0]
    dead = [tmp_path / f"dead{i}" for i in range(3)]
    for folder in dead:
        folder.mkdir()
        first.cli("models", "add", folder)
    first.post("downloads", model="org/wide")
    late = Home(tmp_path / "late", hub)
    late.cli("join", first.cli("code").stdout.strip())
    together.nodes.append(late)
    together.start(late, 1)
    (late.path / "models/mine.gguf").symlink_to(wide)
    with contextlib.ExitStack() as mounts:
        if None in [mounts.enter_context(hanging.mount(folder)) for folder in dead]:
            pytest.skip("nobody may mount here")
        asks = subprocess.Popen([CARAVAN, "show", "mine", "--cluster"], env=late.env, stdout=subprocess.DEVNULL)
        time.sleep(0.5)  # now it is asked
        before = first.downloads()[0]["bytes_fetched"]
        assert wait_until(lambda: first.downloads()[0]["bytes_fetched"] > before + 2e6, 20)
        assert asks.poll() is None and asks.wait(timeout=20) == 0
    first.post("downloads/cancel", model="org/wide")
