"""docs/protocol.md against the program: what is computed here follows the page, not the code."""
import hashlib
import hmac
import re
import socket
import struct
from pathlib import Path

import pytest

from conftest import Node

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/protocol.md").read_text()
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP, PORT = "239.255.82.67", 52416


def checksum(secret):
    return int.from_bytes(hashlib.sha256(b"CARAVAN" + secret).digest()[:3], "big") >> 2


def code_of(secret):
    bits = int.from_bytes(secret, "big") << 22 | checksum(secret)
    digits = "".join(DIGITS[bits >> 5 * (29 - i) & 31] for i in range(30))
    return "CARAVAN-" + "-".join(digits[i:i + 5] for i in range(0, 30, 5))


def secret_of(code):
    bits = 0
    for digit in code.removeprefix("CARAVAN-").replace("-", ""):
        bits = bits << 5 | DIGITS.index(digit)
    secret = (bits >> 22).to_bytes(16, "big")
    assert bits & (1 << 22) - 1 == checksum(secret)
    return secret


def derive(secret, label, length):
    prk = hmac.new(b"caravan cluster 1", secret, hashlib.sha256).digest()
    return hmac.new(prk, label + b"\1", hashlib.sha256).digest()[:length]


def table_row(name):
    return re.search(rf"^\| {name} \| `([^`]+)`", PAGE, re.M).group(1)


def test_the_example_of_the_page():
    secret = bytes(range(16))
    assert table_row("join code") == code_of(secret)
    assert int(table_row("key id"), 16) == int.from_bytes(derive(secret, b"key id", 8), "little")
    assert table_row("TLS key") == derive(secret, b"tls psk", 32).hex()
    assert table_row("beacon key") == derive(secret, b"beacon mac", 32).hex()


def test_codes_are_as_the_page_says(tmp_path):
    node = Node(tmp_path)
    node.cli("join", code_of(bytes(range(16))).lower().replace("0", "o").replace("1", "l") + "@127.0.0.1:9")
    assert node.cli("code").stdout.strip() == table_row("join code")
    node.cli("leave")
    code = node.cli("code").stdout.strip()
    assert code_of(secret_of(code)) == code


def test_every_message_is_listed():
    """The numbers of enum wire_type and of wire_store_type, counted as C counts them."""
    messages = {}
    for header, enum, prefix in (("message.h", "wire_type", "WIRE_"), ("store.h", "wire_store_type", "WIRE_STORE_")):
        source, number = (ROOT / "src/wire" / header).read_text(), -1
        body = re.sub(r"/\*.*?\*/", "", re.search(rf"enum {enum} \{{(.*?)\}};", source, re.S).group(1), flags=re.S)
        for name, value in re.findall(rf"{prefix}(\w+)(?: = (\d+))?", body):
            number = int(value) if value else number + 1
            messages[name] = number
    del messages["HELLO"]  # has a table of its own
    assert {name: int(n) for n, name in re.findall(r"^\| (\d+) \| `([A-Z_]+)`", PAGE, re.M)} == messages


WALKS = re.findall(r"^(?:static )?void (?:walk|fields)_(\w+)\(struct codec \*c, [^)]*\) \{\n(.*?)\n\}", "".join(
    (ROOT / "src/wire" / name).read_text() for name in ("fields.c", "message.c", "step.c")), re.S | re.M)
# Where the page has the fields of what is no message of its own.
PLACES = {"hello": r"Within 2 s.*?^More bytes", "facts": r"^\*\*facts\*\*.*?\n\n", "plan": r"^\*\*plan\*\*.*?\n\n",
          "readings": r"^\*\*readings\*\*.*?$", "grammar": r"^\*\*grammar\*\*.*?$", "biases": r"^\*\*biases\*\*.*?$",
          "sampling": r"^\*\*sampling\*\*.*?\n\n", "subject": r"^\*\*subject\*\*.*?$",
          "beacon": r"^A beacon is.*?^A beacon whose",
          "epoch": r"An \*\*epoch\*\*.*?\."}
NAMED_WHERE_HELD = {"message", "address", "device", "link", "stage", "member", "grammar", "biases"}


def place_of(name):
    pattern = PLACES.get(name, rf"^\| \d+ \| `{name.upper()}` .*?$")
    return re.search(pattern, PAGE, re.S | re.M).group(0)


@pytest.mark.parametrize("name, body", [walk for walk in WALKS if walk[0] not in NAMED_WHERE_HELD])
def test_fields_are_listed_in_order(name, body):
    """As the code walks them; counts go without saying."""
    place, at = place_of(name), 0
    for kind, field in re.findall(r"codec_(\w+)\(c, &?[\w>\-]*?(?:->|&)?(\w+)(?:,[^)]*)?\)", body):
        if kind in ("count", "array") or field == "reserved":
            continue
        found = re.compile(rf"\b{field}\b").search(place, at)
        assert found, f"{field} of {name} is missing, or in another order"
        at = found.end()


def listen():
    group = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
    beacons = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    beacons.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    beacons.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    beacons.bind((GROUP, PORT))
    beacons.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    beacons.settimeout(5)
    return beacons


def test_a_beacon_is_as_the_page_says(tmp_path):
    node = Node(tmp_path)
    secret = secret_of(node.cli("code").stdout.strip())
    node.flags.remove("--no-discovery")
    try:
        beacons = listen()
    except OSError as error:
        pytest.skip(f"no multicast on loopback: {error}")
    with beacons:
        node.start()
        try:
            me, = node.json("nodes")
            for _ in range(50):
                packet = beacons.recv(1024)
                mac = hmac.new(derive(secret, b"beacon mac", 32), packet[:-16], hashlib.sha256).digest()[:16]
                if packet[-16:] == mac:
                    break
            else:
                pytest.fail("no beacon with the cluster's MAC came")
        finally:
            assert node.stop() == 0
    low, high, id_, boot, key, port = struct.unpack("<HHQQQH", packet[:-16])
    version = int(re.search(r"protocol version \*\*(\d+)\*\*", PAGE)[1])
    assert low == high == version and boot != 0 and f"{id_:016x}" == me["id"]
    assert key == int.from_bytes(derive(secret, b"key id", 8), "little")
    assert str(port) == me["address"].rpartition(":")[2]
