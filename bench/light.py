#!/usr/bin/env python3
"""How light a node is: start, memory, size, idle CPU, and how soon others see it come and go.

  bench/light.py [--caravan build/caravan] [--runs 5] [--idle SECONDS]

Two nodes on this host, without a model. Figures are medians but the idle CPU, which is measured over --idle seconds.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request


class Node:
    """A node of its own home, timed from fork to its ready line."""

    def __init__(self, caravan, home, *flags):
        self.caravan, self.env = caravan, os.environ | {"CARAVAN_HOME": home}
        begin = time.monotonic()
        self.process = subprocess.Popen([caravan, "serve", "--port", "0", "--cluster-port", "0", *flags], env=self.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().split()[1]
        urllib.request.urlopen(self.url + "/health").read()
        self.ready_ms = (time.monotonic() - begin) * 1000

    def cli(self, *arguments):
        command = [self.caravan, *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout

    def peers(self):
        with urllib.request.urlopen(self.url + "/caravan/v1/nodes") as reply:
            return [n for n in json.load(reply) if not n["self"] and n["state"] == "up"]

    def resident_mb(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


def wait_ms(condition, limit_s=20):
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > limit_s:
            raise SystemExit("light.py: waited too long")
        time.sleep(0.01)
    return (time.monotonic() - begin) * 1000


def stripped_mb(caravan, folder):
    path = os.path.join(folder, "stripped")
    subprocess.run(["strip", "-o", path, caravan], check=True)
    return os.path.getsize(path) / 1e6


def starts(args, folder):
    times = []
    for i in range(args.runs):
        node = Node(args.caravan, os.path.join(folder, f"start{i}"), "--no-discovery")
        times.append(node.ready_ms)
        node.stop()
    return statistics.median(times)


def company(args, folder):
    """(a new node is seen after, a killed one is gone after) in ms, and idle figures of the first node."""
    first = Node(args.caravan, os.path.join(folder, "first"))
    code = first.cli("code").strip()
    second_home = os.path.join(folder, "second")
    subprocess.run([args.caravan, "join", code], env=os.environ | {"CARAVAN_HOME": second_home}, check=True,
                   stdout=subprocess.DEVNULL)
    wait_ms(lambda: not first.peers())
    seen, gone = [], []
    for _ in range(args.runs):
        second = Node(args.caravan, second_home)
        seen.append(wait_ms(lambda: first.peers() and second.peers()))
        second.stop(signal.SIGKILL)
        gone.append(wait_ms(lambda: not first.peers()))
    before = first.cpu_seconds()
    time.sleep(args.idle)
    idle = (first.cpu_seconds() - before) / args.idle * 100
    resident = first.resident_mb()
    first.stop()
    return statistics.median(seen), statistics.median(gone), idle, resident


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caravan", default="build/caravan")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle", type=float, default=60)
    args = parser.parse_args()
    args.caravan = os.path.abspath(args.caravan)
    with tempfile.TemporaryDirectory() as folder:
        size, ready = stripped_mb(args.caravan, folder), starts(args, folder)
        seen, gone, idle, resident = company(args, folder)
    print("| figure | measured | aim |\n| --- | --- | --- |")
    print(f"| API ready after start | {ready:.0f} ms | 100 ms |")
    print(f"| idle node, resident | {resident:.1f} MB | 30 MB |")
    print(f"| stripped program | {size:.2f} MB | 5 MB |")
    print(f"| a new node is seen after | {seen:.0f} ms | 2000 ms |")
    print(f"| a killed node is gone after | {gone:.0f} ms | 3000 ms |")
    print(f"| idle CPU over {args.idle:.0f} s | {idle:.2f} % of a core | 0.5 % |")


if __name__ == "__main__":
    main()
