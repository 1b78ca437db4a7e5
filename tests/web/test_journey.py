"""A person's whole way with three machines: pull, load over all of them, chat, lose one in the middle, delete.

How each stop looks is seen at two widths, and by `make journey` at all of them in both themes."""
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import netns
import pytest
from cluster import Node, assert_all_see_all, default_model, wait_until
from looks import THEMES, WIDTHS, assert_fits_at, bring_axe

from conftest import Watch, require_model, start_beside

HUB = Path(__file__).resolve().parent.parent / "hub/hub.py"
NAME, FILE = "org/small", "small-Q4_1.gguf"
HUB_PLACE, HUB_BYTES_PER_S = 3, 16e6
MEMORY = str(600 << 20)  # the model and its caches do not fit one machine, but two
ALL_LOOKS = bool(os.environ.get("CARAVAN_JOURNEY"))
LOOKS = list(itertools.product(WIDTHS, THEMES)) if ALL_LOOKS else [(360, "dark"), (1440, "light")]
LONG_MS = 120000  # three nodes and a browser share the cores of one machine


def start_hub(network, folder):
    """A hub in a namespace of its own; its address there."""
    (folder / NAME).mkdir(parents=True)
    (folder / NAME / FILE).symlink_to(default_model())
    process = network.start(HUB_PLACE, sys.executable, HUB, folder, "--host", network.address(HUB_PLACE),
                            "--rate", HUB_BYTES_PER_S, stdout=subprocess.PIPE, text=True)
    return process.stdout.readline().strip()


@pytest.fixture
def nodes(tmp_path):
    require_model()
    if netns.missing():
        pytest.skip(netns.missing())
    with netns.Network(4) as network:
        hub = start_hub(network, tmp_path / "hub")
        nodes = [Node(network, i, tmp_path / f"home{i}", "--threads", "1", "--memory", MEMORY) for i in range(3)]
        code = nodes[0].code()
        for node in nodes:
            if node is not nodes[0]:
                node.cli("join", code)
            node.env["CARAVAN_HUB"] = hub
            node.start()
        assert_all_see_all(nodes, 20)
        yield nodes


@pytest.fixture
def tab(nodes, tmp_path, playwright):
    browser = start_beside(playwright, nodes[0].network, tmp_path)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(30000)
    page.origin = f"http://127.0.0.1:{nodes[0].port}"
    page.watch = Watch(page, page.origin)
    yield page
    browser.close()
    assert page.watch.foreign == [] and page.watch.errors == []


def pull(tab):
    tab.goto(f"{tab.origin}/#models")
    bring_axe(tab)
    tab.get_by_text("Nothing yet.").wait_for()
    tab.get_by_label("Pull a model").fill(NAME)
    tab.get_by_role("button", name="Pull").click()
    tab.get_by_role("progressbar", name=f"Pulling {NAME}").wait_for()
    parts = tab.locator(".parts li")
    parts.filter(has_text=re.compile(r"^node\d \d+ % of [\d.]+ MB$")).first.wait_for()
    assert_fits_at(tab, "a model on its way", LOOKS)
    tab.get_by_role("button", name="Load…").wait_for(timeout=LONG_MS)


def load(tab, nodes):
    tab.set_viewport_size({"width": 768, "height": 900})
    tab.get_by_role("button", name="Load…").click()
    tab.get_by_role("combobox", name="Machines").select_option("3")
    tab.get_by_role("combobox", name="Split").select_option("pipeline")
    tab.locator("dialog tbody tr").nth(2).wait_for()
    tab.locator(".promise").get_by_text(re.compile(r"^[\d.]+ tokens a second")).wait_for(timeout=LONG_MS)
    assert_fits_at(tab, "a plan", LOOKS)
    tab.get_by_role("button", name="Load", exact=True).click()
    tab.get_by_role("button", name="Unload").wait_for(timeout=LONG_MS)
    assert len(nodes[0].json("ps")[0]["stages"]) == 3


