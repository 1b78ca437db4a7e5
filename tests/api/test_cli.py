"""The command line against a real node, and on its own."""
import json
import os
import signal
import subprocess
import time

import pytest

from conftest import CARAVAN, MODEL, Node, default_model, require_model

QUESTION = "What is the opposite of hot?"
GREEDY = ["--temperature", "0", "--max-tokens", "16"]


@pytest.fixture
def alone(tmp_path):
    """A home without a running node."""
    require_model()
    return Node(tmp_path)


def processes_of(home):
    """Processes whose environment names this home."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = open(f"/proc/{pid}/environ", "rb").read()
        except OSError:
            continue
        if f"CARAVAN_HOME={home}".encode() in environment.split(b"\0"):
            found.append(pid)
    return found


def test_one_answer_alone_on_stdout(node):
    result = node.cli("run", MODEL, QUESTION, *GREEDY)
    assert "cold" in result.stdout.lower()
    assert result.stdout.endswith("\n") and not result.stdout.endswith("\n\n")
    assert node.cli("run", MODEL, QUESTION, *GREEDY).stdout == result.stdout


def test_without_a_node_the_answer_is_the_same(alone, node):
    result = alone.cli("run", MODEL, QUESTION, *GREEDY)
    assert result.stdout == node.cli("run", MODEL, QUESTION, *GREEDY).stdout
    assert processes_of(alone.home) == []


def test_raw_prompts_have_no_template(node):
    result = node.cli("run", MODEL, "The capital of France is", "--raw", *GREEDY)
    assert "Paris" in result.stdout


def test_a_piped_chat(node):
    result = node.cli("run", MODEL, *GREEDY, stdin=f'{QUESTION}\n"""\nSay\nyes.\n"""\n')
    lines = result.stdout.splitlines()
    assert "cold" in lines[0].lower() and len(lines) >= 2


def test_ctrl_c_ends_an_answer(alone):
    process = subprocess.Popen([CARAVAN, "run", MODEL, "Write a very long story.", "--max-tokens", "4000"],
                               env=alone.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 1
    assert processes_of(alone.home) == []


def test_list_and_show(node):
    models = node.json("list")
    mine = next(m for m in models if m["name"] == MODEL)
    assert mine["size_bytes"] == default_model().stat().st_size
    assert mine["format"] == "gguf" and mine["architecture"] == "llama"
    assert mine["parameters"] > 100e6 and mine["context_length"] == 8192
    assert node.json("show", MODEL)["name"] == MODEL


def test_unknown_models_suggest_others(node):
    for verb in ("run", "load", "plan", "show"):
        result = node.cli(verb, "smolm2:135m", *(["hi"] if verb == "run" else []), check=False)
        assert result.returncode == 1
        assert MODEL in result.stderr, verb


def test_bad_files_are_told_apart(node, tmp_path):
    content = default_model().read_bytes()[:100000]
    cases = {"empty": b"", "text": b"hello world " * 100, "magic": b"GGUF", "cut": content}
    for name, data in cases.items():
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(data)
        result = node.cli("load", path, check=False)
        assert result.returncode == 1 and str(path) in result.stderr, name
    result = node.cli("load", tmp_path / "none.gguf", check=False)
    assert result.returncode == 1


def test_plan_adds_up(node):
    plan = node.json("plan", MODEL)
    assert plan["fits"] is True and plan["model"] == MODEL
    assert [s["layers"] for s in plan["stages"]] == [[0, 30]]
    member = plan["stages"][0]["members"][0]
    assert member["share"] == 1 and member["node"] == node.json("nodes")[0]["id"]
    assert abs(member["weights_bytes"] - default_model().stat().st_size) < 8e6
    assert member["kv_bytes"] == 4 * 8192 * 30 * 2 * 192 * 2  # sessions, positions, layers, K and V, width, f16
    assert member["scratch_bytes"] > 0


def test_exactly_n_nodes_or_nothing(node):
    result = node.cli("plan", MODEL, "--nodes", "2", "--json", check=False)
    assert result.returncode == 1
    assert json.loads(result.stdout)["fits"] is False


def test_too_big_is_told_in_numbers(tmp_path):
    require_model()
    small = Node(tmp_path, "--memory", "50000000").start()
    try:
        result = small.cli("load", MODEL, check=False)
        assert result.returncode == 1
        assert any(unit in result.stderr for unit in ("MB", "MiB", "GB", "GiB", "bytes"))
        assert json.loads(small.cli("plan", MODEL, "--json", check=False).stdout)["fits"] is False
        assert small.json("ps") == []
    finally:
        assert small.stop() == 0


def test_load_ps_stop(fresh):
    assert fresh.json("ps") == []
    fresh.cli("load", MODEL, "--context", "1024")
    fresh.cli("load", MODEL)
    fresh.cli("load", MODEL, "--context", "1024")
    assert fresh.cli("load", MODEL, "--context", "512", check=False).returncode == 1
    loaded, = fresh.json("ps")
    assert loaded["model"] == MODEL and loaded["state"] == "ready" and loaded["context"] == 1024
    assert loaded["stages"][0]["layers"] == [0, 30] and "epoch" in loaded
    fresh.cli("stop", loaded["id"])
    assert fresh.json("ps") == []
    assert fresh.cli("stop", MODEL, check=False).returncode == 1


def test_nodes(node):
    me, = node.json("nodes", "--measure")
    assert me["self"] is True and me["state"] == "up" and me["threads"] >= 1
    assert me["memory_total"] >= me["memory_free"] > 0
    assert me["read_bandwidth"] > 1e9 and me["matmul_rate"] > 1e9
    assert me["devices"][0]["kind"] == "cpu"


def test_join_codes(alone):
    code = alone.cli("code").stdout.strip()
    assert code.startswith("CARAVAN-")
    assert alone.cli("code").stdout.strip() == code
    assert alone.cli("code", "--new").stdout.strip() != code
    begin = time.monotonic()
    assert alone.cli("join", code[:-1] + ("A" if code[-1] != "A" else "B"), check=False).returncode == 1
    assert alone.cli("join", "nonsense", check=False).returncode == 1
    assert time.monotonic() - begin < 3
    alone.cli("join", code)
    assert alone.cli("code").stdout.strip() == code
    alone.cli("leave")
    assert alone.cli("code").stdout.strip() != code


def test_read_only_models_stay(alone, tmp_path_factory):
    extra = tmp_path_factory.mktemp("extra")
    (extra / "mine.gguf").symlink_to(default_model())
    alone.env["CARAVAN_MODELS"] = str(extra)
    assert "mine" in [m["name"] for m in alone.json("list")]
    result = alone.cli("rm", "mine", check=False)
    assert result.returncode == 1 and "read-only" in result.stderr
    alone.cli("rm", MODEL)
    assert MODEL not in [m["name"] for m in alone.json("list")]
    assert default_model().exists()


def test_version():
    text = subprocess.run([CARAVAN, "version"], capture_output=True, text=True, check=True).stdout
    assert text.startswith("caravan ")
    assert "ref" in text and "cpu" in text
    assert subprocess.run([CARAVAN, "--version"], capture_output=True, text=True, check=True).stdout == text


def test_every_verb_has_a_help():
    names = subprocess.run([CARAVAN, "help"], capture_output=True, text=True, check=True).stdout
    verbs = [line[2:18].strip() for line in names.splitlines() if line.startswith("  ") and line[2] != " "]
    assert {"serve", "run", "key add", "debug logits", "doctor", "top"} <= set(verbs)
    for verb in verbs:
        result = subprocess.run([CARAVAN, *verb.split(), "--help"], capture_output=True, text=True, timeout=20)
        assert result.returncode == 0 and result.stdout.startswith(f"usage: caravan {verb}"), verb
