"""The test network itself: what the other tests take for granted."""
import subprocess
import sys

import pytest
from netns import PREFIX, Network

RECEIVE = """
import socket, struct, sys
family = socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.settimeout(5)
index = socket.if_nametoindex("eth0")
s.bind(("", 4000))
if family == socket.AF_INET6:
    group = socket.inet_pton(family, "ff02::4242") + struct.pack("@I", index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
else:
    group = struct.pack("4s4si", socket.inet_aton("239.1.2.3"), bytes(4), index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready", flush=True)
print(s.recv(100).decode())
"""
SEND = """
import socket, struct, sys
family = socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
index = socket.if_nametoindex("eth0")
if family == socket.AF_INET6:
    s.sendto(b"hello caravan", ("ff02::4242", 4000, 0, index))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), index))
    s.sendto(b"hello caravan", ("239.1.2.3", 4000))
"""


@pytest.mark.parametrize("family", ["4", "6"])
def test_multicast_crosses_the_bridge(family, tmp_path):
    with Network(2) as network:
        capture = network.capture(tmp_path / "frames")
        receiver = network.start(1, sys.executable, "-c", RECEIVE, family, stdout=subprocess.PIPE, text=True)
        assert receiver.stdout.readline() == "ready\n"
        network.check(0, sys.executable, "-c", SEND, family)
        assert receiver.stdout.readline() == "hello caravan\n"
        network.stop_capture(capture)
        assert b"hello caravan" in (tmp_path / "frames").read_bytes()


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 4000), timeout=float(sys.argv[2]))"
SERVE = """
import socket
s = socket.create_server(("", 4000))
print("ready", flush=True)
while True:
    s.accept()[0].close()
"""


def test_a_cut_cable_cuts():
    with Network(2) as network:
        server = network.start(1, sys.executable, "-c", SERVE, stdout=subprocess.PIPE, text=True)
        assert server.stdout.readline() == "ready\n"
        connect = [sys.executable, "-c", CONNECT, network.address(1)]
        network.check(0, *connect, 5)
        network.cut(1)
        assert subprocess.run(network.command(0, *connect, 0.5), capture_output=True).returncode != 0
        network.mend(1)
        network.check(0, *connect, 5)


def test_nothing_is_left_behind():
    with Network(1) as network:
        process = network.start(0, "sleep", "100")
    assert process.poll() is not None
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert network.prefix + "m" not in listed and network.bridge not in listed
    assert PREFIX in network.prefix
