"""A cluster is a secret: who has it, who has it no more, and what the others see of it."""
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster import MODEL, Node, assert_all_see_all, default_model, make_cluster, require_model, wait_until
from netns import Network, ip

# Talks to a port in turn with what it is given and prints what came back, as hex.
SPEAK = """
import socket, sys
to = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=8)
got = b""
try:
    for piece in sys.argv[3:]:
        to.sendall(bytes.fromhex(piece))
        if piece != sys.argv[-1]:
            got += to.recv(65536)
    while more := to.recv(65536):
        got += more
    print("closed", got.hex())
except TimeoutError:
    print("open", got.hex())
except ConnectionError:
    print("closed", got.hex())
"""

# Passes one connection on to another host and writes down what the dialling side says.
RELAY = """
import select, socket, sys
server = socket.create_server(("", 52416))
print("ready", flush=True)
one, _ = server.accept()
two = socket.create_connection((sys.argv[1], 52416))
while True:
    for ready in select.select([one, two], [], [])[0]:
        data = ready.recv(65536)
        if not data:
            sys.exit()
        (two if ready is one else one).sendall(data)
        if ready is one:
            print(data.hex(), flush=True)
"""

# A hub at a public address that sends everybody on to a private one, and a service there that tells of visits.
LURE = """
import http.server, sys, threading
class Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", sys.argv[1])
        self.end_headers()
    do_HEAD = do_GET
class Inside(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("visited", flush=True)
        self.send_error(404)
    do_HEAD = do_GET
inside = http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Inside)
threading.Thread(target=inside.serve_forever, daemon=True).start()
hub = http.server.ThreadingHTTPServer(("203.0.113.1", 8000), Hub)
print("ready", flush=True)
hub.serve_forever()
"""


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, bytes(range(256)) * 100, b"",
    b"\x16\x03\x01\x40\x00" + b"\1" * 9,                          # half a record
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 501,  # a hello of nonsense
]


def state(nodes):
    """What a stranger must not change."""
    return [(sorted((n["name"], n["state"]) for n in node.nodes()), node.json("ps"), node.code()) for node in nodes]


def speak(network, place, address, *pieces):
    return network.check(place, sys.executable, "-c", SPEAK, address[0], address[1], *(p.hex() for p in pieces)).stdout


