"""Tools, thoughts and structured output through the official clients, with a model that recites."""
import json

import anthropic
import ollama
import openai
import pytest
from pydantic import BaseModel

import script_model

MODEL = "script"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS}}


@pytest.fixture(scope="module")
def client(reciter):
    return reciter.client()


@pytest.fixture(scope="module")
def claude(reciter):
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{reciter.port}", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def llama(reciter):
    return ollama.Client(host=f"http://127.0.0.1:{reciter.port}")


def ask(client, text, **options):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=MODEL, messages=messages, **{"temperature": 0} | options)


def test_it_recites(client):
    assert ask(client, "hello").choices[0].message.content == script_model.SCRIPTS["hello"]


# ---- OpenAI ----

def test_a_call(client):
    choice = ask(client, "weather", tools=[TOOL]).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me look."
    call, = choice.message.tool_calls
    assert call.type == "function" and call.id and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


def test_a_streamed_call(client):
    chunks = list(ask(client, "weather", tools=[TOOL], stream=True))
    deltas = [c.choices[0].delta for c in chunks]
    assert "".join(d.content or "" for d in deltas) == "Let me look."
    calls = [d.tool_calls[0] for d in deltas if d.tool_calls]
    assert calls[0].id and calls[0].function.name == "weather" and calls[0].index == 0
    assert json.loads("".join(c.function.arguments for c in calls)) == {"city": "Paris"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_calls_at_once_and_one_only(client):
    calls = ask(client, "both", tools=[TOOL]).choices[0].message.tool_calls
    assert [json.loads(c.function.arguments)["city"] for c in calls] == ["Oslo", "Rome"]
    one = ask(client, "both", tools=[TOOL], parallel_tool_calls=False).choices[0].message.tool_calls
    assert len(one) == 1


def test_without_tools_it_is_text(client):
    assert ask(client, "weather").choices[0].message.content == script_model.SCRIPTS["weather"]
    none = ask(client, "weather", tools=[TOOL], tool_choice="none").choices[0]
    assert none.message.tool_calls is None and none.finish_reason == "stop"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_call_that_must_come(client, choice):
    """Also where the model would say something else."""
    message = ask(client, "hello", tools=[TOOL], tool_choice=choice, max_tokens=200).choices[0].message
    call, = message.tool_calls
    assert call.function.name == "weather" and set(json.loads(call.function.arguments)) >= {"city"}


def test_the_helper_that_runs_tools(client):
    """The loop of an agent: call, result, answer."""
    messages = [{"role": "user", "content": "weather"}]
    first = ask(client, "weather", tools=[TOOL]).choices[0].message
    messages += [first.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": first.tool_calls[0].id,
                                                       "content": "sunny"}]
    last = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], temperature=0)
    assert last.choices[0].message.content == "It is sunny in Paris."


def test_thoughts(client):
    message = ask(client, "think").choices[0].message
    assert message.content == "Seven." and message.reasoning_content == "They want a number."
    reply = ask(client, "think", stream=True, stream_options={"include_usage": True})
    chunks = list(reply)
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == "They want a number."
    assert "".join(d.content or "" for d in deltas) == "Seven."
    assert not any(d.content and getattr(d, "reasoning_content", None) for d in deltas)
    assert chunks[-1].usage.completion_tokens_details.reasoning_tokens > 2


class Person(BaseModel):
    name: str
    age: int


def test_the_parse_helper(client):
    """Whatever the model would have said."""
    for text in ("person", "hello"):
        reply = client.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": text}],
                                              response_format=Person, temperature=0, max_tokens=200)
        person = reply.choices[0].message.parsed
        assert isinstance(person, Person)
    any_object = ask(client, "hello", response_format={"type": "json_object"}, max_tokens=200)
    assert any_object.choices[0].message.content[0] == "{"
    wrong = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "of"}}}
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hello", response_format=wrong)
    assert caught.value.param == "response_format"


