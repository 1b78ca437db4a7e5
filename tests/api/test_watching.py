"""What can be watched of a node: events and metrics."""
import http.client
import json
import re

import pytest

from conftest import MODEL, Node, require_model


@pytest.fixture
def node(tmp_path):
    require_model()
    node = Node(tmp_path).start()
    yield node
    assert node.stop() == 0


def get(node, path):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", path)
    return connection, connection.getresponse()


def next_event(stream):
    """(name, value) of the next event that is no comment."""
    name = None
    while True:
        line = stream.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            return name, json.loads(line[6:])[name]


def test_events_tell_what_is_and_what_changes(node):
    connection, stream = get(node, "/caravan/v1/events")
    assert stream.getheader("Content-Type").startswith("text/event-stream")
    first = dict([next_event(stream), next_event(stream)])
    assert first["nodes"][0]["self"] is True and first["instances"] == []
    node.cli("load", MODEL, "--context", "256")
    states = []
    while "ready" not in states:
        name, value = next_event(stream)
        states += [instance["state"] for instance in value] if name == "instances" else []
    node.cli("stop", MODEL)
    while True:
        name, value = next_event(stream)
        if name == "instances" and value == []:
            break
    connection.close()


def metrics(node):
    connection, reply = get(node, "/metrics")
    assert reply.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    text = reply.read().decode()
    connection.close()
    return {m[1]: float(m[2]) for m in re.finditer(r"^(caravan:[^ ]+) (\S+)$", text, re.M)}


def test_metrics_count_requests(node):
    node.cli("load", MODEL, "--context", "256")
    reply = node.client().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi."}],
                                                  temperature=0, max_tokens=4)
    found, of = metrics(node), f'{{model_name="{MODEL}"'
    assert found["caravan:nodes"] == 1
    assert found[f"caravan:prompt_tokens_total{of}}}"] == reply.usage.prompt_tokens
    assert found[f"caravan:generation_tokens_total{of}}}"] == reply.usage.completion_tokens
    assert found[f'caravan:request_success_total{of},finished_reason="{reply.choices[0].finish_reason}"}}'] == 1
    assert found[f"caravan:num_requests_running{of}}}"] == found[f"caravan:num_requests_waiting{of}}}"] == 0
    assert found[f"caravan:time_to_first_token_seconds_count{of}}}"] == 1
