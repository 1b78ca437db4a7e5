"""Requests that no honest client sends: each gets a clear answer, and the node goes on."""
import http.client
import json
import socket
import time

import pytest

from conftest import MODEL, Node, require_model

CHAT = "/v1/chat/completions"


def post(node, body, path=CHAT, content_type="application/json", method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
    connection.request(method, path, body=body, headers={"Content-Type": content_type})
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply, text


def assert_refused(node, body, status=400):
    reply, text = post(node, body)
    assert reply.status == status, text
    assert json.loads(text)["error"]["message"]
    assert_lives(node)


def assert_lives(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    assert node.process.poll() is None


@pytest.mark.parametrize("body", [
    b"", b"{", b"nonsense", b"[]", b"1", b'"text"', b"null", b"{}", b'{"model": 1}', b'{"model": "x"} trailing',
    b'{"model": "' + b"x" * 100000 + b'"}', b'{"messages": [' + b"{}," * 10000 + b"{}]}",
])
def test_bad_bodies(fresh, body):
    reply, text = post(fresh, body)
    assert 400 <= reply.status < 500, text
    assert json.loads(text)["error"]["message"]
    assert_lives(fresh)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"model":"m","messages":[[['])
def test_deep_nesting(fresh, opening):
    assert_refused(fresh, opening * 200000)


@pytest.mark.parametrize("bytes_", [b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"abc\xe2\x82"])
def test_invalid_utf8(fresh, bytes_):
    body = b'{"model":"%s","messages":[{"role":"user","content":"%s"}]}' % (MODEL.encode(), bytes_)
    assert_refused(fresh, body)


def test_nul_bytes(node):
    body = json.dumps({"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "a\0b"}]})
    reply, text = post(node, body)
    assert reply.status in (200, 400), text
    assert_lives(node)


def test_numbers_beyond_all_bounds(node):
    for value in ("1e999", "-1e999", "99999999999999999999999", "-9223372036854775808", "0.1"):
        body = '{"model":"%s","messages":[{"role":"user","content":"x"}],"max_tokens":%s}' % (MODEL, value)
        reply, text = post(node, body)
        assert reply.status == 400, (value, text)
    assert_lives(node)


def test_a_hundred_megabytes(fresh):
    begin = time.monotonic()
    connection = socket.create_connection(("127.0.0.1", fresh.port), timeout=30)
    size = 100 << 20
    connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
    block = b"x" * (1 << 20)
    try:
        for _ in range(100):
            connection.sendall(block)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the node has heard enough
    try:
        answer = connection.recv(4096)
    except ConnectionResetError:
        answer = b""
    connection.close()
    assert answer == b"" or b" 413 " in answer.split(b"\r\n")[0]
    assert time.monotonic() - begin < 20
    assert_lives(fresh)
    status = open(f"/proc/{fresh.process.pid}/status").read()
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib < 400 * 1024


def test_garbage_instead_of_http(fresh):
    for garbage in (b"\x00" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"A" * 200000,
                    b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
                    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"):
        connection = socket.create_connection(("127.0.0.1", fresh.port), timeout=5)
        try:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1 << 16)
        except OSError:
            pass
        connection.close()
    assert_lives(fresh)


def test_slow_clients_hold_up_nobody(fresh):
    slow = [socket.create_connection(("127.0.0.1", fresh.port), timeout=5) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    begin = time.monotonic()
    assert_lives(fresh)
    assert time.monotonic() - begin < 2
    for connection in slow:
        connection.close()
    assert_lives(fresh)


def test_wrong_methods_say_which(fresh):
    reply, _ = post(fresh, None, method="GET")
    assert reply.status == 405 and "POST" in reply.getheader("Allow")
    reply, _ = post(fresh, b"{}", path="/v1/models", method="DELETE")
    assert reply.status == 405 and "GET" in reply.getheader("Allow")


def test_every_reply_has_an_id(fresh):
    for path in ("/health", "/v1/models", "/nothing", "/caravan/v1/nodes"):
        reply, _ = post(fresh, None, path=path, method="GET")
        assert reply.getheader("x-request-id")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_any_content_type_is_json(node, content_type):
    body = json.dumps({"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
    reply, text = post(node, body, content_type=content_type)
    assert reply.status == 200, text


def test_paths_without_the_prefix(node):
    body = json.dumps({"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
    assert post(node, body, path="/chat/completions")[0].status == 200
    assert post(node, None, path="/models", method="GET")[0].status == 200


@pytest.mark.parametrize("path", ["plan", "load", "unload"])
@pytest.mark.parametrize("body", [b"{}", b'{"model": 7}', b'{"model": ""}', b'{"model": null}'])
def test_a_model_must_be_named(fresh, path, body):
    reply, text = post(fresh, body, path=f"/caravan/v1/{path}")
    assert reply.status == 400 and "'model'" in json.loads(text)["error"]["message"]


def test_names_of_nodes_may_be_any_bytes(tmp_path):
    require_model()
    node = Node(tmp_path, "--name", b"caf\xe9").start()
    try:
        me, = node.json("nodes")
        assert me["name"].startswith("caf")
    finally:
        assert node.stop() == 0
