"""A hub of models for tests: speaks the public hub's API on loopback, counts what it serves, and fails on demand.

    GET /api/models/ORG/REPO[?blobs=true]                  {"siblings": [...]}
    GET /api/models/ORG/REPO/tree/REVISION?recursive=true  [{"type", "path", "size", "oid", "lfs"}], in pages (Link)
    GET /ORG/REPO/resolve/REVISION/FILE                    302 to the CDN (another port), with X-Linked-Etag and -Size
    GET CDN/FILE-ID                                        the bytes; ranges, ETag

As a program: `hub.py FOLDER [--rate BYTES/S] [--port N]` serves FOLDER/ORG/REPO/files and prints its address.
"""
import argparse
import hashlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PIECE = 256 * 1024


class Fault:
    """What goes wrong with one answer of the CDN: a status, or after some bytes a cut, a stall, another byte."""

    def __init__(self, kind, after=0, status=500, retry_after=None):
        self.kind, self.after, self.status, self.retry_after = kind, after, status, retry_after


class File:
    def __init__(self, data):
        self.path = data if isinstance(data, Path) else None
        self.data = None if self.path else data
        self.size = self.path.stat().st_size if self.path else len(data)
        self.sha256 = self._hash()
        self.lie = None  # another hash that the hub tells
        self.lie_size = None  # and another size, which need be no number
        self.lfs = True

    def _hash(self):
        if self.path is None:
            return hashlib.sha256(self.data).hexdigest()
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def read(self, offset, size):
        if self.path is None:
            return self.data[offset:offset + size]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)

    @property
    def told(self):
        return self.lie or self.sha256

    @property
    def told_size(self):
        return self.size if self.lie_size is None else self.lie_size


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub, handler, host):
        self.hub = hub
        super().__init__((host, 0), handler)

    def handle_error(self, request, address):
        pass  # clients go away in the middle: that is what tests are for


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", len(body))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def note(self):
        hub = self.server.hub
        with hub.lock:
            hub.requests.append((self.path, dict(self.headers)))


