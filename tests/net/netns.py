"""Networks for tests: K network namespaces joined by a bridge, all of it in namespaces of their own.

The host's network is not touched: the bridge lies in a namespace too. Each member has lo, and eth0 with
10.77.0.N/24 and a
link-local IPv6 address. Names carry the process id, so that runs side by side do not meet, and what a killed run left
behind is swept by the next one.
"""
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PREFIX = "caravan-test-"


def missing():
    """Why namespaces cannot be made here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need ip (iproute2)"
    name = f"{PREFIX}{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"ip netns add: {tried.stderr.strip()}"
    bridge = subprocess.run(["ip", "-n", name, "link", "add", "bridge0", "type", "bridge"], capture_output=True,
                            text=True)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return f"no bridges here: {bridge.stderr.strip()}" if bridge.returncode != 0 else None


def ip(*arguments):
    subprocess.run(["ip", *map(str, arguments)], check=True, capture_output=True, text=True)


def remove(name):
    """End what still runs in a namespace of ours, then the namespace itself."""
    pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
    for pid in pids:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def sweep():
    """Remove the namespaces of test runs that are no more."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for name, pid in re.findall(rf"^({PREFIX}(\d+)-\w+)", listed, re.M):
        if not Path(f"/proc/{pid}").exists():
            remove(name)


CAPTURE = """
import signal, socket, sys, time
tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
tap.setsockopt(socket.SOL_SOCKET, 33, 256 << 20)  # SO_RCVBUFFORCE
tap.settimeout(0.1)
end = [float("inf")]
signal.signal(signal.SIGINT, lambda *_: end.append(time.monotonic() + 0.3))
print("ready", flush=True)
with open(sys.argv[1], "wb") as out:
    while time.monotonic() < end[-1]:
        try:
            out.write(tap.recv(1 << 17))
        except TimeoutError:
            pass
"""


class Network:
    """`count` members, numbered from 0; use as a context manager."""
    made = 0

    def __init__(self, count, ipv4=True, ipv6=True):
        sweep()
        Network.made += 1
        self.prefix = f"{PREFIX}{os.getpid()}-{Network.made}"
        self.bridge = self.prefix + "b"
        self.members = [f"{self.prefix}m{i}" for i in range(count)]
        self.running = []
        atexit.register(self.close)
        try:
            self._build(ipv4, ipv6)
        except Exception:
            self.close()
            raise

    def _build(self, ipv4, ipv6):
        ip("netns", "add", self.bridge)
        # Without snooping the bridge floods multicast, like a plain switch.
        ip("-n", self.bridge, "link", "add", "bridge0", "type", "bridge", "mcast_snooping", 0)
        ip("-n", self.bridge, "link", "set", "bridge0", "up")
        for i, member in enumerate(self.members):
            ip("netns", "add", member)
            if not ipv6:
                self.check(i, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                           "net.ipv6.conf.default.disable_ipv6=1")
            ip("-n", member, "link", "set", "lo", "up")
            ip("-n", member, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{i}", "netns", self.bridge)
            ip("-n", self.bridge, "link", "set", f"port{i}", "master", "bridge0", "up")
            if ipv4:
                ip("-n", member, "address", "add", f"{self.address(i)}/24", "dev", "eth0")
            ip("-n", member, "link", "set", "eth0", "up")
        if ipv6:
            self._wait_for_ipv6()

    def _wait_for_ipv6(self):
        """A link-local address is tentative for about a second."""
        deadline = time.monotonic() + 5
        for member in self.members:
            while time.monotonic() < deadline:
                shown = subprocess.run(["ip", "-n", member, "-6", "address", "show", "dev", "eth0"],
                                       capture_output=True, text=True).stdout
                if "fe80" in shown and "tentative" not in shown:
                    break
                time.sleep(0.05)

    def address(self, i):
        return f"10.77.0.{i + 1}"

    def command(self, i, *arguments):
        """A command line that runs in member i."""
        return ["ip", "netns", "exec", self.members[i], *map(str, arguments)]

    def check(self, i, *arguments, **options):
        return subprocess.run(self.command(i, *arguments), check=True, capture_output=True, text=True, **options)

    def start(self, i, *arguments, **options):
        """A process in member i; it is ended with the network at the latest."""
        process = subprocess.Popen(self.command(i, *arguments), **options)
        self.running.append(process)
        return process

    def cut(self, i):
        """Pull the cable of member i."""
        ip("-n", self.bridge, "link", "set", f"port{i}", "down")

    def mend(self, i):
        ip("-n", self.bridge, "link", "set", f"port{i}", "up")

    def mute(self, i):
        """Member i hears the others, but nothing that it sends leaves it."""
        limits = ["rate", "8bit", "burst", "10", "limit", "1"]
        self.check(i, "tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", *limits)

    def unmute(self, i):
        self.check(i, "tc", "qdisc", "del", "dev", "eth0", "root")

    def capture(self, path):
        """Every frame that crosses the bridge, one behind the other into a file; end it with stop_capture."""
        command = ["ip", "netns", "exec", self.bridge, sys.executable, "-c", CAPTURE, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    @staticmethod
    def stop_capture(process):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)

    def close(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.running = []
        for name in [*self.members, self.bridge]:
            remove(name)
        atexit.unregister(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
