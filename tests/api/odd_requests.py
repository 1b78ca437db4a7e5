"""Requests out of the API's own description, honest and hostile: values as their schemas want them, and as nobody
should send them. A seed gives the same requests again."""
import http.client
import json
import random
import re

WORDS = ["", "a", "hello", "weather", "script", "\0", "é", "\ud800", "😀" * 3, "x" * 3000, "<|im_end|>", "{{ x }}",
         "../..", "null", "-1", "1e999", "root ::= root", "user", "assistant", "auto", "json_object"]
NUMBERS = [0, 1, -1, 2, 7, 0.5, -0.0, 1e308, -1e308, 2**31, 2**32, 2**53, 2**63 - 1, -2**63, 10**30, 1e-320]
# What changes the node for good, asks other machines, or takes its time by design.
LEFT_OUT = ("/caravan/v1/code", "/caravan/v1/join", "/caravan/v1/leave", "/caravan/v1/models/rm",
            "/caravan/v1/downloads", "/caravan/v1/bench", "/caravan/v1/logits", "/caravan/v1/load",
            "/caravan/v1/unload", "/caravan/v1/nodes", "/api/pull", "/api/delete", "/api/copy", "/page/",
            "/caravan/v1/events")


class Maker:
    def __init__(self, description, seed, model="script"):
        self.rng = random.Random(seed)
        self.schemas = description["components"]["schemas"]
        self.model = model
        self.operations = [(method.upper(), path, item[method]) for path, item in description["paths"].items()
                           for method in item if method in ("get", "post", "delete") and not path.startswith(LEFT_OUT)]

    def anything(self, depth=0):
        kind = self.rng.randrange(7 if depth < 4 else 4)
        if kind == 0:
            return self.rng.choice([None, True, False])
        if kind in (1, 2):
            return self.rng.choice(NUMBERS)
        if kind in (3, 4):
            return self.rng.choice(WORDS)
        if kind == 5:
            return [self.anything(depth + 1) for _ in range(self.rng.randrange(4))]
        return {self.rng.choice(WORDS): self.anything(depth + 1) for _ in range(self.rng.randrange(4))}

    def number(self, schema):
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        high = min(schema.get("maximum", low + 64), low + 64)
        return self.rng.randint(int(low), max(int(high), int(low))) if schema["type"] == "integer" else \
            self.rng.uniform(low, high)

    def value(self, schema, depth=0):
        """As the schema wants it, mostly."""
        if self.rng.random() < 0.06 or depth > 8:
            return self.anything(depth)
        if "$ref" in schema:
            return self.value(self.schemas[schema["$ref"].rpartition("/")[2]], depth + 1)
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self.value(self.rng.choice(schema[key]), depth + 1)
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        kind = schema.get("type")
        kind = self.rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            return self.object(schema, depth)
        if kind == "array":
            count = self.rng.randrange(schema.get("minItems", 0), 4) if schema.get("minItems", 0) < 4 else 4
            return [self.value(schema.get("items", {}), depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            return self.number(schema | {"type": kind})
        if kind == "boolean":
            return self.rng.random() < 0.5
        return self.rng.choice(WORDS) if kind == "string" else None if kind == "null" else self.anything(depth)

    def object(self, schema, depth):
        made = {}
        for name, inner in schema.get("properties", {}).items():
            if name in schema.get("required", []) or self.rng.random() < 0.3:
                known = name == "model" and self.rng.random() < 0.85
                made[name] = self.model if known else self.value(inner, depth + 1)
        if self.rng.random() < 0.1:
            made[self.rng.choice(WORDS)] = self.anything(depth + 1)
        return made

    def mangled(self, text):
        """Bytes that are no JSON any more, or other JSON than they were."""
        data = bytearray(text)
        for _ in range(self.rng.randrange(1, 4)):
            at = self.rng.randrange(len(data) + 1)
            piece = self.rng.choice([b"", b"\xff", b"}", b"[" * 90, b'"', b"\\ud800", b"NaN", b"9" * 400, b",", b"\0"])
            data[at:at + self.rng.randrange(4)] = piece
        return bytes(data)

    def described(self, request):
        """The statuses that the description knows of; None: it knows nothing of such a request."""
        for method, path, operation in self.operations:
            pattern = re.sub(r"\{\w+\}", ".*", path)
            if method == request[0] and any(re.fullmatch(pattern, of) for of in (request[1], "/v1" + request[1])):
                return operation["responses"]
        return None

    def request(self):
        """(method, path, body or None)"""
        method, path, operation = self.rng.choice(self.operations)
        for name in ("{model}", "{id}"):
            path = path.replace(name, self.rng.choice(["script", "nothing", "%00", "a%2Fb", "x" * 500]))
        if self.rng.random() < 0.03:
            method = self.rng.choice(["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
        if self.rng.random() < 0.2 and path.startswith("/v1/"):
            path = path[3:]
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or method == "GET":
            return method, path, None
        body = json.dumps(self.value(content["schema"])).encode()
        return method, path, self.mangled(body) if self.rng.random() < 0.15 else body


def send(connection, request):
    """(status, content type, body)"""
    method, path, body = request
    connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.getheader("Content-Type") or "", reply.read()


def error_of(path, text):
    """What a client would be told; fails where the dialect's shape is not kept."""
    value = json.loads(text)
    if path.startswith("/api/"):
        return value["error"] if isinstance(value["error"], str) else None
    if path.startswith(("/v1/messages", "/messages")):
        assert value["type"] == "error"
    return value["error"]["message"]


def check(request, answer, described):
    """No 5xx but a 503 that says why; no status that is not described; every error in its dialect's shape."""
    status, kind, text = answer
    assert status < 500 or status == 503, (request, answer)
    assert described is None or str(status) in described or "default" in described, (request, answer)
    if status >= 400 and request[0] != "HEAD":
        assert error_of(request[1], text), (request, answer)


def run(port, maker, count):
    """How many answers of each status."""
    seen = {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        request = maker.request()
        answer = send(connection, request)
        check(request, answer, maker.described(request))
        seen[answer[0]] = seen.get(answer[0], 0) + 1
    connection.close()
    return seen
