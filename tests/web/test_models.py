"""Models come from a hub, are loaded, used, unloaded and deleted, all of it in the page."""
import re
import sys
from pathlib import Path

import pytest

from conftest import Node, api, require_model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "hub"))
import hub as hubs  # noqa: E402

NAME = "org/small"


@pytest.fixture
def pulling(browser, tmp_path):
    """A node with no model beside a hub that has one, and a page that shows it; the hub is slow at first."""
    require_model()
    with hubs.Hub(rate=4e6) as hub:
        hub.add(NAME, "small-Q4_1.gguf", api.default_model())
        node = Node(tmp_path, env={"CARAVAN_HUB": hub.url})
        (tmp_path / "models" / api.MODEL_FILE).unlink()
        node.start()
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(20000)
        page.goto(f"http://127.0.0.1:{node.port}/#models")
        yield page, hub
        page.close()
        assert node.stop() == 0


def test_from_the_hub_to_a_chat_and_away(pulling):
    page, hub = pulling
    page.get_by_text("Nothing yet.").wait_for()
    page.get_by_label("Pull a model").fill(NAME)
    page.get_by_role("button", name="Pull").click()
    page.get_by_role("progressbar", name=f"Pulling {NAME}").wait_for()
    page.get_by_text(re.compile(r"MB/s$")).wait_for()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").wait_for()
    hub.rate = 0
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Load…").click()
    page.get_by_role("dialog").get_by_text("tokens of", exact=False)
    page.get_by_role("button", name="Load", exact=True).click()
    page.get_by_role("button", name="Unload").wait_for()
    page.get_by_role("link", name="Chat").last.click()
    page.get_by_placeholder(f"Ask {NAME}").fill("Hello.")
    page.keyboard.press("Enter")
    page.locator(".account").wait_for()
    page.evaluate("location.hash = 'models'")
    page.get_by_role("button", name="Unload").click()
    page.get_by_role("button", name="Unload").wait_for(state="detached")
    page.get_by_role("button", name=re.compile("^Delete")).click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("Nothing yet.").wait_for()


def test_what_cannot_be_had_is_told(pulling):
    page, _ = pulling
    page.get_by_label("Pull a model").fill("org/nothing")
    page.get_by_role("button", name="Pull").click()
    page.get_by_text("failed", exact=True).wait_for()
    assert len(page.locator(".coming .not").inner_text()) > 10
    page.get_by_role("button", name="Cancel").click()
    page.locator(".coming").wait_for(state="detached")


def test_a_folder_of_this_machine_is_used(pulling, tmp_path):
    page, _ = pulling
    (tmp_path / "nas").mkdir()
    (tmp_path / "nas/mine.gguf").symlink_to(api.default_model())
    page.get_by_label("Use another folder").fill(str(tmp_path / "none"))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("there is no folder").wait_for()
    page.get_by_label("Use another folder").fill(str(tmp_path / "nas"))
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("heading", name="mine").wait_for()
    page.get_by_text("1 model", exact=True).wait_for()
    assert page.get_by_role("button", name="Delete mine").count() == 0  # read only
    page.get_by_role("button", name=f"Look in {tmp_path / 'nas'} no more").click()
    page.get_by_role("heading", name="mine").wait_for(state="detached")
