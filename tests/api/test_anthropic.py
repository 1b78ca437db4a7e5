"""Messages as Anthropic's own client sees them."""
import anthropic
import pytest

from conftest import MODEL

QUESTION = [{"role": "user", "content": "What is the opposite of hot?"}]


@pytest.fixture(scope="module")
def claude(node):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{node.port}", api_key="none", timeout=120, max_retries=0)


def ask(claude, messages=None, **options):
    options = {"max_tokens": 24} | options
    body = {"temperature": 0} | options.pop("extra_body", {})  # this version of the client does not know it any more
    return claude.messages.create(model=MODEL, messages=messages or QUESTION, extra_body=body, **options)


def test_an_answer(claude):
    reply = ask(claude)
    assert reply.type == "message" and reply.role == "assistant" and reply.id.startswith("msg_")
    assert [b.type for b in reply.content] == ["text"] and "cold" in reply.content[0].text.lower()
    assert reply.stop_reason in ("end_turn", "max_tokens") and reply.stop_sequence is None
    assert reply.usage.output_tokens > 0


def test_the_events_of_a_stream_in_order(claude):
    with claude.messages.stream(model=MODEL, messages=QUESTION, max_tokens=24,
                                extra_body={"temperature": 0}) as stream:
        raw = [e for e in stream if e.type in ("message_start", "content_block_start", "content_block_delta",
                                               "content_block_stop", "message_delta", "message_stop")]
        final = stream.get_final_message()
    kinds = [e.type for e in raw]
    deltas = kinds.count("content_block_delta")
    assert deltas > 1
    assert kinds == ["message_start", "content_block_start", *["content_block_delta"] * deltas, "content_block_stop",
                     "message_delta", "message_stop"]
    assert raw[0].message.content == [] and raw[0].message.stop_reason is None
    whole = ask(claude)
    assert final.content[0].text == whole.content[0].text and final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_tokens_from_the_cache_are_counted_apart(claude):
    """What count_tokens says is the sum."""
    system = "Answer in one word. " * 40
    first, again = (ask(claude, system=system) for _ in range(2))
    assert again.usage.cache_read_input_tokens > 100
    total = claude.messages.count_tokens(model=MODEL, messages=QUESTION, system=system).input_tokens
    for usage in (first.usage, again.usage):
        assert usage.input_tokens + usage.cache_read_input_tokens == total


def test_system_blocks_and_turns(claude):
    blocks = [{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}]
    turns = [{"role": "user", "content": [{"type": "text", "text": "Say hi."}]},
             {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"},
                                               {"type": "text", "text": "hi"}]},
             {"role": "user", "content": "Again."}]
    assert ask(claude, turns, system=blocks).content[0].text


def test_calls_and_results_go_into_the_prompt(claude):
    tool = {"name": "weather", "description": "The weather of a city.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    turns = [{"role": "user", "content": "Weather in Paris?"},
             {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather",
                                                "input": {"city": "Paris"}}]},
             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sunny"},
                                          {"type": "text", "text": "Well?"}]}]
    count = claude.messages.count_tokens
    bare = count(model=MODEL, messages=QUESTION).input_tokens
    assert count(model=MODEL, messages=QUESTION, tools=[tool]).input_tokens > bare + 30
    assert count(model=MODEL, messages=turns, tools=[tool]).input_tokens > bare + 40
    assert ask(claude, turns, tools=[tool]).content


def test_an_open_answer_goes_on(claude):
    reply = ask(claude, [*QUESTION, {"role": "assistant", "content": "The opposite of hot is"}])
    assert "cold" in reply.content[0].text.lower()
    assert not reply.content[0].text.startswith("The opposite")


def test_stop_sequences(claude):
    whole = ask(claude).content[0].text
    stop = whole[len(whole) // 2:][:4]
    reply = ask(claude, stop_sequences=[stop])
    assert reply.stop_reason == "stop_sequence" and reply.stop_sequence == stop
    assert reply.content[0].text == whole[:whole.index(stop)]


def test_errors_are_its_own_classes(claude):
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.messages.create(model="claude-nothing", messages=QUESTION, max_tokens=5)
    assert caught.value.body["type"] == "error" and caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.request_id
    for wrong in ({"max_tokens": 0}, {"extra_body": {"temperature": -1}}, {"extra_body": {"system": 5}},
                  {"extra_body": {"tool_choice": {"type": "any"}}}, {"extra_body": {"thinking": {"type": "much"}}},
                  {"extra_body": {"messages": [{"role": "tool", "content": "x"}]}}):
        with pytest.raises(anthropic.BadRequestError) as caught:
            ask(claude, **wrong)
        field = next(iter(wrong.get("extra_body", wrong)))
        assert caught.value.body["error"]["type"] == "invalid_request_error" and field in caught.value.message
    with pytest.raises(anthropic.BadRequestError, match="2048"):
        ask(claude, [{"role": "user", "content": "word " * 5000}])


def test_leaving_a_stream_is_no_harm(claude):
    with claude.messages.stream(model=MODEL, messages=QUESTION, max_tokens=1500) as stream:
        for _ in zip(range(3), stream):
            pass
    assert ask(claude).content