def see_ring(tab, nodes):
    """The picture is true."""
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".picture .machine.up.member").nth(2).wait_for()
    names = {n["id"]: n["name"] for n in nodes[0].nodes()}
    for stage in nodes[0].json("ps")[0]["stages"]:
        first, end = stage["layers"]
        held = f"layer {first}" if end - first == 1 else f"layers {first}–{end - 1}"
        card = tab.locator(".machine-card").filter(has_text=names[stage["members"][0]["node"]])
        assert NAME in card.inner_text() and held in card.inner_text()
    assert tab.locator(".picture .link.strong").count() == 3
    assert tab.locator(".picture .link-label").filter(has_text=re.compile("µs|ms")).count() == 3
    assert tab.locator(".tokens").count() == 0


def ask(tab):
    tab.set_viewport_size({"width": 360, "height": 800})
    tab.evaluate("location.hash = 'chat'")
    tab.get_by_role("button", name="System prompt and sampling").click()
    for label, value in {"Temperature": "1.2", "Seed": "2", "Most tokens": "300"}.items():
        tab.get_by_label(label).fill(value)
    tab.get_by_role("button", name="Close").click()
    tab.get_by_placeholder(f"Ask {NAME}").fill("Tell a very long story about a camel.")
    tab.keyboard.press("Enter")
    tab.locator("article.reply .block").first.wait_for(timeout=LONG_MS)
    tab.emulate_media(reduced_motion="no-preference")
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".picture .tokens circle").first.wait_for()
    tab.get_by_text(re.compile(r"tok/s$")).first.wait_for()
    tab.evaluate("location.hash = 'chat'")


def runs_without(node, lost):
    instance, = node.json("ps")
    names = {n["id"]: n["name"] for n in node.nodes()}
    members = {names[m["node"]] for stage in instance["stages"] for m in stage["members"]}
    return instance["state"] == "ready" and lost.name not in members


def lose(tab, nodes, lost):
    lost.kill()
    tab.locator("article.reply .notice").filter(has_text=f"{lost.name} was lost").first.wait_for()
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".picture .machine.gone").first.wait_for()
    tab.locator(".happenings .loss").filter(has_text=f"{lost.name} is lost").first.wait_for()
    tab.evaluate("location.hash = 'chat'")
    tab.get_by_role("button", name="Send").wait_for(timeout=LONG_MS)
    account = tab.locator("article.reply .account").inner_text()
    assert re.search(r"\d tok/s", account) and "300 tokens" in account, account
    assert tab.get_by_role("alert").count() == 0
    assert wait_until(lambda: runs_without(nodes[0], lost), 60) is not None
    for view, sign in [("chat", ".account"), ("cluster", ".machine-card")]:
        tab.evaluate(f"location.hash = '{view}'")
        tab.locator(sign).first.wait_for()
        assert_fits_at(tab, f"{view} after a loss", LOOKS)


def delete(tab, nodes):
    tab.evaluate("location.hash = 'models'")
    tab.get_by_role("button", name="Unload").click()
    tab.get_by_role("button", name="Unload").wait_for(state="detached")
    tab.get_by_role("button", name=f"Delete {NAME}").click()
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_text("Nothing yet.").wait_for()
    assert_fits_at(tab, "nothing left", LOOKS)
    assert nodes[0].json("list") == [] and nodes[0].json("ps") == []


def come_back(tab, lost):
    lost.start()
    tab.evaluate("location.hash = 'cluster'")
    tab.locator(".happenings .join").filter(has_text=lost.name).first.wait_for()


def test_pull_load_chat_lose_and_delete(tab, nodes):
    pull(tab)
    load(tab, nodes)
    see_ring(tab, nodes)
    ask(tab)
    lose(tab, nodes, nodes[2])
    delete(tab, nodes)
    come_back(tab, nodes[2])
