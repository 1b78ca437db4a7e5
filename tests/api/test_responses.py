"""Responses, OpenAI's newer form, as the official client sees them."""
import openai
import pytest

from conftest import MODEL


def ask(client, text="What is the opposite of hot?", **options):
    return client.responses.create(model=MODEL, input=text, **{"temperature": 0, "max_output_tokens": 24} | options)


def test_a_response(client):
    reply = ask(client)
    assert reply.object == "response" and reply.id.startswith("resp_")
    assert "cold" in reply.output_text.lower()
    assert reply.output[0].type == "message" and reply.output[0].content[0].type == "output_text"
    assert reply.status in ("completed", "incomplete")
    assert reply.usage.total_tokens == reply.usage.input_tokens + reply.usage.output_tokens > 0


def test_the_events_of_a_stream_in_order(client):
    events = list(ask(client, stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    kinds = [e.type.removeprefix("response.") for e in events]
    deltas = kinds.count("output_text.delta")
    assert deltas > 1
    assert kinds[:-1] == ["created", "in_progress", "output_item.added", "content_part.added",
                          *["output_text.delta"] * deltas, "output_text.done", "content_part.done", "output_item.done"]
    assert kinds[-1] in ("completed", "incomplete")
    whole = ask(client)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    assert events[0].response.status == "in_progress" and events[0].response.id == events[-1].response.id


def test_a_response_goes_on(client):
    first = ask(client, "Remember the number 7.", instructions="You are terse.")
    second = ask(client, "Which number?", previous_response_id=first.id)
    alone = ask(client, "Which number?")
    assert second.usage.input_tokens > alone.usage.input_tokens + 5
    assert second.previous_response_id == first.id
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "Which number?", previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"
    unkept = ask(client, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_items_of_all_kinds(client):
    items = [{"role": "developer", "content": "Be terse."},
             {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Weather in Paris?"}]},
             {"type": "reasoning", "id": "rs_1", "summary": []},
             {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{\"city\": \"Paris\"}"},
             {"type": "function_call_output", "call_id": "c1", "output": "sunny"}]
    parameters = {"type": "object", "properties": {}}
    tools = [{"type": "function", "name": "weather", "parameters": parameters, "strict": False}, {"type": "web_search"}]
    reply = ask(client, items, tools=tools)
    assert reply.output and reply.usage.input_tokens > 40


def test_what_clients_warm_up_with(client):
    assert ask(client, "", max_output_tokens=1).usage.output_tokens <= 1


@pytest.mark.parametrize("field, value", [
    ("input", []), ("input", [{"type": "computer_call"}]), ("max_output_tokens", 0), ("background", True),
    ("temperature", "hot"), ("tools", 5), ("tool_choice", "required"), ("previous_response_id", 7),
])
def test_errors_name_the_field(client, field, value):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, extra_body={field: value})
    assert caught.value.param.startswith(field) and field in caught.value.message
