"""How the page is served: compressed or not, with tags, to people without a key, and made of what web/ holds."""

import gzip
import http.client
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import Node, require_model

WEB = Path(__file__).resolve().parent.parent.parent / "web"
DIST = sorted((WEB / "dist").iterdir())


def ask(node, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


def place(file):
    return "/" if file.name == "index.html" else f"/page/{file.name}"


@pytest.mark.parametrize("file", DIST, ids=lambda file: file.name)
def test_each_file_comes_as_it_is(node, file):
    reply, body = ask(node, place(file))
    assert reply.status == 200 and reply.getheader("Content-Encoding") is None and body == file.read_bytes()
    zipped, body = ask(node, place(file), **{"Accept-Encoding": "br, gzip;q=0.8"})
    assert zipped.getheader("Content-Encoding") == "gzip" and gzip.decompress(body) == file.read_bytes()
    assert zipped.getheader("Vary") == "Accept-Encoding" and zipped.getheader("ETag") == reply.getheader("ETag")
    plain, body = ask(node, place(file), **{"Accept-Encoding": "gzip;q=0"})
    assert plain.getheader("Content-Encoding") is None and body == file.read_bytes()
    same, body = ask(node, place(file), **{"If-None-Match": reply.getheader("ETag")})
    assert same.status == 304 and body == b"" and same.getheader("ETag") == reply.getheader("ETag")


def test_nothing_but_its_own_files_may_run(node):
    policy = ask(node, "/")[0].getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy


def test_there_is_nothing_else(node):
    assert ask(node, "/page/other.js")[0].status == 404
    assert ask(node, "/page/../app.js")[0].status == 404
    assert ask(node, "/page/")[0].status == 404


def test_all_of_it_is_small():
    assert sum(len(gzip.compress(file.read_bytes(), 9)) for file in DIST) <= 350 * 1024


def test_who_has_no_key_gets_the_page_that_asks_for_it(tmp_path):
    require_model()
    node = Node(tmp_path, "--require-key").start()
    try:
        reply, body = ask(node, "/")
        assert reply.status == 401 and b"/page/app.js" in body
        assert ask(node, "/page/app.js")[0].status == 200
        assert ask(node, "/caravan/v1/nodes")[0].status == 401
        key = node.cli("key", "add").stdout.strip()
        assert ask(node, "/", Authorization=f"Bearer {key}")[0].status == 200
    finally:
        assert node.stop() == 0


def test_the_bundle_is_made_of_these_sources(tmp_path):
    if not shutil.which("node") or not (WEB / "node_modules").is_dir():
        pytest.skip("there is no node, or no web/node_modules; `tools/setup test` installs both")
    subprocess.run(["node", "build.mjs", tmp_path / "dist"], cwd=WEB, check=True, timeout=60)
    made = {file.name: file.read_bytes() for file in (tmp_path / "dist").iterdir()}
    assert made == {file.name: file.read_bytes() for file in DIST}, "run `npm run build` in web/"
    subprocess.run(["node", "node_modules/typescript/bin/tsc", "--noEmit"], cwd=WEB, check=True, timeout=60)