def test_grammars(client):
    reply = ask(client, "hello", extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert reply.choices[0].message.content in ("yes", "no")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hello", extra_body={"grammar": "root ::= ("})
    assert caught.value.param == "grammar"


def test_responses_call_tools(client):
    tool = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": False}
    reply = client.responses.create(model=MODEL, input="weather", tools=[tool], temperature=0)
    assert [item.type for item in reply.output] == ["message", "function_call"]
    call = reply.output[1]
    assert call.name == "weather" and json.loads(call.arguments) == {"city": "Paris"}
    events = list(client.responses.create(model=MODEL, input="weather", tools=[tool], temperature=0, stream=True))
    kinds = [e.type.removeprefix("response.") for e in events]
    assert kinds[-6:] == ["output_item.done", "output_item.added", "function_call_arguments.delta",
                          "function_call_arguments.done", "output_item.done", "completed"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    last = client.responses.create(model=MODEL, input=[result], previous_response_id=reply.id, tools=[tool],
                                   temperature=0)
    assert last.output_text == "It is sunny in Paris."
    thinking = client.responses.create(model=MODEL, input="think", temperature=0)
    assert [item.type for item in thinking.output] == ["reasoning", "message"] and thinking.output_text == "Seven."
    parsed = client.responses.parse(model=MODEL, input="hello", text_format=Person, temperature=0,
                                    max_output_tokens=200)
    assert isinstance(parsed.output_parsed, Person)


# ---- Anthropic ----

CLAUDES_TOOL = {"name": "weather", "description": "The weather.", "input_schema": PARAMETERS}


def test_anthropic_calls(claude):
    question = {"role": "user", "content": "weather"}
    body = {"temperature": 0}
    reply = claude.messages.create(model=MODEL, messages=[question], max_tokens=100, tools=[CLAUDES_TOOL],
                                   extra_body=body)
    assert reply.stop_reason == "tool_use" and [b.type for b in reply.content] == ["text", "tool_use"]
    call = reply.content[1]
    assert call.name == "weather" and call.input == {"city": "Paris"}
    with claude.messages.stream(model=MODEL, messages=[question], max_tokens=100, tools=[CLAUDES_TOOL],
                                extra_body=body) as stream:
        kinds = [e.type for e in stream if e.type.startswith("content_block_st")]
        final = stream.get_final_message()
    assert kinds == ["content_block_start", "content_block_stop"] * 2
    assert final.content[1].input == {"city": "Paris"} and final.stop_reason == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sunny"}]}
    turns = [question, {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in reply.content]},
             {"role": "user", "content": [result]}]
    last = claude.messages.create(model=MODEL, messages=turns, max_tokens=100, tools=[CLAUDES_TOOL], extra_body=body)
    assert last.content[0].text == "It is sunny in Paris."


def test_anthropic_must_call(claude):
    for choice in ({"type": "any"}, {"type": "tool", "name": "weather"}):
        reply = claude.messages.create(model=MODEL, messages=[{"role": "user", "content": "hello"}], max_tokens=200,
                                       tools=[CLAUDES_TOOL], tool_choice=choice, extra_body={"temperature": 0})
        assert [b.type for b in reply.content] == ["tool_use"] and reply.stop_reason == "tool_use"


def test_anthropic_thoughts(claude):
    reply = claude.messages.create(model=MODEL, messages=[{"role": "user", "content": "think"}], max_tokens=2000,
                                   thinking={"type": "enabled", "budget_tokens": 1024}, extra_body={"temperature": 0})
    assert [b.type for b in reply.content] == ["thinking", "text"]
    assert reply.content[0].thinking == "They want a number." and reply.content[1].text == "Seven."


def test_anthropic_parses(claude):
    reply = claude.messages.parse(model=MODEL, messages=[{"role": "user", "content": "hello"}], max_tokens=200,
                                  output_format=Person, extra_body={"temperature": 0})
    assert isinstance(reply.parsed_output, Person)


# ---- Ollama ----

def test_ollama_calls(llama):
    question = {"role": "user", "content": "weather"}
    options = {"temperature": 0}
    reply = llama.chat(MODEL, [question], tools=[TOOL], options=options)
    call, = reply.message.tool_calls
    assert reply.message.content == "Let me look."
    assert call.function.name == "weather" and call.function.arguments == {"city": "Paris"}
    streamed = [c for line in llama.chat(MODEL, [question], tools=[TOOL], options=options, stream=True)
                for c in line.message.tool_calls or []]
    assert [c.function.arguments for c in streamed] == [{"city": "Paris"}]
    turns = [question, reply.message, {"role": "tool", "content": "sunny", "tool_name": "weather"}]
    assert llama.chat(MODEL, turns, tools=[TOOL], options=options).message.content == "It is sunny in Paris."


def test_ollama_thoughts_and_formats(llama):
    options = {"temperature": 0, "num_predict": 200}
    reply = llama.chat(MODEL, [{"role": "user", "content": "think"}], think=True, options=options)
    assert reply.message.thinking == "They want a number." and reply.message.content == "Seven."
    generated = llama.generate(MODEL, "think", options=options)
    assert generated.thinking == "They want a number." and generated.response == "Seven."
    question = {"role": "user", "content": "hello"}
    shaped = llama.chat(MODEL, [question], format=Person.model_json_schema(), options=options)
    assert Person.model_validate_json(shaped.message.content)
    assert llama.generate(MODEL, "person", format="json", options=options).response == script_model.SCRIPTS["person"]
