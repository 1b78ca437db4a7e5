"""Models come when a request names them and leave when nobody does."""
import time
from concurrent.futures import ThreadPoolExecutor

import ollama
import openai
import pytest
from conftest import MODEL, Node, require_model

QUESTION = [{"role": "user", "content": "Say a word."}]
OTHER = "other"
ONE_AT_A_TIME = 950 << 20  # bytes: each of the two fits, both do not


def ask(node, model=MODEL, tokens=4, **more):
    return node.client().chat.completions.create(model=model, messages=QUESTION, max_tokens=tokens, temperature=0,
                                                 **more)


def loaded(node):
    return [i["model"] for i in node.json("ps") if i["state"] == "ready"]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    require_model()
    node = Node(tmp_path_factory.mktemp("home"), "--keep-alive", "1").start()
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A node that has two models and room for one."""
    require_model()
    node = Node(tmp_path_factory.mktemp("home"), "--memory", str(ONE_AT_A_TIME))
    models = node.home / "models"
    node.cli("quantize", models / "smollm2-135m.gguf", models / f"{OTHER}.gguf", "q8_0")
    node.start()
    yield node
    assert node.stop() == 0


def test_the_first_request_loads_and_time_unloads(hasty):
    assert loaded(hasty) == []
    assert ask(hasty).usage.completion_tokens == 4
    assert loaded(hasty) == [MODEL]
    until(lambda: loaded(hasty) == [])
    assert ask(hasty).usage.completion_tokens == 4


def test_many_who_want_the_same_model_share_one_load(hasty):
    until(lambda: loaded(hasty) == [])
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(hasty).choices[0].message.content, range(40)))
    assert len(set(answers)) == 1
    assert loaded(hasty) == [MODEL]


def test_what_was_loaded_by_hand_stays(hasty):
    ask(hasty)
    hasty.cli("load", MODEL)
    time.sleep(2)
    assert loaded(hasty) == [MODEL]
    hasty.cli("stop", MODEL)


def test_a_long_answer_outlives_the_keep_alive(hasty):
    begin = time.monotonic()
    while time.monotonic() < begin + 1.5:
        assert ask(hasty, tokens=600, seed=1).usage.completion_tokens > 0
    assert loaded(hasty) == [MODEL]


def test_the_longest_idle_one_makes_room(small):
    for model in (MODEL, OTHER, MODEL):
        assert ask(small, model).usage.completion_tokens == 4
        assert loaded(small) == [model]


def test_who_works_is_not_sent_away(small):
    stream = ask(small, MODEL, tokens=400, stream=True)
    next(iter(stream))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ask, small, OTHER)
        pieces = sum(1 for _ in stream)
        assert pieces > 20
        assert other.result().usage.completion_tokens == 4
    assert loaded(small) == [OTHER]


def test_a_model_that_never_fits_sends_nobody_away(tmp_path):
    require_model()
    node = Node(tmp_path, "--memory", str(64 << 20)).start()
    with pytest.raises(openai.InternalServerError) as caught:
        ask(node)
    assert caught.value.code == "insufficient_memory"
    assert node.stop() == 0


def test_ollama_clients_say_how_much_context_they_want(hasty):
    for wanted, found in ((1024, 1024), (10**6, 8192)):
        until(lambda: loaded(hasty) == [], 20)
        client = ollama.Client(host=f"http://127.0.0.1:{hasty.port}")
        assert client.chat(MODEL, QUESTION, options={"num_ctx": wanted, "num_predict": 2}, keep_alive=60).done
        assert [m.context_length for m in client.ps().models] == [found]
        assert client.chat(MODEL, QUESTION, options={"num_ctx": 4096, "num_predict": 2}, keep_alive=0).done
