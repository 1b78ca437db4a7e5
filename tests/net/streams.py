"""Answers as a client sees them come: what arrived when, and what it says."""
import json
import threading
import time

from cluster import MODEL


class Stream(threading.Thread):
    """A streamed chat answer of `node`; always the same one, for it is seeded."""

    def __init__(self, node, tokens=300, seed=5, question="Tell me a long story about a dog.", **more):
        super().__init__(daemon=True)
        body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "max_tokens": tokens, "seed": seed,
                "temperature": 0.8, "stream": True, "stream_options": {"include_usage": True}}
        self.connection = node.http("POST", "/v1/chat/completions", body | more)
        self.connection.settimeout(120)
        self.pieces, self.failure = [], None
        self.start()

    def run(self):
        try:
            while piece := self.connection.recv(1 << 16):
                self.pieces.append((time.monotonic(), piece))
        except OSError as error:
            self.failure = error

    def after(self, count):
        """Wait until so many pieces have come."""
        deadline = time.monotonic() + 30
        while len(self.pieces) < count and self.is_alive() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert self.is_alive(), "the answer ended before it was disturbed: " + self.raw()[-300:]
        return self

    def raw(self):
        return b"".join(piece for _, piece in self.pieces).decode(errors="replace")

    def messages(self):
        lines = (line.strip() for line in self.raw().split("\n"))
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    def error(self):
        """The text of an error that ended it; None: none did."""
        return next((m["error"]["message"] for m in self.messages() if "error" in m), None)

    def result(self, timeout=60):
        """(text, finish_reason, usage) of an answer that came to its end."""
        self.join(timeout)
        assert not self.is_alive(), f"no end after {timeout} s: {self.raw()[-300:]}"
        failure = self.failure or self.error() or (None if "[DONE]" in self.raw() else "it just ends")
        assert failure is None, f"{failure}: {self.raw()[-300:]}"
        choices = [choice for m in self.messages() for choice in m["choices"]]
        usage = {key: m["usage"][key] for m in self.messages() if m.get("usage")
                 for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        return text, next(c["finish_reason"] for c in choices if c.get("finish_reason")), usage

    def pause(self):
        """The longest time between two pieces, in seconds."""
        times = [at for at, _ in self.pieces]
        return max(after - before for before, after in zip(times, times[1:]))
