"""What the OpenAI API has beside plain chats: several answers, log probabilities, completions, embeddings."""
import math

import openai
import pytest

from conftest import MODEL
from test_openai import QUESTION, ask, text_of


def test_several_answers(client):
    reply = ask(client, n=3, temperature=1, seed=5)
    assert [c.index for c in reply.choices] == [0, 1, 2]
    texts = [c.message.content for c in reply.choices]
    assert len(set(texts)) > 1 and all(texts)
    assert texts[0] == text_of(ask(client, temperature=1, seed=5))
    streamed = ["", "", ""]
    for chunk in ask(client, n=3, temperature=1, seed=5, stream=True, stream_options={"include_usage": True}):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    assert chunk.usage.total_tokens == reply.usage.total_tokens


def test_log_probabilities(client):
    choice = ask(client, logprobs=True, top_logprobs=3, max_tokens=8).choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == 8 and "".join(t.token for t in tokens) == choice.message.content
    for token in tokens:
        assert bytes(token.bytes).decode() == token.token
        top = token.top_logprobs
        assert len(top) == 3 and top[0].token == token.token and top[0].logprob == token.logprob <= 0
        assert top[0].logprob >= top[1].logprob >= top[2].logprob
        assert sum(math.exp(t.logprob) for t in top) <= 1 + 1e-6
    chunks = ask(client, logprobs=True, top_logprobs=3, max_tokens=8, stream=True)
    assert [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content] == tokens


def test_biases(client):
    def tokens(bias):
        choice = client.completions.create(model=MODEL, prompt="Once upon a", max_tokens=4, temperature=0, logprobs=0,
                                           logit_bias=bias).choices[0]
        return choice.logprobs.tokens

    assert len(set(tokens({"504": 100}))) == 1
    assert tokens({}) != tokens({"504": 100})


def test_completions(client):
    reply = client.completions.create(model=MODEL, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert reply.object == "text_completion" and reply.choices[0].finish_reason in ("stop", "length")
    assert reply.usage.completion_tokens <= 8
    streamed = "".join(c.choices[0].text for c in client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=8, temperature=0, stream=True))
    assert streamed == reply.choices[0].text
    both = client.completions.create(model=MODEL, prompt=["The capital of France is", "One, two,"], max_tokens=8,
                                     temperature=0)
    assert len(both.choices) == 2 and both.choices[0].text == reply.choices[0].text


def test_prompts_as_tokens_and_echo(client):
    """As lm-eval asks for likelihoods."""
    text = "The capital of France is Paris."
    whole = client.completions.create(model=MODEL, prompt=text, max_tokens=0, echo=True, logprobs=1).choices[0]
    assert whole.text == text and whole.finish_reason == "length"
    probs = whole.logprobs
    assert "".join(probs.tokens) == text and len(probs.tokens) == len(probs.token_logprobs) == len(probs.top_logprobs)
    assert probs.token_logprobs[0] is None and all(p <= 0 for p in probs.token_logprobs[1:])
    assert probs.text_offset == [len("".join(probs.tokens[:i])) for i in range(len(probs.tokens))]
    for i in range(1, len(probs.tokens)):
        assert max(probs.top_logprobs[i].values()) >= probs.token_logprobs[i] - 1e-6
    more = client.completions.create(model=MODEL, prompt=text, max_tokens=3, echo=True, logprobs=1, temperature=0)
    assert more.choices[0].logprobs.token_logprobs[1:len(probs.tokens)] == probs.token_logprobs[1:]
    assert len(more.choices[0].logprobs.tokens) == len(probs.tokens) + 3
    with_ids = client.completions.create(model=MODEL, prompt=[504, 1343], max_tokens=4, temperature=0)
    assert with_ids.usage.prompt_tokens == 2
    with pytest.raises(openai.BadRequestError, match="vocabulary"):
        client.completions.create(model=MODEL, prompt=[10**8], max_tokens=4)


def test_filling_in_needs_a_model_for_it(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt="def f(", suffix="return x", max_tokens=4)
    assert caught.value.param == "suffix"


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_embeddings(client):
    """Length 1, cut and scaled again, the same in any company, as numbers and as base64 (the client's own default)."""
    texts = ["The cat sits on the mat.", "A cat is sitting on a mat.", "Interest rates rose in March."] + ["x"] * 20
    reply = client.embeddings.create(model=MODEL, input=texts)
    vectors = [d.embedding for d in reply.data]
    assert [d.index for d in reply.data] == list(range(23))
    assert all(abs(cosine(v, v) - 1) < 1e-3 for v in vectors)
    assert cosine(vectors[0], vectors[1]) > cosine(vectors[0], vectors[2])
    numbers = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float").data[0].embedding
    assert max(abs(a - b) for a, b in zip(numbers, vectors[0])) < 1e-6
    short = client.embeddings.create(model=MODEL, input=texts[0], dimensions=64).data[0].embedding
    assert len(short) == 64 and abs(cosine(short, short) - 1) < 1e-3
    assert vectors[4] == vectors[22] == client.embeddings.create(model=MODEL, input="x").data[0].embedding
    assert reply.usage.prompt_tokens > 23
    with pytest.raises(openai.BadRequestError, match="input"):
        client.embeddings.create(model=MODEL, input=[])


def test_tools_for_a_model_that_was_never_told(client):
    """Its template does not show tools: they are described to it, and the request is answered."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    function = {"name": "weather", "description": "The weather of a city.", "parameters": parameters}
    tool = {"type": "function", "function": function}
    with_tools = ask(client, tools=[tool], max_tokens=8).usage.prompt_tokens
    assert with_tools > ask(client, max_tokens=8).usage.prompt_tokens + 30
    assert ask(client, tools=[tool], tool_choice="none", max_tokens=8).usage.prompt_tokens < with_tools - 30


def test_an_unknown_field_is_nothing_and_a_wrong_one_has_a_name(client):
    assert text_of(ask(client, extra_body={"service_tier": "auto", "prompt_cache_key": "x", "new": {"a": [1]}}))
    for field, value in {"n": 9, "top_logprobs": 3, "logit_bias": {"x": 1}, "tools": "x", "tool_choice": "maybe",
                         "reasoning_effort": "much", "response_format": {"type": "yaml"}, "best_of": 3}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, QUESTION, extra_body={field: value})
        assert caught.value.param == field and field in caught.value.message