def test_another_secret_sees_nothing(tmp_path):
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 2)
        before = state(nodes)
        stranger = Node(network, 2, tmp_path / "stranger", "--peer", network.address(0), name="stranger").start()
        assert_all_see_all(nodes, 3)
        assert wait_until(lambda: stranger.up() != {"stranger"}, 3) is None
        assert [n["name"] for n in stranger.nodes()] == ["stranger"]
        assert [(sorted(n["name"] for n in node.nodes())) for node in nodes] == [["node0", "node1"]] * 2
        assert state(nodes)[0][1:] == before[0][1:]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A network with two nodes and a member for a stranger."""
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path_factory.mktemp("pair"), 2)
        assert_all_see_all(nodes, 3)
        yield network, nodes


@pytest.mark.parametrize("to", [0, 1])
def test_garbage_gets_nothing(pair, to):
    network, nodes = pair
    before = state(nodes)
    with ThreadPoolExecutor() as pool:
        replies = list(pool.map(lambda said: speak(network, 2, nodes[to].cluster_address(), said), GARBAGE))
    for reply in replies:
        ended, _, got = reply.partition(" ")
        assert ended == "closed" and len(bytes.fromhex(got.strip())) <= 64  # a TLS alert at most
    assert state(nodes) == before


def test_a_crowd_of_silent_strangers_does_not_keep_members_out(pair):
    network, nodes = pair
    crowd = network.start(2, sys.executable, "-c", "import socket, sys, time\n"
                          "held = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(200)]\n"
                          "print('ready', flush=True)\ntime.sleep(60)", *nodes[0].cluster_address(),
                          stdout=subprocess.PIPE, text=True)
    assert crowd.stdout.readline() == "ready\n"
    nodes[1].kill()
    nodes[1].start()
    assert_all_see_all(nodes, 5)
    crowd.kill()


def test_a_replayed_handshake_gets_nothing(tmp_path):
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 2, "--no-discovery", start=False)
        relay = network.start(2, sys.executable, "-c", RELAY, network.address(0), stdout=subprocess.PIPE, text=True)
        assert relay.stdout.readline() == "ready\n"
        nodes[0].start()
        nodes[1].start("--peer", network.address(2))
        assert wait_until(lambda: nodes[0].up() == {"node0", "node1"}, 5) is not None
        nodes[1].kill()
        relay.kill()
        said = [bytes.fromhex(line) for line in relay.stdout.read().split()]
        assert len(said) >= 2
        assert wait_until(lambda: nodes[0].up() == {"node0"}, 3) is not None
        ended, _, _ = speak(network, 2, nodes[0].cluster_address(), *said).partition(" ")
        assert ended == "closed"
        assert nodes[0].up() == {"node0"}


def test_a_new_code_shuts_out_who_was_away(tmp_path):
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3)
        assert_all_see_all(nodes, 3)
        nodes[2].kill()
        old = nodes[0].code()
        new = nodes[0].cli("code", "--new").stdout.strip()
        assert new != old and re.fullmatch(r"CARAVAN(-[0-9A-Z]{5})+", new)
        assert wait_until(lambda: nodes[1].code() == new, 3) is not None
        assert_all_see_all(nodes[:2], 3)
        nodes[2].start()
        assert wait_until(lambda: nodes[2].up() != {"node2"}, 3) is None or nodes[2].code() == new
        if nodes[2].code() != new:
            nodes[2].cli("join", new)
        assert_all_see_all(nodes, 5)
        stranger = Node(network, 2, tmp_path / "stranger", name="stranger")
        stranger.cli("join", old)
        stranger.start()
        assert wait_until(lambda: "stranger" in nodes[0].up(), 3) is None


@pytest.mark.parametrize("code", ["", "CARAVAN", "CARAVAN-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-AAAAA", "x" * 500])
def test_a_malformed_code_is_refused_at_once(pair, code):
    _, nodes = pair
    before = state(nodes)
    assert nodes[1].cli("join", code, check=False).returncode == 1
    assert state(nodes) == before


def test_the_wire_shows_nothing(tmp_path):
    """A capture of load, question and answer holds neither words nor weights."""
    require_model()
    prompt = "The quick brown caravan crosses the Takla Makan desert with seventeen camels."
    with Network(3) as network:
        nodes = make_cluster(network, tmp_path, 3, "--threads", "1")
        for node in nodes:
            node.add_model(default_model())
        capture = network.capture(tmp_path / "frames")
        assert_all_see_all(nodes, 5)
        code = nodes[0].code()
        nodes[0].cli("load", MODEL, "--nodes", 3, "--split", "pipeline")
        answers = [node.cli("run", MODEL, prompt, "--seed", 4, "--max-tokens", 60).stdout for node in nodes]
        nodes[1].cli("debug", "logits", MODEL, "--cluster", "--tokens", "1,2,3", text=False)
        network.stop_capture(capture)
    frames = (tmp_path / "frames").read_bytes()
    assert len(frames) > 60 * 3 * 576 * 4  # the hidden rows at least
    for text in [prompt, *answers]:
        words = text.split()
        for i in range(len(words) - 1):
            assert " ".join(words[i:i + 2]).encode() not in frames
    model = default_model().read_bytes()
    for offset in range(0, len(model) - 32, len(model) // 500):
        piece = model[offset:offset + 16]
        assert len(set(piece)) < 8 or piece not in frames
    assert MODEL.encode() not in frames and code.encode() not in frames


@pytest.mark.parametrize("target", ["http://127.0.0.1:8001/secret", "http://localhost:8001/secret",
                                    "http://[::ffff:7f00:1]:8001/secret", "http://0.0.0.0:8001/secret"])
def test_a_public_hub_leads_nobody_inside(tmp_path, target):
    with Network(1) as network:
        ip("-n", network.members[0], "address", "add", "203.0.113.1/32", "dev", "lo")
        lure = network.start(0, sys.executable, "-c", LURE, target, stdout=subprocess.PIPE, text=True)
        assert lure.stdout.readline() == "ready\n"
        network.check(0, sys.executable, "-c", "import urllib.request as u\ntry: u.urlopen('http://127.0.0.1:8001')\n"
                      "except u.HTTPError: pass")
        assert lure.stdout.readline() == "visited\n"  # by us, just now
        node = Node(network, 0, tmp_path).start()
        pulled = node.cli("pull", "http://203.0.113.1:8000/a.gguf", check=False)
        assert pulled.returncode != 0 and "private" in pulled.stderr, pulled.stderr
        lure.kill()
        assert lure.stdout.read() == ""
        assert list((tmp_path / "models").glob("*.gguf")) == []
