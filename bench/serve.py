#!/usr/bin/env python3
"""The API under load, beside llama-server with as many slots, by one load program for both.

  bench/serve.py [MODEL.gguf] [--runs 3] [--threads 2] [--generate 128] [--llama-bin FOLDER]
                 [--only chats,crowd,pace,first]

chats: 8 at a time, beside `caravan bench --batch 8` and the peer. crowd: 64 streams and 1,000 idle connections. pace:
a running answer while another's 4096-token prompt is read. first: time to the first token beside the prefill that it
takes, and what the node spends on a token outside its compute threads. Runs alternate; printed are medians and
spreads. Needs the tests' Python (.venv/bin/python).
"""
import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/api"))
from conftest import CARAVAN, default_model  # noqa: E402

LOAD = ROOT / "build/bench/serve_load"
TICK = os.sysconf("SC_CLK_TCK")
median = statistics.median
WORDS = "the caravan crossed a wide desert of salt and stone while old stars turned above its tired men".split()


def text(count, seed):
    return " ".join(WORDS[(i * 7 + seed * 3 + i * i * (seed + 1)) % len(WORDS)] for i in range(count))


def body(words, tokens, seed, model="m"):
    """Both servers go on to the last token: the model's ends are as good as forbidden."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": f"{seed} {text(words, seed)}"}],
                       "max_tokens": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
                       "logit_bias": {"0": -100, "2": -100}})


class Server:
    def __init__(self, command, env=None):
        self.process = subprocess.Popen(list(map(str, command)), env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def load(self, folder, streams, requests, words, tokens, idle=0, seed=0):
        path = Path(folder) / "bodies.jsonl"
        path.write_text("".join(body(words, tokens, seed + i, self.model) + "\n" for i in range(requests)))
        command = [LOAD, "127.0.0.1", self.port, path, streams, requests, idle]
        return json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Caravan(Server):
    name = "caravan"

    def __init__(self, home, path, threads, context=8192):
        self.model = Path(path).stem
        env = os.environ | {"CARAVAN_HOME": str(home), "CARAVAN_MODELS": str(Path(path).parent)}
        super().__init__([CARAVAN, "serve", "--port", "0", "--cluster-port", "0", "--no-discovery", "--threads",
                          threads], env)
        self.port = int(re.search(r":(\d+)\n", self.process.stdout.readline()).group(1))
        time.sleep(3)  # it measures the machine
        subprocess.run([CARAVAN, "load", self.model, "--context", str(context)], env=env, check=True)

    def other_cpu_s(self):
        """CPU time of all threads that do not compute."""
        seconds = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            name, _, rest = (task / "stat").read_text().partition(")")
            fields = rest.split()
            if not re.search(r"\((worker|compute|pool)", name):
                seconds += (int(fields[11]) + int(fields[12])) / TICK
        return seconds


class Llama(Server):
    name = "llama-server"
    model = "m"

    def __init__(self, folder, path, threads, slots, context=8192):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        super().__init__([Path(folder) / "llama-server", "-m", path, "-t", threads, "-tb", threads, "-np", slots, "-c",
                          context * slots, "--port", self.port, "--host", "127.0.0.1", "--no-webui"])
        for _ in range(200):
            time.sleep(0.1)
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
        raise RuntimeError("llama-server does not start")


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")
    sys.stdout.flush()


def head(*cells):
    print()
    row(*cells)
    row(*("---" for _ in cells))


def spread(values, form="{:.0f}"):
    return f"{form.format(median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def chats(servers, folder, args):
    """Eight at a time, sixteen in all: short questions, answers of --generate tokens. `bench` tells what its answers
    alone take; with_prompts is what the same number of prompts leaves of that."""
    rates, rows, prompt = {"bench": [], "with_prompts": []}, {s.name: [] for s in servers}, 64
    for run in range(args.runs):
        command = [CARAVAN, "bench", args.model, "--threads", args.threads, "--prompt", prompt, "--generate",
                   args.generate, "--batch", 8, "--repeat", 1, "--json"]
        bench = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)
        decode, prefill = (bench[f"{part}_tokens_per_s"]["median"] for part in ("decode", "prefill"))
        rates["bench"].append(decode)
        rates["with_prompts"].append(1 / (1 / decode + prompt / args.generate / prefill))
        for server in servers:
            rows[server.name].append(server.load(folder, 8, 16, 40, args.generate, seed=1000 * run))
    head("8 chats", "tokens/s", "to `bench --batch 8`", "whole p99 ms", "gap median / p99 ms", "first median ms")

    def share(speed):
        return f"{median(s / b for s, b in zip(speed, rates['bench'])):.2f}"

    row("`bench --batch 8`", spread(rates["bench"]), "1.00", "", "", "")
    row("the same and its prompts", spread(rates["with_prompts"]), share(rates["with_prompts"]), "", "", "")
    for name, runs in rows.items():
        speed = [r["pieces_per_s"] for r in runs]
        row(name, spread(speed), share(speed),
            spread([r["whole_ms"]["p99"] for r in runs]),
            f"{median(r['gap_ms']['median'] for r in runs):.2f} / {median(r['gap_ms']['p99'] for r in runs):.2f}",
            spread([r["first_ms"]["median"] for r in runs]))


def crowd(server, folder, args):
    head("64 streams, 1,000 idle", "tokens/s", "gap median ms", "gap p99 ms", "p99 / median", "first max ms", "failed")
    for run in range(args.runs):
        r = server.load(folder, 64, 64, 30, 100, idle=1000, seed=5000 + 100 * run)
        gap = r["gap_ms"]
        row(f"run {run + 1}", f"{r['pieces_per_s']:.0f}", f"{gap['median']:.2f}", f"{gap['p99']:.2f}",
            f"{gap['p99'] / gap['median']:.2f}", f"{r['first_ms']['max']:.0f}", r["failed"])


def stream_times(port, request, times):
    """The moments at which pieces of an answer come."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/v1/chat/completions", request)
    reply = connection.getresponse()
    while line := reply.readline():
        if b'"content":"' in line and b'"content":""' not in line:
            times.append(time.monotonic())
    connection.close()


