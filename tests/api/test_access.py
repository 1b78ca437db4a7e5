"""Who may use the API: keys, addresses, hosts and origins."""
import http.client
import json
import socket
import subprocess

import openai
import pytest

from conftest import CARAVAN, MODEL, Node, require_model


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A node that wants a key also on loopback."""
    require_model()
    node = Node(tmp_path_factory.mktemp("home"), "--require-key")
    node.key = node.cli("key", "add", "test").stdout.strip()
    node.start()
    yield node
    assert node.stop() == 0


def get(node, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


def test_no_key_no_answer(guarded):
    with pytest.raises(openai.AuthenticationError):
        guarded.client("wrong").models.list()
    assert get(guarded, "/v1/models")[0].status == 401
    assert get(guarded, "/caravan/v1/nodes")[0].status == 401
    assert get(guarded, "/health")[0].status == 200


def test_a_key_opens(guarded):
    assert MODEL in [m.id for m in guarded.client(guarded.key).models.list()]
    assert get(guarded, "/v1/models", **{"x-api-key": guarded.key})[0].status == 200
    assert get(guarded, "/v1/models", Authorization=f"Bearer {guarded.key[:-1]}")[0].status == 401


def test_the_socket_needs_no_key(guarded):
    assert guarded.json("nodes")[0]["self"] is True


def test_a_key_can_be_withdrawn_while_the_node_runs(guarded):
    key = guarded.cli("key", "add", "short-lived").stdout.strip()
    assert get(guarded, "/v1/models", **{"x-api-key": key})[0].status == 200
    guarded.cli("key", "rm", "short-lived")
    assert get(guarded, "/v1/models", **{"x-api-key": key})[0].status == 401


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1.evil.example"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost.evil.example"},
])
def test_foreign_hosts_and_origins_are_refused(fresh, headers):
    reply, _ = get(fresh, "/v1/models", **headers)
    assert reply.status in (403, 421)


def test_own_hosts_and_origins_are_welcome(fresh):
    for host in ("localhost", f"localhost:{fresh.port}", f"127.0.0.1:{fresh.port}"):
        assert get(fresh, "/v1/models", Host=host)[0].status == 200
    own = f"localhost:{fresh.port}"
    assert get(fresh, "/v1/models", Host=own, Origin=f"http://{own}")[0].status == 200


def test_a_wide_bind_without_a_key_is_refused(tmp_path):
    node = Node(tmp_path)
    result = node.cli("serve", "--host", "0.0.0.0", "--port", "0", "--no-discovery", check=False, timeout=20)
    assert result.returncode == 1 and result.stdout == ""
    assert "key" in result.stderr


def test_a_taken_port_is_an_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = Node(tmp_path).cli("serve", "--port", port, "--no-discovery", check=False, timeout=20)
    assert result.returncode == 1
    assert str(port) in result.stderr


def test_one_node_per_home(fresh):
    result = fresh.cli("serve", "--port", "0", "--no-discovery", check=False, timeout=20)
    assert result.returncode == 1
    assert "another node" in result.stderr


def test_the_socket_is_private(fresh):
    assert (fresh.home / "run/socket").stat().st_mode & 0o777 == 0o600


def test_keys_are_kept_as_hashes(guarded):
    assert guarded.key not in (guarded.home / "keys").read_text()
    assert {"name": "test"}.items() <= guarded.json("key", "list")[0].items()


def test_usage_errors_exit_2():
    for arguments in (["no-such-verb"], ["serve", "--port", "99999999"], ["plan"], ["run", "--wat", "x"],
                      ["run", "m", "x", "--temperature", "3"], ["run", "m", "--raw"]):
        result = subprocess.run([CARAVAN, *arguments], capture_output=True, text=True, timeout=20)
        assert result.returncode == 2 and result.stdout == "" and result.stderr


def test_errors_are_json(fresh):
    reply, body = get(fresh, "/v1/nothing-here")
    assert reply.status == 404 and "message" in json.loads(body)["error"]
