"""Structured output as the official client asks for it: schemas, grammars and calls of tools always keep their form."""
import json
import re
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

from conftest import MODEL

jsonschema = pytest.importorskip("jsonschema", reason="the independent validator")

PLAY = [{"role": "user", "content": "Tell me about Hamlet by William Shakespeare."}]
WEATHER = {"type": "object", "required": ["city", "unit"], "additionalProperties": False,
           "properties": {"city": {"type": "string", "maxLength": 40}, "unit": {"enum": ["C", "F"]},
                          "days": {"type": "integer", "minimum": 1, "maximum": 9}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city",
                                           "parameters": WEATHER}},
         {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}}]


class Play(BaseModel):
    title: str = Field(max_length=60)
    year: int = Field(ge=1500, le=1700)
    kind: Literal["comedy", "tragedy", "history"]
    acts: list[Literal[1, 2, 3, 4, 5]] = Field(max_length=5)


def ask(client, messages=PLAY, **options):
    return client.chat.completions.create(model=MODEL, messages=messages, **({"max_tokens": 200} | options))


def test_parse_helper(client):
    for temperature in (0, 1.5):
        reply = client.chat.completions.parse(model=MODEL, messages=PLAY, response_format=Play, temperature=temperature,
                                              seed=4, max_tokens=300)
        play = reply.choices[0].message.parsed
        assert isinstance(play, Play) and reply.choices[0].finish_reason == "stop"


def test_any_object(client):
    for seed in range(3):
        form = {"type": "json_object"}
        reply = ask(client, response_format=form, seed=seed, temperature=1, max_tokens=400).choices[0]
        if reply.finish_reason == "stop":
            assert isinstance(json.loads(reply.message.content), dict)
        else:
            assert reply.finish_reason == "length" and reply.message.content.startswith("{")


def test_streamed(client):
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 4}
    form = {"type": "json_schema", "json_schema": {"name": "numbers", "schema": schema, "strict": True}}
    with client.chat.completions.create(model=MODEL, messages=PLAY, response_format=form, stream=True) as stream:
        chunks = [chunk.choices[0] for chunk in stream if chunk.choices]
    jsonschema.validate(json.loads("".join(c.delta.content or "" for c in chunks)), schema)
    assert chunks[-1].finish_reason == "stop"


def test_several_answers_each_keep_the_form(client):
    form = {"type": "json_schema", "json_schema": {"name": "k", "schema": {"enum": ["yes", "no", "perhaps"]}}}
    reply = ask(client, response_format=form, n=4, temperature=2)
    assert {json.loads(choice.message.content) for choice in reply.choices} <= {"yes", "no", "perhaps"}


def test_grammar(client):
    grammar = 'root ::= " "? move " " move "\\n"\nmove ::= [a-h] [1-8] [a-h] [1-8]'
    for seed in range(3):
        text = ask(client, temperature=1.5, seed=seed, extra_body={"grammar": grammar}).choices[0].message.content
        assert re.fullmatch(r" ?[a-h][1-8][a-h][1-8] [a-h][1-8][a-h][1-8]\n", text)
    words = {"grammar": 'root ::= " yes" | " no"'}
    reply = client.completions.create(model=MODEL, prompt="Is water wet?", extra_body=words)
    assert reply.choices[0].text in (" yes", " no") and reply.choices[0].finish_reason == "stop"


def test_an_honest_length_stop(client):
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "string", "minLength": 200}}}
    reply = ask(client, response_format=form, max_tokens=10).choices[0]
    assert reply.finish_reason == "length" and reply.message.content.startswith('"')


def test_required_call(client):
    for seed, choice in enumerate(["required", {"type": "function", "function": {"name": "get_weather"}}]):
        reply = ask(client, tools=TOOLS, tool_choice=choice, temperature=1.2, seed=seed, parallel_tool_calls=False,
                    messages=[{"role": "user", "content": "What is the weather in Oslo?"}]).choices[0]
        assert reply.finish_reason == "tool_calls"
        (call,) = reply.message.tool_calls
        parameters = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}[call.function.name]
        jsonschema.validate(json.loads(call.function.arguments), parameters)
        assert seed == 0 or call.function.name == "get_weather"


def test_errors_say_what_to_change(client):
    def error_of(**options):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, **options)
        return caught.value

    def schema(value):
        return {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}

    error = error_of(response_format=schema({"not": {}}))
    assert error.param == "response_format" and "'not'" in error.message
    assert "uniqueItems" in error_of(response_format=schema({"type": "array", "uniqueItems": True})).message
    assert "no text" in error_of(response_format=schema({"$ref": "#"})).message
    error = error_of(extra_body={"grammar": "root ::= ("})
    assert error.param == "grammar" and "line 1" in error.message
    many = schema({"enum": [f"value {i}" for i in range(1 << 16)]})
    assert "bytes" in error_of(response_format=many).message
    strict = [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}]
    assert "'f'" in error_of(tools=strict).message
