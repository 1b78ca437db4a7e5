"""Every view at three widths in both themes: nothing runs over the edge, and axe finds no violation."""

import pytest
from looks import RUN, THEMES, WIDTHS, assert_fits, bring_axe

from conftest import MODEL


@pytest.fixture(scope="module")
def talked(browser, loaded):
    """Pages' storage with a chat in it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{loaded.port}")
    page.get_by_role("button", name="System prompt and sampling").click()
    page.get_by_label("Most tokens").fill("30")
    page.get_by_role("button", name="Close").click()
    page.get_by_placeholder(f"Ask {MODEL}").fill("Write a short list of what a caravan carries.")
    page.keyboard.press("Enter")
    page.locator(".account").wait_for()
    page.get_by_role("button", name="Send").wait_for()
    page.wait_for_timeout(100)
    yield context
    context.close()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_views(talked, loaded, width, theme):
    page = talked.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.goto(f"http://127.0.0.1:{loaded.port}/#chat")
    page.locator(".account").first.wait_for()
    bring_axe(page)
    for view, sign in [
        ("chat", ".account"),
        ("cluster", ".machine-card"),
        ("models", ".model"),
        ("join", ".qr"),
        ("api", ".code"),
    ]:
        page.evaluate(f"location.hash = '{view}'")
        page.locator(sign).first.wait_for()
        assert_fits(page, view)
    page.close()


def test_dialogs(talked, loaded):
    page = talked.new_page()
    page.goto(f"http://127.0.0.1:{loaded.port}/#chat")
    page.get_by_role("button", name="System prompt and sampling").click()
    bring_axe(page)
    assert page.evaluate(RUN) == []
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.close()


def test_all_of_it_by_keyboard(talked, loaded):
    page = talked.new_page()
    page.goto(f"http://127.0.0.1:{loaded.port}/#models")
    page.locator(".model").first.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText).trim()"
            )
        )
    assert {"Chat", "Cluster", "Models", "Join", "API", "Dark", "Unload", f"Delete {MODEL}"} <= reached
    page.close()


def test_the_first_paint_is_soon(talked, loaded):
    page = talked.new_page()
    paints = []
    for _ in range(3):
        page.goto(f"http://127.0.0.1:{loaded.port}/")
        page.locator("textarea").wait_for()
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 1e9"))
    print(f"first paint after {min(paints):.0f} ms")
    page.close()
