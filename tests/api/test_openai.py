"""Chat completions as the official client sees them."""
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from conftest import MODEL

QUESTION = [{"role": "user", "content": "What is the opposite of hot?"}]


def ask(client, messages=None, **options):
    options = {"temperature": 0, "max_tokens": 24} | options
    return client.chat.completions.create(model=MODEL, messages=messages or QUESTION, **options)


def text_of(reply):
    return reply.choices[0].message.content


def test_models_are_listed(client):
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def test_an_answer(client):
    reply = ask(client)
    assert reply.object == "chat.completion" and reply.model == MODEL and reply.id
    assert reply.choices[0].message.role == "assistant"
    assert "cold" in text_of(reply).lower()
    assert reply.choices[0].finish_reason in ("stop", "length")
    usage = reply.usage
    assert usage.prompt_tokens > 5 and 0 < usage.completion_tokens <= 24
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_greedy_answers_repeat(client):
    assert text_of(ask(client)) == text_of(ask(client))


def test_a_common_beginning_is_cached(client):
    """Told by the usage: the same prompt is known but for its last token, another one as far as it begins alike."""
    system = {"role": "system", "content": "Answer in one word. " * 40}
    first, again, other = (ask(client, [system, {"role": "user", "content": f"What rhymes with {word}?"}])
                           for word in ("cat", "cat", "moon"))
    cached = [reply.usage.prompt_tokens_details.cached_tokens for reply in (first, again, other)]
    assert cached[0] < 50 and cached[1] == first.usage.prompt_tokens - 1
    assert 160 <= cached[2] < other.usage.prompt_tokens - 1
    assert text_of(first) == text_of(again)


def test_a_seed_repeats_and_seeds_differ(client):
    options = {"temperature": 1.0, "max_tokens": 32}
    texts = [text_of(ask(client, seed=seed, **options)) for seed in (1, 1, 2, 3)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


def test_streaming_gives_the_same_text(client):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    reply = ask(client)
    assert "".join(pieces) == text_of(reply)
    assert len([p for p in pieces if p]) > 1
    assert chunks[0].choices[0].delta.role == "assistant"
    with_choices = [c for c in chunks if c.choices]
    assert with_choices[-1].choices[0].finish_reason == reply.choices[0].finish_reason
    assert all(c.choices[0].finish_reason is None for c in with_choices[:-1])
    assert chunks[-1].choices == [] and chunks[-1].usage == reply.usage
    assert len({c.id for c in chunks}) == 1


def test_streams_have_no_usage_unless_asked(client):
    assert all(chunk.choices for chunk in ask(client, stream=True))


def test_stop_texts_end_the_answer(client):
    whole = text_of(ask(client))
    stop = whole[len(whole) // 2:][:4]
    reply = ask(client, stop=[stop, "never said"])
    assert text_of(reply) == whole[:whole.index(stop)]
    assert reply.choices[0].finish_reason == "stop"
    streamed = "".join(c.choices[0].delta.content or "" for c in ask(client, stop=stop, stream=True))
    assert streamed == text_of(reply)


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limits_count_tokens(client, name):
    options = {"max_tokens": openai.NOT_GIVEN, name: 5}
    reply = ask(client, messages=[{"role": "user", "content": "Count from one to one hundred."}], **options)
    assert reply.usage.completion_tokens == 5
    assert reply.choices[0].finish_reason == "length"


def test_roles_and_parts(client):
    messages = [{"role": "system", "content": "You are terse."},
                {"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": " hi."}]},
                {"role": "assistant", "content": "hi"}, {"role": "user", "content": "Again."}]
    assert text_of(ask(client, messages))


def test_special_tokens_in_a_message_are_text(client):
    plain = ask(client, [{"role": "user", "content": "ab"}]).usage.prompt_tokens
    special = ask(client, [{"role": "user", "content": "a<|im_end|>b"}]).usage.prompt_tokens
    assert special > plain + 2


def test_requests_at_once_answer_like_one_alone(client):
    questions = [[{"role": "user", "content": f"Tell me something about the number {n}."}] for n in range(4)]
    alone = [text_of(ask(client, q)) for q in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda q: text_of(ask(client, q)), questions)) == alone


def test_unknown_models_suggest_others(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="smolm2:135m", messages=QUESTION)
    assert caught.value.code == "model_not_found"
    assert MODEL in caught.value.message


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "/dev/zero"])
def test_paths_are_not_models_for_the_network(client, path):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model=path, messages=QUESTION)


@pytest.mark.parametrize("field, value", [
    ("temperature", -1), ("temperature", "hot"), ("top_p", 1.5), ("max_tokens", -1), ("max_tokens", 0),
    ("max_completion_tokens", -5), ("seed", "x"), ("n", -1), ("stop", [1, 2]), ("stream", "yes"),
])
def test_errors_name_the_field(client, field, value):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=QUESTION, extra_body={field: value})
    assert caught.value.param == field
    assert field in caught.value.message


@pytest.mark.parametrize("messages", [[], "hello", [{"role": "user"}], [{"content": "x"}], [1],
                                      [{"role": "martian", "content": "x"}]])
def test_messages_are_checked(client, messages):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=messages)
    assert "messages" in caught.value.message


def test_a_prompt_too_long_is_told_in_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, [{"role": "user", "content": "word " * 5000}])
    assert caught.value.code == "context_length_exceeded"
    assert "2048" in caught.value.message


def assert_goes_idle(node):
    """Generation has stopped: the process uses next to no CPU any more."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        before = node.cpu_seconds()
        time.sleep(0.5)
        if node.cpu_seconds() - before <= 0.05:
            return
    pytest.fail("the node goes on computing for a client that has left")


def test_leaving_a_stream_stops_it(node, client):
    stream = ask(client, [{"role": "user", "content": "Write a very long story."}], stream=True, max_tokens=1900)
    begin = time.monotonic()
    for _ in zip(range(3), stream):
        pass
    stream.close()
    assert_goes_idle(node)
    assert time.monotonic() - begin < 4  # 1900 tokens would take longer


@pytest.mark.parametrize("stream, word", [(False, "word "), (True, "term ")])  # another word: nothing of it is cached
def test_leaving_in_prefill_or_without_a_stream_stops_it(node, client, stream, word):
    impatient = client.with_options(timeout=0.1)
    with pytest.raises(openai.APITimeoutError):
        reply = ask(impatient, [{"role": "user", "content": word * 1500}], stream=stream, max_tokens=400)
        for _ in reply if stream else []:
            pass
    assert_goes_idle(node)


def test_leaving_the_queue_stops_it(node, client):
    long = [{"role": "user", "content": "Write a very long story."}]
    streams = [ask(client, long, stream=True, max_tokens=1900) for _ in range(4)]
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.5), long, max_tokens=1900)
    for stream in streams:
        stream.close()
    assert_goes_idle(node)
    assert text_of(ask(client))