class HubHandler(Handler):
    def do_GET(self):
        self.note()
        hub, parts = self.server.hub, urlsplit(self.path)
        with hub.lock:
            fault = hub.hub_faults.pop(0) if hub.hub_faults else None
        if fault:
            headers = {"Retry_After": str(fault.retry_after)} if fault.retry_after is not None else {}
            return self.reply(fault.status, b"not now", **headers)
        match = (re.fullmatch(r"/api/models/([^/]+/[^/]+)(/tree/([^/]+))?", parts.path)
                 or re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", parts.path))
        if not match or match[1] not in hub.repos:
            return self.reply(404, b'{"error":"Repository not found"}')
        token = hub.gated.get(match[1])
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return self.reply(401 if not self.headers.get("Authorization") else 403, b'{"error":"gated"}')
        if parts.path.startswith("/api/"):
            return self.list(match[1], bool(match[2]), parse_qs(parts.query))
        return self.resolve(match[1], unquote(match[3]))

    do_HEAD = do_GET

    def list(self, repo, tree, query):
        hub, entries = self.server.hub, []
        if tree and not hub.tree:
            return self.reply(404, b"{}")
        for path, file in sorted(hub.repos[repo].items()):
            size = file.told_size
            lfs = {"oid": file.told, "sha256": file.told, "size": size, "pointerSize": 134} if file.lfs else None
            entry = {"type": "file", "oid": "0" * 40, "size": size, "path": path} if tree else {"rfilename": path}
            if lfs and (tree or "blobs" in query):
                entry |= {"lfs": lfs, "size": size}
            entries.append(entry)
        if not tree:
            return self.reply(200, json.dumps({"id": repo, "sha": "0" * 40, "siblings": entries}).encode())
        begin = int(query.get("cursor", ["0"])[0])
        page, headers = entries[begin:begin + hub.page], {}
        if begin + hub.page < len(entries):
            address = (hub.next_url or hub.url) + urlsplit(self.path).path
            headers["Link"] = f'<{address}?cursor={begin + hub.page}>; rel="next"'
        return self.reply(200, json.dumps(page).encode(), **headers)

    def resolve(self, repo, path):
        hub = self.server.hub
        file = hub.repos[repo].get(path)
        if file is None:
            return self.reply(404, b"Entry not found")
        if hub.redirect:
            return self.reply(302, Location=hub.redirect)
        if not file.lfs:
            return self.reply(200, file.read(0, file.size), ETag='"abc"')
        with hub.lock:
            hub.links[file.sha256] = file
        return self.reply(302, Location=f"{hub.cdn_url}/{file.sha256}?sig=1", X_Linked_Etag=f'"{file.told}"',
                          X_Linked_Size=str(file.told_size), X_Repo_Commit="0" * 40)


class CdnHandler(Handler):
    def do_GET(self):
        self.note()
        hub = self.server.hub
        file = hub.links.get(urlsplit(self.path).path[1:])
        if file is None:
            return self.reply(404)
        with hub.lock:
            fault = hub.faults.pop(0) if hub.faults else None
        if fault and fault.kind == "status":
            headers = {"Retry_After": str(fault.retry_after)} if fault.retry_after is not None else {}
            return self.reply(fault.status, b"not now", **headers)
        begin, end, status = 0, file.size, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and hub.ranges:
            begin, status = int(asked[1]), 206
            end = min(file.size, int(asked[2]) + 1) if asked[2] else file.size
            if begin >= file.size:
                return self.reply(416)
        with hub.lock:
            hub.asked += end - begin
        self.send_response(status)
        self.send_header("ETag", f'"{file.sha256[:32]}"')
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{file.size}")
        self.send_header("Content-Length", end - begin)
        self.end_headers()
        self.send_bytes(file, begin, end, fault)

    def send_bytes(self, file, begin, end, fault):
        hub, at = self.server.hub, begin
        stream = file.path.open("rb") if file.path else None
        while at < end:
            size = min(PIECE, end - at)
            if fault and at + size > begin + fault.after:
                size = max(0, begin + fault.after - at)
            if hub.rate:
                size = min(size, 16 * 1024)
                hub.pace(size)
            if stream and not hub.rate:
                sent = self.connection.sendfile(stream, at, size) if size else 0
            else:
                self.connection.sendall(file.read(at, size))
                sent = size
            at += sent
            with hub.lock:
                hub.served += sent
            if fault and at >= begin + fault.after:
                if not self.go_wrong(file, fault, at, end):
                    return
                at, fault = (at + 1 if fault.kind == "flip" else at), None

    def go_wrong(self, file, fault, at, end):
        """Whether the answer goes on."""
        self.close_connection = True
        if fault.kind == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            return False
        if fault.kind == "stall":
            self.server.hub.stalled.wait(60)
            return False
        if fault.kind == "flip" and at < end:
            self.connection.sendall(bytes([file.read(at, 1)[0] ^ 1]))
        return fault.kind == "flip"


class Hub:
    """Use as a context manager. `repos[ORG/REPO][PATH] = File(bytes or Path)`."""

    def __init__(self, rate=0, host="127.0.0.1"):
        self.repos, self.gated, self.links = {}, {}, {}
        self.tree, self.ranges, self.page, self.redirect = True, True, 1000, None
        self.next_url = None  # where it says that a list goes on, if it is not here
        self.faults, self.hub_faults, self.requests = [], [], []
        self.served = self.asked = 0  # bytes that left (and may be lost on the way), bytes that were asked for
        self.rate, self.due, self.host = rate, 0.0, host
        self.lock, self.stalled = threading.Lock(), threading.Event()
        self.hub, self.cdn = Server(self, HubHandler, host), Server(self, CdnHandler, host)
        self.url = f"http://{host}:{self.hub.server_address[1]}"
        self.cdn_url = f"http://{host}:{self.cdn.server_address[1]}"
        for server in (self.hub, self.cdn):
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, repo, path, data):
        file = File(data)
        self.repos.setdefault(repo, {})[path] = file
        return file

    def pace(self, size):
        """All answers together leave at the rate."""
        with self.lock:
            now = time.monotonic()
            self.due = max(self.due, now - 0.02) + size / self.rate
            wait = self.due - now
        if wait > 0:
            time.sleep(wait)

    def close(self):
        self.stalled.set()
        for server in (self.hub, self.cdn):
            server.shutdown()
            server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args()
    with Hub(options.rate, options.host) as hub:
        for path in options.folder.glob("*/*/**/*"):
            if path.is_file():
                org, repo, *rest = path.relative_to(options.folder).parts
                hub.add(f"{org}/{repo}", "/".join(rest), path)
        print(hub.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
