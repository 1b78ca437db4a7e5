"""What every view must be at every size: nothing runs over the edge, and axe finds no violation."""
from pathlib import Path

import pytest

WIDTHS, THEMES = [360, 768, 1440], ["light", "dark"]
AXE = Path(__file__).resolve().parent.parent.parent / "web/node_modules/axe-core/axe.min.js"
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 160) + " " + n.failureSummary).join("; ")}`)"""
RUNS_OVER = """document.documentElement.scrollWidth > innerWidth ||
    document.getElementById('main').scrollWidth > innerWidth"""


def bring_axe(page):
    """As the test's own script, which the page's policy does not concern."""
    if not AXE.exists():
        pytest.skip("axe-core is not in web/node_modules; `tools/setup test` installs it")
    page.evaluate(AXE.read_text())


def assert_fits(page, what):
    page.wait_for_timeout(150)  # colours and places move for a moment
    assert not page.evaluate(RUNS_OVER), what
    violations = page.evaluate(RUN)
    assert not violations, (what, violations)


def assert_fits_at(page, what, looks):
    """At these (width, theme); the page is left as wide as it was."""
    before = page.viewport_size
    for width, theme in looks:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert_fits(page, f"{what}, {width} px, {theme}")
    page.set_viewport_size(before)
