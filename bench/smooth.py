"""How smooth the page stays: typing in a chat of 200 messages while an answer of 200 tokens a second comes in.

    .venv/bin/python bench/smooth.py [SECONDS [SLOWER]]

A real node serves the page to Chromium; the answer is made up in the browser, so that its pace is even: prose, lists, a
table, a formula and code. SLOWER 4 gives the page a quarter of the processor, as on a phone. Told are the gaps between
frames (asked for by requestAnimationFrame), and how long a key takes to show.
"""
import json
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/api"))
from conftest import MODEL, Node  # noqa: E402

PART = """## Part {i}

A caravan of **machines** walks in a ring, *each* with its layers, and hands on what it has seen, `step({i})`.

$$\\sum_{{l=0}}^{{{i}}} \\frac{{x_l^2}}{{\\sqrt{{1 + l}}}} \\le {i}$$

- one carries the first layers
- the next carries more of them

| machine | layers |
| --- | --- |
| desk | 0 to {i} |

```python
def step(n):
    # the next one of {i}
    return [layer(n) for layer in range({i})]
```

"""
ANSWER = "".join(PART.format(i=i) for i in range(40))
STREAM = """(answer) => {
  const real = window.fetch;
  window.fetch = (url, ...rest) => {
    if (!String(url).endsWith("/v1/chat/completions")) return real(url, ...rest);
    const pieces = answer.match(/[^]{1,4}/g), encode = (text) => new TextEncoder().encode(text);
    const begin = performance.now();
    let sent = 0;
    const body = new ReadableStream({
      start(out) {
        const timer = setInterval(() => {
          for (const due = (performance.now() - begin) / 5; sent < due && sent < pieces.length; sent++)
            out.enqueue(encode(`data: ${JSON.stringify({choices: [{delta: {content: pieces[sent]}}]})}\\n\\n`));
          if (sent < pieces.length) return;
          clearInterval(timer);
          out.enqueue(encode('data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\\n\\ndata: [DONE]\\n\\n'));
          out.close();
        }, 5);
      },
    });
    return Promise.resolve(new Response(body, {headers: {"Content-Type": "text/event-stream"}}));
  };
}"""
WATCH = """() => {
  window.gaps = []; window.keys = [];
  let last = performance.now();
  const look = (now) => { window.gaps.push(now - last); last = now; requestAnimationFrame(look); };
  requestAnimationFrame(look);
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (e.name === "keydown") window.keys.push(e.duration);
  }).observe({type: "event", durationThreshold: 16});
}"""


def long_chat():
    messages, parent = {}, None
    for i in range(200):
        text = ANSWER[:1500] if i % 2 else f"What about part {i}?"
        role = "assistant" if i % 2 else "user"
        messages[f"m{i}"] = {"id": f"m{i}", "parent": parent, "role": role, "text": text, "at": i}
        parent = f"m{i}"
    chat = {"id": "long", "title": "Long", "model": MODEL, "messages": messages, "leaf": parent}
    return json.dumps({"caravan_chats": 1, "chats": [chat]})


def measure(page, seconds):
    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill("Tell on.")
    box.press("Enter")
    page.locator("article[aria-busy=true] .account").wait_for()  # looks through the whole page: not while it is watched
    page.evaluate(WATCH)
    for i in range(seconds * 10):
        page.keyboard.press("abcdefgh "[i % 9])  # a locator would search the whole page for each key
        page.wait_for_timeout(100)
    gaps, keys = sorted(page.evaluate("window.gaps")), page.evaluate("window.keys")
    most = gaps[len(gaps) * 99 // 100]
    print(f"{len(gaps)} frames: median {statistics.median(gaps):.0f} ms, 99 % within {most:.0f} ms, "
          f"worst {gaps[-1]:.0f} ms; keys that took 16 ms or more: {len(keys)} of {seconds * 10}, "
          f"worst {max(keys, default=0):.0f} ms")


def main():
    seconds, slower = [int(word) for word in sys.argv[1:]] + [15, 1][len(sys.argv) - 1:]
    folder = Path(tempfile.mkdtemp())
    node = Node(folder).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        node.cli("load", MODEL)
        page.goto(f"http://127.0.0.1:{node.port}")
        page.evaluate(STREAM, ANSWER)
        (folder / "chats.json").write_text(long_chat())
        page.get_by_label("Import chats", exact=True).set_input_files(folder / "chats.json")
        page.locator("article.reply .code").last.wait_for()
        page.wait_for_timeout(1000)
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
        measure(page, seconds)
        browser.close()
    node.stop()


if __name__ == "__main__":
    main()
