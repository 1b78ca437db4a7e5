"""`caravan doctor` on this host, and on made-up ones on which everything is wrong; what --fix asks and runs."""
import json
import os
import subprocess
import time

import pytest

from conftest import Node

NET = "sys/class/net"
CLOCK = "sys/devices/system/clocksource/clocksource0"
SICK = {
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave",
    "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]",
    f"{CLOCK}/current_clocksource": "hpet",
    f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm",
    "proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\nSwapTotal: 4194304 kB\nSwapFree: 1048576 kB",
    "proc/sys/vm/swappiness": "60",
    "proc/self/cgroup": "0::/system.slice/caravan.service",
    "sys/fs/cgroup/system.slice/caravan.service/memory.max": "2147483648",
    "sys/fs/cgroup/system.slice/caravan.service/memory.current": "0",
    "sys/fs/cgroup/system.slice/caravan.service/cpu.max": "50000 100000",
    f"{NET}/enp3s0/flags": "0x1003", f"{NET}/enp3s0/device/vendor": "0x8086", f"{NET}/enp3s0/carrier": "1",
    f"{NET}/enp3s0/speed": "100",
    f"{NET}/wlan0/flags": "0x3", f"{NET}/wlan0/device/vendor": "0x8086", f"{NET}/wlan0/carrier": "1",
    f"{NET}/wlan0/phy80211/index": "0",
    "proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask\nwlan0 00000000 0101A8C0 0003 0 0 600 0",
    "etc/ufw/ufw.conf": "ENABLED=yes",
    "etc/ufw/user.rules": "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in",
}
SYSTEM = "governor", "huge pages", "swap", "clock"  # what is mended by writing into the made-up host
FOUND = {*SYSTEM, "cpu time", "memory", "cable", "route", "firewall", "multicast"}


@pytest.fixture
def alone(tmp_path):
    return Node(tmp_path / "home")


@pytest.fixture
def sick(tmp_path):
    root = tmp_path / "sick"
    for name, text in SICK.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def findings(node, *flags):
    result = node.cli("doctor", "--json", *flags, check=False)
    return {f["subject"]: f for f in json.loads(result.stdout)}


def test_a_secret_that_others_may_read(alone):
    alone.cli("code")
    (alone.home / "secret").chmod(0o644)
    assert alone.cli("doctor", check=False).returncode == 1
    secret = findings(alone)["secret"]
    assert secret["state"] == "broken" and secret["command"] == f"chmod 600 '{alone.home}/secret'"
    assert alone.cli("code", check=False).returncode == 1
    subprocess.run(secret["command"], shell=True, check=True)
    assert alone.cli("code").stdout and findings(alone)["secret"]["state"] == "ok"


def test_this_host(alone):
    found = findings(alone)
    assert found.keys() >= FOUND | {"cpu", "home", "port", "network", "wi-fi", "secret", "open files"}
    for f in found.values():
        assert f["text"] and (f["state"] == "ok") == (not f["cure"] and not f["command"]), f


def test_all_that_is_wrong_is_found(alone, sick):
    found = findings(alone, "--root", sick)
    assert {s for s in FOUND if found[s]["state"] == "weak"} == FOUND
    assert "CPUQuota=" in found["cpu time"]["command"] and "MemoryMax=infinity" in found["memory"]["command"]
    assert "0.5 cores" in found["cpu time"]["text"] and "2.0 GiB" in found["memory"]["text"]
    assert found["cable"]["command"].endswith("ethtool -r enp3s0") and "wlan0" in found["route"]["text"]
    assert found["firewall"]["command"].endswith("ufw allow 52416")
    assert found["multicast"]["command"].endswith("ip link set dev wlan0 multicast on")
    text = alone.cli("doctor", "--root", sick).stdout
    assert "\x1b" not in text
    for subject in FOUND:
        assert found[subject]["text"] in text and f"$  {found[subject]['command']}" in text


def test_fix_asks_before_each(alone, sick):
    if os.geteuid() != 0:
        pytest.skip("not root: the commands would ask for a password")
    found = findings(alone, "--root", sick)
    asked = [f for f in found.values() if f["command"]]
    answers = "".join("y\n" if f["subject"] in SYSTEM else "n\n" for f in asked)
    result = alone.cli("doctor", "--fix", "--root", sick, stdin=answers)
    assert result.stderr.count("run it? [y/N]") == len(asked)
    for f in asked:
        assert f["command"] in result.stderr
    for core in "cpu0", "cpu1":
        assert (sick / f"sys/devices/system/cpu/{core}/cpufreq/scaling_governor").read_text() == "performance\n"
    assert (sick / "sys/kernel/mm/transparent_hugepage/enabled").read_text() == "madvise\n"
    assert (sick / f"{CLOCK}/current_clocksource").read_text() == "tsc\n"
    assert (sick / "proc/sys/vm/swappiness").read_text() == "10\n"
    after = findings(alone, "--root", sick)
    assert {s for s in FOUND if after[s]["state"] == "weak"} == FOUND - {"governor", "huge pages", "clock"}


def test_without_a_yes_nothing_runs(alone, sick):
    for stdin in "", "n\n" * 20, "\n" * 20, "maybe\n" * 20:
        result = alone.cli("doctor", "--fix", "--root", sick, stdin=stdin)
        assert "run it?" in result.stderr
    assert {name: (sick / name).read_text() for name in SICK} == {name: text + "\n" for name, text in SICK.items()}


def test_nodes_without_beacons(tmp_path):
    """Two nodes that know each other by --peer alone, as where multicast is filtered."""
    a = Node(tmp_path / "a").start()
    b = Node(tmp_path / "b")
    try:
        assert findings(a)["multicast"]["state"] == "ok"
        b.cli("join", a.cli("code").stdout.strip())
        address, = (n["address"] for n in a.json("nodes"))
        b.flags += ["--peer", f"127.0.0.1:{address.rpartition(':')[2]}"]
        b.start()
        deadline = time.monotonic() + 20
        while len(a.json("nodes")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        found = findings(a)["multicast"]
        assert found["state"] == "weak" and "1 other node is up" in found["text"] and "--peer" in found["cure"]
    finally:
        for node in a, b:
            if node.process:
                assert node.stop() == 0
