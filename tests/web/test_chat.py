"""A person chats: asks, stops, asks again, edits, comes back to it later."""

import json
import re

import pytest

from conftest import MODEL


def ask(page, text):
    box = page.get_by_role("textbox", name="Message", exact=True)
    box.fill(text)
    box.press("Enter")


def open_chat(page):
    page.goto(page.origin)
    page.get_by_placeholder(f"Ask {MODEL}").wait_for()


def set_limit(page, tokens):
    page.get_by_role("button", name="System prompt and sampling").click()
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Most tokens").fill(str(tokens))
    page.get_by_role("button", name="Close").click()


def answers(page):
    return page.locator("article.reply")


def wait_until_done(page):
    page.get_by_role("button", name="Send").wait_for(timeout=60000)


def test_an_answer_streams_and_tells_how_fast(page, loaded):
    open_chat(page)
    set_limit(page, 40)
    ask(page, "Name three animals.")
    page.get_by_text(re.compile(r"^[\d.]+ tok/s$")).wait_for()
    wait_until_done(page)
    account = page.locator(".account").inner_text()
    assert re.search(r"\d tok/s", account) and re.search(r"first token [\d.]+ s", account) and "tokens" in account
    assert len(answers(page).inner_text()) > 20
    assert page.locator(".gauge").inner_text().endswith("of 2,048 tokens")
    assert page.watch.errors == []


def test_a_model_that_is_not_loaded_is_loaded(page, node):
    node.cli("stop", MODEL, check=False)
    open_chat(page)
    set_limit(page, 5)
    ask(page, "Hello.")
    page.locator(".account").wait_for(timeout=60000)
    wait_until_done(page)
    assert [i["model"] for i in node.json("ps")] == [MODEL]


def test_stop_keeps_what_was_said(page, loaded):
    open_chat(page)
    set_limit(page, 1900)
    page.get_by_role("button", name="System prompt and sampling").click()
    page.get_by_label("Temperature").fill("1.2")
    page.get_by_label("Seed").fill("2")  # a long answer, on every machine
    page.get_by_role("button", name="Close").click()
    ask(page, "Tell a very long story about a camel.")
    answers(page).locator(".block").first.wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Send").wait_for()
    text = answers(page).locator(".answer").inner_text()
    assert text and "stopped" in page.locator(".account").inner_text()
    page.reload()
    page.get_by_text("stopped").wait_for()  # kept, and found again
    assert answers(page).locator(".answer").inner_text() == text


def test_regenerate_and_edit_grow_branches(page, loaded):
    open_chat(page)
    set_limit(page, 8)
    ask(page, "Say one word.")
    page.locator(".account").wait_for()
    wait_until_done(page)
    page.get_by_role("button", name="Regenerate").click()
    page.get_by_text("2 of 2").wait_for()
    wait_until_done(page)
    page.get_by_role("button", name="Previous version").click()
    page.get_by_text("1 of 2").wait_for()
    page.get_by_role("button", name="Edit message").click()
    page.get_by_role("textbox", name="Edit message").fill("Say two words.")
    page.get_by_role("button", name="Ask again").click()
    page.get_by_text("Say two words.").first.wait_for()
    wait_until_done(page)
    page.locator("article.user").get_by_role("button", name="Previous version").click()
    page.locator("article.user").get_by_text("Say one word.").wait_for()
    assert answers(page).count() == 1


def test_a_file_travels_with_the_question(page, loaded):
    asked = []
    page.on("request", lambda r: asked.append(r.post_data_json) if r.url.endswith("/chat/completions") else None)
    open_chat(page)
    set_limit(page, 3)
    page.get_by_label("Attach text files", exact=True).locator("visible=true").wait_for()
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"oasis ```"}
    page.locator("input[type=file][multiple]").set_input_files(notes)
    page.get_by_text("notes.txt").wait_for()
    ask(page, "What is in it?")
    page.locator(".account").wait_for()
    assert asked[0]["messages"][0]["content"] == "notes.txt:\n````\noasis ```\n````\n\nWhat is in it?"
    assert asked[0]["max_tokens"] == 3 and asked[0]["temperature"] == 0


def test_chats_go_out_and_come_back(page, loaded, tmp_path):
    open_chat(page)
    set_limit(page, 5)
    ask(page, "Keep this one.")
    page.locator(".account").wait_for()
    wait_until_done(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    kept = json.loads(download.value.path().read_text())
    assert [c["title"] for c in kept["chats"]] == ["Keep this one."]
    page.get_by_role("button", name="Delete Keep this one.").click()
    page.get_by_text("What shall we ask?").wait_for()
    page.get_by_label("Import chats", exact=True).set_input_files(download.value.path())
    page.locator("article.user").get_by_text("Keep this one.").wait_for()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"caravan_chats": 1}', '{"caravan_chats": 1, "chats": [{"messages": {"a": 5}}, 7]}']
)
def test_a_bad_file_is_refused_or_harmless(page, loaded, tmp_path, text):
    open_chat(page)
    (tmp_path / "chats.json").write_text(text)
    page.get_by_label("Import chats", exact=True).set_input_files(tmp_path / "chats.json")
    page.locator(".said > div").first.wait_for()
    page.get_by_placeholder(f"Ask {MODEL}").wait_for()
    assert page.watch.errors == []