def pace(server, args):
    """Gaps of a running answer while nothing else goes on, and while the other's prompt is read."""
    head("pace", "alone median ms", "beside median ms", "ratio", "beside p95 ms", "ratio", "4096 tokens read in s")
    for run in range(args.runs):
        times, other = [], []
        answer = threading.Thread(target=stream_times, args=(server.port, body(20, 2500, run, server.model), times))
        answer.start()
        while len(times) < 300:
            time.sleep(0.01)
        begin = time.monotonic()
        stream_times(server.port, body(3650, 1, 70 + run, server.model), other)
        end = other[0]
        after = len(times)
        while len(times) < after + 300 and answer.is_alive():
            time.sleep(0.01)
        gaps = [(a, (b - a) * 1e3) for a, b in zip(times, times[1:])]
        alone = median([g for at, g in gaps if at < begin - 0.01][-250:] + [g for at, g in gaps if at > end][5:])
        beside = sorted(g for at, g in gaps if begin < at < end)
        p95 = beside[int(len(beside) * 0.95)]
        row(f"run {run + 1}", f"{alone:.2f}", f"{median(beside):.2f}", f"{median(beside) / alone:.2f}", f"{p95:.2f}",
            f"{p95 / alone:.2f}", f"{end - begin:.2f}")
        answer.join()


def first(server, folder, args):
    head("first token", "prompt tokens", "prefill ms (its own clock)", "first token ms", "difference ms")
    for words in (30, 450, 1800):
        own, seen, tokens = [], [], 0
        for run in range(5 * args.runs):
            request = json.loads(body(words, 2, 300 + run + words, server.model)) | {"stream": False}
            connection = http.client.HTTPConnection("127.0.0.1", server.port)
            connection.request("GET", "/health")
            connection.getresponse().read()
            begin = time.monotonic()
            connection.request("POST", "/caravan/v1/generate", json.dumps(
                {k: request[k] for k in ("model", "messages")} | {"max_tokens": 1, "temperature": 0}))
            reply = connection.getresponse()
            line = reply.readline()
            seen.append((time.monotonic() - begin) * 1e3)
            lines = (line + reply.read()).decode().splitlines()
            events = [line[6:] for line in lines if line.startswith("data: ")]
            last = json.loads(events[-1])
            own.append(last["first_token_s"] * 1e3)
            tokens = last["prompt_tokens"]
        row("", tokens, f"{median(own):.2f}", f"{median(seen):.2f}", f"{median(s - o for s, o in zip(seen, own)):.2f}")
    before = server.other_cpu_s()
    r = server.load(folder, 1, 4, 30, 1000, seed=9000)
    spent = server.other_cpu_s() - before
    head("one stream", "tokens/s", "us a token", "CPU outside of computing, us a token", "part of a core's decode time")
    row("", f"{r['pieces_per_s']:.0f}", f"{1e6 / r['pieces_per_s']:.0f}", f"{spent / r['pieces'] * 1e6:.1f}",
        f"{spent / r['seconds'] * 100:.2f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(default_model()))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--llama-bin", default=os.environ.get("LLAMA_BIN"))
    parser.add_argument("--only", default="chats,crowd,pace,first")
    args = parser.parse_args()
    subprocess.run([ROOT / "tools/build", "release", "bench/serve_load"], check=True, stdout=subprocess.DEVNULL)
    wanted = args.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        servers = [Caravan(Path(folder) / "home", args.model, args.threads)]
        if args.llama_bin and "chats" in wanted:
            servers.append(Llama(args.llama_bin, args.model, args.threads, 8))
        if "chats" in wanted:
            chats(servers, folder, args)
        for server in servers[1:]:
            server.stop()
        if "crowd" in wanted:
            crowd(servers[0], folder, args)
        if "pace" in wanted:
            pace(servers[0], args)
        if "first" in wanted:
            first(servers[0], folder, args)
        servers[0].stop()


if __name__ == "__main__":
    main()
