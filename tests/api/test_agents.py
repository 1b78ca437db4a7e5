"""Coding agents from npm, unmodified and without a terminal: each is given a task, calls its tool as the model recites,
tells the result, and ends."""
import json
import os
import shutil
import subprocess

import pytest

import script_model
from conftest import ROOT, Node

PLACE = ROOT / "build/agents"
OPENCODE = "opencode-ai@1.18.33"
CALL = '<tool_call>\n{"name": "write", "arguments": {"content": "Bread, twice.\\n", "filePath": "%s"}}\n</tool_call>'
# Whatever an agent says to it before: who has tools writes the file, then ends; who has none wants a title.
TEMPLATE = """{#- <tool_call> -#}
{%- if messages[-1].role == 'tool' -%}<|s:after|>
{%- elif tools -%}<|s:task|>
{%- else -%}<|s:title|>
{%- endif -%}"""


@pytest.fixture(scope="module")
def opencode():
    """The program; it comes from the registry once (350 MB)."""
    if not shutil.which("npm"):
        pytest.skip("there is no npm")
    PLACE.mkdir(parents=True, exist_ok=True)
    program = PLACE / "node_modules/.bin/opencode"
    if not program.exists():
        (PLACE / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", OPENCODE]
        try:
            subprocess.run(command, cwd=PLACE, check=True, capture_output=True, timeout=240)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"npm cannot get {OPENCODE}: {(error.stderr or b'').decode()[-200:]}")
    return program


def test_opencode_writes_a_file(opencode, tmp_path):
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    (home / ".config/opencode").mkdir(parents=True)
    (tmp_path / "node/models").mkdir(parents=True)
    scripts = {"task": CALL % (work / "list.txt"), "title": "A list of things to buy", "after": "It is written."}
    script_model.write(tmp_path / "node/models/script.gguf", scripts, whole=TEMPLATE)
    node = Node(tmp_path / "node").start()
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "caravan", "models": {"script": {"name": "script"}},
                "options": {"baseURL": f"http://127.0.0.1:{node.port}/v1", "apiKey": "none"}}
    settings = {"model": "caravan/script", "autoupdate": False, "provider": {"caravan": provider}}
    (home / ".config/opencode/opencode.json").write_text(json.dumps(settings))
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    command = [opencode, "run", "Write down what I have to buy."]
    result = subprocess.run(command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=120)
    assert node.stop() == 0
    assert result.returncode == 0 and "It is written." in result.stdout, result.stdout + result.stderr
    assert (work / "list.txt").read_text() == "Bread, twice.\n"
