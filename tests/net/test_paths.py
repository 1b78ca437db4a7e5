"""Links as nodes measure them: how fast they are, and that the fastest way between two machines is used."""
import pytest
from cluster import MODEL, assert_all_see_all, default_model, make_cluster, require_model, wait_until
from netns import Network, ip

SLOW = "20mbit"
SLOW_BYTES = 20e6 / 8


@pytest.fixture
def network():
    with Network(2) as network:
        yield network


def shape(network, i):
    network.check(i, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", SLOW, "burst", "32kb", "latency",
                  "400ms")


def add_cable(network):
    """A second one between members 0 and 1, without a bridge."""
    ip("-n", network.members[0], "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns",
       network.members[1])
    for i, member in enumerate(network.members):
        ip("-n", member, "address", "add", f"10.78.0.{i + 1}/24", "dev", "eth1")
        ip("-n", member, "link", "set", "eth1", "up")


def bandwidths(node):
    return [link["bandwidth"] for n in node.nodes() if n["state"] == "up" for link in n["links"]]


def sent_bytes(network, i, device):
    path = f"/sys/class/net/{device}/statistics/tx_bytes"
    return int(network.check(i, "cat", path).stdout)


def test_a_shaped_link_is_measured(network, tmp_path):
    shape(network, 1)
    nodes = make_cluster(network, tmp_path, 2, "--threads", "1")
    assert_all_see_all(nodes, 10)
    measured = nodes[0].json("nodes", "--measure")
    assert all(n["read_bandwidth"] and n["matmul_rate"] for n in measured)
    found = [link["bandwidth"] for n in measured for link in n["links"]]
    assert len(found) == 2 and all(b and b < 1.5 * SLOW_BYTES for b in found), measured


def test_links_are_measured_unasked(network, tmp_path):
    nodes = make_cluster(network, tmp_path, 2, "--threads", "1")
    assert_all_see_all(nodes, 10)
    assert wait_until(lambda: len(bandwidths(nodes[0])) == 2 and all(bandwidths(nodes[0])), 20) is not None


def test_the_fastest_path_is_used(network, tmp_path):
    require_model()
    add_cable(network)
    for i in range(2):
        shape(network, i)
    nodes = make_cluster(network, tmp_path, 2, "--threads", "1")
    for node in nodes:
        node.add_model(default_model())
    assert_all_see_all(nodes, 10)
    fast = wait_until(lambda: len(bandwidths(nodes[0])) == 2 and
                      all(b and b > 2 * SLOW_BYTES for b in bandwidths(nodes[0])), 40)
    assert fast is not None, bandwidths(nodes[0])
    nodes[0].cli("load", MODEL, "--nodes", 2, "--split", "pipeline", "--context", 1024)
    before = [sent_bytes(network, 0, device) for device in ("eth0", "eth1")]
    nodes[0].cli("run", MODEL, "One", "--max-tokens", 200, "--temperature", 0)
    slow, quick = (sent_bytes(network, 0, d) - b for d, b in zip(("eth0", "eth1"), before))
    assert quick > 100 * 576 * 4 and quick > 4 * slow, (slow, quick)
