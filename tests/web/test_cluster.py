"""The picture of the cluster is true: three nodes in namespaces, a browser beside the first of them."""

import http.client
import re
import signal
import time
from pathlib import Path

import netns
import pytest
from cluster import Node as ClusterNode
from cluster import assert_all_see_all, default_model

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
            node.add_model(default_model())
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


def test_a_ring_is_planned_loaded_seen_and_loses_a_machine(tab, nodes):
    tab.goto(f"{tab.origin}/#models")
    tab.get_by_role("button", name="Load…").click()
    tab.get_by_role("combobox", name="Machines").select_option("3")
    tab.get_by_role("combobox", name="Split").select_option("pipeline")
    tab.locator("dialog tbody tr").nth(2).wait_for()
    tab.locator(".promise").get_by_text(re.compile(r"^[\d.]+ tokens a second")).wait_for()  # once all have measured
    tab.get_by_role("button", name="Load", exact=True).click()
    tab.get_by_role("button", name="Unload").wait_for(timeout=60000)

    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".picture .machine.up.member").nth(2).wait_for()
    stages = nodes[0].json("ps")[0]["stages"]
    names = {n["id"]: n["name"] for n in nodes[0].nodes()}
    for stage in stages:
        first, end = stage["layers"]
        held = f"layer {first}" if end - first == 1 else f"layers {first}–{end - 1}"
        text = card(tab, names[stage["members"][0]["node"]]).inner_text()
        assert MODEL in text and held in text
    assert tab.locator(".picture .link.strong").count() == 3
    assert tab.locator(".picture .link-label").filter(has_text=re.compile("µs|ms")).count() == 3
    assert tab.locator(".tokens").count() == 0

    tab.evaluate("location.hash = 'chat'")
    tab.get_by_role("button", name="System prompt and sampling").click()
    tab.get_by_label("Temperature").fill("1.2")
    tab.get_by_label("Seed").fill("2")  # a long answer, on every machine
    tab.get_by_role("button", name="Close").click()
    tab.get_by_placeholder(f"Ask {MODEL}").fill("Tell a very long story about a camel.")
    tab.keyboard.press("Enter")
    tab.locator("article.reply .block").first.wait_for()
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".picture .tokens circle").first.wait_for()
    tab.get_by_text(re.compile(r"tok/s$")).first.wait_for()

    last = nodes[2]
    last.kill()
    card(tab, last.name).get_by_text("lost", exact=True).wait_for()
    tab.locator(".picture .machine.gone").wait_for()
    tab.locator(".happenings .loss").filter(has_text=f"{last.name} is lost").wait_for()
    tab.evaluate("location.hash = 'chat'")
    tab.locator("article.reply .notice").filter(has_text=f"{last.name} was lost after").wait_for()

    last.start()
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".happenings .join").filter(has_text=last.name).first.wait_for()


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
