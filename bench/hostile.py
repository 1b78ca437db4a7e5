#!/usr/bin/env python3
"""Thousands of odd requests against a real node: no 5xx but a 503 with its reason, no crash, no leak.
usage: hostile.py [REQUESTS] [SEED]; prints the answers by status, and the growth of resident memory after a warm-up."""
import http.client
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/api"))
import odd_requests  # noqa: E402
import script_model  # noqa: E402
from conftest import Node  # noqa: E402

WARM_UP = 1000


def ask_once(node):
    """So that the model is loaded whenever memory is looked at: odd requests may have sent it away."""
    body = {"model": "script", "messages": [{"role": "user", "content": "hello"}]}
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    connection.request("POST", "/v1/chat/completions", body=json.dumps(body))
    assert connection.getresponse().status == 200


def resident_kib(node):
    ask_once(node)
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def describe(node):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", "/openapi.json")
    return json.loads(connection.getresponse().read())


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "models").mkdir()
        script_model.hermes(Path(home) / "models" / "script.gguf")
        node = Node(home).start()
        try:
            maker = odd_requests.Maker(describe(node), seed)
            odd_requests.run(node.port, maker, WARM_UP)
            before, begin = resident_kib(node), time.monotonic()
            seen = odd_requests.run(node.port, maker, count)
            after, seconds = resident_kib(node), time.monotonic() - begin
        finally:
            status = node.stop()
    print(f"{count} requests in {seconds:.0f} s by status {dict(sorted(seen.items()))}")
    print(f"resident memory {before} -> {after} KiB ({(after - before) / before:+.1%}), exit status {status}")
    return 0 if status == 0 and (after - before <= 4096 or after <= before * 1.02) else 1


if __name__ == "__main__":
    sys.exit(main())
