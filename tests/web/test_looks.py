"""Every view at three widths in both themes: nothing runs over the edge, and axe finds no violation."""

from pathlib import Path

import pytest

from conftest import MODEL

AXE = Path(__file__).resolve().parent.parent.parent / "web/node_modules/axe-core/axe.min.js"
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join("; ")}`)"""


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


def runs_over(page):
    return page.evaluate(
        "document.documentElement.scrollWidth > innerWidth || "
        "document.getElementById('main').scrollWidth > innerWidth"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_views(talked, loaded, width, theme):
    if not AXE.exists():
        pytest.skip("axe-core is not in web/node_modules; `tools/setup test` installs it")
    page = talked.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.goto(f"http://127.0.0.1:{loaded.port}/#chat")
    page.locator(".account").first.wait_for()
    page.evaluate(AXE.read_text())  # as the test's own script, which the page's policy does not concern
    for view, sign in [
        ("chat", ".account"),
        ("cluster", ".machine-card"),
        ("models", ".model"),
        ("join", ".qr"),
        ("api", ".code"),
    ]:
        page.evaluate(f"location.hash = '{view}'")
        page.locator(sign).first.wait_for()
        page.wait_for_timeout(150)
        assert not runs_over(page), view
        assert "\n".join(page.evaluate(RUN)) == "", view
    page.close()


def test_dialogs(talked, loaded):
    page = talked.new_page()
    page.goto(f"http://127.0.0.1:{loaded.port}/#chat")
    page.get_by_role("button", name="System prompt and sampling").click()
    page.evaluate(AXE.read_text())
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
