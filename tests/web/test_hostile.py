"""What a model says runs nothing and fetches nothing: a model that recites says it, and imported chats hold it."""

import json

import pytest
import script_model
from hostile import STRINGS

from conftest import Node

LOOK = """() => {
  const bad = "script,iframe,img,picture,video,audio,object,embed,form,input,style,link,meta,base,template," +
    "button:not(.quiet)";
  const found = [];
  for (const answer of document.querySelectorAll(".answer")) {
    for (const e of answer.querySelectorAll(bad)) found.push(e.outerHTML.slice(0, 200));
    for (const e of answer.querySelectorAll("svg")) if (!e.closest(".katex")) found.push(e.outerHTML.slice(0, 200));
    for (const e of answer.querySelectorAll("*")) {
      for (const a of e.attributes) {
        if (/^(on.*|id|name)$/i.test(a.name)) found.push(`${e.tagName} ${a.name}=${a.value}`);
        const harmless = /^(https?:|mailto:)/i.test(e[a.name]);
        if (/^(href|src)$/i.test(a.name) && !harmless) found.push(`${e.tagName} ${a.value}`);
      }
    }
  }
  return found;
}"""


HARMLESS = """# Title

Some *words*, `code`, H<sub>2</sub>O and $a^2 + b^2 = c^2$.

| a | b |
|---|---|
| 1 | 2 |

```python
def f(x):
    return x
```

$$
\\int_0^1 x\\,dx
$$

[a link](https://example.org)
"""
ANSWERS = ["\n\n".join(STRINGS[i:i + 12]) for i in range(0, len(STRINGS), 12)]
SCRIPTS = {f"say {i}": answer for i, answer in enumerate(ANSWERS)} | {"say what is harmless": HARMLESS}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with a model that says it all, each part when it is asked for it by name."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    script_model.write(home / "models" / "script.gguf", SCRIPTS, least=24)
    node = Node(home)
    (home / "models" / "smollm2-135m.gguf").unlink()
    node.start()
    yield node
    assert node.stop() == 0


def ask(page, text):
    box = page.get_by_placeholder("Ask script")
    box.fill(text)
    box.press("Enter")
    page.locator(".account").wait_for()
    page.get_by_role("button", name="Send").wait_for()


@pytest.fixture
def armed(page):
    """A page that notes whatever runs, and whatever the browser had to forbid."""
    page.add_init_script(
        """window.hits = 0; window.hit = () => window.hits++; window.forbidden = [];
        addEventListener("securitypolicyviolation",
          (e) => window.forbidden.push(e.blockedURI + " " + e.violatedDirective));"""
    )
    page.on("dialog", lambda dialog: pytest.fail("a dialog opened"))
    page.on("popup", lambda popup: pytest.fail("a window opened"))
    return page


def assert_nothing_happened(page, wait_ms=300):
    page.wait_for_timeout(wait_ms)
    assert page.evaluate("window.hits") == 0
    assert page.evaluate("window.forbidden") == []
    assert page.evaluate(LOOK) == []
    assert page.url.startswith(page.origin) and page.locator("#app").count() == 1
    assert page.watch.foreign == [] and page.watch.errors == []
    fetched = {url.removeprefix(page.origin) for url in page.watch.asked if not url.startswith("data:")}
    known = ("/page/", "/caravan/v1/", "/v1/chat/completions")
    assert [path for path in fetched if path != "/" and not path.startswith(known)] == []


def test_there_are_enough():
    assert len(set(STRINGS)) >= 200


def test_from_the_mouth_of_a_model(armed):
    armed.goto(armed.origin)
    armed.get_by_placeholder("Ask script").wait_for()
    for i, answer in enumerate(ANSWERS):
        ask(armed, f"say {i}")
        said = armed.locator("article.reply").inner_text()
        assert len(said) > len(answer) / 4, (answer, said)
        assert_nothing_happened(armed, wait_ms=60)
        armed.get_by_role("button", name="New chat").click()
    assert_nothing_happened(armed)


def test_each_in_a_chat_that_is_imported(armed, tmp_path):
    messages, parent = {}, None
    for i, text in enumerate(STRINGS):
        messages[f"m{i}"] = {
            "id": f"m{i}",
            "parent": parent,
            "role": "assistant" if i % 2 else "user",
            "text": text,
            "at": i,
            "model": text,
            "thinking": text,
            "files": [{"name": text, "text": text}],
        }
        parent = f"m{i}"
    chat = {"id": "<img src=x>", "title": STRINGS[0], "system": STRINGS[1], "messages": messages, "leaf": parent}
    (tmp_path / "chats.json").write_text(json.dumps({"caravan_chats": 1, "chats": [chat]}))
    armed.goto(armed.origin)
    armed.get_by_label("Import chats", exact=True).set_input_files(tmp_path / "chats.json")
    armed.locator("article.reply").last.wait_for()
    for thought in armed.locator("details.thinking summary").all()[:40]:
        thought.evaluate("e => e.parentElement.open = true")
    assert_nothing_happened(armed)


LATE_EFFECTS = """const soon = window.setTimeout, frame = window.requestAnimationFrame;
window.setTimeout = (run, ms, ...rest) => soon(run, ms < 200 ? ms + 1000 : ms, ...rest);
window.requestAnimationFrame = (run) => frame((at) => soon(() => run(at), 1000));"""


def test_an_answer_is_drawn_also_where_the_drawing_part_comes_between_its_rendering_and_its_effects(armed):
    armed.add_init_script(LATE_EFFECTS)
    held = []
    armed.route("**/page/rich.js", lambda route: held.append(route))
    armed.goto(armed.origin)
    box = armed.get_by_placeholder("Ask script")
    box.fill("say what is harmless")
    box.press("Enter")
    answer = armed.locator("article.reply .answer")
    answer.get_by_text("# Title").wait_for()
    held[0].continue_()
    answer.get_by_role("heading", name="Title").wait_for()


def test_what_is_harmless_is_drawn(armed):
    armed.goto(armed.origin)
    ask(armed, "say what is harmless")
    answer = armed.locator("article.reply .answer")
    answer.get_by_role("heading", name="Title").wait_for()
    answer.locator(".hljs-keyword").first.wait_for()
    assert answer.locator("table td").count() == 2 and answer.locator("sub").count() == 1
    assert answer.locator(".katex").count() == 2 and answer.locator(".katex-display").count() == 1
    link = answer.get_by_role("link", name="a link")
    assert link.get_attribute("target") == "_blank" and "noopener" in link.get_attribute("rel")
    assert_nothing_happened(armed)
