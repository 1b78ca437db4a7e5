"""What the cluster tells reaches the page, also after the stream was lost, and in many tabs."""

import http.client
import signal
import time
from pathlib import Path

import netns
import pytest
from cluster import Node as ClusterNode
from cluster import assert_all_see_all

from conftest import MODEL, Node, Watch, require_model, start_beside


def give_thermometer(node, celsius):
    """Of the node's own: its mount namespace goes with that of its network. None where the kernel shows none."""
    zone = node.home / "thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu\n")
    (zone / "temp").write_text(f"{celsius * 1000}\n")
    if Path("/sys/class/thermal").exists():
        node.under = ["sh", "-c", 'mount --bind "$0" /sys/class/thermal; exec "$@"', zone.parent]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    require_model()
    if netns.missing():
        pytest.skip(netns.missing())
    with netns.Network(3) as network:
        folder = tmp_path_factory.mktemp("ring")
        nodes = [ClusterNode(network, i, folder / f"home{i}", "--threads", "1") for i in range(3)]
        code = nodes[0].code()
        for node in nodes[1:]:
            node.cli("join", code)
        for node in nodes:
            give_thermometer(node, 40 + 5 * node.place)
            node.start()
        assert_all_see_all(nodes, 15)
        yield nodes


@pytest.fixture(scope="module")
def beside(nodes, tmp_path_factory, playwright):
    """A browser in the network of node 0."""
    browser = start_beside(playwright, nodes[0].network, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def tab(beside, nodes):
    page = beside.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(15000)
    page.origin = f"http://127.0.0.1:{nodes[0].port}"
    page.watch = Watch(page, page.origin)
    yield page
    page.close()
    assert page.watch.foreign == [] and page.watch.errors == []


def card(page, name):
    return page.locator(".machine-card").filter(has_text=name)


def test_machines_tell_how_warm_they_are(tab, nodes):
    if not nodes[0].under:
        pytest.skip("the kernel has no /sys/class/thermal")
    tab.goto(f"{tab.origin}/#cluster")
    panel = tab.get_by_role("region", name="Temperature")
    for node in nodes:
        panel.get_by_text(f"{40 + 5 * node.place} °C {node.name}", exact=True).wait_for()
        card(tab, node.name).get_by_text(f"{40 + 5 * node.place} °C").wait_for()
    panel.locator("canvas").wait_for()


def test_a_lost_stream_comes_back_with_the_truth(page, node):
    page.goto(f"{page.origin}/#models")
    page.locator(".model").first.wait_for()
    node.process.send_signal(signal.SIGSTOP)  # as a cable that is pulled: nothing comes, nothing ends
    page.get_by_text("The node does not answer").wait_for()
    node.process.send_signal(signal.SIGCONT)
    page.get_by_text("The node does not answer").wait_for(state="detached")
    node.cli("load", MODEL, "--context", 256)
    page.get_by_role("button", name="Unload").wait_for(timeout=2000)
    node.cli("stop", MODEL)
    page.get_by_role("button", name="Unload").wait_for(state="detached", timeout=2000)


def test_a_node_that_starts_again_is_followed_again(browser, tmp_path):
    require_model()
    node = Node(tmp_path).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{node.port}/#cluster")
    page.locator(".machine-card").wait_for()
    node.stop()
    page.get_by_text("The node does not answer").wait_for()
    node.flags[node.flags.index("--port") + 1] = str(node.port)
    node.start()
    page.get_by_text("The node does not answer").wait_for(state="detached")
    page.close()
    assert node.stop() == 0


def test_many_tabs_share_one_stream(browser, node):
    """A browser has six connections to a server: the seventh tab must still open, and see what happens."""
    context = browser.new_context()
    tabs = [context.new_page() for _ in range(10)]
    for tab in tabs:
        tab.goto(f"http://127.0.0.1:{node.port}/#models", timeout=10000)
    node.cli("load", MODEL, "--context", 256)
    for tab in tabs:
        tab.get_by_role("button", name="Unload").wait_for()
    tabs[0].close()  # it may have been the one that follows
    node.cli("stop", MODEL)
    for tab in tabs[1:]:
        tab.get_by_role("button", name="Unload").wait_for(state="detached")
    context.close()


def test_ten_streams_cost_little(node):
    """Less than one per cent of a core."""
    streams = []
    for _ in range(10):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        connection.request("GET", "/caravan/v1/events")
        assert connection.getresponse().status == 200
        streams.append(connection)
    time.sleep(1)
    before = node.cpu_seconds()
    time.sleep(5)
    spent = node.cpu_seconds() - before
    for connection in streams:
        connection.close()
    assert spent < 0.01 * 5 + 0.02, f"{spent} s of 5"
