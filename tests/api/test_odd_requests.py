"""Some hundred requests out of the description, honest and hostile; bench/hostile.py sends more."""
import http.client
import json

import pytest

import odd_requests


@pytest.fixture(scope="module")
def description(reciter):
    connection = http.client.HTTPConnection("127.0.0.1", reciter.port, timeout=20)
    connection.request("GET", "/openapi.json")
    return json.loads(connection.getresponse().read())


@pytest.mark.parametrize("seed", range(4))
def test_odd_requests(reciter, description, seed):
    seen = odd_requests.run(reciter.port, odd_requests.Maker(description, seed), 150)
    assert seen[200] > 10 and seen[400] > 10
    assert reciter.process.poll() is None
