"""The page in Debian's Chromium, driven by Playwright, against real nodes."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

TESTS = Path(__file__).resolve().parent.parent
sys.path[1:1] = [str(TESTS / "net"), str(TESTS / "api")]
spec = importlib.util.spec_from_file_location("api_conftest", TESTS / "api/conftest.py")
api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)

MODEL, Node, require_model = api.MODEL, api.Node, api.require_model
CHROMIUM = shutil.which("chromium")


def pytest_collection_modifyitems(items):
    if CHROMIUM is None:
        for item in items:
            if "playwright" in item.fixturenames:
                item.add_marker(pytest.mark.skip(reason="there is no chromium"))


@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
    yield browser
    browser.close()


def start_beside(playwright, network, folder):
    """A browser in the network of member 0."""
    program = folder / "chromium"
    program.write_text(f'#!/bin/sh\nexec ip netns exec {network.members[0]} {CHROMIUM} "$@"\n')
    program.chmod(0o755)
    return playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    require_model()
    node = Node(tmp_path_factory.mktemp("home")).start()
    yield node
    assert node.stop() == 0


class Watch:
    """What a page did that it must not: errors, and requests to anywhere but its node."""

    def __init__(self, page, origin):
        self.errors, self.foreign, self.asked = [], [], []
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: self.note(r.url, origin))

    def note(self, url, origin):
        self.asked.append(url)
        if not url.startswith((origin, "data:", "blob:")):
            self.foreign.append(url)


@pytest.fixture
def page(browser, node):
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(15000)
    page.origin = f"http://127.0.0.1:{node.port}"
    page.watch = Watch(page, page.origin)
    yield page
    context.close()
    assert page.watch.foreign == []


@pytest.fixture(scope="module")
def loaded(node):
    node.cli("load", MODEL, "--context", 2048)
    return node
