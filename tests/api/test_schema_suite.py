"""JSON-Schema-Test-Suite's schemas, as jsonschema's source package carries them: what a model with random weights
generates under each supported one is valid by jsonschema, unless it was cut at its length; what is not supported is an
error that says so. The model's tokens are bytes, so every text that the grammar lets pass can come."""
import collections
import decimal
import json
import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
import openai
import pytest

from conftest import Node

gguf = pytest.importorskip("gguf", reason="gguf-py writes the model")
jsonschema = pytest.importorskip("jsonschema", reason="the independent validator")

GENERATIONS, AT_ONCE, TOKENS = 20, 4, 300

# What the suite has too little of.
NAMES = {"enum": ["red", "green", "blue", "black"]}
MORE = [{"type": "array", "items": NAMES, "uniqueItems": True, "minItems": 2},
        {"type": "array", "items": NAMES, "uniqueItems": True, "maxItems": 3},
        {"type": "array", "items": NAMES, "contains": {"const": "blue"}, "minContains": 2, "maxItems": 6},
        {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}, "maxContains": 2, "minItems": 5,
         "contains": {"minimum": 7}},
        {"type": "array", "prefixItems": [NAMES, {"type": "null"}], "contains": {"type": "null"}, "minContains": 2},
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 20}, "uniqueItems": True,
         "minItems": 4},
        {"allOf": [{"pattern": "[A-Z]"}, {"pattern": "\\d"}], "minLength": 8, "maxLength": 12},
        {"format": "email", "pattern": "\\.example$", "maxLength": 40},
        {"format": "date-time", "pattern": "^2024-.*Z$"}, {"enum": ["ab", "b", "a1"], "pattern": "^a"},
        {"multipleOf": 0.01, "minimum": 0, "maximum": 99999}, {"multipleOf": 0.25}, {"multipleOf": 1.5, "minimum": 0},
        {"type": "integer", "multipleOf": 12}, {"multipleOf": 0.001, "exclusiveMinimum": -2.5, "maximum": 7.0005}]


def write_model(path):
    """A tiny Llama with random weights; tokens: an end, a beginning and the bytes."""
    rng = np.random.default_rng(8)
    embd, ff, tokens = 32, 48, ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(4096)
    writer.add_embedding_length(embd)
    writer.add_feed_forward_length(ff)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types([2, 3, 3] + [6] * 256)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd": (len(tokens), embd), "output_norm": (embd,), "blk.0.attn_norm": (embd,),
              "blk.0.ffn_norm": (embd,), "blk.0.ffn_gate": (ff, embd), "blk.0.ffn_up": (ff, embd),
              "blk.0.ffn_down": (embd, ff)} | {f"blk.0.attn_{n}": (embd, embd) for n in ("q", "k", "v", "output")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (rng.standard_normal(shape) / 4).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("suite")
    (home / "models").mkdir()
    write_model(home / "models/tiny.gguf")
    node = Node(home).start()
    node.cli("load", "tiny", "--context", 1024)
    yield node.client()
    assert node.stop() == 0


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    """(file, description, schema) of the suite's draft 2020-12."""
    folder = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--no-binary", "jsonschema", f"jsonschema=={version('jsonschema')}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if result.returncode:
        pytest.skip(f"jsonschema's source package cannot be fetched: {result.stderr.strip()[-200:]}")
    found = []
    with tarfile.open(next(folder.glob("jsonschema-*.tar.gz"))) as package:
        for member in sorted(package.getnames()):
            if "/json/tests/draft2020-12/" in member and member.endswith(".json") and "/optional/" not in member:
                cases = json.load(package.extractfile(member))
                found += [(member.rpartition("/")[2], case["description"], case["schema"]) for case in cases]
    return found


def generate(client, schema):
    """The texts and how each ended; or the error."""
    form = {"type": "json_schema", "json_schema": {"name": "case", "schema": schema}}
    # Random weights end few strings and lists by themselves.
    closing = {str(3 + ord(c)): 3 for c in '"}]'}
    choices = []
    while len(choices) < GENERATIONS:
        try:
            reply = client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "x"}], response_format=form, temperature=1,
                seed=len(choices), n=min(8, GENERATIONS - len(choices)), max_tokens=TOKENS, logit_bias=closing)
        except openai.BadRequestError as error:
            return error
        choices += reply.choices
    return choices


def check(group, result, totals):
    name, description, schema = group
    where = f"{name}: {description}"
    if isinstance(result, openai.BadRequestError):
        assert result.param == "response_format" or "u0000" in result.message, where
        totals["refused"] += 1
        return
    totals["supported"] += 1
    schema = json.loads(json.dumps(schema), parse_float=decimal.Decimal)  # 0.01 is a hundredth
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for choice in result:
        if choice.finish_reason == "length":
            totals["cut"] += 1
            continue
        assert choice.finish_reason == "stop"
        error = jsonschema.exceptions.best_match(validator.iter_errors(
            json.loads(choice.message.content, parse_float=decimal.Decimal)))
        assert error is None, f"{where}: {json.dumps(schema)} -> {choice.message.content}: {error.message}"
        totals["valid"] += 1


def test_generations_are_valid(client, groups):
    totals = collections.Counter()
    groups = [group for group in groups if isinstance(group[2], dict)]
    groups += [("more", json.dumps(schema), schema) for schema in MORE]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda group: generate(client, group[2]), groups))
    failures = []
    for group, result in zip(groups, results):
        try:
            check(group, result, totals)
        except AssertionError as error:
            failures.append(str(error).splitlines()[0])
    print(dict(totals))
    assert not failures, "\n".join(failures)
    assert totals["valid"] > 10 * totals["supported"], totals
