"""Ollama's API as its own client sees it."""
import http.client
import json

import ollama
import pytest

from conftest import MODEL

QUESTION = [{"role": "user", "content": "What is the opposite of hot?"}]
OPTIONS = {"temperature": 0, "num_predict": 24}


@pytest.fixture(scope="module")
def llama(node):
    return ollama.Client(host=f"http://127.0.0.1:{node.port}", timeout=120)


def test_a_chat(llama):
    reply = llama.chat(MODEL, QUESTION, options=OPTIONS)
    assert reply.model == MODEL and reply.done and reply.done_reason in ("stop", "length")
    assert reply.message.role == "assistant" and "cold" in reply.message.content.lower()
    assert reply.prompt_eval_count > 5 and 0 < reply.eval_count <= 24
    assert reply.total_duration >= reply.prompt_eval_duration + reply.eval_duration > 0


def test_a_stream_gives_the_same(llama):
    lines = list(llama.chat(MODEL, QUESTION, options=OPTIONS, stream=True))
    assert len(lines) > 2 and [line.done for line in lines] == [False] * (len(lines) - 1) + [True]
    whole = llama.chat(MODEL, QUESTION, options=OPTIONS)
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert lines[-1].eval_count == whole.eval_count and lines[-1].done_reason == whole.done_reason


def test_generate(llama):
    chat = llama.generate(MODEL, "What is the opposite of hot?", options=OPTIONS)
    assert chat.response == llama.chat(MODEL, QUESTION, options=OPTIONS).message.content
    raw = llama.generate(MODEL, "The capital of France is", raw=True, options=OPTIONS)
    assert raw.response and raw.response != chat.response
    system = llama.generate(MODEL, "Who are you?", system="You are a pirate.", options=OPTIONS)
    assert system.prompt_eval_count < llama.generate(MODEL, "Who are you?", system="You are a pirate. " * 9,
                                                     options=OPTIONS).prompt_eval_count
    parts = llama.generate(MODEL, "The capital of France is", raw=True, options=OPTIONS, stream=True)
    assert "".join(part.response for part in parts) == raw.response


def test_what_a_prompt_cannot_be_made_of_is_told(llama):
    with pytest.raises(ollama.ResponseError, match="template.*the model's own is used") as refused:
        llama.generate(MODEL, "Hi", template="{{ .System }} {{ .Prompt }}")
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="system.*'raw'") as refused:
        llama.generate(MODEL, "Hi", system="You are a pirate.", raw=True)
    assert refused.value.status_code == 400


def test_a_context_goes_on(llama):
    first = llama.generate(MODEL, "My name is Ann.", options=OPTIONS)
    assert len(first.context) == first.prompt_eval_count + first.eval_count
    second = llama.generate(MODEL, "What is my name?", context=first.context, options=OPTIONS)
    assert second.prompt_eval_count > len(first.context) and second.context[:len(first.context)] == first.context


def test_options_are_heeded(llama):
    stopped = llama.chat(MODEL, QUESTION, options=OPTIONS | {"stop": ["cold"]})
    assert "cold" not in stopped.message.content and stopped.done_reason == "stop"
    texts = [llama.chat(MODEL, QUESTION, options={"seed": 7, "num_predict": 16, "temperature": 1}).message.content
             for _ in range(2)]
    assert texts[0] == texts[1]
    assert llama.chat(MODEL, QUESTION, options={"num_predict": 3, "num_ctx": 4096}).eval_count == 3


def test_lists_of_models(llama):
    model, = [m for m in llama.list().models if m.model == MODEL]
    assert model.size > 1e6 and len(model.digest) == 64 and model.details.family == "llama"
    assert model.modified_at.year > 2000
    loaded, = llama.ps().models
    assert loaded.model == MODEL and loaded.expires_at.year > 2000 and loaded.context_length == 2048
    shown = llama.show(MODEL)
    assert "completion" in shown.capabilities and shown.template
    assert shown.modelinfo["llama.context_length"] >= 2048
    assert shown.modelinfo["general.architecture"] == "llama"


def test_embeddings(llama):
    reply = llama.embed(MODEL, ["a cat", "a dog"])
    assert len(reply.embeddings) == 2 and abs(sum(x * x for x in reply.embeddings[0]) - 1) < 1e-3
    assert reply.prompt_eval_count > 1
    old = llama.embeddings(MODEL, "a cat").embedding
    assert max(abs(a - b) for a, b in zip(old, reply.embeddings[0])) < 1e-6
    assert len(llama.embed(MODEL, "a cat", dimensions=32).embeddings[0]) == 32


def test_copies_are_names_of_the_same_model(llama):
    llama.copy(MODEL, "mine:7b")
    assert "mine:7b" in [m.model for m in llama.list().models]
    assert llama.chat("mine:7b", QUESTION, options=OPTIONS).message.content
    llama.delete("mine:7b")
    assert "mine:7b" not in [m.model for m in llama.list().models]
    llama.copy(MODEL, "gpt-4o")
    assert "gpt-4o:latest" in [m.model for m in llama.list().models]
    assert llama.chat("gpt-4o:latest", QUESTION, options=OPTIONS).message.content
    llama.delete("gpt-4o:latest")
    for bad in ("../x", "", "a/b"):
        with pytest.raises(ollama.ResponseError):
            llama.copy(MODEL, bad)


def test_pulling_what_is_there(llama):
    assert [p.status for p in llama.pull(MODEL, stream=True)][-1] == "success"
    assert llama.pull(MODEL).status == "success"


def test_errors(llama):
    with pytest.raises(ollama.ResponseError) as caught:
        llama.chat("nothing-like-it", QUESTION)
    assert caught.value.status_code == 404 and "nothing-like-it" in caught.value.error
    for wrong in ({"keep_alive": "soon"}, {"options": {"temperature": -5}}, {"think": "much"}):
        with pytest.raises(ollama.ResponseError) as caught:
            llama.chat(MODEL, QUESTION, **wrong)
        assert caught.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="2048"):
        llama.chat(MODEL, [{"role": "user", "content": "word " * 5000}])


def ask(node, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request(method, path, body=json.dumps(body) if body is not None else None)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, text


def test_preloading_and_versions(node):
    status, text = ask(node, "POST", "/api/generate", {"model": MODEL, "stream": False})
    assert status == 200 and json.loads(text)["done_reason"] == "load"
    body = {"model": MODEL, "messages": [], "stream": False, "keep_alive": "10m"}
    status, text = ask(node, "POST", "/api/chat", body)
    assert status == 200 and json.loads(text)["done"]
    version = json.loads(ask(node, "GET", "/api/version")[1])["version"]
    assert all(part.isdigit() for part in version.split("."))
    assert ask(node, "HEAD", "/")[0] == 200


def test_errors_have_ollamas_shape(node):
    for method, path in (("POST", "/api/nothing"), ("GET", "/api/chat"), ("POST", "/api/show"), ("POST", "/api/chat")):
        status, text = ask(node, method, path, {} if method == "POST" else None)
        assert status >= 400 and isinstance(json.loads(text)["error"], str)
